/* Originals above their reconstructions. */
#ifndef RECIPES_GRIDS_H
#define RECIPES_GRIDS_H

#include "data/picture.h"
#include "run.h"

/* n images in rows of at most 8, each row above the row of their reconstructions. u8 [n,H,W,C] both. Images that do not fill
 * a row are left out, unless there is only one row. */
ag_err grids_pairs(data_picture *out, const image_shape *s, int64_t n, const uint8_t *originals,
                   const uint8_t *reconstructions);

/* `n` indices spread evenly over `count`. */
void grids_spread(int64_t count, const int64_t *indices, int64_t n, int64_t *out);

#endif
