/* The convolutional encoder and decoder of diffusion models (Ho, Jain, Abbeel 2020, arXiv:2006.11239) as tokenizers use them: Esser,
 * Rombach, Ommer 2021, arXiv:2012.09841, and their public code, whose names the parameters bear.
 *
 *     encoder   conv_in | per level: blocks x (residual, [attention]), halve | residual, attention, residual | norm, SiLU, conv_out
 *     decoder   conv_in | residual, attention, residual | per level, deepest first: (blocks + 1) x ..., double | norm, SiLU, conv_out
 *
 * Norms are fused with SiLU and sums with the convolution before them. What lies between two sums is recomputed under a memory bound. */
#include "nn/networks.h"

static ag_tensor *norm_silu(nn_scope s, ag_tensor *x, const nn_vqgan_opt *o)
{
    return nn_group_norm(s, x, &(nn_norm_opt){.epsilon = 1e-6, .groups = o->groups, .activation = AG_SILU});
}

static ag_tensor *conv3(nn_scope s, ag_tensor *x, int64_t out, ag_tensor *residual)
{
    return nn_conv2d(s, x, &(nn_conv2d_opt){.out = out, .kernel = 3, .pad = 1, .residual = residual});
}

static ag_tensor *conv1(nn_scope s, ag_tensor *x, int64_t out, ag_tensor *residual)
{
    return nn_conv2d(s, x, &(nn_conv2d_opt){.out = out, .kernel = 1, .residual = residual});
}

/* skip(x) + conv2(dropout(silu(norm2(conv1(silu(norm1(x))))))), skip a 1x1 convolution where the channels change */
static ag_tensor *residual_block(nn_scope s, ag_tensor *x, int64_t out, const nn_vqgan_opt *o)
{
    ag_tensor *h = conv3(nn_in(s, "conv1"), norm_silu(nn_in(s, "norm1"), x, o), out, NULL);
    h = norm_silu(nn_in(s, "norm2"), h, o);
    if (s.training) h = ag_dropout(h, o->dropout);
    ag_tensor *skip = ag_dim(x, -1) == out ? x : conv1(nn_in(s, "nin_shortcut"), x, out, NULL);
    return conv3(nn_in(s, "conv2"), h, out, skip);
}

/* x + proj_out(attention of one head over all positions of norm(x)) */
static ag_tensor *attention(nn_scope s, ag_tensor *x, const nn_vqgan_opt *o)
{
    if (!x) return NULL;
    const int64_t c = ag_dim(x, -1), shape[4] = {ag_dim(x, 0), ag_dim(x, 1) * ag_dim(x, 2), 1, c};
    ag_tensor *h = nn_group_norm(nn_in(s, "norm"), x, &(nn_norm_opt){.epsilon = 1e-6, .groups = o->groups});
    ag_tensor *q = ag_reshape(conv1(nn_in(s, "q"), h, c, NULL), 4, shape);
    ag_tensor *k = ag_reshape(conv1(nn_in(s, "k"), h, c, NULL), 4, shape);
    ag_tensor *v = ag_reshape(conv1(nn_in(s, "v"), h, c, NULL), 4, shape);
    const char *outer = ag_graph_scope(s.graph, s.name);
    h = ag_attention(q, k, v, &(ag_attention_options){.heads = 1});
    h = ag_reshape(h, 4, (int64_t[]){shape[0], ag_dim(x, 1), ag_dim(x, 2), c});
    ag_graph_scope(s.graph, outer);
    return conv1(nn_in(s, "proj_out"), h, c, x);
}

/* Residual block `block.i` and perhaps attention `attn.i` of a level. */
static ag_tensor *unit(nn_scope s, int i, ag_tensor *x, int64_t out, bool attend, const nn_vqgan_opt *o)
{
    ag_block_begin(s.graph);
    x = residual_block(nn_at(s, "block", i), x, out, o);
    if (attend) x = attention(nn_at(s, "attn", i), x, o);
    ag_block_end(s.graph);
    return x;
}

static ag_tensor *middle(nn_scope s, ag_tensor *x, const nn_vqgan_opt *o)
{
    ag_block_begin(s.graph);
    x = residual_block(nn_in(s, "block_1"), x, ag_dim(x, -1), o);
    x = attention(nn_in(s, "attn_1"), x, o);
    ag_block_end(s.graph);
    ag_block_begin(s.graph);
    x = residual_block(nn_in(s, "block_2"), x, ag_dim(x, -1), o);
    ag_block_end(s.graph);
    return x;
}

static ag_tensor *output(nn_scope s, ag_tensor *x, int64_t out, const nn_vqgan_opt *o)
{
    ag_block_begin(s.graph);
    x = conv3(nn_in(s, "conv_out"), norm_silu(nn_in(s, "norm_out"), x, o), out, NULL);
    ag_block_end(s.graph);
    return x;
}

static ag_tensor *doubled(nn_scope s, ag_tensor *x)
{
    ag_block_begin(s.graph);
    x = nn_upsample(s, x);
    ag_block_end(s.graph);
    return x;
}

static bool sound(nn_scope s, const nn_vqgan_opt *o)
{
    if (o->levels >= 1 && o->levels <= NN_MOST_LEVELS) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d levels; there can be 1 to %d", s.name, o->levels, NN_MOST_LEVELS);
    return false;
}

/* Channels of level i. */
static int64_t width(const nn_vqgan_opt *o, int i) { return o->ch * o->ch_mult[i]; }

ag_tensor *nn_vqgan_encoder(nn_scope s, ag_tensor *x, const nn_vqgan_opt *o)
{
    if (!x || !sound(s, o)) return NULL;
    const int64_t f = (int64_t)1 << (o->levels - 1 + o->initial_halving);
    if (ag_dim(x, 1) % f || ag_dim(x, 2) % f)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld; both must be multiples of %lld",
                             s.name, (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), (long long)f);
    const nn_conv2d_opt halving = {.out = o->ch, .kernel = 4, .stride = 2, .pad = 1};
    x = o->initial_halving ? nn_conv2d(nn_in(s, "conv_in"), x, &halving) : conv3(nn_in(s, "conv_in"), x, o->ch, NULL);
    for (int i = 0; i < o->levels; i++) {
        const nn_scope level = nn_at(s, "down", i);
        for (int j = 0; j < o->blocks; j++) x = unit(level, j, x, width(o, i), o->encoder_attention[i], o);
        if (i < o->levels - 1) x = nn_downsample(nn_in(level, "downsample"), x);
    }
    x = middle(nn_in(s, "mid"), x, o);
    return output(s, x, o->double_z ? 2 * o->z_channels : o->z_channels, o);
}

ag_tensor *nn_vqgan_decoder(nn_scope s, ag_tensor *z, const nn_vqgan_opt *o)
{
    if (!z || !sound(s, o)) return NULL;
    ag_tensor *x = conv3(nn_in(s, "conv_in"), z, width(o, o->levels - 1), NULL);
    x = middle(nn_in(s, "mid"), x, o);
    for (int i = o->levels - 1; i >= 0; i--) {
        const nn_scope level = nn_at(s, "up", i);
        for (int j = 0; j <= o->blocks; j++) x = unit(level, j, x, width(o, i), o->decoder_attention[i], o);
        if (i) x = doubled(nn_in(level, "upsample"), x);
    }
    if (o->initial_halving) x = doubled(nn_in(s, "upsample"), x);
    return output(s, x, o->channels, o);
}
