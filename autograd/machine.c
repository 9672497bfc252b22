/* Measures the machine: see autograd/machine.h. */
#include "autograd/machine.h"

#include <omp.h>
#include <stdlib.h>

#include "autograd/cpu.h"
#include "kernels/kernels.h"

enum { TRIES = 5 };
static const int64_t TURNS = 1000000, STREAM = (INT64_C(32) << 20) / (int64_t)sizeof(real);

static double multiply_adds(int threads, double (*probe)(int64_t turns, real *sink))
{
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double operations = 0;
        const double begin = omp_get_wtime();
#pragma omp parallel num_threads(threads) reduction(+ : operations)
        {
            volatile real kept;
            real sink;
            operations += probe(TURNS, &sink);
            kept = sink;
            (void)kept;
        }
        const double rate = operations / (omp_get_wtime() - begin);
        best = rate > best ? rate : best;
    }
    return best * 1e-9;
}

/* The thread that writes a part first is the one that reads it: pages lie near it. */
static void triad(int threads, const real *a, const real *b, real *y)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < threads; part++) {
        const int64_t first = STREAM * part / threads, end = STREAM * (part + 1) / threads;
        k.probe_triad(end - first, a + first, b + first, y + first);
    }
}

static double streams(int threads, real *memory)
{
    double best = 0;
    real *a = memory, *b = memory + STREAM, *y = memory + 2 * STREAM;
    for (int i = 0; i < TRIES; i++) {
        const double begin = omp_get_wtime();
        triad(threads, a, b, y);
        const double rate = 3.0 * (double)STREAM * sizeof(real) / (omp_get_wtime() - begin);
        best = rate > best ? rate : best;
    }
    return best * 1e-9;
}

ag_err ag_machine_measure(ag_machine *out)
{
    const int threads = omp_get_max_threads();
    real *memory = malloc(3 * (size_t)STREAM * sizeof *memory);
    if (!memory) return ag_fail(AG_ERR_MEMORY, "no memory to measure this machine's memory: %d MiB", 96);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < 3 * threads; part++) {
        const int64_t first = STREAM * (part % threads) / threads, end = STREAM * (part % threads + 1) / threads;
        for (int64_t i = first; i < end; i++) memory[part / threads * STREAM + i] = (real)i;
    }
    *out = (ag_machine){.threads = threads,
                        .gflops = multiply_adds(threads, k.probe_multiply_add),
                        .gflops_one = multiply_adds(1, k.probe_multiply_add),
                        .gbs = streams(threads, memory),
                        .gbs_one = streams(1, memory)};
    if (ag_cpu_bf16()) {
        out->gflops_bf16 = multiply_adds(threads, k.probe_multiply_add_bf16);
        out->gflops_bf16_one = multiply_adds(1, k.probe_multiply_add_bf16);
    }
    free(memory);
    return AG_OK;
}
