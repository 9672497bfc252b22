/* gelu       y = x P(x), P the distribution of the standard normal, p = e^(-x^2/2) / sqrt(2 pi) its density
 * gelu_grad  dx = dy (P + x p)        ddy = dx' (P + x p),  dx'' = dx' dy p (2 - x^2)
 * Hendrycks, Gimpel 2016, arXiv:1606.08415. The form with tanh is in op_swish.c. */
#include "engine.h"

static ag_tensor *slope(ag_tensor *dy, ag_tensor *x)
{
    return ag__node(AG__OP_gelu_grad, 2, (ag_tensor *[]){dy, x}, NULL, 0);
}

static void gelu_run(const ag_tensor *y) { k.gelu(y->numel, ag__in(y, 0), y->data); }

static void gelu_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = slope(dy, y->in[0]); }

static double gelu_flops(const ag_tensor *y) { return 30 * (double)y->numel; }

const ag__rule ag__gelu = {
    .shape = ag__shape_unary, .run = gelu_run, .gradient = gelu_gradient, .flops = gelu_flops, .in_place = 1};

ag_tensor *ag_gelu(ag_tensor *x) { return ag__node(AG__OP_gelu, 1, &x, NULL, 0); }

static void gelu_grad_run(const ag_tensor *y) { k.gelu_grad(y->numel, ag__in(y, 0), ag__in(y, 1), y->data); }

static void gelu_grad_gradient(ag_tensor *y, ag_tensor *d, ag_tensor **dx)
{
    ag_tensor *dy = y->in[0], *x = y->in[1], *z = ag_square(x);
    if (ag__wants(y, 0)) dx[0] = slope(d, x);
    if (!ag__wants(y, 1)) return;
    ag_tensor *density = ag_scale(ag_exp(ag_scale(z, -0.5)), 0.39894228040143267794);
    dx[1] = ag_mul(ag_mul(d, dy), ag_mul(density, ag_shift(ag_neg(z), 2)));
}

const ag__rule ag__gelu_grad = {
    .shape = ag__shape_unary, .run = gelu_grad_run, .gradient = gelu_grad_gradient, .flops = gelu_flops, .in_place = 3};
