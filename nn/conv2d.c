/* Convolution layers. */
#include "nn/nn.h"

#include <math.h>

/* Weight and bias ~ U(+-1/sqrt(fan_in)), the default of the common library. */
static ag_tensor *uniform(nn_scope s, const char *name, nn_layout layout, int rank, const int64_t *shape,
                          int64_t fan_in)
{
    const double bound = 1 / sqrt((double)fan_in);
    return nn_tensor(s, name, NN_PARAMETER, layout, rank, shape, (nn_init){NN_UNIFORM, -bound, bound});
}

ag_tensor *nn_conv2d(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t in = ag_dim(x, -1), fan_in = in * o->kernel * o->kernel;
    ag_tensor *w = uniform(s, "weight", NN_CONV, 4, (int64_t[]){o->kernel, o->kernel, in, o->out}, fan_in);
    ag_tensor *b = o->no_bias ? NULL : uniform(s, "bias", NN_PLAIN, 1, &o->out, fan_in);
    const ag_conv2d_options c = {
        .stride = o->stride, .pad = {o->pad, o->pad, o->pad, o->pad}, .activation = o->activation};
    ag_tensor *y = ag_conv2d(x, w, b, o->residual, &c);
    ag_graph_scope(s.graph, outer);
    return y;
}

ag_tensor *nn_conv2d_transposed(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t in = ag_dim(x, -1), fan_in = o->out * o->kernel * o->kernel;
    ag_tensor *w = uniform(s, "weight", NN_CONV, 4, (int64_t[]){o->kernel, o->kernel, o->out, in}, fan_in);
    ag_tensor *b = o->no_bias ? NULL : uniform(s, "bias", NN_PLAIN, 1, &o->out, fan_in);
    const ag_conv2d_options c = {
        .stride = o->stride, .pad = {o->pad, o->pad, o->pad, o->pad}, .activation = o->activation};
    ag_tensor *y = ag_conv2d_transposed(x, w, b, o->residual, &c);
    ag_graph_scope(s.graph, outer);
    return y;
}

ag_tensor *nn_mse(ag_tensor *y, ag_tensor *x) { return ag_mse(y, x); }
