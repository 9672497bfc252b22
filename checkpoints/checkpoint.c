#include "checkpoint_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/crc32c.h"
#include "data/hdf5_tools.h"
#include "data/publish.h"
#include "hdf5_image.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "checksums are of the bytes in the file, taken from memory");

/* ---- shared --------------------------------------------------------------------------------------------------------- */

hid_t ckpt__h5_type(ag_dtype dtype)
{
    switch (dtype) {
    case AG_I32: return H5T_STD_I32LE;
    case AG_U8: return H5T_STD_U8LE;
    case AG_REAL: break;
    }
    return sizeof(real) == 8 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE;
}

bool ckpt__item_bytes(const ckpt_item *item, size_t *bytes)
{
    size_t product = item->dtype == AG_REAL ? sizeof(real) : item->dtype == AG_I32 ? 4 : 1;
    if (item->rank < 0 || item->rank > AG_MAX_RANK) return false;
    for (int i = 0; i < item->rank; i++)
        if (item->shape[i] < 0 || __builtin_mul_overflow(product, (size_t)item->shape[i], &product)) return false;
    *bytes = product;
    return product <= SIZE_MAX / 2;
}

const char *ckpt__shape_text(int rank, const int64_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < size) snprintf(out + used, size - used, "]");
    return out;
}

/* ---- what may be saved ---------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const ckpt_item *const *)a)->name, (*(const ckpt_item *const *)b)->name);
}

static bool good_name(const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/')) return false;
    return name[0] != '.' && strcmp(slash + 1, ".") != 0 &&
           strncmp(name, CKPT__STATE "/", strlen(CKPT__STATE) + 1) != 0;
}

static ag_err check_items(const char *path, int n, const ckpt_item *items)
{
    size_t bytes;
    ag_err err = AG_OK;
    for (int i = 0; i < n; i++) {
        if (!good_name(items[i].name))
            return ag_fail(AG_ERR_FAILED, "%s: tensor '%s': not a name of the form group/name", path, items[i].name);
        if (!ckpt__item_bytes(&items[i], &bytes) || (bytes > 0 && !items[i].data))
            return ag_fail(AG_ERR_FAILED, "%s: tensor '%s': bad shape or no data", path, items[i].name);
    }
    const ckpt_item **sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    if (!sorted) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    for (int i = 0; i < n; i++) sorted[i] = &items[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int i = 1; i < n && !err; i++)
        if (!strcmp(sorted[i - 1]->name, sorted[i]->name))
            err = ag_fail(AG_ERR_FAILED, "%s: tensor '%s' is there twice", path, sorted[i]->name);
    free(sorted);
    return err;
}

/* ---- writing: every function returns false when HDF5 failed ----------------------------------------------------------- */

static bool write_u32(hid_t object, const char *name, uint32_t value)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t a = H5Acreate2(object, name, H5T_STD_U32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = a >= 0 && H5Awrite(a, H5T_NATIVE_UINT32, &value) >= 0;
    if (a >= 0 && H5Aclose(a) < 0) ok = false;
    H5Sclose(space);
    return ok;
}

static bool write_text(hid_t object, const char *name, const char *text)
{
    const hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(text) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const hid_t a = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = a >= 0 && H5Awrite(a, type, text) >= 0;
    if (a >= 0 && H5Aclose(a) < 0) ok = false;
    H5Tclose(type);
    H5Sclose(space);
    return ok;
}

/* No times of creation, so that the same content gives the same bytes; the space is given out at once and filled by us. */
static hid_t dataset_properties(void)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(p, H5D_CONTIGUOUS);
    H5Pset_obj_track_times(p, 0);
    H5Pset_alloc_time(p, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(p, H5D_FILL_TIME_NEVER);
    return p;
}

