/* What the tests of packing share: a folder to work in, with SOURCE/ and the output beside it. */
#ifndef PACK_SAMPLES_H
#define PACK_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/dataset.h"
#include "data/hdf5_tools.h"
#include "data/pack.h"
#include "picture_samples.h"
#include "scratch.h"

static char notes[4096];

static inline int make_source(void **state)
{
    notes[0] = 0;
    return make_folder(state) ? -1 : mkdir(in_folder("source"), 0777);
}

static inline void write_file(const char *name, const void *bytes, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder(name));
    for (char *p = path + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0777);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A PNG whose pixels all have one value: it tells in the output which file it was. */
static inline sample flat_png(int height, int width, int colour, int value)
{
    uint8_t raw[64 * 64 * 4];
    memset(raw, value, sizeof raw);
    return sample_png(&(png_sample){.height = height, .width = width, .colour = colour, .depth = 8, .raw = raw});
}

static inline void put_png(const char *name, int height, int width, int value)
{
    sample s = flat_png(height, width, PNG_COLOR_TYPE_RGB, value);
    write_file(name, s.bytes, s.size);
    free(s.bytes);
}

static inline void put_grey(const char *name, int value)
{
    sample s = flat_png(8, 8, PNG_COLOR_TYPE_GRAY, value);
    write_file(name, s.bytes, s.size);
    free(s.bytes);
}

static inline void put_photo(const char *name, int height, int width, unsigned seed)
{
    sample s = sample_photo(height, width, seed);
    write_file(name, s.bytes, s.size);
    free(s.bytes);
}

static inline void keep_note(void *user, const char *text)
{
    (void)user;
    snprintf(notes + strlen(notes), sizeof notes - strlen(notes), "%s\n", text);
}

/* Packs one source, `name` in the folder, into out.h5 with the options given. */
static inline ag_err pack(const char *name, data_pack_options o, data_pack_report *r)
{
    const char *source = in_folder(name);
    o.sources = &source, o.source_count = 1, o.output = in_folder("out.h5"), o.note = keep_note;
    return data_pack(&o, r);
}

static inline void pack_well(const char *name, data_pack_options o, data_pack_report *r)
{
    if (pack(name, o, r)) fail_msg("%s", ag_error_message());
}

/* The source alone is left: no output, no list, no temporary file. */
static inline void assert_nothing_written(int others) { assert_int_equal(entries(), 1 + others); }

typedef struct packed {
    data_set *set;
    const data_set_info *info;
    char **names;
    uint8_t first[64]; /* first value of each image */
    int64_t labels[64];
} packed;

static inline packed open_packed(void)
{
    packed p = {0};
    hid_t file;
    if (data_set_open(&p.set, in_folder("out.h5"), NULL)) fail_msg("%s", ag_error_message());
    p.info = data_set_get_info(p.set);
    const int64_t n = p.info->count < 64 ? p.info->count : 64;
    const size_t image = (size_t)(p.info->height * p.info->width * p.info->channels);
    uint8_t *pixels = malloc(image);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(data_set_read(p.set, 1, &i, pixels), AG_OK);
        assert_int_equal(data_set_read_labels(p.set, 1, &i, &p.labels[i]), AG_OK);
        p.first[i] = pixels[0];
    }
    free(pixels);
    assert_int_equal(data_h5_open(&file, in_folder("out.h5"), AG_ERR_DATA), AG_OK);
    hid_t dataset = H5Dopen2(file, "names", H5P_DEFAULT), type = H5Dget_type(dataset);
    assert_true(H5Tis_variable_str(type) > 0);
    assert_int_equal(H5Tget_cset(type), H5T_CSET_UTF8);
    p.names = calloc((size_t)p.info->count, sizeof *p.names);
    assert_true(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, p.names) >= 0);
    H5Tclose(type), H5Dclose(dataset), H5Fclose(file);
    return p;
}

static inline void close_packed(packed *p)
{
    for (int64_t i = 0; i < p->info->count; i++) free(p->names[i]);
    free(p->names);
    data_set_close(p->set);
}

/* Two good pictures among five bad ones of five kinds. */
static inline void put_bad_company(void)
{
    put_png("source/0.png", 8, 8, 11);
    write_file("source/1-text.jpg", "This is a text.\n", 16);
    sample s = sample_photo(40, 40, 1);
    write_file("source/2-cut.jpg", s.bytes, s.size * 2 / 3);
    sample_jpeg_lie(&s, 60000, 60000);
    write_file("source/3-huge.jpg", s.bytes, s.size);
    free(s.bytes);
    write_file("source/4-empty.png", "", 0);
    assert_int_equal(symlink("nowhere.png", in_folder("source/5-gone.png")), 0);
    put_png("source/6.png", 8, 8, 66);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_source, remove_folder)

#endif
