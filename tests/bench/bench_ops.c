/* Speed of the operations that are neither convolutions nor products: a line each with time, GFLOP/s, GB/s, and the share of the
 * machine's limit.
 *
 *     bench_ops [name part]      only works whose name contains it
 *
 * A work is a graph of one op (and the leaves it reads), or that and its gradient; only the nodes of the named op are timed, the best
 * of many runs. The limit is the longer of two times: the op's own count of operations at the multiply-add peak, and its bytes (each
 * input and result once) at the rate of y = a + b / 2 over three arrays that take the same memory together: so data that stay in a
 * cache are held against that cache. Shares above 100 percent: fewer streams are written than read, or operations that are cheaper
 * than they are counted. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autograd/cpu.h"
#include "autograd/machine.h"
#include "autograd/ops.h"
#include "autograd/random.h"
#include "engine.h"

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

enum { CODES = 512, MOST_WANTED = 8 };

typedef ag_tensor *build_fn(ag_tensor *x);

typedef struct work {
    const char *name, *op; /* the op whose nodes are timed */
    build_fn *build;
    int rank;
    int64_t shape[4];
    bool gradient; /* build the gradients for all real inputs too */
    double part;   /* of the counted operations that have to be done; 0 means all */
} work;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the works ---------------------------------------------------------------------------------------------------- */

static ag_tensor *vector(ag_tensor *x, const char *name)
{
    return ag_input(ag_graph_of(x), name, AG_REAL, 1, SHAPE(ag_dim(x, -1)));
}

static ag_tensor *codes(ag_tensor *x)
{
    int64_t n = ag_numel(x) / ag_dim(x, -1);
    return ag_input(ag_graph_of(x), "codes", AG_I32, 1, &n);
}

static ag_tensor *rows(ag_tensor *x) { return ag_reshape(x, 2, SHAPE(ag_numel(x) / ag_dim(x, -1), ag_dim(x, -1))); }

static ag_tensor *like(ag_tensor *x, const char *name)
{
    return ag_input(ag_graph_of(x), name, AG_REAL, ag_rank(x), x->shape);
}

static ag_tensor *add(ag_tensor *x) { return ag_add(x, like(x, "b")); }
static ag_tensor *add_bias(ag_tensor *x) { return ag_add(x, vector(x, "b")); }
static ag_tensor *add_position(ag_tensor *x)
{
    return ag_add(x, ag_input(ag_graph_of(x), "b", AG_REAL, 2, SHAPE(ag_dim(x, 1), ag_dim(x, 2))));
}
static ag_tensor *add_sample(ag_tensor *x)
{
    return ag_add(x, ag_input(ag_graph_of(x), "b", AG_REAL, 3, SHAPE(ag_dim(x, 0), 1, ag_dim(x, 2))));
}
static ag_tensor *relu_mask(ag_tensor *x) { return ag_relu_mask(x, like(x, "y")); }
static ag_tensor *leaky_relu(ag_tensor *x) { return ag_leaky_relu(x, 0.2); }
static ag_tensor *cube(ag_tensor *x) { return ag_pow(x, 3); }
static ag_tensor *power(ag_tensor *x) { return ag_pow(ag_exp(x), 2.2); }
static ag_tensor *scale(ag_tensor *x) { return ag_scale(x, 2); }
static ag_tensor *dropout(ag_tensor *x) { return ag_dropout(x, 0.1); }
static ag_tensor *uniform(ag_tensor *x) { return ag_uniform(ag_graph_of(x), ag_rank(x), x->shape, 0, 1); }
static ag_tensor *normal(ag_tensor *x) { return ag_normal(ag_graph_of(x), ag_rank(x), x->shape, 0, 1); }
static ag_tensor *gumbel(ag_tensor *x) { return ag_gumbel(ag_graph_of(x), ag_rank(x), x->shape); }

