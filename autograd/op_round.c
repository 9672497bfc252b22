/* round     y = the nearest whole number, halves to the even one; no gradient
 * binarize  y = 1 where x > 0, else -1; no gradient
 * With straight-through: finite scalar quantization (Mentzer et al. 2023, arXiv:2309.15505) rounds, lookup-free quantization
 * (Yu et al. 2023, arXiv:2310.05737) takes signs. */
#include "engine.h"

static void round_run(const ag_tensor *y) { k.round(y->numel, ag__in(y, 0), y->data); }

const ag__rule ag__round = {.shape = ag__shape_unary, .run = round_run, .in_place = 1};

ag_tensor *ag_round(ag_tensor *x) { return ag__node(AG__OP_round, 1, &x, NULL, 0); }
ag_tensor *ag_round_through(ag_tensor *x) { return ag_straight_through(x, ag_round(x)); }

static void binarize_run(const ag_tensor *y) { k.binarize(y->numel, ag__in(y, 0), y->data); }

const ag__rule ag__binarize = {.shape = ag__shape_unary, .run = binarize_run, .in_place = 1};

ag_tensor *ag_binarize(ag_tensor *x) { return ag__node(AG__OP_binarize, 1, &x, NULL, 0); }
ag_tensor *ag_sign_through(ag_tensor *x) { return ag_straight_through(x, ag_binarize(x)); }
