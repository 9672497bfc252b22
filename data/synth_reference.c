/* The reference set: one disc, box or ring over a ramp, drawn with the linear congruential generator of Numerical Recipes
 * (s <- 1664525 s + 1013904223), so that any language can make it. Hard edges, values stored as float32. */
#include <math.h>

#include "data/synth.h"

enum { SIDE = 32 };

static double draw(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return (double)*s * 0x1p-32;
}

int data_synth_reference(int64_t n, float *pixels)
{
    uint32_t s = (uint32_t)(12345 + 7919 * (uint64_t)n);
    double colour[2][3];
    for (int i = 0; i < 4; i++) draw(&s);
    for (int i = 0; i < 6; i++) colour[i / 3][i % 3] = draw(&s);
    const double cx = 8 + 16 * draw(&s), cy = 8 + 16 * draw(&s), r = 4 + 8 * draw(&s);
    const int kind = (int)(3 * draw(&s));
    const double g = 2 * 3.14159265358979323846 * draw(&s), along_x = cos(g), along_y = sin(g);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const double ramp = 0.25 * ((x - 15.5) * along_x + (y - 15.5) * along_y) / 16;
            const double dx = x - cx, dy = y - cy, d2 = dx * dx + dy * dy;
            const int inside =
                kind == 1 ? fabs(dx) <= r && fabs(dy) <= r : d2 <= r * r && (kind == 0 || d2 >= 0.36 * r * r);
            for (int c = 0; c < 3; c++) {
                const double v = inside ? colour[1][c] : colour[0][c] + ramp;
                *pixels++ = (float)(v < 0 ? 0 : v > 1 ? 1 : v);
            }
        }
    return kind;
}
