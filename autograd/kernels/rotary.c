/* rotary: pairs of numbers turned by the angle of their slot. */
#include "vector.h"

void K(rotary)(int64_t n, int64_t l, int64_t heads, int64_t d, const real *x, const real *table, real direction,
               real *y)
{
#pragma omp parallel for schedule(static) if (n * l * heads * d > 32768)
    for (int64_t r = 0; r < n * l; r++) {
        const real *restrict t = table + r % l * d;
        for (int64_t h = 0; h < heads; h++) {
            const real *from = x + (r * heads + h) * d;
            real *to = y + (r * heads + h) * d;
#pragma omp simd
            for (int64_t i = 0; i < d / 2; i++) {
                const real a = from[2 * i], b = from[2 * i + 1], cosine = t[2 * i], sine = t[2 * i + 1] * direction;
                to[2 * i] = a * cosine - b * sine;
                to[2 * i + 1] = a * sine + b * cosine;
            }
        }
    }
}
