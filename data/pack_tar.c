/* Tar archives: POSIX ustar, pax and GNU long names (formats.md 7). A member is
 *
 *     512 bytes header: 0 name 100, 124 size 12, 148 checksum 8, 156 type 1, 257 magic 6, 345 prefix 155
 *     size bytes of data, filled up with zeros to a multiple of 512
 *
 * and two blocks of zeros end the archive. Numbers are octal text, or big-endian if the first byte is 0x80. Members of
 * type x (pax: lines "LENGTH key=value\n") and L (GNU) carry the name or size of the next one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pack_parts.h"

enum { BLOCK = 512, MAX_EXTRA = 1 << 20 };

typedef struct tar {
    data__pack_list *list;
    const char *path;
    int source, fd;
    int64_t size, at; /* of the archive; of the header being read */
    int64_t members;
    char *long_name;   /* for the next member, or NULL */
    int64_t long_size; /* for the next member, or -1 */
} tar;

/* All of n bytes at `at`, which the caller knows to be inside the archive. */
static ag_err tar_read(const tar *t, int64_t at, void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = pread(t->fd, (char *)bytes + done, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return data_io_fail(t->path, "read it", errno);
        if (got == 0) return ag_fail(AG_ERR_DATA, "%s: became shorter while it was read", t->path);
        done += (size_t)got;
    }
    return AG_OK;
}

/* Octal with leading spaces, ended by a space or NUL; or base 256. -1: not a number, or negative, or too large. */
static int64_t tar_number(const uint8_t *field, int n)
{
    uint64_t v = 0;
    int i = 0;
    if (field[0] & 0x80) {
        v = field[0] & 0x7f; /* bit 6 is the sign */
        for (i = 1; i < n; i++) {
            if (v >> 55) return -1;
            v = v << 8 | field[i];
        }
        return (int64_t)v;
    }
    while (i < n && field[i] == ' ') i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) v = v << 3 | (uint64_t)(field[i] - '0');
    return i < n && field[i] != ' ' && field[i] != 0 ? -1 : (int64_t)v; /* 12 digits have 36 bits */
}

bool data__tar_is_header(const uint8_t *block)
{
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : block[i];
    return block[0] && tar_number(block + 148, 8) == sum;
}

/* What is wrong, where. */
static ag_err tar_fail(const tar *t, const char *member, const char *what)
{
    return ag_fail(AG_ERR_DATA, "%s: damaged tar at byte %lld (member %lld%s%.200s): %s; make or download it again",
                   t->path, (long long)t->at, (long long)t->members + 1, *member ? ", " : "", member, what);
}

/* The name in the header itself; `name` has room for 257 bytes. */
static void tar_short_name(const uint8_t *h, char *name)
{
    size_t n = 0;
    if (!memcmp(h + 257, "ustar\0", 6) && h[345]) { /* the GNU magic has blanks: other things are at 345 there */
        n = strnlen((const char *)h + 345, 155);
        memcpy(name, h + 345, n);
        name[n++] = '/';
    }
    const size_t m = strnlen((const char *)h, 100);
    memcpy(name + n, h, m);
    name[n + m] = 0;
}

