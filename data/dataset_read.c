/* Reading pixels. A batch is sorted by index and read in pieces of consecutive images, one call each:
 *
 *     contiguous u8 [N,H,W,C]     preadv straight to the places in the batch, without the library and its lock
 *     contiguous, other           pread to the stage, then converted to the places
 *     chunked, filtered           one hyperslab to the stage
 *     encoded                     the bytes of each image, decoded to the stage
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dataset_private.h"
#include "data/picture.h"

#define STAGE_BYTES   (4 << 20)
#define DIRECT_IMAGES 64

bool data__reads_parallel(const data_set *set) { return set->fd >= 0; }

static ag_err read_fail(const data_set *set, int error)
{
    if (error) return ag_fail(AG_ERR_IO, "%s: cannot read dataset '%s': %s", set->path, set->name, strerror(error));
    return ag_fail(AG_ERR_DATA, "%s: dataset '%s' ends early: the file was truncated while in use", set->path,
                   set->name);
}

/* Fills the buffers from `at` on; changes them. */
static ag_err read_vector(const data_set *set, struct iovec *to, int n, int64_t at)
{
    while (n > 0) {
        const ssize_t got = preadv(set->fd, to, n, at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return read_fail(set, got ? errno : 0);
        at += got;
        size_t left = (size_t)got;
        for (; n > 0 && left >= to->iov_len; to++, n--) left -= to->iov_len;
        if (n > 0) to->iov_base = (char *)to->iov_base + left, to->iov_len -= left;
    }
    return AG_OK;
}

/* `count` images (or bytes, where they are encoded) through the library. */
static ag_err read_rows(const data_set *set, int64_t first, int64_t count, hid_t type, void *out)
{
    return data_h5_read_rows(set->images, set->path, set->name, AG_ERR_DATA, type, set->rank, set->dims, first, count,
                             out);
}

/* Decodes one image and checks its size. */
static ag_err decode_to(const data_set *set, int64_t index, const void *bytes, size_t size, uint8_t *pixels)
{
    const data_set_info *info = &set->info;
    char name[512];
    snprintf(name, sizeof name, "%s: image %lld", set->path, (long long)index);
    data_picture picture = {0};
    ag_err err = data_picture_decode(&picture, bytes, size, name, &(data_decode_options){.channels = info->channels});
    if (err) return err;
    if (picture.height != info->height || picture.width != info->width || picture.channels != info->channels)
        err = ag_fail(AG_ERR_DATA,
                      "%s is %d x %d, the first one %d x %d; give all the same size with 'tessera pack --size'", name,
                      picture.width, picture.height, info->width, info->height);
    else
        memcpy(pixels, picture.pixels, (size_t)set->values);
    data_picture_free(&picture);
    return err;
}

static ag_err fetch_packed(const data_set *set, int64_t index, uint8_t *pixels)
{
    const uint64_t from = set->offsets[index], size = set->offsets[index + 1] - from;
    void *bytes = malloc(size ? size : 1);
    if (!bytes)
        return ag_fail(AG_ERR_MEMORY, "%s: no memory for the %llu bytes of image %lld", set->path,
                       (unsigned long long)size, (long long)index);
    ag_err err = AG_OK;
    if (set->fd >= 0)
        err = read_vector(set, &(struct iovec){bytes, size}, size > 0, set->offset + (int64_t)from);
    else if (size > 0)
        err = read_rows(set, (int64_t)from, (int64_t)size, H5T_NATIVE_UINT8, bytes);
    if (!err) err = decode_to(set, index, bytes, size, pixels);
    free(bytes);
    return err;
}

static ag_err fetch_variable(const data_set *set, int64_t index, uint8_t *pixels)
{
    hvl_t element = {0};
    const hid_t type = H5Tvlen_create(H5T_NATIVE_UINT8);
    if (type < 0) return data_h5_fail(AG_ERR_FAILED, "%s: dataset '%s'", set->path, set->name);
    ag_err err = read_rows(set, index, 1, type, &element);
    if (!err) {
        const hsize_t one = 1;
        const hid_t space = H5Screate_simple(1, &one, NULL);
        err = decode_to(set, index, element.p, element.len, pixels);
        if (space >= 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, &element), H5Sclose(space);
    }
    H5Tclose(type);
    return err;
}

ag_err data__fetch(const data_set *set, int64_t first, int64_t count, void *stored)
{
    const size_t bytes = (size_t)set->values * set->element;
    if (set->kind == IMAGES_RAW && set->fd >= 0)
        return read_vector(set, &(struct iovec){stored, (size_t)count * bytes}, 1,
                           set->offset + first * (int64_t)bytes);
    if (set->kind == IMAGES_RAW)
        return read_rows(set, first, count, set->element == 1 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT, stored);
    ag_err err = AG_OK;
    for (int64_t i = 0; i < count && !err; i++) {
        uint8_t *pixels = (uint8_t *)stored + (size_t)i * bytes;
        err =
            set->kind == IMAGES_PACKED ? fetch_packed(set, first + i, pixels) : fetch_variable(set, first + i, pixels);
    }
    return err;
}

ag_err data__reserve(data_set *set, int64_t n)
{
    if (!set->stage) {
        const int64_t bytes = set->values * (int64_t)set->element, fit = STAGE_BYTES / bytes;
        set->stage_images = fit < 1 ? 1 : fit > 1024 ? 1024 : fit;
        set->stage = malloc((size_t)(set->stage_images * bytes));
        if (!set->stage)
            return ag_fail(AG_ERR_MEMORY, "%s: no memory for an image of %lld bytes", set->path, (long long)bytes);
    }
    if (n <= set->order_room) return AG_OK;
    data_place *order = realloc(set->order, (size_t)n * sizeof *order);
    if (!order) return ag_fail(AG_ERR_MEMORY, "%s: no memory to read %lld images", set->path, (long long)n);
    set->order = order, set->order_room = n;
    return AG_OK;
}

/* By index, without memory of its own (qsort may allocate): shell sort, Ciura's gaps continued by 9/4. */
static void sort_places(data_place *p, int64_t n)
{
    int64_t gaps[40] = {1, 4, 10, 23, 57, 132, 301, 701};
    int g = 7;
    while (g < 39 && gaps[g] < n / 2) gaps[g + 1] = gaps[g] * 9 / 4, g++;
    for (; g >= 0; g--)
        for (int64_t i = gaps[g]; i < n; i++) {
            const data_place moved = p[i];
            int64_t j = i;
            for (; j >= gaps[g] && p[j - gaps[g]].index > moved.index; j -= gaps[g]) p[j] = p[j - gaps[g]];
            p[j] = moved;
        }
}

/* The first of p[1..n) that is no successor of the one before it, or would be image number `most` + 1 of the piece. */
static int64_t piece_length(const data_place *p, int64_t n, int64_t most)
{
    int64_t k = 1;
    while (k < n && p[k].index - p[k - 1].index <= 1 && p[k].index - p[0].index < most) k++;
    return k;
}

static void bytes_to_bytes(const data_set *set, const uint8_t *in, uint8_t *out)
{
    const int64_t channels = set->info.channels, pixels = set->values / channels;
    if (!set->planar) {
        memcpy(out, in, (size_t)set->values);
        return;
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++) out[p * channels + c] = in[c * pixels + p];
}

static void bytes_to_real(const data_set *set, const uint8_t *in, float *out)
{
    const int64_t channels = set->info.channels, pixels = set->values / channels;
    float real[256];
    for (int i = 0; i < 256; i++) real[i] = (float)i / 255.0f;
    if (!set->planar) {
        for (int64_t i = 0; i < set->values; i++) out[i] = real[in[i]];
        return;
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++) out[p * channels + c] = real[in[c * pixels + p]];
}

/* Stored floats to [0,1] or to bytes. Returns false if one is not finite. */
static bool real_to_either(const data_set *set, const float *in, float *reals, uint8_t *bytes)
{
    const int64_t channels = set->info.channels, pixels = set->values / channels;
    const int64_t step_c = set->planar ? pixels : 1, step_p = set->planar ? 1 : channels;
    const double low = set->low, scale = 1 / (set->high - set->low);
    bool finite = true;
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < channels; c++) {
            const float v = in[c * step_c + p * step_p], u = data__unit(low, scale, v);
            finite &= fabsf(v) <= 3.402823466e38f;
            if (reals)
                reals[p * channels + c] = u;
            else
                bytes[p * channels + c] = (uint8_t)(u * 255.0f + 0.5f);
        }
    return finite;
}

