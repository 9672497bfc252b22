/* ViT-VQGAN: Yu and others 2022, "Vector-quantized Image Modeling with Improved VQGAN", arXiv:2110.04627, 3; layers as in the public
 * PyTorch code.
 *
 *     x -> patches -> ViT -> pre_quant -> code of length 1 nearest by angle -> post_quant -> ViT -> patches -> y [, ln b]
 *     loss = l2 * mse(y, x) + logit_laplace * (-ln f(x' | y, b)) + mse(sg(z), q) + beta * mse(z, sg(q))
 *
 * x = pixel / 255; x' = 0.8 x + 0.1 and f: losses.h. If logit_laplace is not 0, the decoder gives y and ln b, and y is the picture for
 * one loss and the logit for the other, as the paper has it. Besides, gan_weight * softplus(-D(y)) and a perceptual distance
 * (adversarial_options.h); the public code penalises D's gradient every 16th step with 16 times the weight. */
#include "adversarial_options.h"

struct vitvqgan {
    struct adversarial_options a;
    int64_t patch, width, blocks, attention_heads, heads_width, hidden;
    int64_t decoder_width, decoder_blocks, decoder_attention_heads, decoder_heads_width, decoder_hidden;
    int activation; /* nn_mlp_activation */
    bool head;
    double dropout, l2, logit_laplace;
};

/* clang-format off */
static const struct vitvqgan defaults = {
    .a = {.q = {.train = {TRAIN_DEFAULTS_WITH(0.9, 0.99), .batch = 256, .steps = 500000, .lr = 1e-4,   /* 4.1 */
                          .warmup = 50000, .schedule = OPT_COSINE, .lr_last = 0.5,                     /* 4.1 */
                          .optimizer = TRAIN_ADAMW, .weight_decay = 1e-4},                             /* 4.1 */
                QUANTIZER_DEFAULTS_WITH(NN_CODEBOOK_GRADIENT, NN_START_NORMAL), .codes = 8192, .dim = 32,  /* 3.2 */
                .cosine = true, .scales = {4, {1, 2, 4, 8}}},                                          /* 3.2 */
          .discriminator = DISCRIMINATOR_STYLEGAN, .disc_layers = 2, .disc_width = 64, .disc_rate = 1, /* 3.3 */
          .gan = NN_GAN_NON_SATURATING, .gan_weight = 0.1, .disc_loss_weight = 0.5, .r1 = 10,          /* 3.3; code */
          .adaptive_limit = 1e4, .perceptual_factor = 0.1, .backoff = 0.25},                           /* 3.3 */
    .patch = 8, .width = 768, .blocks = 12, .attention_heads = 12, .hidden = 3072,                      /* 3.1, table 1: base */
    .head = true, .l2 = 1, .logit_laplace = 0.1,                                              /* 3.1, 3.3 */
};

#define V struct vitvqgan
static const option rows[] = {
    OPTION_INT(V, patch, 1, 64, "3.1", "pixels at a side of a patch, which becomes a code"),
    OPTION_INT(V, width, 4, 8192, "table 1", "channels of the transformers, a multiple of 4"),
    OPTION_INT(V, blocks, 1, 128, "table 1", "layers of each transformer"),
    OPTION_INT(V, attention_heads, 1, 128, "table 1", "of each attention layer"),
    OPTION_INT(V, heads_width, 0, 8192, "code", "channels of all heads together (0: width)"),
    OPTION_INT(V, hidden, 0, 32768, "table 1", "channels inside the MLPs (0: 4 width)"),
    OPTION_INT(V, decoder_width, 0, 8192, "3.1", "of the decoder (0: as the encoder)"),
    OPTION_INT(V, decoder_blocks, 0, 128, "3.1", "of the decoder (0: as the encoder)"),
    OPTION_INT(V, decoder_attention_heads, 0, 128, "3.1", "of the decoder (0: as the encoder)"),
    OPTION_INT(V, decoder_heads_width, 0, 8192, "3.1", "of the decoder (0: as the encoder)"),
    OPTION_INT(V, decoder_hidden, 0, 32768, "3.1", "of the decoder (0: as the encoder)"),
    OPTION_CHOICE(V, activation, "gelu|gelu-tanh|quick-gelu|relu|tanh", "ViT", "inside the MLPs; tanh in the public code"),
    OPTION_FLAG(V, head, "3.1", "two layers with tanh between behind each transformer; the public code has none"),
    OPTION_REAL(V, dropout, 0, 0.99, "ours", "of what layers add"),
    OPTION_REAL(V, l2, 0, 1000, "3.3", "weight of the mean squared error"),
    OPTION_REAL(V, logit_laplace, 0, 1000, "3.3", "weight of the logit-Laplace likelihood (0: the decoder gives no scales)"),
};
static const option_table table = {rows, (int)(sizeof rows / sizeof *rows), &adversarial_option_table};

