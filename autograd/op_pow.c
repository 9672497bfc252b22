/* pow     y = x^e, e a number        dx = dy e x^(e-1)
 *         Whole e from -64 to 64: products, for any x. Other e: e^(e ln x), for x >= 0; the relative error grows with |e ln x|. */
#include "engine.h"

static double exponent(const ag_tensor *y) { return *(const double *)y->attr; }

static void pow_run(const ag_tensor *y) { k.pow(y->numel, ag__in(y, 0), (real)exponent(y), y->data); }

static void pow_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const double e = exponent(y);
    dx[0] = ag_mul(dy, ag_scale(ag_pow(y->in[0], e - 1), e));
}

const ag__rule ag__pow = {.shape = ag__shape_unary, .run = pow_run, .gradient = pow_gradient, .in_place = 1};

ag_tensor *ag_pow(ag_tensor *x, double e) { return e == 1 ? x : ag__node(AG__OP_pow, 1, &x, &e, sizeof e); }
