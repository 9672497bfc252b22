#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack_parts.h"

/* A growing array of strings. */
typedef struct names {
    char **items;
    size_t count, room;
} names;

typedef struct folder_id {
    dev_t device;
    ino_t inode;
    bool used;
} folder_id;

/* A walk through one folder. Real folders come first, then what links lead to, the smallest name first: a picture that
 * can be reached in two ways always gets the same one. */
typedef struct walk {
    data__pack_list *list;
    int source;
    names folders, links;
    folder_id *seen; /* open addressing, at most half full */
    size_t seen_count, seen_room;
} walk;

ag_err data__pack_no_memory(const char *path) { return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path); }

enum { NO_PICTURE, PICTURE, OTHER_PICTURE };

static int kind_by_name(const char *name)
{
    static const char *const ours[] = {"jpg", "jpeg", "jpe", "jfif", "png"};
    static const char *const others[] = {"bmp", "gif",  "webp", "tif",  "tiff", "ppm", "pgm", "pnm", "jp2",
                                         "jxl", "avif", "heic", "heif", "dng",  "cr2", "nef", "arw"};
    const char *dot = strrchr(name, '.'), *slash = strrchr(name, '/');
    if (!dot || (slash && dot < slash)) return NO_PICTURE;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcasecmp(dot + 1, ours[i])) return PICTURE;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcasecmp(dot + 1, others[i])) return OTHER_PICTURE;
    return NO_PICTURE;
}

static ag_err add_item(data__pack_list *list, int source, const char *name, int64_t offset, int64_t size)
{
    if (list->count == list->room) {
        const int64_t room = list->room ? list->room * 2 : 1024;
        data__pack_item *more = realloc(list->items, (size_t)room * sizeof *more);
        if (!more) return data__pack_no_memory(list->sources[source].path);
        list->items = more, list->room = room;
    }
    char *copy = strdup(name);
    if (!copy) return data__pack_no_memory(list->sources[source].path);
    list->items[list->count++] =
        (data__pack_item){.name = copy, .offset = offset, .size = size, .source = source, .label = -1};
    return AG_OK;
}

ag_err data__pack_offer(data__pack_list *list, int source, const char *name, int64_t offset, int64_t size)
{
    const int kind = kind_by_name(name);
    if (kind == PICTURE) return add_item(list, source, name, offset, size);
    list->ignored++;
    list->other_pictures += kind == OTHER_PICTURE;
    return AG_OK;
}

/* Takes over `name`. */
static bool names_push(names *n, char *name)
{
    if (n->count == n->room) {
        const size_t room = n->room ? n->room * 2 : 64;
        char **more = realloc(n->items, room * sizeof *more);
        if (!more) {
            free(name);
            return false;
        }
        n->items = more, n->room = room;
    }
    n->items[n->count++] = name;
    return name != NULL;
}

static void names_free(names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->items[i]);
    free(n->items);
}

/* Takes out a real folder if there is one, else the link with the smallest name. */
static char *next_folder(walk *w)
{
    if (w->folders.count) return w->folders.items[--w->folders.count];
    size_t least = 0;
    for (size_t i = 1; i < w->links.count; i++)
        if (strcmp(w->links.items[i], w->links.items[least]) < 0) least = i;
    char *name = w->links.items[least];
    w->links.items[least] = w->links.items[--w->links.count];
    return name;
}

static void seen_put(folder_id *table, size_t room, folder_id id)
{
    size_t at = ((size_t)id.inode * 0x9e3779b97f4a7c15u ^ (size_t)id.device) & (room - 1);
    while (table[at].used) at = (at + 1) & (room - 1);
    table[at] = id;
}

static bool seen_has(const walk *w, folder_id id)
{
    size_t at = ((size_t)id.inode * 0x9e3779b97f4a7c15u ^ (size_t)id.device) & (w->seen_room - 1);
    for (; w->seen[at].used; at = (at + 1) & (w->seen_room - 1))
        if (w->seen[at].inode == id.inode && w->seen[at].device == id.device) return true;
    return false;
}

