/* less    y = 1 where a < b, else 0; broadcast; no gradient */
#include "engine.h"

static void less_run(const ag_tensor *y)
{
    const k_strided a = ag__strided(y->in[0], y), b = ag__strided(y->in[1], y);
    k.less(y->rank, y->shape, &a, &b, y->data);
}

const ag__rule ag__less = {.shape = ag__shape_broadcast, .run = less_run, .in_place = 3};

ag_tensor *ag_less(ag_tensor *a, ag_tensor *b) { return ag__node(AG__OP_less, 2, (ag_tensor *[]){a, b}, NULL, 0); }
