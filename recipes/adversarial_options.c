/* Losses with a discriminator and with perceptual distances (adversarial_options.h). */
#include <stdlib.h>
#include <string.h>

#include "adversarial_options.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/safetensors.h"
#include "learned_features.h"
#include "model.h"

#define A struct adversarial_options

static const option rows[] = {
    OPTION_CHOICE(A, pixel_loss, "l1|l2|huber", "recipe",
                  "of the reconstruction: mean |y - x|, mean (y - x)^2, or Huber's with 1 as bound"),
    OPTION_CHOICE(A, discriminator, "none|patchgan|stylegan", "recipe",
                  "judges reconstructions against images: PatchGAN, or StyleGAN2's residual one"),
    OPTION_INT(A, disc_layers, 1, 8, "VQGAN", "patchgan: layers after the first; all but the last halve the image"),
    OPTION_INT(A, disc_width, 1, 1024, "VQGAN",
               "patchgan: channels of its first layer; stylegan: 64 for the published widths, others in proportion"),
    OPTION_CHOICE(A, disc_norm, "batch|group|spectral", "VQGAN",
                  "patchgan: norms over the batch, over groups of an image's channels (for small batches), or of the "
                  "weights"),
    OPTION_CHOICE(A, gan, "hinge|vanilla|non_saturating|least_squares", "VQGAN", "the adversarial loss"),
    OPTION_REAL(A, gan_weight, 0, 1000, "VQGAN", "weight of the adversarial loss for the generator"),
    OPTION_REAL(A, disc_loss_weight, 0, 1000, "VQGAN", "weight of the discriminator's loss"),
    OPTION_REAL(A, disc_rate, 1e-6, 1000, "ours", "learning rate of the discriminator, as a factor of lr"),
    OPTION_FLAG(A, adaptive, "VQGAN",
                "multiply gan_weight by the ratio of the gradients of the other losses and of the adversarial one at "
                "the last layer"),
    OPTION_REAL(A, adaptive_limit, 1e-6, 1e12, "VQGAN", "largest such ratio"),
    OPTION_INT(A, disc_start, 0, 1e12, "recipe", "updates before the first one of the discriminator"),
    OPTION_INT(A, gan_start, 0, 1e12, "recipe", "updates before the generator first hears of the discriminator"),
    OPTION_INT(A, gan_ramp, 0, 1e12, "ours", "updates over which gan_weight then rises from 0 (0: at once)"),
    OPTION_REAL(A, r1, 0, 1e6, "Mescheder 2018",
                "weight of the squared gradient of the discriminator at real images (10 in StyleGAN-like set-ups)"),
    OPTION_REAL(A, lecam, 0, 1000, "Tseng 2021", "weight of LeCAM's term for the discriminator (0.001 to 0.05)"),
    OPTION_REAL(A, backoff, 0, 1000, "ours",
                "halve gan_weight whenever an evaluation's nmse is over (1 + backoff) times the best so far (0: "
                "never); 0.25 is about 1 dB"),
    OPTION_CHOICE(A, perceptual, "none|lpips|ssim|features", "recipe",
                  "distance between pictures: LPIPS on VGG-16 with weights that you bring; structure (SSIM) and "
                  "edges at three sizes, which needs none; features that recipe `features` has learned on your "
                  "pictures. The last two are not LPIPS"),
    OPTION_REAL(A, perceptual_factor, 0, 1000, "VQGAN", "weight of that distance"),
    OPTION_PATH(A, perceptual_weights, "you",
                "lpips: safetensors file with net.slice1.0.weight ... lin4.model.1.weight; features: a run of recipe "
                "`features`, or its checkpoint"),
    OPTION_TEXT(A, perceptual_sha256, "you",
                "lpips: SHA-256 of that file, which must be that one; features: fingerprint of the weights ('tessera "
                "info'), put in by the first step and asked for by --resume"),
};
const option_table adversarial_option_table = {rows, (int)(sizeof rows / sizeof *rows), &quantizer_option_table};

