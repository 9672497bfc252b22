/* Every op's gradient against central differences, in double precision.
 *
 * A case builds a result from inputs. The harness multiplies it with random numbers and sums (a random incoming gradient),
 * asks for the gradient of every subset of the inputs, and compares each element with (f(x+h) - f(x-h)) / 2h. Where the op
 * allows, the gradient's own gradient is checked in the same way. NaN fails, a gradient that is zero everywhere fails, inputs
 * must come back unchanged, and an op of ops.def without a case fails the program. */
#include <math.h>

#include "gradcheck.h"
#include "autograd/random.h"

static double worst;
static int checked;

ag_tensor *gc_input_of(gc *c, int rank, const int64_t *shape, bool positive, bool constant)
{
    ag_tensor *t = ag_input(c->g, "x", AG_REAL, rank, shape);
    c->positive[c->n] = positive;
    c->constant[c->n] = constant;
    return c->in[c->n++] = t;
}

/* Values in +-[0.2,1.2]: away from the kinks of relu, abs and clamp by more than the step of the differences. */
static void fill(const gc *c)
{
    for (int i = 0; i < c->n; i++) {
        real *x = ag_data(c->in[i]);
        for (int64_t j = 0; j < ag_numel(c->in[i]); j++) {
            const double u = ag_random_uniform(7, (uint64_t)i, (uint64_t)j);
            const double sign = c->positive[i] || ag_random_uniform(8, (uint64_t)i, (uint64_t)j) < 0.5 ? 1 : -1;
            x[j] = sign * (0.2 + u);
        }
    }
}

static void fill_incoming(const gc *c)
{
    for (int i = 0; i < c->incomings; i++)
        for (int64_t j = 0; j < ag_numel(c->incoming[i]); j++)
            ((real *)ag_data(c->incoming[i]))[j] = ag_random_normal(9, (uint64_t)i, (uint64_t)j);
}

static ag_tensor *weighted_sum(gc *c, ag_tensor *y)
{
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(y); i++) shape[i] = ag_dim(y, i);
    ag_tensor *r = ag_input(c->g, "incoming", AG_REAL, ag_rank(y), shape);
    c->incoming[c->incomings++] = r;
    return ag_sum(ag_mul(y, r));
}

static double value(ag_graph *g, ag_tensor *f)
{
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    return ag_value(f);
}

/* Compares d f / d x with central differences. */
static void compare(gc *c, ag_tensor *f, ag_tensor *x, ag_tensor *dx, const char *name)
{
    const double h = 1e-4;
    double size = 0, error = 0;
    real *p = ag_data(x);
    double *analytic = test_malloc(sizeof(double) * (size_t)ag_numel(x));
    value(c->g, f);
    memcpy(analytic, ag_data(dx), sizeof(double) * (size_t)ag_numel(x));
    for (int64_t i = 0; i < ag_numel(x); i++) {
        const double old = p[i];
        double d[2];
        for (int k = 0; k < 2; k++) { /* Richardson: error of order h^4 */
            const double step = h * (k + 1);
            p[i] = old + step;
            const double up = value(c->g, f);
            p[i] = old - step;
            d[k] = (up - value(c->g, f)) / (2 * step);
        }
        p[i] = old;
        const double numeric = (4 * d[0] - d[1]) / 3;
        assert_true(isfinite(analytic[i]));
        size = fmax(size, fabs(numeric));
        error = fmax(error, fabs(numeric - analytic[i]));
    }
    const double relative = error / fmax(size, 1e-3);
    if (relative > worst) worst = relative;
    if (relative > 1e-7 || size == 0) fail_msg("%s: gradient wrong by %g of %g", name, error, size);
    checked++;
    test_free(analytic);
}

static void plan(gc *c)
{
    if (ag_graph_plan(c->g, NULL)) fail_msg("%s", ag_error_message());
    fill(c);
    fill_incoming(c);
}

/* The gradients of one subset of the inputs; with `twice`, those of a weighted sum of the
 * first gradients' squares, for a result that is cubed so that nothing is linear. */
