/* What the three minimal-filtering products share: tiles, and the transform of source pixels. */
#ifndef KERNELS_WINOGRAD_TILE_H
#define KERNELS_WINOGRAD_TILE_H

#include "window.h"
#include "winograd.h"

enum { F = 36, TILE = 4, SPAN = 6 };

/* B^T x, B^T = [4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1] */
K_INLINE void source_side(const kv *x, kv *y)
{
    const kv a = x[4] - x[2] * 4, b = x[3] - x[1] * 4, c = x[4] - x[2], d = (x[3] - x[1]) * 2;
    y[0] = x[0] * 4 - x[2] * 5 + x[4];
    y[1] = a + b;
    y[2] = a - b;
    y[3] = c + d;
    y[4] = c - d;
    y[5] = x[1] * 4 - x[3] * 5 + x[5];
}

static inline tiling winograd_tiles(const winograd *m) { return tiles_of(m->n, m->out_h, m->out_w, TILE); }

/* Two lines of B^T d, six vectors each: 0 and 5, or the pairs 1, 2 and 3, 4, which share their terms. Six lines at a time would not
 * stay in registers. */
K_INLINE void source_lines(const window *o, const int first, int64_t channel, int64_t lanes, kv a[SPAN], kv b[SPAN])
{
#pragma GCC unroll 6
    for (int j = 0; j < SPAN; j++) {
        int64_t at;
        a[j] = b[j] = (kv){0};
        if (!window_column(o, j, &at)) continue;
        kv d[SPAN];
#pragma GCC unroll 6
        for (int i = 0; i < SPAN; i++)
            if (first == 0 || (i > 0 && i < SPAN - 1)) d[i] = window_pixel(o, i, at, channel, lanes);
        if (first == 0) {
            a[j] = d[0] * 4 - d[2] * 5 + d[4];
            b[j] = d[1] * 4 - d[3] * 5 + d[5];
        } else {
            const kv even = first == 1 ? d[4] - d[2] * 4 : d[4] - d[2];
            const kv odd = first == 1 ? d[3] - d[1] * 4 : (d[3] - d[1]) * 2;
            a[j] = even + odd;
            b[j] = even - odd;
        }
    }
}

K_INLINE void store_line(const kv *x, int64_t step, real *v)
{
    kv y[SPAN];
    source_side(x, y);
#pragma GCC unroll 6
    for (int i = 0; i < SPAN; i++) k_store(v + i * step, y[i]);
}

K_INLINE void source_vector(const window *o, int64_t channel, int64_t lanes, int64_t step, real *v)
{
    kv a[SPAN], b[SPAN];
    source_lines(o, 0, channel, lanes, a, b);
    store_line(a, step, v), store_line(b, step, v + 5 * SPAN * step);
    source_lines(o, 1, channel, lanes, a, b);
    store_line(a, step, v + 1 * SPAN * step), store_line(b, step, v + 2 * SPAN * step);
    source_lines(o, 3, channel, lanes, a, b);
    store_line(a, step, v + 3 * SPAN * step), store_line(b, step, v + 4 * SPAN * step);
}

/* v[f * step + channel] of the tile at `at`; channels beyond the last up to a whole vector become zero. */
static inline void transform_source(const winograd *m, const real *source, const place *at, int64_t step, real *v)
{
    const window o =
        window_at(source + at->image * m->h * m->w * m->c, m->h, m->w, m->c, at->y - m->top, at->x - m->left, 1, SPAN);
    for (int64_t channel = 0; channel < m->c; channel += VL, v += VL)
        if (m->c - channel >= VL)
            source_vector(&o, channel, VL, step, v);
        else
            source_vector(&o, channel, m->c - channel, step, v);
}

#endif
