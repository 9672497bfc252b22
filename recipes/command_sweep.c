/* tessera sweep RECIPE --data DATA.h5 -o SWEEP --grid key=a,b,c ... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/run.h"
#include "command.h"
#include "model.h"
#include "sweep.h"
#include "terminal.h"
#include "train.h"

typedef struct arguments {
    const char *data, *out, *preset, *split;
    command_list grids, cases, sets;
    int64_t steps;
} arguments;

/* ---- axes ----------------------------------------------------------------------------------------------------------------- */

enum { AXES = 16 };
typedef struct axes {
    int n, counts[AXES];
    char **settings[AXES];
} axes;

static void axes_free(axes *a)
{
    for (int i = 0; i < a->n; i++) {
        for (int j = 0; j < a->counts[i]; j++) free(a->settings[i][j]);
        free(a->settings[i]);
    }
}

static ag_err add_value(axes *a, int axis, const char *key, int key_length, const char *value, int length)
{
    char **more = realloc(a->settings[axis], (size_t)(a->counts[axis] + 1) * sizeof *more);
    if (!more) return ag_fail(AG_ERR_MEMORY, "no memory for a sweep");
    a->settings[axis] = more;
    if (asprintf(&more[a->counts[axis]], "%.*s%.*s", key_length, key, length, value) < 0)
        return ag_fail(AG_ERR_MEMORY, "no memory for a sweep");
    a->counts[axis]++;
    return AG_OK;
}

/* "key=a,b,c" as one more axis. */
static ag_err add_grid(axes *a, const char *grid)
{
    const char *equals = strchr(grid, '=');
    if (!equals || equals == grid || !equals[1])
        return ag_fail(AG_ERR_USAGE, "--grid %.64s: give KEY=VALUE,VALUE,...", grid);
    if (a->n == AXES) return ag_fail(AG_ERR_USAGE, "--grid: more than %d", AXES - 1);
    const int axis = a->n++, key = (int)(equals + 1 - grid);
    ag_err err = AG_OK;
    for (const char *p = equals + 1; !err && *p;) {
        const int length = (int)strcspn(p, ",");
        err = length ? add_value(a, axis, grid, key, p, length)
                     : ag_fail(AG_ERR_USAGE, "--grid %.64s: a value is empty", grid);
        p += length + (p[length] == ',');
    }
    return err;
}

static ag_err make_axes(axes *a, const arguments *args)
{
    ag_err err = AG_OK;
    a->n = 1;
    for (int i = 0; !err && i < args->cases.n; i++)
        err = add_value(a, 0, "", 0, args->cases.items[i], (int)strlen(args->cases.items[i]));
    if (!err && !args->cases.n) err = add_value(a, 0, "", 0, "", 0);
    for (int i = 0; !err && i < args->grids.n; i++) err = add_grid(a, args->grids.items[i]);
    return err;
}

/* What all runs share: --set and --steps. */
static char *shared_settings(const arguments *a)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    for (int i = 0; i < a->sets.n; i++) fprintf(f, "%s%s", i ? " " : "", a->sets.items[i]);
    if (a->steps > 0) fprintf(f, "%ssteps=%lld", a->sets.n ? " " : "", (long long)a->steps);
    fclose(f);
    return text;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------- */

static ag_err resolve(const recipe *r, void *options, const sweep *s, int i)
{
    ag_err err = *s->preset ? recipe_preset_apply(r, options, s->preset) : AG_OK;
    if (!err) err = option_assign_all(r->options, options, s->shared, "--set");
    if (!err) err = option_assign_all(r->options, options, s->cells[i], "--grid or --case");
    return err ? err : train_options_check(options);
}

/* How far the run in `folder` is: its step, -1 if there is none. */
static ag_err progress(const char *folder, int64_t *step)
{
    model *m = NULL;
    *step = -1;
    if (!ckpt_run_exists(folder)) return AG_OK;
    const ag_err err = model_open(&m, folder);
    if (!err) *step = m->step;
    model_close(m);
    return err;
}

