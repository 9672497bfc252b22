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
    int64_t from = 0;
    for (int found = 0; from + BLOCK <= n; from += BLOCK) {
#pragma omp simd reduction(| : found)
        for (int64_t i = from; i < from + BLOCK; i++) found |= x[i] == value;
        if (found) break;
    }
    for (int64_t i = from; i < n; i++)
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
    const kv one = (kv){0} + 1, zero = {0};
    double lane[8] = {0};
    for (int64_t i = 0; i < BLOCK; i += VL) {
        kv e = zero;
        if (i < n) {
            const kv v = i + VL <= n ? k_load(x + i) : k_load_some(x + i, n - i);
            e = k_exp(v - max);
            e = k_choose(v == max, one, k_choose(e == e, e, zero));
        }
        k_store(w + i, e);
    }
    for (int64_t i = n; i < BLOCK; i++) w[i] = 0;
    for (int64_t i = 0; i < BLOCK; i += 8)
#pragma omp simd
        for (int64_t j = 0; j < 8; j++) lane[j] += (double)w[i + j];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* The sum of the weights of a row. */
static double mass(int64_t n, const real *x, real max)
{
    real w[BLOCK];
    double sum = 0;
    for (int64_t i = 0; i < n; i += BLOCK) sum += weights(k_min(BLOCK, n - i), x + i, max, w);
    return sum;
}

/* Whole numbers in the order of the reals, and back: negative ones count down in their bits. */
static inline k_lane order_of(real x)
{
    const k_lane bits = k_bits_one(x);
    return bits < 0 ? ~bits ^ K_SIGN : bits;
}

static inline real real_of(k_lane order) { return k_from_bits_one(order < 0 ? ~(order ^ K_SIGN) : order); }

enum { PART = 256 };

/* How many of a row are not below v, or what they weigh together (w not NULL): single parts in `real`, their sum in double. What is
 * not counted adds zeros, so a larger v never gives more. */
K_INLINE double share_of(const bool weighed, int64_t n, const real *x, const real *w, real v)
{
    const kv one = (kv){0} + 1;
    double total = 0;
    int64_t i = 0;
    while (i + VL <= n) {
        const int64_t end = k_min(i + PART, n);
        kv sum[2] = {0};
        for (; i + 2 * VL <= end; i += 2 * VL)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                const int64_t at = i + j * VL;
                sum[j] += (kv)((k_load(x + at) >= v) & (ki)(weighed ? k_load(w + at) : one));
            }
        for (; i + VL <= end; i += VL) sum[0] += (kv)((k_load(x + i) >= v) & (ki)(weighed ? k_load(w + i) : one));
        total += (double)k_add_lanes(sum[0] + sum[1]);
    }
    for (; i < n; i++) total += x[i] >= v ? weighed ? (double)w[i] : 1 : 0;
    return total;
}

static double share_from(int64_t n, const real *x, const real *w, real v)
{
    return w ? share_of(true, n, x, w, v) : share_of(false, n, x, NULL, v);
}

/* The largest value v for which the share of those not below it is at least `target`, -inf if there is none: bisection over the numbers
 * between. */
static real last_kept(int64_t n, const real *x, const real *w, real max, double target)
{
    k_lane low = order_of(-(real)INFINITY), high = order_of(max);
    while (low < high) {
        const k_lane half = (low & high) + ((low ^ high) >> 1), middle = half + ((low ^ high) & 1); /* rounded up */
        if (share_from(n, x, w, real_of(middle)) >= target)
            low = middle;
        else
            high = middle - 1;
    }
    return real_of(low);
}

static inline void keep_from(int64_t n, const real *x, real threshold, real *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] >= threshold ? x[i] : (real)-INFINITY;
}

/* Weights of a row are in y's until its results are; y is not x. */
static void filter_mass(int64_t n, const real *x, double p, real *y)
{
    const real max = largest(n, x);
    real w[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK) {
        weights(k_min(BLOCK, n - i), x + i, max, w);
        memcpy(y + i, w, (size_t)k_min(BLOCK, n - i) * sizeof *y);
    }
    const double target = p * share_from(n, x, y, -(real)INFINITY);
    keep_from(n, x, last_kept(n, x, y, max, target), y);
}

void K(top_k)(int64_t rows, int64_t width, int64_t count, const real *x, real *y)
{
    EACH_ROW
    {
        const real *row = x + r * width;
        keep_from(width, row, last_kept(width, row, NULL, largest(width, row), (double)count), y + r * width);
    }
}

void K(top_p)(int64_t rows, int64_t width, double p, const real *x, real *y)
{
    EACH_ROW filter_mass(width, x + r * width, p, y + r * width);
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
    const double total = mass(n, x, max);
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
