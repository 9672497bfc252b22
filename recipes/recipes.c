/* The table of recipes, and the options that all of them share. */
#include <stdlib.h>
#include <string.h>

#include "recipe.h"

#define RECIPE(name) extern const recipe recipe_##name;
#include "recipes.def"
#undef RECIPE

static const recipe *const recipes[] = {
#define RECIPE(name) &recipe_##name,
#include "recipes.def"
#undef RECIPE
};

#define ROW_INT(field, low, high, help)  OPTION_INT(struct train_options, field, low, high, "ours", help)
#define ROW_REAL(field, low, high, help) OPTION_REAL(struct train_options, field, low, high, "Kingma, Ba 2015", help)
#define NEVER                            " (0: never)"

static const option rows[] = {
    OPTION_INT(struct train_options, batch, 1, 65536, "recipe",
               "images a run of the graph; a step has accumulate times as many"),
    OPTION_INT(
        struct train_options, accumulate, 1, 65536, "ours",
        "micro-batches a step: gradients are means over them, codebook averages take the members of all; batch times "
        "as many images in the memory of one batch"),
    OPTION_INT(struct train_options, steps, 1, 1e12, "recipe", "updates in all"),
    OPTION_REAL(struct train_options, lr, 1e-12, 10, "recipe", "learning rate, at its peak"),
    OPTION_CHOICE(struct train_options, optimizer, "adam|adamw|lion|sgd", "recipe",
                  "the update rule; adamw is adam with weight_decay apart from the gradient"),
    ROW_REAL(beta1, 0, 0.999999, "decay of Adam's first moment, of Lion's inner average; momentum of sgd"),
    ROW_REAL(beta2, 0, 0.999999999, "decay of Adam's second moment, of Lion's (published there: 0.99)"),
    ROW_REAL(adam_eps, 1e-30, 1, "added to the root of Adam's second moment"),
    OPTION_REAL(
        struct train_options, weight_decay, 0, 100, "ours",
        "of adamw, lion and sgd: for matrices and kernels; biases, norms, embeddings and codebooks do not decay"),
    OPTION_REAL(
        struct train_options, clip, 0, 1e9, "ours",
        "largest norm of the gradient of all parameters of a phase together; it is scaled down to it (0: never)"),
    OPTION_CHOICE(
        struct train_options, schedule, "constant|cosine|linear|quarter_cosine|exponential|step", "recipe",
        "the rate after the warm-up: constant; down to lr_last at the last step, along half a cosine, a line, a "
        "quarter of a cosine, or by equal factors; or times lr_factor every lr_every steps"),
    ROW_INT(warmup, 0, 1e9, "steps in which the rate rises from 0 to its peak"),
    OPTION_REAL(struct train_options, lr_last, 0, 1, "ours", "share of the peak that the rate ends at"),
    OPTION_REAL(struct train_options, lr_factor, 1e-9, 1, "ours", "of schedule=step"),
    ROW_INT(lr_every, 0, 1e12, "of schedule=step"),
    ROW_INT(lr_steps, 0, 1e12, "steps after which the rate is at lr_last and stays there (0: all steps)"),
    OPTION_REAL(struct train_options, average, 0, 0.9999999, "Polyak, Juditsky 1992",
                "decay of averages of the weights, that eval, encode, decode and reconstruct then use; at first "
                "(1 + t) / (10 + t) if that is less (0: none)"),
    OPTION_TEXT(
        struct train_options, freeze, "ours",
        "parts that do not learn: encoder, quantizer, decoder, or the first words of names; nor do codebooks or "
        "statistics in them follow the data"),
    ROW_INT(rollback, 0, 100,
            "times in 1,000 steps that a run goes back to its last checkpoint when a loss or gradient is not finite, "
            "and on "
            "with other images, before it stops"),
    OPTION_CHOICE(struct train_options, precision, "fp32|bf16", "ours",
                  "bf16: training rounds the operands of matrix products, and of the convolutions that it makes "
                  "faster, to bf16 and "
                  "sums in fp32, on CPUs with AVX512_BF16; weights, moments, codebook search, evaluation stay fp32"),
    ROW_INT(seed, 0, 9007199254740991.0, "keys weights, order of images and random ops"),
    OPTION_FLAG(struct train_options, in_order, "ours",
                "take the images in file order instead of a permutation per epoch"),
    OPTION_FLAG(struct train_options, flip, "ours", "mirror images left-right with probability 1/2"),
    ROW_INT(log_every, 1, 1e9, "steps between lines of metrics.jsonl; figures are means over these steps"),
    ROW_INT(eval_every, 0, 1e9, "steps between evaluations, which also keep best.h5" NEVER),
    ROW_INT(eval_images, 0, 1e9, "images of each evaluation during training, spread over the split (0: all)"),
    ROW_INT(save_every, 0, 1e9, "steps between checkpoints (0: by time alone)"),
    OPTION_REAL(struct train_options, save_minutes, 0, 1e6, "ours", "minutes between checkpoints (0: by steps alone)"),
    ROW_INT(samples_every, 0, 1e9, "steps between grids of reconstructions in samples/" NEVER),
};
const option_table train_option_table = {rows, (int)(sizeof rows / sizeof *rows), NULL};

