/* What the units of one core can do at best, for autograd/machine.c to measure. */
#include "vector.h"

enum { CHAINS = 12 }; /* more than the latency of the unit times its rate, few enough for sixteen registers */

double K(probe_multiply_add)(int64_t turns, real *sink)
{
    kv chain[CHAINS], x = {0}, y = {0};
    x += (real)0.999, y += (real)1e-3;
    for (int i = 0; i < CHAINS; i++) chain[i] = x * (real)i;
    for (int64_t n = 0; n < turns; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) chain[i] = chain[i] * x + y;
    }
    for (int i = 1; i < CHAINS; i++) chain[0] += chain[i];
    *sink = chain[0][0];
    return 2.0 * CHAINS * VL * (double)turns;
}

void K(probe_triad)(int64_t n, const real *a, const real *b, real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + (real)0.5 * b[i];
}
