/* Weight gradients by minimal filtering; see minimal_weight.c. For winograd_weight.c and stride2.c. */
#ifndef KERNELS_MINIMAL_WEIGHT_H
#define KERNELS_MINIMAL_WEIGHT_H

#include "window.h"

/* Frequencies come in groups: two lines (or one) of the span x span of a tile. */
enum { LINE_GROUPS = 3 };

/* One such gradient. `self` is handed on to the transforms. */
typedef struct minimal_weight {
    const void *self;
    int frequencies[LINE_GROUPS]; /* of a group */
    const tiling *tiles;
    int64_t rows, columns; /* source channels (of all phases), result channels */
    int64_t numel;         /* of the weight */
    /* v[f * step + i] = transformed source, frequencies f of a group, channels first + i for i < count (whole vectors are written, zero
     * beyond the last) */
    void (*source)(const void *self, int group, int64_t tile, int64_t first, int64_t count, int64_t step, real *v);
    /* d[f * step + i] = transformed gradient of the results, alike */
    void (*gradient)(const void *self, int group, int64_t tile, int64_t first, int64_t count, int64_t step, real *d);
    /* what sum[f * step] of a group gives to the taps of source channel `row` and VL result channels from `column` on: group 0 sets w,
     * the others add */
    void (*finish)(const void *self, int group, const real *sum, int64_t step, int64_t row, int64_t column, real *w);
} minimal_weight;

size_t K(minimal_weight_scratch)(const minimal_weight *j);
void K(minimal_weight_run)(const minimal_weight *j, real *w, void *scratch);

#endif
