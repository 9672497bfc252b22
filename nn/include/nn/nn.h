/* Layers, networks, quantizers, losses: functions that build graphs.
 *
 * A layer is a function from tensor to tensor that finds its parameters by name, or creates them the first time. Parameters
 * live in an `nn_params`, outside any graph; building the same network in a second graph (for evaluation, for another batch size)
 * finds the same weights.
 *
 *     nn_params *params = nn_params_new(seed);
 *     nn_scope root = nn_root(params, g);
 *     ag_tensor *h = nn_conv2d(nn_in(root, "encoder.conv_in"), x, &(nn_conv2d_opt){.out = 64, .kernel = 4, .stride = 2, .pad = 1});
 *
 * makes `encoder.conv_in.weight` and `encoder.conv_in.bias`. */
#ifndef NN_NN_H
#define NN_NN_H

#include "autograd/ops.h"

/* ---- parameters -------------------------------------------------------------------------------------------------- */

typedef struct nn_params nn_params;

typedef enum nn_kind {
    NN_PARAMETER, /* trained by gradients                                                     */
    NN_BUFFER,    /* part of the model, changed by other rules: EMA codebooks, running statistics */
    NN_OPTIMIZER, /* needed only to go on training: moments, averages                          */
} nn_kind;

typedef enum nn_layout {
    NN_PLAIN,  /* as other programs store it                                                              */
    NN_CONV,   /* [kh,kw,in,out] here; [out,in,kh,kw] elsewhere (and [kh,kw,out,in] ~ [in,out,kh,kw] if transposed) */
    NN_LINEAR, /* [in,out] here; [out,in] elsewhere                                                               */
} nn_layout;

/* One named tensor. `data` is 64-byte aligned and owned by the nn_params. */
typedef struct nn_param {
    char *name; /* dotted */
    nn_kind kind;
    nn_layout layout;
    ag_dtype dtype;
    int rank;
    int64_t shape[AG_MAX_RANK];
    int64_t numel;
    void *data;
} nn_param;

/* Initial values; drawn from (seed of the nn_params, hash of the name, element), so no draw depends on another. */
typedef struct nn_init {
    enum { NN_ZERO, NN_CONSTANT, NN_UNIFORM, NN_NORMAL, NN_TRUNCATED_NORMAL } rule;
    double a, b; /* CONSTANT a; UNIFORM [a,b); NORMAL mean a, deviation b; TRUNCATED the same cut at 2 deviations */
} nn_init;

nn_params *nn_params_new(uint64_t seed);
/* The same without values: parameters have names and shapes, their `data` is NULL. To count, and for what a plan would need. */
nn_params *nn_params_outline(void);
void nn_params_free(nn_params *p);
/* In the order of creation. */
int nn_params_count(const nn_params *p);
nn_param *nn_params_at(nn_params *p, int i);
nn_param *nn_params_find(nn_params *p, const char *name); /* NULL if there is none */
/* Number of values of all tensors of a kind. */
int64_t nn_params_numel(const nn_params *p, nn_kind kind);

/* ---- scopes ------------------------------------------------------------------------------------------------------ */

typedef struct nn_scope {
    nn_params *params;
    ag_graph *graph;
    const char *name; /* dotted, owned by params */
    bool training;    /* dropout, codebook updates and the like happen only if set */
} nn_scope;

nn_scope nn_root(nn_params *params, ag_graph *g, bool training);
nn_scope nn_in(nn_scope s, const char *name);        /* `a` in scope `b` is `b.a`; NULL or "": s itself */
nn_scope nn_at(nn_scope s, const char *name, int i); /* `name.i` */

/* The tensor `name` of the scope as a state of the graph: created with `init` the first time; a second graph gets the same
 * memory. A name that exists with another shape is a mistake of the graph. */
ag_tensor *nn_tensor(nn_scope s, const char *name, nn_kind kind, nn_layout layout, int rank, const int64_t *shape,
                     nn_init init);
