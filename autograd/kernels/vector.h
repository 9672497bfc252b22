/* Vectors of `real` as wide as the instruction set being compiled, and the register tile that convolutions and the
 * codebook search share: K_ROWS rows times two vectors of columns, all sums in registers.
 *
 * The tile multiplies rows of numbers that lie anywhere in memory with a panel: columns in groups of K_PANEL, stored
 * [terms][K_PANEL] so that one step of the sum reads two vectors and one number per row. The order of a sum is the order
 * of its terms, whatever the tile: results do not depend on how work is cut. */
#ifndef KERNELS_VECTOR_H
#define KERNELS_VECTOR_H

#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#include "kernel.h"

#if defined(__AVX512F__)
#define K_VECTOR_BYTES 64
#elif defined(__AVX__)
#define K_VECTOR_BYTES 32
#else
#define K_VECTOR_BYTES 16
#endif

/* Rows that leave registers for two vectors of a panel and one number: 32 registers, or 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define K_ROWS 8
#else
#define K_ROWS 6
#endif

#ifdef AG_DOUBLE
typedef int64_t k_lane;
#else
typedef int32_t k_lane;
#endif
typedef real kv __attribute__((vector_size(K_VECTOR_BYTES)));
typedef k_lane ki __attribute__((vector_size(K_VECTOR_BYTES)));

enum { VL = K_VECTOR_BYTES / sizeof(real), K_PANEL = 2 * VL };

#define K_INLINE static inline __attribute__((always_inline))

K_INLINE kv k_load(const real *p)
{
    kv v;
    memcpy(&v, p, sizeof v);
    return v;
}

K_INLINE void k_store(real *p, kv v) { memcpy(p, &v, sizeof v); }

/* yes where mask is -1, no where it is 0 */
K_INLINE kv k_choose(ki mask, kv yes, kv no)
{
#if defined(__AVX__) && !defined(__AVX512F__) && !defined(AG_DOUBLE)
    return (kv)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
    return (kv)((mask & (ki)yes) | (~mask & (ki)no));
#endif
}

/* negative where the sign bit of x is set, else positive */
K_INLINE kv k_by_sign(kv x, kv negative, kv positive)
{
#if defined(__AVX512F__) && !defined(AG_DOUBLE)
    return (kv)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)positive, (__m512)negative);
#else
    return k_choose((ki)x < 0, negative, positive);
#endif
}

/* a where a < b (a > b), else b: of a NaN and a number the second, as the instructions of x86 have it. */
K_INLINE kv k_least(kv a, kv b)
{
#if defined(__AVX512F__) && !defined(AG_DOUBLE)
    return (kv)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && !defined(AG_DOUBLE)
    return (kv)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return k_choose(a < b, a, b);
#endif
}

K_INLINE kv k_most(kv a, kv b)
{
#if defined(__AVX512F__) && !defined(AG_DOUBLE)
    return (kv)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && !defined(AG_DOUBLE)
    return (kv)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return k_choose(a > b, a, b);
#endif
}

/* 1 / x to within a unit or so in the last place, for |x| in 2^-100 .. 2^100. With AVX-512 by one step of Newton's from 14 bits: a
 * division takes as long as ten multiplications there. */
K_INLINE kv k_reciprocal(kv x)
{
#if defined(__AVX512F__) && !defined(AG_DOUBLE)
    const kv near = (kv)_mm512_rcp14_ps((__m512)x);
    return near + near * ((real)1 - x * near);
#else
    return (real)1 / x;
#endif
}

/* x where x > 0 or x is NaN, else 0 */
K_INLINE kv k_relu_vector(kv x) { return (kv)((ki)x & ~(x < (kv){0})); }

/* Sum of the lanes: halves, quarters, ..., the last 16 bytes one by one. */
K_INLINE real k_add_lanes(kv v)
{
    typedef real quarter __attribute__((vector_size(16)));
    quarter part[K_VECTOR_BYTES / 16];
    memcpy(part, &v, sizeof v);
#pragma GCC unroll 4
    for (int n = K_VECTOR_BYTES / 32; n > 0; n /= 2)
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) part[i] += part[i + n];
#ifdef AG_DOUBLE
    return part[0][0] + part[0][1];
#else
    return (part[0][0] + part[0][2]) + (part[0][1] + part[0][3]);
#endif
}

