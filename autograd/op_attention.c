/* attention  y = softmax(scale q k^T + bias, where mask) v,  q, y [N,Lq,H,D], k, v [N,Lk,H,D], bias [H,Lq,Lk]
 *         part: logsumexp of the scores [N,H,Lq]
 *         The gradients (attention_grad: dq, with dk and dv as parts; attention_bias_grad) are fused and computed in tiles:
 *         kernels/attention_grad.c. They are not differentiated again: a gradient of a gradient through attention is an error.
 * Vaswani et al. 2017, arXiv:1706.03762, 3.2; Dao et al. 2022, arXiv:2205.14135 */
#include "engine.h"

#include <math.h>

typedef struct options {
    double scale;
    bool mask, bias;
} options;

static ag_err check_heads(const ag_tensor *t, const char *what)
{
    if (t->dtype == AG_REAL && t->rank == 4) return AG_OK;
    return ag_fail(AG_ERR_SHAPE, "the %s must be real [N,L,H,D]", what);
}

static ag_err check_mask(const ag_tensor *m, const ag_tensor *q, const ag_tensor *k_)
{
    const int64_t lq = q->shape[1], lk = k_->shape[1];
    if (m->dtype == AG_U8 && m->rank == 2 && m->shape[0] == lq && m->shape[1] == lk) return AG_OK;
    if (m->dtype == AG_U8 && m->rank == 3 && m->shape[0] == q->shape[0] && m->shape[2] == lk &&
        (m->shape[1] == lq || m->shape[1] == 1))
        return AG_OK;
    return ag_fail(AG_ERR_SHAPE, "the mask must be u8 [Lq,Lk], [N,Lq,Lk] or [N,1,Lk], not %s %s",
                   ag_dtype_name(m->dtype), ag__shape_text(m));
}

static ag_err check_operands(const ag_tensor *q, const ag_tensor *k_, const ag_tensor *v)
{
    ag_err err = check_heads(q, "queries");
    if (err || (err = check_heads(k_, "keys"))) return err;
    if (v->dtype != AG_REAL || !ag__same_shape(k_, v)) return ag_fail(AG_ERR_SHAPE, "keys and values differ in shape");
    if (q->shape[0] != k_->shape[0] || q->shape[2] != k_->shape[2] || q->shape[3] != k_->shape[3])
        return ag_fail(AG_ERR_SHAPE, "queries and keys differ in samples, heads or width");
    return AG_OK;
}

/* Inputs: q, k, v, [mask], [bias]. */
static ag_err attention_shape(ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *q = y->in[0], *k_ = y->in[1];
    ag_err err = check_operands(q, k_, y->in[2]);
    if (err || (o->mask && (err = check_mask(y->in[3], q, k_)))) return err;
    if (o->bias) {
        const ag_tensor *b = y->in[3 + o->mask];
        if (b->dtype != AG_REAL || b->rank != 3 || b->shape[0] != q->shape[2] || b->shape[1] != q->shape[1] ||
            b->shape[2] != k_->shape[1])
            return ag_fail(AG_ERR_SHAPE, "the bias must be real [H,Lq,Lk], not %s", ag__shape_text(b));
    }
    return ag__shape_copy(y, q);
}

/* The kernel's view of a node whose first inputs are those of attention. */
static k_attention sizes(const ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *q = y->in[0], *m = o->mask ? y->in[3] : NULL;
    k_attention a = {.n = q->shape[0],
                     .lq = q->shape[1],
                     .lk = y->in[1]->shape[1],
                     .heads = q->shape[2],
                     .d = q->shape[3],
                     .scale = o->scale};
    if (m) {
        a.mask = m->data;
        a.mask_n = m->rank == 3 ? m->shape[1] * m->shape[2] : 0;
        a.mask_query = m->rank == 3 && m->shape[1] == 1 ? 0 : a.lk;
    }
    if (o->bias) a.bias = ag__in(y, 3 + o->mask);
    return a;
}

static void attention_run(const ag_tensor *y)
{
    const k_attention a = sizes(y);
    k.attention(&a, ag__in(y, 0), ag__in(y, 1), ag__in(y, 2), y->data, ag__part_data(y, 0), y->scratch);
}

static size_t attention_scratch(const ag_tensor *y)
{
    const k_attention a = sizes(y);
    return k.attention_scratch(&a);
}

static double products(const ag_tensor *y, double count)
{
    return count * 2 * (double)y->in[0]->numel * (double)y->in[1]->shape[1];
}

static double attention_flops(const ag_tensor *y) { return products(y, 2); }

/* Part i of d, through which no second gradient passes. */
static ag_tensor *part_of(ag_tensor *d, int i, const ag_tensor *like)
{
    ag_tensor *p = ag__part(d, i, AG_REAL, like->rank, like->shape);
    return p ? ag__node(AG__OP_attention_part, 2, (ag_tensor *[]){d, p}, NULL, 0) : NULL;
}

