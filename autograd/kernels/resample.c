/* resample: a linear map along rows and another along columns of images [n,h,w,c], each given as a table (k_taps).
 *
 *   y[oy,ox] = sum over j, i of  rows.weight[oy][j] * columns.weight[ox][i] * x[rows.start[oy] + j, columns.start[ox] + i]
 *
 * One output row at a time: its source rows are added up into a line in the thread's scratch (not where there is one source
 * row of weight 1), then the line's pixels are added up to the result. x is read once or twice from memory, y written once.
 *
 * max_pool, pool_take, pool_put: the largest of every window, its place in the image, and what moves along these places. */
#include "vector.h"

#include <math.h>
#include <omp.h>

enum { TILE = 16384 };

enum { TOGETHER = 4 }; /* source rows that are added up in one pass */

K_INLINE void blend_some(const int count, int64_t n, const real *restrict from, const real *weight, bool add,
                         real *restrict to)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        real sum = add ? to[i] : 0;
#pragma GCC unroll 4
        for (int j = 0; j < count; j++) sum += weight[j] * from[j * n + i];
        to[i] = sum;
    }
}

/* to = sum of `count` rows of n numbers, `n` apart, each times its weight */
static void blend(int count, int64_t n, const real *from, const real *weight, real *to)
{
    if (count == 1 && weight[0] == 1) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    if (count == 0) memset(to, 0, (size_t)n * sizeof *to);
    for (int j = 0; j < count; j += TOGETHER, from += TOGETHER * n) {
        const int some = count - j < TOGETHER ? count - j : TOGETHER;
        if (some == 4)
            blend_some(4, n, from, weight + j, j > 0, to);
        else if (some == 3)
            blend_some(3, n, from, weight + j, j > 0, to);
        else if (some == 2)
            blend_some(2, n, from, weight + j, j > 0, to);
        else
            blend_some(1, n, from, weight + j, j > 0, to);
    }
}

/* One pixel of c channels from `count` neighbours: sums stay in registers, two vectors of channels at a time. */
K_INLINE void mix(int64_t c, const int count, const real *weight, const real *from, real *to)
{
    int64_t i = 0;
    for (; i + 2 * VL <= c; i += 2 * VL) {
        kv a = {0}, b = {0};
        for (int j = 0; j < count; j++) {
            a += weight[j] * k_load(from + j * c + i);
            b += weight[j] * k_load(from + j * c + i + VL);
        }
        k_store(to + i, a);
        k_store(to + i + VL, b);
    }
    for (; i < c; i++) {
        real sum = 0;
        for (int j = 0; j < count; j++) sum += weight[j] * from[j * c + i];
        to[i] = sum;
    }
}

static void columns(const k_taps *t, int64_t c, const real *line, real *y)
{
    for (int64_t ox = 0; ox < t->out; ox++) {
        const real *weight = t->weight + ox * t->width, *from = line + t->start[ox] * c;
        const int count = t->count[ox];
        if (count == 1 && weight[0] == 1)
            for (int64_t i = 0; i < c; i++) y[ox * c + i] = from[i];
        else if (count == 2)
            mix(c, 2, weight, from, y + ox * c);
        else if (count == 4)
            mix(c, 4, weight, from, y + ox * c);
        else
            mix(c, count, weight, from, y + ox * c);
    }
}

static void resample_row(const k_taps *v, const k_taps *h, int64_t oy, int64_t c, const real *x, real *line, real *y)
{
    const int64_t wide = h->in * c;
    const real *weight = v->weight + oy * v->width, *from = x + v->start[oy] * wide;
    const bool single = v->count[oy] == 1 && weight[0] == 1;
    if (!single || h->identity) blend(v->count[oy], wide, from, weight, h->identity ? y : line);
    if (!h->identity) columns(h, c, single ? from : line, y);
}

size_t K(resample_scratch)(const k_taps *v, const k_taps *h, int64_t c)
{
    (void)v;
    return 64 + (size_t)omp_get_max_threads() * k_align((size_t)(h->in * c) * sizeof(real));
}

