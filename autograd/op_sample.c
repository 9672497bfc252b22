/* top_k        y = x where x is one of the `count` largest of its row (all that equal the last one stay), else -inf
 * top_p        y = x where the probability of all larger ones is less than p (equal ones stay together), else -inf; the largest
 *              always stays. Holtzman et al. 2020, arXiv:1904.09751; boundary as in the residual quantizer's public code
 * min_p        y = x where probability >= p times the largest probability, else -inf
 * categorical  [...,C] -> [...] i32: a place drawn with probability softmax(x), by the inverse of the cumulative sum in double
 * one_hot      codes [...] -> [...,K]: 1 at the code, else 0
 * Probabilities are softmax over the last axis; -inf is probability 0; no gradients. */
#include "engine.h"

#include <math.h>

static int64_t width(const ag_tensor *x) { return x->shape[x->rank - 1]; }

static ag_err check_rows(const ag_tensor *x)
{
    const ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err) return err;
    if (x->rank < 1) return ag_fail(AG_ERR_SHAPE, "a number has no last axis");
    return width(x) > INT32_MAX ? ag_fail(AG_ERR_SHAPE, "more places than an i32 can name") : AG_OK;
}

static ag_err top_k_shape(ag_tensor *y)
{
    const int64_t count = *(const int64_t *)y->attr;
    const ag_err err = check_rows(y->in[0]);
    if (err) return err;
    if (count < 1) return ag_fail(AG_ERR_SHAPE, "the %lld largest; at least one must stay", (long long)count);
    return ag__shape_copy(y, y->in[0]);
}

static void top_k_run(const ag_tensor *y)
{
    const int64_t n = width(y), count = *(const int64_t *)y->attr;
    k.top_k(y->numel / n, n, count < n ? count : n, ag__in(y, 0), y->data);
}

const ag__rule ag__top_k = {.shape = top_k_shape, .run = top_k_run};

ag_tensor *ag_top_k(ag_tensor *x, int64_t count) { return ag__node(AG__OP_top_k, 1, &x, &count, sizeof count); }

static ag_err share_shape(ag_tensor *y)
{
    const double p = *(const double *)y->attr;
    const ag_err err = check_rows(y->in[0]);
    if (err) return err;
    if (!(p >= 0 && p < 1)) return ag_fail(AG_ERR_SHAPE, "probability %g; it must be from 0 to 1", p);
    return ag__shape_copy(y, y->in[0]);
}

static void top_p_run(const ag_tensor *y)
{
    const int64_t n = width(y);
    k.top_p(y->numel / n, n, *(const double *)y->attr, ag__in(y, 0), y->data);
}

const ag__rule ag__top_p = {.shape = share_shape, .run = top_p_run};

ag_tensor *ag_top_p(ag_tensor *x, double p) { return p == 1 ? x : ag__node(AG__OP_top_p, 1, &x, &p, sizeof p); }

static void min_p_run(const ag_tensor *y)
{
    const int64_t n = width(y);
    k.min_p(y->numel / n, n, log(*(const double *)y->attr), ag__in(y, 0), y->data);
}

const ag__rule ag__min_p = {.shape = share_shape, .run = min_p_run};

ag_tensor *ag_min_p(ag_tensor *x, double p) { return p == 0 ? x : ag__node(AG__OP_min_p, 1, &x, &p, sizeof p); }

static ag_err categorical_shape(ag_tensor *y)
{
    const ag_err err = check_rows(y->in[0]);
    y->dtype = AG_I32;
    return err ? err : ag__shape_set(y, y->in[0]->rank - 1, y->in[0]->shape);
}

static void categorical_run(const ag_tensor *y)
{
    k.categorical(y->numel, width(y->in[0]), y->graph->seed, ag__stream(y), ag__in(y, 0), y->data);
}

static double categorical_flops(const ag_tensor *y) { return 15 * (double)y->in[0]->numel; }

const ag__rule ag__categorical = {.shape = categorical_shape, .run = categorical_run, .flops = categorical_flops};

ag_tensor *ag_categorical(ag_tensor *x) { return ag__node(AG__OP_categorical, 1, &x, NULL, 0); }

static ag_err one_hot_shape(ag_tensor *y)
{
    const ag_tensor *codes = y->in[0];
    const int64_t K = *(const int64_t *)y->attr;
    const ag_err err = ag__check_type(codes, AG_I32, "the codes");
    if (err) return err;
    if (codes->rank >= AG_MAX_RANK) return ag_fail(AG_ERR_SHAPE, "codes of %d axes leave none", codes->rank);
    if (K < 1 || K > INT32_MAX) return ag_fail(AG_ERR_SHAPE, "%lld codes", (long long)K);
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < codes->rank; i++) shape[i] = codes->shape[i];
    shape[codes->rank] = K;
    y->dtype = AG_REAL;
    return ag__shape_set(y, codes->rank + 1, shape);
}

static void one_hot_run(const ag_tensor *y) { k.one_hot(y->in[0]->numel, width(y), y->in[0]->data, y->data); }

const ag__rule ag__one_hot = {.shape = one_hot_shape, .run = one_hot_run};

ag_tensor *ag_one_hot(ag_tensor *codes, int64_t K) { return ag__node(AG__OP_one_hot, 1, &codes, &K, sizeof K); }