static ag_tensor *sum_rows(ag_tensor *x) { return ag_sum_to(x, 1, SHAPE(ag_dim(x, -1))); }
static ag_tensor *sum_space(ag_tensor *x) { return ag_sum_to(x, 3, SHAPE(ag_dim(x, 0), 1, ag_dim(x, 2))); }
static ag_tensor *sum_batch(ag_tensor *x) { return ag_sum_to(x, 2, SHAPE(ag_dim(x, 1), ag_dim(x, 2))); }
static ag_tensor *sum_last(ag_tensor *x) { return ag_sum_to(x, 3, SHAPE(ag_dim(x, 0), ag_dim(x, 1), 1)); }
static ag_tensor *mse(ag_tensor *x) { return ag_mse(x, like(x, "b")); }

static ag_tensor *group_norm(ag_tensor *x)
{
    return ag_group_norm(x, vector(x, "w"), vector(x, "b"), 32, 1e-6, AG_LINEAR);
}
static ag_tensor *group_norm_silu(ag_tensor *x)
{
    return ag_group_norm(x, vector(x, "w"), vector(x, "b"), 32, 1e-6, AG_SILU);
}
static ag_tensor *batch_norm_relu(ag_tensor *x)
{
    return ag_batch_norm(x, vector(x, "w"), vector(x, "b"), 1e-5, AG_RELU, NULL, NULL);
}
static ag_tensor *layer_norm(ag_tensor *x) { return ag_layer_norm(x, vector(x, "w"), vector(x, "b"), 1e-5); }
static ag_tensor *rms_norm(ag_tensor *x) { return ag_rms_norm(x, vector(x, "w"), 1e-5); }
static ag_tensor *l2_normalize(ag_tensor *x) { return ag_l2_normalize(x, 1e-12); }
static ag_tensor *cross_entropy(ag_tensor *x) { return ag_cross_entropy_rows(rows(x), codes(x), 0); }

static ag_tensor *attention(ag_tensor *x)
{
    return ag_attention(x, like(x, "k"), like(x, "v"), &(ag_attention_options){0});
}
static ag_tensor *attention_causal(ag_tensor *x)
{
    const ag_mask_options m = {.kind = AG_MASK_CAUSAL, .length = ag_dim(x, 1)};
    return ag_attention(x, like(x, "k"), like(x, "v"),
                        &(ag_attention_options){.mask = ag_attention_mask(ag_graph_of(x), &m)});
}
static ag_tensor *rotary(ag_tensor *x)
{
    return ag_rotary(x, ag_input(ag_graph_of(x), "table", AG_REAL, 3, SHAPE(ag_dim(x, 1), ag_dim(x, 3) / 2, 2)));
}

static ag_tensor *gather(ag_tensor *x)
{
    return ag_gather(ag_input(ag_graph_of(x), "table", AG_REAL, 2, SHAPE(CODES, ag_dim(x, -1))), codes(x));
}
static ag_tensor *scatter_add(ag_tensor *x) { return ag_scatter_add(rows(x), codes(x), CODES); }
static ag_tensor *one_hot(ag_tensor *x) { return ag_one_hot(codes(x), ag_dim(x, -1)); }
static ag_tensor *top_k(ag_tensor *x) { return ag_top_k(x, 100); }
static ag_tensor *top_p(ag_tensor *x) { return ag_top_p(x, 0.9); }

static ag_tensor *heads(ag_tensor *x) { return ag_transpose(x, 1, 2); }
static ag_tensor *last_two(ag_tensor *x) { return ag_transpose(x, -1, -2); }
static ag_tensor *to_chw(ag_tensor *x) { return ag_permute(x, (const int[]){0, 3, 1, 2}); }
static ag_tensor *slice(ag_tensor *x) { return ag_slice_axis(x, -1, 32, 64); }
static ag_tensor *pad(ag_tensor *x) { return ag_pad(x, SHAPE(0, 1, 1, 0), SHAPE(0, 1, 1, 0), 0); }
static ag_tensor *concat(ag_tensor *x) { return ag_concat(2, (ag_tensor *[]){x, like(x, "b")}, -1); }
static ag_tensor *flip(ag_tensor *x) { return ag_flip(x, 2); }
static ag_tensor *pixel_shuffle(ag_tensor *x) { return ag_pixel_shuffle(x, 2); }
static ag_tensor *depth_to_space(ag_tensor *x) { return ag_depth_to_space(x, 2); }

