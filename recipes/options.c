#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "options.h"

#define KEY_MAX  64
#define TEXT_MAX 512

const option *option_at(const option_table *t, int i)
{
    for (; t; i -= t->count, t = t->more)
        if (i < t->count) return &t->rows[i];
    return NULL;
}

const option *option_find(const option_table *t, const char *name)
{
    const option *o;
    for (int i = 0; (o = option_at(t, i)); i++)
        if (!strcmp(o->name, name)) return o;
    return NULL;
}

/* ---- the nearest known word -------------------------------------------------------------------------------------- */

/* Levenshtein 1966: insertions, deletions and substitutions, one row at a time. */
int option_distance(const char *a, const char *b)
{
    int row[KEY_MAX + 1];
    const int n = (int)strnlen(b, KEY_MAX);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int substitute = diagonal + (a[i - 1] != b[j - 1]);
            const int insert = row[j - 1] + 1, erase = row[j] + 1;
            diagonal = row[j];
            row[j] = substitute < insert ? substitute : insert;
            if (erase < row[j]) row[j] = erase;
        }
    }
    return row[n];
}

void option_nearer(const char *word, const char *candidate, const char **best)
{
    const int length = (int)strlen(word), limit = length / 3 > 2 ? length / 3 : 2;
    const int distance = option_distance(word, candidate);
    const bool begins = length >= 3 && !strncmp(word, candidate, (size_t)length);
    if (distance > limit && !begins) return;
    if (!*best || distance < option_distance(word, *best)) *best = candidate;
}

static ag_err unknown_key(const option_table *t, const char *key, const char *origin)
{
    const char *best = NULL;
    const option *o;
    for (int i = 0; (o = option_at(t, i)); i++) option_nearer(key, o->name, &best);
    if (best) return ag_fail(AG_ERR_USAGE, "%s: unknown option '%.64s'; did you mean '%s'?", origin, key, best);
    return ag_fail(AG_ERR_USAGE, "%s: unknown option '%.64s'; 'tessera recipes NAME' lists the options", origin, key);
}

/* ---- text to value ------------------------------------------------------------------------------------------------- */

static ag_err refuse(const option *o, const char *text, const char *origin)
{
    char range[TEXT_MAX];
    option_range_text(o, range, sizeof range);
    return ag_fail(AG_ERR_USAGE, "%s: %s=%.64s is not accepted; give %s", origin, o->name, text, range);
}

/* Which word of "a|b|c" equals text; -1 if none does. */
static int choice_index(const char *choices, const char *text)
{
    const size_t length = strlen(text);
    int i = 0;
    for (const char *word = choices; word; i++) {
        const char *end = strchr(word, '|');
        const size_t n = end ? (size_t)(end - word) : strlen(word);
        if (n == length && !memcmp(word, text, n)) return i;
        word = end ? end + 1 : NULL;
    }
    return -1;
}

static bool parse_flag(const char *text, bool *out)
{
    static const char *const words[] = {"false", "no", "off", "0", "true", "yes", "on", "1"};
    for (int i = 0; i < 8; i++) {
        if (strcasecmp(text, words[i])) continue;
        *out = i >= 4;
        return true;
    }
    return false;
}

static bool parse_int(const option *o, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno) return false;
    *out = v;
    return (double)v >= o->low && (double)v <= o->high;
}

static bool parse_real(const option *o, const char *text, double *out)
{
    char *end;
    const double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v)) return false;
    *out = v;
    return v >= o->low && v <= o->high;
}

/* "8,5,5" or "none" */
static bool parse_list(const option *o, const char *text, option_list *out)
{
    option_list list = {0};
    if (!strcmp(text, "none")) {
        *out = list;
        return true;
    }
    for (const char *p = text; list.n < OPTION_LIST_MOST; p++) {
        char *end;
        errno = 0;
        const long long v = strtoll(p, &end, 10);
        if (end == p || errno || (double)v < o->low || (double)v > o->high) return false;
        list.values[list.n++] = v;
        p = end;
        if (*p == ',') continue;
        *out = list;
        return !*p;
    }
    return false;
}

