/* The three bilinear maps of a convolution; each one's gradients are the other two, so they can be differentiated any
 * number of times. A is the number of channels on the large side x, B on the strided side y; the weight is [kh,kw,A,B] in all,
 * or with G groups [kh,kw,A/G,B], where each B/G of the B channels belong to A/G of the A. Stride s, dilation d.
 *
 *   conv2d              y = act(F(x, w) + bias + residual)    F(x,w)[oy,ox,b] = sum x[oy s + ky d - top, ox s + kx d - left, a] w[ky,kx,a,b]
 *   conv2d_transposed   x = act(T(y, w) + bias + residual)    T: the transpose of F in x
 *   conv2d_weight_grad  w = W(x, y)                           W: the transpose of F in w
 *
 *   with d = dy where the activation passes it:
 *   conv2d:             dx = T(d, w),  dw = W(x, d),  dbias = sum d over rows,  dresidual = d
 *   conv2d_transposed:  dy = F(d, w),  dw = W(d, y),  dbias, dresidual alike
 *   conv2d_weight_grad: dx = T(y, dw), dy = F(x, dw) */
#include "engine.h"

typedef struct conv {
    ag_conv2d_options o;
    int kh, kw;
    bool bias, residual;
} conv;

static k_conv kernel_sizes(const conv *c, const ag_tensor *x, const ag_tensor *y)
{
    return (k_conv){.n = x->shape[0],
                    .h = x->shape[1],
                    .w = x->shape[2],
                    .a = x->shape[3],
                    .ho = y->shape[1],
                    .wo = y->shape[2],
                    .b = y->shape[3],
                    .kh = c->kh,
                    .kw = c->kw,
                    .stride = c->o.stride,
                    .top = c->o.pad[0],
                    .left = c->o.pad[2],
                    .dilation = c->o.dilation,
                    .groups = c->o.groups};
}

/* Does product `p` (K_FORWARD ..) of node y run in bf16? */
static bool in_bf16(const ag_tensor *y, const k_conv *c, int p)
{
    return y->precision == AG_BF16 && k.conv_bf16_fits(c, p);
}

static double conv_flops(const k_conv *c)
{
    return 2.0 * (double)c->n * (double)c->ho * (double)c->wo * (double)c->b * (double)c->a * c->kh * c->kw / c->groups;
}

static const real *operand(const ag_tensor *y, bool there, int i) { return there ? y->in[i]->data : NULL; }

static k_epilogue epilogue(const ag_tensor *y, const conv *c)
{
    return (k_epilogue){.bias = operand(y, c->bias, 2),
                        .residual = operand(y, c->residual, 2 + c->bias),
                        .activation = c->o.activation == AG_RELU ? K_RELU : K_LINEAR};
}

/* Result size of F along an axis (0: height, 1: width); 0 if there is none. */
static int64_t forward_size(const conv *c, int64_t n, int axis)
{
    const int64_t pads = (int64_t)c->o.pad[2 * axis] + c->o.pad[2 * axis + 1];
    const int64_t reach = ((axis ? c->kw : c->kh) - 1) * (int64_t)c->o.dilation + 1;
    return n + pads < reach ? 0 : (n + pads - reach) / c->o.stride + 1;
}

static ag_err check_images(const ag_tensor *t, const char *what)
{
    if (t->dtype == AG_REAL && t->rank == 4) return AG_OK;
    return ag_fail(AG_ERR_SHAPE, "%s must be real [N,H,W,C]", what);
}

static ag_err check_options(const conv *c)
{
    for (int i = 0; i < 4; i++)
        if (c->o.pad[i] < 0) return ag_fail(AG_ERR_SHAPE, "negative padding");
    if (c->o.stride < 1 || c->o.dilation < 1)
        return ag_fail(AG_ERR_SHAPE, "stride %d, dilation %d", c->o.stride, c->o.dilation);
    if (c->o.groups < 1) return ag_fail(AG_ERR_SHAPE, "%d groups", c->o.groups);
    if (c->kh < 1 || c->kw < 1) return ag_fail(AG_ERR_SHAPE, "kernel %d x %d", c->kh, c->kw);
    return ag__check_fused(c->o.activation);
}

