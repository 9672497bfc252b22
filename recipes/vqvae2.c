/* VQ-VAE-2: Razavi, van den Oord, Vinyals 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446.
 *
 *     x -> enc_b -> h_b -> enc_t -> h_t -> q_t -> dec_t -.             two levels; a middle one (m) between them for three
 *                    `---------------------------[,]-> q_b             x = 2 pixel / 255 - 1
 *     y = dec([upsample_t(q_t), q_b])
 *     loss = mse(y, x) + beta * sum over levels of mse(z, sg(q))
 *
 * Level 0 (`codes.0`, `perplexity.0`) is the coarsest. All levels have the same quantizer, with a codebook each. */
#include "nn/networks.h"
#include "quantizer_options.h"

struct vqvae2 {
    struct quantizer_options q;
    int64_t grids, hidden, residual, blocks;
};

/* clang-format off */
static const struct vqvae2 defaults = {
    .q = {.train = {TRAIN_DEFAULTS, .batch = 128, .steps = 2207444, .lr = 3e-4},  /* appendix A, table 4; code */
          QUANTIZER_DEFAULTS, .codes = 512, .dim = 64},                           /* table 4; code */
    .grids = 2, .hidden = 128, .residual = 64, .blocks = 2,                      /* table 4 */
};

#define V struct vqvae2
static const option rows[] = {
    OPTION_INT(V, grids, 1, 3, "3.1", "levels, a grid of codes each: the finest a quarter of the image, each other half of the one below"),
    OPTION_INT(V, hidden, 2, 8192, "table 4", "channels of the networks (the first layer has half)"),
    OPTION_INT(V, residual, 1, 8192, "table 4", "channels inside residual blocks"),
    OPTION_INT(V, blocks, 0, 64, "table 4", "residual blocks of every encoder and decoder"),
};
static const option_table table = {rows, (int)(sizeof rows / sizeof *rows), &quantizer_option_table};

static const recipe_preset presets[] = {
    {"cifar10", "32x32 images to 4x4 and 8x8 codes of 512",
     "grids=2 hidden=128 residual=32 blocks=2 dim=64 codes=512 start=data batch=128 steps=20000 lr=1e-3 "
     "schedule=cosine warmup=200", 32},
    {"photos64", "64x64 photos: 8x8 and 16x16 codes of 512, mirrored images, restart of unused codes",
     "grids=2 hidden=128 residual=64 blocks=2 dim=32 codes=512 start=kmeans restart=0.5 batch=32 steps=30000 lr=4e-4 "
     "schedule=cosine warmup=500 flip=true", 64},
    {"tiny", "a minute on two cores: 88,275 parameters, 64 codes of 16 on 4x4 and on 8x8",
     "grids=2 hidden=32 residual=16 blocks=1 dim=16 codes=64 start=kmeans restart=0.5 batch=32 steps=1500 lr=1e-3 "
     "log_every=50 eval_every=500 save_every=500 samples_every=500", 32},
    {"paper", "ImageNet at 256: grids of 32x32 and 64x64; the codebooks begin as in the public code, with counts of 0",
     "grids=2 hidden=128 residual=64 blocks=2 dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 start=normal "
     "initial_count=0 batch=128 steps=2207444 lr=3e-4", 256},
    {"ffhq1024", "faces at 1024: grids of 64x64, 128x128 and 256x256",
     "grids=3 hidden=128 residual=64 blocks=2 dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 start=normal "
     "initial_count=0 batch=128 steps=304741 lr=3e-4", 1024},
    {"rosinality", "the public PyTorch code: residual blocks of 32 channels; 1,388,867 parameters",
     "grids=2 hidden=128 residual=32 blocks=2 dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 start=normal "
     "initial_count=0 batch=128 lr=3e-4", 256},
    {0},
};
/* clang-format on */

static ag_err check(const void *options, const image_shape *image)
{
    const struct vqvae2 *o = options;
    const int64_t factor = (int64_t)2 << o->grids;
    const ag_err err = quantizer_check(&o->q);
    if (err) return err;
    if (o->q.quantizer == NN_QUANTIZER_MULTISCALE && o->grids > 1)
        return ag_fail(AG_ERR_USAGE,
                       "quantizer=multiscale: its last map has the rows of one grid, and grids=%lld have different "
                       "ones; set grids=1, or another quantizer",
                       (long long)o->grids);
    return recipe_check_size(image, factor, "grids", o->grids);
}

static nn_vqvae2_opt network(const struct vqvae2 *o, const run *r)
{
    nn_vqvae2_opt net = {.levels = (int)o->grids,
                         .hidden = o->hidden,
                         .residual = o->residual,
                         .blocks = (int)o->blocks,
                         .channels = r->build.image.channels};
    for (int i = 0; i < net.levels; i++) net.quantizer[i] = quantizer_opt(&o->q);
    return net;
}

/* Scopes of the quantizers, coarsest level first. */
static const char *const *scopes(const struct vqvae2 *o)
{
    static const char *const all[4][3] = {
        {0}, {"quantize_b"}, {"quantize_t", "quantize_b"}, {"quantize_t", "quantize_m", "quantize_b"}};
    return all[o->grids];
}

static void build(run *r, const void *options)
{
    const struct vqvae2 *o = options;
    const nn_vqvae2_opt net = network(o, r);
    ag_tensor *x = r->images, *latents[NN_VQVAE2_LEVELS]; /* [N,H,W,C] in -1 .. 1 */
    const nn_vqvae2_encoded e = nn_vqvae2_encode(r->root, x, &net, r->training ? r->update : NULL);
    quantized(r, &o->q, net.levels, scopes(o), e.q);
    for (int i = 0; i < net.levels; i++) latents[i] = run_level(r, i, e.q[i].latents);
    ag_tensor *y = nn_vqvae2_decode(r->root, latents, &net);
    r->mse = nn_mse(y, x);
    run_loss(r, "reconstruction", r->mse, 1);
    r->reconstruction = y;
    run_phase(r, NULL);
}

static ag_tensor *decode(run *r, const void *options, ag_tensor *const *codes)
{
    const struct vqvae2 *o = options;
    const nn_vqvae2_opt net = network(o, r);
    ag_tensor *latents[NN_VQVAE2_LEVELS];
    for (int i = 0; i < net.levels; i++) latents[i] = dequantize(r, &o->q, scopes(o)[i], codes[i]);
    return nn_vqvae2_decode(r->root, latents, &net);
}

static void grid(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width)
{
    const struct vqvae2 *o = options;
    const int halvings = 2 + (int)o->grids - 1 - level;
    *height = image->height >> halvings;
    *width = image->width >> halvings;
}

static int code_shape(const void *options, const image_shape *image, int level, int64_t *shape)
{
    const struct vqvae2 *o = options;
    int64_t h, w;
    if (level >= o->grids) return 0;
    grid(options, image, level, &h, &w);
    return quantizer_code_shape(&o->q, h, w, shape);
}

const recipe recipe_vqvae2 = {
    .name = "vqvae2",
    .title = "VQ-VAE-2: codes on grids of several sizes, each conditioned on the coarser ones",
    .paper = "Razavi, van den Oord, Vinyals 2019, arXiv:1906.00446",
    .options_size = sizeof(struct vqvae2),
    .defaults = &defaults,
    .options = &table,
    .presets = presets,
    .scale = 2,
    .shift = -1,
    .check = check,
    .build = build,
    .decode = decode,
    .grid = grid,
    .code_shape = code_shape,
};
