/* What this machine offers, and which kernels run on it. */
#ifndef AUTOGRAD_CPU_H
#define AUTOGRAD_CPU_H

#include <stdbool.h>

#include "autograd/error.h"

/* Name of the kernel set in use: "x86-64-v4" (AVX-512), "x86-64-v3" (AVX2 and FMA), "generic"; "neon" on ARM. The environment variable
 * TESSERA_KERNELS with one of these names forces a lower set (tests). */
const char *ag_cpu_kernels(void);

/* Whether products and convolutions can run in bf16 (ag_graph_precision): AVX512_BF16, and the kernel set in use is x86-64-v4. */
bool ag_cpu_bf16(void);

/* Model name of the processor, "unknown" if it cannot be read. */
const char *ag_cpu_model(void);

/* Physical cores in the affinity mask (cpuset) of this process: of CPUs that share a core, the lowest is counted. Two threads on one core
 * would share its multiply-add units. `root` is "/sys/devices/system/cpu", or a folder like it (tests); where it does not say what
 * shares a core, every CPU is one. */
int ag_cpu_cores(const char *root);

/* Number of threads that kernels use; setting it changes the speed, never a bit of a result. n < 1: OMP_NUM_THREADS if it is
 * set, else as many as the process has cores (ag_cpu_cores), and no more than its cgroup quota gives. A graph uses at most as many as there were when it was
 * planned. */
int ag_cpu_threads(void);
void ag_cpu_set_threads(int n);

/* The first call of main: threads that wait for the others look some thousand times, about 50 microseconds, and then sleep. GNU's
 * OpenMP library lets them spin for milliseconds, which keeps a thread that shares its core from the work that all wait for: beside
 * one other busy program steps took up to fifty times as long. The library reads its environment once, so this sets GOMP_SPINCOUNT
 * and runs the program again with the same arguments, at a cost of a few milliseconds. Returns at once if the user has set
 * GOMP_SPINCOUNT or OMP_WAIT_POLICY, and where a program cannot be run again. */
void ag_cpu_start(char **argv);

#endif
