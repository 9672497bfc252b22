/* The graph of a run, as a recipe sees it: what it reads (images), what it makes (losses, reconstruction, codes), and the
 * update phases. A recipe's build function fills it; the loop, the evaluation and encode/decode read it.
 *
 *     run *r;
 *     if ((err = run_new(&r, recipe, options, params, &(run_options){.mode = RUN_TRAIN, .batch = 32, .image = shape}))) ...
 *     for (int m = 0; m < r->micro_batches; m++) {                              // one update; usually m is 0 only
 *         copy pixels to ag_data(r->pixels);
 *         if ((err = run_step(r, step, m))) ...
 *         read ag_value(r->losses[0].tensor)
 *     }
 *     run_free(r);
 */
#ifndef RECIPES_RUN_H
#define RECIPES_RUN_H

#include "nn/quantizer.h"
#include "nn/update.h"
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
    int64_t classes; /* of the labels of the training data; 0: it has none */
    int only; /* number from 1 of the level of a hierarchical model that the decoder sees alone (run_level); 0: all */
} run_options;

enum { RUN_LOSSES = 16, RUN_QUANTIZERS = 4, RUN_STARTS = 4, RUN_BOOKS = 32, RUN_PHASES = 4 };

typedef struct run_scalar {
    const char *name; /* static text */
    ag_tensor *tensor;
} run_scalar;

typedef struct run_start_entry {
    const char *scope; /* of the quantizer */
    ag_tensor *rows;   /* nn_quantized.rows */
    nn_quantizer_opt options;
} run_start_entry;

/* An update phase: which losses train which parameters. All phases of a step use the gradients at the same weights. */
typedef struct run_phase_opt {
    const char *name;            /* static text, for messages and figures; NULL: the only one */
    const char *const *prefixes; /* of the names of its parameters, ended by NULL; NULL: all parameters */
    double rate;                 /* factor of the learning rate; 0 = 1 */
    int64_t start;               /* updates of the run before its first one */
} run_phase_opt;

typedef struct run_phase_entry {
    run_phase_opt o;
    int parameters;
    ag_tensor *total; /* [] sum of its weighted losses */
    ag_tensor
        *norm; /* state []: norm of its gradient in the last update, before clipping; NULL if it has no parameters */
} run_phase_entry;

/* The weight of a loss that is halved when an evaluation is much worse than the best one (train_backoff.c). */
typedef struct run_backoff {
    ag_tensor *scale; /* state [], 1 at first; NULL: none */
    ag_tensor *best;  /* state []: the least nmse of an evaluation; 0: none yet */
    double share;     /* how much worse; 0: never */
    int64_t start;    /* updates before the loss has any weight */
} run_backoff;

/* What of a step is not finite; `what` NULL: all is. */
typedef struct run_fault {
    const char *what, *phase; /* "loss" or "gradient", of which phase (NULL: the only one) */
} run_fault;

struct run {
    const recipe *recipe;
    const void *options; /* borrowed */
    run_options build;
    nn_params *params;   /* borrowed */
    nn_params *borrowed; /* weights of losses, learned elsewhere; the run's own, NULL: none */
    ag_graph *graph;
    nn_scope root;
    bool training;
    double variance; /* of the training pixels in the range of the networks */

    ag_tensor *pixels; /* input: u8 [N,H,W,C], or real in 0..1; NULL in RUN_DECODE */
    ag_tensor
        *codes_in[RUN_QUANTIZERS]; /* inputs of RUN_DECODE: i32, a grid each, in the shape of nn_quantized.codes */
    int n_codes_in;
    ag_tensor *
        labels; /* input i32 [N] of RUN_TRAIN, 0 to build.classes - 1, negative: none; NULL unless run_labels was called */
    ag_tensor *rate, *update; /* inputs of RUN_TRAIN: learning rate, number of the update from 1 */
    int micro_batches;        /* of an update: the option accumulate */

    ag_tensor *images;         /* real [N,H,W,C] in the recipe's range */
    ag_tensor *reconstruction; /* the same shape and range; after the build in 0..1 units of pixel / 255, not clamped */
    ag_tensor *reconstruction_pixels; /* u8 */
    ag_tensor *mse;     /* mean squared error of the batch in the recipe's range; made if the recipe makes none */
    ag_tensor *total;   /* of the first phase */
    ag_tensor *pending; /* of the losses that no phase has taken yet */
    run_scalar losses[RUN_LOSSES];
    int n_losses;
    run_scalar metrics[RUN_LOSSES];
    int n_metrics;
    nn_quantized quantizers[RUN_QUANTIZERS];
    int n_quantizers;
    run_start_entry starts[RUN_STARTS];
    int n_starts;
    run_phase_entry phases[RUN_PHASES];
    int n_phases;
    run_fault fault; /* of the last run_step */
    run_backoff backoff;
};

