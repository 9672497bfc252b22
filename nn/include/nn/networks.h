/* The networks of the tokenizers, and the stacks that priors share: functions from tensor to tensor, as in nn.h.
 *
 *     const nn_vqgan_opt net = {.ch = 128, .levels = 5, .ch_mult = {1, 1, 2, 2, 4}, .blocks = 2, .encoder_attention = {[4] = true},
 *                               .decoder_attention = {[4] = true}, .z_channels = 256, .channels = 3};
 *     ag_tensor *h = nn_vqgan_encoder(nn_in(root, "encoder"), x, &net);      // [N,H,W,3] -> [N,H/16,W/16,256]
 *
 * Images are [N,H,W,C] of any number of channels, and need not be square; a height or width that the network cannot halve as often
 * as it must is a mistake of the graph (AG_ERR_SHAPE). Parameters are named as in the public PyTorch code of each network, so that its
 * checkpoints can be read (the dVAE's `w` and `b` are `weight` and `bias`; MaskGIT's, published in Flax, are named in the manner of
 * VQGAN's). Every residual or transformer block is a block that a plan under a memory bound computes a second time.
 * "0 = ..." is the value that zero stands for. Tensors belong to the graph. */
#ifndef NN_NETWORKS_H
#define NN_NETWORKS_H

#include "nn/quantizer.h"

enum { NN_MOST_LEVELS = 8 };

/* ---- VQGAN: the convolutional encoder and decoder of diffusion models -------------------------------------------------
 * Ho, Jain, Abbeel 2020, arXiv:2006.11239, as used by Esser, Rombach, Ommer 2021, arXiv:2012.09841, and by most tokenizers since.
 * Level 0 is the one of the image's size; channels of level i are ch * ch_mult[i], which `groups` must divide. */
typedef struct nn_vqgan_opt {
    int64_t ch;
    int levels; /* 1 to NN_MOST_LEVELS; each but the last halves height and width */
    int ch_mult[NN_MOST_LEVELS];
    int blocks;                             /* residual blocks of an encoder level; a decoder level has one more */
    bool encoder_attention[NN_MOST_LEVELS]; /* attention after every residual block of level i */
    bool decoder_attention[NN_MOST_LEVELS];
    int64_t z_channels;
    bool double_z;        /* the encoder gives 2 z_channels: mean and logarithm of the variance */
    int64_t channels;     /* of the image */
    double dropout;       /* before the second convolution of a residual block, in training */
    int64_t groups;       /* of the norms; 0 = 32 */
    bool initial_halving; /* the image is halved before level 0: HQ-VAE */
} nn_vqgan_opt;
/* x [N,H,W,channels] -> [N,H/f,W/f,z_channels], f = 2^(levels-1) (twice that with initial_halving). */
ag_tensor *nn_vqgan_encoder(nn_scope s, ag_tensor *x, const nn_vqgan_opt *o);
/* z [N,h,w,z_channels] -> [N,f h,f w,channels], of any range. The last layer is `conv_out`. */
ag_tensor *nn_vqgan_decoder(nn_scope s, ag_tensor *z, const nn_vqgan_opt *o);

/* ---- transformers ------------------------------------------------------------------------------------------------------ */

typedef enum nn_mlp_activation {
    NN_MLP_GELU,
    NN_MLP_GELU_TANH,
    NN_MLP_QUICK_GELU,
    NN_MLP_RELU,
    NN_MLP_TANH
} nn_mlp_activation;

/* Names inside a stack: block i is `block`.i, its parts are below it; the last norm is beside the blocks. Dots allowed. */
typedef struct nn_transformer_names {
    const char *block, *norm1;
    nn_attention_names attention;
    const char *norm2, *up, *down, *norm;
} nn_transformer_names;
/* gpt: minGPT, as in the VQGAN's prior: blocks.0.attn.query, blocks.0.mlp.0, ln_f
 * vit: timm: blocks.0.attn.qkv, blocks.0.mlp.fc1, norm
 * vitvq: the public ViT-VQGAN: layers.0.0.fn.to_qkv, layers.0.1.fn.net.0, norm */
extern const nn_transformer_names nn_names_gpt, nn_names_vit, nn_names_vitvq;