/* The largest lane. */
K_INLINE real k_most_lane(kv v)
{
    typedef real quarter __attribute__((vector_size(16)));
    quarter part[K_VECTOR_BYTES / 16];
    memcpy(part, &v, sizeof v);
#pragma GCC unroll 4
    for (int n = K_VECTOR_BYTES / 32; n > 0; n /= 2)
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) {
            const __typeof__(part[0] > part[0]) above = part[i] > part[i + n];
            part[i] = (quarter)((above & (__typeof__(above))part[i]) | (~above & (__typeof__(above))part[i + n]));
        }
    real most = part[0][0];
    for (int i = 1; i < (int)(16 / sizeof(real)); i++) most = part[0][i] > most ? part[0][i] : most;
    return most;
}

K_INLINE int64_t k_min(int64_t a, int64_t b) { return a < b ? a : b; }
K_INLINE int64_t k_max(int64_t a, int64_t b) { return a > b ? a : b; }
/* ceil(a / b) for a >= 0, b > 0 */
K_INLINE int64_t k_blocks(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* floor(a / b) for b > 0 */
K_INLINE int64_t k_floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
K_INLINE size_t k_align(size_t bytes) { return (bytes + 63) & ~(size_t)63; }
K_INLINE char *k_align_pointer(void *p) { return (char *)p + (-(uintptr_t)p & 63); }

/* Columns that `columns` take as panels: whole panels, the last of one vector where that is enough. */
K_INLINE int64_t k_panel_columns(int64_t columns) { return k_blocks(columns, VL) * VL; }
K_INLINE int64_t k_panel_width(int64_t columns, int64_t panel)
{
    return k_min(k_panel_columns(columns) - panel * K_PANEL, K_PANEL);
}

/* sum[p][v] += over ky, kx, i:  rows[p][ky * pitch + kx * step + i] * w[term][v];  rows_count and vectors are constants
 * where this is inlined. */
typedef struct k_terms {
    int64_t ky, kx, length; /* number of terms in each of the three loops */
    int64_t pitch, step;    /* distance between neighbouring ky and kx in a row's memory */
} k_terms;

K_INLINE void k_tile_sum(const int count, const int vectors, const k_terms *terms, const real *const *rows,
                         const real *w, kv sum[K_ROWS][2])
{
    const real *row[K_ROWS];
    for (int p = 0; p < count; p++) row[p] = rows[p];
    for (int64_t ky = 0; ky < terms->ky; ky++)
        for (int64_t kx = 0; kx < terms->kx; kx++) {
            const int64_t first = ky * terms->pitch + kx * terms->step;
            for (int64_t i = first; i < first + terms->length; i++, w += vectors * VL) {
                kv w0 = k_load(w), w1 = vectors > 1 ? k_load(w + VL) : (kv){0};
#pragma GCC unroll 8
                for (int p = 0; p < count; p++) {
                    sum[p][0] += w0 * row[p][i];
                    if (vectors > 1) sum[p][1] += w1 * row[p][i];
                }
            }
        }
}

typedef real k_quad __attribute__((vector_size(4 * sizeof(real))));

/* to[i * width + j] = from[j * distance + i] for i, j of 0..3, of whatever has the size of a real */
K_INLINE void k_transpose_4(const void *from, int64_t distance, void *to, int64_t width)
{
    const size_t size = sizeof(real);
    k_quad r[4], s[4];
    for (int j = 0; j < 4; j++) memcpy(&r[j], (const char *)from + (size_t)(j * distance) * size, sizeof *r);
    s[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    s[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    s[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    s[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(s[0], s[2], 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(s[0], s[2], 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(s[1], s[3], 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(s[1], s[3], 2, 3, 6, 7);
    for (int i = 0; i < 4; i++) memcpy((char *)to + (size_t)(i * width) * size, &r[i], sizeof *r);
}

/* to[i * VL + j] = from[j * distance + i] for i of 0..3 and every lane j */
K_INLINE void k_transpose_to_vectors(const real *from, int64_t distance, real *to)
{
    if (VL >= 4)
        for (int64_t j = 0; j < VL; j += 4) k_transpose_4(from + j * distance, distance, to + j, VL);
    else
        for (int64_t j = 0; j < VL; j++)
            for (int64_t i = 0; i < 4; i++) to[i * VL + j] = from[j * distance + i];
}

#endif
