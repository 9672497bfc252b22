/* The VQ-VAE network: van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, 4.1, in the layer sizes of the public CIFAR-10
 * set-ups. Encoder: stride-2 convolutions (kernel 4), a 3x3, a stack of residual blocks, a 1x1 to the code dimension.
 * Decoder: a 3x3, a stack, stride-2 transposed convolutions. Every ReLU that follows a convolution is fused with it. The encoder, and
 * the decoder up to its stack's end, are the blocks that a plan under a memory bound computes a second time. */
#include "nn/nn.h"

/* x + conv1x1(relu(conv3x3(relu(x)))). The first and the last ReLU of the stack's blocks: `last` applies the stack's final one. */
static ag_tensor *residual_block(nn_scope s, ag_tensor *x, const nn_vqvae_opt *o, bool relu_out)
{
    ag_tensor *r = ag_relu(x);
    ag_tensor *h =
        nn_conv2d(nn_in(s, "conv1"), r,
                  &(nn_conv2d_opt){
                      .out = o->residual, .kernel = 3, .pad = 1, .no_bias = !o->residual_bias, .activation = AG_RELU});
    return nn_conv2d(nn_in(s, "conv2"), h,
                     &(nn_conv2d_opt){.out = o->hidden,
                                      .kernel = 1,
                                      .no_bias = !o->residual_bias,
                                      .residual = o->skip_relu ? r : x,
                                      .activation = relu_out ? AG_RELU : AG_LINEAR});
}

static ag_tensor *residual_stack(nn_scope s, ag_tensor *x, const nn_vqvae_opt *o)
{
    for (int i = 0; i < o->blocks; i++) x = residual_block(nn_at(s, "block", i), x, o, i == o->blocks - 1);
    return o->blocks ? x : ag_relu(x);
}

/* Channels after stride-2 layer i of the encoder. */
static int64_t width(const nn_vqvae_opt *o, int i)
{
    return i == 0 && o->downsampling > 1 && !o->full_first ? o->hidden / 2 : o->hidden;
}

ag_tensor *nn_vqvae_encoder(nn_scope s, ag_tensor *x, const nn_vqvae_opt *o)
{
    ag_block_begin(s.graph);
    for (int i = 0; i < o->downsampling; i++)
        x = nn_conv2d(nn_at(s, "down", i), x,
                      &(nn_conv2d_opt){.out = width(o, i), .kernel = 4, .stride = 2, .pad = 1, .activation = AG_RELU});
    if (!o->no_middle)
        x = nn_conv2d(
            nn_in(s, "conv"), x,
            &(nn_conv2d_opt){
                .out = o->hidden, .kernel = 3, .pad = 1, .activation = o->relu_before_stack ? AG_RELU : AG_LINEAR});
    x = residual_stack(s, x, o);
    x = nn_conv2d(nn_in(s, "conv_out"), x, &(nn_conv2d_opt){.out = o->D, .kernel = 1});
    ag_block_end(s.graph);
    return x;
}

ag_tensor *nn_vqvae_decoder(nn_scope s, ag_tensor *z, const nn_vqvae_opt *o)
{
    ag_block_begin(s.graph);
    ag_tensor *x = nn_conv2d(nn_in(s, "conv_in"), z,
                             &(nn_conv2d_opt){.out = o->hidden, .kernel = o->no_middle ? 1 : 3, .pad = !o->no_middle});
    x = residual_stack(s, x, o);
    ag_block_end(s.graph);
    for (int i = o->downsampling - 1; i >= 0; i--)
        x = nn_conv2d_transposed(nn_at(s, "up", i), x,
                                 &(nn_conv2d_opt){.out = i ? width(o, i - 1) : o->channels,
                                                  .kernel = 4,
                                                  .stride = 2,
                                                  .pad = 1,
                                                  .activation = i ? AG_RELU : AG_LINEAR});
    return x;
}
