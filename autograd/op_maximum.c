/* maximum  y = a where a >= b, else b; broadcast        dy goes to the one taken, to a on ties
 * minimum  the same with <= ; NaN in either gives NaN */
#include "engine.h"

/* dy to b where `b_taken`, else to a. */
static void share(ag_tensor *y, ag_tensor *b_taken, ag_tensor *dy, ag_tensor **dx)
{
    ag_tensor *zero = ag_constant(y->graph, 0, 0, NULL);
    if (ag__wants(y, 0)) dx[0] = ag__unbroadcast(ag_select(b_taken, zero, dy), y->in[0]);
    if (ag__wants(y, 1)) dx[1] = ag__unbroadcast(ag_select(b_taken, dy, zero), y->in[1]);
}

static void maximum_run(const ag_tensor *y)
{
    const k_strided a = ag__strided(y->in[0], y), b = ag__strided(y->in[1], y);
    k.maximum(y->rank, y->shape, &a, &b, y->data);
}

static void maximum_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    share(y, ag_less(y->in[0], y->in[1]), dy, dx);
}

const ag__rule ag__maximum = {
    .shape = ag__shape_broadcast, .run = maximum_run, .gradient = maximum_gradient, .in_place = 3};

ag_tensor *ag_maximum(ag_tensor *a, ag_tensor *b)
{
    return ag__node(AG__OP_maximum, 2, (ag_tensor *[]){a, b}, NULL, 0);
}

static void minimum_run(const ag_tensor *y)
{
    const k_strided a = ag__strided(y->in[0], y), b = ag__strided(y->in[1], y);
    k.minimum(y->rank, y->shape, &a, &b, y->data);
}

static void minimum_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    share(y, ag_less(y->in[1], y->in[0]), dy, dx);
}

const ag__rule ag__minimum = {
    .shape = ag__shape_broadcast, .run = minimum_run, .gradient = minimum_gradient, .in_place = 3};

ag_tensor *ag_minimum(ag_tensor *a, ag_tensor *b)
{
    return ag__node(AG__OP_minimum, 2, (ag_tensor *[]){a, b}, NULL, 0);
}
