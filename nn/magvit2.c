/* The image network of MAGVIT-v2 (Yu et al. 2024, arXiv:2310.05737, appendix A) as Open-MAGVIT2 has it (Luo et al. 2024,
 * arXiv:2409.04410), with the names of its code. No attention; residual blocks without biases.
 *
 *     encoder   conv_in | per level: blocks, 3x3 of stride 2 | mid_block | norm, SiLU, 1x1
 *     decoder   conv_in | mid_block | per level, deepest first: adaptive norm, blocks, 3x3 and depth to space | norm, SiLU, conv_out
 *
 * Adaptive norm: group norm without affine, then * gamma(sqrt(var + 1e-6)) + beta(mean), linear layers of the variance (unbiased)
 * and mean of every channel of the quantized map. */
#include "nn/networks.h"

static ag_tensor *norm_silu(nn_scope s, ag_tensor *x, const nn_magvit2_opt *o)
{
    return nn_group_norm(s, x, &(nn_norm_opt){.epsilon = 1e-6, .groups = o->groups, .activation = AG_SILU});
}

static ag_tensor *conv3(nn_scope s, ag_tensor *x, int64_t out, bool bias, ag_tensor *residual)
{
    return nn_conv2d(s, x, &(nn_conv2d_opt){.out = out, .kernel = 3, .pad = 1, .no_bias = !bias, .residual = residual});
}

static ag_tensor *residual_block(nn_scope s, ag_tensor *x, int64_t out, const nn_magvit2_opt *o)
{
    ag_block_begin(s.graph);
    ag_tensor *h = conv3(nn_in(s, "conv1"), norm_silu(nn_in(s, "norm1"), x, o), out, false, NULL);
    h = norm_silu(nn_in(s, "norm2"), h, o);
    if (ag_dim(x, -1) != out)
        x = nn_conv2d(nn_in(s, "nin_shortcut"), x, &(nn_conv2d_opt){.out = out, .kernel = 1, .no_bias = true});
    x = conv3(nn_in(s, "conv2"), h, out, false, x);
    ag_block_end(s.graph);
    return x;
}

static ag_tensor *blocks(nn_scope s, const char *name, ag_tensor *x, int64_t out, const nn_magvit2_opt *o)
{
    for (int i = 0; i < o->blocks; i++) x = residual_block(nn_at(s, name, i), x, out, o);
    return x;
}

static ag_tensor *output(nn_scope s, ag_tensor *x, int64_t out, int kernel, const nn_magvit2_opt *o)
{
    ag_block_begin(s.graph);
    x = nn_conv2d(nn_in(s, "conv_out"), norm_silu(nn_in(s, "norm_out"), x, o),
                  &(nn_conv2d_opt){.out = out, .kernel = kernel, .pad = kernel / 2});
    ag_block_end(s.graph);
    return x;
}

/* One number per sample and channel, [N,1,1,width]: a linear layer of v [N,z]. */
static ag_tensor *spread(nn_scope s, ag_tensor *v, int64_t width)
{
    v = nn_linear(s, v, &(nn_linear_opt){.out = width});
    return ag_reshape(v, 4, (int64_t[]){ag_dim(v, 0), 1, 1, width});
}

static ag_tensor *adaptive_norm(nn_scope s, ag_tensor *x, ag_tensor *z, const nn_magvit2_opt *o)
{
    if (!x) return NULL;
    const int64_t n = ag_dim(z, 0), places = ag_dim(z, 1) * ag_dim(z, 2), c = ag_dim(z, 3);
    ag_block_begin(s.graph);
    ag_tensor *mean = ag_global_average(z);
    ag_tensor *centred = ag_sub(z, ag_reshape(mean, 4, (int64_t[]){n, 1, 1, c}));
    ag_tensor *variance = ag_scale(ag_global_average(ag_square(centred)), (double)places / (double)(places - 1));
    ag_tensor *scale = spread(nn_in(s, "gamma"), ag_sqrt(ag_shift(variance, 1e-6)), ag_dim(x, -1));
    ag_tensor *shift = spread(nn_in(s, "beta"), mean, ag_dim(x, -1));
    x = nn_group_norm(nn_in(s, "gn"), x, &(nn_norm_opt){.epsilon = 1e-6, .groups = o->groups, .no_affine = true});
    x = ag_add(ag_mul(x, scale), shift);
    ag_block_end(s.graph);
    return x;
}

static bool sound(nn_scope s, const nn_magvit2_opt *o)
{
    if (o->levels >= 1 && o->levels <= NN_MOST_LEVELS) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d levels; there can be 1 to %d", s.name, o->levels, NN_MOST_LEVELS);
    return false;
}

static int64_t width(const nn_magvit2_opt *o, int i) { return o->ch * o->ch_mult[i]; }

ag_tensor *nn_magvit2_encoder(nn_scope s, ag_tensor *x, const nn_magvit2_opt *o)
{
    if (!x || !sound(s, o)) return NULL;
    const int64_t f = (int64_t)1 << (o->levels - 1);
    if (ag_dim(x, 1) % f || ag_dim(x, 2) % f)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld; both must be multiples of %lld",
                             s.name, (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), (long long)f);
    x = conv3(nn_in(s, "conv_in"), x, o->ch, false, NULL);
    for (int i = 0; i < o->levels; i++) {
        const nn_scope level = nn_at(s, "down", i);
        const nn_conv2d_opt half = {.out = width(o, i), .kernel = 3, .stride = 2, .pad = 1};
        x = blocks(level, "block", x, width(o, i), o);
        if (i < o->levels - 1) x = nn_conv2d(nn_in(level, "downsample"), x, &half);
    }
    x = blocks(s, "mid_block", x, width(o, o->levels - 1), o);
    return output(s, x, o->z_channels, 1, o);
}

ag_tensor *nn_magvit2_decoder(nn_scope s, ag_tensor *z, const nn_magvit2_opt *o)
{
    if (!z || !sound(s, o)) return NULL;
    if (ag_dim(z, 1) * ag_dim(z, 2) < 2)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE,
                             "%s: the variance over one position is not defined; the map must be larger", s.name);
    ag_tensor *x = conv3(nn_in(s, "conv_in"), z, width(o, o->levels - 1), true, NULL);
    x = blocks(s, "mid_block", x, width(o, o->levels - 1), o);
    for (int i = o->levels - 1; i >= 0; i--) {
        const nn_scope level = nn_at(s, "up", i);
        x = adaptive_norm(nn_at(s, "adaptive", i), x, z, o);
        x = blocks(level, "block", x, width(o, i), o);
        if (i) x = ag_depth_to_space(conv3(nn_in(level, "upsample.conv1"), x, 4 * width(o, i), true, NULL), 2);
    }
    return output(s, x, o->channels, 3, o);
}