static ag_err check_extras(const ag_tensor *y, const conv *c)
{
    return ag__check_extras(y, c->bias ? y->in[2] : NULL, c->residual ? y->in[2 + c->bias] : NULL);
}

/* ---- conv2d ---------------------------------------------------------------------------------------------------- */

static ag_err conv2d_shape(ag_tensor *y)
{
    const conv *c = y->attr;
    const ag_tensor *x = y->in[0], *w = y->in[1];
    ag_err err = check_images(x, "the input");
    if (err || (err = check_images(w, "the weight")) || (err = check_options(c))) return err;
    if (c->o.groups == 1 && w->shape[2] != x->shape[3])
        return ag_fail(AG_ERR_SHAPE, "%lld channels meet a weight for %lld", (long long)x->shape[3],
                       (long long)w->shape[2]);
    if (w->shape[2] * c->o.groups != x->shape[3] || w->shape[3] % c->o.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld channels meet a weight for %d groups of %lld to %lld in all",
                       (long long)x->shape[3], c->o.groups, (long long)w->shape[2], (long long)w->shape[3]);
    const int64_t ho = forward_size(c, x->shape[1], 0), wo = forward_size(c, x->shape[2], 1);
    if (!ho || !wo) return ag_fail(AG_ERR_SHAPE, "the kernel is larger than the padded image");
    err = ag__shape_set(y, 4, (int64_t[]){x->shape[0], ho, wo, w->shape[3]});
    return err ? err : check_extras(y, c);
}

static k_conv conv2d_sizes(const ag_tensor *y) { return kernel_sizes(y->attr, y->in[0], y); }

static void conv2d_run(const ag_tensor *y)
{
    const k_conv c = conv2d_sizes(y);
    const k_epilogue e = epilogue(y, y->attr);
    (in_bf16(y, &c, K_FORWARD) ? k.conv_forward_bf16 : k.conv_forward)(&c, ag__in(y, 0), ag__in(y, 1), &e, y->data,
                                                                       y->scratch);
}

static ag_conv2d_options linear(const conv *c, const ag_tensor *x)
{
    ag_conv2d_options o = c->o;
    o.activation = AG_LINEAR;
    o.out[0] = (int)x->shape[1];
    o.out[1] = (int)x->shape[2];
    return o;
}

/* Gradients of bias and residual, which both maps share. */
static void extra_gradients(ag_tensor *y, const conv *c, ag_tensor *d, ag_tensor **dx)
{
    if (c->bias && ag__wants(y, 2)) dx[2] = ag_sum_to(d, 1, &y->shape[3]);
    if (c->residual && ag__wants(y, 2 + c->bias)) dx[2 + c->bias] = d;
}

static void conv2d_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const conv *c = y->attr;
    ag_tensor *x = y->in[0], *w = y->in[1], *d = c->o.activation == AG_RELU ? ag_relu_mask(dy, y) : dy;
    const ag_conv2d_options o = linear(c, x);
    extra_gradients(y, c, d, dx);
    if (ag__wants(y, 1)) dx[1] = ag_conv2d_weight_grad(x, d, c->kh, c->kw, &o);
    if (ag__wants(y, 0)) dx[0] = ag_conv2d_transposed(d, w, NULL, NULL, &o);
}

static double conv2d_flops(const ag_tensor *y)
{
    const k_conv c = conv2d_sizes(y);
    return conv_flops(&c);
}

static size_t conv2d_scratch(const ag_tensor *y)
{
    const k_conv c = conv2d_sizes(y);
    return (in_bf16(y, &c, K_FORWARD) ? k.conv_forward_bf16_scratch : k.conv_forward_scratch)(&c);
}

const ag__rule ag__conv2d = {.shape = conv2d_shape,
                             .run = conv2d_run,
                             .gradient = conv2d_gradient,
                             .flops = conv2d_flops,
                             .scratch = conv2d_scratch};

/* ---- conv2d_transposed ------------------------------------------------------------------------------------------ */

