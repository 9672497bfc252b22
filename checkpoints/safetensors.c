/* Reading safetensors files (safetensors.h). */
#include "checkpoints/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "checkpoint_file.h"
#include "checkpoints/json.h"
#include "data/sha256.h"

enum { MOST_TENSORS = 100000, PIECE = 1 << 16 };
#define MOST_HEADER (INT64_C(100000000))
#define MOST_NUMBER (9007199254740992.0) /* 2^53: above it a double skips whole numbers */

typedef struct tensor {
    const char *name, *dtype; /* in the header */
    int rank;
    int64_t shape[AG_MAX_RANK];
    bool deep; /* more axes than any of ours */
    int64_t begin, end;
} tensor;

typedef struct file {
    const char *path;
    FILE *stream;
    int64_t size, data; /* bytes of the file; where tensors begin */
    cJSON *header;
    tensor *tensors;
    int count;
} file;

/* ---- the header ---------------------------------------------------------------------------------------------------------- */

/* Bits of an element; 0: no such type. */
static int bits_of(const char *dtype)
{
    static const struct {
        const char *name;
        int bits;
    } types[] = {{"BOOL", 8},    {"U8", 8},      {"I8", 8},          {"I16", 16},       {"U16", 16},    {"F16", 16},
                 {"BF16", 16},   {"I32", 32},    {"U32", 32},        {"F32", 32},       {"C64", 64},    {"F64", 64},
                 {"I64", 64},    {"U64", 64},    {"F4", 4},          {"F6_E2M3", 6},    {"F6_E3M2", 6}, {"F8_E5M2", 8},
                 {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, dtype)) return types[i].bits;
    return 0;
}

static bool whole(const cJSON *item, int64_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > MOST_NUMBER) return false;
    *out = (int64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

/* Shape and bytes of a tensor: do they say the same? */
static bool read_shape(const cJSON *shape, int bits, tensor *t)
{
    const cJSON *item;
    int64_t elements = 1, all;
    if (!cJSON_IsArray(shape)) return false;
    cJSON_ArrayForEach(item, shape)
    {
        int64_t n;
        if (!whole(item, &n) || __builtin_mul_overflow(elements, n, &elements)) return false;
        if (t->rank < AG_MAX_RANK)
            t->shape[t->rank++] = n;
        else
            t->deep = true;
    }
    return !__builtin_mul_overflow(elements, bits, &all) && all % 8 == 0 && all / 8 == t->end - t->begin;
}

static ag_err read_tensor(const file *f, const cJSON *entry, tensor *t)
{
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    *t = (tensor){.name = entry->string};
    if (!cJSON_IsString(dtype) || !bits_of(dtype->valuestring))
        return ag_fail(AG_ERR_DATA, "%s: tensor '%.100s' has no known dtype; the file is damaged", f->path, t->name);
    t->dtype = dtype->valuestring;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !whole(cJSON_GetArrayItem(offsets, 0), &t->begin) || !whole(cJSON_GetArrayItem(offsets, 1), &t->end) ||
        t->begin > t->end || t->end > f->size - f->data)
        return ag_fail(AG_ERR_DATA, "%s: tensor '%.100s' does not lie within the file; it is damaged", f->path,
                       t->name);
    if (!read_shape(cJSON_GetObjectItemCaseSensitive(entry, "shape"), bits_of(t->dtype), t))
        return ag_fail(AG_ERR_DATA, "%s: tensor '%.100s': its shape does not give its %lld bytes; the file is damaged",
                       f->path, t->name, (long long)(t->end - t->begin));
    return AG_OK;
}

static int by_offset(const void *a, const void *b)
{
    const tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors fill what follows the header without gap, overlap or rest. */
static ag_err check_places(file *f)
{
    int64_t at = 0;
    qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, by_offset);
    for (int i = 0; i < f->count; i++) {
        if (f->tensors[i].begin != at)
            return ag_fail(AG_ERR_DATA, "%s: tensor '%.100s' begins at byte %lld, the one before ends at %lld", f->path,
                           f->tensors[i].name, (long long)f->tensors[i].begin, (long long)at);
        at = f->tensors[i].end;
    }
    if (at == f->size - f->data) return AG_OK;
    return ag_fail(AG_ERR_DATA, "%s: its tensors take %lld bytes, %lld follow the header; it is cut or damaged",
                   f->path, (long long)at, (long long)(f->size - f->data));
}

