/* Tells which dataset of a file holds the pictures, how they lie in it, and how to read them fast. The rules are those for
 * files other people made: usual names, layout by the sizes, range by type and content; options and attributes win. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataset_private.h"
#include "data/picture.h"

#define MAX_CHANNELS 16
#define MAX_SIDE     65536
#define CACHE_BYTES  ((int64_t)256 << 20)
#define CHUNK_BYTES  ((int64_t)1 << 30)

static const char *const image_names[] = {"images", "imgs", "image", "x", "X", "data", "train_set_x"};

static void type_text(char out[16], hid_t dataset)
{
    const hid_t type = H5Dget_type(dataset);
    const H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    const size_t size = type < 0 ? 0 : H5Tget_size(type);
    const int bits = size <= 16 ? (int)size * 8 : 0; /* a damaged file may claim any size */
    if (kind == H5T_INTEGER)
        snprintf(out, 16, "%c%d", H5Tget_sign(type) == H5T_SGN_NONE ? 'u' : 'i', bits);
    else if (kind == H5T_FLOAT)
        snprintf(out, 16, "f%d", bits);
    else
        snprintf(out, 16, "%s", kind == H5T_STRING ? "text" : kind == H5T_VLEN ? "variable" : "other");
    if (type >= 0) H5Tclose(type);
}

/* Opens a link if it is a dataset; -1 otherwise. */
static hid_t open_dataset(hid_t where, const char *name)
{
    if (!data_h5_has(where, name)) return -1;
    const hid_t object = H5Oopen(where, name, H5P_DEFAULT);
    if (object < 0) return -1;
    if (H5Iget_type(object) == H5I_DATASET) return object;
    H5Oclose(object);
    return -1;
}

typedef struct listing {
    char text[400];
    const char *path;
    int count;
} listing;

static herr_t list_one(hid_t where, const char *name, const H5L_info_t *link, void *data)
{
    (void)link;
    listing *l = data;
    int rank;
    int64_t dims[32];
    char sizes[100] = "", type[16];
    const hid_t dataset = open_dataset(where, name);
    if (dataset < 0) return 0;
    if (!data_h5_sizes(dataset, l->path, name, AG_ERR_DATA, 32, &rank, dims))
        data_h5_sizes_text(sizes, sizeof sizes, rank, dims);
    type_text(type, dataset);
    H5Dclose(dataset);
    const size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s%s %s %s", l->count++ ? ", " : "", name, type, sizes);
    return l->count >= 12;
}

/* "no images ...; it holds: a u8 [3,4], b ..." */
static ag_err nothing_found(const data_set *set, const char *key)
{
    listing l = {.path = set->path};
    char *format = NULL;
    if (data_h5_get_string(set->file, set->path, "format", &format)) format = NULL;
    const bool codes = format && !strcmp(format, "tessera-codes");
    free(format);
    if (codes)
        return ag_fail(AG_ERR_DATA, "%s: holds tokens, not images; give the data set they were made from", set->path);
    H5Literate(set->file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_one, &l);
    if (!l.count) return ag_fail(AG_ERR_DATA, "%s: no images: the file holds no datasets", set->path);
    return key ? ag_fail(AG_ERR_DATA, "%s: no dataset '%s'; the file holds: %s", set->path, key, l.text)
               : ag_fail(AG_ERR_DATA, "%s: no images: no numeric dataset 'images' [N,H,W,C]; the file holds: %s",
                         set->path, l.text);
}

/* What a dataset could be: numbers of rank 3 or 4, or one variable-length run of bytes per image. */
static bool is_numeric_images(hid_t dataset)
{
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    const H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    const int rank = space < 0 ? 0 : H5Sget_simple_extent_ndims(space);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return (kind == H5T_INTEGER || kind == H5T_FLOAT) && (rank == 3 || rank == 4);
}

static bool is_variable_images(hid_t dataset)
{
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    bool is = false;
    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_VLEN && H5Sget_simple_extent_ndims(space) == 1) {
        const hid_t base = H5Tget_super(type);
        is = base >= 0 && H5Tget_class(base) == H5T_INTEGER && H5Tget_size(base) == 1;
        if (base >= 0) H5Tclose(base);
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return is;
}

