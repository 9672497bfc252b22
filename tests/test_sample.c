/* Random tensors, dropout, and choosing from scores: distributions, keys, examples of the filters, brute force, and the same
 * bits for any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/cpu.h"
#include "autograd/ops.h"
#include "autograd/random.h"

#define SHAPE(...)                                                                                                     \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

enum { MANY = 100000 };

static void plan(ag_graph *g)
{
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
}

static void run(ag_graph *g, uint64_t step) { assert_int_equal(ag_graph_run(g, step), AG_OK); }

static double at(const ag_tensor *t, int64_t i) { return (double)((const real *)ag_data(t))[i]; }
static int32_t code(const ag_tensor *t, int64_t i) { return ((const int32_t *)ag_data(t))[i]; }

/* ---- distributions --------------------------------------------------------------------------------------------------- */

/* Mean, variance and fourth central moment over the variance squared. */
static void moments(const ag_tensor *t, double m[3])
{
    double sum = 0, square = 0, fourth = 0;
    const int64_t n = ag_numel(t);
    for (int64_t i = 0; i < n; i++) sum += at(t, i);
    m[0] = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double d = at(t, i) - m[0];
        square += d * d, fourth += d * d * d * d;
    }
    m[1] = square / (double)n;
    m[2] = fourth / (double)n / (m[1] * m[1]);
}

static double uniform_share(double x) { return x; }
static double normal_share(double x) { return 0.5 * erfc(-x / sqrt(2)); }
static double gumbel_share(double x) { return exp(-exp(-x)); }

/* Chi-square over 64 classes of equal probability; 63 degrees of freedom: 110 is passed once in 4000 seeds. */
static void fits(const ag_tensor *t, double (*share)(double))
{
    double count[64] = {0}, chi = 0;
    const double expected = (double)ag_numel(t) / 64;
    for (int64_t i = 0; i < ag_numel(t); i++) count[(int)fmin(63, 64 * share(at(t, i)))]++;
    for (int i = 0; i < 64; i++) chi += (count[i] - expected) * (count[i] - expected) / expected;
    assert_true(chi < 110);
}

static void random_tensors_have_their_distributions(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(7);
    ag_tensor *u = ag_keep(ag_uniform(g, SHAPE(MANY), 0, 1)), *n = ag_keep(ag_normal(g, SHAPE(MANY), 0, 1));
    ag_tensor *e = ag_keep(ag_gumbel(g, SHAPE(MANY))), *v = ag_keep(ag_normal(g, SHAPE(MANY), 3, 2));
    double m[3];
    plan(g);
    run(g, 5);
    fits(u, uniform_share), fits(n, normal_share), fits(e, gumbel_share);
    for (int64_t i = 0; i < MANY; i++)
        assert_true(at(u, i) >= 0 && at(u, i) < 1 && isfinite(at(n, i)) && isfinite(at(e, i)));
    moments(n, m);
    assert_true(fabs(m[0]) < 0.015 && fabs(m[1] - 1) < 0.02 && fabs(m[2] - 3) < 0.08);
    moments(e, m);
    assert_true(fabs(m[0] - 0.5772157) < 0.02 && fabs(m[1] - 1.6449341) < 0.04);
    moments(v, m);
    assert_true(fabs(m[0] - 3) < 0.03 && fabs(m[1] - 4) < 0.08);
    double neighbours = 0; /* the two numbers of a pair do not depend on each other */
    for (int64_t i = 0; i + 16 < MANY; i++) neighbours += at(n, i) * at(n, i + 16) / MANY;
    assert_true(fabs(neighbours) < 0.015);
    ag_graph_free(g);
}

