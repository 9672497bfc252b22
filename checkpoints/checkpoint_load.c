#include "checkpoint_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/crc32c.h"
#include "data/hdf5_tools.h"

#define DAMAGED "the file is damaged: go on from another one (best.h5, or a copy)"
#define FOREIGN "the file is of another model or made with other options; 'tessera info FILE' lists what it holds"

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static bool read_u32(hid_t object, const char *name, uint32_t *value)
{
    if (H5Aexists(object, name) <= 0) return false;
    const hid_t a = H5Aopen(object, name, H5P_DEFAULT), type = H5Aget_type(a), space = H5Aget_space(a);
    const bool ok = a >= 0 && H5Tget_class(type) == H5T_INTEGER && H5Sget_simple_extent_npoints(space) == 1 &&
                    H5Aread(a, H5T_NATIVE_UINT32, value) >= 0;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    return ok;
}

static bool has_format(hid_t file)
{
    char text[64] = "";
    if (H5Aexists(file, "format") <= 0) return false;
    const hid_t a = H5Aopen(file, "format", H5P_DEFAULT), type = H5Aget_type(a), space = H5Aget_space(a);
    const bool ok = a >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                    H5Tget_size(type) < sizeof text && H5Sget_simple_extent_npoints(space) == 1 &&
                    H5Aread(a, type, text) >= 0 && !strcmp(text, CKPT_FORMAT);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    return ok;
}

static ag_err check_format(hid_t file, const char *path, int *version)
{
    uint32_t found;
    if (!has_format(file))
        return ag_fail(AG_ERR_CHECKPOINT,
                       "%s: not a checkpoint: no attribute format=\"" CKPT_FORMAT "\"; give the "
                       "checkpoint.h5 of a run",
                       path);
    if (!read_u32(file, "format_version", &found))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: no format_version; " DAMAGED, path);
    if (found < 1 || found > CKPT_FORMAT_VERSION)
        return ag_fail(AG_ERR_CHECKPOINT, "%s: format version %u, this program knows 1 to %d; use a newer tessera",
                       path, found, CKPT_FORMAT_VERSION);
    *version = (int)found;
    return AG_OK;
}

static ag_err open_checkpoint(hid_t *out, const char *path, int *version)
{
    ag_err err = data_h5_open(out, path, AG_ERR_CHECKPOINT);
    if (err) return err;
    if ((err = check_format(*out, path, version))) {
        H5Fclose(*out);
        *out = -1;
    }
    return err;
}

/* ---- what is in it ---------------------------------------------------------------------------------------------------- */

typedef struct names {
    char **name;
    size_t n, room;
    const char *path;
    const char *group; /* being listed, NULL at the top */
    ag_err err;
} names;

static void names_free(names *l)
{
    for (size_t i = 0; i < l->n; i++) free(l->name[i]);
    free(l->name);
}

static ag_err names_add(names *l, const char *link)
{
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 64;
        char **more = realloc(l->name, room * sizeof *more);
        if (!more) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", l->path);
        l->name = more;
        l->room = room;
    }
    if (asprintf(&l->name[l->n], "%s%s%s", l->group ? l->group : "", l->group ? "/" : "", link) < 0)
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", l->path);
    l->n++;
    return AG_OK;
}

static ag_err list_group(hid_t group, names *l);

/* Datasets are listed, groups of the top level entered; links to other files and other objects have no place here. */
static herr_t list_link(hid_t parent, const char *link, const H5L_info_t *info, void *to)
{
    names *l = to;
    const hid_t object = info->type == H5L_TYPE_HARD ? H5Oopen(parent, link, H5P_DEFAULT) : -1;
    const H5I_type_t type = object >= 0 ? H5Iget_type(object) : H5I_BADID;
    if (type == H5I_DATASET) {
        l->err = names_add(l, link);
    } else if (type == H5I_GROUP && !l->group) {
        l->group = link;
        l->err = list_group(object, l);
        l->group = NULL;
    } else {
        l->err = ag_fail(AG_ERR_CHECKPOINT, "%s: %s%s%s: not a tensor that can be read; " DAMAGED, l->path,
                         l->group ? l->group : "", l->group ? "/" : "", link);
    }
    if (object >= 0) H5Oclose(object);
    return l->err ? -1 : 0;
}

static ag_err list_group(hid_t group, names *l)
{
    unsigned order = 0;
    const hid_t properties = H5Gget_create_plist(group);
    if (properties >= 0) {
        H5Pget_link_creation_order(properties, &order);
        H5Pclose(properties);
    }
    const H5_index_t index = order & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    if (H5Literate(group, index, H5_ITER_INC, NULL, list_link, l) < 0 && !l->err)
        l->err = data_h5_fail(AG_ERR_CHECKPOINT, "%s: its list of tensors cannot be read; " DAMAGED, l->path);
    return l->err;
}

