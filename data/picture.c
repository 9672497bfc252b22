#include "data/picture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/publish.h"
#include "picture_parts.h"

enum { MAX_SIDE = 1000000, MAX_FILE = 1 << 30 };
#define MAX_PIXELS ((int64_t)1 << 28)

void data_picture_free(data_picture *p)
{
    if (!p) return;
    free(p->pixels);
    *p = (data_picture){0};
}

ag_err data__picture_new(data_picture *out, int height, int width, int channels, const char *name)
{
    size_t bytes;
    *out = (data_picture){0};
    if (height < 1 || width < 1 || channels < 1 || __builtin_mul_overflow((size_t)height, (size_t)width, &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)channels, &bytes) || bytes > PTRDIFF_MAX)
        return ag_fail(AG_ERR_DATA, "%s: a picture of %d x %d x %d values cannot be held", name, width, height,
                       channels);
    if (!(out->pixels = malloc(bytes)))
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory for %d x %d pixels", name, width, height);
    out->height = height, out->width = width, out->channels = channels;
    return AG_OK;
}

ag_err data__picture_check_size(uint64_t height, uint64_t width, const char *name, const data_decode_options *options)
{
    const int64_t limit = options && options->max_pixels > 0 ? options->max_pixels : MAX_PIXELS;
    if (height < 1 || width < 1) return ag_fail(AG_ERR_DATA, "%s: its header says it has no pixels", name);
    if (height > MAX_SIDE || width > MAX_SIDE || height * width > (uint64_t)limit)
        return ag_fail(AG_ERR_DATA,
                       "%s: its header says %llu x %llu pixels, the limit is %lld (and %d a side); shrink it first",
                       name, (unsigned long long)width, (unsigned long long)height, (long long)limit, MAX_SIDE);
    return AG_OK;
}

static ag_err decode_by_magic(data_picture *out, data__picture_facts *facts, const uint8_t *bytes, size_t size,
                              const char *name, const data_decode_options *options)
{
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff}, png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (size >= sizeof jpeg && !memcmp(bytes, jpeg, sizeof jpeg))
        return data__jpeg_decode(out, facts, bytes, size, name, options);
    if (size >= sizeof png && !memcmp(bytes, png, sizeof png))
        return data__png_decode(out, facts, bytes, size, name, options);
    return ag_fail(AG_ERR_DATA,
                   size ? "%s: is neither JPEG nor PNG (by its first bytes); convert or remove it"
                        : "%s: is empty; remove it",
                   name);
}

