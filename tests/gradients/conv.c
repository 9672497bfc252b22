/* Convolutions: dilation, groups, masks, frames. */
#include "gradcheck.h"

GRADCHECK_NAMED(conv2d, dilated)
{
    const ag_conv2d_options o = {.pad = {2, 1, 0, 3}, .dilation = 2};
    return ag_conv2d(INPUT(1, 6, 5, 2), INPUT(3, 2, 2, 3), INPUT(3), NULL, &o);
}
GRADCHECK_NAMED(conv2d, dilated_strided)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {3, 2, 2, 3}, .dilation = 3};
    return ag_conv2d(INPUT(1, 7, 6, 2), INPUT(3, 2, 2, 2), NULL, NULL, &o);
}
GRADCHECK_NAMED(conv2d, dilated_with_common_divisor)
{
    const ag_conv2d_options o = {.stride = 4, .pad = {3, 4, 6, 3}, .dilation = 6};
    return ag_conv2d(INPUT(1, 7, 8, 2), INPUT(2, 3, 2, 2), NULL, NULL, &o);
}
GRADCHECK_NAMED(conv2d, groups)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}, .groups = 3, .activation = AG_RELU};
    return ag_conv2d(INPUT(1, 5, 4, 6), INPUT(3, 3, 2, 9), INPUT(9), INPUT(1, 3, 2, 9), &o);
}
GRADCHECK_NAMED(conv2d, depthwise)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 2, 0, 1}, .groups = 5};
    return ag_conv2d(INPUT(2, 4, 5, 5), INPUT(3, 2, 1, 5), INPUT(5), NULL, &o);
}
GRADCHECK_NAMED(conv2d, depthwise_dilated)
{
    const ag_conv2d_options o = {.pad = {2, 2, 1, 1}, .dilation = 2, .groups = 3, .activation = AG_RELU};
    return ag_conv2d(INPUT(1, 5, 4, 3), INPUT(3, 2, 1, 3), INPUT(3), INPUT(1, 5, 4, 3), &o);
}
GRADCHECK_NAMED(conv2d_transposed, groups)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}, .groups = 2, .dilation = 2, .out = {7, 8}};
    return ag_conv2d_transposed(INPUT(1, 3, 3, 4), INPUT(3, 3, 3, 4), INPUT(6), NULL, &o);
}
GRADCHECK_NAMED(conv2d_weight_grad, groups)
{
    const ag_conv2d_options o = {.pad = {1, 1, 2, 2}, .groups = 2, .dilation = 2};
    return ag_conv2d_weight_grad(INPUT(2, 5, 4, 4), INPUT(2, 3, 4, 6), 3, 3, &o);
}
GRADCHECK_NAMED(conv2d_weight_grad, depthwise)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}, .groups = 4};
    return ag_conv2d_weight_grad(INPUT(2, 5, 4, 4), INPUT(2, 3, 2, 4), 3, 3, &o);
}

GRADCHECK(conv3d)
{
    const ag_conv3d_options o = {.pad = {2, 0, 1, 1, 1, 1}};
    return ag_conv3d(INPUT(2, 3, 3, 4, 2), INPUT(3, 3, 3, 2, 2), INPUT(2), NULL, &o);
}
GRADCHECK_NAMED(conv3d, strided)
{
    const ag_conv3d_options o = {.stride = 2, .stride_t = 2, .pad = {1, 1, 0, 1, 0, 1}, .activation = AG_RELU};
    return ag_conv3d(INPUT(1, 4, 4, 4, 2), INPUT(3, 3, 3, 2, 3), INPUT(3), INPUT(1, 2, 2, 2, 3), &o);
}
GRADCHECK_NAMED(conv3d, dilated_groups)
{
    const ag_conv3d_options o = {.dilation_t = 2, .pad = {2, 2, 1, 1, 1, 1}, .groups = 2};
    return ag_conv3d(INPUT(2, 3, 3, 3, 4), INPUT(2, 3, 3, 2, 2), NULL, INPUT(2, 5, 3, 3, 2), &o);
}
GRADCHECK(conv3d_transposed)
{
    const ag_conv3d_options o = {.stride = 2, .stride_t = 2, .pad = {1, 1, 1, 1, 1, 1}, .activation = AG_RELU};
    return ag_conv3d_transposed(INPUT(1, 2, 2, 2, 3), INPUT(4, 4, 4, 2, 3), INPUT(2), INPUT(1, 4, 4, 4, 2), &o);
}
/* Frames that no tap meets: only the bias is left of them. */
GRADCHECK_NAMED(conv3d_transposed, sparse)
{
    const ag_conv3d_options o = {.stride = 2, .stride_t = 3, .out = {6, 4, 4}};
    return ag_conv3d_transposed(INPUT(1, 2, 2, 2, 2), INPUT(1, 1, 1, 3, 2), INPUT(3), INPUT(1, 6, 4, 4, 3), &o);
}
GRADCHECK(conv3d_weight_grad)
{
    const ag_conv3d_options o = {.stride_t = 2, .pad = {1, 1, 1, 1, 0, 0}};
    return ag_conv3d_weight_grad(INPUT(2, 3, 3, 4, 2), INPUT(2, 2, 3, 3, 3), (const int[]){3, 3, 2}, &o);
}

GRADCHECK(conv_mask)
{
    ag_tensor *x = INPUT(1, 4, 5, 2), *w = INPUT(3, 3, 2, 2), *v = INPUT(5, 3, 2, 2);
    const ag_conv2d_options o = {.pad = {1, 1, 1, 1}}, tall = {.pad = {2, 2, 1, 1}};
    ag_tensor *a = ag_conv2d(x, ag_conv_mask(w, AG_MASK_A, 2), NULL, NULL, &o);
    return ag_add(a, ag_conv2d(ag_square(a), ag_conv_mask(v, AG_MASK_B, 0), NULL, NULL, &tall));
}
GRADCHECK_NAMED(conv_mask, stacks)
{
    ag_tensor *w = INPUT(2, 3, 2, 1);
    return ag_mul(ag_conv_mask(w, AG_MASK_LAST_ROW, 0), ag_conv_mask(ag_square(w), AG_MASK_LAST_COLUMN, 0));
}
