/* sigmoid       y = 1 / (1 + e^-x)
 * sigmoid_grad  dx = dy y (1 - y), from the result        ddy = dx' y (1 - y),  dy' = dx' dy (1 - 2 y) */
#include "engine.h"

static ag_tensor *slope(ag_tensor *dy, ag_tensor *y)
{
    return ag__node(AG__OP_sigmoid_grad, 2, (ag_tensor *[]){dy, y}, NULL, 0);
}

static void sigmoid_run(const ag_tensor *y) { k.sigmoid(y->numel, ag__in(y, 0), y->data); }

static void sigmoid_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = slope(dy, y); }

const ag__rule ag__sigmoid = {
    .shape = ag__shape_unary, .run = sigmoid_run, .gradient = sigmoid_gradient, .in_place = 1};

ag_tensor *ag_sigmoid(ag_tensor *x) { return ag__node(AG__OP_sigmoid, 1, &x, NULL, 0); }

static void sigmoid_grad_run(const ag_tensor *y) { k.sigmoid_grad(y->numel, ag__in(y, 0), ag__in(y, 1), y->data); }

static void sigmoid_grad_gradient(ag_tensor *y, ag_tensor *d, ag_tensor **dx)
{
    ag_tensor *dy = y->in[0], *s = y->in[1];
    if (ag__wants(y, 0)) dx[0] = slope(d, s);
    if (ag__wants(y, 1)) dx[1] = ag_mul(ag_mul(d, dy), ag_shift(ag_scale(s, -2), 1));
}

const ag__rule ag__sigmoid_grad = {
    .shape = ag__shape_unary, .run = sigmoid_grad_run, .gradient = sigmoid_grad_gradient, .in_place = 3};
