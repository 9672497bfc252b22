/* Terms and gradient paths of vector quantization that work against collapse. */
#include "codebook.h"

static ag_tensor *row_sums(ag_tensor *x) { return ag_sum_to(x, 2, (int64_t[]){ag_dim(x, 0), 1}); }

ag_tensor *nn__distances(ag_tensor *z, ag_tensor *codes)
{
    ag_tensor *squares = ag_reshape(row_sums(ag_square(codes)), 2, (int64_t[]){1, ag_dim(codes, 0)});
    return ag_sub(squares, ag_scale(ag_matmul(z, codes, false, true), 2));
}

/* Chang and others 2022, arXiv:2202.04200 (MaskGIT's tokenizer): p_n = softmax(-|z_n - e|^2 / T), the logarithm of the mean with 1e-5
 * more. The table of N x K probabilities is kept for the gradient. */
void nn__code_entropies(ag_tensor *z, ag_tensor *codes, double T, ag_tensor **sample, ag_tensor **batch)
{
    const int64_t D = ag_dim(codes, 1), N = ag_numel(z) / D, K = ag_dim(codes, 0);
    ag_tensor *logits = ag_scale(nn__distances(ag_reshape(z, 2, (int64_t[]){N, D}), codes), -1 / T);
    ag_tensor *p = ag_softmax(logits), *mean = ag_scale(ag_sum_to(p, 2, (int64_t[]){1, K}), 1 / (double)N);
    *sample = ag_scale(ag_sum(ag_mul(p, ag_log_softmax(logits))), -1 / (double)N);
    *batch = ag_neg(ag_sum(ag_mul(mean, ag_log(ag_shift(mean, 1e-5)))));
}

/* Shin and others, as in the public library of quantizers; codes of length 1. */
ag_tensor *nn__orthogonality(ag_tensor *rows, int64_t n)
{
    const int64_t K = ag_dim(rows, 0);
    if (n > 0 && n < K)
        rows = ag_gather(rows, ag_random_rows(ag_graph_of(rows), n, K));
    else
        n = K;
    ag_tensor *v = ag_l2_normalize(rows, 1e-12), *cosines = ag_matmul(v, v, false, true);
    return ag_shift(ag_scale(ag_sum(ag_square(cosines)), 1 / (double)(n * n)), -1 / (double)n);
}

/* Fifty and others 2024, arXiv:2410.06424. u = e/|e|, v = q/|q|, w = (u+v)/|u+v|, R = I - 2 w w^T + 2 v u^T, s = |q|/|e|: the output is
 * s R e, which is q, with R and s constant, so d e = s R^T dy. */
static ag_tensor *rotated(ag_tensor *z, ag_tensor *q)
{
    const int64_t D = ag_dim(z, -1), N = ag_numel(z) / D;
    ag_tensor *rows = ag_reshape(z, 2, (int64_t[]){N, D}), *e = ag_stop_gradient(rows);
    ag_tensor *target = ag_stop_gradient(ag_reshape(q, 2, (int64_t[]){N, D}));
    ag_tensor *u = ag_l2_normalize(e, 1e-6), *v = ag_l2_normalize(target, 1e-6);
    ag_tensor *w = ag_l2_normalize(ag_add(u, v), 1e-6);
    ag_tensor *s = ag_sqrt(ag_div(row_sums(ag_square(target)), ag_shift(row_sums(ag_square(e)), 1e-12)));
    ag_tensor *turned = ag_sub(rows, ag_scale(ag_mul(w, row_sums(ag_mul(w, rows))), 2));
    turned = ag_add(turned, ag_scale(ag_mul(v, row_sums(ag_mul(u, rows))), 2));
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(z); i++) shape[i] = ag_dim(z, i);
    return ag_reshape(ag_mul(turned, ag_stop_gradient(s)), ag_rank(z), shape);
}

ag_tensor *nn__pass_through(ag_tensor *z, ag_tensor *q, bool rotation)
{
    return ag_straight_through(rotation ? rotated(z, q) : z, q);
}

/* Sinkhorn, Knopp 1967, on logarithms; as an assignment of equal shares: Asano, Rupprecht, Vedaldi 2020, arXiv:1911.05371. */
ag_tensor *nn__balanced_codes(ag_tensor *logits, int iterations)
{
    const int64_t N = ag_dim(logits, 0), K = ag_dim(logits, 1);
    for (int i = 0; i < iterations; i++) {
        ag_tensor *columns = ag_logsumexp(ag_transpose(logits, 0, 1));
        logits = ag_sub(logits, ag_reshape(columns, 2, (int64_t[]){1, K}));
        logits = ag_sub(logits, ag_reshape(ag_logsumexp(logits), 2, (int64_t[]){N, 1}));
    }
    return ag_argmax(logits);
}
