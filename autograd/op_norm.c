/* norm    y = act(h w + b), h = (x - mean) rate: layer, RMS, l2, group and batch normalisation
 *         Seen as x [n,s,c]: mean and rate are taken per n and per group of neighbouring channels, over s positions.
 *           layer, RMS, l2   n = all rows, s = 1, one group
 *           group            n = samples, s = positions
 *           batch            n = 1, s = all rows, a group per channel
 *         mean = average of x (layer, group, batch) or 0 (RMS, l2)
 *         rate = 1 / sqrt(average of (x - mean)^2 + epsilon), or 1 / max(|x|, epsilon) for l2
 *         parts: mean, rate, variance (biased), each [n,groups]
 *
 * norm_grad  with u = dy act'(h w + b), m1, m2 the averages of w u and w u h over a group:
 *         dx = rate (w u - m1 - h m2)        m1 = 0 for RMS and l2; l2 has a sum for m2, and 0 where |x| < epsilon
 *         dw = sum u h, db = sum u           parts that norm_parameter_grad gives a gradient of their own
 *         Both are differentiated again by their composed forms.
 * Ioffe, Szegedy 2015, arXiv:1502.03167; Ba, Kiros, Hinton 2016, arXiv:1607.06450; Wu, He 2018, arXiv:1803.08494;
 * Zhang, Sennrich 2019, arXiv:1910.07467 */
#include "engine.h"

/* Inputs of norm: x, [w], [b]; of the gradient ops: x, dy, [w], [b], mean, rate(, part). */
typedef struct norm {
    k_norm k;
    bool w, b;
    bool bias; /* norm_parameter_grad: db, not dw */
} norm;

static ag_err check_vector(const ag_tensor *t, int64_t c, const char *what)
{
    if (t->dtype == AG_REAL && t->rank == 1 && t->shape[0] == c) return AG_OK;
    return ag_fail(AG_ERR_SHAPE, "the %s must be real [%lld]", what, (long long)c);
}

static ag_err norm_shape(ag_tensor *y)
{
    const norm *o = y->attr;
    const ag_tensor *x = y->in[0];
    ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err) return err;
    if (o->k.groups < 1 || o->k.c % o->k.groups)
        return ag_fail(AG_ERR_SHAPE, "%lld channels cannot be cut into %lld groups", (long long)o->k.c,
                       (long long)o->k.groups);
    if (!(o->k.epsilon >= 0)) return ag_fail(AG_ERR_SHAPE, "epsilon is %g; it must be 0 or more", o->k.epsilon);
    if (o->w && (err = check_vector(y->in[1], o->k.c, "weight"))) return err;
    if (o->b && (err = check_vector(y->in[1 + o->w], o->k.c, "bias"))) return err;
    return ag__shape_copy(y, x);
}

static void norm_run(const ag_tensor *y)
{
    const norm *o = y->attr;
    k.norm(&o->k, ag__in(y, 0), o->w ? ag__in(y, 1) : NULL, o->b ? ag__in(y, 1 + o->w) : NULL, y->data,
           ag__part_data(y, 0), ag__part_data(y, 1), ag__part_data(y, 2), y->scratch);
}

static size_t norm_scratch(const ag_tensor *y)
{
    const norm *o = y->attr;
    return k.norm_scratch(&o->k);
}

static double norm_flops(const ag_tensor *y) { return 8 * (double)y->numel; }

/* dw or db of a norm_grad node as a tensor that can be differentiated. */
static ag_tensor *parameter_grad(ag_tensor *d, int part, bool bias, const ag_tensor *like)
{
    norm o = *(const norm *)d->attr;
    ag_tensor *in[8];
    for (int i = 0; i < d->inputs; i++) in[i] = d->in[i];
    in[d->inputs] = ag__part(d, part, AG_REAL, 1, like->shape);
    o.bias = bias;
    return ag__node(AG__OP_norm_parameter_grad, d->inputs + 1, in, &o, sizeof o);
}

static void norm_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const norm *o = y->attr;
    ag_tensor *in[6] = {y->in[0], dy};
    int n = 2;
    for (int i = 1; i < y->inputs; i++) in[n++] = y->in[i];
    in[n++] = y->parts[0];
    in[n++] = y->parts[1];
    ag_tensor *d = ag__node(AG__OP_norm_grad, n, in, o, sizeof *o);
    if (!d) return;
    dx[0] = d;
    if (o->w && ag__wants(y, 1)) dx[1] = parameter_grad(d, 0, false, y->in[1]);
    if (o->b && ag__wants(y, 1 + o->w)) dx[1 + o->w] = parameter_grad(d, 1, true, y->in[1 + o->w]);
}

