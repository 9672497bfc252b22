/* JPEG through libjpeg-turbo. Its errors come by longjmp; its warnings (cut short, impossible codes, missing markers)
 * mean that what it returns is made up, so each of them is an error here. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "picture_parts.h"

enum { MAX_SCANS = 500 }; /* real files have about ten; each scan costs a pass over the whole picture */

typedef struct jpeg_reader {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    ag_err err; /* of our own finding, already told by ag_fail */
    const char *name;
    uint8_t *line; /* one row of CMYK */
} jpeg_reader;

static void jpeg_stop(j_common_ptr c)
{
    jpeg_reader *r = c->client_data;
    char reason[JMSG_LENGTH_MAX];
    c->err->format_message(c, reason);
    if (c->err->msg_code == JERR_OUT_OF_MEMORY)
        r->err = ag_fail(AG_ERR_MEMORY, "%s: out of memory for %u x %u pixels", r->name, r->c.image_width,
                         r->c.image_height);
    else
        r->err = ag_fail(AG_ERR_DATA, "%s: damaged or unusual JPEG (%s); replace or remove it", r->name, reason);
    longjmp(r->jump, 1);
}

static void jpeg_message(j_common_ptr c, int level)
{
    if (level < 0) jpeg_stop(c);
}

/* Our own finding, from inside the library's reach. */
static void jpeg_refuse(jpeg_reader *r, ag_err err)
{
    r->err = err;
    longjmp(r->jump, 1);
}

static void jpeg_count_scans(j_common_ptr c)
{
    jpeg_reader *r = c->client_data;
    if (r->c.input_scan_number > MAX_SCANS)
        jpeg_refuse(r,
                    ag_fail(AG_ERR_DATA, "%s: JPEG with more than %d scans; replace or remove it", r->name, MAX_SCANS));
}

static int jpeg_orientation(const jpeg_reader *r)
{
    for (jpeg_saved_marker_ptr m = r->c.marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && !memcmp(m->data, "Exif\0", 6))
            return data__exif_orientation(m->data + 6, m->data_length - 6);
    return 1;
}

/* A Huffman code has at least one bit, and every block of every component at least one code: a header that promises
 * more than the file can hold is caught before memory is taken for it. */
static void jpeg_check_promise(jpeg_reader *r, size_t size)
{
    uint64_t blocks = 0;
    if (r->c.arith_code) return;
    for (int i = 0; i < r->c.num_components; i++)
        blocks += (uint64_t)r->c.comp_info[i].width_in_blocks * r->c.comp_info[i].height_in_blocks;
    if (blocks / 8 > size)
        jpeg_refuse(r,
                    ag_fail(AG_ERR_DATA, "%s: JPEG header says %u x %u pixels, too many for %zu bytes; it is cut short",
                            r->name, r->c.image_width, r->c.image_height, size));
}

static void jpeg_learn(jpeg_reader *r, data__picture_facts *facts, size_t size, const data_decode_options *o)
{
    const ag_err err = data__picture_check_size(r->c.image_height, r->c.image_width, r->name, o);
    if (err) jpeg_refuse(r, err);
    jpeg_check_promise(r, size);
    facts->height = (int)r->c.image_height, facts->width = (int)r->c.image_width;
    facts->orientation = jpeg_orientation(r);
    switch (r->c.jpeg_color_space) {
    case JCS_GRAYSCALE: r->c.out_color_space = JCS_GRAYSCALE, facts->channels = 1; break;
    case JCS_RGB:
    case JCS_YCbCr: r->c.out_color_space = JCS_RGB, facts->channels = 3; break;
    case JCS_CMYK:
    case JCS_YCCK: r->c.out_color_space = JCS_CMYK, facts->channels = 3, facts->cmyk = true; break;
    default:
        jpeg_refuse(r, ag_fail(AG_ERR_DATA, "%s: JPEG with %d components of no known colour; convert it to RGB",
                               r->name, r->c.num_components));
    }
}