void K(resample)(int64_t n, const k_taps *v, const k_taps *h, int64_t c, const real *x, real *y, void *scratch)
{
    const int threads = omp_get_max_threads();
    const size_t bytes = k_align((size_t)(h->in * c) * sizeof(real));
    char *lines = k_align_pointer(scratch);
#pragma omp parallel for schedule(static) num_threads(threads) if (n * v->out * h->out * c > TILE)
    for (int64_t t = 0; t < n * v->out; t++) {
        const int64_t image = t / v->out, oy = t % v->out;
        resample_row(v, h, oy, c, x + image * v->in * h->in * c, (real *)(lines + (size_t)omp_get_thread_num() * bytes),
                     y + t * h->out * c);
    }
}

/* ---- the largest of a window ---------------------------------------------------------------------------------------------- */

/* The first one wins a tie; NaN wins over all. */
K_INLINE void larger(int64_t c, const real *x, int32_t place, bool first, real *y, int32_t *at)
{
    if (first) {
        memcpy(y, x, (size_t)c * sizeof *y);
        if (at)
            for (int64_t i = 0; i < c; i++) at[i] = place;
    } else if (at)
        for (int64_t i = 0; i < c; i++) {
            const bool better = !(x[i] <= y[i]) && y[i] == y[i];
            y[i] = better ? x[i] : y[i];
            at[i] = better ? place : at[i];
        }
    else
        for (int64_t i = 0; i < c; i++) y[i] = !(x[i] <= y[i]) && y[i] == y[i] ? x[i] : y[i];
}

static void max_window(const k_conv *p, const real *image, int64_t oy, int64_t ox, real *y, int32_t *at)
{
    bool first = true;
    for (int ky = 0; ky < p->kh; ky++) {
        const int64_t iy = oy * p->stride + ky - p->top;
        if (iy < 0 || iy >= p->h) continue;
        for (int kx = 0; kx < p->kw; kx++) {
            const int64_t ix = ox * p->stride + kx - p->left;
            if (ix < 0 || ix >= p->w) continue;
            larger(p->a, image + (iy * p->w + ix) * p->a, (int32_t)(iy * p->w + ix), first, y, at);
            first = false;
        }
    }
}

void K(max_pool)(const k_conv *p, const real *x, real *y, int32_t *at)
{
#pragma omp parallel for schedule(static) if (p->n * p->ho * p->wo * p->a > TILE)
    for (int64_t t = 0; t < p->n * p->ho; t++)
        for (int64_t ox = 0; ox < p->wo; ox++) {
            const int64_t to = (t * p->wo + ox) * p->a;
            max_window(p, x + t / p->ho * p->h * p->w * p->a, t % p->ho, ox, y + to, at ? at + to : NULL);
        }
}

void K(pool_take)(int64_t n, int64_t in, int64_t out, int64_t c, const real *x, const int32_t *at, real *y)
{
#pragma omp parallel for schedule(static) if (n * out * c > TILE)
    for (int64_t t = 0; t < n * out; t++) {
        const real *image = x + t / out * in * c;
        for (int64_t i = 0; i < c; i++) y[t * c + i] = image[at[t * c + i] * c + i];
    }
}

void K(pool_put)(int64_t n, int64_t in, int64_t out, int64_t c, const real *y, const int32_t *at, real *x)
{
    const int64_t piece = k_min(c, 64), pieces = k_blocks(c, piece);
#pragma omp parallel for schedule(static) if (n * in * c > TILE)
    for (int64_t t = 0; t < n * pieces; t++) {
        const int64_t from = t % pieces * piece, to = k_min(from + piece, c);
        real *image = x + t / pieces * in * c;
        for (int64_t i = 0; i < in; i++) memset(image + i * c + from, 0, (size_t)(to - from) * sizeof *x);
        for (int64_t i = t / pieces * out; i < (t / pieces + 1) * out; i++)
            for (int64_t j = from; j < to; j++) image[at[i * c + j] * c + j] += y[i * c + j];
    }
}