/* "encoder,decoder.up": no empty name. */
static bool parse_text(const option *o, const char *text, char *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,";
    const size_t n = strlen(text);
    if (!strcmp(text, "none")) text = "";
    if (n + 1 > (size_t)o->high || text[strspn(text, letters)] || strstr(text, ",,") || *text == ',' ||
        (*text && text[n - 1] == ','))
        return false;
    memset(out, 0, (size_t)o->high);
    memcpy(out, text, strlen(text));
    return true;
}

/* Any file name that fits. */
static bool parse_path(const option *o, const char *text, char *out)
{
    const size_t n = strlen(text);
    if (n + 1 > (size_t)o->high || strpbrk(text, "\r\n")) return false;
    memset(out, 0, (size_t)o->high);
    if (strcmp(text, "none")) memcpy(out, text, n);
    return true;
}

static bool parse(const option *o, const char *text, void *field)
{
    switch (o->type) {
    case OPTION_IS_INT: {
        int64_t v;
        if (!parse_int(o, text, &v)) return false;
        memcpy(field, &v, sizeof v);
        return true;
    }
    case OPTION_IS_REAL: {
        double v;
        if (!parse_real(o, text, &v)) return false;
        memcpy(field, &v, sizeof v);
        return true;
    }
    case OPTION_IS_FLAG: {
        bool v;
        if (!parse_flag(text, &v)) return false;
        memcpy(field, &v, sizeof v);
        return true;
    }
    case OPTION_IS_CHOICE: {
        const int v = choice_index(o->choices, text);
        if (v < 0) return false;
        memcpy(field, &v, sizeof v);
        return true;
    }
    case OPTION_IS_LIST: {
        option_list v;
        if (!parse_list(o, text, &v)) return false;
        memcpy(field, &v, sizeof v);
        return true;
    }
    case OPTION_IS_TEXT: return parse_text(o, text, field);
    case OPTION_IS_PATH: return parse_path(o, text, field);
    }
    return false;
}

ag_err option_set(const option_table *t, void *values, const char *key, const char *text, const char *origin)
{
    const option *o = option_find(t, key);
    if (!o) return unknown_key(t, key, origin);
    return parse(o, text, (char *)values + o->offset) ? AG_OK : refuse(o, text, origin);
}

ag_err option_assign(const option_table *t, void *values, const char *assignment, const char *origin)
{
    char key[KEY_MAX];
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return ag_fail(AG_ERR_USAGE, "%s: '%.64s' is not of the form key=value; write for example beta=0.25", origin,
                       assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    return option_set(t, values, key, equals + 1, origin);
}

ag_err option_assign_all(const option_table *t, void *values, const char *assignments, const char *origin)
{
    char word[TEXT_MAX];
    for (const char *p = assignments; *p;) {
        const size_t blank = strspn(p, " "), n = strcspn(p + blank, " ");
        if (n) {
            snprintf(word, sizeof word, "%.*s", (int)n, p + blank);
            const ag_err err = option_assign(t, values, word, origin);
            if (err) return err;
        }
        p += blank + n;
    }
    return AG_OK;
}

/* ---- value to text --------------------------------------------------------------------------------------------------- */

/* The shortest of 15 or 17 digits that gives the number back. */
static void real_text(double v, char *out, size_t size)
{
    snprintf(out, size, "%.15g", v);
    if (strtod(out, NULL) != v) snprintf(out, size, "%.17g", v);
}

static void choice_text(const char *choices, int index, char *out, size_t size)
{
    const char *word = choices;
    for (int i = 0; i < index && word; i++) word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL;
    snprintf(out, size, "%.*s", word ? (int)strcspn(word, "|") : 0, word ? word : "");
}

static void list_text(const option_list *list, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "%s", list->n ? "" : "none");
    for (int i = 0; i < list->n && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "," : "", (long long)list->values[i]);
}

