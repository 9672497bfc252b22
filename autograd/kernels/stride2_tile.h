/* What the products of stride2.c and stride2_bf16.c share: transforms of both axes, blocks of tiles, taps, results. */
#ifndef KERNELS_STRIDE2_TILE_H
#define KERNELS_STRIDE2_TILE_H

#include "stride2.h"
#include "window.h"

enum { PHASES = 4, MOST = WINDOW };

/* ---- transforms ---------------------------------------------------------------------------------------------------------- */

/* The transform of both axes: from [in][in] to [out][out]. */
K_INLINE void both_axes(window_side *f, const int in, const int out, kv x[MOST][MOST], kv y[MOST][MOST])
{
    kv half[MOST][MOST], line[MOST], done[MOST];
#pragma GCC unroll 5
    for (int j = 0; j < in; j++) {
#pragma GCC unroll 5
        for (int i = 0; i < in; i++) line[i] = x[i][j];
        f(line, done);
#pragma GCC unroll 5
        for (int i = 0; i < out; i++) half[i][j] = done[i];
    }
#pragma GCC unroll 5
    for (int i = 0; i < out; i++) f(half[i], y[i]);
}

/* y[f] = to[f * step], f = i * n + j */
K_INLINE void store_frequencies(const int n, kv y[MOST][MOST], int64_t step, real *to)
{
#pragma GCC unroll 5
    for (int i = 0; i < n; i++)
#pragma GCC unroll 5
        for (int j = 0; j < n; j++) k_store(to + (i * n + j) * step, y[i][j]);
}

K_INLINE void load_frequencies(const int n, const real *from, int64_t step, kv x[MOST][MOST])
{
#pragma GCC unroll 5
    for (int i = 0; i < n; i++)
#pragma GCC unroll 5
        for (int j = 0; j < n; j++) x[i][j] = k_load(from + (i * n + j) * step);
}

/* ---- blocks ---------------------------------------------------------------------------------------------------------------- */

/* The tiles, and the memory of one product, of which there are `products` with weights of their own. */
typedef struct plan {
    tiling tiles;
    int frequencies;
    int64_t block;         /* tiles at a time: source and result stay in the second-level cache */
    int64_t rows, columns; /* channels of the source and of the result */
    int64_t v_step,
        m_step; /* units from frequency to frequency, not a multiple of 4 KiB, which would share a cache set */
    size_t u_bytes, v_bytes, m_bytes;
} plan;

enum { BLOCK_BYTES = 640 << 10 };

/* `pair`: source channels in a unit of 4 (or 8) bytes of V and U. */
static inline plan plan_blocks(tiling tiles, int64_t rows, int64_t columns, int products, int pair)
{
    plan p = {
        .tiles = tiles, .frequencies = (int)((tiles.size + 1) * (tiles.size + 1)), .rows = rows, .columns = columns};
    const int64_t tile_bytes = p.frequencies * (rows / pair + columns) * (int64_t)sizeof(real);
    p.block = k_max(k_min(BLOCK_BYTES / tile_bytes / K_ROWS, 8), 1) * K_ROWS;
    p.v_step = p.block * rows / pair + VL;
    p.m_step = p.block * columns + VL;
    p.u_bytes = k_align((size_t)(products * p.frequencies * rows / pair * columns) * sizeof(real));
    p.v_bytes = k_align((size_t)(p.frequencies * p.v_step) * sizeof(real));
    p.m_bytes = k_align((size_t)(p.frequencies * p.m_step) * sizeof(real));
    return p;
}

static inline size_t plan_scratch(const plan *p, int threads)
{
    return 64 + p->u_bytes + (size_t)threads * (p->v_bytes + p->m_bytes);
}

enum { AT_ONCE = 4 }; /* rows; there are multiples of 16 */

/* g[i]: VL columns of row + i of a phase, i < AT_ONCE; forward W[u,v] with columns b, input turned round with columns a. */
static inline void load_taps(const k_conv *c, bool input, const real *w, int phase, int64_t row, int64_t column,
                             kv g[AT_ONCE][MOST][MOST])
{
    for (int u = 0; u < 2; u++)
        for (int v = 0; v < 2; v++) {
            const int ky = 2 * (input ? 1 - u : u) + phase / 2, kx = 2 * (input ? 1 - v : v) + phase % 2;
            const real *tap = w + (ky * 4 + kx) * c->a * c->b;
            _Alignas(64) real lanes[AT_ONCE * VL];
            if (input) k_transpose_to_vectors(tap + column * c->b + row, c->b, lanes);
            for (int64_t i = 0; i < AT_ONCE; i++)
                g[i][u][v] = k_load(input ? lanes + i * VL : tap + (row + i) * c->b + column);
        }
}

/* ---- results ----------------------------------------------------------------------------------------------------------------- */

K_INLINE void store_result(const k_epilogue *e, kv sum, kv bias, int64_t at, real *y)
{
    sum += bias;
    if (e && e->residual) sum += k_load(e->residual + at);
    k_store(y + at, e && e->activation == K_RELU ? k_relu_vector(sum) : sum);
}

K_INLINE kv load_bias(const k_epilogue *e, int64_t channel)
{
    return e && e->bias ? k_load(e->bias + channel) : (kv){0};
}

/* The results of a tile: pixels `step` apart of an image [h,w,c], from (y,x) on; those outside it are dropped. */
typedef struct target {
    int64_t image, h, w, c, y, x, step;
} target;

/* VL channels from `channel` on: f over both axes of the frequencies, then bias, residual and activation. */
K_INLINE void finish_vector(window_side *f, const int size, const real *m, int64_t m_step, const target *t,
                            int64_t channel, const k_epilogue *e, real *to)
{
    kv x[MOST][MOST], out[MOST][MOST];
    const kv bias = load_bias(e, channel);
    load_frequencies(size + 1, m, m_step, x);
    both_axes(f, size + 1, size, x, out);
#pragma GCC unroll 4
    for (int i = 0; i < size; i++) {
        const int64_t y = t->y + i * t->step;
        if (y < 0 || y >= t->h) continue;
#pragma GCC unroll 4
        for (int j = 0; j < size; j++) {
            const int64_t column = t->x + j * t->step;
            if (column >= 0 && column < t->w)
                store_result(e, out[i][j], bias, ((t->image * t->h + y) * t->w + column) * t->c + channel, to);
        }
    }
}

#endif
