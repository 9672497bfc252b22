/* sub    y = a - b, broadcast
 *         da = dy, db = -dy, summed over repeated axes */
#include "engine.h"

static void sub_run(const ag_tensor *y)
{
    const k_strided a = ag__strided(y->in[0], y), b = ag__strided(y->in[1], y);
    k.sub(y->rank, y->shape, &a, &b, y->data);
}

static void sub_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag_tensor *a = y->in[0], *b = y->in[1];
    if (ag__wants(y, 0)) dx[0] = ag__unbroadcast(dy, a);
    if (ag__wants(y, 1)) dx[1] = ag__unbroadcast(ag_neg(dy), b);
}

const ag__rule ag__sub = {.shape = ag__shape_broadcast, .run = sub_run, .gradient = sub_gradient, .in_place = 3};

ag_tensor *ag_sub(ag_tensor *a, ag_tensor *b) { return ag__node(AG__OP_sub, 2, (ag_tensor *[]){a, b}, NULL, 0); }
