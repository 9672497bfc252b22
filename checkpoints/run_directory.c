#include "checkpoints/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/publish.h"

struct ckpt_run {
    char *path[CKPT_RUN_FILES];
    int lock; /* descriptor of .lock, -1: none */
    bool locked;
    cJSON *config;
};

static const char *const file_names[CKPT_RUN_FILES] = {
    [CKPT_RUN_JSON] = "run.json", [CKPT_RUN_METRICS] = "metrics.jsonl", [CKPT_RUN_CHECKPOINT] = "checkpoint.h5",
    [CKPT_RUN_BEST] = "best.h5",  [CKPT_RUN_SAMPLES] = "samples",       [CKPT_RUN_REPORT] = "report.html",
};

static char *join(const char *folder, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* "runs/a/" and "runs/a" are the same; "/" stays. */
static char *without_slash(const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    return strndup(folder, n);
}

void ckpt_run_close(ckpt_run *run)
{
    if (!run) return;
    if (run->lock >= 0) close(run->lock);
    for (int i = 0; i < CKPT_RUN_FILES; i++) free(run->path[i]);
    cJSON_Delete(run->config);
    free(run);
}

static ag_err run_new(ckpt_run **out, const char *folder)
{
    *out = NULL;
    if (!*folder) return ag_fail(AG_ERR_USAGE, "the name of the run folder is empty; give one with -o");
    ckpt_run *run = calloc(1, sizeof *run);
    bool ok = run;
    if (run) run->lock = -1;
    for (int i = 0; i < CKPT_RUN_FILES && ok; i++) {
        run->path[i] = file_names[i] ? join(run->path[CKPT_RUN_FOLDER], file_names[i]) : without_slash(folder);
        ok = run->path[i];
    }
    if (!ok) {
        ckpt_run_close(run);
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", folder);
    }
    *out = run;
    return AG_OK;
}

/* ---- folders ---------------------------------------------------------------------------------------------------------- */

static ag_err make_folder(const char *path)
{
    struct stat st;
    if (!mkdir(path, 0777)) return AG_OK;
    const int error = errno;
    if (error == EEXIST && !stat(path, &st) && S_ISDIR(st.st_mode)) return AG_OK;
    if (error == EEXIST) return ag_fail(AG_ERR_IO, "%s: is a file; give another name for the folder", path);
    return data_io_fail(path, "make the folder", error);
}

static ag_err make_folders(const char *path)
{
    char *part = strdup(path);
    ag_err err = part ? AG_OK : ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    for (char *slash = part; !err && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        err = make_folder(part);
        *slash = '/';
    }
    free(part);
    return err ? err : make_folder(path);
}

bool ckpt_run_exists(const char *folder)
{
    static const ckpt_run_file signs[] = {CKPT_RUN_JSON, CKPT_RUN_CHECKPOINT, CKPT_RUN_METRICS};
    bool found = false;
    for (size_t i = 0; i < sizeof signs / sizeof *signs && !found; i++) {
        char *path = join(folder, file_names[signs[i]]);
        found = path && access(path, F_OK) == 0;
        free(path);
    }
    return found;
}

/* ---- the lock --------------------------------------------------------------------------------------------------------- */

/* flock belongs to the open file: it goes with the process, however it ends. The number in the file is for the message. */
static ag_err held_by_other(int fd, const char *folder)
{
    char text[32] = "";
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n > 0) text[strcspn(text, "\n")] = 0;
    return ag_fail(AG_ERR_FAILED,
                   "%s: another training is at work in it (process %s); stop that one first, or give "
                   "another folder",
                   folder, n > 0 ? text : "unknown");
}

static ag_err take_lock(ckpt_run *run)
{
    const char *folder = run->path[CKPT_RUN_FOLDER];
    char *path = join(folder, ".lock"), text[32];
    ag_err err = AG_OK;
    if (!path) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", folder);
    const int fd = run->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        err = data_io_fail(path, "open it", errno);
    } else if (!flock(fd, LOCK_EX | LOCK_NB)) {
        const int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        run->locked = true;
        if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) err = data_io_fail(path, "write", errno);
    } else if (errno == EWOULDBLOCK) {
        err = held_by_other(fd, folder);
    } else if (errno != ENOSYS && errno != ENOLCK && errno != EOPNOTSUPP) {
        err = data_io_fail(path, "lock it", errno);
    }
    free(path);
    return err;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------- */

