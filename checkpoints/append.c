#include "append.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/publish.h"

struct ckpt__append {
    int fd;
    char *path;
};

ag_err ckpt__append_open(ckpt__append **out, const char *path, bool fresh)
{
    *out = NULL;
    ckpt__append *a = malloc(sizeof *a);
    char *name = strdup(path);
    if (!a || !name) {
        free(a);
        free(name);
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    }
    *a = (ckpt__append){open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | (fresh ? O_EXCL : 0), 0666), name};
    if (a->fd < 0) {
        const ag_err err = data_io_fail(path, "open it for appending", errno);
        ckpt__append_close(a);
        return err;
    }
    *out = a;
    return AG_OK;
}

void ckpt__append_close(ckpt__append *a)
{
    if (!a) return;
    if (a->fd >= 0) close(a->fd);
    free(a->path);
    free(a);
}

ag_err ckpt__append_write(ckpt__append *a, const void *bytes, size_t size)
{
    struct stat before;
    if (fstat(a->fd, &before)) return data_io_fail(a->path, "look at it", errno);
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(a->fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        const int error = n < 0 ? errno : ENOSPC;
        if (done > 0 && ftruncate(a->fd, before.st_size))
            return data_io_fail(a->path, "take back half a record", errno);
        return data_io_fail(a->path, "append to it", error);
    }
    return AG_OK;
}

int ckpt__append_last(const ckpt__append *a)
{
    struct stat st;
    unsigned char last;
    if (fstat(a->fd, &st) || st.st_size < 1 || pread(a->fd, &last, 1, st.st_size - 1) != 1) return -1;
    return last;
}

ag_err ckpt__append_sync(ckpt__append *a)
{
    return fsync(a->fd) && errno != EINVAL ? data_io_fail(a->path, "flush it", errno) : AG_OK;
}

double ckpt__now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
