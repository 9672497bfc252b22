/* Mistakes in building a graph: each is reported once, when the plan is made, with the op, the scoped name and the shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "nn/networks.h"

#define SCOPE "decoder.block.3"

#define DIMENSIONS(...)                                                                                                \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
#define REAL(...)  ag_input(g, "x", AG_REAL, DIMENSIONS(__VA_ARGS__))
#define I32(...)   ag_input(g, "i", AG_I32, DIMENSIONS(__VA_ARGS__))
#define U8(...)    ag_input(g, "u", AG_U8, DIMENSIONS(__VA_ARGS__))
#define STATE(...) ag_state(g, "s", AG_REAL, DIMENSIONS(__VA_ARGS__))

static int wrong; /* messages that are not as they should be, all of which are printed */

/* The message must hold every part (NULL-terminated). */
static void refused(ag_graph *g, const char *const *parts)
{
    const bool found = ag_graph_plan(g, NULL) == AG_ERR_SHAPE;
    if (!found) print_error("no mistake: %s, %s\n", parts[0], parts[1]);
    for (int i = 0; found && parts[i]; i++)
        if (!strstr(ag_error_message(), parts[i])) {
            print_error("\"%s\" does not say \"%s\"\n", ag_error_message(), parts[i]);
            wrong++;
        }
    wrong += !found;
    ag_graph_free(g);
}

static int none_so_far(void **state)
{
    (void)state;
    return wrong = 0;
}

static int none_at_the_end(void **state)
{
    (void)state;
    return wrong ? -1 : 0;
}

/* Builds `...` in a graph g and a scope; then the message. */
#define REFUSED(parts, ...)                                                                                            \
    do {                                                                                                               \
        ag_graph *g = ag_graph_new(1);                                                                                 \
        ag_graph_scope(g, SCOPE);                                                                                      \
        __VA_ARGS__;                                                                                                   \
        refused(g, parts);                                                                                             \
    } while (0)
#define SAYS(...) ((const char *const[]){SCOPE, __VA_ARGS__, NULL})

static void of_arithmetic(void **state)
{
    (void)state;
    REFUSED(SAYS("add", "[2,3], [4,3]", "an axis is 2 in one and 4"), ag_add(REAL(2, 3), REAL(4, 3)));
    REFUSED(SAYS("div", "[3], [3]", "is i32, not "), ag_div(REAL(3), I32(3)));
    REFUSED(SAYS("exp", "[3]", "is i32, not "), ag_exp(I32(3)));
    REFUSED(SAYS("select", "[2], [3], [1]", "broadcast"), ag_select(REAL(2), REAL(3), REAL(1)));
    REFUSED(SAYS("relu_mask", "[2,3], [3,2]", "differ"), ag_relu_mask(REAL(2, 3), REAL(3, 2)));
    REFUSED(SAYS("mse", "[2,3], [3,2]", "differ"), ag_mse(REAL(2, 3), REAL(3, 2)));
    REFUSED(SAYS("leaky_relu", "[3]", "slope of -1"), ag_leaky_relu(REAL(3), -1));
    REFUSED(SAYS("straight_through", "[2,3], [3,2]"), ag_straight_through(REAL(2, 3), REAL(3, 2)));
    REFUSED(SAYS("from_u8", "[3]"), ag_from_u8(REAL(3), 1, 0));
}

