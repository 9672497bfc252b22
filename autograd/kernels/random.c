/* Random tensors: element i is a function of (seed, stream, i) alone (philox.h), the same words in float and double. */
#include "vector_math.h"
#include "philox.h"

#include <string.h>

#ifdef AG_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

enum { LANES = PHILOX_LANES, GROUP = PHILOX_GROUP, TILE = 64 * GROUP };

/* A uniform number in (0,1) of 31 bits; in float those next to 1 are 1. */
static inline real open_unit(uint32_t word) { return (real)(int32_t)(word >> 1) * (real)0x1p-31 + (real)0x1p-32; }

/* Groups of 64 numbers by `make`, the last one cut. */
#define GROUPS(n, y, make)                                                                                             \
    _Pragma("omp parallel for schedule(static) if (n > TILE)") for (int64_t t_ = 0; t_ < (n + TILE - 1) / TILE;        \
                                                                    t_++) for (int64_t at_ = t_ * TILE;                \
                                                                               at_ < k_min((t_ + 1) * TILE, n);        \
                                                                               at_ += GROUP)                           \
    {                                                                                                                  \
        uint32_t word[GROUP];                                                                                          \
        real out[GROUP];                                                                                               \
        philox_group(seed, stream, (uint64_t)(at_ / GROUP), word);                                                     \
        make;                                                                                                          \
        memcpy((y) + at_, out, (size_t)k_min(GROUP, n - at_) * sizeof(real));                                          \
    }
#define EACH_WORD(expression) _Pragma("omp simd") for (int j = 0; j < GROUP; j++) out[j] = expression(word[j])

void K(uniform)(int64_t n, uint64_t seed, uint64_t stream, real low, real high, real *y)
{
    const real scale = (high - low) * (real)0x1p-24;
#define UNIFORM(w) low + scale *(real)(int32_t)((w) >> 8)
    GROUPS(n, y, EACH_WORD(UNIFORM))
}

/* Box, Muller 1958: two numbers from two words. The angle is a word's turn, cut into a quarter and the rest. */
static inline void normals(const uint32_t *u, const uint32_t *v, real mean, real std, real *a, real *b)
{
#pragma omp simd
    for (int j = 0; j < LANES; j++) {
        const real log_u = k_log_one(open_unit(u[j]));
        const real radius = std * SQRT(-2 * log_u);
        const uint32_t quarter = (v[j] + 0x20000000u) >> 30;
        const real angle = (real)(int32_t)(v[j] - (quarter << 30)) * (real)(6.28318530717958647692 * 0x1p-32);
        const real s = k_sin_octant_one(angle), c = k_cos_octant_one(angle);
        const real x = quarter & 1 ? s : c, y = quarter & 1 ? c : s;
        a[j] = mean + radius * ((quarter + 1) & 2 ? -x : x);
        b[j] = mean + radius * (quarter & 2 ? -y : y);
    }
}

void K(normal)(int64_t n, uint64_t seed, uint64_t stream, real mean, real std, real *y)
{
    GROUPS(n, y, {
        normals(word, word + LANES, mean, std, out, out + LANES);
        normals(word + 2 * LANES, word + 3 * LANES, mean, std, out + 2 * LANES, out + 3 * LANES);
    })
}

/* -ln(-ln U) with -ln U = -ln(1 - v): small v, which give the large results, keep all their digits. */
static inline real gumbel_of(uint32_t word)
{
    const real v = open_unit(word), most = (real)(1 - 0x1p-24);
    return -k_log_one(-k_log1p_one(-k_choose_one(v < most, v, most)));
}

void K(gumbel)(int64_t n, uint64_t seed, uint64_t stream, real *y) { GROUPS(n, y, EACH_WORD(gumbel_of)) }

/* A number is dropped with probability p = threshold / 2^32. */
void K(dropout)(int64_t n, uint64_t seed, uint64_t stream, uint32_t threshold, real scale, const real *x, real *y)
{
    GROUPS(n, y, {
        real in[GROUP] = {0};
        memcpy(in, x + at_, (size_t)k_min(GROUP, n - at_) * sizeof(real));
        _Pragma("omp simd") for (int j = 0; j < GROUP; j++) out[j] =
            k_choose_one(word[j] >= threshold, in[j] * scale, 0);
    })
}

void K(drop_rows)(int64_t rows, int64_t width, uint64_t seed, uint64_t stream, uint32_t threshold, real scale,
                  const real *x, real *y)
{
    const int64_t tile = 16384, pieces = k_blocks(width, tile);
#pragma omp parallel for schedule(static) if (rows * width > 32768)
    for (int64_t t = 0; t < rows * pieces; t++) {
        const int64_t row = t / pieces, from = t % pieces * tile, to = k_min(from + tile, width);
        uint32_t word[GROUP];
        philox_group(seed, stream, (uint64_t)(row / GROUP), word);
        const bool keep = word[row % GROUP] >= threshold;
#pragma omp simd
        for (int64_t i = row * width + from; i < row * width + to; i++) y[i] = keep ? x[i] * scale : 0;
    }
}
