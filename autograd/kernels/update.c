/* Optimizers' passes: parameter, gradient and moments are read and written once. Formulas: op_update.c, op_accumulate.c. */
#include "kernel.h"

#include <math.h>

#ifdef AG_DOUBLE
#define ROOT sqrt
#else
#define ROOT sqrtf
#endif

enum { TILE = 16384, PART = 8192, LANES = 16 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Runs the statement that follows for i in 0..n-1. */
#define FOR_TILES(n)                                                                                                   \
    _Pragma("omp parallel for schedule(static) if (n > 2 * TILE)") for (int64_t t = 0; t < n; t += TILE)
#define FOR_EACH(i, n) _Pragma("omp simd") for (int64_t i = t; i < least(t + TILE, n); i++)

void K(adam)(int64_t n, real *p, const real *g, real *m, real *v, const real *o)
{
    const real beta1 = o[0], beta2 = o[1], epsilon = o[2], rate = o[3], root = o[4], keep = o[5], scale = o[6];
    FOR_TILES(n) FOR_EACH(i, n)
    {
        const real d = scale * g[i];
        m[i] = beta1 * m[i] + (1 - beta1) * d;
        v[i] = beta2 * v[i] + (1 - beta2) * d * d;
        p[i] = keep * p[i] - rate * m[i] / (ROOT(v[i]) * root + epsilon);
    }
}

void K(sgd)(int64_t n, real *p, const real *g, real *m, const real *o)
{
    const real momentum = o[0], of_g = o[1], of_m = o[2], rate = o[3], decay = o[4], scale = o[5];
    FOR_TILES(n) FOR_EACH(i, n)
    {
        const real d = scale * g[i] + decay * p[i];
        m[i] = momentum * m[i] + d;
        p[i] -= rate * (of_g * d + of_m * m[i]);
    }
}

void K(lion)(int64_t n, real *p, const real *g, real *m, const real *o)
{
    const real beta1 = o[0], beta2 = o[1], rate = o[2], keep = o[3], scale = o[4];
    FOR_TILES(n) FOR_EACH(i, n)
    {
        const real d = scale * g[i], c = beta1 * m[i] + (1 - beta1) * d;
        p[i] = keep * p[i] - rate * (real)((c > 0) - (c < 0));
        m[i] = beta2 * m[i] + (1 - beta2) * d;
    }
}

void K(accumulate)(int64_t n, real factor, const real *x, real *sum)
{
    FOR_TILES(n) FOR_EACH(i, n) sum[i] += factor * x[i];
}

void K(average)(int64_t n, real decay, const real *x, real *mean)
{
    FOR_TILES(n) FOR_EACH(i, n) mean[i] = decay * mean[i] + (1 - decay) * x[i];
}

size_t K(sum_squares_scratch)(int64_t n) { return (size_t)((n + PART - 1) / PART) * sizeof(double); }

double K(sum_squares)(int64_t n, const real *x, void *scratch)
{
    double *parts = scratch, total = 0;
    const int64_t count = (n + PART - 1) / PART;
#pragma omp parallel for schedule(static) if (count > 4)
    for (int64_t t = 0; t < count; t++) {
        real lane[LANES] = {0};
        const int64_t end = least((t + 1) * PART, n);
        int64_t i = t * PART;
        for (; i + LANES <= end; i += LANES)
#pragma omp simd
            for (int64_t j = 0; j < LANES; j++) lane[j] += x[i + j] * x[i + j];
        for (int64_t j = 0; i < end; i++, j++) lane[j] += x[i] * x[i];
        parts[t] = 0;
        for (int j = 0; j < LANES; j++) parts[t] += (double)lane[j];
    }
    for (int64_t t = 0; t < count; t++) total += parts[t];
    return total;
}
