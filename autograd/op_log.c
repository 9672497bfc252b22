/* log     y = ln x       dx = dy / x */
#include "engine.h"

static void log_run(const ag_tensor *y) { k.log(y->numel, ag__in(y, 0), y->data); }

static void log_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_div(dy, y->in[0]); }

const ag__rule ag__log = {.shape = ag__shape_unary, .run = log_run, .gradient = log_gradient, .in_place = 1};

ag_tensor *ag_log(ag_tensor *x) { return ag__node(AG__OP_log, 1, &x, NULL, 0); }
