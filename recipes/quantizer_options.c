#include <string.h>

#include "quantizer_options.h"

_Static_assert((int)NN_MOST_SCALARS == (int)OPTION_LIST_MOST, "a list of options is a list of scalars");

#define Q struct quantizer_options

/* "|vq|none": every name with a bar before it. */
#define NN_QUANTIZER(constant, name, help) "|" #name
static const char kinds[] =
#include "nn/quantizers.def"
    ;
#undef NN_QUANTIZER

#define NN_QUANTIZER(constant, name, help) #name ": " help "; "
static const char kinds_help[] =
#include "nn/quantizers.def"
    "between encoder and decoder";
#undef NN_QUANTIZER

static const option rows[] = {
    OPTION_CHOICE(Q, quantizer, kinds + 1, "recipe", kinds_help),
    OPTION_INT(Q, codes, 0, 16777216, "recipe", "codes in the codebook (0, for finite_scalar: as levels give)"),
    OPTION_INT(Q, dim, 0, 8192, "recipe", "dimension of the latents between encoder and decoder"),
    OPTION_INT(Q, code_dim, 0, 8192, "ViT-VQGAN",
               "dimension in which codes are chosen, between two linear layers (0: dim)"),
    OPTION_REAL(Q, beta, 0, 1000, "van den Oord 2017, 3.2", "weight of the commitment loss"),
    OPTION_CHOICE(Q, codebook, "ema|gradient", "van den Oord 2017, A.1, 3.2",
                  "how the codebook learns: moving averages, or the codebook loss"),
    OPTION_REAL(Q, decay, 1e-6, 0.999999, "van den Oord 2017, A.1", "of the moving averages"),
    OPTION_REAL(Q, epsilon, 1e-12, 1, "Sonnet", "Laplace smoothing of the cluster sizes"),
    OPTION_FLAG(Q, debias, "Sonnet", "averages start at zero and are divided by 1 - decay^t"),
    OPTION_CHOICE(Q, start, "normal|uniform|kmeans|data", "ours",
                  "codebook: N(0,1), U(+-1/codes), k-means of the first batch, or random rows of it"),
    OPTION_REAL(Q, initial_count, 0, 1e9, "ours",
                "members each code counts in the averages of a normal or uniform start: 1 is gentle; 0, as first "
                "published, loses the codebook for hundreds of steps"),
    OPTION_REAL(Q, restart, 0, 1e9, "Jukebox",
                "give codes with fewer members on average a row of the batch (0: never)"),
    OPTION_FLAG(Q, cosine, "ViT-VQGAN", "vq: codes and latents of length 1, compared and emitted so"),
    OPTION_FLAG(Q, rotation, "Fifty 2024",
                "codebooks: gradient by the rotation from latent to code instead of straight-through"),
    OPTION_FLAG(Q, simvq, "SimVQ",
                "codebooks: a trained linear map of a frozen random table (needs codebook=gradient)"),
    OPTION_FLAG(Q, legacy_beta, "VQGAN code",
                "beta on the codebook loss instead of the commitment (codebook=gradient)"),
    OPTION_INT(Q, heads, 1, 64, "ours", "vq: dim cut into so many parts with a code each"),
    OPTION_INT(Q, depth, 1, 32, "RQ-VAE", "residual: codes of a position"),
    OPTION_FLAG(Q, shared, "RQ-VAE", "one codebook for all heads or depths"),
    OPTION_FLAG(Q, update_once, "ours",
                "residual: one moving-average update a step from all depths, not one per depth in sequence"),
    OPTION_FLAG(Q, depth_scale, "ours",
                "residual, shared: what a depth quantizes is divided by its average length first, so that one codebook "
                "fits all depths"),
    OPTION_REAL(Q, quantizer_dropout, 0, 1, "SoundStream",
                "residual: probability that a training step uses the first depths only, a number drawn evenly"),
    OPTION_CHOICE(Q, assignment, "nearest|sampled|balanced", "van den Oord 2017",
                  "vq, in training: the nearest code, one drawn by distance, or equal shares for all codes (Sinkhorn)"),
    OPTION_REAL(Q, assignment_temperature, 1e-6, 1e6, "ours", "of sampled and balanced, in mean squared distances"),
    OPTION_REAL(Q, entropy, 0, 1000, "MAGVIT",
                "vq, lookup_free: weight of (entropy per position - entropy_gamma * entropy of the batch)"),
    OPTION_REAL(Q, entropy_gamma, 0, 1000, "MAGVIT-v2", "share of the entropy of the batch"),
    OPTION_REAL(Q, entropy_temperature, 1e-6, 1e6, "MAGVIT-v2",
                "of the distribution over codes in that term; lookup_free: at 0.01 a bit far from 0 has no gradient "
                "left and may "
                "stay as it is, at 0.1 to 1 all move"),
    OPTION_INT(Q, entropy_groups, 1, 30, "MAGVIT-v2",
               "lookup_free: groups of bits whose entropies are added, a bound; 1: exact"),
    OPTION_REAL(Q, orthogonal, 0, 1000, "Shin 2023",
                "vq: weight of the squared cosines between codes (codebook=gradient)"),
    OPTION_INT(Q, orthogonal_codes, 0, 1048576, "Shin 2023", "codes drawn for it each step (0: all)"),
    OPTION_LIST(Q, levels, 2, 65536, "Mentzer 2023", "finite_scalar: levels of each dimension; their product is codes"),
    OPTION_FLAG(Q, spherical, "BSQ", "lookup_free: latents of length 1 before their signs"),
    OPTION_LIST(Q, scales, 1, 8192, "VAR", "multiscale: rows of the map of each scale; the last: those of the latents"),
    OPTION_INT(Q, phi, 0, 16, "VAR", "multiscale: convolutions shared among the scales (0: none)"),
    OPTION_REAL(Q, phi_ratio, 0, 1, "VAR", "multiscale: share of the convolution in what a scale adds"),
    OPTION_REAL(Q, kl, 0, 1000, "recipe", "gaussian, gumbel: weight of the divergence from the prior"),
    OPTION_INT(Q, kl_steps, 0, 1e9, "dVAE", "steps over which that weight rises from 0, half a cosine (0: at once)"),
    OPTION_FLAG(Q, kl_sum, "LDM", "gaussian: divergence summed over an image instead of the mean over latents"),
    OPTION_FLAG(Q, hard, "VQGAN", "gumbel: one-hot choice with the gradient of the soft one"),
    OPTION_FLAG(Q, table, "VQGAN",
                "gumbel: latents are rows of a table; false: the shares of the codes, and dim is 0 or codes (dVAE)"),
    OPTION_REAL(Q, tau, 1e-6, 1e6, "dVAE", "gumbel: temperature at the start"),
    OPTION_REAL(Q, tau_end, 1e-6, 1e6, "dVAE", "gumbel: temperature at the end"),
    OPTION_INT(Q, tau_steps, 0, 1e9, "dVAE", "gumbel: steps between the two"),
    OPTION_CHOICE(Q, tau_curve, "constant|cosine|linear|quarter-cosine", "dVAE", "gumbel: from tau to tau_end"),
};
const option_table quantizer_option_table = {rows, (int)(sizeof rows / sizeof *rows), &train_option_table};