/* The scalar generator gives the words; element i is word (i / 16) % 4 of block i / 64 * 16 + i % 16. */
static void numbers_are_those_of_the_scalar_generator(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(0x123456789abcdefu);
    ag_tensor *a = ag_keep(ag_uniform(g, SHAPE(1001), 0, 1)), *b = ag_keep(ag_uniform(g, SHAPE(7), 0, 1));
    const uint64_t step = (1ull << 35) + 3;
    plan(g);
    run(g, step);
    for (int64_t i = 0; i < 1001; i++) {
        uint32_t word[4];
        ag_random_block(0x123456789abcdefu, ag_random_stream(step, 1), (uint64_t)(i / 64 * 16 + i % 16), word);
        assert_true(at(a, i) == (double)(word[i / 16 % 4] >> 8) * 0x1p-24);
        if (i >= 7) continue;
        ag_random_block(0x123456789abcdefu, ag_random_stream(step, 2), (uint64_t)i, word);
        assert_true(at(b, i) == (double)(word[0] >> 8) * 0x1p-24);
    }
    ag_graph_free(g);
}

/* ---- dropout --------------------------------------------------------------------------------------------------------- */

typedef struct dropped {
    ag_graph *g;
    ag_tensor *x, *y, *dx;
} dropped;

static dropped drop(ag_tensor *(*op)(ag_tensor *, double), double p, int64_t samples, int64_t width)
{
    dropped d = {.g = ag_graph_new(3)};
    d.x = ag_input(d.g, "x", AG_REAL, SHAPE(samples, width));
    d.y = ag_keep(op(ag_shift(d.x, 1), p));
    ag_gradient(ag_sum(ag_scale(d.y, 2)), 1, &d.x, &d.dx);
    ag_keep(d.dx);
    plan(d.g);
    for (int64_t i = 0; i < samples * width; i++) ((real *)ag_data(d.x))[i] = (real)(i % 5);
    run(d.g, 1);
    return d;
}

static void dropout_drops_its_share_and_the_gradient_the_same_ones(void **state)
{
    (void)state;
    dropped d = drop(ag_dropout, 0.3, 1000, 100);
    int64_t zeros = 0, moved = 0;
    const real scale = (real)(1 / (1 - 0.3));
    for (int64_t i = 0; i < MANY; i++) {
        const bool kept = at(d.y, i) != 0;
        zeros += !kept;
        assert_true(at(d.y, i) == (kept ? (double)((real)(i % 5 + 1) * scale) : 0));
        assert_true(at(d.dx, i) == (kept ? (double)(2 * scale) : 0));
    }
    assert_true(fabs((double)zeros / MANY - 0.3) < 0.006);
    real *before = test_malloc(ag_bytes(d.y));
    memcpy(before, ag_data(d.y), ag_bytes(d.y));
    run(d.g, 2);
    for (int64_t i = 0; i < MANY; i++) moved += (before[i] != 0) != (at(d.y, i) != 0);
    assert_true(fabs((double)moved / MANY - 0.42) < 0.01); /* 2 p (1 - p): steps do not depend on each other */
    run(d.g, 1);
    assert_memory_equal(before, ag_data(d.y), ag_bytes(d.y));
    test_free(before);
    ag_graph_free(d.g);
}

static void drop_path_drops_whole_samples(void **state)
{
    (void)state;
    dropped d = drop(ag_drop_path, 0.25, 4000, 5);
    const real scale = (real)(1 / (1 - 0.25));
    int64_t zeros = 0;
    for (int64_t i = 0; i < 4000; i++) {
        const bool kept = at(d.y, 5 * i) != 0;
        zeros += !kept;
        for (int64_t j = 0; j < 5; j++) {
            assert_true(at(d.y, 5 * i + j) == (kept ? (double)((real)(j + 1) * scale) : 0));
            assert_true(at(d.dx, 5 * i + j) == (kept ? (double)(2 * scale) : 0));
        }
    }
    assert_true(fabs((double)zeros / 4000 - 0.25) < 0.03);
    ag_graph_free(d.g);
}

static void dropout_of_nothing_is_nothing(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, SHAPE(3));
    assert_ptr_equal(ag_dropout(x, 0), x);
    assert_ptr_equal(ag_drop_path(x, 0), x);
    assert_null(ag_dropout(x, 1));
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "probability 1"));
    ag_graph_free(g);
}

