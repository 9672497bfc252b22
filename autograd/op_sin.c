/* sin     y = sin x        dx = dy cos x
 * cos     y = cos x        dx = -dy sin x */
#include "engine.h"

static void sin_run(const ag_tensor *y) { k.sin(y->numel, ag__in(y, 0), y->data); }

static void sin_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_mul(dy, ag_cos(y->in[0])); }

const ag__rule ag__sin = {.shape = ag__shape_unary, .run = sin_run, .gradient = sin_gradient, .in_place = 1};

ag_tensor *ag_sin(ag_tensor *x) { return ag__node(AG__OP_sin, 1, &x, NULL, 0); }

static void cos_run(const ag_tensor *y) { k.cos(y->numel, ag__in(y, 0), y->data); }

static void cos_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_neg(ag_mul(dy, ag_sin(y->in[0]))); }

const ag__rule ag__cos = {.shape = ag__shape_unary, .run = cos_run, .gradient = cos_gradient, .in_place = 1};

ag_tensor *ag_cos(ag_tensor *x) { return ag__node(AG__OP_cos, 1, &x, NULL, 0); }