ag_err train_options_check(const struct train_options *o)
{
    if (o->weight_decay > 0 && o->optimizer == TRAIN_ADAM)
        return ag_fail(AG_ERR_USAGE, "weight_decay=%g: optimizer=adam has none; set optimizer=adamw", o->weight_decay);
    if (o->schedule == OPT_EXPONENTIAL && !(o->lr_last > 0))
        return ag_fail(AG_ERR_USAGE, "schedule=exponential: never gets to lr_last=0; set lr_last, for example 0.01");
    if (o->schedule == OPT_STEP && o->lr_every < 1)
        return ag_fail(AG_ERR_USAGE, "schedule=step: set lr_every, the steps between two cuts of the rate");
    return AG_OK;
}

ag_err recipe_check_size(const image_shape *image, int64_t factor, const char *key, int64_t value)
{
    const int64_t h = image->height / factor * factor, w = image->width / factor * factor;
    char why[64] = "", what[64] = "";
    if (h == image->height && w == image->width && h && w) return AG_OK;
    if (key) {
        snprintf(why, sizeof why, " (%s=%lld)", key, (long long)value);
        snprintf(what, sizeof what, ", or set %s", key);
    }
    return ag_fail(AG_ERR_USAGE,
                   "images of %lldx%lld: height and width must be multiples of %lld%s; the nearest sizes are %lldx%lld "
                   "and %lldx%lld: pack again with --size%s",
                   (long long)image->width, (long long)image->height, (long long)factor, why,
                   (long long)(w ? w : factor), (long long)(h ? h : factor),
                   (long long)(w == image->width ? w : w + factor), (long long)(h == image->height ? h : h + factor),
                   what);
}

int recipe_grids(const recipe *r, const void *options, const image_shape *image)
{
    int64_t shape[3];
    int n = 0;
    while (r->code_shape && n < RUN_QUANTIZERS && r->code_shape(options, image, n, shape) > 0) n++;
    return n;
}

const recipe *recipe_at(int i) { return i >= 0 && i < (int)(sizeof recipes / sizeof *recipes) ? recipes[i] : NULL; }

const recipe *recipe_find(const char *name)
{
    const recipe *r;
    for (int i = 0; (r = recipe_at(i)); i++)
        if (!strcmp(r->name, name)) return r;
    return NULL;
}

ag_err recipe_get(const recipe **out, const char *name)
{
    const char *best = NULL;
    const recipe *r;
    if ((*out = recipe_find(name))) return AG_OK;
    for (int i = 0; (r = recipe_at(i)); i++) option_nearer(name, r->name, &best);
    if (best) return ag_fail(AG_ERR_USAGE, "%.64s: no such recipe; did you mean '%s'?", name, best);
    return ag_fail(AG_ERR_USAGE, "%.64s: no such recipe; 'tessera recipes' lists them", name);
}

void *recipe_options_new(const recipe *r)
{
    void *options = malloc(r->options_size);
    if (options) memcpy(options, r->defaults, r->options_size);
    return options;
}

ag_err recipe_preset_find(const recipe_preset **out, const recipe *r, const char *name)
{
    const char *best = NULL;
    for (*out = r->presets; (*out)->name; ++*out) {
        if (!strcmp((*out)->name, name)) return AG_OK;
        option_nearer(name, (*out)->name, &best);
    }
    if (best)
        return ag_fail(AG_ERR_USAGE, "--preset %.64s: %s has no such preset; did you mean '%s'?", name, r->name, best);
    return ag_fail(AG_ERR_USAGE, "--preset %.64s: no such preset; 'tessera recipes %s' lists them", name, r->name);
}

ag_err recipe_preset_apply(const recipe *r, void *options, const char *preset)
{
    const recipe_preset *p;
    char origin[96];
    const ag_err err = recipe_preset_find(&p, r, preset);
    if (err) return err;
    snprintf(origin, sizeof origin, "preset %s", preset);
    return option_assign_all(r->options, options, p->settings, origin);
}