/* The parameter of `params` that a tensor of nn_tensor stands for; NULL for other tensors. */
nn_param *nn_param_of(nn_params *p, const ag_tensor *t);
/* The NN_PARAMETER tensors that `g` has used so far whose names begin with one of `prefixes` (NULL-terminated; NULL: all), in
 * order of creation, into `out` (room for `max`); returns how many there are. */
int nn_trainable(nn_params *p, ag_graph *g, const char *const *prefixes, ag_tensor **out, int max);

/* Says that in runs where mask [K] is not 0, row k of parameter t is set anew by an effect: optimizers clear its moments. */
void nn_reset_rows(nn_params *p, const ag_tensor *t, ag_tensor *mask);
ag_tensor *nn_reset_rows_of(nn_params *p, const ag_tensor *t); /* NULL if never */

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* How weights start; fan_in is the number of inputs of one result. Biases start at 0 unless said. */
typedef enum nn_weights {
    NN_WEIGHTS_UNIFORM,   /* U(+-1/sqrt(fan_in)), biases too: the default of the common library                  */
    NN_WEIGHTS_NORMAL,    /* N(0, 1/fan_in)                                                                      */
    NN_WEIGHTS_TRUNCATED, /* the same cut at 2 deviations and widened to that variance: the default of Flax       */
    NN_WEIGHTS_XAVIER,    /* U(+-sqrt(6/(fan_in + fan_out))), a kernel as a matrix [out, in*k*k]. Glorot, Bengio 2010 */
} nn_weights;

/* x [N,H,W,C] -> [N,Ho,Wo,out]. */
typedef struct nn_conv2d_opt {
    int64_t out;
    int kernel, stride, pad; /* square; stride 0 = 1 */
    bool no_bias;
    ag_activation activation; /* fused */
    ag_tensor *residual;      /* added before the activation; NULL = none */
    int dilation, groups;     /* 0 = 1 */
    int pads[4];              /* more zeros at top, bottom, left, right than `pad` */
    nn_weights weights;
} nn_conv2d_opt;
ag_tensor *nn_conv2d(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o);
/* x [N,H,W,C] -> [N,stride*(H-1)+kernel-2*pad, ..., out]. fan_in counts out*k*k, as in the common library. */
ag_tensor *nn_conv2d_transposed(nn_scope s, ag_tensor *x, const nn_conv2d_opt *o);
/* Halves height and width: one row of zeros below, one column to the right, convolution of 3x3 with stride 2, same channels. */
ag_tensor *nn_downsample(nn_scope s, ag_tensor *x);
/* Doubles height and width: every pixel four times, convolution of 3x3, same channels. Both: Ho, Jain, Abbeel 2020,
 * arXiv:2006.11239, as in the common VQGAN code; parameters `conv.weight`, `conv.bias`. */
ag_tensor *nn_upsample(nn_scope s, ag_tensor *x);

/* activation(x weight + bias + residual): x [...,C] -> [...,out]. */
typedef struct nn_linear_opt {
    int64_t out;
    bool no_bias;
    nn_weights weights;
    double deviation; /* weights start as N(0, deviation^2), biases at 0; 0 = as `weights` says */
    ag_activation activation;
    ag_tensor *residual; /* added before the activation; NULL = none */
} nn_linear_opt;
ag_tensor *nn_linear(nn_scope s, ag_tensor *x, const nn_linear_opt *o);

/* codes [...] i32 -> rows of `weight` [K,D], which starts as N(0,1) or N(0, deviation^2). */
typedef struct nn_embedding_opt {
    int64_t K, D;
    double deviation;
} nn_embedding_opt;
ag_tensor *nn_embedding(nn_scope s, ag_tensor *codes, const nn_embedding_opt *o);