/* ---- contradictions ------------------------------------------------------------------------------------------------------ */

static ag_err check_patchgan(const A *o, const image_shape *image)
{
    const int64_t side = image->height < image->width ? image->height : image->width;
    const int64_t map = side >> o->disc_layers;
    if (o->disc_norm == NN_PATCHGAN_GROUP && 2 * o->disc_width % 32)
        return ag_fail(AG_ERR_USAGE,
                       "disc_norm=group: 32 groups do not divide the 2 * disc_width = %lld channels of its second "
                       "layer; set disc_width to a multiple of 16",
                       (long long)(2 * o->disc_width));
    if (map >= 3) return AG_OK;
    return ag_fail(
        AG_ERR_USAGE,
        "disc_layers=%lld: images of %lld are halved %lld times, to %lld, and two layers of 4x4 then take 2; "
        "nothing is left to judge: set a lower disc_layers",
        (long long)o->disc_layers, (long long)side, (long long)o->disc_layers, (long long)map);
}

static ag_err check_stylegan(const A *o, const image_shape *image)
{
    const int64_t h = image->height, w = image->width, batch = o->q.train.batch;
    if (h != w || h < 8 || h > 512 || (h & (h - 1)))
        return ag_fail(AG_ERR_USAGE,
                       "discriminator=stylegan: takes squares of 8, 16, ... 512 pixels, not %lldx%lld; set "
                       "discriminator=patchgan, or pack again with --size",
                       (long long)w, (long long)h);
    if (batch > 4 && batch % 4)
        return ag_fail(AG_ERR_USAGE,
                       "discriminator=stylegan: compares images in groups of 4, and batch=%lld is not a multiple of 4; "
                       "set batch=%lld",
                       (long long)batch, (long long)(batch / 4 * 4));
    return AG_OK;
}

static ag_err check_starts(const A *o)
{
    if (o->gan_start < o->disc_start)
        return ag_fail(AG_ERR_USAGE,
                       "gan_start=%lld disc_start=%lld: for %lld updates the generator would follow a discriminator "
                       "that has not learned; set gan_start=%lld or more",
                       (long long)o->gan_start, (long long)o->disc_start, (long long)(o->disc_start - o->gan_start),
                       (long long)o->disc_start);
    if (o->gan_start < o->q.train.steps) return AG_OK;
    return ag_fail(AG_ERR_USAGE,
                   "gan_start=%lld: a run of steps=%lld ends %lld updates before it; set discriminator=none or an "
                   "earlier gan_start",
                   (long long)o->gan_start, (long long)o->q.train.steps,
                   (long long)(o->gan_start + 1 - o->q.train.steps));
}

static ag_err check_perceptual(const A *o, const image_shape *image)
{
    if (!o->perceptual) return AG_OK;
    if (image->height < 16 || image->width < 16)
        return ag_fail(AG_ERR_USAGE,
                       "perceptual: needs images of 16x16 or more, not %lldx%lld (LPIPS halves them four times); set "
                       "perceptual=none",
                       (long long)image->width, (long long)image->height);
    if (o->perceptual == PERCEPTUAL_FEATURES && !*o->perceptual_weights)
        return ag_fail(AG_ERR_USAGE, "perceptual=features: set perceptual_weights to the run that has learned them: "
                                     "tessera train features --data DATA.h5 -o runs/features; or set perceptual=ssim");
    if (o->perceptual != PERCEPTUAL_LPIPS) return AG_OK;
    if (image->channels != 3 && image->channels != 1)
        return ag_fail(AG_ERR_USAGE, "perceptual=lpips: takes 1 or 3 channels, not %lld; set perceptual=ssim",
                       (long long)image->channels);
    if (*o->perceptual_weights) return AG_OK;
    return ag_fail(AG_ERR_USAGE, "perceptual=lpips: set perceptual_weights and perceptual_sha256 to a safetensors file "
                                 "with VGG-16 and the LPIPS heads, and its SHA-256; or set perceptual=ssim, which "
                                 "needs no file");
}

