/* Softmax and cross-entropy. */
#include "gradcheck.h"

GRADCHECK(softmax) { return ag_softmax(INPUT(2, 3, 5)); }
GRADCHECK(log_softmax) { return ag_log_softmax(INPUT(3, 7)); }
GRADCHECK(logsumexp) { return ag_logsumexp(INPUT(2, 3, 5)); }

static ag_tensor *gradient_of(ag_tensor *y, ag_tensor *dy, ag_tensor *wrt)
{
    ag_tensor *d;
    ag_gradient(ag_sum(ag_mul(y, dy)), 1, &wrt, &d);
    return d;
}

GRADCHECK(softmax_grad)
{
    ag_tensor *x = INPUT(3, 5), *dy = INPUT(3, 5);
    return gradient_of(ag_softmax(x), dy, x);
}
GRADCHECK(log_softmax_grad)
{
    ag_tensor *x = INPUT(3, 5), *dy = INPUT(3, 5);
    return gradient_of(ag_log_softmax(x), dy, x);
}

/* [5] labels 0..4 of five classes. */
static ag_tensor *labels(gc *c)
{
    ag_tensor *e = FIXED(5, 3);
    return ag_nearest(e, e);
}
GRADCHECK_NAMED(cross_entropy, labels)
{
    ag_tensor *x = INPUT(5, 7);
    return ag_cross_entropy_rows(x, labels(c), 0);
}
GRADCHECK_NAMED(cross_entropy, smooth)
{
    ag_tensor *x = INPUT(5, 7), *w = INPUT(5);
    return ag_cross_entropy(x, labels(c), ag_shift(ag_square(w), 0.1), 0.1);
}
GRADCHECK_NAMED(cross_entropy, shares) { return ag_cross_entropy_rows(INPUT(5, 7), INPUT(5, 7), 0.2); }
GRADCHECK_NAMED(cross_entropy, mean) { return ag_cross_entropy(INPUT(2, 2, 3), POSITIVE(2, 2, 3), NULL, 0); }
GRADCHECK_NAMED(cross_entropy_grad, labels)
{
    ag_tensor *x = INPUT(5, 7), *dy = INPUT(5);
    return gradient_of(ag_cross_entropy_rows(x, labels(c), 0.1), dy, x);
}
GRADCHECK_NAMED(cross_entropy_grad, shares)
{
    ag_tensor *x = INPUT(3, 4), *q = INPUT(3, 4), *dy = INPUT(3);
    return gradient_of(ag_cross_entropy_rows(x, q, 0.1), dy, x);
}