static void of_shapes(void **state)
{
    (void)state;
    REFUSED(SAYS("reshape", "[2,3]", "6 elements cannot become [4]"), ag_reshape(REAL(2, 3), 1, (int64_t[]){4}));
    REFUSED(SAYS("broadcast", "[2,3]", "[2,4]"), ag_broadcast(REAL(2, 3), 2, (int64_t[]){2, 4}));
    REFUSED(SAYS("sum_to", "[2,3]", "[2,2]"), ag_sum_to(REAL(2, 3), 2, (int64_t[]){2, 2}));
    REFUSED(SAYS("stack", "[2,3] and [3,2] differ"), ag_stack(2, (ag_tensor *[]){REAL(2, 3), REAL(3, 2)}, 0));
    REFUSED(SAYS("stack", "axis 4", "[2,3]"), ag_stack(2, (ag_tensor *[]){REAL(2, 3), REAL(2, 3)}, 4));
    REFUSED(SAYS("concat", "[2,3]", "no such axis"), ag_concat(2, (ag_tensor *[]){REAL(2, 3), REAL(2, 3)}, 2));
    REFUSED(SAYS("split", "[2,3]", "axis 1"), ag_split(REAL(2, 3), 1, 2, (int64_t[]){1, 1}, (ag_tensor *[2]){0}));
    REFUSED(SAYS("slice", "[2,3]", "no axis 2"), ag_slice_axis(REAL(2, 3), 2, 0, 1));
    REFUSED(SAYS("slice", "[2,3]", "axis 1 of 3 has no 2 elements from 2"), ag_slice_axis(REAL(2, 3), 1, 2, 2));
    REFUSED(SAYS("transpose", "[2,3]", "axis 0 or 2"), ag_transpose(REAL(2, 3), 0, 2));
    REFUSED(SAYS("flip", "[2,3]", "no such axis"), ag_flip(REAL(2, 3), 2));
    REFUSED(SAYS("roll", "[2,3]", "no such axis"), ag_roll(REAL(2, 3), 3, 1));
    REFUSED(SAYS("pixel_unshuffle", "[1,3,4,2] is not [N,2*h,2*w,C]"), ag_pixel_unshuffle(REAL(1, 3, 4, 2), 2));
    REFUSED(SAYS("depth_to_space", "[1,3,4,2] is not [N,H,W,C*2*2]"), ag_depth_to_space(REAL(1, 3, 4, 2), 2));
    REFUSED(SAYS("take", "[2,3,4], [3,2]", "[N,M]"), ag_take(REAL(2, 3, 4), I32(3, 2)));
    REFUSED(SAYS("put", "[2,3,4], [2,5]", "needs an index"), ag_put(REAL(2, 3, 4), I32(2, 5), 7));
    REFUSED(SAYS("gather", "[5], [2]", "[K,D]"), ag_gather(REAL(5), I32(2)));
    REFUSED(SAYS("gather", "[5,3], [2]", "codes is"), ag_gather(REAL(5, 3), REAL(2)));
    REFUSED(SAYS("scatter_add", "[4,3], [5]", "a code each"), ag_scatter_add(REAL(4, 3), I32(5), 2));
    REFUSED(SAYS("count", "[5]", "0 codes"), ag_count(I32(5), 0));
    REFUSED(SAYS("nearest", "[4,3], [5,2]", "codebook [K,D]"), ag_nearest(REAL(4, 3), REAL(5, 2)));
}

