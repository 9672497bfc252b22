/* div    y = a / b, broadcast
 *         da = dy / b, db = -dy * y / b, summed over repeated axes */
#include "engine.h"

static void div_run(const ag_tensor *y)
{
    const k_strided a = ag__strided(y->in[0], y), b = ag__strided(y->in[1], y);
    k.div(y->rank, y->shape, &a, &b, y->data);
}

static void div_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag_tensor *a = y->in[0], *b = y->in[1];
    if (ag__wants(y, 0)) dx[0] = ag__unbroadcast(ag_div(dy, b), a);
    if (ag__wants(y, 1)) dx[1] = ag__unbroadcast(ag_neg(ag_div(ag_mul(dy, y), b)), b);
}

const ag__rule ag__div = {.shape = ag__shape_broadcast, .run = div_run, .gradient = div_gradient, .in_place = 3};

ag_tensor *ag_div(ag_tensor *a, ag_tensor *b) { return ag__node(AG__OP_div, 2, (ag_tensor *[]){a, b}, NULL, 0); }
