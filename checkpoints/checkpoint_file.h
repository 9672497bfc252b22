/* Shared by the sources that write and read checkpoint files. */
#ifndef CHECKPOINTS_CHECKPOINT_FILE_H
#define CHECKPOINTS_CHECKPOINT_FILE_H

#include <stdbool.h>

#include <hdf5.h>

#include "checkpoints/checkpoint.h"

#define CKPT__CHECKSUM "crc32c"
#define CKPT__STATE    "state"

/* The type of a tensor as it is in the file. Owned by HDF5. */
hid_t ckpt__h5_type(ag_dtype dtype);
/* Bytes of a tensor; false if a size is negative or the product does not fit. */
bool ckpt__item_bytes(const ckpt_item *item, size_t *bytes);
/* "[4, 4, 3, 128]" */
const char *ckpt__shape_text(int rank, const int64_t *shape, char *out, size_t size);

/* What a load may pass over. */
typedef struct ckpt__tolerance {
    const char *ignored_group; /* tensors of this group in the file are not looked at; NULL: none */
    bool extra;                /* tensors that are not asked for are no error */
} ckpt__tolerance;
ag_err ckpt__load(const char *path, int n, const ckpt_item *items, ckpt__tolerance tolerance);

/* Calls `visit` with every tensor of weights/ and buffers/ in order of name, its bytes checked. */
ag_err ckpt__visit(const char *path, ag_err (*visit)(void *to, const ckpt_item *item, size_t bytes), void *to);

#endif
