/* uniform, normal, gumbel, random_rows: element i of node n in step s of a graph is a pure function of (seed, s, n, i); no
 * gradient. Philox4x32-10 (autograd/random.h); which word is which element: kernels/philox.h. */
#include "engine.h"

#include <string.h>

#include "autograd/random.h"

typedef struct options {
    int rank;
    int64_t shape[AG_MAX_RANK];
    double a, b;
    int64_t n;
} options;

static ag_err real_shape(ag_tensor *y)
{
    const options *o = y->attr;
    return ag__shape_set(y, o->rank, o->shape);
}

static ag_err rows_shape(ag_tensor *y)
{
    const options *o = y->attr;
    y->dtype = AG_I32;
    if (o->n < 1 || o->n > INT32_MAX) return ag_fail(AG_ERR_SHAPE, "rows of %lld", (long long)o->n);
    return ag__shape_set(y, 1, o->shape);
}

static void uniform_run(const ag_tensor *y)
{
    const options *o = y->attr;
    k.uniform(y->numel, y->graph->seed, ag__stream(y), (real)o->a, (real)o->b, y->data);
}

static void normal_run(const ag_tensor *y)
{
    const options *o = y->attr;
    k.normal(y->numel, y->graph->seed, ag__stream(y), (real)o->a, (real)o->b, y->data);
}

static void gumbel_run(const ag_tensor *y) { k.gumbel(y->numel, y->graph->seed, ag__stream(y), y->data); }

static void random_rows_run(const ag_tensor *y)
{
    const options *o = y->attr;
    int32_t *out = y->data;
    for (int64_t i = 0; i < y->numel; i++) {
        const int64_t from = o->n < y->numel ? 0 : i * o->n / y->numel,
                      to = o->n < y->numel ? o->n : (i + 1) * o->n / y->numel;
        out[i] = (int32_t)(from +
                           (int64_t)ag_random_below(y->graph->seed, ag__stream(y), (uint64_t)i, (uint64_t)(to - from)));
    }
}

const ag__rule ag__uniform = {.shape = real_shape, .run = uniform_run};
const ag__rule ag__normal = {.shape = real_shape, .run = normal_run};
const ag__rule ag__gumbel = {.shape = real_shape, .run = gumbel_run};
const ag__rule ag__random_rows = {.shape = rows_shape, .run = random_rows_run};

static ag_tensor *node(ag_graph *g, ag__op op, int rank, const int64_t *shape, double a, double b, int64_t n)
{
    options o = {.rank = rank, .a = a, .b = b, .n = n};
    if (rank > 0 && rank <= AG_MAX_RANK) memcpy(o.shape, shape, (size_t)rank * sizeof *shape);
    return ag__source(g, op, &o, sizeof o);
}

ag_tensor *ag_uniform(ag_graph *g, int rank, const int64_t *shape, double low, double high)
{
    return node(g, AG__OP_uniform, rank, shape, low, high, 0);
}

ag_tensor *ag_normal(ag_graph *g, int rank, const int64_t *shape, double mean, double std)
{
    return node(g, AG__OP_normal, rank, shape, mean, std, 0);
}

ag_tensor *ag_gumbel(ag_graph *g, int rank, const int64_t *shape)
{
    return node(g, AG__OP_gumbel, rank, shape, 0, 0, 0);
}

ag_tensor *ag_random_rows(ag_graph *g, int64_t count, int64_t n)
{
    return node(g, AG__OP_random_rows, 1, &count, 0, 0, n);
}
