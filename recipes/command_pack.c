/* tessera pack SOURCE... -o DATA.h5 */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "data/pack.h"
#include "signals.h"
#include "terminal.h"

static int on_progress(void *user, const data_pack_progress *p)
{
    double *last = user; /* clock of the last plain line */
    char left[32];
    const double rate = p->seconds > 0 ? (double)p->done / p->seconds : 0;
    terminal_duration(rate > 0 ? (double)(p->total - p->done) / rate : 0, left, sizeof left);
    if (terminal_is_live()) {
        terminal_live("packing %lld/%lld | %.0f pictures/s | %.1f MB/s | %lld skipped | eta %s", (long long)p->done,
                      (long long)p->total, rate, (double)p->bytes / 1e6 / (p->seconds > 0 ? p->seconds : 1),
                      (long long)p->skipped, left);
    } else if (terminal_clock() - *last > 10) {
        *last = terminal_clock();
        terminal_line("packing %lld/%lld | %.0f pictures/s | %lld skipped | eta %s", (long long)p->done,
                      (long long)p->total, rate, (long long)p->skipped, left);
    }
    return signals_received();
}

static void on_note(void *user, const char *text)
{
    (void)user;
    terminal_line("%s", text);
}

static void say_conversions(const data_pack_report *r)
{
    const struct {
        const char *what;
        int64_t n;
    } rows[] = {{"grey to colour", r->grey_to_colour},
                {"colour to grey", r->colour_to_grey},
                {"CMYK", r->cmyk},
                {"palette", r->palette},
                {"16 bits", r->sixteen_bit},
                {"transparent, put on white", r->alpha},
                {"turned by EXIF", r->rotated},
                {"enlarged", r->enlarged},
                {"without label", r->unlabelled}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].n) terminal_line("  %-28s %lld", rows[i].what, (long long)rows[i].n);
}

static void say_result(const data_pack_options *o, const data_pack_report *r)
{
    char time[32];
    terminal_end_live();
    terminal_line("%s: %lld images of %dx%dx%d in %s (%.0f a second)", o->output, (long long)r->images, r->width,
                  r->height, r->channels, terminal_duration(r->seconds, time, sizeof time),
                  r->seconds > 0 ? (double)r->images / r->seconds : 0);
    terminal_line("  train %lld, validation %lld, test %lld; %d classes", (long long)r->in_split[0],
                  (long long)r->in_split[1], (long long)r->in_split[2], r->classes);
    say_conversions(r);
    if (r->ignored) terminal_line("  %lld other files ignored", (long long)r->ignored);
    if (r->skipped) terminal_line("  %lld bad pictures skipped: see %s.skipped.txt", (long long)r->skipped, o->output);
}

static ag_err parse_fraction(const char *text, const char *flag, double *out)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 0) || !(*out <= 1))
        return ag_fail(AG_ERR_USAGE, "%s %.32s is not accepted; give a number from 0 to 1", flag, text);
    return AG_OK;
}

static ag_err parse_filter(const char *text, data_filter *out)
{
    static const struct {
        const char *name;
        data_filter filter;
    } table[] = {{"triangle", DATA_TRIANGLE}, {"cubic", DATA_CUBIC}, {"lanczos", DATA_LANCZOS}};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, table[i].name)) continue;
        *out = table[i].filter;
        return AG_OK;
    }
    return ag_fail(AG_ERR_USAGE, "--filter %.32s is not accepted; give triangle, cubic or lanczos", text);
}

typedef struct arguments {
    const char *out, *size, *val_fraction, *max_corrupt, *filter;
    int64_t channels;
    bool strict;
} arguments;

static ag_err run_pack(const arguments *a, char **sources, int n)
{
    double last = terminal_clock();
    data_pack_options o = {.sources = (const char *const *)sources,
                           .source_count = n,
                           .output = a->out,
                           .channels = (int)a->channels,
                           .filter = DATA_LANCZOS,
                           .strict = a->strict,
                           .progress = on_progress,
                           .note = on_note,
                           .user = &last};
    data_pack_report report;
    ag_err err = AG_OK;
    if (a->channels == 2) return ag_fail(AG_ERR_USAGE, "--channels 2 is not accepted; give 1 or 3");
    if (a->size && (err = command_image_size(a->size, &o.height, &o.width))) return err;
    if (a->val_fraction && (err = parse_fraction(a->val_fraction, "--val-fraction", &o.val_fraction))) return err;
    if (a->max_corrupt && (err = parse_fraction(a->max_corrupt, "--max-corrupt", &o.max_corrupt))) return err;
    if (a->filter && (err = parse_filter(a->filter, &o.filter))) return err;
    err = data_pack(&o, &report);
    terminal_end_live();
    if (!err) say_result(&o, &report);
    return err;
}

int command_pack(const command *c, int argc, char **argv)
{
    arguments a = {0};
    const command_flag flags[] = {
        {"output", 'o', FLAG_TEXT, &a.out, "DATA.h5", "the data set", 0, 0},
        {"size", 0, FLAG_TEXT, &a.size, "N|WxH", "scale and crop to this size (needed if the pictures differ)", 0, 0},
        {"channels", 0, FLAG_INT, &a.channels, "N", "1 grey, 3 colour (default: colour if any picture has it)", 1, 3},
        {"val-fraction", 0, FLAG_TEXT, &a.val_fraction, "X", "share of the pictures for validation, chosen by name", 0,
         0},
        {"filter", 0, FLAG_TEXT, &a.filter, "NAME", "triangle, cubic or lanczos (default)", 0, 0},
        {"strict", 0, FLAG_ON, &a.strict, NULL, "stop at the first bad picture instead of skipping it", 0, 0},
        {"max-corrupt", 0, FLAG_TEXT, &a.max_corrupt, "X", "largest share of bad pictures (default: any)", 0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if (!n) return command_end(command_words(c, 0, 1));
    if ((err = command_need(c, a.out, "-o DATA.h5"))) return command_end(err);
    return command_end(run_pack(&a, words, n));
}
