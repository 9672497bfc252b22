/* Every op's gradient against central differences, in double precision.
 *
 * A case builds a result from inputs. The harness multiplies it with random numbers and sums (a random incoming gradient),
 * asks for the gradient of every subset of the inputs, and compares each element with (f(x+h) - f(x-h)) / 2h. Where the op
 * allows, the gradient's own gradient is checked in the same way. NaN fails, a gradient that is zero everywhere fails, inputs
 * must come back unchanged, and an op of ops.def without a case fails the program. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/ops.h"
#include "autograd/random.h"

enum { MAX_INPUTS = 6 };

typedef struct gc {
    ag_graph *g;
    ag_tensor *in[MAX_INPUTS];
    bool positive[MAX_INPUTS], constant[MAX_INPUTS];
    int n;
    ag_tensor *incoming[MAX_INPUTS + 1]; /* random numbers that results are multiplied with */
    int incomings;
} gc;

typedef ag_tensor *build_fn(gc *c);

static double worst;
static int checked;

static ag_tensor *input_of(gc *c, int rank, const int64_t *shape, bool positive, bool constant)
{
    ag_tensor *t = ag_input(c->g, "x", AG_REAL, rank, shape);
    c->positive[c->n] = positive;
    c->constant[c->n] = constant;
    return c->in[c->n++] = t;
}

#define SHAPE(...)                                                                                                     \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
#define INPUT(...)    input_of(c, SHAPE(__VA_ARGS__), false, false)
#define POSITIVE(...) input_of(c, SHAPE(__VA_ARGS__), true, false)
#define FIXED(...)    input_of(c, SHAPE(__VA_ARGS__), false, true)

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

/* ---- cases -------------------------------------------------------------------------------------------------------- */

