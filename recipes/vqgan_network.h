/* The encoder and decoder of VQGAN with the convolutions around the quantizer, as the recipes vqgan, rqvae, hqvae and var-tokenizer have
 * them: their options, and the calls that build functions make. */
#ifndef RECIPES_VQGAN_NETWORK_H
#define RECIPES_VQGAN_NETWORK_H

#include "adversarial_options.h"

struct vqgan_network {
    struct adversarial_options a;
    int64_t ch, blocks, z_channels, groups, quant_kernel;
    option_list ch_mult, encoder_attention, decoder_attention; /* attention: numbers of levels, 0: that of the image */
    double dropout;
};

#define VQGAN_NETWORK_DEFAULTS .blocks = 2, .groups = 32

extern const option_table vqgan_network_table;

/* ---- recipes of one quantizer: functions of struct recipe, whose options are this struct -------------------------------------- */

ag_err vqgan_check(const void *options, const image_shape *image);
void vqgan_build(run *r, const void *options);
ag_tensor *vqgan_decode(run *r, const void *options, ag_tensor *const *codes);
void vqgan_grid(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width);
int vqgan_code_shape(const void *options, const image_shape *image, int level, int64_t *shape);

/* All of such a struct recipe but names, defaults and presets; the networks see 2 pixel / 255 - 1. */
#define VQGAN_NETWORK_RECIPE                                                                                           \
    .options_size = sizeof(struct vqgan_network), .options = &vqgan_network_table, .scale = 2, .shift = -1,            \
    .check = vqgan_check, .takes = quantizer_takes, .settle = adversarial_settle, .build = vqgan_build,                \
    .decode = vqgan_decode, .grid = vqgan_grid, .code_shape = vqgan_code_shape

/* ---- the parts, for recipes of another kind. `halving`: nn_vqgan_opt's initial_halving ---------------------------------------------- */

/* Options that contradict each other or the images; those of losses and quantizer too. */
ag_err vqgan_network_check(const struct vqgan_network *o, const image_shape *image, bool halving);
/* x [N,H,W,C] -> [N,h,w,width] before the quantizer: `encoder`, `quant_conv`. */
ag_tensor *vqgan_network_encode(run *r, const struct vqgan_network *o, ag_tensor *x, int64_t width, bool halving);
/* [N,h,w,D] -> [N,H,W,C]: `post_quant_conv`, `decoder`. */
ag_tensor *vqgan_network_decode(run *r, const struct vqgan_network *o, ag_tensor *q, bool halving);
/* The losses of y, and the phases, with `encoder`, `quant...`, `post_quant_conv`, `decoder` in the generator's. `pixels`: as adversarial_losses
 * has it, NULL: the pixel_loss of the options. */
void vqgan_network_losses(run *r, const struct vqgan_network *o, ag_tensor *pixels, ag_tensor *y);
/* How often the image is halved. */
int vqgan_network_halvings(const struct vqgan_network *o, bool halving);

#endif
