/* Attention against the plain formula in double, for every mask; counts of masks; the cache; threads. */
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

#ifdef AG_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 2e-5
#endif

enum { N = 2, L = 137, H = 2, D = 20 };

static void fill(ag_tensor *t, uint64_t stream, double size)
{
    for (int64_t i = 0; i < ag_numel(t); i++)
        ((real *)ag_data(t))[i] = (real)(size * (ag_random_uniform(3, stream, (uint64_t)i) - 0.5));
}

static ag_tensor *input(ag_graph *g, int64_t l) { return ag_input(g, "x", AG_REAL, 4, (int64_t[]){N, l, H, D}); }

static int64_t pairs(const ag_mask_options *o)
{
    ag_graph *g = ag_graph_new(1);
    ag_tensor *m = ag_keep(ag_attention_mask(g, o));
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    int64_t sum = 0;
    for (int64_t i = 0; i < ag_numel(m); i++) sum += ((const uint8_t *)ag_data(m))[i];
    ag_graph_free(g);
    return sum;
}

static void masks_allow_the_published_numbers_of_pairs(void **state)
{
    (void)state;
    const int64_t want[2][4] = {{253, 187, 157, 184}, {3240, 1700, 1448, 1455}};
    for (int i = 0; i < 2; i++) {
        const int64_t text = i ? 16 : 6, w = i ? 8 : 4;
        ag_mask_options o = {.length = text + w * w, .prefix = 0, .width = w, .kernel = 3};
        assert_int_equal(pairs(&o), want[i][0]);
        o.prefix = text;
        const ag_mask_kind kinds[] = {AG_MASK_ROW, AG_MASK_COLUMN, AG_MASK_CONVOLUTION};
        for (int j = 0; j < 3; j++) {
            o.kind = kinds[j];
            assert_int_equal(pairs(&o), want[i][1 + j]);
        }
    }
    assert_int_equal(
        pairs(&(ag_mask_options){.kind = AG_MASK_LEVELS, .length = 14, .level_count = 3, .levels = {1, 4, 9}}), 147);
}

/* One row of the plain formula. */
static void plain_row(const real *q, const real *k, const real *v, const uint8_t *mask, double *y)
{
    double s[L], most = -INFINITY, sum = 0;
    for (int j = 0; j < L; j++) {
        s[j] = 0;
        for (int c = 0; c < D; c++) s[j] += (double)q[c] * (double)k[j * H * D + c];
        s[j] = mask[j] ? s[j] / sqrt(D) : -INFINITY;
        most = fmax(most, s[j]);
    }
    for (int c = 0; c < D; c++) y[c] = 0;
    for (int j = 0; j < L; j++) sum += s[j] = most == -INFINITY ? 0 : exp(s[j] - most);
    for (int j = 0; j < L; j++)
        for (int c = 0; c < D; c++) y[c] += sum > 0 ? s[j] / sum * (double)v[j * H * D + c] : 0;
}

static void check(const ag_mask_options *o, double size)
{
    ag_graph *g = ag_graph_new(1);
    ag_tensor *in[3] = {input(g, L), input(g, L), input(g, L)}, *m = ag_keep(ag_attention_mask(g, o));
    ag_tensor *y = ag_keep(ag_attention(in[0], in[1], in[2], &(ag_attention_options){.mask = m}));
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < 3; i++) fill(in[i], (uint64_t)i, i < 2 ? size : 2);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    const real *q = ag_data(in[0]), *k = ag_data(in[1]), *v = ag_data(in[2]), *got = ag_data(y);
    for (int n = 0; n < N; n++)
        for (int h = 0; h < H; h++)
            for (int i = 0; i < L; i++) {
                const int64_t head = (int64_t)(n * L * H + h) * D, row = head + i * H * D;
                double want[D];
                plain_row(q + row, k + head, v + head, (const uint8_t *)ag_data(m) + i * L, want);
                for (int c = 0; c < D; c++)
                    assert_true(fabs((double)got[row + c] - want[c]) <= TOLERANCE * fmax(1, size));
            }
    ag_graph_free(g);
}