/* Operands of the wrong type are never read as numbers. */
static void of_types(void **state)
{
    (void)state;
    const ag_pool2d_options two = {.kernel = 2};
    REFUSED(SAYS("mse", "i32"), ag_mse(REAL(3), I32(3)));
    REFUSED(SAYS("relu_mask", "i32"), ag_relu_mask(REAL(3), I32(3)));
    REFUSED(SAYS("straight_through", "i32"), ag_straight_through(REAL(3), I32(3)));
    REFUSED(SAYS("nearest", "i32"), ag_nearest(REAL(4, 3), I32(5, 3)));
    REFUSED(SAYS("concat", "[3], [3]"), ag_concat(2, (ag_tensor *[]){REAL(3), I32(3)}, 0));
    REFUSED(SAYS("pad", "i32"), ag_pad(I32(3), (int64_t[]){1}, (int64_t[]){1}, 0));
    REFUSED(SAYS("matmul", "bias must be real [4]"), ag_linear(REAL(2, 3), REAL(3, 4), I32(4), NULL, AG_LINEAR));
    REFUSED(SAYS("matmul", "residual must be real [2,4]"),
            ag_linear(REAL(2, 3), REAL(3, 4), NULL, I32(2, 4), AG_LINEAR));
    REFUSED(SAYS("conv2d", "bias must be real [5]"), ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), I32(5), NULL, NULL));
    REFUSED(SAYS("conv2d", "residual must be real [1,2,2,5]"),
            ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), NULL, I32(1, 2, 2, 5), NULL));
    REFUSED(SAYS("conv2d", "weight must be real"), ag_conv2d(REAL(1, 4, 4, 2), I32(3, 3, 2, 5), NULL, NULL, NULL));
    REFUSED(SAYS("conv3d", "bias must be real [5]"),
            ag_conv3d(REAL(1, 4, 4, 4, 2), REAL(3, 3, 3, 2, 5), U8(5), NULL, NULL));
    REFUSED(SAYS("conv3d", "residual must be real [1,2,2,2,5]"),
            ag_conv3d(REAL(1, 4, 4, 4, 2), REAL(3, 3, 3, 2, 5), NULL, I32(1, 2, 2, 2, 5), NULL));
    REFUSED(SAYS("max_pool2d", "real [N,H,W,C]"), ag_max_pool2d(I32(1, 4, 4, 2), &two));
    REFUSED(SAYS("pool_take", "i32"), ag_pool_take(REAL(1, 4, 4, 2), REAL(1, 2, 2, 2)));
    REFUSED(SAYS("top_k", "i32"), ag_top_k(I32(2, 3), 1));
    REFUSED(SAYS("dropout", "i32"), ag_dropout(I32(3), 0.5));
    REFUSED(SAYS("sum_to", "i32"), ag_sum(I32(3)));
    REFUSED(SAYS("broadcast", "i32"), ag_broadcast(I32(3), 2, (int64_t[]){2, 3}));
    REFUSED(SAYS("conv_mask", "i32"), ag_conv_mask(I32(3, 3, 4, 5), AG_MASK_A, 1));
    REFUSED(SAYS("assign", "differ in shape or type"), ag_assign(STATE(3), I32(3)));
    REFUSED(SAYS("average", "[3]"),
            ag_average(1, (ag_tensor *[]){STATE(3)}, (ag_tensor *[]){I32(3)}, 0.9, false, NULL));
    REFUSED(SAYS("write_slots", "do not fit"), ag_write_slots(STATE(1, 9, 4), I32(1, 2, 4), I32(1)));
}

static void of_products(void **state)
{
    (void)state;
    REFUSED(SAYS("matmul", "[3], [3,2]", "two axes"), ag_matmul(REAL(3), REAL(3, 2), false, false));
    REFUSED(SAYS("matmul", "[2,3], [3,2]", "inner sizes"), ag_matmul(REAL(2, 3), REAL(3, 2), false, true));
    REFUSED(SAYS("matmul", "[2,3], [3,4], [3]", "bias must be real [4]"),
            ag_linear(REAL(2, 3), REAL(3, 4), REAL(3), NULL, AG_LINEAR));
    REFUSED(SAYS("matmul", "[2,3], [3,4], [4,2]", "residual must be real [2,4]"),
            ag_linear(REAL(2, 3), REAL(3, 4), NULL, REAL(4, 2), AG_LINEAR));
    REFUSED(SAYS("matmul", "[2,3], [3,4]", "fuses ReLU or nothing, not SiLU: apply ag_silu to its result"),
            ag_linear(REAL(2, 3), REAL(3, 4), NULL, NULL, AG_SILU));
}

