/* Attention and rotary embeddings: odd sizes, every kind of mask, bias. */
#include "gradcheck.h"

GRADCHECK_NAMED(attention, plain, .first = true)
{
    return ag_attention(INPUT(2, 3, 2, 5), INPUT(2, 7, 2, 5), INPUT(2, 7, 2, 5), NULL);
}
GRADCHECK_NAMED(attention, flat, .first = true)
{
    return ag_attention(INPUT(1, 5, 6), INPUT(1, 5, 6), INPUT(1, 5, 6),
                        &(ag_attention_options){.heads = 2, .scale = 1.5});
}
GRADCHECK_NAMED(attention, bias, .first = true)
{
    ag_tensor *q = INPUT(2, 3, 2, 3), *k = INPUT(2, 4, 2, 3), *v = INPUT(2, 4, 2, 3);
    return ag_attention(q, k, v, &(ag_attention_options){.bias = INPUT(2, 3, 4)});
}
GRADCHECK_NAMED(attention, causal_bias, .first = true)
{
    ag_tensor *q = INPUT(2, 5, 1, 3), *k = INPUT(2, 5, 1, 3), *v = INPUT(2, 5, 1, 3), *b = INPUT(1, 5, 5);
    ag_tensor *m = ag_attention_mask(c->g, &(ag_mask_options){.kind = AG_MASK_CAUSAL, .length = 5, .prefix = 2});
    return ag_attention(q, k, v, &(ag_attention_options){.mask = m, .bias = b});
}
GRADCHECK_NAMED(attention, strict, .first = true)
{
    ag_tensor *q = INPUT(1, 5, 2, 3), *k = INPUT(1, 5, 2, 3), *v = INPUT(1, 5, 2, 3);
    ag_tensor *m = ag_attention_mask(c->g, &(ag_mask_options){.kind = AG_MASK_STRICT, .length = 5});
    return ag_attention(q, k, v, &(ag_attention_options){.mask = m});
}
GRADCHECK_NAMED(attention, tiles, .first = true)
{
    const ag_mask_options o = {.kind = AG_MASK_CONVOLUTION, .length = 39, .prefix = 3, .width = 6, .kernel = 3};
    ag_tensor *q = INPUT(1, 39, 1, 2), *k = INPUT(1, 39, 1, 2), *v = INPUT(1, 39, 1, 2);
    return ag_attention(q, k, v, &(ag_attention_options){.mask = ag_attention_mask(c->g, &o)});
}
GRADCHECK_NAMED(rotary, line, .linear = true)
{
    return ag_rotary(INPUT(2, 3, 2, 6), ag_rotary_table(c->g, &(ag_rotary_options){.width = 6, .rows = 3}));
}
GRADCHECK_NAMED(rotary, grid, .linear = true)
{
    const ag_rotary_options o = {.width = 8, .rows = 2, .columns = 2, .lead = 1, .zero_lead = true};
    return ag_rotary(INPUT(1, 5, 2, 8), ag_rotary_table(c->g, &o));
}
