/* Sums, maxima and exponentials of rows. */
#ifndef KERNELS_ROW_MATH_H
#define KERNELS_ROW_MATH_H

#include "vector_math.h"

K_INLINE kv k_splat(real x) { return (kv){0} + x; }

/* Largest of n >= 1 numbers; NaN does not count. */
K_INLINE real k_row_max(const real *x, int64_t n)
{
    kv most[4];
    for (int j = 0; j < 4; j++) most[j] = k_splat(-(real)INFINITY);
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) most[j] = k_most(k_load(x + i + j * VL), most[j]);
    if (i) most[0] = k_most(k_most(most[0], most[1]), k_most(most[2], most[3]));
    for (; i + VL <= n; i += VL) most[0] = k_most(k_load(x + i), most[0]);
    real m = k_most_lane(most[0]);
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

K_INLINE real k_row_sum(const real *x, int64_t n)
{
    kv sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sum[j] += k_load(x + i + j * VL);
    if (i) sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (; i + VL <= n; i += VL) sum[0] += k_load(x + i);
    if (i < n) sum[0] += k_load_some(x + i, n - i);
    return k_add_lanes(sum[0]);
}

K_INLINE real k_row_dot(const real *x, const real *y, int64_t n)
{
    kv sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sum[j] += k_load(x + i + j * VL) * k_load(y + i + j * VL);
    if (i) sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (; i + VL <= n; i += VL) sum[0] += k_load(x + i) * k_load(y + i);
    if (i < n) sum[0] += k_load_some(x + i, n - i) * k_load_some(y + i, n - i);
    return k_add_lanes(sum[0]);
}

/* y[i] = exp(x[i] - shift) for a shift that is not less than x, their sum returned; y may be x, or NULL. */
K_INLINE real k_row_exp(const real *x, real shift, int64_t n, real *y)
{
    kv sum = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const kv e = k_exp_below(k_load(x + i) - shift);
        if (y) k_store(y + i, e);
        sum += e;
    }
    real total = k_add_lanes(sum);
    if (i < n) {
        const kv e = k_exp_below(k_load_some(x + i, n - i) - shift);
        if (y) k_store_some(y + i, e, n - i);
        for (int64_t j = 0; j < n - i; j++) total += e[j];
    }
    return total;
}

#endif
