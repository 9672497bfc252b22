/* What does not fit a network is one mistake of the graph that names the scope and the sizes; nothing crashes on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "nn/losses.h"
#include "nn/networks.h"

static ag_tensor *image(nn_scope s, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return ag_input(s.graph, "x", AG_REAL, 4, (int64_t[]){n, h, w, c});
}

static ag_tensor *vqgan_size(nn_scope s)
{
    const nn_vqgan_opt o = {.ch = 32, .levels = 2, .ch_mult = {1, 1}, .z_channels = 4, .initial_halving = true};
    return nn_vqgan_encoder(s, image(s, 1, 8, 6, 3), &o);
}

static ag_tensor *vqgan_levels(nn_scope s)
{
    return nn_vqgan_decoder(s, image(s, 1, 8, 8, 3), &(nn_vqgan_opt){.ch = 32, .levels = 9});
}

static ag_tensor *vqgan_groups(nn_scope s)
{
    const nn_vqgan_opt o = {.ch = 48, .levels = 1, .ch_mult = {1}, .blocks = 1, .z_channels = 4};
    return nn_vqgan_encoder(s, image(s, 1, 8, 8, 3), &o);
}

static ag_tensor *transformer_heads(nn_scope s)
{
    ag_tensor *x = ag_input(s.graph, "x", AG_REAL, 3, (int64_t[]){1, 4, 10});
    return nn_transformer(s, x, &(nn_transformer_opt){.blocks = 1, .heads = 3});
}

static ag_tensor *gpt_length(nn_scope s)
{
    ag_tensor *x = ag_input(s.graph, "x", AG_I32, 2, (int64_t[]){1, 9});
    return nn_gpt(s, x, &(nn_gpt_opt){.codes = 5, .slots = 8, .width = 8, .stack = {.blocks = 1, .heads = 1}});
}

static ag_tensor *one_layer_needs_one_input(nn_scope s)
{
    ag_tensor *x = ag_input(s.graph, "x", AG_REAL, 3, (int64_t[]){1, 4, 10});
    return nn_attention(s, x, &(nn_attention_opt){.heads = 2, .names = {.qkv = "qkv"}, .context = x});
}

static const nn_quantizer_opt none = {.kind = NN_QUANTIZER_NONE, .D = 4};

static ag_tensor *vqvae2_size(nn_scope s)
{
    const nn_vqvae2_opt o = {
        .levels = 3, .hidden = 8, .residual = 4, .blocks = 1, .channels = 3, .quantizer = {none, none, none}};
    return nn_vqvae2_encode(s, image(s, 1, 32, 24, 3), &o, NULL).q[0].latents;
}

static ag_tensor *vqvae2_levels(nn_scope s)
{
    ag_tensor *none_at_all[1] = {NULL};
    return nn_vqvae2_decode(s, none_at_all, &(nn_vqvae2_opt){.levels = 4});
}

static ag_tensor *vit_size(nn_scope s)
{
    return nn_vit_encoder(s, image(s, 1, 16, 12, 3), &(nn_vit_opt){.patch = 8, .width = 8, .blocks = 1, .heads = 1});
}

static ag_tensor *vit_width(nn_scope s)
{
    return nn_vit_decoder(s, image(s, 1, 2, 2, 6), &(nn_vit_opt){.patch = 8, .width = 6});
}

static ag_tensor *dvae_size(nn_scope s)
{
    return nn_dvae_encoder(s, image(s, 1, 16, 12, 3), &(nn_dvae_opt){.width = 4, .blocks = 1, .codes = 4});
}

static ag_tensor *maskgit_size(nn_scope s)
{
    return nn_maskgit_encoder(s, image(s, 1, 16, 10, 3), &(nn_maskgit_opt){.ch = 32, .levels = 3});
}

static ag_tensor *magvit2_size(nn_scope s)
{
    return nn_magvit2_encoder(s, image(s, 1, 9, 8, 3), &(nn_magvit2_opt){.ch = 32, .levels = 2});
}

static ag_tensor *magvit2_map(nn_scope s)
{
    return nn_magvit2_decoder(s, image(s, 1, 1, 1, 3), &(nn_magvit2_opt){.ch = 32, .levels = 1});
}

static ag_tensor *patchgan_layers(nn_scope s)
{
    return nn_patchgan(s, image(s, 1, 32, 32, 3), &(nn_patchgan_opt){.width = 8});
}

static ag_tensor *patchgan_size(nn_scope s)
{
    return nn_patchgan(s, image(s, 1, 4, 4, 3), &(nn_patchgan_opt){.width = 8, .layers = 3});
}

static ag_tensor *stylegan_batch(nn_scope s)
{
    return nn_stylegan(s, image(s, 6, 8, 8, 3), &(nn_stylegan_opt){.levels = 1, .width = {8}});
}

static ag_tensor *stylegan_size(nn_scope s)
{
    return nn_stylegan(s, image(s, 2, 8, 6, 3), &(nn_stylegan_opt){.levels = 3, .width = {8, 8, 8}});
}

static ag_tensor *lpips_channels(nn_scope s)
{
    return nn_lpips(s, image(s, 1, 16, 16, 2), image(s, 1, 16, 16, 2), NULL, NULL);
}

static ag_tensor *structure_range(nn_scope s)
{
    ag_tensor *x = image(s, 1, 16, 16, 3);
    return nn_structure(x, x, 1, 1, 0);
}

static const struct {
    ag_tensor *(*build)(nn_scope s);
    const char *says;
} mistakes[] = {
    {vqgan_size, "net: an image of 8 x 6; both must be multiples of 4"},
    {vqgan_levels, "net: 9 levels; there can be 1 to 8"},
    {vqgan_groups, "net.down.0.block.0.norm1"},
    {transformer_heads, "net.blocks.0: attention of 3 heads"},
    {gpt_length, "net: codes must be [N,L] with at most 8 slots"},
    {one_layer_needs_one_input, "net: one layer for q, k and v"},
    {vqvae2_size, "net: an image of 32 x 24; both must be multiples of 16"},
    {vqvae2_levels, "net: 4 levels; there can be 1 to 3"},
    {vit_size, "net: an image of 16 x 12 does not cut into patches of 8"},
    {vit_width, "net: patches of 8 and width 6"},
    {dvae_size, "net: an image of 16 x 12; both must be multiples of 8"},
    {maskgit_size, "net: an image of 16 x 10; both must be multiples of 4"},
    {magvit2_size, "net: an image of 9 x 8; both must be multiples of 2"},
    {magvit2_map, "net: the variance over one position"},
    {structure_range, "structure: a range of 1 to 1"},
    {patchgan_layers, "net: 0 layers of width 8"},
    {patchgan_size, "net.main"},
    {stylegan_batch, "net: groups of 4 images do not divide the batch of 6"},
    {stylegan_size, "net: an image of 8 x 6 cannot be halved 2 times"},
    {lpips_channels, "net: LPIPS takes images of 16 x 16 or more with 1 or 3 channels, not 16 x 16 with 2"},
};

static void mistakes_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        assert_null(mistakes[i].build(nn_in(nn_root(p, g, true), "net")));
        assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
        if (!strstr(ag_error_message(), mistakes[i].says))
            fail_msg("\"%s\" does not say \"%s\"", ag_error_message(), mistakes[i].says);
        ag_graph_free(g);
        nn_params_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mistakes_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
