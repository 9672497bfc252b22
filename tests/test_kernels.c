/* Every kernel of every table this CPU can run, against plain loops in double precision, on odd shapes; the same bits for
 * any number of threads; nothing read or written outside the buffers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include "kernel_tests.h"

static int set_up(void **state)
{
    (void)state;
    find_tables(false);
    return 0;
}

/* What rounding may do to a sum of `terms` products of numbers in [-1,1]: partial sums wander to sqrt(terms), and so do the
 * rounding errors of that size. */
static double tolerance(int64_t terms) { return (sizeof(real) == 4 ? 1.2e-7 : 2.3e-16) * (double)(8 + terms); }

/* ---- convolutions ------------------------------------------------------------------------------------------------------ */

static int dilation_of(const k_conv *c) { return c->dilation > 1 ? c->dilation : 1; }

static void reference_epilogue(const k_epilogue *e, int64_t channels, int64_t n, double *out)
{
    for (int64_t i = 0; e && i < n; i++) {
        if (e->bias) out[i] += (double)e->bias[i % channels];
        if (e->residual) out[i] += (double)e->residual[i];
        if (e->activation == K_RELU && out[i] < 0) out[i] = 0;
    }
}

/* out (zeroed) += the sum over all pairs of positions that a tap joins. */
static void reference_pair(const k_conv *c, int p, int64_t xi, int64_t yi, int64_t wi, const real *x, const real *y,
                           const real *w, double *out)
{
    const int64_t a = c->a / conv_groups(c), b = c->b / conv_groups(c);
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < c->b; j++) {
            const int64_t xs = xi + j / b * a + i;
            if (p == K_FORWARD) out[yi + j] += (double)x[xs] * (double)w[wi + i * c->b + j];
            if (p == K_INPUT) out[xs] += (double)y[yi + j] * (double)w[wi + i * c->b + j];
            if (p == K_WEIGHT) out[wi + i * c->b + j] += (double)x[xs] * (double)y[yi + j];
        }
}

static void reference(const k_conv *c, int p, const real *x, const real *y, const real *w, double *out)
{
    for (int64_t n = 0; n < c->n; n++)
        for (int64_t o = 0; o < c->ho * c->wo; o++)
            for (int tap = 0; tap < c->kh * c->kw; tap++) {
                const int64_t iy = o / c->wo * c->stride + tap / c->kw * dilation_of(c) - c->top;
                const int64_t ix = o % c->wo * c->stride + tap % c->kw * dilation_of(c) - c->left;
                if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w) continue;
                reference_pair(c, p, ((n * c->h + iy) * c->w + ix) * c->a, (n * c->ho * c->wo + o) * c->b,
                               tap * c->a / conv_groups(c) * c->b, x, y, w, out);
            }
}

/* Minimal filtering trades multiplications for rounding: with points up to 2 its error is a few times that of the direct sum. */
static double amplification(const k_conv *c)
{
    return (c->kh == 3 && c->kw == 3 && c->stride == 1) || (c->kh == 4 && c->kw == 4 && c->stride == 2) ? 6 : 1;
}

static void compare(const char *table, int p, const k_conv *c, const real *got, const double *want, int64_t n)
{
    static const char *const names[] = {"forward", "input", "weight"};
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= amplification(c) * tolerance(conv_terms(c, p))))
            fail_msg("%s %s: n %d, x %dx%dx%d, y %dx%dx%d, kernel %dx%d stride %d pad %d,%d dilation %d groups %d: at "
                     "%d: %.9g, not %.9g",
                     table, names[p], (int)c->n, (int)c->h, (int)c->w, (int)c->a, (int)c->ho, (int)c->wo, (int)c->b,
                     c->kh, c->kw, c->stride, c->top, c->left, c->dilation, c->groups, (int)i, (double)got[i], want[i]);
}

static void check_product(int p, const conv_operands *o)
{
    const int64_t n = conv_size(o->c, p);
    double *want = calloc((size_t)n, sizeof *want);
    assert_non_null(want);
    reference(o->c, p, o->x, o->y, o->w, want);
    if (p != K_WEIGHT) reference_epilogue(o->e, p == K_FORWARD ? o->c->b : o->c->a, n, want);
    for (int i = 0; i < table_count; i++) {
        real *got = guarded((size_t)n * sizeof(real));
        conv_run(tables[i], p, false, o, got);
        compare(tables[i]->name, p, o->c, got, want, n);
        numbers_free(got, n);
    }
    free(want);
}

