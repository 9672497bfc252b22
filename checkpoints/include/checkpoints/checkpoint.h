/* Checkpoints: one HDF5 file that holds named tensors and a text, replaced atomically.
 *
 *     /weights/encoder.conv_in.weight     a contiguous dataset per tensor; its attribute `crc32c` is the checksum of
 *     /buffers/quantizer.cluster_size     its bytes
 *     /optimizer/...
 *     /state                              u8 [bytes]: JSON with all that is needed to go on and is no tensor
 *     attributes of / : format = "tessera-checkpoint", format_version = 1, creator
 *
 * h5py reads it without us: f["weights/encoder.conv_in.weight"][...], json.loads(f["state"][...].tobytes()).
 *
 * A save writes another file beside the old one, closes and flushes it, and renames it: whenever the process dies, or
 * the disk is full, PATH is the old checkpoint or the new one, whole. Loading checks everything before it touches
 * memory of the caller. The same content gives the same bytes. */
#ifndef CHECKPOINTS_CHECKPOINT_H
#define CHECKPOINTS_CHECKPOINT_H

#include <stdint.h>

#include "nn/nn.h"

#define CKPT_FORMAT         "tessera-checkpoint"
#define CKPT_FORMAT_VERSION 1

/* A tensor and its place in the file: `name` is GROUP/NAME with one slash. `data` is borrowed. */
typedef struct ckpt_item {
    const char *name;
    ag_dtype dtype;
    int rank;
    int64_t shape[AG_MAX_RANK];
    void *data;
} ckpt_item;

/* Writes n tensors and the text `state` (NULL: "{}") to `path`. Errors: AG_ERR_IO (the file that was there is left as
 * it was), AG_ERR_FAILED for names that are empty, doubled or without a group. */
ag_err ckpt_save(const char *path, int n, const ckpt_item *items, const char *state);

/* Fills the data of n tensors. The file must hold exactly these: a tensor that is missing, unexpected, of another shape
 * or type or whose checksum fails is AG_ERR_CHECKPOINT, as is a file that is missing, unreadable, truncated or no
 * checkpoint; then no data has been touched. */
ag_err ckpt_load(const char *path, int n, const ckpt_item *items);

/* The same, but what else the file holds is passed over. */
ag_err ckpt_load_part(const char *path, int n, const ckpt_item *items);

/* The state text, NUL-terminated; the caller frees. */
ag_err ckpt_read_state(const char *path, char **json);

/* What a file holds, in the order it was saved in; `data` of the items is NULL. */
typedef struct ckpt_listing {
    int n;
    ckpt_item *items;
    int format_version;
    int64_t bytes; /* of all tensors */
} ckpt_listing;
ag_err ckpt_list(const char *path, ckpt_listing *out);
void ckpt_listing_free(ckpt_listing *l); /* frees what is in it, not l */

/* ---- parameters of a model ---------------------------------------------------------------------------------------- */

/* Saves all of p: NN_PARAMETER under weights/, NN_BUFFER under buffers/, NN_OPTIMIZER under optimizer/. */
ag_err ckpt_save_params(const char *path, nn_params *p, const char *state);

typedef enum ckpt_use {
    CKPT_TRAINING,  /* the file must hold exactly the tensors of p                                              */
    CKPT_INFERENCE, /* the same, but optimizer/ is not looked at, and NN_OPTIMIZER tensors of p are left alone  */
    CKPT_PART,      /* as for inference, and weights and buffers that p does not have are passed over: for a decoder
                       without its encoder, or a graph built without training buffers                           */
} ckpt_use;
ag_err ckpt_load_params(const char *path, nn_params *p, ckpt_use use);

/* Where the average of a weight is: optimizer/optimizer.average.NAME (opt_average). */
#define CKPT_AVERAGES "optimizer/optimizer.average."
/* As CKPT_PART, but a weight whose average is in the file becomes that average. *n: how many did. */
ag_err ckpt_load_averages(const char *path, nn_params *p, int *n);

/* 64 hexadecimal digits + NUL: SHA-256 over name, type, shape and bytes of the weights, their averages and the buffers in the file, in
 * the order of their names. The rest of the optimizer and the state do not count, so it names the model: token files carry
 * it. */
ag_err ckpt_fingerprint(const char *path, char out[65]);

#endif