static void attention_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const options *o = y->attr;
    ag_tensor *in[8];
    int n = 0;
    for (; n < y->inputs; n++) in[n] = y->in[n];
    in[n++] = y, in[n++] = dy, in[n++] = y->parts[0];
    const int bias = 3 + o->mask;
    if (ag__wants(y, 0) || ag__wants(y, 1) || ag__wants(y, 2)) {
        dx[0] = ag__node(AG__OP_attention_grad, n, in, o, sizeof *o);
        if (!dx[0]) return;
        dx[1] = part_of(dx[0], 0, y->in[1]);
        dx[2] = part_of(dx[0], 1, y->in[2]);
    }
    if (o->bias && ag__wants(y, bias)) dx[bias] = ag__node(AG__OP_attention_bias_grad, n, in, o, sizeof *o);
}

const ag__rule ag__attention = {.shape = attention_shape,
                                .run = attention_run,
                                .gradient = attention_gradient,
                                .scratch = attention_scratch,
                                .flops = attention_flops};

/* ---- gradients: inputs those of attention, then y, dy, logsumexp ------------------------------------------------------- */

static const real *last(const ag_tensor *d, int back) { return d->in[d->inputs - back]->data; }

static ag_err attention_grad_shape(ag_tensor *d) { return ag__shape_copy(d, d->in[0]); }

static void attention_grad_run(const ag_tensor *d)
{
    const k_attention a = sizes(d);
    k.attention_grad(&a, ag__in(d, 0), ag__in(d, 1), ag__in(d, 2), last(d, 3), last(d, 1), last(d, 2), d->data,
                     ag__part_data(d, 0), ag__part_data(d, 1), d->scratch);
}

static size_t attention_grad_scratch(const ag_tensor *d)
{
    const k_attention a = sizes(d);
    return k.attention_grad_scratch(&a);
}

static double attention_grad_flops(const ag_tensor *d) { return products(d, 5); }

const ag__rule ag__attention_grad = {.shape = attention_grad_shape,
                                     .run = attention_grad_run,
                                     .scratch = attention_grad_scratch,
                                     .flops = attention_grad_flops};

static ag_err attention_part_shape(ag_tensor *p) { return ag__shape_copy(p, p->in[1]); }

static double nothing(const ag_tensor *p)
{
    (void)p;
    return 0;
}

const ag__rule ag__attention_part = {.shape = attention_part_shape, .flops = nothing, .view = true};

static ag_err attention_bias_grad_shape(ag_tensor *d)
{
    const options *o = d->attr;
    return ag__shape_copy(d, d->in[3 + o->mask]);
}

static void attention_bias_grad_run(const ag_tensor *d)
{
    const k_attention a = sizes(d);
    k.attention_bias(&a, ag__in(d, 0), ag__in(d, 1), ag__in(d, 2), last(d, 3), last(d, 1), last(d, 2), d->data,
                     d->scratch);
}

static size_t attention_bias_grad_scratch(const ag_tensor *d)
{
    const k_attention a = sizes(d);
    return k.attention_bias_scratch(&a);
}

static double attention_bias_grad_flops(const ag_tensor *d) { return products(d, 2); }

const ag__rule ag__attention_bias_grad = {.shape = attention_bias_grad_shape,
                                          .run = attention_bias_grad_run,
                                          .scratch = attention_bias_grad_scratch,
                                          .flops = attention_bias_grad_flops};

/* ---- building ---------------------------------------------------------------------------------------------------------- */

/* [N,L,C] as [N,L,heads,C/heads] */
static ag_tensor *split(ag_tensor *t, int64_t heads)
{
    if (t->rank != 3) return t;
    if (heads < 1 || t->shape[2] % heads)
        return ag__mistake(t->graph, "attention", "%s cannot be cut into %lld heads", ag__shape_text(t),
                           (long long)heads);
    return ag_reshape(t, 4, (int64_t[]){t->shape[0], t->shape[1], heads, t->shape[2] / heads});
}

ag_tensor *ag_attention(ag_tensor *q, ag_tensor *k_, ag_tensor *v, const ag_attention_options *options_)
{
    static const ag_attention_options none;
    const ag_attention_options *a = options_ ? options_ : &none;
    if (!q || !k_ || !v) return NULL;
    const bool flat = q->rank == 3;
    ag_tensor *in[5] = {split(q, a->heads), split(k_, a->heads), split(v, a->heads)};
    options o = {.scale = a->scale, .mask = a->mask, .bias = a->bias};
    if (o.scale == 0) o.scale = 1 / sqrt((double)ag_dim(in[0], -1));
    int n = 3;
    if (o.mask) in[n++] = a->mask;
    if (o.bias) in[n++] = a->bias;
    ag_tensor *y = ag__node(AG__OP_attention, n, in, &o, sizeof o);
    if (!y) return NULL;
    ag__part(y, 0, AG_REAL, 3, (int64_t[]){y->shape[0], y->shape[2], y->shape[1]});
    return flat ? ag_reshape(y, 3, q->shape) : y;
}