static ag_err list_names(hid_t file, const char *path, names *l)
{
    *l = (names){.path = path};
    const hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) return data_h5_fail(AG_ERR_CHECKPOINT, "%s: its list of tensors cannot be read; " DAMAGED, path);
    const ag_err err = list_group(root, l);
    H5Gclose(root);
    return err;
}

/* Type and shape of an open dataset; the message says what a checkpoint may hold. */
static ag_err describe(hid_t d, const char *path, const char *name, ckpt_item *out)
{
    hsize_t dims[AG_MAX_RANK];
    const hid_t type = H5Dget_type(d), space = H5Dget_space(d);
    const int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool ok = type >= 0 && rank >= 0 && rank <= AG_MAX_RANK && H5Sget_simple_extent_type(space) != H5S_NULL &&
              H5Sget_simple_extent_dims(space, dims, NULL) >= 0;
    *out = (ckpt_item){.name = name, .rank = rank};
    for (int i = 0; ok && i < rank; i++) {
        ok = dims[i] <= INT64_MAX;
        out->shape[i] = (int64_t)dims[i];
    }
    bool known = false;
    for (ag_dtype t = AG_REAL; ok && !known && t <= AG_U8; t++)
        if (H5Tequal(type, ckpt__h5_type(t)) > 0) {
            out->dtype = t;
            known = true;
        }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (!ok) return ag_fail(AG_ERR_CHECKPOINT, "%s: %s: its shape cannot be read; " DAMAGED, path, name);
    if (!known)
        return ag_fail(AG_ERR_CHECKPOINT, "%s: %s: neither " AG_REAL_NAME " nor i32 nor u8; " FOREIGN, path, name);
    return AG_OK;
}

/* ---- reading one tensor ----------------------------------------------------------------------------------------------- */

static const char *type_name(ag_dtype t) { return t == AG_REAL ? AG_REAL_NAME : t == AG_I32 ? "i32" : "u8"; }

static ag_err check_same(const char *path, const ckpt_item *found, const ckpt_item *expected)
{
    char a[160], b[160];
    bool same = found->rank == expected->rank;
    for (int i = 0; same && i < found->rank; i++) same = found->shape[i] == expected->shape[i];
    if (!same)
        return ag_fail(AG_ERR_CHECKPOINT, "%s: %s: shape %s found, %s expected; " FOREIGN, path, expected->name,
                       ckpt__shape_text(found->rank, found->shape, a, sizeof a),
                       ckpt__shape_text(expected->rank, expected->shape, b, sizeof b));
    if (found->dtype != expected->dtype)
        return ag_fail(AG_ERR_CHECKPOINT, "%s: %s: type %s found, %s expected; " FOREIGN, path, expected->name,
                       type_name(found->dtype), type_name(expected->dtype));
    return AG_OK;
}

static ag_err read_checked(hid_t d, const char *path, const ckpt_item *item, size_t bytes, void *to)
{
    uint32_t kept;
    if (bytes > 0 && H5Dread(d, ckpt__h5_type(item->dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, to) < 0)
        return data_h5_fail(AG_ERR_CHECKPOINT, "%s: %s: cannot be read; " DAMAGED, path, item->name);
    if (!read_u32(d, CKPT__CHECKSUM, &kept))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: %s: no checksum; " DAMAGED, path, item->name);
    const uint32_t made = ckpt_crc32c(0, to, bytes);
    if (made != kept)
        return ag_fail(AG_ERR_CHECKPOINT, "%s: %s: checksum %08x found, %08x expected; " DAMAGED, path, item->name,
                       made, kept);
    return AG_OK;
}

static hid_t open_dataset(hid_t file, const char *path, const char *name, ag_err *err)
{
    const hid_t d = H5Dopen2(file, name, H5P_DEFAULT);
    if (d < 0) *err = data_h5_fail(AG_ERR_CHECKPOINT, "%s: %s: cannot be read; " DAMAGED, path, name);
    return d;
}

static ag_err read_item(hid_t file, const char *path, const ckpt_item *expected, size_t bytes, void *to)
{
    ckpt_item found;
    ag_err err = AG_OK;
    const hid_t d = open_dataset(file, path, expected->name, &err);
    if (d < 0) return err;
    if (!(err = describe(d, path, expected->name, &found)) && !(err = check_same(path, &found, expected)))
        err = read_checked(d, path, expected, bytes, to);
    H5Dclose(d);
    return err;
}

/* ---- loading ---------------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool in_group(const char *name, const char *group)
{
    const size_t n = group ? strlen(group) : 0;
    return n > 0 && !strncmp(name, group, n) && name[n] == '/';
}

/* Every wanted tensor is there, and nothing else that may not be passed over. */
static ag_err check_names(const char *path, const names *l, int n, const ckpt_item *items, ckpt__tolerance tolerance)
{
    ag_err err = AG_OK;
    const size_t wants = (size_t)n;
    const char **wanted = malloc((wants + l->n + 1) * sizeof *wanted), **there = wanted ? wanted + wants : NULL;
    if (!wanted) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < wants; i++) wanted[i] = items[i].name;
    for (size_t i = 0; i < l->n; i++) there[i] = l->name[i];
    qsort(wanted, wants, sizeof *wanted, by_text);
    qsort(there, l->n, sizeof *there, by_text);
    for (size_t i = 0; i < wants && !err; i++)
        if (!bsearch(&wanted[i], there, l->n, sizeof *there, by_text))
            err = ag_fail(AG_ERR_CHECKPOINT, "%s: %s: missing; " FOREIGN, path, wanted[i]);
    for (size_t i = 0; i < l->n && !err && !tolerance.extra; i++) {
        if (!strcmp(there[i], CKPT__STATE) || in_group(there[i], tolerance.ignored_group)) continue;
        if (!bsearch(&there[i], wanted, wants, sizeof *wanted, by_text))
            err = ag_fail(AG_ERR_CHECKPOINT, "%s: %s: in the file, but the model has no such tensor; " FOREIGN, path,
                          there[i]);
    }
    free(wanted);
    return err;
}