static void check_subset(build_fn *build, const char *name, unsigned subset, bool twice)
{
    gc c = {.g = ag_graph_new(3)};
    ag_tensor *wrt[MAX_INPUTS], *d[MAX_INPUTS], *y = build(&c), *f2 = NULL;
    ag_tensor *f = weighted_sum(&c, twice ? ag_mul(ag_square(y), y) : y);
    int n = 0;
    for (int i = 0; i < c.n; i++)
        if (subset >> i & 1) wrt[n++] = c.in[i];
    ag_gradient(f, n, wrt, d);
    for (int i = 0; i < n; i++) ag_keep(d[i]);
    ag_keep(f);
    if (twice) {
        ag_tensor *d2[MAX_INPUTS], *sum = NULL;
        for (int i = 0; i < n; i++) {
            ag_tensor *part = weighted_sum(&c, ag_square(d[i]));
            sum = sum ? ag_add(sum, part) : part;
        }
        f2 = ag_keep(sum);
        ag_gradient(f2, n, wrt, d2);
        for (int i = 0; i < n; i++) d[i] = ag_keep(d2[i]);
    }
    plan(&c);
    real *before = test_malloc(ag_bytes(wrt[0]));
    memcpy(before, ag_data(wrt[0]), ag_bytes(wrt[0]));
    for (int i = 0; i < n; i++) compare(&c, twice ? f2 : f, wrt[i], d[i], name);
    assert_memory_equal(before, ag_data(wrt[0]), ag_bytes(wrt[0]));
    test_free(before);
    ag_graph_free(c.g);
}

static gc_case *cases;

void gc_register(gc_case *c)
{
    c->next = cases;
    cases = c;
}

/* Ops without a gradient of their own. */
#define AG_GRAD       1
#define AG_GRAD_STOPS 0
#define AG_GRAD_ZERO  0
static const struct {
    const char *name;
    int gradient;
} ops[] = {
#define AG_OP(name, gradient, cost) {#name, gradient},
#include "ops.def"
};
#undef AG_OP

enum { OPS = sizeof ops / sizeof *ops };

static void every_differentiable_op_has_a_case(void **state)
{
    (void)state;
    for (int i = 0; i < OPS; i++) {
        bool found = !ops[i].gradient;
        for (const gc_case *c = cases; c; c = c->next) found = found || !strcmp(c->op, ops[i].name);
        if (!found) fail_msg("%s has no gradient check", ops[i].name);
    }
}

static int free_inputs(build_fn *build, unsigned *allowed)
{
    gc c = {.g = ag_graph_new(3)};
    if (!build(&c)) {
        ag_graph_plan(c.g, NULL);
        fail_msg("%s", ag_error_message());
    }
    *allowed = 0;
    for (int i = 0; i < c.n; i++) *allowed |= (unsigned)!c.constant[i] << i;
    ag_graph_free(c.g);
    return c.n;
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    for (const gc_case *c = cases; c; c = c->next) {
        unsigned allowed;
        const int n = free_inputs(c->build, &allowed);
        if (c->identity) continue;
        for (unsigned subset = 1; subset < 1u << n; subset++)
            if (!(subset & ~allowed)) check_subset(c->build, c->op, subset, false);
    }
    print_message("[          ] %d gradients, worst relative difference %.1e\n", checked, worst);
}

static void second_gradients_agree_with_differences(void **state)
{
    (void)state;
    checked = 0, worst = 0;
    for (const gc_case *c = cases; c; c = c->next) {
        unsigned allowed;
        const int n = free_inputs(c->build, &allowed);
        if (c->linear || c->first || c->identity) continue;
        (void)n;
        check_subset(c->build, c->op, allowed, true);
    }
    print_message("[          ] %d second gradients, worst relative difference %.1e\n", checked, worst);
}

static void straight_through_passes_the_gradient_unchanged(void **state)
{
    (void)state;
    gc c = {.g = ag_graph_new(3)}, *p = &c;
    ag_tensor *z = gc_input_of(p, SHAPE(3, 4), false, false), *q = gc_input_of(p, SHAPE(3, 4), false, true), *d[2];
    ag_tensor *out = ag_straight_through(z, q), *f = ag_sum(ag_square(out));
    ag_gradient(f, 2, (ag_tensor *[]){z, q}, d);
    ag_keep(d[0]), ag_keep(d[1]), ag_keep(out);
    plan(&c);
    value(c.g, f);
    for (int i = 0; i < 12; i++) {
        const double want = ((double *)ag_data(q))[i];
        assert_true(((double *)ag_data(out))[i] == want);
        assert_true(((double *)ag_data(d[0]))[i] == 2 * want);
        assert_true(((double *)ag_data(d[1]))[i] == 0);
    }
    ag_graph_free(c.g);
}

static void stop_gradient_passes_none(void **state)
{
    (void)state;
    gc c = {.g = ag_graph_new(3)}, *p = &c;
    ag_tensor *x = gc_input_of(p, SHAPE(3), false, false), *d;
    ag_tensor *f = ag_sum(ag_mul(x, ag_stop_gradient(x)));
    ag_gradient(f, 1, &x, &d);
    ag_keep(d);
    plan(&c);
    value(c.g, f);
    assert_memory_equal(ag_data(d), ag_data(x), 3 * sizeof(double));
    ag_graph_free(c.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_differentiable_op_has_a_case),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(second_gradients_agree_with_differences),
        cmocka_unit_test(straight_through_passes_the_gradient_unchanged),
        cmocka_unit_test(stop_gradient_passes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
