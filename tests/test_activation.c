/* Elementary functions and activations: against PyTorch (tests/fixtures/make_activation.py), against double precision over the
 * whole range of float, the same bits for any number of threads and any place in a tensor. */
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/cpu.h"
#include "autograd/ops.h"
#include "golden.h"
#include "kernel_tests.h"

enum { N = 301, HALVES = 17 };

/* Relative to the largest number of a tensor. */
#ifdef AG_DOUBLE
#define TOLERANCE 1e-13
#else
#define TOLERANCE 1e-6
#endif

/* ---- the functions by name ------------------------------------------------------------------------------------------- */

static ag_tensor *leaky(ag_tensor *x) { return ag_leaky_relu(x, 0.2); }
static ag_tensor *cube(ag_tensor *x) { return ag_pow(x, 3); }
static ag_tensor *reciprocal(ag_tensor *x) { return ag_pow(x, -1); }
static ag_tensor *power(ag_tensor *x) { return ag_pow(x, 2.2); }

static const struct function {
    const char *name;
    ag_tensor *(*one)(ag_tensor *);
    ag_tensor *(*two)(ag_tensor *, ag_tensor *);
    bool positive, once; /* inputs above zero; not differentiated twice */
} functions[] = {
    {"exp", ag_exp, NULL, false, false},
    {"log", ag_log, NULL, true, false},
    {"log1p", ag_log1p, NULL, true, false},
    {"erf", ag_erf, NULL, false, false},
    {"tanh", ag_tanh, NULL, false, false},
    {"sigmoid", ag_sigmoid, NULL, false, false},
    {"softplus", ag_softplus, NULL, false, false},
    {"log_sigmoid", ag_log_sigmoid, NULL, false, false},
    {"silu", ag_silu, NULL, false, false},
    {"gelu", ag_gelu, NULL, false, false},
    {"gelu_tanh", ag_gelu_tanh, NULL, false, false},
    {"quick_gelu", ag_quick_gelu, NULL, false, false},
    {"leaky_relu", leaky, NULL, false, true},
    {"cube", cube, NULL, false, false},
    {"reciprocal", reciprocal, NULL, true, false},
    {"power", power, NULL, true, false},
    {"sin", ag_sin, NULL, false, false},
    {"cos", ag_cos, NULL, false, false},
    {"maximum", NULL, ag_maximum, false, true},
    {"minimum", NULL, ag_minimum, false, true},
};

enum { FUNCTIONS = sizeof functions / sizeof *functions };

typedef struct model {
    ag_graph *g;
    ag_tensor *x, *x2, *dy, *y, *d[2], *dd;
} model;

static model build(const struct function *f, int64_t n, bool unshared)
{
    model m = {.g = ag_graph_new(1)};
    m.x = ag_input(m.g, "x", AG_REAL, 1, &n);
    m.x2 = ag_input(m.g, "x2", AG_REAL, 1, &n);
    m.dy = ag_input(m.g, "dy", AG_REAL, 1, &n);
    m.y = ag_keep(f->one ? f->one(m.x) : f->two(m.x, m.x2));
    ag_gradient(ag_sum(ag_mul(m.y, m.dy)), f->one ? 1 : 2, (ag_tensor *[]){m.x, m.x2}, m.d);
    ag_keep(m.d[0]), ag_keep(m.d[1]);
    if (!f->once) ag_gradient(ag_scale(ag_sum(ag_square(m.d[0])), 0.5), 1, &m.x, &m.dd);
    ag_keep(m.dd);
    if (ag_graph_plan(m.g, &(ag_plan_options){.unshared = unshared})) fail_msg("%s", ag_error_message());
    for (int64_t i = 0; i < n; i++) {
        const double u = golden_u((uint32_t)i);
        ((real *)ag_data(m.x))[i] = (real)(f->positive ? fabs(6 * u) + 0.1 : 12 * u);
        ((real *)ag_data(m.dy))[i] = (real)(2 * golden_u((uint32_t)(1000 + i)));
        ((real *)ag_data(m.x2))[i] = (real)(12 * golden_u((uint32_t)(2000 + i)));
    }
    assert_int_equal(ag_graph_run(m.g, 1), AG_OK);
    return m;
}

/* ---- PyTorch --------------------------------------------------------------------------------------------------------- */

static hid_t file;
static double worst;