static ag_tensor *twice(ag_tensor *x, ag_resize_mode mode)
{
    return ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), mode);
}
static ag_tensor *nearest(ag_tensor *x) { return twice(x, AG_NEAREST); }
static ag_tensor *bilinear(ag_tensor *x) { return twice(x, AG_BILINEAR); }
static ag_tensor *bicubic(ag_tensor *x) { return twice(x, AG_BICUBIC); }
static ag_tensor *area(ag_tensor *x) { return ag_resize(x, ag_dim(x, 1) / 3, ag_dim(x, 2) / 3, AG_AREA); }
static ag_tensor *average_pool(ag_tensor *x) { return ag_avg_pool2d(x, &(ag_pool2d_options){.kernel = 2}); }
static ag_tensor *max_pool(ag_tensor *x) { return ag_max_pool2d(x, &(ag_pool2d_options){.kernel = 2}); }
static ag_tensor *global_average(ag_tensor *x) { return ag_global_average(x); }
static ag_tensor *blur(ag_tensor *x) { return ag_filter2d(x, 4, (const double[]){.125, .375, .375, .125}, 2, 2, 1); }
static ag_tensor *depthwise(ag_tensor *x)
{
    const int64_t c = ag_dim(x, -1);
    ag_tensor *w = ag_input(ag_graph_of(x), "w", AG_REAL, 4, SHAPE(3, 3, 1, c));
    return ag_conv2d(x, w, NULL, NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .groups = (int)c});
}

static ag_tensor *state(ag_tensor *x, const char *name)
{
    return ag_state(ag_graph_of(x), name, AG_REAL, ag_rank(x), x->shape);
}
static ag_tensor *adam(ag_tensor *x)
{
    ag_tensor *p = state(x, "p"), *m = state(x, "m"), *v = state(x, "v"), *one = ag_constant(x->graph, 1e-4, 0, NULL);
    ag_adam(1, &p, &x, &m, &v, one, ag_constant(x->graph, 1, 0, NULL),
            &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8});
    return NULL;
}
static ag_tensor *average(ag_tensor *x)
{
    ag_tensor *mean = state(x, "mean");
    ag_average(1, &mean, &x, 0.999, false, NULL);
    return NULL;
}