/* One pax record: the part after "key=", of `n` bytes. */
static ag_err pax_value(tar *t, const char *key, size_t key_length, const char *value, size_t n)
{
    if (key_length == 4 && !memcmp(key, "path", 4)) {
        if (n == 0 || memchr(value, 0, n)) return tar_fail(t, "", "pax header with an impossible path");
        free(t->long_name);
        if (!(t->long_name = strndup(value, n))) return data__pack_no_memory(t->path);
    } else if (key_length == 4 && !memcmp(key, "size", 4)) {
        int64_t v = 0;
        for (size_t i = 0; i < n; i++)
            if (value[i] < '0' || value[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
                __builtin_add_overflow(v, value[i] - '0', &v))
                return tar_fail(t, "", "pax header with an impossible size");
        t->long_size = v;
    }
    return AG_OK;
}

static ag_err pax_records(tar *t, const char *text, size_t size)
{
    for (size_t at = 0; at < size && text[at];) {
        size_t length = 0, i = at;
        while (i < size && text[i] >= '0' && text[i] <= '9' && length <= MAX_EXTRA)
            length = length * 10 + (size_t)(text[i++] - '0');
        const char *key = text + i + 1;
        if (i == at || i >= size || text[i] != ' ' || length > size - at || length < i - at + 3 ||
            text[at + length - 1] != '\n')
            return tar_fail(t, "", "pax header with an impossible record");
        const size_t n = at + length - 1 - (i + 1); /* key=value */
        const char *equals = memchr(key, '=', n);
        if (!equals) return tar_fail(t, "", "pax header with a record without '='");
        const size_t key_length = (size_t)(equals - key);
        const ag_err err = pax_value(t, key, key_length, equals + 1, n - key_length - 1);
        if (err) return err;
        at += length;
    }
    return AG_OK;
}

/* Types x and L: they speak about the next member. */
static ag_err tar_extra(tar *t, char type, int64_t size)
{
    if (size > MAX_EXTRA) return tar_fail(t, "", "extended header of more than 1 MiB");
    if (size > t->size - t->at - BLOCK) return tar_fail(t, "", "extended header runs past the end of the file");
    char *text = malloc((size_t)size + 1);
    if (!text) return data__pack_no_memory(t->path);
    ag_err err = tar_read(t, t->at + BLOCK, text, (size_t)size);
    text[size] = 0;
    if (!err && type == 'x') err = pax_records(t, text, (size_t)size);
    if (!err && type == 'L') {
        free(t->long_name);
        t->long_name = text;
        return AG_OK;
    }
    free(text);
    return err;
}

/* Hidden files, and names like __MACOSX, anywhere in the path. */
static bool tar_is_hidden(const char *name)
{
    for (const char *part = name; *part;) {
        const size_t n = strcspn(part, "/");
        if (part[0] == '.') return true;
        if (n > 4 && !memcmp(part, "__", 2) && !memcmp(part + n - 2, "__", 2)) return true;
        part += n;
        part += strspn(part, "/");
    }
    return !strcmp(name, "__MACOSX") || !strncmp(name, "__MACOSX/", 9);
}

static ag_err tar_file(tar *t, const char *name, int64_t size)
{
    if (size > t->size) return tar_fail(t, name, "size larger than the whole archive");
    while (!strncmp(name, "./", 2) || *name == '/') name += *name == '/' ? 1 : 2;
    if (!*name || name[strlen(name) - 1] == '/' || tar_is_hidden(name)) return AG_OK;
    return data__pack_offer(t->list, t->source, name, t->at + BLOCK, size);
}

/* The member at t->at; moves t->at behind it. */
static ag_err tar_member(tar *t, const uint8_t *h)
{
    char short_name[257];
    tar_short_name(h, short_name);
    const char *name = t->long_name ? t->long_name : short_name;
    const char type = (char)h[156];
    const bool extra = type == 'x' || type == 'L', about = extra || type == 'g' || type == 'K';
    int64_t size = tar_number(h + 124, 12);
    if (!about && t->long_size >= 0) size = t->long_size;
    if (type >= '1' && type <= '6') size = 0; /* links, devices and folders have no data, whatever they say */
    if (size < 0) return tar_fail(t, name, "size is not a number");
    if (size > INT64_MAX - 2 * BLOCK - t->at) return tar_fail(t, name, "size larger than the whole archive");
    if (type == 'S') return tar_fail(t, name, "sparse files are not supported");
    ag_err err = AG_OK;
    if (extra)
        err = tar_extra(t, type, size);
    else if (type == '0' || type == 0 || type == '7')
        err = tar_file(t, name, size);
    if (err) return err;
    if (!about) {
        free(t->long_name);
        t->long_name = NULL, t->long_size = -1;
        t->members++;
    }
    t->at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
    return AG_OK;
}

static bool tar_is_end(const uint8_t *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i]) return false;
    return true;
}

ag_err data__tar_scan(data__pack_list *list, int source)
{
    const data__pack_source *s = &list->sources[source];
    tar t = {.list = list, .path = s->path, .source = source, .fd = s->fd, .size = s->size, .long_size = -1};
    uint8_t block[BLOCK];
    ag_err err = AG_OK;
    bool ended = false;
    while (!err && !ended && t.size - t.at >= BLOCK) {
        if ((err = tar_read(&t, t.at, block, BLOCK))) break;
        if (tar_is_end(block))
            ended = true;
        else if (!data__tar_is_header(block))
            err = tar_fail(&t, "", "header with a wrong checksum");
        else
            err = tar_member(&t, block);
    }
    if (!err && !ended)
        data__pack_note(list->options, "%s: ends without the mark of the end after %lld members; it may be cut short",
                        s->path, (long long)t.members);
    free(t.long_name);
    return err;
}
