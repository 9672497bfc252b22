/* Element-wise kernels. Work is cut into tiles of about TILE elements; below that one thread does it. */
#include "kernel.h"

#include <math.h>

#ifdef AG_DOUBLE
#define M(function) function
#else
#define M(function) function##f
#endif

enum { TILE = 16384 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#define FOR_TILES(n)                                                                                                   \
    _Pragma("omp parallel for schedule(static) if (n > 2 * TILE)") for (int64_t t_ = 0; t_ < (n + TILE - 1) / TILE;    \
                                                                        t_++)
#define FOR_EACH(i, n) _Pragma("omp simd") for (int64_t i = t_ * TILE; i < least((t_ + 1) * TILE, n); i++)

/* y may be x, or any operand. */
#define UNARY(name, expression)                                                                                        \
    void K(name)(int64_t n, const real *xs, real *ys)                                                                  \
    {                                                                                                                  \
        FOR_TILES(n) FOR_EACH(i, n)                                                                                    \
        {                                                                                                              \
            const real x = xs[i];                                                                                      \
            ys[i] = expression;                                                                                        \
        }                                                                                                              \
    }
#define BINARY_FLAT(name, expression)                                                                                  \
    void K(name)(int64_t n, const real *as, const real *bs, real *ys)                                                  \
    {                                                                                                                  \
        FOR_TILES(n) FOR_EACH(i, n)                                                                                    \
        {                                                                                                              \
            const real a = as[i], b = bs[i];                                                                           \
            ys[i] = expression;                                                                                        \
        }                                                                                                              \
    }

UNARY(square, x *x)
UNARY(sqrt, M(sqrt)(x))
UNARY(abs, x < 0 ? -x : x)
UNARY(sign, (real)((x > 0) - (x < 0)))
UNARY(relu, x > 0 ? x : 0)
BINARY_FLAT(relu_mask, b > 0 ? a : 0)

void K(affine)(int64_t n, const real *x, real factor, real term, real *y)
{
    FOR_TILES(n) FOR_EACH(i, n) y[i] = x[i] * factor + term;
}

void K(clamp)(int64_t n, const real *x, real low, real high, real *y)
{
    FOR_TILES(n) FOR_EACH(i, n) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

void K(clamp_mask)(int64_t n, const real *dy, const real *x, real low, real high, real *dx)
{
    FOR_TILES(n) FOR_EACH(i, n) dx[i] = x[i] < low || x[i] > high ? 0 : dy[i];
}

void K(scaled_difference)(int64_t n, const real *a, const real *b, real factor, real *y)
{
    FOR_TILES(n) FOR_EACH(i, n) y[i] = factor * (a[i] - b[i]);
}

void K(fill)(int64_t n, real value, real *y) { FOR_TILES(n) FOR_EACH(i, n) y[i] = value; }

void K(from_u8)(int64_t n, const uint8_t *x, real scale, real shift, real *y)
{
    FOR_TILES(n) FOR_EACH(i, n) y[i] = (real)x[i] * scale + shift;
}

void K(to_u8)(int64_t n, const real *x, real scale, real shift, uint8_t *y)
{
    FOR_TILES(n) FOR_EACH(i, n)
    {
        const real v = x[i] * scale + shift + (real)0.5;
        y[i] = (uint8_t)(v >= 255 ? 255 : v > 0 ? v : 0);
    }
}

/* ---- broadcasting ---------------------------------------------------------------------------------------------- */

enum { AXES = 6, OPERANDS = 3 };

/* Neighbouring axes that every operand walks in one stride become one axis; axes of 1 go. */
static int collapse(int rank, const int64_t *shape, int operands, const k_strided *const *x, int64_t *out_shape,
                    int64_t out_stride[OPERANDS][AXES])
{
    int n = 0;
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] == 1) continue;
        bool merge = n > 0;
        for (int o = 0; o < operands; o++) merge = merge && out_stride[o][n - 1] == x[o]->stride[axis] * shape[axis];
        if (!merge) out_shape[n++] = 1;
        out_shape[n - 1] *= shape[axis];
        for (int o = 0; o < operands; o++) out_stride[o][n - 1] = x[o]->stride[axis];
    }
    if (!n) {
        out_shape[n++] = 1;
        for (int o = 0; o < operands; o++) out_stride[o][0] = 0;
    }
    return n;
}

/* Element offset of operand row `row`, counting rows over all axes but the last. */
static inline int64_t row_offset(int rank, const int64_t *shape, const int64_t *stride, int64_t row)
{
    int64_t offset = 0;
    for (int axis = rank - 2; axis >= 0; axis--) {
        offset += row % shape[axis] * stride[axis];
        row /= shape[axis];
    }
    return offset;
}

