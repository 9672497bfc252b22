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

static ag_conv2d_options options(const nn_conv2d_opt *o)
{
    ag_conv2d_options c = {
        .stride = o->stride, .activation = o->activation, .dilation = o->dilation, .groups = o->groups};
    for (int i = 0; i < 4; i++) c.pad[i] = o->pad + o->pads[i];
    return c;
}

/* Channels of one group; a number that cannot be divided is a mistake of the convolution. */
static int64_t of_group(int64_t channels, const nn_conv2d_opt *o)
{
    return o->groups > 1 && channels % o->groups == 0 ? channels / o->groups : channels;
}

ag_tensor *nn_conv2d(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t in = of_group(ag_dim(x, -1), o), fan_in = in * o->kernel * o->kernel;
    ag_tensor *w = uniform(s, "weight", NN_CONV, 4, (int64_t[]){o->kernel, o->kernel, in, o->out}, fan_in);
    ag_tensor *b = o->no_bias ? NULL : uniform(s, "bias", NN_PLAIN, 1, &o->out, fan_in);
    const ag_conv2d_options c = options(o);
    ag_tensor *y = ag_conv2d(x, w, b, o->residual, &c);
    ag_graph_scope(s.graph, outer);
    return y;
}

ag_tensor *nn_conv2d_transposed(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t in = ag_dim(x, -1), out = of_group(o->out, o), fan_in = out * o->kernel * o->kernel;
    ag_tensor *w = uniform(s, "weight", NN_CONV, 4, (int64_t[]){o->kernel, o->kernel, out, in}, fan_in);
    ag_tensor *b = o->no_bias ? NULL : uniform(s, "bias", NN_PLAIN, 1, &o->out, fan_in);
    const ag_conv2d_options c = options(o);
    ag_tensor *y = ag_conv2d_transposed(x, w, b, o->residual, &c);
    ag_graph_scope(s.graph, outer);
    return y;
}

ag_tensor *nn_downsample(nn_scope s, ag_tensor *x)
{
    return nn_conv2d(nn_in(s, "conv"), x,
                     &(nn_conv2d_opt){.out = ag_dim(x, -1), .kernel = 3, .stride = 2, .pads = {0, 1, 0, 1}});
}

ag_tensor *nn_upsample(nn_scope s, ag_tensor *x)
{
    ag_tensor *y = ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), AG_NEAREST);
    return nn_conv2d(nn_in(s, "conv"), y, &(nn_conv2d_opt){.out = ag_dim(x, -1), .kernel = 3, .pad = 1});
}

ag_tensor *nn_mse(ag_tensor *y, ag_tensor *x) { return ag_mse(y, x); }
