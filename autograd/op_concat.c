/* concat  y = the inputs one after another along an axis        dx[i] = the part of dy where input i went
 * roll    y[(i + shift) mod n] = x[i] along an axis             dx = roll(dy, -shift) */
#include "engine.h"

#include <string.h>

typedef struct along {
    int axis;
    int64_t shift;
} along;

static double moves(const ag_tensor *y)
{
    (void)y;
    return 0;
}

static ag_err concat_shape(ag_tensor *y)
{
    const int axis = ((const along *)y->attr)->axis;
    const ag_tensor *first = y->in[0];
    int64_t shape[AG_MAX_RANK];
    if (axis < 0 || axis >= first->rank) return ag_fail(AG_ERR_SHAPE, "there is no such axis");
    memcpy(shape, first->shape, sizeof shape);
    for (int i = 1; i < y->inputs; i++) {
        const ag_tensor *x = y->in[i];
        const ag_err err = ag__check_type(x, first->dtype, "an input");
        if (err) return err;
        bool fits = x->rank == first->rank;
        for (int a = 0; fits && a < x->rank; a++) fits = a == axis || x->shape[a] == first->shape[a];
        if (!fits)
            return ag_fail(AG_ERR_SHAPE, "input %d, %s, differs from the first in more than axis %d", i,
                           ag__shape_text(x), axis);
        if (__builtin_add_overflow(shape[axis], x->shape[axis], &shape[axis]))
            return ag_fail(AG_ERR_SHAPE, "more elements than can be counted");
    }
    return ag__shape_set(y, first->rank, shape);
}

/* The axes after `axis` as one: reals from one index of the axis to the next. */
static int64_t inner_size(const ag_tensor *t, int axis)
{
    int64_t n = 1;
    for (int i = axis + 1; i < t->rank; i++) n *= t->shape[i];
    return n;
}

/* `count` indices of x from `from` on to those of y from `to` on. */
static void move(const ag_tensor *x, const ag_tensor *y, int axis, int64_t from, int64_t to, int64_t count)
{
    const int64_t inner = inner_size(y, axis), nx = x->shape[axis] * inner, ny = y->shape[axis] * inner;
    const size_t size = ag_dtype_size(y->dtype);
    const int64_t shape[2] = {x->numel / nx, count * inner};
    k.copy((int)size, 2, shape, (const char *)x->data + (size_t)(from * inner) * size, (int64_t[]){nx, 1},
           (char *)y->data + (size_t)(to * inner) * size, (int64_t[]){ny, 1});
}

static void concat_run(const ag_tensor *y)
{
    const int axis = ((const along *)y->attr)->axis;
    int64_t at = 0;
    for (int i = 0; i < y->inputs; i++) {
        move(y->in[i], y, axis, 0, at, y->in[i]->shape[axis]);
        at += y->in[i]->shape[axis];
    }
}

static void concat_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const int axis = ((const along *)y->attr)->axis;
    int64_t at = 0;
    for (int i = 0; i < y->inputs; i++) {
        const int64_t size = y->in[i]->shape[axis];
        if (ag__wants(y, i)) dx[i] = ag_slice_axis(dy, axis, at, size);
        at += size; /* also past inputs that want none */
    }
}

const ag__rule ag__concat = {.shape = concat_shape, .run = concat_run, .gradient = concat_gradient, .flops = moves};

ag_tensor *ag_concat(int n, ag_tensor *const *x, int axis)
{
    if (n < 1 || !x[0]) return NULL;
    if (n == 1) return x[0];
    const along o = {.axis = axis < 0 ? axis + x[0]->rank : axis};
    return ag__node(AG__OP_concat, n, x, &o, sizeof o);
}

ag_tensor *ag_stack(int n, ag_tensor *const *x, int axis)
{
    ag_tensor *y = NULL, *last = NULL;
    if (n < 1 || !x[0]) return NULL;
    const int rank = x[0]->rank + 1, at = axis < 0 ? axis + rank : axis;
    if (rank > AG_MAX_RANK || at < 0 || at >= rank)
        return ag__mistake(x[0]->graph, "stack", "no axis %d for %s", axis, ag__shape_text(x[0]));
    ag_tensor **wide = ag__alloc(x[0]->graph, (size_t)n * sizeof *wide);
    for (int i = 0; wide && i < n; i++, last = x[i - 1]) {
        if (!x[i]) return NULL;
        if (last && !ag__same_shape(last, x[i]))
            return ag__mistake(x[0]->graph, "stack", "%s and %s differ", ag__shape_text(last), ag__shape_text(x[i]));
        int64_t shape[AG_MAX_RANK];
        for (int a = 0; a < rank; a++) shape[a] = a == at ? 1 : x[i]->shape[a - (a > at)];
        wide[i] = ag_reshape(x[i], rank, shape);
    }
    if (wide) y = ag_concat(n, wide, at);
    return y;
}

/* ---- roll ------------------------------------------------------------------------------------------------------- */

static ag_err roll_shape(ag_tensor *y)
{
    const along *o = y->attr;
    if (o->axis < 0 || o->axis >= y->in[0]->rank) return ag_fail(AG_ERR_SHAPE, "there is no such axis");
    return ag__shape_copy(y, y->in[0]);
}

static void roll_run(const ag_tensor *y)
{
    const along *o = y->attr;
    const int64_t n = y->shape[o->axis], shift = (o->shift % n + n) % n;
    move(y->in[0], y, o->axis, 0, shift, n - shift);
    if (shift) move(y->in[0], y, o->axis, n - shift, 0, shift);
}

static void roll_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const along *o = y->attr;
    dx[0] = ag_roll(dy, o->axis, -o->shift);
}

const ag__rule ag__roll = {.shape = roll_shape, .run = roll_run, .gradient = roll_gradient, .flops = moves};

ag_tensor *ag_roll(ag_tensor *x, int axis, int64_t shift)
{
    const along o = {.axis = axis < 0 ? axis + ag_rank(x) : axis, .shift = shift};
    return ag__node(AG__OP_roll, 1, &x, &o, sizeof o);
}
