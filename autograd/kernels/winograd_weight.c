/* The weight gradient of a 3x3 convolution of step 1 by minimal filtering; the transpose of winograd.c in the weights.
 *
 *   dg = G^T [ sum over tiles of (A dY A^T) * (B^T d B) ] G        dY: 4x4 results' gradients, d: 6x6 source pixels
 *
 * Per frequency f of the 36 the sum is a matrix product over tiles:
 *
 *   V[f] = (B^T d B)[f]      [tiles, a]   for a block of tiles, shared by the threads
 *   D[f] = (A dY A^T)[f]     [tiles, b]
 *   M[f] += V[f]^T D[f]      [a, b]       one frequency and panel has one writer, blocks come in order
 *   dg   = G^T M G */
#include "minimal.h"
#include "winograd_tile.h"

#include <omp.h>

enum { BLOCK_BYTES = 8 << 20, LEAST_TILES = 64 };

bool K(winograd_weight)(const k_conv *c, winograd *out)
{
    return K(winograd_forward)(c, out) && out->n * k_blocks(c->ho, TILE) * k_blocks(c->wo, TILE) >= LEAST_TILES;
}

typedef struct plan {
    int64_t tiles, block;
    int64_t rows, width;    /* source channels as whole tiles of rows, and as stored */
    int64_t columns;        /* result channels as panels */
    int64_t v_step, d_step; /* reals from frequency to frequency */
    size_t v_bytes, d_bytes, m_bytes;
} plan;

static plan make_plan(const winograd *m)
{
    plan p = {.rows = k_blocks(m->c, K_ROWS) * K_ROWS, .columns = k_panel_columns(m->b)};
    p.width = k_blocks(p.rows, VL) * VL;
    p.tiles = m->n * k_blocks(m->out_h, TILE) * k_blocks(m->out_w, TILE);
    p.block = (int64_t)(BLOCK_BYTES / sizeof(real)) / (F * (p.width + p.columns));
    p.block = k_min(k_max(p.block, 32), p.tiles);
    p.v_step = p.block * p.width + VL;
    p.d_step = p.block * p.columns + VL;
    p.v_bytes = k_align((size_t)(F * p.v_step) * sizeof(real));
    p.d_bytes = k_align((size_t)(F * p.d_step) * sizeof(real));
    p.m_bytes = k_align((size_t)(F * p.rows * p.columns) * sizeof(real));
    return p;
}

size_t K(winograd_weight_scratch)(const winograd *m)
{
    const plan p = make_plan(m);
    return 64 + p.v_bytes + p.d_bytes + p.m_bytes;
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

static void transform_gradient(const winograd *m, const real *y, int64_t tile, int64_t step, real *to)
{
    const place at = tile_place(m, tile);
    for (int64_t channel = 0; channel < m->b; channel += VL) {
        const int64_t lanes = k_min(VL, m->b - channel);
        kv half[SPAN][TILE], column[TILE], out[SPAN];
        for (int x = 0; x < TILE; x++) {
            for (int i = 0; i < TILE; i++) {
                column[i] = (kv){0};
                if (at.y + i >= m->out_h || at.x + x >= m->out_w) continue;
                const real *from = y + ((at.image * m->out_h + at.y + i) * m->out_w + at.x + x) * m->b + channel;
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
            for (int x = 0; x < SPAN; x++) k_store(to + (i * SPAN + x) * step + channel, out[x]);
        }
    }
}

/* ---- M: products -------------------------------------------------------------------------------------------------- */

/* One frequency and panel: M is [f][panel][row][lane]. */
static void multiply(const plan *p, const real *v, const real *d, int64_t tiles, int f, int64_t column, real *to)
{
    const int64_t width = k_min(K_PANEL, p->columns - column);
    minimal_add_panel(v + f * p->v_step, p->width, d + f * p->d_step + column, p->columns, tiles, p->rows, width,
                      to + f * p->rows * p->columns + column * p->rows);
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

/* One source channel of one vector of columns. */
static void transform_weight(const winograd *m, const plan *p, const real *sum, int64_t channel, int64_t column,
                             real *w)
{
    const int64_t panel = column / K_PANEL * K_PANEL, width = k_min(K_PANEL, p->columns - panel);
    const real *from = sum + panel * p->rows + channel * width + column - panel;
    kv half[3][SPAN], x[SPAN], out[3];
    for (int j = 0; j < SPAN; j++) {
        for (int i = 0; i < SPAN; i++) x[i] = k_load(from + (i * SPAN + j) * p->rows * p->columns);
        weight_side(x, out);
        for (int i = 0; i < 3; i++) half[i][j] = out[i];
    }
    for (int i = 0; i < 3; i++) {
        weight_side(half[i], out);
        for (int j = 0; j < 3; j++)
            memcpy(w + ((i * 3 + j) * m->c + channel) * m->b + column, &out[j],
                   (size_t)k_min(VL, m->b - column) * sizeof(real));
    }
}

void K(winograd_weight_run)(const winograd *m, const real *x, const real *y, real *w, void *scratch)
{
    const plan p = make_plan(m);
    real *v = (real *)k_align_pointer(scratch), *d = v + p.v_bytes / sizeof(real), *sum = d + p.d_bytes / sizeof(real);
    const int64_t panels = k_blocks(p.columns, K_PANEL), vectors = p.columns / VL;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t f = 0; f < F; f++) {
            memset(sum + f * p.rows * p.columns, 0, (size_t)(p.rows * p.columns) * sizeof(real));
            if (p.width > k_panel_columns(m->c)) memset(v + f * p.v_step, 0, (size_t)p.v_step * sizeof(real));
        }
        for (int64_t first = 0; first < p.tiles; first += p.block) {
            const int64_t tiles = k_min(p.block, p.tiles - first);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < tiles; i++) {
                transform_source(m, x, first + i, p.v_step, v + i * p.width);
                transform_gradient(m, y, first + i, p.d_step, d + i * p.columns);
            }
#pragma omp for schedule(dynamic)
            for (int64_t i = 0; i < F * panels; i++)
                multiply(&p, v, d, tiles, (int)(i / panels), i % panels * K_PANEL, sum);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < m->c * vectors; i++) transform_weight(m, &p, sum, i / vectors, i % vectors * VL, w);
    }
}
