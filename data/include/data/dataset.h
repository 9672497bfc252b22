/* Image data sets: HDF5 files with `images` [N,H,W,C], [N,C,H,W] or [N,H,W], u8 or other numbers, or encoded JPEG/PNG
 * `bytes` with `offsets`; optional `labels` int [N], `captions` UTF-8 [N], `split` u8 [N] (0 train, 1 validation,
 * 2 test). A file made with four lines of h5py opens as it is.
 *
 *     data_set *set;
 *     if ((err = data_set_open(&set, "photos.h5", NULL))) return err;
 *     data_set_read(set, n, indices, pixels);      // u8 [n,H,W,C]
 *     data_set_close(set);
 */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "autograd/error.h"

typedef struct data_set data_set;

typedef enum data_split { DATA_TRAIN = 0, DATA_VALIDATION = 1, DATA_TEST = 2, DATA_ALL = 3 } data_split;

/* What a pixel is in the file: a byte, or a number that only data_set_read_real gives without loss. */
typedef enum data_dtype { DATA_U8 = 0, DATA_F32 = 1 } data_dtype;

typedef struct data_set_options {
    const char
        *key; /* name of the image dataset; NULL = the first usable of images, imgs, image, x, X, data, train_set_x */
    const char *layout; /* "NHWC" or "NCHW"; NULL = attribute `layout` of the dataset or the file, else by the sizes */
    const char
        *range; /* "LOW,HIGH", the values of black and white; NULL = attribute `range`, else by type and content */
} data_set_options;

typedef struct data_set_info {
    int64_t count;       /* images in the file */
    int64_t in_split[3]; /* of each split; without `split` all are in in_split[DATA_TRAIN] */
    int height, width, channels;
    data_dtype dtype; /* DATA_U8 for u8 and encoded pictures; DATA_F32 for every other number type */
    bool encoded;     /* JPEG or PNG, decoded on the fly */
    bool has_labels, has_captions, has_split;
    int classes; /* names in attribute `classes`, or 1 + the largest label; 0 without labels */
} data_set_info;

/* Opens a file read-only and checks it. Errors: AG_ERR_IO no such file; AG_ERR_DATA not HDF5, truncated, no images, wrong
 * rank or type (the message names file, dataset, what was found and what is expected); AG_ERR_USAGE a wrong option. */
ag_err data_set_open(data_set **out, const char *path, const data_set_options *options);
void data_set_close(data_set *set); /* NULL is fine */

const data_set_info *data_set_get_info(const data_set *set);
const char *data_set_path(const data_set *set);
/* One sentence if the file will read slowly (chunks that do not fit), NULL if all is well. */
const char *data_set_warning(const data_set *set);
/* Name of class i, NULL if the file has no names. */
const char *data_set_class_name(const data_set *set, int i);
/* The indices of one split in file order: *n of them, owned by the set. DATA_ALL: all. */
const int64_t *data_set_indices(data_set *set, data_split split, int64_t *n);

/* Pixels of n images (any order, repeats allowed) into u8 [n,H,W,C]. Other numbers: their range becomes 0..255, values
 * outside are clamped, rounded to nearest. */
ag_err data_set_read(data_set *set, int64_t n, const int64_t *indices, uint8_t *pixels);
/* The same in [0,1]: u8 / 255, other numbers (value - LOW) / (HIGH - LOW), clamped. */
ag_err data_set_read_real(data_set *set, int64_t n, const int64_t *indices, float *pixels);
/* Labels of n images; -1 where there is none. */
ag_err data_set_read_labels(data_set *set, int64_t n, const int64_t *indices, int64_t *labels);
/* Caption of one image, malloc'ed ("" if none); the caller frees. */
ag_err data_set_read_caption(data_set *set, int64_t index, char **caption);

/* Mean and variance over all values (pixels and channels together) of a split, in units of pixel / 255 (of read_real);
 * computed once, on all cores, the same bits for any number of them, and remembered. CIFAR-10 train: variance 0.0632704. */
ag_err data_set_moments(data_set *set, data_split split, double *mean, double *variance);

/* 64 hexadecimal digits + NUL: SHA-256 over shape, count, labels, split and a fixed sample of the pixels; the same file
 * content always gives the same text. Used to tell whether a resumed run reads the same data. */
ag_err data_set_fingerprint(data_set *set, char out[65]);

#endif
