/* Images as the graphs take them: u8 pixels, or floats in 0..1 where the data set holds floats. */
#ifndef RECIPES_IMAGES_H
#define RECIPES_IMAGES_H

#include "data/dataset.h"
#include "run.h"

image_shape images_shape(const data_set *set);
/* Values of one image, and its bytes as the graphs take them. */
int64_t images_values(const image_shape *s);
size_t images_bytes(const image_shape *s);
/* Reads n images of a set into memory of n * images_bytes. */
ag_err images_read(data_set *set, const image_shape *s, int64_t n, const int64_t *indices, void *out);
/* n values as numbers in 0..1, and as pixels. */
void images_to_real(const image_shape *s, int64_t n, const void *in, real *out);
void images_to_u8(const image_shape *s, int64_t n, const void *in, uint8_t *out);

/* Images that evaluation, encode, decode and reconstruct run at a time: a function of the size alone, so that all of them see the
 * same shapes and give the same bits. */
int64_t images_batch(const image_shape *s);

/* The part of a data set to look at: `name` train, validation, test, all, or NULL for test, else validation, else train. Indices
 * are the set's. Errors: AG_ERR_USAGE for other words; AG_ERR_DATA if there are no images in it. */
ag_err images_split(data_set *set, const char *name, data_split *split, const int64_t **indices, int64_t *n);
const char *images_split_name(data_split split);

#endif
