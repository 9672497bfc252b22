/* VQ-VAE: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv:1711.00937.
 *
 *     x -> encoder -> z -> nearest code q -> decoder -> y        x = pixel / 255 - 0.5
 *     loss = mse(y, x) / variance + beta * mse(z, sg(q)) [+ mse(sg(z), q) if the codebook learns by gradient]
 *
 * Means run over every element, code dimensions included: with D = 64 this beta is 1/64 of the paper's per position. */
#include "quantizer_options.h"

struct vqvae {
    struct quantizer_options q;
    int64_t hidden, residual, blocks, downsampling;
    bool middle, half_first, residual_bias, relu_before_stack, skip_relu;
    bool divide_by_variance;
};

/* clang-format off */
static const struct vqvae defaults = {
    .q = {.train = {TRAIN_DEFAULTS, .batch = 128, .steps = 250000, .lr = 2e-4},   /* 4.1 */
          QUANTIZER_DEFAULTS, .codes = 512,                                       /* 4.2 */
          .dim = 64},                                                             /* not stated there: Sonnet's */
    .hidden = 256, .residual = 256, .blocks = 2, .downsampling = 2,               /* 4.1 */
    .middle = true, .half_first = true,                                           /* Sonnet */
    .residual_bias = true,                                                        /* not stated there: Sonnet's */
    .divide_by_variance = true,                                                   /* Sonnet */
};
/* clang-format on */

#define V struct vqvae
static const option rows[] = {
    OPTION_INT(V, hidden, 2, 8192, "4.1", "channels of the networks"),
    OPTION_INT(V, residual, 1, 8192, "4.1", "channels inside residual blocks"),
    OPTION_INT(V, blocks, 0, 64, "4.1", "residual blocks in encoder and decoder each"),
    OPTION_INT(V, downsampling, 1, 6, "4.1", "stride-2 layers; each halves height and width"),
    OPTION_FLAG(V, middle, "Sonnet",
                "3x3 convolutions before the residual blocks; else none in the encoder and a 1x1 in the decoder"),
    OPTION_FLAG(V, half_first, "Sonnet", "half of the channels in the layer next to the image, of two and more"),
    OPTION_FLAG(V, residual_bias, "Sonnet", "residual convolutions with bias"),
    OPTION_FLAG(V, relu_before_stack, "Sonnet", "a ReLU after the encoder's third convolution"),
    OPTION_FLAG(V, skip_relu, "zalando", "the skip adds relu(x), as an in-place ReLU does, instead of x"),
    OPTION_FLAG(V, divide_by_variance, "Sonnet",
                "divide the reconstruction loss by the variance of the training pixels"),
};
static const option_table table = {rows, (int)(sizeof rows / sizeof *rows), &quantizer_option_table};

