#include <stdlib.h>
#include <string.h>

#include "checkpoints/checkpoint.h"
#include "codes.h"
#include "data/hdf5_tools.h"

static ag_err set_configuration(const output *o, const model *m)
{
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "recipe", m->recipe->name);
    cJSON_AddItemToObject(config, "options", option_to_json(m->recipe->options, m->options));
    char *text = config ? cJSON_PrintUnformatted(config) : NULL;
    ag_err err = text ? data_h5_set_string(o->file, o->path, "tokenizer_config", text)
                      : ag_fail(AG_ERR_MEMORY, "%s: no memory for the configuration", o->path);
    cJSON_free(text);
    cJSON_Delete(config);
    return err;
}

/* How many codes each scale has: "1,4,9,16". */
static void scales_text(const nn_quantized *q, char *out, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < q->books && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "," : "", (long long)q->segments[i]);
}

static ag_err set_attributes(const output *o, const model *m, const run *r)
{
    const image_shape *s = &r->build.image;
    const nn_quantized *q = &r->quantizers[0];
    char fingerprint[65], grid[48], image[72], scales[NN_MOST_SCALARS * 12];
    int64_t h, w;
    ag_err err = ckpt_fingerprint(m->path, fingerprint);
    m->recipe->grid(m->options, s, &h, &w);
    snprintf(grid, sizeof grid, "%lld,%lld", (long long)h, (long long)w);
    snprintf(image, sizeof image, "%lld,%lld,%lld", (long long)s->height, (long long)s->width, (long long)s->channels);
    if (!err) err = data_h5_set_string(o->file, o->path, "format", "tessera-codes");
    if (!err) err = data_h5_set_int(o->file, o->path, "format_version", 1);
    if (!err) err = data_h5_set_string(o->file, o->path, "tokenizer_sha256", fingerprint);
    if (!err) err = data_h5_set_string(o->file, o->path, "grid", grid);
    if (!err) err = data_h5_set_string(o->file, o->path, "image", image);
    if (!err) err = data_h5_set_int(o->file, o->path, "depth", q->depth);
    if (!err) err = data_h5_set_int(o->file, o->path, "codebook_size", q->K);
    if (!err && q->segments[0]) {
        scales_text(q, scales, sizeof scales);
        err = data_h5_set_string(o->file, o->path, "scales", scales);
    }
    if (!err) err = data_h5_set_string(o->file, o->path, "augment", "none");
    return err ? err : set_configuration(o, m);
}

ag_err codes_begin(output *o, const char *path, int64_t n, const model *m, const run *r)
{
    const ag_tensor *codes = r->quantizers[0].codes;
    const hid_t type = r->quantizers[0].K <= 65536 ? H5T_NATIVE_UINT16 : H5T_NATIVE_UINT32;
    int64_t dims[4] = {n};
    if (ag_rank(codes) > 4) return ag_fail(AG_ERR_FAILED, "%s: codes of %d axes; at most 4 fit", path, ag_rank(codes));
    for (int i = 1; i < ag_rank(codes); i++) dims[i] = ag_dim(codes, i);
    const ag_err err = output_begin(o, path, "codes", type, ag_rank(codes), dims);
    return err ? err : set_attributes(o, m, r);
}

