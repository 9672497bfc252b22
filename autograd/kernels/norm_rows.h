/* Normalisation of single rows; included by norm.c. */
#ifndef KERNELS_NORM_ROWS_H
#define KERNELS_NORM_ROWS_H

#include "row_math.h"

/* Tiles of rows: at most 64 of at least 32, by the shape alone. */
static int64_t tile_rows(int64_t rows) { return k_max(k_blocks(rows, 64), 32); }

/* mean (0 unless it is subtracted), and what the row is multiplied with. */
static inline void row_statistics(const k_norm *o, const real *restrict x, real *mean, real *rate, real *variance)
{
    const int64_t c = o->c;
    const real m = o->kind == K_NORM_MEAN ? k_row_sum(x, c) / (real)c : 0;
    kv sum = {0};
    int64_t i = 0;
    if (c >= 4 * VL) {
        kv part[4] = {0};
        for (; i + 4 * VL <= c; i += 4 * VL)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                const kv d = k_load(x + i + j * VL) - m;
                part[j] += d * d;
            }
        sum = (part[0] + part[1]) + (part[2] + part[3]);
    }
    for (; i + VL <= c; i += VL) {
        const kv d = k_load(x + i) - m;
        sum += d * d;
    }
    real square = k_add_lanes(sum);
    for (; i < c; i++) square += (x[i] - m) * (x[i] - m);
    *mean = m;
    *variance = square / (real)c;
    if (o->kind == K_NORM_L2)
        *rate = (real)(1 / fmax(sqrt((double)square), o->epsilon));
    else
        *rate = (real)(1 / sqrt((double)*variance + o->epsilon));
}

static inline void row_apply(int64_t c, const real *restrict x, real mean, real rate, const real *restrict w,
                             const real *restrict b, real *restrict y)
{
    if (w && b) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[i] = (x[i] - mean) * rate * w[i] + b[i];
    } else if (w) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[i] = (x[i] - mean) * rate * w[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[i] = (x[i] - mean) * rate;
    }
    if (b && !w) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[i] += b[i];
    }
}

static void rows_forward(const k_norm *o, const real *x, const real *w, const real *b, real *y, real *mean, real *rate,
                         real *variance)
{
    const int64_t tile = tile_rows(o->n);
#pragma omp parallel for schedule(static) if (o->n * o->c > 32768)
    for (int64_t t = 0; t < k_blocks(o->n, tile); t++)
        for (int64_t r = t * tile; r < k_min((t + 1) * tile, o->n); r++) {
            real m, v, q;
            row_statistics(o, x + r * o->c, &m, &q, &v);
            row_apply(o->c, x + r * o->c, m, q, w, b, y + r * o->c);
            if (mean) mean[r] = m;
            if (rate) rate[r] = q;
            if (variance) variance[r] = v;
        }
}

/* Sums of g = dy w (w NULL: 1) and of g h, h = (x - mean) rate. */
K_INLINE void row_sums(int64_t c, const real *x, const real *dy, real mean, real rate, const real *w, real *g1,
                       real *g2)
{
    kv a[2] = {0}, b[2] = {0};
    int64_t i = 0;
    for (; i + 2 * VL <= c; i += 2 * VL)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const int64_t at = i + j * VL;
            const kv g = w ? k_load(dy + at) * k_load(w + at) : k_load(dy + at);
            a[j] += g;
            b[j] += g * (k_load(x + at) - mean);
        }
    *g1 = k_add_lanes(a[0] + a[1]);
    *g2 = k_add_lanes(b[0] + b[1]);
    for (; i < c; i++) {
        const real g = w ? dy[i] * w[i] : dy[i];
        *g1 += g;
        *g2 += g * (x[i] - mean);
    }
    *g2 *= rate;
}

/* With the means of the sums:  dx = rate (g - g1 - h g2), without g1 where no mean was subtracted; for L2 a sum in place of the second
 * mean, and nothing where the row is shorter than epsilon. dw += dy h, db += dy where they are wanted. */
static inline void row_gradient(const k_norm *o, const real *restrict x, const real *restrict dy, real mean, real rate,
                                const real *restrict w, real *restrict dx, real *restrict dw, real *restrict db)
{
    const int64_t c = o->c;
    real g1, g2;
    if (w)
        row_sums(c, x, dy, mean, rate, w, &g1, &g2);
    else
        row_sums(c, x, dy, mean, rate, NULL, &g1, &g2);
    if (o->kind == K_NORM_L2)
        g2 = (double)rate * o->epsilon >= 1 - 1e-6 ? 0 : g2;
    else
        g2 /= (real)c;
    g1 = o->kind == K_NORM_MEAN ? g1 / (real)c : 0;
    if (w && dw && db) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) {
            const real h = (x[i] - mean) * rate;
            dx[i] = rate * (dy[i] * w[i] - g1 - h * g2);
            dw[i] += dy[i] * h;
            db[i] += dy[i];
        }
        return;
    }
    if (w) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) dx[i] = rate * (dy[i] * w[i] - g1 - (x[i] - mean) * rate * g2);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) dx[i] = rate * (dy[i] - g1 - (x[i] - mean) * rate * g2);
    }
    if (dw) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) dw[i] += dy[i] * ((x[i] - mean) * rate);
    }
    if (db) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) db[i] += dy[i];
    }
}

static void rows_gradient(const k_norm *o, const real *x, const real *dy, const real *mean, const real *rate,
                          const real *w, real *dx, real *dw, real *db, real *parts)
{
    const int64_t tile = tile_rows(o->n), count = k_blocks(o->n, tile), c = o->c;
#pragma omp parallel for schedule(static) if (o->n * c > 32768)
    for (int64_t t = 0; t < count; t++) {
        real *own = parts + 2 * t * c;
        memset(own, 0, 2 * (size_t)c * sizeof *own);
        for (int64_t r = t * tile; r < k_min((t + 1) * tile, o->n); r++)
            row_gradient(o, x + r * c, dy + r * c, mean[r], rate[r], w, dx + r * c, dw ? own : NULL,
                         db ? own + c : NULL);
    }
    for (int64_t i = 0; i < c; i++) {
        double sw = 0, sb = 0;
        for (int64_t t = 0; t < count; t++)
            sw += (double)parts[2 * t * c + i], sb += (double)parts[(2 * t + 1) * c + i];
        if (dw) dw[i] = (real)sw;
        if (db) db[i] = (real)sb;
    }
}

#endif
