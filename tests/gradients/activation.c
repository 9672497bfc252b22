/* Elementary functions, activations, dropout. Inputs are in +-[0.2,1.2] (POSITIVE: [0.2,1.2]). */
#include "gradcheck.h"

/* The gradient of sum(f^2 / 2) for x as a tensor: brings the fused gradient op into the value that is checked. */
static ag_tensor *slope_of(ag_tensor *f, ag_tensor *x)
{
    ag_tensor *dx;
    ag_gradient(ag_scale(ag_sum(ag_square(f)), 0.5), 1, &x, &dx);
    return dx;
}

GRADCHECK(log1p) { return ag_log1p(POSITIVE(3, 5)); }
GRADCHECK(erf) { return ag_erf(INPUT(3, 5)); }
GRADCHECK(tanh) { return ag_tanh(INPUT(3, 5)); }
GRADCHECK(tanh_grad)
{
    ag_tensor *x = INPUT(3, 5);
    return slope_of(ag_tanh(x), x);
}
GRADCHECK(sigmoid) { return ag_sigmoid(ag_scale(INPUT(3, 5), 3)); }
GRADCHECK(sigmoid_grad)
{
    ag_tensor *x = INPUT(3, 5);
    return slope_of(ag_sigmoid(x), x);
}
GRADCHECK(softplus) { return ag_softplus(ag_scale(INPUT(3, 5), 3)); }
GRADCHECK_NAMED(softplus, log_sigmoid) { return ag_log_sigmoid(INPUT(3, 5)); }
GRADCHECK(gelu) { return ag_gelu(ag_scale(INPUT(3, 5), 2)); }
GRADCHECK(gelu_grad)
{
    ag_tensor *x = INPUT(3, 5);
    return slope_of(ag_gelu(x), x);
}
GRADCHECK(swish) { return ag_silu(ag_scale(INPUT(3, 5), 2)); }
GRADCHECK_NAMED(swish, quick_gelu) { return ag_quick_gelu(INPUT(3, 5)); }
GRADCHECK_NAMED(swish, gelu_tanh) { return ag_gelu_tanh(ag_scale(INPUT(3, 5), 2)); }
GRADCHECK(swish_grad)
{
    ag_tensor *x = INPUT(3, 5);
    return slope_of(ag_silu(x), x);
}
GRADCHECK_NAMED(swish_grad, gelu_tanh)
{
    ag_tensor *x = INPUT(3, 5);
    return slope_of(ag_gelu_tanh(x), x);
}
GRADCHECK(leaky_relu, .linear = true) { return ag_leaky_relu(INPUT(3, 5), 0.2); }
GRADCHECK(leaky_relu_mask)
{
    ag_tensor *x = INPUT(3, 5);
    return ag_square(slope_of(ag_leaky_relu(x, 0.2), x));
}
GRADCHECK(pow) { return ag_pow(INPUT(3, 5), 3); }
GRADCHECK_NAMED(pow, reciprocal) { return ag_pow(INPUT(3, 5), -1); }
GRADCHECK_NAMED(pow, any) { return ag_pow(POSITIVE(3, 5), 2.2); }
GRADCHECK(sin) { return ag_sin(ag_scale(INPUT(3, 5), 4)); }
GRADCHECK(cos) { return ag_cos(ag_scale(INPUT(3, 5), 4)); }
GRADCHECK(maximum) { return ag_maximum(ag_square(INPUT(4, 5)), ag_scale(ag_square(POSITIVE(5)), 0.9)); }
GRADCHECK(minimum) { return ag_minimum(ag_square(INPUT(4, 1)), ag_scale(ag_square(POSITIVE(5)), 0.9)); }
GRADCHECK(dropout, .linear = true) { return ag_dropout(INPUT(7, 13), 0.4); }
GRADCHECK(drop_path, .linear = true) { return ag_drop_path(INPUT(9, 2, 3), 0.4); }
GRADCHECK_NAMED(dropout, twice)
{
    ag_tensor *x = INPUT(7, 13);
    return slope_of(ag_square(ag_dropout(x, 0.4)), x);
}
