/* The tokenizer of VAR: Tian, Jiang, Yuan, Peng, Wang 2024, "Visual Autoregressive Modeling", arXiv:2404.02905.
 *
 *     x -> VQGAN's encoder, 3x3 -> f -> maps of codes of growing size, each of what the ones before leave -> f_hat -> 3x3, decoder -> y
 *     generator      mse(y, x) + perceptual + weight * lambda * -mean D(y)
 *                    + mean over scales of mse(sg(f), f_hat_s) + beta * mse(f, sg(f_hat_s))
 *
 * Network, quantizer and its loss are the published ones; how the tokenizer was trained was not released: weights, rate and onset are ours. */
#include "vqgan_network.h"

/* clang-format off */
static const struct vqgan_network defaults = {
    .a = {.q = {.train = {TRAIN_DEFAULTS_WITH(0.5, 0.9), .batch = 64, .steps = 200000, .lr = 1e-4, .warmup = 5000}, /* ours */
                QUANTIZER_DEFAULTS_WITH(NN_CODEBOOK_GRADIENT, NN_START_UNIFORM), .quantizer = NN_QUANTIZER_MULTISCALE,
                .codes = 4096, .dim = 32, .scales = {10, {1, 2, 3, 4, 5, 6, 8, 10, 13, 16}}},
          ADVERSARIAL_DEFAULTS, .pixel_loss = PIXEL_L2, .disc_layers = 3, .gan_weight = 0.5, .disc_loss_weight = 1,
          .disc_start = 20000, .gan_start = 20000},                                                        /* ours */
    VQGAN_NETWORK_DEFAULTS, .ch = 160, .ch_mult = {5, {1, 1, 2, 2, 4}}, .encoder_attention = {1, {4}},
    .decoder_attention = {1, {4}}, .z_channels = 32, .quant_kernel = 3,
};

#define SMALL "ch=32 blocks=1 disc_width=16 disc_layers=2 disc_norm=group perceptual=ssim start=kmeans restart=0.5 "
static const recipe_preset presets[] = {
    {"paper", "256x256: 680 codes of 4,096 in 10 maps up to 16x16; add perceptual=lpips with your weights",
     "codes=4096", 256},
    {"cifar10", "85 codes of 512 in maps of 1, 2, 4 and 8 rows for 32x32 images",
     SMALL "ch_mult=1,2,2 encoder_attention=2 decoder_attention=2 z_channels=32 dim=16 codes=512 scales=1,2,4,8 batch=64 "
     "steps=20000 lr=3e-4 warmup=500 disc_start=8000 gan_start=10000 gan_ramp=1000", 32},
    {"photos64", "64x64 photos: 85 codes of 1,024",
     SMALL "ch_mult=1,1,2,2 encoder_attention=3 decoder_attention=3 z_channels=32 dim=32 codes=1024 scales=1,2,4,8 batch=16 "
     "steps=30000 lr=2e-4 warmup=500 flip=true disc_start=14000 gan_start=15000 gan_ramp=1000", 64},
    {"tiny", "about a minute on two cores at 32x32: 85 codes of 64; discriminator from step 60",
     SMALL "ch_mult=1,2,2 encoder_attention=2 decoder_attention=2 z_channels=32 dim=8 codes=64 scales=1,2,4,8 batch=8 "
     "steps=150 lr=5e-4 warmup=10 disc_start=50 gan_start=60 log_every=10 eval_every=50 eval_images=64 save_every=50 "
     "samples_every=50", 32},
    {0},
};
/* clang-format on */

const recipe recipe_var_tokenizer = {
    .name = "var-tokenizer",
    .title = "VAR tokenizer: maps of codes of growing size",
    .paper = "Tian, Jiang, Yuan, Peng, Wang 2024, arXiv:2404.02905",
    .defaults = &defaults,
    .presets = presets,
    VQGAN_NETWORK_RECIPE,
};
