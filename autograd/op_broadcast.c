/* broadcast  y = x repeated to a shape        dx = dy summed back */
#include "engine.h"

#include <string.h>

typedef struct shape {
    int rank;
    int64_t size[AG_MAX_RANK];
} shape;

static ag_err broadcast_shape(ag_tensor *y)
{
    const shape *o = y->attr;
    const ag_tensor *x = y->in[0];
    ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err || (err = ag__shape_set(y, o->rank, o->size))) return err;
    for (int axis = 0; axis < x->rank; axis++)
        if (x->rank > y->rank || (x->shape[axis] != 1 && x->shape[axis] != y->shape[axis - x->rank + y->rank]))
            return ag_fail(AG_ERR_SHAPE, "%s does not broadcast to %s", ag__shape_text(x), ag__shape_text(y));
    return AG_OK;
}

static void broadcast_run(const ag_tensor *y)
{
    const k_strided x = ag__strided(y->in[0], y);
    k.broadcast(y->rank, y->shape, &x, y->data);
}

static void broadcast_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag__unbroadcast(dy, y->in[0]); }

const ag__rule ag__broadcast = {.shape = broadcast_shape, .run = broadcast_run, .gradient = broadcast_gradient};

ag_tensor *ag_broadcast(ag_tensor *x, int rank, const int64_t *size)
{
    shape o = {.rank = rank};
    if (rank > 0 && rank <= AG_MAX_RANK) memcpy(o.size, size, (size_t)rank * sizeof *size);
    return ag__node(AG__OP_broadcast, 1, &x, &o, sizeof o);
}
