/* The operations. Each function checks shapes, appends a node and returns its tensor (owned by the graph); a mistake is
 * recorded in the graph and NULL returned (graph.h). Formulas, gradient rules and sources are in autograd/op_NAME.c.
 * Images are [N,H,W,C]; "..." is any number of leading axes. */
#ifndef AUTOGRAD_OPS_H
#define AUTOGRAD_OPS_H

#include "autograd/graph.h"

/* ---- element by element ---------------------------------------------------------------------------------------- */

/* a and b broadcast as in NumPy: shapes are aligned at the last axis, and an axis of 1 (or a missing one) is repeated. */
ag_tensor *ag_add(ag_tensor *a, ag_tensor *b);
ag_tensor *ag_sub(ag_tensor *a, ag_tensor *b);
ag_tensor *ag_mul(ag_tensor *a, ag_tensor *b);
ag_tensor *ag_div(ag_tensor *a, ag_tensor *b);

ag_tensor *ag_scale(ag_tensor *x, double factor); /* x * factor            */
ag_tensor *ag_shift(ag_tensor *x, double term);   /* x + term              */
ag_tensor *ag_neg(ag_tensor *x);
ag_tensor *ag_square(ag_tensor *x);
ag_tensor *ag_sqrt(ag_tensor *x); /* x >= 0                */
ag_tensor *ag_exp(ag_tensor *x);
ag_tensor *ag_log(ag_tensor *x);                      /* x > 0                 */
ag_tensor *ag_abs(ag_tensor *x);                      /* gradient 0 at 0       */
ag_tensor *ag_sign(ag_tensor *x);                     /* -1, 0, 1; no gradient */
ag_tensor *ag_relu(ag_tensor *x);                     /* gradient 0 at 0       */
ag_tensor *ag_relu_mask(ag_tensor *dy, ag_tensor *y); /* dy where y > 0, else 0 */
ag_tensor *ag_less(ag_tensor *a, ag_tensor *b);       /* 1 where a < b, else 0; broadcasts; no gradient */
/* a where mask is not 0, else b; the three broadcast. Gradient to a and b. */
ag_tensor *ag_select(ag_tensor *mask, ag_tensor *a, ag_tensor *b);
ag_tensor *ag_clamp(ag_tensor *x, double low, double high); /* gradient 0 outside    */

ag_tensor *ag_maximum(ag_tensor *a, ag_tensor *b); /* broadcasts; on ties the gradient goes to a */
ag_tensor *ag_minimum(ag_tensor *a, ag_tensor *b);
/* x^e: any x for whole e within +-64, else x >= 0. ag_pow(x, -1) is the reciprocal. */
ag_tensor *ag_pow(ag_tensor *x, double e);
ag_tensor *ag_sin(ag_tensor *x);
ag_tensor *ag_cos(ag_tensor *x);
ag_tensor *ag_log1p(ag_tensor *x); /* ln(1 + x), x > -1 */
ag_tensor *ag_erf(ag_tensor *x);

/* Activations; all can be differentiated twice. */
ag_tensor *ag_sigmoid(ag_tensor *x);
ag_tensor *ag_tanh(ag_tensor *x);
ag_tensor *ag_softplus(ag_tensor *x);                 /* ln(1 + e^x) without overflow */
ag_tensor *ag_log_sigmoid(ag_tensor *x);              /* -softplus(-x) */
ag_tensor *ag_silu(ag_tensor *x);                     /* x sigmoid(x) */
ag_tensor *ag_gelu(ag_tensor *x);                     /* x P(x), P the normal distribution: the exact form */
ag_tensor *ag_gelu_tanh(ag_tensor *x);                /* x (1 + tanh(0.79788456 (x + 0.044715 x^3))) / 2 */
ag_tensor *ag_quick_gelu(ag_tensor *x);               /* x sigmoid(1.702 x) */
ag_tensor *ag_leaky_relu(ag_tensor *x, double slope); /* x where x > 0, else slope x; slope >= 0 */