static ag_err put_image(const data_set *set, const void *stored, int64_t index, void *out, bool real)
{
    if (set->element == 1 && real)
        bytes_to_real(set, stored, out);
    else if (set->element == 1)
        bytes_to_bytes(set, stored, out);
    else if (!real_to_either(set, stored, real ? out : NULL, real ? NULL : out))
        return ag_fail(AG_ERR_DATA, "%s: image %lld of dataset '%s' has a value that is not finite", set->path,
                       (long long)index, set->name);
    return AG_OK;
}

static ag_err read_staged(data_set *set, const data_place *p, int64_t n, void *out, bool real)
{
    const size_t stored = (size_t)set->values * set->element;
    const size_t given = (size_t)set->values * (real ? sizeof(float) : 1);
    const int64_t first = p[0].index;
    ag_err err = data__fetch(set, first, p[n - 1].index - first + 1, set->stage);
    for (int64_t k = 0; k < n && !err; k++)
        err = put_image(set, (char *)set->stage + (size_t)(p[k].index - first) * stored, p[k].index,
                        (char *)out + (size_t)p[k].place * given, real);
    return err;
}

static ag_err read_direct(const data_set *set, const data_place *p, int64_t n, uint8_t *out)
{
    const size_t bytes = (size_t)set->values;
    struct iovec to[DIRECT_IMAGES];
    int distinct = 0;
    for (int64_t k = 0; k < n; k++)
        if (k == 0 || p[k].index != p[k - 1].index)
            to[distinct++] = (struct iovec){out + (size_t)p[k].place * bytes, bytes};
    ag_err err = read_vector(set, to, distinct, set->offset + p[0].index * (int64_t)bytes);
    for (int64_t k = 1; k < n && !err; k++)
        if (p[k].index == p[k - 1].index)
            memcpy(out + (size_t)p[k].place * bytes, out + (size_t)p[k - 1].place * bytes, bytes);
    return err;
}

