/* Multi-head attention. Vaswani et al. 2017, arXiv:1706.03762, 3.2.2 */
#include "nn/nn.h"

static ag_tensor *project(nn_scope s, const char *name, ag_tensor *x, int64_t out, const nn_attention_opt *o, bool bias)
{
    return nn_linear(nn_in(s, name), x, &(nn_linear_opt){.out = out, .no_bias = !bias, .deviation = o->deviation});
}

static ag_tensor *heads(ag_tensor *t, int64_t count)
{
    if (!t) return NULL;
    return ag_reshape(t, 4, (int64_t[]){ag_dim(t, 0), ag_dim(t, 1), count, ag_dim(t, 2) / count});
}

ag_tensor *nn_attention(nn_scope s, ag_tensor *x, const nn_attention_opt *o)
{
    if (!x) return NULL;
    const int64_t c = ag_dim(x, -1);
    if (ag_rank(x) != 3 || o->heads < 1 || c % o->heads)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE,
                             "%s: attention of %lld heads takes [N,L,C] with C a multiple of them", s.name,
                             (long long)o->heads);
    ag_tensor *from = o->context ? o->context : x;
    ag_tensor *q = heads(project(s, "q", x, c, o, !o->no_bias), o->heads);
    ag_tensor *k = heads(project(s, "k", from, c, o, !o->no_bias && !o->no_key_bias), o->heads);
    ag_tensor *v = heads(project(s, "v", from, c, o, !o->no_bias), o->heads);
    const char *outer = ag_graph_scope(s.graph, s.name);
    if (o->rotary) q = ag_rotary(q, o->rotary), k = ag_rotary(k, o->rotary);
    ag_tensor *y = ag_attention(q, k, v, &(ag_attention_options){.scale = o->scale, .mask = o->mask, .bias = o->bias});
    y = y ? ag_reshape(y, 3, (int64_t[]){ag_dim(x, 0), ag_dim(x, 1), c}) : NULL;
    ag_graph_scope(s.graph, outer);
    const nn_linear_opt last = {.out = c, .no_bias = o->no_bias, .deviation = o->deviation, .residual = o->residual};
    return nn_linear(nn_in(s, "proj"), y, &last);
}
