#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "data/hdf5_tools.h"
#include "output.h"

ag_err output_begin(output *o, const char *path)
{
    *o = (output){.path = path, .file = -1};
    const ag_err err = data_publish_begin(&o->publish, path);
    return err ? err : data_h5_create(&o->file, data_publish_temporary(o->publish), path);
}

ag_err output_add(output *o, const char *name, hid_t type, int rank, const int64_t *dims)
{
    if (o->n_sets == OUTPUT_SETS)
        return ag_fail(AG_ERR_FAILED, "%s: more than %d datasets of rows", o->path, OUTPUT_SETS);
    output_set *s = &o->sets[o->n_sets++];
    *s = (output_set){.dataset = -1, .type = type, .rank = rank};
    memcpy(s->dims, dims, (size_t)rank * sizeof *dims);
    return data_h5_make(&s->dataset, o->file, o->path, name, type, rank, dims);
}

ag_err output_rows(output *o, int set, int64_t n, const void *rows)
{
    output_set *s = &o->sets[set];
    const ag_err err = data_h5_write_rows(s->dataset, o->path, s->type, s->rank, s->dims, s->next, n, rows);
    s->next += n;
    return err;
}

ag_err output_end(output *o, ag_err err)
{
    for (int i = 0; i < o->n_sets; i++)
        if (o->sets[i].dataset >= 0 && H5Dclose(o->sets[i].dataset) < 0 && !err)
            err = data_h5_fail(AG_ERR_IO, "%s: could not be finished", o->path);
    if (o->file >= 0) {
        const ag_err closing = data_h5_finish(o->file, o->path);
        if (!err) err = closing;
    }
    if (!err && o->publish) return data_publish_commit(o->publish);
    data_publish_abort(o->publish);
    return err;
}

/* Now, or the time that SOURCE_DATE_EPOCH gives, so that the same command can give the same bytes. */
static void creation_time(char *out, size_t size)
{
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    const time_t when = fixed ? (time_t)strtoll(fixed, NULL, 10) : time(NULL);
    struct tm utc;
    if (gmtime_r(&when, &utc))
        strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
    else
        snprintf(out, size, "unknown");
}

ag_err output_images_begin(output *o, const char *path, int64_t n, const image_shape *s)
{
    char created[32];
    ag_err err = output_begin(o, path);
    if (!err) err = output_add(o, "images", H5T_NATIVE_UINT8, 4, (int64_t[]){n, s->height, s->width, s->channels});
    creation_time(created, sizeof created);
    if (!err) err = data_h5_set_string(o->file, path, "format", "tessera-images");
    if (!err) err = data_h5_set_int(o->file, path, "format_version", 1);
    if (!err) err = data_h5_set_string(o->file, path, "layout", "NHWC");
    if (!err) err = data_h5_set_string(o->file, path, "range", "0,255");
    if (!err) err = data_h5_set_string(o->file, path, "colorspace", "sRGB");
    if (!err) err = data_h5_set_string(o->file, path, "source", "tessera reconstruction");
    if (!err) err = data_h5_set_string(o->file, path, "created", created);
    return err;
}

bool output_is_hdf5(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (!strcasecmp(dot, ".h5") || !strcasecmp(dot, ".hdf5"));
}

/* ---- columns --------------------------------------------------------------------------------------------------------- */

/* Rows of the source's column, -1 if it is no plain column. */
static int64_t column_rows(hid_t dataset, const char *path, const char *name)
{
    int64_t dims[1];
    int rank;
    return data_h5_sizes(dataset, path, name, AG_ERR_DATA, 1, &rank, dims) || rank != 1 ? -1 : dims[0];
}

static bool fits(int64_t rows, int64_t n, const int64_t *indices)
{
    for (int64_t i = 0; i < n; i++)
        if (indices[i] < 0 || indices[i] >= rows) return false;
    return true;
}

