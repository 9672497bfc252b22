/* Operations against PyTorch that test_activation, test_shape, test_optim and test_layers do not cover (tests/fixtures/make_parity_ops.py):
 * arithmetic, sums, softmax and cross-entropy, convolutions over frames and with masks, resampling, moves, attention with every mask. */
#include "parity.h"

/* Largest difference of a tensor, relative to its largest number. */
#ifdef AG_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 5e-6
#endif

/* ---- arithmetic, sums, products ----------------------------------------------------------------------------------------- */

static void arithmetic(parity *c)
{
    ag_tensor *a = IN(2, 3, 5), *b = IN(3, 1), *d = IN(2, 1, 5), *zero = ag_constant(c->g, 0, 0, NULL);
    ag_tensor *y = ag_div(ag_mul(ag_add(a, b), ag_sub(a, d)), ag_shift(ag_square(b), 1));
    RESULT(ag_add(y, ag_select(ag_less(d, zero), a, ag_mul(b, d))));
}

static void elementwise(parity *c)
{
    ag_tensor *x = IN(3, 37), *y = ag_add(ag_abs(x), ag_clamp(x, -0.7, 0.6));
    y = ag_sub(y, ag_relu(ag_shift(ag_scale(x, 2.5), -0.25)));
    y = ag_add(y, ag_sqrt(ag_shift(ag_square(x), 0.1)));
    RESULT(ag_add(ag_add(y, ag_exp(ag_neg(x))), ag_log(ag_shift(ag_abs(x), 0.1))));
}

static void sums(parity *c)
{
    ag_tensor *x = IN(4, 3, 5), *v = IN(3), *per = ag_sum_to(x, 3, (int64_t[]){1, 3, 1});
    ag_tensor *y = ag_add(ag_mul(ag_reshape(per, 1, (int64_t[]){3}), ag_mean(x)), ag_scale(ag_sum(x), 1.0 / 7));
    RESULT(ag_add(y, ag_sum_to(ag_broadcast(v, 2, (int64_t[]){4, 3}), 1, (int64_t[]){3})));
    RESULT(ag_broadcast(v, 3, (int64_t[]){2, 4, 3}));
}

static void products_transposed(parity *c)
{
    ag_tensor *a = IN(2, 1, 5, 3), *b = IN(4, 7, 5);
    RESULT(ag_matmul(a, b, true, true));
}
static void products_first_transposed(parity *c)
{
    ag_tensor *a = IN(3, 19, 4), *b = IN(3, 19, 18);
    RESULT(ag_matmul(a, b, true, false));
}
static void l2_normalize(parity *c) { RESULT(ag_l2_normalize(IN(2, 3, 19), 1e-12)); }

/* ---- softmax and cross-entropy ---------------------------------------------------------------------------------------------- */

static void softmax(parity *c) { RESULT(ag_softmax(IN(2, 3, 7))); }
static void softmax_large(parity *c) { RESULT(ag_softmax(ag_scale(IN(4, 37), 50))); }
static void log_softmax(parity *c) { RESULT(ag_log_softmax(ag_scale(IN(3, 37), 9))); }
static void logsumexp(parity *c) { RESULT(ag_logsumexp(ag_scale(IN(2, 3, 19), 9))); }

static void cross_entropy_labels(parity *c)
{
    ag_tensor *x = IN(6, 7);
    RESULT(ag_cross_entropy_rows(x, IDS(0, 7, 6), 0));
}
static void cross_entropy_smooth(parity *c)
{
    ag_tensor *x = IN(9, 37);
    RESULT(ag_cross_entropy(x, IDS(-1, 4, 9), NULL, 0.1));
}
static void cross_entropy_sequence(parity *c)
{
    ag_tensor *x = IN(2, 5, 7);
    RESULT(ag_cross_entropy(x, IDS(0, 7, 2, 5), NULL, 0.3));
}
static void cross_entropy_shares(parity *c)
{
    ag_tensor *x = IN(3, 2, 7), *q = IN(3, 2, 7);
    RESULT(ag_cross_entropy_rows(x, ag_softmax(q), 0));
}
static void cross_entropy_shares_smooth(parity *c)
{
    ag_tensor *x = IN(5, 7), *q = IN(5, 7);
    RESULT(ag_cross_entropy(x, ag_softmax(q), NULL, 0.2));
}
static void cross_entropy_free_shares(parity *c)
{
    ag_tensor *x = IN(5, 19), *q = IN(5, 19);
    RESULT(ag_cross_entropy(x, q, NULL, 0.1));
}
static void cross_entropy_weighted(parity *c)
{
    ag_tensor *x = IN(8, 11), *w = IN(8);
    RESULT(ag_cross_entropy(x, IDS(-1, 3, 8), ag_shift(ag_square(w), 0.1), 0.1));
}
static void cross_entropy_weighted_shares(parity *c)
{
    ag_tensor *x = IN(4, 7), *q = IN(4, 7), *w = IN(4);
    RESULT(ag_cross_entropy(x, ag_softmax(q), ag_square(w), 0.1));
}
static void cross_entropy_none(parity *c)
{
    ag_tensor *x = IN(3, 5);
    RESULT(ag_cross_entropy(x, IDS(-1, 0, 3), NULL, 0));
}
static void one_hot(parity *c) { RESULT(ag_one_hot(IDS(0, 7, 2, 4), 7)); }

