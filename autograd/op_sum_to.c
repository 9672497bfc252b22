/* sum_to  y = x summed over the axes in which y has 1, or which y lacks        dx = dy broadcast to x
 *         Behind ag_sum, ag_mean and every gradient of a broadcast operand. */
#include "engine.h"

#include <string.h>

typedef struct shape {
    int rank;
    int64_t size[AG_MAX_RANK];
} shape;

static ag_err sum_to_shape(ag_tensor *y)
{
    const shape *o = y->attr;
    const ag_tensor *x = y->in[0];
    ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err || (err = ag__shape_set(y, o->rank, o->size))) return err;
    for (int axis = 0; axis < y->rank; axis++) {
        const int64_t size = ag_dim(x, axis - y->rank + x->rank);
        if (y->rank > x->rank || (y->shape[axis] != 1 && y->shape[axis] != size))
            return ag_fail(AG_ERR_SHAPE, "%s does not broadcast to %s", ag__shape_text(y), ag__shape_text(x));
    }
    return AG_OK;
}

/* y's shape with x's rank. */
static void aligned_shape(const ag_tensor *y, int64_t *out)
{
    const int rank = y->in[0]->rank;
    for (int axis = 0; axis < rank; axis++) out[axis] = axis < rank - y->rank ? 1 : y->shape[axis - rank + y->rank];
}

/* The number of trailing axes that are kept when only leading axes are summed; -1 if it is not so. */
static int kept_tail(const ag_tensor *y, const int64_t *out)
{
    const ag_tensor *x = y->in[0];
    int axis = x->rank;
    while (axis > 0 && out[axis - 1] == x->shape[axis - 1]) axis--;
    for (int i = 0; i < axis; i++)
        if (out[i] != 1) return -1;
    return x->rank - axis;
}

static size_t sum_to_scratch(const ag_tensor *y)
{
    const size_t a = k.sum_scratch(y->in[0]->numel), b = k.sum_rows_scratch(y->in[0]->numel / y->numel, y->numel);
    return a > b ? a : b;
}

static void sum_to_run(const ag_tensor *y)
{
    const ag_tensor *x = y->in[0];
    int64_t out[AG_MAX_RANK];
    aligned_shape(y, out);
    if (y->numel == 1)
        *(real *)y->data = (real)k.sum(x->numel, x->data, y->scratch);
    else if (kept_tail(y, out) >= 0)
        k.sum_rows(x->numel / y->numel, y->numel, x->data, y->data, y->scratch);
    else
        k.sum_axes(x->rank, x->shape, out, x->data, y->data);
}

static void sum_to_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_broadcast(dy, y->in[0]->rank, y->in[0]->shape);
}

static double sum_to_flops(const ag_tensor *y) { return (double)y->in[0]->numel; }

const ag__rule ag__sum_to = {.shape = sum_to_shape,
                             .run = sum_to_run,
                             .gradient = sum_to_gradient,
                             .flops = sum_to_flops,
                             .scratch = sum_to_scratch};

ag_tensor *ag_sum_to(ag_tensor *x, int rank, const int64_t *size)
{
    shape o = {.rank = rank};
    if (rank > 0 && rank <= AG_MAX_RANK) memcpy(o.size, size, (size_t)rank * sizeof *size);
    return ag__node(AG__OP_sum_to, 1, &x, &o, sizeof o);
}

ag_tensor *ag_sum(ag_tensor *x) { return ag_sum_to(x, 0, NULL); }

ag_tensor *ag_mean(ag_tensor *x) { return x ? ag_scale(ag_sum(x), 1.0 / (double)x->numel) : NULL; }

ag_tensor *ag__last_sum(ag_tensor *x)
{
    int64_t size[AG_MAX_RANK];
    if (!x) return NULL;
    for (int i = 0; i < x->rank; i++) size[i] = i == x->rank - 1 ? 1 : x->shape[i];
    return ag_sum_to(x, x->rank, size);
}
