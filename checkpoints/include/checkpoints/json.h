/* JSON files: read strictly, written atomically.
 *
 * Reading refuses what cJSON lets pass: a key twice in one object, anything after the value, NUL bytes, text that is not
 * UTF-8, numbers that do not fit a double. */
#ifndef CHECKPOINTS_JSON_H
#define CHECKPOINTS_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "autograd/error.h"

/* Parses `size` bytes (no NUL needed at the end). `what` names the text in messages (a file, "--set"); `fault` is the
 * code for text that is not good JSON. *out is the caller's (cJSON_Delete). */
ag_err ckpt_json_parse(cJSON **out, const char *text, size_t size, const char *what, ag_err fault);

/* The same for a file of at most 64 MiB; AG_ERR_IO if it cannot be read. */
ag_err ckpt_json_read(cJSON **out, const char *path, ag_err fault);

/* Indented text with a newline at its end, keys in the order of `json`; every number reads back as the same double (cJSON's
 * own printer is off by a last bit at times). *out is malloc'ed. AG_ERR_FAILED for a number that is not finite. */
ag_err ckpt_json_print(char **out, const cJSON *json);

/* Writes the same text to a file, atomically. AG_ERR_USAGE if a string in it is not UTF-8 (a file name may
 * be anything): nothing could read the file back. */
ag_err ckpt_json_write(const char *path, const cJSON *json);

/* A malloc'ed copy in which bytes that are not UTF-8 became '?'; NULL if out of memory. */
char *ckpt_json_clean(const char *text);

/* A whole number that may not fit the 53 bits of a double (seeds): written as a number up to 2^53, beyond that as a
 * string of decimal digits; read from either. The reader returns AG_ERR_CHECKPOINT naming `key` if it is missing or is
 * no such number. */
ag_err ckpt_json_add_u64(cJSON *object, const char *key, uint64_t value);
ag_err ckpt_json_get_u64(const cJSON *object, const char *key, uint64_t *value);

#endif
