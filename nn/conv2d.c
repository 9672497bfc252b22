/* Convolution layers. */
#include "nn/nn.h"
#include "start.h"

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

/* The weight [k,k,in,out] as stored; `fan_in` and `fan_out` of the map. */
static ag_tensor *kernel(nn_scope s, const nn_conv2d_opt *o, int64_t in, int64_t out, int64_t fan_in, int64_t fan_out)
{
    const int64_t shape[4] = {o->kernel, o->kernel, in, out};
    return nn_tensor(s, "weight", NN_PARAMETER, NN_CONV, 4, shape,
                     nn__start_weight(o->weights, (double)fan_in, (double)fan_out));
}

static ag_tensor *bias(nn_scope s, const nn_conv2d_opt *o, int64_t fan_in)
{
    if (o->no_bias) return NULL;
    return nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &o->out, nn__start_bias(o->weights, (double)fan_in));
}

ag_tensor *nn_conv2d(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t in = of_group(ag_dim(x, -1), o), fan_in = in * o->kernel * o->kernel;
    ag_tensor *w = kernel(s, o, in, o->out, fan_in, o->out), *b = bias(s, o, fan_in);
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
    ag_tensor *w = kernel(s, o, out, in, fan_in, in), *b = bias(s, o, fan_in);
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
