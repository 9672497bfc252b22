/* Shapes, matrix products with leading axes, rows by number. */
#include "gradcheck.h"

#define SIZES(...) ((const int64_t[]){__VA_ARGS__})
#define ORDER(...) ((const int[]){__VA_ARGS__})

GRADCHECK(pad) { return ag_square(ag_pad(INPUT(2, 3, 2), SIZES(1, 0, 2), SIZES(0, 2, 1), 0.7)); }
GRADCHECK_NAMED(pad, last, .linear = true) { return ag_pad(INPUT(3, 5), SIZES(0, 3), SIZES(0, 1), 0); }
GRADCHECK(slice) { return ag_square(ag_slice(INPUT(4, 3, 5), SIZES(1, 0, 2), SIZES(2, 3, 3))); }
GRADCHECK_NAMED(slice, split)
{
    ag_tensor *part[3];
    ag_split(INPUT(2, 7), -1, 3, SIZES(1, 4, 2), part);
    return ag_add(ag_mul(part[0], ag_square(part[1])), ag_sum(part[2]));
}
GRADCHECK(concat)
{
    ag_tensor *x[] = {FIXED(2, 3, 2), INPUT(2, 1, 2), FIXED(2, 2, 2), INPUT(2, 4, 2)};
    return ag_square(ag_concat(4, x, 1));
}
GRADCHECK_NAMED(concat, first_and_last)
{
    ag_tensor *x[] = {INPUT(1, 3), INPUT(4, 3), INPUT(2, 3)};
    ag_tensor *y = ag_square(ag_concat(3, x, 0)), *z[] = {y, INPUT(7, 2)};
    return ag_concat(2, z, -1);
}
GRADCHECK_NAMED(concat, stack)
{
    ag_tensor *x[] = {INPUT(3, 2), INPUT(3, 2), INPUT(3, 2)};
    return ag_square(ag_stack(3, x, 1));
}
GRADCHECK(roll) { return ag_square(ag_roll(ag_roll(INPUT(3, 5, 2), 1, 2), 0, -4)); }
GRADCHECK(permute) { return ag_square(ag_permute(INPUT(2, 3, 4, 5), ORDER(2, 0, 3, 1))); }
GRADCHECK_NAMED(permute, transposed) { return ag_mul(ag_transpose(INPUT(3, 5), 0, 1), INPUT(5, 3)); }
GRADCHECK_NAMED(permute, pixels)
{
    ag_tensor *x = INPUT(1, 2, 3, 8);
    return ag_mul(ag_pixel_shuffle(x, 2), ag_depth_to_space(x, 2));
}
GRADCHECK_NAMED(permute, channels)
{
    ag_tensor *x = INPUT(1, 4, 6, 2);
    return ag_mul(ag_pixel_unshuffle(x, 2), ag_space_to_depth(x, 2));
}
GRADCHECK(flip) { return ag_square(ag_add(ag_flip(INPUT(3, 4, 5), 1), ag_flip(INPUT(3, 4, 5), -1))); }

/* Rows 0, 2, 2, 1 and the like: the same one twice, and one that nothing names. */
static ag_tensor *index_of(gc *c)
{
    ag_tensor *e = FIXED(4, 3), *rows[] = {ag_slice_axis(e, 0, 0, 1), ag_slice_axis(e, 0, 2, 1),
                                           ag_slice_axis(e, 0, 2, 1), ag_slice_axis(e, 0, 1, 1)};
    ag_tensor *codes = ag_nearest(ag_concat(4, rows, 0), e), *both[] = {codes, ag_roll(codes, 0, 1)};
    return ag_stack(2, both, 0);
}
GRADCHECK(take)
{
    ag_tensor *x = INPUT(2, 4, 3);
    return ag_square(ag_take(x, index_of(c)));
}
GRADCHECK(put)
{
    ag_tensor *x = INPUT(2, 4, 3);
    return ag_square(ag_put(x, index_of(c), 4));
}

GRADCHECK_NAMED(matmul, batch) { return ag_matmul(INPUT(2, 3, 4, 5), INPUT(2, 3, 5, 2), false, false); }
GRADCHECK_NAMED(matmul, transposed_batch) { return ag_matmul(INPUT(3, 5, 4), INPUT(3, 2, 5), true, true); }
GRADCHECK_NAMED(matmul, broadcast_left) { return ag_matmul(INPUT(4, 5), INPUT(3, 2, 5), false, true); }
GRADCHECK_NAMED(matmul, broadcast_right) { return ag_matmul(INPUT(2, 3, 4, 5), INPUT(1, 5, 2), false, false); }
GRADCHECK_NAMED(matmul, broadcast_both) { return ag_matmul(INPUT(2, 1, 5, 4), INPUT(3, 5, 2), true, false); }
GRADCHECK_NAMED(matmul, linear)
{
    ag_tensor *x = INPUT(2, 3, 4), *w = INPUT(4, 5), *b = INPUT(5), *r = INPUT(2, 3, 5);
    return ag_linear(x, w, b, r, AG_RELU);
}
GRADCHECK_NAMED(matmul, linear_on_rows) { return ag_linear(INPUT(3, 4), INPUT(4, 2), NULL, INPUT(3, 2), AG_LINEAR); }
