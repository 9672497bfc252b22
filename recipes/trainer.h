/* What the parts of the training loop share (train.c: the loop; train_open.c: data, graphs, first state; train_log.c: figures;
 * train_memory.c: the plan; train_save.c: checkpoints, evaluations, samples). */
#ifndef RECIPES_TRAINER_H
#define RECIPES_TRAINER_H

#include "checkpoints/metrics.h"
#include "data/loader.h"
#include "data/picture.h"
#include "evaluate.h"
#include "train.h"

enum { TRAIN_ROLLBACKS = 100, SAMPLE_IMAGES = 16 };
enum { TRAIN_FIGURES = 8 + 2 * RUN_LOSSES + 2 * RUN_PHASES + 2 * RUN_BOOKS + RUN_QUANTIZERS * NN_MOST_COUNTERS };

/* Sums over the steps since the last line of metrics. */
typedef struct train_window {
    int64_t steps, runs; /* a step is micro_batches runs */
    double loss, mse;
    double losses[RUN_LOSSES], metrics[RUN_LOSSES];
    double used[RUN_BOOKS], perplexity[RUN_BOOKS], counters[RUN_QUANTIZERS][NN_MOST_COUNTERS];
    double norms[RUN_PHASES], updates[RUN_PHASES], clipped[RUN_PHASES]; /* of gradients; how many; those over `clip` */
    double waited, began;                                               /* seconds for data; clock */
} train_window;

/* What a line of metrics says, by name. From `book` on are codes used and perplexity of every codebook, then what quantizers count,
 * which the line for people names by what it is of (run_book_name). */
typedef struct train_figures {
    int n, book;
    char names[TRAIN_FIGURES][32];
    double values[TRAIN_FIGURES];
} train_figures;

typedef struct trainer {
    const train_config *config;
    const struct train_options *o;
    data_set *set, *eval_set; /* two handles: the loader's thread owns the first */
    data_loader *loader;
    image_shape image;
    double mean, variance;
    char fingerprint[65];
    nn_params *params;
    run *train, *eval;
    bool started[RUN_STARTS]; /* codebooks that came from another run */

    data_split eval_split;
    int64_t *eval_indices; /* spread over the split */
    int64_t eval_count;
    int64_t sample_indices[SAMPLE_IMAGES];
    int64_t sample_count;

    int64_t step, first_step;
    double best;                                            /* nmse of best.h5; infinite before the first evaluation */
    int64_t best_step, saved_step, eval_step, samples_step; /* -1: never */
    int64_t good_step;                  /* of the checkpoint that a run goes back to; -1: none yet */
    int64_t rollbacks[TRAIN_ROLLBACKS]; /* steps at which it did */
    int n_rollbacks;
    char fault[768];                       /* what was not finite */
    evaluation last;                       /* the latest; images 0: none yet */
    int64_t train_limit;                   /* bytes, of the train graph's plan; 0: nothing is recomputed */
    int64_t memory_before, memory_planned; /* bytes: resident before the graphs; what they were to add */
    double rate;                           /* images a second, smoothed */
    double began, saved_at;                /* clock */
    train_window window;
    int64_t *labels;                /* [batch], as the loader gives them; NULL: the recipe wants none */
    double *counts[RUN_QUANTIZERS]; /* [books,K] of the step so far */
    ckpt_run *folder;
    ckpt_log *log;
} trainer;

/* train_open.c */
int64_t train_classes(const trainer *t); /* of the labels of the data; 0: it has none */
ag_err train_open(trainer *t);
void train_close(trainer *t);
ag_err train_next_batch(trainer *t, run *r, double *waited); /* from the loader into r->pixels and labels */

/* train_init.c */
ag_err train_freeze(const struct train_options *o, nn_params *p); /* the option freeze, before graphs are built */
ag_err train_check_frozen(const trainer *t);                      /* and after: its names must be there */
ag_err train_init_from(trainer *t);                               /* --init-from */

/* train_memory.c */
ag_err
train_plan(trainer *t); /* says what the run will take; AG_ERR_MEMORY with what would fit if it is over --memory */
ag_err train_allocate(trainer *t);       /* takes it */
void train_say_memory(const trainer *t); /* planned and measured */

/* train_log.c */
void train_log_run(trainer *t, double waited); /* adds the micro-batch that has just run */
void train_log_step(trainer *t);               /* the step that has just ended */
ag_err train_log_write(trainer *t);            /* a line of metrics; empties the window */
void train_log_live(trainer *t);
/* e: with the weights that commands will use; last: with those of the last step, NULL if these are the same. */
ag_err train_log_evaluation(trainer *t, const evaluation *e, const evaluation *last);

/* train_record.c: run.json, metrics.jsonl, event files */
ag_err train_record_open(trainer *t);
void train_record_close(trainer *t);
ag_err train_record_figures(trainer *t, const char *split, const train_figures *f);
ag_err train_record_samples(trainer *t, const data_picture *grid);

/* train_save.c */
ag_err train_save(trainer *t); /* AG_ERR_DIVERGED, and nothing is saved, if a weight is not finite */
/* Weights, and what else a run goes back to; the images go on. The file must be of step `step`. */
ag_err train_load_progress(trainer *t, const char *path, int64_t step);
/* Step, best metric, moments of the data; the options must be those of the run. Then the tensors. */
ag_err train_load_state(trainer *t, int64_t *position);
ag_err train_load_weights(trainer *t);
ag_err train_evaluate(trainer *t);
ag_err train_samples(trainer *t);
ag_err train_report(trainer *t);
/* "tessera train vqvae --data D -o RUN --resume" with quoting for a shell. */
void train_resume_command(const trainer *t, char *out, size_t size);

/* train_backoff.c: after an evaluation of error `nmse` */
void train_back_off(trainer *t, double nmse);

/* train_diverged.c: AG_ERR_DIVERGED says which tensor is not finite, in t->fault and in the message */
ag_err train_check_run(trainer *t, int micro); /* losses and gradients of the micro-batch that has just run */
ag_err train_check_weights(trainer *t);
ag_err train_anomaly(trainer *t); /* what --anomaly has found */
/* checkpoint.h5 also as rollback.h5, before it is replaced; false if it cannot be linked, which is told. */
bool train_keep_good(const trainer *t);
/* After AG_ERR_DIVERGED: back to the last good checkpoint, as often as the option rollback allows; else that error. */
ag_err train_roll_back(trainer *t);

#endif
