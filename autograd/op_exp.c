/* exp     y = e^x        dx = dy y */
#include "engine.h"

static void exp_run(const ag_tensor *y) { k.exp(y->numel, ag__in(y, 0), y->data); }

static void exp_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_mul(dy, y); }

const ag__rule ag__exp = {.shape = ag__shape_unary, .run = exp_run, .gradient = exp_gradient, .in_place = 1};

ag_tensor *ag_exp(ag_tensor *x) { return ag__node(AG__OP_exp, 1, &x, NULL, 0); }
