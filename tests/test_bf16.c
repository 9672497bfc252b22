/* bf16: kernels against fp32 kernels on operands that are rounded first, gradients against fp32's, a short training, and what happens on
 * CPUs without it. Tables other than v4 round the same way, so the kernels are tested everywhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include "autograd/cpu.h"
#include "autograd/ops.h"
#include "kernel_tests.h"
#include "recipe.h"

static int set_up(void **state)
{
    (void)state;
    find_tables(true);
    return 0;
}

/* ---- rounding ------------------------------------------------------------------------------------------------------------ */

/* To nearest, ties to even, by arithmetic: eight significant bits. */
static real rounded(real x)
{
    int e;
    if (!isfinite(x) || x == 0) return x;
    const double m = frexp((double)x, &e);
    return (real)ldexp(nearbyint(ldexp(m, 8)), e - 8);
}

static real *rounded_copy(const real *x, int64_t n)
{
    real *y = malloc((size_t)n * sizeof *y);
    assert_non_null(y);
    for (int64_t i = 0; i < n; i++) y[i] = rounded(x[i]);
    return y;
}

static void operands_are_rounded_to_nearest_even(void **state)
{
    (void)state;
    static const real x[] = {1,        -1.5f,     1.00390625f, 1.01171875f, 1.0039063f, 3.14159265f, -0.1f,
                             65280.0f, 3.4e38f,   1e-30f,      0,           -0.0f,      257.0f,      259.0f,
                             INFINITY, -INFINITY, NAN,         -2.7182818f, 1.9999999f, 255.5f,      1e30f};
    enum { N = sizeof x / sizeof *x };
    const real one = 1;
    for (int t = 0; t < table_count; t++)
        for (int way = 0; way < 2; way++) { /* as the rows of A, and as the columns of B */
            real y[N];
            const k_strided a = {.data = way ? &one : x}, b = {.data = way ? x : &one};
            tables[t]->gemm_batch_bf16(false, false, 0, NULL, way ? 1 : N, way ? N : 1, 1, &a, &b, NULL, y);
            for (int i = 0; i < N; i++) {
                const real want = x[i] > 3.39e38f ? (real)INFINITY : rounded(x[i]);
                assert_true(isnan(want) ? isnan(y[i]) : y[i] == want);
            }
        }
}

/* ---- products ------------------------------------------------------------------------------------------------------------ */

/* fp32 sums of the same numbers in another order. */
static void assert_near(const real *got, const real *want, int64_t n, int64_t terms, const char *table)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= 2.4e-7 * (double)(8 + terms)))
            fail_msg("%s: element %d of %d is %.9g, not %.9g", table, (int)i, (int)n, (double)got[i], (double)want[i]);
}

static void check_product(const k_table *t, unsigned way, int64_t m, int64_t n, int64_t kk)
{
    const int64_t batch[2] = {2, 3};
    real *a = numbers(2 * m * kk), *b = numbers(3 * kk * n), *bias = numbers(n), *residual = numbers(6 * m * n);
    real *ra = rounded_copy(a, 2 * m * kk), *rb = rounded_copy(b, 3 * kk * n);
    real *got = guarded((size_t)(6 * m * n) * sizeof(real)), *want = numbers(6 * m * n);
    const k_epilogue e = {.bias = bias, .residual = residual, .activation = way & 4 ? K_RELU : K_LINEAR};
    const k_strided as = {.data = a, .stride = {m * kk, 0}}, bs = {.data = b, .stride = {0, kk * n}};
    const k_strided ras = {.data = ra, .stride = {m * kk, 0}}, rbs = {.data = rb, .stride = {0, kk * n}};
    t->gemm_batch_bf16(way & 1, way & 2, 2, batch, m, n, kk, &as, &bs, way & 4 ? &e : NULL, got);
    k_table_generic.gemm_batch(way & 1, way & 2, 2, batch, m, n, kk, &ras, &rbs, way & 4 ? &e : NULL, want);
    assert_near(got, want, 6 * m * n, kk, t->name);
    free(ra), free(rb);
    numbers_free(a, 2 * m * kk), numbers_free(b, 3 * kk * n), numbers_free(bias, n), numbers_free(residual, 6 * m * n);
    numbers_free(got, 6 * m * n), numbers_free(want, 6 * m * n);
}

