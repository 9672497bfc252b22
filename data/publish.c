#include "data/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct data_publish {
    char *path, *folder, *temporary;
    int fd; /* of the temporary file, kept for the fsync: it reports write errors of every descriptor of the file */
    data_publish *next;
};

/* The publications of this process that are under way. A temporary file with our process number that is not among them
 * was left by a dead process that had the same number (in containers every run may be process 7). */
static data_publish *active;
static pthread_mutex_t active_lock = PTHREAD_MUTEX_INITIALIZER;

ag_err data_io_fail(const char *path, const char *verb, int error)
{
    switch (error) {
    case ENOSPC:
        return ag_fail(AG_ERR_IO, "%s: disk full (cannot %s); free some space, or write elsewhere", path, verb);
    case EDQUOT:
        return ag_fail(AG_ERR_IO, "%s: disk quota used up (cannot %s); free some space, or write elsewhere", path,
                       verb);
    case EFBIG:
        return ag_fail(AG_ERR_IO, "%s: file larger than the limit set for it (cannot %s); see 'ulimit -f'", path, verb);
    case EROFS:
    case EACCES: return ag_fail(AG_ERR_IO, "%s: cannot %s: %s; check the permissions", path, verb, strerror(error));
    case ENOENT: return ag_fail(AG_ERR_IO, "%s: cannot %s: no such file or folder; check the name", path, verb);
    default: return ag_fail(AG_ERR_IO, "%s: cannot %s: %s", path, verb, strerror(error));
    }
}

static void publish_free(data_publish *p)
{
    if (!p) return;
    if (p->fd >= 0) close(p->fd);
    free(p->path), free(p->folder), free(p->temporary);
    free(p);
}

static ag_err publish_new(data_publish **out, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!*name) return ag_fail(AG_ERR_IO, "%s: not a file name; give the name of a file", *path ? path : "''");
    data_publish *p = calloc(1, sizeof *p);
    if (!p) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    p->fd = -1;
    p->path = strdup(path);
    p->folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    const int length = asprintf(&p->temporary, "%.*s.%s.tmp.%ld", (int)(name - path), path, name, (long)getpid());
    if (length < 0) p->temporary = NULL;
    if (!p->path || !p->folder || !p->temporary) {
        publish_free(p);
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    }
    *out = p;
    return AG_OK;
}

static int is_active(const char *temporary)
{
    for (const data_publish *p = active; p; p = p->next)
        if (!strcmp(p->temporary, temporary)) return 1;
    return 0;
}

static void leave_active(data_publish *p)
{
    pthread_mutex_lock(&active_lock);
    data_publish **link = &active;
    while (*link && *link != p) link = &(*link)->next;
    if (*link) *link = p->next;
    pthread_mutex_unlock(&active_lock);
}

/* Creates the temporary file and enters p among the active ones. */
static ag_err publish_create(data_publish *p)
{
    ag_err err = AG_OK;
    pthread_mutex_lock(&active_lock);
    if (is_active(p->temporary)) {
        err = ag_fail(AG_ERR_IO, "%s: is being written already by this process", p->path);
    } else {
        const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
        p->fd = open(p->temporary, flags, 0666);
        if (p->fd < 0 && errno == EEXIST && !unlink(p->temporary)) p->fd = open(p->temporary, flags, 0666);
        if (p->fd < 0)
            err = data_io_fail(p->path, "create a file beside it", errno);
        else
            p->next = active, active = p;
    }
    pthread_mutex_unlock(&active_lock);
    return err;
}

ag_err data_publish_begin(data_publish **out, const char *path)
{
    *out = NULL;
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return ag_fail(AG_ERR_IO, "%s: is a folder; give the name of a file", path);
    data_publish *p = NULL;
    ag_err err = publish_new(&p, path);
    if (err) return err;
    if ((err = publish_create(p)))
        publish_free(p);
    else
        *out = p;
    return err;
}

const char *data_publish_temporary(const data_publish *p) { return p->temporary; }

/* Makes a rename in the folder durable. A file system that cannot flush folders says EINVAL: it has its own ways. */
static ag_err folder_sync(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return data_io_fail(folder, "open the folder", errno);
    const int failed = fsync(fd) && errno != EINVAL ? errno : 0;
    close(fd); /* nothing was written through it */
    return failed ? data_io_fail(folder, "flush the folder", failed) : AG_OK;
}

ag_err data_publish_commit(data_publish *p)
{
    ag_err err = AG_OK;
    int fd = p->fd;
    if (fsync(fd)) {
        err = data_io_fail(p->path, "flush it", errno);
        goto out;
    }
    p->fd = -1;
    if (close(fd)) {
        err = data_io_fail(p->path, "close it", errno);
        goto out;
    }
    if (rename(p->temporary, p->path)) {
        err = data_io_fail(p->path, "rename the finished file", errno);
        goto out;
    }
    leave_active(p);
    err = folder_sync(p->folder);
    publish_free(p);
    return err;
out:
    data_publish_abort(p);
    return err;
}

void data_publish_abort(data_publish *p)
{
    if (!p) return;
    unlink(p->temporary);
    leave_active(p);
    publish_free(p);
}

static ag_err write_all(data_publish *p, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(p->fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return data_io_fail(p->path, "write", n ? errno : EIO);
        done += (size_t)n;
    }
    return AG_OK;
}

ag_err data_publish_bytes(const char *path, const void *bytes, size_t size)
{
    data_publish *p;
    ag_err err = data_publish_begin(&p, path);
    if (err) return err;
    if ((err = write_all(p, bytes, size)))
        data_publish_abort(p);
    else
        err = data_publish_commit(p);
    return err;
}

/* The process number in `.NAME.tmp.PID`, 0 if the name is not of that kind. */
static long temporary_pid(const char *name)
{
    if (name[0] != '.') return 0;
    const char *mark = NULL;
    for (const char *m = name + 1; (m = strstr(m, ".tmp.")); m++) mark = m;
    if (!mark || mark == name + 1) return 0;
    const char *digits = mark + 5;
    const size_t n = strspn(digits, "0123456789");
    return n > 0 && n < 10 && !digits[n] ? strtol(digits, NULL, 10) : 0;
}

void data_publish_clean(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const long pid = temporary_pid(entry->d_name);
        if (pid > 0 && kill((pid_t)pid, 0) && errno == ESRCH) unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}
