/* Sums. Every sum is cut into parts by the shape alone and the parts are added in order. */
#include "kernel.h"

#include <math.h>

enum { PART = 8192, LANES = 16, COLUMN_PARTS = 64 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

size_t K(sum_scratch)(int64_t n) { return (size_t)((n + PART - 1) / PART) * sizeof(double); }

/* Sixteen running sums over a part, then one number in double. */
#define SUM(name, args, expression)                                                                                    \
    double K(name) args                                                                                                \
    {                                                                                                                  \
        double *parts = scratch;                                                                                       \
        const int64_t count = (n + PART - 1) / PART;                                                                   \
        _Pragma("omp parallel for schedule(static) if (count > 4)") for (int64_t t = 0; t < count; t++)                \
        {                                                                                                              \
            real lane[LANES] = {0};                                                                                    \
            const int64_t end = least((t + 1) * PART, n);                                                              \
            int64_t i = t * PART;                                                                                      \
            for (; i + LANES <= end; i += LANES)                                                                       \
                _Pragma("omp simd") for (int64_t j = 0; j < LANES; j++) lane[j] += expression(i + j);                  \
            for (int64_t j = 0; i < end; i++, j++) lane[j] += expression(i);                                           \
            double sum = 0;                                                                                            \
            for (int j = 0; j < LANES; j++) sum += (double)lane[j];                                                    \
            parts[t] = sum;                                                                                            \
        }                                                                                                              \
        double total = 0;                                                                                              \
        for (int64_t t = 0; t < count; t++) total += parts[t];                                                         \
        return total;                                                                                                  \
    }

#define VALUE(i)              x[i]
#define SQUARED_DIFFERENCE(i) (a[i] - b[i]) * (a[i] - b[i])
SUM(sum, (int64_t n, const real *x, void *scratch), VALUE)
SUM(squared_difference, (int64_t n, const real *a, const real *b, void *scratch), SQUARED_DIFFERENCE)

/* Rows of a part: by the shape, so that there are at most COLUMN_PARTS parts of at least 32 rows. */
static int64_t part_rows(int64_t rows)
{
    const int64_t n = (rows + COLUMN_PARTS - 1) / COLUMN_PARTS;
    return n < 32 ? 32 : n;
}

size_t K(sum_rows_scratch)(int64_t rows, int64_t columns)
{
    const int64_t n = part_rows(rows);
    return (size_t)((rows + n - 1) / n * columns) * sizeof(real);
}

/* y[c] = sum over r of x[r,c] */
void K(sum_rows)(int64_t rows, int64_t columns, const real *x, real *y, void *scratch)
{
    real *parts = scratch;
    const int64_t n = part_rows(rows), count = (rows + n - 1) / n;
#pragma omp parallel for schedule(static) if (rows * columns > 32768)
    for (int64_t t = 0; t < count; t++) {
        real *restrict p = parts + t * columns;
        for (int64_t c = 0; c < columns; c++) p[c] = 0;
        for (int64_t r = t * n; r < least((t + 1) * n, rows); r++) {
            const real *restrict row = x + r * columns;
#pragma omp simd
            for (int64_t c = 0; c < columns; c++) p[c] += row[c];
        }
    }
    for (int64_t c = 0; c < columns; c++) y[c] = parts[c];
    for (int64_t t = 1; t < count; t++)
        for (int64_t c = 0; c < columns; c++) y[c] += parts[t * columns + c];
}

/* y[o] = sum of x over the axes where y has 1; shapes of equal rank. Each y has one writer. */
void K(sum_axes)(int rank, const int64_t *shape, const int64_t *out_shape, const real *x, real *y)
{
    int64_t outs = 1, reduced = 1, stride[6];
    for (int axis = rank - 1, s = 0; axis >= 0; axis--, s++) {
        stride[axis] = axis == rank - 1 ? 1 : stride[axis + 1] * shape[axis + 1];
        outs *= out_shape[axis];
        reduced *= out_shape[axis] == 1 ? shape[axis] : 1;
    }
#pragma omp parallel for schedule(static) if (outs * reduced > 32768)
    for (int64_t o = 0; o < outs; o++) {
        int64_t base = 0, rest = o;
        for (int axis = rank - 1; axis >= 0; axis--) {
            if (out_shape[axis] == 1) continue;
            base += rest % out_shape[axis] * stride[axis];
            rest /= out_shape[axis];
        }
        double sum = 0;
        for (int64_t r = 0; r < reduced; r++) {
            int64_t at = base, left = r;
            for (int axis = rank - 1; axis >= 0; axis--) {
                if (out_shape[axis] != 1) continue;
                at += left % shape[axis] * stride[axis];
                left /= shape[axis];
            }
            sum += (double)x[at];
        }
        y[o] = (real)sum;
    }
}
