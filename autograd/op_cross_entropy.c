/* cross_entropy  loss[...] = sum_j q_j (logsumexp(x) - x_j),  x [...,C]
 *         q = (1 - s) target + s / C: target is 1 at the label (i32 [...]) or given (real [...,C]), s the smoothing. A row with
 *         a negative label has loss 0.                 part: logsumexp(x)
 *         dx = dloss (softmax(x) sum q - q),  dtarget = dloss (1 - s) (logsumexp(x) - x)
 *
 * cross_entropy_grad  dx as one pass; differentiated again by its composed form. */
#include "engine.h"

typedef struct options {
    double smoothing;
    bool labels;
} options;

static int64_t width(const ag_tensor *x) { return x->shape[x->rank - 1]; }
static const int32_t *labels_of(const ag_tensor *t, const options *o) { return o->labels ? t->data : NULL; }
static const real *targets_of(const ag_tensor *t, const options *o) { return o->labels ? NULL : t->data; }

static ag_err cross_entropy_shape(ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *x = y->in[0], *q = y->in[1];
    if (x->dtype != AG_REAL || x->rank < 1) return ag_fail(AG_ERR_SHAPE, "the logits must be real [...,C]");
    if (!(o->smoothing >= 0 && o->smoothing <= 1))
        return ag_fail(AG_ERR_SHAPE, "a label smoothing of %g; it must be in 0..1", o->smoothing);
    if (q->dtype != (o->labels ? AG_I32 : AG_REAL))
        return ag_fail(AG_ERR_SHAPE, "targets are i32 labels or real shares, not %s", ag_dtype_name(q->dtype));
    if (o->labels ? q->numel != x->numel / width(x) : !ag__same_shape(q, x))
        return ag_fail(AG_ERR_SHAPE, "logits [...,C] take labels [...] or shares [...,C]");
    y->dtype = AG_REAL;
    return ag__shape_set(y, x->rank - 1, x->shape);
}

static void cross_entropy_run(const ag_tensor *y)
{
    const options *o = y->attr;
    k.cross_entropy(y->numel, width(y->in[0]), ag__in(y, 0), labels_of(y->in[1], o), targets_of(y->in[1], o),
                    (real)o->smoothing, y->data, ag__part_data(y, 0));
}

/* t [...] as [...,1] */
static ag_tensor *column(ag_tensor *t)
{
    int64_t shape[AG_MAX_RANK];
    if (!t) return NULL;
    for (int i = 0; i < t->rank; i++) shape[i] = t->shape[i];
    shape[t->rank] = 1;
    return ag_reshape(t, t->rank + 1, shape);
}

static void cross_entropy_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const options *o = y->attr;
    ag_tensor *x = y->in[0];
    if (ag__wants(y, 0))
        dx[0] = ag__node(AG__OP_cross_entropy_grad, 4, (ag_tensor *[]){x, y->in[1], dy, y->parts[0]}, o, sizeof *o);
    if (ag__wants(y, 1)) dx[1] = ag_scale(ag_mul(column(dy), ag_neg(ag_log_softmax(x))), 1 - o->smoothing);
}

static double cross_entropy_flops(const ag_tensor *y) { return 5 * (double)y->in[0]->numel; }

const ag__rule ag__cross_entropy = {.shape = cross_entropy_shape,
                                    .run = cross_entropy_run,
                                    .gradient = cross_entropy_gradient,
                                    .flops = cross_entropy_flops};

static ag_err cross_entropy_grad_shape(ag_tensor *d) { return ag__shape_copy(d, d->in[0]); }

static void cross_entropy_grad_run(const ag_tensor *d)
{
    const options *o = d->attr;
    k.cross_entropy_grad(d->in[2]->numel, width(d), ag__in(d, 0), ag__in(d, 3), ag__in(d, 2), labels_of(d->in[1], o),
                         targets_of(d->in[1], o), (real)o->smoothing, d->data);
}

