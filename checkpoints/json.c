#include "checkpoints/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/publish.h"

#define MAX_FILE (64u << 20)
#define EXACT    9007199254740992.0 /* 2^53 */

/* ---- checks that cJSON does not make -------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at p (n > 0 bytes left), 0 if there is none: no overlong form, no surrogate, at most
 * U+10FFFF (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    const size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n < length) return 0;
    const unsigned char low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    return length;
}

/* The first byte that is not text, -1 if all is UTF-8 without NUL. */
static int64_t bad_byte(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const size_t length = text[i] ? utf8_length((const unsigned char *)text + i, size - i) : 0;
        if (length == 0) return (int64_t)i;
        i += length;
    }
    return -1;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static ag_err check_keys(const cJSON *object, const char *what, ag_err fault)
{
    const size_t n = (size_t)cJSON_GetArraySize(object);
    ag_err err = AG_OK;
    if (n < 2) return AG_OK;
    const char **keys = malloc(n * sizeof *keys);
    if (!keys) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", what);
    size_t i = 0;
    for (const cJSON *c = object->child; c && i < n; c = c->next) keys[i++] = c->string;
    qsort(keys, n, sizeof *keys, by_text);
    for (i = 1; i < n && !err; i++)
        if (!strcmp(keys[i - 1], keys[i]))
            err = ag_fail(fault, "%s: the key \"%s\" stands twice in one object; remove one of them", what, keys[i]);
    free(keys);
    return err;
}

/* cJSON limits the depth to CJSON_NESTING_LIMIT (1000), so this recursion is bounded. */
static ag_err check_values(const cJSON *v, const char *what, ag_err fault)
{
    ag_err err = AG_OK;
    if (cJSON_IsNumber(v) && !isfinite(v->valuedouble))
        return ag_fail(fault, "%s: %s: the number is too large for a double", what, v->string ? v->string : "value");
    if (cJSON_IsObject(v)) err = check_keys(v, what, fault);
    for (const cJSON *c = v->child; c && !err; c = c->next) err = check_values(c, what, fault);
    return err;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static ag_err fail_at(const char *text, size_t at, const char *what, const char *why, ag_err fault)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++, column++)
        if (text[i] == '\n') line++, column = 0;
    return ag_fail(fault, "%s: line %zu, column %zu: %s", what, line, column, why);
}

ag_err ckpt_json_parse(cJSON **out, const char *text, size_t size, const char *what, ag_err fault)
{
    const char *end = NULL;
    *out = NULL;
    const int64_t bad = bad_byte(text, size);
    if (bad >= 0) return fail_at(text, (size_t)bad, what, "not UTF-8 text; a JSON file is wanted", fault);
    errno = 0; /* the one thing that tells a wrong text from a lack of memory */
    cJSON *json = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (!json && errno == ENOMEM) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", what);
    if (!json) {
        const size_t at = end && end >= text && (size_t)(end - text) <= size ? (size_t)(end - text) : size;
        return fail_at(text, at, what, at >= size ? "the JSON text ends too early" : "not JSON", fault);
    }
    while (end < text + size && strchr(" \t\r\n", *end)) end++;
    ag_err err = end < text + size
                     ? fail_at(text, (size_t)(end - text), what, "text after the end of the JSON value", fault)
                     : check_values(json, what, fault);
    if (err)
        cJSON_Delete(json);
    else
        *out = json;
    return err;
}

static ag_err read_all(const char *path, char **text, size_t *size)
{
    FILE *f = fopen(path, "rbe");
    size_t used = 0, room = 0;
    char *buffer = NULL;
    ag_err err = AG_OK;
    *text = NULL;
    if (!f) return ag_fail(AG_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    for (;;) {
        if (used == room) {
            room = room ? room * 2 : 4096;
            char *more = room <= 2 * (size_t)MAX_FILE ? realloc(buffer, room) : NULL;
            if (!more) {
                err = ag_fail(AG_ERR_MEMORY, "%s: too large for a JSON file (more than %u MiB)", path, MAX_FILE >> 20);
                break;
            }
            buffer = more;
        }
        const size_t n = fread(buffer + used, 1, room - used, f);
        if (n == 0) break;
        used += n;
    }
    if (!err && ferror(f)) err = ag_fail(AG_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    fclose(f);
    *text = buffer;
    *size = used;
    return err;
}

ag_err ckpt_json_read(cJSON **out, const char *path, ag_err fault)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    ag_err err = read_all(path, &text, &size);
    if (!err) err = ckpt_json_parse(out, text, size, path, fault);
    free(text);
    return err;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

char *ckpt_json_clean(const char *text)
{
    char *copy = strdup(text);
    if (!copy) return NULL;
    for (int64_t bad; (bad = bad_byte(copy, strlen(copy))) >= 0;) copy[bad] = '?';
    return copy;
}

static ag_err write_text(const char *path, const char *text, size_t size)
{
    const int64_t bad = bad_byte(text, size);
    if (bad < 0) return data_publish_bytes(path, text, size);
    const int64_t from = bad > 40 ? bad - 40 : 0;
    return ag_fail(AG_ERR_USAGE,
                   "%s: cannot hold text that is not UTF-8 (after '%.*s'); rename the file or folder it names", path,
                   (int)(bad - from), text + from);
}

ag_err ckpt_json_write(const char *path, const cJSON *json)
{
    char *text;
    ag_err err = ckpt_json_print(&text, json);
    if (err) return ag_fail_context(err, "%s", path);
    err = write_text(path, text, strlen(text));
    free(text);
    return err;
}

ag_err ckpt_json_add_u64(cJSON *object, const char *key, uint64_t value)
{
    char digits[24];
    const cJSON *added;
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    if (value <= (uint64_t)EXACT)
        added = cJSON_AddNumberToObject(object, key, (double)value);
    else
        added = cJSON_AddStringToObject(object, key, digits);
    return added ? AG_OK : ag_fail(AG_ERR_MEMORY, "%s: out of memory", key);
}

static bool read_digits(const char *text, uint64_t *value)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

ag_err ckpt_json_get_u64(const cJSON *object, const char *key, uint64_t *value)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!v) return ag_fail(AG_ERR_CHECKPOINT, "%s: missing; a whole number is wanted", key);
    if (cJSON_IsString(v) && read_digits(v->valuestring, value)) return AG_OK;
    if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= EXACT &&
        floor(v->valuedouble) == v->valuedouble) {
        *value = (uint64_t)v->valuedouble;
        return AG_OK;
    }
    return ag_fail(AG_ERR_CHECKPOINT, "%s: not a whole number from 0 to 2^64-1", key);
}
