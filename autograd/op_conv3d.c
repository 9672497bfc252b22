/* Convolution over frames, and the two maps that are its gradients, as in op_conv2d.c with one more axis:
 *
 *   conv3d              y = act(F(x, w) + bias + residual)
 *                       F(x,w)[o,oy,ox,b] = sum x[o st + kt dt - front, oy s + ky d - top, ox s + kx d - left, a] w[kt,ky,kx,a,b]
 *   conv3d_transposed   x = act(T(y, w) + bias + residual)    T: the transpose of F in x
 *   conv3d_weight_grad  w = W(x, y)                           W: the transpose of F in w */
#include "engine.h"

typedef struct conv {
    ag_conv3d_options o;
    int kernel[3];
    bool bias, residual;
} conv;

static k_conv3d kernel_sizes(const conv *c, const ag_tensor *x, const ag_tensor *y)
{
    const ag_conv3d_options *o = &c->o;
    return (k_conv3d){.frame = {.n = 1,
                                .h = x->shape[2],
                                .w = x->shape[3],
                                .a = x->shape[4],
                                .ho = y->shape[2],
                                .wo = y->shape[3],
                                .b = y->shape[4],
                                .kh = c->kernel[1],
                                .kw = c->kernel[2],
                                .stride = o->stride,
                                .top = o->pad[2],
                                .left = o->pad[4],
                                .dilation = o->dilation,
                                .groups = o->groups},
                      .n = x->shape[0],
                      .t = x->shape[1],
                      .to = y->shape[1],
                      .kt = c->kernel[0],
                      .step = o->stride_t,
                      .apart = o->dilation_t,
                      .front = o->pad[0]};
}

static double conv_flops(const conv *c, const ag_tensor *x, const ag_tensor *y)
{
    return 2.0 * (double)y->numel * (double)(x->shape[4] / c->o.groups) * c->kernel[0] * c->kernel[1] * c->kernel[2];
}

static k_epilogue epilogue(const ag_tensor *y, const conv *c)
{
    return (k_epilogue){.bias = c->bias ? ag__in(y, 2) : NULL,
                        .residual = c->residual ? ag__in(y, 2 + c->bias) : NULL,
                        .activation = c->o.activation == AG_RELU ? K_RELU : K_LINEAR};
}

static int axis_stride(const conv *c, int axis) { return axis ? c->o.stride : c->o.stride_t; }
static int64_t axis_pads(const conv *c, int axis) { return (int64_t)c->o.pad[2 * axis] + c->o.pad[2 * axis + 1]; }
static int64_t axis_reach(const conv *c, int axis)
{
    return (c->kernel[axis] - 1) * (int64_t)(axis ? c->o.dilation : c->o.dilation_t) + 1;
}

/* Result size of F along an axis (0: time); 0 if there is none. */
static int64_t forward_size(const conv *c, int64_t n, int axis)
{
    const int64_t room = n + axis_pads(c, axis) - axis_reach(c, axis);
    return room < 0 ? 0 : room / axis_stride(c, axis) + 1;
}

static ag_err check_frames(const ag_tensor *t, const char *what)
{
    if (t->dtype == AG_REAL && t->rank == 5) return AG_OK;
    return ag_fail(AG_ERR_SHAPE, "%s must be real with five axes", what);
}

static ag_err check_options(const conv *c)
{
    const ag_conv3d_options *o = &c->o;
    for (int i = 0; i < 6; i++)
        if (o->pad[i] < 0) return ag_fail(AG_ERR_SHAPE, "negative padding");
    if (o->stride < 1 || o->stride_t < 1 || o->dilation < 1 || o->dilation_t < 1 || o->groups < 1)
        return ag_fail(AG_ERR_SHAPE, "strides %d and %d, dilations %d and %d, %d groups", o->stride_t, o->stride,
                       o->dilation_t, o->dilation, o->groups);
    for (int i = 0; i < 3; i++)
        if (c->kernel[i] < 1) return ag_fail(AG_ERR_SHAPE, "a kernel of size %d", c->kernel[i]);
    return ag__check_fused(o->activation);
}

static ag_err check_extras(const ag_tensor *y, const conv *c)
{
    return ag__check_extras(y, c->bias ? y->in[2] : NULL, c->residual ? y->in[2 + c->bias] : NULL);
}

static ag_conv3d_options linear(const conv *c, const ag_tensor *x)
{
    ag_conv3d_options o = c->o;
    o.activation = AG_LINEAR;
    for (int i = 0; i < 3; i++) o.out[i] = (int)x->shape[1 + i];
    return o;
}

static void extra_gradients(ag_tensor *y, const conv *c, ag_tensor *d, ag_tensor **dx)
{
    if (c->bias && ag__wants(y, 2)) dx[2] = ag_sum_to(d, 1, &y->shape[4]);
    if (c->residual && ag__wants(y, 2 + c->bias)) dx[2 + c->bias] = d;
}

/* ---- conv3d ---------------------------------------------------------------------------------------------------- */

