/* Vector quantization: van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, section 3.
 *
 *   k_n = argmin_j |z_n - e_j|^2        q_n = e_{k_n}        latents = z + sg(q - z)
 *   commitment = mean (z - sg(q))^2     codebook = mean (sg(z) - q)^2, means over rows and dimensions
 *
 * The codebook learns by moving averages (codebook.c), or by the gradient of the codebook term. Cosine: z/|z| and e/|e| instead of z and
 * e, everywhere; what was compared is emitted, and the gradient passes through the normalisation of z (Yu and others 2022,
 * arXiv:2110.04627; Sun and others 2024, arXiv:2406.06525). Heads: the dimensions are cut into parts, each with a code. */
#include "codebook.h"

enum { MOST_HEADS = 64 };

static int heads(const nn_quantizer_opt *o) { return o->heads ? o->heads : 1; }

static ag_err check(const nn_quantizer_opt *o)
{
    const int64_t D = nn__quantizer_inner(o);
    if (heads(o) < 1 || heads(o) > MOST_HEADS || D % heads(o))
        return ag_fail(AG_ERR_USAGE, "heads=%d: %lld dimensions cannot be cut into %d equal parts (1 to %d)", o->heads,
                       (long long)D, heads(o), MOST_HEADS);
    return nn__codebook_check(o);
}

static nn_scope at(nn_scope s, const nn_quantizer_opt *o, int h)
{
    return heads(o) == 1 || o->shared ? s : nn_at(s, "head", h);
}

static void add_regularizers(nn_quantized *q, const nn_quantizer_opt *o, const nn__codebook *b, ag_tensor *z)
{
    ag_tensor *S, *A;
    if (!b->s.training) return;
    if (o->entropy > 0) {
        nn__code_entropies(z, b->now, o->entropy_temperature > 0 ? o->entropy_temperature : 0.01, &S, &A);
        nn__add_term(q, "entropy", ag_sub(S, ag_scale(A, o->entropy_gamma)), o->entropy);
    }
    if (o->orthogonal > 0) nn__add_term(q, "orthogonal", nn__orthogonality(b->now, o->orthogonal_codes), o->orthogonal);
}

/* Quantizes z [...,D] with the codebook at s: one head, or all that share one. */
static nn_quantized one(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o)
{
    nn_quantized q = {0};
    nn__codebook book = nn__codebook_open(s, o, ag_dim(z, -1));
    if (o->cosine) z = ag_l2_normalize(z, 1e-12);
    ag_tensor *fixed = ag_stop_gradient(z);
    q.rows = z;
    q.codes = nn__codebook_choose(&book, fixed, &q);
    q.counts = ag_count(q.codes, o->K);
    ag_tensor *found = nn__codebook_take(&book, q.codes);
    q.latents = nn__pass_through(z, found, o->rotation && s.training);
    ag_tensor *commitment = ag_mse(z, ag_stop_gradient(found));
    nn__add_codebook_terms(&q, o, commitment, o->rule == NN_CODEBOOK_GRADIENT ? ag_mse(fixed, found) : NULL);
    add_regularizers(&q, o, &book, z);
    nn__codebook_update(&book, fixed, q.codes, q.counts, NULL);
    nn__codebook_close(&book);
    nn__add_counter(&q, "restarts", book.restarts, true);
    return q;
}

/* Counts of each head of codes [...,heads]: [heads,K]. */
static ag_tensor *counts_of_heads(ag_tensor *codes, const nn_quantizer_opt *o)
{
    ag_tensor *counts[MOST_HEADS];
    for (int h = 0; h < heads(o); h++)
        counts[h] = ag_reshape(ag_count(ag_slice_axis(codes, -1, h, 1), o->K), 2, (int64_t[]){1, o->K});
    return ag_concat(heads(o), counts, 0);
}

/* z [...,D] -> [...,heads,D/heads]: one codebook sees all of them as rows. */
static nn_quantized shared_heads(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o)
{
    const int rank = ag_rank(z);
    int64_t shape[AG_MAX_RANK], whole[AG_MAX_RANK];
    if (rank == AG_MAX_RANK) {
        ag_graph_fail(s.graph, AG_ERR_SHAPE, "heads=%d of latents of %d axes", heads(o), rank);
        return (nn_quantized){0};
    }
    for (int i = 0; i < rank; i++) shape[i] = whole[i] = ag_dim(z, i);
    shape[rank - 1] = heads(o);
    shape[rank] = whole[rank - 1] / heads(o);
    nn_quantized q = one(s, ag_reshape(z, rank + 1, shape), o);
    q.latents = ag_reshape(q.latents, rank, whole);
    q.counts = counts_of_heads(q.codes, o);
    return q;
}

/* Terms are means over heads, counters sums. */
static void merge(nn_quantized *q, const nn_quantized *head, int n)
{
    for (int i = 0; i < head->n_terms; i++) {
        ag_tensor *value = ag_scale(head->terms[i].value, 1.0 / n);
        if (i == q->n_terms)
            nn__add_term(q, head->terms[i].name, value, head->terms[i].weight);
        else
            q->terms[i].value = ag_add(q->terms[i].value, value);
    }
    for (int i = 0; i < head->n_counters; i++) {
        if (i == q->n_counters)
            nn__add_counter(q, head->counters[i].name, head->counters[i].value, true);
        else
            q->counters[i].value = ag_add(q->counters[i].value, head->counters[i].value);
    }
}

static nn_quantized separate_heads(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o)
{
    const int n = heads(o);
    ag_tensor *parts[MOST_HEADS], *latents[MOST_HEADS], *codes[MOST_HEADS];
    nn_quantized q = {.rows = z};
    ag_split(z, -1, n, NULL, parts);
    for (int h = 0; h < n; h++) {
        const nn_quantized head = one(at(s, o, h), parts[h], o);
        latents[h] = head.latents;
        codes[h] = head.codes;
        merge(&q, &head, n);
    }
    q.latents = ag_concat(n, latents, -1);
    q.codes = ag_stack(n, codes, ag_rank(z) - 1);
    q.counts = counts_of_heads(q.codes, o);
    return q;
}

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)step;
    if (heads(o) == 1) return one(s, z, o);
    return o->shared ? shared_heads(s, z, o) : separate_heads(s, z, o);
}

static ag_tensor *lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o)
{
    const int n = heads(o), rank = ag_rank(codes);
    const int64_t D = nn__quantizer_inner(o);
    ag_tensor *parts[MOST_HEADS];
    int64_t shape[AG_MAX_RANK];
    if (n == 1) {
        const nn__codebook book = nn__codebook_open(s, o, D);
        return nn__codebook_take(&book, codes);
    }
    for (int i = 0; i < rank - 1; i++) shape[i] = ag_dim(codes, i);
    for (int h = 0; h < n; h++) {
        const nn__codebook book = nn__codebook_open(at(s, o, h), o, D / n);
        parts[h] = nn__codebook_take(&book, ag_reshape(ag_slice_axis(codes, -1, h, 1), rank - 1, shape));
    }
    return ag_concat(n, parts, -1);
}

/* Each head's codebook starts from its part of the rows; a shared one from all parts. */
static ag_err start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                    uint64_t seed)
{
    if (heads(o) == 1 || o->shared) return nn__codebook_start(p, name, o, n, rows, seed);
    return nn__codebook_start_heads(p, name, o, heads(o), n, rows, seed);
}

const nn__quantizer nn__quantizer_vq = {
    .quantize = quantize, .lookup = lookup, .check = check, .start = start, .depth = heads, .part = "head"};