/* The smallest of 1/8, 1/4, 1/2 at which both sides stay at or above the minimum. libjpeg-turbo has the other eighths
 * too, but those are slower than the next power of two (no vector code) and blur block by block: on 200 photos fitted to
 * 128 x 128 they lose 5 dB more against a full decode. */
static void jpeg_choose_scale(jpeg_reader *r, const data__picture_facts *facts, const data_decode_options *o)
{
    const bool swapped = facts->orientation > 4;
    const int min_height = swapped ? o->min_width : o->min_height, min_width = swapped ? o->min_height : o->min_width;
    r->c.scale_num = 1;
    unsigned n = min_height < 1 || min_width < 1 ? 1 : 8;
    while (n > 1 &&
           ((int)((r->c.image_height + n - 1) / n) < min_height || (int)((r->c.image_width + n - 1) / n) < min_width))
        n /= 2;
    r->c.scale_denom = n;
}

/* Adobe's programs store 255 - ink, and say who they are in a marker. Paper is white, ink multiplies. */
static void cmyk_to_rgb(const uint8_t *in, uint8_t *out, int width, bool inverted)
{
    const unsigned flip = inverted ? 0 : 255;
    for (int x = 0; x < width; x++, in += 4, out += 3) {
        const unsigned key = in[3] ^ flip;
        for (int k = 0; k < 3; k++) out[k] = (uint8_t)(((in[k] ^ flip) * key + 127) / 255);
    }
}

static void jpeg_rows(jpeg_reader *r, data_picture *out, bool cmyk)
{
    while (r->c.output_scanline < r->c.output_height) {
        uint8_t *row = out->pixels + (size_t)r->c.output_scanline * (size_t)out->width * (size_t)out->channels;
        JSAMPROW target = cmyk ? r->line : row;
        if (jpeg_read_scanlines(&r->c, &target, 1) != 1) ERREXIT(&r->c, JERR_CANT_SUSPEND);
        if (cmyk) cmyk_to_rgb(r->line, row, out->width, r->c.saw_Adobe_marker);
    }
}

/* All that may longjmp. What must survive the jump lives in *r and *out. */
static ag_err jpeg_run(jpeg_reader *r, data_picture *out, data__picture_facts *facts, const void *bytes, size_t size,
                       const data_decode_options *o)
{
    ag_err err;
    if (setjmp(r->jump)) return r->err;
    jpeg_create_decompress(&r->c);
    r->c.client_data = r;
    r->c.progress = &r->progress;
    jpeg_mem_src(&r->c, bytes, size);
    jpeg_save_markers(&r->c, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&r->c, TRUE);
    jpeg_learn(r, facts, size, o);
    if (!out) return AG_OK;
    jpeg_choose_scale(r, facts, o);
    jpeg_calc_output_dimensions(&r->c);
    if ((err = data__picture_new(out, (int)r->c.output_height, (int)r->c.output_width, facts->channels, r->name)))
        return err;
    if (facts->cmyk && !(r->line = malloc(4 * (size_t)r->c.output_width)))
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", r->name);
    jpeg_start_decompress(&r->c);
    jpeg_rows(r, out, facts->cmyk);
    jpeg_finish_decompress(&r->c);
    return AG_OK;
}

ag_err data__jpeg_decode(data_picture *out, data__picture_facts *facts, const void *bytes, size_t size,
                         const char *name, const data_decode_options *options)
{
    jpeg_reader r = {.name = name};
    r.c.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = jpeg_stop;
    r.errors.emit_message = jpeg_message;
    r.progress.progress_monitor = jpeg_count_scans;
    r.c.client_data = &r; /* an error in create needs it already */
    const ag_err err = jpeg_run(&r, out, facts, bytes, size, options);
    jpeg_destroy_decompress(&r.c);
    free(r.line);
    if (err && out) data_picture_free(out);
    return err;
}
