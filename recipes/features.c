/* Features for a perceptual loss, learned on the user's own pictures: a denoising autoencoder. Vincent, Larochelle, Bengio, Manzagol 2008,
 * "Extracting and Composing Robust Features with Denoising Autoencoders"; holes to be filled from what is around them: Pathak and others
 * 2016, "Context Encoders", arXiv:1604.07379.
 *
 *     x -> x' = (x + s e) m -> features -> decoder -> y                                      x = 2 pixel / 255 - 1
 *     loss = mse(y, x) + label_weight * cross entropy(classes of the last features' mean, label)
 *
 * e is normal, s uniform in 0 .. noise for each image, m is 0 on a share `masked` of the squares of `block` pixels: what neither copying
 * nor blurring can mend. The second term only where the data has labels. Evaluation shows the network clean pictures. The decoder is
 * thrown away: other recipes take the features by perceptual=features, with the distance of nn_features_distance. Features learned
 * without labels make perceptual distances about as good as those of classifiers: Zhang and others 2018, arXiv:1801.03924, 4. */
#include "learned_features.h"

struct features {
    struct train_options train;
    int64_t width, levels, block;
    double noise, masked, label_weight;
};

/* clang-format off */
static const struct features defaults = {
    .train = {TRAIN_DEFAULTS, .batch = 32, .steps = 5000, .lr = 1e-3, .schedule = OPT_COSINE, .warmup = 100, .lr_last = 0.01}, /* ours */
    .width = 32, .levels = 4, .block = 4, .noise = 0.5, .masked = 0.25, .label_weight = 0.1,                               /* ours */
};

#define F struct features
static const option rows[] = {
    OPTION_INT(F, width, 1, 1024, "ours", "channels of the first level; each further one has twice as many"),
    OPTION_INT(F, levels, 1, NN_MOST_LEVELS, "VGG", "each but the last halves the image; a distance compares all"),
    OPTION_REAL(F, noise, 0, 10, "ours", "largest deviation of the noise added to an image in -1 .. 1"),
    OPTION_REAL(F, masked, 0, 0.95, "ours", "share of the squares that are blotted out"),
    OPTION_INT(F, block, 1, 256, "ours", "pixels at a side of these squares"),
    OPTION_REAL(F, label_weight, 0, 1000, "ours", "weight of telling the labels of the data, if it has any (0: never)"),
};
static const option_table table = {rows, (int)(sizeof rows / sizeof *rows), &train_option_table};

static const recipe_preset presets[] = {
    {"cifar10", "32x32 images, three levels of 32, 64, 128 channels", "levels=3 batch=64 steps=10000 flip=true", 32},
    {"photos64", "64x64 photos, four levels of 32 to 256 channels, mirrored images", "batch=16 steps=10000 block=8 flip=true", 64},
    {"tiny", "a minute on two cores: 32x32 images, three levels of 16, 32, 64 channels",
     "width=16 levels=3 batch=16 steps=500 log_every=25 eval_every=250 save_every=250 samples_every=250", 32},
    {0},
};
/* clang-format on */

nn_features_opt features_network(const void *options)
{
    const struct features *o = options;
    return (nn_features_opt){.width = o->width, .levels = (int)o->levels};
}

static ag_err check(const void *options, const image_shape *image)
{
    const struct features *o = options;
    return recipe_check_size(image, (int64_t)1 << (o->levels - 1), "levels", o->levels);
}

static ag_tensor *corrupted(run *r, const struct features *o, ag_tensor *x)
{
    const int64_t n = ag_dim(x, 0), h = ag_dim(x, 1), w = ag_dim(x, 2), shape[4] = {n, h, w, ag_dim(x, 3)};
    const int64_t squares[4] = {n, (h + o->block - 1) / o->block, (w + o->block - 1) / o->block, 1};
    if (!r->training) return x;
    ag_tensor *deviation = ag_uniform(r->graph, 4, (int64_t[]){n, 1, 1, 1}, 0, o->noise);
    if (o->noise > 0) x = ag_add(x, ag_mul(ag_normal(r->graph, 4, shape, 0, 1), deviation));
    if (!(o->masked > 0)) return x;
    ag_tensor *seen = ag_less(ag_constant(r->graph, o->masked, 0, NULL), ag_uniform(r->graph, 4, squares, 0, 1));
    return ag_mul(x, ag_resize(seen, h, w, AG_NEAREST));
}

static ag_tensor *decoder(nn_scope s, ag_tensor *h, const struct features *o, int64_t channels)
{
    for (int i = (int)o->levels - 2; i >= 0 && h; i--) {
        h = ag_resize(h, 2 * ag_dim(h, 1), 2 * ag_dim(h, 2), AG_NEAREST);
        h = nn_conv2d(nn_at(s, "level", i), h,
                      &(nn_conv2d_opt){.out = o->width << i, .kernel = 3, .pad = 1, .activation = AG_RELU});
    }
    return nn_conv2d(nn_in(s, "conv_out"), h, &(nn_conv2d_opt){.out = channels, .kernel = 3, .pad = 1});
}

static void build(run *r, const void *options)
{
    const struct features *o = options;
    const nn_features_opt net = features_network(o);
    ag_tensor *x = r->images; /* [N,H,W,C] in -1 .. 1 */
    ag_tensor *h = nn_features(nn_in(r->root, "features"), corrupted(r, o, x), &net, NULL);
    r->reconstruction = decoder(nn_in(r->root, "decoder"), h, o, ag_dim(x, -1));
    run_loss(r, "reconstruction", nn_mse(r->reconstruction, x), 1);
    ag_tensor *labels = o->label_weight > 0 ? run_labels(r) : NULL;
    if (labels) {
        const nn_linear_opt classes = {.out = r->build.classes};
        ag_tensor *logits = nn_linear(nn_in(r->root, "classes"), ag_global_average(h), &classes);
        run_loss(r, "labels", ag_cross_entropy(logits, labels, NULL, 0), o->label_weight);
    }
    run_phase(r, NULL);
}

const recipe recipe_features = {
    .name = "features",
    .title = "Features for perceptual=features: a denoising autoencoder",
    .paper =
        "Vincent and others 2008; Pathak and others 2016, arXiv:1604.07379; Zhang and others 2018, arXiv:1801.03924",
    .options_size = sizeof(struct features),
    .defaults = &defaults,
    .options = &table,
    .presets = presets,
    .scale = 2,
    .shift = -1,
    .check = check,
    .build = build,
};
