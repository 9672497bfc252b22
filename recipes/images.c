#include <string.h>

#include "images.h"

image_shape images_shape(const data_set *set)
{
    const data_set_info *i = data_set_get_info(set);
    return (image_shape){.height = i->height, .width = i->width, .channels = i->channels, .real = i->dtype != DATA_U8};
}

int64_t images_values(const image_shape *s) { return s->height * s->width * s->channels; }

size_t images_bytes(const image_shape *s) { return (size_t)images_values(s) * (s->real ? sizeof(real) : 1); }

ag_err images_read(data_set *set, const image_shape *s, int64_t n, const int64_t *indices, void *out)
{
    return s->real ? data_set_read_real(set, n, indices, out) : data_set_read(set, n, indices, out);
}

void images_to_real(const image_shape *s, int64_t n, const void *in, real *out)
{
    const uint8_t *pixels = in;
    if (s->real) {
        memcpy(out, in, (size_t)n * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < n; i++) out[i] = (real)pixels[i] / (real)255;
}

void images_to_u8(const image_shape *s, int64_t n, const void *in, uint8_t *out)
{
    const real *values = in;
    if (!s->real) {
        memcpy(out, in, (size_t)n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const real v = values[i] * 255 + (real)0.5;
        out[i] = v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
    }
}

int64_t images_batch(const image_shape *s)
{
    const int64_t pixels = s->height * s->width, batch = 262144 / (pixels > 0 ? pixels : 1);
    return batch < 1 ? 1 : batch > 64 ? 64 : batch;
}

const char *images_split_name(data_split split)
{
    static const char *const names[] = {"train", "validation", "test", "all"};
    return names[split];
}

static ag_err split_by_name(const char *name, data_split *split)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, images_split_name((data_split)i))) continue;
        *split = (data_split)i;
        return AG_OK;
    }
    return ag_fail(AG_ERR_USAGE, "--split %.32s: no such split; give train, validation, test or all", name);
}

ag_err images_split(data_set *set, const char *name, data_split *split, const int64_t **indices, int64_t *n)
{
    const data_set_info *info = data_set_get_info(set);
    if (name) {
        const ag_err err = split_by_name(name, split);
        if (err) return err;
    } else {
        *split = info->in_split[DATA_TEST] ? DATA_TEST : info->in_split[DATA_VALIDATION] ? DATA_VALIDATION : DATA_TRAIN;
    }
    *indices = data_set_indices(set, *split, n);
    if (*n > 0) return AG_OK;
    return ag_fail(AG_ERR_DATA, "%s: no images in split '%s'; choose another with --split", data_set_path(set),
                   images_split_name(*split));
}
