/* The table of kinds, and the writer they share: blocks of pictures drawn on all cores, written in order. A new kind is one
 * file with a drawing function and one row here. */
#include "data/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/hdf5_tools.h"
#include "data/publish.h"
#include "synth_private.h"

#define BLOCK 512

/* What is to be written, and the memory for it. */
typedef struct job {
    const char *path;
    const data_synth_options *options;
    int64_t count, validation;
    int height, width;
    size_t image;    /* bytes */
    uint8_t *pixels; /* [BLOCK] images */
    int64_t *labels;
    uint8_t *split;
    char (*captions)[DATA_SYNTH_CAPTION]; /* NULL: the kind has none */
} job;

typedef struct kind {
    data_synth_kind about;
    size_t element; /* bytes of a value: 1 (u8) or 4 (float) */
    const char *range;
    bool captions;
    int64_t validation; /* images, where fixed */
    ag_err (*draw)(const job *j, int64_t i, void *pixels, int64_t *label, char *caption);
} kind;

static ag_err draw_scene(const job *j, int64_t i, void *pixels, int64_t *label, char *caption)
{
    int class = 0;
    const ag_err err = data_synth_scene(j->options->seed, i, j->height, j->width, pixels, &class, caption);
    *label = class;
    return err;
}

static ag_err draw_reference(const job *j, int64_t i, void *pixels, int64_t *label, char *caption)
{
    (void)j, (void)caption;
    *label = data_synth_reference(i, pixels);
    return AG_OK;
}

static const char *const reference_names[] = {"disc", "box", "ring"};

static const kind kinds[] = {
    {.about = {"scenes", "shapes with textures, light and shadow over ten kinds of background; labels and captions",
               6000, 64, 64, 3, SHAPES, synth__shape_names, false},
     .element = 1,
     .range = "0,255",
     .captions = true,
     .draw = draw_scene},
    {.about = {"reference", "one disc, box or ring over a ramp: the fixed set of published comparisons", 4608, 32, 32,
               3, 3, reference_names, true},
     .element = sizeof(float),
     .range = "0,1",
     .validation = 512,
     .draw = draw_reference},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const data_synth_kind *data_synth_kinds(int *n)
{
    static data_synth_kind list[KINDS];
    for (int i = 0; i < KINDS; i++) list[i] = kinds[i].about;
    *n = KINDS;
    return list;
}

static ag_err find_kind(const kind **out, const char *name)
{
    char names[200] = "";
    for (int i = 0; i < KINDS; i++) {
        if (!strcmp(kinds[i].about.name, name)) return *out = &kinds[i], AG_OK;
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", kinds[i].about.name);
    }
    return ag_fail(AG_ERR_USAGE, "synth '%s': no such kind; there are: %s", name, names);
}

static ag_err settle(job *j, const kind *k)
{
    const data_synth_options *o = j->options;
    const int height = o->height ? o->height : o->width, width = o->width ? o->width : o->height;
    j->count = o->count ? o->count : k->about.count;
    j->height = height ? height : k->about.height, j->width = width ? width : k->about.width;
    if (k->about.fixed && (j->count != k->about.count || j->height != k->about.height || j->width != k->about.width ||
                           o->seed || o->validation != 0))
        return ag_fail(AG_ERR_USAGE, "synth '%s': count, size, seed and split of this kind are fixed; leave them out",
                       k->about.name);
    if (j->count < 1 || j->count > INT32_MAX)
        return ag_fail(AG_ERR_USAGE, "synth count %lld: it must be 1 to %d", (long long)j->count, INT32_MAX);
    if (j->height < 8 || j->width < 8 || j->height > 1024 || j->width > 1024)
        return ag_fail(AG_ERR_USAGE, "synth size %d x %d: sides must be 8 to 1024", j->width, j->height);
    if (!(o->validation < 1)) return ag_fail(AG_ERR_USAGE, "synth validation %g: it must be below 1", o->validation);
    const double fraction = o->validation == 0 ? 0.1 : o->validation < 0 ? 0 : o->validation;
    j->validation = k->about.fixed ? k->validation : (int64_t)(fraction * (double)j->count);
    j->image = (size_t)j->height * (size_t)j->width * (size_t)k->about.channels * k->element;
    return AG_OK;
}

static ag_err allocate(job *j, const kind *k)
{
    j->pixels = malloc(BLOCK * j->image);
    j->labels = malloc((size_t)j->count * sizeof *j->labels);
    j->split = malloc((size_t)j->count);
    if (k->captions) j->captions = malloc((size_t)j->count * sizeof *j->captions);
    if (!j->pixels || !j->labels || !j->split || (k->captions && !j->captions))
        return ag_fail(AG_ERR_MEMORY, "synth: no memory for %lld pictures; choose fewer", (long long)j->count);
    for (int64_t i = 0; i < j->count; i++) j->split[i] = i >= j->count - j->validation;
    return AG_OK;
}

/* Pictures first .. first + n into the block. */
static ag_err draw_block(const job *j, const kind *k, int64_t first, int64_t n)
{
    ag_err failed = AG_OK;
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t b = 0; b < n; b++) {
        const int64_t i = first + b;
        const ag_err err =
            k->draw(j, i, j->pixels + (size_t)b * j->image, &j->labels[i], j->captions ? j->captions[i] : NULL);
        if (err) {
#pragma omp atomic write
            failed = err;
        }
    }
    /* the message stayed in the thread that failed; drawing can only run out of memory */
    return failed ? ag_fail(failed, "%s: out of memory while drawing", j->path) : AG_OK;
}