static void of_convolutions(void **state)
{
    (void)state;
    const ag_conv2d_options silu = {.activation = AG_SILU}, uneven = {.groups = 2}, none = {.stride = -1};
    REFUSED(SAYS("conv2d", "[1,4,4,2], [3,3,2,5]", "fuses ReLU or nothing, not SiLU: apply ag_silu to its result"),
            ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), NULL, NULL, &silu));
    REFUSED(
        SAYS("conv3d", "fuses ReLU or nothing, not SiLU: apply ag_silu to its result"),
        ag_conv3d(REAL(1, 4, 4, 4, 2), REAL(1, 3, 3, 2, 5), NULL, NULL, &(ag_conv3d_options){.activation = AG_SILU}));
    REFUSED(SAYS("conv2d", "[1,4,4,2], [3,3,2,5]", "stride -1"),
            ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), NULL, NULL, &none));
    REFUSED(SAYS("conv2d", "negative padding"),
            ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), NULL, NULL, &(ag_conv2d_options){.pad = {0, 0, -1}}));
    REFUSED(SAYS("conv2d", "bias must be real [5]"),
            ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), REAL(4), NULL, NULL));
    REFUSED(SAYS("conv2d", "residual must be real [1,2,2,5]"),
            ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 2, 5), NULL, REAL(1, 4, 4, 5), NULL));
    REFUSED(SAYS("conv2d", "2 groups of 1 to 5"), ag_conv2d(REAL(1, 4, 4, 2), REAL(3, 3, 1, 5), NULL, NULL, &uneven));
    REFUSED(SAYS("conv2d_transposed", "[1,4,4,2], [3,3,5,4]", "2 channels meet a weight for 4"),
            ag_conv2d_transposed(REAL(1, 4, 4, 2), REAL(3, 3, 5, 4), NULL, NULL, NULL));
    REFUSED(
        SAYS("conv2d_transposed", "an axis of 4 cannot come from one of 30"),
        ag_conv2d_transposed(REAL(1, 4, 4, 2), REAL(3, 3, 5, 2), NULL, NULL, &(ag_conv2d_options){.out = {30, 30}}));
    REFUSED(SAYS("conv2d_weight_grad", "[1,4,4,2], [1,3,3,5]", "not of this input's"),
            ag_conv2d_weight_grad(REAL(1, 4, 4, 2), REAL(1, 3, 3, 5), 3, 3, NULL));
    REFUSED(SAYS("conv3d", "[1,4,4,4,2], [3,3,3,4,5]", "2 channels meet a weight for 1 group of 4"),
            ag_conv3d(REAL(1, 4, 4, 4, 2), REAL(3, 3, 3, 4, 5), NULL, NULL, NULL));
    REFUSED(SAYS("conv3d", "larger than the padded clip"),
            ag_conv3d(REAL(1, 2, 4, 4, 2), REAL(3, 3, 3, 2, 5), NULL, NULL, NULL));
    REFUSED(SAYS("conv3d", "bias must be real [5]"),
            ag_conv3d(REAL(1, 4, 4, 4, 2), REAL(3, 3, 3, 2, 5), REAL(2), NULL, NULL));
    REFUSED(
        SAYS("conv3d_transposed", "an axis of 2 cannot come from one of 9"),
        ag_conv3d_transposed(REAL(1, 2, 2, 2, 2), REAL(3, 3, 3, 5, 2), NULL, NULL, &(ag_conv3d_options){.out = {9}}));
    REFUSED(SAYS("conv3d_weight_grad", "not of this input's"),
            ag_conv3d_weight_grad(REAL(1, 4, 4, 4, 2), REAL(1, 3, 3, 3, 5), (int[]){3, 3, 3}, NULL));
    REFUSED(SAYS("conv_mask", "[3,3,4]", "[...,kh,kw,A,B]"), ag_conv_mask(REAL(3, 3, 4), AG_MASK_A, 1));
    REFUSED(SAYS("conv_mask", "[3,3,4,5]", "not 3 groups"), ag_conv_mask(REAL(3, 3, 4, 5), AG_MASK_A, 3));
}

static void of_resampling(void **state)
{
    (void)state;
    REFUSED(SAYS("resize", "[2,3]", "[N,H,W,C]"), ag_resize(REAL(2, 3), 2, 2, AG_AREA));
    REFUSED(SAYS("resize", "[1,4,4,2]", "0 x 2"), ag_resize(REAL(1, 4, 4, 2), 0, 2, AG_AREA));
    REFUSED(SAYS("filter2d", "[1,4,4,2]", "9 taps"), ag_filter2d(REAL(1, 4, 4, 2), 9, (double[9]){0}, 1, 0, 0));
    REFUSED(SAYS("avg_pool2d", "[1,4,4,2]", "kernel 5"),
            ag_avg_pool2d(REAL(1, 4, 4, 2), &(ag_pool2d_options){.kernel = 5}));
    REFUSED(SAYS("max_pool2d", "[1,4,4,2]", "window is larger"),
            ag_max_pool2d(REAL(1, 4, 4, 2), &(ag_pool2d_options){.kernel = 5}));
    REFUSED(SAYS("avg_pool_frames", "[1,4,4,2]", "kernel 2"), ag_avg_pool_frames(REAL(1, 4, 4, 2), 2, 0));
    REFUSED(SAYS("global_average", "[4,2]", "[N,...,C]"), ag_global_average(REAL(4, 2)));
    REFUSED(SAYS("pool_take", "[1,4,4,2], [2,2,2,2]", "same N and C"), ag_pool_take(REAL(1, 4, 4, 2), I32(2, 2, 2, 2)));
    REFUSED(SAYS("pool_put", "[1,4,4,2], [1,2,2,2]", "needs a place"),
            ag_pool_put(REAL(1, 4, 4, 2), I32(1, 2, 2, 2), 4, 4));
    REFUSED(SAYS("resample", "[1,4,4,2]", "is i32, not"), ag_resize(I32(1, 4, 4, 2), 2, 2, AG_AREA));
}

