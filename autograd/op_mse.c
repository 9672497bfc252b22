/* mse     y = sum (a - b)^2 / n over all n elements        da = 2/n dy (a - b), db = -da */
#include "engine.h"

static ag_err mse_shape(ag_tensor *y)
{
    if (!ag__same_shape(y->in[0], y->in[1])) return ag_fail(AG_ERR_SHAPE, "the two shapes differ");
    const ag_err err = ag__check_type(y->in[1], AG_REAL, "the second input");
    return err ? err : ag__shape_set(y, 0, NULL);
}

static void mse_run(const ag_tensor *y)
{
    const int64_t n = y->in[0]->numel;
    *(real *)y->data = (real)(k.squared_difference(n, ag__in(y, 0), ag__in(y, 1), y->scratch) / (double)n);
}

static ag_tensor *scaled_difference(ag_tensor *a, ag_tensor *b, ag_tensor *scale, double factor)
{
    return ag__node(AG__OP_scaled_difference, 3, (ag_tensor *[]){a, b, scale}, &factor, sizeof factor);
}

static void mse_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const double factor = 2 / (double)y->in[0]->numel;
    if (ag__wants(y, 0)) dx[0] = scaled_difference(y->in[0], y->in[1], dy, factor);
    if (ag__wants(y, 1)) dx[1] = scaled_difference(y->in[1], y->in[0], dy, factor);
}

static double mse_flops(const ag_tensor *y) { return 3 * (double)y->in[0]->numel; }

static size_t mse_scratch(const ag_tensor *y) { return k.sum_scratch(y->in[0]->numel); }

const ag__rule ag__mse = {
    .shape = mse_shape, .run = mse_run, .gradient = mse_gradient, .flops = mse_flops, .scratch = mse_scratch};

ag_tensor *ag_mse(ag_tensor *a, ag_tensor *b) { return ag__node(AG__OP_mse, 2, (ag_tensor *[]){a, b}, NULL, 0); }

/* scaled_difference  y = factor s (a - b), s one number in a tensor
 *                    da = factor s dy, db = -da, ds = factor sum dy (a - b) */
static ag_err scaled_difference_shape(ag_tensor *y) { return ag__shape_copy(y, y->in[0]); }

static void scaled_difference_run(const ag_tensor *y)
{
    const double factor = *(const double *)y->attr;
    k.scaled_difference(y->numel, ag__in(y, 0), ag__in(y, 1), (real)(factor * (double)*ag__in(y, 2)), y->data);
}

static void scaled_difference_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const double factor = *(const double *)y->attr;
    ag_tensor *d = ag_scale(ag_mul(dy, y->in[2]), factor);
    if (ag__wants(y, 0)) dx[0] = d;
    if (ag__wants(y, 1)) dx[1] = ag_neg(d);
    if (ag__wants(y, 2)) dx[2] = ag_scale(ag_sum(ag_mul(dy, ag_sub(y->in[0], y->in[1]))), factor);
}

static double scaled_difference_flops(const ag_tensor *y) { return 2 * (double)y->numel; }

const ag__rule ag__scaled_difference = {.shape = scaled_difference_shape,
                                        .run = scaled_difference_run,
                                        .gradient = scaled_difference_gradient,
                                        .flops = scaled_difference_flops,
                                        .in_place = 3};