static void same(const char *group, const char *what, const ag_tensor *t)
{
    char path[64];
    const int64_t n = ag_numel(t);
    const real *got = ag_data(t);
    double *want = test_malloc((size_t)n * sizeof *want), size = 1e-12, error = 0;
    snprintf(path, sizeof path, "/%s/%s", group, what);
    const hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
    assert_int_equal(H5Sget_simple_extent_npoints(space), n);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, want) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    for (int64_t i = 0; i < n; i++) {
        size = fmax(size, fabs(want[i]));
        error = fmax(error, fabs((double)got[i] - want[i]));
    }
    test_free(want);
    if (!(error / size <= TOLERANCE)) fail_msg("%s: off by %g of %g", path, error, size);
    worst = fmax(worst, error / size);
}

static void functions_and_both_gradients_equal_pytorch(void **state)
{
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++) {
        const struct function *f = &functions[i];
        model m = build(f, N, false);
        same(f->name, "y", m.y);
        same(f->name, "dx", m.d[0]);
        if (m.d[1]) same(f->name, "dx2", m.d[1]);
        if (m.dd) same(f->name, "ddx", m.dd);
        ag_graph_free(m.g);
    }
    print_message("[          ] worst relative difference %.1e\n", worst);
}

static void rounding_takes_halves_to_even(void **state)
{
    (void)state;
    const int64_t n = N + HALVES;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, &n), *y = ag_keep(ag_round(x));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    for (int i = 0; i < n; i++)
        ((real *)ag_data(x))[i] = (real)(i < N ? 12 * golden_u((uint32_t)i) : (i - N - 8) / 2.0);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    same("round", "y", y);
    ag_graph_free(g);
}

/* ---- properties ------------------------------------------------------------------------------------------------------ */

/* The bytes of all results of a function, one after another. */
static char *results(const struct function *f, int64_t n, bool unshared, size_t *size)
{
    model m = build(f, n, unshared);
    const ag_tensor *all[4] = {m.y, m.d[0], m.d[1], m.dd};
    char *bytes = test_malloc(4 * ag_bytes(m.y));
    *size = 0;
    for (int i = 0; i < 4; i++)
        if (all[i]) memcpy(bytes + *size, ag_data(all[i]), ag_bytes(all[i])), *size += ag_bytes(all[i]);
    ag_graph_free(m.g);
    return bytes;
}

static void bits_do_not_depend_on_threads_or_memory(void **state)
{
    (void)state;
    static const int threads[] = {2, 3, 4, 8};
    const int before = ag_cpu_threads();
    for (int i = 0; i < FUNCTIONS; i++) {
        size_t size, size2;
        ag_cpu_set_threads(1);
        char *want = results(&functions[i], 70001, true, &size);
        for (int j = 0; j < 4; j++) {
            ag_cpu_set_threads(threads[j]);
            char *got = results(&functions[i], 70001, false, &size2);
            assert_int_equal(size, size2);
            if (memcmp(want, got, size)) fail_msg("%s with %d threads", functions[i].name, threads[j]);
            test_free(got);
        }
        test_free(want);
    }
    ag_cpu_set_threads(before);
}

static void a_value_does_not_depend_on_its_place(void **state)
{
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++) {
        size_t size;
        char *want = results(&functions[i], 64, false, &size);
        for (int64_t n = 1; n < 40; n++) {
            char *got = results(&functions[i], n, false, &size);
            assert_memory_equal(got, want, (size_t)n * sizeof(real));
            test_free(got);
        }
        test_free(want);
    }
}

static void straight_through_rounds_and_signs_pass_gradients(void **state)
{
    (void)state;
    static const double in[] = {0.5, 1.5, -2.5, 0, -0.25, 3.75}, rounded[] = {0, 2, -2, 0, 0, 4},
                        sides[] = {1, 1, -1, -1, -1, 1};
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){6}), *d;
    ag_tensor *r = ag_keep(ag_round_through(x)), *s = ag_keep(ag_sign_through(x));
    ag_gradient(ag_sum(ag_add(ag_scale(r, 3), ag_scale(s, 2))), 1, &x, &d);
    ag_keep(d);
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    for (int i = 0; i < 6; i++) ((real *)ag_data(x))[i] = (real)in[i];
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    for (int i = 0; i < 6; i++) {
        assert_true((double)((real *)ag_data(r))[i] == rounded[i]);
        assert_true((double)((real *)ag_data(s))[i] == sides[i]);
        assert_true((double)((real *)ag_data(d))[i] == 5);
    }
    ag_graph_free(g);
}

static void a_negative_slope_is_a_mistake(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_leaky_relu(ag_input(g, "x", AG_REAL, 1, (int64_t[]){6}), -0.5);
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "slope"));
    ag_graph_free(g);
}

