/* Linear layers. */
#include "nn/nn.h"
#include "start.h"

ag_tensor *nn_linear(nn_scope s, ag_tensor *x, const nn_linear_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t in = ag_dim(x, -1);
    const nn_init start = o->deviation > 0 ? (nn_init){NN_NORMAL, 0, o->deviation}
                                           : nn__start_weight(o->weights, (double)in, (double)o->out);
    const nn_init zero = {NN_ZERO, 0, 0}, low = o->deviation > 0 ? zero : nn__start_bias(o->weights, (double)in);
    ag_tensor *w = nn_tensor(s, "weight", NN_PARAMETER, NN_LINEAR, 2, (int64_t[]){in, o->out}, start);
    ag_tensor *b = o->no_bias ? NULL : nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &o->out, low);
    ag_tensor *y = w && (b || o->no_bias) ? ag_linear(x, w, b, o->residual, o->activation) : NULL;
    ag_graph_scope(s.graph, outer);
    return y;
}
