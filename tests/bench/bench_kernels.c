/* Speed of the hot kernels: GFLOP/s and share of the measured peak of fused multiply-adds.
 *
 *     bench_kernels [name part]      only lines whose name contains it
 *
 * Each line is the best of several runs of at least 0.15 s in all, on all threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "autograd/cpu.h"
#include "autograd/machine.h"
#include "autograd/random.h"
#include "kernels/kernels.h"

typedef struct work {
    void (*run)(const struct work *);
    const k_conv *c;
    int64_t n, d, codes; /* rows, terms, columns of a product */
    bool ta, tb, bf16;
    real *x, *y, *w;
    int32_t *code;
    void *scratch;
    double flops;
} work;

static double peak;
static const char *only;

static void line(const char *name, const char *what, const work *w)
{
    double best = 1e30;
    const double until = omp_get_wtime() + 0.15;
    w->run(w);
    for (int i = 0; i < 5 || omp_get_wtime() < until; i++) {
        const double begin = omp_get_wtime();
        w->run(w);
        const double t = omp_get_wtime() - begin;
        best = t < best ? t : best;
    }
    printf("%-34s %-12s %9.3f ms %8.1f GFLOP/s %5.1f %%\n", name, what, best * 1e3, w->flops / best * 1e-9,
           100 * w->flops / best * 1e-9 / peak);
    fflush(stdout);
}

static real *numbers(int64_t n, uint64_t stream)
{
    real *p = aligned_alloc(64, ((size_t)n * sizeof *p + 63) & ~(size_t)63);
    if (!p) exit(1);
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) p[i] = (real)(ag_random_uniform(1, stream, (uint64_t)i) - 0.5);
    return p;
}

static void forward(const work *w) { k.conv_forward(w->c, w->x, w->w, NULL, w->y, w->scratch); }
static void input(const work *w) { k.conv_input(w->c, w->y, w->w, NULL, w->x, w->scratch); }
static void weight(const work *w) { k.conv_weight(w->c, w->x, w->y, w->w, w->scratch); }
static void forward_bf16(const work *w) { k.conv_forward_bf16(w->c, w->x, w->w, NULL, w->y, w->scratch); }
static void input_bf16(const work *w) { k.conv_input_bf16(w->c, w->y, w->w, NULL, w->x, w->scratch); }
static void weight_bf16(const work *w) { k.conv_weight_bf16(w->c, w->x, w->y, w->w, w->scratch); }
static void nearest(const work *w) { k.nearest(w->n, w->d, w->codes, w->x, w->w, w->code, w->scratch); }

static void product(const work *w)
{
    const k_strided a = {.data = w->x}, b = {.data = w->y};
    (w->bf16 ? k.gemm_batch_bf16 : k.gemm_batch)(w->ta, w->tb, 0, NULL, w->n, w->codes, w->d, &a, &b, NULL, w->w);
}

typedef struct convolution {
    const char *name;
    int product;
    bool bf16;
    size_t (*scratch)(const k_conv *c);
    void (*run)(const work *w);
} convolution;

/* The three products in fp32 and, where it is used, in bf16. */
static void bench_conv(const char *name, const k_conv *c)
{
    const convolution ways[] = {{"forward", K_FORWARD, false, k.conv_forward_scratch, forward},
                                {"forward bf16", K_FORWARD, true, k.conv_forward_bf16_scratch, forward_bf16},
                                {"input", K_INPUT, false, k.conv_input_scratch, input},
                                {"input bf16", K_INPUT, true, k.conv_input_bf16_scratch, input_bf16},
                                {"weight", K_WEIGHT, false, k.conv_weight_scratch, weight},
                                {"weight bf16", K_WEIGHT, true, k.conv_weight_bf16_scratch, weight_bf16}};
    if (only && !strstr(name, only)) return;
    work w = {.c = c};
    w.x = numbers(c->n * c->h * c->w * c->a, 1);
    w.y = numbers(c->n * c->ho * c->wo * c->b, 2);
    w.w = numbers((int64_t)c->kh * c->kw * c->a * c->b, 3);
    w.flops = 2.0 * (double)(c->n * c->ho * c->wo * c->b * c->a) * c->kh * c->kw;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (ways[i].bf16 && !(ag_cpu_bf16() && k.conv_bf16_fits(c, ways[i].product))) continue;
        w.scratch = aligned_alloc(64, (ways[i].scratch(c) + 64) & ~(size_t)63);
        if (!w.scratch) exit(1);
        w.run = ways[i].run;
        line(name, ways[i].name, &w);
        free(w.scratch);
    }
    free(w.x), free(w.y), free(w.w);
}

static void bench_nearest(const char *name, int64_t n, int64_t codes, int64_t d)
{
    if (only && !strstr(name, only)) return;
    work w = {.run = nearest, .n = n, .d = d, .codes = codes, .flops = 2.0 * (double)n * (double)codes * (double)d};
    w.x = numbers(n * d, 1);
    w.w = numbers(codes * d, 2);
    w.code = malloc((size_t)n * sizeof *w.code);
    w.scratch = aligned_alloc(64, (k.nearest_scratch(n, d, codes) + 63) & ~(size_t)63);
    if (!w.code || !w.scratch) exit(1);
    line(name, "search", &w);
    free(w.x), free(w.w), free(w.code), free(w.scratch);
}

