/* HQ-VAE, the tokenizer of HQ-Transformer: You, Kim, Kim, Lee, Han 2022, "Locally Hierarchical Auto-Regressive Modeling for Image
 * Generation", arXiv:2210.01542. (Another model of the same name is Sony's.)
 *
 *     x -> VQGAN's encoder, whose first convolution halves, 1x1 -> z [N,h,w,D]
 *     top     t = code of each 2x2 of z:    pixel unshuffle [N,h/2,w/2,4D], nearest row of a codebook of dimension 4D, shuffle back
 *     bottom  b = code of each z - sg(t)    nearest row of another codebook, of dimension D
 *     y = decoder(1x1 of t and b side by side)
 *     generator      mse(y, x) + perceptual + 0.75 lambda * -mean D(y) + beta * commitment of both
 *     discriminator  0.75 (mean relu(1 - D(x)) + mean relu(1 + D(y))) / 2, with group norm
 *
 * The public encoder has no attention at any level but the middle, because its counter of sizes misses the first halving; the decoder has. */
#include "vqgan_network.h"

/* clang-format off */
static const struct vqgan_network defaults = {
    .a = {.q = {.train = {TRAIN_DEFAULTS_WITH(0.5, 0.9), .batch = 128, .steps = 150000,      /* 15 epochs of ImageNet */
                          .lr = 4e-5, .warmup = 5000},                                     /* half an epoch */
                QUANTIZER_DEFAULTS_WITH(NN_CODEBOOK_EMA, NN_START_NORMAL), .codes = 8192, .dim = 256},
          ADVERSARIAL_DEFAULTS, .pixel_loss = PIXEL_L2, .disc_layers = 2, .disc_norm = NN_PATCHGAN_GROUP,
          .gan_weight = 0.75, .disc_loss_weight = 0.75},
    VQGAN_NETWORK_DEFAULTS, .ch = 128, .ch_mult = {4, {1, 2, 4, 4}}, .decoder_attention = {1, {3}},
    .z_channels = 256, .quant_kernel = 1,
};

#define SMALL "ch=32 blocks=1 disc_width=16 perceptual=ssim start=kmeans restart=0.5 "
static const recipe_preset presets[] = {
    {"paper", "ImageNet at 256x256: 8x8 top and 16x16 bottom codes of 8,192 each; add perceptual=lpips with your weights",
     "codes=8192", 256},
    {"cifar10", "4x4 top and 8x8 bottom codes of 512 each for 32x32 images",
     SMALL "ch_mult=1,2 decoder_attention=1 z_channels=32 dim=16 codes=512 batch=64 steps=20000 lr=3e-4 warmup=500 "
     "disc_start=8000 gan_start=10000 gan_ramp=1000", 32},
    {"photos64", "64x64 photos: 4x4 top and 8x8 bottom codes of 1,024 each",
     SMALL "ch_mult=1,2,2 decoder_attention=2 z_channels=64 dim=32 codes=1024 restart=0.1 batch=16 steps=30000 lr=2e-4 warmup=500 "
     "flip=true disc_start=14000 gan_start=15000 gan_ramp=1000", 64},
    {"tiny", "about a minute on two cores at 32x32: 4x4 and 8x8 codes of 64 each; discriminator from step 60",
     SMALL "ch_mult=1,2 decoder_attention=1 z_channels=32 dim=16 codes=64 batch=8 steps=150 lr=5e-4 warmup=10 disc_start=50 "
     "gan_start=60 log_every=10 eval_every=50 eval_images=64 save_every=50 samples_every=50", 32},
    {0},
};
/* clang-format on */

/* The options of the top codebook. */
static struct quantizer_options top(const struct vqgan_network *o)
{
    struct quantizer_options q = o->a.q;
    q.dim *= 4;
    return q;
}

static ag_err check(const void *options, const image_shape *image)
{
    const struct vqgan_network *o = options;
    const struct quantizer_options *bottom = &o->a.q, coarse = top(o);
    const int64_t f = (int64_t)2 << vqgan_network_halvings(o, true);
    if (bottom->quantizer != NN_QUANTIZER_VQ || quantizer_width(bottom) != bottom->dim)
        return ag_fail(AG_ERR_USAGE, "hqvae: its two codebooks quantize what is left of each other; set quantizer=vq");
    ag_err err = vqgan_network_check(o, image, true);
    if (!err) err = quantizer_check(&coarse);
    if (err) return err;
    if (image->height % f || image->width % f)
        return ag_fail(
            AG_ERR_USAGE,
            "images of %lldx%lld: the top codes are of %lldx%lld pixels each; pack again with --size, or set "
            "fewer levels of ch_mult",
            (long long)image->width, (long long)image->height, (long long)f, (long long)f);
    return AG_OK;
}

static ag_tensor *join(run *r, ag_tensor *t, ag_tensor *b)
{
    return ag_concat(2, (ag_tensor *[]){run_level(r, 0, t), run_level(r, 1, b)}, -1);
}

static void build(run *r, const void *options)
{
    static const char *const scopes[] = {"quantize_t", "quantize_b"};
    const struct vqgan_network *o = options;
    const struct quantizer_options *bottom = &o->a.q, coarse = top(o);
    ag_tensor *z = vqgan_network_encode(r, o, r->images, bottom->dim, true);
    const nn_quantizer_opt rows_of_4 = quantizer_opt(&coarse), rows = quantizer_opt(bottom);
    ag_tensor *step = r->training ? r->update : NULL;
    nn_quantized q[2];
    q[0] = nn_quantize(nn_in(r->root, scopes[0]), ag_pixel_unshuffle(z, 2), &rows_of_4, step);
    ag_tensor *t = ag_pixel_shuffle(q[0].latents, 2);
    q[1] = nn_quantize(nn_in(r->root, scopes[1]), ag_sub(z, ag_stop_gradient(t)), &rows, step);
    ag_tensor *b = q[1].latents;
    quantized(r, bottom, 2, scopes, q);
    vqgan_network_losses(r, o, NULL, vqgan_network_decode(r, o, join(r, t, b), true));
}

static ag_tensor *decode(run *r, const void *options, ag_tensor *const *codes)
{
    const struct vqgan_network *o = options;
    const struct quantizer_options coarse = top(o);
    ag_tensor *t = ag_pixel_shuffle(dequantize(r, &coarse, "quantize_t", codes[0]), 2);
    return vqgan_network_decode(r, o, join(r, t, dequantize(r, &o->a.q, "quantize_b", codes[1])), true);
}

static void grid(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width)
{
    const int halvings = vqgan_network_halvings(options, true) + (level == 0);
    *height = image->height >> halvings;
    *width = image->width >> halvings;
}

static int code_shape(const void *options, const image_shape *image, int level, int64_t *shape)
{
    const struct vqgan_network *o = options;
    int64_t h, w;
    grid(options, image, level, &h, &w);
    return level < 2 ? quantizer_code_shape(&o->a.q, h, w, shape) : 0;
}

const recipe recipe_hqvae = {
    .name = "hqvae",
    .title = "HQ-VAE: a coarse code for each 2x2 of fine ones",
    .paper = "You, Kim, Kim, Lee, Han 2022, arXiv:2210.01542",
    .options_size = sizeof(struct vqgan_network),
    .defaults = &defaults,
    .options = &vqgan_network_table,
    .presets = presets,
    .scale = 2,
    .shift = -1,
    .check = check,
    .settle = adversarial_settle,
    .build = build,
    .decode = decode,
    .grid = grid,
    .code_shape = code_shape,
};