/* Blocks x += attention(norm1(x)); x += down(activation(up(norm2(x)))) and a norm behind the last: the pre-norm order of Radford
 * and others 2019 (GPT-2); Vaswani and others 2017, arXiv:1706.03762; Dosovitskiy and others 2021, arXiv:2010.11929. */
typedef struct nn_transformer_opt {
    int blocks;
    int64_t heads;
    int64_t width;  /* of all heads together; 0 = C */
    int64_t hidden; /* of the MLP; 0 = 4 C */
    nn_mlp_activation activation;
    bool causal;       /* slot i attends to slots 0..i */
    ag_tensor *mask;   /* as in ag_attention_options, instead of causal; NULL = none */
    ag_tensor *rotary; /* table of ag_rotary; NULL = none */
    double epsilon;    /* of the norms; 0 = 1e-5 */
    double dropout;    /* of what each branch adds, in training */
    double
        drop_path; /* of whole branches per sample, in training: from 0 in the first block to this in the last, linearly */
    bool no_qkv_bias, no_key_bias;
    bool no_bias; /* in no linear layer */
    bool no_final_norm;
    nn_weights weights; /* as in nn_linear_opt */
    double deviation;
    bool scaled_branches;              /* last layers of branches start as N(0, deviation^2 / (2 blocks)) */
    const nn_transformer_names *names; /* NULL = nn_names_vit */
} nn_transformer_opt;
/* x [N,L,C] -> [N,L,C]. Errors: AG_ERR_SHAPE if heads do not divide width. */
ag_tensor *nn_transformer(nn_scope s, ag_tensor *x, const nn_transformer_opt *o);

/* GPT over codes: learned embeddings of codes `tok_emb` and of slots `pos_emb` (zero at first), the causal stack, linear layer
 * `head` without bias. Karpathy's minGPT as in the VQGAN's prior: Esser, Rombach, Ommer 2021, arXiv:2012.09841, 3.2. */
typedef struct nn_gpt_opt {
    int64_t codes; /* in the table */
    int64_t out;   /* logits; 0 = codes */
    int64_t slots; /* the longest sequence */
    int64_t width;
    double dropout;           /* of the embeddings; that of the branches is stack.dropout */
    nn_transformer_opt stack; /* causal, names and deviation are set: 0 = 0.02 */
} nn_gpt_opt;
/* codes [N,L] i32, L <= slots -> logits [N,L,out]. */
ag_tensor *nn_gpt(nn_scope s, ag_tensor *codes, const nn_gpt_opt *o);

/* ---- VQ-VAE-2 -----------------------------------------------------------------------------------------------------------
 * Razavi, van den Oord, Vinyals 2019, arXiv:1906.00446. Level 0 is the coarsest; the finest is a quarter of the image, each
 * other half of the one below. Parameters are below enc_b, quantize_conv_t, quantize_t, dec_t, upsample_t, dec, ... (b, m, t). */
enum { NN_VQVAE2_LEVELS = 3 };
typedef struct nn_vqvae2_opt {
    int levels;                                   /* 2 or 3; 1: a VQ-VAE */
    int64_t hidden;                               /* channels, 128 */
    int64_t residual;                             /* channels inside residual blocks, 32 */
    int blocks;                                   /* residual blocks of each encoder and decoder, 2 */
    int64_t channels;                             /* of the image */
    nn_quantizer_opt quantizer[NN_VQVAE2_LEVELS]; /* of each level */
} nn_vqvae2_opt;
typedef struct nn_vqvae2_encoded {
    nn_quantized q[NN_VQVAE2_LEVELS];      /* of each level */
    ag_tensor *features[NN_VQVAE2_LEVELS]; /* [N,h,w,hidden] of each level's encoder */
} nn_vqvae2_encoded;
/* x [N,H,W,channels], H and W multiples of 2^(levels+1); `step` as in nn_quantize. All NULL after a mistake. */
nn_vqvae2_encoded nn_vqvae2_encode(nn_scope s, ag_tensor *x, const nn_vqvae2_opt *o, ag_tensor *step);
/* latents[levels], coarsest first, [N,h,w,D] -> [N,4h,4w,channels], h x w the size of the finest. */
ag_tensor *nn_vqvae2_decode(nn_scope s, ag_tensor *const *latents, const nn_vqvae2_opt *o);