void option_value_text(const option *o, const void *values, char *out, size_t size)
{
    const void *field = (const char *)values + o->offset;
    switch (o->type) {
    case OPTION_IS_INT: snprintf(out, size, "%lld", (long long)*(const int64_t *)field); break;
    case OPTION_IS_REAL: real_text(*(const double *)field, out, size); break;
    case OPTION_IS_FLAG: snprintf(out, size, "%s", *(const bool *)field ? "true" : "false"); break;
    case OPTION_IS_CHOICE: choice_text(o->choices, *(const int *)field, out, size); break;
    case OPTION_IS_LIST: list_text(field, out, size); break;
    case OPTION_IS_TEXT:
    case OPTION_IS_PATH: snprintf(out, size, "%s", *(const char *)field ? (const char *)field : "none"); break;
    }
}

void option_range_text(const option *o, char *out, size_t size)
{
    switch (o->type) {
    case OPTION_IS_INT: snprintf(out, size, "a whole number from %.0f to %.0f", o->low, o->high); break;
    case OPTION_IS_REAL: snprintf(out, size, "a number from %g to %g", o->low, o->high); break;
    case OPTION_IS_FLAG: snprintf(out, size, "true or false"); break;
    case OPTION_IS_CHOICE: snprintf(out, size, "one of %s", o->choices); break;
    case OPTION_IS_LIST:
        snprintf(out, size, "up to %d whole numbers from %.0f to %.0f like 8,5,5, or none", OPTION_LIST_MOST, o->low,
                 o->high);
        break;
    case OPTION_IS_TEXT:
        snprintf(out, size, "names separated by commas, at most %.0f letters in all, or none", o->high - 1);
        break;
    case OPTION_IS_PATH: snprintf(out, size, "a file name of at most %.0f bytes, or none", o->high - 1); break;
    }
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------- */

/* cJSON itself may drop the last digit of a number, which would be another number. */
void option_add_real(cJSON *object, const char *key, double value)
{
    char text[64];
    real_text(value, text, sizeof text);
    cJSON_AddRawToObject(object, key, text);
}

cJSON *option_to_json(const option_table *t, const void *values)
{
    cJSON *object = cJSON_CreateObject();
    const option *o;
    for (int i = 0; object && (o = option_at(t, i)); i++) {
        char text[TEXT_MAX];
        option_value_text(o, values, text, sizeof text);
        if (o->type == OPTION_IS_CHOICE || o->type == OPTION_IS_LIST || o->type == OPTION_IS_TEXT ||
            o->type == OPTION_IS_PATH)
            cJSON_AddStringToObject(object, o->name, text);
        else
            cJSON_AddRawToObject(object, o->name, text);
    }
    return object;
}

/* A JSON value as the text that --set would take. */
static bool json_text(const cJSON *item, char *out, size_t size)
{
    if (cJSON_IsBool(item)) return snprintf(out, size, "%s", cJSON_IsTrue(item) ? "true" : "false") > 0;
    if (cJSON_IsString(item)) return snprintf(out, size, "%s", item->valuestring) >= 0;
    if (!cJSON_IsNumber(item)) return false;
    const double v = item->valuedouble;
    if (v == floor(v) && fabs(v) <= 9007199254740992.0) return snprintf(out, size, "%.0f", v) > 0;
    real_text(v, out, size);
    return true;
}

ag_err option_from_json(const option_table *t, void *values, const cJSON *object, const char *origin)
{
    const cJSON *item;
    char text[TEXT_MAX];
    if (!cJSON_IsObject(object))
        return ag_fail(AG_ERR_USAGE, "%s: options are not a JSON object; give {\"key\": value}", origin);
    cJSON_ArrayForEach(item, object)
    {
        if (item->string[0] == '_') continue;
        if (!option_find(t, item->string)) return unknown_key(t, item->string, origin);
        if (!json_text(item, text, sizeof text))
            return ag_fail(AG_ERR_USAGE, "%s: the value of '%.64s' is neither number, text nor true/false", origin,
                           item->string);
        const ag_err err = option_set(t, values, item->string, text, origin);
        if (err) return err;
    }
    return AG_OK;
}
