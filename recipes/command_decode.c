/* tessera decode RUN CODES.h5 -o FOLDER|DATA.h5 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codes.h"
#include "command.h"
#include "data/picture.h"
#include "images.h"
#include "signals.h"
#include "terminal.h"

static ag_err write_pngs(const run *r, int64_t first, int64_t n, const char *folder)
{
    const image_shape *s = &r->build.image;
    uint8_t *pixels = ag_data(r->reconstruction_pixels);
    ag_err err = AG_OK;
    for (int64_t i = 0; i < n && !err; i++) {
        data_picture picture;
        char *path;
        if (asprintf(&path, "%s/%08lld.png", folder, (long long)(first + i)) < 0)
            return ag_fail(AG_ERR_MEMORY, "%s: no memory", folder);
        picture = (data_picture){.height = (int)s->height,
                                 .width = (int)s->width,
                                 .channels = (int)s->channels,
                                 .pixels = pixels + i * images_values(s)};
        err = data_picture_write_png(path, &picture);
        free(path);
    }
    return err;
}

/* The codes of a batch; those past the `valid` images are 0. */
static ag_err read_batch(run *r, const codes_file *f, int64_t first, int64_t valid)
{
    ag_err err = AG_OK;
    for (int g = 0; !err && g < f->n_grids; g++) {
        const int64_t each = f->grids[g].each;
        int32_t *codes = ag_data(r->codes_in[g]);
        err = codes_read(f, g, first, valid, codes);
        memset(codes + valid * each, 0, (size_t)((r->build.batch - valid) * each) * sizeof *codes);
    }
    return err;
}

/* Every batch to `o` (a data set), or, if that is NULL, to PNG files in `folder`. */
static ag_err decode_all(run *r, const codes_file *f, output *o, const char *folder)
{
    const int64_t batch = r->build.batch;
    ag_err err = AG_OK;
    for (int64_t first = 0; !err && first < f->n; first += batch) {
        const int64_t valid = f->n - first < batch ? f->n - first : batch;
        if ((err = read_batch(r, f, first, valid))) break;
        if ((err = ag_graph_run_pure(r->graph, 0))) break;
        err = o ? output_rows(o, 0, valid, ag_data(r->reconstruction_pixels)) : write_pngs(r, first, valid, folder);
        terminal_live("decoding %lld/%lld images", (long long)(first + valid), (long long)f->n);
        if (!err && signals_received()) err = ag_fail(AG_ERR_FAILED, "decode: stopped by a signal");
    }
    return err;
}

static ag_err decode_to_set(run *r, const codes_file *f, const char *out)
{
    output o;
    int64_t *all = malloc((size_t)f->n * sizeof *all);
    ag_err err = output_images_begin(&o, out, f->n, &r->build.image);
    if (!err && !all) err = ag_fail(AG_ERR_MEMORY, "%s: no memory for %lld rows", out, (long long)f->n);
    if (!err) err = decode_all(r, f, &o, NULL);
    for (int64_t i = 0; !err && i < f->n; i++) all[i] = i;
    if (!err) err = output_columns(&o, f->path, f->n, all);
    free(all);
    return output_end(&o, err);
}

static ag_err decode_to_folder(run *r, const codes_file *f, const char *out)
{
    if (r->build.image.channels != 1 && r->build.image.channels != 3)
        return ag_fail(AG_ERR_USAGE, "-o %s: images of %lld channels are no PNG; write a data set: -o DATA.h5", out,
                       (long long)r->build.image.channels);
    if (mkdir(out, 0777) && errno != EEXIST)
        return ag_fail(AG_ERR_IO, "%s: cannot be made: %m; choose another -o", out);
    return decode_all(r, f, NULL, out);
}

static ag_err run_decode(const char *name, const char *codes_path, const char *out)
{
    model *m = NULL;
    run *r = NULL;
    codes_file f = {.file = -1};
    ag_err err = model_open(&m, name);
    if (err || (err = codes_open(&f, codes_path, m))) goto out;
    if ((err = model_run(&r, m, RUN_DECODE, &f.image))) goto out;
    err = output_is_hdf5(out) ? decode_to_set(r, &f, out) : decode_to_folder(r, &f, out);
    terminal_end_live();
    if (!err)
        terminal_line("%s: %lld images of %lldx%lld", out, (long long)f.n, (long long)f.image.width,
                      (long long)f.image.height);
out:
    codes_close(&f);
    run_free(r);
    model_close(m);
    return err;
}

int command_decode(const command *c, int argc, char **argv)
{
    const char *out = NULL;
    const command_flag flags[] = {
        {"output", 'o', FLAG_TEXT, &out, "OUT", "a folder of PNG files, or DATA.h5", 0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if ((err = command_words(c, n, 2)) || (err = command_need(c, out, "-o FOLDER|DATA.h5"))) return command_end(err);
    return command_end(run_decode(words[0], words[1], out));
}
