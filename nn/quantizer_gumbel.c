/* Gumbel-softmax: Jang, Gu, Poole 2017, arXiv:1611.01144; Maddison, Mnih, Teh 2017, arXiv:1611.00712; as a tokenizer: Ramesh and others
 * 2021, arXiv:2102.12092 (dVAE).
 *
 *   z: logits l [...,K]      y = softmax((l + g) / tau), g = -ln(-ln U)      latents = y E
 *   hard: the one-hot vector of the largest y, with the gradient of y        evaluation: the row of the largest logit, no noise
 *   kl = mean over positions of sum_j p_j ln(p_j K + 1e-10), p = softmax(l) without noise or temperature
 *
 * no_table: latents = y, in evaluation the one-hot vector; the decoder's first layer is the table, as in the dVAE.
 *
 * The codes are those of the largest logits in training too. Temperature and weight of kl are closed forms of the step. */
#include "codebook.h"

static int64_t inner(const nn_quantizer_opt *o) { return o->no_table ? o->K : o->code_dim ? o->code_dim : o->D; }

static int64_t channels(const nn_quantizer_opt *o) { return o->K; }

static ag_err check(const nn_quantizer_opt *o)
{
    if (o->K < 2) return ag_fail(AG_ERR_USAGE, "quantizer=gumbel: codes=%lld; give 2 or more", (long long)o->K);
    if (o->tau < 0 || o->tau_end < 0) return ag_fail(AG_ERR_USAGE, "quantizer=gumbel: a temperature below 0");
    if (o->no_table && o->code_dim)
        return ag_fail(AG_ERR_USAGE,
                       "quantizer=gumbel: without a table its latents are the %lld shares of the codes; "
                       "leave code_dim=%lld out",
                       (long long)o->K, (long long)o->code_dim);
    return AG_OK;
}

static ag_tensor *table(nn_scope s, const nn_quantizer_opt *o)
{
    nn_init init = {NN_NORMAL, 0, 1};
    if (o->start == NN_START_UNIFORM) init = (nn_init){NN_UNIFORM, -1.0 / (double)o->K, 1.0 / (double)o->K};
    return nn_tensor(s, "embedding", NN_PARAMETER, NN_PLAIN, 2, (int64_t[]){o->K, nn__quantizer_inner(o)}, init);
}

static ag_tensor *temperature(nn_scope s, const nn_quantizer_opt *o, ag_tensor *step)
{
    const double from = o->tau > 0 ? o->tau : 1, to = o->tau_end > 0 ? o->tau_end : from;
    if (!step || o->tau_curve == NN_CURVE_CONSTANT || o->tau_steps < 1) return ag_constant(s.graph, from, 0, NULL);
    return nn_schedule(step, o->tau_curve, from, to, o->tau_steps);
}

static ag_tensor *relaxed(nn_scope s, ag_tensor *logits, const nn_quantizer_opt *o, ag_tensor *tau)
{
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(logits); i++) shape[i] = ag_dim(logits, i);
    ag_tensor *y = ag_softmax(ag_div(ag_add(logits, ag_gumbel(s.graph, ag_rank(logits), shape)), tau));
    return o->hard ? ag_straight_through(y, ag_one_hot(ag_argmax(y), o->K)) : y;
}

static ag_tensor *divergence(ag_tensor *logits, int64_t K)
{
    ag_tensor *p = ag_softmax(logits);
    ag_tensor *each = ag_mul(p, ag_log(ag_shift(ag_scale(p, (double)K), 1e-10)));
    return ag_scale(ag_sum(each), (double)K / (double)ag_numel(logits));
}

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    nn_quantized q = {0};
    ag_tensor *e = o->no_table ? NULL : table(s, o);
    q.codes = ag_argmax(z);
    q.counts = ag_count(q.codes, o->K);
    if (s.training) {
        ag_tensor *tau = temperature(s, o, step);
        q.latents = relaxed(s, z, o, tau);
        if (e) q.latents = ag_matmul(q.latents, e, false, false);
        nn__add_counter(&q, "temperature", tau, false);
    } else {
        q.latents = e ? ag_gather(e, q.codes) : ag_one_hot(q.codes, o->K);
    }
    nn__add_term(&q, "kl", divergence(z, o->K), o->kl);
    nn__schedule_kl(&q, o, step);
    return q;
}

static ag_tensor *lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o)
{
    return o->no_table ? ag_one_hot(codes, o->K) : ag_gather(table(s, o), codes);
}

const nn__quantizer nn__quantizer_gumbel = {
    .quantize = quantize, .lookup = lookup, .check = check, .inner = inner, .channels = channels};
