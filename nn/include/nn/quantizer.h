/* Quantizers: what stands between encoder and decoder. All behind one interface, so that any of them fits any network.
 *
 *     const nn_quantizer_opt o = {.kind = NN_QUANTIZER_VQ, .K = 512, .D = 64, .beta = 0.25};
 *     ag_tensor *z = encoder(x, nn_quantizer_width(&o));                       // [N,h,w,width]
 *     nn_quantized q = nn_quantize(nn_in(root, "quantizer"), z, &o, step);
 *     ag_tensor *y = decoder(q.latents);                                       // [N,h,w,nn_quantizer_dim(&o)]
 *     loss = ag_add(ag_mse(y, x), nn_quantized_loss(&q));
 *     ...
 *     y = decoder(nn_quantizer_lookup(nn_in(root, "quantizer"), q.codes, &o)); // the same bits, from the codes alone
 *
 * A quantizer is one row of nn/quantizers.def and one file nn/quantizer_NAME.c; what codebooks share is nn/codebook.c. In training
 * scopes (nn_scope.training) codebooks learn, noise is drawn and terms that need the whole batch are made; elsewhere the nearest (or
 * most probable) code is taken and nothing changes. Codes are looked up, and the decoder sees them, before a codebook learns
 * from the batch. */
#ifndef NN_QUANTIZER_H
#define NN_QUANTIZER_H

#include "nn/nn.h"

typedef enum nn_quantizer_kind {
#define NN_QUANTIZER(constant, name, help) NN_QUANTIZER_##constant,
#include "nn/quantizers.def"
#undef NN_QUANTIZER
    NN_QUANTIZER_KINDS
} nn_quantizer_kind;

typedef enum nn_codebook_rule { NN_CODEBOOK_EMA, NN_CODEBOOK_GRADIENT } nn_codebook_rule;
typedef enum nn_codebook_start {
    NN_START_NORMAL,  /* E ~ N(0,1)                                                                    */
    NN_START_UNIFORM, /* E ~ U(+-1/K)                                                                  */
    NN_START_KMEANS,  /* ten Lloyd iterations on the first batch (nn_quantizer_start)                  */
    NN_START_DATA,    /* random rows of the first batch (nn_quantizer_start)                           */
} nn_codebook_start;

typedef enum nn_assignment {
    NN_ASSIGN_NEAREST,
    NN_ASSIGN_SAMPLED, /* in training: a code drawn with probability softmax(-|z - e|^2 / temperature) */
    NN_ASSIGN_BALANCED, /* in training: the most of a plan that gives every code the same share of the batch (Sinkhorn) */
} nn_assignment;
typedef enum nn_curve { NN_CURVE_CONSTANT, NN_CURVE_COSINE, NN_CURVE_LINEAR, NN_CURVE_QUARTER_COSINE } nn_curve;

enum { NN_MOST_SCALARS = 16, NN_MOST_TERMS = 6, NN_MOST_COUNTERS = 4 };

/* Weights of loss terms are literal: 0 leaves the term out of the loss. For the rest 0 is the usual value. */
typedef struct nn_quantizer_opt {
    nn_quantizer_kind kind;
    int64_t K; /* number of codes */
    int64_t D; /* dimension of the latents, as encoder and decoder see them */
    /* Dimension in which codes are chosen; 0: D. If it differs, a linear layer leads from D to it and one back
     * (`project_in`, `project_out`). */
    int64_t code_dim;
    double beta; /* weight of the commitment mean (z - sg(q))^2 */

    /* codebooks: vq, residual, multiscale, gumbel (start only) */
    nn_codebook_rule rule;
    nn_codebook_start start;
    double decay;         /* EMA; 0 = 0.99 */
    double epsilon;       /* Laplace smoothing; 0 = 1e-5 */
    bool debias;          /* both averages divided by 1 - decay^t, starting from zero (Sonnet) */
    double initial_count; /* EMA counts at the start (sums are counts times codes): 0 as first published, 1 gentle */
    double restart;       /* restart codes whose EMA count is below this, with rows of the batch; 0 = never */

    /* vq; residual: cosine, rotation, simvq too */
    bool
        cosine; /* codes and latents of length 1: compared and emitted so; the gradient passes through the normalisation */
    bool rotation; /* gradient by the rotation that takes z to q instead of straight-through */
    bool simvq;    /* E = C W + b with a frozen C ~ N(0,1/D): needs rule GRADIENT */
    bool
        legacy_beta; /* beta on the codebook term and 1 on the commitment, as the first VQGAN code: needs rule GRADIENT */
    int heads;       /* D cut into so many parts with a code each; 0 = 1 */
    bool shared;     /* heads, depths: one codebook for all */
    nn_assignment assignment;
    double assignment_temperature; /* 0 = 0.01 for SAMPLED and BALANCED, relative to the mean squared distance */
    double entropy;                /* weight of mean_n H(p_n) - entropy_gamma H(mean_n p_n); vq and lookup_free */
    double entropy_gamma;
    double entropy_temperature; /* 0 = 0.01 */
    int entropy_groups;         /* lookup_free: bits in so many groups, entropies summed (a bound); 0 = 1, exact */
    double orthogonal;          /* weight of (1/n^2) sum cos(e_i,e_j)^2 - 1/n: needs rule GRADIENT */
    int64_t orthogonal_codes;   /* n codes drawn anew each step; 0 = all K */

    /* residual */
    int depth;        /* codes of a position; 0 = 4 */
    bool update_once; /* one EMA update a step from all depths, instead of one per depth in sequence */
    bool depth_scale; /* shared: rows of a depth are divided by the average of their length before they are searched */
    double quantizer_dropout; /* probability that a training step uses only the first 1..depth depths (drawn evenly) */

    /* multiscale */
    int n_scales;
    int64_t scales[NN_MOST_SCALARS]; /* rows of the code map of each scale; the last: all of the latents' */
    int phi;                         /* 3x3 convolutions shared among the scales; 0 = none */
    double phi_ratio;                /* h <- (1 - ratio) h + ratio conv(h) */

    /* finite_scalar */
    int n_levels;
    int64_t levels[NN_MOST_SCALARS];

    /* lookup_free */
    bool spherical; /* z / |z| before, codes +-1/sqrt(D) (BSQ) */

    /* gumbel, gaussian */
    double kl;        /* weight of the KL divergence from the prior (uniform; normal) */
    int64_t kl_steps; /* over which it rises from 0, half a cosine; 0 = at once */
    bool kl_sum;      /* gaussian: sum over an image's latents instead of the mean over all */
    bool hard;        /* gumbel: one-hot values, gradient of the soft ones */
    bool
        no_table; /* gumbel: latents [...,K] are the shares of the codes, the decoder's first layer is the table (dVAE) */
    double tau, tau_end;
    int64_t tau_steps; /* temperature from tau to tau_end in so many steps; tau 0 = 1, tau_end 0 = tau */
    nn_curve tau_curve;
} nn_quantizer_opt;