/* y [m,n] = x [m,k] w [k,n], dx = dy w^T and dw = x^T dy, in fp32 and, where the CPU has it, in bf16. */
static void bench_product(const char *name, int64_t m, int64_t n, int64_t kk)
{
    if (only && !strstr(name, only)) return;
    work w = {.run = product, .flops = 2.0 * (double)m * (double)n * (double)kk};
    const int64_t largest = m * (n > kk ? n : kk) + n * kk;
    w.x = numbers(largest, 1), w.y = numbers(largest, 2), w.w = numbers(largest, 3);
    for (int bf16 = 0; bf16 <= ag_cpu_bf16(); bf16++) {
        w.bf16 = bf16;
        w.n = m, w.codes = n, w.d = kk, w.ta = w.tb = false;
        line(name, bf16 ? "y bf16" : "y", &w);
        w.n = m, w.codes = kk, w.d = n, w.ta = false, w.tb = true;
        line(name, bf16 ? "dx bf16" : "dx", &w);
        w.n = kk, w.codes = n, w.d = m, w.ta = true, w.tb = false;
        line(name, bf16 ? "dw bf16" : "dw", &w);
    }
    free(w.x), free(w.y), free(w.w);
}

/* kernel, stride, pad, channels in, channels out, size of x, batch */
static void layer(const char *name, int kernel, int stride, int pad, int a, int b, int size, int n)
{
    const int out = (size + 2 * pad - kernel) / stride + 1;
    const k_conv c = {.n = n,
                      .h = size,
                      .w = size,
                      .a = a,
                      .ho = out,
                      .wo = out,
                      .b = b,
                      .kh = kernel,
                      .kw = kernel,
                      .stride = stride,
                      .top = pad,
                      .left = pad};
    bench_conv(name, &c);
}

int main(int argc, char **argv)
{
    ag_cpu_start(argv);
    only = argc > 1 ? argv[1] : NULL;
    ag_machine machine;
    if (ag_machine_measure(&machine)) return fprintf(stderr, "bench_kernels: %s\n", ag_error_message()), 1;
    peak = machine.gflops;
    printf("%s, %d threads, kernels %s, peak %.1f GFLOP/s\n", ag_cpu_model(), ag_cpu_threads(), ag_cpu_kernels(), peak);
    /* the CIFAR-10 VQ-VAE, batch 256; of a transposed layer `input` is the forward pass */
    layer("c4s2 3->64 32x32", 4, 2, 1, 3, 64, 32, 256);
    layer("c4s2 64->128 16x16", 4, 2, 1, 64, 128, 16, 256);
    layer("c3 128->128 8x8", 3, 1, 1, 128, 128, 8, 256);
    layer("c3 128->32 8x8", 3, 1, 1, 128, 32, 8, 256);
    layer("c1 32->128 8x8", 1, 1, 0, 32, 128, 8, 256);
    layer("c1 128->64 8x8", 1, 1, 0, 128, 64, 8, 256);
    layer("c3 64->128 8x8", 3, 1, 1, 64, 128, 8, 256);
    layer("transposed c4s2 128->64 8x8", 4, 2, 1, 64, 128, 16, 256);
    layer("transposed c4s2 64->3 16x16", 4, 2, 1, 3, 64, 32, 256);
    layer("c3 128->128 32x32", 3, 1, 1, 128, 128, 32, 16);
    layer("c3 64->64 64x64", 3, 1, 1, 64, 64, 64, 16);
    layer("c3 3->128 32x32", 3, 1, 1, 3, 128, 32, 64);
    layer("c3 128->3 32x32", 3, 1, 1, 128, 3, 32, 64);
    layer("c4 512->1 8x8", 4, 1, 1, 512, 1, 8, 64);
    layer("c3 256->256 32x32", 3, 1, 1, 256, 256, 32, 8);
    bench_product("product 4096 x 256 x 256", 4096, 256, 256);
    bench_product("product 4096 x 1024 x 256", 4096, 1024, 256);
    bench_product("product 4096 x 512 x 2048", 4096, 512, 2048);
    bench_product("product 1024 x 8192 x 256", 1024, 8192, 256);
    bench_product("product 16384 x 128 x 32", 16384, 128, 32);
    bench_product("product 16384 x 64 x 128", 16384, 64, 128);
    bench_product("product 512 x 256 x 256", 512, 256, 256);
    bench_product("product 128 x 128 x 64", 128, 128, 64);
    bench_product("product 64 x 64 x 32", 64, 64, 32);
    bench_nearest("nearest 16384 x 512 codes x 64", 16384, 512, 64);
    bench_nearest("nearest 65536 x 512 codes x 64", 65536, 512, 64);
    bench_nearest("nearest 65536 x 8192 codes x 256", 65536, 8192, 256);
    return 0;
}