/* ---- accuracy over all floats ---------------------------------------------------------------------------------------- */

#ifndef AG_DOUBLE
static double sigmoid_of(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double gelu_of(double x) { return x < -40 ? 0 : x > 40 ? x : x * 0.5 * erfc(-0.70710678118654752440 * x); }
static double softplus_of(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

/* Error in units in the last place of the float next to `want`; the smallest subnormal number is the smallest unit. */
static double units_off(float got, double want)
{
    int exponent;
    if (isnan((float)want)) return isnan(got) ? 0 : INFINITY;
    if (isinf((float)want) || isnan(got) || isinf(got)) return (float)want == got ? 0 : INFINITY;
    frexp(want, &exponent);
    return fabs((double)got - want) / fmax(ldexp(1, exponent - 24), 0x1p-149);
}

typedef void unary(int64_t n, const float *x, float *y);

/* Every 4099th bit pattern: both signs, subnormal numbers, infinities and NaN among them. */
static double worst_error(unary *run, double (*want)(double))
{
    enum { BATCH = 1000, STEP = 4099 };
    float x[BATCH], y[BATCH];
    double most = 0;
    uint64_t at = 0;
    while (at < 1ull << 32) {
        for (int i = 0; i < BATCH; i++, at += STEP) {
            const uint32_t bits = (uint32_t)at;
            memcpy(&x[i], &bits, sizeof bits);
        }
        run(BATCH, x, y);
        for (int i = 0; i < BATCH; i++) most = fmax(most, units_off(y[i], want((double)x[i])));
    }
    return most;
}

static void special_values_have_their_limits(const k_table *t)
{
    const float x[6] = {0, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f};
    float y[6];
    t->exp(6, x, y);
    assert_true(y[0] == 1 && y[1] == 1 && isinf(y[2]) && y[3] == 0 && isnan(y[4]) && y[5] == 1);
    t->log(6, x, y);
    assert_true(isinf(y[0]) && y[0] < 0 && isinf(y[1]) && isinf(y[2]) && isnan(y[3]) && isnan(y[4]) && y[5] < -103);
    t->tanh(6, x, y);
    assert_true(y[0] == 0 && y[2] == 1 && y[3] == -1 && isnan(y[4]) && y[5] == 0x1p-149f);
    t->gelu(6, x, y);
    assert_true(y[0] == 0 && isinf(y[2]) && isnan(y[4]));
}

static void floats_are_right_to_a_few_units_everywhere(void **state)
{
    (void)state;
    find_tables(false);
    for (int i = 0; i < table_count; i++) {
        const k_table *t = tables[i];
        const struct {
            const char *name;
            unary *run;
            double (*want)(double), bound;
        } cases[] = {{"exp", t->exp, exp, 1.1},
                     {"log", t->log, log, 1},
                     {"log1p", t->log1p, log1p, 1.7},
                     {"tanh", t->tanh, tanh, 1.6},
                     {"erf", t->erf, erf, 2.7},
                     {"sigmoid", t->sigmoid, sigmoid_of, 2.5},
                     {"softplus", t->softplus, softplus_of, 2.7},
                     {"gelu", t->gelu, gelu_of, 7.5},
                     {"sin", t->sin, sin, 1.7},
                     {"cos", t->cos, cos, 1.7},
                     {"round", t->round, rint, 0}};
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
            const double most = worst_error(cases[j].run, cases[j].want);
            if (!(most <= cases[j].bound)) fail_msg("%s of %s: %g units", cases[j].name, t->name, most);
            print_message("[          ] %-8s %-8s off by %.2f units at most\n", t->name, cases[j].name, most);
        }
        special_values_have_their_limits(t);
    }
}
#endif

static int open_fixture(void **state)
{
    (void)state;
    file = H5Fopen(TEST_FILES "/fixtures/activation.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    return file < 0;
}

static int close_fixture(void **state)
{
    (void)state;
    return H5Fclose(file) < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_and_both_gradients_equal_pytorch),
        cmocka_unit_test(rounding_takes_halves_to_even),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_memory),
        cmocka_unit_test(a_value_does_not_depend_on_its_place),
        cmocka_unit_test(straight_through_rounds_and_signs_pass_gradients),
        cmocka_unit_test(a_negative_slope_is_a_mistake),
#ifndef AG_DOUBLE
        cmocka_unit_test(floats_are_right_to_a_few_units_everywhere),
#endif
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