/* clang-format off */
#define LARGE  4, {16, 64, 64, 64}
#define SMALL  4, {1, 32, 32, 64}
#define TOKENS 3, {16, 256, 512}
#define LOGITS 2, {2048, 1024}
static const work works[] = {
    {"add",                   "add",              add,              LARGE,                 false, 0},
    {"add, in cache",         "add",              add,              SMALL,                 false, 0},
    {"add bias",              "add",              add_bias,         LARGE,                 false, 0},
    {"add [L,C] to [N,L,C]",  "add",              add_position,     TOKENS,                false, 0},
    {"add [N,1,C] to [N,L,C]", "add",             add_sample,       TOKENS,                false, 0},
    {"scale",                 "affine",           scale,            LARGE,                 false, 0},
    {"relu",                  "relu",             ag_relu,          LARGE,                 false, 0},
    {"relu mask",             "relu_mask",        relu_mask,        LARGE,                 false, 0},
    {"leaky relu",            "leaky_relu",       leaky_relu,       LARGE,                 false, 0},
    {"exp",                   "exp",              ag_exp,           LARGE,                 false, 0},
    {"exp, in cache",         "exp",              ag_exp,           SMALL,                 false, 0},
    {"sigmoid",               "sigmoid",          ag_sigmoid,       LARGE,                 false, 0},
    {"tanh",                  "tanh",             ag_tanh,          LARGE,                 false, 0},
    {"softplus",              "softplus",         ag_softplus,      LARGE,                 false, 0},
    {"sin",                   "sin",              ag_sin,           LARGE,                 false, 0},
    {"pow 3",                 "pow",              cube,             LARGE,                 false, 0},
    {"pow 2.2",               "pow",              power,            LARGE,                 false, 0},
    {"silu",                  "swish",            ag_silu,          LARGE,                 false, 0},
    {"silu, in cache",        "swish",            ag_silu,          SMALL,                 false, 0},
    {"silu gradient",         "swish_grad",       ag_silu,          LARGE,                 true,  0},
    {"gelu",                  "gelu",             ag_gelu,          LARGE,                 false, 0},
    {"gelu, in cache",        "gelu",             ag_gelu,          SMALL,                 false, 0},
    {"gelu gradient",         "gelu_grad",        ag_gelu,          LARGE,                 true,  0},
    {"gelu gradient, in cache", "gelu_grad",      ag_gelu,          SMALL,                 true,  0},
    {"gelu tanh",             "swish",            ag_gelu_tanh,     LARGE,                 false, 0},
    {"gelu tanh gradient",    "swish_grad",       ag_gelu_tanh,     LARGE,                 true,  0},
    {"uniform",               "uniform",          uniform,          LARGE,                 false, 0},
    {"normal",                "normal",           normal,           LARGE,                 false, 0},
    {"gumbel",                "gumbel",           gumbel,           LARGE,                 false, 0},
    {"dropout",               "dropout",          dropout,          LARGE,                 false, 0},
    {"mse",                   "mse",              mse,              LARGE,                 false, 0},
    {"sum",                   "sum_to",           ag_sum,           LARGE,                 false, 0},
    {"sum to [C]",            "sum_to",           sum_rows,         LARGE,                 false, 0},
    {"sum to [L,C]",          "sum_to",           sum_batch,        TOKENS,                false, 0},
    {"sum to [N,1,C]",        "sum_to",           sum_space,        TOKENS,                false, 0},
    {"sum to [N,L,1]",        "sum_to",           sum_last,         TOKENS,                false, 0},
    {"group norm",            "norm",             group_norm,       4, {8, 64, 64, 64},    false, 0},
    {"group norm silu",       "norm",             group_norm_silu,  4, {8, 64, 64, 64},    false, 0},
    {"group norm silu",       "norm",             group_norm_silu,  4, {8, 64, 64, 128},   false, 0},
    {"group norm silu",       "norm",             group_norm_silu,  4, {8, 32, 32, 128},   false, 0},
    {"group norm silu",       "norm",             group_norm_silu,  4, {8, 16, 16, 256},   false, 0},
    {"group norm silu",       "norm",             group_norm_silu,  4, {32, 16, 16, 128},  false, 0},
    {"group norm gradient",   "norm_grad",        group_norm,       4, {8, 64, 64, 64},    true,  0},
    {"group norm silu gradient", "norm_grad",     group_norm_silu,  4, {8, 64, 64, 64},    true,  0},
    {"group norm silu gradient", "norm_grad",     group_norm_silu,  4, {8, 64, 64, 128},   true,  0},
    {"group norm silu gradient", "norm_grad",     group_norm_silu,  4, {8, 32, 32, 128},   true,  0},
    {"group norm silu gradient", "norm_grad",     group_norm_silu,  4, {8, 16, 16, 256},   true,  0},
    {"group norm silu gradient", "norm_grad",     group_norm_silu,  4, {32, 16, 16, 128},  true,  0},
    {"batch norm relu",       "norm",             batch_norm_relu,  LARGE,                 false, 0},
    {"batch norm relu gradient", "norm_grad",     batch_norm_relu,  LARGE,                 true,  0},
    {"layer norm",            "norm",             layer_norm,       TOKENS,                false, 0},
    {"layer norm gradient",   "norm_grad",        layer_norm,       TOKENS,                true,  0},
    {"rms norm",              "norm",             rms_norm,         TOKENS,                false, 0},
    {"rms norm gradient",     "norm_grad",        rms_norm,         TOKENS,                true,  0},
    {"l2 normalize",          "norm",             l2_normalize,     2, {65536, 32},        false, 0},
    {"l2 normalize gradient", "norm_grad",        l2_normalize,     2, {65536, 32},        true,  0},
    {"softmax",               "softmax",          ag_softmax,       LOGITS,                false, 0},
    {"softmax gradient",      "softmax_grad",     ag_softmax,       LOGITS,                true,  0},
    {"log softmax",           "log_softmax",      ag_log_softmax,   LOGITS,                false, 0},
    {"log softmax gradient",  "log_softmax_grad", ag_log_softmax,   LOGITS,                true,  0},
    {"cross entropy",         "cross_entropy",    cross_entropy,    LOGITS,                false, 0},
    {"cross entropy gradient", "cross_entropy_grad", cross_entropy, LOGITS,                true,  0},
#define ATTENTION(n, l, d)                                                                                             \
    {"attention",                 "attention",      attention,        4, {n, l, 4, d}, false, 0},                      \
    {"attention gradient",        "attention_grad", attention,        4, {n, l, 4, d}, true, 0},                       \
    {"attention causal",          "attention",      attention_causal, 4, {n, l, 4, d}, false, (l + 1) / (2.0 * l)},    \
    {"attention causal gradient", "attention_grad", attention_causal, 4, {n, l, 4, d}, true, (l + 1) / (2.0 * l)},
    ATTENTION(16, 64, 32)
    ATTENTION(16, 64, 64)
    ATTENTION(8, 256, 32)
    ATTENTION(8, 256, 64)
    ATTENTION(1, 1024, 32)
    ATTENTION(1, 1024, 64)
    {"attention, one wide head", "attention",     attention,        4, {8, 256, 1, 256},   false, 0},
    {"attention, one wide head, gradient", "attention_grad", attention, 4, {8, 256, 1, 256}, true, 0},
    {"rotary",                "rotary",           rotary,           4, {16, 256, 8, 64},   false, 0},
    {"gather",                "gather",           gather,           2, {65536, 64},        false, 0},
    {"scatter add",           "scatter_add",      scatter_add,      2, {65536, 64},        false, 0},
    {"one hot",               "one_hot",          one_hot,          LOGITS,                false, 0},
    {"argmax",                "argmax",           ag_argmax,        LOGITS,                false, 0},
    {"categorical",           "categorical",      ag_categorical,   LOGITS,                false, 0},
    {"top k 100",             "top_k",            top_k,            LOGITS,                false, 0},
    {"top p 0.9",             "top_p",            top_p,            LOGITS,                false, 0},
    {"heads",                 "permute",          heads,            4, {16, 256, 8, 64},   false, 0},
    {"transpose",             "permute",          last_two,         3, {64, 256, 512},     false, 0},
    {"channels first",        "permute",          to_chw,           4, {32, 64, 64, 64},   false, 0},
    {"slice 64 channels",     "slice",            slice,            4, {32, 32, 32, 128},  false, 0},
    {"pad by 1",              "pad",              pad,              4, {32, 32, 32, 128},  false, 0},
    {"concat channels",       "concat",           concat,           4, {32, 32, 32, 128},  false, 0},
    {"flip columns",          "flip",             flip,             4, {32, 32, 32, 128},  false, 0},
    {"pixel shuffle 2",       "permute",          pixel_shuffle,    4, {32, 32, 32, 256},  false, 0},
    {"depth to space 2",      "permute",          depth_to_space,   4, {32, 32, 32, 256},  false, 0},
    {"nearest x2",            "resample",         nearest,          4, {32, 32, 32, 128},  false, 0},
    {"bilinear x2",           "resample",         bilinear,         4, {32, 32, 32, 128},  false, 0},
    {"bicubic x2",            "resample",         bicubic,          4, {32, 32, 32, 128},  false, 0},
    {"area / 3",              "resample",         area,             4, {32, 48, 48, 64},   false, 0},
    {"average pool 2",        "resample",         average_pool,     4, {32, 64, 64, 64},   false, 0},
    {"global average",        "resample",         global_average,   4, {32, 64, 64, 64},   false, 0},
    {"blur, stride 2",        "resample",         blur,             4, {32, 64, 64, 64},   false, 0},
    {"max pool 2",            "max_pool2d",       max_pool,         4, {32, 64, 64, 64},   false, 0},
    {"max pool 2 gradient",   "pool_put",         max_pool,         4, {32, 64, 64, 64},   true,  0},
    {"depthwise 3x3",         "conv2d",           depthwise,        4, {32, 32, 32, 128},  false, 0},
    {"depthwise 3x3, for x",  "conv2d_transposed", depthwise,       4, {32, 32, 32, 128},  true,  0},
    {"depthwise 3x3, for w",  "conv2d_weight_grad", depthwise,      4, {32, 32, 32, 128},  true,  0},
    {"adam",                  "adam",             adam,             LARGE,                 false, 0},
    {"average of weights",    "average",          average,          LARGE,                 false, 0},
};
/* clang-format on */

