#include "checkpoints/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "append.h"
#include "events.h"
#include "json_print.h"

struct ckpt_log {
    ckpt__append *lines;
    ckpt__events *events;
    ckpt__bytes line; /* kept between calls */
    ckpt__bytes tags; /* the tags of one record, each ended by a NUL */
    const char **tag; /* pointers into tags */
    int room;         /* of tag */
};

/* ---- one line of JSON ------------------------------------------------------------------------------------------------- */

/* ,"NAME": or ,"NAME_special": */
static void add_key(ckpt__bytes *b, const char *name, const char *suffix)
{
    ckpt__bytes_add(b, ",", 1);
    ckpt__json_string(b, name);
    if (!*suffix) {
        ckpt__bytes_add(b, ":", 1);
        return;
    }
    if (!b->failed) b->size--; /* the closing mark */
    ckpt__bytes_print(b, "%s\":", suffix);
}

/* Nine digits bring every float back; JSON has no NaN. */
static void add_value(ckpt__bytes *b, const char *name, double value)
{
    add_key(b, name, "");
    if (isfinite(value)) {
        ckpt__bytes_print(b, "%.9g", value);
        return;
    }
    ckpt__bytes_print(b, "null");
    add_key(b, name, "_special");
    ckpt__bytes_print(b, "\"%s\"", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

static bool reserved(const char *name)
{
    static const char *const words[] = {"", "step", "split", "time", "event"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(name, words[i])) return true;
    return false;
}

static ag_err check_names(int n, const char *const *names)
{
    for (int i = 0; i < n; i++) {
        if (reserved(names[i])) return ag_fail(AG_ERR_FAILED, "metrics: '%s' cannot be the name of a value", names[i]);
        for (int k = 0; k < i; k++)
            if (!strcmp(names[i], names[k])) return ag_fail(AG_ERR_FAILED, "metrics: '%s' is there twice", names[i]);
    }
    return AG_OK;
}

static ag_err write_line(ckpt_log *log)
{
    ckpt__bytes_add(&log->line, "\n", 1);
    const ag_err err = log->line.failed ? ag_fail(AG_ERR_MEMORY, "metrics: out of memory")
                                        : ckpt__append_write(log->lines, log->line.data, log->line.size);
    ckpt__bytes_reset(&log->line);
    return err;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

void ckpt_log_close(ckpt_log *log)
{
    if (!log) return;
    ckpt__append_close(log->lines);
    ckpt__events_close(log->events);
    ckpt__bytes_free(&log->line);
    ckpt__bytes_free(&log->tags);
    free(log->tag);
    free(log);
}

static ag_err write_resume(ckpt_log *log, int64_t step)
{
    ckpt__bytes_print(&log->line, "{\"event\":\"resume\",\"step\":%" PRId64 ",\"time\":%.3f}", step, ckpt__now());
    return write_line(log);
}

static ag_err log_start(ckpt_log *log, const ckpt_run *run, int64_t step)
{
    ag_err err = ckpt__append_open(&log->lines, ckpt_run_path(run, CKPT_RUN_METRICS), false);
    if (err) return err;
    const int last = ckpt__append_last(log->lines);
    if (last >= 0 && last != '\n') ckpt__bytes_add(&log->line, "\n", 1); /* torn by a crash: ended here */
    if (step > 0)
        err = write_resume(log, step);
    else if (log->line.size > 0)
        err = ckpt__append_write(log->lines, log->line.data, log->line.size);
    ckpt__bytes_reset(&log->line);
    /* The session begins with the step after: readers drop that one and later, and the point at `step` itself stays. */
    return err ? err : ckpt__events_open(&log->events, ckpt_run_path(run, CKPT_RUN_FOLDER), step > 0 ? step + 1 : 0);
}

ag_err ckpt_log_back(ckpt_log *log, const ckpt_run *run, int64_t step)
{
    const ag_err err = write_resume(log, step);
    if (err) return err;
    ckpt__events_close(log->events);
    log->events = NULL;
    return ckpt__events_open(&log->events, ckpt_run_path(run, CKPT_RUN_FOLDER), step + 1);
}

ag_err ckpt_log_open(ckpt_log **out, const ckpt_run *run, int64_t step)
{
    *out = NULL;
    ckpt_log *log = calloc(1, sizeof *log);
    if (!log) return ag_fail(AG_ERR_MEMORY, "metrics: out of memory");
    const ag_err err = log_start(log, run, step);
    if (err)
        ckpt_log_close(log);
    else
        *out = log;
    return err;
}

/* ---- logging ---------------------------------------------------------------------------------------------------------- */

/* train/loss, validation/psnr; codebook/perplexity of the training stays as it is. */
static ag_err make_tags(ckpt_log *log, const char *split, int n, const char *const *names)
{
    if (n > log->room) {
        const char **more = realloc(log->tag, (size_t)n * sizeof *more);
        if (!more) return ag_fail(AG_ERR_MEMORY, "metrics: out of memory");
        log->tag = more;
        log->room = n;
    }
    ckpt__bytes_reset(&log->tags);
    for (int i = 0; i < n; i++) {
        const bool own_group = strchr(names[i], '/') && !strcmp(split, "train");
        if (!own_group) ckpt__bytes_add(&log->tags, split, strlen(split)), ckpt__bytes_add(&log->tags, "/", 1);
        ckpt__bytes_add(&log->tags, names[i], strlen(names[i]) + 1);
    }
    if (log->tags.failed) return ag_fail(AG_ERR_MEMORY, "metrics: out of memory");
    const char *at = (const char *)log->tags.data;
    for (int i = 0; i < n; i++, at += strlen(at) + 1) log->tag[i] = at;
    return AG_OK;
}

ag_err ckpt_log_scalars(ckpt_log *log, const char *split, int64_t step, int n, const char *const *names,
                        const double *values)
{
    ag_err err = check_names(n, names);
    if (!err) err = make_tags(log, split, n, names);
    if (err) return err;
    ckpt__bytes_print(&log->line, "{\"step\":%" PRId64 ",\"split\":", step);
    ckpt__json_string(&log->line, split);
    ckpt__bytes_print(&log->line, ",\"time\":%.3f", ckpt__now());
    for (int i = 0; i < n; i++) add_value(&log->line, names[i], values[i]);
    ckpt__bytes_add(&log->line, "}", 1);
    err = write_line(log);
    return err || n == 0 ? err : ckpt__events_scalars(log->events, step, n, log->tag, values);
}

ag_err ckpt_log_image(ckpt_log *log, const char *tag, int64_t step, const void *png, size_t size)
{
    return ckpt__events_image(log->events, tag, step, png, size);
}

ag_err ckpt_log_text(ckpt_log *log, const char *tag, int64_t step, const char *text)
{
    return ckpt__events_text(log->events, tag, step, text);
}

ag_err ckpt_log_sync(ckpt_log *log)
{
    const ag_err err = ckpt__append_sync(log->lines);
    return err ? err : ckpt__events_sync(log->events);
}
