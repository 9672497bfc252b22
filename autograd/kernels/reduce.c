/* Sums. Every sum is cut into parts by the shape alone and the parts are added in order. */
#include "vector.h"

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

/* ---- over any axes --------------------------------------------------------------------------------------------------- */

/* Neighbouring axes that are all summed or all kept count as one. Sizes and strides, the last axis first. */
typedef struct axes {
    int count;
    int64_t size[6], stride[6];
} axes;

typedef struct sums {
    int64_t inner; /* size of the last axis */
    bool inner_summed;
    axes kept, summed; /* those before it */
} sums;

static sums find_axes(int rank, const int64_t *shape, const int64_t *out_shape)
{
    sums s = {.inner = 1};
    int64_t stride = 1, *grows = NULL;
    bool was_summed = false;
    for (int axis = rank - 1; axis >= 0; stride *= shape[axis--]) {
        const bool is_summed = out_shape[axis] != shape[axis];
        if (shape[axis] == 1) continue;
        if (!grows) {
            s.inner_summed = is_summed;
            grows = &s.inner;
        } else if (is_summed != was_summed) {
            axes *to = is_summed ? &s.summed : &s.kept;
            to->stride[to->count] = stride;
            grows = &to->size[to->count++];
            *grows = 1;
        }
        *grows *= shape[axis];
        was_summed = is_summed;
    }
    return s;
}

/* How many places the axes have, and where in x place i is. */
static int64_t places(const axes *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->count; i++) n *= a->size[i];
    return n;
}

static inline int64_t place(const axes *a, int64_t at)
{
    int64_t offset = 0;
    for (int i = 0; i < a->count; i++) {
        offset += at % a->size[i] * a->stride[i];
        at /= a->size[i];
    }
    return offset;
}

enum { VECTORS = 4, RUN = 1024, ROWS = 64 };

/* The sum of n neighbours, in double per RUN of them. */
static double sum_run(int64_t n, const real *x)
{
    double total = 0;
    for (int64_t from = 0; from < n; from += RUN) {
        const int64_t end = least(from + RUN, n);
        kv sum[VECTORS] = {0};
        real rest = 0;
        int64_t i = from;
        for (; i + VECTORS * VL <= end; i += VECTORS * VL)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sum[v] += k_load(x + i + v * VL);
        for (; i + VL <= end; i += VL) sum[0] += k_load(x + i);
        for (; i < end; i++) rest += x[i];
        total += (double)k_add_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])) + (double)rest;
    }
    return total;
}

/* y[0..count) = sums of rows of x at the places of `summed`, in double per ROWS of them; whole vectors if `vectors` is not 0. */
K_INLINE void sum_slice(const int vectors, int64_t count, const axes *summed, const real *x, real *y)
{
    const int64_t rows = places(summed), high = summed->count ? summed->size[0] : 1;
    double total[VECTORS * VL] = {0};
    for (int64_t from = 0, end; from < rows; from = end) {
        end = least(least(from + ROWS, rows), (from / high + 1) * high); /* rows of equal distance */
        const real *row = x + place(summed, from);
        kv sum[VECTORS] = {0};
        real some[VECTORS * VL] = {0};
        for (int64_t r = from; r < end; r++, row += summed->stride[0]) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[v] += k_load(row + v * VL);
            for (int64_t i = 0; !vectors && i < count; i++) some[i] += row[i];
        }
        for (int v = 0; v < vectors; v++) k_store(some + v * VL, sum[v]);
        for (int64_t i = 0; i < count; i++) total[i] += (double)some[i];
    }
    for (int64_t i = 0; i < count; i++) y[i] = (real)total[i];
}

/* y[o] = sum of x over the axes where y has 1; shapes of equal rank. Each y has one writer. */
void K(sum_axes)(int rank, const int64_t *shape, const int64_t *out_shape, const real *x, real *y)
{
    const sums s = find_axes(rank, shape, out_shape);
    const int64_t kept = places(&s.kept), summed = places(&s.summed), wide = VECTORS * VL;
    const int64_t slices = (s.inner + wide - 1) / wide;
    if (s.inner_summed) {
#pragma omp parallel for schedule(static) if (kept * summed * s.inner > 32768)
        for (int64_t o = 0; o < kept; o++) {
            double sum = 0;
            for (int64_t r = 0; r < summed; r++) sum += sum_run(s.inner, x + place(&s.kept, o) + place(&s.summed, r));
            y[o] = (real)sum;
        }
        return;
    }
#pragma omp parallel for schedule(static) if (kept * summed * s.inner > 32768)
    for (int64_t t = 0; t < kept * slices; t++) {
        const int64_t o = t / slices, i = t % slices * wide, count = least(wide, s.inner - i);
        const real *from = x + place(&s.kept, o) + i;
        if (count == wide)
            sum_slice(VECTORS, wide, &s.summed, from, y + o * s.inner + i);
        else
            sum_slice(0, count, &s.summed, from, y + o * s.inner + i);
    }
}