#define ROW_LOOP(sa, sb, expression)                                                                                   \
    _Pragma("omp simd") for (int64_t i = from; i < to; i++)                                                            \
    {                                                                                                                  \
        const real a = pa[i * (sa)], b = pb[i * (sb)];                                                                 \
        py[i] = expression;                                                                                            \
    }
#define BINARY(name, expression)                                                                                       \
    static inline void name##_row(int64_t from, int64_t to, const real *pa, int64_t sa, const real *pb, int64_t sb,    \
                                  real *py)                                                                            \
    {                                                                                                                  \
        if (sa == 1 && sb == 1)                                                                                        \
            ROW_LOOP(1, 1, expression)                                                                                 \
        else if (sa == 1 && sb == 0)                                                                                   \
            ROW_LOOP(1, 0, expression)                                                                                 \
        else if (sa == 0 && sb == 1)                                                                                   \
            ROW_LOOP(0, 1, expression)                                                                                 \
        else                                                                                                           \
            ROW_LOOP(sa, sb, expression)                                                                               \
    }                                                                                                                  \
    void K(name)(int rank, const int64_t *shape, const k_strided *a, const k_strided *b, real *y)                      \
    {                                                                                                                  \
        int64_t s[AXES], stride[OPERANDS][AXES];                                                                       \
        const int r = collapse(rank, shape, 2, (const k_strided *const[]){a, b}, s, stride);                           \
        const int64_t inner = s[r - 1];                                                                                \
        int64_t rows = 1;                                                                                              \
        for (int i = 0; i < r - 1; i++) rows *= s[i];                                                                  \
        const int64_t pieces = (inner + TILE - 1) / TILE, group = inner < TILE ? TILE / inner : 1;                     \
        const int64_t tiles = (rows + group - 1) / group * pieces;                                                     \
        _Pragma("omp parallel for schedule(static) if (rows * inner > 2 * TILE)") for (int64_t t = 0; t < tiles; t++)  \
        {                                                                                                              \
            const int64_t from = t % pieces * TILE, to = least(from + TILE, inner);                                    \
            for (int64_t row = t / pieces * group; row < least((t / pieces + 1) * group, rows); row++)                 \
                name##_row(from, to, a->data + row_offset(r, s, stride[0], row), stride[0][r - 1],                     \
                           b->data + row_offset(r, s, stride[1], row), stride[1][r - 1], y + row * inner);             \
        }                                                                                                              \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(maximum, a >= b || a != a ? a : b)
BINARY(minimum, a <= b || a != a ? a : b)
BINARY(less, (real)(a < b))

void K(select)(int rank, const int64_t *shape, const k_strided *mask, const k_strided *a, const k_strided *b, real *y)
{
    int64_t s[AXES], stride[OPERANDS][AXES];
    const int r = collapse(rank, shape, 3, (const k_strided *const[]){mask, a, b}, s, stride);
    const int64_t inner = s[r - 1], sm = stride[0][r - 1], sa = stride[1][r - 1], sb = stride[2][r - 1];
    int64_t rows = 1;
    for (int i = 0; i < r - 1; i++) rows *= s[i];
#pragma omp parallel for schedule(static) if (rows * inner > 2 * TILE)
    for (int64_t row = 0; row < rows; row++) {
        const real *pm = mask->data + row_offset(r, s, stride[0], row),
                   *pa = a->data + row_offset(r, s, stride[1], row), *pb = b->data + row_offset(r, s, stride[2], row);
        for (int64_t i = 0; i < inner; i++) y[row * inner + i] = pm[i * sm] != 0 ? pa[i * sa] : pb[i * sb];
    }
}

void K(broadcast)(int rank, const int64_t *shape, const k_strided *x, real *y)
{
    int64_t s[AXES], stride[OPERANDS][AXES];
    const int r = collapse(rank, shape, 1, (const k_strided *const[]){x}, s, stride);
    const int64_t inner = s[r - 1], sx = stride[0][r - 1];
    int64_t rows = 1;
    for (int i = 0; i < r - 1; i++) rows *= s[i];
#pragma omp parallel for schedule(static) if (rows * inner > 2 * TILE)
    for (int64_t row = 0; row < rows; row++) {
        const real *p = x->data + row_offset(r, s, stride[0], row);
        for (int64_t i = 0; i < inner; i++) y[row * inner + i] = p[i * sx];
    }
}