static ag_err conv2d_transposed_shape(ag_tensor *x)
{
    conv *c = x->attr;
    const ag_tensor *y = x->in[0], *w = x->in[1];
    int64_t size[2];
    ag_err err = check_images(y, "the input");
    if (err || (err = check_images(w, "the weight")) || (err = check_options(c))) return err;
    if (w->shape[3] != y->shape[3] || w->shape[3] % c->o.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld channels meet a weight for %lld in %d group%s", (long long)y->shape[3],
                       (long long)w->shape[3], c->o.groups, c->o.groups > 1 ? "s" : "");
    for (int i = 0; i < 2; i++) {
        const int64_t reach = ((i ? c->kw : c->kh) - 1) * (int64_t)c->o.dilation + 1;
        const int64_t pads = (int64_t)c->o.pad[2 * i] + c->o.pad[2 * i + 1];
        size[i] = c->o.out[i] ? c->o.out[i] : c->o.stride * (y->shape[1 + i] - 1) + reach - pads;
        if (size[i] < 1 || forward_size(c, size[i], i) != y->shape[1 + i])
            return ag_fail(AG_ERR_SHAPE, "an axis of %lld cannot come from one of %lld", (long long)y->shape[1 + i],
                           (long long)size[i]);
    }
    err = ag__shape_set(x, 4, (int64_t[]){y->shape[0], size[0], size[1], w->shape[2] * c->o.groups});
    return err ? err : check_extras(x, c);
}

static k_conv conv2d_transposed_sizes(const ag_tensor *x) { return kernel_sizes(x->attr, x, x->in[0]); }

static void conv2d_transposed_run(const ag_tensor *x)
{
    const k_conv c = conv2d_transposed_sizes(x);
    const k_epilogue e = epilogue(x, x->attr);
    (in_bf16(x, &c, K_INPUT) ? k.conv_input_bf16 : k.conv_input)(&c, ag__in(x, 0), ag__in(x, 1), &e, x->data,
                                                                 x->scratch);
}

static void conv2d_transposed_gradient(ag_tensor *x, ag_tensor *dx, ag_tensor **d)
{
    const conv *c = x->attr;
    ag_tensor *y = x->in[0], *w = x->in[1], *g = c->o.activation == AG_RELU ? ag_relu_mask(dx, x) : dx;
    const ag_conv2d_options o = linear(c, x);
    extra_gradients(x, c, g, d);
    if (ag__wants(x, 1)) d[1] = ag_conv2d_weight_grad(g, y, c->kh, c->kw, &o);
    if (ag__wants(x, 0)) d[0] = ag_conv2d(g, w, NULL, NULL, &o);
}

static double conv2d_transposed_flops(const ag_tensor *x)
{
    const k_conv c = conv2d_transposed_sizes(x);
    return conv_flops(&c);
}

static size_t conv2d_transposed_scratch(const ag_tensor *x)
{
    const k_conv c = conv2d_transposed_sizes(x);
    return (in_bf16(x, &c, K_INPUT) ? k.conv_input_bf16_scratch : k.conv_input_scratch)(&c);
}

const ag__rule ag__conv2d_transposed = {.shape = conv2d_transposed_shape,
                                        .run = conv2d_transposed_run,
                                        .gradient = conv2d_transposed_gradient,
                                        .flops = conv2d_transposed_flops,
                                        .scratch = conv2d_transposed_scratch};

/* ---- conv2d_weight_grad ------------------------------------------------------------------------------------------ */

static ag_err conv2d_weight_grad_shape(ag_tensor *w)
{
    const conv *c = w->attr;
    const ag_tensor *x = w->in[0], *y = w->in[1];
    ag_err err = check_images(x, "the input");
    if (err || (err = check_images(y, "the gradient")) || (err = check_options(c))) return err;
    if (x->shape[0] != y->shape[0] || forward_size(c, x->shape[1], 0) != y->shape[1] ||
        forward_size(c, x->shape[2], 1) != y->shape[2])
        return ag_fail(AG_ERR_SHAPE, "the gradient is not of this input's convolution");
    if (x->shape[3] % c->o.groups || y->shape[3] % c->o.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld and %lld channels are not %d groups", (long long)x->shape[3],
                       (long long)y->shape[3], c->o.groups);
    return ag__shape_set(w, 4, (int64_t[]){c->kh, c->kw, x->shape[3] / c->o.groups, y->shape[3]});
}

