/* The output file. How many pictures are good is known only at the end, and a contiguous dataset, the fastest to read,
 * cannot change its size. So the pixels are written from byte 4096 on, where HDF5, which has only begun the file,
 * will put the first large dataset; at the end the dataset is created over them. If the library chooses another place,
 * the pixels are moved there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/hdf5_tools.h"
#include "hdf5_driver.h"
#include "pack_parts.h"

enum {
    PIXELS_AT = 4096,
    MOVE_PIECE = 1 << 20,
    MANY_CLASSES = 3000, /* 16 bytes each; the old format holds 64 KiB of attribute */
};

ag_err data__pack_out_begin(data__pack_out *out, const char *path)
{
    *out = (data__pack_out){.path = path, .file = -1, .fd = -1};
    return data_publish_begin(&out->publish, path);
}

static ag_err create_file(data__pack_out *out, const char *temporary, bool many_classes)
{
    ag_err err = AG_OK;
    data_h5_quiet();
    const hid_t access = data__h5_access(), how = H5Pcreate(H5P_FILE_CREATE);
    if (access < 0 || how < 0 || H5Pset_alignment(access, PIXELS_AT, PIXELS_AT) < 0 ||
        H5Pset_obj_track_times(how, false) < 0 ||
        (many_classes && H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST) < 0) ||
        (out->file = H5Fcreate(temporary, H5F_ACC_TRUNC, how, access)) < 0)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot create it", out->path);
    if (how >= 0) H5Pclose(how);
    if (access >= 0) H5Pclose(access);
    return err;
}

ag_err data__pack_out_open(data__pack_out *out, const data__pack_list *list, const data__pack_form *form)
{
    const char *temporary = data_publish_temporary(out->publish);
    out->image_bytes = (size_t)form->height * (size_t)form->width * (size_t)form->channels;
    const ag_err err = create_file(out, temporary, list->class_count > MANY_CLASSES);
    if (err) return err;
    out->fd = open(temporary, O_RDWR | O_CLOEXEC);
    return out->fd < 0 ? data_io_fail(out->path, "open it", errno) : AG_OK;
}

static ag_err write_at(const data__pack_out *out, int64_t at, const uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t put = pwrite(out->fd, bytes + done, n - done, at + (int64_t)done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return data_io_fail(out->path, "write it", put ? errno : EIO);
        done += (size_t)put;
    }
    return AG_OK;
}

static ag_err read_at(const data__pack_out *out, int64_t at, uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = pread(out->fd, bytes + done, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return data_io_fail(out->path, "read back", got ? errno : EIO);
        done += (size_t)got;
    }
    return AG_OK;
}

ag_err data__pack_out_images(data__pack_out *out, int64_t n, const uint8_t *pixels)
{
    const int64_t at = PIXELS_AT + out->images * (int64_t)out->image_bytes;
    out->images += n;
    return write_at(out, at, pixels, (size_t)n * out->image_bytes);
}

/* The pixels go from PIXELS_AT to `to`; the places may overlap. */
static ag_err move_pixels(const data__pack_out *out, int64_t to)
{
    const int64_t size = out->images * (int64_t)out->image_bytes;
    uint8_t *piece = malloc(MOVE_PIECE);
    if (!piece) return data__pack_no_memory(out->path);
    ag_err err = AG_OK;
    for (int64_t done = 0; !err && done < size;) {
        const int64_t n = size - done < MOVE_PIECE ? size - done : MOVE_PIECE;
        const int64_t at = to < PIXELS_AT ? done : size - done - n; /* forwards or backwards, as memmove */
        if (!(err = read_at(out, PIXELS_AT + at, piece, (size_t)n))) err = write_at(out, to + at, piece, (size_t)n);
        done += n;
    }
    free(piece);
    return err;
}

/* Creates /images with its space but without writing; *at is where the space is. */
static ag_err make_images(const data__pack_out *out, const data__pack_form *form, int64_t *at)
{
    const hsize_t dims[4] = {(hsize_t)out->images, (hsize_t)form->height, (hsize_t)form->width,
                             (hsize_t)form->channels};
    ag_err err = AG_OK;
    hid_t dataset = -1;
    const hid_t space = H5Screate_simple(4, dims, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    if (space < 0 || how < 0 || H5Pset_layout(how, H5D_CONTIGUOUS) < 0 ||
        H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY) < 0 || H5Pset_fill_time(how, H5D_FILL_TIME_NEVER) < 0 ||
        H5Pset_obj_track_times(how, false) < 0 ||
        (dataset = H5Dcreate2(out->file, "images", H5T_STD_U8LE, space, H5P_DEFAULT, how, H5P_DEFAULT)) < 0) {
        err = data_h5_fail(AG_ERR_IO, "%s: cannot create dataset 'images'", out->path);
    } else {
        const haddr_t offset = H5Dget_offset(dataset);
        *at = (int64_t)offset;
        if (offset == HADDR_UNDEF) err = data_h5_fail(AG_ERR_IO, "%s: dataset 'images' got no place", out->path);
    }
    if (dataset >= 0 && H5Dclose(dataset) < 0 && !err)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot create dataset 'images'", out->path);
    if (how >= 0) H5Pclose(how);
    if (space >= 0) H5Sclose(space);
    return err;
}

