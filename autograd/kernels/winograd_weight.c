/* The weight gradient of a 3x3 convolution of step 1 by minimal filtering; the transpose of winograd.c in the weights.
 *
 *   dg = G^T [ sum over tiles of (A dY A^T) * (B^T d B) ] G        dY: 4x4 results' gradients, d: 6x6 source pixels
 *
 * Per frequency of the 36 the sum is a matrix product over tiles: minimal_weight.c. */
#include "minimal_weight.h"
#include "winograd_tile.h"

enum { LEAST_TILES = 16 };

bool K(winograd_weight)(const k_conv *c, winograd *out)
{
    return K(winograd_forward)(c, out) && winograd_tiles(out).count >= LEAST_TILES;
}

typedef struct sources {
    const winograd *m;
    const real *x, *y;
    tiling tiles;
} sources;

static void source(const void *self, int64_t tile, int64_t step, real *v)
{
    const sources *s = self;
    const place at = tile_place(&s->tiles, tile);
    transform_source(s->m, s->x, &at, step, v);
}

/* ---- D: gradients of the results ---------------------------------------------------------------------------------- */

/* A x, A = [1 0 0 0; 1 1 1 1; 1 -1 1 -1; 1 2 4 8; 1 -2 4 -8; 0 0 0 1] */
K_INLINE void gradient_side(const kv *x, kv *y)
{
    const kv a = x[0] + x[2], b = x[1] + x[3], c = x[0] + x[2] * 4, d = x[1] * 2 + x[3] * 8;
    y[0] = x[0];
    y[1] = a + b;
    y[2] = a - b;
    y[3] = c + d;
    y[4] = c - d;
    y[5] = x[3];
}

K_INLINE void gradient_vector(const window *o, int64_t channel, int64_t lanes, int64_t step, real *to)
{
    kv d[WINDOW][WINDOW];
    window_transform(gradient_side, TILE, SPAN, o, channel, lanes, d);
#pragma GCC unroll 6
    for (int i = 0; i < SPAN; i++)
#pragma GCC unroll 6
        for (int j = 0; j < SPAN; j++) k_store(to + (i * SPAN + j) * step, d[i][j]);
}

static void gradient(const void *self, int64_t tile, int64_t step, real *to)
{
    const sources *s = self;
    const winograd *m = s->m;
    const place at = tile_place(&s->tiles, tile);
    const window o =
        window_at(s->y + at.image * m->out_h * m->out_w * m->b, m->out_h, m->out_w, m->b, at.y, at.x, 1, TILE);
    for (int64_t channel = 0; channel < m->b; channel += VL, to += VL)
        if (m->b - channel >= VL)
            gradient_vector(&o, channel, VL, step, to);
        else
            gradient_vector(&o, channel, m->b - channel, step, to);
}

/* ---- dg ----------------------------------------------------------------------------------------------------------- */

/* G^T x, G as in winograd.c */
K_INLINE void weight_side(const kv *x, kv *y)
{
    const kv near = (x[1] + x[2]) * (real)(1.0 / 6), far = x[3] + x[4];
    y[0] = x[0] * (real)0.25 - near + far * (real)(1.0 / 24);
    y[1] = (x[2] - x[1]) * (real)(1.0 / 6) + (x[3] - x[4]) * (real)(1.0 / 12);
    y[2] = far * (real)(1.0 / 6) - near + x[5];
}

static void finish(const void *self, const real *sum, int64_t step, int64_t row, int64_t column, real *w)
{
    const winograd *m = ((const sources *)self)->m;
    kv half[3][SPAN], x[SPAN], out[3];
    for (int j = 0; j < SPAN; j++) {
        for (int i = 0; i < SPAN; i++) x[i] = k_load(sum + (i * SPAN + j) * step);
        weight_side(x, out);
        for (int i = 0; i < 3; i++) half[i][j] = out[i];
    }
    for (int i = 0; i < 3; i++) {
        weight_side(half[i], out);
        for (int j = 0; j < 3; j++)
            memcpy(w + ((i * 3 + j) * m->c + row) * m->b + column, &out[j],
                   (size_t)k_min(VL, m->b - column) * sizeof(real));
    }
}

static minimal_weight job(const sources *s)
{
    const winograd *m = s->m;
    return (minimal_weight){.self = s,
                            .frequencies = F,
                            .tiles = &s->tiles,
                            .rows = m->c,
                            .columns = m->b,
                            .source = source,
                            .gradient = gradient,
                            .finish = finish};
}

size_t K(winograd_weight_scratch)(const winograd *m)
{
    const sources s = {m, NULL, NULL, winograd_tiles(m)};
    const minimal_weight j = job(&s);
    return K(minimal_weight_scratch)(&j);
}

void K(winograd_weight_run)(const winograd *m, const real *x, const real *y, real *w, void *scratch)
{
    const sources s = {m, x, y, winograd_tiles(m)};
    const minimal_weight j = job(&s);
    K(minimal_weight_run)(&j, w, scratch);
}
