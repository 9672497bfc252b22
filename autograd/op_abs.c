/* abs     y = |x|        dx = dy sign(x), 0 at 0 */
#include "engine.h"

static void abs_run(const ag_tensor *y) { k.abs(y->numel, ag__in(y, 0), y->data); }

static void abs_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_mul(dy, ag_sign(y->in[0])); }

const ag__rule ag__abs = {.shape = ag__shape_unary, .run = abs_run, .gradient = abs_gradient, .in_place = 1};

ag_tensor *ag_abs(ag_tensor *x) { return ag__node(AG__OP_abs, 1, &x, NULL, 0); }
