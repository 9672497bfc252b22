#include "events.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "append.h"
#include "checkpoints/crc32c.h"

#define PREFIX "events.out.tfevents."

/* Field numbers of the messages (tensorflow/core/util/event.proto, framework/summary.proto, tensor.proto). */
enum {
    EVENT_TIME = 1,
    EVENT_STEP = 2,
    EVENT_VERSION = 3,
    EVENT_SUMMARY = 5,
    EVENT_SESSION = 7,
    SESSION_STATUS = 1,
    SESSION_START = 1,
    SUMMARY_VALUE = 1,
    VALUE_TAG = 1,
    VALUE_SCALAR = 2,
    VALUE_IMAGE = 4,
    VALUE_TENSOR = 8,
    VALUE_METADATA = 9,
    IMAGE_HEIGHT = 1,
    IMAGE_WIDTH = 2,
    IMAGE_COLORS = 3,
    IMAGE_FILE = 4,
    METADATA_PLUGIN = 1,
    METADATA_CLASS = 4,
    CLASS_TENSOR = 2,
    PLUGIN_NAME = 1,
    TENSOR_TYPE = 1,
    TENSOR_SHAPE = 2,
    TENSOR_STRING = 8,
    TYPE_STRING = 7,
};

/* ---- records -------------------------------------------------------------------------------------------------------- */

