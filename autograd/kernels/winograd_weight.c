/* The weight gradient of a 3x3 convolution of step 1 by minimal filtering; the transpose of winograd.c in the weights.
 *
 *   dg = G^T [ sum over tiles of (A dY A^T) * (B^T d B) ] G        dY: 4x4 results' gradients, d: 6x6 source pixels
 *
 * Per frequency of the 36 the sum is a matrix product over tiles: minimal_weight.c. */
#include "minimal.h"
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

WINDOW_GROUP(source_0, source_side, SPAN, SPAN, 0, 5)
WINDOW_GROUP(source_1, source_side, SPAN, SPAN, 1, 2)
WINDOW_GROUP(source_2, source_side, SPAN, SPAN, 3, 4)

static void source(const void *self, int group, int64_t tile, int64_t first, int64_t count, int64_t step, real *v)
{
    static window_group *const groups[LINE_GROUPS] = {source_0, source_1, source_2};
    const sources *s = self;
    const place at = tile_place(&s->tiles, tile);
    const window o = source_window(s->m, s->x, &at);
    for (int64_t channel = first; channel < first + count; channel += VL, v += VL)
        groups[group](&o, channel, s->m->c - channel, step, v);
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

WINDOW_GROUP(gradient_0, gradient_side, TILE, SPAN, 0, 5)
WINDOW_GROUP(gradient_1, gradient_side, TILE, SPAN, 1, 2)
WINDOW_GROUP(gradient_2, gradient_side, TILE, SPAN, 3, 4)

static void gradient(const void *self, int group, int64_t tile, int64_t first, int64_t count, int64_t step, real *d)
{
    static window_group *const groups[LINE_GROUPS] = {gradient_0, gradient_1, gradient_2};
    const sources *s = self;
    const winograd *m = s->m;
    const place at = tile_place(&s->tiles, tile);
    const window o =
        window_at(s->y + at.image * m->out_h * m->out_w * m->b, m->out_h, m->out_w, m->b, at.y, at.x, 1, TILE);
    for (int64_t channel = first; channel < first + count; channel += VL, d += VL)
        groups[group](&o, channel, m->b - channel, step, d);
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

/* What the lines a and b give; the others are zero. */
K_INLINE void finish_lines(const int a, const int b, const winograd *m, const real *sum, int64_t step, bool add,
                           int64_t lanes, real *w)
{
    kv x[SPAN], first[3], second[3], out[3];
    for (int i = 0; i < SPAN; i++) x[i] = k_load(sum + i * step);
    weight_side(x, first);
    for (int i = 0; i < SPAN; i++) x[i] = k_load(sum + (SPAN + i) * step);
    weight_side(x, second);
    for (int i = 0; i < SPAN; i++) x[i] = (kv){0};
    for (int j = 0; j < 3; j++) {
        x[a] = first[j], x[b] = second[j];
        weight_side(x, out);
        for (int i = 0; i < 3; i++) minimal_give(out[i], add, lanes, w + (i * 3 + j) * m->c * m->b);
    }
}

static void finish(const void *self, int group, const real *sum, int64_t step, int64_t row, int64_t column, real *w)
{
    const winograd *m = ((const sources *)self)->m;
    const int64_t lanes = k_min(VL, m->b - column);
    w += row * m->b + column;
    switch (group) {
    case 0: finish_lines(0, 5, m, sum, step, false, lanes, w); break;
    case 1: finish_lines(1, 2, m, sum, step, true, lanes, w); break;
    default: finish_lines(3, 4, m, sum, step, true, lanes, w); break;
    }
}

static minimal_weight job(const sources *s)
{
    const winograd *m = s->m;
    return (minimal_weight){.self = s,
                            .frequencies = {2 * SPAN, 2 * SPAN, 2 * SPAN},
                            .tiles = &s->tiles,
                            .rows = m->c,
                            .columns = m->b,
                            .numel = 9 * m->c * m->b,
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
