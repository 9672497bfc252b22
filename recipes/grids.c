#include <stdlib.h>
#include <string.h>

#include "grids.h"
#include "images.h"

enum { COLUMNS = 8 };

ag_err grids_pairs(data_picture *out, const image_shape *s, int64_t n, const uint8_t *originals,
                   const uint8_t *reconstructions)
{
    const size_t bytes = (size_t)images_values(s);
    const int64_t columns = n < COLUMNS ? n : COLUMNS, rows = n / columns;
    uint8_t *all = calloc((size_t)(2 * rows * columns), bytes);
    if (!all) return ag_fail(AG_ERR_MEMORY, "no memory for a grid of %lld images", (long long)n);
    for (int64_t row = 0; row < rows; row++) {
        const size_t length = (size_t)columns * bytes, from = (size_t)row * length;
        memcpy(all + 2 * from, originals + from, length);
        memcpy(all + 2 * from + length, reconstructions + from, length);
    }
    const ag_err err = data_picture_grid(out, 2 * rows * columns, (int)s->height, (int)s->width, (int)s->channels, all,
                                         (int)columns, 0);
    free(all);
    return err;
}

void grids_spread(int64_t count, const int64_t *indices, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = indices[i * count / n];
}
