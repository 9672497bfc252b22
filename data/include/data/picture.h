/* Pictures: decoding files to pixels, resizing, drawing grids and charts, writing PNG. Pixels are u8 [H,W,C]. */
#ifndef DATA_PICTURE_H
#define DATA_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "autograd/error.h"

typedef struct data_picture {
    int height, width, channels; /* channels 1 grey, 3 RGB, (2 grey+alpha, 4 RGBA only inside decoding) */
    uint8_t *pixels;             /* malloc'ed, [height,width,channels] */
} data_picture;

void data_picture_free(data_picture *p); /* frees the pixels, zeroes the struct; NULL is fine */

typedef struct data_decode_options {
    int min_height, min_width; /* a JPEG may come out at 1/2, 1/4 or 1/8, never below these; 0 = full size */
    int channels;              /* 1, 3, or 0 = as in the file (grey stays grey) */
    int64_t max_pixels;        /* 0 = 2^28; larger headers are refused before anything is allocated */
} data_decode_options;

/* Decodes JPEG or PNG by the magic bytes of `bytes`. EXIF orientation is applied; CMYK and YCCK become RGB; palettes expand;
 * alpha is composited on white; 16 bits become 8. `name` goes into messages. Errors: AG_ERR_DATA (not an image, damaged,
 * truncated, too large), AG_ERR_MEMORY. */
ag_err data_picture_decode(data_picture *out, const void *bytes, size_t size, const char *name,
                           const data_decode_options *options);
ag_err data_picture_read(data_picture *out, const char *path, const data_decode_options *options);

/* Antialiased separable resize (half-pixel centres, support scaled by the down-sampling factor, weights normalised,
 * rounded half up, horizontal pass first): the rule of the common Python imaging library. */
typedef enum data_filter { DATA_LANCZOS, DATA_CUBIC, DATA_TRIANGLE } data_filter;
ag_err data_picture_resize(data_picture *out, const data_picture *in, int height, int width, data_filter filter);
/* Scales so that the picture just covers height x width (Lanczos-3, the longer side rounded down), then crops the centre. */
ag_err data_picture_fit(data_picture *out, const data_picture *in, int height, int width);

/* Writes an 8-bit PNG atomically (temporary file in the same folder, fsync, rename). Channels 1 or 3. */
ag_err data_picture_write_png(const char *path, const data_picture *p);
/* The same to memory; *png is malloc'ed. */
ag_err data_picture_encode_png(const data_picture *p, uint8_t **png, size_t *size);

/* Grid: n images u8 [n,H,W,C] (C 1 or 3; other C: the first three or one) in `columns`, 2 pixels apart on white, each
 * magnified by the integer `zoom` (0: so that small images are about 96 pixels high). */
ag_err data_picture_grid(data_picture *out, int64_t n, int height, int width, int channels, const uint8_t *pixels,
                         int columns, int zoom);

#endif