static void of_norms_and_losses(void **state)
{
    (void)state;
    REFUSED(SAYS("norm", "[2,3], [4]", "weight must be real [3]"), ag_layer_norm(REAL(2, 3), REAL(4), NULL, 1e-5));
    REFUSED(SAYS("norm", "[2,3], [4]", "bias must be real [3]"), ag_layer_norm(REAL(2, 3), NULL, REAL(4), 1e-5));
    REFUSED(SAYS("norm", "[2,3]", "epsilon is -1"), ag_rms_norm(REAL(2, 3), NULL, -1));
    REFUSED(SAYS("norm", "[2,5,6]", "6 channels cannot be cut into 4 groups"),
            ag_group_norm(REAL(2, 5, 6), NULL, NULL, 4, 1e-5, AG_LINEAR));
    REFUSED(SAYS("group_norm", "[6]", "[N,...,C]"), ag_group_norm(REAL(6), NULL, NULL, 2, 1e-5, AG_LINEAR));
    REFUSED(SAYS("norm", "[2,3]", "is i32, not"), ag_batch_norm(I32(2, 3), NULL, NULL, 1e-5, AG_RELU, NULL, NULL));
    REFUSED(SAYS("softmax", "[3]", "real [...,C]"), ag_softmax(I32(3)));
    REFUSED(SAYS("logsumexp", "[]", "real [...,C]"), ag_logsumexp(ag_sum(REAL(3))));
    REFUSED(SAYS("cross_entropy", "[4,3], [5]", "labels [...] or shares"),
            ag_cross_entropy_rows(REAL(4, 3), I32(5), 0));
    REFUSED(SAYS("cross_entropy", "[4,3], [4,2]", "labels [...] or shares"),
            ag_cross_entropy_rows(REAL(4, 3), REAL(4, 2), 0));
    REFUSED(SAYS("cross_entropy", "[4,3], [4]", "smoothing of 2"), ag_cross_entropy_rows(REAL(4, 3), I32(4), 2));
    REFUSED(SAYS("cross_entropy", "[4,3], [4]", "not u8"), ag_cross_entropy_rows(REAL(4, 3), U8(4), 0));
    REFUSED(SAYS("cross_entropy", "weights [5] for losses [4]"), ag_cross_entropy(REAL(4, 3), I32(4), REAL(5), 0));
    REFUSED(SAYS("cross_entropy", "weights [5] for losses [4]"), ag_cross_entropy(REAL(4, 3), REAL(4, 3), REAL(5), 0));
    REFUSED(SAYS("argmax", "no last axis"), ag_argmax(ag_sum(REAL(3))));
    REFUSED(SAYS("dropout", "[3]", "probability 1"), ag_dropout(REAL(3), 1));
    REFUSED(SAYS("drop_path", "no samples"), ag_drop_path(ag_sum(REAL(3)), 0.5));
}

