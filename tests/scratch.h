/* What tests of files share: a folder of the test's own, whole files, and what an error says. Include it after cmocka.h. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

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

/* A folder with all that is in it, or a file; nothing if it is not there. */
static inline void remove_all(const char *path) { nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static inline int remove_folder(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

/* How many names there are in the folder. */
static inline int entries(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2; /* . and .. */
}

/* The path of a name in the folder ("": its own); the eighth call after it uses its memory again. */
static inline const char *in_folder(const char *name)
{
    static char paths[8][512];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(paths[turn], sizeof paths[0], "%s%s%s", folder, *name ? "/" : "", name);
    return paths[turn];
}

/* A whole file with a NUL behind it; the caller frees it. */
static inline char *slurp(const char *path, size_t *size)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st)) fail_msg("%s: %m", path);
    *size = (size_t)st.st_size;
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
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

static inline void write_text(const char *path, const char *text) { write_bytes(path, text, strlen(text)); }

static inline void assert_holds(const char *path, const char *text)
{
    size_t size;
    char *bytes = slurp(path, &size);
    assert_int_equal(size, strlen(text));
    assert_string_equal(bytes, text);
    free(bytes);
}

static inline void assert_same_bytes(const char *a, const char *b)
{
    size_t n, m;
    char *x = slurp(a, &n), *y = slurp(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x), free(y);
}

/* A full disk: until the next call no file may grow beyond `bytes`; RLIM_INFINITY: any length. */
static inline void limit_file_size(rlim_t bytes)
{
    struct rlimit r;
    signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN); /* an error of the write instead */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static inline void assert_says(const char *part)
{
    if (!strstr(ag_error_message(), part)) fail_msg("'%s' does not say '%s'", ag_error_message(), part);
}

#endif
