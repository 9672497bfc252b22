/* Choosing from rows of scores: the largest, the largest few, or one by chance. Each row has one writer and its own order of
 * sums. -inf is probability 0; NaN is never chosen. */
#include "vector_math.h"
#include "philox.h"

enum { BLOCK = 64 };

#define EACH_ROW                                                                                                       \
    _Pragma("omp parallel for schedule(static) if (rows * width > 8192)") for (int64_t r = 0; r < rows; r++)

static inline real largest(int64_t n, const real *x)
{
    real m = -INFINITY;
#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static inline real smallest(int64_t n, const real *x)
{
    real m = INFINITY;
#pragma omp simd reduction(min : m)
    for (int64_t i = 0; i < n; i++) m = x[i] < m ? x[i] : m;
    return m;
}

/* The first place of a value, 0 if it is nowhere. */
static inline int32_t place(int64_t n, const real *x, real value)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] == value) return (int32_t)i;
    return 0;
}

void K(argmax)(int64_t rows, int64_t width, const real *x, int32_t *y)
{
    EACH_ROW y[r] = place(width, x + r * width, largest(width, x + r * width));
}

void K(argmin)(int64_t rows, int64_t width, const real *x, int32_t *y)
{
    EACH_ROW y[r] = place(width, x + r * width, smallest(width, x + r * width));
}

/* ---- filters ---------------------------------------------------------------------------------------------------------- */

/* e^(x - max) of up to BLOCK numbers, 0 where x is NaN; their sum by eight lanes. */
static inline double weights(int64_t n, const real *x, real max, real *w)
{
    double lane[8] = {0};
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const real e = k_exp_one(x[i] - max);
        w[i] = k_choose_one(x[i] == max, 1, k_choose_one(e == e, e, 0));
    }
    for (int64_t i = n; i < BLOCK; i++) w[i] = 0;
    for (int64_t i = 0; i < BLOCK; i += 8)
#pragma omp simd
        for (int64_t j = 0; j < 8; j++) lane[j] += (double)w[i + j];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* What values weigh: one each (top-k), or their probability times a constant (top-p). */
static double mass(int64_t n, const real *v, bool count, real max)
{
    real w[BLOCK];
    double sum = 0;
    if (count) return (double)n;
    for (int64_t i = 0; i < n; i += BLOCK) sum += weights(k_min(BLOCK, n - i), v + i, max, w);
    return sum;
}

/* Puts v[from..to) in the order: more than pivot, equal, less; the two borders are returned. */
static inline void split(real *v, int64_t from, int64_t to, real pivot, int64_t border[2])
{
    int64_t more = from, at = from, less = to;
    while (at < less) {
        const real value = v[at];
        if (value > pivot)
            v[at++] = v[more], v[more++] = value;
        else if (value < pivot)
            v[at] = v[--less], v[less] = value;
        else
            at++;
    }
    border[0] = more, border[1] = less;
}

static inline real middle(real a, real b, real c)
{
    const real low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* The smallest value v of the row for which the weight of all larger values is less than `target`: quick selection by weight.
 * Reorders the row, which has no NaN. */
static real last_kept(int64_t n, real *v, bool count, real max, double target)
{
    int64_t from = 0, to = n, border[2];
    double before = 0;
    while (to - from > 1) {
        const real pivot = middle(v[from], v[from + (to - from) / 2], v[to - 1]);
        split(v, from, to, pivot, border);
        const double more = mass(border[0] - from, v + from, count, max);
        const double equal = (double)(border[1] - border[0]) * mass(1, &pivot, count, max);
        if (border[0] > from && before + more >= target)
            to = border[0];
        else if (border[1] == to || before + more + equal >= target)
            return pivot;
        else
            before += more + equal, from = border[1];
    }
    return v[from];
}

static inline void keep_from(int64_t n, const real *x, real threshold, real *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] >= threshold ? x[i] : (real)-INFINITY;
}

/* The row of y is the memory that is reordered; y is not x. */
static void filter(int64_t n, const real *x, int64_t k_first, double p, real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = x[i] == x[i] ? x[i] : (real)-INFINITY;
    const real max = largest(n, y);
    const double target = k_first ? (double)k_first : p * mass(n, y, false, max);
    keep_from(n, x, last_kept(n, y, k_first > 0, max, target), y);
}

void K(top_k)(int64_t rows, int64_t width, int64_t count, const real *x, real *y)
{
    EACH_ROW filter(width, x + r * width, count, 0, y + r * width);
}

void K(top_p)(int64_t rows, int64_t width, double p, const real *x, real *y)
{
    EACH_ROW filter(width, x + r * width, 0, p, y + r * width);
}

void K(min_p)(int64_t rows, int64_t width, double log_p, const real *x, real *y)
{
    EACH_ROW
    {
        const real max = largest(width, x + r * width);
        keep_from(width, x + r * width, (real)((double)max + log_p), y + r * width);
    }
}

/* ---- draws ------------------------------------------------------------------------------------------------------------ */

/* Inverse of the cumulative distribution at u in [0,1): the first place where the sum passes u times the total. If rounding
 * leaves the sum short, the last place that is not -inf. */
static int32_t draw(int64_t n, const real *x, double u)
{
    const real max = largest(n, x);
    real w[BLOCK];
    double sum = 0;
    const double total = mass(n, x, false, max);
    for (int64_t at = 0; at < n; at += BLOCK) {
        const double block = weights(k_min(BLOCK, n - at), x + at, max, w);
        double inside = 0;
        for (int64_t i = 0; sum + block > u * total && i < k_min(BLOCK, n - at); i++) {
            inside += (double)w[i];
            if (sum + inside > u * total) return (int32_t)(at + i);
        }
        sum += block;
    }
    int64_t last = n - 1;
    while (last > 0 && !(x[last] > -INFINITY)) last--;
    return (int32_t)last;
}

void K(categorical)(int64_t rows, int64_t width, uint64_t seed, uint64_t stream, const real *x, int32_t *y)
{
    EACH_ROW
    {
        uint32_t word[PHILOX_GROUP];
        philox_group(seed, stream, (uint64_t)(r / PHILOX_LANES), word);
        const uint64_t bits = (uint64_t)word[r % 16] << 32 | word[16 + r % 16];
        y[r] = draw(width, x + r * width, (double)(bits >> 11) * 0x1p-53);
    }
}

void K(one_hot)(int64_t n, int64_t width, const int32_t *code, real *y)
{
    const int64_t rows = n;
    EACH_ROW for (int64_t i = 0; i < width; i++) y[r * width + i] = i == code[r] ? 1 : 0;
}