const ag__rule ag__norm = {
    .shape = norm_shape, .run = norm_run, .gradient = norm_gradient, .scratch = norm_scratch, .flops = norm_flops};

/* ---- gradient ------------------------------------------------------------------------------------------------------ */

static ag_err norm_grad_shape(ag_tensor *y) { return ag__shape_copy(y, y->in[0]); }

static void norm_grad_run(const ag_tensor *y)
{
    const norm *o = y->attr;
    const int stats = 2 + o->w + o->b;
    k.norm_grad(&o->k, ag__in(y, 0), ag__in(y, 1), ag__in(y, stats), ag__in(y, stats + 1), o->w ? ag__in(y, 2) : NULL,
                o->b ? ag__in(y, 2 + o->w) : NULL, y->data, ag__part_data(y, 0), ag__part_data(y, 1), y->scratch);
}

static size_t norm_grad_scratch(const ag_tensor *y)
{
    const norm *o = y->attr;
    return k.norm_grad_scratch(&o->k);
}

static double norm_grad_flops(const ag_tensor *y) { return 14 * (double)y->numel; }

/* ---- the composed form --------------------------------------------------------------------------------------------- */

/* The gradient in parts: h, u, w u as [n,s,groups,c / groups], and the rate. */
typedef struct composed {
    ag_tensor *h, *u, *wu, *rate, *limited;
    double count;
} composed;

static ag_tensor *group_sum(const k_norm *o, ag_tensor *t)
{
    return ag_sum_to(t, 4, (int64_t[]){o->n, 1, o->groups, 1});
}

static ag_tensor *per_channel(const k_norm *o, ag_tensor *t)
{
    return ag_reshape(t, 4, (int64_t[]){1, 1, o->groups, o->c / o->groups});
}

static ag_tensor *slope(const k_norm *o, ag_tensor *dy, ag_tensor *v)
{
    if (o->activation == K_RELU) return ag_relu_mask(dy, v);
    ag_tensor *one = ag_constant(ag_graph_of(v), 1, 0, NULL), *s = ag_div(one, ag_shift(ag_exp(ag_neg(v)), 1));
    return ag_mul(dy, ag_mul(s, ag_shift(ag_mul(v, ag_sub(one, s)), 1)));
}

static ag_tensor *rate_of(const k_norm *o, ag_tensor *d, double count)
{
    ag_tensor *square = group_sum(o, ag_square(d)), *one = ag_constant(ag_graph_of(d), 1, 0, NULL);
    if (o->kind == K_NORM_L2) return ag_div(one, ag_sqrt(ag_clamp(square, o->epsilon * o->epsilon, 1e300)));
    return ag_div(one, ag_sqrt(ag_shift(ag_scale(square, 1 / count), o->epsilon)));
}

static composed compose(const norm *o, ag_tensor *const *in)
{
    const k_norm *m = &o->k;
    const int64_t shape[4] = {m->n, m->s, m->groups, m->c / m->groups};
    composed c = {.count = (double)m->s * (double)(m->c / m->groups)};
    ag_tensor *x = ag_reshape(in[0], 4, shape), *dy = ag_reshape(in[1], 4, shape);
    ag_tensor *w = o->w ? per_channel(m, in[2]) : NULL, *b = o->b ? per_channel(m, in[2 + o->w]) : NULL;
    ag_tensor *d = m->kind == K_NORM_MEAN ? ag_sub(x, ag_scale(group_sum(m, x), 1 / c.count)) : x;
    c.rate = rate_of(m, d, c.count);
    c.h = ag_mul(d, c.rate);
    if (m->kind == K_NORM_L2) /* 1 where |x| is above epsilon */
        c.limited = ag_less(ag_constant(ag_graph_of(x), m->epsilon * m->epsilon, 0, NULL), group_sum(m, ag_square(d)));
    c.u = dy;
    if (m->activation != K_LINEAR) {
        ag_tensor *v = w ? ag_mul(c.h, w) : c.h;
        c.u = slope(m, dy, b ? ag_add(v, b) : v);
    }
    c.wu = w ? ag_mul(c.u, w) : c.u;
    return c;
}

static ag_tensor *composed_grad(const ag_tensor *y, ag_tensor *const *in)
{
    const norm *o = y->attr;
    const composed c = compose(o, in);
    ag_tensor *m2 = group_sum(&o->k, ag_mul(c.wu, c.h)), *d = c.wu;
    m2 = c.limited ? ag_mul(m2, c.limited) : ag_scale(m2, 1 / c.count);
    if (o->k.kind == K_NORM_MEAN) d = ag_sub(d, ag_scale(group_sum(&o->k, c.wu), 1 / c.count));
    d = ag_mul(c.rate, ag_sub(d, ag_mul(c.h, m2)));
    return ag_reshape(d, y->rank, y->shape);
}

