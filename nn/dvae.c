/* The networks of the DALL-E dVAE: Ramesh et al. 2021, arXiv:2102.12092, appendix A.1, with the layer names of the published code.
 *
 *     encoder   conv 7x7 | four groups of blocks, max-pooling after the first three | ReLU, 1x1 to logits
 *     decoder   1x1 of the (soft) one-hot codes | four groups, doubled after the first three | ReLU, 1x1 to mean and log scale
 *     block     id(x) + g conv_4(relu(conv_3(relu(conv_2(relu(conv_1(relu(x)))))))),  g = 1 / blocks^2
 *
 * The gain g multiplies the weights of conv_4, which is less than its result, so that the sum is fused. */
#include "nn/networks.h"

enum { GROUPS = 4 };

static ag_tensor *conv(nn_scope s, ag_tensor *x, int64_t out, int kernel, ag_activation activation)
{
    const nn_conv2d_opt o = {
        .out = out, .kernel = kernel, .pad = kernel / 2, .activation = activation, .weights = NN_WEIGHTS_NORMAL};
    return nn_conv2d(s, x, &o);
}

/* residual + gain * convolution of x */
static ag_tensor *last_conv(nn_scope s, ag_tensor *x, int64_t out, int kernel, double gain, ag_tensor *residual)
{
    if (!x) return NULL;
    const int64_t in = ag_dim(x, -1);
    const nn_init start = {NN_NORMAL, 0, 1 / ((double)kernel * __builtin_sqrt((double)in))}, zero = {.rule = NN_ZERO};
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *w = nn_tensor(s, "weight", NN_PARAMETER, NN_CONV, 4, (int64_t[]){kernel, kernel, in, out}, start);
    ag_tensor *b = nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &out, zero);
    const int pad = kernel / 2;
    ag_tensor *y =
        ag_conv2d(x, ag_scale(w, gain), ag_scale(b, gain), residual, &(ag_conv2d_options){.pad = {pad, pad, pad, pad}});
    ag_graph_scope(s.graph, outer);
    return y;
}

/* `first` and `last`: kernels of conv_1 and conv_4: 3 and 1 in the encoder, 1 and 3 in the decoder. */
static ag_tensor *block(nn_scope s, ag_tensor *x, int64_t out, int first, int last, double gain)
{
    const nn_scope r = nn_in(s, "res_path");
    const int64_t hidden = out / 4;
    ag_block_begin(s.graph);
    ag_tensor *h = conv(nn_in(r, "conv_1"), ag_relu(x), hidden, first, AG_RELU);
    h = conv(nn_in(r, "conv_2"), h, hidden, 3, AG_RELU);
    h = conv(nn_in(r, "conv_3"), h, hidden, 3, AG_RELU);
    ag_tensor *id = ag_dim(x, -1) == out ? x : conv(nn_in(s, "id_path"), x, out, 1, AG_LINEAR);
    x = last_conv(nn_in(r, "conv_4"), h, out, last, gain, id);
    ag_block_end(s.graph);
    return x;
}

/* Group i, from 0, of `width` channels. */
static ag_tensor *group(nn_scope s, int i, ag_tensor *x, int64_t width, int first, int last, const nn_dvae_opt *o)
{
    const int all = GROUPS * o->blocks;
    char name[32];
    for (int j = 0; j < o->blocks; j++) {
        snprintf(name, sizeof name, "group_%d.block_%d", i + 1, j + 1);
        x = block(nn_in(s, name), x, width, first, last, 1.0 / all / all);
    }
    return x;
}

static bool sound(nn_scope s, const nn_dvae_opt *o)
{
    if (o->blocks >= 1 && o->width >= 4) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d blocks a group of width %lld; at least 1 and 4", s.name, o->blocks,
                  (long long)o->width);
    return false;
}

ag_tensor *nn_dvae_encoder(nn_scope s, ag_tensor *x, const nn_dvae_opt *o)
{
    if (!x || !sound(s, o)) return NULL;
    if (ag_dim(x, 1) % 8 || ag_dim(x, 2) % 8)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld; both must be multiples of 8", s.name,
                             (long long)ag_dim(x, 1), (long long)ag_dim(x, 2));
    s = nn_in(s, "blocks");
    x = conv(nn_in(s, "input"), x, o->width, 7, AG_LINEAR);
    for (int i = 0; i < GROUPS; i++) {
        x = group(s, i, x, o->width << i, 3, 1, o);
        if (i < GROUPS - 1) x = ag_max_pool2d(x, &(ag_pool2d_options){.kernel = 2});
    }
    return conv(nn_in(s, "output.conv"), ag_relu(x), o->codes, 1, AG_LINEAR);
}

ag_tensor *nn_dvae_decoder(nn_scope s, ag_tensor *y, const nn_dvae_opt *o)
{
    if (!y || !sound(s, o)) return NULL;
    s = nn_in(s, "blocks");
    ag_tensor *x = conv(nn_in(s, "input"), y, o->initial ? o->initial : 128, 1, AG_LINEAR);
    for (int i = 0; i < GROUPS; i++) {
        x = group(s, i, x, o->width << (GROUPS - 1 - i), 1, 3, o);
        if (i < GROUPS - 1) x = ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), AG_NEAREST);
    }
    return conv(nn_in(s, "output.conv"), ag_relu(x), o->out, 1, AG_LINEAR);
}
