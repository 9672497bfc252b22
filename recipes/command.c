/* Command lines: GNU getopt_long over a table of flags. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"
#include "command.h"
#include "options.h"
#include "signals.h"
#include "terminal.h"

enum { MAX_FLAGS = 40, CODE = 256 };

static int64_t threads;
static const char *color;
static bool help, version, quiet;

static const command_flag shared[] = {
    {"threads", 0, FLAG_INT, &threads, "N", "threads to use (default: all that this process may)", 1, 4096},
    {"color", 0, FLAG_TEXT, &color, "WHEN", "auto, always or never", 0, 0},
    {"quiet", 'q', FLAG_ON, &quiet, NULL, "say nothing but errors", 0, 0},
    {"help", 'h', FLAG_ON, &help, NULL, "this text", 0, 0},
    {"version", 'V', FLAG_ON, &version, NULL, "the version", 0, 0},
    {0},
};

static const command_flag *flag_at(const command_flag *own, int i)
{
    for (; own && own->name; own++)
        if (i-- == 0) return own;
    return i < (int)(sizeof shared / sizeof *shared) ? &shared[i] : &shared[sizeof shared / sizeof *shared - 1];
}

static void print_help(const command *c, const command_flag *own)
{
    const command_flag *f;
    printf("tessera %s: %s\n\nusage: tessera %s %s\n\n", c->name, c->summary, c->name, c->usage);
    for (int i = 0; (f = flag_at(own, i))->name; i++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%c --%s%s%s", f->letter ? '-' : ' ', f->letter ? f->letter : ' ',
                 f->letter ? ',' : ' ', f->name, f->argument ? " " : "", f->argument ? f->argument : "");
        printf("  %-28s %s\n", left, f->help);
    }
    if (c->more) printf("\n%s", c->more);
}

static ag_err set_int(const command *c, const command_flag *f, const char *text)
{
    char *end;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < f->low || v > f->high)
        return ag_fail(AG_ERR_USAGE, "%s: --%s %.64s is not accepted; give a whole number from %lld to %lld", c->name,
                       f->name, text, (long long)f->low, (long long)f->high);
    *(int64_t *)f->value = v;
    return AG_OK;
}

static ag_err set_flag(const command *c, const command_flag *f, char *text)
{
    switch (f->kind) {
    case FLAG_TEXT: *(const char **)f->value = text; break;
    case FLAG_ON: *(bool *)f->value = true; break;
    case FLAG_INT: return set_int(c, f, text);
    case FLAG_LIST: {
        command_list *list = f->value;
        char **items = realloc(list->items, (size_t)(list->n + 1) * sizeof *items);
        if (!items) return ag_fail(AG_ERR_MEMORY, "%s: no memory for its options", c->name);
        items[list->n++] = text;
        list->items = items;
        break;
    }
    }
    return AG_OK;
}

static ag_err unknown_flag(const command *c, const command_flag *own, const char *given)
{
    char word[64];
    const char *best = NULL;
    const command_flag *f;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(given, "="), given);
    if (!strncmp(word, "--", 2))
        for (int i = 0; (f = flag_at(own, i))->name; i++) option_nearer(word + 2, f->name, &best);
    if (best) return ag_fail(AG_ERR_USAGE, "%s: unknown option %s; did you mean --%s?", c->name, word, best);
    return ag_fail(AG_ERR_USAGE, "%s: unknown option %s; 'tessera %s --help' lists them", c->name, word, c->name);
}

/* The tables that getopt_long wants: long names with codes from CODE, letters with a colon where a value follows. */
static void getopt_tables(const command_flag *own, struct option *names, char *letters)
{
    const command_flag *f;
    *letters++ = ':';
    for (int i = 0; (f = flag_at(own, i))->name && i < MAX_FLAGS - 1; i++) {
        names[i] = (struct option){f->name, f->kind == FLAG_ON ? no_argument : required_argument, NULL, CODE + i};
        if (!f->letter) continue;
        *letters++ = f->letter;
        if (f->kind != FLAG_ON) *letters++ = ':';
    }
    *letters = 0;
}

