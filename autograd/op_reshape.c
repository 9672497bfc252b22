/* reshape  y = x with other axes, the same memory        dx = dy reshaped back */
#include "engine.h"

#include <string.h>

typedef struct shape {
    int rank;
    int64_t size[AG_MAX_RANK];
} shape;

static ag_err reshape_shape(ag_tensor *y)
{
    const shape *o = y->attr;
    const ag_err err = ag__shape_set(y, o->rank, o->size);
    if (err) return err;
    if (y->numel != y->in[0]->numel)
        return ag_fail(AG_ERR_SHAPE, "%lld elements cannot become %s", (long long)y->in[0]->numel, ag__shape_text(y));
    return AG_OK;
}

static void reshape_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_reshape(dy, y->in[0]->rank, y->in[0]->shape);
}

static double nothing(const ag_tensor *y)
{
    (void)y;
    return 0;
}

const ag__rule ag__reshape = {.shape = reshape_shape, .gradient = reshape_gradient, .flops = nothing, .view = true};

ag_tensor *ag_reshape(ag_tensor *x, int rank, const int64_t *size)
{
    shape o = {.rank = rank};
    if (rank > 0 && rank <= AG_MAX_RANK) memcpy(o.size, size, (size_t)rank * sizeof *size);
    return ag__node(AG__OP_reshape, 1, &x, &o, sizeof o);
}
