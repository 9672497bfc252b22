/* GPT over codes: minGPT as the prior of the VQGAN has it. Esser, Rombach, Ommer 2021, arXiv:2012.09841, 3.2. */
#include "nn/networks.h"

/* The first n rows of `pos_emb` [1,slots,width]. */
static ag_tensor *positions(nn_scope s, int64_t n, const nn_gpt_opt *o)
{
    const nn_init zero = {NN_ZERO, 0, 0};
    return ag_slice_axis(nn_tensor(s, "pos_emb", NN_PARAMETER, NN_PLAIN, 3, (int64_t[]){1, o->slots, o->width}, zero),
                         1, 0, n);
}

ag_tensor *nn_gpt(nn_scope s, ag_tensor *codes, const nn_gpt_opt *o)
{
    if (!codes) return NULL;
    if (ag_rank(codes) != 2 || ag_dim(codes, 1) > o->slots)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: codes must be [N,L] with at most %lld slots", s.name,
                             (long long)o->slots);
    nn_transformer_opt stack = o->stack;
    stack.causal = true;
    stack.names = &nn_names_gpt;
    if (stack.deviation <= 0) stack.deviation = 0.02;
    const nn_embedding_opt table = {.K = o->codes, .D = o->width, .deviation = stack.deviation};
    ag_tensor *x = ag_add(nn_embedding(nn_in(s, "tok_emb"), codes, &table), positions(s, ag_dim(codes, 1), o));
    if (s.training) x = ag_dropout(x, o->dropout);
    x = nn_transformer(s, x, &stack);
    return nn_linear(
        nn_in(s, "head"), x,
        &(nn_linear_opt){.out = o->out ? o->out : o->codes, .no_bias = true, .deviation = stack.deviation});
}
