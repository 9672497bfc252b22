/* softmax       y = exp(x) / sum exp(x) over the last axis            dx = y (dy - sum dy y)
 * log_softmax   y = x - log sum exp(x)                                dx = dy - exp(y) sum dy
 * logsumexp     y = log sum exp(x), the last axis gone                dx = dy softmax(x)
 * The maximum is subtracted first, so no x overflows. A row that is -inf everywhere gives NaN. */
#include "engine.h"

static int64_t width(const ag_tensor *x) { return x->shape[x->rank - 1]; }
static int64_t rows(const ag_tensor *x) { return x->numel / width(x); }

static ag_err rows_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0];
    if (x->dtype != AG_REAL || x->rank < 1) return ag_fail(AG_ERR_SHAPE, "the input must be real [...,C]");
    return ag__shape_copy(y, x);
}

static ag_err pair_shape(ag_tensor *y) { return ag__shape_copy(y, y->in[0]); }

static double rows_flops(const ag_tensor *y) { return 5 * (double)y->in[0]->numel; }

/* ---- softmax ------------------------------------------------------------------------------------------------------- */

static void softmax_run(const ag_tensor *y) { k.softmax(rows(y), width(y), ag__in(y, 0), y->data); }

static ag_tensor *softmax_grad(ag_tensor *y, ag_tensor *dy)
{
    return ag__node(AG__OP_softmax_grad, 2, (ag_tensor *[]){y, dy}, NULL, 0);
}

static void softmax_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = softmax_grad(y, dy); }

const ag__rule ag__softmax = {
    .shape = rows_shape, .run = softmax_run, .gradient = softmax_gradient, .flops = rows_flops, .in_place = 1};

ag_tensor *ag_softmax(ag_tensor *x) { return ag__node(AG__OP_softmax, 1, &x, NULL, 0); }

static void softmax_grad_run(const ag_tensor *d)
{
    k.softmax_grad(rows(d), width(d), ag__in(d, 0), ag__in(d, 1), d->data);
}

static ag_tensor *softmax_grad_composed(const ag_tensor *d, ag_tensor *const *in)
{
    (void)d;
    return ag_mul(in[0], ag_sub(in[1], ag__last_sum(ag_mul(in[0], in[1]))));
}

static void softmax_grad_gradient(ag_tensor *d, ag_tensor *dd, ag_tensor **dx)
{
    ag__gradient_of_composed(d, dd, dx, softmax_grad_composed);
}

const ag__rule ag__softmax_grad = {.shape = pair_shape,
                                   .run = softmax_grad_run,
                                   .gradient = softmax_grad_gradient,
                                   .flops = rows_flops,
                                   .in_place = 3};

/* ---- log_softmax --------------------------------------------------------------------------------------------------- */

static void log_softmax_run(const ag_tensor *y) { k.log_softmax(rows(y), width(y), ag__in(y, 0), y->data); }

static void log_softmax_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag__node(AG__OP_log_softmax_grad, 2, (ag_tensor *[]){y, dy}, NULL, 0);
}

const ag__rule ag__log_softmax = {
    .shape = rows_shape, .run = log_softmax_run, .gradient = log_softmax_gradient, .flops = rows_flops, .in_place = 1};

ag_tensor *ag_log_softmax(ag_tensor *x) { return ag__node(AG__OP_log_softmax, 1, &x, NULL, 0); }

static void log_softmax_grad_run(const ag_tensor *d)
{
    k.log_softmax_grad(rows(d), width(d), ag__in(d, 0), ag__in(d, 1), d->data);
}

static ag_tensor *log_softmax_grad_composed(const ag_tensor *d, ag_tensor *const *in)
{
    (void)d;
    return ag_sub(in[1], ag_mul(ag_exp(in[0]), ag__last_sum(in[1])));
}

static void log_softmax_grad_gradient(ag_tensor *d, ag_tensor *dd, ag_tensor **dx)
{
    ag__gradient_of_composed(d, dd, dx, log_softmax_grad_composed);
}

const ag__rule ag__log_softmax_grad = {.shape = pair_shape,
                                       .run = log_softmax_grad_run,
                                       .gradient = log_softmax_grad_gradient,
                                       .flops = rows_flops,
                                       .in_place = 3};

/* ---- logsumexp ----------------------------------------------------------------------------------------------------- */

static ag_err logsumexp_shape(ag_tensor *y)
{
    const ag_err err = rows_shape(y);
    return err ? err : ag__shape_set(y, y->in[0]->rank - 1, y->in[0]->shape);
}

static void logsumexp_run(const ag_tensor *y) { k.logsumexp(y->numel, width(y->in[0]), ag__in(y, 0), y->data); }

static void logsumexp_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag_tensor *x = y->in[0];
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < x->rank; i++) shape[i] = i == x->rank - 1 ? 1 : x->shape[i];
    dx[0] = ag_mul(ag_reshape(dy, x->rank, shape), ag_softmax(x));
}

const ag__rule ag__logsumexp = {
    .shape = logsumexp_shape, .run = logsumexp_run, .gradient = logsumexp_gradient, .flops = rows_flops};

ag_tensor *ag_logsumexp(ag_tensor *x) { return ag__node(AG__OP_logsumexp, 1, &x, NULL, 0); }
