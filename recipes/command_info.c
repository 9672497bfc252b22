/* tessera info FILE|RUN */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoints/checkpoint.h"
#include "codes.h"
#include "command.h"
#include "data/hdf5_tools.h"
#include "images.h"
#include "model.h"

/* ---- data sets --------------------------------------------------------------------------------------------------------- */

static ag_err describe_data(const char *path, cJSON *o)
{
    data_set *set = NULL;
    char print[65];
    ag_err err = data_set_open(&set, path, NULL);
    if (!err) err = data_set_fingerprint(set, print);
    if (!err) {
        const data_set_info *i = data_set_get_info(set);
        cJSON_AddStringToObject(o, "kind", "images");
        cJSON_AddNumberToObject(o, "images", (double)i->count);
        cJSON_AddNumberToObject(o, "height", i->height);
        cJSON_AddNumberToObject(o, "width", i->width);
        cJSON_AddNumberToObject(o, "channels", i->channels);
        cJSON_AddStringToObject(o, "values", i->encoded ? "JPEG or PNG" : i->dtype == DATA_U8 ? "u8" : "numbers");
        for (int s = 0; s < 3; s++)
            cJSON_AddNumberToObject(o, images_split_name((data_split)s), (double)i->in_split[s]);
        cJSON_AddBoolToObject(o, "labels", i->has_labels);
        cJSON_AddBoolToObject(o, "captions", i->has_captions);
        cJSON_AddNumberToObject(o, "classes", i->classes);
        cJSON_AddStringToObject(o, "fingerprint", print);
        if (data_set_warning(set)) cJSON_AddStringToObject(o, "warning", data_set_warning(set));
    }
    data_set_close(set);
    return err;
}

/* ---- checkpoints and runs -------------------------------------------------------------------------------------------------- */

static void add_tensors(cJSON *o, const ckpt_listing *l, bool every)
{
    cJSON_AddNumberToObject(o, "tensors", l->n);
    cJSON_AddNumberToObject(o, "bytes", (double)l->bytes);
    cJSON *list = every ? cJSON_AddArrayToObject(o, "list") : NULL;
    for (int i = 0; list && i < l->n; i++) {
        cJSON *item = cJSON_CreateObject(), *shape = cJSON_CreateArray();
        cJSON_AddStringToObject(item, "name", l->items[i].name);
        cJSON_AddStringToObject(item, "type", ag_dtype_name(l->items[i].dtype));
        for (int k = 0; k < l->items[i].rank; k++)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)l->items[i].shape[k]));
        cJSON_AddItemToObject(item, "shape", shape);
        cJSON_AddItemToArray(list, item);
    }
}

static ag_err describe_checkpoint(const char *path, cJSON *o, bool tensors)
{
    model *m = NULL;
    ckpt_listing listing = {0};
    char print[65];
    ag_err err = model_open(&m, path);
    if (!err) err = ckpt_list(m->path, &listing);
    if (!err) err = ckpt_fingerprint(m->path, print);
    if (!err) {
        static const char *const keys[] = {"step", "epoch",    "best_nmse", "best_step",
                                           "data", "variance", "image",     "options"};
        cJSON_AddStringToObject(o, "kind", "checkpoint");
        cJSON_AddStringToObject(o, "file", m->path);
        cJSON_AddStringToObject(o, "recipe", m->recipe->name);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            cJSON *item = cJSON_GetObjectItemCaseSensitive(m->state, keys[i]);
            if (item) cJSON_AddItemToObject(o, keys[i], cJSON_Duplicate(item, true));
        }
        cJSON_AddStringToObject(o, "fingerprint", print);
        add_tensors(o, &listing, tensors);
    }
    ckpt_listing_free(&listing);
    model_close(m);
    return err;
}

/* ---- codes ------------------------------------------------------------------------------------------------------------------- */

static ag_err add_text(hid_t file, const char *path, cJSON *o, const char *name, int grid, int grids)
{
    char *text = NULL, full[32];
    codes_name(full, sizeof full, name, grid, grids);
    const ag_err err = data_h5_get_string(file, path, full, &text);
    if (text) cJSON_AddStringToObject(o, name, text);
    free(text);
    return err;
}

