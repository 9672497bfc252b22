#include "data/pack.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <omp.h>

#include "pack_parts.h"

enum {
    WINDOW_BYTES = 8 << 20, /* pixels decoded between two writes */
    WINDOW_IMAGES = 4096,
    MAX_SIDE = 16384,
};

/* One run of data_pack. */
typedef struct packing {
    const data_pack_options *options;
    data__pack_list list;
    data__pack_form form;
    data__pack_out out;
    data_pack_report report;
    int64_t *kept;              /* items written, in order */
    int64_t window;             /* items decoded at once */
    uint8_t *pixels;            /* of one window */
    data__pack_result *results; /* of one window */
    FILE *skipped;              /* the list, in memory */
    char *skipped_text;
    size_t skipped_size;
    double started, told;
} packing;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void data__pack_note(const data_pack_options *o, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!o->note) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    o->note(o->user, text);
}

static ag_err check_options(const data_pack_options *o)
{
    if (o->source_count < 1 || !o->sources)
        return ag_fail(AG_ERR_USAGE, "pack: no source; give folders, tar archives or pictures");
    if (!o->output || !*o->output) return ag_fail(AG_ERR_USAGE, "pack: no output; give the name of an .h5 file");
    if (o->height < 0 || o->width < 0 || (o->height == 0) != (o->width == 0) || o->height > MAX_SIDE ||
        o->width > MAX_SIDE)
        return ag_fail(AG_ERR_USAGE, "pack: size %d x %d: both sides must be 1 to %d", o->width, o->height, MAX_SIDE);
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return ag_fail(AG_ERR_USAGE, "pack: %d channels: pictures have 1 (grey) or 3 (colour)", o->channels);
    if (o->filter < DATA_LANCZOS || o->filter > DATA_TRIANGLE)
        return ag_fail(AG_ERR_USAGE, "pack: there is no filter %d", (int)o->filter);
    if (!(o->val_fraction >= 0 && o->val_fraction <= 1))
        return ag_fail(AG_ERR_USAGE, "pack: val_fraction %g must be 0 to 1", o->val_fraction);
    if (!(o->max_corrupt >= 0 && o->max_corrupt <= 1))
        return ag_fail(AG_ERR_USAGE, "pack: max_corrupt %g must be 0 to 1", o->max_corrupt);
    if (o->threads < 0) return ag_fail(AG_ERR_USAGE, "pack: %d threads: must be 1 or more", o->threads);
    return AG_OK;
}

static ag_err make_room(packing *p)
{
    const size_t image = (size_t)p->form.height * (size_t)p->form.width * (size_t)p->form.channels;
    const int threads = p->options->threads ? p->options->threads : omp_get_max_threads();
    p->window = (int64_t)(WINDOW_BYTES / image);
    if (p->window < 2 * threads) p->window = 2 * threads;
    if (p->window > WINDOW_IMAGES) p->window = WINDOW_IMAGES;
    if (p->window > p->list.count) p->window = p->list.count;
    p->pixels = malloc((size_t)p->window * image);
    p->results = calloc((size_t)p->window, sizeof *p->results);
    p->kept = malloc((size_t)p->list.count * sizeof *p->kept);
    p->skipped = open_memstream(&p->skipped_text, &p->skipped_size);
    return p->pixels && p->results && p->kept && p->skipped ? AG_OK : data__pack_no_memory(p->options->output);
}

static void decode_window(packing *p, int64_t first, int64_t n)
{
    const int threads = p->options->threads ? p->options->threads : omp_get_max_threads();
    const size_t image = (size_t)p->form.height * (size_t)p->form.width * (size_t)p->form.channels;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < n; i++)
        data__pack_decode(&p->results[i], &p->list, first + i, &p->form, p->pixels + (size_t)i * image);
}

/* Names and reasons are one line each, whatever bytes they hold. */
static void put_line_part(FILE *f, const char *text)
{
    for (; *text; text++) fputc((unsigned char)*text < 32 || *text == 127 ? '?' : *text, f);
}

static void skip(packing *p, const data__pack_item *item, const data__pack_result *r)
{
    p->report.skipped++;
    put_line_part(p->skipped, item->name);
    fputc('\t', p->skipped);
    put_line_part(p->skipped, r->reason);
    fputc('\n', p->skipped);
}

static void count(packing *p, const data__pack_item *item, const data__picture_facts *f)
{
    data_pack_report *r = &p->report;
    r->images++;
    r->in_split[item->split]++;
    r->unlabelled += p->list.class_count && item->label < 0;
    r->grey_to_colour += f->channels == 1 && p->form.channels == 3;
    r->colour_to_grey += f->channels == 3 && p->form.channels == 1;
    r->cmyk += f->cmyk, r->palette += f->palette, r->sixteen_bit += f->sixteen, r->alpha += f->alpha;
    r->rotated += f->orientation != 1;
    r->enlarged += f->height < p->form.height || f->width < p->form.width;
}