/* ---- convolutions -------------------------------------------------------------------------------------------------------------- */

static void conv3d_dilated(parity *c)
{
    ag_tensor *x = IN(1, 3, 5, 4, 4), *w = IN(3, 3, 2, 4, 5), *b = IN(5), *residual = IN(1, 3, 3, 3, 5);
    const ag_conv3d_options o = {.stride = 2, .dilation_t = 2, .pad = {3, 1, 1, 2, 0, 3}, .activation = AG_RELU};
    RESULT(ag_conv3d(x, w, b, residual, &o));
}
static void conv3d_groups(parity *c)
{
    ag_tensor *x = IN(1, 3, 4, 5, 6), *w = IN(2, 3, 3, 3, 4), *b = IN(4);
    RESULT(ag_conv3d(x, w, b, NULL, &(ag_conv3d_options){.pad = {1, 1, 1, 1, 1, 1}, .groups = 2, .dilation = 2}));
}
static void conv3d_depthwise(parity *c)
{
    ag_tensor *x = IN(1, 3, 4, 3, 19), *w = IN(3, 3, 3, 1, 19);
    const ag_conv3d_options o = {.stride = 2, .stride_t = 2, .pad = {1, 1, 1, 1, 1, 1}, .groups = 19};
    RESULT(ag_conv3d(x, w, NULL, NULL, &o));
}
static void conv3d_transposed_groups(parity *c)
{
    ag_tensor *x = IN(1, 2, 3, 2, 4), *w = IN(2, 3, 3, 3, 4), *b = IN(6), *residual = IN(1, 4, 6, 4, 6);
    const ag_conv3d_options o = {
        .stride = 2, .dilation_t = 2, .pad = {0, 0, 1, 1, 1, 1}, .groups = 2, .out = {4, 6, 4}, .activation = AG_RELU};
    RESULT(ag_conv3d_transposed(x, w, b, residual, &o));
}
static void conv2d_depthwise_dilated(parity *c)
{
    ag_tensor *x = IN(1, 5, 6, 19), *w = IN(3, 3, 1, 19);
    RESULT(ag_conv2d(x, w, NULL, NULL, &(ag_conv2d_options){.pad = {2, 2, 2, 2}, .dilation = 2, .groups = 19}));
}
static void conv2d_multiplied(parity *c)
{
    ag_tensor *x = IN(1, 5, 4, 6), *w = IN(3, 3, 1, 18);
    RESULT(ag_conv2d(x, w, NULL, NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .groups = 6}));
}
static void conv2d_transposed_out(parity *c)
{
    ag_tensor *x = IN(1, 3, 2, 5), *w = IN(3, 3, 4, 5), *b = IN(4);
    const ag_conv2d_options o = {.stride = 3, .pad = {1, 1, 1, 1}, .out = {9, 6}};
    RESULT(ag_conv2d_transposed(x, w, b, NULL, &o));
}

static void masked(parity *c, ag_tensor *x, ag_tensor *w, ag_conv_mask_kind kind, int groups)
{
    const int pad = (int)ag_dim(w, 0) / 2;
    RESULT(ag_conv2d(x, ag_conv_mask(w, kind, groups), NULL, NULL, &(ag_conv2d_options){.pad = {pad, pad, pad, pad}}));
}
static void masked_a(parity *c)
{
    ag_tensor *x = IN(1, 5, 4, 3), *w = IN(5, 5, 3, 4);
    masked(c, x, w, AG_MASK_A, 0);
}
static void masked_b(parity *c)
{
    ag_tensor *x = IN(1, 5, 4, 3), *w = IN(3, 3, 3, 4);
    masked(c, x, w, AG_MASK_B, 1);
}
static void masked_b_groups(parity *c)
{
    ag_tensor *x = IN(1, 4, 4, 6), *w = IN(3, 3, 6, 9);
    masked(c, x, w, AG_MASK_B, 3);
}
static void masked_last_row(parity *c)
{
    ag_tensor *x = IN(1, 5, 4, 2), *w = IN(3, 3, 2, 3);
    masked(c, x, w, AG_MASK_LAST_ROW, 1);
}
static void masked_last_column(parity *c)
{
    ag_tensor *x = IN(1, 5, 4, 2), *w = IN(3, 3, 2, 3);
    masked(c, x, w, AG_MASK_LAST_COLUMN, 1);
}

