/* Speed of what moves and resamples tensors: GB/s (every byte read once, every byte written once) and share of the bandwidth of
 * a plain copy of the same size measured in the same run; products and convolutions in GFLOP/s.
 *
 *     bench_shape [name part]      only lines whose name contains it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "autograd/cpu.h"
#include "autograd/ops.h"
#include "autograd/random.h"

static const char *only;

#define SIZES(...) ((const int64_t[]){__VA_ARGS__})
#define ORDER(...) ((const int[]){__VA_ARGS__})

/* Best seconds of several runs of the graph, less those of the graph without the op. */
static double best_of(ag_graph *g)
{
    double best = 1e30;
    if (ag_graph_run_pure(g, 1)) exit(1);
    const double until = omp_get_wtime() + 0.2;
    for (int i = 0; i < 5 || omp_get_wtime() < until; i++) {
        const double begin = omp_get_wtime();
        ag_graph_run_pure(g, 1);
        const double t = omp_get_wtime() - begin;
        best = t < best ? t : best;
    }
    return best;
}

static double copy_rate(int64_t bytes)
{
    double best = 1e30;
    char *a = aligned_alloc(64, (size_t)bytes), *b = aligned_alloc(64, (size_t)bytes);
    if (!a || !b) exit(1);
    const int64_t piece = 1 << 16;
    for (int i = 0; i < 8; i++) {
        const double begin = omp_get_wtime();
#pragma omp parallel for schedule(static)
        for (int64_t at = 0; at < bytes; at += piece)
            memcpy(b + at, i ? a + at : memset(a + at, 1, (size_t)(bytes - at < piece ? bytes - at : piece)),
                   (size_t)(bytes - at < piece ? bytes - at : piece));
        const double t = omp_get_wtime() - begin;
        if (i) best = t < best ? t : best;
    }
    free(a), free(b);
    return 2 * (double)bytes / best * 1e-9;
}

typedef ag_tensor *build_fn(ag_tensor *x);

static ag_tensor *input(ag_graph *g, int rank, const int64_t *shape) { return ag_input(g, "x", AG_REAL, rank, shape); }

static void fill(ag_tensor *x)
{
#pragma omp parallel for
    for (int64_t i = 0; i < ag_numel(x); i++)
        ((real *)ag_data(x))[i] = (real)(ag_random_uniform(1, 2, (uint64_t)i) - 0.5);
}

static void moved(const char *name, build_fn *build, int rank, const int64_t *shape)
{
    if (only && !strstr(name, only)) return;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = input(g, rank, shape), *y = ag_keep(build(x));
    if (ag_graph_plan(g, NULL)) {
        fprintf(stderr, "%s: %s\n", name, ag_error_message());
        exit(1);
    }
    fill(x);
    const double bytes = (double)(ag_bytes(x) + ag_bytes(y)), t = best_of(g), rate = bytes / t * 1e-9;
    printf("%-44s %9.3f ms %7.1f GB/s %5.1f %%\n", name, t * 1e3, rate, 100 * rate / copy_rate((int64_t)ag_bytes(x)));
    fflush(stdout);
    ag_graph_free(g);
}

static ag_tensor *heads(ag_tensor *x) { return ag_transpose(x, 1, 2); }
static ag_tensor *last_two(ag_tensor *x) { return ag_transpose(x, -1, -2); }
static ag_tensor *to_chw(ag_tensor *x) { return ag_permute(x, ORDER(0, 3, 1, 2)); }
static ag_tensor *slice_channels(ag_tensor *x) { return ag_slice_axis(x, -1, 32, 64); }
static ag_tensor *pad_image(ag_tensor *x) { return ag_pad(x, SIZES(0, 1, 1, 0), SIZES(0, 1, 1, 0), 0); }
static ag_tensor *concat_channels(ag_tensor *x) { return ag_concat(2, (ag_tensor *[]){x, x}, -1); }
static ag_tensor *shuffle(ag_tensor *x) { return ag_pixel_shuffle(x, 2); }
static ag_tensor *depth(ag_tensor *x) { return ag_depth_to_space(x, 2); }
static ag_tensor *flip(ag_tensor *x) { return ag_flip(x, 2); }
static ag_tensor *nearest(ag_tensor *x) { return ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), AG_NEAREST); }
static ag_tensor *bilinear(ag_tensor *x) { return ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), AG_BILINEAR); }
static ag_tensor *bicubic(ag_tensor *x) { return ag_resize(x, 2 * ag_dim(x, 1), 2 * ag_dim(x, 2), AG_BICUBIC); }
static ag_tensor *area(ag_tensor *x) { return ag_resize(x, ag_dim(x, 1) / 3, ag_dim(x, 2) / 3, AG_AREA); }
static ag_tensor *avg_pool(ag_tensor *x) { return ag_avg_pool2d(x, &(ag_pool2d_options){.kernel = 2}); }
static ag_tensor *max_pool(ag_tensor *x) { return ag_max_pool2d(x, &(ag_pool2d_options){.kernel = 2}); }
static ag_tensor *global(ag_tensor *x) { return ag_global_average(x); }
static ag_tensor *blur(ag_tensor *x) { return ag_filter2d(x, 4, (const double[]){.125, .375, .375, .125}, 2, 2, 1); }
static ag_tensor *depthwise(ag_tensor *x)
{
    const int64_t c = ag_dim(x, -1);
    ag_tensor *w = ag_constant(ag_graph_of(x), 0.1, 4, SIZES(3, 3, 1, c));
    return ag_conv2d(x, w, NULL, NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .groups = (int)c});
}

