/* What the units of one core can do at best with bf16 operands, for autograd/machine.c to measure. */
#include "bf16.h"

enum { CHAINS = 12 }; /* as in probe.c */

double K(probe_multiply_add_bf16)(int64_t turns, real *sink)
{
    real terms[2 * VL];
    k_pair pairs[2 * VL], factor[2];
    kv chain[CHAINS];
    for (int i = 0; i < 2 * VL; i++) terms[i] = (real)1e-3;
    k_pairs_of_terms(terms, 2 * VL, pairs);
    k_pairs_of_terms((const real[]){(real)0.5, (real)-0.5}, 2, factor);
    const k_pairs x = k_pairs_load(pairs);
    for (int i = 0; i < CHAINS; i++) chain[i] = (kv){0} + (real)i;
    for (int64_t n = 0; n < turns; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) chain[i] = k_pairs_add(chain[i], x, factor[0]);
    }
    for (int i = 1; i < CHAINS; i++) chain[0] += chain[i];
    *sink = chain[0][0];
    return 2.0 * CHAINS * VL * PAIR * (double)turns;
}