/* dloss (p sum q - q) */
static ag_tensor *composed_grad(const ag_tensor *d, ag_tensor *const *in)
{
    const options *o = d->attr;
    ag_tensor *p = ag_softmax(in[0]), *dloss = column(in[2]);
    const double s = o->smoothing, c = (double)width(d);
    ag_tensor *q = o->labels ? ag__node(AG__OP_label_shares, 2, (ag_tensor *[]){in[0], in[1]}, o, sizeof *o)
                             : ag_shift(ag_scale(in[1], 1 - s), s / c);
    return ag_mul(dloss, ag_sub(ag_mul(p, ag__last_sum(q)), q));
}

static void cross_entropy_grad_gradient(ag_tensor *d, ag_tensor *dd, ag_tensor **dx)
{
    ag__gradient_of_composed(d, dd, dx, composed_grad);
}

const ag__rule ag__cross_entropy_grad = {.shape = cross_entropy_grad_shape,
                                         .run = cross_entropy_grad_run,
                                         .gradient = cross_entropy_grad_gradient,
                                         .flops = cross_entropy_flops,
                                         .in_place = 1};

/* ---- label_shares: the q of labels, for x [...,C] and labels [...]; 0 everywhere for a negative label ----------------- */

static void label_shares_run(const ag_tensor *q)
{
    const options *o = q->attr;
    const int64_t c = width(q);
    const int32_t *label = q->in[1]->data;
    real *to = q->data;
    for (int64_t r = 0; r < q->numel / c; r++)
        for (int64_t i = 0; i < c; i++)
            to[r * c + i] =
                (real)(label[r] < 0 ? 0 : o->smoothing / (double)c + (label[r] == i ? 1 - o->smoothing : 0));
}

const ag__rule ag__label_shares = {.shape = cross_entropy_grad_shape, .run = label_shares_run};

/* ---- building ------------------------------------------------------------------------------------------------------ */

ag_tensor *ag_cross_entropy_rows(ag_tensor *logits, ag_tensor *target, double smoothing)
{
    if (!logits || !target) return NULL;
    const options o = {.smoothing = smoothing, .labels = target->dtype == AG_I32};
    ag_tensor *y = ag__node(AG__OP_cross_entropy, 2, (ag_tensor *[]){logits, target}, &o, sizeof o);
    if (y) ag__part(y, 0, AG_REAL, y->rank, y->shape);
    return y;
}

/* counted: 1 where a label is 0 or more */
static void counted_run(const ag_tensor *y)
{
    const int32_t *label = y->in[0]->data;
    for (int64_t i = 0; i < y->numel; i++) ((real *)y->data)[i] = label[i] >= 0;
}

static ag_err counted_shape(ag_tensor *y)
{
    y->dtype = AG_REAL;
    return ag__shape_copy(y, y->in[0]);
}

const ag__rule ag__counted = {.shape = counted_shape, .run = counted_run};

ag_tensor *ag_cross_entropy(ag_tensor *logits, ag_tensor *target, ag_tensor *weight, double smoothing)
{
    ag_tensor *loss = ag_cross_entropy_rows(logits, target, smoothing), *w = weight;
    if (!loss) return NULL;
    if (w && !ag__same_shape(w, loss))
        return ag__mistake(loss->graph, "cross_entropy", "weights %s for losses %s", ag__shape_text(w),
                           ag__shape_text(loss));
    if (target->dtype == AG_I32) {
        ag_tensor *valid = ag__node(AG__OP_counted, 1, &target, NULL, 0);
        valid = valid ? ag_reshape(valid, loss->rank, loss->shape) : NULL;
        w = w ? ag_mul(w, valid) : valid;
    }
    if (!w) return ag_mean(loss);
    ag_tensor *sum = ag_sum(w), *least = ag_constant(loss->graph, 1e-30, 0, NULL);
    return ag_div(ag_sum(ag_mul(loss, w)), ag_select(ag_less(least, sum), sum, ag_constant(loss->graph, 1, 0, NULL)));
}