/* Composites alpha (2 or 4 channels) on white, in place: 1 or 3 channels remain. */
static void flatten(data_picture *p)
{
    if (p->channels != 2 && p->channels != 4) return;
    const int colours = p->channels - 1;
    const size_t n = (size_t)p->height * (size_t)p->width;
    const uint8_t *in = p->pixels;
    uint8_t *out = p->pixels; /* never overtakes `in` */
    for (size_t i = 0; i < n; i++, in += colours + 1, out += colours) {
        const unsigned alpha = in[colours];
        for (int c = 0; c < colours; c++) out[c] = (uint8_t)((in[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
    p->channels = colours;
}

/* Replaces the picture by the upright one. Where output pixel (y,x) comes from: source row and column run along +-y or +-x (EXIF 2.32, table 6, 0th row and
 * column: 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left
 * bottom). */
static ag_err turn(data_picture *p, int orientation, const char *name)
{
    if (orientation < 2 || orientation > 8) return AG_OK;
    const bool swapped = orientation > 4;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    data_picture q;
    const ag_err err =
        data__picture_new(&q, swapped ? p->width : p->height, swapped ? p->height : p->width, p->channels, name);
    if (err) return err;
    const ptrdiff_t c = p->channels, row = (ptrdiff_t)p->width * c;
    const ptrdiff_t down = from_bottom ? -row : row, right = from_right ? -c : c;
    const uint8_t *start =
        p->pixels + (from_bottom ? (p->height - 1) * row : 0) + (from_right ? (p->width - 1) * c : 0);
    uint8_t *out = q.pixels;
    for (int y = 0; y < q.height; y++) {
        const uint8_t *in = start + y * (swapped ? right : down);
        for (int x = 0; x < q.width; x++, in += swapped ? down : right, out += c)
            for (int k = 0; k < c; k++) out[k] = in[k];
    }
    data_picture_free(p);
    *p = q;
    return AG_OK;
}

ag_err data__picture_decode(data_picture *out, data__picture_facts *facts, const void *bytes, size_t size,
                            const char *name, const data_decode_options *options)
{
    static const data_decode_options usual;
    if (!options) options = &usual;
    if (out) *out = (data_picture){0};
    *facts = (data__picture_facts){.orientation = 1};
    if (options->channels != 0 && options->channels != 1 && options->channels != 3)
        return ag_fail(AG_ERR_USAGE, "%s: cannot decode to %d channels; ask for 1 or 3", name, options->channels);
    ag_err err = decode_by_magic(out, facts, bytes, size, name, options);
    if (!err && facts->orientation > 4) {
        const int height = facts->height;
        facts->height = facts->width, facts->width = height;
    }
    if (err || !out) return err;
    flatten(out);
    err = data__picture_convert(out, options->channels, name);
    if (!err) err = turn(out, facts->orientation, name);
    if (err) data_picture_free(out);
    return err;
}

ag_err data_picture_decode(data_picture *out, const void *bytes, size_t size, const char *name,
                           const data_decode_options *options)
{
    data__picture_facts facts;
    return data__picture_decode(out, &facts, bytes, size, name, options);
}

/* Fills `bytes`; a file that shrinks meanwhile is an error. */
static ag_err read_all(int fd, const char *path, uint8_t *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t n = read(fd, bytes + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return data_io_fail(path, "read it", errno);
        if (n == 0) return ag_fail(AG_ERR_DATA, "%s: became shorter while it was read", path);
        done += (size_t)n;
    }
    return AG_OK;
}

ag_err data__file_read(const char *path, uint8_t **bytes, size_t *size)
{
    ag_err err = AG_OK;
    struct stat st;
    *bytes = NULL, *size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block */
    if (fd < 0) return data_io_fail(path, "open it", errno);
    if (fstat(fd, &st))
        err = data_io_fail(path, "read it", errno);
    else if (!S_ISREG(st.st_mode))
        err = ag_fail(AG_ERR_DATA, "%s: is not a regular file", path);
    else if (st.st_size < 1 || st.st_size > MAX_FILE)
        err = ag_fail(AG_ERR_DATA, "%s: %s", path, st.st_size < 1 ? "is empty" : "is larger than 1 GiB");
    else if (!(*bytes = malloc((size_t)st.st_size)))
        err = ag_fail(AG_ERR_MEMORY, "%s: out of memory for %lld bytes", path, (long long)st.st_size);
    else if (!(err = read_all(fd, path, *bytes, (size_t)st.st_size)))
        *size = (size_t)st.st_size;
    close(fd); /* nothing was written */
    if (err) {
        free(*bytes);
        *bytes = NULL;
    }
    return err;
}

ag_err data_picture_read(data_picture *out, const char *path, const data_decode_options *options)
{
    uint8_t *bytes;
    size_t size;
    *out = (data_picture){0};
    ag_err err = data__file_read(path, &bytes, &size);
    if (!err) err = data_picture_decode(out, bytes, size, path, options);
    free(bytes);
    return err;
}

ag_err data__picture_convert(data_picture *p, int channels, const char *name)
{
    if (channels == 0 || channels == p->channels) return AG_OK;
    data_picture q;
    const ag_err err = data__picture_new(&q, p->height, p->width, channels, name);
    if (err) return err;
    const size_t n = (size_t)p->height * (size_t)p->width;
    const uint8_t *in = p->pixels;
    if (channels == 3)
        for (size_t i = 0; i < n; i++) q.pixels[3 * i] = q.pixels[3 * i + 1] = q.pixels[3 * i + 2] = in[i];
    else
        for (size_t i = 0; i < n; i++, in += 3)
            q.pixels[i] = (uint8_t)((299u * in[0] + 587u * in[1] + 114u * in[2] + 500u) / 1000u);
    data_picture_free(p);
    *p = q;
    return AG_OK;
}
