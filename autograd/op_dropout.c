/* dropout    y_i = x_i / (1 - p) with probability 1 - p, else 0        dx = the same of dy
 * drop_path  the same for whole samples (axis 0), that is, for residual branches
 * Element or sample i is dropped by word i of the node's random stream. The gradient's node gets the forward node's key and
 * makes the same mask again; none is stored. Srivastava et al. 2014, JMLR 15; Huang et al. 2016, arXiv:1603.09382 */
#include "engine.h"

#include <math.h>

static ag_err dropout_shape(ag_tensor *y)
{
    const double p = *(const double *)y->attr;
    if (!(p > 0 && p < 1)) return ag_fail(AG_ERR_SHAPE, "probability %g; it must be from 0 to less than 1", p);
    if (y->op == AG__OP_drop_path && y->in[0]->rank < 1) return ag_fail(AG_ERR_SHAPE, "a number has no samples");
    return ag__shape_unary(y);
}

/* Words below this are dropped. */
static uint32_t threshold(const ag_tensor *y)
{
    return (uint32_t)fmin(rint(*(const double *)y->attr * 0x1p32), 0x1p32 - 1);
}

static real scale(const ag_tensor *y) { return (real)(1 / (1 - *(const double *)y->attr)); }

static void dropout_run(const ag_tensor *y)
{
    k.dropout(y->numel, y->graph->seed, ag__stream(y), threshold(y), scale(y), ag__in(y, 0), y->data);
}

static void dropout_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag__node(y->op, 1, &dy, y->attr, sizeof(double));
    if (dx[0]) dx[0]->key = y->key;
}

const ag__rule ag__dropout = {.shape = dropout_shape, .run = dropout_run, .gradient = dropout_gradient, .in_place = 1};

static void drop_path_run(const ag_tensor *y)
{
    const int64_t samples = y->shape[0];
    k.drop_rows(samples, y->numel / samples, y->graph->seed, ag__stream(y), threshold(y), scale(y), ag__in(y, 0),
                y->data);
}

const ag__rule ag__drop_path = {
    .shape = dropout_shape, .run = drop_path_run, .gradient = dropout_gradient, .in_place = 1};

static ag_tensor *node(ag__op op, ag_tensor *x, double p) { return p == 0 ? x : ag__node(op, 1, &x, &p, sizeof p); }

ag_tensor *ag_dropout(ag_tensor *x, double p) { return node(AG__OP_dropout, x, p); }
ag_tensor *ag_drop_path(ag_tensor *x, double p) { return node(AG__OP_drop_path, x, p); }
