/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as
 * 1, 2, 3"). A number is a pure function of (seed, stream, index); there is no state to carry, so any thread can make
 * any number, and a resumed run makes the same ones. Use one stream per purpose and step: `ag_random_stream`. */
#ifndef AUTOGRAD_RANDOM_H
#define AUTOGRAD_RANDOM_H

#include <stdint.h>

/* Four 32-bit words for one counter. */
void ag_random_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);

/* One 64-bit word. */
uint64_t ag_random_u64(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in [0,1), 53 bits. */
double ag_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);

/* Standard normal (Box-Muller on one block). */
double ag_random_normal(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform integer in 0..n-1, n > 0, without modulo bias beyond 2^-64. */
uint64_t ag_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n);

/* A stream number for (step, purpose): distinct pairs below 2^40 x 2^24 give distinct streams. */
uint64_t ag_random_stream(uint64_t step, uint64_t purpose);

/* A stable 64-bit hash of a name (FNV-1a), for streams and keys. */
uint64_t ag_hash_name(const char *name);

/* out = a permutation of 0..n-1 (Fisher-Yates), a function of (seed, stream) alone. */
void ag_random_permutation(uint64_t seed, uint64_t stream, int64_t n, int64_t *out);

#endif
