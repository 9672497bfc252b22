#include "optim/optim.h"

#include <stdlib.h>

/* The moment `optimizer.adam.NAME.m` of a parameter; zero at the start. */
static ag_tensor *moment(nn_scope s, const ag_tensor *p, const char *which)
{
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(p); i++) shape[i] = ag_dim(p, i);
    const nn_param *named = nn_param_of(s.params, p);
    if (!named) return ag_graph_fail(s.graph, AG_ERR_SHAPE, "Adam: %s is no parameter of this model", ag_name(p));
    return nn_tensor(nn_in(nn_in(s, "optimizer.adam"), named->name), which, NN_OPTIMIZER, named->layout, ag_rank(p),
                     shape, (nn_init){.rule = NN_ZERO});
}

/* Rows that an effect sets anew start again with empty moments. */
static void clear_moments(nn_scope s, const ag_tensor *p, ag_tensor *m, ag_tensor *v)
{
    ag_tensor *mask = nn_reset_rows_of(s.params, p);
    if (!mask) return;
    ag_tensor *rows = ag_reshape(mask, 2, (int64_t[]){ag_dim(mask, 0), 1}), *zero = ag_constant(s.graph, 0, 0, NULL);
    ag_assign_where(m, rows, zero);
    ag_assign_where(v, rows, zero);
}

void opt_adam(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *rate, ag_tensor *step,
              const ag_adam_options *o)
{
    ag_tensor **m = calloc((size_t)n + 1, sizeof *m), **v = calloc((size_t)n + 1, sizeof *v);
    if (!m || !v) ag_graph_fail(s.graph, AG_ERR_MEMORY, "out of memory for an optimizer of %d parameters", n);
    for (int i = 0; i < n && !ag_graph_error(s.graph); i++) {
        m[i] = moment(s, params[i], "m");
        v[i] = moment(s, params[i], "v");
        clear_moments(s, params[i], m[i], v[i]);
    }
    if (!ag_graph_error(s.graph)) ag_adam(n, params, grads, m, v, rate, step, o);
    free(m);
    free(v);
}
