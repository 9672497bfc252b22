/* pad    y = x with `before` and `after` elements of a constant along every axis        dx = slice(dy)
 * slice  y = the block of x from `start` on                                             dx = dy padded with zeros */
#include "engine.h"

#include <string.h>

typedef struct block {
    int rank;
    int64_t before[AG_MAX_RANK], after[AG_MAX_RANK]; /* slice: start, size */
    double value;
} block;

static block attributes(const ag_tensor *x, const int64_t *before, const int64_t *after, double value)
{
    block b = {.rank = ag_rank(x), .value = value};
    memcpy(b.before, before, (size_t)b.rank * sizeof *before);
    memcpy(b.after, after, (size_t)b.rank * sizeof *after);
    return b;
}

static double moves(const ag_tensor *y)
{
    (void)y;
    return 0;
}

/* ---- pad -------------------------------------------------------------------------------------------------------- */

static ag_err pad_shape(ag_tensor *y)
{
    const block *b = y->attr;
    const ag_tensor *x = y->in[0];
    int64_t shape[AG_MAX_RANK];
    const ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err) return err;
    for (int i = 0; i < x->rank; i++) {
        if (b->before[i] < 0 || b->after[i] < 0 || __builtin_add_overflow(x->shape[i], b->before[i], &shape[i]) ||
            __builtin_add_overflow(shape[i], b->after[i], &shape[i]))
            return ag_fail(AG_ERR_SHAPE, "axis %d: %lld before and %lld after; both must be 0 or more", i,
                           (long long)b->before[i], (long long)b->after[i]);
    }
    return ag__shape_set(y, x->rank, shape);
}

static void pad_run(const ag_tensor *y)
{
    const block *b = y->attr;
    k.pad(y->rank, y->in[0]->shape, b->before, y->shape, (real)b->value, ag__in(y, 0), y->data);
}

static void pad_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_slice(dy, ((const block *)y->attr)->before, y->in[0]->shape);
}

const ag__rule ag__pad = {.shape = pad_shape, .run = pad_run, .gradient = pad_gradient, .flops = moves};

ag_tensor *ag_pad(ag_tensor *x, const int64_t *before, const int64_t *after, double value)
{
    const block b = attributes(x, before, after, value);
    return ag__node(AG__OP_pad, 1, &x, &b, sizeof b);
}

/* ---- slice ------------------------------------------------------------------------------------------------------ */

static ag_err slice_shape(ag_tensor *y)
{
    const block *b = y->attr;
    const ag_tensor *x = y->in[0];
    for (int i = 0; i < x->rank; i++)
        if (b->before[i] < 0 || b->after[i] < 1 || b->before[i] > x->shape[i] - b->after[i])
            return ag_fail(AG_ERR_SHAPE, "axis %d of %lld has no %lld elements from %lld on", i, (long long)x->shape[i],
                           (long long)b->after[i], (long long)b->before[i]);
    return ag__shape_set(y, x->rank, b->after);
}

static void slice_run(const ag_tensor *y)
{
    const block *b = y->attr;
    const ag_tensor *x = y->in[0];
    const size_t size = ag_dtype_size(x->dtype);
    int64_t xs[AG_MAX_RANK], ys[AG_MAX_RANK], first = 0;
    ag__dense_strides(x, xs);
    ag__dense_strides(y, ys);
    for (int i = 0; i < x->rank; i++) first += b->before[i] * xs[i];
    k.copy((int)size, y->rank, y->shape, (const char *)x->data + (size_t)first * size, xs, y->data, ys);
}

static void slice_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const block *b = y->attr;
    const ag_tensor *x = y->in[0];
    int64_t after[AG_MAX_RANK];
    for (int i = 0; i < x->rank; i++) after[i] = x->shape[i] - b->before[i] - b->after[i];
    dx[0] = ag_pad(dy, b->before, after, 0);
}

const ag__rule ag__slice = {.shape = slice_shape, .run = slice_run, .gradient = slice_gradient, .flops = moves};

ag_tensor *ag_slice(ag_tensor *x, const int64_t *start, const int64_t *size)
{
    const block b = attributes(x, start, size, 0);
    return ag__node(AG__OP_slice, 1, &x, &b, sizeof b);
}

ag_tensor *ag_slice_axis(ag_tensor *x, int axis, int64_t start, int64_t size)
{
    if (!x) return NULL;
    int64_t from[AG_MAX_RANK] = {0}, sizes[AG_MAX_RANK];
    const int at = axis < 0 ? axis + x->rank : axis;
    if (at < 0 || at >= x->rank) return ag__mistake(x->graph, "slice", "no axis %d in %s", axis, ag__shape_text(x));
    memcpy(sizes, x->shape, sizeof sizes);
    from[at] = start;
    sizes[at] = size;
    return ag_slice(x, from, sizes);
}

void ag_split(ag_tensor *x, int axis, int n, const int64_t *sizes, ag_tensor **out)
{
    const int64_t total = ag_dim(x, axis);
    int64_t at = 0;
    for (int i = 0; i < n; i++) out[i] = NULL;
    if (!x) return;
    for (int i = 0; sizes && i < n; i++) at += sizes[i];
    if (sizes ? at != total : n < 1 || total % n) {
        ag__mistake(x->graph, "split", "axis %d of %s is not the sum of %d parts", axis, ag__shape_text(x), n);
        return;
    }
    at = 0;
    for (int i = 0; i < n; i++) {
        const int64_t size = sizes ? sizes[i] : total / n;
        out[i] = ag_slice_axis(x, axis, at, size);
        at += size;
    }
}