static void products_are_those_of_rounded_operands(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},      {3, 5, 7},    {33, 17, 64}, {200, 65, 31},  {5, 70, 9},
                                    {129, 600, 40}, {1, 96, 300}, {8, 64, 513}, {270, 33, 257}, {9, 31, 600}};
    for (int i = 0; i < table_count; i++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (unsigned way = 0; way < 8; way++)
                check_product(tables[i], way, shapes[s][0], shapes[s][1], shapes[s][2]);
}

static void thread_count_changes_no_bit_of_a_product(void **state)
{
    (void)state;
    enum { M = 301, N = 515, KK = 700 };
    real *a = numbers(M * KK), *b = numbers(KK * N), *c[2] = {numbers(M * N), numbers(M * N)};
    const k_strided as = {.data = a}, bs = {.data = b};
    const int before = omp_get_max_threads();
    for (int i = 0; i < table_count; i++)
        for (unsigned way = 0; way < 4; way++)
            for (int threads = 1; threads <= 8; threads++) {
                omp_set_num_threads(threads);
                tables[i]->gemm_batch_bf16(way & 1, way & 2, 0, NULL, M, N, KK, &as, &bs, NULL, c[threads > 1]);
                if (threads > 1) assert_memory_equal(c[0], c[1], M * N * sizeof(real));
            }
    omp_set_num_threads(before);
    numbers_free(a, M * KK), numbers_free(b, KK * N), numbers_free(c[0], M * N), numbers_free(c[1], M * N);
}

/* ---- convolutions -------------------------------------------------------------------------------------------------------- */

static const k_conv convs[] = {
    {.n = 3, .h = 5, .w = 7, .a = 17, .ho = 5, .wo = 7, .b = 33, .kh = 1, .kw = 1, .stride = 1},
    {.n = 1, .h = 4, .w = 4, .a = 16, .ho = 4, .wo = 4, .b = 16, .kh = 1, .kw = 1, .stride = 1},
    {.n = 7, .h = 23, .w = 19, .a = 48, .ho = 23, .wo = 19, .b = 20, .kh = 1, .kw = 1, .stride = 1},
    {.n = 2, .h = 64, .w = 65, .a = 130, .ho = 64, .wo = 65, .b = 65, .kh = 1, .kw = 1, .stride = 1},
    {.n = 17, .h = 16, .w = 18, .a = 16, .ho = 8, .wo = 9, .b = 48, .kh = 4, .kw = 4, .stride = 2, .top = 1, .left = 1},
    {.n = 5,
     .h = 33,
     .w = 31,
     .a = 32,
     .ho = 16,
     .wo = 15,
     .b = 16,
     .kh = 4,
     .kw = 4,
     .stride = 2,
     .top = 1,
     .left = 2},
    {.n = 2, .h = 48, .w = 52, .a = 48, .ho = 23, .wo = 25, .b = 80, .kh = 4, .kw = 4, .stride = 2},
};
enum { CONVS = sizeof convs / sizeof *convs };

/* Minimal filtering rounds the transforms of the operands: 0.25 percent by rounding operands, half again as much by this. */
static void assert_filtered(const real *got, const real *want, int64_t n, const char *table)
{
    double apart = 0, size = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];
        apart += d * d, size += (double)want[i] * (double)want[i], most = fmax(most, fabs(d));
    }
    if (!(sqrt(apart / size) < 0.005) || !(most < 0.05 * sqrt(size / (double)n)))
        fail_msg("%s: error %.5f, largest %.5f", table, sqrt(apart / size), most / sqrt(size / (double)n));
}

/* One product of one shape on every table, with 1 to 8 threads on the last, against fp32. */
static void check_conv(const k_conv *c, int product)
{
    real *in[3], *near[3], *bias = numbers(c->a + c->b);
    for (int i = 0; i < 3; i++) near[i] = rounded_copy(in[i] = numbers(conv_size(c, i)), conv_size(c, i));
    const k_epilogue e = {.bias = bias, .residual = in[product], .activation = K_RELU};
    const int64_t n = conv_size(c, product);
    const conv_operands own = {c, in[K_INPUT], in[K_FORWARD], in[K_WEIGHT], &e},
                        rounded_own = {c, near[K_INPUT], near[K_FORWARD], near[K_WEIGHT], &e};
    real *want = numbers(n), *first = numbers(n);
    const bool filtered = c->kh == 4;
    conv_run(&k_table_generic, product, false, filtered ? &own : &rounded_own, want);
    for (int i = 0; i < table_count; i++)
        for (int threads = 1; threads <= 8; threads += i < table_count - 1 ? 8 : 1) {
            real *got = guarded((size_t)n * sizeof(real));
            omp_set_num_threads(threads);
            assert_true(tables[i]->conv_bf16_fits(c, product));
            conv_run(tables[i], product, true, &own, got);
            if (filtered)
                assert_filtered(got, want, n, tables[i]->name);
            else
                assert_near(got, want, n, conv_terms(c, product), tables[i]->name);
            if (threads == 1) memcpy(first, got, (size_t)n * sizeof(real));
            assert_memory_equal(first, got, (size_t)n * sizeof(real));
            numbers_free(got, n);
        }
    for (int i = 0; i < 3; i++) numbers_free(in[i], conv_size(c, i)), free(near[i]);
    numbers_free(bias, c->a + c->b), numbers_free(want, n), numbers_free(first, n);
}

