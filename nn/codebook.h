/* What quantizers share that choose rows of a codebook: how it starts, how it learns, how dead codes come back. For the files of this
 * folder only. */
#ifndef NN_CODEBOOK_H
#define NN_CODEBOOK_H

#include "nn/quantizer.h"

/* A quantizer: one row of quantizers.def. NULL where the usual holds. */
typedef struct nn__quantizer {
    nn_quantized (*quantize)(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step);
    ag_tensor *(*lookup)(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o); /* NULL: no codes */
    ag_err (*check)(const nn_quantizer_opt *o);                                    /* NULL: nothing can contradict */
    ag_err (*start)(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                    uint64_t seed);                 /* NULL: no codebook that could start from data */
    int64_t (*inner)(const nn_quantizer_opt *o);    /* dimension of codes; NULL: code_dim, else D */
    int64_t (*channels)(const nn_quantizer_opt *o); /* channels of z for `inner` dimensions; NULL: as many */
    int64_t (*codes)(const nn_quantizer_opt *o);    /* K; NULL: o->K */
    int (*depth)(const nn_quantizer_opt *o);        /* codes of a position; NULL: 1 */
    const char *part;                               /* what such a code is of: "depth", "head" */
    int64_t (*code_length)(const nn_quantizer_opt *o, int64_t h, int64_t w); /* NULL: codes are a grid */
} nn__quantizer;

#define NN_QUANTIZER(constant, name, help) extern const nn__quantizer nn__quantizer_##name;
#include "nn/quantizers.def"
#undef NN_QUANTIZER

/* The dimension in which the quantizer of o chooses codes. */
int64_t nn__quantizer_inner(const nn_quantizer_opt *o);
void nn__add_term(nn_quantized *q, const char *name, ag_tensor *value, double weight);
/* The terms of a codebook with the weights that beta and legacy_beta say; `codebook` NULL: none. */
void nn__add_codebook_terms(nn_quantized *q, const nn_quantizer_opt *o, ag_tensor *commitment, ag_tensor *codebook);
/* Lets the weight of the last term rise from 0 over kl_steps. */
void nn__schedule_kl(nn_quantized *q, const nn_quantizer_opt *o, ag_tensor *step);
void nn__add_counter(nn_quantized *q, const char *name, ag_tensor *value, bool sum);

/* A codebook in one graph. Updates of a step are made as tensors, one after another, and become effects in close: so a step may
 * search, update and search again (residual quantizers), and everybody else still sees the values from before the step. */
typedef struct nn__codebook {
    nn_scope s;
    const nn_quantizer_opt *o;
    int64_t K, D;
    ag_tensor *embedding;        /* [K,D] the parameter or buffer */
    ag_tensor *now;              /* [K,D] rows as they are at this point of the step */
    ag_tensor *N0, *M0, *power0; /* averages: states, NULL if the rule has none */
    ag_tensor *N, *M, *power;    /* the same at this point of the step */
    int updates;                 /* of this step so far */
    ag_tensor *dead;             /* [K] mask of the last update */
    ag_tensor *fresh;            /* [K,D] rows for them */
    ag_tensor *restarts;         /* [] in this step so far; NULL if never */
} nn__codebook;

/* Of the moving averages. */
double nn__codebook_decay(const nn_quantizer_opt *o);
/* Makes (or finds) `embedding`, `cluster_size`, `embedding_sum`, `decay_power` at s. */
nn__codebook nn__codebook_open(nn_scope s, const nn_quantizer_opt *o, int64_t D);
/* [...,D] -> [...] i32, the nearest row. */
ag_tensor *nn__codebook_find(const nn__codebook *b, ag_tensor *z);
/* The same in training by `assignment`; adds the counter `moved` to q if that is not the nearest. */
ag_tensor *nn__codebook_choose(const nn__codebook *b, ag_tensor *z, nn_quantized *q);
/* [...] -> [...,D]. */
ag_tensor *nn__codebook_take(const nn__codebook *b, ag_tensor *codes);
/* Learns from z [...,D] (no gradient) with these codes and counts [K]: averages and restarts; nothing outside of training, and nothing in
 * a step where `takes` [] is 0 (NULL: 1). */
void nn__codebook_update(nn__codebook *b, ag_tensor *z, ag_tensor *codes, ag_tensor *counts, ag_tensor *takes);
/* The effects of the updates. */
void nn__codebook_close(nn__codebook *b);
/* Sets codebook, counts and sums at scope name `name` from rows [n,D]; AG_ERR_FAILED if it is not there or has another D. */
ag_err nn__codebook_start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                          uint64_t seed);
/* The codebooks name.depth.0 and so on, each from what the ones before leave of the rows; with depth_scale the one codebook and the scales
 * of all depths. */
ag_err nn__codebook_start_residual(nn_params *p, const char *name, const nn_quantizer_opt *o, int depth, int64_t n,
                                   const real *rows, uint64_t seed);
/* The codebooks name.head.0 and so on, each from its part of the rows [n,D]. */
ag_err nn__codebook_start_heads(nn_params *p, const char *name, const nn_quantizer_opt *o, int heads, int64_t n,
                                const real *rows, uint64_t seed);
/* Options of a codebook that contradict each other. */
ag_err nn__codebook_check(const nn_quantizer_opt *o);

/* Terms of vq (codebook_terms.c), [] each. Mean entropy of softmax(-|z_n - e_k|^2 / T) per row, and entropy of its mean over rows. */
void nn__code_entropies(ag_tensor *z, ag_tensor *codes, double T, ag_tensor **sample, ag_tensor **batch);
/* (1/n^2) sum cos(e_i,e_j)^2 - 1/n over n rows drawn anew each step (0: all). */
ag_tensor *nn__orthogonality(ag_tensor *rows, int64_t n);
/* Value of q; gradient to z straight through, or by the rotation that takes z to q. */
ag_tensor *nn__pass_through(ag_tensor *z, ag_tensor *q, bool rotation);
/* [N,K] -> [N] i32: each row's largest after `iterations` of giving every row weight 1 and every column weight N/K. */
ag_tensor *nn__balanced_codes(ag_tensor *logits, int iterations);
/* |z_n - e_k|^2 up to a term of the row: [N,D], [K,D] -> [N,K]. */
ag_tensor *nn__distances(ag_tensor *z, ag_tensor *codes);

#endif
