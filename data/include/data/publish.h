/* Publishing files so that a reader never sees half of one: everything is written to `.NAME.tmp.PID` in the same
 * folder, then flushed, renamed over the final name, and the folder flushed. A crash, a full disk or an abort leaves
 * the old file as it was. */
#ifndef DATA_PUBLISH_H
#define DATA_PUBLISH_H

#include <stddef.h>

#include "autograd/error.h"

typedef struct data_publish data_publish;

/* Starts: creates the temporary file (empty), so that an unwritable folder is found at once. Errors: AG_ERR_IO. */
ag_err data_publish_begin(data_publish **out, const char *path);
/* The name to write to. */
const char *data_publish_temporary(const data_publish *p);
/* fsync, rename, fsync of the folder; frees p in any case; on failure the temporary file is removed. */
ag_err data_publish_commit(data_publish *p);
/* Removes the temporary file and frees p; NULL is fine. */
void data_publish_abort(data_publish *p);

/* All in one for bytes in memory. */
ag_err data_publish_bytes(const char *path, const void *bytes, size_t size);

/* Deletes `.*.tmp.PID` files in a folder whose process on this machine is gone. */
void data_publish_clean(const char *folder);

/* AG_ERR_IO for a system call that failed with `error` (an errno): "PATH: disk full ...", "PATH: cannot VERB: REASON". */
ag_err data_io_fail(const char *path, const char *verb, int error);

#endif