/* One shape: the three products, each with an epilogue chosen by the bits of `with` (bias, residual, ReLU). */
static void check_conv(const k_conv *c, unsigned with)
{
    const int64_t nx = conv_size(c, K_INPUT), ny = conv_size(c, K_FORWARD), nw = conv_size(c, K_WEIGHT);
    real *x = numbers(nx), *y = numbers(ny), *w = numbers(nw);
    real *bias = numbers(c->a + c->b), *like_x = numbers(nx), *like_y = numbers(ny);
    k_epilogue forward = {.bias = with & 1 ? bias : NULL, .residual = with & 2 ? like_y : NULL};
    forward.activation = with & 4 ? K_RELU : K_LINEAR;
    k_epilogue input = forward;
    input.residual = with & 2 ? like_x : NULL;
    check_product(K_FORWARD, &(conv_operands){c, x, y, w, with ? &forward : NULL});
    check_product(K_INPUT, &(conv_operands){c, x, y, w, with ? &input : NULL});
    check_product(K_WEIGHT, &(conv_operands){c, x, y, w, NULL});
    numbers_free(x, nx), numbers_free(y, ny), numbers_free(w, nw);
    numbers_free(bias, c->a + c->b), numbers_free(like_x, nx), numbers_free(like_y, ny);
}

static int64_t pick(uint64_t *at, const int *from, int n) { return from[ag_random_below(3, 11, (*at)++, (uint64_t)n)]; }
#define PICK(at, ...) pick(at, (const int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)))

/* Two or three groups, or as many as channels. */
static void draw_groups(uint64_t *at, k_conv *c)
{
    c->groups = (int)PICK(at, 2, 3, 0);
    if (!c->groups) c->groups = (int)(c->b = c->a);
    c->a = (c->a + c->groups - 1) / c->groups * c->groups;
    c->b = (c->b + c->groups - 1) / c->groups * c->groups;
}

/* A shape drawn from lists of odd sizes; false if it has no output. */
static bool draw(uint64_t *at, k_conv *c)
{
    *c = (k_conv){.n = PICK(at, 1, 2, 3),
                  .h = PICK(at, 1, 4, 5, 7, 8, 9, 17),
                  .w = PICK(at, 1, 4, 5, 7, 8, 9, 17, 33),
                  .a = PICK(at, 1, 3, 5, 8, 16, 17, 33, 64, 128),
                  .b = PICK(at, 1, 2, 3, 4, 5, 16, 17, 33, 48, 64, 128),
                  .kh = (int)PICK(at, 1, 3, 4, 5),
                  .stride = (int)PICK(at, 1, 1, 2, 2, 3),
                  .top = (int)PICK(at, 0, 1, 2, 3),
                  .left = (int)PICK(at, 0, 1, 2, 3)};
    c->kw = PICK(at, 0, 0, 1) ? (int)PICK(at, 1, 3, 4, 5) : c->kh;
    if (PICK(at, 0, 0, 1)) c->top = c->left = 0;
    if (PICK(at, 0, 0, 1)) c->dilation = (int)PICK(at, 1, 2, 3, 4);
    if (PICK(at, 0, 0, 1)) draw_groups(at, c);
    const int64_t reach_h = (c->kh - 1) * dilation_of(c) + 1, reach_w = (c->kw - 1) * dilation_of(c) + 1;
    const int64_t tall = c->h + c->top + PICK(at, 0, 1, 2, 4) - reach_h,
                  wide = c->w + c->left + PICK(at, 0, 1, 2, 4) - reach_w;
    if (tall < 0 || wide < 0) return false;
    c->ho = tall / c->stride + 1;
    c->wo = wide / c->stride + 1;
    return conv_size(c, K_INPUT) * c->b * c->kh * c->kw < 8000000;
}

static void convolutions_equal_plain_loops_on_odd_shapes(void **state)
{
    (void)state;
    uint64_t at = 0;
    for (int done = 0; done < 400;) {
        k_conv c;
        if (!draw(&at, &c)) continue;
        check_conv(&c, (unsigned)done % 8);
        done++;
    }
}

