/* Weights that other programs have written, as safetensors: 8 bytes of little-endian length, a JSON header of that length (name ->
 * dtype, shape, data_offsets), then the tensors one after another to the end of the file. Nothing in the file is believed: sizes,
 * offsets, shapes and types are checked against each other and against the file before a byte of a tensor is read. */
#ifndef CHECKPOINTS_SAFETENSORS_H
#define CHECKPOINTS_SAFETENSORS_H

#include "nn/nn.h"

/* Fills every parameter and buffer of `p` from the tensor of its name; tensors of other names are left alone. Types F16, BF16, F32 and
 * F64 are read. Shapes are those of other programs ([out,in,kh,kw], [out,in]; nn_layout). `sha256`: the 64 hexadecimal digits that the
 * whole file must have.
 * Errors: AG_ERR_IO if it cannot be read; AG_ERR_DATA for another hash (the message has the file's), for what is no such file, for a
 * tensor that is missing or of another shape or type. `p` may then be changed in part. */
ag_err ckpt_safetensors_load(const char *path, const char *sha256, nn_params *p);

#endif