static bool take_images(data_set *set, const char *name, bool (*fits)(hid_t), images_kind kind)
{
    const hid_t dataset = open_dataset(set->file, name);
    if (dataset < 0) return false;
    if (!fits(dataset)) {
        H5Dclose(dataset);
        return false;
    }
    set->images = dataset, set->kind = kind;
    snprintf(set->name, sizeof set->name, "%s", name);
    return true;
}

static bool is_byte_row(hid_t dataset)
{
    char type[16];
    const hid_t space = H5Dget_space(dataset);
    const int rank = space < 0 ? 0 : H5Sget_simple_extent_ndims(space);
    if (space >= 0) H5Sclose(space);
    type_text(type, dataset);
    return rank == 1 && !strcmp(type, "u8");
}

/* No dataset of that name, or one that this library does not understand. */
static ag_err cannot_open(const data_set *set, const char *key)
{
    if (!data_h5_has(set->file, key)) return nothing_found(set, key);
    const hid_t object = H5Oopen(set->file, key, H5P_DEFAULT);
    if (object < 0)
        return data_h5_fail(AG_ERR_DATA,
                            "%s: cannot open dataset '%s'; it is damaged, or written by a newer HDF5 library",
                            set->path, key);
    H5Oclose(object);
    return ag_fail(AG_ERR_DATA, "%s: '%s' is a group, not a dataset; name the dataset in it", set->path, key);
}

static ag_err wrong_dataset(data_set *set, const char *key)
{
    int rank;
    int64_t dims[32];
    char sizes[200], type[16];
    const hid_t dataset = open_dataset(set->file, key);
    if (dataset < 0) return cannot_open(set, key);
    ag_err err = data_h5_sizes(dataset, set->path, key, AG_ERR_DATA, 32, &rank, dims);
    if (!err) {
        data_h5_sizes_text(sizes, sizeof sizes, rank, dims);
        type_text(type, dataset);
        err = ag_fail(AG_ERR_DATA, "%s: dataset '%s' is %s %s; images are numbers of rank 4 [N,H,W,C] or 3 [N,H,W]",
                      set->path, key, type, sizes);
    }
    H5Dclose(dataset);
    return err;
}

static ag_err choose_images(data_set *set, const char *key)
{
    const int names = (int)(sizeof image_names / sizeof *image_names);
    if (key && strlen(key) >= sizeof set->name)
        return ag_fail(AG_ERR_USAGE, "%s: the name of the dataset is longer than %zu bytes", set->path,
                       sizeof set->name - 1);
    if (key)
        return take_images(set, key, is_numeric_images, IMAGES_RAW) ||
                       take_images(set, key, is_variable_images, IMAGES_VARIABLE)
                   ? AG_OK
                   : wrong_dataset(set, key);
    for (int i = 0; i < names; i++)
        if (take_images(set, image_names[i], is_numeric_images, IMAGES_RAW)) return AG_OK;
    if (data_h5_has(set->file, "offsets") && take_images(set, "bytes", is_byte_row, IMAGES_PACKED)) return AG_OK;
    for (int i = 0; i < names; i++)
        if (take_images(set, image_names[i], is_variable_images, IMAGES_VARIABLE)) return AG_OK;
    return data_h5_has(set->file, "images") ? wrong_dataset(set, "images") : nothing_found(set, NULL);
}

/* The text of an attribute of the images or the file; NULL if neither has it. */
static ag_err find_text(const data_set *set, const char *name, char **text)
{
    ag_err err = data_h5_get_string(set->images, set->path, name, text);
    return err || *text ? err : data_h5_get_string(set->file, set->path, name, text);
}

/* Which of the two outer axes [N,a,b,c] is the channels: the one of size 1..4 (else 1..16); if both are, the odd one out of
 * a square picture. 1: a, 3: c, 0: cannot be told. */
static int channel_axis(const int64_t *dims)
{
    const int64_t a = dims[1], b = dims[2], c = dims[3];
    for (int64_t most = 4; most <= MAX_CHANNELS; most *= 4) {
        if (c <= most && a > most) return 3;
        if (a <= most && c > most) return 1;
        if (c <= most && a <= most) return a == b && c < a ? 3 : b == c && a < c ? 1 : 0;
    }
    return 0;
}