static void norm_grad_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag__gradient_of_composed(y, dy, dx, composed_grad);
}

const ag__rule ag__norm_grad = {.shape = norm_grad_shape,
                                .run = norm_grad_run,
                                .gradient = norm_grad_gradient,
                                .scratch = norm_grad_scratch,
                                .flops = norm_grad_flops};

/* norm_parameter_grad  the part of norm_grad that is dw or db, with a gradient: a view of it */
static ag_err norm_parameter_grad_shape(ag_tensor *y) { return ag__shape_copy(y, y->in[y->inputs - 1]); }

static double nothing(const ag_tensor *y)
{
    (void)y;
    return 0;
}

static ag_tensor *composed_parameter_grad(const ag_tensor *y, ag_tensor *const *in)
{
    const norm *o = y->attr;
    const composed c = compose(o, in);
    ag_tensor *sum = o->bias ? c.u : ag_mul(c.u, c.h);
    return ag_reshape(ag_sum_to(sum, 4, (int64_t[]){1, 1, o->k.groups, o->k.c / o->k.groups}), 1, y->shape);
}

static void norm_parameter_grad_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    ag__gradient_of_composed(y, dy, dx, composed_parameter_grad);
}

const ag__rule ag__norm_parameter_grad = {
    .shape = norm_parameter_grad_shape, .gradient = norm_parameter_grad_gradient, .flops = nothing, .view = true};

/* ---- building ------------------------------------------------------------------------------------------------------ */

static ag_tensor *node(ag_tensor *x, ag_tensor *w, ag_tensor *b, k_norm m)
{
    norm o = {.k = m, .w = w, .b = b};
    ag_tensor *in[3] = {x};
    int n = 1;
    if (w) in[n++] = w;
    if (b) in[n++] = b;
    ag_tensor *y = ag__node(AG__OP_norm, n, in, &o, sizeof o);
    for (int i = 0; y && i < 3; i++) ag__part(y, i, AG_REAL, 2, (int64_t[]){m.n, m.groups});
    return y;
}

static ag_tensor *rows(ag_tensor *x, ag_tensor *w, ag_tensor *b, int kind, double epsilon)
{
    if (!x) return NULL;
    const int64_t c = ag_dim(x, -1);
    return node(x, w, b, (k_norm){.n = x->numel / c, .s = 1, .groups = 1, .c = c, .kind = kind, .epsilon = epsilon});
}

ag_tensor *ag_layer_norm(ag_tensor *x, ag_tensor *weight, ag_tensor *bias, double epsilon)
{
    return rows(x, weight, bias, K_NORM_MEAN, epsilon);
}

ag_tensor *ag_rms_norm(ag_tensor *x, ag_tensor *weight, double epsilon)
{
    return rows(x, weight, NULL, K_NORM_RMS, epsilon);
}

ag_tensor *ag_l2_normalize(ag_tensor *x, double epsilon) { return rows(x, NULL, NULL, K_NORM_L2, epsilon); }

static int activation_kernel(ag_activation a) { return a == AG_RELU ? K_RELU : a == AG_SILU ? K_SILU : K_LINEAR; }

ag_tensor *ag_group_norm(ag_tensor *x, ag_tensor *weight, ag_tensor *bias, int64_t groups, double epsilon,
                         ag_activation activation)
{
    if (!x) return NULL;
    const int64_t c = ag_dim(x, -1), n = ag_dim(x, 0);
    if (x->rank < 2) return ag__mistake(x->graph, "group_norm", "%s is not [N,...,C]", ag__shape_text(x));
    return node(x, weight, bias,
                (k_norm){.n = n,
                         .s = x->numel / n / c,
                         .groups = groups,
                         .c = c,
                         .activation = activation_kernel(activation),
                         .epsilon = epsilon});
}

ag_tensor *ag_batch_norm(ag_tensor *x, ag_tensor *weight, ag_tensor *bias, double epsilon, ag_activation activation,
                         ag_tensor **mean, ag_tensor **variance)
{
    if (mean) *mean = NULL;
    if (variance) *variance = NULL;
    if (!x) return NULL;
    const int64_t c = ag_dim(x, -1);
    ag_tensor *y = node(x, weight, bias,
                        (k_norm){.n = 1,
                                 .s = x->numel / c,
                                 .groups = c,
                                 .c = c,
                                 .activation = activation_kernel(activation),
                                 .epsilon = epsilon});
    if (y && mean) *mean = ag_reshape(y->parts[0], 1, &c);
    if (y && variance) *variance = ag_reshape(y->parts[2], 1, &c);
    return y;
}
