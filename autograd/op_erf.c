/* erf     y = 2 / sqrt(pi) integral of e^-t^2 from 0 to x        dx = dy 2 / sqrt(pi) e^-x^2 */
#include "engine.h"

static void erf_run(const ag_tensor *y) { k.erf(y->numel, ag__in(y, 0), y->data); }

static void erf_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_mul(dy, ag_scale(ag_exp(ag_neg(ag_square(y->in[0]))), 1.12837916709551257390));
}

const ag__rule ag__erf = {.shape = ag__shape_unary, .run = erf_run, .gradient = erf_gradient, .in_place = 1};

ag_tensor *ag_erf(ag_tensor *x) { return ag__node(AG__OP_erf, 1, &x, NULL, 0); }