/* ---- resampling ------------------------------------------------------------------------------------------------------------------ */

static void nearest_down(parity *c) { RESULT(ag_resize(IN(1, 7, 8, 3), 3, 5, AG_NEAREST)); }
static void area_up(parity *c) { RESULT(ag_resize(IN(1, 5, 4, 3), 8, 5, AG_AREA)); }
static void area_uneven(parity *c) { RESULT(ag_resize(IN(1, 7, 11, 3), 4, 3, AG_AREA)); }
static void bilinear_mixed(parity *c) { RESULT(ag_resize(IN(1, 11, 4, 3), 4, 9, AG_BILINEAR)); }
static void bicubic_mixed(parity *c) { RESULT(ag_resize(IN(1, 11, 4, 3), 4, 9, AG_BICUBIC)); }
static void bilinear_antialias_mixed(parity *c) { RESULT(ag_resize(IN(1, 11, 4, 3), 4, 9, AG_BILINEAR_ANTIALIAS)); }
static void bicubic_antialias_mixed(parity *c) { RESULT(ag_resize(IN(1, 11, 4, 3), 4, 9, AG_BICUBIC_ANTIALIAS)); }
static void bilinear_one(parity *c) { RESULT(ag_resize(IN(1, 1, 1, 3), 3, 4, AG_BILINEAR)); }
static void bicubic_one(parity *c) { RESULT(ag_resize(IN(1, 1, 2, 3), 3, 4, AG_BICUBIC)); }
static void max_pool_overlapping(parity *c)
{
    RESULT(ag_max_pool2d(IN(1, 6, 5, 19), &(ag_pool2d_options){.kernel = 3, .stride = 1}));
}
static void avg_pool_even(parity *c) { RESULT(ag_avg_pool2d(IN(1, 5, 6, 7), &(ag_pool2d_options){.kernel = 2})); }
static void avg_pool_frames(parity *c) { RESULT(ag_avg_pool_frames(IN(1, 7, 2, 3, 4), 3, 2)); }
static void global_average_frames(parity *c) { RESULT(ag_global_average(IN(2, 3, 2, 3, 4))); }
static void blur_same(parity *c) { RESULT(ag_filter2d(IN(1, 5, 6, 3), 3, (const double[]){0.25, 0.5, 0.25}, 0, 1, 1)); }

/* ---- moves ------------------------------------------------------------------------------------------------------------------------- */

static void space_to_depth(parity *c) { RESULT(ag_space_to_depth(IN(2, 4, 6, 3), 2)); }
static void gather(parity *c)
{
    ag_tensor *table = IN(5, 19);
    RESULT(ag_gather(table, IDS(0, 5, 2, 4)));
}
static void scatter_add(parity *c)
{
    ag_tensor *rows = IN(2, 5, 7);
    RESULT(ag_scatter_add(rows, IDS(0, 5, 2, 5), 6));
}
static void take(parity *c)
{
    ag_tensor *x = IN(2, 6, 5);
    RESULT(ag_take(x, IDS(0, 6, 2, 4)));
}
static void put(parity *c)
{
    ag_tensor *x = IN(2, 8, 5);
    RESULT(ag_put(x, IDS(0, 6, 2, 8), 6));
}
static void slice(parity *c) { RESULT(ag_slice(IN(4, 5, 6), (int64_t[]){1, 2, 1}, (int64_t[]){2, 3, 3})); }
static void split(parity *c)
{
    c->results = 3;
    ag_split(IN(2, 7, 3), 1, 3, (int64_t[]){1, 4, 2}, c->y);
}
static void stack(parity *c)
{
    IN(2, 3), IN(2, 3), IN(2, 3);
    RESULT(ag_stack(3, c->in, 1));
}
static void concat_last(parity *c)
{
    ag_tensor *a = IN(2, 3, 4), *b = IN(2, 3, 1);
    RESULT(ag_concat(3, (ag_tensor *[]){a, b, a}, -1));
}
static void permute(parity *c) { RESULT(ag_permute(IN(2, 3, 4, 5), (int[]){2, 0, 3, 1})); }

/* ---- attention ------------------------------------------------------------------------------------------------------------------------ */