/* Pixels to numbers: x u8 [...] -> real, x * scale + shift. No gradient. */
ag_tensor *ag_from_u8(ag_tensor *x, double scale, double shift);
/* Numbers to pixels: clamp(round(x * scale + shift), 0, 255) -> u8. No gradient. */
ag_tensor *ag_to_u8(ag_tensor *x, double scale, double shift);

/* ---- gradient paths ---------------------------------------------------------------------------------------------- */

ag_tensor *ag_stop_gradient(ag_tensor *x); /* x; no gradient passes */
/* Value of `quantized`; the gradient goes to `latents` unchanged and not at all to `quantized`.
 * Bengio, Leonard, Courville 2013, arXiv:1308.3432; van den Oord 2017, arXiv:1711.00937, 3.2 */
ag_tensor *ag_straight_through(ag_tensor *latents, ag_tensor *quantized);

ag_tensor *ag_round(ag_tensor *x);    /* halves to even; no gradient */
ag_tensor *ag_binarize(ag_tensor *x); /* 1 where x > 0, else -1; no gradient */
/* The same values with the gradient passed to x unchanged. */
ag_tensor *ag_round_through(ag_tensor *x);
ag_tensor *ag_sign_through(ag_tensor *x); /* ag_binarize: zero gives -1 */

/* ---- shapes -------------------------------------------------------------------------------------------------------- */

ag_tensor *ag_reshape(ag_tensor *x, int rank, const int64_t *shape); /* same elements; shares memory */
/* Axes count from 0, or from the end if negative. What only moves elements takes any type (pad: real). */

/* x with before[i] and after[i] (0 or more) elements of `value` along axis i; arrays of ag_rank(x). */
ag_tensor *ag_pad(ag_tensor *x, const int64_t *before, const int64_t *after, double value);
/* The block of `size` from `start` on; arrays of ag_rank(x). */
ag_tensor *ag_slice(ag_tensor *x, const int64_t *start, const int64_t *size);
ag_tensor *ag_slice_axis(ag_tensor *x, int axis, int64_t start, int64_t size);
/* x cut into n parts along an axis: of `sizes`, or equal ones if NULL; into out[n]. */
void ag_split(ag_tensor *x, int axis, int n, const int64_t *sizes, ag_tensor **out);
/* n tensors one after another along an axis in which alone they may differ. */
ag_tensor *ag_concat(int n, ag_tensor *const *x, int axis);
/* n tensors of one shape along a new axis. */
ag_tensor *ag_stack(int n, ag_tensor *const *x, int axis);
/* Axis i of the result is axis order[i] of x. */
ag_tensor *ag_permute(ag_tensor *x, const int *order);
ag_tensor *ag_transpose(ag_tensor *x, int a, int b); /* two axes exchanged */
ag_tensor *ag_flip(ag_tensor *x, int axis);
/* y[(i + shift) mod n] = x[i] along an axis; shift of any sign. */
ag_tensor *ag_roll(ag_tensor *x, int axis, int64_t shift);
/* x [N,L,D], index [N,M] i32 in 0..L-1 -> [N,M,D]: row index[n,i] of item n. */
ag_tensor *ag_take(ag_tensor *x, ag_tensor *index);
/* x [N,M,D], index [N,M] i32 in 0..rows-1 -> [N,rows,D]: sums of the rows of each index, 0 where there is none. */
ag_tensor *ag_put(ag_tensor *x, ag_tensor *index, int64_t rows);

/* [N,H,W,C*r*r] -> [N,H*r,W*r,C], channel c*r*r + dy*r + dx to pixel (dy,dx), and back. Shi et al. 2016, arXiv:1609.05158 */
ag_tensor *ag_pixel_shuffle(ag_tensor *x, int r);
ag_tensor *ag_pixel_unshuffle(ag_tensor *x, int r);
/* The same with channel (dy*r + dx)*C + c (what ONNX calls DCR). */
ag_tensor *ag_depth_to_space(ag_tensor *x, int r);
ag_tensor *ag_space_to_depth(ag_tensor *x, int r);

