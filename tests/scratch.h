/* What tests of files share: a folder of the test's own, whole files, and what an error says. Include it after cmocka.h. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/error.h"

static char folder[64];

/* Set-up and tear-down, of a test or of a group. */
static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tessera-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path of a name in the folder; the fourth call after it uses its memory again. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][400];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

/* A whole file of less than 1 MiB with a NUL behind it; the caller frees it. */
static inline char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(1 << 20);
    assert_non_null(bytes);
    *size = fread(bytes, 1, (1 << 20) - 1, f);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static inline void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static inline void assert_says(const char *part)
{
    if (!strstr(ag_error_message(), part)) fail_msg("'%s' does not say '%s'", ag_error_message(), part);
}

#endif
