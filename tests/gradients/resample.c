/* Resizing, pooling, filters. */
#include "gradcheck.h"

GRADCHECK(resample) { return ag_square(ag_resize(INPUT(2, 3, 5, 3), 6, 10, AG_NEAREST)); }
GRADCHECK_NAMED(resample, area) { return ag_square(ag_resize(INPUT(1, 8, 5, 2), 3, 7, AG_AREA)); }
GRADCHECK_NAMED(resample, bilinear) { return ag_square(ag_resize(INPUT(1, 5, 4, 2), 3, 9, AG_BILINEAR)); }
GRADCHECK_NAMED(resample, bicubic) { return ag_square(ag_resize(INPUT(1, 3, 1, 2), 8, 4, AG_BICUBIC)); }
GRADCHECK_NAMED(resample, antialias)
{
    ag_tensor *x = INPUT(1, 9, 7, 2);
    return ag_mul(ag_resize(x, 4, 3, AG_BICUBIC_ANTIALIAS), ag_resize(x, 4, 3, AG_BILINEAR_ANTIALIAS));
}
GRADCHECK_NAMED(resample, pool)
{
    return ag_square(ag_avg_pool2d(INPUT(1, 7, 6, 3), &(ag_pool2d_options){.kernel = 3, .stride = 2, .pad = 1}));
}
GRADCHECK_NAMED(resample, pool_inside)
{
    const ag_pool2d_options o = {.kernel = 3, .stride = 4, .pad = 1, .exclude_padding = true};
    return ag_square(ag_avg_pool2d(INPUT(1, 7, 6, 3), &o));
}
GRADCHECK_NAMED(resample, blur)
{
    return ag_square(ag_filter2d(INPUT(1, 6, 7, 2), 4, (const double[]){.125, .375, .375, .125}, 2, 2, 1));
}
GRADCHECK_NAMED(resample, frames) { return ag_square(ag_avg_pool_frames(INPUT(2, 5, 2, 2, 3), 2, 0)); }
GRADCHECK_NAMED(resample, global) { return ag_square(ag_global_average(INPUT(2, 3, 4, 5))); }

GRADCHECK(max_pool2d) { return ag_square(ag_max_pool2d(INPUT(2, 6, 4, 3), &(ag_pool2d_options){.kernel = 2})); }
GRADCHECK_NAMED(max_pool2d, overlapping)
{
    return ag_square(ag_max_pool2d(INPUT(1, 7, 5, 2), &(ag_pool2d_options){.kernel = 3, .stride = 2, .pad = 1}));
}
static ag_tensor *places(gc *c)
{
    ag_tensor *e = FIXED(6, 3), *codes = ag_nearest(ag_flip(e, 0), e), *both[] = {codes, ag_roll(codes, 0, 3)};
    return ag_reshape(ag_stack(2, both, 1), 4, (int64_t[]){1, 2, 3, 2});
}
GRADCHECK(pool_take)
{
    ag_tensor *x = INPUT(1, 3, 2, 2);
    return ag_square(ag_pool_take(x, places(c)));
}
GRADCHECK(pool_put)
{
    ag_tensor *x = INPUT(1, 2, 3, 2);
    return ag_square(ag_pool_put(x, places(c), 3, 2));
}
