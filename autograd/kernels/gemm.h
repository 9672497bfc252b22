/* What the matrix products of gemm.c and gemm_bf16.c share: how C is cut into units, and how a register tile is stored. */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include "vector.h"

#include <omp.h>

enum { TERMS = 256, UNIT_ROWS = 64 * K_ROWS, UNIT_COLUMNS = 16 * K_PANEL, FEW_ROWS = K_ROWS };

/* One matrix product; element (r,i) of op(A) is a[r * a_row + i * a_term], of op(B) (i,x) b[i * b_term + x * b_column]. */
typedef struct product {
    int64_t m, n, kk;
    const real *a, *b;
    int64_t a_row, a_term, b_term, b_column;
    const k_epilogue *e;
    int64_t at; /* of C in the whole result, for the residual */
    real *c;
} product;

/* A panel of columns of a chunk, as the register tile sees it. */
typedef struct panel {
    const real *b;
    int64_t b_term, terms;
    int64_t x, lanes; /* first column, columns that exist */
    bool first, last; /* chunk of the inner dimension */
} panel;

/* ---- storing a register tile -------------------------------------------------------------------------------------------- */

K_INLINE kv finish_vector(const k_epilogue *e, kv sum, const real *bias, const real *residual)
{
    if (bias) sum += k_load(bias);
    if (residual) sum += k_load(residual);
    return e->activation == K_RELU ? k_relu_vector(sum) : sum;
}

/* A row of the tile with fewer channels than the panel has goes through a buffer. */
static inline void store_part(const product *p, const panel *q, int64_t at, const int vectors, const kv *sum)
{
    const k_epilogue *e = q->last ? p->e : NULL;
    const size_t bytes = (size_t)q->lanes * sizeof(real);
    real line[K_PANEL] = {0}, bias[K_PANEL] = {0}, residual[K_PANEL] = {0};
    if (!q->first) memcpy(line, p->c + at, bytes);
    if (e && e->bias) memcpy(bias, e->bias + q->x, bytes);
    if (e && e->residual) memcpy(residual, e->residual + p->at + at, bytes);
    for (int v = 0; v < vectors; v++) {
        kv s = q->first ? sum[v] : k_load(line + v * VL) + sum[v];
        if (e) s = finish_vector(e, s, e->bias ? bias + v * VL : NULL, e->residual ? residual + v * VL : NULL);
        k_store(line + v * VL, s);
    }
    memcpy(p->c + at, line, bytes);
}

K_INLINE void store_whole(const product *p, const panel *q, int64_t at, const int vectors, const kv *sum)
{
    const k_epilogue *e = q->last ? p->e : NULL;
    for (int v = 0; v < vectors; v++, at += VL) {
        const int64_t x = q->x + v * VL;
        kv s = q->first ? sum[v] : k_load(p->c + at) + sum[v];
        if (e) s = finish_vector(e, s, e->bias ? e->bias + x : NULL, e->residual ? e->residual + p->at + at : NULL);
        k_store(p->c + at, s);
    }
}

/* Where the sums of a tile will go: on its way while they are made. */
K_INLINE void prefetch_tile(const product *p, const panel *q, int64_t y, int64_t rows, const int count,
                            const int vectors)
{
    for (int r = 0; r < count; r++)
        for (int v = 0; v < vectors; v++)
            __builtin_prefetch(p->c + (y + (r < rows ? r : rows - 1)) * p->n + q->x + v * VL, 1);
}

/* `count` rows of sums, of which `rows` exist, to C from row y on. */
K_INLINE void store_tile(const product *p, const panel *q, int64_t y, int64_t rows, kv sum[K_ROWS][2], const int count,
                         const int vectors)
{
    const bool whole = q->lanes == vectors * VL;
    if (whole && rows == count) {
#pragma GCC unroll 8
        for (int r = 0; r < count; r++) store_whole(p, q, (y + r) * p->n + q->x, vectors, sum[r]);
        return;
    }
    kv part[K_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < count; r++) part[r][0] = sum[r][0], part[r][1] = sum[r][1];
    for (int64_t r = 0; r < rows; r++)
        (whole ? store_whole : store_part)(p, q, (y + r) * p->n + q->x, vectors, part[r]);
}

/* ---- units --------------------------------------------------------------------------------------------------------------- */

typedef struct unit {
    int64_t y0, y1, x0, x1;
} unit;

/* Rows and columns of a unit, so that each thread has four or more. Where only B is packed, once per unit, columns are cut first; else
 * what is longer. No sum depends on these cuts. */
static inline unit unit_size(bool ta, int64_t m, int64_t n, int64_t batch)
{
    const int64_t units = 4 * (int64_t)omp_get_max_threads();
    int64_t rows = k_blocks(k_blocks(m, k_blocks(m, UNIT_ROWS)), K_ROWS) * K_ROWS, columns = UNIT_COLUMNS;
    columns = k_min(columns, k_blocks(n, K_PANEL) * K_PANEL);
    while (batch * k_blocks(m, rows) * k_blocks(n, columns) < units) {
        const bool wide = columns > 2 * K_PANEL, high = rows > 8 * K_ROWS;
        if (wide && (!ta || columns >= rows || !high))
            columns = k_blocks(columns / 2, K_PANEL) * K_PANEL;
        else if (high)
            rows = k_blocks(rows / 2, K_ROWS) * K_ROWS;
        else
            break;
    }
    return (unit){.y1 = rows, .x1 = columns};
}

static inline const real *matrix(const k_strided *s, int rank, const int64_t *batch, int64_t i)
{
    const real *p = s->data;
    for (int axis = rank - 1; axis >= 0; axis--) {
        p += i % batch[axis] * s->stride[axis];
        i /= batch[axis];
    }
    return p;
}

/* What gemm_batch in kernels.def says, by `run`, which computes a unit of C. */
K_INLINE void run_batch(bool ta, bool tb, int rank, const int64_t *batch, int64_t m, int64_t n, int64_t kk,
                        const k_strided *as, const k_strided *bs, const k_epilogue *e, real *c,
                        void (*run)(const product *p, const unit *u))
{
    int64_t count = 1;
    for (int axis = 0; axis < rank; axis++) count *= batch[axis];
    const unit size = unit_size(ta, m, n, count);
    const int64_t across = k_blocks(n, size.x1), down = k_blocks(m, size.y1);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < count * down * across; i++) {
        const int64_t item = i / across / down, y = i / across % down * size.y1, x = i % across * size.x1;
        const product p = {.m = m,
                           .n = n,
                           .kk = kk,
                           .a = matrix(as, rank, batch, item),
                           .b = matrix(bs, rank, batch, item),
                           .a_row = ta ? 1 : kk,
                           .a_term = ta ? m : 1,
                           .b_term = tb ? 1 : n,
                           .b_column = tb ? kk : 1,
                           .e = e,
                           .at = item * m * n,
                           .c = c + item * m * n};
        run(&p, &(unit){.y0 = y, .y1 = k_min(y + size.y1, m), .x0 = x, .x1 = k_min(x + size.x1, n)});
    }
}

#endif
