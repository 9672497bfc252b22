#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "dataset_private.h"

static ag_err set_new(data_set **out, const char *path)
{
    data_set *set = calloc(1, sizeof *set);
    if (!set || !(set->path = strdup(path))) {
        free(set);
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    }
    set->file = set->images = set->captions = -1;
    set->fd = -1;
    *out = set;
    return AG_OK;
}

ag_err data_set_open(data_set **out, const char *path, const data_set_options *options)
{
    static const data_set_options none;
    data_set *set = NULL;
    *out = NULL;
    ag_err err = set_new(&set, path);
    if (err || (err = data_h5_open(&set->file, path, AG_ERR_DATA))) goto out;
    if ((err = data__find_images(set, options ? options : &none))) goto out;
    err = data__find_columns(set);
out:
    if (err)
        data_set_close(set);
    else
        *out = set;
    return err;
}

void data_set_close(data_set *set)
{
    if (!set) return;
    if (set->captions >= 0) H5Dclose(set->captions);
    if (set->images >= 0) H5Dclose(set->images);
    if (set->file >= 0) H5Fclose(set->file);
    if (set->indices[DATA_TRAIN] != set->indices[DATA_ALL]) free(set->indices[DATA_TRAIN]); /* holds the others */
    free(set->indices[DATA_ALL]);
    data_h5_free_strings(set->class_names, set->classes);
    free(set->offsets), free(set->labels), free(set->split), free(set->order), free(set->stage);
    free(set->warning), free(set->path);
    free(set);
}

const data_set_info *data_set_get_info(const data_set *set) { return &set->info; }

const char *data_set_path(const data_set *set) { return set->path; }

const char *data_set_warning(const data_set *set) { return set->warning; }

const char *data_set_class_name(const data_set *set, int i)
{
    return i >= 0 && i < set->class_names ? set->classes[i] : NULL;
}

const int64_t *data_set_indices(data_set *set, data_split split, int64_t *n)
{
    *n = split == DATA_ALL ? set->info.count : set->info.in_split[split];
    return set->indices[split];
}
