#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pack_parts.h"

enum {
    MAX_MEMBER = 1 << 30,
    /* The JPEG decoder may shrink to twice the wanted size; the rest is left to the better filter. */
    SHRINK_TO = 2,
};

/* All of n bytes at `at`. */
static ag_err read_part(const data__pack_source *s, int64_t at, uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = pread(s->fd, bytes + done, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return data_io_fail(s->path, "read it", errno);
        if (got == 0) return ag_fail(AG_ERR_DATA, "%s: became shorter while it was read", s->path);
        done += (size_t)got;
    }
    return AG_OK;
}

static ag_err read_member(const data__pack_source *s, const data__pack_item *item, const char *name, uint8_t **bytes,
                          size_t *size)
{
    if (item->size < 1 || item->size > MAX_MEMBER)
        return ag_fail(AG_ERR_DATA, "%s: %s", name, item->size < 1 ? "is empty" : "is larger than 1 GiB");
    if (item->offset > s->size || item->size > s->size - item->offset)
        return ag_fail(AG_ERR_DATA, "%s: the archive ends inside it (at byte %lld); download it again", name,
                       (long long)s->size);
    if (!(*bytes = malloc((size_t)item->size))) return data__pack_no_memory(name);
    *size = (size_t)item->size;
    return read_part(s, item->offset, *bytes, *size);
}

/* "FOLDER/NAME", "ARCHIVE: NAME" or the path of the file; malloc'ed. */
static char *full_name(const data__pack_source *s, const data__pack_item *item)
{
    char *name;
    if (s->kind == DATA__FILE) return strdup(s->path);
    const size_t n = strlen(s->path);
    const char *between = s->kind == DATA__TAR ? ": " : n && s->path[n - 1] == '/' ? "" : "/";
    return asprintf(&name, "%s%s%s", s->path, between, item->name) < 0 ? NULL : name;
}

/* Bytes of an item and its name for messages; both malloc'ed, also on failure (or NULL). */
static ag_err read_item(const data__pack_list *list, int64_t i, char **name, uint8_t **bytes, size_t *size)
{
    const data__pack_item *item = &list->items[i];
    const data__pack_source *s = &list->sources[item->source];
    *bytes = NULL, *size = 0;
    if (!(*name = full_name(s, item))) return data__pack_no_memory(item->name);
    return s->kind == DATA__TAR ? read_member(s, item, *name, bytes, size) : data__file_read(*name, bytes, size);
}

/* The header of an item; fully decoded as well if `wholly`, to be sure that it is good. */
static ag_err learn(data__picture_facts *facts, const data__pack_list *list, int64_t i, bool wholly)
{
    char *name;
    uint8_t *bytes;
    size_t size;
    data_picture p = {0};
    ag_err err = read_item(list, i, &name, &bytes, &size);
    if (!err) err = data__picture_decode(wholly ? &p : NULL, facts, bytes, size, name, NULL);
    data_picture_free(&p);
    free(bytes);
    free(name);
    return err;
}

ag_err data__pack_decide(data__pack_form *form, const data__pack_list *list)
{
    const data_pack_options *o = list->options;
    *form = (data__pack_form){o->height, o->width, o->channels, o->height == 0};
    for (int64_t i = 0; i < list->count && (form->height == 0 || form->channels == 0); i++) {
        data__picture_facts facts;
        ag_err err = learn(&facts, list, i, false);
        if (!err && form->height && facts.channels == 1) continue; /* one more grey picture decides nothing */
        if (!err) err = learn(&facts, list, i, true);
        if (err == AG_ERR_MEMORY) return err;
        if (err) continue; /* a bad picture decides nothing; it is reported when its turn comes */
        if (form->height == 0) form->height = facts.height, form->width = facts.width;
        if (form->channels == 0 && facts.channels == 3) form->channels = 3;
    }
    if (form->channels == 0) form->channels = 1;
    if (form->height == 0) form->height = form->width = 1; /* all are bad */
    if (o->channels == 0)
        data__pack_note(o, form->channels == 3 ? "channels: 3, since there are pictures with colour"
                                               : "channels: 1, since all pictures are grey");
    return AG_OK;
}

