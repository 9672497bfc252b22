/* square  y = x^2        dx = 2 dy x */
#include "engine.h"

static void square_run(const ag_tensor *y) { k.square(y->numel, ag__in(y, 0), y->data); }

static void square_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_mul(ag_scale(dy, 2), y->in[0]); }

const ag__rule ag__square = {.shape = ag__shape_unary, .run = square_run, .gradient = square_gradient, .in_place = 1};

ag_tensor *ag_square(ag_tensor *x) { return ag__node(AG__OP_square, 1, &x, NULL, 0); }
