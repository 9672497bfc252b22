/* VQ-VAE: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv:1711.00937.
 *
 *     x -> encoder -> z -> nearest code q -> decoder -> y        x = pixel / 255 - 0.5
 *     loss = mse(y, x) / variance + beta * mse(z, sg(q)) [+ mse(sg(z), q) if the codebook learns by gradient]
 *
 * Means run over every element, code dimensions included: with D = 64 this beta is 1/64 of the paper's per position. */
#include "recipe.h"

struct vqvae {
    struct train_options train;
    int64_t hidden, residual, blocks, downsampling, dim, codes;
    bool residual_bias, relu_before_stack, skip_relu;
    int quantizer, codebook, start; /* quantizer_kind, nn_codebook_rule, nn_codebook_start */
    double beta, decay, epsilon, initial_count, restart;
    bool debias, divide_by_variance;
};

enum quantizer_kind { QUANTIZER_VQ, QUANTIZER_NONE };

/* clang-format off */
static const struct vqvae defaults = {
    .train = {TRAIN_DEFAULTS, .batch = 128, .steps = 250000, .lr = 2e-4},          /* 4.1 */
    .hidden = 256, .residual = 256, .blocks = 2, .downsampling = 2,               /* 4.1 */
    .codes = 512, .beta = 0.25,                                                   /* 4.2, 3.2 */
    .residual_bias = true, .dim = 64,                                             /* not stated there: Sonnet's */
    .codebook = NN_CODEBOOK_EMA, .decay = 0.99, .epsilon = 1e-5,                  /* A.1; epsilon: Sonnet */
    .start = NN_START_KMEANS, .initial_count = 1,                                 /* ours: no collapse at the start */
    .divide_by_variance = true,                                                   /* Sonnet */
};
/* clang-format on */

#define V struct vqvae
static const option rows[] = {
    OPTION_INT(V, hidden, 2, 8192, "4.1", "channels of the networks (the first layer has half)"),
    OPTION_INT(V, residual, 1, 8192, "4.1", "channels inside residual blocks"),
    OPTION_INT(V, blocks, 0, 64, "4.1", "residual blocks in encoder and decoder each"),
    OPTION_INT(V, downsampling, 1, 6, "4.1", "stride-2 layers; each halves height and width"),
    OPTION_FLAG(V, residual_bias, "Sonnet", "residual convolutions with bias"),
    OPTION_FLAG(V, relu_before_stack, "Sonnet", "a ReLU after the encoder's third convolution"),
    OPTION_FLAG(V, skip_relu, "zalando", "the skip adds relu(x), as an in-place ReLU does, instead of x"),
    OPTION_CHOICE(V, quantizer, "vq|none", "3.1",
                  "none: latents pass unquantized (a plain autoencoder, for comparison)"),
    OPTION_INT(V, dim, 1, 4096, "Sonnet", "dimension of a code"),
    OPTION_INT(V, codes, 2, 1048576, "4.2", "codes in the codebook"),
    OPTION_REAL(V, beta, 0, 1000, "3.2", "weight of the commitment loss"),
    OPTION_CHOICE(V, codebook, "ema|gradient", "A.1, 3.2",
                  "how the codebook learns: moving averages, or the codebook loss"),
    OPTION_REAL(V, decay, 1e-6, 0.999999, "A.1", "of the moving averages"),
    OPTION_REAL(V, epsilon, 1e-12, 1, "Sonnet", "Laplace smoothing of the cluster sizes"),
    OPTION_FLAG(V, debias, "Sonnet", "averages start at zero and are divided by 1 - decay^t"),
    OPTION_CHOICE(V, start, "normal|uniform|kmeans|data", "ours",
                  "codebook: N(0,1), U(+-1/codes), k-means of the first batch, or random rows of it"),
    OPTION_REAL(V, initial_count, 0, 1e9, "ours",
                "members each code counts in the averages of a normal or uniform start: 1 is gentle; 0, as first "
                "published, loses the codebook for hundreds of steps"),
    OPTION_REAL(V, restart, 0, 1e9, "Jukebox",
                "give codes with fewer members on average a row of the batch (0: never)"),
    OPTION_FLAG(V, divide_by_variance, "Sonnet",
                "divide the reconstruction loss by the variance of the training pixels"),
};
static const option_table table = {rows, (int)(sizeof rows / sizeof *rows), &train_option_table};

