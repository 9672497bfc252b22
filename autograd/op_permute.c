/* permute  axis i of y is axis order[i] of x        dx = dy permuted back
 * flip     y = x backwards along an axis            dx = flip(dy)
 * Rearrangements of pixels built from them: pixel shuffle (Shi et al. 2016, arXiv:1609.05158), depth to space. */
#include "engine.h"

#include <string.h>

typedef struct order {
    int axis[AG_MAX_RANK];
} order;

static double moves(const ag_tensor *y)
{
    (void)y;
    return 0;
}

void ag__dense_strides(const ag_tensor *t, int64_t *stride)
{
    int64_t n = 1;
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        stride[axis] = n;
        n *= t->shape[axis];
    }
}

static ag_err permute_shape(ag_tensor *y)
{
    const order *o = y->attr;
    const ag_tensor *x = y->in[0];
    int64_t shape[AG_MAX_RANK];
    unsigned seen = 0;
    for (int i = 0; i < x->rank; i++) {
        const int axis = o->axis[i];
        if (axis < 0 || axis >= x->rank || seen >> axis & 1)
            return ag_fail(AG_ERR_SHAPE, "the order must name each of the %d axes once", x->rank);
        seen |= 1u << axis;
        shape[i] = x->shape[axis];
    }
    return ag__shape_set(y, x->rank, shape);
}

static void permute_run(const ag_tensor *y)
{
    const order *o = y->attr;
    int64_t own[AG_MAX_RANK], xs[AG_MAX_RANK], ys[AG_MAX_RANK];
    ag__dense_strides(y->in[0], own);
    ag__dense_strides(y, ys);
    for (int i = 0; i < y->rank; i++) xs[i] = own[o->axis[i]];
    k.copy((int)ag_dtype_size(y->dtype), y->rank, y->shape, y->in[0]->data, xs, y->data, ys);
}

static void permute_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const order *o = y->attr;
    int back[AG_MAX_RANK] = {0};
    for (int i = 0; i < y->rank; i++) back[o->axis[i]] = i;
    dx[0] = ag_permute(dy, back);
}

const ag__rule ag__permute = {.shape = permute_shape, .run = permute_run, .gradient = permute_gradient, .flops = moves};

ag_tensor *ag_permute(ag_tensor *x, const int *axes)
{
    order o = {{0}};
    memcpy(o.axis, axes, (size_t)ag_rank(x) * sizeof *axes);
    return ag__node(AG__OP_permute, 1, &x, &o, sizeof o);
}

ag_tensor *ag_transpose(ag_tensor *x, int a, int b)
{
    if (!x) return NULL;
    int axes[AG_MAX_RANK];
    for (int i = 0; i < AG_MAX_RANK; i++) axes[i] = i;
    a += a < 0 ? x->rank : 0;
    b += b < 0 ? x->rank : 0;
    if (a < 0 || b < 0 || a >= x->rank || b >= x->rank)
        return ag__mistake(x->graph, "transpose", "%s lacks axis %d or %d", ag__shape_text(x), a, b);
    axes[a] = b;
    axes[b] = a;
    return ag_permute(x, axes);
}

/* ---- flip ------------------------------------------------------------------------------------------------------- */

static ag_err flip_shape(ag_tensor *y)
{
    const int axis = *(const int *)y->attr;
    if (axis < 0 || axis >= y->in[0]->rank) return ag_fail(AG_ERR_SHAPE, "there is no such axis");
    return ag__shape_copy(y, y->in[0]);
}

static void flip_run(const ag_tensor *y)
{
    const int axis = *(const int *)y->attr;
    const size_t size = ag_dtype_size(y->dtype);
    int64_t xs[AG_MAX_RANK], ys[AG_MAX_RANK];
    ag__dense_strides(y, ys);
    memcpy(xs, ys, sizeof xs);
    const int64_t last = (y->shape[axis] - 1) * xs[axis];
    xs[axis] = -xs[axis];
    k.copy((int)size, y->rank, y->shape, (const char *)y->in[0]->data + (size_t)last * size, xs, y->data, ys);
}

static void flip_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_flip(dy, *(const int *)y->attr); }

const ag__rule ag__flip = {.shape = flip_shape, .run = flip_run, .gradient = flip_gradient, .flops = moves};

ag_tensor *ag_flip(ag_tensor *x, int axis)
{
    const int own = axis < 0 ? axis + ag_rank(x) : axis;
    return ag__node(AG__OP_flip, 1, &x, &own, sizeof own);
}

/* ---- blocks of r x r pixels <-> channels ------------------------------------------------------------------------ */

/* Channels to pixels: `inner` says whether the r x r pixels of a channel lie next to each other (c*r*r + dy*r + dx) or the
 * channels of a pixel do ((dy*r + dx)*C + c). */
static ag_tensor *to_pixels(ag_tensor *x, int r, bool inner, const char *name)
{
    if (!x) return NULL;
    const int64_t *s = x->shape;
    if (x->rank != 4 || r < 1 || s[3] % ((int64_t)r * r))
        return ag__mistake(x->graph, name, "%s is not [N,H,W,C*%d*%d]", ag__shape_text(x), r, r);
    const int64_t c = s[3] / r / r;
    const int64_t apart[2][6] = {{s[0], s[1], s[2], r, r, c}, {s[0], s[1], s[2], c, r, r}};
    const int axes[2][6] = {{0, 1, 3, 2, 4, 5}, {0, 1, 4, 2, 5, 3}};
    ag_tensor *y = ag_permute(ag_reshape(x, 6, apart[inner]), axes[inner]);
    return ag_reshape(y, 4, (int64_t[]){s[0], s[1] * r, s[2] * r, c});
}

static ag_tensor *to_channels(ag_tensor *x, int r, bool inner, const char *name)
{
    if (!x) return NULL;
    const int64_t *s = x->shape;
    if (x->rank != 4 || r < 1 || s[1] % r || s[2] % r)
        return ag__mistake(x->graph, name, "%s is not [N,%d*h,%d*w,C]", ag__shape_text(x), r, r);
    const int64_t h = s[1] / r, w = s[2] / r;
    const int axes[2][6] = {{0, 1, 3, 2, 4, 5}, {0, 1, 3, 5, 2, 4}};
    ag_tensor *y = ag_permute(ag_reshape(x, 6, (int64_t[]){s[0], h, r, w, r, s[3]}), axes[inner]);
    return ag_reshape(y, 4, (int64_t[]){s[0], h, w, s[3] * r * r});
}

ag_tensor *ag_pixel_shuffle(ag_tensor *x, int r) { return to_pixels(x, r, true, "pixel_shuffle"); }
ag_tensor *ag_pixel_unshuffle(ag_tensor *x, int r) { return to_channels(x, r, true, "pixel_unshuffle"); }
ag_tensor *ag_depth_to_space(ag_tensor *x, int r) { return to_pixels(x, r, false, "depth_to_space"); }
ag_tensor *ag_space_to_depth(ag_tensor *x, int r) { return to_channels(x, r, false, "space_to_depth"); }
