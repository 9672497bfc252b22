/* Losses: tensors -> scalar tensors [] (unless said), the mean over every element, without weights. nn_mse is in nn.h; what quantizers add to
 * a loss is in quantizer.h. All can be differentiated twice. Shapes that do not fit are mistakes of the graph. */
#ifndef NN_LOSSES_H
#define NN_LOSSES_H

#include "nn/nn.h"

/* ---- reconstruction: y and x of one shape ------------------------------------------------------------------------------ */

ag_tensor *nn_l1(ag_tensor *y, ag_tensor *x); /* |y - x| */
/* d^2 / 2 where |d| < delta, else delta (|d| - delta / 2), d = y - x. Huber 1964. delta > 0. */
ag_tensor *nn_huber(ag_tensor *y, ag_tensor *x, double delta);

/* Likelihood of pixels between 0 and 1: a Laplace distribution of their logits. Ramesh et al. 2021, arXiv:2102.12092, appendix A.3.
 *   -ln f(x) = |logit(x) - mean| / b + ln b + ln 2 + ln x + ln(1 - x),   b = e^log_scale
 * x in (0,1), not at the ends: nn_logit_laplace_map takes [0,1] to [epsilon, 1 - epsilon] (0.1 there), and nn_logit_laplace_image
 * takes a mean back to the picture it stands for, in [0,1]. */
ag_tensor *nn_logit_laplace(ag_tensor *mean, ag_tensor *log_scale, ag_tensor *x);
ag_tensor *nn_logit_laplace_map(ag_tensor *x, double epsilon);      /* like x */
ag_tensor *nn_logit_laplace_image(ag_tensor *mean, double epsilon); /* like mean */

/* Structure and edges at several sizes, which blur and lost texture raise more than mean errors: a perceptual loss without learned
 * weights; it is not LPIPS. With y and x at 1, 1/2, 1/4 ... of their size (means of 2 x 2), `scales` of them (0: 3) or as many as
 * are 16 pixels high and wide,
 *   (1/S) sum_s  1 - mean SSIM(y_s, x_s)  +  mean |dh y_s - dh x_s| + mean |dv y_s - dv x_s|
 * y, x [N,H,W,C], 16 x 16 or more, with black at `low` and white at `high` (-1 and 1 for images in [-1,1]): both are taken to [0,1]
 * first, so the same pictures have the same value in every range. SSIM by Gaussian windows of 11 x 11, deviation 1.5, inside the image,
 * per channel: Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13, whose means and constants 0.01^2 and 0.03^2 are those of [0,1]; dh, dv:
 * differences of neighbours, over half of the range. Errors: AG_ERR_SHAPE for smaller images, and if `low` is not below `high`. */
ag_tensor *nn_structure(ag_tensor *y, ag_tensor *x, double low, double high, int scales);

/* ---- adversarial -------------------------------------------------------------------------------------------------------- */

/* r, f: the discriminator's logits for real and made images.
 *                    discriminator                                     generator
 *   HINGE            (mean relu(1 - r) + mean relu(1 + f)) / 2         -mean f                     Lim, Ye 2017, arXiv:1705.02894
 *   VANILLA          (mean softplus(-r) + mean softplus(f)) / 2        -mean f                     as VQGAN's code has it
 *   NON_SATURATING   mean softplus(-r) + mean softplus(f)              mean softplus(-f)           Goodfellow et al. 2014, arXiv:1406.2661
 *   LEAST_SQUARES    (mean (r - 1)^2 + mean f^2) / 2                   mean (f - 1)^2 / 2          Mao et al. 2017, arXiv:1611.04076 */
typedef enum nn_gan_kind { NN_GAN_HINGE, NN_GAN_VANILLA, NN_GAN_NON_SATURATING, NN_GAN_LEAST_SQUARES } nn_gan_kind;
ag_tensor *nn_gan_discriminator(nn_gan_kind kind, ag_tensor *r, ag_tensor *f);
ag_tensor *nn_gan_generator(nn_gan_kind kind, ag_tensor *f);

/* Penalty on the gradient: mean over images of |d sum(logits) / d x|^2, with no factor 1/2. x [N,...]: the real images that `logits`
 * come from. Mescheder, Geiger, Nowozin 2018, arXiv:1801.04406, eq. 9 */
ag_tensor *nn_r1(ag_tensor *logits, ag_tensor *x);

/* mean relu(r - fake)^2 + mean relu(real - f)^2 with `real` and `fake` averages of the logits: buffers `ema_real`, `ema_fake` [], 0 at
 * first, that follow in training scopes with `decay` (0: 0.999). `update_first`: the term sees this step's averages
 * (Open-MAGVIT2). Tseng et al. 2021, arXiv:2104.03310, eq. 5 */
ag_tensor *nn_lecam(nn_scope s, ag_tensor *r, ag_tensor *f, double decay, bool update_first);

/* The weight that makes two losses pull equally at the last layer: |d_reconstruction| / (|d_adversarial| + 1e-4), cut to 0..limit (0: 1e4),
 * from the gradients of both for that layer's weight; no gradient passes through it. *raw (may be NULL) gets the ratio before
 * the cut. Esser, Rombach, Ommer 2021, arXiv:2012.09841, eq. 7 */
ag_tensor *nn_adaptive_weight(ag_tensor *d_reconstruction, ag_tensor *d_adversarial, double limit, ag_tensor **raw);

#endif
