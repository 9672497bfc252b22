/* The training step of the CIFAR-10 VQ-VAE on made-up pictures: images/s, GFLOP/s and peak memory.
 *
 *     bench_step [BATCH [STEPS]]        prints the median step after three that do not count
 *
 * tests/bench/compare_torch.sh runs it in turn with the same step in PyTorch. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "autograd/cpu.h"
#include "nn/quantizer.h"
#include "optim/optim.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct step {
    nn_params *params;
    ag_graph *g;
    ag_tensor *pixels, *rate, *number, *latents;
} step;

static const nn_quantizer_opt codebook = {.K = 512, .D = 64, .beta = 0.25, .initial_count = 1, .start = NN_START_DATA};

static step build(int64_t batch)
{
    const nn_vqvae_opt net = {
        .hidden = 128, .residual = 32, .blocks = 2, .downsampling = 2, .D = 64, .channels = 3, .skip_relu = true};
    step s = {.params = nn_params_new(1), .g = ag_graph_new(1)};
    const nn_scope root = nn_root(s.params, s.g, true);
    ag_tensor *params[64], *grads[64];
    s.pixels = ag_input(s.g, "pixels", AG_U8, 4, (int64_t[]){batch, 32, 32, 3});
    s.rate = ag_input(s.g, "rate", AG_REAL, 0, NULL);
    s.number = ag_input(s.g, "step", AG_REAL, 0, NULL);
    ag_tensor *x = ag_from_u8(s.pixels, 1 / 255.0, -0.5);
    s.latents = ag_keep(nn_vqvae_encoder(nn_in(root, "encoder"), x, &net));
    const nn_quantized q = nn_quantize(nn_in(root, "quantizer"), s.latents, &codebook, NULL);
    ag_tensor *y = nn_vqvae_decoder(nn_in(root, "decoder"), q.latents, &net);
    ag_tensor *loss = ag_add(ag_scale(nn_mse(y, x), 1 / 0.0632704), nn_quantized_loss(&q));
    const int n = nn_trainable(s.params, s.g, NULL, params, 64);
    ag_gradient(loss, n, params, grads);
    opt_adam(root, n, params, grads, s.rate, s.number, NULL);
    return s;
}

/* Smooth pictures that differ. */
static void fill(const step *s, int64_t batch)
{
    uint8_t *p = ag_data(s->pixels);
    for (int64_t i = 0; i < batch * 3072; i++) p[i] = (uint8_t)(i / 3072 * 37 + i % 3072 / 96 * 3 + i * 7 % 50);
    *(real *)ag_data(s->rate) = (real)1e-3;
}

static double run(const step *s, int n)
{
    const double start = now();
    *(real *)ag_data(s->number) = (real)n;
    if (ag_graph_run(s->g, (uint64_t)n)) fprintf(stderr, "%s\n", ag_error_message());
    return now() - start;
}

int main(int argc, char **argv)
{
    const int64_t batch = argc > 1 ? atoll(argv[1]) : 256;
    const int steps = argc > 2 ? atoi(argv[2]) : 9;
    if (batch < 1 || steps < 1) return 2;
    step s = build(batch);
    double *seconds = malloc((size_t)steps * sizeof *seconds);
    struct rusage usage;
    if (!seconds || ag_graph_plan(s.g, NULL)) {
        fprintf(stderr, "%s\n", ag_error_message());
        return 1;
    }
    fill(&s, batch);
    ag_graph_run_pure(s.g, 0);
    nn_quantizer_start(s.params, "quantizer", &codebook, ag_numel(s.latents) / 64, ag_data(s.latents), 1);
    for (int i = 1; i <= 3; i++) run(&s, i);
    for (int i = 0; i < steps; i++) seconds[i] = run(&s, i + 4);
    qsort(seconds, (size_t)steps, sizeof *seconds, by_value);
    getrusage(RUSAGE_SELF, &usage);
    const double median = seconds[steps / 2];
    printf("tessera %s batch %lld, %d threads: %.0f images/s (%.1f ms/step, %.0f GFLOP/s), peak RSS %ld MiB\n",
           ag_cpu_kernels(), (long long)batch, omp_get_max_threads(), (double)batch / median, 1e3 * median,
           ag_graph_flops(s.g) / median / 1e9, usage.ru_maxrss / 1024);
    free(seconds);
    ag_graph_free(s.g);
    nn_params_free(s.params);
    return 0;
}