#define PATCHES "discriminator=patchgan disc_layers=2 disc_norm=group r1=0 perceptual=ssim adaptive=true gan_weight=0.2 start=kmeans "
static const recipe_preset presets[] = {
    {"cifar10", "32x32 images to 8x8 codes of 512 in 8 dimensions",
     "patch=4 width=192 blocks=4 attention_heads=6 hidden=768 codes=512 dim=8 start=kmeans discriminator=none logit_laplace=0.1 batch=64 "
     "steps=20000 lr=5e-4 warmup=500 lr_last=0.01", 32},
    {"photos64", "64x64 photos to 8x8 codes of 1,024 in 16 dimensions, mirrored images",
     "patch=8 width=256 blocks=6 attention_heads=8 hidden=1024 codes=1024 dim=16 logit_laplace=0.1 batch=32 "
     "steps=30000 lr=4e-4 warmup=1000 lr_last=0.01 flip=true " PATCHES "disc_width=32 disc_start=14000 gan_start=15000 gan_ramp=1000", 64},
    {"tiny", "a minute on two cores: 32x32 images to 8x8 codes of 128 in 8 dimensions",
     "patch=4 width=64 blocks=2 attention_heads=4 hidden=128 activation=tanh head=false codes=128 dim=8 logit_laplace=0.1 "
     PATCHES "disc_width=16 disc_start=900 gan_start=1000 gan_ramp=100 "
     "batch=32 steps=1500 lr=1e-3 warmup=50 lr_last=0.1 log_every=50 eval_every=500 save_every=500 samples_every=500", 32},
    {"paper", "base: 256x256 images to 32x32 codes of 8,192 in 32 dimensions (4.1); add perceptual=lpips with your weights",
     "patch=8 width=768 blocks=12 attention_heads=12 hidden=3072 activation=gelu head=true codes=8192 dim=32 cosine=true "
     "codebook=gradient start=normal beta=0.25 l2=1 logit_laplace=0.1 batch=256 steps=500000 lr=1e-4 warmup=50000 "
     "schedule=cosine lr_last=0.5 optimizer=adamw weight_decay=1e-4 beta1=0.9 beta2=0.99", 256},
    {"small", "the public code's small network: tanh in every layer, no head, no likelihood; 50,908,195 parameters",
     "patch=8 width=512 blocks=8 attention_heads=8 hidden=2048 activation=tanh head=false codes=8192 dim=32 cosine=true "
     "codebook=gradient start=normal beta=0.25 l2=1 logit_laplace=0", 256},
    {"small-large", "the paper's best: small encoder, large decoder",
     "patch=8 width=512 blocks=8 attention_heads=8 hidden=2048 decoder_width=1280 decoder_blocks=32 decoder_attention_heads=16 "
     "decoder_hidden=5120 codes=8192 dim=32", 256},
    {0},
};
/* clang-format on */

static ag_err check_heads(const char *which, int64_t width, int64_t heads, int64_t heads_width)
{
    const int64_t all = heads_width ? heads_width : width;
    if (width % 4)
        return ag_fail(AG_ERR_USAGE, "%swidth=%lld: %lld / 4 for the sines of the positions is no whole number", which,
                       (long long)width, (long long)width);
    if (all % heads)
        return ag_fail(AG_ERR_USAGE, "%sattention_heads=%lld: %lld / %lld channels a head is no whole number", which,
                       (long long)heads, (long long)all, (long long)heads);
    return AG_OK;
}

static nn_vit_opt encoder_network(const struct vitvqgan *o, const run *r)
{
    return (nn_vit_opt){.patch = (int)o->patch,
                        .width = o->width,
                        .blocks = (int)o->blocks,
                        .heads = o->attention_heads,
                        .heads_width = o->heads_width,
                        .hidden = o->hidden,
                        .activation = (nn_mlp_activation)o->activation,
                        .head = o->head,
                        .dropout = o->dropout,
                        .channels = r ? r->build.image.channels : 0};
}

static nn_vit_opt decoder_network(const struct vitvqgan *o, const run *r)
{
    nn_vit_opt net = encoder_network(o, r);
    if (o->decoder_width) net.width = o->decoder_width, net.heads_width = 0;
    if (o->decoder_blocks) net.blocks = (int)o->decoder_blocks;
    if (o->decoder_attention_heads) net.heads = o->decoder_attention_heads;
    if (o->decoder_heads_width) net.heads_width = o->decoder_heads_width;
    if (o->decoder_hidden) net.hidden = o->decoder_hidden;
    if (o->logit_laplace > 0) net.channels *= 2;
    return net;
}