static ag_tensor *case_add(gc *c) { return ag_add(INPUT(2, 3, 5), INPUT(3, 1)); }
static ag_tensor *case_sub(gc *c) { return ag_sub(INPUT(3, 1), INPUT(2, 1, 5)); }
static ag_tensor *case_mul(gc *c) { return ag_mul(INPUT(2, 3, 5), INPUT(5)); }
static ag_tensor *case_div(gc *c) { return ag_div(INPUT(2, 1, 5), INPUT(3, 5)); }
static ag_tensor *case_select(gc *c)
{
    ag_tensor *a = INPUT(9, 3), *b = INPUT(1, 3), *mask = ag_less(FIXED(9, 1), ag_constant(c->g, 0, 0, NULL));
    return ag_select(mask, a, ag_square(b));
}
static ag_tensor *case_affine(gc *c) { return ag_shift(ag_scale(INPUT(3, 5), -1.5), 0.25); }
static ag_tensor *case_square(gc *c) { return ag_square(INPUT(3, 5)); }
static ag_tensor *case_sqrt(gc *c) { return ag_sqrt(POSITIVE(3, 5)); }
static ag_tensor *case_exp(gc *c) { return ag_exp(INPUT(3, 5)); }
static ag_tensor *case_log(gc *c) { return ag_log(POSITIVE(3, 5)); }
static ag_tensor *case_abs(gc *c) { return ag_abs(INPUT(3, 5)); }
static ag_tensor *case_relu(gc *c) { return ag_relu(INPUT(3, 5)); }
static ag_tensor *case_relu_mask(gc *c)
{
    ag_tensor *d = INPUT(3, 5);
    return ag_relu_mask(d, FIXED(3, 5));
}
static ag_tensor *case_clamp(gc *c) { return ag_clamp(INPUT(5, 7), -0.7, 0.6); }
static ag_tensor *case_clamp_mask(gc *c) /* what a second gradient of clamp runs through */
{
    ag_tensor *x = INPUT(5, 7), *dx, *f = ag_sum(ag_square(ag_clamp(x, -0.7, 0.6)));
    ag_gradient(f, 1, &x, &dx);
    return dx;
}
static ag_tensor *case_straight_through(gc *c) { return ag_straight_through(INPUT(3, 4), FIXED(3, 4)); }
static ag_tensor *case_reshape(gc *c) { return ag_square(ag_reshape(INPUT(3, 4, 2), 2, (int64_t[]){6, 4})); }
static ag_tensor *case_sum_to(gc *c)
{
    ag_tensor *x = INPUT(3, 4, 5), *y = ag_sum_to(x, 3, (int64_t[]){3, 1, 5});
    return ag_add(ag_add(y, ag_sum_to(ag_square(x), 1, (int64_t[]){5})), ag_mean(x));
}
static ag_tensor *case_broadcast(gc *c) { return ag_broadcast(INPUT(3, 1, 5), 4, (int64_t[]){2, 3, 4, 5}); }
static ag_tensor *case_mse(gc *c) { return ag_mse(INPUT(3, 7), INPUT(3, 7)); }
static ag_tensor *case_scaled_difference(gc *c)
{
    ag_tensor *a = INPUT(3, 7), *b = INPUT(3, 7), *s = INPUT(1), *d;
    ag_tensor *f = ag_sum(ag_mul(s, ag_mse(a, b)));
    ag_gradient(f, 1, &a, &d);
    return d;
}
static ag_tensor *case_matmul(gc *c)
{
    ag_tensor *a = INPUT(3, 5), *b = INPUT(5, 4);
    ag_tensor *y = ag_add(ag_matmul(a, b, false, false), ag_matmul(INPUT(5, 3), INPUT(4, 5), true, true));
    return ag_add(y, ag_matmul(ag_matmul(a, a, false, true), ag_matmul(a, b, false, false), false, false));
}
static ag_tensor *case_conv2d(gc *c)
{
    ag_tensor *x = INPUT(2, 5, 7, 3), *w = INPUT(4, 3, 3, 2), *b = INPUT(2), *r = INPUT(2, 3, 4, 2);
    return ag_conv2d(x, w, b, r, &(ag_conv2d_options){.stride = 2, .pad = {1, 2, 0, 2}});
}
static ag_tensor *case_conv2d_relu(gc *c)
{
    ag_tensor *x = INPUT(1, 4, 4, 2), *w = INPUT(3, 3, 2, 17), *b = INPUT(17), *r = INPUT(1, 4, 4, 17);
    return ag_conv2d(x, w, b, r, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .activation = AG_RELU});
}
static ag_tensor *case_conv2d_1x1(gc *c)
{
    return ag_conv2d(INPUT(2, 3, 3, 5), INPUT(1, 1, 5, 4), INPUT(4), NULL, NULL);
}
static ag_tensor *case_conv2d_transposed(gc *c)
{
    ag_tensor *x = INPUT(2, 3, 4, 2), *w = INPUT(4, 4, 3, 2), *b = INPUT(3), *r = INPUT(2, 6, 8, 3);
    return ag_conv2d_transposed(x, w, b, r,
                                &(ag_conv2d_options){.stride = 2, .pad = {1, 1, 1, 1}, .activation = AG_RELU});
}
static ag_tensor *case_conv2d_transposed_odd(gc *c)
{
    const ag_conv2d_options o = {.stride = 3, .pad = {0, 1, 1, 0}, .out = {8, 9}};
    return ag_conv2d_transposed(INPUT(1, 3, 3, 2), INPUT(2, 4, 3, 2), NULL, NULL, &o);
}
static ag_tensor *case_conv2d_weight_grad(gc *c)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}};
    return ag_conv2d_weight_grad(INPUT(2, 6, 6, 3), INPUT(2, 3, 3, 2), 4, 4, &o);
}
static ag_tensor *codes(gc *c)
{
    ag_tensor *e = FIXED(5, 3);
    return ag_nearest(ag_broadcast(e, 3, (int64_t[]){2, 5, 3}), e);
}
static ag_tensor *case_gather(gc *c)
{
    ag_tensor *table = INPUT(5, 4);
    return ag_gather(table, codes(c));
}
static ag_tensor *case_scatter_add(gc *c)
{
    ag_tensor *rows = INPUT(2, 5, 4);
    return ag_scatter_add(rows, codes(c), 6);
}

