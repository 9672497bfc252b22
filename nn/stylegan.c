/* The residual discriminator of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, figure 7c and appendix B) in the form and with the
 * names of ViT-VQGAN's code.
 *
 *     first    sqrt 2 lrelu(conv1x1)                     weights w of every layer are used as w / sqrt(fan_in)
 *     block    x = (main(x) + skip(x)) / sqrt 2,         main = sqrt 2 lrelu(conv3x3 /2 (blur(sqrt 2 lrelu(conv3x3))))
 *                                                        skip = conv1x1 (blur /2)
 *     last     [x, deviation over the group] -> 3x3 -> flat -> linear -> linear
 *
 * Leaky ReLU commutes with positive factors, so those of sqrt 2 go into weights and biases, and the sum into the 1x1. */
#include <math.h>

#include "nn/networks.h"
#include "nn/update.h"

static const double blur[4] = {1.0 / 8, 3.0 / 8, 3.0 / 8, 1.0 / 8}, root = 1.41421356237309504880;
static const nn_init normal = {NN_NORMAL, 0, 1}, zero = {.rule = NN_ZERO};

typedef struct layer {
    int64_t out;
    int kernel, stride, pad;
    const char *weight, *bias; /* scopes; bias NULL: none */
    double gain;
    bool activate;
    ag_tensor *residual;
} layer;

/* activation(gain (x * w / sqrt(fan_in) + bias)) + residual (which only a layer without activation has) */
static ag_tensor *conv(nn_scope s, ag_tensor *x, const layer *l)
{
    if (!x) return NULL;
    const int64_t in = ag_dim(x, -1), k = l->kernel;
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *w =
        nn_tensor(nn_in(s, l->weight), "weight", NN_PARAMETER, NN_CONV, 4, (int64_t[]){k, k, in, l->out}, normal);
    ag_tensor *b = l->bias ? nn_tensor(nn_in(s, l->bias), "bias", NN_PARAMETER, NN_PLAIN, 1, &l->out, zero) : NULL;
    const ag_conv2d_options o = {.stride = l->stride, .pad = {l->pad, l->pad, l->pad, l->pad}};
    w = ag_scale(w, l->gain / sqrt((double)(in * k * k)));
    x = ag_conv2d(x, w, b && l->gain != 1 ? ag_scale(b, l->gain) : b, l->residual, &o);
    ag_graph_scope(s.graph, outer);
    return l->activate ? ag_leaky_relu(x, 0.2) : x;
}

static ag_tensor *linear(nn_scope s, ag_tensor *x, int64_t out, bool activate)
{
    if (!x) return NULL;
    const int64_t in = ag_dim(x, -1);
    const double gain = activate ? root : 1;
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *w = nn_tensor(s, "weight", NN_PARAMETER, NN_LINEAR, 2, (int64_t[]){in, out}, normal);
    ag_tensor *b = nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &out, zero);
    x = ag_linear(x, ag_scale(w, gain / sqrt((double)in)), ag_scale(b, gain), NULL, AG_LINEAR);
    ag_graph_scope(s.graph, outer);
    return activate ? ag_leaky_relu(x, 0.2) : x;
}

/* Halves height and width. The factors: sqrt 2 of the second activation and 1 / sqrt 2 of the sum cancel. */
static ag_tensor *block(nn_scope s, ag_tensor *x, int64_t out)
{
    const layer first = {ag_dim(x, -1), 3, 1, 1, "conv1.0", "conv1.1", root, true, NULL};
    const layer second = {out, 3, 2, 0, "conv2.1", "conv2.2", 1, true, NULL};
    ag_block_begin(s.graph);
    ag_tensor *main = conv(s, ag_filter2d(conv(s, x, &first), 4, blur, 1, 2, 2), &second);
    const layer skip = {out, 1, 1, 0, "skip.1", NULL, 1 / root, false, main};
    x = conv(s, ag_filter2d(x, 4, blur, 2, 1, 1), &skip);
    ag_block_end(s.graph);
    return x;
}

/* x with one more channel: the deviation across each group, averaged over channels and places. Image i belongs to group i mod N/group. */
static ag_tensor *with_deviation(ag_tensor *x, int64_t group)
{
    const int64_t n = ag_dim(x, 0), h = ag_dim(x, 1), w = ag_dim(x, 2), each = ag_numel(x) / n, m = n / group;
    const int64_t one[3] = {1, m, each}, number[3] = {1, m, 1};
    ag_tensor *all = ag_reshape(x, 3, (int64_t[]){group, m, each});
    ag_tensor *centred = ag_sub(all, ag_scale(ag_sum_to(all, 3, one), 1.0 / (double)group));
    ag_tensor *variance = ag_scale(ag_sum_to(ag_square(centred), 3, one), 1.0 / (double)group);
    ag_tensor *deviation = ag_sum_to(ag_sqrt(ag_shift(variance, 1e-8)), 3, number);
    deviation = ag_broadcast(ag_scale(deviation, 1.0 / (double)each), 3, (int64_t[]){group, m, h * w});
    return ag_concat(2, (ag_tensor *[]){x, ag_reshape(deviation, 4, (int64_t[]){n, h, w, 1})}, -1);
}

static bool sound(nn_scope s, ag_tensor *x, const nn_stylegan_opt *o, int64_t group)
{
    const int64_t f = (int64_t)1 << (o->levels - 1);
    if (o->levels < 1 || o->levels > NN_MOST_LEVELS || ag_dim(x, 1) % f || ag_dim(x, 2) % f)
        ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld cannot be halved %d times", s.name,
                      (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), o->levels - 1);
    else if (ag_dim(x, 0) % group)
        ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: groups of %lld images do not divide the batch of %lld", s.name,
                      (long long)group, (long long)ag_dim(x, 0));
    else
        return true;
    return false;
}

ag_tensor *nn_stylegan(nn_scope s, ag_tensor *x, const nn_stylegan_opt *o)
{
    if (!x) return NULL;
    const int64_t n = ag_dim(x, 0), usual = o->group ? o->group : 4, group = n < usual ? n : usual;
    if (!sound(s, x, o, group)) return NULL;
    const int64_t last = o->width[o->levels - 1];
    nn_batch_statistics(s);
    x = conv(nn_in(s, "blocks.0"), x, &(layer){o->width[0], 1, 1, 0, "0", "1", root, true, NULL});
    for (int i = 1; i < o->levels; i++) x = block(nn_at(s, "blocks", i), x, o->width[i]);
    x = with_deviation(x, group);
    x = conv(nn_in(s, "final_conv"), x, &(layer){last, 3, 1, 1, "0", "1", root, true, NULL});
    x = ag_permute(x, (int[]){0, 3, 1, 2});
    x = ag_reshape(x, 2, (int64_t[]){n, ag_numel(x) / n});
    return linear(nn_in(s, "final_linear.1"), linear(nn_in(s, "final_linear.0"), x, last, true), 1, false);
}

nn_stylegan_opt nn_stylegan_usual(int64_t size, int multiplier)
{
    nn_stylegan_opt o = {0};
    for (; size >= 4 && o.levels < NN_MOST_LEVELS; size /= 2)
        o.width[o.levels++] = size <= 32 ? 512 : 16384 / size * multiplier;
    return o;
}