/* A term of the loss: its value without weight, and its weight (times `factor` [], if that is not NULL: a schedule). */
typedef struct nn_quantized_term {
    const char *name; /* static text: commitment, codebook, entropy, ... */
    ag_tensor *value; /* [] */
    double weight;
    ag_tensor *factor;
} nn_quantized_term;

/* What a step did, [] each: sums count events (restarts), the others are levels (temperature). */
typedef struct nn_quantized_counter {
    const char *name;
    ag_tensor *value;
    bool sum;
} nn_quantized_counter;

/* What every quantizer returns. Tensors belong to the graph. */
typedef struct nn_quantized {
    ag_tensor *latents; /* [...,D] quantized, with the gradient path to z */
    /* [...] i32; [...,depth] if depth > 1; NULL: continuous */
    ag_tensor *codes;
    int64_t K; /* codes are 0..K-1; 0: continuous */
    int depth; /* codes of a position */
    /* [books,K] how often each code was used in this batch, apart for every depth, head or scale; NULL: continuous */
    ag_tensor *counts;
    int books;
    const char *part; /* what a row of counts is of where there are several codes a position: "depth", "head" */
    int64_t segments[NN_MOST_SCALARS]; /* codes of an image are [L]: how many belong to each scale; 0: [...,depth] */
    int64_t map_rows[NN_MOST_SCALARS]; /* rows of the map of each scale */
    ag_tensor *rows; /* [...,d] what is compared with the codebook, for nn_quantizer_start; NULL: no codebook */
    nn_quantized_term terms[NN_MOST_TERMS];
    int n_terms;
    nn_quantized_counter counters[NN_MOST_COUNTERS];
    int n_counters;
} nn_quantized;

/* z [...,width] -> latents [...,dim], codes, terms. `step` []: number of the update from 1, for schedules; NULL outside of training.
 * Makes the quantizer's parameters and buffers at s. What nn_quantizer_check refuses is a mistake of the graph. */
nn_quantized nn_quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step);
/* The value at update `step` [] (from 1) of what goes from `from` to `to` in `steps` updates and stays there; a closed form of the step,
 * so a resumed run goes on as it was. Golden values: at half of the way, a half cosine is half-way. */
ag_tensor *nn_schedule(ag_tensor *step, nn_curve curve, double from, double to, int64_t steps);

/* The latents [...,dim] of codes, as nn_quantize gives them outside of training, bit for bit. */
ag_tensor *nn_quantizer_lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o);

/* sum of weight * value, NULL without terms; the value of a term, NULL if there is none of that name; the same for a counter. */
ag_tensor *nn_quantized_loss(const nn_quantized *q);
ag_tensor *nn_quantized_term_of(const nn_quantized *q, const char *name);
ag_tensor *nn_quantized_counter_of(const nn_quantized *q, const char *name);

/* Which row of counts the i-th code of an image belongs to. */
int nn_quantized_book(const nn_quantized *q, int64_t i);
/* What row `book` of the counts is of, for people: "depth 1", "head 2", "4x4" (rows x columns of a map); "" if there is only one. */
void nn_quantized_book_name(const nn_quantized *q, int book, char *out, size_t size);

/* Does the codebook start from data? Then: sets codebook, counts and sums of the quantizer of scope name `name` from n rows (the
 * values of nn_quantized.rows). Errors: AG_ERR_FAILED if there is no codebook of that name. */
bool nn_quantizer_starts_from_data(const nn_quantizer_opt *o);
ag_err nn_quantizer_start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                          uint64_t seed);

/* Options that contradict each other: AG_ERR_USAGE with the arithmetic. */
ag_err nn_quantizer_check(const nn_quantizer_opt *o);

const char *nn_quantizer_name(nn_quantizer_kind kind);
int64_t nn_quantizer_width(const nn_quantizer_opt *o); /* channels of z */
int64_t nn_quantizer_dim(const nn_quantizer_opt *o);   /* channels of the latents */
int64_t nn_quantizer_codes(const nn_quantizer_opt *o); /* K; 0: continuous */
int nn_quantizer_depth(const nn_quantizer_opt *o);     /* codes of a position; 0: continuous */
/* Axes of the codes of a grid h x w into shape[3]: h,w; h,w,depth; or L (multi-scale). Returns how many; 0: continuous. */
int nn_quantizer_code_shape(const nn_quantizer_opt *o, int64_t h, int64_t w, int64_t *shape);

#endif
