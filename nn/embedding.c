/* Embeddings. */
#include "nn/nn.h"

ag_tensor *nn_embedding(nn_scope s, ag_tensor *codes, const nn_embedding_opt *o)
{
    if (!codes) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const nn_init start = {NN_NORMAL, 0, o->deviation > 0 ? o->deviation : 1};
    ag_tensor *table = nn_tensor(s, "weight", NN_PARAMETER, NN_PLAIN, 2, (int64_t[]){o->K, o->D}, start);
    ag_tensor *y = ag_gather(table, codes);
    ag_graph_scope(s.graph, outer);
    return y;
}