static ag_err sum_bytes(const char *path, int n, const ckpt_item *items, size_t *sum)
{
    size_t bytes;
    *sum = 0;
    for (int i = 0; i < n; i++)
        if (!ckpt__item_bytes(&items[i], &bytes) || __builtin_add_overflow(*sum, bytes, sum))
            return ag_fail(AG_ERR_FAILED, "%s: %s: shape too large", path, items[i].name);
    return AG_OK;
}

/* All into one block, checked, and only then to where it belongs. */
static ag_err read_items(hid_t file, const char *path, int n, const ckpt_item *items)
{
    size_t sum, bytes = 0, at = 0;
    ag_err err = sum_bytes(path, n, items, &sum);
    if (err) return err;
    char *block = malloc(sum ? sum : 1);
    if (!block) return ag_fail(AG_ERR_MEMORY, "%s: out of memory for %zu bytes", path, sum);
    for (int i = 0; i < n && !err; i++, at += bytes) {
        ckpt__item_bytes(&items[i], &bytes);
        err = read_item(file, path, &items[i], bytes, block + at);
    }
    at = 0;
    for (int i = 0; i < n && !err; i++, at += bytes) {
        ckpt__item_bytes(&items[i], &bytes);
        if (bytes > 0) memcpy(items[i].data, block + at, bytes);
    }
    free(block);
    return err;
}

ag_err ckpt__load(const char *path, int n, const ckpt_item *items, ckpt__tolerance tolerance)
{
    int version;
    hid_t file;
    names l = {0};
    ag_err err = open_checkpoint(&file, path, &version);
    if (err) return err;
    if (!(err = list_names(file, path, &l)) && !(err = check_names(path, &l, n, items, tolerance)))
        err = read_items(file, path, n, items);
    names_free(&l);
    H5Fclose(file);
    return err;
}

ag_err ckpt_load(const char *path, int n, const ckpt_item *items)
{
    return ckpt__load(path, n, items, (ckpt__tolerance){0});
}

ag_err ckpt_load_part(const char *path, int n, const ckpt_item *items)
{
    return ckpt__load(path, n, items, (ckpt__tolerance){.extra = true});
}

/* ---- the state text --------------------------------------------------------------------------------------------------- */

static bool bytes_in_file(hid_t d, size_t bytes)
{
    hsize_t size = 0;
    const hid_t file = H5Iget_file_id(d);
    const bool known = file >= 0 && H5Fget_filesize(file, &size) >= 0;
    if (file >= 0) H5Fclose(file);
    return known && bytes <= size;
}

/* Sizes in a file are believed only if they are those of bytes that the file holds in one piece. */
static bool is_plain(hid_t d, const ckpt_item *item, size_t *bytes)
{
    const hid_t properties = H5Dget_create_plist(d);
    if (properties < 0) return false;
    const bool plain = H5Pget_layout(properties) == H5D_CONTIGUOUS && H5Pget_external_count(properties) == 0;
    H5Pclose(properties);
    return plain && ckpt__item_bytes(item, bytes) && H5Dget_storage_size(d) == *bytes && bytes_in_file(d, *bytes);
}

