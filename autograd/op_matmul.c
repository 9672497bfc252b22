/* matmul  y = op(a) op(b), op = transpose or nothing
 *         da = dy op(b)^T, db = op(a)^T dy, transposed back where op is a transpose */
#include "engine.h"

typedef struct options {
    bool ta, tb;
} options;

static int64_t inner(const ag_tensor *y)
{
    const options *o = y->attr;
    return y->in[0]->shape[o->ta ? 0 : 1];
}

static ag_err matmul_shape(ag_tensor *y)
{
    const ag_tensor *a = y->in[0], *b = y->in[1];
    const options *o = y->attr;
    ag_err err = ag__check_type(a, AG_REAL, "the left matrix");
    if (err || (err = ag__check_type(b, AG_REAL, "the right matrix"))) return err;
    if (a->rank != 2 || b->rank != 2) return ag_fail(AG_ERR_SHAPE, "both must have two axes");
    if (inner(y) != b->shape[o->tb ? 1 : 0]) return ag_fail(AG_ERR_SHAPE, "the inner sizes differ");
    return ag__shape_set(y, 2, (int64_t[]){a->shape[o->ta ? 1 : 0], b->shape[o->tb ? 0 : 1]});
}

static void matmul_run(const ag_tensor *y)
{
    const options *o = y->attr;
    k.gemm(o->ta, o->tb, y->shape[0], y->shape[1], inner(y), ag__in(y, 0), ag__in(y, 1), y->data);
}

static void matmul_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const options *o = y->attr;
    ag_tensor *a = y->in[0], *b = y->in[1];
    if (ag__wants(y, 0)) dx[0] = o->ta ? ag_matmul(b, dy, o->tb, true) : ag_matmul(dy, b, false, !o->tb);
    if (ag__wants(y, 1)) dx[1] = o->tb ? ag_matmul(dy, a, true, o->ta) : ag_matmul(a, dy, !o->ta, false);
}

static double matmul_flops(const ag_tensor *y) { return 2 * (double)y->numel * (double)inner(y); }

const ag__rule ag__matmul = {
    .shape = matmul_shape, .run = matmul_run, .gradient = matmul_gradient, .flops = matmul_flops};

ag_tensor *ag_matmul(ag_tensor *a, ag_tensor *b, bool ta, bool tb)
{
    return ag__node(AG__OP_matmul, 2, (ag_tensor *[]){a, b}, &(options){ta, tb}, sizeof(options));
}
