#include "vqgan_network.h"

#include <string.h>

#define V struct vqgan_network
static const option rows[] = {
    OPTION_INT(V, ch, 1, 8192, "recipe", "channels of the networks at the image's size, times ch_mult"),
    OPTION_LIST(V, ch_mult, 1, 64, "recipe",
                "channels of each level, as multiples of ch; every level but the last halves the image"),
    OPTION_INT(V, blocks, 1, 64, "VQGAN", "residual blocks of an encoder level; a decoder level has one more"),
    OPTION_LIST(V, encoder_attention, 0, 7, "recipe",
                "levels (0: the image's size) with attention after each block; the middle always has it"),
    OPTION_LIST(V, decoder_attention, 0, 7, "recipe", "the same of the decoder"),
    OPTION_INT(V, z_channels, 1, 8192, "recipe", "channels between the networks and the quantizer's convolutions"),
    OPTION_INT(V, quant_kernel, 1, 3, "recipe", "kernel of the convolutions before and after the quantizer: 1 or 3"),
    OPTION_INT(V, groups, 1, 1024, "VQGAN", "groups of the norms; they must divide every number of channels"),
    OPTION_REAL(V, dropout, 0, 0.95, "VQGAN", "of residual blocks"),
};
const option_table vqgan_network_table = {rows, (int)(sizeof rows / sizeof *rows), &adversarial_option_table};

int vqgan_network_halvings(const V *o, bool halving) { return o->ch_mult.n - 1 + halving; }

static void mark(const option_list *list, bool *levels)
{
    for (int i = 0; i < list->n; i++) levels[list->values[i]] = true;
}

static nn_vqgan_opt network(const V *o, int64_t channels, bool halving)
{
    nn_vqgan_opt n = {.ch = o->ch,
                      .levels = o->ch_mult.n,
                      .blocks = (int)o->blocks,
                      .z_channels = o->z_channels,
                      .channels = channels,
                      .dropout = o->dropout,
                      .groups = o->groups,
                      .double_z = o->a.q.quantizer == NN_QUANTIZER_GAUSSIAN,
                      .initial_halving = halving};
    for (int i = 0; i < o->ch_mult.n; i++) n.ch_mult[i] = (int)o->ch_mult.values[i];
    mark(&o->encoder_attention, n.encoder_attention);
    mark(&o->decoder_attention, n.decoder_attention);
    return n;
}

/* ---- contradictions ------------------------------------------------------------------------------------------------------ */

static ag_err check_levels(const V *o)
{
    const int n = o->ch_mult.n;
    if (n < 1 || n > NN_MOST_LEVELS)
        return ag_fail(AG_ERR_USAGE, "ch_mult: %d levels; give 1 to %d", n, NN_MOST_LEVELS);
    for (int i = 0; i < n; i++)
        if (o->ch * o->ch_mult.values[i] % o->groups)
            return ag_fail(AG_ERR_USAGE,
                           "ch=%lld times %lld of ch_mult are %lld channels, which groups=%lld do not divide; set ch "
                           "to a multiple of %lld, or other groups",
                           (long long)o->ch, (long long)o->ch_mult.values[i], (long long)(o->ch * o->ch_mult.values[i]),
                           (long long)o->groups, (long long)o->groups);
    if (o->quant_kernel == 2) return ag_fail(AG_ERR_USAGE, "quant_kernel=2: has no middle; set 1 or 3");
    return AG_OK;
}

static ag_err check_attention(const V *o, const char *name, const option_list *list)
{
    for (int i = 0; i < list->n; i++)
        if (list->values[i] >= o->ch_mult.n)
            return ag_fail(AG_ERR_USAGE, "%s: level %lld never occurs; ch_mult has %d levels, 0 to %d", name,
                           (long long)list->values[i], o->ch_mult.n, o->ch_mult.n - 1);
    return AG_OK;
}

