/* PatchGAN: Isola, Zhu, Zhou, Efros 2017, arXiv:1611.07004, appendix 6.1.2, with the layer names of VQGAN's code. Spectral norm: Miyato,
 * Kataoka, Koyama, Yoshida 2018, arXiv:1802.05957, algorithm 1. */
#include "nn/networks.h"

static const nn_init weights = {NN_NORMAL, 0, 0.02}, scales = {NN_NORMAL, 1, 0.02}, normal = {NN_NORMAL, 0, 1};

/* w over its largest singular value, by one step of power iteration from `weight_u` [out]; in training the step is kept. No gradient
 * through the iteration. */
static ag_tensor *spectral(nn_scope s, ag_tensor *w)
{
    const int64_t out = ag_dim(w, 3), in = w ? ag_numel(w) / out : 0;
    ag_tensor *u = nn_tensor(s, "weight_u", NN_BUFFER, NN_PLAIN, 1, &out, normal);
    ag_tensor *m = ag_reshape(w, 2, (int64_t[]){in, out}), *fixed = ag_stop_gradient(m);
    ag_tensor *left = ag_l2_normalize(ag_reshape(u, 2, (int64_t[]){1, out}), 1e-12);
    ag_tensor *right = ag_l2_normalize(ag_matmul(left, fixed, false, true), 1e-12); /* [1,in] */
    ag_tensor *next = ag_l2_normalize(ag_matmul(right, fixed, false, false), 1e-12);
    ag_tensor *sigma = ag_sum(ag_mul(ag_matmul(right, m, false, false), next));
    if (s.training) ag_assign(u, ag_reshape(next, 1, &out));
    return ag_div(w, sigma);
}

/* 4x4. The weight starts as N(0, 0.02^2), the bias as nn_conv2d's does. */
static ag_tensor *conv(nn_scope s, ag_tensor *x, int64_t out, int stride, bool bias, const nn_patchgan_opt *o)
{
    if (!x) return NULL;
    const int64_t in = ag_dim(x, -1);
    const double bound = 1 / (4 * __builtin_sqrt((double)in));
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *w = nn_tensor(s, "weight", NN_PARAMETER, NN_CONV, 4, (int64_t[]){4, 4, in, out}, weights), *b = NULL;
    if (bias) b = nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &out, (nn_init){NN_UNIFORM, -bound, bound});
    if (o->norm == NN_PATCHGAN_SPECTRAL) w = spectral(s, w);
    ag_tensor *y = ag_conv2d(x, w, b, NULL, &(ag_conv2d_options){.stride = stride, .pad = {1, 1, 1, 1}});
    ag_graph_scope(s.graph, outer);
    return y;
}

static ag_tensor *norm(nn_scope s, ag_tensor *x, const nn_patchgan_opt *o)
{
    if (!x || o->norm == NN_PATCHGAN_SPECTRAL) return x;
    nn_tensor(s, "weight", NN_PARAMETER, NN_PLAIN, 1, (int64_t[]){ag_dim(x, -1)},
              scales); /* made first: its start counts */
    if (o->norm == NN_PATCHGAN_GROUP) return nn_group_norm(s, x, &(nn_norm_opt){.groups = o->groups});
    return nn_batch_norm(s, x, NULL);
}

ag_tensor *nn_patchgan(nn_scope s, ag_tensor *x, const nn_patchgan_opt *o)
{
    if (o->layers < 1 || o->width < 1)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d layers of width %lld; at least 1 each", s.name, o->layers,
                             (long long)o->width);
    const bool bias = o->norm == NN_PATCHGAN_SPECTRAL;
    x = ag_leaky_relu(conv(nn_at(s, "main", 0), x, o->width, 2, true, o), 0.2);
    for (int i = 1; i <= o->layers; i++) {
        const int64_t width = o->width * (i < 3 ? 1 << i : 8);
        x = conv(nn_at(s, "main", 3 * i - 1), x, width, i < o->layers ? 2 : 1, bias, o);
        x = ag_leaky_relu(norm(nn_at(s, "main", 3 * i), x, o), 0.2);
    }
    return conv(nn_at(s, "main", 3 * o->layers + 2), x, 1, 1, true, o);
}
