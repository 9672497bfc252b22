/* SSIM and edges at several sizes; formulas and sources in nn/losses.h. */
#include <math.h>

#include "nn/losses.h"

enum { TAPS = 11, LEAST = 16, USUAL = 3 };

/* Local weighted means, where the whole window lies in the image. */
static ag_tensor *local(ag_tensor *x)
{
    double taps[TAPS], sum = 0;
    for (int i = 0; i < TAPS; i++) sum += taps[i] = exp(-(i - TAPS / 2) * (i - TAPS / 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < TAPS; i++) taps[i] /= sum;
    return ag_filter2d(x, TAPS, taps, 1, 0, 0);
}

/* Of images in [0,1]. */
static ag_tensor *ssim(ag_tensor *y, ag_tensor *x)
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    ag_tensor *my = local(y), *mx = local(x), *both = ag_mul(my, mx);
    ag_tensor *squares = ag_add(ag_square(my), ag_square(mx));
    ag_tensor *variances = ag_sub(local(ag_add(ag_square(y), ag_square(x))), squares);
    ag_tensor *covariance = ag_sub(local(ag_mul(y, x)), both);
    ag_tensor *top = ag_mul(ag_shift(ag_scale(both, 2), c1), ag_shift(ag_scale(covariance, 2), c2));
    return ag_mean(ag_div(top, ag_mul(ag_shift(squares, c1), ag_shift(variances, c2))));
}

/* mean |difference of neighbours along an axis| */
static ag_tensor *edges(ag_tensor *d, int axis)
{
    const int64_t n = ag_dim(d, axis) - 1;
    return ag_mean(ag_abs(ag_sub(ag_slice_axis(d, axis, 1, n), ag_slice_axis(d, axis, 0, n))));
}

static ag_tensor *to_unit(ag_tensor *x, double low, double high)
{
    return ag_scale(ag_shift(x, -low), 1 / (high - low));
}

ag_tensor *nn_structure(ag_tensor *y, ag_tensor *x, double low, double high, int scales)
{
    ag_tensor *sum = NULL;
    int n = 0;
    if (!y || !x) return NULL;
    if (!(low < high)) return ag_graph_fail(ag_graph_of(y), AG_ERR_SHAPE, "structure: a range of %g to %g", low, high);
    if (ag_rank(y) != 4 || ag_dim(y, 1) < LEAST || ag_dim(y, 2) < LEAST)
        return ag_graph_fail(ag_graph_of(y), AG_ERR_SHAPE, "structure: images of %lld x %lld; at least %d x %d",
                             (long long)ag_dim(y, 1), (long long)ag_dim(y, 2), LEAST, LEAST);
    y = to_unit(y, low, high), x = to_unit(x, low, high);
    do {
        const ag_pool2d_options half = {.kernel = 2};
        if (n) y = ag_avg_pool2d(y, &half), x = ag_avg_pool2d(x, &half);
        ag_tensor *d = ag_sub(y, x), *edge = ag_scale(ag_add(edges(d, 1), edges(d, 2)), 2);
        ag_tensor *each = ag_add(ag_shift(ag_neg(ssim(y, x)), 1), edge);
        sum = sum ? ag_add(sum, each) : each;
        n++;
    } while (y && n < (scales ? scales : USUAL) && ag_dim(y, 1) >= 2 * LEAST && ag_dim(y, 2) >= 2 * LEAST);
    return ag_scale(sum, 1.0 / n);
}
