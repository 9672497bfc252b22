/* Multi-scale residual quantization: Tian, Jiang, Yuan, Peng, Wang 2024, arXiv:2404.02905 (VAR), algorithms 1 and 2, and its public code.
 *
 *   f_rest = sg(f), f_hat = 0; for each scale s, p_s rows (the last: all):
 *     u = area(f_rest, p_s)        (none at the last)        k = nearest row of the one codebook, per position
 *     h = bicubic(E[k])            (none at the last)        h = (1 - r) h + r conv3x3_i(h), i = phi index of s
 *     f_hat += h    f_rest -= h
 *   commitment = (1/S) sum_s mean (f - sg(f_hat_s))^2        codebook = (1/S) sum_s mean (sg(f) - f_hat_s)^2
 *
 * h keeps its gradient, f_rest does not: codes and convolutions learn from the codebook term alone. Phi index with n convolutions: the
 * tick nearest to s / (S-1) among n even ones from 1/(2n) to 1 - 1/(2n), for n = 4 from 1/12 to 11/12. Codes: the maps of all
 * scales one after another, [N,L]. Maps of latents that are not square have columns in proportion to their rows. */
#include "codebook.h"

#include <math.h>

static int64_t codes_of_scale(int64_t p, int64_t h, int64_t w, int64_t *columns)
{
    const int64_t c = (2 * p * w + h) / (2 * h); /* p w / h, rounded */
    *columns = c > 0 ? c : 1;
    return p * *columns;
}

static ag_err check(const nn_quantizer_opt *o)
{
    if (o->n_scales < 1 || o->n_scales > NN_MOST_SCALARS)
        return ag_fail(AG_ERR_USAGE, "quantizer=multiscale: %d scales; give 1 to %d, for example scales=1,2,4,8",
                       o->n_scales, NN_MOST_SCALARS);
    for (int i = 0; i < o->n_scales; i++)
        if (o->scales[i] < 1 || (i && o->scales[i] <= o->scales[i - 1]))
            return ag_fail(AG_ERR_USAGE, "scales: %lld after %lld; each must have more rows than the one before",
                           (long long)o->scales[i], (long long)(i ? o->scales[i - 1] : 0));
    if (o->phi < 0 || o->phi > NN_MOST_SCALARS)
        return ag_fail(AG_ERR_USAGE, "phi=%d convolutions; 0 to %d fit", o->phi, NN_MOST_SCALARS);
    if (o->rule != NN_CODEBOOK_GRADIENT)
        return ag_fail(AG_ERR_USAGE,
                       "quantizer=multiscale learns its codes through the resizes: set codebook=gradient");
    if (o->cosine) return ag_fail(AG_ERR_USAGE, "cosine=true: scales add up codes of any length; use quantizer=vq");
    return nn__codebook_check(o);
}

/* Computed as the public code does, so that ties go the same way. */
static int phi_index(int scale, int scales, int n)
{
    int best = 0;
    double least = INFINITY;
    const double at = scales > 1 ? (double)scale / (scales - 1) : 0, part = n == 4 ? 3 : 2;
    const double first = 1 / part / n, step = n > 1 ? (1 - 1 / part / n - first) / (n - 1) : 0;
    for (int i = 0; i < n; i++) {
        const double apart = fabs(i * step + first - at);
        if (apart < least) least = apart, best = i;
    }
    return best;
}

static ag_tensor *blend(nn_scope s, ag_tensor *h, const nn_quantizer_opt *o, int scale)
{
    if (!o->phi) return h;
    const nn_conv2d_opt conv = {.out = ag_dim(h, -1), .kernel = 3, .pad = 1};
    ag_tensor *y = nn_conv2d(nn_at(s, "phi", phi_index(scale, o->n_scales, o->phi)), h, &conv);
    return ag_add(ag_scale(h, 1 - o->phi_ratio), ag_scale(y, o->phi_ratio));
}

/* What the codes [N,ph,pw] of a scale add to f_hat [N,h,w,D]. */
static ag_tensor *contribution(nn_scope s, const nn__codebook *book, ag_tensor *codes, int scale, int64_t h, int64_t w)
{
    ag_tensor *rows = nn__codebook_take(book, codes);
    if (scale < book->o->n_scales - 1) rows = ag_resize(rows, h, w, AG_BICUBIC);
    return blend(s, rows, book->o, scale);
}

static bool fits(nn_scope s, ag_tensor *f, const nn_quantizer_opt *o)
{
    if (ag_rank(f) == 4 && ag_dim(f, 1) == o->scales[o->n_scales - 1]) return true;
    ag_graph_fail(s.graph, AG_ERR_USAGE,
                  "scales: the last has %lld rows, the latents have %lld; end the list with %lld",
                  (long long)o->scales[o->n_scales - 1], (long long)ag_dim(f, 1), (long long)ag_dim(f, 1));
    return false;
}