/* ---- ViT-VQGAN ----------------------------------------------------------------------------------------------------------
 * Yu et al. 2022, arXiv:2110.04627, 3.1. The public code has tanh in the MLP of every block and no head; the paper says a head
 * of two layers with tanh between, and leaves the blocks as they are. */
typedef struct nn_vit_opt {
    int patch;     /* pixels at a side; height and width are multiples of it */
    int64_t width; /* channels d, a multiple of 4 */
    int blocks;
    int64_t heads;
    int64_t heads_width; /* of all heads together; 0 = width */
    int64_t hidden;      /* of the MLPs; 0 = 4 width */
    nn_mlp_activation activation;
    bool head; /* linear, tanh, linear behind the transformer */
    double dropout;
    int64_t channels; /* of the image */
} nn_vit_opt;
/* x [N,H,W,channels] -> [N,H/patch,W/patch,width]. Positions are fixed sines, in the buffer `en_pos_embedding`. */
ag_tensor *nn_vit_encoder(nn_scope s, ag_tensor *x, const nn_vit_opt *o);
/* z [N,h,w,width] -> [N,h*patch,w*patch,channels]. The last layer is `to_pixel.1`. */
ag_tensor *nn_vit_decoder(nn_scope s, ag_tensor *z, const nn_vit_opt *o);

/* ---- DALL-E dVAE ----------------------------------------------------------------------------------------------------------
 * Ramesh et al. 2021, arXiv:2102.12092, appendix A.1. Four groups of width, 2, 4 and 8 times that; a map an eighth of the image. */
typedef struct nn_dvae_opt {
    int64_t width;   /* 256 */
    int blocks;      /* in a group, 2 */
    int64_t codes;   /* K, 8192 */
    int64_t initial; /* channels behind the decoder's first layer; 0 = 128 */
    int64_t out; /* channels of the decoder: twice the image's, mean and log scale of the logit-Laplace likelihood */
} nn_dvae_opt;
ag_tensor *nn_dvae_encoder(nn_scope s, ag_tensor *x, const nn_dvae_opt *o); /* [N,H,W,C] -> logits [N,H/8,W/8,codes] */
ag_tensor *nn_dvae_decoder(nn_scope s, ag_tensor *y, const nn_dvae_opt *o); /* shares [N,h,w,codes] -> [N,8h,8w,out] */

/* ---- MaskGIT's VQGAN --------------------------------------------------------------------------------------------------------
 * Chang et al. 2022, arXiv:2202.04200, 3.1. */
typedef struct nn_maskgit_opt {
    int64_t ch; /* 128 */
    int levels, ch_mult[NN_MOST_LEVELS];
    int blocks; /* residual blocks of a level, of an encoder and of a decoder, 2 */
    int64_t z_channels, channels;
    int64_t groups;      /* of the norms; 0 = 32 */
    bool published_skip; /* where channels change, h + W h as in the published network instead of h + W x */
} nn_maskgit_opt;
/* x [N,H,W,channels] -> [N,H/f,W/f,z_channels], f = 2^(levels-1). */
ag_tensor *nn_maskgit_encoder(nn_scope s, ag_tensor *x, const nn_maskgit_opt *o);
ag_tensor *nn_maskgit_decoder(nn_scope s, ag_tensor *z, const nn_maskgit_opt *o); /* and back */

/* ---- Open-MAGVIT2 -----------------------------------------------------------------------------------------------------------
 * Yu et al. 2024, arXiv:2310.05737; Luo et al. 2024, arXiv:2409.04410. */
typedef struct nn_magvit2_opt {
    int64_t ch; /* 128 */
    int levels, ch_mult[NN_MOST_LEVELS];
    int blocks; /* residual blocks of a level, of an encoder and of a decoder, 4 */
    int64_t z_channels, channels;
    int64_t groups; /* of the norms; 0 = 32 */
} nn_magvit2_opt;
/* x [N,H,W,channels] -> [N,H/f,W/f,z_channels], f = 2^(levels-1). */
ag_tensor *nn_magvit2_encoder(nn_scope s, ag_tensor *x, const nn_magvit2_opt *o);
ag_tensor *nn_magvit2_decoder(nn_scope s, ag_tensor *z,
                              const nn_magvit2_opt *o); /* and back; maps of two positions or more */

/* ---- discriminators ---------------------------------------------------------------------------------------------------- */

