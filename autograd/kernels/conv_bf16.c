/* Convolutions with operands rounded to bf16 and sums in fp32, where that is faster than fp32 (`conv_bf16_fits`, measured):
 *
 *   1x1, step 1    pixels are rows: the products of gemm_bf16.c. The weight gradient sums over pixels, in groups that follow from the
 *                  shape and are added in order.
 *
 *   4x4, step 2    forward and input, by minimal filtering in stride2_bf16.c
 *
 * 3x3 of step 1 stays in fp32: F(4x4,3x3) does with a quarter of the multiplications what bf16 does at twice the rate, and with bf16
 * inside of it the results are wrong by 2 percent, nine times the error of rounding the operands. */
#include "bf16.h"
#include "conv_band.h"
#include "stride2.h"

#include <omp.h>

enum { GROUPS_MOST = 16, GROUP_PIXELS = 512, LEAST_CHANNELS = 16 };
static const int64_t partial_limit = (INT64_C(64) << 20) / (int64_t)sizeof(real);

static bool pixelwise(const k_conv *c)
{
    return c->kh == 1 && c->kw == 1 && c->stride == 1 && !c->top && !c->left && c->ho == c->h && c->wo == c->w &&
           conv_groups(c) == 1;
}

static int64_t pixels(const k_conv *c) { return c->n * c->h * c->w; }

bool K(conv_bf16_fits)(const k_conv *c, int product)
{
    if (K(stride2_fits)(c)) return product != K_WEIGHT;
    return pixelwise(c) && c->a >= LEAST_CHANNELS && c->b >= LEAST_CHANNELS && pixels(c) >= LEAST_CHANNELS;
}

/* ---- products --------------------------------------------------------------------------------------------------------- */

size_t K(conv_forward_bf16_scratch)(const k_conv *c) { return pixelwise(c) ? 0 : K(stride2_forward_bf16_scratch)(c); }

void K(conv_forward_bf16)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    const k_strided xs = {.data = x}, ws = {.data = w};
    if (pixelwise(c))
        K(gemm_batch_bf16)(false, false, 0, NULL, pixels(c), c->b, c->a, &xs, &ws, e, y);
    else
        K(stride2_forward_bf16)(c, x, w, e, y, scratch);
}

size_t K(conv_input_bf16_scratch)(const k_conv *c) { return pixelwise(c) ? 0 : K(stride2_input_bf16_scratch)(c); }

void K(conv_input_bf16)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    const k_strided ys = {.data = y}, ws = {.data = w};
    if (pixelwise(c))
        K(gemm_batch_bf16)(false, true, 0, NULL, pixels(c), c->a, c->b, &ys, &ws, e, x);
    else
        K(stride2_input_bf16)(c, y, w, e, x, scratch);
}

/* Groups of equally many pixels, and the rest: enough of them that there is work for many threads. */
static int64_t weight_groups(const k_conv *c)
{
    const int64_t units = k_blocks(c->a, 8 * K_ROWS) * k_blocks(c->b, 2 * K_PANEL);
    const int64_t groups = k_min(k_min(GROUPS_MOST, pixels(c) / GROUP_PIXELS), k_blocks(2 * GROUPS_MOST, units));
    return k_max(k_min(groups, partial_limit / (c->a * c->b)), 1);
}

size_t K(conv_weight_bf16_scratch)(const k_conv *c)
{
    return 64 + (size_t)((weight_groups(c) + 1) * c->a * c->b) * sizeof(real);
}

void K(conv_weight_bf16)(const k_conv *c, const real *x, const real *y, real *w, void *scratch)
{
    const int64_t groups = weight_groups(c), each = pixels(c) / groups, rest = pixels(c) % groups, size = c->a * c->b;
    real *sums = (real *)k_align_pointer(scratch);
    const k_strided xs = {.data = x, .stride = {each * c->a}}, ys = {.data = y, .stride = {each * c->b}};
    K(gemm_batch_bf16)(true, false, 1, &groups, c->a, c->b, each, &xs, &ys, NULL, sums);
    if (rest) {
        const k_strided xr = {.data = x + groups * each * c->a}, yr = {.data = y + groups * each * c->b};
        K(gemm_batch_bf16)(true, false, 0, NULL, c->a, c->b, rest, &xr, &yr, NULL, sums + groups * size);
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < size; i++) {
        real sum = 0;
        for (int64_t g = 0; g < groups + (rest > 0); g++) sum += sums[g * size + i];
        w[i] = sum;
    }
}