static ag_err read_state(hid_t d, const char *path, char **json)
{
    ckpt_item item;
    size_t bytes = 0;
    ag_err err = describe(d, path, CKPT__STATE, &item);
    if (err) return err;
    if (item.dtype != AG_U8 || item.rank != 1 || !is_plain(d, &item, &bytes))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: " CKPT__STATE ": not a row of bytes; " DAMAGED, path);
    char *text = malloc(bytes + 1);
    if (!text) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    if ((err = read_checked(d, path, &item, bytes, text))) {
        free(text);
        return err;
    }
    text[bytes] = 0;
    *json = text;
    return AG_OK;
}

ag_err ckpt_read_state(const char *path, char **json)
{
    int version;
    hid_t file;
    *json = NULL;
    ag_err err = open_checkpoint(&file, path, &version);
    if (err) return err;
    const hid_t d = open_dataset(file, path, CKPT__STATE, &err);
    if (d >= 0) {
        err = read_state(d, path, json);
        H5Dclose(d);
    }
    H5Fclose(file);
    return err;
}

/* ---- listing ---------------------------------------------------------------------------------------------------------- */

void ckpt_listing_free(ckpt_listing *l)
{
    for (int i = 0; i < l->n; i++) free((char *)(uintptr_t)l->items[i].name); /* made by names_add, ours to free */
    free(l->items);
    *l = (ckpt_listing){0};
}

/* The names move from l to out. */
static ag_err describe_all(hid_t file, const char *path, names *l, ckpt_listing *out)
{
    ag_err err = AG_OK;
    if (l->n > INT32_MAX) return ag_fail(AG_ERR_CHECKPOINT, "%s: too many tensors; " DAMAGED, path);
    out->items = calloc(l->n + 1, sizeof *out->items);
    if (!out->items) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < l->n && !err; i++) {
        if (!strcmp(l->name[i], CKPT__STATE)) continue;
        ckpt_item *item = &out->items[out->n];
        size_t bytes;
        const hid_t d = open_dataset(file, path, l->name[i], &err);
        if (d < 0) break;
        err = describe(d, path, l->name[i], item);
        H5Dclose(d);
        if (!err && (!ckpt__item_bytes(item, &bytes) || __builtin_add_overflow(out->bytes, bytes, &out->bytes)))
            err = ag_fail(AG_ERR_CHECKPOINT, "%s: %s: shape too large; " DAMAGED, path, l->name[i]);
        if (err) break;
        l->name[i] = NULL;
        out->n++;
    }
    return err;
}

static ag_err list_file(hid_t file, const char *path, ckpt_listing *out)
{
    names l;
    ag_err err = list_names(file, path, &l);
    if (!err) err = describe_all(file, path, &l, out);
    names_free(&l);
    return err;
}

ag_err ckpt_list(const char *path, ckpt_listing *out)
{
    hid_t file;
    *out = (ckpt_listing){0};
    ag_err err = open_checkpoint(&file, path, &out->format_version);
    if (err) return err;
    if ((err = list_file(file, path, out))) ckpt_listing_free(out);
    H5Fclose(file);
    return err;
}

static int by_item_name(const void *a, const void *b)
{
    return strcmp(((const ckpt_item *)a)->name, ((const ckpt_item *)b)->name);
}

/* The shape comes from the file: as for the state, only bytes that the file holds are believed. */
static ag_err visit_item(hid_t file, const char *path, ckpt_item *item,
                         ag_err (*visit)(void *, const ckpt_item *, size_t), void *to)
{
    ag_err err = AG_OK;
    size_t bytes;
    const hid_t d = open_dataset(file, path, item->name, &err);
    if (d < 0) return err;
    if (!is_plain(d, item, &bytes))
        err = ag_fail(AG_ERR_CHECKPOINT, "%s: %s: not stored in one piece; " DAMAGED, path, item->name);
    else if (!(item->data = malloc(bytes + 1)))
        err = ag_fail(AG_ERR_MEMORY, "%s: %s: out of memory for %zu bytes", path, item->name, bytes);
    else if (!(err = read_checked(d, path, item, bytes, item->data)))
        err = visit(to, item, bytes);
    free(item->data);
    item->data = NULL;
    H5Dclose(d);
    return err;
}

ag_err ckpt__visit(const char *path, ag_err (*visit)(void *to, const ckpt_item *item, size_t bytes), void *to)
{
    hid_t file;
    ckpt_listing l = {0};
    ag_err err = open_checkpoint(&file, path, &l.format_version);
    if (err) return err;
    err = list_file(file, path, &l);
    if (!err) qsort(l.items, (size_t)l.n, sizeof *l.items, by_item_name);
    for (int i = 0; i < l.n && !err; i++)
        if (in_group(l.items[i].name, "weights") || in_group(l.items[i].name, "buffers") ||
            !strncmp(l.items[i].name, CKPT_AVERAGES, sizeof CKPT_AVERAGES - 1))
            err = visit_item(file, path, &l.items[i], visit, to);
    ckpt_listing_free(&l);
    H5Fclose(file);
    return err;
}
