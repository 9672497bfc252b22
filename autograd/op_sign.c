/* sign    y = -1, 0 or 1; no gradient */
#include "engine.h"

static void sign_run(const ag_tensor *y) { k.sign(y->numel, ag__in(y, 0), y->data); }

const ag__rule ag__sign = {.shape = ag__shape_unary, .run = sign_run, .in_place = 1};

ag_tensor *ag_sign(ag_tensor *x) { return ag__node(AG__OP_sign, 1, &x, NULL, 0); }
