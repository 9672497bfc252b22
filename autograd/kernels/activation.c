/* Activations and elementary functions: one pass, a vector at a time. The work is cut into tiles of K_MAP_TILE numbers. */
#include "vector_math.h"

#define UNARY(name, expression)                                                                                        \
    void K(name)(int64_t n, const real *xs, real *ys) { K_MAP(n, xs, ys, expression) }
#define BINARY_FLAT(name, expression)                                                                                  \
    void K(name)(int64_t n, const real *as, const real *bs, real *ys) { K_MAP2(n, as, bs, ys, expression) }

#define SPLAT(c) ((kv){0} + (real)(c))

UNARY(exp, k_exp(x))
UNARY(log, k_log(x))
UNARY(log1p, k_log1p(x))
UNARY(tanh, k_tanh(x))
UNARY(erf, k_erf(x))
UNARY(sigmoid, k_sigmoid(x))
UNARY(softplus, k_softplus(x))
UNARY(round, k_round(x))
UNARY(binarize, k_choose(x > SPLAT(0), SPLAT(1), SPLAT(-1)))
/* from the result y: dy y (1 - y), dy (1 - y^2) */
BINARY_FLAT(sigmoid_grad, a *(b - b * b))
BINARY_FLAT(tanh_grad, a - a * (b * b))

/* ---- GELU ------------------------------------------------------------------------------------------------------------- */

UNARY(gelu, k_gelu(x))
BINARY_FLAT(gelu_grad, a *k_gelu_slope(b))

/* ---- x s(b x + c x^3) ------------------------------------------------------------------------------------------------- */

K_INLINE kv swish(kv x, real linear, real cubic) { return x * k_sigmoid(x * (linear + cubic * (x * x))); }

/* The product with the slope is 0 long before x is 100; the bound keeps an infinite x out of it, and NaN in. */
K_INLINE kv swish_slope(kv x, real linear, real cubic)
{
    x = k_least(SPLAT(100), k_most(SPLAT(-100), x));
    kv slope;
    const kv z = x * x, s = k_sigmoid_parts(x * (linear + cubic * z), &slope);
    return s + x * slope * (linear + 3 * cubic * z);
}

void K(swish)(int64_t n, const real *xs, real linear, real cubic, real *ys)
{
    if (cubic == 0)
        K_MAP(n, xs, ys, swish(x, linear, 0))
    else
        K_MAP(n, xs, ys, swish(x, linear, cubic))
}

void K(swish_grad)(int64_t n, const real *dys, const real *xs, real linear, real cubic, real *dxs)
{
    if (cubic == 0)
        K_MAP2(n, dys, xs, dxs, a * swish_slope(b, linear, 0))
    else
        K_MAP2(n, dys, xs, dxs, a * swish_slope(b, linear, cubic))
}

/* ---- leaky ReLU ------------------------------------------------------------------------------------------------------- */

void K(leaky_relu)(int64_t n, const real *xs, real slope, real *ys)
{
    K_MAP(n, xs, ys, k_choose(x > SPLAT(0), x, x * slope))
}

void K(leaky_relu_mask)(int64_t n, const real *dys, const real *y, real slope,
                        real *dxs){K_MAP2(n, dys, y, dxs, k_choose(b > SPLAT(0), a, a *slope))}

/* ---- powers ----------------------------------------------------------------------------------------------------------- */

/* x^e by squaring; at most twelve products for e <= 64 */
K_INLINE kv whole_power(kv x, int e)
{
    kv y = SPLAT(1);
    for (int bits = e < 0 ? -e : e; bits; bits >>= 1, x *= x)
        if (bits & 1) y *= x;
    return e < 0 ? SPLAT(1) / y : y;
}

#ifdef AG_DOUBLE
K_INLINE kv any_power(kv x, real e)
{
    for (int j = 0; j < VL; j++) x[j] = pow(x[j], e);
    return x;
}
#else
K_INLINE kv any_power(kv x, real e) { return k_exp(k_log(x) * e); }
#endif

void K(pow)(int64_t n, const real *xs, real exponent, real *ys)
{
    const int whole = exponent > -65 && exponent < 65 ? (int)exponent : 0;
    if ((real)whole == exponent)
        K_MAP(n, xs, ys, whole_power(x, whole))
    else
        K_MAP(n, xs, ys, any_power(x, exponent))
}

/* ---- sine and cosine -------------------------------------------------------------------------------------------------- */

enum { BLOCK = 64 };

#ifdef AG_DOUBLE
static inline void sines(int64_t n, const real *x, int shift, real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = shift ? cos(x[i]) : sin(x[i]);
}
#else
#define FAR 1e6f

/* x = q pi/2 + r in double with pi/2 in two parts (exact to |x| <= FAR); sin(x + shift pi/2) from the octants of r. */
static inline void sines(int64_t n, const real *x, int shift, real *y)
{
    real in[BLOCK] = {0}, out[BLOCK];
    memcpy(in, x, (size_t)n * sizeof *x);
#pragma omp simd
    for (int j = 0; j < BLOCK; j++) {
        const real near = k_choose_one((in[j] > -FAR) & (in[j] < FAR), in[j], 0);
        const double t = (double)near * 0.63661977236758134308 + 0x1.8p52, q = t - 0x1.8p52;
        const real r = (real)(((double)near - q * 0x1.921fb544p0) - q * 0x1.0b4611a626331p-34);
        const int quadrant = (int)q + shift;
        const real v = k_choose_one(quadrant & 1, k_cos_octant_one(r), k_sin_octant_one(r));
        out[j] = k_choose_one(quadrant & 2, -v, v);
    }
    memcpy(y, out, (size_t)n * sizeof *y);
    for (int64_t j = 0; j < n; j++)
        if (!(in[j] > -FAR && in[j] < FAR)) y[j] = (real)(shift ? cos((double)in[j]) : sin((double)in[j]));
}
#endif

#define SINES(name, shift)                                                                                             \
    void K(name)(int64_t n, const real *x, real *y)                                                                    \
    {                                                                                                                  \
        _Pragma("omp parallel for schedule(static) if (n > K_MAP_TILE)") for (int64_t i = 0; i < n; i += BLOCK)        \
            sines(k_min(BLOCK, n - i), x + i, shift, y + i);                                                           \
    }
SINES(sin, 0)
SINES(cos, 1)
