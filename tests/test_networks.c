/* Networks against PyTorch (tests/fixtures/make_networks.py): results, gradients of the input and of every parameter, also when
 * the plan computes the marked blocks a second time. Images are not square. */
#include "networks.h"

/* The fixture is float. */
#ifdef AG_DOUBLE
#define TOLERANCE 3e-7
#else
#define TOLERANCE 5e-5
#endif

static ag_tensor *vqgan_encoder(nn_scope root, ag_tensor *x)
{
    const nn_vqgan_opt o = {.ch = 6,
                            .levels = 3,
                            .ch_mult = {1, 2, 2},
                            .blocks = 1,
                            .encoder_attention = {[1] = true},
                            .z_channels = 3,
                            .double_z = true,
                            .channels = 2,
                            .groups = 3};
    return nn_vqgan_encoder(nn_in(root, "encoder"), x, &o);
}

static ag_tensor *vqgan_decoder(nn_scope root, ag_tensor *x)
{
    const nn_vqgan_opt o = {.ch = 6,
                            .levels = 2,
                            .ch_mult = {1, 2},
                            .blocks = 1,
                            .decoder_attention = {[0] = true},
                            .z_channels = 5,
                            .channels = 2,
                            .groups = 3};
    return nn_vqgan_decoder(nn_in(root, "decoder"), x, &o);
}

static ag_tensor *gpt(nn_scope root, ag_tensor *codes)
{
    const nn_gpt_opt o = {.codes = 11, .out = 7, .slots = 9, .width = 12, .stack = {.blocks = 2, .heads = 3}};
    return nn_gpt(nn_in(root, "transformer"), codes, &o);
}

static ag_tensor *transformer_vit(nn_scope root, ag_tensor *x)
{
    return nn_transformer(root, x,
                          &(nn_transformer_opt){.blocks = 2,
                                                .heads = 2,
                                                .hidden = 20,
                                                .activation = NN_MLP_GELU_TANH,
                                                .epsilon = 1e-6,
                                                .no_key_bias = false});
}

static const network_case cases[] = {
    {"vqgan_encoder", vqgan_encoder, 4, {2, 12, 8, 2}, 0},
    {"vqgan_decoder", vqgan_decoder, 4, {2, 4, 6, 5}, 0},
    {"gpt", gpt, 2, {3, 8}, 11},
    {"vit", transformer_vit, 3, {2, 7, 10}, 0},
};

static void networks_equal_pytorch(void **state)
{
    (void)state;
    network_check_all(TEST_FILES "/fixtures/networks.h5", sizeof cases / sizeof *cases, cases, TOLERANCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(networks_equal_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