/* Remembers a folder; *again tells that it was known. */
static ag_err seen_add(walk *w, folder_id id, bool *again)
{
    if (w->seen_count * 2 >= w->seen_room) {
        const size_t room = w->seen_room ? w->seen_room * 2 : 64;
        folder_id *table = calloc(room, sizeof *table);
        if (!table) return data__pack_no_memory(w->list->sources[w->source].path);
        for (size_t i = 0; i < w->seen_room; i++)
            if (w->seen[i].used) seen_put(table, room, w->seen[i]);
        free(w->seen);
        w->seen = table, w->seen_room = room;
    }
    if ((*again = seen_has(w, id))) return AG_OK;
    seen_put(w->seen, w->seen_room, id);
    w->seen_count++;
    return AG_OK;
}

static char *join(const char *folder, const char *name)
{
    char *path;
    const size_t n = strlen(folder);
    return asprintf(&path, "%s%s%s", folder, n && folder[n - 1] != '/' ? "/" : "", name) < 0 ? NULL : path;
}

/* Folder, link to a folder, file, or something else (a pipe, a socket). A link that leads nowhere counts as a file: it
 * fails when it is read, and is listed. */
static ag_err visit_entry(walk *w, const char *folder, int fd, const struct dirent *e)
{
    struct stat st;
    bool link = e->d_type == DT_LNK, is_folder = e->d_type == DT_DIR, is_file = e->d_type == DT_REG;
    if (e->d_type == DT_UNKNOWN && !fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
        link = S_ISLNK(st.st_mode), is_folder = S_ISDIR(st.st_mode), is_file = S_ISREG(st.st_mode);
    if (link) {
        const bool found = !fstatat(fd, e->d_name, &st, 0);
        is_folder = found && S_ISDIR(st.st_mode), is_file = !found || S_ISREG(st.st_mode);
    }
    if (!is_folder && !is_file) {
        w->list->ignored++;
        return AG_OK;
    }
    char *name = join(folder, e->d_name);
    const char *path = w->list->sources[w->source].path;
    if (!name) return data__pack_no_memory(path);
    if (is_folder) return names_push(link ? &w->links : &w->folders, name) ? AG_OK : data__pack_no_memory(path);
    const ag_err err = data__pack_offer(w->list, w->source, name, -1, 0);
    free(name);
    return err;
}

static ag_err visit_folder(walk *w, const char *folder)
{
    struct stat st;
    ag_err err = AG_OK;
    bool again = false;
    char *path = join(w->list->sources[w->source].path, folder);
    if (!path) return data__pack_no_memory(folder);
    DIR *dir = opendir(path);
    if (!dir || fstat(dirfd(dir), &st)) {
        err = data_io_fail(path, "open the folder", errno);
        goto out;
    }
    err = seen_add(w, (folder_id){st.st_dev, st.st_ino, true}, &again);
    if (again) data__pack_note(w->list->options, "%s: a link to a folder already read; not read again", path);
    while (!err && !again) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e) {
            if (errno) err = data_io_fail(path, "list the folder", errno);
            break;
        }
        if (e->d_name[0] != '.') err = visit_entry(w, folder, dirfd(dir), e);
    }
out:
    if (dir) closedir(dir);
    free(path);
    return err;
}

static ag_err walk_folder(data__pack_list *list, int source)
{
    walk w = {.list = list, .source = source};
    ag_err err = names_push(&w.folders, strdup("")) ? AG_OK : data__pack_no_memory(list->sources[source].path);
    while (!err && w.folders.count + w.links.count) {
        char *folder = next_folder(&w);
        err = visit_folder(&w, folder);
        free(folder);
    }
    names_free(&w.folders), names_free(&w.links);
    free(w.seen);
    return err;
}

static bool starts(const uint8_t *block, size_t n, const char *magic, size_t length)
{
    return n >= length && !memcmp(block, magic, length);
}

