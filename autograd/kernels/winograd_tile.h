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

/* Line by line, those together that share terms. */
K_INLINE void source_vector(const window *o, int64_t channel, int64_t lanes, int64_t step, real *v)
{
    const int64_t line = SPAN * step;
    window_lines(source_side, SPAN, SPAN, 0, 5, o, channel, lanes, step, v, v + 5 * line);
    window_lines(source_side, SPAN, SPAN, 1, 2, o, channel, lanes, step, v + line, v + 2 * line);
    window_lines(source_side, SPAN, SPAN, 3, 4, o, channel, lanes, step, v + 3 * line, v + 4 * line);
}

/* The window of source pixels of a tile. */
K_INLINE window source_window(const winograd *m, const real *source, const place *at)
{
    return window_at(source + at->image * m->h * m->w * m->c, m->h, m->w, m->c, at->y - m->top, at->x - m->left, 1,
                     SPAN);
}

/* v[f * step + channel] of the tile at `at`; channels beyond the last up to a whole vector become zero. */
static inline void transform_source(const winograd *m, const real *source, const place *at, int64_t step, real *v)
{
    const window o = source_window(m, source, at);
    for (int64_t channel = 0; channel < m->c; channel += VL, v += VL)
        if (m->c - channel >= VL)
            source_vector(&o, channel, VL, step, v);
        else
            source_vector(&o, channel, m->c - channel, step, v);
}

#endif
