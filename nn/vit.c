/* The transformer encoder and decoder of ViT-VQGAN: Yu et al. 2022, arXiv:2110.04627, 3.1, with the names of the public PyTorch code.
 * Patches without overlap -> linear -> + fixed positions -> pre-norm transformer -> [two layers with tanh], and the way back. */
#include <math.h>

#include "nn/networks.h"

/* The position embedding `name` [1,h*w,d], a buffer that never changes: the first half of the channels from the column, the second
 * from the row, each half sin(p w_j) for all j, then cos(p w_j), w_j = 10000^(-j / (d/4)). */
static ag_tensor *positions(nn_scope s, const char *name, int64_t h, int64_t w, int64_t d)
{
    const int64_t quarter = d / 4;
    ag_tensor *t = nn_tensor(s, name, NN_BUFFER, NN_PLAIN, 3, (int64_t[]){1, h * w, d}, (nn_init){.rule = NN_ZERO});
    const nn_param *p = nn_param_of(s.params, t);
    for (int64_t i = 0; p && p->data && i < h * w * d; i++) {
        const int64_t place = i / d, c = i % d, j = c % quarter;
        const double x = (double)(c < d / 2 ? place % w : place / w);
        const double angle = x * pow(10000, -(double)j / (double)quarter);
        ((real *)p->data)[i] = (real)(c / quarter % 2 ? cos(angle) : sin(angle));
    }
    return t;
}

static bool sound(nn_scope s, const nn_vit_opt *o)
{
    if (o->patch >= 1 && o->width >= 4 && o->width % 4 == 0) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: patches of %d and width %lld; the width must be a multiple of 4", s.name,
                  o->patch, (long long)o->width);
    return false;
}

/* [N,L,width] -> the same: transformer and head. */
static ag_tensor *body(nn_scope s, ag_tensor *x, const nn_vit_opt *o)
{
    const nn_transformer_opt t = {.blocks = o->blocks,
                                  .heads = o->heads,
                                  .width = o->heads_width,
                                  .hidden = o->hidden,
                                  .activation = o->activation,
                                  .dropout = o->dropout,
                                  .no_qkv_bias = true,
                                  .weights = NN_WEIGHTS_XAVIER,
                                  .names = &nn_names_vitvq};
    x = nn_transformer(nn_in(s, "transformer"), x, &t);
    if (!o->head) return x;
    const nn_linear_opt up = {.out = o->hidden ? o->hidden : 4 * o->width, .weights = NN_WEIGHTS_XAVIER};
    const nn_linear_opt down = {.out = o->width, .weights = NN_WEIGHTS_XAVIER};
    return nn_linear(nn_in(s, "head.2"), ag_tanh(nn_linear(nn_in(s, "head.0"), x, &up)), &down);
}

ag_tensor *nn_vit_encoder(nn_scope s, ag_tensor *x, const nn_vit_opt *o)
{
    if (!x || !sound(s, o)) return NULL;
    const int64_t n = ag_dim(x, 0), h = ag_dim(x, 1) / o->patch, w = ag_dim(x, 2) / o->patch;
    if (ag_dim(x, 1) % o->patch || ag_dim(x, 2) % o->patch)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld does not cut into patches of %d",
                             s.name, (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), o->patch);
    const nn_conv2d_opt patches = {
        .out = o->width, .kernel = o->patch, .stride = o->patch, .weights = NN_WEIGHTS_XAVIER};
    x = nn_conv2d(nn_in(s, "to_patch_embedding.0"), x, &patches);
    x = ag_reshape(x, 3, (int64_t[]){n, h * w, o->width});
    x = body(s, ag_add(x, positions(s, "en_pos_embedding", h, w, o->width)), o);
    return ag_reshape(x, 4, (int64_t[]){n, h, w, o->width});
}

ag_tensor *nn_vit_decoder(nn_scope s, ag_tensor *z, const nn_vit_opt *o)
{
    if (!z || !sound(s, o)) return NULL;
    const int64_t n = ag_dim(z, 0), h = ag_dim(z, 1), w = ag_dim(z, 2);
    ag_tensor *x = ag_reshape(z, 3, (int64_t[]){n, h * w, o->width});
    x = body(s, ag_add(x, positions(s, "de_pos_embedding", h, w, o->width)), o);
    x = ag_reshape(x, 4, (int64_t[]){n, h, w, o->width});
    const nn_conv2d_opt pixels = {
        .out = o->channels, .kernel = o->patch, .stride = o->patch, .weights = NN_WEIGHTS_XAVIER};
    return nn_conv2d_transposed(nn_in(s, "to_pixel.1"), x, &pixels);
}