static ag_err write_images(const job *j, const kind *k, hid_t file)
{
    const int64_t dims[] = {j->count, j->height, j->width, k->about.channels};
    const hid_t type = k->element == 1 ? H5T_STD_U8LE : H5T_IEEE_F32LE,
                in_memory = k->element == 1 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT;
    hid_t dataset;
    ag_err err = data_h5_make(&dataset, file, j->path, "images", type, 4, dims);
    for (int64_t i = 0, n; i < j->count && !err; i += n) {
        n = j->count - i < BLOCK ? j->count - i : BLOCK;
        if ((err = draw_block(j, k, i, n))) break;
        if ((err = data_h5_write_rows(dataset, j->path, in_memory, 4, dims, i, n, j->pixels))) break;
        if ((err = data_h5_check(file, j->path))) break;
        if (j->options->progress) j->options->progress(j->options->data, i + n, j->count);
    }
    if (dataset >= 0) H5Dclose(dataset);
    return err;
}

static ag_err write_captions(const job *j, hid_t file)
{
    const char **list = malloc((size_t)j->count * sizeof *list);
    if (!list) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", j->path);
    for (int64_t i = 0; i < j->count; i++) list[i] = j->captions[i];
    const ag_err err = data_h5_write_strings(file, j->path, "captions", j->count, list);
    free(list);
    return err;
}

static ag_err write_rest(const job *j, const kind *k, hid_t file)
{
    const char *path = j->path;
    char source[120];
    snprintf(source, sizeof source, "tessera synth %s, seed %llu", k->about.name, (unsigned long long)j->options->seed);
    ag_err err = data_h5_write(file, path, "labels", H5T_NATIVE_INT64, 1, &j->count, j->labels);
    if (!err) err = data_h5_write(file, path, "split", H5T_NATIVE_UINT8, 1, &j->count, j->split);
    if (!err && j->captions) err = write_captions(j, file);
    if (!err) err = data_h5_set_strings(file, path, "classes", k->about.classes, k->about.class_names);
    if (!err) err = data_h5_set_string(file, path, "format", "tessera-images");
    if (!err) err = data_h5_set_int(file, path, "format_version", 1);
    if (!err) err = data_h5_set_string(file, path, "layout", "NHWC");
    if (!err) err = data_h5_set_string(file, path, "range", k->range);
    if (!err) err = data_h5_set_string(file, path, "colorspace", "sRGB");
    return err ? err : data_h5_set_string(file, path, "source", source);
}

static ag_err write_file(const job *j, const kind *k)
{
    data_publish *p;
    hid_t file = -1;
    ag_err err = data_publish_begin(&p, j->path);
    if (err) return err;
    err = data_h5_create(&file, data_publish_temporary(p), j->path);
    if (!err) err = write_images(j, k, file);
    if (!err) err = write_rest(j, k, file);
    const ag_err end = data_h5_finish(file, j->path);
    if (!err) err = end;
    if (err)
        data_publish_abort(p);
    else
        err = data_publish_commit(p);
    return err;
}

ag_err data_synth(const char *path, const char *name, const data_synth_options *options)
{
    static const data_synth_options none;
    const kind *k = NULL;
    job j = {.path = path, .options = options ? options : &none};
    ag_err err = find_kind(&k, name);
    if (!err) err = settle(&j, k);
    if (!err) err = allocate(&j, k);
    if (!err) err = write_file(&j, k);
    free(j.pixels), free(j.labels), free(j.split), free(j.captions);
    return err;
}