static ag_err conv3d_shape(ag_tensor *y)
{
    const conv *c = y->attr;
    const ag_tensor *x = y->in[0], *w = y->in[1];
    int64_t shape[5] = {ag_dim(x, 0)};
    ag_err err = check_frames(x, "the input");
    if (err || (err = check_frames(w, "the weight")) || (err = check_options(c))) return err;
    if (w->shape[3] * c->o.groups != x->shape[4] || w->shape[4] % c->o.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld channels meet a weight for %d group%s of %lld to %lld in all",
                       (long long)x->shape[4], c->o.groups, c->o.groups > 1 ? "s" : "", (long long)w->shape[3],
                       (long long)w->shape[4]);
    for (int i = 0; i < 3; i++)
        if (!(shape[1 + i] = forward_size(c, x->shape[1 + i], i)))
            return ag_fail(AG_ERR_SHAPE, "the kernel is larger than the padded clip");
    shape[4] = w->shape[4];
    err = ag__shape_set(y, 5, shape);
    return err ? err : check_extras(y, c);
}

static k_conv3d conv3d_sizes(const ag_tensor *y) { return kernel_sizes(y->attr, y->in[0], y); }

static void conv3d_run(const ag_tensor *y)
{
    const k_conv3d c = conv3d_sizes(y);
    const k_epilogue e = epilogue(y, y->attr);
    k.conv3d_forward(&c, ag__in(y, 0), ag__in(y, 1), &e, y->data, y->scratch);
}

static void conv3d_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const conv *c = y->attr;
    ag_tensor *x = y->in[0], *w = y->in[1], *d = c->o.activation == AG_RELU ? ag_relu_mask(dy, y) : dy;
    const ag_conv3d_options o = linear(c, x);
    extra_gradients(y, c, d, dx);
    if (ag__wants(y, 1)) dx[1] = ag_conv3d_weight_grad(x, d, c->kernel, &o);
    if (ag__wants(y, 0)) dx[0] = ag_conv3d_transposed(d, w, NULL, NULL, &o);
}

static double conv3d_flops(const ag_tensor *y) { return conv_flops(y->attr, y->in[0], y); }

static size_t conv3d_scratch(const ag_tensor *y)
{
    const k_conv3d c = conv3d_sizes(y);
    return k.conv3d_forward_scratch(&c);
}

const ag__rule ag__conv3d = {.shape = conv3d_shape,
                             .run = conv3d_run,
                             .gradient = conv3d_gradient,
                             .flops = conv3d_flops,
                             .scratch = conv3d_scratch};

/* ---- conv3d_transposed ------------------------------------------------------------------------------------------ */

static ag_err conv3d_transposed_shape(ag_tensor *x)
{
    const conv *c = x->attr;
    const ag_tensor *y = x->in[0], *w = x->in[1];
    int64_t shape[5] = {ag_dim(y, 0)};
    ag_err err = check_frames(y, "the input");
    if (err || (err = check_frames(w, "the weight")) || (err = check_options(c))) return err;
    if (w->shape[4] != y->shape[4] || w->shape[4] % c->o.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld channels meet a weight for %lld in %d group%s", (long long)y->shape[4],
                       (long long)w->shape[4], c->o.groups, c->o.groups > 1 ? "s" : "");
    for (int i = 0; i < 3; i++) {
        const int64_t size = axis_stride(c, i) * (y->shape[1 + i] - 1) + axis_reach(c, i) - axis_pads(c, i);
        shape[1 + i] = c->o.out[i] ? c->o.out[i] : size;
        if (shape[1 + i] < 1 || forward_size(c, shape[1 + i], i) != y->shape[1 + i])
            return ag_fail(AG_ERR_SHAPE, "an axis of %lld cannot come from one of %lld", (long long)y->shape[1 + i],
                           (long long)shape[1 + i]);
    }
    shape[4] = w->shape[3] * c->o.groups;
    err = ag__shape_set(x, 5, shape);
    return err ? err : check_extras(x, c);
}

static k_conv3d conv3d_transposed_sizes(const ag_tensor *x) { return kernel_sizes(x->attr, x, x->in[0]); }

static void conv3d_transposed_run(const ag_tensor *x)
{
    const k_conv3d c = conv3d_transposed_sizes(x);
    const k_epilogue e = epilogue(x, x->attr);
    k.conv3d_input(&c, ag__in(x, 0), ag__in(x, 1), &e, x->data, x->scratch);
}

static void conv3d_transposed_gradient(ag_tensor *x, ag_tensor *dx, ag_tensor **d)
{
    const conv *c = x->attr;
    ag_tensor *y = x->in[0], *w = x->in[1], *g = c->o.activation == AG_RELU ? ag_relu_mask(dx, x) : dx;
    const ag_conv3d_options o = linear(c, x);
    extra_gradients(x, c, g, d);
    if (ag__wants(x, 1)) d[1] = ag_conv3d_weight_grad(g, y, c->kernel, &o);
    if (ag__wants(x, 0)) d[0] = ag_conv3d(g, w, NULL, NULL, &o);
}

