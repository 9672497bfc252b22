/* swish       y = x s(v), v = b x + c x^3, s(v) = 1 / (1 + e^-v)
 * swish_grad  dx = dy (s + x s (1 - s) v')
 *             dx'' = dx' dy s (1 - s) (2 v' + x ((1 - 2 s) v'^2 + v'')),  v' = b + 3 c x^2,  v'' = 6 c x
 *
 * silu        b = 1, c = 0          Elfwing, Uchibe, Doya 2018, arXiv:1702.03118
 * quick_gelu  b = 1.702, c = 0      Hendrycks, Gimpel 2016, arXiv:1606.08415
 * gelu_tanh   b = 2 sqrt(2 / pi), c = 0.044715 b: the tanh form of the same paper, as (1 + tanh(u)) / 2 = s(2 u) */
#include "engine.h"

typedef struct gate {
    double linear, cubic;
} gate;

static ag_tensor *slope(ag_tensor *dy, ag_tensor *x, const gate *o)
{
    return ag__node(AG__OP_swish_grad, 2, (ag_tensor *[]){dy, x}, o, sizeof *o);
}

static void swish_run(const ag_tensor *y)
{
    const gate *o = y->attr;
    k.swish(y->numel, ag__in(y, 0), (real)o->linear, (real)o->cubic, y->data);
}

static void swish_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = slope(dy, y->in[0], y->attr); }

static double swish_flops(const ag_tensor *y) { return 20 * (double)y->numel; }

const ag__rule ag__swish = {
    .shape = ag__shape_unary, .run = swish_run, .gradient = swish_gradient, .flops = swish_flops, .in_place = 1};

static void swish_grad_run(const ag_tensor *y)
{
    const gate *o = y->attr;
    k.swish_grad(y->numel, ag__in(y, 0), ag__in(y, 1), (real)o->linear, (real)o->cubic, y->data);
}

static void swish_grad_gradient(ag_tensor *y, ag_tensor *d, ag_tensor **dx)
{
    const gate *o = y->attr;
    ag_tensor *dy = y->in[0], *x = y->in[1], *z = ag_square(x);
    if (ag__wants(y, 0)) dx[0] = slope(d, x, o);
    if (!ag__wants(y, 1)) return;
    ag_tensor *v = ag_mul(x, ag_shift(ag_scale(z, o->cubic), o->linear)), *s = ag_sigmoid(v);
    ag_tensor *v1 = ag_shift(ag_scale(z, 3 * o->cubic), o->linear), *v2 = ag_scale(x, 6 * o->cubic);
    ag_tensor *bend = ag_add(ag_mul(ag_shift(ag_scale(s, -2), 1), ag_square(v1)), v2);
    ag_tensor *inner = ag_add(ag_scale(v1, 2), ag_mul(x, bend));
    dx[1] = ag_mul(ag_mul(d, dy), ag_mul(ag_mul(s, ag_sigmoid(ag_neg(v))), inner));
}

const ag__rule ag__swish_grad = {.shape = ag__shape_unary,
                                 .run = swish_grad_run,
                                 .gradient = swish_grad_gradient,
                                 .flops = swish_flops,
                                 .in_place = 3};

static ag_tensor *node(ag_tensor *x, double linear, double cubic)
{
    return ag__node(AG__OP_swish, 1, &x, &(gate){linear, cubic}, sizeof(gate));
}

ag_tensor *ag_silu(ag_tensor *x) { return node(x, 1, 0); }
ag_tensor *ag_quick_gelu(ag_tensor *x) { return node(x, 1.702, 0); }
ag_tensor *ag_gelu_tanh(ag_tensor *x)
{
    const double b = 1.59576912160573071176;
    return node(x, b, 0.044715 * b);
}
