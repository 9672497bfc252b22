/* Private to pack: the list of candidates on its way from the sources to the output.
 *
 *     data__pack_scan       sources -> items, sorted          pack_scan.c, pack_tar.c
 *     data__pack_classify   items get label and split         pack_classes.c
 *     data__pack_decode     an item -> pixels                 pack_decode.c
 *     data__pack_out_*      pixels and columns -> HDF5        pack_out.c
 */
#ifndef DATA_PACK_PARTS_H
#define DATA_PACK_PARTS_H

#include <stddef.h>

#include <hdf5.h>

#include "data/pack.h"
#include "data/publish.h"
#include "picture_parts.h"

typedef struct data__pack_item {
    char *name;           /* relative to its source */
    int64_t offset, size; /* in the archive; offset -1: a file of its own */
    int source;
    int32_t label; /* -1: none */
    uint8_t split; /* data_split */
} data__pack_item;

typedef enum data__pack_kind { DATA__FOLDER, DATA__FILE, DATA__TAR } data__pack_kind;

typedef struct data__pack_source {
    const char *path;
    data__pack_kind kind;
    int fd;       /* of a tar, else -1 */
    int64_t size; /* of a tar */
} data__pack_source;

typedef struct data__pack_list {
    const data_pack_options *options;
    data__pack_source *sources;
    data__pack_item *items;
    int64_t count, room;
    int64_t ignored;        /* files that are not .jpg or .png */
    int64_t other_pictures; /* those of them that are pictures of other kinds */
    char **classes;         /* sorted by bytes; NULL: no labels */
    int class_count;
    bool has_split;
} data__pack_list;

void data__pack_note(const data_pack_options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
ag_err data__pack_no_memory(const char *path);

ag_err data__pack_scan(data__pack_list *list, const data_pack_options *o);
void data__pack_list_free(data__pack_list *list);
/* Takes a file or member into the list, or counts it as ignored, by its name. offset and size as in the item. */
ag_err data__pack_offer(data__pack_list *list, int source, const char *name, int64_t offset, int64_t size);
/* The members of the tar `source`. */
ag_err data__tar_scan(data__pack_list *list, int source);
/* Is this block (512 bytes) a tar header? */
bool data__tar_is_header(const uint8_t *block);

ag_err data__pack_classify(data__pack_list *list);

/* What all pictures become. height 0: undecided. */
typedef struct data__pack_form {
    int height, width, channels;
    bool as_is; /* no resizing: another size is an error */
} data__pack_form;

/* What came of one item. */
typedef struct data__pack_result {
    ag_err err;
    char *reason; /* malloc'ed, if err */
    bool other_size;
    int64_t bytes;
    data__picture_facts facts;
} data__pack_result;

/* Decides what the options leave open, looking at as few items as that takes. */
ag_err data__pack_decide(data__pack_form *form, const data__pack_list *list);
/* Reads, decodes, fits into pixels [height,width,channels]. Thread-safe. */
void data__pack_decode(data__pack_result *r, const data__pack_list *list, int64_t item, const data__pack_form *form,
                       uint8_t *pixels);
/* AG_ERR_USAGE: the sizes found, and what to do. */
ag_err data__pack_sizes_differ(const data__pack_list *list);

typedef struct data__pack_out {
    const char *path;
    data_publish *publish;
    hid_t file;
    int fd; /* the same file, for the pixels */
    int64_t images;
    size_t image_bytes;
} data__pack_out;

/* A temporary file beside the output: finds an unwritable place before any work is done. */
ag_err data__pack_out_begin(data__pack_out *out, const char *path);
ag_err data__pack_out_open(data__pack_out *out, const data__pack_list *list, const data__pack_form *form);
ag_err data__pack_out_images(data__pack_out *out, int64_t n, const uint8_t *pixels);
/* Columns and attributes; `kept` are the items written. Publishes. */
ag_err data__pack_out_finish(data__pack_out *out, const data__pack_list *list, const data__pack_form *form,
                             const int64_t *kept);
void data__pack_out_abort(data__pack_out *out); /* also after finish */

#endif