/* ---- sums ---------------------------------------------------------------------------------------------------------- */

ag_tensor *ag_sum(ag_tensor *x);  /* all elements -> []    */
ag_tensor *ag_mean(ag_tensor *x); /* all elements -> []    */
/* Sums x to a shape that broadcasts to x's; the opposite of ag_broadcast. */
ag_tensor *ag_sum_to(ag_tensor *x, int rank, const int64_t *shape);
ag_tensor *ag_broadcast(ag_tensor *x, int rank, const int64_t *shape);
/* mean (a-b)^2 over all elements -> []; one pass. Gradients for both operands. */
ag_tensor *ag_mse(ag_tensor *a, ag_tensor *b);

/* ---- products ------------------------------------------------------------------------------------------------------ */

/* a [...,M,K] (or [...,K,M] if ta), b [...,K,N] (or [...,N,K] if tb) -> [...,M,N]; leading axes broadcast. */
ag_tensor *ag_matmul(ag_tensor *a, ag_tensor *b, bool ta, bool tb);

/* Fused activations; SiLU: x / (1 + exp(-x)) (norms only: products fuse ReLU). */
typedef enum ag_activation { AG_LINEAR, AG_RELU, AG_SILU } ag_activation;

/* activation(x w + bias + residual): x [...,K], w [K,N], bias [N] or NULL, residual [...,N] or NULL; one pass. */
ag_tensor *ag_linear(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, ag_activation activation);

typedef struct ag_conv2d_options {
    int stride; /* 0 means 1; both axes                                            */
    int pad[4]; /* zeros added at top, bottom, left, right; >= 0                   */
    int out[2]; /* height and width of a transposed result; 0 = stride*(n-1)+k-pads */
    ag_activation activation;
    int dilation; /* 0 means 1; both axes: tap ky reads ky*dilation further       */
    int groups;   /* 0 means 1; the weight is [kh,kw,A/groups,B]. groups = A = B: depthwise */
} ag_conv2d_options;

/* Convolution. x [N,H,W,A], w [kh,kw,A,B], bias [B] or NULL, residual [N,Ho,Wo,B] or NULL ->
 * y [N,Ho,Wo,B] = activation(sum x*w + bias + residual), Ho = floor((H + top + bottom - dilation*(kh-1) - 1) / stride) + 1. */
ag_tensor *ag_conv2d(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, const ag_conv2d_options *o);
/* Transposed convolution: the map that is the input gradient of ag_conv2d with the same weights and padding.
 * x [N,H,W,B], w [kh,kw,A,B], bias [A] or NULL -> y [N,Ho,Wo,A]. */
ag_tensor *ag_conv2d_transposed(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                                const ag_conv2d_options *o);
/* Weight gradient of ag_conv2d: x [N,H,W,A], dy [N,Ho,Wo,B] -> [kh,kw,A,B]. */
ag_tensor *ag_conv2d_weight_grad(ag_tensor *x, ag_tensor *dy, int kh, int kw, const ag_conv2d_options *o);

/* Padding with which a convolution over n has ceil(n / stride) results (TensorFlow's SAME: the odd one after). */
void ag_pad_same(int64_t n, int kernel, int stride, int dilation, int pad[2]);

typedef struct ag_conv3d_options {
    int stride, stride_t;     /* 0 means 1; in space, in time */
    int pad[6];               /* zeros in front, behind, at top, bottom, left, right; causal: {kt-1, 0, ...} */
    int dilation, dilation_t; /* 0 means 1 */
    int groups;               /* 0 means 1 */
    int out[3];               /* size of a transposed result; 0 as in ag_conv2d_options */
    ag_activation activation;
} ag_conv3d_options;

/* The same over frames: x [N,T,H,W,A], w [kt,kh,kw,A/groups,B] -> [N,To,Ho,Wo,B]. */
ag_tensor *ag_conv3d(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, const ag_conv3d_options *o);
ag_tensor *ag_conv3d_transposed(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                                const ag_conv3d_options *o);
/* kernel: kt, kh, kw. */
ag_tensor *ag_conv3d_weight_grad(ag_tensor *x, ag_tensor *dy, const int *kernel, const ag_conv3d_options *o);