/* Decoded picture -> pixels of the form. */
static ag_err put(data_picture *p, const data__pack_form *form, data_filter filter, const char *name, uint8_t *pixels)
{
    data_picture fitted;
    ag_err err = form->channels == 1 ? data__picture_convert(p, 1, name) : AG_OK;
    if (!err && (p->height != form->height || p->width != form->width)) {
        if ((err = data__picture_fit(&fitted, p, form->height, form->width, filter)))
            return ag_fail_context(err, "%s", name);
        data_picture_free(p);
        *p = fitted;
    }
    if (!err) err = data__picture_convert(p, form->channels, name);
    if (!err) memcpy(pixels, p->pixels, (size_t)form->height * (size_t)form->width * (size_t)form->channels);
    return err;
}

void data__pack_decode(data__pack_result *r, const data__pack_list *list, int64_t i, const data__pack_form *form,
                       uint8_t *pixels)
{
    char *name;
    uint8_t *bytes;
    size_t size;
    data_picture p = {0};
    *r = (data__pack_result){.err = read_item(list, i, &name, &bytes, &size)};
    r->bytes = (int64_t)size;
    const int shrink = form->as_is ? 0 : SHRINK_TO;
    const data_decode_options o = {.min_height = shrink * form->height, .min_width = shrink * form->width};
    if (!r->err) r->err = data__picture_decode(&p, &r->facts, bytes, size, name, &o);
    if (!r->err && form->as_is && (p.height != form->height || p.width != form->width)) r->other_size = true;
    if (!r->err && !r->other_size) r->err = put(&p, form, list->options->filter, name, pixels);
    if (r->err && !(r->reason = strdup(ag_error_message()))) r->err = AG_ERR_MEMORY;
    data_picture_free(&p);
    free(bytes);
    free(name);
}

enum { SIZES_SHOWN = 5, SIZES_KEPT = 64, SIZES_LOOKED_AT = 2000 };

typedef struct size_count {
    int height, width;
    int64_t count;
} size_count;

static int most_first(const void *a, const void *b)
{
    const size_count *x = a, *y = b;
    return (x->count < y->count) - (x->count > y->count);
}

static int count_size(size_count *sizes, int n, const data__picture_facts *f)
{
    int k = 0;
    while (k < n && (sizes[k].height != f->height || sizes[k].width != f->width)) k++;
    if (k == SIZES_KEPT) return n;
    if (k == n) sizes[n++] = (size_count){f->height, f->width, 0};
    sizes[k].count++;
    return n;
}

ag_err data__pack_sizes_differ(const data__pack_list *list)
{
    size_count sizes[SIZES_KEPT];
    int n = 0, example = 256;
    const int64_t step = list->count / SIZES_LOOKED_AT + 1;
    for (int64_t i = 0; i < list->count; i += step) {
        data__picture_facts facts;
        if (learn(&facts, list, i, false)) continue;
        n = count_size(sizes, n, &facts);
    }
    qsort(sizes, (size_t)n, sizeof *sizes, most_first);
    while (n && example > 8 && (example > sizes[0].height || example > sizes[0].width)) example /= 2;
    char text[SIZES_SHOWN * 48] = "";
    size_t used = 0;
    for (int k = 0; k < n && k < SIZES_SHOWN; k++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%dx%d (%lld)", k ? ", " : "", sizes[k].width,
                                 sizes[k].height, (long long)sizes[k].count);
    return ag_fail(AG_ERR_USAGE, "the pictures have different sizes: %s%s; give one with --size, for example --size %d",
                   text, n > SIZES_SHOWN ? ", ..." : "", example);
}
