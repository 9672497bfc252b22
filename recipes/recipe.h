/* A recipe: what one model is, from options to losses. One file per recipe (vqvae.c), one row in recipes.def; nothing else
 * knows its name. The loop that all recipes share is train.c. */
#ifndef RECIPES_RECIPE_H
#define RECIPES_RECIPE_H

#include "options.h"
#include "run.h"

/* What every recipe's options begin with (the first field of its struct): the loop and the update rule. */
struct train_options {
    int64_t batch, accumulate, steps;
    double lr;
    int optimizer; /* train_optimizer */
    double beta1, beta2, adam_eps, weight_decay, clip;
    int schedule; /* opt_shape */
    int64_t warmup;
    double lr_last, lr_factor;
    int64_t lr_every, lr_steps;
    double average;
    char freeze[256];
    int precision; /* ag_precision */
    int64_t rollback, seed;
    bool in_order, flip;
    int64_t log_every, eval_every, eval_images, save_every, samples_every;
    double save_minutes;
};
extern const option_table train_option_table;

typedef enum train_optimizer { TRAIN_ADAM, TRAIN_ADAMW, TRAIN_LION, TRAIN_SGD } train_optimizer;

/* Options that contradict each other: AG_ERR_USAGE. */
ag_err train_options_check(const struct train_options *o);

/* Defaults of what is not the recipe's to choose: .train = {TRAIN_DEFAULTS, .batch = 128, .steps = 250000, .lr = 2e-4}; the second for
 * other decays of Adam's moments than 0.9 and 0.999 (Kingma, Ba 2015). */
#define TRAIN_DEFAULTS TRAIN_DEFAULTS_WITH(0.9, 0.999)
#define TRAIN_DEFAULTS_WITH(first_decay, second_decay)                                                                 \
    .accumulate = 1, .beta1 = (first_decay), .beta2 = (second_decay), .adam_eps = 1e-8, /* Kingma, Ba 2015 */          \
        .lr_factor = 0.1, .rollback = 3,                                                /* ours, to the end */         \
        .log_every = 100, .eval_every = 1000, .eval_images = 2048, .save_every = 1000, .save_minutes = 10,             \
    .samples_every = 1000

/* A named set of options: "key=value key=value". Applied over the defaults, under --config and --set. */
typedef struct recipe_preset {
    const char *name, *help, *settings;
    int image; /* height and width it is meant for, for 'tessera bench' */
} recipe_preset;

struct recipe {
    const char *name, *title, *paper;
    size_t options_size;
    const void *defaults; /* begins with struct train_options */
    const option_table *options;
    const recipe_preset *presets; /* ends with a NULL name */
    double scale, shift; /* the networks see pixel / 255 * scale + shift (model card; stored with the weights) */

    /* Options that do not fit together or do not fit the images. */
    ag_err (*check)(const void *options, const image_shape *image);
    /* Can a model trained on pictures of one size see those of another? Both pass `check`. NULL: it can. */
    bool (*takes)(const void *options, const image_shape *trained, const image_shape *image);
    /* Options that follow from files that others name, filled in as a run begins, so that its record has them. NULL: there are none. */
    ag_err (*settle)(void *options);
    /* Images to losses: fills r (run.h). */
    void (*build)(run *r, const void *options);
    /* The second half alone: codes of code_shape, one tensor a grid -> images in the range of the networks. NULL: no codes. */
    ag_tensor *(*decode)(run *r, const void *options, ag_tensor *const *codes);
    /* Rows and columns of grid number `level` of codes (or, where they are continuous, of latents) for an image. Most models have one;
     * where there are several, as in VQ-VAE-2, 0 is the coarsest, and the order is that of run_quantizer. */
    void (*grid)(const void *options, const image_shape *image, int level, int64_t *height, int64_t *width);
    /* The codes of an image in grid `level` as axes: h,w; h,w,depth; or L (multi-scale). Fills shape[3], returns how many; 0: no such
     * grid, or no codes. */
    int (*code_shape)(const void *options, const image_shape *image, int level, int64_t *shape);
};

/* How many grids of codes the model of the options has; 0: continuous. */
int recipe_grids(const recipe *r, const void *options, const image_shape *image);

/* Images must be multiples of `factor` in height and width: AG_ERR_USAGE with the nearest sizes. `key`=`value`: the option that makes it
 * so; NULL: there is none. */
ag_err recipe_check_size(const image_shape *image, int64_t factor, const char *key, int64_t value);

/* By name; NULL if there is none. */
const recipe *recipe_find(const char *name);
/* In the order of recipes.def; NULL past the end. */
const recipe *recipe_at(int i);
/* The same as an error that suggests a name. */
ag_err recipe_get(const recipe **out, const char *name);

/* Options resolved: a copy of the defaults to be changed with option_*; the caller frees it. NULL if out of memory. */
void *recipe_options_new(const recipe *r);
/* The preset of a name. Errors: AG_ERR_USAGE, with the nearest name if one is near. */
ag_err recipe_preset_find(const recipe_preset **out, const recipe *r, const char *name);
/* Sets the options that the preset of a name is about; errors as above. */
ag_err recipe_preset_apply(const recipe *r, void *options, const char *preset);

#endif