static ag_err read_tensors(file *f)
{
    const cJSON *entry;
    const int n = cJSON_IsObject(f->header) ? cJSON_GetArraySize(f->header) : 0;
    if (n < 1 || n > MOST_TENSORS)
        return ag_fail(AG_ERR_DATA, "%s: its header names %d tensors; 1 to %d are read", f->path, n, MOST_TENSORS);
    if (!(f->tensors = calloc((size_t)n, sizeof *f->tensors)))
        return ag_fail(AG_ERR_MEMORY, "%s: no memory for the names of its tensors", f->path);
    cJSON_ArrayForEach(entry, f->header)
    {
        if (!strcmp(entry->string, "__metadata__")) continue;
        const ag_err err = read_tensor(f, entry, &f->tensors[f->count]);
        if (err) return err;
        f->count++;
    }
    return check_places(f);
}

static ag_err cut(const file *f)
{
    return ag_fail(ferror(f->stream) ? AG_ERR_IO : AG_ERR_DATA, "%s: not all of it could be read", f->path);
}

static ag_err read_header(file *f)
{
    uint8_t bytes[8];
    int64_t n = 0;
    if (f->size < 8 || fseeko(f->stream, 0, SEEK_SET) || fread(bytes, 1, 8, f->stream) != 8)
        return ag_fail(AG_ERR_DATA, "%s: too short to be a safetensors file", f->path);
    for (int i = 7; i >= 0; i--) {
        if (n > MOST_HEADER) break;
        n = n << 8 | bytes[i];
    }
    if (n < 2 || n > MOST_HEADER || n > f->size - 8)
        return ag_fail(AG_ERR_DATA,
                       "%s: not a safetensors file (its header would be %lld bytes long); convert the weights to that "
                       "format",
                       f->path, (long long)n);
    char *text = malloc((size_t)n);
    if (!text) return ag_fail(AG_ERR_MEMORY, "%s: no memory for its header", f->path);
    f->data = 8 + n;
    ag_err err = fread(text, 1, (size_t)n, f->stream) == (size_t)n ? AG_OK : cut(f);
    if (!err && text[0] != '{') err = ag_fail(AG_ERR_DATA, "%s: not a safetensors file", f->path);
    if (!err) err = ckpt_json_parse(&f->header, text, (size_t)n, f->path, AG_ERR_DATA);
    free(text);
    return err;
}

/* ---- the tensors ------------------------------------------------------------------------------------------------------------ */

static double half(uint16_t h)
{
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double size = exponent == 31 ? (fraction ? __builtin_nan("") : __builtin_inf())
                        : exponent     ? __builtin_ldexp(1024 + fraction, exponent - 25)
                                       : __builtin_ldexp(fraction, -24);
    return h >> 15 ? -size : size;
}