/* Length of the UTF-8 sequence at s, 0 if it is none (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). */
static int utf8_length(const uint8_t *s)
{
    if (s[0] < 0x80) return 1;
    const int n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* File names are bytes; HDF5 texts are UTF-8: what is not becomes U+FFFD. malloc'ed. */
static char *to_utf8(const char *text)
{
    char *copy = malloc(strlen(text) * 3 + 1), *p = copy;
    for (const uint8_t *s = (const uint8_t *)text; copy && *s;) {
        const int n = utf8_length(s);
        memcpy(p, n ? (const char *)s : "\xef\xbf\xbd", n ? (size_t)n : 3);
        p += n ? n : 3;
        s += n ? n : 1;
    }
    if (copy) *p = 0;
    return copy;
}

static ag_err write_names(const data__pack_out *out, const data__pack_list *list, const int64_t *kept)
{
    char **names = calloc((size_t)out->images, sizeof *names);
    ag_err err = names ? AG_OK : data__pack_no_memory(out->path);
    for (int64_t i = 0; !err && i < out->images; i++)
        if (!(names[i] = to_utf8(list->items[kept[i]].name))) err = data__pack_no_memory(out->path);
    if (!err)
        err =
            data_h5_write_strings(out->file, out->path, "names", out->images, (const char *const *)(const void *)names);
    for (int64_t i = 0; names && i < out->images; i++) free(names[i]);
    free(names);
    return err;
}

static ag_err write_columns(const data__pack_out *out, const data__pack_list *list, const int64_t *kept)
{
    const int64_t n = out->images;
    int64_t *labels = calloc((size_t)n, sizeof *labels);
    uint8_t *split = calloc((size_t)n, 1);
    ag_err err = labels && split ? AG_OK : data__pack_no_memory(out->path);
    for (int64_t i = 0; !err && i < n; i++)
        labels[i] = list->items[kept[i]].label, split[i] = list->items[kept[i]].split;
    if (!err && list->class_count) err = data_h5_write(out->file, out->path, "labels", H5T_NATIVE_INT64, 1, &n, labels);
    if (!err && list->has_split) err = data_h5_write(out->file, out->path, "split", H5T_NATIVE_UINT8, 1, &n, split);
    free(labels);
    free(split);
    return err ? err : write_names(out, list, kept);
}

/* ISO 8601, UTC. SOURCE_DATE_EPOCH makes files repeatable (reproducible-builds.org). */
static void now_text(char *text, size_t room)
{
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    const time_t now = fixed && *fixed ? (time_t)strtoll(fixed, NULL, 10) : time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(text, room, "%Y-%m-%dT%H:%M:%SZ", &utc)) text[0] = 0;
}

static ag_err write_source(const data__pack_out *out, const data__pack_list *list)
{
    size_t n = 1;
    for (int i = 0; i < list->options->source_count; i++) n += strlen(list->sources[i].path) + 2;
    char *text = malloc(n), *p = text;
    if (!text) return data__pack_no_memory(out->path);
    *p = 0;
    for (int i = 0; i < list->options->source_count; i++) {
        if (i) p = stpcpy(p, ", ");
        p = stpcpy(p, list->sources[i].path);
    }
    char *clean = to_utf8(text);
    const ag_err err =
        clean ? data_h5_set_string(out->file, out->path, "source", clean) : data__pack_no_memory(out->path);
    free(clean);
    free(text);
    return err;
}

static ag_err write_classes(const data__pack_out *out, const data__pack_list *list)
{
    const int n = list->class_count;
    if (n == 0) return AG_OK;
    char **names = calloc((size_t)n, sizeof *names);
    ag_err err = names ? AG_OK : data__pack_no_memory(out->path);
    for (int i = 0; !err && i < n; i++)
        if (!(names[i] = to_utf8(list->classes[i]))) err = data__pack_no_memory(out->path);
    if (!err) err = data_h5_set_strings(out->file, out->path, "classes", n, (const char *const *)(const void *)names);
    for (int i = 0; names && i < n; i++) free(names[i]);
    free(names);
    return err;
}

static ag_err write_attributes(const data__pack_out *out, const data__pack_list *list)
{
    char created[40];
    now_text(created, sizeof created);
    const char *const texts[][2] = {{"format", "tessera-images"},
                                    {"layout", "NHWC"},
                                    {"range", "0,255"},
                                    {"colorspace", "sRGB"},
                                    {"created", created}};
    ag_err err = data_h5_set_int(out->file, out->path, "format_version", 1);
    for (size_t i = 0; !err && i < sizeof texts / sizeof *texts; i++)
        err = data_h5_set_string(out->file, out->path, texts[i][0], texts[i][1]);
    if (!err) err = write_source(out, list);
    return err ? err : write_classes(out, list);
}

ag_err data__pack_out_finish(data__pack_out *out, const data__pack_list *list, const data__pack_form *form,
                             const int64_t *kept)
{
    int64_t at = 0;
    ag_err err = make_images(out, form, &at);
    if (!err && at != PIXELS_AT) err = move_pixels(out, at);
    if (!err) err = write_columns(out, list, kept);
    if (!err) err = write_attributes(out, list);
    const int fd = out->fd;
    out->fd = -1;
    if (close(fd) && !err) err = data_io_fail(out->path, "close it", errno);
    const hid_t file = out->file;
    out->file = -1;
    const ag_err finished = data_h5_finish(file, out->path);
    if (err || finished) return err ? err : finished;
    data_publish *publish = out->publish;
    out->publish = NULL;
    return data_publish_commit(publish);
}

void data__pack_out_abort(data__pack_out *out)
{
    if (out->fd >= 0) close(out->fd);
    if (out->file >= 0) H5Fclose(out->file);
    data_publish_abort(out->publish);
    *out = (data__pack_out){.file = -1, .fd = -1};
}
