/* Memory for the tests of kernels, with guards on both sides. */
#ifndef TESTS_GUARDED_H
#define TESTS_GUARDED_H

#include "autograd/random.h"
#include "autograd/real.h"

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

#endif
