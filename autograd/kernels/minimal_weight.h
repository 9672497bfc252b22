/* Weight gradients by minimal filtering; see minimal_weight.c. For winograd_weight.c and stride2.c. */
#ifndef KERNELS_MINIMAL_WEIGHT_H
#define KERNELS_MINIMAL_WEIGHT_H

#include "window.h"

/* One such gradient. `self` is handed on to the transforms. */
typedef struct minimal_weight {
    const void *self;
    int frequencies;
    const tiling *tiles;
    int64_t rows, columns; /* source channels (of all phases), result channels */
    /* v[f * step + i] = transformed source, row i (whole vectors are written, zero beyond the last) */
    void (*source)(const void *self, int64_t tile, int64_t step, real *v);
    /* d[f * step + i] = transformed gradient of the results, column i, alike */
    void (*gradient)(const void *self, int64_t tile, int64_t step, real *d);
    /* the taps of source channel `row` and VL result channels from `column` on into w, from sum[f * step] */
    void (*finish)(const void *self, const real *sum, int64_t step, int64_t row, int64_t column, real *w);
} minimal_weight;

size_t K(minimal_weight_scratch)(const minimal_weight *j);
void K(minimal_weight_run)(const minimal_weight *j, real *w, void *scratch);

#endif
