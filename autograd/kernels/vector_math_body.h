/* The functions of vector_math.h, included there once for vectors and once for single numbers. V is the number type, I the
 * integer of its size; a comparison of V makes a mask that CHOOSE takes. */

K_INLINE V F(magnitude)(V x) { return FROM_BITS(BITS(x) & ~K_SIGN); }
/* |x| with the sign of s */
K_INLINE V F(with_sign)(V x, V s) { return FROM_BITS((BITS(x) & ~K_SIGN) | (BITS(s) & K_SIGN)); }

#ifdef AG_DOUBLE

#ifdef K_ONE
#define LIBM(name, expression)                                                                                         \
    K_INLINE V F(name)(V x) { return expression; }
#else
#define LIBM(name, expression)                                                                                         \
    K_INLINE V F(name)(V v)                                                                                            \
    {                                                                                                                  \
        for (int j_ = 0; j_ < VL; j_++) {                                                                              \
            const real x = v[j_];                                                                                      \
            v[j_] = expression;                                                                                        \
        }                                                                                                              \
        return v;                                                                                                      \
    }
#endif

LIBM(exp, exp(x))
LIBM(log, log(x))
LIBM(log1p, log1p(x))
LIBM(tanh, tanh(x))
LIBM(erf, erf(x))
LIBM(round, rint(x))
LIBM(sigmoid, x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)))
LIBM(softplus, (x > 0 ? x : 0) + log1p(exp(-fabs(x))))
LIBM(normal_below, 0.5 * erfc(-0.70710678118654752440 * x))
LIBM(normal_density, 0.39894228040143267794 * exp(-0.5 * x * x))
LIBM(sin_octant, sin(x))
LIBM(cos_octant, cos(x))
#undef LIBM

/* Phi(x) and phi(x) of the standard normal distribution. */
K_INLINE V F(normal_parts)(V x, V *density)
{
    *density = F(normal_density)(x);
    return F(normal_below)(x);
}

#else

/* p 2^n for whole n = t - shifter, |n| <= 150, 1/2 < p < 2: in two factors, so that neither leaves the range; rounds once. */
K_INLINE V F(scale)(V p, V t)
{
    const I i = BITS(t) - 0x4b400000, half = i >> 1;
    return p * FROM_BITS((half + 127) << 23) * FROM_BITS((i - half + 127) << 23);
}

/* e^(x + small), |small| much less than 1; right also where the result is subnormal. x = n ln 2 + r, |r| <= ln 2 / 2. NaN gives
 * infinity. */
K_INLINE V F(exp_sum)(V x, V small)
{
    x = CHOOSE(x < SET(89), x, SET(89));
    x = CHOOSE(x > SET(-104), x, SET(-104));
    const V shifter = SET(0x1.8p23f), t = x * 1.44269504f + shifter, n = t - shifter;
    const V r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f + small;
    V p = r * 0.0013814598f + 0.008368717f;
    p = p * r + 0.04166839f;
    p = p * r + 0.16666521f;
    p = p * r + 0.49999994f;
    p = p * (r * r) + r + 1.0f;
#if defined(__AVX512F__) && !defined(K_ONE)
    return (V)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return F(scale)(p, t);
#endif
}

K_INLINE V F(exp)(V x) { return CHOOSE(x == x, F(exp_sum)(x, SET(0)), x); }

/* x = 2^e m with 2/3 <= m < 4/3; ln x = e ln 2 + ln(1 + f), f = m - 1. */
K_INLINE V F(log)(V x)
{
    const V scaled = CHOOSE(x < SET(0x1p-126f), x * 0x1p23f, x);
    const I bits = BITS(scaled) & 0x7fffffff, e = (bits - 0x3f2aaaab) >> 23; /* no sign, or the difference may overflow */
    const V f = FROM_BITS(bits - e * (1 << 23)) - 1.0f, ff = f * f;
#ifdef K_ONE
    const V n = (V)e
#else
    const V n = __builtin_convertvector(e, V)
#endif
                - CHOOSE(x < SET(0x1p-126f), SET(23), SET(0));
    V p = f * -0.1289164f + 0.13984454f;
    p = p * f + -0.1218427f;
    p = p * f + 0.14005865f;
    p = p * f + -0.16680487f;
    p = p * f + 0.20010406f;
    p = p * f + -0.24999797f;
    p = p * f + 0.33333215f;
    const V y = n * 0x1.62e4p-1f + (f + (ff * (f * p - 0.5f) + n * 0x1.7f7d1cp-20f));
    const V special = CHOOSE(x == SET(0), SET(-INFINITY), CHOOSE(x == SET(INFINITY), x, SET(NAN)));
    return CHOOSE((x > SET(0)) & (x < SET(INFINITY)), y, special);
}

/* ln(1 + x): the rounding error of 1 + x is put back. */
K_INLINE V F(log1p)(V x)
{
    const V u = x + 1.0f, y = F(log)(u) + (x - (u - 1.0f)) / u;
    return CHOOSE((u > SET(0)) & (u < SET(INFINITY)), y, F(log)(u));
}

