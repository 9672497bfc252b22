/* Built-in pictures: data sets made by a formula, so that a demo, a test or a comparison needs no download.
 *
 *     err = data_synth("scenes.h5", "scenes", &(data_synth_options){.count = 6000});
 *
 * The same options give the same bytes, whatever the number of threads. */
#ifndef DATA_SYNTH_H
#define DATA_SYNTH_H

#include <stdint.h>

#include "autograd/error.h"

typedef struct data_synth_kind {
    const char *name, *about; /* "scenes", one line of what they are */
    int64_t count;            /* images by default */
    int height, width, channels;
    int classes;
    const char *const *class_names;
    int fixed; /* count, size and seed cannot be changed */
} data_synth_kind;

/* The kinds there are: *n of them. */
const data_synth_kind *data_synth_kinds(int *n);

typedef struct data_synth_options {
    int64_t count;     /* 0 = the kind's */
    int height, width; /* 8 to 1024; 0 = the kind's, and a lone one is both */
    uint64_t seed;
    double validation; /* fraction of the images, at the end of the file, marked validation; 0 = 0.1, negative = none */
    void (*progress)(void *data, int64_t done, int64_t total); /* may be NULL */
    void *data;                                                /* for progress */
} data_synth_options;

/* Writes a data set (images, labels, captions where the kind has them, split, class names), published when complete. Errors:
 * AG_ERR_USAGE unknown kind (the message lists them) or option out of range; AG_ERR_IO cannot be written. */
ag_err data_synth(const char *path, const char *kind, const data_synth_options *options);

/* One picture of the kind "scenes": u8 [height,width,3], its label (class of the main shape) and a caption. */
#define DATA_SYNTH_CAPTION 160
ag_err data_synth_scene(uint64_t seed, int64_t index, int height, int width, uint8_t *pixels, int *label,
                        char caption[DATA_SYNTH_CAPTION]);

/* Picture n of the kind "reference": float [32,32,3] in [0,1]; returns its label (0 disc, 1 box, 2 ring). Pictures 0..4095
 * train, 4096..4607 validate. */
int data_synth_reference(int64_t n, float *pixels);

#endif