typedef enum ag_conv_mask_kind {
    AG_MASK_A,           /* rows above the centre and what is left of it                              */
    AG_MASK_B,           /* A and the centre                                                          */
    AG_MASK_LAST_ROW,    /* all but the last row (first vertical kernel of a gated network)           */
    AG_MASK_LAST_COLUMN, /* all but the last column (first horizontal kernel)                         */
} ag_conv_mask_kind;
/* w [...,kh,kw,A,B] with zeros where a masked convolution must not see (op_conv_mask.c); its gradient is masked alike. With
 * groups > 1 the channels are cut into that many parts (colours), and part i sees at the centre the parts before it (A)
 * or up to itself (B). ag_conv2d(x, ag_conv_mask(w, ...), ...) is the masked convolution. */
ag_tensor *ag_conv_mask(ag_tensor *w, ag_conv_mask_kind kind, int groups);

/* ---- resampling and pooling: images [N,H,W,C] ----------------------------------------------------------------------- */

typedef enum ag_resize_mode {
    AG_NEAREST,            /* y[i] = x[floor(i * in / out)]                     */
    AG_AREA,               /* adaptive average pooling                          */
    AG_BILINEAR,           /* half-pixel centres (align_corners false)          */
    AG_BICUBIC,            /* the same, a = -0.75, no antialias                 */
    AG_BILINEAR_ANTIALIAS, /* filters widened by the reduction; bicubic a = -0.5 */
    AG_BICUBIC_ANTIALIAS,
} ag_resize_mode;
/* To h x w; formulas in op_resample.c. Linear: the gradient is the transposed map. */
ag_tensor *ag_resize(ag_tensor *x, int64_t h, int64_t w, ag_resize_mode mode);
/* The filter taps[n] x taps[n] at every `stride` (0: 1), zeros outside, `before` and `after` of them on each axis: with
 * taps 1,3,3,1 over 8 the blur of StyleGAN discriminators. */
ag_tensor *ag_filter2d(ag_tensor *x, int n, const double *taps, int stride, int before, int after);

typedef struct ag_pool2d_options {
    int kernel, stride, pad; /* square; stride 0 = kernel; pad at most half of the kernel */
    bool exclude_padding;    /* average of what is inside the image only */
} ag_pool2d_options;
ag_tensor *ag_avg_pool2d(ag_tensor *x, const ag_pool2d_options *o);
ag_tensor *ag_max_pool2d(ag_tensor *x, const ag_pool2d_options *o); /* the first of equals; NaN wins */
/* x [N,T,H,W,C]: mean over `kernel` frames at every `stride` (0: kernel). */
ag_tensor *ag_avg_pool_frames(ag_tensor *x, int kernel, int stride);
ag_tensor *ag_global_average(ag_tensor *x); /* [N,...,C] -> [N,C] */
/* What moves along the places of the largest (max_pool2d's gradient, and that one's): places [N,h,w,C] i32, iy * W + ix.
 * take: x [N,H,W,C] -> like places. put: x like places -> [N,h,w,C] of the given size, summed. */
ag_tensor *ag_pool_take(ag_tensor *x, ag_tensor *places);
ag_tensor *ag_pool_put(ag_tensor *x, ag_tensor *places, int64_t h, int64_t w);

/* ---- codes --------------------------------------------------------------------------------------------------------- */

/* Nearest codebook entry for every row (squared L2); ties go to the lower index.
 *   z [...,D] latents    codebook [K,D]    returns [...] i32 in 0..K-1, no gradient
 * van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, eq. 1 */