static ag_err check_size(const V *o, const image_shape *image, int halvings)
{
    const int64_t f = (int64_t)1 << halvings, h = image->height / f * f, w = image->width / f * f;
    if (h == image->height && w == image->width && h && w) return AG_OK;
    return ag_fail(AG_ERR_USAGE,
                   "images of %lldx%lld: height and width must be multiples of 2^%d = %lld (%d levels of ch_mult); the "
                   "nearest smaller size is %lldx%lld: pack again with --size, or set fewer levels",
                   (long long)image->width, (long long)image->height, halvings, (long long)f, o->ch_mult.n,
                   (long long)(w ? w : f), (long long)(h ? h : f));
}

ag_err vqgan_network_check(const V *o, const image_shape *image, bool halving)
{
    ag_err err = check_levels(o);
    if (!err) err = check_attention(o, "encoder_attention", &o->encoder_attention);
    if (!err) err = check_attention(o, "decoder_attention", &o->decoder_attention);
    if (!err) err = check_size(o, image, o->ch_mult.n - 1 + halving);
    return err ? err : adversarial_check(&o->a, image);
}

/* ---- the parts ----------------------------------------------------------------------------------------------------------- */

static ag_tensor *around(nn_scope s, const V *o, ag_tensor *x, int64_t out)
{
    const int kernel = (int)o->quant_kernel;
    return nn_conv2d(s, x, &(nn_conv2d_opt){.out = out, .kernel = kernel, .pad = kernel / 2});
}

ag_tensor *vqgan_network_encode(run *r, const V *o, ag_tensor *x, int64_t width, bool halving)
{
    const nn_vqgan_opt net = network(o, r->build.image.channels, halving);
    ag_tensor *h = nn_vqgan_encoder(nn_in(r->root, "encoder"), x, &net);
    return around(nn_part(nn_in(r->root, "quant_conv"), "encoder"), o, h, width);
}

ag_tensor *vqgan_network_decode(run *r, const V *o, ag_tensor *q, bool halving)
{
    const nn_vqgan_opt net = network(o, r->build.image.channels, halving);
    ag_tensor *h = around(nn_part(nn_in(r->root, "post_quant_conv"), "decoder"), o, q, o->z_channels);
    return nn_vqgan_decoder(nn_in(r->root, "decoder"), h, &net);
}

void vqgan_network_losses(run *r, const V *o, ag_tensor *pixels, ag_tensor *y)
{
    static const char *const parts[] = {"encoder.", "quant", "post_quant_conv.", "decoder.", NULL};
    adversarial_losses(r, &o->a, pixels, y, y, "decoder.conv_out", parts);
}

/* ---- recipes of one quantizer --------------------------------------------------------------------------------------------------- */

ag_err vqgan_check(const void *options, const image_shape *image) { return vqgan_network_check(options, image, false); }

void vqgan_build(run *r, const void *options)
{
    const V *o = options;
    const struct quantizer_options *q = &o->a.q;
    ag_tensor *z = vqgan_network_encode(r, o, r->images, quantizer_width(q), false);
    ag_tensor *y = vqgan_network_decode(r, o, quantize(r, q, "quantize", z), false);
    vqgan_network_losses(r, o, NULL, y);
}

ag_tensor *vqgan_decode(run *r, const void *options, ag_tensor *const *codes)
{
    const V *o = options;
    return vqgan_network_decode(r, o, dequantize(r, &o->a.q, "quantize", codes[0]), false);
}

void vqgan_grid(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width)
{
    const int halvings = vqgan_network_halvings(options, false);
    (void)level;
    *height = image->height >> halvings;
    *width = image->width >> halvings;
}

int vqgan_code_shape(const void *options, const image_shape *image, int level, int64_t *shape)
{
    const V *o = options;
    int64_t h, w;
    vqgan_grid(options, image, level, &h, &w);
    return level ? 0 : quantizer_code_shape(&o->a.q, h, w, shape);
}
