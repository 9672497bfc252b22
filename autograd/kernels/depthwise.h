/* Convolutions with one input and one output channel a group; see depthwise.c. For conv.c and conv_weight.c. */
#ifndef KERNELS_DEPTHWISE_H
#define KERNELS_DEPTHWISE_H

#include "vector.h"

enum { DEPTHWISE_TAPS = 32 }; /* most in one direction */

/* Is it one? */
static inline bool K(depthwise)(const k_conv *c)
{
    return c->groups > 1 && c->groups == c->a && c->groups == c->b && c->kh <= DEPTHWISE_TAPS &&
           c->kw <= DEPTHWISE_TAPS;
}

void K(depthwise_forward)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y);
void K(depthwise_input)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x);
size_t K(depthwise_weight_scratch)(const k_conv *c);
void K(depthwise_weight)(const k_conv *c, const real *x, const real *y, real *w, void *scratch);

#endif