static ag_err check(const void *options, const image_shape *image)
{
    const struct vitvqgan *o = options;
    const nn_vit_opt d = decoder_network(o, NULL);
    ag_err err = adversarial_check(&o->a, image);
    if (err || (err = check_heads("", o->width, o->attention_heads, o->heads_width))) return err;
    if ((err = check_heads("decoder_", d.width, d.heads, d.heads_width))) return err;
    if (!(o->l2 > 0) && !(o->logit_laplace > 0))
        return ag_fail(AG_ERR_USAGE,
                       "l2=0, logit_laplace=0: no loss of the picture is left; give one of them a weight");
    return recipe_check_size(image, o->patch, "patch", o->patch);
}

/* The positions are a table of the size trained on. */
static bool takes(const void *options, const image_shape *trained, const image_shape *image)
{
    (void)options;
    return image->height == trained->height && image->width == trained->width;
}

static ag_tensor *linear(nn_scope s, ag_tensor *x, int64_t out)
{
    return nn_linear(s, x, &(nn_linear_opt){.out = out, .weights = NN_WEIGHTS_XAVIER});
}

/* What the decoder gives: the picture, and the logarithm of the scale if there is one. */
typedef struct decoded {
    ag_tensor *out, *y, *log_scale;
} decoded;

static decoded decode_latents(run *r, const struct vitvqgan *o, ag_tensor *latents)
{
    const nn_vit_opt net = decoder_network(o, r);
    ag_tensor *parts[2] = {NULL, NULL};
    ag_tensor *h = linear(nn_part(nn_in(r->root, "post_quant"), "decoder"), latents, net.width);
    ag_tensor *out = nn_vit_decoder(nn_in(r->root, "decoder"), h, &net);
    if (!(o->logit_laplace > 0)) return (decoded){.out = out, .y = out};
    ag_split(out, -1, 2, NULL, parts);
    return (decoded){.out = out, .y = parts[0], .log_scale = parts[1]};
}

static void build(run *r, const void *options)
{
    static const char *const parts[] = {"encoder.", "pre_quant.", "quantizer.", "post_quant.", "decoder.", NULL};
    const struct vitvqgan *o = options;
    const nn_vit_opt net = encoder_network(o, r);
    ag_tensor *x = r->images; /* [N,H,W,C] in 0 .. 1 */
    ag_tensor *h = nn_vit_encoder(nn_in(r->root, "encoder"), x, &net);
    h = linear(nn_part(nn_in(r->root, "pre_quant"), "encoder"), h, quantizer_width(&o->a.q));
    const decoded d = decode_latents(r, o, quantize(r, &o->a.q, "quantizer", h));
    ag_tensor *pixels = ag_scale(nn_mse(d.y, x), o->l2);
    if (d.log_scale) {
        ag_tensor *likelihood = nn_logit_laplace(d.y, d.log_scale, nn_logit_laplace_map(x, 0.1));
        pixels = ag_add(pixels, ag_scale(likelihood, o->logit_laplace));
        if (r->training) run_metric(r, "likelihood", likelihood);
    }
    adversarial_losses(r, &o->a, pixels, d.y, d.out, "decoder.to_pixel.1", parts);
}

static ag_tensor *decode(run *r, const void *options, ag_tensor *const *codes)
{
    const struct vitvqgan *o = options;
    return decode_latents(r, o, dequantize(r, &o->a.q, "quantizer", codes[0])).y;
}

static void grid(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width)
{
    const struct vitvqgan *o = options;
    (void)level;
    *height = image->height / o->patch;
    *width = image->width / o->patch;
}

static int code_shape(const void *options, const image_shape *image, int level, int64_t *shape)
{
    const struct vitvqgan *o = options;
    return level ? 0 : quantizer_code_shape(&o->a.q, image->height / o->patch, image->width / o->patch, shape);
}

const recipe recipe_vitvqgan = {
    .name = "vitvqgan",
    .title = "ViT-VQGAN: transformers around codes compared by angle",
    .paper = "Yu and others 2022, arXiv:2110.04627",
    .options_size = sizeof(struct vitvqgan),
    .defaults = &defaults,
    .options = &table,
    .presets = presets,
    .scale = 1,
    .shift = 0,
    .check = check,
    .takes = takes,
    .settle = adversarial_settle,
    .build = build,
    .decode = decode,
    .grid = grid,
    .code_shape = code_shape,
};
