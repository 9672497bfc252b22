/* VQ-VAE-2, ViT-VQGAN, the dVAE, MaskGIT's and Open-MAGVIT2's networks against PyTorch (tests/fixtures/make_tokenizers.py). */
#include "networks.h"

/* The fixture is float. */
#ifdef AG_DOUBLE
#define TOLERANCE 3e-7
#else
#define TOLERANCE 5e-5
#endif

/* Three levels; the image, then the loss of each. */
static ag_tensor *vqvae2(nn_scope root, ag_tensor *x)
{
    const nn_quantizer_opt q = {.K = 7, .D = 3, .beta = 0.25, .rule = NN_CODEBOOK_GRADIENT};
    const nn_vqvae2_opt o = {
        .levels = 3, .hidden = 8, .residual = 4, .blocks = 1, .channels = 2, .quantizer = {q, q, q}};
    nn_vqvae2_encoded e = nn_vqvae2_encode(root, x, &o, NULL);
    ag_tensor *latents[3], *all[4];
    for (int i = 0; i < 3; i++) {
        latents[i] = e.q[i].latents;
        all[i + 1] = ag_reshape(nn_quantized_loss(&e.q[i]), 1, (int64_t[]){1});
    }
    all[0] = nn_vqvae2_decode(root, latents, &o);
    all[0] = ag_reshape(all[0], 1, (int64_t[]){ag_numel(all[0])});
    return ag_concat(4, all, 0);
}

static nn_vit_opt vit(bool paper)
{
    return (nn_vit_opt){.patch = 3,
                        .width = 8,
                        .blocks = 2,
                        .heads = 2,
                        .heads_width = 12,
                        .hidden = 10,
                        .activation = paper ? NN_MLP_GELU : NN_MLP_TANH,
                        .head = paper,
                        .channels = 2};
}

static ag_tensor *vit_encoder(nn_scope root, ag_tensor *x)
{
    const nn_vit_opt o = vit(false);
    return nn_vit_encoder(root, x, &o);
}

static ag_tensor *vit_decoder(nn_scope root, ag_tensor *x)
{
    const nn_vit_opt o = vit(true);
    return nn_vit_decoder(root, x, &o);
}

static const nn_dvae_opt dvae = {.width = 4, .blocks = 1, .codes = 5, .initial = 6, .out = 4};
static ag_tensor *dvae_encoder(nn_scope root, ag_tensor *x) { return nn_dvae_encoder(root, x, &dvae); }
static ag_tensor *dvae_decoder(nn_scope root, ag_tensor *x) { return nn_dvae_decoder(root, x, &dvae); }

/* Widths 6 and 12. */
static nn_maskgit_opt maskgit(bool published)
{
    return (nn_maskgit_opt){.ch = 6,
                            .levels = 2,
                            .ch_mult = {1, 2},
                            .blocks = 1,
                            .z_channels = 5,
                            .channels = 2,
                            .groups = 3,
                            .published_skip = published};
}

static ag_tensor *maskgit_encoder(nn_scope root, ag_tensor *x)
{
    const nn_maskgit_opt o = maskgit(false);
    return nn_maskgit_encoder(root, x, &o);
}

static ag_tensor *maskgit_decoder(nn_scope root, ag_tensor *x)
{
    const nn_maskgit_opt o = maskgit(true);
    return nn_maskgit_decoder(root, x, &o);
}

static const nn_magvit2_opt magvit2 = {
    .ch = 6, .levels = 2, .ch_mult = {1, 2}, .blocks = 1, .z_channels = 4, .channels = 2, .groups = 3};
static ag_tensor *magvit2_encoder(nn_scope root, ag_tensor *x) { return nn_magvit2_encoder(root, x, &magvit2); }
static ag_tensor *magvit2_decoder(nn_scope root, ag_tensor *x) { return nn_magvit2_decoder(root, x, &magvit2); }

static const network_case cases[] = {
    {"vqvae2", vqvae2, 4, {2, 32, 16, 2}, 0, false},
    {"vit_encoder", vit_encoder, 4, {2, 9, 6, 2}, 0, false},
    {"vit_decoder", vit_decoder, 4, {2, 2, 3, 8}, 0, false},
    {"dvae_encoder", dvae_encoder, 4, {2, 16, 8, 2}, 0, false},
    {"dvae_decoder", dvae_decoder, 4, {2, 1, 2, 5}, 0, false},
    {"maskgit_encoder", maskgit_encoder, 4, {2, 6, 8, 2}, 0, false},
    {"maskgit_decoder", maskgit_decoder, 4, {2, 3, 2, 5}, 0, false},
    {"magvit2_encoder", magvit2_encoder, 4, {2, 6, 8, 2}, 0, false},
    {"magvit2_decoder", magvit2_decoder, 4, {2, 3, 2, 4}, 0, false},
};

static void networks_equal_pytorch(void **state)
{
    (void)state;
    network_check_all(TEST_FILES "/fixtures/tokenizers.h5", sizeof cases / sizeof *cases, cases, TOLERANCE);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    network_check_bits(sizeof cases / sizeof *cases, cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(networks_equal_pytorch),
                                       cmocka_unit_test(bits_do_not_depend_on_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
