/* Averages of weights over time (Polyak, Juditsky 1992; the decay's warm-up as in the common implementations). */
#include "optim/optim.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "optimizer.average.";

static void copy_values(nn_param *to, const nn_param *from)
{
    if (to->data && from->data) /* an outline has no values */
        memcpy(to->data, from->data, (size_t)to->numel * ag_dtype_size(to->dtype));
}

/* The parameter whose average `average` is; NULL if it is no average. */
static nn_param *averaged(nn_params *p, const nn_param *average)
{
    if (strncmp(average->name, prefix, sizeof prefix - 1) != 0) return NULL;
    return nn_params_find(p, average->name + sizeof prefix - 1);
}

static ag_tensor *average_of(nn_scope s, const ag_tensor *t)
{
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(t); i++) shape[i] = ag_dim(t, i);
    const nn_param *named = nn_param_of(s.params, t);
    if (!named) return ag_graph_fail(s.graph, AG_ERR_SHAPE, "averages: %s is no parameter of this model", ag_name(t));
    const int before = nn_params_count(s.params);
    nn_scope root = s;
    root.name = "";
    ag_tensor *a = nn_tensor(nn_in(root, "optimizer.average"), named->name, NN_OPTIMIZER, named->layout, ag_rank(t),
                             shape, (nn_init){.rule = NN_ZERO});
    nn_param *made = a && nn_params_count(s.params) > before ? nn_param_of(s.params, a) : NULL;
    if (made) copy_values(made, named);
    return a;
}

void opt_average(nn_scope s, int n, ag_tensor *const *params, double decay, bool warmup, ag_tensor *step)
{
    ag_tensor **means = calloc((size_t)(n > 0 ? n : 0) + 1, sizeof *means);
    if (!means) ag_graph_fail(s.graph, AG_ERR_MEMORY, "out of memory for averages of %d parameters", n);
    if (!(decay >= 0 && decay < 1)) ag_graph_fail(s.graph, AG_ERR_SHAPE, "averages: a decay of %g; 0 to 1", decay);
    for (int i = 0; i < n && !ag_graph_error(s.graph); i++) means[i] = average_of(s, params[i]);
    if (!ag_graph_error(s.graph)) ag_average(n, means, params, decay, warmup, step);
    free(means);
}

void opt_average_start(nn_params *p)
{
    for (int i = 0; i < nn_params_count(p); i++) {
        const nn_param *from = averaged(p, nn_params_at(p, i));
        if (from) copy_values(nn_params_at(p, i), from);
    }
}

static void exchange(nn_param *a, nn_param *b)
{
    real *x = a->data, *y = b->data;
    for (int64_t i = 0; i < a->numel; i++) {
        const real t = x[i];
        x[i] = y[i];
        y[i] = t;
    }
}

int opt_average_swap(nn_params *p)
{
    int n = 0;
    for (int i = 0; i < nn_params_count(p); i++) {
        nn_param *b = averaged(p, nn_params_at(p, i));
        if (!b) continue;
        exchange(nn_params_at(p, i), b);
        n++;
    }
    return n;
}