/* ---- limits ------------------------------------------------------------------------------------------------------- */

enum { LEAST = 15, MOST = 27 }; /* powers of two */
static double rate[MOST + 1];   /* bytes a second over so many bytes */

static double measure_rate(size_t bytes)
{
    const int threads = omp_get_max_threads();
    const int64_t n = (int64_t)(bytes / 3 / sizeof(real)) / 16 * 16;
    real *memory = aligned_alloc(64, 3 * (size_t)n * sizeof *memory);
    double best = 0;
    const double until = now() + 0.05;
    if (!memory) exit(1);
    for (int64_t i = 0; i < 3 * n; i++) memory[i] = 1;
    for (int i = 0; i < 4 || now() < until; i++) {
        const int turns = (int)(((size_t)1 << 23) / bytes) + 1;
        const double begin = now();
        for (int t = 0; t < turns; t++) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
            for (int part = 0; part < threads; part++) {
                const int64_t a = n * part / threads, b = n * (part + 1) / threads;
                k.probe_triad(b - a, memory + a, memory + n + a, memory + 2 * n + a);
            }
        }
        const double r = 3.0 * (double)n * sizeof *memory * turns / (now() - begin);
        best = r > best ? r : best;
    }
    free(memory);
    return best;
}

/* The best of several rounds over all sizes. */
static void measure_rates(void)
{
    for (int round = 0; round < 4; round++)
        for (int power = LEAST; power <= MOST; power++) {
            const double r = measure_rate((size_t)1 << power);
            rate[power] = r > rate[power] ? r : rate[power];
        }
}

