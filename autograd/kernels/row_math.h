/* Sums, maxima and exponentials of rows. */
#ifndef KERNELS_ROW_MATH_H
#define KERNELS_ROW_MATH_H

#include "vector_math.h"

K_INLINE kv k_splat(real x) { return (kv){0} + x; }

K_INLINE kv k_larger(kv a, kv b) { return k_choose(a > b, a, b); }

/* Largest of n >= 1 numbers; NaN does not count. */
K_INLINE real k_row_max(const real *x, int64_t n)
{
    kv most = k_splat(-(real)INFINITY);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) most = k_larger(k_load(x + i), most);
    real m = most[0];
    for (int j = 1; j < VL; j++) m = most[j] > m ? most[j] : m;
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

K_INLINE real k_row_sum(const real *x, int64_t n)
{
    kv sum = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) sum += k_load(x + i);
    if (i < n) sum += k_load_some(x + i, n - i);
    return k_add_lanes(sum);
}

K_INLINE real k_row_dot(const real *x, const real *y, int64_t n)
{
    kv sum = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) sum += k_load(x + i) * k_load(y + i);
    if (i < n) sum += k_load_some(x + i, n - i) * k_load_some(y + i, n - i);
    return k_add_lanes(sum);
}

/* y[i] = exp(x[i] - shift), their sum returned; y may be x, or NULL. */
K_INLINE real k_row_exp(const real *x, real shift, int64_t n, real *y)
{
    kv sum = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const kv e = k_exp(k_load(x + i) - shift);
        if (y) k_store(y + i, e);
        sum += e;
    }
    real total = k_add_lanes(sum);
    if (i < n) {
        const kv e = k_exp(k_load_some(x + i, n - i) - shift);
        if (y) k_store_some(y + i, e, n - i);
        for (int64_t j = 0; j < n - i; j++) total += e[j];
    }
    return total;
}

#endif
