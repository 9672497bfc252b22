/* Sums over the micro-batches of one update. */
#include "nn/update.h"

ag_tensor *nn_update_sum(nn_scope s, const char *name, ag_tensor *x)
{
    int64_t shape[AG_MAX_RANK];
    if (!x || !s.training || nn_micro_batches_of(s.params) == 1) return x;
    for (int i = 0; i < ag_rank(x); i++) shape[i] = ag_dim(x, i);
    nn_scope root = s;
    root.name = "";
    ag_tensor *sum = nn_tensor(nn_in(nn_in(root, "optimizer.sum"), s.name), name, NN_OPTIMIZER, NN_PLAIN, ag_rank(x),
                               shape, (nn_init){.rule = NN_ZERO});
    ag_tensor *total = ag_add(sum, x), *zero = ag_constant(s.graph, 0, 0, NULL),
              *one = ag_constant(s.graph, 1, 0, NULL);
    ag_assign(sum, total);
    ag_graph_effect_group(s.graph, NN_EACH_UPDATE);
    ag_assign_where(sum, one, zero);
    ag_graph_effect_group(s.graph, NN_EACH_RUN);
    return total;
}
