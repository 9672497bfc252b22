/* The same bits with 1, 2, 3, 4 and 8 threads, for operations and shapes that other programs' thread tests leave out: wide and long
 * enough to be cut into many parts. And a graph whose number of threads changes after it was planned. */
#include "parity.h"

static void rotary(parity *c)
{
    const ag_rotary_options o = {.width = 12, .rows = 9, .columns = 15, .lead = 2};
    RESULT(ag_rotary(IN(3, 137, 5, 12), ag_rotary_table(c->g, &o)));
}

static void rms_norm(parity *c)
{
    ag_tensor *x = IN(777, 67), *w = IN(67);
    RESULT(ag_rms_norm(x, w, 1e-5));
}
static void l2_normalize(parity *c) { RESULT(ag_l2_normalize(IN(777, 67), 1e-12)); }
static void layer_norm(parity *c)
{
    ag_tensor *x = IN(3, 259, 67), *w = IN(67), *b = IN(67);
    RESULT(ag_layer_norm(x, w, b, 1e-5));
}
static void group_norm(parity *c)
{
    ag_tensor *x = IN(2, 23, 31, 48), *w = IN(48), *b = IN(48);
    RESULT(ag_group_norm(x, w, b, 4, 1e-5, AG_SILU));
}
static void batch_norm(parity *c)
{
    ag_tensor *x = IN(5, 23, 31, 19), *w = IN(19), *b = IN(19), *mean, *variance;
    RESULT(ag_batch_norm(x, w, b, 1e-5, AG_RELU, &mean, &variance));
    RESULT(mean), RESULT(variance);
}

static void cross_entropy_labels(parity *c)
{
    ag_tensor *x = IN(531, 129), *w = IN(531);
    RESULT(ag_cross_entropy(x, IDS(-1, 129, 531), ag_square(w), 0.1));
}
static void cross_entropy_shares(parity *c)
{
    ag_tensor *x = IN(531, 129), *q = IN(531, 129);
    RESULT(ag_cross_entropy(x, ag_softmax(q), NULL, 0.1));
}
static void logsumexp(parity *c) { RESULT(ag_logsumexp(IN(531, 129))); }
static void gather(parity *c)
{
    ag_tensor *table = IN(37, 67);
    RESULT(ag_gather(table, IDS(0, 37, 1021)));
}
static void take(parity *c)
{
    ag_tensor *x = IN(3, 259, 67);
    RESULT(ag_take(x, IDS(0, 259, 3, 401)));
}
static void put(parity *c)
{
    ag_tensor *x = IN(3, 401, 67);
    RESULT(ag_put(x, IDS(0, 259, 3, 401), 259));
}

/* Attention with a bias of its own per head, which is summed over samples. */
static void attention(parity *c)
{
    ag_tensor *q = IN(3, 71, 4, 12), *k = IN(3, 90, 4, 12), *v = IN(3, 90, 4, 12), *bias = IN(4, 71, 90);
    RESULT(ag_attention(q, k, v, &(ag_attention_options){.bias = bias}));
}

static const parity_case cases[] = {
    CASE(rotary),
    CASE(rms_norm),
    CASE(l2_normalize),
    CASE(layer_norm),
    CASE(group_norm),
    CASE(batch_norm),
    CASE(cross_entropy_labels),
    CASE(cross_entropy_shares),
    CASE(logsumexp),
    CASE(gather),
    CASE(take),
    CASE(put),
    CASE(attention),
};
enum { CASES = sizeof cases / sizeof *cases };

static void thread_count_changes_no_bit(void **state)
{
    (void)state;
    parity_check_threads(CASES, cases);
}

/* Two steps over a cache of 40 slots, by a mask in the second graph; has no gradient. */
enum { SAMPLES = 3, SLOTS = 40, FRESH = 7, HEADS = 5, WIDTH = 19 };

static ag_tensor *slots(ag_graph *g, const char *name, int64_t count, bool state)
{
    const int64_t shape[4] = {SAMPLES, count, HEADS, WIDTH};
    return state ? ag_state(g, name, AG_REAL, 4, shape) : ag_input(g, name, AG_REAL, 4, shape);
}

