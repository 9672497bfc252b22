/* What the files of the data set share: dataset.c opens and answers, dataset_find.c tells what a file holds,
 * dataset_labels.c reads the small columns, dataset_read.c the pixels, dataset_stats.c moments and fingerprint. */
#ifndef DATA_DATASET_PRIVATE_H
#define DATA_DATASET_PRIVATE_H

#include "data/dataset.h"
#include "data/hdf5_tools.h"

typedef enum images_kind {
    IMAGES_RAW,      /* numbers [N,H,W,C], [N,C,H,W] or [N,H,W] */
    IMAGES_PACKED,   /* `bytes` with `offsets` */
    IMAGES_VARIABLE, /* one variable-length u8 element per image */
} images_kind;

/* One image of a batch: which, and where its pixels go. */
typedef struct data_place {
    int64_t index, place;
} data_place;

struct data_set {
    char *path;
    char name[256]; /* of the image dataset */
    hid_t file, images, captions;
    images_kind kind;
    int rank;
    int64_t dims[4]; /* of `images` as stored */
    int64_t values;  /* H * W * C */
    size_t element;  /* bytes of a value as fetched: 1 (u8) or 4 (float, native) */
    bool planar;     /* stored [C,H,W] */
    double low, high;
    int fd;         /* of the HDF5 file, owned by the library; -1: read through the library */
    int64_t offset; /* of the first byte of the contiguous dataset in the file */
    uint64_t *offsets;
    int64_t *labels;
    uint8_t *split;
    int64_t *indices[4];
    char **classes;
    int64_t class_names;
    char *warning;
    data_place *order; /* scratch of one read */
    int64_t order_room;
    void *stage;
    int64_t stage_images;
    struct {
        bool known;
        double mean, variance;
    } moments[4];
    data_set_info info;
};

/* dataset_find.c: finds the images and fills kind, name, rank, dims, planar, range, info's sizes and type; then labels,
 * captions, split and class names. */
ag_err data__find_images(data_set *set, const data_set_options *options);
ag_err data__find_columns(data_set *set);

/* dataset_read.c: `count` consecutive images as stored. Safe to call from several threads if data__reads_parallel. */
ag_err data__fetch(const data_set *set, int64_t first, int64_t count, void *stored);
bool data__reads_parallel(const data_set *set);
/* Allocates what a read of n images needs, so that the read itself does not. */
ag_err data__reserve(data_set *set, int64_t n);
/* One stored value as a number in [0,1]. */
static inline float data__unit(double low, double scale, float v)
{
    const float u = (float)((v - low) * scale);
    return u < 0 ? 0 : u > 1 ? 1 : u;
}

#endif
