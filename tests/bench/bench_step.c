/* Training steps on made-up data: samples/s, GFLOP/s and peak memory.
 *
 *     bench_step [WORK [BATCH [STEPS [DEPTH]]]] [bf16]        prints the median step after three that do not count
 *
 * Without STEPS, or with 0: nine steps, or as many as take two seconds. Shorter works would be measured before the machine is warm.
 * With DEPTH also the profile, per operation and per scope of DEPTH name parts.
 * Works: vqvae (CIFAR-10), encode (its codes only), vqgan64 (the VQGAN network at 64 px), gpt-WIDTH-LENGTH (eight blocks). A number
 * instead of a work is the batch of vqvae. tests/bench/compare_torch.sh runs it in turn with the same works in PyTorch. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "autograd/cpu.h"
#include "nn/networks.h"
#include "nn/quantizer.h"
#include "optim/optim.h"

enum { MOST_PARAMETERS = 512 };

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

/* ---- works -------------------------------------------------------------------------------------------------------- */

typedef struct work work;

typedef struct step {
    nn_params *params;
    ag_graph *g;
    nn_scope root;
    int64_t batch;
    ag_tensor *data, *rate, *number;
    int codes; /* data is i32 of 0..codes-1; 0: pixels */
} step;

struct work {
    const char *name;
    int64_t batch; /* usual */
    ag_tensor *(*loss)(step *s, const work *w);
    int64_t width, length;
    bool forward; /* no training: the tensor that `loss` gives is kept */
};

static ag_tensor *images(step *s, int64_t size)
{
    s->data = ag_input(s->g, "pixels", AG_U8, 4, (int64_t[]){s->batch, size, size, 3});
    return s->data;
}

static const nn_vqvae_opt cifar10 = {
    .hidden = 128, .residual = 32, .blocks = 2, .downsampling = 2, .D = 64, .channels = 3, .skip_relu = true};
static const nn_quantizer_opt ema = {.K = 512, .D = 64, .beta = 0.25, .initial_count = 1};

static ag_tensor *vqvae(step *s, const work *w)
{
    (void)w;
    ag_tensor *x = ag_from_u8(images(s, 32), 1 / 255.0, -0.5);
    ag_tensor *z = nn_vqvae_encoder(nn_in(s->root, "encoder"), x, &cifar10);
    const nn_quantized q = nn_quantize(nn_in(s->root, "quantizer"), z, &ema, NULL);
    ag_tensor *y = nn_vqvae_decoder(nn_in(s->root, "decoder"), q.latents, &cifar10);
    return ag_add(ag_scale(nn_mse(y, x), 1 / 0.0632704), nn_quantized_loss(&q));
}

static ag_tensor *encode(step *s, const work *w)
{
    (void)w;
    ag_tensor *x = ag_from_u8(images(s, 32), 1 / 255.0, -0.5);
    ag_tensor *z = nn_vqvae_encoder(nn_in(s->root, "encoder"), x, &cifar10);
    return nn_quantize(nn_in(s->root, "quantizer"), z, &ema, NULL).codes;
}

static ag_tensor *vqgan64(step *s, const work *w)
{
    (void)w;
    const nn_vqgan_opt net = {.ch = 64,
                              .levels = 3,
                              .ch_mult = {1, 2, 2},
                              .blocks = 2,
                              .encoder_attention = {[2] = true},
                              .decoder_attention = {[2] = true},
                              .z_channels = 64,
                              .channels = 3};
    const nn_quantizer_opt gradient = {.K = 512, .D = 64, .beta = 0.25, .rule = NN_CODEBOOK_GRADIENT};
    ag_tensor *x = ag_from_u8(images(s, 64), 1 / 127.5, -1);
    ag_tensor *z = nn_vqgan_encoder(nn_in(s->root, "encoder"), x, &net);
    const nn_quantized q = nn_quantize(nn_in(s->root, "quantizer"), z, &gradient, NULL);
    ag_tensor *y = nn_vqgan_decoder(nn_in(s->root, "decoder"), q.latents, &net);
    return ag_add(ag_mean(ag_abs(ag_sub(y, x))), nn_quantized_loss(&q));
}

static ag_tensor *gpt(step *s, const work *w)
{
    const nn_gpt_opt net = {
        .codes = 1024, .slots = w->length, .width = w->width, .stack = {.blocks = 8, .heads = w->width / 64}};
    s->codes = 1024;
    s->data = ag_input(s->g, "codes", AG_I32, 2, (int64_t[]){s->batch, w->length + 1});
    ag_tensor *logits = nn_gpt(s->root, ag_slice_axis(s->data, 1, 0, w->length), &net);
    return ag_cross_entropy(logits, ag_slice_axis(s->data, 1, 1, w->length), NULL, 0);
}

