/* Data sets that commands write: one or more main datasets of rows, filled in order, and the columns that belong to its images. The file
 * appears under its name when it is whole. */
#ifndef RECIPES_OUTPUT_H
#define RECIPES_OUTPUT_H

#include <hdf5.h>

#include "data/dataset.h"
#include "data/publish.h"
#include "run.h"

typedef struct output_set {
    hid_t dataset, type;
    int rank;
    int64_t dims[4]; /* dims[0]: rows in all */
    int64_t next;    /* rows written */
} output_set;

enum { OUTPUT_SETS = RUN_QUANTIZERS };
typedef struct output {
    const char *path; /* borrowed */
    data_publish *publish;
    hid_t file;
    output_set sets[OUTPUT_SETS];
    int n_sets;
} output;

/* Starts PATH. */
ag_err output_begin(output *o, const char *path);
/* One more dataset `name` of native type `type` and given sizes. */
ag_err output_add(output *o, const char *name, hid_t type, int rank, const int64_t *dims);
/* The next n rows of dataset number `set`, given in its type. */
ag_err output_rows(output *o, int set, int64_t n, const void *rows);
/* Closes and publishes; `err` is what went wrong before (then everything is removed). Returns err or the failure of closing. */
ag_err output_end(output *o, ag_err err);

/* An image data set in the layout of `tessera pack`: u8 [n,H,W,C]. */
ag_err output_images_begin(output *o, const char *path, int64_t n, const image_shape *s);

/* Copies the columns labels, split, captions and names of n rows of the HDF5 file `source`, and the attribute `classes`, as far
 * as they are there. */
ag_err output_columns(const output *o, const char *source, int64_t n, const int64_t *indices);

/* Does the name end in .h5 or .hdf5? */
bool output_is_hdf5(const char *path);

#endif
