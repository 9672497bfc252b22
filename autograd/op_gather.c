/* gather       y[i] = table[codes[i]]                      dtable = scatter_add(dy, codes)
 * scatter_add  y[j] = sum of the rows whose code is j      drows  = gather(dy, codes)
 * count        y[j] = how many codes are j                 no gradient
 * Codes are i32 in 0..K-1 by construction; they are not checked again. */
#include "engine.h"

static ag_err gather_shape(ag_tensor *y)
{
    const ag_tensor *table = y->in[0], *codes = y->in[1];
    ag_err err = ag__check_type(table, AG_REAL, "the table");
    if (err || (err = ag__check_type(codes, AG_I32, "the codes"))) return err;
    if (table->rank != 2 || codes->rank >= AG_MAX_RANK) return ag_fail(AG_ERR_SHAPE, "the table must be [K,D]");
    if ((err = ag__shape_copy(y, codes))) return err;
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < codes->rank; i++) shape[i] = codes->shape[i];
    shape[codes->rank] = table->shape[1];
    return ag__shape_set(y, codes->rank + 1, shape);
}

static void gather_run(const ag_tensor *y)
{
    k.gather(y->in[1]->numel, y->in[0]->shape[1], ag__in(y, 0), y->in[1]->data, y->data);
}

static void gather_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_scatter_add(dy, y->in[1], y->in[0]->shape[0]);
}

static double moves(const ag_tensor *y)
{
    (void)y;
    return 0;
}

const ag__rule ag__gather = {.shape = gather_shape, .run = gather_run, .gradient = gather_gradient, .flops = moves};

ag_tensor *ag_gather(ag_tensor *table, ag_tensor *codes)
{
    return ag__node(AG__OP_gather, 2, (ag_tensor *[]){table, codes}, NULL, 0);
}

static ag_err check_count(int64_t codes)
{
    return codes >= 1 && codes <= INT32_MAX ? AG_OK : ag_fail(AG_ERR_SHAPE, "%lld codes", (long long)codes);
}

static ag_err scatter_add_shape(ag_tensor *y)
{
    const ag_tensor *rows = y->in[0], *codes = y->in[1];
    const int64_t count = *(const int64_t *)y->attr;
    ag_err err = ag__check_type(rows, AG_REAL, "rows");
    if (err || (err = ag__check_type(codes, AG_I32, "the codes")) || (err = check_count(count))) return err;
    if (rows->rank < 1 || rows->numel / rows->shape[rows->rank - 1] != codes->numel)
        return ag_fail(AG_ERR_SHAPE, "rows [...,D] need a code each");
    return ag__shape_set(y, 2, (int64_t[]){count, rows->shape[rows->rank - 1]});
}

static void scatter_add_run(const ag_tensor *y)
{
    k.scatter_add(y->in[1]->numel, y->shape[1], y->shape[0], ag__in(y, 0), y->in[1]->data, y->data);
}

static void scatter_add_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag_reshape(ag_gather(dy, y->in[1]), y->in[0]->rank, y->in[0]->shape);
}

static double scatter_add_flops(const ag_tensor *y) { return (double)y->in[0]->numel; }

const ag__rule ag__scatter_add = {
    .shape = scatter_add_shape, .run = scatter_add_run, .gradient = scatter_add_gradient, .flops = scatter_add_flops};

ag_tensor *ag_scatter_add(ag_tensor *rows, ag_tensor *codes, int64_t K)
{
    return ag__node(AG__OP_scatter_add, 2, (ag_tensor *[]){rows, codes}, &K, sizeof K);
}

static ag_err count_shape(ag_tensor *y)
{
    const int64_t count = *(const int64_t *)y->attr;
    ag_err err = ag__check_type(y->in[0], AG_I32, "the codes");
    if (err || (err = check_count(count))) return err;
    y->dtype = AG_REAL;
    return ag__shape_set(y, 1, &count);
}

static void count_run(const ag_tensor *y) { k.count(y->in[0]->numel, y->numel, y->in[0]->data, y->data); }

static double count_flops(const ag_tensor *y) { return (double)y->in[0]->numel; }

const ag__rule ag__count = {.shape = count_shape, .run = count_run, .flops = count_flops};

ag_tensor *ag_count(ag_tensor *codes, int64_t K) { return ag__node(AG__OP_count, 1, &codes, &K, sizeof K); }
