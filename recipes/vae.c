/* VAE with Gaussian latents: Kingma, Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114, with the networks, sums and weights
 * of latent diffusion: Rombach and others 2022, arXiv:2112.10752, G, and its code.
 *
 *     x -> encoder -> quant_conv -> mean, logvar -> latents mean + exp(logvar / 2) noise -> post_quant_conv -> decoder -> y
 *     loss = sum |y - x| + kl * sum (mean^2 + exp(logvar) - 1 - logvar) / 2          x = 2 pixel / 255 - 1
 *
 * Sums are over an image, means over images; sums=false takes means of both. The published code divides the first sum by exp(s) and adds s
 * for every value, but never trains s, which stays 0. Perceptual and adversarial losses as in VQGAN (adversarial_options.h). With another
 * quantizer the encoder gives what that one takes. */
#include "vqgan_network.h"

struct vae {
    struct vqgan_network n;
    bool sums;
};

/* clang-format off */
static const struct vae defaults = {
    .n = {.a = {.q = {.train = {TRAIN_DEFAULTS_WITH(0.5, 0.9), .batch = 12, .steps = 246803,    /* LDM, kl-f8; table 8 */
                                .lr = 5.4e-5},                                                  /* 4.5e-6 an image, times 12 */
                      QUANTIZER_COMMON, .quantizer = NN_QUANTIZER_GAUSSIAN, .codes = 512, .dim = 4, .scales = {4, {1, 2, 4, 8}},
                      .start = NN_START_KMEANS, .kl = 1e-6, .kl_sum = true, .table = true},     /* LDM, G */
                ADVERSARIAL_DEFAULTS, .disc_layers = 3, .gan_weight = 0.5, .disc_loss_weight = 1,
                .disc_start = 50001, .gan_start = 50001},                                       /* LDM, configs */
          VQGAN_NETWORK_DEFAULTS, .ch = 128, .ch_mult = {4, {1, 2, 4, 4}}, .z_channels = 4, .quant_kernel = 1},
    .sums = true,                                                                               /* LDM */
};

static const option rows[] = {
    OPTION_FLAG(struct vae, sums, "LDM", "losses of pixels are sums over an image, not means; kl_sum says it of the divergence"),
};
static const option_table table = {rows, (int)(sizeof rows / sizeof *rows), &vqgan_network_table};

#define MEANS "kl_sum=false sums=false pixel_loss=l2 discriminator=none beta1=0.9 beta2=0.999 "
static const recipe_preset presets[] = {
    {"cifar10", "32x32 images to 8x8x4; mean squared error, no discriminator",
     MEANS "ch=64 ch_mult=1,2,2 blocks=1 encoder_attention=2 decoder_attention=2 z_channels=4 dim=4 kl=1e-3 batch=64 "
     "steps=20000 lr=3e-4 clip=1 schedule=cosine warmup=500", 32},
    {"photos64", "64x64 photos to 16x16x4, mirrored images; SSIM and edges as perceptual loss",
     MEANS "ch=64 ch_mult=1,2,2 blocks=1 z_channels=4 dim=4 kl=1e-4 perceptual=ssim perceptual_factor=0.1 batch=16 "
     "steps=30000 lr=3e-4 clip=1 schedule=cosine warmup=500 flip=true", 64},
    {"tiny", "a minute on two cores: 1,004,871 parameters, 32x32 images to 8x8x4",
     MEANS "ch=32 ch_mult=1,2,2 blocks=1 encoder_attention=2 decoder_attention=2 z_channels=4 dim=4 kl=1e-3 batch=16 "
     "steps=300 lr=1e-3 log_every=25 eval_every=150 save_every=150 samples_every=150", 32},
    {"paper", "latent diffusion's kl-f8: 256x256 images to 32x32x4; 83,653,863 parameters; add perceptual=lpips with your weights",
     "ch=128 ch_mult=1,2,4,4 blocks=2 z_channels=4 dim=4 kl=1e-6 kl_sum=true sums=true pixel_loss=l1 batch=12 "
     "steps=246803 lr=5.4e-5 beta1=0.5 beta2=0.9", 256},
    {0},
};
/* clang-format on */

static ag_err check(const void *options, const image_shape *image)
{
    const struct vae *o = options;
    const int64_t values = image->height * image->width * image->channels;
    const ag_err err = vqgan_network_check(&o->n, image, false);
    if (err || o->n.a.q.quantizer != NN_QUANTIZER_GAUSSIAN || o->sums == o->n.a.q.kl_sum) return err;
    return ag_fail(AG_ERR_USAGE,
                   "sums=%s, kl_sum=%s: one loss would be a sum over an image (of %lld values) and the other a mean; "
                   "set both alike",
                   o->sums ? "true" : "false", o->n.a.q.kl_sum ? "true" : "false", (long long)values);
}

static void build(run *r, const void *options)
{
    const struct vae *o = options;
    struct vqgan_network n = o->n;
    ag_tensor *x = r->images, *pixels = NULL; /* [N,H,W,C] in -1 .. 1 */
    ag_tensor *z = vqgan_network_encode(r, &n, x, quantizer_width(&n.a.q), false);
    ag_tensor *y = vqgan_network_decode(r, &n, quantize(r, &n.a.q, "quantize", z), false);
    if (o->sums && y) {
        const double values = (double)(ag_numel(x) / ag_dim(x, 0));
        pixels = ag_scale(adversarial_pixels(r, &n.a, y), values);
        n.a.perceptual_factor *= values; /* the published code adds the distance to every value */
    }
    vqgan_network_losses(r, &n, pixels, y);
}

const recipe recipe_vae = {
    .name = "vae",
    .title = "VAE: continuous Gaussian latents",
    .paper = "Kingma, Welling 2014, arXiv:1312.6114; Rombach and others 2022, arXiv:2112.10752",
    .options_size = sizeof(struct vae),
    .defaults = &defaults,
    .options = &table,
    .presets = presets,
    .scale = 2,
    .shift = -1,
    .check = check,
    .takes = quantizer_takes,
    .settle = adversarial_settle,
    .build = build,
    .decode = vqgan_decode,
    .grid = vqgan_grid,
    .code_shape = vqgan_code_shape,
};
