/* softplus  y = ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)        dx = dy / (1 + e^-x)
 *           Behind ag_log_sigmoid: ln(1 / (1 + e^-x)) = -softplus(-x). */
#include "engine.h"

static void softplus_run(const ag_tensor *y) { k.softplus(y->numel, ag__in(y, 0), y->data); }

static void softplus_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_mul(dy, ag_sigmoid(y->in[0])); }

const ag__rule ag__softplus = {
    .shape = ag__shape_unary, .run = softplus_run, .gradient = softplus_gradient, .in_place = 1};

ag_tensor *ag_softplus(ag_tensor *x) { return ag__node(AG__OP_softplus, 1, &x, NULL, 0); }

ag_tensor *ag_log_sigmoid(ag_tensor *x) { return ag_neg(ag_softplus(ag_neg(x))); }