/* ---- filters --------------------------------------------------------------------------------------------------------- */

static ag_tensor *scores(ag_graph *g, int64_t rows, int64_t width)
{
    return ag_input(g, "scores", AG_REAL, SHAPE(rows, width));
}

static void argmax_takes_the_lowest_of_equals(void **state)
{
    (void)state;
    const double rows[5][4] = {
        {1, 3, 3, 2}, {-INFINITY, NAN, -5, -5}, {NAN, NAN, NAN, NAN}, {2, 2, 2, 2}, {-1, INFINITY, 0, -INFINITY}};
    const int most[5] = {1, 2, 0, 0, 1}, least[5] = {0, 0, 0, 0, 3};
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = scores(g, 5, 4), *a = ag_keep(ag_argmax(x)), *b = ag_keep(ag_argmin(x));
    plan(g);
    for (int i = 0; i < 20; i++) ((real *)ag_data(x))[i] = (real)rows[i / 4][i % 4];
    run(g, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(code(a, i), most[i]);
        assert_int_equal(code(b, i), least[i]);
    }
    ag_graph_free(g);
}

/* How many of p = .5, .3, .15, .05 (in another order) a filter keeps; the largest must be among them. */
static int kept_of_four(ag_tensor *(*filter)(ag_tensor *, double), double p)
{
    const double share[4] = {0.15, 0.5, 0.05, 0.3};
    int kept = 0;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = scores(g, 1, 4), *y = ag_keep(filter(x, p));
    plan(g);
    for (int i = 0; i < 4; i++) ((real *)ag_data(x))[i] = (real)(log(share[i]) + 3);
    run(g, 1);
    for (int i = 0; i < 4; i++) {
        kept += at(y, i) == at(x, i);
        assert_true(at(y, i) == at(x, i) || at(y, i) == -INFINITY);
    }
    assert_true(at(y, 1) == at(x, 1));
    ag_graph_free(g);
    return kept;
}

static ag_tensor *first(ag_tensor *x, double count) { return ag_top_k(x, (int64_t)count); }

static void filters_keep_what_the_examples_say(void **state)
{
    (void)state;
    assert_int_equal(kept_of_four(ag_top_p, 0.79), 2);
    assert_int_equal(kept_of_four(ag_top_p, 0.81), 3);
    assert_int_equal(kept_of_four(ag_top_p, 0.49), 1);
    assert_int_equal(kept_of_four(ag_top_p, 0.51), 2);
    assert_int_equal(kept_of_four(ag_top_p, 0.96), 4);
    assert_int_equal(kept_of_four(ag_top_p, 0), 1);
    assert_int_equal(kept_of_four(ag_top_p, 1), 4);
    assert_int_equal(kept_of_four(ag_min_p, 0), 4);
    assert_int_equal(kept_of_four(ag_min_p, 0.29), 3);
    assert_int_equal(kept_of_four(ag_min_p, 0.31), 2);
    assert_int_equal(kept_of_four(ag_min_p, 0.61), 1);
    for (int i = 1; i < 7; i++) assert_int_equal(kept_of_four(first, i), i < 4 ? i : 4);
}

/* Rows with many equal values, -inf and NaN; the rules are applied one value at a time. */
static void filters_agree_with_brute_force(void **state)
{
    (void)state;
    enum { ROWS = 200, WIDTH = 37 };
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = scores(g, ROWS, WIDTH), *a = ag_keep(ag_top_k(x, 7)), *b = ag_keep(ag_top_p(x, 0.6137));
    plan(g);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        const uint64_t r = ag_random_u64(4, 4, (uint64_t)i);
        ((real *)ag_data(x))[i] = r % 29 == 0   ? (real)NAN
                                  : r % 31 == 0 ? (real)-INFINITY
                                                : (real)(r % 64) * (real)0.125;
    }
    run(g, 1);
    for (int row = 0; row < ROWS; row++) {
        double total = 0;
        for (int i = 0; i < WIDTH; i++) total += isnan(at(x, row * WIDTH + i)) ? 0 : exp(at(x, row * WIDTH + i));
        for (int i = 0; i < WIDTH; i++) {
            const double v = at(x, row * WIDTH + i);
            double more = 0, mass = 0;
            for (int j = 0; j < WIDTH; j++) {
                const double w = at(x, row * WIDTH + j);
                if (w > v) more++, mass += exp(w) / total;
            }
            assert_true(at(a, row * WIDTH + i) == (more < 7 && !isnan(v) ? v : -INFINITY));
            assert_true(at(b, row * WIDTH + i) == (mass < 0.6137 && !isnan(v) ? v : -INFINITY));
        }
    }
    ag_graph_free(g);
}