ag_tensor *ag_nearest(ag_tensor *z, ag_tensor *codebook);
/* Rows of a table: table [K,D], codes [...] i32 -> [...,D]. Gradient: scatter_add. */
ag_tensor *ag_gather(ag_tensor *table, ag_tensor *codes);
/* rows [...,D], codes [...] i32 in 0..K-1 -> [K,D], sums of the rows of each code, in row order. */
ag_tensor *ag_scatter_add(ag_tensor *rows, ag_tensor *codes, int64_t K);
/* codes [...] i32 in 0..K-1 -> [K] real, how many of each. No gradient. */
ag_tensor *ag_count(ag_tensor *codes, int64_t K);

enum { AG_MOST_DIGITS = 31 };
/* Numbers of mixed radix, the first digit counting least: x [...,n], digit i a whole number in 0..radix[i]-1, -> codes i32 [...] =
 * sum x_i radix_0 ... radix_(i-1), and back. The product of all radices must be below 2^31. No gradient. */
ag_tensor *ag_join_digits(ag_tensor *x, int n, const int64_t *radix);
ag_tensor *ag_split_digits(ag_tensor *codes, int n, const int64_t *radix);

/* ---- normalisation (channels are the last axis; all can be differentiated twice) --------------------------------------- */

/* y = (x - mean) / sqrt(var + epsilon) * weight + bias over the last axis, biased variance; x [...,C], weight and bias [C] or
 * NULL. Ba, Kiros, Hinton 2016, arXiv:1607.06450 */
ag_tensor *ag_layer_norm(ag_tensor *x, ag_tensor *weight, ag_tensor *bias, double epsilon);
/* y = x / sqrt(mean x^2 + epsilon) * weight over the last axis; weight [C] or NULL. Zhang, Sennrich 2019, arXiv:1910.07467 */
ag_tensor *ag_rms_norm(ag_tensor *x, ag_tensor *weight, double epsilon);
/* y = x / max(|x|, epsilon) over the last axis. */
ag_tensor *ag_l2_normalize(ag_tensor *x, double epsilon);
/* y = activation((x - mean) / sqrt(var + epsilon) * weight + bias), statistics per sample and per group of C / groups
 * neighbouring channels; x [N,...,C], weight and bias [C] or NULL. One op with one gradient op. Wu, He 2018, arXiv:1803.08494 */
ag_tensor *ag_group_norm(ag_tensor *x, ag_tensor *weight, ag_tensor *bias, int64_t groups, double epsilon,
                         ag_activation activation);
/* The same with statistics per channel over all other axes: batch norm in training. *mean and *variance (biased), [C], may be
 * NULL; no gradient passes through these two. Ioffe, Szegedy 2015, arXiv:1502.03167 */
ag_tensor *ag_batch_norm(ag_tensor *x, ag_tensor *weight, ag_tensor *bias, double epsilon, ag_activation activation,
                         ag_tensor **mean, ag_tensor **variance);

/* ---- softmax (over the last axis; the maximum is subtracted first) ------------------------------------------------------ */

ag_tensor *ag_softmax(ag_tensor *x);
ag_tensor *ag_log_softmax(ag_tensor *x);
ag_tensor *ag_logsumexp(ag_tensor *x); /* [...,C] -> [...] */

/* Softmax cross-entropy of each row: logits [...,C]; target either labels, i32 [...] (a negative one gives loss 0 and no
 * gradient), or shares, real [...,C] (with a gradient) -> [...]. smoothing in 0..1 mixes in the uniform distribution. */
ag_tensor *ag_cross_entropy_rows(ag_tensor *logits, ag_tensor *target, double smoothing);
/* The mean over the rows that count, sum w loss / sum w with weight [...] (NULL: 1) -> []; 0 if none counts. */
ag_tensor *ag_cross_entropy(ag_tensor *logits, ag_tensor *target, ag_tensor *weight, double smoothing);

/* ---- attention --------------------------------------------------------------------------------------------------------- */

typedef struct ag_attention_options {
    int64_t heads;   /* of inputs [N,L,C]: C is cut into this many */
    double scale;    /* of q . k; 0 = 1 / sqrt(D) */
    ag_tensor *mask; /* u8 [Lq,Lk], [N,Lq,Lk] or [N,1,Lk] (keys of padding), 0 = may not attend; NULL = all may */
    ag_tensor *bias; /* [H,Lq,Lk] added to the scores, with a gradient; NULL = none */
} ag_attention_options;