static void of_attention(void **state)
{
    (void)state;
    const ag_mask_options long_prefix = {.length = 4, .prefix = 5}, no_width = {.kind = AG_MASK_ROW, .length = 4},
                          levels = {.kind = AG_MASK_LEVELS, .length = 4, .level_count = 2, .levels = {1, 2}},
                          no_kernel = {.kind = AG_MASK_CONVOLUTION, .length = 4, .width = 2};
    REFUSED(SAYS("attention", "[1,3,2,4]", "[1,5,2,3]", "differ"),
            ag_attention(REAL(1, 3, 2, 4), REAL(1, 5, 2, 4), REAL(1, 5, 2, 3), NULL));
    REFUSED(SAYS("attention", "[1,3,2,4]", "[2,5,2,4]", "samples, heads or width"),
            ag_attention(REAL(1, 3, 2, 4), REAL(2, 5, 2, 4), REAL(2, 5, 2, 4), NULL));
    REFUSED(SAYS("attention", "must be real [N,L,H,D]"), ag_attention(REAL(3, 4), REAL(3, 4), REAL(3, 4), NULL));
    REFUSED(SAYS("attention", "[1,3,6] cannot be cut into 4 heads"),
            ag_attention(REAL(1, 3, 6), REAL(1, 3, 6), REAL(1, 3, 6), &(ag_attention_options){.heads = 4}));
    REFUSED(
        SAYS("attention", "mask must be u8", "[3,4]"),
        ag_attention(REAL(1, 3, 2, 4), REAL(1, 3, 2, 4), REAL(1, 3, 2, 4), &(ag_attention_options){.mask = U8(3, 4)}));
    REFUSED(SAYS("attention", "bias must be real [H,Lq,Lk], not [2,3,4]"),
            ag_attention(REAL(1, 3, 2, 4), REAL(1, 3, 2, 4), REAL(1, 3, 2, 4),
                         &(ag_attention_options){.bias = REAL(2, 3, 4)}));
    REFUSED(SAYS("attention_mask", "a prefix of 5 in 4 slots"), ag_attention_mask(g, &long_prefix));
    REFUSED(SAYS("attention_mask", "needs a width"), ag_attention_mask(g, &no_width));
    REFUSED(SAYS("attention_mask", "needs a kernel"), ag_attention_mask(g, &no_kernel));
    REFUSED(SAYS("attention_mask", "levels of 3 slots for a length of 4"), ag_attention_mask(g, &levels));
    REFUSED(SAYS("attention_mask", "0 levels"),
            ag_attention_mask(g, &(ag_mask_options){.kind = AG_MASK_LEVELS, .length = 4}));
    REFUSED(SAYS("rotary", "[1,3,2,5]", "even D"), ag_rotary(REAL(1, 3, 2, 5), REAL(3, 2, 2)));
    REFUSED(SAYS("rotary", "[1,3,2,4], [5,2,2]", "table must be real [3,2,2]"),
            ag_rotary(REAL(1, 3, 2, 4), REAL(5, 2, 2)));
    REFUSED(SAYS("rotary_table", "a head of 6 numbers"),
            ag_rotary_table(g, &(ag_rotary_options){.width = 6, .rows = 2, .columns = 2}));
    REFUSED(SAYS("rotary_table", "0 slots, then 0 rows"), ag_rotary_table(g, &(ag_rotary_options){.width = 4}));
}

static void of_a_cache(void **state)
{
    (void)state;
    REFUSED(SAYS("attention_cached", "[1,2,3,4]", "differ in shape"),
            ag_attention_cached(REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), REAL(1, 1, 3, 4), STATE(1, 9, 3, 4),
                                STATE(1, 9, 3, 4), I32(1), NULL, 0));
    REFUSED(SAYS("attention_cached", "cache [1,9,3,5] does not hold slots of [1,2,3,4]"),
            ag_attention_cached(REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), STATE(1, 9, 3, 5),
                                STATE(1, 9, 3, 5), I32(1), NULL, 0));
    REFUSED(SAYS("attention_cached", "position must be one i32"),
            ag_attention_cached(REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), STATE(1, 9, 3, 4),
                                STATE(1, 9, 3, 4), I32(2), NULL, 0));
    REFUSED(SAYS("attention_cached", "mask must be u8 [S,S] for 9 slots"),
            ag_attention_cached(REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), REAL(1, 2, 3, 4), STATE(1, 9, 3, 4),
                                STATE(1, 9, 3, 4), I32(1), U8(2, 9), 0));
    REFUSED(SAYS("write_slots", "[1,9,4], [1,2,3]", "do not fit"),
            ag_write_slots(STATE(1, 9, 4), REAL(1, 2, 3), I32(1)));
    REFUSED(SAYS("write_slots", "only a state"), ag_write_slots(REAL(1, 9, 4), REAL(1, 2, 4), I32(1)));
}

