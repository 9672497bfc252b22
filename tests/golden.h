/* Inputs and weights of the golden numbers, made by arithmetic so that no file is needed. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stdint.h>
#include <string.h>

#include "nn/nn.h"

/* u(i) in [-0.5,0.5): a hash of the flat index. */
static inline double golden_u(uint32_t i)
{
    uint32_t s = (i + 1) * 2654435761u;
    s ^= s >> 15;
    s *= 2246822519u;
    s ^= s >> 13;
    return s / 4294967296.0 - 0.5;
}

typedef struct golden_draws {
    uint32_t s;
} golden_draws;

static inline double golden_draw(golden_draws *d)
{
    d->s = d->s * 1664525u + 1013904223u;
    return d->s / 4294967296.0;
}

/* Synthetic image n, values in [0,1], channels last. */
static inline void golden_image(int64_t n, double pixels[32 * 32 * 3])
{
    golden_draws d = {.s = (uint32_t)(12345 + 7919 * n)};
    double c0[3], c1[3];
    for (int i = 0; i < 4; i++) golden_draw(&d);
    for (int i = 0; i < 3; i++) c0[i] = golden_draw(&d);
    for (int i = 0; i < 3; i++) c1[i] = golden_draw(&d);
    const double cx = 8 + 16 * golden_draw(&d), cy = 8 + 16 * golden_draw(&d), r = 4 + 8 * golden_draw(&d);
    const int kind = (int)(3 * golden_draw(&d));
    const double g = 2 * 3.14159265358979323846 * golden_draw(&d);
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            const double ramp = 0.25 * ((x - 15.5) * __builtin_cos(g) + (y - 15.5) * __builtin_sin(g)) / 16;
            const double dx = x - cx, dy = y - cy, q = dx * dx + dy * dy;
            const int inside = kind == 0   ? q <= r * r
                               : kind == 1 ? __builtin_fabs(dx) <= r && __builtin_fabs(dy) <= r
                                           : q >= 0.36 * r * r && q <= r * r;
            for (int c = 0; c < 3; c++) {
                const double v = inside ? c1[c] : c0[c] + ramp;
                pixels[(y * 32 + x) * 3 + c] = v < 0 ? 0 : v > 1 ? 1 : v;
            }
        }
}

/* Fills a parameter from the hash in the layout that other programs store: convolutions [out,in,kh,kw] (transposed
 * [in,out,kh,kw]) and linear layers [out,in] scaled by sqrt(3 / fan), weights of norms 1 + 0.2 u, other vectors 0.2 u, tables 2 u. */
static inline void golden_parameter(nn_param *p)
{
    real *w = p->data;
    if (p->layout == NN_CONV) {
        const int64_t kh = p->shape[0], kw = p->shape[1], a = p->shape[2], b = p->shape[3];
        const double scale = 2 * __builtin_sqrt(3.0 / (double)(a * kh * kw));
        for (int64_t i = 0; i < p->numel; i++) {
            const int64_t x = i % kw, y = i / kw % kh, in = i / (kw * kh) % a, out = i / (kw * kh * a);
            w[((y * kw + x) * a + in) * b + out] = (real)(scale * golden_u((uint32_t)i));
        }
        return;
    }
    if (p->layout == NN_LINEAR) {
        const int64_t in = p->shape[0], out = p->shape[1];
        const double scale = 2 * __builtin_sqrt(3.0 / (double)in);
        for (int64_t i = 0; i < p->numel; i++) w[i % in * out + i / in] = (real)(scale * golden_u((uint32_t)i));
        return;
    }
    const char *last = strrchr(p->name, '.');
    const double shift = p->rank == 1 && !strcmp(last ? last : p->name, ".weight") ? 1 : 0;
    for (int64_t i = 0; i < p->numel; i++) w[i] = (real)(shift + (p->rank == 1 ? 0.2 : 2) * golden_u((uint32_t)i));
}

#endif
