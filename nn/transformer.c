/* The pre-norm transformer: x += attention(norm1(x)); x += down(activation(up(norm2(x)))); a norm behind the last block.
 * Vaswani et al. 2017, arXiv:1706.03762; order of the norms: Radford et al. 2019. Stochastic depth: Huang et al. 2016,
 * arXiv:1603.09382. The sums are fused with the layers before them where no dropout comes between. */
#include <math.h>

#include "nn/networks.h"

const nn_transformer_names nn_names_gpt = {
    "blocks", "ln1", {"attn.query", "attn.key", "attn.value", NULL, "attn.proj"}, "ln2", "mlp.0", "mlp.2", "ln_f"};
const nn_transformer_names nn_names_vit = {
    "blocks", "norm1", {.qkv = "attn.qkv", .proj = "attn.proj"}, "norm2", "mlp.fc1", "mlp.fc2", "norm"};
const nn_transformer_names nn_names_vitvq = {
    "layers", "0.norm", {.qkv = "0.fn.to_qkv", .proj = "0.fn.to_out"}, "1.norm", "1.fn.net.0", "1.fn.net.2", "norm"};

static ag_tensor *activate(ag_tensor *x, nn_mlp_activation how)
{
    switch (how) {
    case NN_MLP_GELU: return ag_gelu(x);
    case NN_MLP_GELU_TANH: return ag_gelu_tanh(x);
    case NN_MLP_QUICK_GELU: return ag_quick_gelu(x);
    case NN_MLP_TANH: return ag_tanh(x);
    case NN_MLP_RELU: break; /* fused */
    }
    return x;
}

/* What a block's two branches share. */
typedef struct branch {
    const nn_transformer_opt *o;
    const nn_transformer_names *names;
    ag_tensor *mask;
    double dropout, drop_path, last_deviation;
} branch;

static bool fused(const branch *b) { return b->dropout <= 0 && b->drop_path <= 0; }

/* x + what the branch adds; y has the sum already where it could be fused. */
static ag_tensor *add(ag_tensor *x, ag_tensor *y, const branch *b)
{
    return fused(b) ? y : ag_add(x, ag_drop_path(ag_dropout(y, b->dropout), b->drop_path));
}

static ag_tensor *attend(nn_scope s, ag_tensor *x, const branch *b)
{
    const nn_transformer_opt *o = b->o;
    ag_tensor *h = nn_layer_norm(nn_in(s, b->names->norm1), x, &(nn_norm_opt){.epsilon = o->epsilon});
    const nn_attention_opt a = {.heads = o->heads,
                                .width = o->width,
                                .names = b->names->attention,
                                .mask = b->mask,
                                .rotary = o->rotary,
                                .residual = fused(b) ? x : NULL,
                                .weights = o->weights,
                                .deviation = o->deviation,
                                .proj_deviation = b->last_deviation,
                                .no_bias = o->no_bias,
                                .no_qkv_bias = o->no_qkv_bias,
                                .no_key_bias = o->no_key_bias};
    return add(x, nn_attention(s, h, &a), b);
}

static ag_tensor *mlp(nn_scope s, ag_tensor *x, const branch *b)
{
    const nn_transformer_opt *o = b->o;
    const int64_t c = ag_dim(x, -1);
    const nn_linear_opt up = {.out = o->hidden ? o->hidden : 4 * c,
                              .no_bias = o->no_bias,
                              .weights = o->weights,
                              .deviation = o->deviation,
                              .activation = o->activation == NN_MLP_RELU ? AG_RELU : AG_LINEAR};
    const nn_linear_opt down = {.out = c,
                                .no_bias = o->no_bias,
                                .weights = o->weights,
                                .deviation = b->last_deviation,
                                .residual = fused(b) ? x : NULL};
    ag_tensor *h = nn_layer_norm(nn_in(s, b->names->norm2), x, &(nn_norm_opt){.epsilon = o->epsilon});
    h = activate(nn_linear(nn_in(s, b->names->up), h, &up), o->activation);
    return add(x, nn_linear(nn_in(s, b->names->down), h, &down), b);
}

ag_tensor *nn_transformer(nn_scope s, ag_tensor *x, const nn_transformer_opt *o)
{
    if (!x) return NULL;
    branch b = {.o = o, .names = o->names ? o->names : &nn_names_vit, .mask = o->mask};
    b.last_deviation = o->scaled_branches ? o->deviation / sqrt(2.0 * o->blocks) : o->deviation;
    if (o->causal && !o->mask)
        b.mask = ag_attention_mask(s.graph, &(ag_mask_options){.kind = AG_MASK_CAUSAL, .length = ag_dim(x, 1)});
    if (s.training) b.dropout = o->dropout;
    for (int i = 0; i < o->blocks; i++) {
        const nn_scope block = nn_at(s, b.names->block, i);
        b.drop_path = s.training && o->blocks > 1 ? o->drop_path * i / (o->blocks - 1) : 0;
        ag_block_begin(s.graph);
        x = mlp(block, attend(block, x, &b), &b);
        ag_block_end(s.graph);
    }
    if (o->no_final_norm) return x;
    return nn_layer_norm(nn_in(s, b.names->norm), x, &(nn_norm_opt){.epsilon = o->epsilon});
}
