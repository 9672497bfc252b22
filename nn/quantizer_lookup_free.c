/* Lookup-free quantization: Yu and others 2023, arXiv:2310.05737; spherical: Zhao, Xiong, Krahenbuhl 2024, arXiv:2406.07548 (BSQ).
 *
 *   q_i = 1 if z_i > 0, else -1, straight-through      code = sum_i 2^i [z_i > 0]: least significant bit first
 *   commitment = mean (z - sg(q))^2
 *   entropy = S - gamma A,  p_n = softmax over all codes c of 2 z_n . c / T:  S = mean_n H(p_n),  A = H(mean_n p_n)
 *
 * p_n is a product over bits, p_n(c) = prod_i sigmoid(4 z_i c_i / (2 T)) with c_i = +-1. So S is a sum over bits, exactly, and the mean
 * over n of all 2^D probabilities is one matrix product of two halves of the bits, P^T Q / N with P [N,2^(D/2)]: the N x 2^D table of
 * 18 bits never exists. The logarithm of the mean takes 1e-5 more, as in the public code. With entropy_groups > 1 the bits are
 * cut into groups whose entropies are added: an upper bound of A. */
#include "codebook.h"

#include <math.h>

static int bits(const nn_quantizer_opt *o)
{
    if (!o->K) return (int)(o->code_dim ? o->code_dim : o->D);
    int n = 0;
    while (n < 31 && (int64_t)1 << n < o->K) n++;
    return n;
}

static int64_t inner(const nn_quantizer_opt *o) { return bits(o); }
static int64_t codes(const nn_quantizer_opt *o) { return (int64_t)1 << bits(o); }

static ag_err check(const nn_quantizer_opt *o)
{
    const int n = bits(o);
    if (n < 1 || n > 30)
        return ag_fail(AG_ERR_USAGE, "quantizer=lookup_free: %d bits; codes = 2^bits from 2 to 2^30 fit", n);
    if (o->K && o->K != codes(o))
        return ag_fail(AG_ERR_USAGE, "quantizer=lookup_free: codes=%lld is no power of two; %lld = 2^%d is",
                       (long long)o->K, (long long)codes(o), n);
    if (o->code_dim && o->code_dim != n)
        return ag_fail(AG_ERR_USAGE, "code_dim=%lld, but %lld codes are 2^%d: a bit a dimension; leave code_dim=0",
                       (long long)o->code_dim, (long long)codes(o), n);
    if (o->entropy_groups > n)
        return ag_fail(AG_ERR_USAGE, "entropy_groups=%d of %d bits; at most a group a bit", o->entropy_groups, n);
    return AG_OK;
}

/* What a bit of 1 stands for. */
static double scale(const nn_quantizer_opt *o) { return o->spherical ? 1 / sqrt((double)bits(o)) : 1; }

/* log-odds [N] of bit i -> its probabilities of 0 and 1. */
static ag_tensor *bit_of(ag_tensor *odds, int i) { return ag_slice_axis(odds, -1, i, 1); }

/* Probabilities of all codes of bits from .. from + n - 1: odds [N,D] -> [N,2^n]. */
static ag_tensor *products(ag_tensor *odds, int from, int n)
{
    ag_tensor *p = NULL;
    for (int i = from; i < from + n; i++) {
        ag_tensor *one = ag_sigmoid(bit_of(odds, i)), *zero = ag_sigmoid(ag_neg(bit_of(odds, i)));
        p = ag_concat(2, (ag_tensor *[]){p ? ag_mul(p, zero) : zero, p ? ag_mul(p, one) : one}, 1);
    }
    return p;
}

/* H of the mean over rows of the probabilities of all codes of these bits. */
static ag_tensor *batch_entropy(ag_tensor *odds, int from, int n)
{
    const double rows = (double)ag_dim(odds, 0);
    ag_tensor *p;
    if (n == 1)
        p = ag_sum_to(products(odds, from, 1), 2, (int64_t[]){1, 2});
    else
        p = ag_matmul(products(odds, from, n / 2), products(odds, from + n / 2, n - n / 2), true, false);
    p = ag_scale(p, 1 / rows);
    return ag_neg(ag_sum(ag_mul(p, ag_log(ag_shift(p, 1e-5)))));
}

/* mean over rows of the entropy of a row: a sum over bits. */
static ag_tensor *sample_entropy(ag_tensor *odds)
{
    ag_tensor *minus = ag_neg(odds);
    ag_tensor *h =
        ag_add(ag_mul(ag_sigmoid(odds), ag_log_sigmoid(odds)), ag_mul(ag_sigmoid(minus), ag_log_sigmoid(minus)));
    return ag_scale(ag_sum(h), -1 / (double)ag_dim(odds, 0));
}

static void add_entropy(nn_quantized *q, ag_tensor *z, const nn_quantizer_opt *o)
{
    const int n = bits(o), groups = o->entropy_groups ? o->entropy_groups : 1;
    const double T = o->entropy_temperature > 0 ? o->entropy_temperature : 0.01;
    ag_tensor *rows = ag_reshape(z, 2, (int64_t[]){ag_numel(z) / n, n}), *A = NULL;
    ag_tensor *odds = ag_scale(rows, 4 * scale(o) / T), *S = sample_entropy(odds);
    for (int g = 0, from = 0; g < groups; g++) {
        const int width = (n - from) / (groups - g);
        ag_tensor *h = batch_entropy(odds, from, width);
        A = A ? ag_add(A, h) : h;
        from += width;
    }
    nn__add_term(q, "entropy", ag_sub(S, ag_scale(A, o->entropy_gamma)), o->entropy);
    nn__add_counter(q, "entropy_sample", S, false);
    nn__add_counter(q, "entropy_batch", A, false);
}

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)step;
    nn_quantized q = {0};
    int64_t radix[AG_MOST_DIGITS];
    for (int i = 0; i < bits(o); i++) radix[i] = 2;
    if (o->spherical) z = ag_l2_normalize(z, 1e-12);
    ag_tensor *signs = ag_binarize(z), *value = scale(o) == 1 ? signs : ag_scale(signs, scale(o));
    q.latents = ag_straight_through(z, value);
    q.codes = ag_join_digits(ag_shift(ag_scale(signs, 0.5), 0.5), bits(o), radix);
    q.counts = ag_count(q.codes, codes(o));
    nn__add_term(&q, "commitment", ag_mse(z, ag_stop_gradient(value)), o->beta);
    if (s.training && o->entropy > 0) add_entropy(&q, z, o);
    return q;
}

static ag_tensor *lookup(nn_scope s, ag_tensor *code, const nn_quantizer_opt *o)
{
    (void)s;
    int64_t radix[AG_MOST_DIGITS];
    for (int i = 0; i < bits(o); i++) radix[i] = 2;
    ag_tensor *signs = ag_shift(ag_scale(ag_split_digits(code, bits(o), radix), 2), -1);
    return scale(o) == 1 ? signs : ag_scale(signs, scale(o));
}

const nn__quantizer nn__quantizer_lookup_free = {
    .quantize = quantize, .lookup = lookup, .check = check, .inner = inner, .codes = codes};
