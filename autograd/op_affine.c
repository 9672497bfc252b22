/* affine  y = x * factor + term, two numbers        dx = dy * factor
 *         Behind ag_scale, ag_shift and ag_neg. */
#include "engine.h"

typedef struct affine {
    double factor, term;
} affine;

static void affine_run(const ag_tensor *y)
{
    const affine *o = y->attr;
    k.affine(y->numel, ag__in(y, 0), (real)o->factor, (real)o->term, y->data);
}

static void affine_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const affine *o = y->attr;
    dx[0] = ag_scale(dy, o->factor);
}

const ag__rule ag__affine = {.shape = ag__shape_unary, .run = affine_run, .gradient = affine_gradient, .in_place = 1};

static ag_tensor *node(ag_tensor *x, double factor, double term)
{
    if (factor == 1 && term == 0) return x;
    return ag__node(AG__OP_affine, 1, &x, &(affine){factor, term}, sizeof(affine));
}

ag_tensor *ag_scale(ag_tensor *x, double factor) { return node(x, factor, 0); }
ag_tensor *ag_shift(ag_tensor *x, double term) { return node(x, 1, term); }
ag_tensor *ag_neg(ag_tensor *x) { return node(x, -1, 0); }
