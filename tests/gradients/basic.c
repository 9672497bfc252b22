/* Arithmetic, shapes, sums, products, convolutions, codes. */
#include "gradcheck.h"

GRADCHECK(add, .linear = true) { return ag_add(INPUT(2, 3, 5), INPUT(3, 1)); }
GRADCHECK(sub, .linear = true) { return ag_sub(INPUT(3, 1), INPUT(2, 1, 5)); }
GRADCHECK(mul) { return ag_mul(INPUT(2, 3, 5), INPUT(5)); }
GRADCHECK(div) { return ag_div(INPUT(2, 1, 5), INPUT(3, 5)); }
GRADCHECK(select)
{
    ag_tensor *a = INPUT(9, 3), *b = INPUT(1, 3), *mask = ag_less(FIXED(9, 1), ag_constant(c->g, 0, 0, NULL));
    return ag_select(mask, a, ag_square(b));
}
GRADCHECK(affine, .linear = true) { return ag_shift(ag_scale(INPUT(3, 5), -1.5), 0.25); }
GRADCHECK(square) { return ag_square(INPUT(3, 5)); }
GRADCHECK(sqrt) { return ag_sqrt(POSITIVE(3, 5)); }
GRADCHECK(exp) { return ag_exp(INPUT(3, 5)); }
GRADCHECK(log) { return ag_log(POSITIVE(3, 5)); }
GRADCHECK(abs, .linear = true) { return ag_abs(INPUT(3, 5)); }
GRADCHECK(relu, .linear = true) { return ag_relu(INPUT(3, 5)); }
GRADCHECK(relu_mask, .linear = true)
{
    ag_tensor *d = INPUT(3, 5);
    return ag_relu_mask(d, FIXED(3, 5));
}
GRADCHECK(clamp, .linear = true) { return ag_clamp(INPUT(5, 7), -0.7, 0.6); }
GRADCHECK(clamp_mask, .linear = true)
{
    ag_tensor *x = INPUT(5, 7), *dx, *f = ag_sum(ag_square(ag_clamp(x, -0.7, 0.6)));
    ag_gradient(f, 1, &x, &dx);
    return dx;
}
GRADCHECK(straight_through, .identity = true) { return ag_straight_through(INPUT(3, 4), FIXED(3, 4)); }
GRADCHECK(reshape) { return ag_square(ag_reshape(INPUT(3, 4, 2), 2, (int64_t[]){6, 4})); }
GRADCHECK(sum_to)
{
    ag_tensor *x = INPUT(3, 4, 5), *y = ag_sum_to(x, 3, (int64_t[]){3, 1, 5});
    return ag_add(ag_add(y, ag_sum_to(ag_square(x), 1, (int64_t[]){5})), ag_mean(x));
}
GRADCHECK(broadcast, .linear = true) { return ag_broadcast(INPUT(3, 1, 5), 4, (int64_t[]){2, 3, 4, 5}); }
GRADCHECK(mse) { return ag_mse(INPUT(3, 7), INPUT(3, 7)); }
GRADCHECK(scaled_difference)
{
    ag_tensor *a = INPUT(3, 7), *b = INPUT(3, 7), *s = INPUT(1), *d;
    ag_tensor *f = ag_sum(ag_mul(s, ag_mse(a, b)));
    ag_gradient(f, 1, &a, &d);
    return d;
}
GRADCHECK(matmul)
{
    ag_tensor *a = INPUT(3, 5), *b = INPUT(5, 4);
    ag_tensor *y = ag_add(ag_matmul(a, b, false, false), ag_matmul(INPUT(5, 3), INPUT(4, 5), true, true));
    return ag_add(y, ag_matmul(ag_matmul(a, a, false, true), ag_matmul(a, b, false, false), false, false));
}
GRADCHECK(conv2d)
{
    ag_tensor *x = INPUT(2, 5, 7, 3), *w = INPUT(4, 3, 3, 2), *b = INPUT(2), *r = INPUT(2, 3, 4, 2);
    return ag_conv2d(x, w, b, r, &(ag_conv2d_options){.stride = 2, .pad = {1, 2, 0, 2}});
}
GRADCHECK_NAMED(conv2d, relu)
{
    ag_tensor *x = INPUT(1, 4, 4, 2), *w = INPUT(3, 3, 2, 17), *b = INPUT(17), *r = INPUT(1, 4, 4, 17);
    return ag_conv2d(x, w, b, r, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .activation = AG_RELU});
}
GRADCHECK_NAMED(conv2d, one_by_one) { return ag_conv2d(INPUT(2, 3, 3, 5), INPUT(1, 1, 5, 4), INPUT(4), NULL, NULL); }
GRADCHECK(conv2d_transposed)
{
    ag_tensor *x = INPUT(2, 3, 4, 2), *w = INPUT(4, 4, 3, 2), *b = INPUT(3), *r = INPUT(2, 6, 8, 3);
    return ag_conv2d_transposed(x, w, b, r,
                                &(ag_conv2d_options){.stride = 2, .pad = {1, 1, 1, 1}, .activation = AG_RELU});
}
GRADCHECK_NAMED(conv2d_transposed, odd)
{
    const ag_conv2d_options o = {.stride = 3, .pad = {0, 1, 1, 0}, .out = {8, 9}};
    return ag_conv2d_transposed(INPUT(1, 3, 3, 2), INPUT(2, 4, 3, 2), NULL, NULL, &o);
}
GRADCHECK(conv2d_weight_grad)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}};
    return ag_conv2d_weight_grad(INPUT(2, 6, 6, 3), INPUT(2, 3, 3, 2), 4, 4, &o);
}
static ag_tensor *codes(gc *c)
{
    ag_tensor *e = FIXED(5, 3);
    return ag_nearest(ag_broadcast(e, 3, (int64_t[]){2, 5, 3}), e);
}
GRADCHECK(gather, .linear = true)
{
    ag_tensor *table = INPUT(5, 4);
    return ag_gather(table, codes(c));
}
GRADCHECK(scatter_add, .linear = true)
{
    ag_tensor *rows = INPUT(2, 5, 4);
    return ag_scatter_add(rows, codes(c), 6);
}