static void of_effects(void **state)
{
    (void)state;
    REFUSED(SAYS("assign", "[3], [4]", "differ in shape"), ag_assign(STATE(3), REAL(4)));
    REFUSED(SAYS("assign", "[3], [3]", "only a state"), ag_assign(REAL(3), REAL(3)));
    REFUSED(SAYS("assign_where", "larger than the state"), ag_assign_where(STATE(3), REAL(2, 1), REAL(3)));
    REFUSED(SAYS("accumulate", "what it collects is [4]"),
            ag_accumulate(1, (ag_tensor *[]){STATE(3)}, (ag_tensor *[]){REAL(4)}, 1));
    REFUSED(SAYS("accumulate", "only a state"),
            ag_accumulate(1, (ag_tensor *[]){REAL(3)}, (ag_tensor *[]){REAL(3)}, 1));
    REFUSED(SAYS("average", "needs the number of the update"),
            ag_average(1, (ag_tensor *[]){STATE(3)}, (ag_tensor *[]){REAL(3)}, 0.9, true, NULL));
}

static void of_gradients(void **state)
{
    (void)state;
    ag_tensor *d[1];
    REFUSED(SAYS("gradient of square [3]", "only a real scalar"),
            ag_gradient(ag_square(REAL(3)), 1, (ag_tensor *[]){REAL(3)}, d));
    REFUSED(SAYS("no gradient to the table"), {
        ag_tensor *x = REAL(1, 3, 2, 4), *table = REAL(3, 2, 2);
        ag_gradient(ag_sum(ag_rotary(x, table)), 1, &table, d);
    });
    REFUSED(SAYS("no gradient through attention_cached"), {
        ag_tensor *x = REAL(1, 2, 3, 4), *cache = STATE(1, 9, 3, 4);
        ag_gradient(ag_sum(ag_attention_cached(x, x, x, cache, cache, I32(1), NULL, 0)), 1, &x, d);
    });
}

static void of_layers(void **state)
{
    (void)state;
    nn_params *p = nn_params_new(1);
#define LAYER nn_in(nn_root(p, g, true), SCOPE)
    REFUSED(SAYS("attention of 5 heads"), nn_attention(LAYER, REAL(1, 3, 12), &(nn_attention_opt){.heads = 5}));
    REFUSED(SAYS("attention of 2 heads"), nn_attention(LAYER, REAL(3, 12), &(nn_attention_opt){.heads = 2}));
    REFUSED(SAYS("matmul in " SCOPE, "not SiLU"),
            nn_linear(LAYER, REAL(2, 3), &(nn_linear_opt){.out = 4, .activation = AG_SILU}));
    REFUSED(SAYS("weight exists with another shape"), nn_linear(LAYER, REAL(2, 5), &(nn_linear_opt){.out = 4}));
    REFUSED(SAYS(".conv.weight: axis 0 of size 0"),
            nn_conv2d(nn_in(LAYER, "conv"), REAL(1, 4, 4, 6), &(nn_conv2d_opt){.out = 4, .kernel = 0}));
    REFUSED(SAYS("resize", "[4,2]"), nn_upsample(LAYER, REAL(4, 2)));
    nn_params_free(p);
}

