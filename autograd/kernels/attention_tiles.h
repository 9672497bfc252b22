/* What attention and its gradients share: packed matrices, products of tiles with them, masks of tiles.
 *
 * Rows of q, k, v and of the results lie heads * d apart. A matrix that is the right side of a product is packed in panels of
 * K_PANEL columns (vector.h), so that the register tile reads it in order. */
#ifndef KERNELS_ATTENTION_TILES_H
#define KERNELS_ATTENTION_TILES_H

#include "row_math.h"

/* The shuffles that interleave two vectors' first and second halves. */
#ifdef AG_DOUBLE
#define TILE_LANES (K_VECTOR_BYTES / 8)
#else
#define TILE_LANES (K_VECTOR_BYTES / 4)
#endif
#if TILE_LANES == 16
#define TILE_LOW  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define TILE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif TILE_LANES == 8
#define TILE_LOW  0, 8, 1, 9, 2, 10, 3, 11
#define TILE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif TILE_LANES == 4
#define TILE_LOW  0, 4, 1, 5
#define TILE_HIGH 2, 6, 3, 7
#else
#define TILE_LOW  0, 2
#define TILE_HIGH 1, 3
#endif

/* Queries and keys of a tile; keys are whole panels. */
enum { QUERIES = 4 * K_ROWS, KEYS = 4 * K_PANEL, SQUARE = 2 * K_PANEL };

/* First number of row i of head h of sample n. */
K_INLINE int64_t row_at(const k_attention *o, int64_t n, int64_t length, int64_t h, int64_t i)
{
    return ((n * length + i) * o->heads + h) * o->d;
}

/* VL x VL numbers turned round and multiplied: y[j][i] = factor x[i][j], by interleaving the first half of the rows with the second. */
K_INLINE void turn_square(const real *x, int64_t xs, real factor, real *y, int64_t ys)
{
    kv v[VL], next[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) v[i] = k_load(x + i * xs) * factor;
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            next[2 * i] = __builtin_shufflevector(v[i], v[i + VL / 2], TILE_LOW);
            next[2 * i + 1] = __builtin_shufflevector(v[i], v[i + VL / 2], TILE_HIGH);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) v[i] = next[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) k_store(y + i * ys, v[i]);
}

/* to = x [rows,d] as columns: panels [rows][width] of its d columns */
static inline void pack_rows(int64_t rows, int64_t d, const real *x, int64_t stride, real *to)
{
    for (int64_t p = 0; p * K_PANEL < d; p++, x += K_PANEL) {
        const int64_t width = k_panel_width(d, p), most = k_min(width, d - p * K_PANEL);
        if (most == K_PANEL)
            for (int64_t r = 0; r < rows; r++, to += K_PANEL) {
                k_store(to, k_load(x + r * stride));
                k_store(to + VL, k_load(x + r * stride + VL));
            }
        else
            for (int64_t r = 0; r < rows; r++, to += width) {
                for (int64_t i = 0; i < most; i++) to[i] = x[r * stride + i];
                for (int64_t i = most; i < width; i++) to[i] = 0;
            }
    }
}

/* to = factor x [rows,d] transposed: panels [d][width] of its rows */
static inline void pack_columns(int64_t rows, int64_t d, const real *x, int64_t stride, real factor, real *to)
{
    for (int64_t first = 0, width; first < rows; first += K_PANEL, to += width * d) {
        width = k_panel_width(rows, first / K_PANEL);
        for (int64_t j = 0; j < width; j += VL) {
            int64_t whole = 0;
            for (; first + j + VL <= rows && whole + VL <= d; whole += VL)
                turn_square(x + (first + j) * stride + whole, stride, factor, to + whole * width + j, width);
            for (int64_t r = j; r < j + VL; r++)
                for (int64_t i = whole; i < d; i++)
                    to[i * width + r] = first + r < rows ? factor * x[(first + r) * stride + i] : 0;
        }
    }
}

/* Rows that lie apart, side by side: at distances of a power of two they would meet in few places of the first cache. */
static inline void gather_rows(int64_t rows, int64_t d, const real *x, int64_t stride, real *to)
{
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * d, x + r * stride, (size_t)d * sizeof *to);
}

K_INLINE void panel_product(const int vectors, int64_t rows, const real *a, int64_t lda, int64_t terms,
                            const real *panel, real *c, int64_t ldc, bool add)
{
    const k_terms one = {.ky = 1, .kx = 1, .length = terms};
    for (int64_t i = 0; i < rows; i += K_ROWS) {
        const int64_t count = k_min(K_ROWS, rows - i);
        const real *row[K_ROWS];
        kv sum[K_ROWS][2];
        for (int p = 0; p < K_ROWS; p++) {
            const int64_t r = i + k_min(p, count - 1);
            row[p] = a + r * lda;
            for (int v = 0; v < 2; v++) sum[p][v] = add && v < vectors ? k_load(c + r * ldc + v * VL) : (kv){0};
        }
        k_tile_sum(K_ROWS, vectors, &one, row, panel, sum);
        for (int p = 0; p < K_ROWS; p++)
            for (int v = 0; v < vectors; v++)
                if (p < count) k_store(c + (i + p) * ldc + v * VL, sum[p][v]);
    }
}

