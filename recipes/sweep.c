#include "sweep.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoints/json.h"
#include "data/publish.h"
#include "evaluate.h"
#include "model.h"
#include "terminal.h"

static ag_err no_memory(void) { return ag_fail(AG_ERR_MEMORY, "no memory for a sweep"); }

/* ---- cells and files ----------------------------------------------------------------------------------------------------- */

/* The settings of cell number `at`, from one value of each axis. */
static char *cell(int at, int axes, const int *counts, char *const *const *settings)
{
    char *text = NULL;
    size_t size;
    int chosen[16];
    for (int a = axes - 1; a >= 0; a--) chosen[a] = at % counts[a], at /= counts[a];
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    for (int a = 0; a < axes; a++) {
        const char *one = settings[a][chosen[a]];
        if (*one) fprintf(f, "%s%s", ftell(f) > 0 ? " " : "", one);
    }
    fclose(f);
    return text;
}

ag_err sweep_cells(sweep *s, int axes, const int *counts, char *const *const *settings)
{
    int64_t n = 1;
    if (axes > 16) return ag_fail(AG_ERR_USAGE, "sweep: %d axes; at most 15 --grid can be", axes);
    for (int a = 0; a < axes; a++) n *= counts[a];
    if (n < 1 || n > 1000) return ag_fail(AG_ERR_USAGE, "sweep: %lld runs; give 1 to 1000", (long long)n);
    if (!(s->cells = calloc((size_t)n, sizeof *s->cells))) return no_memory();
    for (s->n = 0; s->n < n; s->n++)
        if (!(s->cells[s->n] = cell(s->n, axes, counts, settings))) return no_memory();
    return AG_OK;
}

static char *path_of(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

char *sweep_run_folder(const char *folder, int i)
{
    char name[32];
    snprintf(name, sizeof name, "run-%03d", i);
    return path_of(folder, name);
}

static ag_err write_text(const char *folder, const char *name, const char *text)
{
    char *path = path_of(folder, name);
    const ag_err err = path && text ? data_publish_bytes(path, text, strlen(text)) : no_memory();
    free(path);
    return err;
}

static cJSON *to_json(const sweep *s)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "recipe", s->recipe);
    cJSON_AddStringToObject(o, "preset", s->preset);
    cJSON_AddStringToObject(o, "data", s->data);
    cJSON_AddStringToObject(o, "shared", s->shared);
    cJSON_AddItemToObject(o, "cells", cJSON_CreateStringArray((const char *const *)s->cells, s->n));
    return o;
}

bool sweep_exists(const char *folder)
{
    struct stat st;
    char *path = path_of(folder, "sweep.json");
    const bool found = path && !stat(path, &st);
    free(path);
    return found;
}

static char *text_of(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(item) ? strdup(item->valuestring) : NULL;
}

ag_err sweep_read(sweep *s, const char *folder)
{
    cJSON *o = NULL;
    char *path = path_of(folder, "sweep.json");
    ag_err err = path ? ckpt_json_read(&o, path, AG_ERR_DATA) : no_memory();
    *s = (sweep){0};
    if (err) goto out;
    const cJSON *cells = cJSON_GetObjectItemCaseSensitive(o, "cells"), *item;
    s->recipe = text_of(o, "recipe"), s->preset = text_of(o, "preset"), s->data = text_of(o, "data");
    s->shared = text_of(o, "shared");
    s->cells = calloc((size_t)cJSON_GetArraySize(cells) + 1, sizeof *s->cells);
    bool good = s->recipe && s->preset && s->data && s->shared && s->cells && cJSON_GetArraySize(cells) > 0;
    cJSON_ArrayForEach(item, cells)
    {
        good = good && cJSON_IsString(item);
        if (good) good = (s->cells[s->n++] = strdup(item->valuestring)) != NULL;
    }
    if (!good)
        err = ag_fail(AG_ERR_DATA, "%s: not made by 'tessera sweep': recipe, preset, data, shared, cells are missing",
                      path);
out:
    if (err) sweep_free(s);
    cJSON_Delete(o);
    free(path);
    return err;
}

