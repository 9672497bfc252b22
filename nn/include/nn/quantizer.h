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

    /* codebooks */
    nn_codebook_rule rule;
    nn_codebook_start start;
    double decay;         /* EMA; 0 = 0.99 */
    double epsilon;       /* Laplace smoothing; 0 = 1e-5 */
    bool debias;          /* both averages divided by 1 - decay^t, starting from zero (Sonnet) */
    double initial_count; /* EMA counts at the start (sums are counts times codes): 0 as first published, 1 gentle */
    double restart;       /* restart codes whose EMA count is below this, with rows of the batch; 0 = never */
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
    int64_t segments[NN_MOST_SCALARS]; /* codes of an image are [L]: how many belong to each scale; 0: [...,depth] */
    ag_tensor *rows; /* [...,d] what is compared with the codebook, for nn_quantizer_start; NULL: no codebook */
    nn_quantized_term terms[NN_MOST_TERMS];
    int n_terms;
    nn_quantized_counter counters[NN_MOST_COUNTERS];
    int n_counters;
} nn_quantized;

/* z [...,width] -> latents [...,dim], codes, terms. `step` []: number of the update from 1, for schedules; NULL outside of training.
 * Makes the quantizer's parameters and buffers at s. What nn_quantizer_check refuses is a mistake of the graph. */
nn_quantized nn_quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step);
/* The latents [...,dim] of codes, as nn_quantize gives them outside of training, bit for bit. */
ag_tensor *nn_quantizer_lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o);

/* sum of weight * value, NULL without terms; the value of a term, NULL if there is none of that name; the same for a counter. */
ag_tensor *nn_quantized_loss(const nn_quantized *q);
ag_tensor *nn_quantized_term_of(const nn_quantized *q, const char *name);
ag_tensor *nn_quantized_counter_of(const nn_quantized *q, const char *name);

/* Which row of counts the i-th code of an image belongs to. */
int nn_quantized_book(const nn_quantized *q, int64_t i);

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

#endif
