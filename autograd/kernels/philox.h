/* Philox4x32-10 for kernels: 64 words at a time, the function of autograd/random.h.
 *
 * Element i of a random tensor is word (i / 16) % 4 of the block with counter i / 64 * 16 + i % 16, so that a group of 64
 * neighbours needs 16 blocks, side by side in vectors of any width, and no reordering. */
#ifndef KERNELS_PHILOX_H
#define KERNELS_PHILOX_H

#include <stdint.h>

enum { PHILOX_LANES = 16, PHILOX_GROUP = 64 };

static inline __attribute__((always_inline)) void philox_group(uint64_t seed, uint64_t stream, uint64_t group,
                                                               uint32_t word[PHILOX_GROUP])
{
#pragma omp simd
    for (int j = 0; j < PHILOX_LANES; j++) {
        const uint64_t counter = group * PHILOX_LANES + (uint64_t)j;
        uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
        uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            const uint32_t h0 = (uint32_t)(((uint64_t)0xD2511F53u * c0) >> 32), l0 = 0xD2511F53u * c0;
            const uint32_t h1 = (uint32_t)(((uint64_t)0xCD9E8D57u * c2) >> 32), l1 = 0xCD9E8D57u * c2;
            c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        word[j] = c0, word[16 + j] = c1, word[32 + j] = c2, word[48 + j] = c3;
    }
}

#endif
