/* bf16 operands: the upper half of a float, rounded to nearest even, and sums of products in fp32. For the _bf16.c files.
 *
 * Operands are packed in groups of PAIR neighbouring terms of a sum. With AVX512_BF16 a group is two bf16 numbers in 32 bits, and one
 * instruction (vdpbf16ps) adds both products of 16 columns to their sums. Elsewhere, and in the double twin, a group is one
 * rounded number of type real: the same numbers at the speed of fp32, for tests. The two differ only in the rounding and order of the
 * sums. */
#ifndef KERNELS_BF16_H
#define KERNELS_BF16_H

#include "vector.h"

#if defined(__AVX512BF16__) && !defined(AG_DOUBLE)
#include <immintrin.h>

typedef uint32_t k_pair;
typedef __m512i k_pairs; /* of VL columns */
enum { PAIR = 2 };

K_INLINE k_pairs k_pairs_load(const k_pair *p) { return _mm512_loadu_si512(p); }

K_INLINE kv k_pairs_add(kv sum, k_pairs b, k_pair a)
{
    return (kv)_mm512_dpbf16_ps((__m512)sum, (__m512bh)b, (__m512bh)_mm512_set1_epi32((int)a));
}

K_INLINE __mmask16 k_first(int64_t n) { return (__mmask16)(n < VL ? 0xffffu >> (VL - n) : 0xffffu); }

/* Two vectors of bf16 one after the other to pairs of both. */
K_INLINE __m512i k_order(void)
{
    return _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                            19, 3, 18, 2, 17, 1, 16, 0);
}

/* to[j] = the pair of x[j] and y[j], j < n; y NULL: zeros */
K_INLINE void k_pairs_of_rows(const real *x, const real *y, int64_t n, k_pair *to)
{
    const __m512i order = k_order();
    for (int64_t j = 0; j < n; j += VL) {
        const __mmask16 there = k_first(n - j);
        const __m512 a = _mm512_maskz_loadu_ps(there, x + j), b = _mm512_maskz_loadu_ps(y ? there : 0, (y ? y : x) + j);
        _mm512_mask_storeu_epi32(to + j, there, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a)));
    }
}

/* Neighbouring terms x[0..n) as pairs; the last is filled up with a zero. */
K_INLINE void k_pairs_of_terms(const real *x, int64_t n, k_pair *to)
{
    for (int64_t j = 0; j < n; j += 2 * VL) {
        const __m512 a = _mm512_maskz_loadu_ps(k_first(n - j), x + j);
        const __m512 b = _mm512_maskz_loadu_ps(n - j > VL ? k_first(n - j - VL) : 0, x + (n - j > VL ? j + VL : j));
        _mm512_mask_storeu_epi32(to + j / 2, k_first((n - j + 1) / 2), (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}

/* The same of vectors: y after x, term by term; and of VL neighbouring terms. */
K_INLINE void k_pairs_of_vectors(kv x, kv y, k_pair *to)
{
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(k_order(), (__m512i)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x)));
}

K_INLINE void k_pairs_of_vector(kv x, k_pair *to)
{
    _mm256_storeu_si256((void *)to, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}

#else

typedef real k_pair;
typedef kv k_pairs;
enum { PAIR = 1 };

K_INLINE k_pairs k_pairs_load(const k_pair *p) { return k_load(p); }
K_INLINE kv k_pairs_add(kv sum, k_pairs b, k_pair a) { return sum + b * a; }

K_INLINE real k_rounded(real x)
{
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t even = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    bits = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : even; /* NaN stays NaN */
    float y;
    memcpy(&y, &bits, sizeof y);
    return (real)y;
}

K_INLINE void k_pairs_of_terms(const real *x, int64_t n, k_pair *to)
{
    for (int64_t j = 0; j < n; j++) to[j] = k_rounded(x[j]);
}

K_INLINE void k_pairs_of_rows(const real *x, const real *y, int64_t n, k_pair *to)
{
    (void)y;
    k_pairs_of_terms(x, n, to);
}

K_INLINE void k_pairs_of_vector(kv x, k_pair *to)
{
    real terms[VL];
    k_store(terms, x);
    k_pairs_of_terms(terms, VL, to);
}

K_INLINE void k_pairs_of_vectors(kv x, kv y, k_pair *to)
{
    (void)y;
    k_pairs_of_vector(x, to);
}

#endif

/* sum[r][v] += over pairs i of row[r][i * apart] * b[i][v], all K_ROWS rows; b [pair][vectors * VL]. */
K_INLINE void k_pairs_tile(int64_t pairs, const k_pair *const *rows, const int64_t apart, const k_pair *b,
                           const int vectors, kv sum[K_ROWS][2])
{
    const k_pair *row[K_ROWS];
    for (int r = 0; r < K_ROWS; r++) row[r] = rows[r];
    for (int64_t i = 0; i < pairs; i++, b += vectors * VL) {
        const k_pairs b0 = k_pairs_load(b), b1 = k_pairs_load(vectors > 1 ? b + VL : b);
#pragma GCC unroll 8
        for (int r = 0; r < K_ROWS; r++) {
            const k_pair x = row[r][i * apart];
            sum[r][0] = k_pairs_add(sum[r][0], b0, x);
            if (vectors > 1) sum[r][1] = k_pairs_add(sum[r][1], b1, x);
        }
    }
}

#endif