/* ---- draws ----------------------------------------------------------------------------------------------------------- */

/* Chi-square of 100,000 draws from seven scores, one of them -inf; 5 degrees of freedom: 22.1 is passed once in 2000 seeds. */
static void drawn_fairly(bool gumbel)
{
    enum { WIDTH = 7 };
    const double value[WIDTH] = {0.5, -1, 2, -INFINITY, 0, 1.25, -3};
    double total = 0, chi = 0, count[WIDTH] = {0};
    ag_graph *g = ag_graph_new(11);
    ag_tensor *x = scores(g, MANY, WIDTH);
    ag_tensor *y = gumbel ? ag_argmax(ag_add(x, ag_gumbel(g, SHAPE(MANY, WIDTH)))) : ag_categorical(x);
    ag_keep(y);
    plan(g);
    for (int i = 0; i < MANY * WIDTH; i++) ((real *)ag_data(x))[i] = (real)value[i % WIDTH];
    run(g, 1);
    for (int i = 0; i < MANY; i++) count[code(y, i)]++;
    for (int i = 0; i < WIDTH; i++) total += exp(value[i]);
    assert_true(count[3] == 0);
    for (int i = 0; i < WIDTH; i++) {
        const double expected = MANY * exp(value[i]) / total;
        if (i != 3) chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    print_message("[          ] chi-square %.1f of 5 degrees of freedom\n", chi);
    assert_true(chi < 22.1);
    ag_graph_free(g);
}

static void draws_follow_the_softmax(void **state)
{
    (void)state;
    drawn_fairly(false);
    drawn_fairly(true);
}

static void draws_never_leave_what_a_filter_keeps(void **state)
{
    (void)state;
    enum { ROWS = 500, WIDTH = 1000 };
    ag_graph *g = ag_graph_new(2);
    ag_tensor *x = scores(g, ROWS, WIDTH), *f = ag_keep(ag_min_p(ag_top_p(ag_top_k(x, 50), 0.9), 0.02));
    ag_tensor *y = ag_keep(ag_categorical(f));
    plan(g);
    for (int i = 0; i < ROWS * WIDTH; i++) ((real *)ag_data(x))[i] = (real)(3 * ag_random_normal(1, 2, (uint64_t)i));
    int last = -1, changes = 0;
    for (uint64_t step = 0; step < 20; step++) {
        run(g, step);
        for (int i = 0; i < ROWS; i++) assert_true(at(f, i * WIDTH + code(y, i)) > -INFINITY);
        changes += code(y, 0) != last;
        last = code(y, 0);
    }
    assert_true(changes > 2);
    ag_graph_free(g);
}

static void a_certain_score_is_always_drawn(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(2);
    ag_tensor *x = scores(g, 1000, 200), *y = ag_keep(ag_categorical(x));
    plan(g);
    for (int i = 0; i < 1000 * 200; i++) ((real *)ag_data(x))[i] = i % 200 == i / 200 % 200 ? 0 : (real)-INFINITY;
    run(g, 1);
    for (int i = 0; i < 1000; i++) assert_int_equal(code(y, i), i % 200);
    ag_graph_free(g);
}

static void one_hot_marks_the_code(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(2);
    ag_tensor *c = ag_input(g, "codes", AG_I32, SHAPE(2, 3)), *y = ag_keep(ag_one_hot(c, 5));
    plan(g);
    for (int i = 0; i < 6; i++) ((int32_t *)ag_data(c))[i] = (i * 3) % 5;
    run(g, 1);
    assert_int_equal(ag_rank(y), 3);
    for (int i = 0; i < 30; i++) assert_true(at(y, i) == (i % 5 == (i / 5 * 3) % 5));
    ag_graph_free(g);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        static const char *const say[] = {"at least one", "probability 1.5", "probability nan", "0 codes", "last axis"};
        ag_graph *g = ag_graph_new(1);
        ag_tensor *x = scores(g, 2, 3);
        if (i == 0) ag_top_k(x, 0);
        if (i == 1) ag_top_p(x, 1.5);
        if (i == 2) ag_min_p(x, NAN);
        if (i == 3) ag_one_hot(ag_argmax(x), 0);
        if (i == 4) ag_categorical(ag_sum(x));
        assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
        if (!strstr(ag_error_message(), say[i])) fail_msg("%s", ag_error_message());
        ag_graph_free(g);
    }
}

