#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "terminal.h"

static enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } color;
static bool quiet, live_shown;
static double live_last;

bool terminal_set_color(const char *when)
{
    static const char *const words[] = {"auto", "always", "never"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(when, words[i])) continue;
        color = i == 0 ? COLOR_AUTO : i == 1 ? COLOR_ALWAYS : COLOR_NEVER;
        return true;
    }
    return false;
}

void terminal_set_quiet(bool q) { quiet = q; }

static bool dumb(void)
{
    const char *term = getenv("TERM");
    return !term || !strcmp(term, "dumb");
}

bool terminal_is_live(void) { return !quiet && isatty(STDERR_FILENO) && !dumb(); }

/* https://no-color.org: set and not empty means no colour. */
static bool colored(void)
{
    const char *no = getenv("NO_COLOR");
    if (color != COLOR_AUTO) return color == COLOR_ALWAYS;
    return isatty(STDERR_FILENO) && !dumb() && !(no && *no);
}

static void clear_live(void)
{
    if (live_shown) fputs("\r\033[K", stderr);
    live_shown = false;
}

void terminal_line(const char *format, ...)
{
    va_list args;
    if (quiet) return;
    clear_live();
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void terminal_title(const char *format, ...)
{
    va_list args;
    if (quiet) return;
    clear_live();
    if (colored()) fputs("\033[1m", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(colored() ? "\033[0m\n" : "\n", stderr);
}

static int columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 120;
}

bool terminal_live_due(void) { return terminal_is_live() && terminal_clock() - live_last >= 0.1; }

void terminal_live(const char *format, ...)
{
    char line[512];
    va_list args;
    if (!terminal_live_due()) return;
    live_last = terminal_clock();
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
    fflush(stderr);
    live_shown = true;
}

void terminal_end_live(void) { clear_live(); }

void terminal_error(const char *message)
{
    clear_live();
    if (colored())
        fprintf(stderr, "\033[1;31mtessera:\033[0m %s\n", message);
    else
        fprintf(stderr, "tessera: %s\n", message);
}

const char *terminal_duration(double seconds, char *out, size_t size)
{
    const long s = seconds > 0 && seconds < 3e9 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, size, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(out, size, "%lds", s);
    return out;
}

double terminal_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
