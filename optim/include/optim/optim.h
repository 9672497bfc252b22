/* Update rules as graph nodes, sums of gradients over micro-batches, weight averages, and schedules.
 *
 *     ag_gradient(loss, n, params, grads);
 *     opt_adam(s, n, params, grads, rate, step, &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8,
 *                                                                  .update = {.weight_decay = 0.05, .clip = 1}});
 *     opt_average(s, n, params, 0.999, false, step);
 *
 * One update from k micro-batches, each a run of a graph of the small batch:
 *
 *     opt_accumulate(s, n, params, grads, k, sums);          // every run: sums += grads / k
 *     ag_graph_effect_group(g, 1);                           // what follows happens only when group 1 is asked for
 *     opt_adam(s, n, params, sums, rate, step, NULL);
 *     opt_clear(s, n, sums);
 *     ag_graph_effect_group(g, 0);
 *     ...
 *     for (int i = 0; i < k; i++)                            // fill the inputs; a number of its own for each run
 *         ag_graph_run_groups(g, step * k + i, i < k - 1 ? 1u << 0 : ~0u);
 *
 * With a mean loss these are the gradients of the full batch. Statistics of a batch (batch norm, codebook averages) are those of the
 * micro-batches. */
#ifndef OPTIM_OPTIM_H
#define OPTIM_OPTIM_H

#include "nn/nn.h"

/* ---- optimizers: n parameters (tensors of nn_tensor), their gradients, rate [] and step [] as in autograd/ops.h ------------------
 * Make the moments `optimizer.RULE.NAME.m` (and `.v`), append the update, and clear the moments of rows that are set anew
 * (nn_reset_rows). Where `update.decayed` is NULL, weights decay by opt_decays. */

/* Adam; with weight decay AdamW. `o` NULL: as published. */
void opt_adam(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate, ag_tensor *step,
              const ag_adam_options *o);
/* SGD with momentum. `o` NULL: plain. */
void opt_sgd(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate,
             const ag_sgd_options *o);
/* Lion. `o` NULL: as published. */
void opt_lion(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate,
              const ag_lion_options *o);

/* The usual decay groups: matrices and kernels decay; vectors and numbers (biases, norms), codebooks, embeddings and learned positions
 * (a part of the name is or ends in embedding, embeddings, codebook, position or positions) do not. */
bool opt_decays(const nn_param *p);

/* ---- sums over micro-batches ------------------------------------------------------------------------------------- */

/* States `optimizer.sum.NAME` into sums[n], zero at the start; effect: sums[i] += grads[i] / k. */
void opt_accumulate(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, int k, ag_tensor **sums);
/* Effect: the sums are zero again. */
void opt_clear(nn_scope s, int n, ag_tensor *const *sums);

/* ---- weight averages --------------------------------------------------------------------------------------------- */

/* Averages `optimizer.average.NAME` that start as the parameters; to be called after the optimizer. Effect, per update:
 * average = d average + (1 - d) parameter, d = decay or, with warmup, min(decay, (1 + t) / (10 + t)), t the value of step [] from 1. */
void opt_average(nn_scope s, int n, ag_tensor *const *params, double decay, bool warmup, ag_tensor *step);
/* Sets the averages to the parameters once more: after a start from data has changed those. */
void opt_average_start(nn_params *p);
/* Exchanges the values of parameters and averages: every graph now computes with the averages. A second call brings the parameters
 * back; until then nothing may train or be saved. Returns how many were exchanged. */
int opt_average_swap(nn_params *p);

/* ---- schedules --------------------------------------------------------------------------------------------------- */

typedef enum opt_shape {
    OPT_CONSTANT,
    OPT_COSINE, /* half a cosine: flat at both ends              */
    OPT_LINEAR,
    OPT_QUARTER_COSINE, /* a quarter: flat at the start, steep at the end */
    OPT_EXPONENTIAL,    /* equal factors in equal times; both ends > 0    */
    OPT_STEP,           /* opt_schedule only                              */
} opt_shape;

/* From `from` at t = 0 to `to` at t = 1 (t is cut to 0..1): temperatures, weights of losses. CONSTANT and STEP stay at `from`.
 * The cosines: 0.5 (1 - cos(pi t)) and 1 - cos(pi t / 2) of the way. */
double opt_between(opt_shape shape, double from, double to, double t);

typedef struct opt_schedule {
    double rate; /* the peak */
    opt_shape shape;
    int64_t warmup; /* steps from 0 to the peak; update 1 uses rate/warmup */
    int64_t steps;  /* where the shape reaches `last` */
    double last;    /* share of the peak at the end */
    int64_t every;  /* STEP: after every so many steps from the warm-up on */
    double factor;  /* ... the rate is multiplied with this */
} opt_schedule;
/* The learning rate of update `step` (1, 2, ...). */
double opt_rate(const opt_schedule *s, int64_t step);

#endif