/* clang-format off */
static const recipe_preset presets[] = {
    {"cifar10",
     "the public CIFAR-10 set-up (zalando notebook), except that the codebook starts from rows of the first batch with one "
     "member a code: the notebook's start from zero counts loses its first 700 steps",
     "hidden=128 residual=32 blocks=2 downsampling=2 residual_bias=false relu_before_stack=false skip_relu=true "
     "dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 start=data batch=256 steps=15000 lr=1e-3"},
    {"sonnet", "the notebook of Sonnet 2 (batch 32, 10,000 steps, debiased averages)",
     "hidden=128 residual=32 blocks=2 downsampling=2 residual_bias=true relu_before_stack=true skip_relu=false "
     "dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 debias=true start=uniform batch=32 steps=10000 lr=3e-4"},
    {"tiny", "minutes on two cores: 53,075 parameters, 64 codes of 16",
     "hidden=32 residual=16 blocks=2 downsampling=2 residual_bias=true dim=16 codes=64 beta=0.25 codebook=ema "
     "decay=0.99 start=kmeans batch=32 steps=3000 lr=1e-3 eval_every=500 save_every=500 samples_every=500"},
    {"demo", "what 'tessera demo' trains: about 90 seconds on two cores, 64x64 scenes to 16x16 codes of 256",
     "hidden=64 residual=32 blocks=2 downsampling=2 dim=16 codes=256 beta=0.25 codebook=ema decay=0.99 start=data "
     "restart=0.5 batch=32 steps=1500 lr=1e-3 schedule=cosine log_every=25 eval_every=500 save_every=500 samples_every=500"},
    {"reference",
     "tiny on 'tessera synth reference', gradient codebook, images in file order; the other rows of the reference table: "
     "--set codebook=ema --set start=normal --set initial_count=0 (ema), with --set restart=1 (ema + restart), "
     "--set codebook=ema --set debias=true (ema debiased), --set quantizer=none (none)",
     "hidden=32 residual=16 blocks=2 downsampling=2 residual_bias=true dim=16 codes=64 beta=0.25 codebook=gradient "
     "decay=0.99 start=uniform batch=32 steps=3000 lr=1e-3 in_order=true log_every=100 eval_every=0 eval_images=0 "
     "save_every=1000 samples_every=0"},
    {"photos64", "64x64 photos: 16x16 codes of 1,024, mirrored images, restart of unused codes",
     "hidden=128 residual=64 blocks=2 downsampling=2 dim=32 codes=1024 beta=0.25 codebook=ema start=kmeans restart=0.5 "
     "batch=32 steps=30000 lr=4e-4 schedule=cosine warmup=500 flip=true"},
    {NULL, NULL, NULL},
};
/* clang-format on */

static ag_err check(const void *options, const image_shape *image)
{
    const struct vqvae *o = options;
    const int64_t factor = (int64_t)1 << o->downsampling;
    const int64_t h = image->height / factor * factor, w = image->width / factor * factor;
    if (h == image->height && w == image->width && h && w) return AG_OK;
    return ag_fail(
        AG_ERR_USAGE,
        "images of %lldx%lld: height and width must be multiples of %lld (downsampling=%lld); the nearest sizes are "
        "%lldx%lld and %lldx%lld: pack again with --size, or set downsampling",
        (long long)image->width, (long long)image->height, (long long)factor, (long long)o->downsampling,
        (long long)(w ? w : factor), (long long)(h ? h : factor), (long long)(w == image->width ? w : w + factor),
        (long long)(h == image->height ? h : h + factor));
}

static nn_vqvae_opt network(const struct vqvae *o, const run *r)
{
    return (nn_vqvae_opt){.hidden = o->hidden,
                          .residual = o->residual,
                          .blocks = (int)o->blocks,
                          .downsampling = (int)o->downsampling,
                          .D = o->dim,
                          .channels = r->build.image.channels,
                          .residual_bias = o->residual_bias,
                          .relu_before_stack = o->relu_before_stack,
                          .skip_relu = o->skip_relu};
}

static nn_vq_opt codebook(const struct vqvae *o)
{
    return (nn_vq_opt){.K = o->codes,
                       .rule = (nn_codebook_rule)o->codebook,
                       .start = (nn_codebook_start)o->start,
                       .decay = o->decay,
                       .epsilon = o->epsilon,
                       .debias = o->debias,
                       .initial_count = o->initial_count,
                       .restart = o->restart};
}

/* z -> what the decoder sees, with the quantizer's loss terms. */
static ag_tensor *quantize(run *r, const struct vqvae *o, ag_tensor *z)
{
    const nn_vq_opt vq = codebook(o);
    if (o->quantizer == QUANTIZER_NONE) return z;
    const nn_quantized q = nn_vq(nn_in(r->root, "quantizer"), z, &vq);
    if (vq.start == NN_START_KMEANS || vq.start == NN_START_DATA) run_start(r, "quantizer", z, &vq);
    run_quantizer(r, &q);
    run_loss(r, "commitment", q.commitment, o->beta);
    run_loss(r, "codebook", q.codebook, 1);
    return q.latents;
}

static void build(run *r, const void *options)
{
    const struct vqvae *o = options;
    const nn_vqvae_opt net = network(o, r);
    ag_tensor *x = r->images; /* [N,H,W,C] in -0.5 .. 0.5 */
    ag_tensor *z = nn_vqvae_encoder(nn_in(r->root, "encoder"), x, &net);
    ag_tensor *y = nn_vqvae_decoder(nn_in(r->root, "decoder"), quantize(r, o, z), &net);
    r->mse = nn_mse(y, x);
    run_loss(r, "reconstruction", r->mse, o->divide_by_variance ? 1 / r->variance : 1);
    r->reconstruction = y;
    run_phase(r, NULL);
}

static ag_tensor *decode(run *r, const void *options, ag_tensor *codes)
{
    const struct vqvae *o = options;
    const nn_vqvae_opt net = network(o, r);
    const nn_vq_opt vq = codebook(o);
    return nn_vqvae_decoder(nn_in(r->root, "decoder"), nn_vq_lookup(nn_in(r->root, "quantizer"), codes, &vq, o->dim),
                            &net);
}

static void grid(const void *options, const image_shape *image, int64_t *height, int64_t *width)
{
    const struct vqvae *o = options;
    *height = image->height >> o->downsampling;
    *width = image->width >> o->downsampling;
}

const recipe recipe_vqvae = {
    .name = "vqvae",
    .title = "VQ-VAE: convolutional autoencoder with a discrete bottleneck",
    .paper = "van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937",
    .options_size = sizeof(struct vqvae),
    .defaults = &defaults,
    .options = &table,
    .presets = presets,
    .scale = 1,
    .shift = -0.5,
    .check = check,
    .build = build,
    .decode = decode,
    .grid = grid,
};
