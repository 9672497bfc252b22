/* Update rules as graph nodes, and schedules. */
#ifndef OPTIM_OPTIM_H
#define OPTIM_OPTIM_H

#include "nn/nn.h"

/* Adam(W) on n parameters (tensors of nn_tensor): makes the moments `optimizer.NAME.m` and `.v` and appends the update.
 * rate []: the learning rate of this step; step []: number of this update, from 1. */
void opt_adam(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate, ag_tensor *step,
              const ag_adam_options *o);

typedef enum opt_shape { OPT_CONSTANT, OPT_COSINE, OPT_LINEAR } opt_shape;
typedef struct opt_schedule {
    double rate;       /* the peak */
    opt_shape shape;
    int64_t warmup;    /* steps from 0 to the peak; update 1 uses rate/warmup */
    int64_t steps;     /* where COSINE and LINEAR reach `last` */
    double last;       /* share of the peak at the end */
} opt_schedule;
/* The learning rate of update `step` (1, 2, ...). */
double opt_rate(const opt_schedule *s, int64_t step);

#endif