/* Folder, picture or tar? Everything else is an error that says what to do. */
static ag_err find_kind(data__pack_source *s, int fd, const struct stat *st)
{
    static const char gzip[] = "\x1f\x8b", xz[] = {'\xfd', '7', 'z', 'X', 'Z', 0}, bzip2[] = "BZh",
                      zstd[] = "\x28\xb5\x2f\xfd";
    uint8_t block[512] = {0};
    if (S_ISDIR(st->st_mode)) {
        s->kind = DATA__FOLDER;
        return AG_OK;
    }
    if (!S_ISREG(st->st_mode)) return ag_fail(AG_ERR_DATA, "%s: is neither a folder nor a file", s->path);
    const ssize_t got = pread(fd, block, sizeof block, 0);
    if (got < 0) return data_io_fail(s->path, "read it", errno);
    const size_t n = (size_t)got;
    if (starts(block, n, gzip, 2) || starts(block, n, xz, 6) || starts(block, n, bzip2, 3) || starts(block, n, zstd, 4))
        return ag_fail(AG_ERR_DATA, "%s: is compressed; unpack it first ('tar xf %s'), then pack the folder", s->path,
                       s->path);
    if (starts(block, n, "PK\3\4", 4))
        return ag_fail(AG_ERR_DATA, "%s: is a zip archive; unpack it first ('unzip %s'), then pack the folder", s->path,
                       s->path);
    if (starts(block, n, "\x89HDF\r\n\x1a\n", 8))
        return ag_fail(AG_ERR_DATA, "%s: is an HDF5 file; train on it as it is, there is nothing to pack", s->path);
    const size_t length = strlen(s->path);
    if (n == sizeof block && (data__tar_is_header(block) || (length > 4 && !strcasecmp(s->path + length - 4, ".tar"))))
        s->kind = DATA__TAR;
    else if (starts(block, n, "\xff\xd8\xff", 3) || starts(block, n, "\x89PNG", 4) || kind_by_name(s->path) == PICTURE)
        s->kind = DATA__FILE;
    else
        return ag_fail(AG_ERR_DATA, "%s: is neither a folder, a JPEG or PNG picture, nor a tar archive", s->path);
    return AG_OK;
}

static ag_err scan_source(data__pack_list *list, int source)
{
    data__pack_source *s = &list->sources[source];
    struct stat st, output;
    const int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block */
    if (fd < 0) return data_io_fail(s->path, "open it", errno);
    ag_err err = fstat(fd, &st) ? data_io_fail(s->path, "read it", errno) : find_kind(s, fd, &st);
    if (!err && !stat(list->options->output, &output) && output.st_dev == st.st_dev && output.st_ino == st.st_ino)
        err = ag_fail(AG_ERR_USAGE, "%s: is a source and the output at once; give another output", s->path);
    if (!err && s->kind == DATA__TAR) {
        s->fd = fd, s->size = st.st_size;
        return data__tar_scan(list, source);
    }
    close(fd);
    if (err) return err;
    if (s->kind == DATA__FOLDER) return walk_folder(list, source);
    const char *slash = strrchr(s->path, '/');
    return add_item(list, source, slash ? slash + 1 : s->path, -1, 0);
}

static int by_name(const void *a, const void *b)
{
    const data__pack_item *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    if (order) return order;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

ag_err data__pack_scan(data__pack_list *list, const data_pack_options *o)
{
    *list = (data__pack_list){.options = o};
    if (!(list->sources = calloc((size_t)o->source_count, sizeof *list->sources)))
        return data__pack_no_memory(o->output);
    for (int i = 0; i < o->source_count; i++) list->sources[i] = (data__pack_source){.path = o->sources[i], .fd = -1};
    for (int i = 0; i < o->source_count; i++) {
        const ag_err err = scan_source(list, i);
        if (err) return err;
    }
    if (list->count == 0)
        return ag_fail(AG_ERR_DATA, "%s: holds no JPEG or PNG picture (%lld other files%s); check the name",
                       o->sources[0], (long long)list->ignored,
                       list->other_pictures ? ", some of them pictures: convert those" : "");
    qsort(list->items, (size_t)list->count, sizeof *list->items, by_name);
    return AG_OK;
}

void data__pack_list_free(data__pack_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->items[i].name);
    free(list->items);
    for (int i = 0; list->sources && i < list->options->source_count; i++)
        if (list->sources[i].fd >= 0) close(list->sources[i].fd);
    free(list->sources);
    for (int i = 0; i < list->class_count; i++) free(list->classes[i]);
    free(list->classes);
    *list = (data__pack_list){0};
}