static ag_err copy_numbers(const output *o, hid_t dataset, const char *source, const char *name, int64_t rows,
                           int64_t n, const int64_t *indices)
{
    int64_t *all = malloc((size_t)rows * sizeof *all), *some = malloc((size_t)n * sizeof *some);
    uint8_t *bytes = malloc((size_t)n);
    ag_err err = AG_OK;
    if (!all || !some || !bytes) {
        err = ag_fail(AG_ERR_MEMORY, "%s: no memory for '%s'", source, name);
        goto out;
    }
    if (H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, all) < 0) {
        err = data_h5_fail(AG_ERR_DATA, "%s: '%s' cannot be read", source, name);
        goto out;
    }
    for (int64_t i = 0; i < n; i++) {
        some[i] = all[indices[i]];
        bytes[i] = (uint8_t)some[i];
    }
    if (!strcmp(name, "split"))
        err = data_h5_write(o->file, o->path, name, H5T_NATIVE_UINT8, 1, &n, bytes);
    else
        err = data_h5_write(o->file, o->path, name, H5T_NATIVE_INT64, 1, &n, some);
out:
    free(bytes);
    free(some);
    free(all);
    return err;
}

/* Variable-length strings; other strings are left out. */
static ag_err copy_strings(const output *o, hid_t dataset, const char *source, const char *name, int64_t rows,
                           int64_t n, const int64_t *indices)
{
    char **all = calloc((size_t)rows, sizeof *all);
    const char **some = calloc((size_t)n, sizeof *some);
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    ag_err err = AG_OK;
    if (!all || !some || type < 0 || space < 0) {
        err = ag_fail(AG_ERR_MEMORY, "%s: no memory for '%s'", source, name);
    } else if (H5Tis_variable_str(type) > 0) {
        if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all) < 0)
            err = data_h5_fail(AG_ERR_DATA, "%s: '%s' cannot be read", source, name);
        for (int64_t i = 0; !err && i < n; i++) some[i] = all[indices[i]] ? all[indices[i]] : "";
        if (!err) err = data_h5_write_strings(o->file, o->path, name, n, some);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, all);
    }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    free(some);
    free(all);
    return err;
}

static ag_err copy_column(const output *o, hid_t file, const char *source, const char *name, int64_t n,
                          const int64_t *indices)
{
    if (!data_h5_has(file, name)) return AG_OK;
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (dataset < 0) return data_h5_fail(AG_ERR_DATA, "%s: '%s' cannot be opened", source, name);
    const int64_t rows = column_rows(dataset, source, name);
    ag_err err = AG_OK;
    if (rows > 0 && fits(rows, n, indices)) {
        const hid_t type = H5Dget_type(dataset);
        const bool text = type >= 0 && H5Tget_class(type) == H5T_STRING;
        if (type >= 0) H5Tclose(type);
        err = (text ? copy_strings : copy_numbers)(o, dataset, source, name, rows, n, indices);
    }
    H5Dclose(dataset);
    return err;
}

static ag_err copy_classes(const output *o, hid_t file, const char *source)
{
    char **names = NULL;
    int64_t n = 0;
    if (!data_h5_has_attribute(file, "classes")) return AG_OK;
    ag_err err = data_h5_get_strings(file, source, "classes", &n, &names);
    if (!err) err = data_h5_set_strings(o->file, o->path, "classes", n, (const char *const *)names);
    data_h5_free_strings(n, names);
    return err;
}

ag_err output_columns(const output *o, const char *source, int64_t n, const int64_t *indices)
{
    static const char *const names[] = {"labels", "split", "captions", "names"};
    hid_t file;
    ag_err err = data_h5_open(&file, source, AG_ERR_DATA);
    if (err) return err;
    for (int i = 0; i < 4 && !err; i++) err = copy_column(o, file, source, names[i], n, indices);
    if (!err) err = copy_classes(o, file, source);
    H5Fclose(file);
    return err;
}
