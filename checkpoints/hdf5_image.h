/* An HDF5 file that HDF5 never writes.
 *
 * HDF5 1.10 does not survive a full disk: when the write of its last structures fails, the file stays half open inside the library,
 * which then crashes at exit. So a checkpoint is laid out in memory by a file driver that cannot fail, with the space of
 * its tensors left out: an address range in which only the pages of the structures (some KiB) come to exist. The file
 * is then written with write(2) from these pages and from the tensors where they are. */
#ifndef CHECKPOINTS_HDF5_IMAGE_H
#define CHECKPOINTS_HDF5_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include <hdf5.h>

#include "autograd/error.h"

typedef struct ckpt__image {
    uint8_t *bytes;  /* zero where nothing was written */
    size_t capacity; /* HDF5 may not go beyond */
    size_t size;     /* of the file, known when it is closed */
} ckpt__image;

/* A part of the file that is not in the image. */
typedef struct ckpt__piece {
    size_t offset, bytes;
    const void *data;
} ckpt__piece;

/* Reserves addresses, not memory. */
ag_err ckpt__image_new(ckpt__image *image, size_t capacity);
void ckpt__image_free(ckpt__image *image);

/* A file access list whose files are this image; the caller closes it. The image must outlive the file. < 0 on failure. */
hid_t ckpt__image_access(ckpt__image *image);

/* Writes the image with n pieces (sorted by offset, apart) laid over it to the existing file `to`; `path` is for messages.
 * AG_ERR_IO. */
ag_err ckpt__image_write(const ckpt__image *image, int n, const ckpt__piece *pieces, const char *to, const char *path);

#endif