static k_conv conv2d_weight_grad_sizes(const ag_tensor *w) { return kernel_sizes(w->attr, w->in[0], w->in[1]); }

static void conv2d_weight_grad_run(const ag_tensor *w)
{
    const k_conv c = conv2d_weight_grad_sizes(w);
    (in_bf16(w, &c, K_WEIGHT) ? k.conv_weight_bf16 : k.conv_weight)(&c, ag__in(w, 0), ag__in(w, 1), w->data,
                                                                    w->scratch);
}

static void conv2d_weight_grad_gradient(ag_tensor *w, ag_tensor *dw, ag_tensor **d)
{
    const ag_conv2d_options o = linear(w->attr, w->in[0]);
    if (ag__wants(w, 0)) d[0] = ag_conv2d_transposed(w->in[1], dw, NULL, NULL, &o);
    if (ag__wants(w, 1)) d[1] = ag_conv2d(w->in[0], dw, NULL, NULL, &o);
}

static double conv2d_weight_grad_flops(const ag_tensor *w)
{
    const k_conv c = conv2d_weight_grad_sizes(w);
    return conv_flops(&c);
}

static size_t conv2d_weight_grad_scratch(const ag_tensor *w)
{
    const k_conv c = conv2d_weight_grad_sizes(w);
    return (in_bf16(w, &c, K_WEIGHT) ? k.conv_weight_bf16_scratch : k.conv_weight_scratch)(&c);
}

const ag__rule ag__conv2d_weight_grad = {.shape = conv2d_weight_grad_shape,
                                         .run = conv2d_weight_grad_run,
                                         .gradient = conv2d_weight_grad_gradient,
                                         .flops = conv2d_weight_grad_flops,
                                         .scratch = conv2d_weight_grad_scratch};

/* ---- building ----------------------------------------------------------------------------------------------------- */

static conv attributes(const ag_conv2d_options *o, int64_t kh, int64_t kw)
{
    conv c = {.o = o ? *o : (ag_conv2d_options){0}, .kh = (int)kh, .kw = (int)kw};
    if (!c.o.stride) c.o.stride = 1;
    if (!c.o.dilation) c.o.dilation = 1;
    if (!c.o.groups) c.o.groups = 1;
    return c;
}

static ag_tensor *map(ag__op op, ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                      const ag_conv2d_options *o)
{
    conv c = attributes(o, ag_dim(w, 0), ag_dim(w, 1));
    ag_tensor *in[4] = {x, w};
    int n = 2;
    if ((c.bias = bias)) in[n++] = bias;
    if ((c.residual = residual)) in[n++] = residual;
    return ag__node(op, n, in, &c, sizeof c);
}

ag_tensor *ag_conv2d(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, const ag_conv2d_options *o)
{
    return map(AG__OP_conv2d, x, w, bias, residual, o);
}

ag_tensor *ag_conv2d_transposed(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                                const ag_conv2d_options *o)
{
    return map(AG__OP_conv2d_transposed, x, w, bias, residual, o);
}

ag_tensor *ag_conv2d_weight_grad(ag_tensor *x, ag_tensor *dy, int kh, int kw, const ag_conv2d_options *o)
{
    const conv c = attributes(o, kh, kw);
    return ag__node(AG__OP_conv2d_weight_grad, 2, (ag_tensor *[]){x, dy}, &c, sizeof c);
}

void ag_pad_same(int64_t n, int kernel, int stride, int dilation, int pad[2])
{
    const int64_t out = (n + stride - 1) / stride, reach = (kernel - 1) * (int64_t)(dilation ? dilation : 1) + 1;
    const int64_t total = (out - 1) * stride + reach - n;
    pad[0] = total > 0 ? (int)(total / 2) : 0;
    pad[1] = total > 0 ? (int)(total - total / 2) : 0;
}
