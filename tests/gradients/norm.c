/* Normalisations. */
#include "gradcheck.h"

GRADCHECK_NAMED(norm, layer) { return ag_layer_norm(INPUT(3, 2, 5), INPUT(5), INPUT(5), 1e-5); }
GRADCHECK_NAMED(norm, layer_plain) { return ag_layer_norm(INPUT(4, 7), NULL, NULL, 1e-6); }
GRADCHECK_NAMED(norm, layer_bias) { return ag_layer_norm(INPUT(4, 7), NULL, INPUT(7), 1e-6); }
GRADCHECK_NAMED(norm, rms) { return ag_rms_norm(INPUT(4, 7), INPUT(7), 1e-5); }
GRADCHECK_NAMED(norm, rms_plain) { return ag_rms_norm(INPUT(2, 3, 5), NULL, 1e-2); }
GRADCHECK_NAMED(norm, l2) { return ag_l2_normalize(INPUT(4, 7), 1e-12); }
GRADCHECK_NAMED(norm, l2_short, .linear = true) { return ag_l2_normalize(INPUT(4, 7), 100); }
GRADCHECK_NAMED(norm, group) { return ag_group_norm(INPUT(2, 3, 2, 6), INPUT(6), INPUT(6), 3, 1e-5, AG_LINEAR); }
GRADCHECK_NAMED(norm, group_one) { return ag_group_norm(INPUT(2, 3, 5), NULL, NULL, 1, 1e-5, AG_LINEAR); }
GRADCHECK_NAMED(norm, group_silu) { return ag_group_norm(INPUT(2, 3, 2, 6), INPUT(6), INPUT(6), 2, 1e-5, AG_SILU); }
GRADCHECK_NAMED(norm, group_silu_weight) { return ag_group_norm(INPUT(2, 5, 4), INPUT(4), NULL, 2, 1e-5, AG_SILU); }
GRADCHECK_NAMED(norm, group_relu) { return ag_group_norm(INPUT(2, 3, 6), INPUT(6), INPUT(6), 2, 1e-5, AG_RELU); }
GRADCHECK_NAMED(norm, vector_silu) { return ag_group_norm(INPUT(2, 6), INPUT(6), INPUT(6), 1, 1e-5, AG_SILU); }
GRADCHECK_NAMED(norm, batch)
{
    return ag_batch_norm(INPUT(3, 2, 2, 3), INPUT(3), INPUT(3), 1e-5, AG_LINEAR, NULL, NULL);
}
GRADCHECK_NAMED(norm, batch_silu) { return ag_batch_norm(INPUT(5, 3), INPUT(3), INPUT(3), 1e-5, AG_SILU, NULL, NULL); }

/* The gradient ops as functions of all that they read. */
static ag_tensor *gradient_of(ag_tensor *y, ag_tensor *dy, ag_tensor *wrt)
{
    ag_tensor *d;
    ag_gradient(ag_sum(ag_mul(y, dy)), 1, &wrt, &d);
    return d;
}

GRADCHECK_NAMED(norm_grad, layer)
{
    ag_tensor *x = INPUT(3, 5), *w = INPUT(5), *b = FIXED(5), *dy = INPUT(3, 5);
    return gradient_of(ag_layer_norm(x, w, b, 1e-5), dy, x);
}
GRADCHECK_NAMED(norm_grad, group_silu, .first = true)
{
    ag_tensor *x = INPUT(2, 3, 4), *w = INPUT(4), *b = INPUT(4), *dy = INPUT(2, 3, 4);
    return gradient_of(ag_group_norm(x, w, b, 2, 1e-5, AG_SILU), dy, x);
}
GRADCHECK_NAMED(norm_grad, rms)
{
    ag_tensor *x = INPUT(3, 5), *w = INPUT(5), *dy = INPUT(3, 5);
    return gradient_of(ag_rms_norm(x, w, 1e-5), dy, x);
}
GRADCHECK_NAMED(norm_grad, l2)
{
    ag_tensor *x = INPUT(3, 5), *dy = INPUT(3, 5);
    return gradient_of(ag_l2_normalize(x, 1e-12), dy, x);
}
GRADCHECK_NAMED(norm_parameter_grad, weight, .first = true)
{
    ag_tensor *x = INPUT(2, 3, 4), *w = INPUT(4), *b = INPUT(4), *dy = INPUT(2, 3, 4);
    return gradient_of(ag_group_norm(x, w, b, 2, 1e-5, AG_SILU), dy, w);
}
GRADCHECK_NAMED(norm_parameter_grad, bias, .first = true)
{
    ag_tensor *x = INPUT(2, 3, 4), *w = INPUT(4), *b = INPUT(4), *dy = INPUT(2, 3, 4);
    return gradient_of(ag_group_norm(x, w, b, 2, 1e-5, AG_SILU), dy, b);
}