static const command_flag *flag_of_code(const command_flag *own, int code)
{
    const command_flag *f;
    if (code >= CODE) return flag_at(own, code - CODE);
    for (int i = 0; (f = flag_at(own, i))->name; i++)
        if (f->letter == code) return f;
    return NULL;
}

static ag_err apply_shared(const command *c, const command_flag *own, bool *done)
{
    if (help) print_help(c, own);
    if (version && !help) printf("tessera %s\n", TESSERA_VERSION);
    *done = help || version;
    if (color && !terminal_set_color(color))
        return ag_fail(AG_ERR_USAGE, "%s: --color %.32s is not accepted; give auto, always or never", c->name, color);
    terminal_set_quiet(quiet);
    if (threads) ag_cpu_set_threads((int)threads);
    return AG_OK;
}

ag_err command_parse(const command *c, const command_flag *flags, int argc, char **argv, char ***words, int *n,
                     bool *done)
{
    struct option names[MAX_FLAGS] = {{0}};
    char letters[2 * MAX_FLAGS + 2];
    int code;
    getopt_tables(flags, names, letters);
    opterr = 0;
    optind = 0; /* GNU: start over */
    while ((code = getopt_long(argc - 1, argv + 1, letters, names, NULL)) != -1) {
        if (code == '?') return unknown_flag(c, flags, argv[optind]); /* argv + 1 is scanned: this is the word before */
        const command_flag *f = flag_of_code(flags, code == ':' ? optopt : code);
        if (code == ':')
            return ag_fail(AG_ERR_USAGE, "%s: --%s needs a value (%s)", c->name, f ? f->name : "?",
                           f && f->argument ? f->argument : "");
        const ag_err err = set_flag(c, f, optarg);
        if (err) return err;
    }
    *words = argv + 1 + optind;
    *n = argc - 1 - optind;
    return apply_shared(c, flags, done);
}

int command_fail(ag_err err)
{
    if (err) terminal_error(ag_error_message());
    return ag_error_exit_status(err);
}

int command_end(ag_err err)
{
    const int status = command_fail(err);
    return err && signals_received() ? 128 + signals_received() : status;
}

ag_err command_words(const command *c, int n, int want)
{
    if (n == want) return AG_OK;
    return ag_fail(AG_ERR_USAGE, "%s: %d arguments given, %d needed; usage: tessera %s %s", c->name, n, want, c->name,
                   c->usage);
}

ag_err command_need(const command *c, const char *value, const char *flag)
{
    if (value) return AG_OK;
    return ag_fail(AG_ERR_USAGE, "%s: %s is missing; usage: tessera %s %s", c->name, flag, c->name, c->usage);
}

ag_err command_size(const char *text, const char *flag, int64_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    double v = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
    for (int i = 0; unit && i <= unit - units; i++) v *= 1024;
    const char *rest = unit ? end + 1 : end;
    const bool good = end != text && v >= 1 && v < 9e18 && (!*rest || !strcmp(rest, "B") || !strcmp(rest, "iB"));
    if (!good) return ag_fail(AG_ERR_USAGE, "%s %.32s is not a size; give for example 512M or 2G", flag, text);
    *bytes = (int64_t)v;
    return AG_OK;
}

ag_err command_flush(void)
{
    return fflush(stdout) || ferror(stdout) ? ag_fail(AG_ERR_IO, "standard output: the result could not be written: %m")
                                            : AG_OK;
}

ag_err command_print_json(const cJSON *result)
{
    char *text = result ? cJSON_Print(result) : NULL;
    if (!text) return ag_fail(AG_ERR_MEMORY, "no memory to print the result");
    puts(text);
    cJSON_free(text);
    return command_flush();
}

ag_err command_image_size(const char *text, int *height, int *width)
{
    char *end;
    const long w = strtol(text, &end, 10), h = *end == 'x' ? strtol(end + 1, &end, 10) : w;
    if (*end || w < 1 || h < 1 || w > 16384 || h > 16384)
        return ag_fail(AG_ERR_USAGE, "--size %.32s is not accepted; give N or WxH, each from 1 to 16384", text);
    *width = (int)w;
    *height = (int)h;
    return AG_OK;
}
