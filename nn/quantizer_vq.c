/* Vector quantization: van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, section 3.
 *
 *   k_n = argmin_j |z_n - e_j|^2        q_n = e_{k_n}        latents = z + sg(q - z)
 *   commitment = mean (z - sg(q))^2     codebook = mean (sg(z) - q)^2, means over rows and dimensions
 *
 * The codebook learns by moving averages (codebook.c), or by the gradient of the codebook term. */
#include "codebook.h"

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)step;
    nn_quantized q = {.rows = z};
    nn__codebook book = nn__codebook_open(s, o, ag_dim(z, -1));
    ag_tensor *fixed = ag_stop_gradient(z);
    q.codes = nn__codebook_find(&book, fixed);
    q.counts = ag_count(q.codes, o->K);
    ag_tensor *found = nn__codebook_take(&book, q.codes);
    q.latents = ag_straight_through(z, found);
    nn__add_term(&q, "commitment", ag_mse(z, ag_stop_gradient(found)), o->beta);
    if (o->rule == NN_CODEBOOK_GRADIENT) nn__add_term(&q, "codebook", ag_mse(fixed, found), 1);
    nn__codebook_update(&book, fixed, q.codes, q.counts);
    nn__codebook_close(&book);
    nn__add_counter(&q, "restarts", book.restarts, true);
    return q;
}

static ag_tensor *lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o)
{
    const nn__codebook book = nn__codebook_open(s, o, nn__quantizer_inner(o));
    return nn__codebook_take(&book, codes);
}

const nn__quantizer nn__quantizer_vq = {.quantize = quantize, .lookup = lookup, .start = nn__codebook_start};