/* small: x + x^3 P(x^2); else 1 - 2 / (e^2|x| + 1) */
K_INLINE V F(tanh)(V x)
{
    const V z = x * x, large = 1.0f - 2.0f / (F(exp_sum)(F(magnitude)(x) * 2.0f, SET(0)) + 1.0f);
    V p = z * -0.005717045f + 0.020650588f;
    p = p * z + -0.053743497f;
    p = p * z + 0.13331491f;
    p = p * z + -0.33333284f;
    const V y = CHOOSE(z < SET(0.390625f), x + x * (z * p), F(with_sign)(large, x));
    return CHOOSE(x == x, y, x);
}

/* 1 / (1 + e^-x) from e^-|x|, which cannot overflow */
K_INLINE V F(sigmoid)(V x)
{
    const V e = F(exp_sum)(-F(magnitude)(x), SET(0));
    return CHOOSE(x == x, CHOOSE(x < SET(0), e, SET(1)) / (e + 1.0f), x);
}

/* ln(1 + e^x) = max(x, 0) + 2 atanh(s), s = e / (2 + e), e = e^-|x| */
K_INLINE V F(softplus)(V x)
{
    const V e = F(exp_sum)(-F(magnitude)(x), SET(0)), s = e / (e + 2.0f), z = s * s;
    V p = z * 0.24300933f + 0.21427658f;
    p = p * z + 0.28616884f;
    p = p * z + 0.39998877f;
    p = p * z + 0.66666675f;
    /* where e is subnormal s would lose digits: there the result is e */
    const V tail = CHOOSE(e < SET(0x1p-60f), e, 2.0f * s + s * (z * p));
    return CHOOSE(x == x, CHOOSE(x > SET(0), x, SET(0)) + tail, x);
}

/* e^(t^2) erfc(t) for t >= 0 = q P(1 - 6 q), q = 1 / (t + 3) */
K_INLINE V F(erfc_scaled)(V t)
{
    const V q = 1.0f / (t + 3.0f), s = 1.0f - 6.0f * q;
    V p = s * -0.00032472485f + -0.0004820052f;
    p = p * s + 0.0030805764f;
    p = p * s + -0.0012270389f;
    p = p * s + -0.02684006f;
    p = p * s + 0.11952917f;
    p = p * s + -0.31046596f;
    p = p * s + 0.5902283f;
    p = p * s + -0.8833945f;
    p = p * s + 1.0740069f;
    return p * q;
}

/* e^(-scale x^2), scale a power of two: the square in two parts, of which the first is exact */
K_INLINE V F(exp_minus_square)(V x, const real scale)
{
    const V high = FROM_BITS(BITS(x) & ~0xfff), low = (x - high) * (x + high);
    return F(exp_sum)(-scale * (high * high), -scale * low);
}

/* small: x P(x^2); else 1 - e^(-x^2) erfc_scaled(|x|) */
K_INLINE V F(erf)(V x)
{
    const V z = x * x, u = F(magnitude)(x), t = CHOOSE(u < SET(10), u, SET(10));
    V p = z * -0.0006315129f + 0.0050510946f;
    p = p * z + -0.026802547f;
    p = p * z + 0.112827174f;
    p = p * z + -0.37612572f;
    p = p * z + 1.1283791f;
    const V large = 1.0f - F(exp_minus_square)(t, 1) * F(erfc_scaled)(t);
    const V y = CHOOSE(u < SET(0.85f), x * p, F(with_sign)(large, x));
    return CHOOSE(x == x, y, x);
}

/* Phi(x) and phi(x) of the standard normal distribution, one exponential for both. */
K_INLINE V F(normal_parts)(V x, V *density)
{
    const V u = F(magnitude)(x), t = CHOOSE(u < SET(14.5f), u, SET(14.5f));
    const V w = F(exp_minus_square)(t, 0.5f), tail = 0.5f * w * F(erfc_scaled)(t * 0.70710678f);
    *density = CHOOSE(x == x, w * 0.39894228f, x);
    return CHOOSE(x == x, CHOOSE(x < SET(0), tail, 1.0f - tail), x);
}

/* To the nearest whole number, halves to the even one; the sign of zero is kept. */
K_INLINE V F(round)(V x)
{
    const V u = F(magnitude)(x), whole = (u + 0x1p23f) - 0x1p23f;
    return CHOOSE(u < SET(0x1p23f), F(with_sign)(whole, x), x);
}

/* sin and cos for |x| <= pi / 4 */
K_INLINE V F(sin_octant)(V x)
{
    const V z = x * x;
    return x + x * (z * ((z * -0.00019516656f + 0.008332173f) * z + -0.16666655f));
}

K_INLINE V F(cos_octant)(V x)
{
    const V z = x * x;
    return 1.0f + (z * -0.5f + z * z * ((z * 2.4437728e-05f + -0.0013887362f) * z + 0.041666646f));
}

#endif

/* s = 1 / (1 + e^-x), and its slope s (1 - s) without cancellation. */
K_INLINE V F(sigmoid_parts)(V x, V *slope)
{
    const V e = F(exp)(-F(magnitude)(x)), r = SET(1) / (e + SET(1));
    *slope = e * r * r;
    return CHOOSE(x < SET(0), e * r, r);
}
