/* 4x4 convolutions of step 2 by minimal filtering; see stride2.c. For conv.c, conv_weight.c and conv_bf16.c. */
#ifndef KERNELS_STRIDE2_H
#define KERNELS_STRIDE2_H

#include "vector.h"

/* Whether a convolution is of this kind and large enough. */
bool K(stride2_fits)(const k_conv *c);

size_t K(stride2_forward_scratch)(const k_conv *c);
void K(stride2_forward)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch);
size_t K(stride2_input_scratch)(const k_conv *c);
void K(stride2_input)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch);
size_t K(stride2_weight_scratch)(const k_conv *c);
void K(stride2_weight)(const k_conv *c, const real *x, const real *y, real *w, void *scratch);

/* stride2_bf16.c: the first two with operands rounded to bf16. */
size_t K(stride2_forward_bf16_scratch)(const k_conv *c);
void K(stride2_forward_bf16)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y,
                             void *scratch);
size_t K(stride2_input_bf16_scratch)(const k_conv *c);
void K(stride2_input_bf16)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch);

#endif