ag_err ckpt_run_set_config(ckpt_run *run, const cJSON *config)
{
    cJSON *copy = cJSON_Duplicate(config, 1);
    if (!copy) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", run->path[CKPT_RUN_JSON]);
    const ag_err err = ckpt_json_write(run->path[CKPT_RUN_JSON], config);
    if (err) {
        cJSON_Delete(copy);
        return err;
    }
    cJSON_Delete(run->config);
    run->config = copy;
    return AG_OK;
}

static ag_err run_fill(ckpt_run *run, const cJSON *config)
{
    const char *folder = run->path[CKPT_RUN_FOLDER];
    ag_err err = make_folders(folder);
    if (!err) err = take_lock(run);
    if (!err && ckpt_run_exists(folder)) /* under the lock: two that start at once cannot both pass */
        err = ag_fail(AG_ERR_USAGE,
                      "%s: holds a run already; go on with it by --resume, or give another folder with -o", folder);
    if (!err) data_publish_clean(folder);
    if (!err) err = make_folder(run->path[CKPT_RUN_SAMPLES]);
    return err ? err : ckpt_run_set_config(run, config);
}

static ag_err run_read(ckpt_run *run)
{
    const char *folder = run->path[CKPT_RUN_FOLDER], *path = run->path[CKPT_RUN_JSON];
    if (access(path, F_OK))
        return ag_fail(AG_ERR_CHECKPOINT,
                       "%s: no run there (no run.json); check the name, or start one with 'tessera train'", folder);
    const ag_err err = ckpt_json_read(&run->config, path, AG_ERR_CHECKPOINT);
    if (!err && !cJSON_IsObject(run->config))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: not the configuration of a run (a JSON object is wanted)", path);
    return err;
}

static ag_err run_reopen(ckpt_run *run)
{
    const char *folder = run->path[CKPT_RUN_FOLDER];
    ag_err err = run_read(run);
    if (!err) err = take_lock(run);
    if (err) return err;
    data_publish_clean(folder);
    data_publish_clean(run->path[CKPT_RUN_SAMPLES]);
    return make_folder(run->path[CKPT_RUN_SAMPLES]);
}

static ag_err finish(ckpt_run **out, ckpt_run *run, ag_err err)
{
    *out = err ? NULL : run;
    if (err) ckpt_run_close(run);
    return err;
}

ag_err ckpt_run_create(ckpt_run **out, const char *folder, const cJSON *config)
{
    ckpt_run *run;
    const ag_err err = run_new(&run, folder);
    return err ? finish(out, NULL, err) : finish(out, run, run_fill(run, config));
}

ag_err ckpt_run_resume(ckpt_run **out, const char *folder)
{
    ckpt_run *run;
    const ag_err err = run_new(&run, folder);
    return err ? finish(out, NULL, err) : finish(out, run, run_reopen(run));
}

ag_err ckpt_run_open(ckpt_run **out, const char *folder)
{
    ckpt_run *run;
    const ag_err err = run_new(&run, folder);
    return err ? finish(out, NULL, err) : finish(out, run, run_read(run));
}

const cJSON *ckpt_run_config(const ckpt_run *run) { return run->config; }

bool ckpt_run_locked(const ckpt_run *run) { return run->locked; }

const char *ckpt_run_path(const ckpt_run *run, ckpt_run_file file) { return run->path[file]; }

char *ckpt_run_sample_path(const ckpt_run *run, const char *kind, int64_t step)
{
    char *path;
    return asprintf(&path, "%s/%s-%08" PRId64 ".png", run->path[CKPT_RUN_SAMPLES], kind, step) < 0 ? NULL : path;
}
