/* What a run logs: metrics.jsonl, TensorBoard events, and reading the first back.
 *
 *     ckpt_log *log;
 *     if ((err = ckpt_log_open(&log, run, 0))) return err;                           // 0, or the step resumed at
 *     ckpt_log_scalars(log, "train", step, 2, (const char *[]){"loss", "psnr"}, (double[]){0.12, 21.5});
 *
 * writes {"step":100,"split":"train","time":1719941000.250,"loss":0.12,"psnr":21.5} and the scalars train/loss and
 * train/psnr. A name with a slash ("codebook/perplexity") keeps its own group in TensorBoard for the split "train". A value that
 * is not finite is null, and NAME_special says what it was: "nan", "inf", "-inf".
 *
 * Lines are never rewritten. A session that resumes at step s writes {"event":"resume","step":s}: lines before it
 * with a larger step no longer count. */
#ifndef CHECKPOINTS_METRICS_H
#define CHECKPOINTS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "checkpoints/run.h"

typedef struct ckpt_log ckpt_log;

/* Opens both files in the folder of the run; step > 0: the session resumes there. A line that a crash cut off is ended. */
ag_err ckpt_log_open(ckpt_log **out, const ckpt_run *run, int64_t step);
void ckpt_log_close(ckpt_log *log); /* NULL is fine */

/* The run goes back to `step`: later lines no longer count, as after a resume. */
ag_err ckpt_log_back(ckpt_log *log, const ckpt_run *run, int64_t step);

/* One line and one record of n named values of a split ("train", "validation"). Names must differ and not be step, split,
 * time or event. Each file gets its bytes in one write. Errors: AG_ERR_IO, AG_ERR_FAILED (bad name). After the first steps it
 * allocates nothing. */
ag_err ckpt_log_scalars(ckpt_log *log, const char *split, int64_t step, int n, const char *const *names,
                        const double *values);
/* For TensorBoard alone: the bytes of a PNG file, a text (Markdown). */
ag_err ckpt_log_image(ckpt_log *log, const char *tag, int64_t step, const void *png, size_t size);
ag_err ckpt_log_text(ckpt_log *log, const char *tag, int64_t step, const char *text);
/* Makes what was logged durable (at each checkpoint). */
ag_err ckpt_log_sync(ckpt_log *log);

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

/* The values of one name in one split, in the order of the file; steps that a resume superseded are gone. `time` is there
 * under its own name. */
typedef struct ckpt_series {
    const char *split, *name;
    int64_t n;
    const int64_t *step;
    const double *value; /* NaN and infinities as they were */
} ckpt_series;

typedef struct ckpt_history ckpt_history;

/* Reads metrics.jsonl. Lines that are torn or not ours are passed over and counted. AG_ERR_IO if it cannot be read. */
ag_err ckpt_history_read(ckpt_history **out, const char *path);
void ckpt_history_free(ckpt_history *h); /* NULL is fine */
int ckpt_history_count(const ckpt_history *h);
/* Series i of ckpt_history_count, in the order in which the names first occur; owned by h. */
const ckpt_series *ckpt_history_at(const ckpt_history *h, int i);
const ckpt_series *ckpt_history_find(const ckpt_history *h, const char *split, const char *name); /* NULL: none */
int64_t ckpt_history_skipped(const ckpt_history *h); /* lines passed over */

#endif
