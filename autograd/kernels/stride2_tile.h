/* What the products of stride2.c and stride2_bf16.c share: one-dimensional transforms, tiles, taps, results. */
#ifndef KERNELS_STRIDE2_TILE_H
#define KERNELS_STRIDE2_TILE_H

#include "stride2.h"
#include "vector.h"

enum { PHASES = 4, LARGE = 4, SMALL = 3, MOST = 5 };

/* ---- one-dimensional transforms -------------------------------------------------------------------------------------- */

/* A function from a few vectors to a few vectors. */
typedef void side(const kv *x, kv *y);

/* F(3,2), points 0, 1, -1, inf: B^T x, 4 -> 4; G x, 2 -> 4; A^T x, 4 -> 3 */
K_INLINE void source3(const kv *x, kv *y)
{
    y[0] = x[2] - x[0];
    y[1] = x[1] + x[2];
    y[2] = x[2] - x[1];
    y[3] = x[3] - x[1];
}

K_INLINE void weight3(const kv *x, kv *y)
{
    y[0] = -x[0];
    y[1] = (x[0] + x[1]) * (real)0.5;
    y[2] = (x[0] - x[1]) * (real)0.5;
    y[3] = x[1];
}

K_INLINE void result3(const kv *x, kv *y)
{
    y[0] = x[0] + x[1] + x[2];
    y[1] = x[1] - x[2];
    y[2] = x[1] + x[2] + x[3];
}

/* The transform of both axes: from [in][in] to [out][out]. */
K_INLINE void both_axes(side *f, const int in, const int out, kv x[MOST][MOST], kv y[MOST][MOST])
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
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) k_store(to + (i * n + j) * step, y[i][j]);
}

K_INLINE void load_frequencies(const int n, const real *from, int64_t step, kv x[MOST][MOST])
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) x[i][j] = k_load(from + (i * n + j) * step);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------- */

/* The images' tiles, and the memory of one product. */
typedef struct plan {
    int tile, frequencies;
    int64_t down, across, tiles; /* of an image, in a row, in all */
    int64_t block;               /* tiles at a time */
    int64_t rows, columns;       /* channels of the source and of the result */
    int64_t v_step, m_step;      /* reals from frequency to frequency */
    size_t u_bytes, v_bytes, m_bytes;
} plan;

static inline plan grid(const k_conv *c, int tile, int64_t h, int64_t w)
{
    plan p = {
        .tile = tile, .frequencies = (tile + 1) * (tile + 1), .down = k_blocks(h, tile), .across = k_blocks(w, tile)};
    p.tiles = c->n * p.down * p.across;
    return p;
}

typedef struct place {
    int64_t image, y, x;
} place;

static inline place tile_place(const plan *p, int64_t tile)
{
    return (place){tile / p->across / p->down, tile / p->across % p->down * p->tile, tile % p->across * p->tile};
}

/* Pixel (y,x) of an image [h,w,channels], VL channels of it; zero outside. */
K_INLINE kv pixel(const real *image, int64_t h, int64_t w, int64_t channels, int64_t y, int64_t x)
{
    return y < 0 || y >= h || x < 0 || x >= w ? (kv){0} : k_load(image + (y * w + x) * channels);
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

static inline void finish_x(const k_conv *c, const plan *p, const real *m, int64_t tile, const k_epilogue *e, real *x)
{
    const place at = tile_place(p, tile);
    for (int64_t column = 0; column < p->columns; column += VL) {
        const int phase = (int)(column / c->a);
        const int64_t channel = column % c->a;
        kv in[MOST][MOST], out[MOST][MOST];
        const kv bias = load_bias(e, channel);
        load_frequencies(MOST - 1, m + column, p->m_step, in);
        both_axes(result3, MOST - 1, SMALL, in, out);
        for (int64_t i = 0; i < SMALL; i++)
            for (int64_t j = 0; j < SMALL; j++) {
                const int64_t iy = 2 * (at.y + i) + phase / 2 - c->top, ix = 2 * (at.x + j) + phase % 2 - c->left;
                if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w) continue;
                store_result(e, out[i][j], bias, ((at.image * c->h + iy) * c->w + ix) * c->a + channel, x);
            }
    }
}

#endif