static ag_err check_same(const sweep *s, const char *folder)
{
    sweep old;
    const ag_err err = sweep_read(&old, folder);
    if (err) return err;
    bool same = s->n == old.n && !strcmp(s->recipe, old.recipe) && !strcmp(s->preset, old.preset) &&
                !strcmp(s->shared, old.shared) && !strcmp(s->data, old.data);
    for (int i = 0; same && i < s->n; i++) same = !strcmp(s->cells[i], old.cells[i]);
    sweep_free(&old);
    if (same) return AG_OK;
    return ag_fail(AG_ERR_USAGE,
                   "%s: holds another sweep; give its own options again to go on with it, or choose another -o",
                   folder);
}

ag_err sweep_begin(const sweep *s, const char *folder)
{
    if (sweep_exists(folder)) return check_same(s, folder);
    if (mkdir(folder, 0777) && errno != EEXIST)
        return ag_fail(AG_ERR_IO, "%s: cannot be made: %m; choose another -o", folder);
    cJSON *o = to_json(s);
    char *text = o ? cJSON_Print(o) : NULL;
    const ag_err err = write_text(folder, "sweep.json", text);
    cJSON_free(text);
    cJSON_Delete(o);
    return err;
}

void sweep_free(sweep *s)
{
    for (int i = 0; i < s->n; i++) free(s->cells[i]);
    free(s->cells), free(s->recipe), free(s->preset), free(s->data), free(s->shared);
    *s = (sweep){0};
}

/* ---- measuring ----------------------------------------------------------------------------------------------------------------- */

enum { NMSE, PSNR, SSIM, USAGE, PERPLEXITY, BITS, FIGURES };
static const char *const figure_names[FIGURES] = {"nmse", "psnr", "ssim", "usage", "perplexity", "bits_per_pixel"};

typedef struct result {
    double figures[FIGURES]; /* usage and perplexity: means over the codebooks, NAN without */
    int64_t step, images;
    char split[16];
} result;

static void take(result *r, const evaluation *e)
{
    double used = 0, perplexity = 0;
    for (int q = 0; q < e->n_codebooks; q++) used += e->codebooks[q].usage, perplexity += e->codebooks[q].perplexity;
    const double figures[FIGURES] = {e->nmse,
                                     e->psnr,
                                     e->ssim,
                                     e->n_codebooks ? used / e->n_codebooks : NAN,
                                     e->n_codebooks ? perplexity / e->n_codebooks : NAN,
                                     e->bits_per_pixel};
    memcpy(r->figures, figures, sizeof figures);
    r->images = e->images;
}

