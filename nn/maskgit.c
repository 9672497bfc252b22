/* The convolutional network of MaskGIT's VQGAN: Chang et al. 2022, arXiv:2202.04200, 3.1, after its published Flax code. No
 * attention; convolutions of residual blocks without bias; levels are joined by 2x2 averages and by doubling with a 3x3.
 *
 *     encoder   conv_in | per level: blocks, average | blocks | norm, SiLU, 1x1
 *     decoder   conv_in | blocks | per level, deepest first: blocks, double, 3x3 | norm, SiLU, conv_out */
#include "nn/networks.h"

static ag_tensor *norm_silu(nn_scope s, ag_tensor *x, const nn_maskgit_opt *o)
{
    return nn_group_norm(s, x, &(nn_norm_opt){.epsilon = 1e-6, .groups = o->groups, .activation = AG_SILU});
}

static ag_tensor *conv(nn_scope s, ag_tensor *x, int64_t out, int kernel, bool bias, ag_tensor *residual)
{
    const nn_conv2d_opt c = {.out = out,
                             .kernel = kernel,
                             .pad = kernel / 2,
                             .no_bias = !bias,
                             .residual = residual,
                             .weights = NN_WEIGHTS_TRUNCATED};
    return nn_conv2d(s, x, &c);
}

/* x + conv2(silu(norm2(conv1(silu(norm1(x)))))); where channels change a 1x1 convolution of x, or in the published network of the
 * sum's other part, h + W h. */
static ag_tensor *residual_block(nn_scope s, ag_tensor *x, int64_t out, const nn_maskgit_opt *o)
{
    const bool same = ag_dim(x, -1) == out;
    ag_block_begin(s.graph);
    ag_tensor *h = conv(nn_in(s, "conv1"), norm_silu(nn_in(s, "norm1"), x, o), out, 3, false, NULL), *y;
    h = norm_silu(nn_in(s, "norm2"), h, o);
    if (!same && o->published_skip) {
        h = conv(nn_in(s, "conv2"), h, out, 3, false, NULL);
        y = conv(nn_in(s, "nin_shortcut"), h, out, 1, false, h);
    } else {
        ag_tensor *skip = same ? x : conv(nn_in(s, "nin_shortcut"), x, out, 1, false, NULL);
        y = conv(nn_in(s, "conv2"), h, out, 3, false, skip);
    }
    ag_block_end(s.graph);
    return y;
}

static ag_tensor *blocks(nn_scope s, ag_tensor *x, int64_t out, const nn_maskgit_opt *o)
{
    for (int i = 0; i < o->blocks; i++) x = residual_block(nn_at(s, "block", i), x, out, o);
    return x;
}

static ag_tensor *doubled(nn_scope s, ag_tensor *x)
{
    ag_block_begin(s.graph);
    ag_tensor *y = ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), AG_NEAREST);
    y = conv(nn_in(s, "conv"), y, ag_dim(x, -1), 3, true, NULL);
    ag_block_end(s.graph);
    return y;
}

static ag_tensor *output(nn_scope s, ag_tensor *x, int64_t out, int kernel, const nn_maskgit_opt *o)
{
    ag_block_begin(s.graph);
    x = conv(nn_in(s, "conv_out"), norm_silu(nn_in(s, "norm_out"), x, o), out, kernel, true, NULL);
    ag_block_end(s.graph);
    return x;
}

static bool sound(nn_scope s, const nn_maskgit_opt *o)
{
    if (o->levels >= 1 && o->levels <= NN_MOST_LEVELS) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d levels; there can be 1 to %d", s.name, o->levels, NN_MOST_LEVELS);
    return false;
}

static int64_t width(const nn_maskgit_opt *o, int i) { return o->ch * o->ch_mult[i]; }

ag_tensor *nn_maskgit_encoder(nn_scope s, ag_tensor *x, const nn_maskgit_opt *o)
{
    if (!x || !sound(s, o)) return NULL;
    const int64_t f = (int64_t)1 << (o->levels - 1);
    if (ag_dim(x, 1) % f || ag_dim(x, 2) % f)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld; both must be multiples of %lld",
                             s.name, (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), (long long)f);
    x = conv(nn_in(s, "conv_in"), x, o->ch, 3, false, NULL);
    for (int i = 0; i < o->levels; i++) {
        x = blocks(nn_at(s, "down", i), x, width(o, i), o);
        if (i < o->levels - 1) x = ag_avg_pool2d(x, &(ag_pool2d_options){.kernel = 2});
    }
    x = blocks(nn_in(s, "mid"), x, width(o, o->levels - 1), o);
    return output(s, x, o->z_channels, 1, o);
}

ag_tensor *nn_maskgit_decoder(nn_scope s, ag_tensor *z, const nn_maskgit_opt *o)
{
    if (!z || !sound(s, o)) return NULL;
    ag_tensor *x = conv(nn_in(s, "conv_in"), z, width(o, o->levels - 1), 3, true, NULL);
    x = blocks(nn_in(s, "mid"), x, width(o, o->levels - 1), o);
    for (int i = o->levels - 1; i >= 0; i--) {
        const nn_scope level = nn_at(s, "up", i);
        x = blocks(level, x, width(o, i), o);
        if (i) x = doubled(nn_in(level, "upsample"), x);
    }
    return output(s, x, o->channels, 3, o);
}
