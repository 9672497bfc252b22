/* Files that only grow, a whole record at a time. */
#ifndef CHECKPOINTS_APPEND_H
#define CHECKPOINTS_APPEND_H

#include <stdbool.h>
#include <stddef.h>

#include "autograd/error.h"

typedef struct ckpt__append ckpt__append;

/* Opens for appending, making the file if need be; `fresh`: it must not exist. */
ag_err ckpt__append_open(ckpt__append **out, const char *path, bool fresh);
/* One write(2) of all the bytes. If the system takes only a part (disk full), the part is cut off again, so that the file still
 * ends with a whole record. AG_ERR_IO. */
ag_err ckpt__append_write(ckpt__append *a, const void *bytes, size_t size);
/* The last byte of the file, -1 if it is empty or cannot be read. */
int ckpt__append_last(const ckpt__append *a);
ag_err ckpt__append_sync(ckpt__append *a); /* fsync */
void ckpt__append_close(ckpt__append *a);  /* NULL is fine */

/* Seconds since 1970. */
double ckpt__now(void);

#endif