/* PatchGAN: Isola, Zhu, Zhou, Efros 2017, arXiv:1611.07004. Batch norm sees the batch in training scopes, so real and made
 * images go through apart; it cannot judge batches of one or two well, group norm can. */
typedef enum nn_patchgan_norm {
    NN_PATCHGAN_BATCH,
    NN_PATCHGAN_GROUP,
    NN_PATCHGAN_SPECTRAL, /* of the weights (arXiv:1802.05957) instead: one step of power iteration in training */
} nn_patchgan_norm;
typedef struct nn_patchgan_opt {
    int64_t width; /* of the first layer, 64 */
    int layers;    /* 3 (VQGAN), 2: each halves the image, after a first that does */
    nn_patchgan_norm norm;
    int64_t groups; /* 0 = 32 */
} nn_patchgan_opt;
/* x [N,H,W,C] -> logits of patches [N,h,w,1]: 30 x 30 for 256 x 256 with three layers. */
ag_tensor *nn_patchgan(nn_scope s, ag_tensor *x, const nn_patchgan_opt *o);

/* The residual discriminator of StyleGAN2 with minibatch deviation: Karras et al. 2020, arXiv:1912.04958, in the form and with the
 * names of ViT-VQGAN's code. Weights start as N(0,1) and are scaled where they are used. */
typedef struct nn_stylegan_opt {
    int levels;                    /* sizes: the image's, then halves; the last one is flattened */
    int64_t width[NN_MOST_LEVELS]; /* channels at each size */
    int64_t group;                 /* images that the deviation is taken over; 0 = 4; at most N, which it must divide */
} nn_stylegan_opt;
/* x [N,H,W,C] -> logits [N,1]; H and W multiples of 2^(levels-1). */
ag_tensor *nn_stylegan(nn_scope s, ag_tensor *x, const nn_stylegan_opt *o);
/* The published widths down to 4 x 4 for images of `size`, a power of two from 8 to 512: 512 up to 32, then 256, 128, 64 ... times
 * `multiplier` (2). */
nn_stylegan_opt nn_stylegan_usual(int64_t size, int multiplier);

/* ---- perceptual distance --------------------------------------------------------------------------------------------------
 * LPIPS 0.1 on VGG-16: Zhang, Isola, Efros, Shechtman, Wang 2018, arXiv:1801.03924. Its 14.7 million weights are learned elsewhere:
 * give the scope an nn_params of its own, which no checkpoint holds and no optimizer sees. With other weights than the
 * published ones it is a distance, but not LPIPS. */
typedef struct nn_lpips_opt {
    bool no_heads; /* sums over channels instead of the linear heads */
} nn_lpips_opt;
/* x, y [N,H,W,3 or 1] in [-1,1], 16 x 16 or more -> [N]. `o` may be NULL; taps[5], if not NULL, gets the five parts of the sum. */
ag_tensor *nn_lpips(nn_scope s, ag_tensor *x, ag_tensor *y, const nn_lpips_opt *o, ag_tensor **taps);

/* A perceptual distance whose features are learned on pictures of the user's own; it is not LPIPS. The network: levels of width,
 * 2 width, 4 width ... channels, two convolutions of 3x3 with ReLU each, means of 2x2 between them; parameters `0.0.weight`, `0.0.bias`,
 * `0.1.weight` ... `LEVEL.CONVOLUTION.bias`. */
typedef struct nn_features_opt {
    int64_t width;
    int levels; /* 1 to NN_MOST_LEVELS */
} nn_features_opt;
/* x [N,H,W,C], which the levels must not halve to nothing -> the last features [N,h,w,width << (levels-1)]; taps[levels], if not NULL,
 * gets those of each level. */
ag_tensor *nn_features(nn_scope s, ag_tensor *x, const nn_features_opt *o, ag_tensor **taps);
/* sum over levels of the mean over positions of |f(y)/|f(y)| - f(x)/|f(x)||^2, lengths over channels (at least 1e-3): the distance of
 * LPIPS with all heads 1. y, x [N,H,W,C] -> [N]. Zhang, Isola, Efros, Shechtman, Wang 2018, arXiv:1801.03924, eq. 1; that features
 * learned without labels serve as well: section 4 there. */
ag_tensor *nn_features_distance(nn_scope s, ag_tensor *y, ag_tensor *x, const nn_features_opt *o);

#endif