/* What only some quantizers have. */
static void set_other(nn_quantizer_opt *q, const struct quantizer_options *o)
{
    q->entropy = o->entropy;
    q->entropy_gamma = o->entropy_gamma;
    q->entropy_temperature = o->entropy_temperature;
    q->entropy_groups = (int)o->entropy_groups;
    q->orthogonal = o->orthogonal;
    q->orthogonal_codes = o->orthogonal_codes;
    q->depth = (int)o->depth;
    q->update_once = o->update_once;
    q->depth_scale = o->depth_scale;
    q->quantizer_dropout = o->quantizer_dropout;
    q->phi = (int)o->phi;
    q->phi_ratio = o->phi_ratio;
    q->spherical = o->spherical;
    q->kl = o->kl;
    q->kl_steps = o->kl_steps;
    q->kl_sum = o->kl_sum;
    q->hard = o->hard;
    q->no_table = !o->table;
    q->tau = o->tau;
    q->tau_end = o->tau_end;
    q->tau_steps = o->tau_steps;
    q->tau_curve = (nn_curve)o->tau_curve;
    q->n_levels = o->levels.n;
    q->n_scales = o->scales.n;
    memcpy(q->levels, o->levels.values, sizeof q->levels);
    memcpy(q->scales, o->scales.values, sizeof q->scales);
}

