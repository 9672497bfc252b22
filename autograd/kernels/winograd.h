/* 3x3 convolutions of step 1 by minimal filtering; see winograd.c. For conv.c. */
#ifndef KERNELS_WINOGRAD_H
#define KERNELS_WINOGRAD_H

#include "vector.h"

/* source [n,h,w,c] -> result [n,out_h,out_w,b], result[oy,ox] = sum source[oy + ky - top, ox + kx - left] * w[ky,kx];
 * `transposed`: the weight is [3,3,b,c] and turned round by half a turn, else [3,3,c,b]. */
typedef struct winograd {
    int64_t n, h, w, c, out_h, out_w, b;
    int top, left;
    bool transposed;
} winograd;

/* The convolution (or its transpose) in these terms; false where direct is the better way. */
bool K(winograd_possible)(const k_conv *c); /* whatever the sizes */
bool K(winograd_forward)(const k_conv *c, winograd *out);
bool K(winograd_input)(const k_conv *c, winograd *out);

size_t K(winograd_scratch)(const winograd *m);
void K(winograd_run)(const winograd *m, const real *source, const real *w, const k_epilogue *e, real *y, void *scratch);

/* The weight gradient in the terms of the forward convolution: source x, result y. */
bool K(winograd_weight)(const k_conv *c, winograd *out);
size_t K(winograd_weight_scratch)(const winograd *m);
void K(winograd_weight_run)(const winograd *m, const real *x, const real *y, real *w, void *scratch);

#endif
