/* Private to data/: what the picture files share, and what pack needs beyond the public calls. */
#ifndef DATA_PICTURE_PARTS_H
#define DATA_PICTURE_PARTS_H

#include <stdbool.h>

#include "data/picture.h"

/* What a file says about itself. Height and width are upright: after the EXIF orientation. */
typedef struct data__picture_facts {
    int height, width;
    int channels;    /* 1 or 3: what the file decodes to if nothing else is asked */
    int orientation; /* EXIF, 1..8; 1 = upright or not said */
    bool cmyk, palette, sixteen, alpha;
} data__picture_facts;

/* data_picture_decode, telling the facts as well. With out NULL only the header is read. */
ag_err data__picture_decode(data_picture *out, data__picture_facts *facts, const void *bytes, size_t size,
                            const char *name, const data_decode_options *options);

/* A format's own decoder: pixels with 1, 2, 3 or 4 channels as in the file, not yet turned upright; limits checked. */
ag_err data__jpeg_decode(data_picture *out, data__picture_facts *facts, const void *bytes, size_t size,
                         const char *name, const data_decode_options *options);
ag_err data__png_decode(data_picture *out, data__picture_facts *facts, const void *bytes, size_t size, const char *name,
                        const data_decode_options *options);

/* Header limits, before anything is allocated: sides 1..1,000,000, pixels up to options->max_pixels. */
ag_err data__picture_check_size(uint64_t height, uint64_t width, const char *name, const data_decode_options *options);
/* Room for h*w*c bytes, not cleared. AG_ERR_MEMORY names `name`. */
ag_err data__picture_new(data_picture *out, int height, int width, int channels, const char *name);

/* Orientation 1..8 in a TIFF block (the part of an EXIF marker after "Exif\0\0"); 1 if it is absent or damaged. */
int data__exif_orientation(const uint8_t *tiff, size_t size);
/* 1 -> 3 repeats, 3 -> 1 is luma; channels 0 leaves the picture as it is. */
ag_err data__picture_convert(data_picture *p, int channels, const char *name);

/* data_picture_fit with another filter. */
ag_err data__picture_fit(data_picture *out, const data_picture *in, int height, int width, data_filter filter);

/* A whole file in memory, malloc'ed. AG_ERR_IO if it cannot be read, AG_ERR_DATA if it is empty or larger than 1 GiB. */
ag_err data__file_read(const char *path, uint8_t **bytes, size_t *size);

#endif