static ag_err find_layout(data_set *set, const char *option)
{
    char *text = NULL, sizes[100];
    data_h5_sizes_text(sizes, sizeof sizes, set->rank, set->dims);
    ag_err err = option ? AG_OK : find_text(set, "layout", &text);
    const char *layout = option ? option : text;
    int axis = set->rank == 3 ? 3 : 0;
    if (err || set->rank == 3) goto out;
    if (!layout)
        axis = channel_axis(set->dims);
    else if (!strcmp(layout, "NHWC"))
        axis = 3;
    else if (!strcmp(layout, "NCHW"))
        axis = 1;
    else
        err = ag_fail(option ? AG_ERR_USAGE : AG_ERR_DATA, "%s: layout '%s' is not known; it is NHWC or NCHW",
                      set->path, layout);
    if (!err && !axis)
        err = ag_fail(AG_ERR_DATA,
                      "%s: dataset '%s' %s: which axis is the channels cannot be told from the sizes; set the "
                      "attribute layout to NHWC or NCHW",
                      set->path, set->name, sizes);
out:
    free(text);
    if (err) return err;
    set->planar = axis == 1;
    const int64_t h = set->dims[set->planar ? 2 : 1], w = set->dims[set->planar ? 3 : 2],
                  c = set->rank == 3 ? 1 : set->dims[axis];
    if (h < 1 || w < 1 || c < 1 || h > MAX_SIDE || w > MAX_SIDE || c > MAX_CHANNELS || h * w * c > INT32_MAX / 4)
        return ag_fail(AG_ERR_DATA,
                       "%s: dataset '%s' %s: images of %lld x %lld with %lld channels; sides are 1 to %d, "
                       "channels 1 to %d",
                       set->path, set->name, sizes, (long long)w, (long long)h, (long long)c, MAX_SIDE, MAX_CHANNELS);
    if (set->planar && c == 1) set->planar = false;
    set->info.height = (int)h, set->info.width = (int)w, set->info.channels = (int)c, set->values = h * w * c;
    return AG_OK;
}

/* Least and greatest of the first 256 images. */
static ag_err probe_values(data_set *set, float *low, float *high)
{
    ag_err err = data__reserve(set, 1);
    float least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < 256 && i < set->info.count && !err; i++) {
        const float *v = set->stage;
        if ((err = data__fetch(set, i, 1, set->stage))) break;
        for (int64_t k = 0; k < set->values; k++) {
            if (!isfinite(v[k]))
                return ag_fail(AG_ERR_DATA, "%s: image %lld of dataset '%s' has a value that is not finite", set->path,
                               (long long)i, set->name);
            least = fminf(least, v[k]), most = fmaxf(most, v[k]);
        }
    }
    *low = least, *high = most;
    return err;
}

static ag_err guess_range(data_set *set, const char *type)
{
    float low = 0, high = 0;
    set->low = 0, set->high = 255;
    if (!strcmp(type, "u8")) return AG_OK;
    set->high = 65535;
    if (!strcmp(type, "u16")) return AG_OK;
    if (type[0] != 'f')
        return ag_fail(AG_ERR_DATA,
                       "%s: dataset '%s' is %s: what is black and what is white? Set the attribute range to "
                       "\"LOW,HIGH\", for example \"0,255\"",
                       set->path, set->name, type);
    ag_err err = probe_values(set, &low, &high);
    if (err) return err;
    if (low < -1 || high > 1)
        return ag_fail(AG_ERR_DATA,
                       "%s: dataset '%s' has values from %g to %g: neither 0..1 nor -1..1; set the attribute "
                       "range to \"LOW,HIGH\"",
                       set->path, set->name, (double)low, (double)high);
    set->low = low < 0 ? -1 : 0, set->high = 1;
    return AG_OK;
}

/* Type and range: bytes of 0..255 stay bytes, all else is fetched as float and scaled. */
static ag_err find_range(data_set *set, const char *option)
{
    char *text = NULL, type[16], rest;
    type_text(type, set->images);
    set->element = strcmp(type, "u8") ? sizeof(float) : 1;
    ag_err err = option ? AG_OK : find_text(set, "range", &text);
    const char *range = option ? option : text;
    if (err) goto out;
    if (!range)
        err = guess_range(set, type);
    else if (sscanf(range, "%lf,%lf%c", &set->low, &set->high, &rest) != 2 || !isfinite(set->low) ||
             !isfinite(set->high) || set->low >= set->high)
        err = ag_fail(option ? AG_ERR_USAGE : AG_ERR_DATA, "%s: range '%s' is not LOW,HIGH with LOW < HIGH", set->path,
                      range);
    if (set->low != 0 || set->high != 255) set->element = sizeof(float);
    set->info.dtype = set->element == 1 ? DATA_U8 : DATA_F32;
out:
    free(text);
    return err;
}

