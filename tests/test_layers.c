/* Every layer of nn/ against PyTorch (tests/fixtures/make_layers.py): results, gradients of inputs and parameters, buffers after two
 * steps. The layers of the whole VQ-VAE together: test_parity.c. */
#include "nn/networks.h"
#include "parity.h"

/* Largest difference of a tensor, relative to its largest number. */
#ifdef AG_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 5e-6
#endif

/* ---- convolutions ---------------------------------------------------------------------------------------------------- */

static void conv2d(parity *c)
{
    ag_tensor *x = IN(2, 7, 6, 5), *residual = IN(2, 4, 4, 6);
    const nn_conv2d_opt o = {.out = 6,
                             .kernel = 3,
                             .stride = 2,
                             .pad = 1,
                             .pads = {0, 1, 2, 0},
                             .activation = AG_RELU,
                             .residual = residual};
    RESULT(nn_conv2d(c->s, x, &o));
}

static void conv2d_dilated_groups(parity *c)
{
    const nn_conv2d_opt o = {.out = 6, .kernel = 3, .pad = 2, .pads = {0, 1, 0, 0}, .dilation = 2, .groups = 2};
    RESULT(nn_conv2d(c->s, IN(1, 6, 7, 4), &o));
}

static void conv2d_same(parity *c)
{
    RESULT(nn_conv2d(c->s, IN(1, 6, 5, 9), &(nn_conv2d_opt){.out = 17, .kernel = 3, .pad = 1}));
}

static void conv2d_point(parity *c)
{
    RESULT(nn_conv2d(c->s, IN(2, 3, 4, 17), &(nn_conv2d_opt){.out = 18, .kernel = 1, .no_bias = true}));
}

static void conv2d_transposed(parity *c)
{
    ag_tensor *x = IN(2, 3, 4, 6), *residual = IN(2, 5, 8, 5);
    const nn_conv2d_opt o = {.out = 5,
                             .kernel = 4,
                             .stride = 2,
                             .pad = 1,
                             .pads = {0, 1, 0, 0},
                             .activation = AG_RELU,
                             .residual = residual};
    RESULT(nn_conv2d_transposed(c->s, x, &o));
}

static void conv2d_transposed_groups(parity *c)
{
    const nn_conv2d_opt o = {.out = 6, .kernel = 3, .pad = 1, .no_bias = true, .dilation = 2, .groups = 2};
    RESULT(nn_conv2d_transposed(c->s, IN(1, 5, 4, 4), &o));
}

static void downsample(parity *c) { RESULT(nn_downsample(c->s, IN(2, 6, 5, 4))); }
static void upsample(parity *c) { RESULT(nn_upsample(c->s, IN(1, 3, 4, 5))); }

/* ---- products and tables ------------------------------------------------------------------------------------------------ */

static void linear(parity *c)
{
    ag_tensor *x = IN(2, 3, 5), *residual = IN(2, 3, 4);
    RESULT(nn_linear(c->s, x, &(nn_linear_opt){.out = 4, .activation = AG_RELU, .residual = residual}));
}

static void linear_plain(parity *c)
{
    RESULT(nn_linear(c->s, IN(5, 17), &(nn_linear_opt){.out = 18, .no_bias = true}));
}

static void embedding(parity *c) { RESULT(nn_embedding(c->s, IDS(0, 6, 2, 5), &(nn_embedding_opt){.K = 6, .D = 3})); }

static void mse(parity *c)
{
    ag_tensor *y = IN(2, 3, 5), *x = IN(2, 3, 5);
    RESULT(nn_mse(y, x));
}

/* ---- norms --------------------------------------------------------------------------------------------------------------- */