ag_err adversarial_check(const A *o, const image_shape *image)
{
    ag_err err = quantizer_check(&o->q);
    if (!err && o->discriminator) err = check_starts(o);
    if (!err && o->discriminator == DISCRIMINATOR_PATCHGAN) err = check_patchgan(o, image);
    if (!err && o->discriminator == DISCRIMINATOR_STYLEGAN) err = check_stylegan(o, image);
    return err ? err : check_perceptual(o, image);
}

/* ---- distances -------------------------------------------------------------------------------------------------------------- */

/* From the recipe's range to [-1,1]. */
static ag_tensor *signed_range(const run *r, ag_tensor *x)
{
    const double scale = 2 / r->recipe->scale, shift = -r->recipe->shift * scale - 1;
    if (scale != 1) x = ag_scale(x, scale);
    return shift != 0 ? ag_shift(x, shift) : x;
}

/* Is the graph there only to be counted? */
static bool is_outline(const run *r) { return nn_params_count(r->params) && !nn_params_at(r->params, 0)->data; }

static ag_tensor *fail_distance(run *r, ag_err err, const char *which)
{
    char message[1024];
    snprintf(message, sizeof message, "%s", ag_error_message());
    return ag_graph_fail(r->graph, err, "perceptual=%s: %s", which, message);
}

/* Learned weights are read into parameters of their own, which the run owns: no checkpoint holds them, no optimizer sees them. */
static ag_err borrow(run *r)
{
    if ((r->borrowed = is_outline(r) ? nn_params_outline() : nn_params_new(0))) return AG_OK;
    return ag_fail(AG_ERR_MEMORY, "no memory for the weights");
}

static ag_tensor *lpips(run *r, const A *o, ag_tensor *y, ag_tensor *x)
{
    ag_err err = borrow(r);
    if (err) return fail_distance(r, err, "lpips");
    const nn_scope s = nn_root(r->borrowed, r->graph, false);
    ag_tensor *each = nn_lpips(s, signed_range(r, y), signed_range(r, x), NULL, NULL);
    if (!is_outline(r)) err = ckpt_safetensors_load(o->perceptual_weights, o->perceptual_sha256, r->borrowed);
    return err ? fail_distance(r, err, "lpips") : ag_mean(each);
}

static ag_err check_features(const model *m, const A *o, const run *r)
{
    char print[65];
    if (m->recipe != &recipe_features)
        return ag_fail(AG_ERR_CHECKPOINT, "%s: of recipe '%s'; give a run of recipe 'features'", m->path,
                       m->recipe->name);
    if (m->image.channels != r->build.image.channels)
        return ag_fail(AG_ERR_CHECKPOINT,
                       "%s: has seen images of %lld channels, these have %lld; train features on "
                       "such images",
                       m->path, (long long)m->image.channels, (long long)r->build.image.channels);
    const ag_err err = ckpt_fingerprint(m->path, print);
    if (err || !*o->perceptual_sha256 || !strcmp(print, o->perceptual_sha256)) return err;
    return ag_fail(AG_ERR_CHECKPOINT,
                   "%s: has fingerprint %s, this run asks for perceptual_sha256=%s; give the weights that it was "
                   "started with",
                   m->path, print, o->perceptual_sha256);
}

static ag_tensor *learned(run *r, const A *o, ag_tensor *y, ag_tensor *x)
{
    model *m = NULL;
    ag_tensor *each = NULL;
    int averages;
    ag_err err = model_open(&m, o->perceptual_weights);
    if (!err) err = check_features(m, o, r);
    if (!err) err = borrow(r);
    if (!err) {
        const nn_features_opt net = features_network(m->options);
        const nn_scope s = nn_in(nn_root(r->borrowed, r->graph, false), "features");
        each = nn_features_distance(s, signed_range(r, y), signed_range(r, x), &net);
    }
    if (!err && each && !is_outline(r)) err = ckpt_load_averages(m->path, r->borrowed, &averages);
    model_close(m);
    return err ? fail_distance(r, err, "features") : ag_mean(each);
}

