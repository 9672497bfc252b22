/* matmul  y = act(op(a) op(b) + bias + residual), op = transpose of the last two axes or nothing; leading axes broadcast
 *         with d = dy where the activation passes it:
 *         da = d op(b)^T, db = op(a)^T d, transposed back where op is a transpose, summed over repeated axes
 *         dbias = sum of d over rows, dresidual = d */
#include "engine.h"

enum { FEW_ROWS = 8 }; /* up to so many rows, packing costs more than bf16 saves */

typedef struct options {
    bool ta, tb, bias, residual;
    ag_activation activation;
} options;

static int64_t rows_of(const ag_tensor *t) { return t->shape[t->rank - 2]; }
static int64_t columns_of(const ag_tensor *t) { return t->shape[t->rank - 1]; }

static int64_t inner(const ag_tensor *y)
{
    const options *o = y->attr;
    return o->ta ? rows_of(y->in[0]) : columns_of(y->in[0]);
}

/* b is one matrix and a is not transposed: all rows of a are rows of one product. */
static bool single(const options *o, const ag_tensor *b) { return !o->ta && b->numel == rows_of(b) * columns_of(b); }

/* The leading axes of a and b, broadcast, into shape; AG_ERR_SHAPE if they do not. */
static ag_err batch_shape(const ag_tensor *a, const ag_tensor *b, int rank, int64_t *shape)
{
    for (int axis = 0; axis < rank - 2; axis++) {
        const int64_t x = ag_dim(a, axis - rank), y = ag_dim(b, axis - rank);
        if (x != y && x != 1 && y != 1)
            return ag_fail(AG_ERR_SHAPE, "leading axes do not broadcast: one is %lld in one and %lld in the other",
                           (long long)x, (long long)y);
        shape[axis] = x > y ? x : y;
    }
    return AG_OK;
}

static ag_err matmul_shape(ag_tensor *y)
{
    const ag_tensor *a = y->in[0], *b = y->in[1];
    const options *o = y->attr;
    int64_t shape[AG_MAX_RANK];
    ag_err err = ag__check_type(a, AG_REAL, "the left matrix");
    if (err || (err = ag__check_type(b, AG_REAL, "the right matrix"))) return err;
    if (a->rank < 2 || b->rank < 2) return ag_fail(AG_ERR_SHAPE, "both must have two axes or more");
    if (inner(y) != (o->tb ? columns_of(b) : rows_of(b))) return ag_fail(AG_ERR_SHAPE, "the inner sizes differ");
    if ((err = ag__check_fused(o->activation))) return err;
    const int rank = a->rank > b->rank ? a->rank : b->rank;
    if ((err = batch_shape(a, b, rank, shape))) return err;
    shape[rank - 2] = o->ta ? columns_of(a) : rows_of(a);
    shape[rank - 1] = o->tb ? rows_of(b) : columns_of(b);
    if ((err = ag__shape_set(y, rank, shape))) return err;
    return ag__check_extras(y, o->bias ? y->in[2] : NULL, o->residual ? y->in[2 + o->bias] : NULL);
}

/* Strides of the leading axes of x among those of y. */
static k_strided leading(const ag_tensor *x, const ag_tensor *y)
{
    k_strided s = ag__strided(x, y);
    for (int axis = 0; axis < y->rank - 2; axis++)
        if (ag_dim(x, axis - y->rank) == 1) s.stride[axis] = 0;
    return s;
}

static void matmul_run(const ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *a = y->in[0], *b = y->in[1];
    const k_epilogue e = {.bias = o->bias ? ag__in(y, 2) : NULL,
                          .residual = o->residual ? ag__in(y, 2 + o->bias) : NULL,
                          .activation = o->activation == AG_RELU ? K_RELU : K_LINEAR};
    const bool plain = !o->bias && !o->residual && o->activation == AG_LINEAR, fold = single(o, b);
    const k_strided as = fold ? (k_strided){.data = a->data} : leading(a, y),
                    bs = fold ? (k_strided){.data = b->data} : leading(b, y);
    const int64_t rows = fold ? y->numel / columns_of(y) : rows_of(y);
    (y->precision == AG_BF16 && rows > FEW_ROWS ? k.gemm_batch_bf16 : k.gemm_batch)(
        o->ta, o->tb, fold ? 0 : y->rank - 2, y->shape, rows, columns_of(y), inner(y), &as, &bs, plain ? NULL : &e,
        y->data);
}

/* All rows of x as one matrix. */
static ag_tensor *flat(ag_tensor *x)
{
    return x ? ag_reshape(x, 2, (int64_t[]){x->numel / columns_of(x), columns_of(x)}) : NULL;
}

static ag_tensor *gradient_of_b(ag_tensor *a, ag_tensor *d, const options *o)
{
    return o->tb ? ag_matmul(d, a, true, o->ta) : ag_matmul(a, d, !o->ta, false);
}

static void matmul_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const options *o = y->attr;
    ag_tensor *a = y->in[0], *b = y->in[1], *d = o->activation == AG_RELU ? ag_relu_mask(dy, y) : dy;
    if (ag__wants(y, 1)) /* first: a may be dead before the gradient of its size is born */
        dx[1] = single(o, b) && y->numel == a->numel / inner(y) * columns_of(y)
                    ? ag_reshape(gradient_of_b(flat(a), flat(d), o), b->rank, b->shape)
                    : ag__unbroadcast(gradient_of_b(a, d, o), b);
    if (ag__wants(y, 0))
        dx[0] = ag__unbroadcast(o->ta ? ag_matmul(b, d, o->tb, true) : ag_matmul(d, b, false, !o->tb), a);
    if (o->bias && ag__wants(y, 2)) dx[2] = ag_sum_to(d, 1, y->in[2]->shape);
    if (o->residual && ag__wants(y, 2 + o->bias)) dx[2 + o->bias] = d;
}

static double matmul_flops(const ag_tensor *y) { return 2 * (double)y->numel * (double)inner(y); }

const ag__rule ag__matmul = {
    .shape = matmul_shape, .run = matmul_run, .gradient = matmul_gradient, .flops = matmul_flops};

ag_tensor *ag_matmul(ag_tensor *a, ag_tensor *b, bool ta, bool tb)
{
    const options o = {.ta = ta, .tb = tb};
    return ag__node(AG__OP_matmul, 2, (ag_tensor *[]){a, b}, &o, sizeof o);
}

ag_tensor *ag_linear(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, ag_activation activation)
{
    const options o = {.bias = bias, .residual = residual, .activation = activation};
    ag_tensor *in[4] = {x, w};
    int n = 2;
    if (bias) in[n++] = bias;
    if (residual) in[n++] = residual;
    return ag__node(AG__OP_matmul, n, in, &o, sizeof o);
}
