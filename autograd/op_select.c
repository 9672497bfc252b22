/* select  y = a where mask != 0, else b; broadcast
 *         da = dy where mask, else 0;  db = 0 where mask, else dy */
#include "engine.h"

static void select_run(const ag_tensor *y)
{
    const k_strided mask = ag__strided(y->in[0], y), a = ag__strided(y->in[1], y), b = ag__strided(y->in[2], y);
    k.select(y->rank, y->shape, &mask, &a, &b, y->data);
}

static void select_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag_tensor *zero = ag_constant(y->graph, 0, 0, NULL);
    if (ag__wants(y, 1)) dx[1] = ag__unbroadcast(ag_select(y->in[0], dy, zero), y->in[1]);
    if (ag__wants(y, 2)) dx[2] = ag__unbroadcast(ag_select(y->in[0], zero, dy), y->in[2]);
}

const ag__rule ag__select = {
    .shape = ag__shape_broadcast, .run = select_run, .gradient = select_gradient, .in_place = 7};

ag_tensor *ag_select(ag_tensor *mask, ag_tensor *a, ag_tensor *b)
{
    return ag__node(AG__OP_select, 3, (ag_tensor *[]){mask, a, b}, NULL, 0);
}