static double conv3d_transposed_flops(const ag_tensor *x) { return conv_flops(x->attr, x, x->in[0]); }

static size_t conv3d_transposed_scratch(const ag_tensor *x)
{
    const k_conv3d c = conv3d_transposed_sizes(x);
    return k.conv3d_input_scratch(&c);
}

const ag__rule ag__conv3d_transposed = {.shape = conv3d_transposed_shape,
                                        .run = conv3d_transposed_run,
                                        .gradient = conv3d_transposed_gradient,
                                        .flops = conv3d_transposed_flops,
                                        .scratch = conv3d_transposed_scratch};

/* ---- conv3d_weight_grad ------------------------------------------------------------------------------------------ */

static ag_err conv3d_weight_grad_shape(ag_tensor *w)
{
    const conv *c = w->attr;
    const ag_tensor *x = w->in[0], *y = w->in[1];
    ag_err err = check_frames(x, "the input");
    if (err || (err = check_frames(y, "the gradient")) || (err = check_options(c))) return err;
    bool fits = x->shape[0] == y->shape[0];
    for (int i = 0; i < 3; i++) fits = fits && forward_size(c, x->shape[1 + i], i) == y->shape[1 + i];
    if (!fits) return ag_fail(AG_ERR_SHAPE, "the gradient is not of this input's convolution");
    if (x->shape[4] % c->o.groups || y->shape[4] % c->o.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld and %lld channels are not %d groups", (long long)x->shape[4],
                       (long long)y->shape[4], c->o.groups);
    return ag__shape_set(w, 5,
                         (int64_t[]){c->kernel[0], c->kernel[1], c->kernel[2], x->shape[4] / c->o.groups, y->shape[4]});
}

static k_conv3d conv3d_weight_grad_sizes(const ag_tensor *w) { return kernel_sizes(w->attr, w->in[0], w->in[1]); }

static void conv3d_weight_grad_run(const ag_tensor *w)
{
    const k_conv3d c = conv3d_weight_grad_sizes(w);
    k.conv3d_weight(&c, ag__in(w, 0), ag__in(w, 1), w->data, w->scratch);
}

static void conv3d_weight_grad_gradient(ag_tensor *w, ag_tensor *dw, ag_tensor **d)
{
    const ag_conv3d_options o = linear(w->attr, w->in[0]);
    if (ag__wants(w, 0)) d[0] = ag_conv3d_transposed(w->in[1], dw, NULL, NULL, &o);
    if (ag__wants(w, 1)) d[1] = ag_conv3d(w->in[0], dw, NULL, NULL, &o);
}

static double conv3d_weight_grad_flops(const ag_tensor *w) { return conv_flops(w->attr, w->in[0], w->in[1]); }

static size_t conv3d_weight_grad_scratch(const ag_tensor *w)
{
    const k_conv3d c = conv3d_weight_grad_sizes(w);
    return k.conv3d_weight_scratch(&c);
}

const ag__rule ag__conv3d_weight_grad = {.shape = conv3d_weight_grad_shape,
                                         .run = conv3d_weight_grad_run,
                                         .gradient = conv3d_weight_grad_gradient,
                                         .flops = conv3d_weight_grad_flops,
                                         .scratch = conv3d_weight_grad_scratch};

/* ---- building ----------------------------------------------------------------------------------------------------- */

static conv attributes(const ag_conv3d_options *o, int64_t kt, int64_t kh, int64_t kw)
{
    conv c = {.o = o ? *o : (ag_conv3d_options){0}, .kernel = {(int)kt, (int)kh, (int)kw}};
    int *const ones[] = {&c.o.stride, &c.o.stride_t, &c.o.dilation, &c.o.dilation_t, &c.o.groups};
    for (int i = 0; i < 5; i++)
        if (!*ones[i]) *ones[i] = 1;
    return c;
}

static ag_tensor *map(ag__op op, ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                      const ag_conv3d_options *o)
{
    conv c = attributes(o, ag_dim(w, 0), ag_dim(w, 1), ag_dim(w, 2));
    ag_tensor *in[4] = {x, w};
    int n = 2;
    if ((c.bias = bias)) in[n++] = bias;
    if ((c.residual = residual)) in[n++] = residual;
    return ag__node(op, n, in, &c, sizeof c);
}

ag_tensor *ag_conv3d(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, const ag_conv3d_options *o)
{
    return map(AG__OP_conv3d, x, w, bias, residual, o);
}

ag_tensor *ag_conv3d_transposed(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                                const ag_conv3d_options *o)
{
    return map(AG__OP_conv3d_transposed, x, w, bias, residual, o);
}

ag_tensor *ag_conv3d_weight_grad(ag_tensor *x, ag_tensor *dy, const int *kernel, const ag_conv3d_options *o)
{
    const conv c = attributes(o, kernel[0], kernel[1], kernel[2]);
    return ag__node(AG__OP_conv3d_weight_grad, 2, (ag_tensor *[]){x, dy}, &c, sizeof c);
}
