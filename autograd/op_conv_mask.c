/* conv_mask  y = w where the mask is 1, else 0        dw = conv_mask(dy)
 *
 * Masks of convolution weights [...,kh,kw,A,B] that keep a convolution from seeing what comes later in raster order: van den
 * Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759, 3.2 (A and B), and 2016, arXiv:1606.05328 (the last row or
 * column of the kernels of the vertical and horizontal stacks). */
#include "engine.h"

#include <string.h>

typedef struct options {
    ag_conv_mask_kind kind;
    int groups;
} options;

static ag_err conv_mask_shape(ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *w = y->in[0];
    const ag_err err = ag__check_type(w, AG_REAL, "the weight");
    if (err) return err;
    if (w->rank < 4) return ag_fail(AG_ERR_SHAPE, "the weight must be [...,kh,kw,A,B]");
    if (o->groups < 1 || w->shape[w->rank - 1] % o->groups || w->shape[w->rank - 2] % o->groups)
        return ag_fail(AG_ERR_SHAPE, "the channels are not %d groups", o->groups);
    return ag__shape_copy(y, w);
}

/* 1: the tap is seen, 0: it is not, -1: it is the centre, seen by the groups after (A) or from (B) the input's. */
static int tap_seen(const options *o, int64_t kh, int64_t kw, int64_t ky, int64_t kx)
{
    if (o->kind == AG_MASK_LAST_ROW) return ky < kh - 1;
    if (o->kind == AG_MASK_LAST_COLUMN) return kx < kw - 1;
    if (ky != kh / 2) return ky < kh / 2;
    return kx != kw / 2 ? kx < kw / 2 : -1;
}

/* The centre tap [A,B]. */
static void mask_centre(const options *o, int64_t a, int64_t b, const real *w, real *y)
{
    const int strict = o->kind == AG_MASK_A;
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < b; j++) {
            const int64_t from = i / (a / o->groups) + strict, own = j / (b / o->groups);
            y[i * b + j] = from <= own ? w[i * b + j] : 0;
        }
}

static void conv_mask_run(const ag_tensor *y)
{
    const options *o = y->attr;
    const int64_t *s = y->shape + y->rank - 4;
    const int64_t kh = s[0], kw = s[1], size = s[2] * s[3];
    for (int64_t tap = 0; tap < y->numel / size; tap++) {
        const real *w = ag__in(y, 0) + tap * size;
        real *to = (real *)y->data + tap * size;
        const int seen = tap_seen(o, kh, kw, tap / kw % kh, tap % kw);
        if (seen < 0)
            mask_centre(o, s[2], s[3], w, to);
        else if (!seen)
            memset(to, 0, (size_t)size * sizeof *to);
        else if (to != w)
            memcpy(to, w, (size_t)size * sizeof *to);
    }
}

static void conv_mask_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const options *o = y->attr;
    dx[0] = ag_conv_mask(dy, o->kind, o->groups);
}

const ag__rule ag__conv_mask = {
    .shape = conv_mask_shape, .run = conv_mask_run, .gradient = conv_mask_gradient, .in_place = 1};

ag_tensor *ag_conv_mask(ag_tensor *w, ag_conv_mask_kind kind, int groups)
{
    const options o = {.kind = kind, .groups = groups ? groups : 1};
    return ag__node(AG__OP_conv_mask, 1, &w, &o, sizeof o);
}
