/* Run directories.
 *
 *     runs/NAME/
 *       run.json                    the whole resolved configuration, with a `manifest` of how and where it ran
 *       metrics.jsonl               a line per log step (metrics.h)
 *       events.out.tfevents.*       the same for TensorBoard
 *       checkpoint.h5, best.h5      checkpoint.h; older ones that are kept: checkpoint-00001000.h5
 *       samples/                    grids, PNG
 *       report.html
 *       .lock                       held by the training that owns the folder
 *
 *     ckpt_run *run;
 *     if ((err = ckpt_run_create(&run, "runs/a", config))) return err;          // or ckpt_run_resume, ckpt_run_open
 *     ckpt_save_params(ckpt_run_path(run, CKPT_RUN_CHECKPOINT), params, state);
 *     ckpt_run_close(run);
 */
#ifndef CHECKPOINTS_RUN_H
#define CHECKPOINTS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoints/json.h"

typedef struct ckpt_run ckpt_run;

/* A new run: makes the folder (and those above it) and samples/, takes the lock, writes run.json. `config` is borrowed.
 * Errors: AG_ERR_USAGE if the folder holds a run already (the message says how to resume); AG_ERR_FAILED if another process
 * trains in it; AG_ERR_IO. */
ag_err ckpt_run_create(ckpt_run **out, const char *folder, const cJSON *config);

/* Goes on with a run: takes the lock, reads run.json, deletes temporary files of dead processes. Errors: AG_ERR_CHECKPOINT if
 * there is no run or its run.json is damaged; AG_ERR_FAILED if another process trains in it. */
ag_err ckpt_run_resume(ckpt_run **out, const char *folder);

/* Looks at a run, without lock and without writing. Errors as for resuming. */
ag_err ckpt_run_open(ckpt_run **out, const char *folder);

void ckpt_run_close(ckpt_run *run); /* gives the lock back; NULL is fine */

/* Is there a run in the folder: a run.json, a checkpoint or metrics? */
bool ckpt_run_exists(const char *folder);

/* run.json; owned by the run. */
const cJSON *ckpt_run_config(const ckpt_run *run);
/* Writes another one (a resumed run has a new manifest, more steps). `config` is borrowed and copied. */
ag_err ckpt_run_set_config(ckpt_run *run, const cJSON *config);

/* False if the file system has no locks: then nothing keeps a second training out, and the user should know. */
bool ckpt_run_locked(const ckpt_run *run);

typedef enum ckpt_run_file {
    CKPT_RUN_FOLDER,
    CKPT_RUN_JSON,
    CKPT_RUN_METRICS,
    CKPT_RUN_CHECKPOINT,
    CKPT_RUN_BEST,
    CKPT_RUN_SAMPLES,
    CKPT_RUN_REPORT,
    CKPT_RUN_FILES, /* how many there are */
} ckpt_run_file;
/* Full name, owned by the run. */
const char *ckpt_run_path(const ckpt_run *run, ckpt_run_file file);
/* samples/KIND-00001000.png, malloc'ed; NULL if out of memory. */
char *ckpt_run_sample_path(const ckpt_run *run, const char *kind, int64_t step);

/* What `manifest` in run.json says beyond what the program itself knows (versions, compiler, processor, kernels, threads). */
typedef struct ckpt_manifest_info {
    int argc;
    char *const *argv;
    uint64_t seed;
    const char *data;             /* path as given, NULL: left out */
    const char *data_fingerprint; /* data_set_fingerprint, NULL: left out */
} ckpt_manifest_info;
/* A new object: version, git_commit (if known when built), compiler, flags, real, cpu, cores, blas, blas_kernels, kernels,
 * threads, seed, data, data_fingerprint, started (UTC, ISO 8601), host, argv. The caller's; NULL if out of memory. */
cJSON *ckpt_manifest(const ckpt_manifest_info *info);

#endif
