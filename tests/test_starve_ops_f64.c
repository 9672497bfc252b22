/* Every op when memory runs out: the graphs of the gradient checks, their gradients (twice where the op allows) and plans, with
 * each allocation failing once. */
#include "starve.h"

#include "gradcheck.h"

static gc_case *cases;
static const gc_case *now;

void gc_register(gc_case *c)
{
    c->next = cases;
    cases = c;
}

ag_tensor *gc_input_of(gc *c, int rank, const int64_t *shape, bool positive, bool constant)
{
    ag_tensor *t = ag_input(c->g, "x", AG_REAL, rank, shape);
    c->positive[c->n] = positive;
    c->constant[c->n] = constant;
    return c->in[c->n++] = t;
}

static ag_err build_and_plan(void)
{
    gc c = {.g = ag_graph_new(3)};
    if (!c.g) return AG_ERR_MEMORY;
    ag_tensor *y = now->build(&c), *wrt[MAX_INPUTS], *d[MAX_INPUTS], *sum = NULL;
    int n = 0;
    for (int i = 0; i < c.n; i++)
        if (!c.constant[i]) wrt[n++] = c.in[i];
    ag_gradient(ag_sum(ag_square(y)), n, wrt, d);
    for (int i = 0; i < n; i++) ag_keep(d[i]);
    if (!now->linear && !now->first && !now->identity) {
        for (int i = 0; i < n; i++) sum = sum ? ag_add(sum, ag_sum(ag_square(d[i]))) : ag_sum(ag_square(d[i]));
        ag_gradient(sum, n, wrt, d);
        for (int i = 0; i < n; i++) ag_keep(d[i]);
    }
    const ag_err err = ag_graph_plan(c.g, NULL);
    ag_graph_free(c.g);
    return err;
}

static void every_op_survives(void **state)
{
    (void)state;
    long failures = 0;
    int n = 0;
    for (now = cases; now; now = now->next, n++) failures += starve(now->op, build_and_plan);
    print_message("[          ] %d graphs, %ld failures\n", n, failures);
    assert_true(failures > n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op_survives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