/* Of the nearest power of two. */
static double rate_for(double bytes)
{
    int power = LEAST;
    while (power < MOST && bytes > (double)((size_t)1 << power) * 1.4142) power++;
    return rate[power];
}

/* ---- measuring ---------------------------------------------------------------------------------------------------- */

static void fill(const ag_tensor *t)
{
    for (int64_t i = 0; i < ag_numel(t); i++) {
        if (ag_type(t) == AG_I32)
            ((int32_t *)ag_data(t))[i] = (int32_t)((uint32_t)i * 2654435761u >> 8) % CODES;
        else
            ((real *)ag_data(t))[i] = (real)(4 * ag_random_uniform(1, (uint64_t)t->id, (uint64_t)i) - 2);
    }
}

/* The gradients for all real inputs of the graph are kept. */
static void differentiate(ag_graph *g, ag_tensor *y)
{
    ag_tensor *wanted[MOST_WANTED], *d[MOST_WANTED];
    int n = 0;
    for (int i = 0; i < g->count && n < MOST_WANTED; i++)
        if (g->tensors[i]->op == AG__OP_input && g->tensors[i]->dtype == AG_REAL) wanted[n++] = g->tensors[i];
    ag_pullback(y, like(y, "dy"), n, wanted, d);
    for (int i = 0; i < n; i++) ag_keep(d[i]);
}

static ag_graph *build(const work *w)
{
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, w->rank, w->shape), *y = w->build(x);
    if (w->gradient)
        differentiate(g, y);
    else if (y)
        ag_keep(y);
    if (ag_graph_plan(g, NULL)) {
        fprintf(stderr, "%s: %s\n", w->name, ag_error_message());
        exit(1);
    }
    for (int i = 0; i < g->count; i++)
        if (g->tensors[i]->op == AG__OP_input && g->tensors[i]->data) fill(g->tensors[i]);
    return g;
}