nn_quantizer_opt quantizer_opt(const struct quantizer_options *o)
{
    nn_quantizer_opt q = {.kind = (nn_quantizer_kind)o->quantizer,
                          .K = o->codes,
                          .D = o->dim,
                          .code_dim = o->code_dim,
                          .beta = o->beta,
                          .rule = (nn_codebook_rule)o->codebook,
                          .start = (nn_codebook_start)o->start,
                          .decay = o->decay,
                          .epsilon = o->epsilon,
                          .debias = o->debias,
                          .initial_count = o->initial_count,
                          .restart = o->restart,
                          .cosine = o->cosine,
                          .rotation = o->rotation,
                          .simvq = o->simvq,
                          .legacy_beta = o->legacy_beta,
                          .heads = (int)o->heads,
                          .shared = o->shared,
                          .assignment = (nn_assignment)o->assignment,
                          .assignment_temperature = o->assignment_temperature};
    set_other(&q, o);
    return q;
}

int64_t quantizer_width(const struct quantizer_options *o)
{
    const nn_quantizer_opt q = quantizer_opt(o);
    return nn_quantizer_width(&q);
}

ag_err quantizer_check(const struct quantizer_options *o)
{
    const nn_quantizer_opt q = quantizer_opt(o);
    return nn_quantizer_check(&q);
}

bool quantizer_takes(const void *options, const image_shape *trained, const image_shape *image)
{
    const struct quantizer_options *o = options;
    return o->quantizer != NN_QUANTIZER_MULTISCALE || image->height == trained->height;
}

void quantized(run *r, const struct quantizer_options *o, int n, const char *const *scopes, const nn_quantized *q)
{
    const nn_quantizer_opt options = quantizer_opt(o);
    for (int i = 0; i < n; i++) {
        const nn_scope s = nn_in(r->root, scopes[i]);
        if (q[i].rows && nn_quantizer_starts_from_data(&options)) run_start(r, s.name, q[i].rows, &options);
        if (q[i].codes || q[i].n_counters) run_quantizer(r, &q[i]);
        for (int j = 0; j < q[i].n_terms; j++) {
            const nn_quantized_term *t = &q[i].terms[j];
            run_loss_by(r, n > 1 || r->n_quantizers > 1 ? nn_in(s, t->name).name : t->name, t->value, t->weight,
                        t->factor);
        }
    }
}

ag_tensor *quantize(run *r, const struct quantizer_options *o, const char *scope, ag_tensor *z)
{
    const nn_quantizer_opt options = quantizer_opt(o);
    const nn_quantized q = nn_quantize(nn_in(r->root, scope), z, &options, r->training ? r->update : NULL);
    quantized(r, o, 1, &scope, &q);
    return q.latents;
}

ag_tensor *dequantize(run *r, const struct quantizer_options *o, const char *scope, ag_tensor *codes)
{
    const nn_quantizer_opt options = quantizer_opt(o);
    return nn_quantizer_lookup(nn_in(r->root, scope), codes, &options);
}

int quantizer_code_shape(const struct quantizer_options *o, int64_t h, int64_t w, int64_t *shape)
{
    const nn_quantizer_opt options = quantizer_opt(o);
    return nn_quantizer_code_shape(&options, h, w, shape);
}