static void product(const char *name, int64_t batch, int64_t m, int64_t n, int64_t inner)
{
    if (only && !strstr(name, only)) return;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *a = input(g, 3, SIZES(batch, m, inner)), *b = input(g, 3, SIZES(batch, inner, n));
    ag_keep(ag_matmul(a, b, false, false));
    if (ag_graph_plan(g, NULL)) exit(1);
    fill(a), fill(b);
    const double t = best_of(g);
    printf("%-44s %9.3f ms %7.1f GFLOP/s\n", name, t * 1e3,
           2e-9 * (double)batch * (double)m * (double)n * (double)inner / t);
    ag_graph_free(g);
}

/* x [..] with a kernel of 3 along every axis of space (and time), A to B channels. */
static void convolution(const char *name, int rank, const int64_t *shape, int64_t b, int groups, int dilation)
{
    if (only && !strstr(name, only)) return;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = input(g, rank, shape), *w;
    const int d = dilation;
    const int64_t a = shape[rank - 1] / groups;
    if (rank == 4) {
        w = input(g, 4, SIZES(3, 3, a, b));
        ag_keep(
            ag_conv2d(x, w, NULL, NULL, &(ag_conv2d_options){.pad = {d, d, d, d}, .groups = groups, .dilation = d}));
    } else {
        w = input(g, 5, SIZES(3, 3, 3, a, b));
        ag_keep(ag_conv3d(x, w, NULL, NULL, &(ag_conv3d_options){.pad = {2, 0, 1, 1, 1, 1}}));
    }
    if (ag_graph_plan(g, NULL)) exit(1);
    fill(x), fill(w);
    const double t = best_of(g), taps = rank == 4 ? 9 : 27;
    printf("%-44s %9.3f ms %7.1f GFLOP/s\n", name, t * 1e3, 2e-9 * taps * (double)ag_numel(x) / groups * (double)b / t);
    ag_graph_free(g);
}

int main(int argc, char **argv)
{
    only = argc > 1 ? argv[1] : NULL;
    printf("%s, %d threads, kernels %s\n", ag_cpu_model(), ag_cpu_threads(), ag_cpu_kernels());
    moved("heads [16,256,8,64] -> [16,8,256,64]", heads, 4, SIZES(16, 256, 8, 64));
    moved("transpose [64,256,512]", last_two, 3, SIZES(64, 256, 512));
    moved("images to channels first [32,64,64,64]", to_chw, 4, SIZES(32, 64, 64, 64));
    moved("slice 64 of 128 channels", slice_channels, 4, SIZES(32, 32, 32, 128));
    moved("pad by 1 [32,32,32,128]", pad_image, 4, SIZES(32, 32, 32, 128));
    moved("concat channels [32,32,32,128] x 2", concat_channels, 4, SIZES(32, 32, 32, 128));
    moved("flip columns [32,32,32,128]", flip, 4, SIZES(32, 32, 32, 128));
    moved("pixel shuffle 2 [32,32,32,256]", shuffle, 4, SIZES(32, 32, 32, 256));
    moved("depth to space 2 [32,32,32,256]", depth, 4, SIZES(32, 32, 32, 256));
    moved("nearest x2 [32,32,32,128]", nearest, 4, SIZES(32, 32, 32, 128));
    moved("bilinear x2 [32,32,32,128]", bilinear, 4, SIZES(32, 32, 32, 128));
    moved("bicubic x2 [32,32,32,128]", bicubic, 4, SIZES(32, 32, 32, 128));
    moved("area / 3 [32,48,48,64]", area, 4, SIZES(32, 48, 48, 64));
    moved("average pool 2 [32,64,64,64]", avg_pool, 4, SIZES(32, 64, 64, 64));
    moved("max pool 2 [32,64,64,64]", max_pool, 4, SIZES(32, 64, 64, 64));
    moved("global average [32,64,64,64]", global, 4, SIZES(32, 64, 64, 64));
    moved("blur, stride 2 [32,64,64,64]", blur, 4, SIZES(32, 64, 64, 64));
    moved("depthwise c3 [32,32,32,128]", depthwise, 4, SIZES(32, 32, 32, 128));
    product("128 products 256 x 256 x 64", 128, 256, 256, 64);
    product("1024 products 64 x 64 x 64", 1024, 64, 64, 64);
    convolution("c3 128->128 [8,32,32,128]", 4, SIZES(8, 32, 32, 128), 128, 1, 1);
    convolution("c3 dilation 2 128->128 [8,32,32,128]", 4, SIZES(8, 32, 32, 128), 128, 1, 2);
    convolution("c3 4 groups 128->128 [8,32,32,128]", 4, SIZES(8, 32, 32, 128), 128, 4, 1);
    convolution("c333 causal 64->64 [2,8,32,32,64]", 5, SIZES(2, 8, 32, 32, 64), 64, 1, 1);
    return 0;
}