uint32_t ckpt__event_mask(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

/* Leaves room for length and its checksum; returns where the message begins. */
static size_t record_open(ckpt__bytes *b, double time, int64_t step)
{
    ckpt__bytes_add(b, (const char[12]){0}, 12);
    const size_t begin = b->size;
    ckpt__pb_double(b, EVENT_TIME, time);
    if (step) ckpt__pb_varint(b, EVENT_STEP, step);
    return begin;
}

static void record_close(ckpt__bytes *b, size_t begin)
{
    if (b->failed) return;
    const uint64_t length = b->size - begin;
    const uint32_t check = ckpt__event_mask(ckpt_crc32c(0, b->data + begin, length));
    const uint32_t check_length = ckpt__event_mask(ckpt_crc32c(0, &length, sizeof length));
    memcpy(b->data + begin - 12, &length, sizeof length);
    memcpy(b->data + begin - 4, &check_length, sizeof check_length);
    ckpt__bytes_add(b, &check, sizeof check);
}

void ckpt__event_version(ckpt__bytes *b, double time)
{
    const size_t record = record_open(b, time, 0);
    ckpt__pb_string(b, EVENT_VERSION, "brain.Event:2");
    record_close(b, record);
}

static void event_session(ckpt__bytes *b, double time, int64_t step)
{
    const size_t record = record_open(b, time, step), session = ckpt__pb_open(b, EVENT_SESSION);
    ckpt__pb_varint(b, SESSION_STATUS, SESSION_START);
    ckpt__pb_close(b, session);
    record_close(b, record);
}

void ckpt__event_scalars(ckpt__bytes *b, double time, int64_t step, int n, const char *const *tags,
                         const double *values)
{
    const size_t record = record_open(b, time, step), summary = ckpt__pb_open(b, EVENT_SUMMARY);
    for (int i = 0; i < n; i++) {
        const size_t value = ckpt__pb_open(b, SUMMARY_VALUE);
        ckpt__pb_string(b, VALUE_TAG, tags[i]);
        ckpt__pb_float(b, VALUE_SCALAR, (float)values[i]);
        ckpt__pb_close(b, value);
    }
    ckpt__pb_close(b, summary);
    record_close(b, record);
}

static void event_text(ckpt__bytes *b, double time, int64_t step, const char *tag, const char *text)
{
    const size_t record = record_open(b, time, step), summary = ckpt__pb_open(b, EVENT_SUMMARY);
    const size_t value = ckpt__pb_open(b, SUMMARY_VALUE);
    ckpt__pb_string(b, VALUE_TAG, tag);
    const size_t metadata = ckpt__pb_open(b, VALUE_METADATA), plugin = ckpt__pb_open(b, METADATA_PLUGIN);
    ckpt__pb_string(b, PLUGIN_NAME, "text");
    ckpt__pb_close(b, plugin);
    ckpt__pb_varint(b, METADATA_CLASS, CLASS_TENSOR);
    ckpt__pb_close(b, metadata);
    const size_t tensor = ckpt__pb_open(b, VALUE_TENSOR);
    ckpt__pb_varint(b, TENSOR_TYPE, TYPE_STRING);
    ckpt__pb_bytes(b, TENSOR_SHAPE, "", 0); /* no dimensions: one string */
    ckpt__pb_string(b, TENSOR_STRING, text);
    ckpt__pb_close(b, tensor);
    ckpt__pb_close(b, value);
    ckpt__pb_close(b, summary);
    record_close(b, record);
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

ag_err ckpt__event_image(ckpt__bytes *b, double time, int64_t step, const char *tag, const void *png, size_t size)
{
    /* PNG colour types 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA, as numbers of channels */
    static const int colors[7] = {1, 0, 3, 3, 2, 0, 4};
    const uint8_t *p = png;
    if (size < 33 || memcmp(p, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16) != 0 || p[25] > 6 || !colors[p[25]])
        return ag_fail(AG_ERR_DATA, "%s: not the bytes of a PNG file", tag);
    const size_t record = record_open(b, time, step), summary = ckpt__pb_open(b, EVENT_SUMMARY);
    const size_t value = ckpt__pb_open(b, SUMMARY_VALUE);
    ckpt__pb_string(b, VALUE_TAG, tag);
    const size_t image = ckpt__pb_open(b, VALUE_IMAGE);
    ckpt__pb_varint(b, IMAGE_HEIGHT, big_endian(p + 20));
    ckpt__pb_varint(b, IMAGE_WIDTH, big_endian(p + 16));
    ckpt__pb_varint(b, IMAGE_COLORS, colors[p[25]]);
    ckpt__pb_bytes(b, IMAGE_FILE, png, size);
    ckpt__pb_close(b, image);
    ckpt__pb_close(b, value);
    ckpt__pb_close(b, summary);
    record_close(b, record);
    return AG_OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

struct ckpt__events {
    ckpt__append *file;
    ckpt__bytes record; /* kept between calls: logging a step allocates nothing once it has its size */
};

/* Readers take the files of a folder in the order of their names: the new one must sort last even if the clock was set back or
 * two sessions begin in one second. Ten digits hold until the year 2286. */
static long long next_second(const char *folder)
{
    long long second = (long long)ckpt__now();
    DIR *dir = opendir(folder);
    if (!dir) return second;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0) continue;
        const long long other = strtoll(entry->d_name + strlen(PREFIX), NULL, 10);
        if (other >= second && other < 9999999999LL) second = other + 1;
    }
    closedir(dir);
    return second;
}

static ag_err events_create(ckpt__events *e, const char *folder)
{
    static atomic_int opened;
    char host[65] = "host", *path = NULL;
    if (gethostname(host, sizeof host - 1) || !host[0]) strcpy(host, "host");
    for (char *c = host; *c; c++)
        if (*c == '/') *c = '-';
    if (asprintf(&path, "%s/" PREFIX "%010lld.%s.%ld.%d", folder, next_second(folder), host, (long)getpid(),
                 atomic_fetch_add(&opened, 1)) < 0)
        return ag_fail(AG_ERR_MEMORY, "%s: out of memory", folder);
    const ag_err err = ckpt__append_open(&e->file, path, true);
    free(path);
    return err;
}

static ag_err events_write(ckpt__events *e)
{
    const ag_err err = e->record.failed ? ag_fail(AG_ERR_MEMORY, "event file: out of memory")
                                        : ckpt__append_write(e->file, e->record.data, e->record.size);
    ckpt__bytes_reset(&e->record);
    return err;
}

ag_err ckpt__events_open(ckpt__events **out, const char *folder, int64_t step)
{
    *out = NULL;
    ckpt__events *e = calloc(1, sizeof *e);
    if (!e) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", folder);
    ag_err err = events_create(e, folder);
    if (!err) {
        const double now = ckpt__now();
        ckpt__event_version(&e->record, now);
        event_session(&e->record, now, step);
        err = events_write(e);
    }
    if (err)
        ckpt__events_close(e);
    else
        *out = e;
    return err;
}

void ckpt__events_close(ckpt__events *e)
{
    if (!e) return;
    ckpt__append_close(e->file);
    ckpt__bytes_free(&e->record);
    free(e);
}

ag_err ckpt__events_scalars(ckpt__events *e, int64_t step, int n, const char *const *tags, const double *values)
{
    ckpt__event_scalars(&e->record, ckpt__now(), step, n, tags, values);
    return events_write(e);
}

ag_err ckpt__events_image(ckpt__events *e, const char *tag, int64_t step, const void *png, size_t size)
{
    const ag_err err = ckpt__event_image(&e->record, ckpt__now(), step, tag, png, size);
    return err ? err : events_write(e);
}

ag_err ckpt__events_text(ckpt__events *e, const char *tag, int64_t step, const char *text)
{
    event_text(&e->record, ckpt__now(), step, tag, text);
    return events_write(e);
}

ag_err ckpt__events_sync(ckpt__events *e) { return ckpt__append_sync(e->file); }