ag_err adversarial_settle(void *options)
{
    A *o = options;
    char *path = NULL;
    if (o->perceptual != PERCEPTUAL_FEATURES || *o->perceptual_sha256) return AG_OK;
    ag_err err = model_path(&path, o->perceptual_weights);
    if (!err) err = ckpt_fingerprint(path, o->perceptual_sha256);
    free(path);
    return err ? ag_fail_context(err, "perceptual=features") : AG_OK;
}

static ag_tensor *distance(run *r, const A *o, ag_tensor *y)
{
    const double black = r->recipe->shift, white = black + r->recipe->scale;
    switch ((perceptual_kind)o->perceptual) {
    case PERCEPTUAL_LPIPS: return lpips(r, o, y, r->images);
    case PERCEPTUAL_SSIM: return nn_structure(y, r->images, black, white, 0);
    case PERCEPTUAL_FEATURES: return learned(r, o, y, r->images);
    case PERCEPTUAL_NONE: break;
    }
    return NULL;
}

ag_tensor *adversarial_pixels(run *r, const A *o, ag_tensor *y)
{
    switch ((pixel_loss)o->pixel_loss) {
    case PIXEL_L1: return nn_l1(y, r->images);
    case PIXEL_HUBER: return nn_huber(y, r->images, 1);
    case PIXEL_L2: break;
    }
    return nn_mse(y, r->images);
}

/* ---- the two sides ------------------------------------------------------------------------------------------------------------- */

static ag_tensor *judge(run *r, const A *o, ag_tensor *x)
{
    const nn_scope s = nn_in(r->root, "discriminator");
    if (o->discriminator == DISCRIMINATOR_PATCHGAN)
        return nn_patchgan(s, x,
                           &(nn_patchgan_opt){.width = o->disc_width,
                                              .layers = (int)o->disc_layers,
                                              .norm = (nn_patchgan_norm)o->disc_norm});
    nn_stylegan_opt usual = nn_stylegan_usual(ag_dim(x, 1), 2);
    for (int i = 0; i < usual.levels; i++) {
        const int64_t width = usual.width[i] * o->disc_width / 64;
        usual.width[i] = width ? width : 1;
    }
    return nn_stylegan(s, x, &usual);
}

/* w(t), with the back-off's share. */
static ag_tensor *onset(run *r, const A *o)
{
    const double start = (double)o->gan_start;
    ag_tensor *begun = ag_less(ag_constant(r->graph, start, 0, NULL), r->update);
    if (o->gan_ramp) begun = ag_clamp(ag_scale(ag_shift(r->update, -start), 1.0 / (double)o->gan_ramp), 0, 1);
    const nn_scope s = nn_in(r->root, "optimizer.adversarial");
    const nn_init one = {.rule = NN_CONSTANT, .a = 1}, zero = {.rule = NN_ZERO};
    r->backoff = (run_backoff){.scale = nn_tensor(s, "scale", NN_OPTIMIZER, NN_PLAIN, 0, NULL, one),
                               .best = nn_tensor(s, "best", NN_OPTIMIZER, NN_PLAIN, 0, NULL, zero),
                               .share = o->backoff,
                               .start = o->gan_start};
    return ag_mul(begun, r->backoff.scale);
}

/* The weight of a layer that has been made. */
static ag_tensor *weight_of(run *r, const char *layer)
{
    const nn_scope s = nn_in(r->root, layer);
    const nn_param *p = nn_params_find(r->params, nn_in(s, "weight").name);
    if (!p) return ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: no layer %s", r->recipe->name, layer);
    return nn_tensor(s, "weight", p->kind, p->layout, p->rank, p->shape, (nn_init){.rule = NN_ZERO});
}

/* Of the value of `value`, with the gradient d for out: both losses have been taken back to out by themselves, for lambda, and need not
 * be once more. */
