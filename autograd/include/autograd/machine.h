/* The limits of this machine, measured: what speeds are to be compared with. */
#ifndef AUTOGRAD_MACHINE_H
#define AUTOGRAD_MACHINE_H

#include "autograd/error.h"

/* Rates of the kernel set in use with `threads` threads, and with one. A multiply-add counts as two operations. */
typedef struct ag_machine {
    int threads;
    double gflops, gflops_one; /* 1e9 operations a second: multiply-adds in registers                              */
    double gflops_bf16, gflops_bf16_one; /* the same with bf16 operands and fp32 sums; 0 where the CPU lacks it       */
    double gbs, gbs_one; /* 1e9 bytes a second from and to memory: y = a + b / 2, three streams, no caches     */
} ag_machine;

/* Measures for about half a second, the best of several tries; takes 96 MiB while it does. Errors: AG_ERR_MEMORY. */
ag_err ag_machine_measure(ag_machine *out);

#endif
