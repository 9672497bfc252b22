/* Elementary functions for kernels: no calls, no branches, so loops over them are vector code.
 *
 * Every function exists twice: k_exp(kv) on a whole vector of vector.h, and k_exp_one(real) for `omp simd` loops.
 *
 *     k_store(y + i, k_exp(k_load(x + i)));
 *     #pragma omp simd
 *     for (int64_t i = 0; i < n; i++) y[i] = k_sigmoid_one(x[i]);
 *
 * In float the error is a few units in the last place over the whole range, subnormal numbers included (worst ones, measured
 * by tests/test_activation.c: exp 1, log 1, tanh 1.5, log1p 1.5, sigmoid 2.5, erf 2.5, softplus 2.5); NaN gives NaN, infinities give the
 * limits. Polynomials are our own minimax fits (Lawson's iteration in 40 digits). In double the functions are libm's. */
#ifndef KERNELS_VECTOR_MATH_H
#define KERNELS_VECTOR_MATH_H

#include <math.h>

#include "vector.h"

/* The sign bit. */
#define K_SIGN ((k_lane)((k_lane)1 << (8 * sizeof(k_lane) - 2)) * -2)

K_INLINE k_lane k_bits_one(real x)
{
    k_lane i;
    memcpy(&i, &x, sizeof i);
    return i;
}

K_INLINE real k_from_bits_one(k_lane i)
{
    real x;
    memcpy(&x, &i, sizeof x);
    return x;
}

/* Bits, not ?:, which becomes a branch around the work of one side, and then the loop is no longer vector code. */
K_INLINE real k_choose_one(bool condition, real yes, real no)
{
    const k_lane mask = -(k_lane)condition;
    return k_from_bits_one((mask & k_bits_one(yes)) | (~mask & k_bits_one(no)));
}

K_INLINE real k_least_one(real a, real b) { return k_choose_one(a < b, a, b); }
K_INLINE real k_most_one(real a, real b) { return k_choose_one(a > b, a, b); }
K_INLINE real k_by_sign_one(real x, real negative, real positive)
{
    return k_choose_one(k_bits_one(x) < 0, negative, positive);
}
K_INLINE real k_reciprocal_one(real x) { return 1 / x; }

/* Whole vectors. */
#define V                  kv
#define I                  ki
#define F(name)            k_##name
#define CHOOSE(mask, a, b) k_choose(mask, a, b)
#define SET(c)             ((kv){0} + (real)(c))
#define BITS(x)            ((ki)(x))
#define FROM_BITS(i)       ((kv)(i))
#include "vector_math_body.h"
#undef V
#undef I
#undef F
#undef CHOOSE
#undef SET
#undef BITS
#undef FROM_BITS

/* One number. */
#define V                  real
#define I                  k_lane
#define F(name)            k_##name##_one
#define CHOOSE(mask, a, b) k_choose_one(mask, a, b)
#define SET(c)             ((real)(c))
#define BITS(x)            k_bits_one(x)
#define FROM_BITS(i)       k_from_bits_one(i)
#define K_ONE
#include "vector_math_body.h"
#undef K_ONE
#undef V
#undef I
#undef F
#undef CHOOSE
#undef SET
#undef BITS
#undef FROM_BITS

/* ys[i] = expression of the vector `x` for n numbers (K_MAP2: of the vectors `a` and `b`); ys may be an operand. The last vector
 * is filled up with zeros, so that every element goes through the same instructions. */
#define K_MAP_TILE 16384

K_INLINE kv k_load_some(const real *p, int64_t count)
{
    kv v = {0};
    memcpy(&v, p, (size_t)count * sizeof *p);
    return v;
}

K_INLINE void k_store_some(real *p, kv v, int64_t count) { memcpy(p, &v, (size_t)count * sizeof *p); }

#define K_MAP(n, xs, ys, expression)                                                                                   \
    _Pragma("omp parallel for schedule(static) if (n > 2 * K_MAP_TILE)") for (int64_t t_ = 0; t_ < n;                  \
                                                                              t_ += K_MAP_TILE)                        \
    {                                                                                                                  \
        const int64_t end_ = k_min(t_ + K_MAP_TILE, n);                                                                \
        int64_t i_ = t_;                                                                                               \
        for (; i_ + VL <= end_; i_ += VL) {                                                                            \
            const kv x = k_load((xs) + i_);                                                                            \
            k_store((ys) + i_, expression);                                                                            \
        }                                                                                                              \
        if (i_ < end_) {                                                                                               \
            const kv x = k_load_some((xs) + i_, end_ - i_);                                                            \
            k_store_some((ys) + i_, expression, end_ - i_);                                                            \
        }                                                                                                              \
    }
#define K_MAP2(n, as, bs, ys, expression)                                                                              \
    _Pragma("omp parallel for schedule(static) if (n > 2 * K_MAP_TILE)") for (int64_t t_ = 0; t_ < n;                  \
                                                                              t_ += K_MAP_TILE)                        \
    {                                                                                                                  \
        const int64_t end_ = k_min(t_ + K_MAP_TILE, n);                                                                \
        int64_t i_ = t_;                                                                                               \
        for (; i_ + VL <= end_; i_ += VL) {                                                                            \
            const kv a = k_load((as) + i_), b = k_load((bs) + i_);                                                     \
            k_store((ys) + i_, expression);                                                                            \
        }                                                                                                              \
        if (i_ < end_) {                                                                                               \
            const kv a = k_load_some((as) + i_, end_ - i_), b = k_load_some((bs) + i_, end_ - i_);                     \
            k_store_some((ys) + i_, expression, end_ - i_);                                                            \
        }                                                                                                              \
    }

#endif
