/* max_pool2d  y = the largest x of every window; the first one of equals; NaN wins      dx = pool_put(dy, places)
 * pool_take   y[o] = x[place[o]] within an image and channel                            dx = pool_put(dy, places)
 * pool_put    y[i] = sum of the x[o] with place[o] = i                                   dx = pool_take(dy, places) */
#include "engine.h"

static double moves(const ag_tensor *y)
{
    (void)y;
    return 0;
}

static k_conv window(const ag_tensor *y)
{
    const ag_pool2d_options *o = y->attr;
    const ag_tensor *x = y->in[0];
    return (k_conv){.n = x->shape[0],
                    .h = x->shape[1],
                    .w = x->shape[2],
                    .a = x->shape[3],
                    .ho = y->shape[1],
                    .wo = y->shape[2],
                    .b = y->shape[3],
                    .kh = o->kernel,
                    .kw = o->kernel,
                    .stride = o->stride,
                    .top = o->pad,
                    .left = o->pad};
}

static ag_err max_pool2d_shape(ag_tensor *y)
{
    const ag_pool2d_options *o = y->attr;
    const ag_tensor *x = y->in[0];
    if (x->dtype != AG_REAL || x->rank != 4) return ag_fail(AG_ERR_SHAPE, "the input must be real [N,H,W,C]");
    if (o->kernel < 1 || o->stride < 1 || o->pad < 0 || o->pad > o->kernel / 2)
        return ag_fail(AG_ERR_SHAPE, "kernel %d, stride %d, pad %d: pad must be at most half of the kernel", o->kernel,
                       o->stride, o->pad);
    const int64_t h = x->shape[1] + 2 * o->pad - o->kernel, w = x->shape[2] + 2 * o->pad - o->kernel;
    if (h < 0 || w < 0) return ag_fail(AG_ERR_SHAPE, "the window is larger than the padded image");
    if (x->shape[1] > INT32_MAX / x->shape[2]) return ag_fail(AG_ERR_SHAPE, "more positions than can be counted");
    return ag__shape_set(y, 4, (int64_t[]){x->shape[0], h / o->stride + 1, w / o->stride + 1, x->shape[3]});
}

static void max_pool2d_run(const ag_tensor *y)
{
    const k_conv p = window(y);
    k.max_pool(&p, ag__in(y, 0), y->data, ag__part_data(y, 0));
}

static void max_pool2d_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_pool_put(dy, y->parts[0], y->in[0]->shape[1], y->in[0]->shape[2]);
}

static double max_pool2d_flops(const ag_tensor *y)
{
    const ag_pool2d_options *o = y->attr;
    return (double)y->numel * o->kernel * o->kernel;
}

const ag__rule ag__max_pool2d = {
    .shape = max_pool2d_shape, .run = max_pool2d_run, .gradient = max_pool2d_gradient, .flops = max_pool2d_flops};

ag_tensor *ag_max_pool2d(ag_tensor *x, const ag_pool2d_options *options)
{
    ag_pool2d_options o = *options;
    if (!o.stride) o.stride = o.kernel;
    ag_tensor *y = ag__node(AG__OP_max_pool2d, 1, &x, &o, sizeof o);
    if (y) ag__part(y, 0, AG_I32, y->rank, y->shape);
    return y;
}

/* ---- along the places ------------------------------------------------------------------------------------------- */

static ag_err check(const ag_tensor *x, const ag_tensor *places)
{
    ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err || (err = ag__check_type(places, AG_I32, "the places"))) return err;
    if (x->rank != 4 || places->rank != 4 || x->shape[0] != places->shape[0] || x->shape[3] != places->shape[3])
        return ag_fail(AG_ERR_SHAPE, "images and places must be [N,H,W,C] of the same N and C");
    return AG_OK;
}

static ag_err pool_take_shape(ag_tensor *y)
{
    const ag_err err = check(y->in[0], y->in[1]);
    return err ? err : ag__shape_copy(y, y->in[1]);
}

static void pool_take_run(const ag_tensor *y)
{
    const int64_t *s = y->in[0]->shape;
    k.pool_take(s[0], s[1] * s[2], y->shape[1] * y->shape[2], s[3], ag__in(y, 0), y->in[1]->data, y->data);
}

static void pool_take_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_pool_put(dy, y->in[1], y->in[0]->shape[1], y->in[0]->shape[2]);
}

const ag__rule ag__pool_take = {
    .shape = pool_take_shape, .run = pool_take_run, .gradient = pool_take_gradient, .flops = moves};

ag_tensor *ag_pool_take(ag_tensor *x, ag_tensor *places)
{
    return ag__node(AG__OP_pool_take, 2, (ag_tensor *[]){x, places}, NULL, 0);
}

static ag_err pool_put_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0];
    const int64_t *size = y->attr;
    const ag_err err = check(x, y->in[1]);
    if (err) return err;
    if (!ag__same_shape(x, y->in[1])) return ag_fail(AG_ERR_SHAPE, "every number needs a place");
    return ag__shape_set(y, 4, (int64_t[]){x->shape[0], size[0], size[1], x->shape[3]});
}

static void pool_put_run(const ag_tensor *y)
{
    const int64_t *s = y->in[0]->shape;
    k.pool_put(s[0], y->shape[1] * y->shape[2], s[1] * s[2], s[3], ag__in(y, 0), y->in[1]->data, y->data);
}

static void pool_put_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx) { dx[0] = ag_pool_take(dy, y->in[1]); }

const ag__rule ag__pool_put = {
    .shape = pool_put_shape, .run = pool_put_run, .gradient = pool_put_gradient, .flops = moves};

ag_tensor *ag_pool_put(ag_tensor *x, ag_tensor *places, int64_t h, int64_t w)
{
    return ag__node(AG__OP_pool_put, 2, (ag_tensor *[]){x, places}, (int64_t[]){h, w}, 2 * sizeof(int64_t));
}
