/* Convolutions with few result channels; see conv_few.c. For conv.c. */
#ifndef KERNELS_CONV_FEW_H
#define KERNELS_CONV_FEW_H

#include "vector.h"

/* `product` is K_FORWARD (source x, result y) or K_INPUT (source y, result x); false where the ways of conv.c are better. */
bool K(few_fits)(const k_conv *c, int product);
size_t K(few_scratch)(const k_conv *c, int product);
void K(few_run)(const k_conv *c, int product, const real *source, const real *w, const k_epilogue *e, real *y,
                void *scratch);

#endif
