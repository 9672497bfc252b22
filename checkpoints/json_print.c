/* Printing JSON. cJSON's own printer gives up to fifteen digits and so does not bring every double back; a resumed run
 * must read what the first one wrote, to the bit. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/json.h"
#include "json_print.h"

void ckpt__json_string(ckpt__bytes *b, const char *text)
{
    ckpt__bytes_add(b, "\"", 1);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            ckpt__bytes_print(b, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            ckpt__bytes_print(b, "\\u%04x", (unsigned)*c);
        else
            ckpt__bytes_add(b, c, 1);
    }
    ckpt__bytes_add(b, "\"", 1);
}

/* The shortest text that reads back as the same double. */
static void add_number(ckpt__bytes *b, double value)
{
    char text[40];
    for (int digits = 15; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    ckpt__bytes_add(b, text, strlen(text));
}

static void add_indent(ckpt__bytes *b, int depth)
{
    ckpt__bytes_add(b, "\n", 1);
    for (int i = 0; i < depth; i++) ckpt__bytes_add(b, "  ", 2);
}

static ag_err add_value(ckpt__bytes *b, const cJSON *v, int depth);

/* Lists of plain values stay on one line, everything else has a line of its own. */
static ag_err add_children(ckpt__bytes *b, const cJSON *v, int depth, const char *brackets)
{
    ag_err err = AG_OK;
    bool lines = cJSON_IsObject(v);
    for (const cJSON *c = v->child; c && !lines; c = c->next) lines = c->child != NULL;
    ckpt__bytes_add(b, brackets, 1);
    for (const cJSON *c = v->child; c && !err; c = c->next) {
        if (lines) add_indent(b, depth + 1);
        if (cJSON_IsObject(v)) {
            ckpt__json_string(b, c->string);
            ckpt__bytes_add(b, ": ", 2);
        }
        err = add_value(b, c, depth + 1);
        if (c->next) ckpt__bytes_add(b, ", ", lines ? 1 : 2);
    }
    if (lines && v->child) add_indent(b, depth);
    ckpt__bytes_add(b, brackets + 1, 1);
    return err;
}

static ag_err add_value(ckpt__bytes *b, const cJSON *v, int depth)
{
    if (cJSON_IsObject(v)) return add_children(b, v, depth, "{}");
    if (cJSON_IsArray(v)) return add_children(b, v, depth, "[]");
    if (cJSON_IsNumber(v) && !isfinite(v->valuedouble))
        return ag_fail(AG_ERR_FAILED, "%s: a value that is not finite, which JSON cannot hold",
                       v->string ? v->string : "JSON");
    if (cJSON_IsNumber(v))
        add_number(b, v->valuedouble);
    else if (cJSON_IsString(v))
        ckpt__json_string(b, v->valuestring);
    else if (cJSON_IsRaw(v))
        ckpt__bytes_add(b, v->valuestring, strlen(v->valuestring));
    else
        ckpt__bytes_print(b, cJSON_IsNull(v) ? "null" : cJSON_IsTrue(v) ? "true" : "false");
    return AG_OK;
}

ag_err ckpt_json_print(char **out, const cJSON *json)
{
    ckpt__bytes b = {0};
    ag_err err = add_value(&b, json, 0);
    ckpt__bytes_add(&b, "\n", 2); /* and the NUL */
    if (!err && b.failed) err = ag_fail(AG_ERR_MEMORY, "JSON: out of memory");
    *out = err ? NULL : (char *)b.data;
    if (err) ckpt__bytes_free(&b);
    return err;
}
