/* tanh       y = (e^x - e^-x) / (e^x + e^-x)
 * tanh_grad  dx = dy (1 - y^2), from the result        ddy = dx' (1 - y^2),  dy' = -2 dx' dy y */
#include "engine.h"

static ag_tensor *slope(ag_tensor *dy, ag_tensor *y)
{
    return ag__node(AG__OP_tanh_grad, 2, (ag_tensor *[]){dy, y}, NULL, 0);
}

static void tanh_run(const ag_tensor *y) { k.tanh(y->numel, ag__in(y, 0), y->data); }

static void tanh_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = slope(dy, y); }

const ag__rule ag__tanh = {.shape = ag__shape_unary, .run = tanh_run, .gradient = tanh_gradient, .in_place = 1};

ag_tensor *ag_tanh(ag_tensor *x) { return ag__node(AG__OP_tanh, 1, &x, NULL, 0); }

static void tanh_grad_run(const ag_tensor *y) { k.tanh_grad(y->numel, ag__in(y, 0), ag__in(y, 1), y->data); }

static void tanh_grad_gradient(ag_tensor *y, ag_tensor *d, ag_tensor **dx)
{
    ag_tensor *dy = y->in[0], *t = y->in[1];
    if (ag__wants(y, 0)) dx[0] = slope(d, t);
    if (ag__wants(y, 1)) dx[1] = ag_scale(ag_mul(ag_mul(d, dy), t), -2);
}

const ag__rule ag__tanh_grad = {
    .shape = ag__shape_unary, .run = tanh_grad_run, .gradient = tanh_grad_gradient, .in_place = 3};