/* One grid of codes into o; *n images. */
static ag_err describe_grid(hid_t file, const char *path, cJSON *o, int grid, int grids, int64_t *n)
{
    int64_t K = 0, dims[4];
    int rank;
    char name[32];
    codes_name(name, sizeof name, "codes", grid, grids);
    const hid_t codes = data_h5_has(file, name) ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
    if (codes < 0) return ag_fail(AG_ERR_DATA, "%s: has no dataset '%s'", path, name);
    ag_err err = data_h5_sizes(codes, path, name, AG_ERR_DATA, 4, &rank, dims);
    H5Dclose(codes);
    codes_name(name, sizeof name, "codebook_size", grid, grids);
    if (err || (err = data_h5_get_int(file, path, name, &K))) return err;
    cJSON_AddNumberToObject(o, "codebook_size", (double)K);
    cJSON *shape = cJSON_AddArrayToObject(o, "shape");
    for (int i = 0; i < rank; i++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)dims[i]));
    *n = dims[0];
    return add_text(file, path, o, "grid", grid, grids);
}

static ag_err describe_codes(hid_t file, const char *path, cJSON *o)
{
    int64_t grids = 1, n = 0;
    ag_err err = H5Aexists(file, "grids") > 0 ? data_h5_get_int(file, path, "grids", &grids) : AG_OK;
    if (!err && (grids < 1 || grids > RUN_QUANTIZERS))
        err = ag_fail(AG_ERR_DATA, "%s: %lld grids of codes; 1 to %d can be", path, (long long)grids, RUN_QUANTIZERS);
    if (err) return err;
    cJSON_AddStringToObject(o, "kind", "codes");
    cJSON *list = grids > 1 ? cJSON_AddArrayToObject(o, "grids") : NULL;
    for (int i = 0; !err && i < grids; i++) {
        cJSON *item = list ? cJSON_CreateObject() : o;
        err = describe_grid(file, path, item, i, (int)grids, &n);
        if (list) cJSON_AddItemToArray(list, item);
    }
    if (!err) cJSON_AddNumberToObject(o, "images", (double)n);
    if (!err) err = add_text(file, path, o, "tokenizer_sha256", 0, 1);
    return err ? err : add_text(file, path, o, "image", 0, 1);
}

static ag_err describe(const char *path, cJSON *o, bool tensors)
{
    struct stat st;
    hid_t file;
    char *format = NULL;
    if (stat(path, &st))
        return ag_fail(AG_ERR_IO, "%s: no such file or folder; give a data set, a checkpoint or a run", path);
    if (S_ISDIR(st.st_mode)) return describe_checkpoint(path, o, tensors);
    ag_err err = data_h5_open(&file, path, AG_ERR_DATA);
    if (err) return err;
    err = data_h5_get_string(file, path, "format", &format);
    if (!err && format && !strcmp(format, "tessera-codes")) err = describe_codes(file, path, o);
    H5Fclose(file);
    if (!err && format && !strcmp(format, CKPT_FORMAT)) err = describe_checkpoint(path, o, tensors);
    if (!err && !cJSON_GetArraySize(o)) err = describe_data(path, o);
    free(format);
    return err;
}

/* ---- printing ---------------------------------------------------------------------------------------------------------------- */

static void print_text(const cJSON *o, int indent)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, o)
    {
        printf("%*s%-*s ", indent, "", 20 - indent, item->string ? item->string : "-");
        if (cJSON_IsObject(item) || cJSON_IsArray(item)) {
            putchar('\n');
            print_text(item, indent + 2);
        } else if (cJSON_IsString(item)) {
            puts(item->valuestring);
        } else {
            char *text = cJSON_PrintUnformatted(item);
            puts(text ? text : "?");
            cJSON_free(text);
        }
    }
}

static void print_tensors(const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        char *shape = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(item, "shape"));
        printf("  %-4s %-20s %s\n", cJSON_GetObjectItemCaseSensitive(item, "type")->valuestring, shape ? shape : "?",
               cJSON_GetObjectItemCaseSensitive(item, "name")->valuestring);
        cJSON_free(shape);
    }
}

static ag_err run_info(const char *path, bool json, bool tensors)
{
    cJSON *o = cJSON_CreateObject();
    ag_err err = o ? describe(path, o, tensors) : ag_fail(AG_ERR_MEMORY, "%s: no memory", path);
    if (!err && json) {
        err = command_print_json(o);
    } else if (!err) {
        cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(o, "list");
        print_text(o, 0);
        print_tensors(list);
        cJSON_Delete(list);
        err = command_flush();
    }
    cJSON_Delete(o);
    return err;
}

int command_info(const command *c, int argc, char **argv)
{
    bool json = false, tensors = false, done;
    const command_flag flags[] = {
        {"json", 0, FLAG_ON, &json, NULL, "print one JSON object and nothing else", 0, 0},
        {"tensors", 0, FLAG_ON, &tensors, NULL, "list every tensor of a checkpoint", 0, 0},
        {0},
    };
    char **words;
    int n;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if ((err = command_words(c, n, 1))) return command_end(err);
    return command_end(run_info(words[0], json, tensors));
}
