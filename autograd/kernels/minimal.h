/* The matrix products of minimal filtering, per frequency; for winograd.c, stride2.c and minimal_weight.c. */
#ifndef KERNELS_MINIMAL_H
#define KERNELS_MINIMAL_H

#include "vector.h"

/* to[tile][lane] = sum over channels of v[tile][channel] * u[channel][lane] for K_ROWS tiles and one panel; tiles are `width` reals
 * apart in v and `columns` in the result. */
K_INLINE void minimal_product(const real *v, int64_t width, int64_t channels, const real *u, real *to, int64_t columns,
                              const int vectors)
{
    const k_terms terms = {.ky = 1, .kx = 1, .length = channels};
    const real *rows[K_ROWS];
    kv sum[K_ROWS][2] = {0};
    for (int i = 0; i < K_ROWS; i++) rows[i] = v + i * width;
    k_tile_sum(K_ROWS, vectors, &terms, rows, u, sum);
#pragma GCC unroll 8
    for (int i = 0; i < K_ROWS; i++)
        for (int j = 0; j < vectors; j++) k_store(to + i * columns + j * VL, sum[i][j]);
}

/* sum[K_ROWS][lane] = (first) or += over tiles of v[tile][row] * d[tile][lane]; tiles are `width` reals apart in v and `columns`
 * in d. */
K_INLINE void minimal_add(const real *v, int64_t width, const real *d, int64_t columns, int64_t tiles, bool first,
                          real *to, const int vectors)
{
    kv sum[K_ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < K_ROWS; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = first ? (kv){0} : k_load(to + (i * vectors + j) * VL);
    for (int64_t t = 0; t < tiles; t++, v += width, d += columns) {
        const kv d0 = k_load(d), d1 = vectors > 1 ? k_load(d + VL) : (kv){0};
#pragma GCC unroll 8
        for (int i = 0; i < K_ROWS; i++) {
            sum[i][0] += d0 * v[i];
            if (vectors > 1) sum[i][1] += d1 * v[i];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < K_ROWS; i++)
        for (int j = 0; j < vectors; j++) k_store(to + (i * vectors + j) * VL, sum[i][j]);
}

/* w = or += x, a vector or fewer lanes */
K_INLINE void minimal_give(kv x, bool add, int64_t lanes, real *w)
{
    if (lanes == VL) {
        k_store(w, add ? k_load(w) + x : x);
        return;
    }
    kv before = {0};
    if (add) memcpy(&before, w, (size_t)lanes * sizeof(real));
    before += x;
    memcpy(w, &before, (size_t)lanes * sizeof(real));
}

#endif
