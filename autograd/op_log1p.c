/* log1p   y = ln(1 + x), x > -1        dx = dy / (1 + x) */
#include "engine.h"

static void log1p_run(const ag_tensor *y) { k.log1p(y->numel, ag__in(y, 0), y->data); }

static void log1p_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_div(dy, ag_shift(y->in[0], 1)); }

const ag__rule ag__log1p = {.shape = ag__shape_unary, .run = log1p_run, .gradient = log1p_gradient, .in_place = 1};

ag_tensor *ag_log1p(ag_tensor *x) { return ag__node(AG__OP_log1p, 1, &x, NULL, 0); }
