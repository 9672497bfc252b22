/* Optimizers for named parameters: they make the moments and choose what decays. */
#include "optim/optim.h"

#include <stdlib.h>
#include <string.h>

/* ---- decay groups ------------------------------------------------------------------------------------------------- */

static bool ends_in(const char *word, size_t length, const char *end)
{
    const size_t n = strlen(end);
    return length >= n && !strncmp(word + length - n, end, n);
}

bool opt_decays(const nn_param *p)
{
    static const char *const never[] = {"embedding", "embeddings", "codebook", "position", "positions"};
    if (p->rank < 2) return false;
    for (const char *word = p->name; word; word = strchr(word, '.') ? strchr(word, '.') + 1 : NULL)
        for (size_t i = 0; i < sizeof never / sizeof *never; i++)
            if (ends_in(word, strcspn(word, "."), never[i])) return false;
    return true;
}

/* ---- moments ------------------------------------------------------------------------------------------------------ */

/* The tensor `optimizer.RULE.NAME.which` of a parameter; zero at the start. */
static ag_tensor *moment(nn_scope s, const char *rule, const ag_tensor *p, const char *which)
{
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(p); i++) shape[i] = ag_dim(p, i);
    const nn_param *named = nn_param_of(s.params, p);
    if (!named) return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %s is no parameter of this model", rule, ag_name(p));
    return nn_tensor(nn_in(nn_in(nn_in(s, "optimizer"), rule), named->name), which, NN_OPTIMIZER, named->layout,
                     ag_rank(p), shape, (nn_init){.rule = NN_ZERO});
}

/* Rows that an effect sets anew start again with an empty moment. */
static void clear_rows(nn_scope s, const ag_tensor *p, ag_tensor *m)
{
    ag_tensor *mask = nn_reset_rows_of(s.params, p);
    if (!mask) return;
    ag_tensor *rows = ag_reshape(mask, 2, (int64_t[]){ag_dim(mask, 0), 1});
    ag_assign_where(m, rows, ag_constant(s.graph, 0, 0, NULL));
}

/* What an optimizer needs for n parameters: up to two lists of moments, and the mask of decay. */
typedef struct parts {
    ag_tensor **m, **v;
    bool *decayed;
} parts;

static bool parts_make(parts *t, nn_scope s, const char *rule, int n, ag_tensor *const *params, bool second)
{
    const size_t size = (size_t)(n > 0 ? n : 0) + 1;
    *t = (parts){calloc(size, sizeof *t->m), calloc(size, sizeof *t->v), calloc(size, sizeof *t->decayed)};
    if (!t->m || !t->v || !t->decayed)
        ag_graph_fail(s.graph, AG_ERR_MEMORY, "out of memory for an optimizer of %d parameters", n);
    for (int i = 0; i < n && !ag_graph_error(s.graph); i++) {
        const nn_param *named = nn_param_of(s.params, params[i]);
        t->m[i] = moment(s, rule, params[i], "m");
        if (second) t->v[i] = moment(s, rule, params[i], "v");
        clear_rows(s, params[i], t->m[i]);
        if (second) clear_rows(s, params[i], t->v[i]);
        t->decayed[i] = named && opt_decays(named);
    }
    return !ag_graph_error(s.graph);
}

static void parts_free(parts *t)
{
    free(t->m);
    free(t->v);
    free(t->decayed);
}

/* ---- the rules ---------------------------------------------------------------------------------------------------- */

void opt_adam(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate, ag_tensor *step,
              const ag_adam_options *options)
{
    ag_adam_options o = options ? *options : (ag_adam_options){.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    parts t;
    const bool made = parts_make(&t, s, "adam", n, params, true);
    if (!o.update.decayed) o.update.decayed = t.decayed;
    if (made) ag_adam(n, params, grads, t.m, t.v, rate, step, &o);
    parts_free(&t);
}

void opt_sgd(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate,
             const ag_sgd_options *options)
{
    ag_sgd_options o = options ? *options : (ag_sgd_options){0};
    parts t;
    const bool made = parts_make(&t, s, "sgd", n, params, false);
    if (!o.update.decayed) o.update.decayed = t.decayed;
    if (made) ag_sgd(n, params, grads, t.m, rate, &o);
    parts_free(&t);
}

void opt_lion(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate,
              const ag_lion_options *options)
{
    ag_lion_options o = options ? *options : (ag_lion_options){.beta1 = 0.9, .beta2 = 0.99};
    parts t;
    const bool made = parts_make(&t, s, "lion", n, params, false);
    if (!o.update.decayed) o.update.decayed = t.decayed;
    if (made) ag_lion(n, params, grads, t.m, rate, &o);
    parts_free(&t);
}