/* ---- threads --------------------------------------------------------------------------------------------------------- */

enum { RESULTS = 12 };

static char *all_results(int threads, size_t *size)
{
    enum { ROWS = 271, WIDTH = 301 };
    ag_cpu_set_threads(threads);
    ag_graph *g = ag_graph_new(5);
    ag_tensor *x = scores(g, ROWS, WIDTH);
    ag_tensor *all[RESULTS] = {ag_uniform(g, SHAPE(ROWS, WIDTH), -1, 2),
                               ag_normal(g, SHAPE(ROWS, WIDTH), 0, 1),
                               ag_gumbel(g, SHAPE(ROWS, WIDTH)),
                               ag_dropout(x, 0.5),
                               ag_drop_path(x, 0.5),
                               ag_argmax(x),
                               ag_argmin(x),
                               ag_top_k(x, 30),
                               ag_top_p(x, 0.8),
                               ag_min_p(x, 0.1),
                               ag_categorical(x),
                               ag_one_hot(ag_argmax(x), WIDTH)};
    for (int i = 0; i < RESULTS; i++) ag_keep(all[i]);
    plan(g);
    for (int i = 0; i < ROWS * WIDTH; i++) ((real *)ag_data(x))[i] = (real)ag_random_normal(1, 3, (uint64_t)i);
    run(g, 9);
    char *bytes = test_malloc(RESULTS * ag_bytes(x));
    *size = 0;
    for (int i = 0; i < RESULTS; i++)
        memcpy(bytes + *size, ag_data(all[i]), ag_bytes(all[i])), *size += ag_bytes(all[i]);
    ag_graph_free(g);
    return bytes;
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const int threads[] = {2, 3, 4, 8};
    const int before = ag_cpu_threads();
    size_t size, size2;
    char *want = all_results(1, &size);
    for (int i = 0; i < 4; i++) {
        char *got = all_results(threads[i], &size2);
        assert_int_equal(size, size2);
        assert_memory_equal(want, got, size);
        test_free(got);
    }
    test_free(want);
    ag_cpu_set_threads(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tensors_have_their_distributions),
        cmocka_unit_test(numbers_are_those_of_the_scalar_generator),
        cmocka_unit_test(dropout_drops_its_share_and_the_gradient_the_same_ones),
        cmocka_unit_test(drop_path_drops_whole_samples),
        cmocka_unit_test(dropout_of_nothing_is_nothing),
        cmocka_unit_test(argmax_takes_the_lowest_of_equals),
        cmocka_unit_test(filters_keep_what_the_examples_say),
        cmocka_unit_test(filters_agree_with_brute_force),
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(draws_never_leave_what_a_filter_keeps),
        cmocka_unit_test(a_certain_score_is_always_drawn),
        cmocka_unit_test(one_hot_marks_the_code),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