static ag_err measure(result *out, const char *folder, const char *data, const char *split_name)
{
    model_view v = {0};
    evaluation e = {0};
    ag_err err = model_open(&v.model, folder);
    if (err || (err = model_view_open(&v, data, split_name, RUN_RECONSTRUCT))) goto out;
    if ((err = evaluate(&e, v.run, v.set, v.n, v.indices, v.model->variance, "evaluating"))) goto out;
    take(out, &e);
    out->step = v.model->step;
    snprintf(out->split, sizeof out->split, "%s", images_split_name(v.split));
out:
    terminal_end_live();
    evaluation_free(&e);
    model_view_close(&v);
    return err;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------- */

/* The settings without the seed, so that seeds fall together. */
static void without_seed(const char *settings, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (const char *p = settings; *p && used < size;) {
        const int word = (int)strcspn(p, " ");
        if (strncmp(p, "seed=", 5))
            used += (size_t)snprintf(out + used, size - used, "%s%.*s", used ? " " : "", word, p);
        p += word + (p[word] == ' ');
    }
}

enum { SETTINGS = 1024 };

/* The runs of the settings of run `first` into members; 0 if an earlier run had the same. */
static int members_of(const sweep *s, int first, int *members)
{
    char mine[SETTINGS], theirs[SETTINGS];
    int n = 0;
    without_seed(s->cells[first], mine, sizeof mine);
    for (int i = 0; i < s->n; i++) {
        without_seed(s->cells[i], theirs, sizeof theirs);
        if (strcmp(mine, theirs)) continue;
        if (i < first) return 0;
        members[n++] = i;
    }
    return n;
}

/* Mean, and the largest distance from it. */
static void spread(int n, const int *members, const result *results, int figure, double *mean, double *most)
{
    *mean = *most = 0;
    for (int i = 0; i < n; i++) *mean += results[members[i]].figures[figure] / n;
    for (int i = 0; i < n; i++) *most = fmax(*most, fabs(results[members[i]].figures[figure] - *mean));
}

static void write_figure(FILE *to, int figure, double mean, double most, int n)
{
    static const int digits[FIGURES] = {4, 2, 4, 1, 1, 3};
    const double scale = figure == USAGE ? 100 : 1;
    if (isnan(mean)) {
        fputs(" - |", to);
        return;
    }
    fprintf(to, " %.*f", digits[figure], scale * mean);
    if (n > 1) fprintf(to, " +- %.*f", digits[figure], scale * most);
    fputs(" |", to);
}

static void write_markdown(FILE *to, const sweep *s, const result *results, int *members)
{
    fprintf(to, "%s%s%s%s%s on %s, split %s (%lld images)\n\n", s->recipe, *s->preset ? ", preset " : "", s->preset,
            *s->shared ? ", " : "", s->shared, s->data, results[0].split, (long long)results[0].images);
    fputs("| settings | runs | steps | nmse | PSNR, dB | SSIM | codes used, % | perplexity | bits per pixel |\n"
          "|---|---|---|---|---|---|---|---|---|\n",
          to);
    for (int i = 0; i < s->n; i++) {
        char settings[SETTINGS];
        const int n = members_of(s, i, members);
        if (!n) continue;
        without_seed(s->cells[i], settings, sizeof settings);
        fprintf(to, "| %s | %d | %lld |", *settings ? settings : "as it is", n, (long long)results[i].step);
        for (int f = 0; f < FIGURES; f++) {
            double mean, most;
            spread(n, members, results, f, &mean, &most);
            write_figure(to, f, mean, most, n);
        }
        fputc('\n', to);
    }
}

static cJSON *table_json(const sweep *s, const result *results)
{
    cJSON *o = to_json(s), *list = cJSON_AddArrayToObject(o, "runs");
    for (int i = 0; list && i < s->n; i++) {
        cJSON *item = cJSON_CreateObject();
        char name[32];
        snprintf(name, sizeof name, "run-%03d", i);
        cJSON_AddStringToObject(item, "run", name);
        cJSON_AddStringToObject(item, "settings", s->cells[i]);
        cJSON_AddNumberToObject(item, "step", (double)results[i].step);
        cJSON_AddNumberToObject(item, "images", (double)results[i].images);
        cJSON_AddStringToObject(item, "split", results[i].split);
        for (int f = 0; f < FIGURES; f++)
            if (isfinite(results[i].figures[f])) cJSON_AddNumberToObject(item, figure_names[f], results[i].figures[f]);
        cJSON_AddItemToArray(list, item);
    }
    return o;
}

static ag_err write_table(const sweep *s, const char *folder, const result *results, int *members)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory();
    write_markdown(f, s, results, members);
    ag_err err = fclose(f) ? no_memory() : write_text(folder, "table.md", text);
    cJSON *o = table_json(s, results);
    char *json = o ? cJSON_Print(o) : NULL;
    if (!err) err = write_text(folder, "table.json", json);
    if (!err) fputs(text, stdout);
    if (!err && fflush(stdout)) err = ag_fail(AG_ERR_IO, "standard output: the table could not be written: %m");
    cJSON_free(json);
    cJSON_Delete(o);
    free(text);
    return err;
}

ag_err sweep_table(const sweep *s, const char *folder, const char *data, const char *split)
{
    result *results = calloc((size_t)s->n, sizeof *results);
    int *members = calloc((size_t)s->n, sizeof *members);
    ag_err err = results && members ? AG_OK : no_memory();
    for (int i = 0; !err && i < s->n; i++) {
        char *run_folder = sweep_run_folder(folder, i);
        err = run_folder ? measure(&results[i], run_folder, data ? data : s->data, split) : no_memory();
        free(run_folder);
    }
    if (!err) err = write_table(s, folder, results, members);
    free(results);
    free(members);
    return err;
}
