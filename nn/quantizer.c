/* The interface of all quantizers: options checked, projections around them, the table. */
#include "codebook.h"
#include "nn/update.h"

#include <stdio.h>
#include <string.h>

static const nn__quantizer *const quantizers[NN_QUANTIZER_KINDS] = {
#define NN_QUANTIZER(constant, name, help) &nn__quantizer_##name,
#include "nn/quantizers.def"
#undef NN_QUANTIZER
};

const char *nn_quantizer_name(nn_quantizer_kind kind)
{
    static const char *const names[NN_QUANTIZER_KINDS] = {
#define NN_QUANTIZER(constant, name, help) #name,
#include "nn/quantizers.def"
#undef NN_QUANTIZER
    };
    return names[kind];
}

/* ---- sizes ----------------------------------------------------------------------------------------------------------- */

int64_t nn__quantizer_inner(const nn_quantizer_opt *o)
{
    const nn__quantizer *rule = quantizers[o->kind];
    if (rule->inner) return rule->inner(o);
    return o->code_dim ? o->code_dim : o->D;
}

int64_t nn_quantizer_dim(const nn_quantizer_opt *o) { return o->D ? o->D : nn__quantizer_inner(o); }

static bool projects(const nn_quantizer_opt *o) { return nn_quantizer_dim(o) != nn__quantizer_inner(o); }

/* Channels of z inside of the projections. */
static int64_t channels(const nn_quantizer_opt *o)
{
    const nn__quantizer *rule = quantizers[o->kind];
    return rule->channels ? rule->channels(o) : nn__quantizer_inner(o);
}

int64_t nn_quantizer_width(const nn_quantizer_opt *o) { return projects(o) ? nn_quantizer_dim(o) : channels(o); }

int64_t nn_quantizer_codes(const nn_quantizer_opt *o)
{
    const nn__quantizer *rule = quantizers[o->kind];
    return rule->codes ? rule->codes(o) : o->K;
}

int nn_quantizer_depth(const nn_quantizer_opt *o)
{
    const nn__quantizer *rule = quantizers[o->kind];
    if (!nn_quantizer_codes(o)) return 0;
    return rule->depth ? rule->depth(o) : 1;
}

int nn_quantizer_code_shape(const nn_quantizer_opt *o, int64_t h, int64_t w, int64_t *shape)
{
    const nn__quantizer *rule = quantizers[o->kind];
    if (rule->code_length) {
        shape[0] = rule->code_length(o, h, w);
        return 1;
    }
    shape[0] = h;
    shape[1] = w;
    shape[2] = nn_quantizer_depth(o);
    return shape[2] > 1 ? 3 : 2 * (int)shape[2];
}

/* ---- quantize and back --------------------------------------------------------------------------------------------------- */

ag_err nn_quantizer_check(const nn_quantizer_opt *o)
{
    const nn__quantizer *rule = quantizers[o->kind];
    const ag_err err = rule->check ? rule->check(o) : AG_OK;
    if (err) return err;
    if (nn_quantizer_dim(o) < 1)
        return ag_fail(AG_ERR_USAGE, "quantizer=%s: latents need a dimension; set dim", nn_quantizer_name(o->kind));
    return AG_OK;
}

/* Says in the graph what nn_quantizer_check refuses; true if all is well. */
static bool checked(nn_scope s, const nn_quantizer_opt *o)
{
    const ag_err err = nn_quantizer_check(o);
    if (err) ag_graph_fail(s.graph, err, "%s", ag_error_message());
    return !err;
}

nn_quantized nn_quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    nn_quantized q = {0};
    if (!z || !checked(s, o)) return q;
    s = nn_part(s, "quantizer");
    const char *outer = ag_graph_scope(s.graph, s.name);
    if (projects(o)) z = nn_linear(nn_in(s, "project_in"), z, &(nn_linear_opt){.out = channels(o)});
    const ag_precision precision = ag_graph_precision(s.graph, AG_FP32); /* distances and losses */
    q = quantizers[o->kind]->quantize(s, z, o, step);
    ag_graph_precision(s.graph, precision);
    if (projects(o)) q.latents = nn_linear(nn_in(s, "project_out"), q.latents, &(nn_linear_opt){.out = o->D});
    q.K = nn_quantizer_codes(o);
    q.depth = nn_quantizer_depth(o);
    if (!q.books) q.books = q.depth;
    q.part = quantizers[o->kind]->part;
    ag_graph_scope(s.graph, outer);
    return q;
}

