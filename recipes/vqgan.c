/* VQGAN: Esser, Rombach, Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis", arXiv:2012.09841.
 *
 *     x -> encoder, 1x1 -> z -> nearest code q -> 1x1, decoder -> y                           x = 2 pixel / 255 - 1
 *     generator      mean |y - x| + perceptual + weight * lambda * -mean D(y) + codes         (adversarial_options.h)
 *     discriminator  (mean relu(1 - D(x)) + mean relu(1 + D(y))) / 2
 *     codes          mse(sg(z), q) + beta * mse(z, sg(q))
 *
 * The public code, and so every published checkpoint, has beta on the other term: legacy_beta=true, as the presets paper and faces set
 * it. The paper's perceptual loss needs weights that you bring (perceptual=lpips); perceptual=ssim needs none. */
#include "vqgan_network.h"

/* clang-format off */
static const struct vqgan_network defaults = {
    .a = {.q = {.train = {TRAIN_DEFAULTS_WITH(0.5, 0.9), .batch = 12, .steps = 500000,
                          .lr = 5.4e-5},                                    /* 4.5e-6 an image, times 12 */
                QUANTIZER_DEFAULTS_WITH(NN_CODEBOOK_GRADIENT, NN_START_UNIFORM), .codes = 1024,
                .dim = 256, .scales = {5, {1, 2, 4, 8, 16}}},
          ADVERSARIAL_DEFAULTS, .disc_layers = 3, .gan_weight = 0.8, .disc_loss_weight = 1,
          .disc_start = 250001, .gan_start = 250001},                       /* the public ImageNet set-up */
    VQGAN_NETWORK_DEFAULTS, .ch = 128, .ch_mult = {5, {1, 1, 2, 2, 4}}, .encoder_attention = {1, {4}}, .decoder_attention = {1, {4}},
    .z_channels = 256, .quant_kernel = 1,
};

#define CIFAR "ch=32 ch_mult=1,2,2 blocks=1 encoder_attention=2 decoder_attention=2 z_channels=32 dim=16 " \
              "disc_width=16 disc_layers=2 disc_norm=group perceptual=ssim codebook=ema "
#define SMALL "ch=32 ch_mult=1,1,2,2 blocks=1 encoder_attention=3 decoder_attention=3 z_channels=64 dim=32 " \
              "disc_width=32 disc_layers=2 disc_norm=group perceptual=ssim codebook=ema start=kmeans restart=0.5 " \
              "batch=16 lr=2e-4 flip=true "
static const recipe_preset presets[] = {
    {"paper", "ImageNet at 256x256, 16x16 codes of 1,024, beta where the public code has it; add perceptual=lpips with your weights",
     "codes=1024 legacy_beta=true", 256},
    {"faces", "the public FacesHQ set-up: as paper, with the discriminator from step 30,001 and batches of 3",
     "batch=3 lr=1.35e-5 disc_start=30001 gan_start=30001 legacy_beta=true", 256},
    {"cifar10", "8x8 codes of 512 for 32x32 images; SSIM and edges as perceptual loss",
     CIFAR "codes=512 start=kmeans restart=0.5 batch=64 steps=20000 lr=3e-4 disc_start=8000 gan_start=10000 "
     "gan_ramp=1000", 32},
    {"photos64", "64x64 photos: 8x8 codes of 1,024",
     SMALL "codes=1024 steps=30000 disc_start=14000 gan_start=15000 gan_ramp=1000", 64},
    {"photos64-lfq", "the same with 2^12 lookup-free codes (MAGVIT-v2)",
     SMALL "quantizer=lookup_free codes=4096 entropy=0.1 steps=30000 disc_start=14000 gan_start=15000 gan_ramp=1000 "
     "lecam=0.001", 64},
    {"photos64-fsq", "the same with finite scalar codes",
     SMALL "quantizer=finite_scalar codes=0 levels=8,5,5,5 steps=30000 disc_start=14000 gan_start=15000 gan_ramp=1000", 64},
    {"tiny", "about a minute on two cores at 32x32: 8x8 codes of 128; discriminator from step 60",
     CIFAR "codes=128 start=kmeans restart=0.5 batch=8 steps=150 lr=5e-4 disc_start=50 gan_start=60 log_every=10 "
     "eval_every=50 eval_images=64 save_every=50 samples_every=50", 32},
    {0},
};
/* clang-format on */

const recipe recipe_vqgan = {
    .name = "vqgan",
    .title = "VQGAN: convolutions and attention, perceptual and adversarial losses",
    .paper = "Esser, Rombach, Ommer 2021, arXiv:2012.09841",
    .defaults = &defaults,
    .presets = presets,
    VQGAN_NETWORK_RECIPE,
};
