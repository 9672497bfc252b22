/* relu_mask  dx = dy where y > 0, else 0: the gradient of relu from its result
 *            ddy = the same mask of the gradient that arrives; none for y */
#include "engine.h"

static ag_err relu_mask_shape(ag_tensor *y)
{
    if (!ag__same_shape(y->in[0], y->in[1])) return ag_fail(AG_ERR_SHAPE, "the two shapes differ");
    const ag_err err = ag__check_type(y->in[1], AG_REAL, "the result of relu");
    return err ? err : ag__shape_unary(y);
}

static void relu_mask_run(const ag_tensor *y) { k.relu_mask(y->numel, ag__in(y, 0), ag__in(y, 1), y->data); }

static void relu_mask_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_relu_mask(dy, y->in[1]); }

const ag__rule ag__relu_mask = {
    .shape = relu_mask_shape, .run = relu_mask_run, .gradient = relu_mask_gradient, .in_place = 3};

ag_tensor *ag_relu_mask(ag_tensor *dy, ag_tensor *y)
{
    return ag__node(AG__OP_relu_mask, 2, (ag_tensor *[]){dy, y}, NULL, 0);
}