static void tiles_equal_the_plain_formula_for_every_mask(void **state)
{
    (void)state;
    for (ag_mask_kind kind = AG_MASK_CAUSAL; kind <= AG_MASK_CONVOLUTION; kind++) {
        ag_mask_options o = {.kind = kind,
                             .length = L,
                             .prefix = 16,
                             .width = 11,
                             .kernel = 3,
                             .level_count = 3,
                             .levels = {1, 36, 100}};
        check(&o, 2);
        check(&o, 40); /* scores of about +-80 */
    }
}

static void steps_with_a_cache_equal_one_pass(void **state)
{
    (void)state;
    enum { S = 13 };
    const int64_t shape[] = {N, S, H, D};
    ag_graph *g = ag_graph_new(1), *one = ag_graph_new(1);
    ag_tensor *x[3] = {input(g, S), input(g, S), input(g, S)}, *t[3] = {input(one, 1), input(one, 1), input(one, 1)};
    ag_tensor *m = ag_attention_mask(g, &(ag_mask_options){.length = S});
    ag_tensor *all = ag_keep(ag_attention(x[0], x[1], x[2], &(ag_attention_options){.mask = m}));
    ag_tensor *ck = ag_state(one, "k", AG_REAL, 4, shape), *cv = ag_state(one, "v", AG_REAL, 4, shape);
    ag_tensor *at = ag_input(one, "position", AG_I32, 0, NULL);
    ag_tensor *y = ag_keep(ag_attention_cached(t[0], t[1], t[2], ck, cv, at, NULL, 0));
    ag_write_slots(ck, t[1], at);
    ag_write_slots(cv, t[2], at);
    if (ag_graph_plan(g, NULL) || ag_graph_plan(one, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < 3; i++) fill(x[i], (uint64_t)i, 2);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    for (int s = 0; s < S; s++) {
        *(int32_t *)ag_data(at) = s;
        for (int i = 0; i < 3; i++)
            for (int n = 0; n < N; n++)
                memcpy((real *)ag_data(t[i]) + n * H * D, (real *)ag_data(x[i]) + (n * S + s) * H * D,
                       H * D * sizeof(real));
        assert_int_equal(ag_graph_run(one, 1), AG_OK);
        for (int n = 0; n < N; n++)
            for (int c = 0; c < H * D; c++)
                assert_true(fabs((double)((real *)ag_data(y))[n * H * D + c] -
                                 (double)((real *)ag_data(all))[(n * S + s) * H * D + c]) < 1e-5);
    }
    ag_graph_free(g);
    ag_graph_free(one);
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    real *first[5] = {0};
    for (int i = 0; i < 5; i++) {
        ag_cpu_set_threads((const int[]){1, 2, 3, 4, 8}[i]);
        ag_graph *g = ag_graph_new(1);
        ag_tensor *x[5] = {input(g, L), input(g, L), input(g, L), ag_input(g, "b", AG_REAL, 3, (int64_t[]){H, L, L}),
                           ag_input(g, "w", AG_REAL, 1, (int64_t[]){D})};
        ag_tensor *m = ag_attention_mask(g, &(ag_mask_options){.length = L}), *d[5];
        ag_tensor *y = ag_attention(x[0], x[1], x[2], &(ag_attention_options){.mask = m, .bias = x[3]});
        y = ag_batch_norm(ag_group_norm(y, x[4], NULL, 5, 1e-5, AG_SILU), x[4], NULL, 1e-5, AG_RELU, NULL, NULL);
        ag_gradient(ag_sum(ag_square(ag_log_softmax(ag_layer_norm(y, x[4], NULL, 1e-5)))), 5, x, d);
        for (int j = 0; j < 5; j++) ag_keep(d[j]);
        if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
        for (int j = 0; j < 5; j++) fill(x[j], (uint64_t)j, 2);
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
        for (int j = 0; j < 5; j++) {
            if (i) {
                assert_memory_equal(first[j], ag_data(d[j]), ag_bytes(d[j]));
                continue;
            }
            first[j] = test_malloc(ag_bytes(d[j]));
            memcpy(first[j], ag_data(d[j]), ag_bytes(d[j]));
        }
        ag_graph_free(g);
    }
    for (int j = 0; j < 5; j++) test_free(first[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_allow_the_published_numbers_of_pairs),
        cmocka_unit_test(tiles_equal_the_plain_formula_for_every_mask),
        cmocka_unit_test(steps_with_a_cache_equal_one_pass),
        cmocka_unit_test(threads_do_not_change_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
