/* leaky_relu       y = x where x > 0, else slope x, slope >= 0
 * leaky_relu_mask  dx = dy where y > 0, else slope dy: from the result, whose sign is x's        linear in dy, none for y
 * Maas, Hannun, Ng 2013, "Rectifier nonlinearities improve neural network acoustic models" */
#include "engine.h"

static ag_tensor *mask(ag_tensor *dy, ag_tensor *y, const double *slope)
{
    return ag__node(AG__OP_leaky_relu_mask, 2, (ag_tensor *[]){dy, y}, slope, sizeof *slope);
}

static double slope_of(const ag_tensor *y) { return *(const double *)y->attr; }

static ag_err leaky_relu_shape(ag_tensor *y)
{
    if (!(slope_of(y) >= 0)) return ag_fail(AG_ERR_SHAPE, "a slope of %g; it must be 0 or more", slope_of(y));
    return ag__shape_unary(y);
}

static void leaky_relu_run(const ag_tensor *y) { k.leaky_relu(y->numel, ag__in(y, 0), (real)slope_of(y), y->data); }

static void leaky_relu_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = mask(dy, y, y->attr); }

const ag__rule ag__leaky_relu = {
    .shape = leaky_relu_shape, .run = leaky_relu_run, .gradient = leaky_relu_gradient, .in_place = 1};

ag_tensor *ag_leaky_relu(ag_tensor *x, double slope)
{
    return ag__node(AG__OP_leaky_relu, 1, &x, &slope, sizeof slope);
}

static void leaky_relu_mask_run(const ag_tensor *y)
{
    k.leaky_relu_mask(y->numel, ag__in(y, 0), ag__in(y, 1), (real)slope_of(y), y->data);
}

static void leaky_relu_mask_gradient(ag_tensor *y, ag_tensor *d, ag_tensor **dx)
{
    if (ag__wants(y, 0)) dx[0] = mask(d, y->in[1], y->attr);
}

const ag__rule ag__leaky_relu_mask = {
    .shape = ag__shape_unary, .run = leaky_relu_mask_run, .gradient = leaky_relu_mask_gradient, .in_place = 3};
