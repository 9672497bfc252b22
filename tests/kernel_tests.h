/* What the tests of kernels share: the tables that this CPU can run, memory with guards on both sides, convolutions by product. Include
 * it after cmocka.h. */
#ifndef TESTS_KERNEL_TESTS_H
#define TESTS_KERNEL_TESTS_H

#include <stdlib.h>
#include <string.h>

#include "autograd/random.h"
#include "kernels/kernels.h"

/* ---- tables -------------------------------------------------------------------------------------------------------------- */

extern const k_table k_table_generic;
#if defined(__x86_64__)
extern const k_table k_table_v3, k_table_v4;
#endif

static const k_table *tables[3]; /* the first is k_table_generic */
static int table_count;

/* Fills `tables`; with `bf16` those whose kernels of bf16 run here too. */
static inline void find_tables(bool bf16)
{
    table_count = 0;
    tables[table_count++] = &k_table_generic;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables[table_count++] = &k_table_v3;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && (!bf16 || __builtin_cpu_supports("avx512bf16")))
        tables[table_count++] = &k_table_v4;
#else
    (void)bf16;
#endif
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

enum { GUARD = 256 }; /* bytes of NaN on each side; the address checker, if there is one, refuses any access to them */

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, size)   ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif

/* `bytes` with GUARD bytes of 0xff (a NaN, an impossible code) before and after; not aligned beyond 16. */
static inline void *guarded(size_t bytes)
{
    char *p = malloc(bytes + 2 * GUARD);
    assert_non_null(p);
    memset(p, 0xff, bytes + 2 * GUARD);
    ASAN_POISON_MEMORY_REGION(p, GUARD);
    ASAN_POISON_MEMORY_REGION(p + GUARD + bytes, GUARD);
    return p + GUARD;
}

static inline void guarded_free(void *p, size_t bytes)
{
    const unsigned char *at = p;
    ASAN_UNPOISON_MEMORY_REGION(at - GUARD, GUARD);
    ASAN_UNPOISON_MEMORY_REGION(at + bytes, GUARD);
    for (size_t i = 1; i <= GUARD; i++) {
        assert_int_equal(at[-(ptrdiff_t)i], 0xff);
        assert_int_equal(at[bytes + i - 1], 0xff);
    }
    free((char *)p - GUARD);
}

static uint64_t fill_stream;

static inline real *numbers(int64_t n)
{
    real *p = guarded((size_t)n * sizeof(real));
    fill_stream++;
    for (int64_t i = 0; i < n; i++) p[i] = (real)(ag_random_uniform(7, fill_stream, (uint64_t)i) * 2 - 1);
    return p;
}

static inline void numbers_free(real *p, int64_t n) { guarded_free(p, (size_t)n * sizeof(real)); }

/* ---- convolutions -------------------------------------------------------------------------------------------------------- */

static inline int conv_groups(const k_conv *c) { return c->groups > 1 ? c->groups : 1; }

/* Elements of what a product gives: of y (K_FORWARD), x (K_INPUT) or w (K_WEIGHT). */
static inline int64_t conv_size(const k_conv *c, int product)
{
    return product == K_FORWARD ? c->n * c->ho * c->wo * c->b
           : product == K_INPUT ? c->n * c->h * c->w * c->a
                                : (int64_t)c->kh * c->kw * c->a / conv_groups(c) * c->b;
}

/* The most terms of one element's sum. */
static inline int64_t conv_terms(const k_conv *c, int product)
{
    return product == K_WEIGHT ? c->n * c->ho * c->wo : c->kh * c->kw * (product == K_FORWARD ? c->a : c->b);
}

typedef struct conv_operands {
    const k_conv *c;
    const real *x, *y, *w; /* a product reads two of them */
    const k_epilogue *e;
} conv_operands;

/* One product of one table, in guarded scratch. */
static inline void conv_run(const k_table *t, int product, bool bf16, const conv_operands *o, real *out)
{
    const k_conv *c = o->c;
    const size_t bytes = product == K_FORWARD ? (bf16 ? t->conv_forward_bf16_scratch : t->conv_forward_scratch)(c)
                         : product == K_INPUT ? (bf16 ? t->conv_input_bf16_scratch : t->conv_input_scratch)(c)
                                              : (bf16 ? t->conv_weight_bf16_scratch : t->conv_weight_scratch)(c);
    void *scratch = guarded(bytes);
    if (product == K_FORWARD) (bf16 ? t->conv_forward_bf16 : t->conv_forward)(c, o->x, o->w, o->e, out, scratch);
    if (product == K_INPUT) (bf16 ? t->conv_input_bf16 : t->conv_input)(c, o->y, o->w, o->e, out, scratch);
    if (product == K_WEIGHT) (bf16 ? t->conv_weight_bf16 : t->conv_weight)(c, o->x, o->y, out, scratch);
    guarded_free(scratch, bytes);
}

#endif
