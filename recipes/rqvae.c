/* RQ-VAE: Lee, Kim, Kim, Cho, Han 2022, "Autoregressive Image Generation using Residual Quantization", arXiv:2203.01941.
 *
 *     x -> VQGAN's encoder, 1x1 -> z -> depth codes of one codebook, each of what the ones before leave -> their sum -> decoder -> y
 *     generator      mse(y, x) + perceptual + 0.75 lambda * -mean D(y) + beta * mean over depths of mse(z, sg(sum of the first d))
 *     discriminator  0.75 (mean relu(1 - D(x)) + mean relu(1 + D(y))) / 2
 *
 * The codebook follows averages, with one update per depth, and unused codes are restarted. The public code's bound of one member a
 * batch is above the average of 128 * 64 / 16384 = 0.5, so that nearly every code would be restarted at every step; ours is a tenth of it. */
#include "vqgan_network.h"

/* clang-format off */
static const struct vqgan_network defaults = {
    .a = {.q = {.train = {TRAIN_DEFAULTS_WITH(0.5, 0.9), .batch = 128, .steps = 100000,      /* 10 epochs of ImageNet */
                          .lr = 4e-5, .warmup = 5000},                                     /* half an epoch */
                QUANTIZER_DEFAULTS, .quantizer = NN_QUANTIZER_RESIDUAL, .codes = 16384, .dim = 256, .restart = 0.05},
          ADVERSARIAL_DEFAULTS, .pixel_loss = PIXEL_L2, .disc_layers = 2, .gan_weight = 0.75, .disc_loss_weight = 0.75},
    VQGAN_NETWORK_DEFAULTS, .ch = 128, .ch_mult = {6, {1, 1, 2, 2, 4, 4}}, .encoder_attention = {1, {5}},
    .decoder_attention = {1, {5}}, .z_channels = 256, .quant_kernel = 1,
};

#define SMALL "ch=32 blocks=1 dim=16 depth=4 disc_width=16 disc_norm=group perceptual=ssim start=kmeans "
static const recipe_preset presets[] = {
    {"paper", "ImageNet at 256x256, 8x8 positions of 4 codes of 16,384; add perceptual=lpips with your weights",
     "quantizer=residual depth=4 shared=true codebook=ema start=normal initial_count=0", 256},
    {"cifar10", "4x4 positions of 4 codes of 512 for 32x32 images",
     SMALL "ch_mult=1,2,2,2 encoder_attention=3 decoder_attention=3 z_channels=32 codes=512 restart=0.5 batch=64 "
     "steps=20000 lr=3e-4 warmup=500 disc_start=8000 gan_start=10000 gan_ramp=1000", 32},
    {"photos64", "64x64 photos: 8x8 positions of 4 codes of 1,024",
     SMALL "ch_mult=1,1,2,2 encoder_attention=3 decoder_attention=3 z_channels=64 codes=1024 restart=0.5 batch=16 "
     "steps=30000 lr=2e-4 warmup=500 flip=true disc_start=14000 gan_start=15000 gan_ramp=1000", 64},
    {"tiny", "about a minute on two cores at 32x32: 4x4 positions of 4 codes of 128; discriminator from step 60",
     SMALL "ch_mult=1,2,2,2 encoder_attention=3 decoder_attention=3 z_channels=32 codes=128 restart=0.5 batch=8 steps=150 "
     "lr=5e-4 warmup=10 disc_start=50 gan_start=60 log_every=10 eval_every=50 eval_images=64 save_every=50 "
     "samples_every=50", 32},
    {0},
};
/* clang-format on */

const recipe recipe_rqvae = {
    .name = "rqvae",
    .title = "RQ-VAE: several codes a position, each of what the ones before leave",
    .paper = "Lee, Kim, Kim, Cho, Han 2022, arXiv:2203.01941",
    .defaults = &defaults,
    .presets = presets,
    VQGAN_NETWORK_RECIPE,
};