static void convolutions_are_those_of_fp32_rounded_with_any_number_of_threads(void **state)
{
    (void)state;
    const int before = omp_get_max_threads();
    for (int i = 0; i < CONVS; i++)
        for (int product = K_FORWARD; product <= K_WEIGHT; product++)
            if (k_table_generic.conv_bf16_fits(&convs[i], product)) check_conv(&convs[i], product);
    omp_set_num_threads(before);
}

/* ---- graphs -------------------------------------------------------------------------------------------------------------- */

enum { SIDE = 6, IN = 24, HIDDEN = 40, OUT = 20, LEAVES = 4 };

/* Gradients of a loss behind a 1x1 convolution, a layer on all pixels and one on pooled rows, for input and weights. */
static void gradients(ag_precision precision, double *out[LEAVES], int64_t size[LEAVES])
{
    ag_graph *g = ag_graph_new(1);
    const int64_t shapes[LEAVES][4] = {{4, SIDE, SIDE, IN}, {1, 1, IN, HIDDEN}, {HIDDEN, OUT}, {OUT, OUT}};
    const int ranks[LEAVES] = {4, 4, 2, 2};
    ag_tensor *leaf[LEAVES], *d[LEAVES];
    assert_int_equal(ag_graph_precision(g, precision), AG_FP32);
    for (int i = 0; i < LEAVES; i++) leaf[i] = ag_input(g, "leaf", AG_REAL, ranks[i], shapes[i]);
    ag_tensor *y = ag_silu(ag_conv2d(leaf[0], leaf[1], NULL, NULL, NULL));
    y = ag_silu(ag_matmul(y, leaf[2], false, false));
    assert_int_equal(ag_graph_precision(g, AG_FP32), precision); /* gradients are made as their tensors were */
    y = ag_matmul(y, leaf[3], false, true);
    ag_gradient(ag_mean(ag_square(y)), LEAVES, leaf, d);
    for (int i = 0; i < LEAVES; i++) ag_keep(d[i]);
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < LEAVES; i++)
        for (int64_t j = 0; j < ag_numel(leaf[i]); j++)
            ((real *)ag_data(leaf[i]))[j] = (real)(ag_random_uniform(9, (uint64_t)i, (uint64_t)j) - 0.45);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    for (int i = 0; i < LEAVES; i++) {
        size[i] = ag_numel(d[i]);
        out[i] = calloc((size_t)size[i], sizeof *out[i]);
        assert_non_null(out[i]);
        for (int64_t j = 0; j < size[i]; j++) out[i][j] = (double)((const real *)ag_data(d[i]))[j];
    }
    ag_graph_free(g);
}

static void gradients_point_where_those_of_fp32_do(void **state)
{
    (void)state;
    double *a[LEAVES], *b[LEAVES];
    int64_t n[LEAVES];
    if (!ag_cpu_bf16()) skip();
    gradients(AG_FP32, a, n), gradients(AG_BF16, b, n);
    for (int i = 0; i < LEAVES; i++) {
        double ab = 0, aa = 0, bb = 0, apart = 0;
        for (int64_t j = 0; j < n[i]; j++) {
            ab += a[i][j] * b[i][j], aa += a[i][j] * a[i][j], bb += b[i][j] * b[i][j];
            apart += (a[i][j] - b[i][j]) * (a[i][j] - b[i][j]);
        }
        assert_true(ab / sqrt(aa * bb) > 0.9999);
        assert_true(sqrt(apart / aa) < 0.01);
        assert_true(sqrt(apart / aa) > 1e-4); /* it is bf16 */
        free(a[i]), free(b[i]);
    }
}