typedef struct figures {
    double seconds, flops, bytes, memory; /* bytes moved; memory they are in */
} figures;

/* Of the nodes of one op. */
static figures sum_nodes(const ag_graph *g, const char *op)
{
    figures f = {0};
    for (int i = 0; i < g->order_count; i++) {
        const ag_tensor *t = g->order[i];
        if (strcmp(ag__op_names[t->op], op)) continue;
        f.seconds += t->seconds;
        f.flops += ag__flops(t);
        f.memory += t->rule->effect ? 0 : (double)ag_bytes(t);
        for (int j = 0; j < AG__PARTS; j++) f.memory += ag__part_data(t, j) ? (double)ag_bytes(t->parts[j]) : 0;
        for (int j = 0; j < t->inputs; j++) f.memory += (double)ag_bytes(t->in[j]);
        f.bytes = f.memory;
        if (t->op == AG__OP_adam) f.bytes += 3 * (double)ag_bytes(t->in[0]); /* p, m and v are read and written */
        if (t->op == AG__OP_average) f.bytes += (double)ag_bytes(t->in[0]);
        if (t->op == AG__OP_gather) f.bytes += (double)ag_bytes(t) - (double)ag_bytes(t->in[0]);
    }
    return f;
}

static figures best_of(ag_graph *g, const char *op)
{
    figures best = {.seconds = 1e30};
    if (ag_graph_run(g, 1)) exit(1);
    ag_graph_profile(g, true);
    const double until = now() + 0.25;
    for (int i = 0; i < 5 || now() < until; i++) {
        for (int j = 0; j < g->order_count; j++) g->order[j]->seconds = 0;
        ag_graph_run(g, 1);
        const figures f = sum_nodes(g, op);
        best = f.seconds < best.seconds ? f : best;
    }
    return best;
}

static void measure(const work *w, const ag_machine *machine)
{
    char shape[64];
    int at = 0;
    for (int i = 0; i < w->rank; i++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, i ? ",%lld" : "%lld", (long long)w->shape[i]);
    ag_graph *g = build(w);
    figures f = best_of(g, w->op);
    f.flops *= w->part > 0 ? w->part : 1;
    const double arithmetic = f.flops / machine->gflops * 1e-9, memory = f.bytes / rate_for(f.memory);
    printf("| %-34s | %-14s | %9.3f | %7.1f | %6.1f | %6.0f %s |\n", w->name, shape, 1e3 * f.seconds,
           1e-9 * f.flops / f.seconds, 1e-9 * f.bytes / f.seconds,
           100 * (arithmetic > memory ? arithmetic : memory) / f.seconds, arithmetic > memory ? "flops" : "bytes");
    fflush(stdout);
    ag_graph_free(g);
}

int main(int argc, char **argv)
{
    ag_cpu_start(argv);
    const char *only = argc > 1 ? argv[1] : NULL;
    ag_machine machine;
    if (ag_machine_measure(&machine)) return 1;
    measure_rates();
    printf("%s, kernels %s, %d threads: %.0f GFLOP/s in multiply-adds, %.1f GB/s from memory\n", ag_cpu_model(),
           ag_cpu_kernels(), machine.threads, machine.gflops, machine.gbs);
    printf("bytes in use: rate of y = a + b / 2, GB/s:");
    for (int i = LEAST; i <= MOST; i += 2)
        printf(" %d KiB %.0f%s", 1 << (i - 10), rate_for((double)((size_t)1 << i)) * 1e-9, i < MOST ? "," : "\n\n");
    printf("| %-34s | %-14s | %9s | %7s | %6s | %12s |\n", "op", "shape", "ms", "GFLOP/s", "GB/s", "% of limit");
    printf("|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        if (!only || strstr(works[i].name, only)) measure(works + i, &machine);
    return 0;
}