static void layer_norm(parity *c) { RESULT(nn_layer_norm(c->s, IN(2, 3, 7), NULL)); }
static void layer_norm_wide(parity *c)
{
    RESULT(nn_layer_norm(c->s, IN(3, 37), &(nn_norm_opt){.no_bias = true, .epsilon = 1e-6}));
}
static void layer_norm_plain(parity *c)
{
    RESULT(nn_layer_norm(c->s, IN(2, 3, 19), &(nn_norm_opt){.no_affine = true, .epsilon = 0.1}));
}
static void rms_norm(parity *c) { RESULT(nn_rms_norm(c->s, IN(2, 3, 7), NULL)); }
static void rms_norm_plain(parity *c)
{
    RESULT(nn_rms_norm(c->s, IN(4, 35), &(nn_norm_opt){.no_affine = true, .epsilon = 1e-6}));
}
static void group_norm(parity *c)
{
    RESULT(nn_group_norm(c->s, IN(2, 3, 4, 24), &(nn_norm_opt){.groups = 4, .epsilon = 1e-6, .activation = AG_SILU}));
}
static void group_norm_default(parity *c) { RESULT(nn_group_norm(c->s, IN(2, 3, 2, 64), NULL)); }
static void group_norm_relu(parity *c)
{
    RESULT(nn_group_norm(c->s, IN(1, 2, 3, 4, 9), &(nn_norm_opt){.groups = 3, .no_bias = true, .activation = AG_RELU}));
}
static void group_norm_plain(parity *c)
{
    RESULT(nn_group_norm(c->s, IN(3, 5, 11), &(nn_norm_opt){.groups = 1, .no_affine = true, .activation = AG_SILU}));
}

static void batch_norm(parity *c)
{
    RESULT(nn_batch_norm(c->s, IN(3, 4, 5, 6), &(nn_norm_opt){.activation = AG_RELU}));
}
static void batch_norm_silu(parity *c) { RESULT(nn_batch_norm(c->s, IN(7, 9), &(nn_norm_opt){.activation = AG_SILU})); }
static void batch_norm_plain(parity *c) { RESULT(nn_batch_norm(c->s, IN(2, 3, 5), &(nn_norm_opt){.no_affine = true})); }

/* One layer and two batches in one step: each by its own statistics, and the buffers follow both in turn. */
static void batch_norm_twice(parity *c)
{
    ag_tensor *a = IN(2, 3, 5), *b = IN(4, 2, 5);
    RESULT(nn_batch_norm(c->s, a, NULL));
    RESULT(nn_batch_norm(c->s, b, NULL));
}

static void batch_norm_evaluated_relu(parity *c)
{
    RESULT(nn_batch_norm(c->s, IN(2, 3, 4, 6), &(nn_norm_opt){.activation = AG_RELU}));
}
static void batch_norm_evaluated_silu(parity *c)
{
    RESULT(nn_batch_norm(c->s, IN(2, 3, 4, 6), &(nn_norm_opt){.activation = AG_SILU}));
}
static void batch_norm_evaluated_plain(parity *c)
{
    RESULT(nn_batch_norm(c->s, IN(2, 3, 6), &(nn_norm_opt){.no_affine = true, .epsilon = 0.01}));
}

static void used_statistics(parity *c)
{
    nn_param *mean = nn_params_find(c->params, "running_mean"), *variance = nn_params_find(c->params, "running_var");
    for (int64_t i = 0; i < mean->numel; i++) {
        ((real *)mean->data)[i] = (real)golden_u((uint32_t)i);
        ((real *)variance->data)[i] = (real)(1 + golden_u(100 + (uint32_t)i));
    }
}

/* ---- attention -------------------------------------------------------------------------------------------------------------- */

static void attention_self(parity *c)
{
    ag_tensor *x = IN(2, 5, 12), *residual = IN(2, 5, 12);
    RESULT(nn_attention(c->s, x, &(nn_attention_opt){.heads = 3, .residual = residual}));
}

static ag_tensor *padding; /* [2,1,6]: the last two keys of sample 1 are padding */

static void attention_cross(parity *c)
{
    ag_tensor *x = IN(2, 4, 8), *context = IN(2, 6, 5);
    padding = ag_input(c->g, "padding", AG_U8, 3, (int64_t[]){2, 1, 6});
    const nn_attention_opt o = {.heads = 2, .context = context, .mask = padding, .scale = 0.75, .no_bias = true};
    RESULT(nn_attention(c->s, x, &o));
}

