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

/* Pixels to numbers: x u8 [...] -> real, x * scale + shift. No gradient. */
ag_tensor *ag_from_u8(ag_tensor *x, double scale, double shift);
/* Numbers to pixels: clamp(round(x * scale + shift), 0, 255) -> u8. No gradient. */
ag_tensor *ag_to_u8(ag_tensor *x, double scale, double shift);

/* ---- gradient paths ---------------------------------------------------------------------------------------------- */

ag_tensor *ag_stop_gradient(ag_tensor *x); /* x; no gradient passes */
/* Value of `quantized`; the gradient goes to `latents` unchanged and not at all to `quantized`.
 * Bengio, Leonard, Courville 2013, arXiv:1308.3432; van den Oord 2017, arXiv:1711.00937, 3.2 */
ag_tensor *ag_straight_through(ag_tensor *latents, ag_tensor *quantized);

/* ---- shapes -------------------------------------------------------------------------------------------------------- */

ag_tensor *ag_reshape(ag_tensor *x, int rank, const int64_t *shape); /* same elements; shares memory */

/* ---- sums ---------------------------------------------------------------------------------------------------------- */

ag_tensor *ag_sum(ag_tensor *x);  /* all elements -> []    */
ag_tensor *ag_mean(ag_tensor *x); /* all elements -> []    */
/* Sums x to a shape that broadcasts to x's; the opposite of ag_broadcast. */
ag_tensor *ag_sum_to(ag_tensor *x, int rank, const int64_t *shape);
ag_tensor *ag_broadcast(ag_tensor *x, int rank, const int64_t *shape);
/* mean (a-b)^2 over all elements -> []; one pass. Gradients for both operands. */
ag_tensor *ag_mse(ag_tensor *a, ag_tensor *b);

/* ---- products ------------------------------------------------------------------------------------------------------ */

/* a [M,K] (or [K,M] if ta), b [K,N] (or [N,K] if tb) -> [M,N]. */
ag_tensor *ag_matmul(ag_tensor *a, ag_tensor *b, bool ta, bool tb);

/* Fused activations; SiLU: x / (1 + exp(-x)) (norms only: products fuse ReLU). */
typedef enum ag_activation { AG_LINEAR, AG_RELU, AG_SILU } ag_activation;

typedef struct ag_conv2d_options {
    int stride; /* 0 means 1; both axes                                            */
    int pad[4]; /* zeros added at top, bottom, left, right; >= 0                   */
    int out[2]; /* height and width of a transposed result; 0 = stride*(n-1)+k-pads */
    ag_activation activation;
} ag_conv2d_options;

/* Convolution. x [N,H,W,A], w [kh,kw,A,B], bias [B] or NULL, residual [N,Ho,Wo,B] or NULL ->
 * y [N,Ho,Wo,B] = activation(sum x*w + bias + residual), Ho = floor((H + top + bottom - kh) / stride) + 1. */
ag_tensor *ag_conv2d(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual, const ag_conv2d_options *o);
/* Transposed convolution: the map that is the input gradient of ag_conv2d with the same weights and padding.
 * x [N,H,W,B], w [kh,kw,A,B], bias [A] or NULL -> y [N,Ho,Wo,A]. */
ag_tensor *ag_conv2d_transposed(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual,
                                const ag_conv2d_options *o);
/* Weight gradient of ag_conv2d: x [N,H,W,A], dy [N,Ho,Wo,B] -> [kh,kw,A,B]. */
ag_tensor *ag_conv2d_weight_grad(ag_tensor *x, ag_tensor *dy, int kh, int kw, const ag_conv2d_options *o);

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

/* ---- random numbers (keyed by seed of the graph, step of the run, node, element) ----------------------------------- */

ag_tensor *ag_uniform(ag_graph *g, int rank, const int64_t *shape, double low, double high);
ag_tensor *ag_normal(ag_graph *g, int rank, const int64_t *shape, double mean, double std);
/* count row numbers, i32 [count]: number i is drawn from the i-th of `count` equal parts of 0..n-1, so that all differ when
 * n >= count; with n < count every number is drawn from all n. */
ag_tensor *ag_random_rows(ag_graph *g, int64_t count, int64_t n);

/* ---- effects ------------------------------------------------------------------------------------------------------- */

typedef struct ag_adam_options {
    double beta1, beta2, epsilon; /* 0.9, 0.999, 1e-8 as published */
    double weight_decay;          /* decoupled (AdamW); 0 = none */
} ag_adam_options;

/* Adam over n parameters in one pass: reads rate [] and step [] (1 for the first update), changes params, m, v.
 * Kingma, Ba 2015, arXiv:1412.6980, algorithm 1; decay: Loshchilov, Hutter 2019, arXiv:1711.05101 */
void ag_adam(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *const *v,
             ag_tensor *rate, ag_tensor *step, const ag_adam_options *o);

#endif
