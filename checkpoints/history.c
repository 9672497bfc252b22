#include "checkpoints/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/json.h"
#include "data/publish.h"

#define SPECIAL "_special"

typedef struct series {
    ckpt_series shown; /* step and value point to the arrays below */
    int64_t *step;
    double *value;
    int64_t room;
    char *split, *name;
} series;

struct ckpt_history {
    series **all;
    int n, room;
    int64_t skipped;
};

static void series_free(series *s)
{
    if (!s) return;
    free(s->step);
    free(s->value);
    free(s->split);
    free(s->name);
    free(s);
}

void ckpt_history_free(ckpt_history *h)
{
    if (!h) return;
    for (int i = 0; i < h->n; i++) series_free(h->all[i]);
    free(h->all);
    free(h);
}

static series *find(const ckpt_history *h, const char *split, const char *name)
{
    for (int i = 0; i < h->n; i++)
        if (!strcmp(h->all[i]->name, name) && !strcmp(h->all[i]->split, split)) return h->all[i];
    return NULL;
}

static series *series_new(ckpt_history *h, const char *split, const char *name)
{
    if (h->n == h->room) {
        const int room = h->room ? 2 * h->room : 32;
        series **more = realloc(h->all, (size_t)room * sizeof *more);
        if (!more) return NULL;
        h->all = more;
        h->room = room;
    }
    series *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->shown.split = s->split = strdup(split);
    s->shown.name = s->name = strdup(name);
    if (!s->split || !s->name) {
        series_free(s);
        return NULL;
    }
    return h->all[h->n++] = s;
}

static bool series_add(series *s, int64_t step, double value)
{
    const int64_t n = s->shown.n;
    if (n == s->room) {
        const int64_t room = s->room ? 2 * s->room : 64;
        int64_t *steps = realloc(s->step, (size_t)room * sizeof *steps);
        if (steps) s->shown.step = s->step = steps;
        double *values = realloc(s->value, (size_t)room * sizeof *values);
        if (values) s->shown.value = s->value = values;
        if (!steps || !values) return false;
        s->room = room;
    }
    s->step[n] = step;
    s->value[n] = value;
    s->shown.n = n + 1;
    return true;
}

/* What a session that resumed at `step` did again. */
static void drop_after(series *s, int64_t step)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < s->shown.n; i++) {
        if (s->step[i] > step) continue;
        s->step[kept] = s->step[i];
        s->value[kept++] = s->value[i];
    }
    s->shown.n = kept;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------ */

static double special_value(const char *text)
{
    return !strcmp(text, "inf") ? INFINITY : !strcmp(text, "-inf") ? -INFINITY : NAN;
}

static bool add_value(ckpt_history *h, const char *split, const char *name, int64_t step, double value)
{
    series *s = find(h, split, name);
    if (!s) s = series_new(h, split, name);
    return s && series_add(s, step, value);
}

/* A number, or a null whose NAME_special says what it was. */
static bool add_field(ckpt_history *h, const cJSON *line, const cJSON *field, const char *split, int64_t step)
{
    char key[256];
    if (!strcmp(field->string, "step")) return true;
    if (cJSON_IsNumber(field)) return add_value(h, split, field->string, step, field->valuedouble);
    if (!cJSON_IsNull(field)) return true;
    if ((size_t)snprintf(key, sizeof key, "%s" SPECIAL, field->string) >= sizeof key) return true;
    const cJSON *special = cJSON_GetObjectItemCaseSensitive(line, key);
    return !cJSON_IsString(special) || add_value(h, split, field->string, step, special_value(special->valuestring));
}

/* False if out of memory. */
static bool add_line(ckpt_history *h, const cJSON *line)
{
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(line, "step");
    const cJSON *event = cJSON_GetObjectItemCaseSensitive(line, "event");
    const cJSON *split = cJSON_GetObjectItemCaseSensitive(line, "split");
    if (!cJSON_IsNumber(step) || fabs(step->valuedouble) > 9e15) {
        h->skipped++;
        return true;
    }
    const int64_t at = (int64_t)step->valuedouble;
    if (cJSON_IsString(event)) {
        for (int i = 0; i < h->n && !strcmp(event->valuestring, "resume"); i++) drop_after(h->all[i], at);
        return true;
    }
    if (!cJSON_IsString(split)) {
        h->skipped++;
        return true;
    }
    for (const cJSON *f = line->child; f; f = f->next)
        if (!add_field(h, line, f, split->valuestring, at)) return false;
    return true;
}

static ag_err read_lines(ckpt_history *h, FILE *f, const char *path)
{
    char *text = NULL;
    size_t room = 0;
    ag_err err = AG_OK;
    for (ssize_t n; !err && (n = getline(&text, &room, f)) >= 0;) {
        cJSON *line = NULL;
        if (n == 1 && text[0] == '\n') continue;
        const ag_err bad =
            text[n - 1] != '\n' ? AG_ERR_DATA : ckpt_json_parse(&line, text, (size_t)n, path, AG_ERR_DATA);
        if (bad == AG_ERR_MEMORY)
            err = bad;
        else if (bad)
            h->skipped++;
        else if (!add_line(h, line))
            err = ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
        cJSON_Delete(line);
    }
    if (!err && ferror(f)) err = data_io_fail(path, "read it", errno);
    free(text);
    return err;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

ag_err ckpt_history_read(ckpt_history **out, const char *path)
{
    *out = NULL;
    FILE *f = fopen(path, "re");
    if (!f) return data_io_fail(path, "open it", errno);
    ckpt_history *h = calloc(1, sizeof *h);
    const ag_err err = h ? read_lines(h, f, path) : ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    fclose(f);
    if (err)
        ckpt_history_free(h);
    else
        *out = h;
    return err;
}

int ckpt_history_count(const ckpt_history *h) { return h->n; }

const ckpt_series *ckpt_history_at(const ckpt_history *h, int i) { return &h->all[i]->shown; }

const ckpt_series *ckpt_history_find(const ckpt_history *h, const char *split, const char *name)
{
    const series *s = find(h, split, name);
    return s ? &s->shown : NULL;
}

int64_t ckpt_history_skipped(const ckpt_history *h) { return h->skipped; }