static ag_tensor *with_gradient(ag_tensor *value, ag_tensor *out, ag_tensor *d)
{
    ag_tensor *sum = ag_sum(ag_mul(out, ag_stop_gradient(d)));
    return ag_add(ag_stop_gradient(value), ag_sub(sum, ag_stop_gradient(sum)));
}

/* Adds g to the losses with weight gan_weight * factor * lambda; returns the reconstruction loss with the gradient of all, which reaches
 * the networks through `out` alone. */
static ag_tensor *adaptive(run *r, const A *o, ag_tensor *nll, ag_tensor *first, ag_tensor *g, ag_tensor *out,
                           ag_tensor *factor, const char *last)
{
    ag_tensor *w = weight_of(r, last), *d[2], *dw[2], *raw;
    ag_gradient(nll, 1, &out, &d[0]);
    ag_gradient(g, 1, &out, &d[1]);
    for (int i = 0; i < 2; i++) ag_pullback(out, d[i], 1, &w, &dw[i]);
    ag_tensor *lambda = nn_adaptive_weight(dw[0], dw[1], o->adaptive_limit, &raw);
    run_metric(r, "adaptive_weight", raw);
    factor = ag_mul(factor, lambda);
    run_loss_by(r, "adversarial", ag_stop_gradient(g), o->gan_weight, factor);
    return with_gradient(first, out, ag_add(d[0], ag_mul(d[1], ag_scale(factor, o->gan_weight))));
}

static void discriminator_losses(run *r, const A *o, ag_tensor *real_logits, ag_tensor *fake_logits)
{
    run_metric(r, "logits_real", ag_mean(real_logits));
    run_metric(r, "logits_fake", ag_mean(fake_logits));
    run_loss(r, "discriminator", nn_gan_discriminator((nn_gan_kind)o->gan, real_logits, fake_logits),
             o->disc_loss_weight);
    if (o->r1 > 0) run_loss(r, "r1", nn_r1(real_logits, r->images), o->disc_loss_weight * o->r1);
    if (o->lecam > 0)
        run_loss(r, "lecam", nn_lecam(nn_in(r->root, "lecam"), real_logits, fake_logits, 0, false),
                 o->disc_loss_weight * o->lecam);
}

void adversarial_losses(run *r, const A *o, ag_tensor *pixels, ag_tensor *y, ag_tensor *out, const char *last,
                        const char *const *parts)
{
    static const char *const judges[] = {"discriminator", NULL};
    r->reconstruction = y;
    if (!r->training || !y) return;
    r->mse = nn_mse(y, r->images);
    if (!pixels) pixels = adversarial_pixels(r, o, y);
    ag_tensor *seen = distance(r, o, y), *nll = pixels;
    if (seen) nll = ag_add(pixels, ag_scale(seen, o->perceptual_factor));
    const bool adapts = o->discriminator && o->adaptive;
    if (seen) run_loss(r, "perceptual", adapts ? ag_stop_gradient(seen) : seen, o->perceptual_factor);
    if (!o->discriminator) {
        run_loss(r, "reconstruction", pixels, 1);
        run_phase(r, NULL);
        return;
    }
    ag_tensor *fake_logits = judge(r, o, y), *factor = onset(r, o);
    ag_tensor *g = nn_gan_generator((nn_gan_kind)o->gan, fake_logits);
    if (adapts)
        pixels = adaptive(r, o, nll, pixels, g, out, factor, last);
    else
        run_loss_by(r, "adversarial", g, o->gan_weight, factor);
    run_loss(r, "reconstruction", pixels, 1);
    run_metric(r, "adversarial_onset", factor);
    run_phase(r, &(run_phase_opt){.name = "generator", .prefixes = parts});
    discriminator_losses(r, o, judge(r, o, r->images), fake_logits);
    run_phase(
        r, &(run_phase_opt){.name = "discriminator", .prefixes = judges, .rate = o->disc_rate, .start = o->disc_start});
}
