/* VQ-VAE-2: Razavi, van den Oord, Vinyals 2019, arXiv:1906.00446, figure 2a and appendix A, in the layer sizes and names of the public
 * PyTorch code. With h_l the features of level l and q_l its quantized latents, coarsest level first:
 *
 *     z_l = conv1x1([dec_{l+1}(s_{l+1}), h_l])        s_l = [upsample_{l+1}(s_{l+1}), q_l]        image = dec(s_b)
 *
 * without the terms of a coarser level at the top. For two levels this is the public code; the paper draws no wiring of three. */
#include <string.h>

#include "nn/networks.h"
#include "nn/update.h"

static const char *const levels_of[NN_VQVAE2_LEVELS + 1] = {"", "b", "tb", "tmb"}; /* letters, coarsest first */

static nn_scope scope_of(nn_scope s, const char *what, char level)
{
    char name[32];
    snprintf(name, sizeof name, "%s_%c", what, level);
    return nn_in(s, name);
}

static nn_scope encoder_at(nn_scope s, const char *what, char level)
{
    return nn_part(scope_of(s, what, level), "encoder");
}

static nn_scope decoder_at(nn_scope s, const char *what, char level)
{
    return nn_part(scope_of(s, what, level), "decoder");
}

/* x + conv.3(relu(conv.1(relu(x)))); `relu_out`: the ReLU that follows the last block is fused. */
static ag_tensor *residual_block(nn_scope s, ag_tensor *x, const nn_vqvae2_opt *o, bool relu_out)
{
    const nn_conv2d_opt narrow = {.out = o->residual, .kernel = 3, .pad = 1, .activation = AG_RELU};
    const nn_conv2d_opt wide = {
        .out = o->hidden, .kernel = 1, .residual = x, .activation = relu_out ? AG_RELU : AG_LINEAR};
    return nn_conv2d(nn_in(s, "conv.3"), nn_conv2d(nn_in(s, "conv.1"), ag_relu(x), &narrow), &wide);
}

/* `blocks.first` on: the residual blocks and a ReLU. */
static ag_tensor *stack(nn_scope s, int first, ag_tensor *x, const nn_vqvae2_opt *o)
{
    for (int i = 0; i < o->blocks; i++) x = residual_block(nn_at(s, "blocks", first + i), x, o, i == o->blocks - 1);
    return o->blocks ? x : ag_relu(x);
}

/* Divides height and width by `stride`, 4 or 2. */
static ag_tensor *encoder(nn_scope s, ag_tensor *x, int stride, const nn_vqvae2_opt *o)
{
    nn_conv2d_opt half = {.out = o->hidden / 2, .kernel = 4, .stride = 2, .pad = 1, .activation = AG_RELU};
    ag_block_begin(s.graph);
    x = nn_conv2d(nn_in(s, "blocks.0"), x, &half);
    half.out = o->hidden;
    if (stride == 4) x = nn_conv2d(nn_in(s, "blocks.2"), x, &half);
    const int at = stride == 4 ? 4 : 2;
    x = nn_conv2d(nn_at(s, "blocks", at), x, &(nn_conv2d_opt){.out = o->hidden, .kernel = 3, .pad = 1});
    x = stack(s, at + 1, x, o);
    ag_block_end(s.graph);
    return x;
}

/* Multiplies height and width by `stride`, 4 or 2. */
static ag_tensor *decoder(nn_scope s, ag_tensor *x, int stride, int64_t out, const nn_vqvae2_opt *o)
{
    const nn_conv2d_opt first = {.out = o->hidden, .kernel = 3, .pad = 1};
    const nn_conv2d_opt inner = {.out = o->hidden / 2, .kernel = 4, .stride = 2, .pad = 1, .activation = AG_RELU};
    const nn_conv2d_opt last = {.out = out, .kernel = 4, .stride = 2, .pad = 1};
    ag_block_begin(s.graph);
    x = stack(s, 1, nn_conv2d(nn_in(s, "blocks.0"), x, &first), o);
    ag_block_end(s.graph);
    const int at = o->blocks + 2;
    if (stride == 4) x = nn_conv2d_transposed(nn_at(s, "blocks", at), x, &inner);
    return nn_conv2d_transposed(nn_at(s, "blocks", stride == 4 ? at + 2 : at), x, &last);
}

/* [upsample(coarse), fine]; fine alone at the top */
static ag_tensor *join(nn_scope s, char coarser, ag_tensor *coarse, ag_tensor *fine)
{
    if (!coarse) return fine;
    const nn_conv2d_opt up = {.out = ag_dim(fine, -1), .kernel = 4, .stride = 2, .pad = 1};
    ag_tensor *both[2] = {nn_conv2d_transposed(decoder_at(s, "upsample", coarser), coarse, &up), fine};
    return ag_concat(2, both, -1);
}

static bool sound(nn_scope s, const nn_vqvae2_opt *o)
{
    if (o->levels >= 1 && o->levels <= NN_VQVAE2_LEVELS) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d levels; there can be 1 to %d", s.name, o->levels, NN_VQVAE2_LEVELS);
    return false;
}

nn_vqvae2_encoded nn_vqvae2_encode(nn_scope s, ag_tensor *x, const nn_vqvae2_opt *o, ag_tensor *step)
{
    nn_vqvae2_encoded e = {0};
    if (!x || !sound(s, o)) return e;
    const char *level = levels_of[o->levels];
    const int64_t f = (int64_t)2 << o->levels;
    if (ag_dim(x, 1) % f || ag_dim(x, 2) % f) {
        ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: an image of %lld x %lld; both must be multiples of %lld", s.name,
                      (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), (long long)f);
        return e;
    }
    for (int i = o->levels - 1; i >= 0; i--) {
        const bool bottom = i == o->levels - 1;
        e.features[i] = encoder(encoder_at(s, "enc", level[i]), bottom ? x : e.features[i + 1], bottom ? 4 : 2, o);
    }
    ag_tensor *sum = NULL;
    for (int i = 0; i < o->levels; i++) {
        ag_tensor *h = e.features[i];
        if (i) {
            ag_tensor *above =
                decoder(decoder_at(s, "dec", level[i - 1]), sum, 2, nn_quantizer_dim(&o->quantizer[i]), o);
            h = ag_concat(2, (ag_tensor *[]){above, h}, -1);
        }
        const nn_conv2d_opt to_z = {.out = nn_quantizer_width(&o->quantizer[i]), .kernel = 1};
        h = nn_conv2d(encoder_at(s, "quantize_conv", level[i]), h, &to_z);
        e.q[i] = nn_quantize(scope_of(s, "quantize", level[i]), h, &o->quantizer[i], step);
        if (i < o->levels - 1) sum = join(s, i ? level[i - 1] : 0, sum, e.q[i].latents);
    }
    return e;
}

ag_tensor *nn_vqvae2_decode(nn_scope s, ag_tensor *const *latents, const nn_vqvae2_opt *o)
{
    if (!sound(s, o)) return NULL;
    const char *level = levels_of[o->levels];
    ag_tensor *sum = NULL;
    for (int i = 0; i < o->levels; i++) sum = join(s, i ? level[i - 1] : 0, sum, latents[i]);
    return decoder(nn_part(nn_in(s, "dec"), "decoder"), sum, 4, o->channels, o);
}
