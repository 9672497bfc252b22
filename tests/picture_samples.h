/* Picture files made in memory for the tests of pictures and packing. */
#ifndef PICTURE_SAMPLES_H
#define PICTURE_SAMPLES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

typedef struct sample {
    uint8_t *bytes;
    size_t size;
} sample;

typedef struct jpeg_sample {
    int height, width;
    J_COLOR_SPACE in, stored; /* JCS_GRAYSCALE, JCS_RGB -> JCS_YCbCr or JCS_RGB, JCS_CMYK -> JCS_CMYK or JCS_YCCK */
    int progressive, no_adobe, whole_chroma;
    int orientation; /* 1..8: with an EXIF marker; 0: without */
    int big_endian;
} jpeg_sample;

/* "Exif\0\0" and a TIFF block with a directory of two entries, the second the orientation. Returns its size. */
static inline unsigned sample_exif(uint8_t out[64], int orientation, int big)
{
    static const uint8_t little[] = {'I', 'I', 42, 0,    8, 0, 0, 0, 2, 0, 0x0f, 1, 2, 0, 1, 0, 0, 0, 'x',
                                     0,   0,   0,  0x12, 1, 3, 0, 1, 0, 0, 0,    1, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t bigger[] = {'M', 'M', 0, 42, 0,    0, 0, 8, 0, 2, 1, 0x0f, 0, 2, 0, 0, 0, 1, 'x',
                                     0,   0,   0, 1,  0x12, 0, 3, 0, 0, 0, 1, 0,    1, 0, 0, 0, 0, 0, 0};
    memcpy(out, "Exif\0", 6);
    memcpy(out + 6, big ? bigger : little, sizeof little);
    out[6 + 8 + 2 + 12 + 8 + (big ? 1 : 0)] = (uint8_t)orientation;
    return 6 + sizeof little;
}

/* Quality 95. `pixels` has the components of `in`. */
static inline sample sample_jpeg(const jpeg_sample *o, const uint8_t *pixels)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    uint8_t exif[64];
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &bytes, &size);
    c.image_width = (JDIMENSION)o->width, c.image_height = (JDIMENSION)o->height;
    c.input_components = o->in == JCS_GRAYSCALE ? 1 : o->in == JCS_CMYK ? 4 : 3;
    c.in_color_space = o->in;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, o->stored);
    jpeg_set_quality(&c, 95, TRUE);
    if (o->whole_chroma) c.comp_info[0].h_samp_factor = c.comp_info[0].v_samp_factor = 1;
    if (o->no_adobe) c.write_Adobe_marker = FALSE;
    if (o->progressive) jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    if (o->orientation) jpeg_write_marker(&c, JPEG_APP0 + 1, exif, sample_exif(exif, o->orientation, o->big_endian));
    while (c.next_scanline < c.image_height) {
        JSAMPROW row =
            (JSAMPROW)(uintptr_t)(pixels + (size_t)c.next_scanline * c.image_width * (size_t)c.input_components);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return (sample){bytes, size};
}

/* Smooth with some texture; the same for the same arguments. */
static inline uint8_t *sample_pixels(int height, int width, int channels, unsigned seed)
{
    uint8_t *p = malloc((size_t)height * (size_t)width * (size_t)channels);
    for (int y = 0, i = 0; p && y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++, i++)
                p[i] = (uint8_t)(40 + (3 * x + 2 * y + 50 * c + (int)seed * 13) % 160 + (x * y + (int)seed) % 9);
    return p;
}

/* A colour JPEG of smooth content. */
static inline sample sample_photo(int height, int width, unsigned seed)
{
    const jpeg_sample o = {.height = height, .width = width, .in = JCS_RGB, .stored = JCS_YCbCr};
    uint8_t *pixels = sample_pixels(height, width, 3, seed);
    const sample s = sample_jpeg(&o, pixels);
    free(pixels);
    return s;
}

/* Sets height and width in the frame header (marker C0, C1 or C2) of a JPEG. */
static inline void sample_jpeg_lie(sample *s, int height, int width)
{
    for (size_t i = 2; i + 9 < s->size;) {
        if (s->bytes[i + 1] >= 0xc0 && s->bytes[i + 1] <= 0xc2) {
            s->bytes[i + 5] = (uint8_t)(height >> 8), s->bytes[i + 6] = (uint8_t)height;
            s->bytes[i + 7] = (uint8_t)(width >> 8), s->bytes[i + 8] = (uint8_t)width;
            return;
        }
        i += 2 + ((size_t)s->bytes[i + 2] << 8 | s->bytes[i + 3]);
    }
}

typedef struct png_sample {
    int height, width, colour, depth, interlaced;
    const uint8_t *raw; /* one byte a sample up to 8 bits, two (big-endian) for 16 */
    int palette_size;
    const png_color *palette;
    int transparent;           /* 1: tRNS */
    const uint8_t *alpha;      /* for a palette, palette_size of them */
    png_color_16 transparency; /* for grey and RGB */
    int orientation;           /* 1..8: with an eXIf chunk */
} png_sample;

static inline void sample_grow(png_structp png, png_bytep bytes, size_t n)
{
    sample *s = png_get_io_ptr(png);
    s->bytes = realloc(s->bytes, s->size + n);
    memcpy(s->bytes + s->size, bytes, n);
    s->size += n;
}

static inline void sample_keep(png_structp png) { (void)png; }

static inline sample sample_png(const png_sample *o)
{
    sample s = {0};
    uint8_t exif[64];
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &s, sample_grow, sample_keep);
    png_set_IHDR(png, info, (png_uint_32)o->width, (png_uint_32)o->height, o->depth, o->colour,
                 o->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (o->palette) png_set_PLTE(png, info, o->palette, o->palette_size);
    if (o->transparent) png_set_tRNS(png, info, o->alpha, o->alpha ? o->palette_size : 0, &o->transparency);
    if (o->orientation) png_set_eXIf_1(png, info, sample_exif(exif, o->orientation, 0) - 6, exif + 6);
    png_write_info(png, info);
    if (o->depth < 8) png_set_packing(png);
    const int samples = o->colour == PNG_COLOR_TYPE_RGB          ? 3
                        : o->colour == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
                        : o->colour == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                                                 : 1;
    const size_t stride = (size_t)o->width * (size_t)samples * (o->depth == 16 ? 2 : 1);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < o->height; y++) png_write_row(png, o->raw + (size_t)y * stride);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return s;
}

#endif
