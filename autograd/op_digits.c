/* join_digits   code = sum_i x_i * prod_{j<i} radix_j, x_i whole numbers 0 .. radix_i - 1        x [...,n] -> i32 [...]
 * split_digits  x_i = (code / prod_{j<i} radix_j) mod radix_i                                    i32 [...] -> [...,n]
 * The first digit counts least. No gradient. Codes of finite scalar quantization (Mentzer et al. 2023, arXiv:2309.15505, 3.1: the
 * radices are its levels) and of lookup-free quantization (Yu et al. 2023, arXiv:2310.05737: bits, least significant first). */
#include "engine.h"

#include <string.h>

typedef struct digits {
    int n;
    int64_t radix[AG_MOST_DIGITS];
} digits;

static ag_err check(const digits *o)
{
    int64_t codes = 1;
    if (o->n < 1 || o->n > AG_MOST_DIGITS) return ag_fail(AG_ERR_SHAPE, "%d digits; 1 to %d fit", o->n, AG_MOST_DIGITS);
    for (int i = 0; i < o->n; i++) {
        if (o->radix[i] < 2 || o->radix[i] > INT32_MAX) return ag_fail(AG_ERR_SHAPE, "a digit of fewer than 2 values");
        codes *= o->radix[i];
        if (codes > INT32_MAX) return ag_fail(AG_ERR_SHAPE, "more codes than an i32 can name");
    }
    return AG_OK;
}

static ag_err join_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0];
    const digits *o = y->attr;
    ag_err err = ag__check_type(x, AG_REAL, "digits");
    if (err || (err = check(o))) return err;
    if (x->rank < 1 || x->shape[x->rank - 1] != o->n)
        return ag_fail(AG_ERR_SHAPE, "the last axis must hold %d digits", o->n);
    y->dtype = AG_I32;
    return ag__shape_set(y, x->rank - 1, x->shape);
}

static void join_run(const ag_tensor *y)
{
    const digits *o = y->attr;
    const real *x = ag__in(y, 0);
    int32_t *code = y->data;
    for (int64_t i = 0; i < y->numel; i++) {
        int64_t sum = 0, unit = 1;
        for (int j = 0; j < o->n; unit *= o->radix[j++]) sum += (int64_t)x[i * o->n + j] * unit;
        code[i] = (int32_t)sum;
    }
}

static ag_err split_shape(ag_tensor *y)
{
    const ag_tensor *codes = y->in[0];
    const digits *o = y->attr;
    int64_t shape[AG_MAX_RANK];
    ag_err err = ag__check_type(codes, AG_I32, "the codes");
    if (err || (err = check(o))) return err;
    if (codes->rank >= AG_MAX_RANK) return ag_fail(AG_ERR_SHAPE, "codes of too many axes");
    for (int i = 0; i < codes->rank; i++) shape[i] = codes->shape[i];
    shape[codes->rank] = o->n;
    y->dtype = AG_REAL;
    return ag__shape_set(y, codes->rank + 1, shape);
}

static void split_run(const ag_tensor *y)
{
    const digits *o = y->attr;
    const int32_t *code = y->in[0]->data;
    real *x = y->data;
    for (int64_t i = 0; i < y->in[0]->numel; i++) {
        int64_t rest = code[i];
        for (int j = 0; j < o->n; rest /= o->radix[j++]) x[i * o->n + j] = (real)(rest % o->radix[j]);
    }
}

const ag__rule ag__join_digits = {.shape = join_shape, .run = join_run};
const ag__rule ag__split_digits = {.shape = split_shape, .run = split_run};

static ag_tensor *node(ag_tensor *x, ag__op op, int n, const int64_t *radix)
{
    digits o = {.n = n};
    if (n > 0 && n <= AG_MOST_DIGITS) memcpy(o.radix, radix, (size_t)n * sizeof *radix);
    return ag__node(op, 1, &x, &o, sizeof o);
}

ag_tensor *ag_join_digits(ag_tensor *x, int n, const int64_t *radix) { return node(x, AG__OP_join_digits, n, radix); }

ag_tensor *ag_split_digits(ag_tensor *codes, int n, const int64_t *radix)
{
    return node(codes, AG__OP_split_digits, n, radix);
}
