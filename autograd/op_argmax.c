/* argmax, argmin  [...,C] -> [...] i32: place of the largest (smallest) of each row, the lowest on ties; no gradient
 *                 NaN is passed over; a row with nothing else gives 0. */
#include "engine.h"

static int64_t width(const ag_tensor *y) { return y->in[0]->shape[y->in[0]->rank - 1]; }

static ag_err argmax_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0];
    const ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err) return err;
    if (x->rank < 1) return ag_fail(AG_ERR_SHAPE, "a number has no last axis");
    if (width(y) > INT32_MAX) return ag_fail(AG_ERR_SHAPE, "more places than an i32 can name");
    y->dtype = AG_I32;
    return ag__shape_set(y, x->rank - 1, x->shape);
}

static double argmax_flops(const ag_tensor *y) { return (double)y->in[0]->numel; }

static void argmax_run(const ag_tensor *y) { k.argmax(y->numel, width(y), ag__in(y, 0), y->data); }

const ag__rule ag__argmax = {.shape = argmax_shape, .run = argmax_run, .flops = argmax_flops};

ag_tensor *ag_argmax(ag_tensor *x) { return ag__node(AG__OP_argmax, 1, &x, NULL, 0); }

static void argmin_run(const ag_tensor *y) { k.argmin(y->numel, width(y), ag__in(y, 0), y->data); }

const ag__rule ag__argmin = {.shape = argmax_shape, .run = argmin_run, .flops = argmax_flops};

ag_tensor *ag_argmin(ag_tensor *x) { return ag__node(AG__OP_argmin, 1, &x, NULL, 0); }