/* c [rows,columns in whole vectors] (+)= a [rows,terms] times terms first.. of panels that have `height` terms */
static inline void tile_product(int64_t rows, int64_t columns, int64_t terms, const real *a, int64_t lda,
                                const real *panels, int64_t height, int64_t first, real *c, int64_t ldc, bool add)
{
    for (int64_t p = 0; p * K_PANEL < columns; p++) {
        const int64_t width = k_panel_width(columns, p);
        const real *panel = panels + p * K_PANEL * height + first * width;
        if (width == K_PANEL)
            panel_product(2, rows, a, lda, terms, panel, c + p * K_PANEL, ldc, add);
        else
            panel_product(1, rows, a, lda, terms, panel, c + p * K_PANEL, ldc, add);
    }
}

/* ---- masks ----------------------------------------------------------------------------------------------------------- */

enum { MASK_NONE, MASK_SOME, MASK_ALL };

static inline const uint8_t *mask_row(const k_attention *o, int64_t n, int64_t i)
{
    return o->mask + n * o->mask_n + i * o->mask_query;
}

/* Which pairs of a tile may attend; *keys is cut to the panels that some query of the tile attends to. */
static inline int tile_mask(const k_attention *o, int64_t n, int64_t i, int64_t queries, int64_t j, int64_t *keys)
{
    uint8_t any[KEYS], every[KEYS];
    if (!o->mask) return MASK_ALL;
    memset(any, 0, sizeof any);
    memset(every, 1, sizeof every);
    for (int64_t r = i; r < i + queries; r++) {
        const uint8_t *m = mask_row(o, n, r) + j;
        for (int64_t c = 0; c < *keys; c++) {
            const uint8_t may = m[c] != 0;
            any[c] |= may;
            every[c] &= may;
        }
    }
    int64_t last = *keys;
    while (last && !any[last - 1]) last--;
    if (!last) return MASK_NONE;
    *keys = k_min(k_blocks(last, K_PANEL) * K_PANEL, *keys);
    return memchr(every, 0, (size_t)*keys) ? MASK_SOME : MASK_ALL;
}

/* What of bias and mask a row of scores needs; NULL: nothing. */
static inline const real *bias_row(const k_attention *o, int64_t h, int64_t i)
{
    return o->bias ? o->bias + (h * o->lq + i) * o->lk : NULL;
}

/* v + bias (NULL: 0), -inf where masked and in the lanes from `count` on. */
K_INLINE kv adjust_scores(kv v, int64_t count, const real *bias, const uint8_t *mask)
{
    typedef uint8_t bytes __attribute__((vector_size(VL)));
    if (count == VL) {
        if (bias) v += k_load(bias);
        if (mask) {
            bytes b;
            memcpy(&b, mask, sizeof b);
            v = k_choose(__builtin_convertvector(b, ki) != 0, v, (kv){0} - (real)INFINITY);
        }
        return v;
    }
    if (bias) v += k_load_some(bias, count);
    for (int64_t i = 0; i < VL; i++)
        if (i >= count || (mask && !mask[i])) v[i] = -(real)INFINITY;
    return v;
}

/* A row of scores with bias and mask; returns the largest. */
static inline real finish_scores(int64_t keys, const real *bias, const uint8_t *mask, real *s)
{
    kv most = (kv){0} - (real)INFINITY;
    for (int64_t i = 0; i < keys; i += VL) {
        const int64_t count = k_min(VL, keys - i);
        kv v = k_load(s + i);
        if (bias || mask || count < VL) {
            v = adjust_scores(v, count, bias ? bias + i : NULL, mask ? mask + i : NULL);
            k_store(s + i, v);
        }
        most = k_most(v, most);
    }
    return k_most_lane(most);
}

/* delta_i = dy_i . y_i of one head, and lse, both [lq in whole vectors]; rows that do not exist get weight 0. */
static inline void row_constants(const k_attention *o, int64_t n, int64_t h, const real *y, const real *dy,
                                 const real *lse, real *delta, real *rows_lse)
{
    for (int64_t i = 0; i < k_panel_columns(o->lq); i++) {
        const int64_t at = row_at(o, n, o->lq, h, i);
        const bool there = i < o->lq;
        delta[i] = there ? k_row_dot(y + at, dy + at, o->d) : 0;
        rows_lse[i] = there ? lse[(n * o->heads + h) * o->lq + i] : (real)1e30;
    }
}

#endif