static void masked_attention(parity *c, int64_t n, int64_t l, int64_t heads, int64_t d, ag_mask_options o, bool bias)
{
    ag_tensor *q = IN(n, l, heads, d), *k = IN(n, l, heads, d), *v = IN(n, l, heads, d);
    o.length = l;
    const ag_attention_options a = {.mask = ag_attention_mask(c->g, &o), .bias = bias ? IN(heads, l, l) : NULL};
    RESULT(ag_attention(q, k, v, &a));
}
static void attention_row(parity *c)
{
    masked_attention(c, 1, 11, 2, 4, (ag_mask_options){.kind = AG_MASK_ROW, .prefix = 2, .width = 3}, false);
}
static void attention_column(parity *c)
{
    masked_attention(c, 1, 11, 2, 4, (ag_mask_options){.kind = AG_MASK_COLUMN, .prefix = 2, .width = 3}, false);
}
static void attention_convolution(parity *c)
{
    const ag_mask_options o = {.kind = AG_MASK_CONVOLUTION, .prefix = 2, .width = 3, .kernel = 3};
    masked_attention(c, 1, 11, 2, 4, o, false);
}
static void attention_strict(parity *c)
{
    masked_attention(c, 2, 6, 1, 3, (ag_mask_options){.kind = AG_MASK_STRICT}, false);
}
static void attention_levels(parity *c)
{
    const ag_mask_options o = {.kind = AG_MASK_LEVELS, .level_count = 3, .levels = {1, 4, 5}};
    masked_attention(c, 1, 10, 2, 3, o, true);
}

static ag_tensor *samples_mask; /* [2,4,7]: sample 0 by a pattern, sample 1 all */

static void attention_samples(parity *c)
{
    ag_tensor *q = IN(2, 4, 2, 5), *k = IN(2, 7, 2, 5), *v = IN(2, 7, 2, 5);
    samples_mask = ag_input(c->g, "mask", AG_U8, 3, (int64_t[]){2, 4, 7});
    RESULT(ag_attention(q, k, v, &(ag_attention_options){.mask = samples_mask}));
}
static void mask_samples(parity *c)
{
    (void)c;
    for (int i = 0; i < 56; i++) ((uint8_t *)ag_data(samples_mask))[i] = i >= 28 || (i / 7 + i % 7) % 3 != 0;
}

static void rotary_grid(parity *c)
{
    const ag_rotary_options o = {.width = 8, .rows = 2, .columns = 3, .lead = 1, .zero_lead = true, .base = 100};
    RESULT(ag_rotary(IN(2, 7, 2, 8), ag_rotary_table(c->g, &o)));
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------------- */

static const parity_case cases[] = {
    CASE(arithmetic),
    CASE(elementwise),
    CASE(sums),
    CASE(products_transposed),
    CASE(products_first_transposed),
    CASE(l2_normalize),
    CASE(softmax),
    CASE(softmax_large),
    CASE(log_softmax),
    CASE(logsumexp),
    CASE(cross_entropy_labels),
    CASE(cross_entropy_smooth),
    CASE(cross_entropy_sequence),
    CASE(cross_entropy_shares),
    CASE(cross_entropy_shares_smooth),
    CASE(cross_entropy_free_shares),
    CASE(cross_entropy_weighted),
    CASE(cross_entropy_weighted_shares),
    CASE(cross_entropy_none),
    CASE(one_hot),
    CASE(conv3d_dilated),
    CASE(conv3d_groups),
    CASE(conv3d_depthwise),
    CASE(conv3d_transposed_groups),
    CASE(conv2d_depthwise_dilated),
    CASE(conv2d_multiplied),
    CASE(conv2d_transposed_out),
    CASE(masked_a),
    CASE(masked_b),
    CASE(masked_b_groups),
    CASE(masked_last_row),
    CASE(masked_last_column),
    CASE(nearest_down),
    CASE(area_up),
    CASE(area_uneven),
    CASE(bilinear_mixed),
    CASE(bicubic_mixed),
    CASE(bilinear_antialias_mixed),
    CASE(bicubic_antialias_mixed),
    CASE(bilinear_one),
    CASE(bicubic_one),
    CASE(max_pool_overlapping),
    CASE(avg_pool_even),
    CASE(avg_pool_frames),
    CASE(global_average_frames),
    CASE(blur_same),
    CASE(space_to_depth),
    CASE(gather),
    CASE(scatter_add),
    CASE(take),
    CASE(put),
    CASE(slice),
    CASE(split),
    CASE(stack),
    CASE(concat_last),
    CASE(permute),
    CASE(attention_row),
    CASE(attention_column),
    CASE(attention_convolution),
    CASE(attention_strict),
    CASE(attention_levels),
    CASE(attention_samples, .prepare = mask_samples),
    CASE(rotary_grid),
};
enum { CASES = sizeof cases / sizeof *cases };

static void operations_equal_pytorch(void **state)
{
    (void)state;
    parity_check_all(TEST_FILES "/fixtures/parity_ops.h5", CASES, cases, TOLERANCE);
}

static void thread_count_changes_no_bit(void **state)
{
    (void)state;
    parity_check_threads(CASES, cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_equal_pytorch),
        cmocka_unit_test(thread_count_changes_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