/* A filter this library lacks makes every read fail; say it once, by name. */
static ag_err check_filters(const data_set *set, hid_t how)
{
    const int n = H5Pget_nfilters(how);
    for (int i = 0; i < n; i++) {
        char name[64] = "";
        unsigned flags, config;
        size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(how, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);
        if (filter >= 0 && H5Zfilter_avail(filter) <= 0)
            return ag_fail(AG_ERR_DATA,
                           "%s: dataset '%s' is packed with the filter '%s' (%d), which this HDF5 library "
                           "lacks; write it with gzip or without",
                           set->path, set->name, name, (int)filter);
    }
    return AG_OK;
}

/* Where the bytes lie if they can be read without the library: contiguous, in this file, of the type fetched. */
static ag_err find_offset(data_set *set, hid_t how)
{
    int *fd = NULL;
    struct stat st;
    haddr_t offset = HADDR_UNDEF;
    const hid_t access = H5Fget_access_plist(set->file), type = H5Dget_type(set->images);
    const hid_t wanted = set->element == 1 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT;
    if (access >= 0 && type >= 0 && H5Pget_driver(access) == H5FD_SEC2 && H5Pget_layout(how) == H5D_CONTIGUOUS &&
        H5Pget_external_count(how) == 0 && H5Tequal(type, wanted) > 0 &&
        H5Fget_vfd_handle(set->file, access, (void **)&fd) >= 0 && fd)
        offset = H5Dget_offset(set->images);
    if (type >= 0) H5Tclose(type);
    if (access >= 0) H5Pclose(access);
    if (offset == HADDR_UNDEF) return AG_OK;
    const int64_t bytes =
        set->kind == IMAGES_RAW ? set->info.count * set->values * (int64_t)set->element : set->dims[0];
    if (fstat(*fd, &st)) return ag_fail(AG_ERR_IO, "%s: cannot read it: %s", set->path, strerror(errno));
    if (offset > INT64_MAX || st.st_size - bytes < (int64_t)offset)
        return ag_fail(AG_ERR_DATA, "%s: truncated: dataset '%s' reaches past the end of the file", set->path,
                       set->name);
    set->fd = *fd, set->offset = (int64_t)offset;
    return AG_OK;
}

static bool is_prime(int64_t n)
{
    for (int64_t d = 3; d * d <= n; d += 2)
        if (n % d == 0) return false;
    return true;
}

/* Bytes of one chunk, of the chunks one image touches, and of all. */
typedef struct chunking {
    int64_t dims[4], bytes, image, all;
} chunking;

static ag_err read_chunking(const data_set *set, hid_t how, chunking *c)
{
    hsize_t dims[4] = {1, 1, 1, 1};
    if (H5Pget_chunk(how, 4, dims) != set->rank)
        return data_h5_fail(AG_ERR_DATA, "%s: dataset '%s'", set->path, set->name);
    *c = (chunking){.bytes = (int64_t)set->element, .image = 1};
    for (int i = 0; i < 4; i++) {
        c->dims[i] = (int64_t)dims[i]; /* the format has 32 bits for them */
        if (__builtin_mul_overflow(c->bytes, c->dims[i], &c->bytes) || c->bytes > CHUNK_BYTES)
            return ag_fail(AG_ERR_DATA,
                           "%s: dataset '%s' has chunks of more than 1 GiB; write it with one image per chunk",
                           set->path, set->name);
        if (i && i < set->rank) c->image *= (set->dims[i] + c->dims[i] - 1) / c->dims[i];
    }
    if (__builtin_mul_overflow(c->image, c->bytes, &c->image) ||
        __builtin_mul_overflow(c->image, (set->info.count + c->dims[0] - 1) / c->dims[0], &c->all))
        return ag_fail(AG_ERR_DATA, "%s: dataset '%s' claims chunks of more than 2^63 bytes", set->path, set->name);
    return AG_OK;
}

static void warn_chunks(data_set *set, const chunking *c)
{
    char sizes[100];
    data_h5_sizes_text(sizes, sizeof sizes, set->rank, c->dims);
    if (asprintf(
            &set->warning,
            "%s: dataset '%s' will read slowly: its chunks are %s, so one image of %lld bytes takes %lld bytes from "
            "%lld of them; write it again with one image per chunk, or without chunks",
            set->path, set->name, sizes, (long long)(set->values * (int64_t)set->element), (long long)c->image,
            (long long)(c->image / c->bytes)) < 0)
        set->warning = NULL;
}

