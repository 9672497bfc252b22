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

void codes_name(char *out, size_t size, const char *name, int grid, int grids)
{
    if (grids > 1)
        snprintf(out, size, "%s.%d", name, grid);
    else
        snprintf(out, size, "%s", name);
}

static ag_err set_grid_attributes(const output *o, const model *m, const run *r, int grid)
{
    const nn_quantized *q = &r->quantizers[grid];
    const int grids = r->n_quantizers;
    char name[32], text[48], scales[NN_MOST_SCALARS * 12];
    int64_t h, w;
    m->recipe->grid(m->options, &r->build.image, grid, &h, &w);
    snprintf(text, sizeof text, "%lld,%lld", (long long)h, (long long)w);
    codes_name(name, sizeof name, "grid", grid, grids);
    ag_err err = data_h5_set_string(o->file, o->path, name, text);
    codes_name(name, sizeof name, "depth", grid, grids);
    if (!err) err = data_h5_set_int(o->file, o->path, name, q->depth);
    codes_name(name, sizeof name, "codebook_size", grid, grids);
    if (!err) err = data_h5_set_int(o->file, o->path, name, q->K);
    if (err || !q->segments[0]) return err;
    scales_text(q, scales, sizeof scales);
    codes_name(name, sizeof name, "scales", grid, grids);
    return data_h5_set_string(o->file, o->path, name, scales);
}

static ag_err set_attributes(const output *o, const model *m, const run *r)
{
    const image_shape *s = &r->build.image;
    char fingerprint[65], image[72];
    ag_err err = ckpt_fingerprint(m->path, fingerprint);
    snprintf(image, sizeof image, "%lld,%lld,%lld", (long long)s->height, (long long)s->width, (long long)s->channels);
    if (!err) err = data_h5_set_string(o->file, o->path, "format", "tessera-codes");
    if (!err) err = data_h5_set_int(o->file, o->path, "format_version", 1);
    if (!err) err = data_h5_set_string(o->file, o->path, "tokenizer_sha256", fingerprint);
    if (!err) err = data_h5_set_string(o->file, o->path, "image", image);
    if (!err && r->n_quantizers > 1) err = data_h5_set_int(o->file, o->path, "grids", r->n_quantizers);
    for (int i = 0; !err && i < r->n_quantizers; i++) err = set_grid_attributes(o, m, r, i);
    if (!err) err = data_h5_set_string(o->file, o->path, "augment", "none");
    return err ? err : set_configuration(o, m);
}

static ag_err add_grid(output *o, int64_t n, const run *r, int grid)
{
    const ag_tensor *codes = r->quantizers[grid].codes;
    const hid_t type = r->quantizers[grid].K <= 65536 ? H5T_NATIVE_UINT16 : H5T_NATIVE_UINT32;
    int64_t dims[4] = {n};
    char name[32];
    if (ag_rank(codes) > 4)
        return ag_fail(AG_ERR_FAILED, "%s: codes of %d axes; at most 4 fit", o->path, ag_rank(codes));
    for (int i = 1; i < ag_rank(codes); i++) dims[i] = ag_dim(codes, i);
    codes_name(name, sizeof name, "codes", grid, r->n_quantizers);
    return output_add(o, name, type, ag_rank(codes), dims);
}

ag_err codes_begin(output *o, const char *path, int64_t n, const model *m, const run *r)
{
    ag_err err = output_begin(o, path);
    for (int i = 0; !err && i < r->n_quantizers; i++) err = add_grid(o, n, r, i);
    return err ? err : set_attributes(o, m, r);
}

