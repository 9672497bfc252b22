/* Continuous latents with a normal distribution at each position: Kingma, Welling 2014, arXiv:1312.6114; clamp and reductions as in
 * latent diffusion (Rombach and others 2022, arXiv:2112.10752).
 *
 *   z = (mean, logvar), logvar cut to -30 .. 20     training: latents = mean + exp(logvar / 2) noise, else: the mean
 *   kl = (mean^2 + exp(logvar) - 1 - logvar) / 2, mean over all latents; kl_sum: sum over an image's, mean over images */
#include "codebook.h"

static int64_t codes(const nn_quantizer_opt *o)
{
    (void)o;
    return 0;
}

static int64_t channels(const nn_quantizer_opt *o) { return 2 * nn__quantizer_inner(o); }

static ag_tensor *divergence(ag_tensor *mean, ag_tensor *logvar, bool sum)
{
    ag_tensor *each = ag_sub(ag_shift(ag_add(ag_square(mean), ag_exp(logvar)), -1), logvar);
    return ag_scale(ag_sum(each), 0.5 / (double)(sum ? ag_dim(mean, 0) : ag_numel(mean)));
}

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    nn_quantized q = {0};
    const int rank = ag_rank(z);
    int64_t shape[AG_MAX_RANK];
    ag_tensor *parts[2] = {NULL, NULL};
    ag_split(z, -1, 2, NULL, parts);
    ag_tensor *mean = parts[0], *logvar = ag_clamp(parts[1], -30, 20);
    for (int i = 0; i < rank; i++) shape[i] = ag_dim(mean, i);
    q.latents = mean;
    if (s.training) {
        ag_tensor *noise = ag_normal(s.graph, rank, shape, 0, 1);
        q.latents = ag_add(mean, ag_mul(ag_exp(ag_scale(logvar, 0.5)), noise));
    }
    nn__add_term(&q, "kl", divergence(mean, logvar, o->kl_sum), o->kl);
    nn__schedule_kl(&q, o, step);
    nn__add_counter(&q, "deviation", ag_mean(ag_exp(ag_scale(logvar, 0.5))), false);
    return q;
}

const nn__quantizer nn__quantizer_gaussian = {.quantize = quantize, .channels = channels, .codes = codes};
