/* Tables and codes: gather, scatter, counts. */
#include "kernel.h"

#include <string.h>

enum { SLICE = 16 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* y[i] = table[code[i]] */
void K(gather)(int64_t n, int64_t d, const real *table, const int32_t *code, real *y)
{
#pragma omp parallel for schedule(static) if (n * d > 32768)
    for (int64_t i = 0; i < n; i++) memcpy(y + i * d, table + code[i] * d, (size_t)d * sizeof *y);
}

/* table[j] = sum of the rows with code j, in row order. A slice of columns has one writer. */
void K(scatter_add)(int64_t n, int64_t d, int64_t codes, const real *rows, const int32_t *code, real *table)
{
    memset(table, 0, (size_t)(codes * d) * sizeof *table);
#pragma omp parallel for schedule(static) if (n * d > 32768)
    for (int64_t from = 0; from < d; from += SLICE) {
        const int64_t width = least(SLICE, d - from);
        for (int64_t i = 0; i < n; i++) {
            real *restrict t = table + code[i] * d + from;
            const real *restrict r = rows + i * d + from;
#pragma omp simd
            for (int64_t j = 0; j < width; j++) t[j] += r[j];
        }
    }
}

/* count[j] = how many of code[] are j; exact up to 2^24 in float */
void K(count)(int64_t n, int64_t codes, const int32_t *code, real *count)
{
    memset(count, 0, (size_t)codes * sizeof *count);
    for (int64_t i = 0; i < n; i++) count[code[i]] += 1;
}
