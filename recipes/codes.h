/* Code files, as priors read them: the dataset `codes`, u16 or u32 [N,h,w], [N,h,w,depth] or, of several scales one after another,
 * [N,L], with the attributes `grid` (h,w), `depth`, `codebook_size` and, of several scales, `scales`; the columns of the images they
 * came from, and the fingerprint of the tokenizer that made them.
 *
 * A model with several grids of codes (VQ-VAE-2) has one dataset a grid, coarsest first: `codes.0`, `codes.1`, ...; the attributes
 * of each end in its number too (`grid.1`, `codebook_size.1`), and `grids` says how many there are. */
#ifndef RECIPES_CODES_H
#define RECIPES_CODES_H

#include <hdf5.h>

#include "model.h"
#include "output.h"

/* Starts a code file for n images of shape `image` that model m encodes with r. */
ag_err codes_begin(output *o, const char *path, int64_t n, const model *m, const run *r);
/* n images' codes of grid number `grid`, i32. */
ag_err codes_append(output *o, int grid, int64_t n, const int32_t *codes);

typedef struct codes_grid {
    hid_t dataset;
    int rank;              /* of the dataset */
    int64_t dims[4], each; /* its sizes; codes of an image */
    int64_t K;
} codes_grid;

typedef struct codes_file {
    const char *path; /* borrowed */
    hid_t file;
    int64_t n;         /* images */
    image_shape image; /* that these codes make */
    int n_grids;
    codes_grid grids[RUN_QUANTIZERS];
} codes_file;

/* Opens a code file and checks that model m made it. Errors: AG_ERR_DATA not a code file; AG_ERR_CHECKPOINT made by another
 * tokenizer. */
ag_err codes_open(codes_file *f, const char *path, const model *m);
/* Codes of grid number `grid` of n images from the first-th on; AG_ERR_DATA if one is not below K. */
ag_err codes_read(const codes_file *f, int grid, int64_t first, int64_t n, int32_t *codes);
void codes_close(codes_file *f);

/* "codes", or of several grids "codes.1", into out. */
void codes_name(char *out, size_t size, const char *name, int grid, int grids);

#endif