/* clang-format off */
static const recipe_preset presets[] = {
    {"cifar10",
     "the public CIFAR-10 set-up (zalando notebook), except that the codebook starts from rows of the first batch with one "
     "member a code: the notebook's start from zero counts loses its first 700 steps",
     "hidden=128 residual=32 blocks=2 downsampling=2 residual_bias=false relu_before_stack=false skip_relu=true "
     "dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 start=data batch=256 steps=15000 lr=1e-3", 32},
    {"paper", "ImageNet at 128x128, 32x32 codes of 512 that learn by gradient (eq. 3, 4.1, 4.2); 4,811,843 parameters",
     "hidden=256 residual=256 blocks=2 downsampling=2 middle=false half_first=false codebook=gradient start=uniform dim=64 codes=512 beta=0.25 batch=128 steps=250000 lr=2e-4", 128},
    {"sonnet", "the notebook of Sonnet 2 (batch 32, 10,000 steps, debiased averages)",
     "hidden=128 residual=32 blocks=2 downsampling=2 residual_bias=true relu_before_stack=true skip_relu=false "
     "dim=64 codes=512 beta=0.25 codebook=ema decay=0.99 debias=true start=uniform batch=32 steps=10000 lr=3e-4", 32},
    {"tiny", "minutes on two cores: 53,075 parameters, 64 codes of 16",
     "hidden=32 residual=16 blocks=2 downsampling=2 residual_bias=true dim=16 codes=64 beta=0.25 codebook=ema "
     "decay=0.99 start=kmeans batch=32 steps=3000 lr=1e-3 eval_every=500 save_every=500 samples_every=500", 32},
    {"demo", "what 'tessera demo' trains: about 90 seconds on two cores, 64x64 scenes to 16x16 codes of 256",
     "hidden=64 residual=32 blocks=2 downsampling=2 dim=16 codes=256 beta=0.25 codebook=ema decay=0.99 start=data "
     "restart=0.5 batch=32 steps=1500 lr=1e-3 schedule=cosine log_every=25 eval_every=500 save_every=500 samples_every=500", 64},
    {"reference",
     "tiny on 'tessera synth reference', gradient codebook, images in file order; "
     "tests/long_reference.sh has the settings of the other bottlenecks of the reference table",
     "hidden=32 residual=16 blocks=2 downsampling=2 residual_bias=true dim=16 codes=64 beta=0.25 codebook=gradient "
     "decay=0.99 start=uniform batch=32 steps=3000 lr=1e-3 in_order=true log_every=100 eval_every=0 eval_images=0 "
     "save_every=1000 samples_every=0", 32},
    {"photos64", "64x64 photos: 16x16 codes of 1,024, mirrored images, restart of unused codes",
     "hidden=128 residual=64 blocks=2 downsampling=2 dim=32 codes=1024 beta=0.25 codebook=ema start=kmeans restart=0.5 "
     "batch=32 steps=30000 lr=4e-4 schedule=cosine warmup=500 flip=true", 64},
    {0},
};
/* clang-format on */

static ag_err check(const void *options, const image_shape *image)
{
    const struct vqvae *o = options;
    const ag_err err = quantizer_check(&o->q);
    return err ? err : recipe_check_size(image, (int64_t)1 << o->downsampling, "downsampling", o->downsampling);
}

/* D: channels that the encoder gives. */
static nn_vqvae_opt network(const struct vqvae *o, const run *r, int64_t D)
{
    return (nn_vqvae_opt){.hidden = o->hidden,
                          .residual = o->residual,
                          .blocks = (int)o->blocks,
                          .downsampling = (int)o->downsampling,
                          .D = D,
                          .channels = r->build.image.channels,
                          .no_middle = !o->middle,
                          .full_first = !o->half_first,
                          .residual_bias = o->residual_bias,
                          .relu_before_stack = o->relu_before_stack,
                          .skip_relu = o->skip_relu};
}

static void build(run *r, const void *options)
{
    const struct vqvae *o = options;
    const nn_vqvae_opt net = network(o, r, quantizer_width(&o->q));
    ag_tensor *x = r->images; /* [N,H,W,C] in -0.5 .. 0.5 */
    ag_tensor *z = nn_vqvae_encoder(nn_in(r->root, "encoder"), x, &net);
    ag_tensor *y = nn_vqvae_decoder(nn_in(r->root, "decoder"), quantize(r, &o->q, "quantizer", z), &net);
    r->mse = nn_mse(y, x);
    run_loss(r, "reconstruction", r->mse, o->divide_by_variance ? 1 / r->variance : 1);
    r->reconstruction = y;
    run_phase(r, NULL);
}

static ag_tensor *decode(run *r, const void *options, ag_tensor *const *codes)
{
    const struct vqvae *o = options;
    const nn_vqvae_opt net = network(o, r, 0);
    return nn_vqvae_decoder(nn_in(r->root, "decoder"), dequantize(r, &o->q, "quantizer", codes[0]), &net);
}

static void grid(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width)
{
    const struct vqvae *o = options;
    (void)level;
    *height = image->height >> o->downsampling;
    *width = image->width >> o->downsampling;
}

static int code_shape(const void *options, const image_shape *image, int level, int64_t *shape)
{
    const struct vqvae *o = options;
    int64_t h, w;
    grid(options, image, level, &h, &w);
    return level ? 0 : quantizer_code_shape(&o->q, h, w, shape);
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
    .takes = quantizer_takes,
    .build = build,
    .decode = decode,
    .grid = grid,
    .code_shape = code_shape,
};
