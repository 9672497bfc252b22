/* For the files of this folder only: K(relu) is relu's name in the instruction set being compiled. */
#ifndef AUTOGRAD_KERNEL_H
#define AUTOGRAD_KERNEL_H

#include "kernels.h"

#define K_JOIN2(a, b) a##_##b
#define K_JOIN(a, b)  K_JOIN2(a, b)
#define K(name)       K_JOIN(k_##name, K_SET)

#define AG_KERNEL(type, name, args) type K(name) args;
#include "kernels.def"
#undef AG_KERNEL

#endif
