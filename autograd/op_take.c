/* take  y[n,i] = x[n,index[n,i]]                                    dx = put(dy, index)
 * put   y[n,j] = sum of the x[n,i] with index[n,i] = j              dx = take(dy, index)
 * Rows of each item of a batch by number (tokens kept by a mask, positions of a sequence). Indices are i32 in range by
 * construction; they are not checked again. */
#include "engine.h"

static double moves(const ag_tensor *y)
{
    (void)y;
    return 0;
}

static ag_err check(const ag_tensor *x, const ag_tensor *index)
{
    ag_err err = ag__check_type(x, AG_REAL, "the rows");
    if (err || (err = ag__check_type(index, AG_I32, "the index"))) return err;
    if (x->rank != 3 || index->rank != 2 || x->shape[0] != index->shape[0])
        return ag_fail(AG_ERR_SHAPE, "rows must be [N,L,D] and the index [N,M]");
    return AG_OK;
}

static ag_err take_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0], *index = y->in[1];
    const ag_err err = check(x, index);
    return err ? err : ag__shape_set(y, 3, (int64_t[]){x->shape[0], index->shape[1], x->shape[2]});
}

static void take_run(const ag_tensor *y)
{
    k.take(y->shape[0], y->in[0]->shape[1], y->shape[1], y->shape[2], ag__in(y, 0), y->in[1]->data, y->data);
}

static void take_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_put(dy, y->in[1], y->in[0]->shape[1]);
}

const ag__rule ag__take = {.shape = take_shape, .run = take_run, .gradient = take_gradient, .flops = moves};

ag_tensor *ag_take(ag_tensor *x, ag_tensor *index)
{
    return ag__node(AG__OP_take, 2, (ag_tensor *[]){x, index}, NULL, 0);
}

static ag_err put_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0], *index = y->in[1];
    const ag_err err = check(x, index);
    if (err) return err;
    if (x->shape[1] != index->shape[1]) return ag_fail(AG_ERR_SHAPE, "every row needs an index");
    return ag__shape_set(y, 3, (int64_t[]){x->shape[0], *(const int64_t *)y->attr, x->shape[2]});
}

static void put_run(const ag_tensor *y)
{
    k.put(y->shape[0], y->shape[1], y->in[0]->shape[1], y->shape[2], ag__in(y, 0), y->in[1]->data, y->data);
}

static void put_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_take(dy, y->in[1]); }

static double put_flops(const ag_tensor *y) { return (double)y->in[0]->numel; }

const ag__rule ag__put = {.shape = put_shape, .run = put_run, .gradient = put_gradient, .flops = put_flops};

ag_tensor *ag_put(ag_tensor *x, ag_tensor *index, int64_t rows)
{
    return ag__node(AG__OP_put, 2, (ag_tensor *[]){x, index}, &rows, sizeof rows);
}
