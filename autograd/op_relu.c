/* relu    y = max(x, 0)  dx = dy where y > 0, else 0 */
#include "engine.h"

static void relu_run(const ag_tensor *y) { k.relu(y->numel, ag__in(y, 0), y->data); }

static void relu_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_relu_mask(dy, y); }

const ag__rule ag__relu = {.shape = ag__shape_unary, .run = relu_run, .gradient = relu_gradient, .in_place = 1};

ag_tensor *ag_relu(ag_tensor *x) { return ag__node(AG__OP_relu, 1, &x, NULL, 0); }