typedef struct gradient_case {
    const char *op;
    build_fn *build;
    bool linear; /* the gradient does not depend on the inputs: no second order */
} gradient_case;

static const gradient_case cases[] = {
    {"add", case_add, true},
    {"sub", case_sub, true},
    {"mul", case_mul, false},
    {"div", case_div, false},
    {"select", case_select, false},
    {"affine", case_affine, true},
    {"square", case_square, false},
    {"sqrt", case_sqrt, false},
    {"exp", case_exp, false},
    {"log", case_log, false},
    {"abs", case_abs, true},
    {"relu", case_relu, true},
    {"relu_mask", case_relu_mask, true},
    {"clamp", case_clamp, true},
    {"clamp_mask", case_clamp_mask, true},
    {"straight_through", case_straight_through, true},
    {"reshape", case_reshape, false},
    {"sum_to", case_sum_to, false},
    {"broadcast", case_broadcast, true},
    {"mse", case_mse, false},
    {"scaled_difference", case_scaled_difference, false},
    {"matmul", case_matmul, false},
    {"conv2d", case_conv2d, false},
    {"conv2d", case_conv2d_relu, false},
    {"conv2d", case_conv2d_1x1, false},
    {"conv2d_transposed", case_conv2d_transposed, false},
    {"conv2d_transposed", case_conv2d_transposed_odd, false},
    {"conv2d_weight_grad", case_conv2d_weight_grad, false},
    {"gather", case_gather, true},
    {"scatter_add", case_scatter_add, true},
};

/* Ops without a gradient of their own. */
#define AG_GRAD       1
#define AG_GRAD_STOPS 0
#define AG_GRAD_ZERO  0
static const struct {
    const char *name;
    int gradient;
} ops[] = {
#define AG_OP(name, gradient) {#name, gradient},
#include "ops.def"
};
#undef AG_OP

enum { CASES = sizeof cases / sizeof *cases, OPS = sizeof ops / sizeof *ops };

static void every_differentiable_op_has_a_case(void **state)
{
    (void)state;
    for (int i = 0; i < OPS; i++) {
        bool found = !ops[i].gradient;
        for (int j = 0; j < CASES; j++) found = found || !strcmp(cases[j].op, ops[i].name);
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
    for (int i = 0; i < CASES; i++) {
        unsigned allowed;
        const int n = free_inputs(cases[i].build, &allowed);
        if (!strcmp(cases[i].op, "straight_through")) continue;
        for (unsigned subset = 1; subset < 1u << n; subset++)
            if (!(subset & ~allowed)) check_subset(cases[i].build, cases[i].op, subset, false);
    }
    print_message("[          ] %d gradients, worst relative difference %.1e\n", checked, worst);
}

static void second_gradients_agree_with_differences(void **state)
{
    (void)state;
    checked = 0, worst = 0;
    for (int i = 0; i < CASES; i++) {
        unsigned allowed;
        const int n = free_inputs(cases[i].build, &allowed);
        if (cases[i].linear) continue;
        (void)n;
        check_subset(cases[i].build, cases[i].op, allowed, true);
    }
    print_message("[          ] %d second gradients, worst relative difference %.1e\n", checked, worst);
}

static void straight_through_passes_the_gradient_unchanged(void **state)
{
    (void)state;
    gc c = {.g = ag_graph_new(3)}, *p = &c;
    ag_tensor *z = input_of(p, SHAPE(3, 4), false, false), *q = input_of(p, SHAPE(3, 4), false, true), *d[2];
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
    ag_tensor *x = input_of(p, SHAPE(3), false, false), *d;
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
