/* stop_gradient     y = x; no gradient passes
 * straight_through  y = quantized; d latents = dy, d quantized = 0
 * Both share the memory of the value they pass on. Bengio, Leonard, Courville 2013, arXiv:1308.3432 */
#include "engine.h"

static ag_err last_shape(ag_tensor *y)
{
    y->dtype = y->in[y->inputs - 1]->dtype;
    if (!ag__same_shape(y->in[0], y->in[y->inputs - 1]))
        return ag_fail(AG_ERR_SHAPE, "latents and quantized have different shapes");
    if (y->in[0]->dtype != y->dtype)
        return ag_fail(AG_ERR_SHAPE, "latents are %s and quantized %s", ag_dtype_name(y->in[0]->dtype),
                       ag_dtype_name(y->dtype));
    return ag__shape_copy(y, y->in[0]);
}

static void straight_through_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    (void)y;
    dx[0] = dy;
}

static double nothing(const ag_tensor *y)
{
    (void)y;
    return 0;
}

const ag__rule ag__stop_gradient = {.shape = last_shape, .flops = nothing, .view = true};
const ag__rule ag__straight_through = {
    .shape = last_shape, .gradient = straight_through_gradient, .flops = nothing, .view = true};

ag_tensor *ag_stop_gradient(ag_tensor *x) { return ag__node(AG__OP_stop_gradient, 1, &x, NULL, 0); }

ag_tensor *ag_straight_through(ag_tensor *latents, ag_tensor *quantized)
{
    return ag__node(AG__OP_straight_through, 2, (ag_tensor *[]){latents, quantized}, NULL, 0);
}
