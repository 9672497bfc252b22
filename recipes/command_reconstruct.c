/* tessera reconstruct RUN --data DATA.h5 -o GRID.png|DATA.h5 */
#include <stdlib.h>

#include "command.h"
#include "evaluate.h"
#include "grids.h"
#include "model.h"
#include "output.h"
#include "terminal.h"

typedef struct arguments {
    const char *data, *out, *split;
    int64_t images;
} arguments;

static ag_err write_grid(run *r, data_set *set, int64_t n, const int64_t *indices, const char *path)
{
    const size_t bytes = (size_t)(n * images_values(&r->build.image));
    uint8_t *pixels = malloc(2 * bytes);
    data_picture grid = {0};
    ag_err err = pixels ? AG_OK : ag_fail(AG_ERR_MEMORY, "no memory for %lld images", (long long)n);
    if (!err) err = evaluate_pixels(r, set, n, indices, pixels, pixels + bytes);
    if (!err) err = grids_pairs(&grid, &r->build.image, n, pixels, pixels + bytes);
    if (!err) err = data_picture_write_png(path, &grid);
    data_picture_free(&grid);
    free(pixels);
    return err;
}

/* All reconstructions as a data set, a batch at a time. */
static ag_err write_set(run *r, data_set *set, int64_t n, const int64_t *indices, const char *path)
{
    const int64_t batch = r->build.batch;
    uint8_t *pixels = malloc((size_t)(batch * images_values(&r->build.image)));
    output o;
    ag_err err = output_images_begin(&o, path, n, &r->build.image);
    if (!err && !pixels) err = ag_fail(AG_ERR_MEMORY, "no memory for %lld images", (long long)batch);
    for (int64_t first = 0; !err && first < n; first += batch) {
        const int64_t some = n - first < batch ? n - first : batch;
        err = evaluate_pixels(r, set, some, indices + first, NULL, pixels);
        if (!err) err = output_rows(&o, 0, some, pixels);
        terminal_live("reconstructing %lld/%lld images", (long long)first, (long long)n);
    }
    if (!err) err = output_columns(&o, data_set_path(set), n, indices);
    free(pixels);
    return output_end(&o, err);
}

static ag_err run_reconstruct(const char *name, const arguments *a)
{
    model_view v = {0};
    int64_t *spread = NULL;
    ag_err err = model_open(&v.model, name);
    if (err || (err = model_view_open(&v, a->data, a->split, RUN_RECONSTRUCT))) goto out;
    if (output_is_hdf5(a->out)) {
        err = write_set(v.run, v.set, a->images && a->images < v.n ? a->images : v.n, v.indices, a->out);
        goto out;
    }
    const int64_t count = a->images ? a->images : 32, some = count < v.n ? count : v.n;
    if (!(spread = calloc((size_t)some, sizeof *spread))) {
        err = ag_fail(AG_ERR_MEMORY, "no memory for %lld images", (long long)some);
        goto out;
    }
    grids_spread(v.n, v.indices, some, spread);
    err = write_grid(v.run, v.set, some, spread, a->out);
out:
    terminal_end_live();
    if (!err) terminal_line("%s: originals and reconstructions of split %s", a->out, images_split_name(v.split));
    free(spread);
    model_view_close(&v);
    return err;
}

int command_reconstruct(const command *c, int argc, char **argv)
{
    arguments a = {0};
    const command_flag flags[] = {
        {"data", 'd', FLAG_TEXT, &a.data, "DATA.h5", "the images", 0, 0},
        {"output", 'o', FLAG_TEXT, &a.out, "FILE",
         "GRID.png: rows of originals above reconstructions; DATA.h5: all reconstructions", 0, 0},
        {"split", 0, FLAG_TEXT, &a.split, "NAME",
         "train, validation, test or all (default: test, else validation, else train)", 0, 0},
        {"images", 'n', FLAG_INT, &a.images, "N", "how many (default: 32 in a grid, all in a data set)", 1,
         INT64_C(1000000000)},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if ((err = command_words(c, n, 1)) || (err = command_need(c, a.data, "--data DATA.h5"))) return command_end(err);
    if ((err = command_need(c, a.out, "-o GRID.png|DATA.h5"))) return command_end(err);
    return command_end(run_reconstruct(words[0], &a));
}
