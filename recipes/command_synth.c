/* tessera synth KIND -o DATA.h5 */
#include <stdio.h>

#include "command.h"
#include "data/synth.h"
#include "options.h"
#include "terminal.h"

static void on_progress(void *data, int64_t done, int64_t total)
{
    terminal_live("drawing %lld/%lld %s", (long long)done, (long long)total, (const char *)data);
}

static const data_synth_kind *find_kind(const char *name, const char **nearest)
{
    int n;
    const data_synth_kind *kinds = data_synth_kinds(&n);
    *nearest = NULL;
    for (int i = 0; i < n; i++) {
        if (option_distance(name, kinds[i].name) == 0) return &kinds[i];
        option_nearer(name, kinds[i].name, nearest);
    }
    return NULL;
}

static ag_err run_synth(const char *name, const char *out, data_synth_options *o)
{
    const char *nearest;
    const data_synth_kind *kind = find_kind(name, &nearest);
    if (!kind && nearest)
        return ag_fail(AG_ERR_USAGE, "%.64s: no such kind of pictures; did you mean '%s'?", name, nearest);
    o->progress = on_progress;
    o->data = (void *)name;
    const ag_err err = data_synth(out, name, o);
    terminal_end_live();
    if (!err && kind)
        terminal_line("%s: %lld images (%s)", out, (long long)(o->count ? o->count : kind->count), kind->about);
    return err;
}

static void print_kinds(void)
{
    int n;
    const data_synth_kind *kinds = data_synth_kinds(&n);
    for (int i = 0; i < n; i++)
        printf("%-12s %lld images of %dx%dx%d%s: %s\n", kinds[i].name, (long long)kinds[i].count, kinds[i].width,
               kinds[i].height, kinds[i].channels, kinds[i].fixed ? " (fixed)" : "", kinds[i].about);
}

int command_synth(const command *c, int argc, char **argv)
{
    const char *out = NULL;
    int64_t count = 0, height = 0, seed = 0;
    bool none = false;
    const command_flag flags[] = {
        {"output", 'o', FLAG_TEXT, &out, "DATA.h5", "the data set", 0, 0},
        {"count", 'n', FLAG_INT, &count, "N", "images", 1, INT64_C(1000000000)},
        {"size", 0, FLAG_INT, &height, "N", "height and width", 8, 1024},
        {"seed", 0, FLAG_INT, &seed, "N", "other pictures of the same kind", 0, INT64_C(9007199254740991)},
        {"no-validation", 0, FLAG_ON, &none, NULL, "all images for training (default: the last tenth for validation)",
         0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if (!n && !out) {
        print_kinds();
        return 0;
    }
    if ((err = command_words(c, n, 1)) || (err = command_need(c, out, "-o DATA.h5"))) return command_end(err);
    data_synth_options o = {.count = count,
                            .height = (int)height,
                            .width = (int)height,
                            .seed = (uint64_t)seed,
                            .validation = none ? -1 : 0};
    return command_end(run_synth(words[0], out, &o));
}
