/* Allocations that fail in turn, for programs named tests/test_starve_*.c. They are linked so that every allocation of our own
 * libraries comes here first (the linker's --wrap); those inside shared libraries do not. What is below stays in place, so that
 * the address checker tells of leaks and of memory used after it was freed. One source file of a program includes this. */
#ifndef TESTS_STARVE_H
#define TESTS_STARVE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/error.h"

/* Allocations until the one that fails; negative: none fails. */
static atomic_long starve_countdown = -1;

static bool starve_refuses(void)
{
    if (starve_countdown < 0 || atomic_fetch_sub(&starve_countdown, 1) != 0) return false;
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size), *__real_calloc(size_t n, size_t size), *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
char *__real_strdup(const char *s), *__real_strndup(const char *s, size_t n);
FILE *__real_open_memstream(char **text, size_t *size);

void *__wrap_malloc(size_t size), *__wrap_calloc(size_t n, size_t size), *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size),
    __wrap_asprintf(char **out, const char *format, ...);
char *__wrap_strdup(const char *s), *__wrap_strndup(const char *s, size_t n);
FILE *__wrap_open_memstream(char **text, size_t *size);

void *__wrap_malloc(size_t size) { return starve_refuses() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return starve_refuses() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return starve_refuses() ? NULL : __real_realloc(p, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return starve_refuses() ? NULL : __real_aligned_alloc(alignment, size);
}
int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    return starve_refuses() ? ENOMEM : __real_posix_memalign(out, alignment, size); /* *out keeps its value */
}
char *__wrap_strdup(const char *s) { return starve_refuses() ? NULL : __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n) { return starve_refuses() ? NULL : __real_strndup(s, n); }
FILE *__wrap_open_memstream(char **text, size_t *size)
{
    return starve_refuses() ? NULL : __real_open_memstream(text, size);
}
int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list ap;
    if (starve_refuses()) {
        *out = (char *)1; /* undefined after a failure: nobody may use or free it */
        return -1;
    }
    va_start(ap, format);
    const int n = vasprintf(out, format, ap);
    va_end(ap);
    return n;
}

/* Runs `act` with no failure; then with the first allocation failing, with the second, until it needs no more. Each failure must
 * come out as AG_ERR_MEMORY with a message, or be made good: then `act` (which checks its own result) succeeds. Returns how
 * many failures there were. */
static long starve(const char *name, ag_err (*act)(void))
{
    if (act()) fail_msg("%s: %s", name, ag_error_message());
    for (long n = 0;; n++) {
        assert_true(n < 100000);
        starve_countdown = n;
        const ag_err err = act();
        const bool failed = starve_countdown < 0;
        starve_countdown = -1;
        if (!failed) {
            if (err) fail_msg("%s, after %ld failures: %s", name, n, ag_error_message());
            return n;
        }
        if (err && err != AG_ERR_MEMORY) fail_msg("%s, allocation %ld: error %d, %s", name, n, err, ag_error_message());
        if (err) assert_true(ag_error_message()[0] != '\0');
    }
}

#endif