/* Normalisations with `weight` and `bias` [C]; o may be NULL. Statistics are biased variances. */
typedef struct nn_norm_opt {
    double epsilon;           /* 0 = 1e-5 */
    int64_t groups;           /* group norm; 0 = 32 */
    ag_activation activation; /* fused; group and batch norm */
    bool no_affine, no_bias;
} nn_norm_opt;
ag_tensor *nn_layer_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o); /* over the last axis */
ag_tensor *nn_rms_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o);   /* over the last axis, no bias */
ag_tensor *nn_group_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o); /* [N,...,C], per sample */
/* In training by the batch, and the buffers `running_mean`, `running_var` (unbiased) follow with momentum 0.1, every batch in turn if a
 * step has several; else by these. */
ag_tensor *nn_batch_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o);

/* Names of the linear layers of attention, dotted names allowed; NULL as in {"q", "k", "v", NULL, "proj"}. */
typedef struct nn_attention_names {
    const char *q, *k, *v;
    const char *qkv; /* one layer of three times the width holds q, k and v, in this order */
    const char *proj;
} nn_attention_names;

/* Multi-head attention, x [N,L,C] -> [N,L,C]: linear layers for q, k, v, ag_attention, a last linear layer. */
typedef struct nn_attention_opt {
    int64_t heads;
    int64_t width; /* of all heads together; 0 = C */
    nn_attention_names names;
    ag_tensor *context; /* keys and values come from [N,Lk,C']; NULL = x */
    ag_tensor *mask;    /* as in ag_attention_options */
    ag_tensor *bias;
    ag_tensor *rotary;   /* table of ag_rotary for queries and keys; NULL = none */
    ag_tensor *residual; /* added to the result; NULL = none */
    double scale;        /* 0 = 1 / sqrt(width / heads) */
    nn_weights weights;  /* as in nn_linear_opt */
    double deviation;
    double proj_deviation;     /* of the last layer; 0 = deviation */
    bool no_bias, no_key_bias; /* of q, k, v and the last layer; of k */
    bool no_qkv_bias;          /* of q, k and v */
} nn_attention_opt;
ag_tensor *nn_attention(nn_scope s, ag_tensor *x, const nn_attention_opt *o);

/* ---- losses: tensors -> scalar tensor ------------------------------------------------------------------------------ */

ag_tensor *nn_mse(ag_tensor *y, ag_tensor *x); /* mean (y-x)^2 over every element */

/* ---- networks ------------------------------------------------------------------------------------------------------ */

/* VQ-VAE: van den Oord 2017, arXiv:1711.00937, 4.1; layer sizes as in the public CIFAR-10 set-ups. */
typedef struct nn_vqvae_opt {
    int64_t hidden;   /* channels, 128 */
    int64_t residual; /* channels inside residual blocks, 32 */
    int blocks;       /* residual blocks, 2 */
    int downsampling; /* stride-2 layers, 2 (each halves height and width) */
    int64_t D;        /* code dimension, 64 */
    int64_t channels; /* of the image */
    bool
        no_middle; /* 4.1: no 3x3 before the residual blocks, a 1x1 from D in the decoder; else as the public set-ups */
    bool full_first;        /* 4.1: hidden channels after the first stride-2 layer too, not half of them */
    bool residual_bias;     /* residual convolutions with bias (Sonnet) or without */
    bool relu_before_stack; /* a ReLU after the third convolution (Sonnet) */
    bool skip_relu;         /* the skip adds relu(x) (in-place ReLU of the common notebook) instead of x */
} nn_vqvae_opt;
ag_tensor *nn_vqvae_encoder(nn_scope s, ag_tensor *x, const nn_vqvae_opt *o); /* [N,H,W,C] -> [N,H/4,W/4,D] */
ag_tensor *nn_vqvae_decoder(nn_scope s, ag_tensor *z, const nn_vqvae_opt *o); /* [N,h,w,D] -> [N,4h,4w,channels] */

#endif