static const work works[] = {
    {"vqvae", 256, vqvae, 0, 0, false},        {"encode", 256, encode, 0, 0, true},
    {"vqgan64", 8, vqgan64, 0, 0, false},      {"gpt-256-64", 16, gpt, 256, 64, false},
    {"gpt-256-256", 16, gpt, 256, 256, false}, {"gpt-512-64", 16, gpt, 512, 64, false},
    {"gpt-512-256", 16, gpt, 512, 256, false},
};

static ag_precision precision;

/* ---- steps -------------------------------------------------------------------------------------------------------- */

static step build(const work *w, int64_t batch)
{
    step s = {.params = nn_params_new(1), .g = ag_graph_new(1), .batch = batch};
    ag_tensor *params[MOST_PARAMETERS], *grads[MOST_PARAMETERS];
    if (!w->forward) ag_graph_precision(s.g, precision);
    s.root = nn_root(s.params, s.g, !w->forward);
    s.rate = ag_input(s.g, "rate", AG_REAL, 0, NULL);
    s.number = ag_input(s.g, "step", AG_REAL, 0, NULL);
    ag_tensor *loss = ag_keep(w->loss(&s, w));
    if (w->forward) return s;
    const int n = nn_trainable(s.params, s.g, NULL, params, MOST_PARAMETERS);
    ag_gradient(loss, n, params, grads);
    opt_adam(s.root, n, params, grads, s.rate, s.number, NULL);
    return s;
}

/* Smooth pictures, or codes, that differ. */
static void fill(const step *s)
{
    const int64_t n = ag_numel(s->data), one = n / s->batch;
    for (int64_t i = 0; i < n; i++) {
        if (s->codes)
            ((int32_t *)ag_data(s->data))[i] = (int32_t)((uint32_t)i * 2654435761u % (uint32_t)s->codes);
        else
            ((uint8_t *)ag_data(s->data))[i] = (uint8_t)(i / one * 37 + i % one / 96 * 3 + i * 7 % 50);
    }
    *(real *)ag_data(s->rate) = (real)1e-4;
}

static double run(const step *s, int n)
{
    const double start = now();
    *(real *)ag_data(s->number) = (real)n;
    if (ag_graph_run(s->g, (uint64_t)n)) fprintf(stderr, "%s\n", ag_error_message());
    return now() - start;
}

static int measure(const work *w, int64_t batch, int steps, int profile)
{
    step s = build(w, batch);
    const int most = steps ? steps : 1000, least = steps ? steps : 9;
    double *seconds = malloc((size_t)most * sizeof *seconds);
    struct rusage usage;
    const bool ready = seconds && !ag_graph_plan(s.g, NULL);
    if (ready) {
        fill(&s);
        for (int i = 1; i <= 3; i++) run(&s, i);
        ag_graph_profile(s.g, profile > 0);
        int n = 0;
        for (const double end = now() + 2; n < most && (n < least || now() < end); n++) seconds[n] = run(&s, n + 4);
        qsort(seconds, (size_t)n, sizeof *seconds, by_value);
        getrusage(RUSAGE_SELF, &usage);
        const double median = seconds[n / 2];
        printf("tessera %s %s batch %lld, %d threads: %.1f samples/s (%.1f ms/step, %.0f GFLOP/s), peak RSS %ld MiB\n",
               ag_cpu_kernels(), w->name, (long long)batch, omp_get_max_threads(), (double)batch / median, 1e3 * median,
               ag_graph_flops(s.g) / median / 1e9, usage.ru_maxrss / 1024);
        ag_machine machine;
        if (profile) ag_graph_profile_print(s.g, profile, ag_machine_measure(&machine) ? NULL : &machine, stdout);
    } else
        fprintf(stderr, "%s\n", ag_error_message());
    free(seconds);
    ag_graph_free(s.g);
    nn_params_free(s.params);
    return ready ? 0 : 1;
}

int main(int argc, char **argv)
{
    ag_cpu_start(argv);
    if (argc > 1 && !strcmp(argv[argc - 1], "bf16")) precision = AG_BF16, argc--;
    const bool named = argc > 1 && (argv[1][0] < '0' || argv[1][0] > '9');
    const char *name = named ? argv[1] : "vqvae";
    const work *w = NULL;
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        if (!strcmp(works[i].name, name)) w = &works[i];
    const int64_t batch = argc > 1 + named ? atoll(argv[1 + named]) : w ? w->batch : 0;
    const int steps = argc > 2 + named ? atoi(argv[2 + named]) : 0;
    if (w && batch >= 1 && steps >= 0) return measure(w, batch, steps, argc > 3 + named ? atoi(argv[3 + named]) : 0);
    fprintf(stderr, "bench_step [WORK [BATCH [STEPS [DEPTH]]]] [bf16]; works:");
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) fprintf(stderr, " %s", works[i].name);
    fprintf(stderr, "\n");
    return 2;
}
