/* mul    y = a * b, broadcast
 *         da = dy * b, db = dy * a, summed over repeated axes */
#include "engine.h"

static void mul_run(const ag_tensor *y)
{
    const k_strided a = ag__strided(y->in[0], y), b = ag__strided(y->in[1], y);
    k.mul(y->rank, y->shape, &a, &b, y->data);
}

static void mul_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag_tensor *a = y->in[0], *b = y->in[1];
    if (ag__wants(y, 0)) dx[0] = ag__unbroadcast(ag_mul(dy, b), a);
    if (ag__wants(y, 1)) dx[1] = ag__unbroadcast(ag_mul(dy, a), b);
}

const ag__rule ag__mul = {.shape = ag__shape_broadcast, .run = mul_run, .gradient = mul_gradient, .in_place = 3};

ag_tensor *ag_mul(ag_tensor *a, ag_tensor *b) { return ag__node(AG__OP_mul, 2, (ag_tensor *[]){a, b}, NULL, 0); }
