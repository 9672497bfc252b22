/* What attention and its gradients share: packed matrices, products of tiles with them, masks of tiles.
 *
 * Rows of q, k, v and of the results lie heads * d apart. A matrix that is the right side of a product is packed in panels of
 * K_PANEL columns (vector.h), so that the register tile reads it in order. */
#ifndef KERNELS_ATTENTION_TILES_H
#define KERNELS_ATTENTION_TILES_H

#include "row_math.h"

/* Queries and keys of a tile; keys are whole panels. */
enum { QUERIES = 4 * K_ROWS, KEYS = 4 * K_PANEL, SQUARE = 2 * K_PANEL };

/* First number of row i of head h of sample n. */
K_INLINE int64_t row_at(const k_attention *o, int64_t n, int64_t length, int64_t h, int64_t i)
{
    return ((n * length + i) * o->heads + h) * o->d;
}

/* to = x [rows,d] as columns: panels [rows][width] of its d columns */
static inline void pack_rows(int64_t rows, int64_t d, const real *x, int64_t stride, real *to)
{
    for (int64_t p = 0; p * K_PANEL < d; p++) {
        const int64_t width = k_panel_width(d, p), most = k_min(width, d - p * K_PANEL);
        for (int64_t r = 0; r < rows; r++, to += width) {
            for (int64_t i = 0; i < most; i++) to[i] = x[r * stride + p * K_PANEL + i];
            for (int64_t i = most; i < width; i++) to[i] = 0;
        }
    }
}

/* to = x [rows,d] transposed: panels [d][width] of its rows */
static inline void pack_columns(int64_t rows, int64_t d, const real *x, int64_t stride, real *to)
{
    for (int64_t p = 0; p * K_PANEL < rows; p++, to += K_PANEL * d) {
        const int64_t width = k_panel_width(rows, p);
        for (int64_t j = 0; j < width; j++) {
            const int64_t r = p * K_PANEL + j;
            if (r < rows)
                for (int64_t i = 0; i < d; i++) to[i * width + j] = x[r * stride + i];
            else
                for (int64_t i = 0; i < d; i++) to[i * width + j] = 0;
        }
    }
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

/* Which pairs of a tile may attend. */
static inline int tile_mask(const k_attention *o, int64_t n, int64_t i, int64_t queries, int64_t j, int64_t keys)
{
    if (!o->mask) return MASK_ALL;
    int64_t allowed = 0;
    for (int64_t r = i; r < i + queries; r++) {
        const uint8_t *m = mask_row(o, n, r) + j;
        int32_t sum = 0;
        for (int64_t c = 0; c < keys; c++) sum += m[c] != 0;
        allowed += sum;
    }
    return allowed == 0 ? MASK_NONE : allowed == queries * keys ? MASK_ALL : MASK_SOME;
}

/* What of bias and mask a row of scores needs; NULL: nothing. */
static inline const real *bias_row(const k_attention *o, int64_t h, int64_t i)
{
    return o->bias ? o->bias + (h * o->lq + i) * o->lk : NULL;
}

/* s = s scale + bias, -inf where masked and in the rest of the last vector; returns the largest. */
static inline real finish_scores(int64_t keys, real scale, const real *bias, const uint8_t *mask, real *s)
{
    typedef uint8_t bytes __attribute__((vector_size(VL)));
    const kv none = (kv){0} - (real)INFINITY;
    kv most = none;
    for (int64_t i = 0; i < keys; i += VL) {
        const int64_t count = k_min(VL, keys - i);
        kv v = k_load(s + i) * scale;
        if (bias) v += count == VL ? k_load(bias + i) : k_load_some(bias + i, count);
        if (mask && count == VL) {
            bytes b;
            memcpy(&b, mask + i, sizeof b);
            v = k_choose(__builtin_convertvector(b, ki) != 0, v, none);
        } else
            for (int64_t j = 0; mask && j < count; j++) v[j] = mask[i + j] ? v[j] : -(real)INFINITY;
        for (int64_t j = count; j < VL; j++) v[j] = -(real)INFINITY;
        k_store(s + i, v);
        most = k_choose(v > most, v, most);
    }
    real m = most[0];
    for (int j = 1; j < VL; j++) m = most[j] > m ? most[j] : m;
    return m;
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