static void of_networks(void **state)
{
    (void)state;
    nn_params *p = nn_params_new(1);
    const nn_vqgan_opt vqgan = {.levels = 9};
    const nn_vqvae2_opt vqvae2 = {.levels = 2, .hidden = 8, .residual = 4, .blocks = 1, .channels = 3},
                        deep = {.levels = 4};
    const nn_vit_opt vit = {.patch = 3, .width = 8}, narrow = {.patch = 2, .width = 6};
    const nn_dvae_opt dvae = {.width = 8, .blocks = 1, .codes = 4}, empty = {.width = 8};
    const nn_maskgit_opt maskgit = {.ch = 8, .levels = 3, .ch_mult = {1, 1, 1}}, no_levels = {.ch = 8};
    const nn_magvit2_opt magvit2 = {.ch = 8, .levels = 3, .ch_mult = {1, 1, 1}}, none = {.ch = 8};
    const nn_attention_opt one_layer = {.heads = 2, .names.qkv = "qkv", .no_key_bias = true};
    REFUSED(SAYS("9 levels; there can be 1 to 8"), nn_vqgan_encoder(LAYER, REAL(1, 8, 8, 3), &vqgan));
    REFUSED(SAYS("9 levels; there can be 1 to 8"), nn_vqgan_decoder(LAYER, REAL(1, 8, 8, 3), &vqgan));
    REFUSED(SAYS("image of 8 x 12; both must be multiples of 8"),
            nn_vqvae2_encode(LAYER, REAL(1, 8, 12, 3), &vqvae2, NULL));
    REFUSED(SAYS("4 levels; there can be 1 to 3"), nn_vqvae2_encode(LAYER, REAL(1, 64, 64, 3), &deep, NULL));
    REFUSED(SAYS("image of 8 x 6 does not cut into patches of 3"), nn_vit_encoder(LAYER, REAL(1, 8, 6, 3), &vit));
    REFUSED(SAYS("patches of 2 and width 6"), nn_vit_encoder(LAYER, REAL(1, 8, 6, 3), &narrow));
    REFUSED(SAYS("image of 8 x 12; both must be multiples of 8"), nn_dvae_encoder(LAYER, REAL(1, 8, 12, 3), &dvae));
    REFUSED(SAYS("0 blocks a group of width 8"), nn_dvae_decoder(LAYER, REAL(1, 2, 2, 4), &empty));
    REFUSED(SAYS("image of 8 x 6; both must be multiples of 4"), nn_maskgit_encoder(LAYER, REAL(1, 8, 6, 3), &maskgit));
    REFUSED(SAYS("0 levels"), nn_maskgit_decoder(LAYER, REAL(1, 8, 6, 3), &no_levels));
    REFUSED(SAYS("image of 8 x 6; both must be multiples of 4"), nn_magvit2_encoder(LAYER, REAL(1, 8, 6, 3), &magvit2));
    REFUSED(SAYS("0 levels"), nn_magvit2_decoder(LAYER, REAL(1, 8, 6, 3), &none));
    REFUSED(SAYS("[N,L] with at most 4 slots"),
            nn_gpt(LAYER, I32(2, 5), &(nn_gpt_opt){.codes = 3, .slots = 4, .width = 8}));
    REFUSED(SAYS("one layer for q, k and v"), nn_attention(LAYER, REAL(1, 3, 8), &one_layer));
    nn_params_free(p);
}

/* What comes after the first mistake does nothing and reports nothing. */
static void the_first_one_only(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    nn_params *p = nn_params_new(1);
    const nn_scope s = nn_root(p, g, true);
    ag_tensor *x = ag_concat(0, NULL, 0);
    assert_null(x);
    x = ag_add(REAL(2), REAL(3));
    assert_null(nn_conv2d(s, x, &(nn_conv2d_opt){.out = 1, .kernel = 1}));
    assert_null(nn_conv2d_transposed(s, x, &(nn_conv2d_opt){.out = 1, .kernel = 1}));
    assert_null(nn_downsample(s, x));
    assert_null(nn_upsample(s, x));
    assert_null(nn_linear(s, x, &(nn_linear_opt){.out = 1}));
    assert_null(nn_embedding(s, x, &(nn_embedding_opt){.K = 1, .D = 1}));
    assert_null(nn_layer_norm(s, x, NULL));
    assert_null(nn_rms_norm(s, x, NULL));
    assert_null(nn_group_norm(s, x, NULL));
    assert_null(nn_batch_norm(s, x, NULL));
    assert_null(nn_attention(s, x, &(nn_attention_opt){.heads = 1}));
    assert_null(nn_mse(x, x));
    assert_int_equal(nn_params_count(p), 0);
    refused(g, (const char *const[]){"add of [2], [3]", NULL});
    nn_params_free(p);
}

int main(void)
{
#define MESSAGES(name) cmocka_unit_test_setup_teardown(name, none_so_far, none_at_the_end)
    const struct CMUnitTest tests[] = {
        MESSAGES(of_arithmetic),       MESSAGES(of_shapes),          MESSAGES(of_types),
        MESSAGES(of_products),         MESSAGES(of_convolutions),    MESSAGES(of_resampling),
        MESSAGES(of_norms_and_losses), MESSAGES(of_attention),       MESSAGES(of_a_cache),
        MESSAGES(of_effects),          MESSAGES(of_gradients),       MESSAGES(of_layers),
        MESSAGES(of_networks),         MESSAGES(the_first_one_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