/* Chunked images: a cache that holds as many chunks as is reasonable (the library's 1 MiB unpacks a larger chunk again for
 * every image), and a warning where it cannot help. */
static ag_err tune_chunks(data_set *set, hid_t how)
{
    chunking c;
    ag_err err = read_chunking(set, how, &c);
    const int64_t image = set->values * (int64_t)set->element;
    if (err || (c.dims[0] == 1 && c.image == c.bytes))
        return err; /* whole images: read once an epoch, nothing to keep */
    int64_t cache = c.all < CACHE_BYTES ? c.all : CACHE_BYTES;
    if (cache < c.image) cache = c.image;
    int64_t slots = (cache / c.bytes * 100) | 1; /* a prime about 100 times the chunks held */
    if (slots > 1000003) slots = 1000003;
    while (!is_prime(slots)) slots += 2;
    const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access < 0 || H5Pset_chunk_cache(access, (size_t)slots, (size_t)cache, 1.0) < 0 || H5Dclose(set->images) < 0 ||
        (set->images = H5Dopen2(set->file, set->name, access)) < 0)
        err = data_h5_fail(AG_ERR_DATA, "%s: dataset '%s'", set->path, set->name);
    if (access >= 0) H5Pclose(access);
    if (!err && c.all > cache && c.image > 4 * image) warn_chunks(set, &c);
    return err;
}

/* The number of images, against what the file could hold: no more than 16 a byte, or an index of them would not fit memory. */
static ag_err check_count(data_set *set)
{
    const int64_t stored = (int64_t)H5Dget_storage_size(set->images);
    set->info.count = set->dims[0];
    if (set->dims[0] == 0) return ag_fail(AG_ERR_DATA, "%s: dataset '%s' holds no images", set->path, set->name);
    if (stored == 0) return ag_fail(AG_ERR_DATA, "%s: dataset '%s' was never written", set->path, set->name);
    if (set->dims[0] / 16 > stored)
        return ag_fail(AG_ERR_DATA, "%s: dataset '%s' claims %lld images but has %lld bytes; the file is damaged",
                       set->path, set->name, (long long)set->dims[0], (long long)stored);
    return AG_OK;
}

/* Offsets of packed pictures: n + 1 rising positions within the bytes. */
static ag_err read_offsets(data_set *set)
{
    int rank;
    int64_t n, total = set->dims[0];
    const hid_t dataset = open_dataset(set->file, "offsets");
    if (dataset < 0) return ag_fail(AG_ERR_DATA, "%s: 'offsets' is not a dataset", set->path);
    ag_err err = data_h5_sizes(dataset, set->path, "offsets", AG_ERR_DATA, 1, &rank, &n);
    const int64_t stored = (int64_t)H5Dget_storage_size(dataset);
    H5Dclose(dataset);
    if (err) return err;
    if (rank != 1 || n < 2)
        return ag_fail(AG_ERR_DATA, "%s: dataset 'offsets' holds no images; it needs N + 1 numbers", set->path);
    if (n / 16 > stored)
        return ag_fail(AG_ERR_DATA, "%s: dataset 'offsets' claims %lld numbers but has %lld bytes", set->path,
                       (long long)n, (long long)stored);
    if (!(set->offsets = malloc((size_t)n * sizeof *set->offsets)))
        return ag_fail(AG_ERR_MEMORY, "%s: no memory for %lld offsets", set->path, (long long)n);
    if ((err = data_h5_read(set->file, set->path, "offsets", AG_ERR_DATA, H5T_NATIVE_UINT64, 1, &n, set->offsets)))
        return err;
    for (int64_t i = 0; i < n; i++)
        if (set->offsets[i] > (uint64_t)total || (i && set->offsets[i] < set->offsets[i - 1]))
            return ag_fail(AG_ERR_DATA,
                           "%s: dataset 'offsets' is damaged: entry %lld is %llu, after %llu, of %lld bytes", set->path,
                           (long long)i, (unsigned long long)set->offsets[i],
                           (unsigned long long)(i ? set->offsets[i - 1] : 0), (long long)total);
    set->info.count = n - 1;
    return AG_OK;
}

