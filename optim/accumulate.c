/* Sums of gradients over micro-batches. */
#include "optim/optim.h"

/* As states they are part of the checkpoint, so that a run may also stop between two micro-batches. */
static ag_tensor *sum_of(nn_scope s, const ag_tensor *p)
{
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(p); i++) shape[i] = ag_dim(p, i);
    const nn_param *named = nn_param_of(s.params, p);
    if (!named) return ag_graph_fail(s.graph, AG_ERR_SHAPE, "gradient sums: %s is no parameter", ag_name(p));
    return nn_tensor(nn_in(s, "optimizer.sum"), named->name, NN_OPTIMIZER, named->layout, ag_rank(p), shape,
                     (nn_init){.rule = NN_ZERO});
}

void opt_accumulate(nn_scope s, int n, ag_tensor *const *params, ag_tensor *const *grads, int k, ag_tensor **sums)
{
    for (int i = 0; i < n; i++) sums[i] = sum_of(s, params[i]);
    if (k < 1)
        ag_graph_fail(s.graph, AG_ERR_SHAPE, "gradient sums over %d micro-batches; take 1 or more", k);
    else if (!ag_graph_error(s.graph))
        ag_accumulate(n, sums, grads, 1.0 / k);
}

void opt_clear(nn_scope s, int n, ag_tensor *const *sums)
{
    ag_tensor *zero = ag_constant(s.graph, 0, 0, NULL), *one = ag_constant(s.graph, 1, 0, NULL);
    for (int i = 0; i < n; i++) ag_assign_where(sums[i], one, zero);
}