/* softmax(scale q k^T + bias) v per head: q [N,Lq,H,D], k and v [N,Lk,H,D] -> [N,Lq,H,D] (or all [N,L,C]). A query that may attend to
 * nothing gives 0. In tiles, Lq x Lk numbers are never stored. Gradients to q, k, v, bias, once: a second is an error. */
ag_tensor *ag_attention(ag_tensor *q, ag_tensor *k, ag_tensor *v, const ag_attention_options *o);

typedef enum ag_mask_kind {
    AG_MASK_CAUSAL, /* j <= i; the first `prefix` slots see each other            */
    AG_MASK_STRICT, /* j < i                                                       */
    AG_MASK_LEVELS, /* slots in levels; all of the own level and of earlier ones   */
    AG_MASK_ROW,    /* these three: `prefix` text slots, then a grid `width` wide  */
    AG_MASK_COLUMN,
    AG_MASK_CONVOLUTION,
} ag_mask_kind;

enum { AG_MASK_MOST_LEVELS = 16 };

typedef struct ag_mask_options {
    ag_mask_kind kind;
    int64_t length, prefix, width, kernel;
    int level_count;
    int64_t levels[AG_MASK_MOST_LEVELS]; /* slots of each; together `length` */
} ag_mask_options;

/* A mask u8 [length,length] for ag_attention; the exact rules are in op_attention_mask.c. */
ag_tensor *ag_attention_mask(ag_graph *g, const ag_mask_options *o);

typedef struct ag_rotary_options {
    int64_t width;         /* D of a head */
    int64_t rows, columns; /* slots of a sequence and 0, or a grid */
    int64_t lead;          /* slots before them that do not turn */
    bool zero_lead;        /* their queries and keys become zero (LlamaGen) */
    double base;           /* 0 = 10000 */
} ag_rotary_options;

/* Rotary position embedding of pairs (2p,2p+1): x [N,L,H,D], table [L,D/2,2] of (cos, sin). No gradient to the table. Of longer tables
 * take the rows of the slots at hand (ag_gather). Su et al. 2021, arXiv:2104.09864 */
ag_tensor *ag_rotary(ag_tensor *x, ag_tensor *table);
ag_tensor *ag_rotary_table(ag_graph *g, const ag_rotary_options *o);

/* A step with a key/value cache: new slots q, k, v [N,L,H,D] at slots position.. (one i32, in 0..S-L) attend to themselves, causally, and
 * to slots 0..position-1 of the caches [N,S,H,D]; with a mask u8 [S,S], by its rows position.. instead. scale 0 = 1/sqrt(D). The caches
 * stay as they are: ag_write_slots(cache_k, k, position) and the same for v append the new slots after the run. No gradient. */
ag_tensor *ag_attention_cached(ag_tensor *q, ag_tensor *k, ag_tensor *v, ag_tensor *cache_k, ag_tensor *cache_v,
                               ag_tensor *position, ag_tensor *mask, double scale);
/* Effect: rows position.. along axis 1 of a state [N,S,...] become rows [N,L,...] (same type). */
void ag_write_slots(ag_tensor *state, ag_tensor *rows, ag_tensor *position);

/* ---- random numbers (keyed by seed of the graph, step of the run, node, element) ----------------------------------- */

ag_tensor *ag_uniform(ag_graph *g, int rank, const int64_t *shape, double low, double high);
ag_tensor *ag_normal(ag_graph *g, int rank, const int64_t *shape, double mean, double std);
/* -ln(-ln U): argmax of logits plus this is a draw from their softmax. */
ag_tensor *ag_gumbel(ag_graph *g, int rank, const int64_t *shape);
/* Each number is 0 with probability p, else x / (1 - p); drop_path: each sample (axis 0). The gradient drops the same ones.
 * 0 <= p < 1; with p = 0 the result is x itself. */
