#include "kernel.h"

#include <math.h>

enum { TILE = 16384 };

/* One pass over parameter, gradient and both moments; the formula is in op_adam.c. */
void K(adam)(int64_t n, real *p, const real *g, real *m, real *v, const real *o)
{
    const real beta1 = o[0], beta2 = o[1], epsilon = o[2], rate = o[3], root = o[4], keep = o[5];
#pragma omp parallel for schedule(static) if (n > 2 * TILE)
    for (int64_t t = 0; t < n; t += TILE) {
        const int64_t end = t + TILE < n ? t + TILE : n;
#pragma omp simd
        for (int64_t i = t; i < end; i++) {
            m[i] = beta1 * m[i] + (1 - beta1) * g[i];
            v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
#ifdef AG_DOUBLE
            p[i] = keep * p[i] - rate * m[i] / (sqrt(v[i]) * root + epsilon);
#else
            p[i] = keep * p[i] - rate * m[i] / (sqrtf(v[i]) * root + epsilon);
#endif
        }
    }
}
