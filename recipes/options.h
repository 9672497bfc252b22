/* Options of a recipe: one table of named fields in a struct. The table drives `--set`, `--config`, `--help`,
 * `tessera recipes NAME`, the checks, and what is stored with the weights.
 *
 *     struct vqvae { struct train_options train; int64_t hidden; double beta; };
 *     static const option rows[] = {
 *         OPTION_INT(struct vqvae, hidden, 1, 4096, "van den Oord 2017, 4.1", "channels of the network"),
 *     };
 *
 * Every message names the key, the value, what is accepted and where the value came from. */
#ifndef RECIPES_OPTIONS_H
#define RECIPES_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "autograd/error.h"

typedef enum option_type {
    OPTION_IS_INT,    /* int64_t                                  */
    OPTION_IS_REAL,   /* double                                   */
    OPTION_IS_FLAG,   /* bool: true, false, yes, no, on, off, 1, 0 */
    OPTION_IS_CHOICE, /* int: which word of `choices`             */
    OPTION_IS_LIST,   /* option_list: whole numbers, "8,5,5"      */
    OPTION_IS_TEXT,   /* char[high]: names, "encoder,decoder.up"  */
    OPTION_IS_PATH,   /* char[high]: a file                       */
} option_type;

enum { OPTION_LIST_MOST = 16 };
typedef struct option_list {
    int n;
    int64_t values[OPTION_LIST_MOST];
} option_list;

typedef struct option_row {
    const char *name;
    option_type type;
    size_t offset;
    double low, high;    /* both accepted */
    const char *choices; /* "ema|gradient" */
    const char *source;  /* where the default comes from */
    const char *help;
} option;

#define OPTION_INT(type, field, low, high, source, help)                                                               \
    {                                                                                                                  \
#field, OPTION_IS_INT, offsetof(type, field), low, high, NULL, source, help                                    \
    }
#define OPTION_REAL(type, field, low, high, source, help)                                                              \
    {                                                                                                                  \
#field, OPTION_IS_REAL, offsetof(type, field), low, high, NULL, source, help                                   \
    }
#define OPTION_FLAG(type, field, source, help)                                                                         \
    {                                                                                                                  \
#field, OPTION_IS_FLAG, offsetof(type, field), 0, 1, NULL, source, help                                        \
    }
/* Each number between low and high. "none": no number. */
#define OPTION_LIST(type, field, low, high, source, help)                                                              \
    {                                                                                                                  \
#field, OPTION_IS_LIST, offsetof(type, field), low, high, NULL, source, help                                   \
    }
/* Names of letters, digits, '_' and '.', separated by commas; the field is an array of char. "none": no name. */
#define OPTION_TEXT(type, field, source, help)                                                                         \
    {                                                                                                                  \
#field, OPTION_IS_TEXT, offsetof(type, field), 0, sizeof(((type *)0)->field), NULL, source, help               \
    }
/* A file; the field is an array of char. "none": no file. */
#define OPTION_PATH(type, field, source, help)                                                                         \
    {                                                                                                                  \
#field, OPTION_IS_PATH, offsetof(type, field), 0, sizeof(((type *)0)->field), NULL, source, help               \
    }
#define OPTION_CHOICE(type, field, choices, source, help)                                                              \
    {                                                                                                                  \
#field, OPTION_IS_CHOICE, offsetof(type, field), 0, 0, choices, source, help                                   \
    }

/* Rows of a recipe, then those it shares with others (`more`, for the same struct). */
typedef struct option_table {
    const option *rows;
    int count;
    const struct option_table *more;
} option_table;

/* Row number i over the whole chain, NULL past the end. */
const option *option_at(const option_table *t, int i);
/* The row of a name, NULL if there is none. */
const option *option_find(const option_table *t, const char *name);

/* values.key = text. `origin` ("--set", "preset cifar10", a file) goes into messages. Errors: AG_ERR_USAGE for an unknown
 * key (the nearest known one is named), a value of another type or out of range. */
ag_err option_set(const option_table *t, void *values, const char *key, const char *text, const char *origin);
/* One "key=value". */
ag_err option_assign(const option_table *t, void *values, const char *assignment, const char *origin);
/* Several, separated by blanks. */
ag_err option_assign_all(const option_table *t, void *values, const char *assignments, const char *origin);

/* Adds a number with as many digits as give it back to a JSON object. */
void option_add_real(cJSON *object, const char *key, double value);

/* Values as a JSON object (the caller frees it), and back. Keys that start with '_' are remarks. */
cJSON *option_to_json(const option_table *t, const void *values);
ag_err option_from_json(const option_table *t, void *values, const cJSON *object, const char *origin);

/* Value, and what is accepted, as text. */
void option_value_text(const option *o, const void *values, char *out, size_t size);
void option_range_text(const option *o, char *out, size_t size);

/* Number of single-character changes between two words. */
int option_distance(const char *a, const char *b);
/* Remembers the candidate nearest to `word`; *best starts NULL. Far ones (more than a third of the word, at least 2) are no
 * candidates. */
void option_nearer(const char *word, const char *candidate, const char **best);

#endif
