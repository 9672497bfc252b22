/* Attention over a cache: the keys and values of earlier slots, then new ones. A few queries at a time, so the work is reading
 * the cache once; one thread per head of a sample. */
#include "row_math.h"

#include <omp.h>

static int64_t score_room(const k_attention *o, int64_t slots) { return k_blocks(slots + o->lk, VL) * VL; }

size_t K(attention_cached_scratch)(const k_attention *o, int64_t slots)
{
    return 64 + (size_t)(score_room(o, slots) * omp_get_max_threads()) * sizeof(real);
}

/* Does the query at slot `query` see slot `key`? */
static bool sees(const k_attention *o, int64_t query, int64_t key)
{
    return o->mask ? o->mask[query * o->mask_query + key] != 0 : key <= query;
}

static void one_row(const k_attention *o, int64_t n, int64_t h, int64_t i, int64_t slots, int64_t position,
                    const real *q, const real *const *keys, const real *const *values, real *y, real *s)
{
    const int64_t stride = o->heads * o->d, all = position + o->lk, query = ((n * o->lq + i) * o->heads + h) * o->d;
    const int64_t first[2] = {(n * slots * o->heads + h) * o->d, (n * o->lk * o->heads + h) * o->d};
    for (int64_t j = 0; j < all; j++) {
        const int fresh = j >= position;
        const real *row = keys[fresh] + first[fresh] + (fresh ? j - position : j) * stride;
        s[j] = sees(o, position + i, j) ? (real)o->scale * k_row_dot(q + query, row, o->d) : -(real)INFINITY;
    }
    const real most = k_row_max(s, all);
    const real sum = k_row_exp(s, most == -(real)INFINITY ? 0 : most, all, s), inverse = sum > 0 ? 1 / sum : 0;
    real *restrict to = y + query;
    for (int64_t c = 0; c < o->d; c++) to[c] = 0;
    for (int64_t j = 0; j < all; j++) {
        const int fresh = j >= position;
        const real *restrict row = values[fresh] + first[fresh] + (fresh ? j - position : j) * stride;
        const real weight = s[j] * inverse;
        if (weight == 0) continue;
#pragma omp simd
        for (int64_t c = 0; c < o->d; c++) to[c] += weight * row[c];
    }
}

void K(attention_cached)(const k_attention *o, int64_t slots, int64_t position, const real *q, const real *k_,
                         const real *v, const real *cache_k, const real *cache_v, real *y, void *scratch)
{
    real *memory = (real *)k_align_pointer(scratch);
    const real *const keys[2] = {cache_k, k_}, *const values[2] = {cache_v, v};
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < o->n * o->heads; t++)
        for (int64_t i = 0; i < o->lq; i++)
            one_row(o, t / o->heads, t % o->heads, i, slots, position, q, keys, values, y,
                    memory + omp_get_thread_num() * score_room(o, slots));
}
