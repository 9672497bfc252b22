/* What the program says while it works: to stderr, never to stdout. On a terminal there is one live line, rewritten at
 * most ten times a second; otherwise only plain lines, without carriage returns or escape codes. */
#ifndef RECIPES_TERMINAL_H
#define RECIPES_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* --color=auto|always|never; unknown words are refused with false. */
bool terminal_set_color(const char *when);
/* Nothing but errors from now on. */
void terminal_set_quiet(bool quiet);
bool terminal_is_live(void);

/* A line that stays. */
void terminal_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line that stays, in bold where colour is on. */
void terminal_title(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The live line; nothing if stderr is no terminal or less than 0.1 s have passed. */
void terminal_live(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Would terminal_live write now? For lines that cost something to make. */
bool terminal_live_due(void);
/* Wipes the live line. */
void terminal_end_live(void);
/* "tessera: what: why; what to do". */
void terminal_error(const char *message);

/* Seconds as 1h12m, 3m07s, 12s. */
const char *terminal_duration(double seconds, char *out, size_t size);
/* Seconds of a clock that only goes forward. */
double terminal_clock(void);

#endif