/* Trains run i, goes on with it, or leaves it if it is done. */
static ag_err one_run(const recipe *r, const sweep *s, const char *out, int i, int argc, char **argv, int *signal)
{
    int64_t step;
    char *folder = sweep_run_folder(out, i);
    void *options = recipe_options_new(r);
    ag_err err = folder && options ? resolve(r, options, s, i) : ag_fail(AG_ERR_MEMORY, "no memory for a run");
    if (!err) err = progress(folder, &step);
    if (!err && step < ((const struct train_options *)options)->steps) {
        const train_config config = {.recipe = r,
                                     .options = options,
                                     .data = s->data,
                                     .out = folder,
                                     .resume = step >= 0,
                                     .argc = argc,
                                     .argv = argv};
        terminal_title("run %d of %d: %s", i + 1, s->n, s->cells[i]);
        err = train(&config, signal);
    }
    free(options);
    free(folder);
    return err;
}

/* Every combination must be understood before the first one runs for hours. */
static ag_err check_all(const recipe *r, const sweep *s)
{
    ag_err err = AG_OK;
    for (int i = 0; !err && i < s->n; i++) {
        void *options = recipe_options_new(r);
        err = options ? resolve(r, options, s, i) : ag_fail(AG_ERR_MEMORY, "no memory for options");
        free(options);
    }
    return err;
}

static ag_err run_sweep(const char *name, const arguments *a, int argc, char **argv, int *signal)
{
    const recipe *r;
    sweep s = {0};
    axes all = {0};
    ag_err err = recipe_get(&r, name);
    if (err || (err = make_axes(&all, a))) goto out;
    s.recipe = strdup(name), s.preset = strdup(a->preset ? a->preset : ""), s.data = strdup(a->data);
    s.shared = shared_settings(a);
    if (!s.recipe || !s.preset || !s.data || !s.shared) err = ag_fail(AG_ERR_MEMORY, "no memory for a sweep");
    if (err || (err = sweep_cells(&s, all.n, all.counts, (char *const *const *)all.settings))) goto out;
    if ((err = check_all(r, &s)) || (err = sweep_begin(&s, a->out))) goto out;
    for (int i = 0; !err && !*signal && i < s.n; i++) err = one_run(r, &s, a->out, i, argc, argv, signal);
    if (!err && *signal) terminal_line("the sweep stops here; the same command goes on with it");
    if (!err && !*signal) err = sweep_table(&s, a->out, NULL, a->split);
out:
    axes_free(&all);
    sweep_free(&s);
    return err;
}

int command_sweep(const command *c, int argc, char **argv)
{
    arguments a = {0};
    int signal = 0, n;
    const command_flag flags[] = {
        {"data", 'd', FLAG_TEXT, &a.data, "DATA.h5", "the images", 0, 0},
        {"output", 'o', FLAG_TEXT, &a.out, "SWEEP", "folder of the sweep; the same command goes on with it", 0, 0},
        {"grid", 'g', FLAG_LIST, &a.grids, "KEY=A,B,C",
         "values of an option, in every combination with the others; seed=0,1,2 is taken together", 0, 0},
        {"case", 0, FLAG_LIST, &a.cases, "'KEY=A KEY=B'",
         "several settings that belong together; each --case is one more value of the same axis", 0, 0},
        {"preset", 'p', FLAG_TEXT, &a.preset, "NAME", "a set of options of the recipe", 0, 0},
        {"set", 's', FLAG_LIST, &a.sets, "KEY=VALUE", "one option for all runs; may be given more than once", 0, 0},
        {"steps", 0, FLAG_INT, &a.steps, "N", "short for --set steps=N", 1, INT64_C(1000000000000)},
        {"split", 0, FLAG_TEXT, &a.split, "NAME",
         "what the table is measured on (default: test, else validation, else train)", 0, 0},
        {0},
    };
    char **words;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (!err && !done) err = command_words(c, n, 1);
    if (!err && !done) err = command_need(c, a.data, "--data DATA.h5");
    if (!err && !done) err = command_need(c, a.out, "-o SWEEP");
    if (!err && !done) err = run_sweep(words[0], &a, argc, argv, &signal);
    free(a.grids.items), free(a.cases.items), free(a.sets.items);
    return !err && signal ? 128 + signal : command_end(err);
}