/* Wide and deep enough to be cut into bands of rows and of columns, and for the padded pixel stride. */
static const k_conv large[] = {
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
    {.n = 1,
     .h = 9,
     .w = 300,
     .a = 128,
     .ho = 9,
     .wo = 300,
     .b = 5,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .top = 1,
     .left = 1},
    {.n = 1,
     .h = 12,
     .w = 90,
     .a = 512,
     .ho = 6,
     .wo = 45,
     .b = 33,
     .kh = 4,
     .kw = 4,
     .stride = 2,
     .top = 1,
     .left = 1},
    {.n = 2, .h = 6, .w = 6, .a = 1024, .ho = 6, .wo = 6, .b = 3, .kh = 3, .kw = 3, .stride = 1, .top = 1, .left = 1},
    {.n = 1, .h = 64, .w = 64, .a = 3, .ho = 32, .wo = 32, .b = 64, .kh = 4, .kw = 4, .stride = 2, .top = 1, .left = 1},
    {.n = 40, .h = 8, .w = 8, .a = 16, .ho = 8, .wo = 8, .b = 40, .kh = 3, .kw = 3, .stride = 1, .top = 1, .left = 1},
    {.n = 3, .h = 20, .w = 30, .a = 40, .ho = 20, .wo = 30, .b = 24, .kh = 1, .kw = 1, .stride = 1},
    {.n = 3,
     .h = 30,
     .w = 40,
     .a = 48,
     .ho = 30,
     .wo = 40,
     .b = 48,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .top = 2,
     .left = 2,
     .dilation = 2,
     .groups = 3},
    {.n = 2,
     .h = 31,
     .w = 33,
     .a = 70,
     .ho = 16,
     .wo = 17,
     .b = 70,
     .kh = 3,
     .kw = 3,
     .stride = 2,
     .top = 1,
     .left = 1,
     .groups = 70},
    /* few channels on one side */
    {.n = 3, .h = 17, .w = 13, .a = 24, .ho = 17, .wo = 13, .b = 3, .kh = 3, .kw = 3, .stride = 1, .top = 1, .left = 1},
    {.n = 2, .h = 34, .w = 26, .a = 3, .ho = 17, .wo = 13, .b = 40, .kh = 4, .kw = 4, .stride = 2, .top = 1, .left = 1},
    {.n = 2, .h = 9, .w = 8, .a = 64, .ho = 8, .wo = 7, .b = 1, .kh = 4, .kw = 4, .stride = 1, .top = 1, .left = 1},
    {.n = 1,
     .h = 40,
     .w = 200,
     .a = 16,
     .ho = 40,
     .wo = 200,
     .b = 4,
     .kh = 3,
     .kw = 3,
     .stride = 1,
     .top = 2,
     .left = 0},
    {.n = 2, .h = 21, .w = 19, .a = 2, .ho = 11, .wo = 10, .b = 33, .kh = 3, .kw = 3, .stride = 2, .top = 1, .left = 1},
    {.n = 1, .h = 7, .w = 5, .a = 3, .ho = 8, .wo = 6, .b = 48, .kh = 2, .kw = 2, .stride = 1, .top = 1, .left = 1},
};

static void convolutions_equal_plain_loops_on_shapes_cut_into_bands(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) check_conv(&large[i], 7);
}

static void check_threads(const k_table *t, int p, const conv_operands *o)
{
    const int64_t n = conv_size(o->c, p);
    real *first = guarded((size_t)n * sizeof(real)), *other = guarded((size_t)n * sizeof(real));
    static const int threads[] = {1, 2, 3, 4, 8};
    for (int i = 0; i < 5; i++) {
        omp_set_num_threads(threads[i]);
        conv_run(t, p, false, o, i == 0 ? first : other);
        if (i) assert_memory_equal(first, other, (size_t)n * sizeof(real));
    }
    numbers_free(first, n), numbers_free(other, n);
}

static void thread_count_changes_no_bit_of_a_convolution(void **state)
{
    (void)state;
    const int before = omp_get_max_threads();
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        const k_conv *c = &large[i];
        const int64_t nx = conv_size(c, K_INPUT), ny = conv_size(c, K_FORWARD), nw = conv_size(c, K_WEIGHT);
        real *x = numbers(nx), *y = numbers(ny), *w = numbers(nw);
        for (int j = 0; j < table_count; j++)
            for (int p = K_FORWARD; p <= K_WEIGHT; p++) check_threads(tables[j], p, &(conv_operands){c, x, y, w, NULL});
        numbers_free(x, nx), numbers_free(y, ny), numbers_free(w, nw);
    }
    omp_set_num_threads(before);
}

