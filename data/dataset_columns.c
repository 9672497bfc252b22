/* The small columns of a data set: labels, captions, split, class names; and the index lists made from them. */
#include <stdlib.h>
#include <string.h>

#include "dataset_private.h"

#define MAX_CLASSES (1 << 24)
#define BLOCK       65536 /* numbers read at a time */

static const char *const label_names[] = {"labels", "label", "y", "Y", "ans", "train_set_y"};

/* A column being read: `width` numbers for each image. */
typedef struct column {
    const data_set *set;
    const char *name;
    hid_t dataset;
    int rank;
    int64_t dims[8], width;
} column;

static ag_err column_open(column *c, const data_set *set, const char *name)
{
    *c = (column){.set = set, .name = name, .width = 1};
    if ((c->dataset = H5Dopen2(set->file, name, H5P_DEFAULT)) < 0)
        return data_h5_fail(AG_ERR_DATA, "%s: dataset '%s'", set->path, name);
    ag_err err = data_h5_sizes(c->dataset, set->path, name, AG_ERR_DATA, 8, &c->rank, c->dims);
    if (err) return err;
    for (int i = 1; i < c->rank; i++) c->width *= c->dims[i];
    if (c->rank < 1 || c->dims[0] != set->info.count)
        return ag_fail(AG_ERR_DATA, "%s: dataset '%s' has %lld entries for %lld images", set->path, name,
                       (long long)(c->rank < 1 ? 1 : c->dims[0]), (long long)set->info.count);
    return AG_OK;
}

static void column_close(column *c)
{
    if (c->dataset >= 0) H5Dclose(c->dataset);
}

static ag_err column_is(const column *c, H5T_class_t a, H5T_class_t b, const char *expected)
{
    const hid_t type = H5Dget_type(c->dataset);
    const H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    if (type >= 0) H5Tclose(type);
    return kind == a || kind == b
               ? AG_OK
               : ag_fail(AG_ERR_DATA, "%s: dataset '%s' holds no %s", c->set->path, c->name, expected);
}

/* Rows first .. first + count of the column. */
static ag_err column_rows(const column *c, int64_t first, int64_t count, hid_t type, void *out)
{
    return data_h5_read_rows(c->dataset, c->set->path, c->name, AG_ERR_DATA, type, c->rank, c->dims, first, count, out);
}

/* The label in one row: the number itself, or the place of the one that is set. -2: neither. */
static int64_t row_label(const double *row, int64_t width)
{
    if (width == 1)
        return row[0] >= -1 && row[0] < MAX_CLASSES && row[0] == (double)(int64_t)row[0] ? (int64_t)row[0] : -2;
    int64_t at = -2;
    for (int64_t k = 0; k < width; k++) {
        if (row[k] == 0) continue;
        if (row[k] != 1 || at >= 0) return -2;
        at = k;
    }
    return at;
}

static ag_err labels_fill(data_set *set, const column *c, double *rows, int64_t block)
{
    ag_err err = AG_OK;
    int64_t largest = -1;
    for (int64_t i = 0; i < set->info.count && !err; i += block) {
        const int64_t n = set->info.count - i < block ? set->info.count - i : block;
        err = column_rows(c, i, n, H5T_NATIVE_DOUBLE, rows);
        for (int64_t k = 0; k < n && !err; k++) {
            const int64_t label = row_label(rows + k * c->width, c->width);
            if (label == -2)
                err = ag_fail(AG_ERR_DATA,
                              "%s: dataset '%s', image %lld: neither a class number from -1 (none) to %d nor "
                              "one-hot",
                              set->path, c->name, (long long)(i + k), MAX_CLASSES - 1);
            set->labels[i + k] = label;
            if (label > largest) largest = label;
        }
    }
    if (!err && set->class_names && largest >= set->class_names)
        err = ag_fail(AG_ERR_DATA, "%s: dataset '%s' has class %lld, but attribute 'classes' names only %lld",
                      set->path, c->name, (long long)largest, (long long)set->class_names);
    set->info.classes = (int)(set->class_names ? set->class_names : largest + 1);
    return err;
}

static ag_err read_labels(data_set *set, const char *name)
{
    column c;
    double *rows = NULL;
    ag_err err = column_open(&c, set, name);
    if (err || (err = column_is(&c, H5T_INTEGER, H5T_FLOAT, "numbers"))) goto out;
    if (c.width < 1 || c.width > MAX_CLASSES) {
        err = ag_fail(AG_ERR_DATA, "%s: dataset '%s' has %lld numbers for each image; one, or one-hot, fits", set->path,
                      name, (long long)c.width);
        goto out;
    }
    if (!set->class_names) err = data_h5_get_strings(c.dataset, set->path, "classes", &set->class_names, &set->classes);
    if (err) goto out;
    const int64_t block = c.width < BLOCK ? BLOCK / c.width : 1;
    rows = malloc((size_t)(block * c.width) * sizeof *rows);
    set->labels = malloc((size_t)set->info.count * sizeof *set->labels);
    set->info.has_labels = true;
    err = rows && set->labels ? labels_fill(set, &c, rows, block)
                              : ag_fail(AG_ERR_MEMORY, "%s: no memory for the labels", set->path);
out:
    free(rows);
    column_close(&c);
    return err;
}

