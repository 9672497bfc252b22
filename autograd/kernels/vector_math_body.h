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
LIBM(exp_below, exp(x))
LIBM(gelu, x *(0.5 * erfc(-0.70710678118654752440 * x)))
LIBM(gelu_slope,
     0.5 * erfc(-0.70710678118654752440 * x) + fmax(fmin(x, 100), -100) * 0.39894228040143267794 * exp(-0.5 * x * x))
LIBM(sin_octant, sin(x))
LIBM(cos_octant, cos(x))
#undef LIBM

#else

/* p 2^n for whole n = t - shifter, |n| <= 150, 1/2 < p < 2: in two factors, so that neither leaves the range; rounds once. */
K_INLINE V F(scale)(V p, V t)
{
    const I i = BITS(t) - 0x4b400000, half = i >> 1;
#ifdef K_ONE
    return p * FROM_BITS(((half + 127) & 255) << 23) *
           FROM_BITS(((i - half + 127) & 255) << 23); /* of a NaN: any number */
#else
    return p * FROM_BITS((half + 127) << 23) * FROM_BITS((i - half + 127) << 23);
#endif
}

/* e^r 2^n for whole n = t - shifter, |r| <= ln 2 / 2. */
K_INLINE V F(exp_of_parts)(V r, V t, V n)
{
    V p = r * 0.0013814598f + 0.008368717f;
    p = p * r + 0.04166839f;
    p = p * r + 0.16666521f;
    p = p * r + 0.49999994f;
#if defined(__FMA__) || defined(__aarch64__)
    p = (p * r + 1.0f) * r + 1.0f;
#else
    p = p * (r * r) + r + 1.0f; /* a product that is rounded must be small beside what it is added to */
#endif
#if defined(__AVX512F__) && !defined(K_ONE)
    (void)t;
    return (V)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    (void)n;
    return F(scale)(p, t);
#endif
}

#define SHIFTER 0x1.8p23f

/* e^(x + small), |small| much less than 1, -120 < x < 100; right also where the result is subnormal. x = n ln 2 + r. NaN gives NaN. */
K_INLINE V F(exp_sum)(V x, V small)
{
    const V t = x * 1.44269504f + SHIFTER, n = t - SHIFTER;
    return F(exp_of_parts)((x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f + small, t, n);
}

/* e^x for x < 100 and NaN. */
K_INLINE V F(exp_below)(V x)
{
    x = F(most)(SET(-104), x);
    const V t = x * 1.44269504f + SHIFTER, n = t - SHIFTER;
    return F(exp_of_parts)((x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f, t, n);
}

K_INLINE V F(exp)(V x) { return F(exp_below)(F(least)(SET(89), x)); }

/* x = 2^e m with 2/3 <= m < 4/3; ln x = e ln 2 + ln(1 + f), f = m - 1. */
K_INLINE V F(log)(V x)
{
    const V scaled = CHOOSE(x < SET(0x1p-126f), x * 0x1p23f, x);
    const I bits = BITS(scaled) & 0x7fffffff,
            e = (bits - 0x3f2aaaab) >> 23; /* no sign, or the difference may overflow */
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
    const V z = x * x, u = F(least)(SET(10), F(magnitude)(x));
    const V large = 1.0f - 2.0f * F(reciprocal)(F(exp_below)(u * 2.0f) + 1.0f);
    V p = z * -0.005717045f + 0.020650588f;
    p = p * z + -0.053743497f;
    p = p * z + 0.13331491f;
    p = p * z + -0.33333284f;
    return CHOOSE(z < SET(0.390625f), x + x * (z * p), F(with_sign)(large, x));
}

/* 1 / (1 + e^-x) from e^-|x|, which cannot overflow */
K_INLINE V F(sigmoid)(V x)
{
    const V e = F(exp_below)(-F(magnitude)(x));
    return F(by_sign)(x, e, SET(1)) * F(reciprocal)(e + 1.0f);
}

/* ln(1 + e^x) = max(x, 0) + 2 atanh(s), s = e / (2 + e), e = e^-|x| */
K_INLINE V F(softplus)(V x)
{
    const V e = F(exp_below)(-F(magnitude)(x)), s = e / (e + 2.0f), z = s * s;
    V p = z * 0.24300933f + 0.21427658f;
    p = p * z + 0.28616884f;
    p = p * z + 0.39998877f;
    p = p * z + 0.66666675f;
    /* where e is subnormal s would lose digits: there the result is e */
    const V tail = CHOOSE(e < SET(0x1p-60f), e, 2.0f * s + s * (z * p));
    return F(most)(x, SET(0)) + tail;
}

/* e^(t^2) erfc(t) for t >= 0 = q P(1 - 6 q), q = 1 / (t + 3) */
K_INLINE V F(erfc_scaled)(V t)
{
    const V q = F(reciprocal)(t + 3.0f), s = 1.0f - 6.0f * q;
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

/* e^(-scale x^2), scale a power of two, scale x^2 < 120: the square in two parts, the second what rounding took from the first */
K_INLINE V F(exp_minus_square)(V x, const real scale)
{
#if defined(__AVX512F__) && !defined(K_ONE)
    const V high = x * x, low = (V)_mm512_fmsub_ps((__m512)x, (__m512)x, (__m512)high);
#elif defined(__FMA__) && !defined(K_ONE)
    const V high = x * x, low = (V)_mm256_fmsub_ps((__m256)x, (__m256)x, (__m256)high);
#else
    const V part = FROM_BITS(BITS(x) & ~0xfff), high = part * part, low = (x - part) * (x + part);
#endif
    return F(exp_sum)(-scale * high, -scale * low);
}

/* small: x P(x^2); else 1 - e^(-x^2) erfc_scaled(|x|) */
K_INLINE V F(erf)(V x)
{
    const V z = x * x, u = F(magnitude)(x), t = F(least)(SET(10), u);
    V p = z * -0.0006315129f + 0.0050510946f;
    p = p * z + -0.026802547f;
    p = p * z + 0.112827174f;
    p = p * z + -0.37612572f;
    p = p * z + 1.1283791f;
    const V large = 1.0f - F(exp_minus_square)(t, 1) * F(erfc_scaled)(t);
    return CHOOSE(u < SET(0.85f), x * p, F(with_sign)(large, x));
}

/* Phi(-t) = bell * ratio, bell = sqrt(2 pi) phi(t) of the standard normal distribution, for 0 <= t <= 14.5: one exponential for both. */
K_INLINE V F(normal_ratio)(V t, V *bell)
{
    *bell = F(exp_minus_square)(t, 0.5f);
    return 0.5f * F(erfc_scaled)(t * 0.70710678f);
}

/* x Phi(x) = max(x, 0) - |x| Phi(-|x|); the subnormal factor last, where it is not made larger any more */
K_INLINE V F(gelu)(V x)
{
    V bell;
    const V t = F(least)(SET(14.5f), F(magnitude)(x)), ratio = F(normal_ratio)(t, &bell);
    return F(most)(x, SET(0)) - bell * (t * ratio);
}

/* Phi(x) + x phi(x) */
K_INLINE V F(gelu_slope)(V x)
{
    V bell;
    const V t = F(least)(SET(14.5f), F(magnitude)(x)), ratio = F(normal_ratio)(t, &bell), tail = bell * ratio;
    return F(by_sign)(x, tail, 1.0f - tail) + F(with_sign)(t, x) * 0.39894228f * bell;
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
    const V e = F(exp_below)(-F(magnitude)(x)), r = F(reciprocal)(e + SET(1));
    *slope = e * r * r;
    return F(by_sign)(x, e, SET(1)) * r;
}