typedef struct scales {
    ag_tensor *codes[NN_MOST_SCALARS], *counts[NN_MOST_SCALARS];
    ag_tensor *commitment, *codebook, *sum;
} scales;

static ag_tensor *plus(ag_tensor *a, ag_tensor *b) { return a ? ag_add(a, b) : b; }

/* Scale i: its codes, and f_hat with it; returns what is left. */
static ag_tensor *one_scale(nn_scope s, const nn__codebook *book, ag_tensor *rest, int i, nn_quantized *q, scales *all)
{
    const int64_t N = ag_dim(rest, 0), h = ag_dim(rest, 1), w = ag_dim(rest, 2), p = book->o->scales[i];
    int64_t columns;
    q->segments[i] = codes_of_scale(p, h, w, &columns);
    q->map_rows[i] = p;
    ag_tensor *u = i < book->o->n_scales - 1 ? ag_resize(rest, p, columns, AG_AREA) : rest;
    ag_tensor *codes = nn__codebook_find(book, u);
    all->codes[i] = ag_reshape(codes, 2, (int64_t[]){N, q->segments[i]});
    all->counts[i] = ag_reshape(ag_count(codes, book->K), 2, (int64_t[]){1, book->K});
    ag_tensor *more = contribution(s, book, codes, i, h, w);
    all->sum = plus(all->sum, more);
    return ag_sub(rest, ag_stop_gradient(more));
}

static nn_quantized quantize(nn_scope s, ag_tensor *f, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)step;
    const int n = o->n_scales;
    nn_quantized q = {.rows = f, .books = n};
    scales all = {0};
    if (!fits(s, f, o)) return q;
    nn__codebook book = nn__codebook_open(s, o, ag_dim(f, -1));
    ag_tensor *fixed = ag_stop_gradient(f), *rest = fixed;
    for (int i = 0; i < n; i++) {
        rest = one_scale(s, &book, rest, i, &q, &all);
        all.commitment = plus(all.commitment, ag_mse(f, ag_stop_gradient(all.sum)));
        all.codebook = plus(all.codebook, ag_mse(fixed, all.sum));
    }
    q.codes = ag_concat(n, all.codes, 1);
    q.counts = ag_concat(n, all.counts, 0);
    q.latents = nn__pass_through(f, all.sum, o->rotation && s.training);
    nn__add_codebook_terms(&q, o, ag_scale(all.commitment, 1.0 / n), ag_scale(all.codebook, 1.0 / n));
    nn__codebook_update(&book, fixed, NULL, ag_sum_to(q.counts, 1, (int64_t[]){o->K}), NULL);
    nn__codebook_close(&book);
    nn__add_counter(&q, "restarts", book.restarts, true);
    return q;
}

/* Columns of the latents, from the number of codes of an image; 0 if no number fits. */
static int64_t columns_of(const nn_quantizer_opt *o, int64_t length)
{
    const int64_t h = o->scales[o->n_scales - 1];
    for (int64_t w = 1, sum = 0; sum < length; w++) {
        int64_t columns;
        sum = 0;
        for (int i = 0; i < o->n_scales; i++) sum += codes_of_scale(o->scales[i], h, w, &columns);
        if (sum == length) return w;
    }
    return 0;
}

static ag_tensor *lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o)
{
    const int64_t N = ag_dim(codes, 0), h = o->scales[o->n_scales - 1], w = columns_of(o, ag_dim(codes, -1));
    const nn__codebook book = nn__codebook_open(s, o, nn__quantizer_inner(o));
    ag_tensor *sum = NULL;
    int64_t from = 0, columns;
    if (ag_rank(codes) != 2 || !w)
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%lld codes an image are not those of these scales",
                             (long long)ag_dim(codes, -1));
    for (int i = 0; i < o->n_scales; i++) {
        const int64_t n = codes_of_scale(o->scales[i], h, w, &columns);
        ag_tensor *map = ag_reshape(ag_slice_axis(codes, 1, from, n), 3, (int64_t[]){N, o->scales[i], columns});
        sum = plus(sum, contribution(s, &book, map, i, h, w));
        from += n;
    }
    return sum;
}

static int64_t code_length(const nn_quantizer_opt *o, int64_t h, int64_t w)
{
    int64_t sum = 0, columns;
    for (int i = 0; i < o->n_scales; i++) sum += codes_of_scale(o->scales[i], h, w, &columns);
    return sum;
}

const nn__quantizer nn__quantizer_multiscale = {
    .quantize = quantize, .lookup = lookup, .check = check, .start = nn__codebook_start, .code_length = code_length};