static void relu_of_a_convolution_keeps_nan(void **state)
{
    (void)state;
    const k_conv c = {.n = 1, .h = 1, .w = 3, .a = 2, .ho = 1, .wo = 3, .b = 3, .kh = 1, .kw = 1, .stride = 1};
    real *x = numbers(6), *w = numbers(6), y[9];
    x[2] = (real)NAN;
    const k_epilogue e = {.activation = K_RELU};
    for (int i = 0; i < table_count; i++) {
        conv_run(tables[i], K_FORWARD, false, &(conv_operands){&c, x, y, w, &e}, y);
        for (int j = 0; j < 9; j++) assert_int_equal(isnan(y[j]) != 0, j / 3 == 1);
    }
    numbers_free(x, 6), numbers_free(w, 6);
}

/* ---- matrix products ----------------------------------------------------------------------------------------------------- */

static void check_gemm(const k_table *t, bool ta, bool tb, int64_t m, int64_t n, int64_t kk)
{
    real *a = numbers(m * kk), *b = numbers(kk * n), *c = guarded((size_t)(m * n) * sizeof(real));
    t->gemm(ta, tb, m, n, kk, a, b, c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < kk; l++)
                sum += (double)a[ta ? l * m + i : i * kk + l] * (double)b[tb ? j * kk + l : l * n + j];
            assert_true(fabs((double)c[i * n + j] - sum) <= tolerance(kk));
        }
    numbers_free(a, m * kk), numbers_free(b, kk * n), numbers_free(c, m * n);
}

static void products_equal_plain_loops(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},      {3, 5, 7},    {33, 17, 64}, {200, 65, 31},  {5, 700, 9},
                                    {129, 600, 40}, {1, 96, 300}, {8, 64, 513}, {270, 33, 257}, {9, 70, 600}};
    for (int i = 0; i < table_count; i++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int way = 0; way < 4; way++)
                check_gemm(tables[i], way & 1, way & 2, shapes[s][0], shapes[s][1], shapes[s][2]);
}

/* The sum of the whole inner dimension, in chunks, meets bias, residual and ReLU once. */
static void a_product_adds_bias_and_residual_and_cuts_off(void **state)
{
    (void)state;
    enum { M = 21, N = 75, KK = 600 };
    real *a = numbers(M * KK), *b = numbers(KK * N), *bias = numbers(N), *residual = numbers(M * N);
    const k_epilogue e = {.bias = bias, .residual = residual, .activation = K_RELU};
    for (int i = 0; i < table_count; i++) {
        real *c = guarded(M * N * sizeof(real)), *sum = numbers(M * N);
        tables[i]->gemm(false, false, M, N, KK, a, b, sum);
        tables[i]->gemm_batch(false, false, 0, NULL, M, N, KK, &(k_strided){.data = a}, &(k_strided){.data = b}, &e, c);
        for (int64_t j = 0; j < M * N; j++) {
            const double want = (double)sum[j] + (double)bias[j % N] + (double)residual[j];
            assert_true(fabs((double)c[j] - (want < 0 ? 0 : want)) <= tolerance(KK));
        }
        guarded_free(c, M * N * sizeof(real));
        numbers_free(sum, M * N);
    }
    numbers_free(a, M * KK), numbers_free(b, KK * N), numbers_free(bias, N), numbers_free(residual, M * N);
}

static void check_threads_of_gemm(const k_table *t, bool ta, bool tb, int64_t m, int64_t n, int64_t kk)
{
    real *a = numbers(m * kk), *b = numbers(kk * n), *c[2] = {numbers(m * n), numbers(m * n)};
    for (int threads = 1; threads <= 8; threads++) {
        omp_set_num_threads(threads);
        t->gemm(ta, tb, m, n, kk, a, b, c[threads > 1]);
        if (threads > 1) assert_memory_equal(c[0], c[1], (size_t)(m * n) * sizeof(real));
    }
    numbers_free(a, m * kk), numbers_free(b, kk * n), numbers_free(c[0], m * n), numbers_free(c[1], m * n);
}

static void thread_count_changes_no_bit_of_a_product(void **state)
{
    (void)state;
    static const int shapes[][3] = {{64, 64, 3000}, {301, 515, 300}, {1500, 100, 70}};
    const int before = omp_get_max_threads();
    for (int i = 0; i < table_count; i++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int way = 0; way < 4; way++)
                check_threads_of_gemm(tables[i], way & 1, way & 2, shapes[s][0], shapes[s][1], shapes[s][2]);
    omp_set_num_threads(before);
}

/* ---- the nearest code ------------------------------------------------------------------------------------------------------ */

static void run_nearest(const k_table *t, int64_t n, int64_t d, int64_t codes, const real *z, const real *e,
                        int32_t *code)
{
    const size_t bytes = t->nearest_scratch(n, d, codes);
    void *scratch = guarded(bytes);
    t->nearest(n, d, codes, z, e, code, scratch);
    guarded_free(scratch, bytes);
}

