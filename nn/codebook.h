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
} nn__quantizer;

#define NN_QUANTIZER(constant, name, help) extern const nn__quantizer nn__quantizer_##name;
#include "nn/quantizers.def"
#undef NN_QUANTIZER

/* The dimension in which the quantizer of o chooses codes. */
int64_t nn__quantizer_inner(const nn_quantizer_opt *o);
void nn__add_term(nn_quantized *q, const char *name, ag_tensor *value, double weight);
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

/* Makes (or finds) `embedding`, `cluster_size`, `embedding_sum`, `decay_power` at s. */
nn__codebook nn__codebook_open(nn_scope s, const nn_quantizer_opt *o, int64_t D);
/* [...,D] -> [...] i32, the nearest row. */
ag_tensor *nn__codebook_find(const nn__codebook *b, ag_tensor *z);
/* [...] -> [...,D]. */
ag_tensor *nn__codebook_take(const nn__codebook *b, ag_tensor *codes);
/* Learns from z [...,D] (no gradient) with these codes and counts [K]: averages and restarts; nothing outside of training. */
void nn__codebook_update(nn__codebook *b, ag_tensor *z, ag_tensor *codes, ag_tensor *counts);
/* The effects of the updates. */
void nn__codebook_close(nn__codebook *b);
/* Sets codebook, counts and sums at scope name `name` from rows [n,D]; AG_ERR_FAILED if it is not there or has another D. */
ag_err nn__codebook_start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                          uint64_t seed);

#endif