static void refused_where_the_cpu_lacks_it(void **state)
{
    (void)state;
    const k_table own = k;
    ag_graph *g = ag_graph_new(1);
    k = k_table_generic;
    assert_false(ag_cpu_bf16());
    assert_int_equal(ag_graph_precision(g, AG_FP32), AG_FP32);
    assert_int_equal(ag_graph_error(g), AG_OK);
    ag_graph_precision(g, AG_BF16);
    k = own;
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_USAGE);
    assert_non_null(strstr(ag_error_message(), "AVX512_BF16"));
    ag_graph_free(g);
}

/* ---- training ------------------------------------------------------------------------------------------------------------ */

enum { STEPS = 120, PART = 40, IMAGES = 8, EDGE = 16, VALUES = EDGE * EDGE * 3 };

/* Pictures with something to learn: a gradient of two colours. */
static uint8_t pixel(int64_t image, int64_t i)
{
    const double x = (double)(i / 3 % EDGE) / EDGE, y = (double)(i / 3 / EDGE) / EDGE;
    const double from = ag_random_uniform(5, (uint64_t)image, (uint64_t)(i % 3)),
                 to = ag_random_uniform(6, (uint64_t)image, (uint64_t)(i % 3));
    return (uint8_t)(255 * (from + (to - from) * (ag_random_uniform(7, (uint64_t)image, 0) < 0.5 ? x : y)));
}

static void train(const char *settings, int threads, double *loss)
{
    const recipe *card = recipe_find("vqvae");
    struct train_options *o = recipe_options_new(card);
    nn_params *params = nn_params_new(1);
    run *r;
    assert_int_equal(option_assign_all(card->options, o,
                                       "hidden=16 residual=16 blocks=2 dim=8 codes=32 quantizer=none batch=8 lr=0.003",
                                       "test"),
                     AG_OK);
    assert_int_equal(option_assign_all(card->options, o, settings, "test"), AG_OK);
    ag_cpu_set_threads(threads);
    const run_options build = {
        .mode = RUN_TRAIN, .batch = IMAGES, .image = {EDGE, EDGE, 3, false}, .variance = 0.08, .seed = 1};
    if (run_new(&r, card, o, params, &build) || run_plan(r, 0)) fail_msg("%s", ag_error_message());
    for (int step = 0; step < STEPS; step++) {
        uint8_t *p = ag_data(r->pixels);
        for (int64_t i = 0; i < IMAGES * VALUES; i++) p[i] = pixel((step * IMAGES + i / VALUES) % 64, i % VALUES);
        assert_int_equal(run_step(r, step, 0), AG_OK);
        loss[step] = ag_value(r->mse);
    }
    ag_cpu_set_threads(0);
    run_free(r);
    nn_params_free(params);
    free(o);
}

static double mean_of(const double *x, int from, int to)
{
    double sum = 0;
    for (int i = from; i < to; i++) sum += x[i];
    return sum / (to - from);
}

static void training_is_that_of_fp32_within_its_noise(void **state)
{
    (void)state;
    double fp32[STEPS], bf16[STEPS], again[STEPS];
    if (!ag_cpu_bf16()) skip();
    train("precision=fp32", 2, fp32), train("precision=bf16", 1, bf16), train("precision=bf16", 4, again);
    assert_memory_equal(bf16, again, sizeof bf16);
    assert_true(memcmp(fp32, bf16, sizeof bf16) != 0);
    assert_true(mean_of(fp32, STEPS - PART, STEPS) < 0.75 * fp32[0]);
    for (int from = 0; from < STEPS; from += PART) {
        const double a = mean_of(fp32, from, from + PART), b = mean_of(bf16, from, from + PART);
        if (fabs(a - b) > 0.02 * a) fail_msg("steps %d on: %.5f in fp32, %.5f in bf16", from, a, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_are_rounded_to_nearest_even),
        cmocka_unit_test(products_are_those_of_rounded_operands),
        cmocka_unit_test(thread_count_changes_no_bit_of_a_product),
        cmocka_unit_test(convolutions_are_those_of_fp32_rounded_with_any_number_of_threads),
        cmocka_unit_test(gradients_point_where_those_of_fp32_do),
        cmocka_unit_test(refused_where_the_cpu_lacks_it),
        cmocka_unit_test(training_is_that_of_fp32_within_its_noise),
    };
    return cmocka_run_group_tests_name("bf16", tests, set_up, NULL);
}