/* Good pictures move together, bad ones are listed. *good is how many remain. */
static ag_err sort_window(packing *p, int64_t first, int64_t n, int64_t *good)
{
    const size_t image = (size_t)p->form.height * (size_t)p->form.width * (size_t)p->form.channels;
    *good = 0;
    for (int64_t i = 0; i < n; i++) {
        const data__pack_result *r = &p->results[i];
        const data__pack_item *item = &p->list.items[first + i];
        p->report.bytes += r->bytes;
        if (r->err == AG_ERR_MEMORY || (r->err && p->options->strict))
            return ag_fail(r->err == AG_ERR_MEMORY ? AG_ERR_MEMORY : AG_ERR_DATA, "%s",
                           r->reason ? r->reason : "pack: out of memory");
        if (r->other_size) return data__pack_sizes_differ(&p->list);
        if (r->err) {
            skip(p, item, r);
            continue;
        }
        if (*good < i) memcpy(p->pixels + (size_t)*good * image, p->pixels + (size_t)i * image, image);
        p->kept[p->report.images] = first + i;
        count(p, item, &r->facts);
        ++*good;
    }
    return AG_OK;
}

static ag_err check_corrupt(const packing *p)
{
    const double limit = p->options->max_corrupt, share = (double)p->report.skipped / (double)p->list.count;
    if (limit > 0 && share > limit)
        return ag_fail(AG_ERR_DATA,
                       "%s: %lld of %lld pictures are bad, more than the share of %g allowed; the first: %.*s",
                       p->options->sources[0], (long long)p->report.skipped, (long long)p->list.count, limit,
                       (int)strcspn(p->skipped_text, "\n"), p->skipped_text);
    return AG_OK;
}

static ag_err tell_progress(packing *p, int64_t done)
{
    const double now = seconds();
    p->report.seconds = now - p->started;
    if (!p->options->progress || (done < p->list.count && now - p->told < 0.1)) return AG_OK;
    p->told = now;
    const data_pack_progress progress = {done, p->list.count, p->report.skipped, p->report.bytes, now - p->started};
    return p->options->progress(p->options->user, &progress)
               ? ag_fail(AG_ERR_FAILED, "pack: stopped; nothing was written")
               : AG_OK;
}

static ag_err pack_window(packing *p, int64_t first, int64_t n)
{
    int64_t good;
    decode_window(p, first, n);
    ag_err err = sort_window(p, first, n, &good);
    for (int64_t i = 0; i < n; i++) {
        free(p->results[i].reason);
        p->results[i].reason = NULL;
    }
    if (!err && fflush(p->skipped)) err = data__pack_no_memory(p->options->output);
    if (!err) err = check_corrupt(p);
    if (!err && good) err = data__pack_out_images(&p->out, good, p->pixels);
    return err ? err : tell_progress(p, first + n);
}

static void describe(packing *p)
{
    const data__pack_list *list = &p->list;
    if (list->ignored)
        data__pack_note(p->options, "%lld files ignored: not JPEG or PNG by their names%s", (long long)list->ignored,
                        list->other_pictures ? " (some are pictures of other kinds: convert those)" : "");
    if (list->class_count) data__pack_note(p->options, "%d classes from folders", list->class_count);
    if (list->has_split) data__pack_note(p->options, "splits: train, validation, test");
}

/* The list beside the output; one of an earlier run is removed if this one skipped nothing. */
static ag_err write_skipped(packing *p)
{
    char *path;
    if (asprintf(&path, "%s.skipped.txt", p->options->output) < 0) return data__pack_no_memory(p->options->output);
    ag_err err = AG_OK;
    if (p->report.skipped)
        err = data_publish_bytes(path, p->skipped_text, p->skipped_size);
    else if (unlink(path) && errno != ENOENT)
        err = data_io_fail(path, "remove the list of an earlier run", errno);
    free(path);
    return err;
}

static ag_err pack_all(packing *p)
{
    ag_err err;
    if ((err = data__pack_out_begin(&p->out, p->options->output)) || (err = data__pack_scan(&p->list, p->options)) ||
        (err = data__pack_classify(&p->list)) || (err = data__pack_decide(&p->form, &p->list)) ||
        (err = make_room(p)) || (err = data__pack_out_open(&p->out, &p->list, &p->form)))
        return err;
    describe(p);
    for (int64_t first = 0; !err && first < p->list.count; first += p->window)
        err = pack_window(p, first, p->list.count - first < p->window ? p->list.count - first : p->window);
    if (err) return err;
    if (p->report.images == 0)
        return ag_fail(AG_ERR_DATA, "%s: none of %lld pictures can be read; the first: %.*s", p->options->sources[0],
                       (long long)p->list.count, (int)strcspn(p->skipped_text, "\n"), p->skipped_text);
    err = data__pack_out_finish(&p->out, &p->list, &p->form, p->kept);
    return err ? err : write_skipped(p);
}

ag_err data_pack(const data_pack_options *options, data_pack_report *report)
{
    if (report) *report = (data_pack_report){0};
    ag_err err = check_options(options);
    if (err) return err;
    packing p = {.options = options, .started = seconds(), .out = {.file = -1, .fd = -1}};
    err = pack_all(&p);
    p.report.ignored = p.list.ignored;
    p.report.classes = p.list.class_count;
    p.report.height = p.form.height, p.report.width = p.form.width, p.report.channels = p.form.channels;
    p.report.seconds = seconds() - p.started;
    if (report) *report = p.report;
    data__pack_out_abort(&p.out);
    if (p.list.options) data__pack_list_free(&p.list);
    if (p.skipped) fclose(p.skipped);
    free(p.skipped_text);
    free(p.kept), free(p.pixels), free(p.results);
    return err;
}