static double distance(int64_t d, const real *a, const real *b)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

static void check_nearest(const k_table *t, int64_t n, int64_t d, int64_t codes)
{
    real *z = numbers(n * d), *e = numbers(codes * d);
    int32_t *code = guarded((size_t)n * sizeof *code);
    run_nearest(t, n, d, codes, z, e, code);
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t j = 1; j < codes; j++)
            if (distance(d, z + i * d, e + j * d) < distance(d, z + i * d, e + best * d)) best = j;
        assert_in_range(code[i], 0, codes - 1);
        /* rounding may pick another code only where the two are equally far to its precision */
        if (code[i] != best)
            assert_true(distance(d, z + i * d, e + code[i] * d) - distance(d, z + i * d, e + best * d) <
                        4 * tolerance(d));
    }
    guarded_free(code, (size_t)n * sizeof *code);
    numbers_free(z, n * d), numbers_free(e, codes * d);
}

static void nearest_code_equals_brute_force(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},   {5, 3, 2},    {17, 5, 31},  {33, 64, 33}, {100, 16, 512},
                                    {9, 17, 65}, {300, 1, 40}, {70, 300, 8}, {1000, 4, 16}};
    for (int i = 0; i < table_count; i++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            check_nearest(tables[i], shapes[s][0], shapes[s][1], shapes[s][2]);
}

static void equal_codes_give_the_lowest_index(void **state)
{
    (void)state;
    enum { N = 40, D = 7, K = 70 };
    real *z = numbers(N * D), *e = numbers(K * D);
    int32_t code[N];
    for (int first = 0; first < K; first += 23)
        for (int i = 0; i < table_count; i++) {
            for (int j = 0; j < K; j++) /* far ones, then equal near ones from `first` on */
                for (int l = 0; l < D; l++) e[j * D + l] = (real)(j < first ? 100 : 0.25);
            run_nearest(tables[i], N, D, K, z, e, code);
            for (int j = 0; j < N; j++) assert_int_equal(code[j], first);
        }
    numbers_free(z, N * D), numbers_free(e, K * D);
}

static void rows_that_are_not_finite_give_a_code_in_range(void **state)
{
    (void)state;
    enum { N = 3, D = 5, K = 9 };
    real *z = numbers(N * D), *e = numbers(K * D);
    int32_t code[N];
    z[2] = (real)NAN;
    z[D + 1] = (real)INFINITY;
    for (int i = 0; i < table_count; i++) {
        run_nearest(tables[i], N, D, K, z, e, code);
        assert_int_equal(code[0], 0);
        assert_in_range(code[1], 0, K - 1);
        assert_in_range(code[2], 0, K - 1);
    }
    numbers_free(z, N * D), numbers_free(e, K * D);
}

static void thread_count_changes_no_code(void **state)
{
    (void)state;
    enum { N = 3000, D = 16, K = 100 };
    real *z = numbers(N * D), *e = numbers(K * D);
    static int32_t code[2][N];
    const int before = omp_get_max_threads();
    for (int i = 0; i < table_count; i++)
        for (int threads = 1; threads <= 8; threads++) {
            omp_set_num_threads(threads);
            run_nearest(tables[i], N, D, K, z, e, code[threads > 1]);
            if (threads > 1) assert_memory_equal(code[0], code[1], sizeof code[0]);
        }
    omp_set_num_threads(before);
    numbers_free(z, N * D), numbers_free(e, K * D);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_equal_plain_loops_on_odd_shapes),
        cmocka_unit_test(convolutions_equal_plain_loops_on_shapes_cut_into_bands),
        cmocka_unit_test(thread_count_changes_no_bit_of_a_convolution),
        cmocka_unit_test(relu_of_a_convolution_keeps_nan),
        cmocka_unit_test(products_equal_plain_loops),
        cmocka_unit_test(a_product_adds_bias_and_residual_and_cuts_off),
        cmocka_unit_test(thread_count_changes_no_bit_of_a_product),
        cmocka_unit_test(nearest_code_equals_brute_force),
        cmocka_unit_test(equal_codes_give_the_lowest_index),
        cmocka_unit_test(rows_that_are_not_finite_give_a_code_in_range),
        cmocka_unit_test(thread_count_changes_no_code),
    };
    return cmocka_run_group_tests_name("kernels", tests, set_up, NULL);
}
