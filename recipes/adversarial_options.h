/* The options of losses that look at pictures as wholes (adversarial, perceptual), the same in every recipe that has them, and the call
 * that makes the losses and the two update phases:
 *
 *     struct vqgan { struct adversarial_options a; int64_t ch; };          // the first field: a.q is its first, a.q.train is q's
 *     static const option_table table = {rows, n, &adversarial_option_table};     // goes on with quantizer and train options
 *     ...
 *     adversarial_losses(r, &o->a, NULL, y, y, "decoder.conv_out", parts);
 *
 * Of one batch, with y = G(x), W the weight of the generator's last layer:
 *
 *     nll       = pixels(y, x) + perceptual_factor * perceptual(y, x)
 *     generator = nll + gan_weight * w(t) * lambda * g(D(y)) + terms of the quantizer
 *     lambda    = |d nll / dW| / (|d g / dW| + 1e-4) cut to 0..adaptive_limit, a constant for the gradient; 1 if adaptive=false
 *     w(t)      = 0 up to gan_start, then over gan_ramp updates to 1, times the state `optimizer.adversarial.scale` (back-off)
 *     discriminator = disc_loss_weight * (d(D(x), D(sg(y))) + r1 |d D(x) / dx|^2 + lecam LeCAM)        from disc_start on
 *
 * Esser, Rombach, Ommer 2021, arXiv:2012.09841, eq. 5 to 7. Both phases take gradients at the weights from before the step, so D judges each
 * batch of reconstructions once for both (the first public code ran G again, after its update, for D's turn). */
#ifndef RECIPES_ADVERSARIAL_OPTIONS_H
#define RECIPES_ADVERSARIAL_OPTIONS_H

#include "nn/losses.h"
#include "nn/networks.h"
#include "quantizer_options.h"

typedef enum discriminator_kind {
    DISCRIMINATOR_NONE,
    DISCRIMINATOR_PATCHGAN,
    DISCRIMINATOR_STYLEGAN
} discriminator_kind;
typedef enum perceptual_kind {
    PERCEPTUAL_NONE,
    PERCEPTUAL_LPIPS,
    PERCEPTUAL_SSIM,
    PERCEPTUAL_FEATURES
} perceptual_kind;
typedef enum pixel_loss { PIXEL_L1, PIXEL_L2, PIXEL_HUBER } pixel_loss;

struct adversarial_options {
    struct quantizer_options q;
    int pixel_loss;    /* enum pixel_loss */
    int discriminator; /* discriminator_kind */
    int64_t disc_layers, disc_width;
    int disc_norm; /* nn_patchgan_norm */
    int gan;       /* nn_gan_kind */
    double gan_weight, disc_loss_weight, disc_rate;
    bool adaptive;
    double adaptive_limit;
    int64_t disc_start, gan_start, gan_ramp;
    double r1, lecam, backoff;
    int perceptual; /* perceptual_kind */
    double perceptual_factor;
    char perceptual_weights[256], perceptual_sha256[65];
};

/* Everything but layers, weights and onsets; no perceptual loss, as its weights are not ours to ship. */
#define ADVERSARIAL_DEFAULTS                                                                                           \
    .discriminator = DISCRIMINATOR_PATCHGAN, .disc_width = 64, .disc_rate = 1, .adaptive = true,                       \
    .adaptive_limit = 1e4, .perceptual_factor = 1, .backoff = 0.25

extern const option_table adversarial_option_table;

/* Contradicting options, those of the quantizer too, for a recipe's check function. */
ag_err adversarial_check(const struct adversarial_options *o, const image_shape *image);

/* For a recipe's settle function: perceptual_sha256 of perceptual=features, unless it is given. Errors: those of reading the weights. */
ag_err adversarial_settle(void *options);

/* pixel_loss of y and r->images. */
ag_tensor *adversarial_pixels(run *r, const struct adversarial_options *o, ag_tensor *y);
/* The losses of the reconstruction y [N,H,W,C] of r->images, in the range of the recipe, added to those that the quantizer has left in r,
 * then the phases "generator" (of the parameters whose names begin with one of `parts`, ended by NULL) and "discriminator". Sets
 * r->reconstruction and r->mse. `pixels`: a weighted loss of the recipe's own in place of pixel_loss, NULL: that. `last`: scope of
 * the layer whose weight gives lambda; `out`: its result, y or what y is a part of: all that y and `pixels` take from the networks. Outside of training it makes no discriminator. */
void adversarial_losses(run *r, const struct adversarial_options *o, ag_tensor *pixels, ag_tensor *y, ag_tensor *out,
                        const char *last, const char *const *parts);

#endif
