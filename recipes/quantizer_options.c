#include "quantizer_options.h"

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
    "what stands between encoder and decoder";
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
};
const option_table quantizer_option_table = {rows, (int)(sizeof rows / sizeof *rows), &train_option_table};

nn_quantizer_opt quantizer_opt(const struct quantizer_options *o)
{
    return (nn_quantizer_opt){.kind = (nn_quantizer_kind)o->quantizer,
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
                              .restart = o->restart};
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

/* The name of a term in the log: as it is, or with the scope before it when a model has several quantizers. */
static const char *full_name(const run *r, const char *scope, const char *name)
{
    return r->n_quantizers > 1 ? nn_in(nn_in(r->root, scope), name).name : name;
}

ag_tensor *quantize(run *r, const struct quantizer_options *o, const char *scope, ag_tensor *z)
{
    const nn_quantizer_opt options = quantizer_opt(o);
    const nn_quantized q = nn_quantize(nn_in(r->root, scope), z, &options, r->training ? r->update : NULL);
    if (q.rows && nn_quantizer_starts_from_data(&options)) run_start(r, scope, q.rows, &options);
    if (q.codes || q.n_counters) run_quantizer(r, &q);
    for (int i = 0; i < q.n_terms; i++)
        run_loss_by(r, full_name(r, scope, q.terms[i].name), q.terms[i].value, q.terms[i].weight, q.terms[i].factor);
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
    shape[0] = h;
    shape[1] = w;
    shape[2] = nn_quantizer_depth(&options);
    return shape[2] > 1 ? 3 : 2;
}
