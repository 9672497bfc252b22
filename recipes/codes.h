/* Code files, as priors read them: codes u16 or u32 [N,h,w], [N,h,w,depth] or, of several scales one after another, [N,L]; the columns
 * of the images they came from, and the fingerprint of the tokenizer that made them. */
#ifndef RECIPES_CODES_H
#define RECIPES_CODES_H

#include <hdf5.h>

#include "model.h"
#include "output.h"

/* Starts a code file for n images of shape `image` that model m encodes with r. */
ag_err codes_begin(output *o, const char *path, int64_t n, const model *m, const run *r);
/* n images' codes, i32. */
ag_err codes_append(output *o, int64_t n, const int32_t *codes);

typedef struct codes_file {
    const char *path; /* borrowed */
    hid_t file, dataset;
    int64_t n, height, width; /* images, grid of codes */
    int rank;                 /* of the dataset */
    int64_t dims[4], each;    /* its sizes; codes of an image */
    int64_t K;
} codes_file;

/* Opens a code file and checks that model m made it. Errors: AG_ERR_DATA not a code file; AG_ERR_CHECKPOINT made by another
 * tokenizer. */
ag_err codes_open(codes_file *f, const char *path, const model *m);
/* Codes of n images from the first-th on; AG_ERR_DATA if one is not below K. */
ag_err codes_read(const codes_file *f, int64_t first, int64_t n, int32_t *codes);
void codes_close(codes_file *f);

#endif
