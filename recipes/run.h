/* The graph of a run, as a recipe sees it: what it reads (images), what it makes (losses, reconstruction, codes), and the
 * update phases. A recipe's build function fills it; the loop, the evaluation and encode/decode read it.
 *
 *     run *r;
 *     if ((err = run_new(&r, recipe, options, params, &(run_options){.mode = RUN_TRAIN, .batch = 32, .image = shape}))) ...
 *     copy pixels to ag_data(r->pixels); run_step(r, step, rate); read run_value(r->losses[0].tensor)
 *     run_free(r);
 */
#ifndef RECIPES_RUN_H
#define RECIPES_RUN_H

#include "nn/quantizer.h"
#include "optim/optim.h"

typedef struct recipe recipe;
typedef struct run run;

typedef struct image_shape {
    int64_t height, width, channels;
    bool real; /* values in 0..1 stored as floats instead of u8 pixels */
} image_shape;

typedef enum run_mode {
    RUN_TRAIN,       /* losses, gradients, updates                                */
    RUN_RECONSTRUCT, /* images -> codes and reconstruction; nothing changes       */
    RUN_ENCODE,      /* images -> codes                                           */
    RUN_DECODE,      /* codes -> reconstruction                                   */
    RUN_START,       /* images -> latents, for data-dependent codebook starts     */
} run_mode;

typedef struct run_options {
    run_mode mode;
    int64_t batch;
    image_shape image;
    double variance; /* of the training pixels, in units of pixel / 255; 1 if unknown */
    uint64_t seed;
} run_options;

enum { RUN_LOSSES = 16, RUN_QUANTIZERS = 4, RUN_STARTS = 4, RUN_BOOKS = 32 };

typedef struct run_scalar {
    const char *name; /* static text */
    ag_tensor *tensor;
} run_scalar;

typedef struct run_start_entry {
    const char *scope; /* of the quantizer */
    ag_tensor *rows;   /* nn_quantized.rows */
    nn_quantizer_opt options;
} run_start_entry;

struct run {
    const recipe *recipe;
    const void *options; /* borrowed */
    run_options build;
    nn_params *params; /* borrowed */
    ag_graph *graph;
    nn_scope root;
    bool training;
    double variance; /* of the training pixels in the range of the networks */

    ag_tensor *pixels;        /* input: u8 [N,H,W,C], or real in 0..1; NULL in RUN_DECODE */
    ag_tensor *codes_in;      /* input of RUN_DECODE: i32, in the shape of nn_quantized.codes */
    ag_tensor *rate, *update; /* inputs of RUN_TRAIN: learning rate, number of the update from 1 */

    ag_tensor *images;         /* real [N,H,W,C] in the recipe's range */
    ag_tensor *reconstruction; /* the same shape and range; after the build in 0..1 units of pixel / 255, not clamped */
    ag_tensor *reconstruction_pixels; /* u8 */
    ag_tensor *mse; /* mean squared error of the batch in the recipe's range; made if the recipe makes none */
    ag_tensor *total;
    run_scalar losses[RUN_LOSSES];
    int n_losses;
    run_scalar metrics[RUN_LOSSES];
    int n_metrics;
    nn_quantized quantizers[RUN_QUANTIZERS];
    int n_quantizers;
    run_start_entry starts[RUN_STARTS];
    int n_starts;
    int phases;
};

/* Builds the graph; does not plan (run_plan), so that a report can come first. `options` and `params` must outlive it. */
ag_err run_new(run **out, const recipe *card, const void *options, nn_params *params, const run_options *build);
void run_free(run *r);
/* Bytes that run_plan will allocate beside the parameters: arena and inputs. */
ag_err run_plan_report(run *r, ag_plan_report *out);
ag_err run_plan(run *r, int64_t memory_limit);
/* Rows of counts of all quantizers: a figure of usage each, at most RUN_BOOKS. */
int run_books(const run *r);
/* The learning rate of the options. */
opt_schedule run_schedule(const run *r);
/* One training step; `step` counts from 0. */
ag_err run_step(run *r, int64_t step);

/* ---- for build functions -------------------------------------------------------------------------------------------- */

/* total += weight * tensor; the unweighted value is logged as `name`. NULL (a term the quantizer does not have): nothing. */
void run_loss(run *r, const char *name, ag_tensor *tensor, double weight);
/* total += weight * factor * tensor, factor [] a schedule. */
void run_loss_by(run *r, const char *name, ag_tensor *tensor, double weight, ag_tensor *factor);
/* Logged, not trained. */
void run_metric(run *r, const char *name, ag_tensor *tensor);
/* Codes of a quantizer: usage statistics, encode. */
void run_quantizer(run *r, const nn_quantized *q);
/* The codebook at scope name `scope` starts from the rows (nn_quantized.rows) of the first batch. */
void run_start(run *r, const char *scope, ag_tensor *rows, const nn_quantizer_opt *o);
/* One Adam update of the parameters whose names begin with one of `prefixes` (NULL: all) by the gradient of the total. */
void run_adam(run *r, const char *const *prefixes);

#endif
