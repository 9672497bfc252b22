/* Kernels: loops over plain memory that know no graph.
 *
 * Every .c file in this folder is compiled once per instruction set (autograd/CMakeLists.txt): generic, x86-64-v3 (AVX2,
 * FMA) and x86-64-v4 (AVX-512); on ARM only generic, which is NEON there. Each compilation fills one table of function
 * pointers from kernels.def; `k` is the best table this CPU can run, chosen before main. Call a kernel as `k.relu(n, x, y)`.
 * Kernels named _bf16 may be called where ag_cpu_bf16 says so, and of the tables other than v4 (where they round alike, but
 * are no faster).
 *
 * A kernel takes pointers and sizes, returns nothing, allocates nothing, writes all of its output and none of its
 * input. `scratch` is working memory of at least the bytes that the kernel's _scratch function gives for the same
 * arguments and the current number of threads; its content is undefined before and after. Pointers are 64-byte aligned
 * where the caller has whole tensors, but no kernel relies on it.
 *
 * Threads: each kernel is one OpenMP loop over tiles, each output has one writer, and no sum depends on how tiles are shared
 * out: partial sums are cut by shape and added in tile order. So the number of threads never changes a bit of the result.
 *
 * Everything hot is one idea. Multiply-adds reach the machine's peak only from registers, so a result is cut into tiles of
 * K_ROWS rows times two vectors of columns (8 x 32 floats with AVX-512), whose sums fill the registers; one step of a sum
 * reads two vectors of the right side, packed so that they follow one another, and one number of each row of the left side, where
 * it lies. In channels-last images the rows are pixels and the columns are channels, so a product, a convolution and a codebook
 * search are the same loop. Read in this order:
 *
 *   vector.h            the vector type, panels, the register tile
 *   gemm.c              a product: units, chunks of terms, panels, tiles
 *   conv.c              a convolution and its transpose: weights as panels, a band of pixels with its border of zeros copied to
 *                       the cache, tiles that walk over it; bias, residual and activation in registers; few channels
 *   conv_few.c          the same with up to four result channels: the columns of the product are the taps, added up afterwards
 *   conv_weight.c       its weight gradient: the same tile, rows and columns are channels, the sum runs over pixels
 *   minimal.h, window.h, winograd*.c, stride2.c, minimal_weight.c     3x3 of step 1 and 4x4 of step 2 with fewer multiplications
 *   nearest.c           the codebook search: a product whose tiles end in a running minimum instead of a store
 *   attention*.c        tiles of queries against packed keys and values, with running maxima
 *   norm.c, softmax.c, row_math.h, vector_math.h            rows in one or two passes; exp, log, erf, tanh in vectors
 *
 * conv.c chooses: depthwise, stride2, winograd, few or direct, by shape alone. */
#ifndef AUTOGRAD_KERNELS_H
#define AUTOGRAD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "autograd/real.h"

/* One convolution, described from its forward side: x [n,h,w,a] * w [kh,kw,a/groups,b] -> y [n,ho,wo,b], where
 * y[oy,ox] sums x[oy*stride + ky*dilation - top, ox*stride + kx*dilation - left] * w[ky,kx]; x is zero outside. Output
 * channels g*b/groups and on read the input channels g*a/groups and on. */
typedef struct k_conv {
    int64_t n, h, w, a;
    int64_t ho, wo, b;
    int kh, kw, stride, top, left;
    int dilation, groups; /* 0 means 1 */
} k_conv;

/* The three products of a convolution. */
enum { K_FORWARD, K_INPUT, K_WEIGHT };

/* The same over frames: x [n,t,h,w,a] * w [kt,kh,kw,a,b] -> y [n,to,ho,wo,b]; `frame` describes one frame (its n is not
 * used), y[o] sums over x[o*step + kt*apart - front]. */
typedef struct k_conv3d {
    k_conv frame;
    int64_t n, t, to;
    int kt, step, apart, front;
} k_conv3d;

/* A linear map along an axis: out[o] = sum over j < count[o] of weight[o * width + j] * in[start[o] + j]. */
typedef struct k_taps {
    int64_t in, out;
    int width;
    bool identity;
    const int64_t *start;
    const int32_t *count;
    const real *weight;
} k_taps;

enum { K_LINEAR, K_RELU, K_SILU };

/* What is done to a result before it is stored: y = activation(sum + bias + residual). Pointers may be NULL. */
typedef struct k_epilogue {
    const real *bias;     /* one per output channel */
    const real *residual; /* like the output */
    int activation;       /* K_LINEAR, K_RELU */
} k_epilogue;

/* A normalisation of x [n,s,c]: statistics per n and per group of c / groups channels, over s positions. */
enum { K_NORM_MEAN, K_NORM_RMS, K_NORM_L2 };
typedef struct k_norm {
    int64_t n, s, groups, c;
    int kind;       /* RMS and L2 only with s = groups = 1 */
    int activation; /* K_LINEAR, K_RELU, K_SILU */
    double epsilon;
} k_norm;

/* Attention of q [n,lq,heads,d] to k and v [n,lk,heads,d]. */
typedef struct k_attention {
    int64_t n, lq, lk, heads, d;
    double scale;
    const uint8_t *mask;        /* 0: may not attend; NULL: all may */
    int64_t mask_n, mask_query; /* distance of samples and of queries in it, 0 where shared; keys are neighbours */
    const real *bias;           /* [heads,lq,lk] added to the scaled products, or NULL */
} k_attention;

/* Operand of a broadcasting element-wise kernel: strides in elements per axis, 0 where repeated. */
typedef struct k_strided {
    const real *data;
    int64_t stride[6];
} k_strided;

typedef struct k_table {
    const char *name;
#define AG_KERNEL(type, name, args) type(*name) args;
#include "kernels.def"
#undef AG_KERNEL
} k_table;

extern k_table k;

#endif
