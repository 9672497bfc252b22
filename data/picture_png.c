/* Reading PNG through libpng's row interface. Its errors come by longjmp; its warnings concern chunks that do not
 * touch the pixels and are dropped, unless memory ran out. Gamma and profiles are not applied. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "picture_parts.h"

typedef struct png_reader {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    ag_err err;
    const char *name;
    const uint8_t *bytes;
    size_t size, at;
    uint8_t *rows; /* pixels as libpng gives them, 8 or 16 bits */
} png_reader;

static void png_stop(png_structp png, png_const_charp reason)
{
    png_reader *r = png_get_error_ptr(png);
    if (!r->err && strstr(reason, "memory")) /* libpng's and zlib's words for it */
        r->err = ag_fail(AG_ERR_MEMORY, "%s: out of memory", r->name);
    if (!r->err) r->err = ag_fail(AG_ERR_DATA, "%s: damaged PNG (%s); replace or remove it", r->name, reason);
    longjmp(r->jump, 1);
}

static void png_heed_warning(png_structp png, png_const_charp text)
{
    if (strstr(text, "memory"))
        png_stop(png, text); /* a chunk dropped for want of memory: not a property of the file */
}

static void png_feed(png_structp png, png_bytep out, size_t n)
{
    png_reader *r = png_get_io_ptr(png);
    if (n > r->size - r->at) png_error(png, "it is cut short");
    memcpy(out, r->bytes + r->at, n);
    r->at += n;
}

/* All chunks but the needed ones are skipped unread: text and profiles may expand without bound. */
static void png_skip_extras(png_structp png)
{
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* spares IHDR, PLTE, tRNS, IDAT, IEND */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
}

static int png_orientation(const png_reader *r)
{
    png_bytep tiff = NULL;
    png_uint_32 size = 0;
    return png_get_eXIf_1(r->png, r->info, &size, &tiff) && tiff ? data__exif_orientation(tiff, size) : 1;
}

/* Deflate expands at most 1032 times (RFC 1951: 258 bytes for two bits): a header that promises more than the file can
 * hold is caught before memory is taken for it. */
static void png_check_promise(png_reader *r, png_uint_32 height)
{
    if ((uint64_t)png_get_rowbytes(r->png, r->info) * height / 1032 > r->size) {
        r->err = ag_fail(AG_ERR_DATA, "%s: PNG header says %u x %u pixels, too many for %zu bytes; it is cut short",
                         r->name, png_get_image_width(r->png, r->info), height, r->size);
        longjmp(r->jump, 1);
    }
}

static void png_learn(png_reader *r, data__picture_facts *facts, const data_decode_options *o)
{
    const png_uint_32 width = png_get_image_width(r->png, r->info), height = png_get_image_height(r->png, r->info);
    const int colour = png_get_color_type(r->png, r->info);
    if ((r->err = data__picture_check_size(height, width, r->name, o))) longjmp(r->jump, 1);
    png_check_promise(r, height);
    facts->height = (int)height, facts->width = (int)width;
    facts->channels = colour & PNG_COLOR_MASK_COLOR ? 3 : 1;
    facts->palette = colour == PNG_COLOR_TYPE_PALETTE;
    facts->sixteen = png_get_bit_depth(r->png, r->info) == 16;
    facts->alpha = (colour & PNG_COLOR_MASK_ALPHA) || png_get_valid(r->png, r->info, PNG_INFO_tRNS);
    facts->orientation = png_orientation(r);
}

/* Interlaced files come in seven passes that fill in the same rows. */
static ag_err png_rows(png_reader *r, int height, bool interlaced, int passes)
{
    const size_t stride = png_get_rowbytes(r->png, r->info);
    size_t bytes;
    if (__builtin_mul_overflow(stride, (size_t)height, &bytes) || !(r->rows = malloc(bytes)))
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory for %d rows of %zu bytes", r->name, height, stride);
    if (interlaced) memset(r->rows, 0, bytes); /* libpng merges into what is there */
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < height; y++) png_read_row(r->png, r->rows + (size_t)y * stride, NULL);
    png_read_end(r->png, NULL);
    return AG_OK;
}

/* Rows -> picture; the bytes of a 16-bit value are big-endian. */
static ag_err png_finish(png_reader *r, data_picture *out, const data__picture_facts *facts, int channels)
{
    const ag_err err = data__picture_new(out, facts->height, facts->width, channels, r->name);
    if (err) return err;
    const size_t n = (size_t)facts->height * (size_t)facts->width * (size_t)channels;
    if (facts->sixteen)
        for (size_t i = 0; i < n; i++) {
            const uint32_t v = (uint32_t)r->rows[2 * i] << 8 | r->rows[2 * i + 1];
            out->pixels[i] = (uint8_t)((v * 255 + 32767) / 65535);
        }
    else
        memcpy(out->pixels, r->rows, n);
    return AG_OK;
}

/* All that may longjmp. What must survive the jump lives in *r and *out. */
static ag_err png_run(png_reader *r, data_picture *out, data__picture_facts *facts, const data_decode_options *o)
{
    ag_err err;
    if (setjmp(r->jump)) return r->err;
    if (!(r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, png_stop, png_heed_warning)) ||
        !(r->info = png_create_info_struct(r->png)))
        return r->err ? r->err : ag_fail(AG_ERR_MEMORY, "%s: out of memory", r->name);
    png_set_read_fn(r->png, r, png_feed);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours are stricter and say more */
    png_set_chunk_malloc_max(r->png, 8 << 20);
    png_skip_extras(r->png);
    png_read_info(r->png, r->info);
    png_learn(r, facts, o);
    if (!out) return AG_OK;
    png_set_expand(r->png); /* palette -> RGB, 1, 2 and 4 bits -> 8, tRNS -> alpha */
    const int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    const int channels = png_get_channels(r->png, r->info);
    const int depth = png_get_bit_depth(r->png, r->info);
    if (channels < 1 || channels > 4 || depth != (facts->sixteen ? 16 : 8))
        return ag_fail(AG_ERR_DATA, "%s: PNG with %d channels of %d bits; convert it", r->name, channels, depth);
    if ((err = png_rows(r, facts->height, passes > 1, passes))) return err;
    facts->orientation = png_orientation(r); /* the chunk may come after the pixels */
    return png_finish(r, out, facts, channels);
}

ag_err data__png_decode(data_picture *out, data__picture_facts *facts, const void *bytes, size_t size, const char *name,
                        const data_decode_options *options)
{
    png_reader r = {.name = name, .bytes = bytes, .size = size};
    const ag_err err = png_run(&r, out, facts, options);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    if (err && out) data_picture_free(out);
    return err;
}
