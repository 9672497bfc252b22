/* tessera encode RUN --data DATA.h5 -o CODES.h5 */
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "command.h"
#include "signals.h"
#include "terminal.h"

static ag_err encode_all(run *r, data_set *set, int64_t n, const int64_t *indices, output *o)
{
    const int64_t batch = r->build.batch;
    int64_t *at = calloc((size_t)batch, sizeof *at);
    ag_err err = at ? AG_OK : ag_fail(AG_ERR_MEMORY, "no memory for a batch of indices");
    for (int64_t first = 0; !err && first < n; first += batch) {
        const int64_t valid = n - first < batch ? n - first : batch;
        for (int64_t i = 0; i < batch; i++) at[i] = indices[i < valid ? first + i : n - 1];
        if ((err = images_read(set, &r->build.image, batch, at, ag_data(r->pixels)))) break;
        if ((err = ag_graph_run_pure(r->graph, 0))) break;
        for (int g = 0; !err && g < r->n_quantizers; g++)
            err = codes_append(o, g, valid, ag_data(r->quantizers[g].codes));
        terminal_live("encoding %lld/%lld images", (long long)(first + valid), (long long)n);
        if (!err && signals_received())
            err = ag_fail(AG_ERR_FAILED, "encode: stopped by a signal; nothing was written");
    }
    free(at);
    return err;
}

/* "codes.h5: 100 images, 64 codes of 512 each", or "16 codes of 512 + 64 codes of 512 each". */
static void say(const char *out, int64_t n, const run *r)
{
    char codes[96] = "";
    for (int g = 0; g < r->n_quantizers; g++) {
        const size_t used = strlen(codes);
        snprintf(codes + used, sizeof codes - used, "%s%lld codes of %lld", g ? " + " : "",
                 (long long)(ag_numel(r->quantizers[g].codes) / r->build.batch), (long long)r->quantizers[g].K);
    }
    terminal_line("%s: %lld images, %s each", out, (long long)n, codes);
}

static ag_err run_encode(const char *name, const char *data, const char *split_name, const char *out)
{
    model_view v = {0};
    output o;
    ag_err err = model_open(&v.model, name);
    if (err || (err = model_view_open(&v, data, split_name ? split_name : "all", RUN_ENCODE))) goto out;
    err = codes_begin(&o, out, v.n, v.model, v.run);
    if (!err) err = encode_all(v.run, v.set, v.n, v.indices, &o);
    if (!err) err = output_columns(&o, data, v.n, v.indices);
    if ((err = output_end(&o, err))) goto out;
    terminal_end_live();
    say(out, v.n, v.run);
out:
    terminal_end_live();
    model_view_close(&v);
    return err;
}

int command_encode(const command *c, int argc, char **argv)
{
    const char *data = NULL, *out = NULL, *split = NULL;
    const command_flag flags[] = {
        {"data", 'd', FLAG_TEXT, &data, "DATA.h5", "the images", 0, 0},
        {"output", 'o', FLAG_TEXT, &out, "CODES.h5", "the codes", 0, 0},
        {"split", 0, FLAG_TEXT, &split, "NAME", "train, validation, test or all (default: all)", 0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if ((err = command_words(c, n, 1)) || (err = command_need(c, data, "--data DATA.h5"))) return command_end(err);
    if ((err = command_need(c, out, "-o CODES.h5"))) return command_end(err);
    return command_end(run_encode(words[0], data, split, out));
}