ag_tensor *nn_quantizer_lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o)
{
    const nn__quantizer *rule = quantizers[o->kind];
    if (!codes || !checked(s, o)) return NULL;
    if (!rule->lookup)
        return ag_graph_fail(s.graph, AG_ERR_USAGE, "quantizer=%s has no codes to look up", nn_quantizer_name(o->kind));
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *latents = rule->lookup(s, codes, o);
    if (projects(o)) latents = nn_linear(nn_in(s, "project_out"), latents, &(nn_linear_opt){.out = o->D});
    ag_graph_scope(s.graph, outer);
    return latents;
}

ag_tensor *nn_schedule(ag_tensor *step, nn_curve curve, double from, double to, int64_t steps)
{
    const double pi = 3.14159265358979323846;
    ag_tensor *t = ag_clamp(ag_scale(ag_shift(step, -1), 1 / (double)(steps > 0 ? steps : 1)), 0, 1);
    switch (curve) {
    case NN_CURVE_COSINE: t = ag_scale(ag_shift(ag_neg(ag_cos(ag_scale(t, pi))), 1), 0.5); break;
    case NN_CURVE_QUARTER_COSINE: t = ag_shift(ag_neg(ag_cos(ag_scale(t, pi / 2))), 1); break;
    case NN_CURVE_CONSTANT: t = ag_scale(t, 0); break;
    case NN_CURVE_LINEAR: break;
    }
    return ag_shift(ag_scale(t, to - from), from);
}

/* ---- start from data ------------------------------------------------------------------------------------------------------- */

bool nn_quantizer_starts_from_data(const nn_quantizer_opt *o)
{
    return quantizers[o->kind]->start && (o->start == NN_START_KMEANS || o->start == NN_START_DATA);
}

ag_err nn_quantizer_start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                          uint64_t seed)
{
    const nn__quantizer *rule = quantizers[o->kind];
    if (!rule->start)
        return ag_fail(AG_ERR_FAILED, "%s: quantizer=%s has no codebook to start", name, nn_quantizer_name(o->kind));
    return rule->start(p, name, o, n, rows, seed);
}

/* ---- results --------------------------------------------------------------------------------------------------------------- */

void nn__add_term(nn_quantized *q, const char *name, ag_tensor *value, double weight)
{
    if (value) q->terms[q->n_terms++] = (nn_quantized_term){.name = name, .value = value, .weight = weight};
}

void nn__add_codebook_terms(nn_quantized *q, const nn_quantizer_opt *o, ag_tensor *commitment, ag_tensor *codebook)
{
    nn__add_term(q, "commitment", commitment, o->legacy_beta ? 1 : o->beta);
    nn__add_term(q, "codebook", codebook, o->legacy_beta ? o->beta : 1);
}

void nn__schedule_kl(nn_quantized *q, const nn_quantizer_opt *o, ag_tensor *step)
{
    if (!step || o->kl_steps < 1) return;
    ag_tensor *factor = nn_schedule(step, NN_CURVE_COSINE, 0, 1, o->kl_steps);
    q->terms[q->n_terms - 1].factor = factor;
    nn__add_counter(q, "kl_factor", factor, false);
}

void nn__add_counter(nn_quantized *q, const char *name, ag_tensor *value, bool sum)
{
    if (value) q->counters[q->n_counters++] = (nn_quantized_counter){name, value, sum};
}

ag_tensor *nn_quantized_loss(const nn_quantized *q)
{
    ag_tensor *total = NULL;
    for (int i = 0; i < q->n_terms; i++) {
        const nn_quantized_term *t = &q->terms[i];
        ag_tensor *term = ag_scale(t->value, t->weight);
        if (t->factor) term = ag_mul(term, t->factor);
        total = total ? ag_add(total, term) : term;
    }
    return total;
}

ag_tensor *nn_quantized_term_of(const nn_quantized *q, const char *name)
{
    for (int i = 0; i < q->n_terms; i++)
        if (!strcmp(q->terms[i].name, name)) return q->terms[i].value;
    return NULL;
}

ag_tensor *nn_quantized_counter_of(const nn_quantized *q, const char *name)
{
    for (int i = 0; i < q->n_counters; i++)
        if (!strcmp(q->counters[i].name, name)) return q->counters[i].value;
    return NULL;
}

int nn_quantized_book(const nn_quantized *q, int64_t i)
{
    int book = 0;
    if (!q->segments[0]) return (int)(i % q->books);
    while (book < q->books - 1 && i >= q->segments[book]) i -= q->segments[book++];
    return book;
}

void nn_quantized_book_name(const nn_quantized *q, int book, char *out, size_t size)
{
    if (q->books < 2)
        snprintf(out, size, "%s", "");
    else if (q->segments[0])
        snprintf(out, size, "%lldx%lld", (long long)q->map_rows[book],
                 (long long)(q->segments[book] / q->map_rows[book]));
    else
        snprintf(out, size, "%s %d", q->part, book + 1);
}