/* Builds the graph; does not plan (run_plan), so that a report can come first. `options` and `params` must outlive it. */
ag_err run_new(run **out, const recipe *card, const void *options, nn_params *params, const run_options *build);
void run_free(run *r);
/* What run_plan would need. Both recompute the marked blocks if the run would else take more than `memory_limit` bytes (0: no bound)
 * for arena, inputs and states, and are AG_ERR_MEMORY if that does not help; *out is filled in any case. */
ag_err run_plan_report(run *r, int64_t memory_limit, ag_plan_report *out);
ag_err run_plan(run *r, int64_t memory_limit);
/* Rows of counts of all quantizers: a figure of usage each, at most RUN_BOOKS. Lines for people show each, up to RUN_BOOKS_SHOWN. */
int run_books(const run *r);
/* What row `book` of them is of: "level 0 (4x4)" of a model with several grids, coarsest first, "depth 1", "head 2", "8x8" of maps,
 * "level 1 (8x8), depth 2"; "" if there is only one. */
enum { RUN_BOOKS_SHOWN = 4, RUN_BOOK_NAME = 64 };
void run_book_name(const run *r, int book, char out[RUN_BOOK_NAME]);
/* "level 0 (4x4)": quantizer q of several; "" if there is only one. */
void run_level_name(const run *r, int q, char out[RUN_BOOK_NAME]);
/* The learning rate of the options. */
opt_schedule run_schedule(const run *r);
/* Micro-batch `micro` (0 .. micro_batches - 1) of training step `step` (from 0). The last one updates: by the mean of the gradients of
 * all, which for losses that are means is the gradient of the batch micro_batches times as large; codebook averages take the
 * counts and sums of all. Statistics of batch normalisation are those of each micro-batch. If a loss or a gradient is not finite,
 * r->fault says so, and no weight and no codebook has changed. */
ag_err run_step(run *r, int64_t step, int micro);
/* After such a step: computes it again, without effects, with anomaly detection, which it leaves on. AG_ERR_DIVERGED names the tensor. */
ag_err run_look(run *r, int64_t step, int micro);

/* ---- for build functions -------------------------------------------------------------------------------------------- */

/* A loss of the next phase: its total += weight * tensor; the unweighted value is logged as `name`. NULL (a term the quantizer does
 * not have): nothing. */
void run_loss(run *r, const char *name, ag_tensor *tensor, double weight);
/* total += weight * factor * tensor, factor [] a schedule. */
void run_loss_by(run *r, const char *name, ag_tensor *tensor, double weight, ag_tensor *factor);
/* The labels of the batch, i32 [N]; NULL outside of training, and if the data has none of two classes or more. */
ag_tensor *run_labels(run *r);
/* Logged, not trained. */
void run_metric(run *r, const char *name, ag_tensor *tensor);
/* Codes of a quantizer: usage statistics, encode. */
void run_quantizer(run *r, const nn_quantized *q);
/* The codebook at scope name `scope` starts from the rows (nn_quantized.rows) of the first batch. */
void run_start(run *r, const char *scope, ag_tensor *rows, const nn_quantizer_opt *o);
/* latents [N,h,w,D] of level `level` (from 0) on their way to the decoder of a model with several: as they are, or, if the run is to show
 * another level alone, their mean over the positions and images of the batch in every place. */
ag_tensor *run_level(run *r, int level, ag_tensor *latents);
/* Updates parameters by the gradient of the losses since the phase before, as the options say. `o` NULL: all parameters. A parameter
 * belongs to one phase; frozen ones to none.
 *
 *     run_loss(r, "reconstruction", ..., 1), run_loss(r, "adversarial", ..., weight);
 *     run_phase(r, &(run_phase_opt){"generator", (const char *const[]){"encoder", "quantizer", "decoder", NULL}});
 *     run_loss(r, "discriminator", ..., 1);
 *     run_phase(r, &(run_phase_opt){"discriminator", (const char *const[]){"discriminator", NULL}, .start = 10000}); */
void run_phase(run *r, const run_phase_opt *o);

#endif