ag_err codes_append(output *o, int64_t n, const int32_t *codes)
{
    size_t count = (size_t)n;
    uint16_t *narrow;
    for (int i = 1; i < o->rank; i++) count *= (size_t)o->dims[i];
    if (H5Tget_size(o->type) == 4) return output_rows(o, n, codes);
    if (!(narrow = malloc(count * sizeof *narrow))) return ag_fail(AG_ERR_MEMORY, "%s: no memory for codes", o->path);
    for (size_t i = 0; i < count; i++) narrow[i] = (uint16_t)codes[i];
    const ag_err err = output_rows(o, n, narrow);
    free(narrow);
    return err;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static ag_err check_format(const codes_file *f)
{
    char *format = NULL;
    ag_err err = data_h5_get_string(f->file, f->path, "format", &format);
    if (!err && (!format || strcmp(format, "tessera-codes")))
        err = ag_fail(AG_ERR_DATA,
                      "%s: not a code file (its attribute 'format' is %s%.32s); make one with 'tessera encode'",
                      f->path, format ? "" : "missing", format ? format : "");
    free(format);
    return err;
}

static ag_err check_tokenizer(const codes_file *f, const model *m)
{
    char *theirs = NULL, ours[65];
    ag_err err = data_h5_get_string(f->file, f->path, "tokenizer_sha256", &theirs);
    if (!err) err = ckpt_fingerprint(m->path, ours);
    if (!err && (!theirs || strcmp(theirs, ours)))
        err = ag_fail(AG_ERR_CHECKPOINT,
                      "%s: codes of another tokenizer than %s; decode them with the run that made them", f->path,
                      m->path);
    free(theirs);
    return err;
}

/* The axes must be those of the model's codes. */
static ag_err check_axes(codes_file *f, const model *m)
{
    int64_t want[4], h, w;
    const int rank = 1 + m->recipe->code_shape(m->options, &m->image, want + 1);
    bool good = f->rank == rank && f->K >= 1;
    for (int i = 0; i < f->rank; i++) good = good && f->dims[i] >= 1 && (!i || f->dims[i] <= 65536);
    if (good && rank == 4) good = f->dims[3] == want[3];
    if (good && rank == 2) good = f->dims[1] == want[1];
    if (!good)
        return ag_fail(AG_ERR_DATA,
                       "%s: 'codes' has rank %d, expected %s and a codebook_size; make the file with 'tessera encode'",
                       f->path, f->rank,
                       rank == 4   ? "[N,h,w,depth]"
                       : rank == 2 ? "[N,L]"
                                   : "[N,h,w]");
    m->recipe->grid(m->options, &m->image, &h, &w);
    f->height = rank == 2 ? h : f->dims[1];
    f->width = rank == 2 ? w : f->dims[2];
    f->n = f->dims[0];
    f->each = 1;
    for (int i = 1; i < f->rank; i++) f->each *= f->dims[i];
    return AG_OK;
}

ag_err codes_open(codes_file *f, const char *path, const model *m)
{
    *f = (codes_file){.path = path, .file = -1, .dataset = -1};
    ag_err err = data_h5_open(&f->file, path, AG_ERR_DATA);
    if (err || (err = check_format(f)) || (err = check_tokenizer(f, m))) return err;
    if ((err = data_h5_get_int(f->file, path, "codebook_size", &f->K))) return err;
    if (!data_h5_has(f->file, "codes") || (f->dataset = H5Dopen2(f->file, "codes", H5P_DEFAULT)) < 0)
        return ag_fail(AG_ERR_DATA, "%s: has no dataset 'codes'; make the file with 'tessera encode'", path);
    if ((err = data_h5_sizes(f->dataset, path, "codes", AG_ERR_DATA, 4, &f->rank, f->dims))) return err;
    return check_axes(f, m);
}

static ag_err check_range(const codes_file *f, int64_t first, int64_t n, const int32_t *codes)
{
    const int64_t each = f->each;
    for (int64_t i = 0; i < n * each; i++)
        if (codes[i] < 0 || codes[i] >= f->K)
            return ag_fail(AG_ERR_DATA, "%s: image %lld has code %d, the codebook has %lld; the file is damaged",
                           f->path, (long long)(first + i / each), codes[i], (long long)f->K);
    return AG_OK;
}

ag_err codes_read(const codes_file *f, int64_t first, int64_t n, int32_t *codes)
{
    const hsize_t start[4] = {(hsize_t)first};
    hsize_t count[4] = {(hsize_t)n};
    for (int i = 1; i < f->rank; i++) count[i] = (hsize_t)f->dims[i];
    const hid_t memory = H5Screate_simple(f->rank, count, NULL), space = H5Dget_space(f->dataset);
    ag_err err = AG_OK;
    if (memory < 0 || space < 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(f->dataset, H5T_NATIVE_INT32, memory, space, H5P_DEFAULT, codes) < 0)
        err = data_h5_fail(AG_ERR_DATA, "%s: codes of images %lld to %lld cannot be read", f->path, (long long)first,
                           (long long)(first + n - 1));
    if (space >= 0) H5Sclose(space);
    if (memory >= 0) H5Sclose(memory);
    return err ? err : check_range(f, first, n, codes);
}

void codes_close(codes_file *f)
{
    if (f->dataset >= 0) H5Dclose(f->dataset);
    if (f->file >= 0) H5Fclose(f->file);
}