static ag_err read_images(data_set *set, int64_t n, const int64_t *indices, void *out, bool real)
{
    if (n < 0) return ag_fail(AG_ERR_USAGE, "%s: %lld images asked for", set->path, (long long)n);
    ag_err err = data__reserve(set, n);
    for (int64_t i = 0; i < n && !err; i++) {
        if (indices[i] < 0 || indices[i] >= set->info.count)
            return ag_fail(AG_ERR_USAGE, "%s: image %lld asked for; there are %lld", set->path, (long long)indices[i],
                           (long long)set->info.count);
        set->order[i] = (data_place){indices[i], i};
    }
    if (err) return err;
    sort_places(set->order, n);
    const bool direct = set->kind == IMAGES_RAW && set->fd >= 0 && set->element == 1 && !set->planar && !real;
    for (int64_t k = 0, length = 0; k < n && !err; k += length) {
        const data_place *p = set->order + k;
        length = piece_length(p, n - k, direct ? DIRECT_IMAGES : set->stage_images);
        err = direct ? read_direct(set, p, length, out) : read_staged(set, p, length, out, real);
    }
    return err;
}

ag_err data_set_read(data_set *set, int64_t n, const int64_t *indices, uint8_t *pixels)
{
    return read_images(set, n, indices, pixels, false);
}

ag_err data_set_read_real(data_set *set, int64_t n, const int64_t *indices, float *pixels)
{
    return read_images(set, n, indices, pixels, true);
}
