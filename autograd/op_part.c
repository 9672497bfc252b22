/* part    a further result of an op: statistics that its gradient needs. Its values are the op's business; no gradient. */
#include "engine.h"

#include <string.h>

typedef struct shape {
    ag_dtype dtype;
    int rank;
    int64_t size[AG_MAX_RANK];
} shape;

static ag_err part_shape(ag_tensor *y)
{
    const shape *o = y->attr;
    y->dtype = o->dtype;
    return ag__shape_set(y, o->rank, o->size);
}

static double nothing(const ag_tensor *y)
{
    (void)y;
    return 0;
}

const ag__rule ag__part_rule = {.shape = part_shape, .flops = nothing, .part = true};

ag_tensor *ag__part(ag_tensor *y, int i, ag_dtype dtype, int rank, const int64_t *size)
{
    shape o = {.dtype = dtype, .rank = rank};
    if (rank > 0 && rank <= AG_MAX_RANK) memcpy(o.size, size, (size_t)rank * sizeof *size);
    ag_tensor *t = ag__node(AG__OP_part_rule, 1, &y, &o, sizeof o);
    if (t) y->parts[i] = t;
    return t;
}