/* Everything of a dataset except its bytes: piece says where these go. */
static bool lay_out_dataset(hid_t group, const char *name, hid_t type, int rank, const int64_t *shape,
                            ckpt__piece *piece)
{
    hsize_t dims[AG_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = (hsize_t)shape[i];
    const hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    const hid_t properties = dataset_properties();
    const hid_t d = H5Dcreate2(group, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    bool ok = d >= 0 && write_u32(d, CKPT__CHECKSUM, ckpt_crc32c(0, piece->data, piece->bytes));
    if (ok && piece->bytes > 0) {
        const haddr_t offset = H5Dget_offset(d);
        ok = offset != HADDR_UNDEF;
        piece->offset = (size_t)offset;
    }
    if (d >= 0 && H5Dclose(d) < 0) ok = false;
    H5Pclose(properties);
    H5Sclose(space);
    return ok;
}

/* The group of an item, made when it is first met; links are kept in the order in which they were made. `name` has room for the
 * item's. */
static hid_t open_group(hid_t file, const char *item, char *name)
{
    const size_t length = strcspn(item, "/");
    hid_t group = -1;
    memcpy(name, item, length);
    name[length] = '\0';
    if (H5Lexists(file, name, H5P_DEFAULT) > 0) {
        group = H5Gopen2(file, name, H5P_DEFAULT);
    } else {
        const hid_t properties = H5Pcreate(H5P_GROUP_CREATE);
        H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
        H5Pset_obj_track_times(properties, 0);
        group = H5Gcreate2(file, name, H5P_DEFAULT, properties, H5P_DEFAULT);
        H5Pclose(properties);
    }
    return group;
}

static bool lay_out_item(hid_t file, const ckpt_item *item, ckpt__piece *piece, char *name)
{
    const hid_t group = open_group(file, item->name, name);
    bool ok = group >= 0 && lay_out_dataset(group, strchr(item->name, '/') + 1, ckpt__h5_type(item->dtype), item->rank,
                                            item->shape, piece);
    if (group >= 0 && H5Gclose(group) < 0) ok = false;
    return ok;
}

/* Tensors first, the state last: pieces[n]. `name` has room for the longest. */
static bool lay_out(hid_t file, int n, const ckpt_item *items, ckpt__piece *pieces, char *name)
{
    const int64_t length = (int64_t)pieces[n].bytes;
    if (!write_text(file, "format", CKPT_FORMAT) || !write_u32(file, "format_version", CKPT_FORMAT_VERSION) ||
        !write_text(file, "creator", "tessera " TESSERA_VERSION))
        return false;
    for (int i = 0; i < n; i++)
        if (!lay_out_item(file, &items[i], &pieces[i], name)) return false;
    return lay_out_dataset(file, CKPT__STATE, H5T_STD_U8LE, 1, &length, &pieces[n]) &&
           H5Fflush(file, H5F_SCOPE_LOCAL) >= 0;
}

/* Structures of HDF5 1.8 instead of the oldest ones: each carries a checksum of its own, so a damaged byte is found there as it
 * is in the tensors. They have no flag of unclean closing (1.10 has), which a renamed file could not use. */
static ag_err create_file(hid_t *file, ckpt__image *image, const char *path)
{
    const hid_t access = ckpt__image_access(image), creation = H5Pcreate(H5P_FILE_CREATE);
    ag_err err = AG_OK;
    *file = -1;
    if (access >= 0) {
        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
        H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
        H5Pset_obj_track_times(creation, 0);
        *file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    }
    if (*file < 0) err = data_h5_fail(AG_ERR_FAILED, "%s: cannot lay out the checkpoint", path);
    if (access >= 0) H5Pclose(access); /* forgets the cause */
    H5Pclose(creation);
    return err;
}

static ag_err make_image(ckpt__image *image, const char *path, int n, const ckpt_item *items, ckpt__piece *pieces)
{
    hid_t file;
    size_t longest = 0;
    for (int i = 0; i < n; i++) longest = strlen(items[i].name) > longest ? strlen(items[i].name) : longest;
    char *name = malloc(longest + 1);
    if (!name) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    data_h5_quiet();
    ag_err err = create_file(&file, image, path);
    if (!err && !lay_out(file, n, items, pieces, name))
        err = data_h5_fail(AG_ERR_FAILED, "%s: cannot lay out the checkpoint", path);
    if (file >= 0 && H5Fclose(file) < 0 && !err)
        err = data_h5_fail(AG_ERR_FAILED, "%s: cannot finish the checkpoint", path);
    free(name);
    return err;
}

static int by_offset(const void *a, const void *b)
{
    const ckpt__piece *p = a, *q = b;
    return (p->offset > q->offset) - (p->offset < q->offset);
}

/* Where every tensor's bytes come from; the capacity is their sum and what the structures may take: about 0.5 KiB a
 * tensor is usual. */
static size_t collect_pieces(int n, const ckpt_item *items, const char *state, ckpt__piece *pieces)
{
    size_t sum = (1u << 20) + ((size_t)n << 13);
    for (int i = 0; i < n; i++) {
        pieces[i] = (ckpt__piece){.data = items[i].data};
        ckpt__item_bytes(&items[i], &pieces[i].bytes);
        sum += pieces[i].bytes + strlen(items[i].name);
    }
    pieces[n] = (ckpt__piece){.data = state, .bytes = strlen(state)};
    return sum + pieces[n].bytes;
}

static ag_err write_file(const char *path, const char *temporary, int n, const ckpt_item *items, const char *state)
{
    ckpt__image image = {0};
    ckpt__piece *pieces = malloc(((size_t)n + 1) * sizeof *pieces);
    if (!pieces) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    ag_err err = ckpt__image_new(&image, collect_pieces(n, items, state, pieces));
    if (!err) err = make_image(&image, path, n, items, pieces);
    if (!err) {
        qsort(pieces, (size_t)n + 1, sizeof *pieces, by_offset);
        err = ckpt__image_write(&image, n + 1, pieces, temporary, path);
    }
    ckpt__image_free(&image);
    free(pieces);
    return err;
}

ag_err ckpt_save(const char *path, int n, const ckpt_item *items, const char *state)
{
    data_publish *p = NULL;
    ag_err err = check_items(path, n, items);
    if (!err) err = data_publish_begin(&p, path);
    if (!err) err = write_file(path, data_publish_temporary(p), n, items, state ? state : "{}");
    if (!err) return data_publish_commit(p);
    data_publish_abort(p);
    return err;
}