/* Height, width, channels of every encoded picture, which must agree. */
static ag_err read_shapes(data_set *set)
{
    const int64_t n = set->info.count, dims[] = {n, 3};
    int32_t *shapes = malloc((size_t)n * 3 * sizeof *shapes);
    if (!shapes) return ag_fail(AG_ERR_MEMORY, "%s: no memory for %lld shapes", set->path, (long long)n);
    ag_err err = data_h5_read(set->file, set->path, "shapes", AG_ERR_DATA, H5T_NATIVE_INT32, 2, dims, shapes);
    for (int64_t i = 1; i < n && !err; i++)
        if (memcmp(shapes, shapes + 3 * i, 3 * sizeof *shapes))
            err = ag_fail(AG_ERR_DATA,
                          "%s: pictures of different sizes (%d x %d with %d channels, image %lld %d x %d with %d); "
                          "make them one size with 'tessera pack --size N'",
                          set->path, shapes[1], shapes[0], shapes[2], (long long)i, shapes[3 * i + 1], shapes[3 * i],
                          shapes[3 * i + 2]);
    if (!err && (shapes[0] < 1 || shapes[1] < 1 || shapes[0] > MAX_SIDE || shapes[1] > MAX_SIDE ||
                 (shapes[2] != 1 && shapes[2] != 3) || (int64_t)shapes[0] * shapes[1] > INT32_MAX / 12))
        err = ag_fail(AG_ERR_DATA, "%s: dataset 'shapes' says %d x %d with %d channels; the file is damaged", set->path,
                      shapes[1], shapes[0], shapes[2]);
    if (!err) set->info.height = shapes[0], set->info.width = shapes[1], set->info.channels = shapes[2];
    free(shapes);
    return err;
}

/* Decodes the first picture to learn the size of all. */
static ag_err probe_picture(data_set *set)
{
    data_picture picture = {0};
    hvl_t element = {0};
    const hid_t type = H5Tvlen_create(H5T_NATIVE_UINT8), space = H5Dget_space(set->images);
    const hsize_t one = 1, zero = 0;
    const hid_t memory = H5Screate_simple(1, &one, NULL);
    char name[512];
    snprintf(name, sizeof name, "%s: image 0", set->path);
    ag_err err = AG_OK;
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, &zero, NULL, &one, NULL) < 0 ||
        H5Dread(set->images, type, memory, space, H5P_DEFAULT, &element) < 0)
        err = data_h5_fail(AG_ERR_DATA, "%s: cannot read dataset '%s'", set->path, set->name);
    else {
        err = data_picture_decode(&picture, element.p, element.len, name, &(data_decode_options){0});
        H5Dvlen_reclaim(type, memory, H5P_DEFAULT, &element);
    }
    if (!err) set->info.height = picture.height, set->info.width = picture.width, set->info.channels = picture.channels;
    data_picture_free(&picture);
    if (memory >= 0) H5Sclose(memory);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return err;
}

static ag_err find_encoded(data_set *set)
{
    ag_err err = set->kind == IMAGES_VARIABLE ? check_count(set) : read_offsets(set);
    if (!err) err = set->kind == IMAGES_VARIABLE ? probe_picture(set) : read_shapes(set);
    set->values = (int64_t)set->info.height * set->info.width * set->info.channels;
    set->element = 1, set->high = 255;
    set->info.dtype = DATA_U8, set->info.encoded = true;
    return err;
}

ag_err data__find_images(data_set *set, const data_set_options *options)
{
    hid_t how = -1;
    ag_err err = choose_images(set, options->key);
    if (err) return err;
    if ((err = data_h5_sizes(set->images, set->path, set->name, AG_ERR_DATA, 4, &set->rank, set->dims))) return err;
    if ((how = H5Dget_create_plist(set->images)) < 0)
        return data_h5_fail(AG_ERR_DATA, "%s: dataset '%s'", set->path, set->name);
    if ((err = check_filters(set, how))) goto out;
    if (set->kind == IMAGES_RAW) {
        if ((err = check_count(set)) || (err = find_layout(set, options->layout)) ||
            (err = find_range(set, options->range)))
            goto out;
    } else if ((err = find_encoded(set)))
        goto out;
    if ((err = find_offset(set, how))) goto out;
    if (set->kind == IMAGES_RAW && H5Pget_layout(how) == H5D_CHUNKED) err = tune_chunks(set, how);
out:
    H5Pclose(how);
    return err;
}
