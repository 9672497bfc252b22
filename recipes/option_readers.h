/* Which options only some values of another one read: `cosine` is read by quantizer=vq, not by quantizer=finite_scalar. One table; an
 * option that is not in it is read whatever the others are. */
#ifndef RECIPES_OPTION_READERS_H
#define RECIPES_OPTION_READERS_H

#include <stdbool.h>

#include "options.h"

/* The option by whose value in `values` option `name` has no effect; NULL if it has one. */
const option *option_unread_by(const option_table *t, const void *values, const char *name);

/* A row of the table: what is read (names), and by which words of which choice. NULL past the end. */
typedef struct option_reader {
    const char *choice, *words, *names; /* words and names are separated by blanks */
} option_reader;
const option_reader *option_reader_at(int i);

#endif