static ag_err read_split(data_set *set)
{
    column c;
    ag_err err = column_open(&c, set, "split");
    if (err || (err = column_is(&c, H5T_INTEGER, H5T_INTEGER, "integers"))) goto out;
    if (c.width != 1) {
        err =
            ag_fail(AG_ERR_DATA, "%s: dataset 'split' has %lld numbers for each image", set->path, (long long)c.width);
        goto out;
    }
    if (!(set->split = malloc((size_t)set->info.count))) {
        err = ag_fail(AG_ERR_MEMORY, "%s: no memory for the split", set->path);
        goto out;
    }
    set->info.has_split = true;
    /* as signed bytes: the library clamps, so that -1 stays no split and 300 becomes none */
    if ((err = column_rows(&c, 0, set->info.count, H5T_NATIVE_INT8, set->split))) goto out;
    for (int64_t i = 0; i < set->info.count && !err; i++)
        if (set->split[i] > DATA_TEST)
            err =
                ag_fail(AG_ERR_DATA, "%s: dataset 'split', image %lld: %d; it is 0 (train), 1 (validation) or 2 (test)",
                        set->path, (long long)i, set->split[i]);
out:
    column_close(&c);
    return err;
}

static ag_err open_captions(data_set *set)
{
    column c;
    ag_err err = column_open(&c, set, "captions");
    if (!err) err = column_is(&c, H5T_STRING, H5T_STRING, "texts");
    if (!err && c.width != 1)
        err = ag_fail(AG_ERR_DATA, "%s: dataset 'captions' has %lld texts for each image; one fits", set->path,
                      (long long)c.width);
    if (err)
        column_close(&c);
    else
        set->captions = c.dataset, set->info.has_captions = true;
    return err;
}

/* The lists of data_set_indices: one for all images and, cut out of a second one, those of the splits. */
static ag_err list_splits(data_set *set)
{
    const int64_t n = set->info.count;
    int64_t *all = malloc((size_t)n * sizeof *all), *parts = set->split ? malloc((size_t)n * sizeof *parts) : NULL;
    set->indices[DATA_ALL] = all, set->indices[DATA_TRAIN] = set->split ? parts : all;
    if (!all || (set->split && !parts))
        return ag_fail(AG_ERR_MEMORY, "%s: no memory to list %lld images", set->path, (long long)n);
    for (int64_t i = 0; i < n; i++) all[i] = i, set->info.in_split[set->split ? set->split[i] : DATA_TRAIN]++;
    if (!set->split) return AG_OK;
    int64_t next[3] = {0, set->info.in_split[0], set->info.in_split[0] + set->info.in_split[1]};
    for (int s = DATA_VALIDATION; s <= DATA_TEST; s++) set->indices[s] = parts + next[s];
    for (int64_t i = 0; i < n; i++) parts[next[set->split[i]]++] = i;
    return AG_OK;
}

ag_err data__find_columns(data_set *set)
{
    const char *labels = NULL;
    for (size_t i = 0; i < sizeof label_names / sizeof *label_names && !labels; i++)
        if (data_h5_has(set->file, label_names[i]) && strcmp(label_names[i], set->name)) labels = label_names[i];
    ag_err err = data_h5_get_strings(set->file, set->path, "classes", &set->class_names, &set->classes);
    if (!err && labels) err = read_labels(set, labels);
    if (!err && data_h5_has(set->file, "split")) err = read_split(set);
    if (!err && data_h5_has(set->file, "captions")) err = open_captions(set);
    return err ? err : list_splits(set);
}

ag_err data_set_read_labels(data_set *set, int64_t n, const int64_t *indices, int64_t *labels)
{
    for (int64_t i = 0; i < n; i++) {
        if (indices[i] < 0 || indices[i] >= set->info.count)
            return ag_fail(AG_ERR_USAGE, "%s: label of image %lld asked for; there are %lld", set->path,
                           (long long)indices[i], (long long)set->info.count);
        labels[i] = set->labels ? set->labels[indices[i]] : -1;
    }
    return AG_OK;
}

/* One text of `captions`, of variable or fixed length. */
static ag_err read_text(const data_set *set, int64_t index, hid_t type, char **text)
{
    const column c = {.set = set, .name = "captions", .dataset = set->captions, .rank = 1};
    const bool variable = H5Tis_variable_str(type) > 0;
    const size_t size = variable ? 0 : H5Tget_size(type);
    char *value = variable ? NULL : malloc(size + 1);
    if (!variable && !value) return ag_fail(AG_ERR_MEMORY, "%s: no memory for a caption", set->path);
    ag_err err = column_rows(&c, index, 1, type, variable ? (void *)&value : value);
    if (err) {
        if (!variable) free(value);
        return err;
    }
    *text = variable ? strdup(value ? value : "") : strndup(value, size);
    if (variable)
        H5free_memory(value);
    else
        free(value);
    return *text ? AG_OK : ag_fail(AG_ERR_MEMORY, "%s: no memory for a caption", set->path);
}

ag_err data_set_read_caption(data_set *set, int64_t index, char **caption)
{
    *caption = NULL;
    if (index < 0 || index >= set->info.count)
        return ag_fail(AG_ERR_USAGE, "%s: caption of image %lld asked for; there are %lld", set->path, (long long)index,
                       (long long)set->info.count);
    if (set->captions < 0)
        return (*caption = strdup("")) ? AG_OK : ag_fail(AG_ERR_MEMORY, "%s: no memory for a caption", set->path);
    data_h5_quiet();
    const hid_t type = H5Dget_type(set->captions);
    if (type < 0) return data_h5_fail(AG_ERR_DATA, "%s: dataset 'captions'", set->path);
    const ag_err err = read_text(set, index, type, caption);
    H5Tclose(type);
    return err;
}
