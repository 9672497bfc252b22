/* Finite scalar quantization: Mentzer, Minnen, Agustsson, Tschannen 2023, arXiv:2309.15505.
 *
 *   half = (L-1)(1+eps)/2, eps = 1e-3   off = 1/2 if L is even, else 0   shift = atanh(off / half)
 *   b = tanh(z + shift) half - off      r = round(b), straight-through   value = r / floor(L/2), in -1 .. 1
 *   code = sum_i (r_i + floor(L_i/2)) prod_{j<i} L_j: the first dimension counts least
 *
 * This is the authors' later form (notebook); the listing of the paper has (1-eps) and tan. No codebook, no loss. Halves are rounded to
 * the even number. */
#include "codebook.h"

#include <math.h>

static int64_t inner(const nn_quantizer_opt *o) { return o->n_levels; }

static int64_t codes(const nn_quantizer_opt *o)
{
    int64_t product = 1;
    for (int i = 0; i < o->n_levels; i++)
        if (__builtin_mul_overflow(product, o->levels[i], &product)) return INT64_MAX;
    return product;
}

static ag_err check(const nn_quantizer_opt *o)
{
    char product[NN_MOST_SCALARS * 24];
    size_t used = 0;
    if (o->n_levels < 1 || o->n_levels > NN_MOST_SCALARS)
        return ag_fail(AG_ERR_USAGE, "quantizer=finite_scalar: %d levels; give 1 to %d, for example levels=8,5,5,5",
                       o->n_levels, NN_MOST_SCALARS);
    for (int i = 0; i < o->n_levels; i++) {
        if (o->levels[i] < 2)
            return ag_fail(AG_ERR_USAGE, "levels: a dimension of %lld levels holds nothing; give 2 or more",
                           (long long)o->levels[i]);
        used +=
            (size_t)snprintf(product + used, sizeof product - used, "%s%lld", i ? " * " : "", (long long)o->levels[i]);
    }
    if (codes(o) > INT32_MAX) return ag_fail(AG_ERR_USAGE, "levels: %s codes are more than 2^31", product);
    if (o->K && o->K != codes(o))
        return ag_fail(AG_ERR_USAGE, "levels: %s = %lld codes, but codes=%lld; set codes=%lld (or 0), or other levels",
                       product, (long long)codes(o), (long long)o->K, (long long)codes(o));
    if (o->code_dim && o->code_dim != o->n_levels)
        return ag_fail(AG_ERR_USAGE, "code_dim=%lld, but there are %d levels, one a dimension; leave code_dim=0",
                       (long long)o->code_dim, o->n_levels);
    return AG_OK;
}

static double half_width(int64_t levels) { return (double)(levels - 1) * (1 + 1e-3) / 2; }

static ag_tensor *bounded(ag_tensor *z, int64_t levels)
{
    const double half = half_width(levels), off = levels % 2 ? 0 : 0.5;
    return ag_shift(ag_scale(ag_tanh(ag_shift(z, atanh(off / half))), half), -off);
}

static ag_tensor *rounded(ag_tensor *z, int64_t levels) { return ag_round_through(bounded(z, levels)); }
static ag_tensor *value(ag_tensor *r, int64_t levels) { return ag_scale(r, 1 / (double)(levels / 2)); }
static ag_tensor *digit(ag_tensor *r, int64_t levels) { return ag_shift(r, (double)(levels / 2)); }
static ag_tensor *undigit(ag_tensor *d, int64_t levels) { return ag_shift(d, -(double)(levels / 2)); }

/* x [...,n] with f(x_i, L_i) on every dimension; neighbours of equal levels go together. */
static ag_tensor *each(ag_tensor *x, const nn_quantizer_opt *o, ag_tensor *(*f)(ag_tensor *, int64_t))
{
    ag_tensor *parts[NN_MOST_SCALARS];
    int n = 0;
    for (int i = 0, next; i < o->n_levels; i = next) {
        for (next = i + 1; next < o->n_levels && o->levels[next] == o->levels[i];) next++;
        if (next - i == o->n_levels) return f(x, o->levels[i]);
        parts[n++] = f(ag_slice_axis(x, -1, i, next - i), o->levels[i]);
    }
    return ag_concat(n, parts, -1);
}

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)s, (void)step;
    nn_quantized q = {0};
    ag_tensor *r = each(z, o, rounded);
    q.latents = each(r, o, value);
    q.codes = ag_join_digits(each(r, o, digit), o->n_levels, o->levels);
    q.counts = ag_count(q.codes, codes(o));
    return q;
}

static ag_tensor *lookup(nn_scope s, ag_tensor *code, const nn_quantizer_opt *o)
{
    (void)s;
    return each(each(ag_split_digits(code, o->n_levels, o->levels), o, undigit), o, value);
}

const nn__quantizer nn__quantizer_finite_scalar = {
    .quantize = quantize, .lookup = lookup, .check = check, .inner = inner, .codes = codes};