static void pad_keys(parity *c)
{
    (void)c;
    for (int i = 0; i < 12; i++) ((uint8_t *)ag_data(padding))[i] = i < 10;
}

static void attention_rotary(parity *c)
{
    ag_tensor *x = IN(2, 9, 12), *bias = IN(2, 9, 9);
    const nn_attention_opt o = {
        .heads = 2,
        .bias = bias,
        .no_key_bias = true,
        .mask = ag_attention_mask(c->g, &(ag_mask_options){.kind = AG_MASK_CAUSAL, .length = 9, .prefix = 3}),
        .rotary = ag_rotary_table(c->g, &(ag_rotary_options){.width = 6, .rows = 9})};
    RESULT(nn_attention(c->s, x, &o));
}

static void attention_one_layer(parity *c)
{
    const nn_attention_opt o = {.heads = 2, .width = 12, .names.qkv = "qkv"};
    RESULT(nn_attention(c->s, IN(2, 5, 8), &o));
}

static void attention_no_qkv_bias(parity *c)
{
    RESULT(nn_attention(c->s, IN(2, 5, 8), &(nn_attention_opt){.heads = 2, .no_qkv_bias = true}));
}

/* ---- transformers -------------------------------------------------------------------------------------------------------------- */

static void transformer(parity *c, nn_transformer_opt o)
{
    o.blocks = 1;
    o.heads = 2;
    o.hidden = 12;
    o.epsilon = 1e-6;
    RESULT(nn_transformer(c->s, IN(2, 5, 8), &o));
}
static void transformer_gelu_tanh(parity *c)
{
    transformer(c, (nn_transformer_opt){.activation = NN_MLP_GELU_TANH, .causal = true});
}
static void transformer_quick_gelu(parity *c) { transformer(c, (nn_transformer_opt){.activation = NN_MLP_QUICK_GELU}); }
static void transformer_relu(parity *c)
{
    transformer(c, (nn_transformer_opt){.activation = NN_MLP_RELU, .no_bias = true, .no_final_norm = true});
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------ */

static const parity_case cases[] = {
    CASE(conv2d),
    CASE(conv2d_dilated_groups),
    CASE(conv2d_same),
    CASE(conv2d_point),
    CASE(conv2d_transposed),
    CASE(conv2d_transposed_groups),
    CASE(downsample),
    CASE(upsample),
    CASE(linear),
    CASE(linear_plain),
    CASE(embedding),
    CASE(mse),
    CASE(layer_norm),
    CASE(layer_norm_wide),
    CASE(layer_norm_plain),
    CASE(rms_norm),
    CASE(rms_norm_plain),
    CASE(group_norm),
    CASE(group_norm_default),
    CASE(group_norm_relu),
    CASE(group_norm_plain),
    CASE(batch_norm, .runs = 2),
    CASE(batch_norm_silu, .runs = 2),
    CASE(batch_norm_plain, .runs = 2),
    CASE(batch_norm_twice, .runs = 2),
    CASE(batch_norm_evaluated_relu, .evaluation = true, .prepare = used_statistics),
    CASE(batch_norm_evaluated_silu, .evaluation = true, .prepare = used_statistics),
    CASE(batch_norm_evaluated_plain, .evaluation = true, .prepare = used_statistics),
    CASE(attention_self),
    CASE(attention_cross, .prepare = pad_keys),
    CASE(attention_rotary),
    CASE(attention_one_layer),
    CASE(attention_no_qkv_bias),
    CASE(transformer_gelu_tanh),
    CASE(transformer_quick_gelu),
    CASE(transformer_relu),
};
enum { CASES = sizeof cases / sizeof *cases };

static void layers_equal_pytorch(void **state)
{
    (void)state;
    parity_check_all(TEST_FILES "/fixtures/layers.h5", CASES, cases, TOLERANCE);
}

static void thread_count_changes_no_bit(void **state)
{
    (void)state;
    parity_check_threads(CASES, cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_equal_pytorch),
        cmocka_unit_test(thread_count_changes_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
