/* Writing PNG: 8 bits, grey or RGB, to memory; then to a file in one piece. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "data/picture.h"
#include "data/publish.h"

typedef struct png_writer {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    ag_err err;
    uint8_t *bytes;
    size_t size, room;
} png_writer;

static void png_stop_writing(png_structp png, png_const_charp reason)
{
    png_writer *w = png_get_error_ptr(png);
    if (!w->err) w->err = ag_fail(strstr(reason, "memory") ? AG_ERR_MEMORY : AG_ERR_FAILED, "writing PNG: %s", reason);
    longjmp(w->jump, 1);
}

static void png_drop_advice(png_structp png, png_const_charp text) { (void)png, (void)text; }

static void png_take(png_structp png, png_bytep bytes, size_t n)
{
    png_writer *w = png_get_io_ptr(png);
    if (n > w->room - w->size) {
        const size_t room = (w->size + n) * 2;
        uint8_t *more = realloc(w->bytes, room);
        if (!more) {
            w->err = ag_fail(AG_ERR_MEMORY, "writing PNG: out of memory for %zu bytes", room);
            longjmp(w->jump, 1);
        }
        w->bytes = more, w->room = room;
    }
    memcpy(w->bytes + w->size, bytes, n);
    w->size += n;
}

static void png_need_no_flush(png_structp png) { (void)png; }

/* All that may longjmp. What must survive the jump lives in *w. */
static ag_err png_put(png_writer *w, const data_picture *p)
{
    if (setjmp(w->jump)) return w->err;
    if (!(w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, png_stop_writing, png_drop_advice)) ||
        !(w->info = png_create_info_struct(w->png)))
        return w->err ? w->err : ag_fail(AG_ERR_MEMORY, "writing PNG: out of memory");
    png_set_write_fn(w->png, w, png_take, png_need_no_flush);
    png_set_IHDR(w->png, w->info, (png_uint_32)p->width, (png_uint_32)p->height, 8,
                 p->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    const size_t stride = (size_t)p->width * (size_t)p->channels;
    for (int y = 0; y < p->height; y++) png_write_row(w->png, p->pixels + (size_t)y * stride);
    png_write_end(w->png, w->info);
    return AG_OK;
}

ag_err data_picture_encode_png(const data_picture *p, uint8_t **png, size_t *size)
{
    *png = NULL, *size = 0;
    if (!p->pixels || p->height < 1 || p->width < 1 || (p->channels != 1 && p->channels != 3))
        return ag_fail(AG_ERR_SHAPE, "writing PNG: a picture of %d x %d x %d; channels must be 1 or 3", p->width,
                       p->height, p->channels);
    png_writer w = {0};
    const ag_err err = png_put(&w, p);
    png_destroy_write_struct(&w.png, &w.info);
    if (err) {
        free(w.bytes);
        return err;
    }
    *png = w.bytes, *size = w.size;
    return AG_OK;
}

ag_err data_picture_write_png(const char *path, const data_picture *p)
{
    uint8_t *png;
    size_t size;
    ag_err err = data_picture_encode_png(p, &png, &size);
    if (err) return ag_fail_context(err, "%s", path);
    err = data_publish_bytes(path, png, size);
    free(png);
    return err;
}
