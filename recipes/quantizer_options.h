/* The options of the quantizer, the same in every recipe that has one, and the call that a recipe's build function makes:
 *
 *     struct vqvae { struct quantizer_options q; int64_t hidden; };                      // the first field: q.train is its first
 *     static const struct vqvae defaults = {.q = {.train = {...}, QUANTIZER_DEFAULTS, .codes = 512, .dim = 64}, .hidden = 256};
 *     static const option_table table = {rows, n, &quantizer_option_table};              // which goes on with train_option_table
 *     ...
 *     ag_tensor *z = encoder(x, quantizer_width(&o->q));
 *     ag_tensor *y = decoder(quantize(r, &o->q, "quantizer", z));
 *     // codes alone: decoder(dequantize(r, &o->q, "quantizer", codes))                                                          */
#ifndef RECIPES_QUANTIZER_OPTIONS_H
#define RECIPES_QUANTIZER_OPTIONS_H

#include "recipe.h"

struct quantizer_options {
    struct train_options train;
    int quantizer; /* nn_quantizer_kind */
    int64_t codes, dim, code_dim;
    double beta;
    int codebook, start; /* nn_codebook_rule, nn_codebook_start */
    double decay, epsilon, initial_count, restart;
    bool debias, cosine, rotation, simvq, legacy_beta, shared;
    int64_t heads, depth;
    int assignment; /* nn_assignment */
    double assignment_temperature, entropy, entropy_gamma, entropy_temperature, orthogonal;
    int64_t entropy_groups, orthogonal_codes;
    bool update_once, depth_scale, spherical, hard, table, kl_sum;
    double quantizer_dropout, phi_ratio, kl, tau, tau_end;
    option_list scales, levels;
    int64_t phi, kl_steps, tau_steps;
    int tau_curve; /* nn_curve */
};

/* Everything but codes and dim; the second for another rule and start of the codebook, and without scales; the third without the weight of
 * a divergence and the table of gumbel too. */
#define QUANTIZER_DEFAULTS QUANTIZER_DEFAULTS_WITH(NN_CODEBOOK_EMA, NN_START_KMEANS), .scales = {4, {1, 2, 4, 8}}
#define QUANTIZER_DEFAULTS_WITH(rule, first)                                                                           \
    QUANTIZER_COMMON, .codebook = (rule), .start = (first), .kl = 1e-3, .table = true
#define QUANTIZER_COMMON                                                                                               \
    .beta = 0.25, .decay = 0.99, .epsilon = 1e-5, .initial_count = 1, .heads = 1, .depth = 4, .shared = true,          \
    .assignment_temperature = 0.05, .entropy_gamma = 1, .entropy_temperature = 0.01, .entropy_groups = 1, .phi = 4,    \
    .phi_ratio = 0.5, .tau = 1, .tau_end = 0.0625, .tau_steps = 150000, .tau_curve = NN_CURVE_COSINE,                  \
    .levels = {3, {8, 8, 8}}

extern const option_table quantizer_option_table;

nn_quantizer_opt quantizer_opt(const struct quantizer_options *o);
/* Channels that the encoder must give. */
int64_t quantizer_width(const struct quantizer_options *o);
/* Contradicting options, for a recipe's check function. */
ag_err quantizer_check(const struct quantizer_options *o);
/* For recipe.takes: the last of the maps of quantizer=multiscale has as many rows as the latents. */
bool quantizer_takes(const void *options, const image_shape *trained, const image_shape *image);
/* z [N,h,w,width] -> what the decoder sees, [N,h,w,dim]; losses, figures, codes and start of the quantizer at scope `scope` are the
 * run's. */
ag_tensor *quantize(run *r, const struct quantizer_options *o, const char *scope, ag_tensor *z);
/* What nn_quantize made inside of a network with n quantizers, q[i] at scope scopes[i]: losses (named SCOPE.TERM if there are several), figures,
 * codes and starts are the run's. */
void quantized(run *r, const struct quantizer_options *o, int n, const char *const *scopes, const nn_quantized *q);
/* quantize() from codes. */
ag_tensor *dequantize(run *r, const struct quantizer_options *o, const char *scope, ag_tensor *codes);
/* For a recipe's code_shape: axes of the codes of a grid h x w; returns how many. */
int quantizer_code_shape(const struct quantizer_options *o, int64_t h, int64_t w, int64_t *shape);

#endif
