/* softmax and what is made of it, row by row; a row is read from the cache after its first pass. Each result has one writer. */
#include "row_math.h"

enum { WORK = 16384 };

#define ROWS(r) _Pragma("omp parallel for schedule(static) if (rows * c > WORK)") for (int64_t r = 0; r < rows; r++)

/* exp(x - m) of a row into y (may be NULL), their sum; 0 where all are -inf. */
static real row_weights(int64_t c, const real *x, real *m, real *y)
{
    *m = k_row_max(x, c);
    return k_row_exp(x, *m == -(real)INFINITY ? 0 : *m, c, y);
}

static real one_log(real x) { return (real)log((double)x); }

void K(softmax)(int64_t rows, int64_t c, const real *x, real *y)
{
    ROWS(r)
    {
        real m, *restrict row = y + r * c;
        const real sum = row_weights(c, x + r * c, &m, row), inverse = 1 / sum;
#pragma omp simd
        for (int64_t i = 0; i < c; i++) row[i] *= inverse;
    }
}

/* dx = y (dy - sum dy y) */
void K(softmax_grad)(int64_t rows, int64_t c, const real *y, const real *dy, real *dx)
{
    ROWS(r)
    {
        const real dot = k_row_dot(y + r * c, dy + r * c, c);
#pragma omp simd
        for (int64_t i = r * c; i < (r + 1) * c; i++) dx[i] = y[i] * (dy[i] - dot);
    }
}

static real row_logsumexp(int64_t c, const real *x)
{
    real m;
    const real sum = row_weights(c, x, &m, NULL);
    return m + one_log(sum);
}

void K(logsumexp)(int64_t rows, int64_t c, const real *x, real *y) { ROWS(r) y[r] = row_logsumexp(c, x + r * c); }

void K(log_softmax)(int64_t rows, int64_t c, const real *x, real *y)
{
    ROWS(r)
    {
        const real *row = x + r * c;
        real m;
        const real shift = one_log(row_weights(c, row, &m, NULL));
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[r * c + i] = (row[i] - m) - shift;
    }
}

/* dx = dy - exp(y) sum dy */
void K(log_softmax_grad)(int64_t rows, int64_t c, const real *y, const real *dy, real *dx)
{
    ROWS(r)
    {
        const real *ys = y + r * c, *ds = dy + r * c;
        const real sum = k_row_sum(ds, c);
        real *to = dx + r * c;
        int64_t i = 0;
        for (; i + VL <= c; i += VL) k_store(to + i, k_load(ds + i) - k_exp(k_load(ys + i)) * sum);
        if (i < c) k_store_some(to + i, k_load_some(ds + i, c - i) - k_exp(k_load_some(ys + i, c - i)) * sum, c - i);
    }
}

/* With q = (1 - smoothing) target + smoothing / c:  loss = sum q (lse - x); NaN for a label that does not exist */
static real row_cross_entropy(int64_t c, const real *x, real lse, const int32_t *label, const real *target,
                              real smoothing)
{
    real loss;
    if (label) {
        if (*label < 0) return 0;
        if (*label >= c) return (real)NAN;
        loss = lse - x[*label];
    } else
        loss = lse * k_row_sum(target, c) - k_row_dot(target, x, c);
    if (smoothing == 0) return loss;
    return (1 - smoothing) * loss + smoothing * (lse - k_row_sum(x, c) / (real)c);
}

void K(cross_entropy)(int64_t rows, int64_t c, const real *x, const int32_t *label, const real *target, real smoothing,
                      real *loss, real *lse)
{
    ROWS(r)
    {
        const real l = row_logsumexp(c, x + r * c);
        loss[r] =
            row_cross_entropy(c, x + r * c, l, label ? label + r : NULL, target ? target + r * c : NULL, smoothing);
        if (lse) lse[r] = l;
    }
}

/* to = d (share exp(x - lse) - smoothing / c - (1 - smoothing) target), share = sum of q */
static void row_gradient(int64_t c, const real *x, real lse, real d, real share, const real *target, real smoothing,
                         real *to)
{
    const real flat = smoothing / (real)c, rest = 1 - smoothing;
    int64_t i = 0;
    for (; i + VL <= c; i += VL) {
        kv g = k_exp(k_load(x + i) - lse) * share - flat;
        if (target) g -= k_load(target + i) * rest;
        k_store(to + i, g * d);
    }
    if (i < c) {
        kv g = k_exp(k_load_some(x + i, c - i) - lse) * share - flat;
        if (target) g -= k_load_some(target + i, c - i) * rest;
        k_store_some(to + i, g * d, c - i);
    }
}

void K(cross_entropy_grad)(int64_t rows, int64_t c, const real *x, const real *lse, const real *dloss,
                           const int32_t *label, const real *target, real smoothing, real *dx)
{
    ROWS(r)
    {
        real *to = dx + r * c;
        if (label && label[r] < 0) {
            memset(to, 0, (size_t)c * sizeof *to);
            continue;
        }
        const real *q = target ? target + r * c : NULL;
        const real share = q ? (1 - smoothing) * k_row_sum(q, c) + smoothing : 1;
        row_gradient(c, x + r * c, lse[r], dloss[r], share, q, smoothing, to);
        if (label && label[r] < c) to[label[r]] -= (1 - smoothing) * dloss[r];
    }
}