ag_err codes_append(output *o, int grid, int64_t n, const int32_t *codes)
{
    const output_set *s = &o->sets[grid];
    size_t count = (size_t)n;
    uint16_t *narrow;
    for (int i = 1; i < s->rank; i++) count *= (size_t)s->dims[i];
    if (H5Tget_size(s->type) == 4) return output_rows(o, grid, n, codes);
    if (!(narrow = malloc(count * sizeof *narrow))) return ag_fail(AG_ERR_MEMORY, "%s: no memory for codes", o->path);
    for (size_t i = 0; i < count; i++) narrow[i] = (uint16_t)codes[i];
    const ag_err err = output_rows(o, grid, n, narrow);
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

static ag_err open_grid(codes_file *f, int grid)
{
    codes_grid *g = &f->grids[grid];
    char name[32];
    codes_name(name, sizeof name, "codebook_size", grid, f->n_grids);
    ag_err err = data_h5_get_int(f->file, f->path, name, &g->K);
    codes_name(name, sizeof name, "codes", grid, f->n_grids);
    if (err) return err;
    if (!data_h5_has(f->file, name) || (g->dataset = H5Dopen2(f->file, name, H5P_DEFAULT)) < 0)
        return ag_fail(AG_ERR_DATA, "%s: has no dataset '%s'; make the file with 'tessera encode'", f->path, name);
    err = data_h5_sizes(g->dataset, f->path, name, AG_ERR_DATA, 4, &g->rank, g->dims);
    g->each = 1;
    for (int i = 1; i < g->rank; i++) g->each *= g->dims[i];
    return err;
}

/* The images that the finest grid makes, in the model's own proportion; its own size if that grid does not tell. */
static image_shape image_of_codes(const codes_file *f, const model *m)
{
    const codes_grid *g = &f->grids[f->n_grids - 1];
    image_shape image = {.height = m->image.height, .width = m->image.width, .channels = m->image.channels};
    int64_t h, w;
    m->recipe->grid(m->options, &m->image, f->n_grids - 1, &h, &w);
    if (g->rank < 3 || g->dims[1] < 1 || g->dims[1] > 65536 || g->dims[2] < 1 || g->dims[2] > 65536) return image;
    image.height = g->dims[1] * (m->image.height / h);
    image.width = g->dims[2] * (m->image.width / w);
    return image;
}

/* The axes must be those of the model's codes for images of this size. */
static ag_err check_axes(const codes_file *f, const model *m, int grid)
{
    const codes_grid *g = &f->grids[grid];
    int64_t want[4] = {f->n};
    char name[32], axes[96] = "N";
    const int rank = 1 + m->recipe->code_shape(m->options, &f->image, grid, want + 1);
    bool good = g->rank == rank && g->K >= 1 && f->n >= 1;
    for (int i = 0; good && i < rank; i++) good = g->dims[i] == want[i];
    if (good) return AG_OK;
    for (int i = 1; i < rank; i++) {
        const size_t used = strlen(axes);
        snprintf(axes + used, sizeof axes - used, ",%lld", (long long)want[i]);
    }
    codes_name(name, sizeof name, "codes", grid, f->n_grids);
    return ag_fail(AG_ERR_DATA,
                   "%s: '%s' has rank %d and other sizes than [%s], or no codebook_size; make the file with "
                   "'tessera encode'",
                   f->path, name, g->rank, axes);
}

ag_err codes_open(codes_file *f, const char *path, const model *m)
{
    *f = (codes_file){.path = path, .file = -1};
    for (int i = 0; i < RUN_QUANTIZERS; i++) f->grids[i].dataset = -1;
    ag_err err = data_h5_open(&f->file, path, AG_ERR_DATA);
    if (err || (err = check_format(f)) || (err = check_tokenizer(f, m))) return err;
    f->n_grids = recipe_grids(m->recipe, m->options, &m->image);
    if (!f->n_grids) return ag_fail(AG_ERR_USAGE, "%s: this model has no codes", m->path);
    for (int i = 0; !err && i < f->n_grids; i++) err = open_grid(f, i);
    if (err) return err;
    f->n = f->grids[0].dims[0];
    f->image = image_of_codes(f, m);
    for (int i = 0; !err && i < f->n_grids; i++) err = check_axes(f, m, i);
    return err;
}

static ag_err check_range(const codes_file *f, const codes_grid *g, int64_t first, int64_t n, const int32_t *codes)
{
    for (int64_t i = 0; i < n * g->each; i++)
        if (codes[i] < 0 || codes[i] >= g->K)
            return ag_fail(AG_ERR_DATA, "%s: image %lld has code %d, the codebook has %lld; the file is damaged",
                           f->path, (long long)(first + i / g->each), codes[i], (long long)g->K);
    return AG_OK;
}

ag_err codes_read(const codes_file *f, int grid, int64_t first, int64_t n, int32_t *codes)
{
    const codes_grid *g = &f->grids[grid];
    char name[32];
    codes_name(name, sizeof name, "codes", grid, f->n_grids);
    const ag_err err =
        data_h5_read_rows(g->dataset, f->path, name, AG_ERR_DATA, H5T_NATIVE_INT32, g->rank, g->dims, first, n, codes);
    return err ? err : check_range(f, g, first, n, codes);
}

void codes_close(codes_file *f)
{
    for (int i = 0; i < f->n_grids; i++)
        if (f->grids[i].dataset >= 0) H5Dclose(f->grids[i].dataset);
    if (f->file >= 0) H5Fclose(f->file);
}
