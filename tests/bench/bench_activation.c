/* Speed of element-wise functions, random tensors and sampling: GB/s read and written, share of the measured bandwidth, ns a number.
 *
 *     bench_activation [name part]      only lines whose name contains it
 *
 * Two sizes: tensors that do not fit any cache, against a plain copy of the same size; and tensors of half a level-2 cache a
 * thread, where arithmetic is the limit (share against the copy in that cache). Each line is the best of several runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "autograd/cpu.h"
#include "autograd/random.h"
#include "kernels/kernels.h"

typedef struct work {
    int64_t n, width; /* numbers; of a row of scores */
    real *x, *dy, *y;
    int32_t *code;
} work;

typedef void run_fn(const work *w);

#define ONE(name)                                                                                                      \
    static void run_##name(const work *w) { k.name(w->n, w->x, w->y); }
#define TWO(name)                                                                                                      \
    static void run_##name(const work *w) { k.name(w->n, w->dy, w->x, w->y); }
ONE(exp)
ONE(log)
ONE(tanh)
ONE(erf)
ONE(sigmoid)
ONE(softplus)
ONE(gelu)
ONE(sin)
ONE(round)
TWO(tanh_grad)
TWO(sigmoid_grad)
TWO(gelu_grad)
static void copy(const work *w) { memcpy(w->y, w->x, (size_t)w->n * sizeof(real)); }
static void run_copy(const work *w)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < w->n; i += 16384)
        copy(&(work){.n = w->n - i < 16384 ? w->n - i : 16384, .x = w->x + i, .y = w->y + i});
}
static void run_scale(const work *w) { k.affine(w->n, w->x, 2, 0, w->y); }
static void run_silu(const work *w) { k.swish(w->n, w->x, 1, 0, w->y); }
static void run_silu_grad(const work *w) { k.swish_grad(w->n, w->dy, w->x, 1, 0, w->y); }
static void run_gelu_tanh(const work *w) { k.swish(w->n, w->x, (real)1.595769, (real)0.0713548, w->y); }
static void run_gelu_tanh_grad(const work *w)
{
    k.swish_grad(w->n, w->dy, w->x, (real)1.595769, (real)0.0713548, w->y);
}
static void run_leaky_relu(const work *w) { k.leaky_relu(w->n, w->x, (real)0.2, w->y); }
static void run_leaky_relu_grad(const work *w) { k.leaky_relu_mask(w->n, w->dy, w->x, (real)0.2, w->y); }
static void run_cube(const work *w) { k.pow(w->n, w->x, 3, w->y); }
static void run_power(const work *w) { k.pow(w->n, w->x, (real)2.2, w->y); }
static void run_uniform(const work *w) { k.uniform(w->n, 1, 2, 0, 1, w->y); }
static void run_normal(const work *w) { k.normal(w->n, 1, 2, 0, 1, w->y); }
static void run_gumbel(const work *w) { k.gumbel(w->n, 1, 2, w->y); }
static void run_dropout(const work *w) { k.dropout(w->n, 1, 2, 1u << 30, 2, w->x, w->y); }
static void run_drop_path(const work *w) { k.drop_rows(w->n / w->width, w->width, 1, 2, 1u << 30, 2, w->x, w->y); }
static void run_argmax(const work *w) { k.argmax(w->n / w->width, w->width, w->x, w->code); }
static void run_top_k(const work *w) { k.top_k(w->n / w->width, w->width, 100, w->x, w->y); }
static void run_top_p(const work *w) { k.top_p(w->n / w->width, w->width, 0.9, w->x, w->y); }
static void run_categorical(const work *w) { k.categorical(w->n / w->width, w->width, 1, 2, w->x, w->code); }

static const struct line {
    const char *name;
    run_fn *run;
    int streams; /* tensors read and written */
} lines[] = {
    {"copy", run_copy, 2},
    {"scale", run_scale, 2},
    {"exp", run_exp, 2},
    {"log", run_log, 2},
    {"tanh", run_tanh, 2},
    {"tanh_grad", run_tanh_grad, 3},
    {"erf", run_erf, 2},
    {"sigmoid", run_sigmoid, 2},
    {"sigmoid_grad", run_sigmoid_grad, 3},
    {"softplus", run_softplus, 2},
    {"silu", run_silu, 2},
    {"silu_grad", run_silu_grad, 3},
    {"gelu", run_gelu, 2},
    {"gelu_grad", run_gelu_grad, 3},
    {"gelu_tanh", run_gelu_tanh, 2},
    {"gelu_tanh_grad", run_gelu_tanh_grad, 3},
    {"leaky_relu", run_leaky_relu, 2},
    {"leaky_relu_grad", run_leaky_relu_grad, 3},
    {"pow 3", run_cube, 2},
    {"pow 2.2", run_power, 2},
    {"sin", run_sin, 2},
    {"round", run_round, 2},
    {"uniform", run_uniform, 1},
    {"normal", run_normal, 1},
    {"gumbel", run_gumbel, 1},
    {"dropout", run_dropout, 2},
    {"drop_path", run_drop_path, 2},
    {"argmax", run_argmax, 1},
    {"top_k 100", run_top_k, 2},
    {"top_p 0.9", run_top_p, 2},
    {"categorical", run_categorical, 1},
};

static double seconds(run_fn *run, const work *w)
{
    double best = 1e30;
    const double until = omp_get_wtime() + 0.15;
    run(w);
    for (int i = 0; i < 5 || omp_get_wtime() < until; i++) {
        const double begin = omp_get_wtime();
        run(w);
        const double t = omp_get_wtime() - begin;
        best = t < best ? t : best;
    }
    return best;
}

static real *numbers(int64_t n, uint64_t stream)
{
    real *p = aligned_alloc(64, (size_t)n * sizeof *p);
    if (!p) exit(1);
    k.normal(n, 1, stream, 0, 3, p);
    return p;
}

static void bench(const char *where, int64_t n, const char *only)
{
    const work w = {.n = n,
                    .width = 8192,
                    .x = numbers(n, 1),
                    .dy = numbers(n, 2),
                    .y = numbers(n, 3),
                    .code = malloc((size_t)(n / 8192) * sizeof *w.code)};
    if (!w.code) exit(1);
    const double bytes = (double)n * sizeof(real), bandwidth = 2 * bytes / seconds(run_copy, &w);
    printf("%s: %lld numbers; copying reads and writes %.1f GB/s\n", where, (long long)n, bandwidth * 1e-9);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (only && !strstr(lines[i].name, only)) continue;
        const double t = seconds(lines[i].run, &w), rate = lines[i].streams * bytes / t;
        printf("  %-16s %9.3f ms %7.3f ns a number %8.1f GB/s %6.1f %%\n", lines[i].name, t * 1e3, t / (double)n * 1e9,
               rate * 1e-9, 100 * rate / bandwidth);
        fflush(stdout);
    }
    free(w.x), free(w.dy), free(w.y), free(w.code);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : NULL;
    printf("%s, %s, %d threads\n", ag_cpu_model(), ag_cpu_kernels(), ag_cpu_threads());
    bench("memory", 1 << 25, only);
    bench("cache", 40960 * (int64_t)ag_cpu_threads(), only);
    return 0;
}