static void cached(int threads, bool mask, real *y, real *caches)
{
    ag_cpu_set_threads(threads);
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x[3] = {slots(g, "q", FRESH, false), slots(g, "k", FRESH, false), slots(g, "v", FRESH, false)};
    ag_tensor *cache[2] = {slots(g, "cached k", SLOTS, true), slots(g, "cached v", SLOTS, true)};
    ag_tensor *at = ag_input(g, "at", AG_I32, 0, NULL), *seen = NULL;
    if (mask) seen = ag_attention_mask(g, &(ag_mask_options){.length = SLOTS, .prefix = 30});
    ag_tensor *out = ag_keep(ag_attention_cached(x[0], x[1], x[2], cache[0], cache[1], at, seen, 0));
    for (int i = 0; i < 2; i++) ag_write_slots(cache[i], x[1 + i], at);
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < 2; i++) parity_fill(ag_data(cache[i]), ag_numel(cache[i]), 5000 * (uint32_t)i, 4);
    for (int step = 0; step < 2; step++) {
        *(int32_t *)ag_data(at) = 20 + FRESH * step;
        for (int i = 0; i < 3; i++)
            parity_fill(ag_data(x[i]), ag_numel(x[i]), 100000 * (uint32_t)(3 * step + i + 1), 4);
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
    }
    memcpy(y, ag_data(out), ag_bytes(out));
    for (int i = 0; i < 2; i++) memcpy(caches + i * ag_numel(cache[i]), ag_data(cache[i]), ag_bytes(cache[i]));
    ag_graph_free(g);
}

static void thread_count_changes_no_bit_of_cached_attention(void **state)
{
    (void)state;
    enum { Y = SAMPLES * FRESH * HEADS * WIDTH, CACHES = 2 * SAMPLES * SLOTS * HEADS * WIDTH };
    static real want[Y], got[Y], want_caches[CACHES], got_caches[CACHES];
    for (int mask = 0; mask < 2; mask++) {
        cached(1, mask, want, want_caches);
        for (int i = 0; i < 4; i++) {
            cached((const int[]){2, 3, 4, 8}[i], mask, got, got_caches);
            assert_memory_equal(want, got, sizeof want);
            assert_memory_equal(want_caches, got_caches, sizeof want_caches);
        }
    }
    ag_cpu_set_threads(0);
}

/* Kernels plan their working memory for the threads there are; more of them later must not reach beyond it. */
static void graphs_planned_with_one_thread_run_with_eight(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){6, 24, 24, 32}), *w[2], *d[2], *after;
    w[0] = ag_input(g, "w", AG_REAL, 4, (int64_t[]){3, 3, 32, 32});
    w[1] = ag_input(g, "w4", AG_REAL, 4, (int64_t[]){4, 4, 32, 32});
    ag_tensor *y = ag_conv2d(x, w[0], NULL, NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}});
    y = ag_conv2d(y, w[1], NULL, NULL, &(ag_conv2d_options){.stride = 2, .pad = {1, 1, 1, 1}});
    y = ag_resize(y, 17, 11, AG_BICUBIC);
    y = ag_reshape(y, 3, (int64_t[]){6, 17 * 11, 32});
    y = ag_attention(y, y, y, &(ag_attention_options){.heads = 4});
    ag_gradient(ag_sum(ag_square(y)), 2, w, d);
    ag_keep(d[0]), ag_keep(d[1]);
    after = ag_keep(ag_scale(x, 1));
    ag_cpu_set_threads(1);
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
    const ag_tensor *in[3] = {x, w[0], w[1]}, *out[3] = {d[0], d[1], after};
    for (int i = 0; i < 3; i++) parity_fill(ag_data(in[i]), ag_numel(in[i]), 100000 * (uint32_t)i, i ? 0.1 : 1);
    real *want[3];
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    for (int i = 0; i < 3; i++) memcpy(want[i] = test_malloc(ag_bytes(out[i])), ag_data(out[i]), ag_bytes(out[i]));
    ag_cpu_set_threads(8);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    assert_int_equal(ag_cpu_threads(), 8);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(want[i], ag_data(out[i]), ag_bytes(out[i]));
        test_free(want[i]);
    }
    ag_cpu_set_threads(0);
    ag_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_count_changes_no_bit),
        cmocka_unit_test(thread_count_changes_no_bit_of_cached_attention),
        cmocka_unit_test(graphs_planned_with_one_thread_run_with_eight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
