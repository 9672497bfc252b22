/* The dVAE of DALL-E: Ramesh and others 2021, "Zero-Shot Text-to-Image Generation", arXiv:2102.12092, 2.1 and appendix A; networks as
 * in the published code.
 *
 *     x -> encoder -> logits l -> shares softmax((l + g) / tau) of the codes, g Gumbel noise -> decoder -> mean, ln b
 *     loss = -ln f(x | mean, b) + kl * KL(softmax(l) || uniform)           x = 0.8 pixel / 255 + 0.1, f: losses.h
 *
 * Both are means, over values and over positions; the paper sums both and divides by the values, so its weight 6.6 is
 * kl = 6.6 positions / values = 6.6 / (64 * 3) here. The picture shown is sigmoid(mean). With another quantizer the decoder's first
 * layer takes its latents. */
#include "nn/losses.h"
#include "nn/networks.h"
#include "quantizer_options.h"

struct dvae {
    struct quantizer_options q;
    int64_t width, blocks, initial;
};

/* clang-format off */
static const struct dvae defaults = {
    .q = {.train = {TRAIN_DEFAULTS, .batch = 512, .steps = 3000000, .lr = 1e-4,                       /* A.2 */
                    .optimizer = TRAIN_ADAMW, .weight_decay = 1e-4, .average = 0.999,                 /* A.2 */
                    .schedule = OPT_COSINE, .lr_last = 0.0125, .lr_steps = 1200000},                  /* A.2 */
          QUANTIZER_COMMON, .quantizer = NN_QUANTIZER_GUMBEL, .codes = 8192, .table = false,          /* 2.1 */
          .kl = 0.034375, .kl_steps = 5000},                                                          /* A.2 */
    .width = 256, .blocks = 2, .initial = 128,                                                        /* A.1 */
};

#define V struct dvae
static const option rows[] = {
    OPTION_INT(V, width, 4, 8192, "A.1", "channels at the image's size; twice, four and eight times that below"),
    OPTION_INT(V, blocks, 1, 64, "A.1", "residual blocks of each of the four sizes"),
    OPTION_INT(V, initial, 1, 8192, "A.1", "channels behind the decoder's first layer"),
};
static const option_table options = {rows, (int)(sizeof rows / sizeof *rows), &quantizer_option_table};

static const recipe_preset presets[] = {
    {"cifar10", "32x32 images to 4x4 codes of 512",
     "width=32 blocks=1 initial=64 table=false dim=0 codes=512 kl=5e-4 kl_steps=1000 tau_steps=10000 batch=64 "
     "steps=15000 lr=1e-3 lr_steps=0 average=0 weight_decay=1e-4", 32},
    {"photos64", "64x64 photos to 8x8 codes of 1,024, mirrored images",
     "width=48 blocks=1 initial=128 table=false dim=0 codes=1024 kl=5e-4 kl_steps=2000 tau_steps=20000 batch=32 "
     "steps=30000 lr=6e-4 lr_steps=0 average=0.999 warmup=500 flip=true", 64},
    {"tiny", "a minute on two cores: 171,550 parameters, 4x4 codes of 64",
     "width=16 blocks=1 initial=32 table=false dim=0 codes=64 kl=5e-4 kl_steps=0 tau_steps=2000 batch=32 steps=2000 "
     "lr=1e-3 lr_steps=0 average=0 log_every=50 eval_every=500 save_every=500 samples_every=500", 32},
    {"paper", "256x256 images to 32x32 codes of 8,192; 97,616,006 parameters (A.2)",
     "width=256 blocks=2 initial=128 quantizer=gumbel table=false dim=0 codes=8192 kl=0.034375 kl_steps=5000 tau=1 "
     "tau_end=0.0625 tau_steps=150000 tau_curve=cosine batch=512 steps=3000000 lr=1e-4 optimizer=adamw "
     "weight_decay=1e-4 average=0.999 schedule=cosine lr_last=0.0125 lr_steps=1200000", 256},
    {0},
};
/* clang-format on */

static ag_err check(const void *values, const image_shape *image)
{
    const struct dvae *o = values;
    const ag_err err = quantizer_check(&o->q);
    return err ? err : recipe_check_size(image, 8, NULL, 0);
}

static nn_dvae_opt network(const struct dvae *o, const run *r)
{
    return (nn_dvae_opt){.width = o->width,
                         .blocks = (int)o->blocks,
                         .codes = quantizer_width(&o->q),
                         .initial = o->initial,
                         .out = 2 * r->build.image.channels};
}

/* Latents to the logits' mean, and the logarithm of the scale if it is asked for. */
static ag_tensor *decoded(run *r, const struct dvae *o, ag_tensor *latents, ag_tensor **log_scale)
{
    const nn_dvae_opt net = network(o, r);
    ag_tensor *parts[2] = {NULL, NULL};
    ag_split(nn_dvae_decoder(nn_in(r->root, "decoder"), latents, &net), -1, 2, NULL, parts);
    if (log_scale) *log_scale = parts[1];
    return parts[0];
}

static void build(run *r, const void *values)
{
    const struct dvae *o = values;
    const nn_dvae_opt net = network(o, r);
    ag_tensor *x = r->images, *log_scale; /* [N,H,W,C] in 0.1 .. 0.9 */
    ag_tensor *z = nn_dvae_encoder(nn_in(r->root, "encoder"), x, &net);
    ag_tensor *mean = decoded(r, o, quantize(r, &o->q, "quantizer", z), &log_scale);
    run_loss(r, "likelihood", nn_logit_laplace(mean, log_scale, x), 1);
    r->reconstruction = ag_sigmoid(mean);
    run_phase(r, NULL);
}

static ag_tensor *decode(run *r, const void *values, ag_tensor *const *codes)
{
    const struct dvae *o = values;
    return ag_sigmoid(decoded(r, o, dequantize(r, &o->q, "quantizer", codes[0]), NULL));
}

static void grid(const void *values, const image_shape *image, int level, int64_t *height, int64_t *width)
{
    (void)values, (void)level;
    *height = image->height / 8;
    *width = image->width / 8;
}

static int code_shape(const void *values, const image_shape *image, int level, int64_t *shape)
{
    const struct dvae *o = values;
    return level ? 0 : quantizer_code_shape(&o->q, image->height / 8, image->width / 8, shape);
}

const recipe recipe_dvae = {
    .name = "dvae",
    .title = "dVAE: relaxed one-hot codes and a likelihood of the pixels, as for DALL-E",
    .paper = "Ramesh and others 2021, arXiv:2102.12092",
    .options_size = sizeof(struct dvae),
    .defaults = &defaults,
    .options = &options,
    .presets = presets,
    .scale = 1 - 2 * 0.1, /* A.3 */
    .shift = 0.1,
    .check = check,
    .build = build,
    .decode = decode,
    .grid = grid,
    .code_shape = code_shape,
};