/* Element i of little-endian bytes. */
static double element(const uint8_t *bytes, const char *dtype, int64_t i)
{
    const int size = bits_of(dtype) / 8;
    uint64_t word = 0;
    for (int b = size - 1; b >= 0; b--) word = word << 8 | bytes[i * size + b];
    if (!strcmp(dtype, "F64")) {
        double v;
        memcpy(&v, &word, sizeof v);
        return v;
    }
    if (!strcmp(dtype, "F16")) return half((uint16_t)word);
    const uint32_t bits = (uint32_t)(strcmp(dtype, "BF16") ? word : word << 16);
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

/* Where element i, counted as others store it, is in memory (nn_layout): [out,in,kernel...] there, [kernel...,in,out] here. */
static int64_t place(const nn_param *q, int64_t i)
{
    if (q->layout == NN_PLAIN) return i;
    int64_t taps = 1;
    for (int axis = 0; axis < q->rank - 2; axis++) taps *= q->shape[axis];
    const int64_t in = q->shape[q->rank - 2], out = q->shape[q->rank - 1];
    return (i % taps * in + i / taps % in) * out + i / (taps * in);
}

/* The shape of a parameter as others store it. */
static void stored_shape(const nn_param *q, int64_t shape[AG_MAX_RANK])
{
    for (int a = 0; a < q->rank; a++)
        shape[a] = q->shape[q->layout == NN_PLAIN ? a : a == 0 ? q->rank - 1 : a == 1 ? q->rank - 2 : a - 2];
}

static bool same_shape(const nn_param *q, const tensor *t)
{
    int64_t shape[AG_MAX_RANK];
    stored_shape(q, shape);
    return !t->deep && t->rank == q->rank && !memcmp(t->shape, shape, (size_t)q->rank * sizeof *shape);
}

static ag_err fail_shape(const file *f, const nn_param *q, const tensor *t)
{
    int64_t shape[AG_MAX_RANK];
    char found[160], needed[160];
    stored_shape(q, shape);
    return ag_fail(AG_ERR_DATA, "%s: tensor '%s' is %s %s%s, not F32, F16, BF16 or F64 %s; these are other weights",
                   f->path, q->name, t->dtype, ckpt__shape_text(t->rank, t->shape, found, sizeof found),
                   t->deep ? " and more axes" : "", ckpt__shape_text(q->rank, shape, needed, sizeof needed));
}

static bool readable(const char *dtype)
{
    return !strcmp(dtype, "F32") || !strcmp(dtype, "F16") || !strcmp(dtype, "BF16") || !strcmp(dtype, "F64");
}

static const tensor *find(const file *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (!strcmp(f->tensors[i].name, name)) return &f->tensors[i];
    return NULL;
}

static ag_err load(const file *f, nn_param *q)
{
    const tensor *t = find(f, q->name);
    if (!t) return ag_fail(AG_ERR_DATA, "%s: has no tensor '%s'; these are other weights", f->path, q->name);
    if (!same_shape(q, t) || !readable(t->dtype)) return fail_shape(f, q, t);
    const size_t bytes = (size_t)(t->end - t->begin);
    uint8_t *raw = malloc(bytes ? bytes : 1);
    if (!raw) return ag_fail(AG_ERR_MEMORY, "%s: no memory for tensor '%s'", f->path, q->name);
    const bool whole_tensor =
        !fseeko(f->stream, (off_t)(f->data + t->begin), SEEK_SET) && fread(raw, 1, bytes, f->stream) == bytes;
    for (int64_t i = 0; whole_tensor && i < q->numel; i++)
        ((real *)q->data)[place(q, i)] = (real)element(raw, t->dtype, i);
    free(raw);
    return whole_tensor ? AG_OK : cut(f);
}

/* ---- the file ----------------------------------------------------------------------------------------------------------------- */

static ag_err check_hash(file *f, const char *sha256)
{
    uint8_t piece[PIECE];
    char hex[65];
    data_sha256 sum;
    data_sha256_start(&sum);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f->stream)) > 0; f->size += (int64_t)n)
        data_sha256_add(&sum, piece, n);
    if (ferror(f->stream)) return cut(f);
    data_sha256_end(&sum, hex);
    if (!strcasecmp(hex, sha256)) return AG_OK;
    if (!*sha256)
        return ag_fail(AG_ERR_DATA, "%s: its SHA-256 is %s; give that too, to say that these are the weights you mean",
                       f->path, hex);
    return ag_fail(AG_ERR_DATA, "%s: its SHA-256 is %s, not %.64s; these are other weights", f->path, hex, sha256);
}

ag_err ckpt_safetensors_load(const char *path, const char *sha256, nn_params *p)
{
    file f = {.path = path, .stream = fopen(path, "rb")};
    if (!f.stream) return ag_fail(AG_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    ag_err err = check_hash(&f, sha256);
    if (!err) err = read_header(&f);
    if (!err) err = read_tensors(&f);
    for (int i = 0; !err && i < nn_params_count(p); i++) err = load(&f, nn_params_at(p, i));
    free(f.tensors);
    cJSON_Delete(f.header);
    fclose(f.stream);
    return err;
}
