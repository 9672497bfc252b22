/* Multi-head attention. Vaswani et al. 2017, arXiv:1706.03762, 3.2.2 */
#include "nn/nn.h"
#include "start.h"

/* Where q, k and v come from: layers of their own, or thirds of one. */
typedef struct source {
    nn_scope scope;
    const nn_attention_opt *o;
    int64_t width;
} source;

static ag_tensor *own(const source *f, const char *name, const char *usual, ag_tensor *x, bool bias)
{
    const nn_linear_opt l = {.out = f->width, .no_bias = !bias, .weights = f->o->weights, .deviation = f->o->deviation};
    return nn_linear(nn_in(f->scope, name ? name : usual), x, &l);
}

/* Third i of the layer `names.qkv`: its weight is cut, which is less than its result. */
static ag_tensor *third(const source *f, int i, ag_tensor *x, bool bias)
{
    const nn_attention_opt *o = f->o;
    const nn_scope s = nn_in(f->scope, o->names.qkv);
    const int64_t in = ag_dim(x, -1), all = 3 * f->width;
    const nn_init start = o->deviation > 0 ? (nn_init){NN_NORMAL, 0, o->deviation}
                                           : nn__start_weight(o->weights, (double)in, (double)all);
    const nn_init low = o->deviation > 0 ? (nn_init){NN_ZERO, 0, 0} : nn__start_bias(o->weights, (double)in);
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *w = nn_tensor(s, "weight", NN_PARAMETER, NN_LINEAR, 2, (int64_t[]){in, all}, start), *b = NULL;
    if (bias) b = ag_slice_axis(nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &all, low), 0, i * f->width, f->width);
    ag_tensor *y = ag_linear(x, ag_slice_axis(w, 1, i * f->width, f->width), b, NULL, AG_LINEAR);
    ag_graph_scope(s.graph, outer);
    return y;
}

static ag_tensor *heads(ag_tensor *t, int64_t count)
{
    if (!t) return NULL;
    return ag_reshape(t, 4, (int64_t[]){ag_dim(t, 0), ag_dim(t, 1), count, ag_dim(t, 2) / count});
}

ag_tensor *nn_attention(nn_scope s, ag_tensor *x, const nn_attention_opt *o)
{
    if (!x) return NULL;
    const int64_t c = ag_dim(x, -1), width = o->width ? o->width : c;
    if (ag_rank(x) != 3 || o->heads < 1 || width % o->heads)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE,
                             "%s: attention of %lld heads takes [N,L,C], and a multiple of them as width, not %lld",
                             s.name, (long long)o->heads, (long long)width);
    if (o->names.qkv && (o->context || o->no_key_bias))
        return ag_graph_fail(s.graph, AG_ERR_SHAPE,
                             "%s: one layer for q, k and v has one input and a bias for all or none", s.name);
    const source from = {s, o, width};
    const nn_attention_names *n = &o->names;
    const bool bias = !o->no_bias && !o->no_qkv_bias;
    ag_tensor *context = o->context ? o->context : x;
    ag_tensor *q = n->qkv ? third(&from, 0, x, bias) : own(&from, n->q, "q", x, bias);
    ag_tensor *k = n->qkv ? third(&from, 1, x, bias) : own(&from, n->k, "k", context, bias && !o->no_key_bias);
    ag_tensor *v = n->qkv ? third(&from, 2, x, bias) : own(&from, n->v, "v", context, bias);
    q = heads(q, o->heads), k = heads(k, o->heads), v = heads(v, o->heads);
    const char *outer = ag_graph_scope(s.graph, s.name);
    if (o->rotary) q = ag_rotary(q, o->rotary), k = ag_rotary(k, o->rotary);
    ag_tensor *y = ag_attention(q, k, v, &(ag_attention_options){.scale = o->scale, .mask = o->mask, .bias = o->bias});
    y = y ? ag_reshape(y, 3, (int64_t[]){ag_dim(x, 0), ag_dim(x, 1), width}) : NULL;
    ag_graph_scope(s.graph, outer);
    const nn_linear_opt last = {.out = c,
                                .no_bias = o->no_bias,
                                .weights = o->weights,
                                .deviation = o->proj_deviation > 0 ? o->proj_deviation : o->deviation,
                                .residual = o->residual};
    return nn_linear(nn_in(s, n->proj ? n->proj : "proj"), y, &last);
}
