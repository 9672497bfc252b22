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

/* Number of threads that kernels use; setting it changes the speed, never a bit of a result. n < 1: OMP_NUM_THREADS if it is
 * set, else all that the cpuset and the cgroup quota of this process give. A graph uses at most as many as there were when it was
 * planned. */
int ag_cpu_threads(void);
void ag_cpu_set_threads(int n);

#endif
