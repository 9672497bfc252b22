/* Packing pictures: folders, single files and tar archives of JPEG and PNG become one HDF5 data set (formats.md 6.2):
 *
 *     /images u8 [N,H,W,C]   /labels i64 [N]   /split u8 [N]   /names UTF-8 [N]
 *     attributes: format, format_version, layout, range, colorspace, source, created, classes
 *
 * Pictures are ordered by the bytes of their relative path, so the file does not depend on the machine or the number of
 * threads. Labels and split come from folders:
 *
 *     SOURCE/x.jpg                  no labels, which is normal
 *     SOURCE/CLASS/.../x.jpg        label = rank of CLASS by bytes; the names become the attribute `classes`
 *     SOURCE/train|val|validation|test/...    a split each, if SOURCE holds pictures nowhere else; classes lie below
 *
 * A picture beside class folders has label -1. In a tar, a folder that wraps all members is taken for SOURCE.
 *
 *     const char *sources[] = {"photos"};
 *     data_pack_options o = {.sources = sources, .source_count = 1, .output = "photos.h5", .height = 64, .width = 64};
 *     data_pack_report report;
 *     if ((err = data_pack(&o, &report))) return err;
 */
#ifndef DATA_PACK_H
#define DATA_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "data/picture.h"

typedef struct data_pack_progress {
    int64_t done, total; /* pictures looked at, of all candidates */
    int64_t skipped;     /* bad ones among them */
    int64_t bytes;       /* read so far */
    double seconds;      /* since data_pack began */
} data_pack_progress;

/* Zero is the usual value of every field that is not marked "needed". */
typedef struct data_pack_options {
    const char *const *sources; /* needed: folders, tar files, pictures */
    int source_count;
    const char *output; /* needed: replaced in one step when all is done, untouched if not */
    int height,
        width;    /* pictures are scaled to cover it and cropped at the centre; 0: all have one size, kept as it is */
    int channels; /* 1, 3; 0: 3 if any picture has colour, else 1 */
    data_filter filter;
    double val_fraction; /* 0..1: share of the training pictures put into the validation split, by a hash of the path */
    bool strict;         /* the first bad picture ends it: AG_ERR_DATA, nothing written */
    double max_corrupt;  /* 0..1: a larger share of bad pictures is AG_ERR_DATA; 0: any share, if one picture is good */
    int threads;         /* 0: all that OpenMP offers */
    /* Called by the thread that called data_pack, at most ten times a second and once at the end; not 0 stops: AG_ERR_FAILED. */
    int (*progress)(void *user, const data_pack_progress *p);
    /* One sentence about something the user should know (labels found, what was ignored). NULL: not told. */
    void (*note)(void *user, const char *text);
    void *user;
} data_pack_options;

typedef struct data_pack_report {
    int64_t images;  /* written */
    int64_t skipped; /* bad: listed in OUTPUT.skipped.txt as PATH<TAB>REASON */
    int64_t ignored; /* files that are not JPEG or PNG by their names */
    int64_t in_split[3];
    int64_t unlabelled; /* label -1, if there are labels at all */
    int classes;        /* 0: no labels */
    int height, width, channels;
    /* How many of the images were ... */
    int64_t grey_to_colour, colour_to_grey, cmyk, palette, sixteen_bit, alpha, rotated, enlarged;
    int64_t bytes; /* of the sources, read */
    double seconds;
} data_pack_report;

/* Errors: AG_ERR_USAGE options out of range, pictures of several sizes without a size asked for; AG_ERR_IO a source that is missing
 * or unreadable, an output that cannot be written; AG_ERR_DATA nothing to pack, all bad, a hostile or compressed archive, a
 * bad picture with `strict`. On failure the output and its list of skipped files are as before. `report` may be NULL. */
ag_err data_pack(const data_pack_options *options, data_pack_report *report);

#endif