ag_tensor *ag_dropout(ag_tensor *x, double p);
ag_tensor *ag_drop_path(ag_tensor *x, double p);
/* count row numbers, i32 [count]: number i is drawn from the i-th of `count` equal parts of 0..n-1, so that all differ when
 * n >= count; with n < count every number is drawn from all n. */
ag_tensor *ag_random_rows(ag_graph *g, int64_t count, int64_t n);

/* ---- choosing from scores (last axis; no gradient; NaN is never chosen) ------------------------------------------------- */

ag_tensor *ag_argmax(ag_tensor *x); /* [...,C] -> [...] i32; the lowest place on ties */
ag_tensor *ag_argmin(ag_tensor *x);
/* Filters of logits, x [...,C] -> same: what is filtered out becomes -inf. The usual order: ag_scale(x, 1 / temperature), top_k,
 * top_p, min_p, categorical; a temperature below 1e-5 means ag_argmax. Equal logits stay or go together.
 *   top_k  the `count` largest
 *   top_p  from the largest down while the probability of those before is less than p; at least one. p = 1: all
 *   min_p  those at least p times as probable as the most probable. p = 0: all */
ag_tensor *ag_top_k(ag_tensor *x, int64_t count);
ag_tensor *ag_top_p(ag_tensor *x, double p);
ag_tensor *ag_min_p(ag_tensor *x, double p);
/* One place of each row drawn with probability softmax(x): [...,C] -> [...] i32. */
ag_tensor *ag_categorical(ag_tensor *x);
/* codes [...] i32 in 0..K-1 -> [...,K] real, 1 at the code, else 0. */
ag_tensor *ag_one_hot(ag_tensor *codes, int64_t K);

/* ---- effects ------------------------------------------------------------------------------------------------------- */

/* What all optimizers share. */
typedef struct ag_update_options {
    double weight_decay; /* 0 = none; decoupled from the gradient, except in SGD                           */
    const bool *decayed; /* [n] which of the parameters decay; NULL = all                                   */
    double clip;         /* gradients are scaled so that their norm, all together, is at most this; 0 = not */
    ag_tensor *norm;     /* state [] that receives that norm before clipping; NULL = nobody asks. If it is
                            not finite, nothing is updated                                                   */
} ag_update_options;

typedef struct ag_adam_options {
    double beta1, beta2, epsilon; /* 0.9, 0.999, 1e-8 as published */
    ag_update_options update;
} ag_adam_options;

typedef struct ag_sgd_options {
    double momentum; /* 0 = plain */
    bool nesterov;
    ag_update_options update;
} ag_sgd_options;

typedef struct ag_lion_options {
    double beta1, beta2; /* 0.9, 0.99 as published */
    ag_update_options update;
} ag_lion_options;

/* Optimizers: n parameters (states) in one pass from their gradients, which may be states too; rate []: the learning rate; step []:
 * number of this update, from 1. Moments m and v are states of the parameters' shapes that start as zero.
 * Adam: Kingma, Ba 2015, arXiv:1412.6980, algorithm 1; with decay AdamW: Loshchilov, Hutter 2019, arXiv:1711.05101
 * SGD with momentum: Sutskever and others 2013.   Lion: Chen and others 2023, arXiv:2302.06675 */
void ag_adam(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *const *v,
             ag_tensor *rate, ag_tensor *step, const ag_adam_options *o);
void ag_sgd(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *rate,
            const ag_sgd_options *o);
void ag_lion(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *rate,
             const ag_lion_options *o);
/* sums[i] += factor * values[i], before other effects; the sums are states. */
void ag_accumulate(int n, ag_tensor *const *sums, ag_tensor *const *values, double factor);
/* means[i] = d means[i] + (1 - d) values[i], d = decay or, with warmup, min(decay, (1 + t) / (10 + t)), t the value of step [] from
 * 1 (NULL: without warm-up); the means are states. Values that are states are read after the effects made before, and several averages
 * of one state follow each other. */
void ag_average(int n, ag_tensor *const *means, ag_tensor *const *values, double decay, bool warmup, ag_tensor *step);

#endif
