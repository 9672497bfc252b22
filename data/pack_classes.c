#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "pack_parts.h"

/* Length of the first folder of a path, 0 if there is none. */
static size_t first_folder(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash ? (size_t)(slash - name) : 0;
}

/* The split that a folder of this name stands for, -1 if none. */
static int split_of(const char *name, size_t n)
{
    static const struct {
        const char *name;
        int split;
    } known[] = {{"train", DATA_TRAIN}, {"val", DATA_VALIDATION}, {"validation", DATA_VALIDATION}, {"test", DATA_TEST}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n)) return known[i].split;
    return -1;
}

/* Archives are often made of a folder, whose name then heads every member: not a class. */
static bool all_wrapped(const data__pack_list *list)
{
    for (int i = 0; i < list->options->source_count; i++)
        if (list->sources[i].kind != DATA__TAR) return false;
    const char *first = list->items[0].name;
    const size_t n = first_folder(first);
    if (n == 0 || split_of(first, n) >= 0) return false;
    for (int64_t i = 1; i < list->count; i++)
        if (strncmp(list->items[i].name, first, n + 1)) return false;
    return true;
}

static void unwrap(data__pack_list *list)
{
    while (all_wrapped(list)) {
        const size_t n = first_folder(list->items[0].name) + 1;
        for (int64_t i = 0; i < list->count; i++)
            memmove(list->items[i].name, list->items[i].name + n, strlen(list->items[i].name + n) + 1);
    }
}

/* Folders named like splits are splits only if nothing lies beside them. */
static void find_splits(data__pack_list *list)
{
    int64_t inside = 0;
    for (int64_t i = 0; i < list->count; i++) {
        const char *name = list->items[i].name;
        inside += split_of(name, first_folder(name)) >= 0;
    }
    list->has_split = inside == list->count;
    if (inside && !list->has_split)
        data__pack_note(list->options,
                        "folders named like splits (train, val, test) lie beside other pictures: taken as classes");
    for (int64_t i = 0; list->has_split && i < list->count; i++) {
        const char *name = list->items[i].name;
        list->items[i].split = (uint8_t)split_of(name, first_folder(name));
    }
}

/* The class folder of an item: *n bytes, 0 if it has none. */
static const char *class_of(const data__pack_list *list, int64_t i, size_t *n)
{
    const char *name = list->items[i].name;
    if (list->has_split) name += first_folder(name) + 1;
    *n = first_folder(name);
    return name;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Adds the name of a class if it differs from the last one added: items are sorted, so few repeat. */
static ag_err add_class(data__pack_list *list, int *room, const char *name, size_t n)
{
    if (list->class_count) {
        const char *last = list->classes[list->class_count - 1];
        if (strlen(last) == n && !memcmp(last, name, n)) return AG_OK;
    }
    if (list->class_count == *room) {
        *room = *room ? *room * 2 : 64;
        char **more = realloc(list->classes, (size_t)*room * sizeof *more);
        if (!more) return data__pack_no_memory(list->options->output);
        list->classes = more;
    }
    if (!(list->classes[list->class_count] = strndup(name, n))) return data__pack_no_memory(list->options->output);
    list->class_count++;
    return AG_OK;
}

static ag_err find_classes(data__pack_list *list)
{
    int room = 0;
    for (int64_t i = 0; i < list->count; i++) {
        size_t n;
        const char *name = class_of(list, i, &n);
        const ag_err err = n ? add_class(list, &room, name, n) : AG_OK;
        if (err) return err;
    }
    if (list->class_count == 0) return AG_OK;
    qsort(list->classes, (size_t)list->class_count, sizeof *list->classes, by_bytes);
    int kept = 1;
    for (int i = 1; i < list->class_count; i++) {
        if (strcmp(list->classes[i], list->classes[kept - 1]))
            list->classes[kept++] = list->classes[i];
        else
            free(list->classes[i]);
    }
    list->class_count = kept;
    return AG_OK;
}

/* Rank of a class by bisection; it is there. */
static int32_t rank_of(const data__pack_list *list, const char *name, size_t n)
{
    int low = 0, high = list->class_count - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        const char *class = list->classes[middle];
        const int order = strncmp(class, name, n);
        if (order < 0)
            low = middle + 1;
        else
            high = middle; /* a longer name with the same beginning comes later */
    }
    return low;
}

static void give_labels(data__pack_list *list)
{
    int64_t without = 0;
    for (int64_t i = 0; list->class_count && i < list->count; i++) {
        size_t n;
        const char *name = class_of(list, i, &n);
        if (n)
            list->items[i].label = rank_of(list, name, n);
        else
            without++;
    }
    if (without)
        data__pack_note(list->options, "%lld pictures lie beside the class folders: their label is -1",
                        (long long)without);
}

/* FNV-1a, then mixed: a number in 0..1 that depends on the path alone. */
static double path_fraction(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (double)((h ^ h >> 31) >> 11) * 0x1p-53;
}

static ag_err draw_validation(data__pack_list *list)
{
    const double fraction = list->options->val_fraction;
    if (!(fraction > 0)) return AG_OK;
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i].split == DATA_VALIDATION)
            return ag_fail(AG_ERR_USAGE,
                           "val_fraction %g: the source has a folder of validation pictures already; leave "
                           "the option out",
                           fraction);
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i].split == DATA_TRAIN && path_fraction(list->items[i].name) < fraction)
            list->items[i].split = DATA_VALIDATION;
    list->has_split = true;
    return AG_OK;
}

ag_err data__pack_classify(data__pack_list *list)
{
    unwrap(list);
    find_splits(list);
    ag_err err = find_classes(list);
    if (err) return err;
    give_labels(list);
    return draw_validation(list);
}
