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
    return K(winograd_forward)(c, out) && out->n * k_blocks(c->ho, TILE) * k_blocks(c->wo, TILE) >= LEAST_TILES;
}

typedef struct sources {
    const winograd *m;
    const real *x, *y;
} sources;

static void source(const void *self, int64_t tile, int64_t first, int64_t count, int64_t step, real *v)
{
    const sources *s = self;
    transform_source(s->m, s->x, tile, first, count, step, v);
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

static void gradient(const void *self, int64_t tile, int64_t first, int64_t count, int64_t step, real *to)
{
    const sources *s = self;
    const winograd *m = s->m;
    const place at = tile_place(m, tile);
    for (int64_t channel = first; channel < first + count; channel += VL) {
        const int64_t lanes = k_min(VL, m->b - channel);
        kv half[SPAN][TILE], column[TILE], out[SPAN];
        for (int x = 0; x < TILE; x++) {
            for (int i = 0; i < TILE; i++) {
                column[i] = (kv){0};
                if (at.y + i >= m->out_h || at.x + x >= m->out_w) continue;
                const real *from = s->y + ((at.image * m->out_h + at.y + i) * m->out_w + at.x + x) * m->b + channel;
                if (lanes == VL)
                    column[i] = k_load(from);
                else
                    memcpy(&column[i], from, (size_t)lanes * sizeof(real));
            }
            gradient_side(column, out);
            for (int i = 0; i < SPAN; i++) half[i][x] = out[i];
        }
        for (int i = 0; i < SPAN; i++) {
            gradient_side(half[i], out);
            for (int x = 0; x < SPAN; x++) k_store(to + (i * SPAN + x) * step + channel - first, out[x]);
        }
    }
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

static minimal_weight job(const winograd *m, const sources *s)
{
    return (minimal_weight){.self = s,
                            .frequencies = F,
                            .tiles = m->n * k_blocks(m->out_h, TILE) * k_blocks(m->out_w, TILE),
                            .rows = m->c,
                            .columns = m->b,
                            .numel = 9 * m->c * m->b,
                            .source = source,
                            .gradient = gradient,
                            .finish = finish};
}

size_t K(winograd_weight_scratch)(const winograd *m)
{
    const minimal_weight j = job(m, NULL);
    return K(minimal_weight_scratch)(&j);
}

void K(winograd_weight_run)(const winograd *m, const real *x, const real *y, real *w, void *scratch)
{
    const sources s = {m, x, y};
    const minimal_weight j = job(m, &s);
    K(minimal_weight_run)(&j, w, scratch);
}
