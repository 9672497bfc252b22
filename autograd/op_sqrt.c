/* sqrt    y = sqrt(x)    dx = dy / (2 y) */
#include "engine.h"

static void sqrt_run(const ag_tensor *y) { k.sqrt(y->numel, ag__in(y, 0), y->data); }

static void sqrt_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_div(dy, ag_scale(y, 2)); }

const ag__rule ag__sqrt = {.shape = ag__shape_unary, .run = sqrt_run, .gradient = sqrt_gradient, .in_place = 1};

ag_tensor *ag_sqrt(ag_tensor *x) { return ag__node(AG__OP_sqrt, 1, &x, NULL, 0); }
