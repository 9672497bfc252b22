/* Packing: which pictures end up where in the data set, what is skipped, what is refused, and that a failure leaves
 * everything as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/dataset.h"
#include "data/hdf5_tools.h"
#include "data/pack.h"
#include "picture_samples.h"

/* ---- a folder to work in: SOURCE/ and the output beside it ---- */

static char folder[64];
static char notes[4096];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tessera-pack-XXXXXX");
    notes[0] = 0;
    char source[96];
    if (!mkdtemp(folder)) return -1;
    snprintf(source, sizeof source, "%s/source", folder);
    return mkdir(source, 0777);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[8][512];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[0], "%s%s%s", folder, *name ? "/" : "", name);
    return path[turn];
}

static void write_file(const char *name, const void *bytes, size_t size)
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

static uint8_t *read_file(const char *name, size_t *size)
{
    FILE *f = fopen(in_folder(name), "rb");
    if (!f) return NULL;
    uint8_t *bytes = malloc(1 << 26);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 26, f);
    fclose(f);
    bytes[*size] = 0;
    return bytes;
}

/* A PNG whose pixels all have one value: it tells in the output which file it was. */
static sample flat_png(int height, int width, int colour, int value)
{
    uint8_t raw[64 * 64 * 4];
    memset(raw, value, sizeof raw);
    return sample_png(&(png_sample){.height = height, .width = width, .colour = colour, .depth = 8, .raw = raw});
}

static void put_png(const char *name, int height, int width, int value)
{
    sample s = flat_png(height, width, PNG_COLOR_TYPE_RGB, value);
    write_file(name, s.bytes, s.size);
    free(s.bytes);
}

static void put_grey(const char *name, int value)
{
    sample s = flat_png(8, 8, PNG_COLOR_TYPE_GRAY, value);
    write_file(name, s.bytes, s.size);
    free(s.bytes);
}

static void put_photo(const char *name, int height, int width, unsigned seed)
{
    sample s = sample_photo(height, width, seed);
    write_file(name, s.bytes, s.size);
    free(s.bytes);
}

static void keep_note(void *user, const char *text)
{
    (void)user;
    snprintf(notes + strlen(notes), sizeof notes - strlen(notes), "%s\n", text);
}

/* Packs one source, `name` in the folder, into out.h5 with the options given. */
static ag_err pack(const char *name, data_pack_options o, data_pack_report *r)
{
    const char *source = in_folder(name);
    o.sources = &source, o.source_count = 1, o.output = in_folder("out.h5"), o.note = keep_note;
    return data_pack(&o, r);
}

static void pack_well(const char *name, data_pack_options o, data_pack_report *r)
{
    if (pack(name, o, r)) fail_msg("%s", ag_error_message());
}

static void assert_says(const char *word)
{
    if (!strstr(ag_error_message(), word)) fail_msg("'%s' is not in '%s'", word, ag_error_message());
}

static int entries(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2;
}

/* The source alone is left: no output, no list, no temporary file. */
static void assert_nothing_written(int others) { assert_int_equal(entries(), 1 + others); }

typedef struct packed {
    data_set *set;
    const data_set_info *info;
    char **names;
    uint8_t first[64]; /* first value of each image */
    int64_t labels[64];
} packed;

static packed open_packed(void)
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

static void close_packed(packed *p)
{
    for (int64_t i = 0; i < p->info->count; i++) free(p->names[i]);
    free(p->names);
    data_set_close(p->set);
}

/* ---- labels, splits, order ---- */

static void pictures_without_class_folders_have_no_labels(void **state)
{
    (void)state;
    put_png("source/b.png", 4, 6, 20);
    put_png("source/a.png", 4, 6, 10);
    put_png("source/B.PNG", 4, 6, 30);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 3);
    assert_int_equal(r.classes, 0);
    assert_int_equal(r.height, 4);
    assert_int_equal(r.width, 6);
    assert_int_equal(r.channels, 3);
    packed p = open_packed();
    assert_int_equal(p.info->count, 3);
    assert_int_equal(p.info->height, 4);
    assert_int_equal(p.info->width, 6);
    assert_int_equal(p.info->channels, 3);
    assert_false(p.info->has_labels);
    assert_false(p.info->has_split);
    assert_string_equal(p.names[0], "B.PNG"); /* by bytes */
    assert_string_equal(p.names[1], "a.png");
    assert_string_equal(p.names[2], "b.png");
    assert_int_equal(p.first[0], 30);
    assert_int_equal(p.first[1], 10);
    assert_int_equal(p.first[2], 20);
    close_packed(&p);
}

static void class_folders_give_labels_in_byte_order_and_nest(void **state)
{
    (void)state;
    put_png("source/zebra/x.png", 4, 4, 1);
    put_png("source/ant/deep/er/x.png", 4, 4, 2);
    put_png("source/ant/y.png", 4, 4, 3);
    put_png("source/ant hill/y.png", 4, 4, 4);
    put_png("source/Bee/z.png", 4, 4, 5);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 4);
    assert_int_equal(r.unlabelled, 0);
    packed p = open_packed();
    assert_true(p.info->has_labels);
    static const char *const classes[] = {"Bee", "ant", "ant hill", "zebra"};
    static const char *const class_of[] = {[1] = "zebra", "ant", "ant", "ant hill", "Bee"};
    for (int i = 0; i < 4; i++) assert_string_equal(data_set_class_name(p.set, i), classes[i]);
    for (int i = 0; i < 5; i++) assert_string_equal(classes[p.labels[i]], class_of[p.first[i]]);
    close_packed(&p);
}

static void pictures_beside_class_folders_have_no_label_and_are_mentioned(void **state)
{
    (void)state;
    put_png("source/a/x.png", 4, 4, 1);
    put_png("source/loose.png", 4, 4, 2);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.unlabelled, 1);
    assert_non_null(strstr(notes, "1 pictures lie beside the class folders"));
    packed p = open_packed();
    assert_int_equal(p.labels[0], 0);
    assert_int_equal(p.labels[1], -1);
    close_packed(&p);
}

static void split_folders_give_the_split_and_classes_below_them(void **state)
{
    (void)state;
    put_png("source/train/cat/1.png", 4, 4, 1);
    put_png("source/train/dog/2.png", 4, 4, 2);
    put_png("source/validation/dog/3.png", 4, 4, 3);
    put_png("source/test/cat/4.png", 4, 4, 4);
    put_png("source/test/emu/5.png", 4, 4, 5);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(r.in_split[i], i == 1 ? 1 : 2);
    packed p = open_packed();
    assert_true(p.info->has_split);
    static const int label_of[] = {-9, 0, 1, 1, 0, 2}, split_of[] = {-9, 0, 0, 1, 2, 2};
    for (int i = 0; i < 5; i++) assert_int_equal(p.labels[i], label_of[p.first[i]]);
    for (int split = 0; split < 3; split++) {
        int64_t n;
        const int64_t *at = data_set_indices(p.set, (data_split)split, &n);
        assert_int_equal(n, r.in_split[split]);
        for (int64_t i = 0; i < n; i++) assert_int_equal(split_of[p.first[at[i]]], split);
    }
    close_packed(&p);
}

static void split_names_beside_other_folders_are_classes(void **state)
{
    (void)state;
    put_png("source/train/1.png", 4, 4, 1);
    put_png("source/bus/2.png", 4, 4, 2);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 2);
    assert_non_null(strstr(notes, "taken as classes"));
    packed p = open_packed();
    assert_false(p.info->has_split);
    assert_string_equal(data_set_class_name(p.set, 1), "train");
    close_packed(&p);
}

static void validation_share_is_drawn_by_name_and_survives_added_files(void **state)
{
    (void)state;
    char name[64];
    uint8_t split[200];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "source/%d.png", 1000 + 2 * i);
        put_png(name, 1, 1, i);
    }
    data_pack_report r;
    pack_well("source", (data_pack_options){.val_fraction = 0.25}, &r);
    assert_in_range(r.in_split[1], 30, 70);
    assert_int_equal(r.in_split[0] + r.in_split[1], 200);
    hid_t file;
    int64_t n = 200;
    assert_int_equal(data_h5_open(&file, in_folder("out.h5"), AG_ERR_DATA), AG_OK);
    assert_int_equal(data_h5_read(file, "out", "split", AG_ERR_DATA, H5T_NATIVE_UINT8, 1, &n, split), AG_OK);
    H5Fclose(file);
    put_png("source/1001.png", 1, 1, 77);
    pack_well("source", (data_pack_options){.val_fraction = 0.25}, &r);
    uint8_t again[201];
    n = 201;
    assert_int_equal(data_h5_open(&file, in_folder("out.h5"), AG_ERR_DATA), AG_OK);
    assert_int_equal(data_h5_read(file, "out", "split", AG_ERR_DATA, H5T_NATIVE_UINT8, 1, &n, again), AG_OK);
    H5Fclose(file);
    assert_int_equal(again[0], split[0]);
    for (int i = 1; i < 200; i++) assert_int_equal(again[i + 1], split[i]);
}

static void validation_share_with_a_validation_folder_is_refused(void **state)
{
    (void)state;
    put_png("source/train/1.png", 4, 4, 1);
    put_png("source/val/2.png", 4, 4, 2);
    assert_int_equal(pack("source", (data_pack_options){.val_fraction = 0.1}, NULL), AG_ERR_USAGE);
    assert_nothing_written(0);
}

static void attributes_say_what_the_file_is(void **state)
{
    (void)state;
    put_png("source/1.png", 4, 4, 1);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    hid_t file;
    assert_int_equal(data_h5_open(&file, in_folder("out.h5"), AG_ERR_DATA), AG_OK);
    static const char *const expected[][2] = {
        {"format", "tessera-images"}, {"layout", "NHWC"}, {"range", "0,255"}, {"colorspace", "sRGB"}};
    char *text;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(data_h5_get_string(file, "out", expected[i][0], &text), AG_OK);
        assert_string_equal(text, expected[i][1]);
        free(text);
    }
    int64_t version = 0;
    assert_int_equal(data_h5_get_int(file, "out", "format_version", &version), AG_OK);
    assert_int_equal(version, 1);
    assert_int_equal(data_h5_get_string(file, "out", "source", &text), AG_OK);
    assert_string_equal(text, in_folder("source"));
    free(text);
    assert_int_equal(data_h5_get_string(file, "out", "created", &text), AG_OK);
    assert_int_equal(strlen(text), 20);
    assert_int_equal(text[10], 'T');
    free(text);
    H5Fclose(file);
}

static void hidden_files_are_passed_over_and_other_files_counted(void **state)
{
    (void)state;
    put_png("source/1.png", 4, 4, 1);
    put_png("source/.hidden.png", 4, 4, 2);
    put_png("source/.thumbs/3.png", 4, 4, 3);
    write_file("source/readme.txt", "text", 4);
    write_file("source/no_dot", "text", 4);
    write_file("source/a.webp", "RIFF", 4);
    assert_int_equal(mkfifo(in_folder("source/pipe.png"), 0666), 0);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 1);
    assert_int_equal(r.ignored, 4);
    assert_int_equal(r.skipped, 0);
    assert_non_null(strstr(notes, "pictures of other kinds"));
}

static void folders_linked_in_circles_are_read_once(void **state)
{
    (void)state;
    put_png("source/b/1.png", 4, 4, 1);
    put_png("elsewhere/2.png", 4, 4, 2);
    assert_int_equal(symlink("..", in_folder("source/b/up")), 0);
    assert_int_equal(symlink("b", in_folder("source/a")), 0); /* comes first by name: the real folder wins */
    assert_int_equal(symlink("../elsewhere", in_folder("source/far")), 0);
    assert_int_equal(symlink("1.png", in_folder("source/b/same.png")), 0);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    packed p = open_packed();
    assert_int_equal(p.info->count, 3);
    assert_string_equal(p.names[0], "b/1.png");
    assert_string_equal(p.names[1], "b/same.png");
    assert_string_equal(p.names[2], "far/2.png");
    close_packed(&p);
}

static void names_that_are_not_utf8_become_utf8(void **state)
{
    (void)state;
    put_png("source/\xff\xc3\xa9\xe2\x82.png", 4, 4, 1);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    packed p = open_packed();
    assert_string_equal(p.names[0], "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd.png");
    close_packed(&p);
}

/* ---- pixels ---- */

static void sizes_that_differ_need_a_size(void **state)
{
    (void)state;
    put_png("source/1.png", 4, 6, 1);
    put_png("source/2.png", 4, 6, 1);
    put_png("source/3.png", 5, 9, 1);
    assert_int_equal(pack("source", (data_pack_options){0}, NULL), AG_ERR_USAGE);
    assert_says("6x4 (2), 9x5 (1)");
    assert_says("--size");
    assert_nothing_written(0);
    data_pack_report r;
    pack_well("source", (data_pack_options){.height = 5, .width = 6}, &r);
    assert_int_equal(r.images, 3);
    assert_int_equal(r.enlarged, 2);
    packed p = open_packed();
    assert_int_equal(p.info->height, 5);
    assert_int_equal(p.info->width, 6);
    close_packed(&p);
}

static void pictures_are_fitted_and_cropped_as_data_picture_fit_does(void **state)
{
    (void)state;
    put_photo("source/1.jpg", 90, 60, 1);
    data_pack_report r;
    pack_well("source", (data_pack_options){.height = 32, .width = 40}, &r);
    data_picture whole, fitted;
    assert_int_equal(data_picture_read(&whole, in_folder("source/1.jpg"), NULL), AG_OK);
    assert_int_equal(data_picture_fit(&fitted, &whole, 32, 40), AG_OK);
    packed p = open_packed();
    uint8_t pixels[32 * 40 * 3];
    const int64_t zero = 0;
    assert_int_equal(data_set_read(p.set, 1, &zero, pixels), AG_OK);
    assert_memory_equal(pixels, fitted.pixels, sizeof pixels);
    close_packed(&p);
    data_picture_free(&whole), data_picture_free(&fitted);
}

static void channels_follow_the_pictures_or_the_option(void **state)
{
    (void)state;
    data_pack_report r;
    put_grey("source/1.png", 50);
    put_grey("source/2.png", 60);
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.channels, 1);
    assert_non_null(strstr(notes, "channels: 1"));
    assert_int_equal(r.grey_to_colour, 0);
    pack_well("source", (data_pack_options){.channels = 3}, &r);
    assert_int_equal(r.channels, 3);
    assert_int_equal(r.grey_to_colour, 2);
    put_png("source/3.png", 8, 8, 70);
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.channels, 3);
    assert_int_equal(r.grey_to_colour, 2);
    pack_well("source", (data_pack_options){.channels = 1}, &r);
    assert_int_equal(r.channels, 1);
    assert_int_equal(r.colour_to_grey, 1);
    packed p = open_packed();
    for (int i = 0; i < 3; i++) assert_int_equal(p.first[i], 50 + 10 * i);
    close_packed(&p);
}

static void a_damaged_colour_picture_does_not_decide_the_channels(void **state)
{
    (void)state;
    put_grey("source/2.png", 50);
    sample s = sample_photo(8, 8, 1);
    write_file("source/1.jpg", s.bytes, s.size - 20);
    free(s.bytes);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.channels, 1);
    assert_int_equal(r.skipped, 1);
}

static void conversions_are_counted(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(16, 16, 4, 1);
    sample s = sample_jpeg(&(jpeg_sample){.height = 16, .width = 16, .in = JCS_CMYK, .stored = JCS_CMYK}, pixels);
    write_file("source/cmyk.jpg", s.bytes, s.size), free(s.bytes);
    s = sample_jpeg(&(jpeg_sample){.height = 16, .width = 16, .in = JCS_RGB, .stored = JCS_YCbCr, .orientation = 8},
                    pixels);
    write_file("source/turned.jpg", s.bytes, s.size), free(s.bytes);
    s = sample_jpeg(&(jpeg_sample){.height = 16, .width = 16, .in = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE}, pixels);
    write_file("source/grey.jpg", s.bytes, s.size), free(s.bytes);
    const png_color palette[2] = {{1, 2, 3}, {200, 100, 0}};
    for (int i = 0; i < 256; i++) pixels[i] &= 1;
    s = sample_png(&(png_sample){.height = 16,
                                 .width = 16,
                                 .colour = PNG_COLOR_TYPE_PALETTE,
                                 .depth = 8,
                                 .raw = pixels,
                                 .palette = palette,
                                 .palette_size = 2});
    write_file("source/palette.png", s.bytes, s.size), free(s.bytes), free(pixels);
    pixels = sample_pixels(16, 16, 8, 1);
    s = sample_png(
        &(png_sample){.height = 16, .width = 16, .colour = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16, .raw = pixels});
    write_file("source/alpha16.png", s.bytes, s.size), free(s.bytes), free(pixels);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 5);
    assert_int_equal(r.cmyk, 1);
    assert_int_equal(r.rotated, 1);
    assert_int_equal(r.grey_to_colour, 1);
    assert_int_equal(r.palette, 1);
    assert_int_equal(r.sixteen_bit, 1);
    assert_int_equal(r.alpha, 1);
    assert_int_equal(r.enlarged, 0);
}

/* ---- bad files ---- */

/* Two good pictures among five bad ones of five kinds. */
static void put_bad_company(void)
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

static void bad_pictures_are_skipped_counted_and_listed(void **state)
{
    (void)state;
    put_bad_company();
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 2);
    assert_int_equal(r.skipped, 5);
    packed p = open_packed();
    assert_int_equal(p.info->count, 2);
    assert_string_equal(p.names[1], "6.png");
    assert_int_equal(p.first[0], 11);
    assert_int_equal(p.first[1], 66);
    close_packed(&p);
    size_t size;
    char *list = (char *)read_file("out.h5.skipped.txt", &size);
    assert_non_null(list);
    static const char *const reasons[][2] = {{"1-text.jpg\t", "neither JPEG nor PNG"},
                                             {"2-cut.jpg\t", "Premature end"},
                                             {"3-huge.jpg\t", "60000 x 60000"},
                                             {"4-empty.png\t", "is empty"},
                                             {"5-gone.png\t", "no such file"}};
    char *line = list;
    for (int i = 0; i < 5; i++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        assert_int_equal(strncmp(line, reasons[i][0], strlen(reasons[i][0])), 0);
        assert_non_null(strstr(line, reasons[i][1]));
        line = end + 1;
    }
    assert_int_equal(*line, 0);
    free(list);
    assert_int_equal(entries(), 3);
}

static void the_list_of_an_earlier_run_goes_when_nothing_is_skipped(void **state)
{
    (void)state;
    put_png("source/0.png", 8, 8, 11);
    write_file("out.h5.skipped.txt", "old", 3);
    data_pack_report r;
    pack_well("source", (data_pack_options){0}, &r);
    assert_int_equal(access(in_folder("out.h5.skipped.txt"), F_OK), -1);
}

static void strict_stops_at_the_first_bad_picture_and_leaves_the_old_output(void **state)
{
    (void)state;
    put_bad_company();
    assert_int_equal(pack("source", (data_pack_options){.strict = true}, NULL), AG_ERR_DATA);
    assert_says("1-text.jpg");
    assert_nothing_written(0);
    write_file("out.h5", "old", 3);
    assert_int_equal(pack("source", (data_pack_options){.strict = true, .threads = 2}, NULL), AG_ERR_DATA);
    assert_says("1-text.jpg");
    size_t size;
    char *old = (char *)read_file("out.h5", &size);
    assert_string_equal(old, "old");
    free(old);
    assert_nothing_written(1);
}

static void a_share_of_bad_pictures_can_be_too_large(void **state)
{
    (void)state;
    put_bad_company();
    assert_int_equal(pack("source", (data_pack_options){.max_corrupt = 0.5}, NULL), AG_ERR_DATA);
    assert_says("5 of 7 pictures are bad");
    assert_nothing_written(0);
    data_pack_report r;
    pack_well("source", (data_pack_options){.max_corrupt = 0.8}, &r);
    assert_int_equal(r.images, 2);
}

static void only_bad_pictures_is_an_error(void **state)
{
    (void)state;
    write_file("source/1.jpg", "This is a text.\n", 16);
    write_file("source/2.jpg", "This is a text.\n", 16);
    for (int size = 0; size <= 8; size += 8) {
        assert_int_equal(pack("source", (data_pack_options){.height = size, .width = size}, NULL), AG_ERR_DATA);
        assert_says("none of 2 pictures can be read");
        assert_says("1.jpg");
        assert_nothing_written(0);
    }
}

static void empty_and_missing_sources_are_errors(void **state)
{
    (void)state;
    assert_int_equal(pack("source", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("holds no JPEG or PNG picture");
    write_file("source/readme.txt", "text", 4);
    assert_int_equal(pack("source", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("1 other files");
    assert_int_equal(pack("nothing-here", (data_pack_options){0}, NULL), AG_ERR_IO);
    assert_says("nothing-here");
    assert_int_equal(pack("source/readme.txt", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("neither a folder");
    assert_nothing_written(0);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    put_png("source/0.png", 8, 8, 11);
    const data_pack_options bad[] = {{.height = -1, .width = -1},
                                     {.height = 8},
                                     {.width = 8},
                                     {.height = 8, .width = 99999},
                                     {.channels = 2},
                                     {.channels = -1},
                                     {.val_fraction = -0.1},
                                     {.val_fraction = 1.1},
                                     {.max_corrupt = 2},
                                     {.threads = -1},
                                     {.filter = (data_filter)7}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(pack("source", bad[i], NULL), AG_ERR_USAGE);
    assert_int_equal(data_pack(&(data_pack_options){.output = "x.h5"}, NULL), AG_ERR_USAGE);
    assert_nothing_written(0);
}

/* ---- the output ---- */

static void unwritable_outputs_are_errors(void **state)
{
    (void)state;
    put_png("source/0.png", 8, 8, 11);
    const char *source = in_folder("source");
    char missing[256];
    snprintf(missing, sizeof missing, "%s", in_folder("no/such/out.h5"));
    const char *const outputs[] = {missing, "/proc/out.h5", folder};
    for (int i = 0; i < 3; i++) {
        const data_pack_options o = {.sources = &source, .source_count = 1, .output = outputs[i]};
        assert_int_equal(data_pack(&o, NULL), AG_ERR_IO);
        assert_says(outputs[i]);
    }
    assert_nothing_written(0);
}

static void the_output_cannot_be_a_source(void **state)
{
    (void)state;
    put_png("out.h5", 8, 8, 11); /* by its content a picture */
    assert_int_equal(pack("out.h5", (data_pack_options){0}, NULL), AG_ERR_USAGE);
    assert_says("source and the output");
    assert_nothing_written(1);
}

static void a_full_disk_leaves_the_old_output(void **state)
{
    (void)state;
    put_photo("source/0.jpg", 64, 64, 1);
    write_file("out.h5", "old", 3);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit <= 16384; limit += 2048) { /* the whole file takes more */
        const struct rlimit small = {limit, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const ag_err err = pack("source", (data_pack_options){0}, NULL);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(err, AG_ERR_IO);
        assert_says("out.h5: file larger than the limit");
        size_t size;
        char *old = (char *)read_file("out.h5", &size);
        assert_string_equal(old, "old");
        free(old);
        assert_nothing_written(1);
    }
    signal(SIGXFSZ, handler);
}

static void one_thread_and_two_write_the_same_bytes(void **state)
{
    (void)state;
    char name[64];
    for (int i = 0; i < 26; i++) {
        snprintf(name, sizeof name, "source/%c/%d.jpg", 'a' + i % 3, i);
        if (i % 7 == 3)
            write_file(name, "bad", 3);
        else
            put_photo(name, 20 + i, 50 - i, (unsigned)i);
    }
    uint8_t *first = NULL;
    size_t first_size = 0;
    setenv("SOURCE_DATE_EPOCH", "1000000000", 1);
    for (int threads = 1; threads <= 2; threads++) { /* 768 KiB an image: several windows */
        data_pack_report r;
        pack_well("source", (data_pack_options){.height = 512, .width = 512, .threads = threads}, &r);
        assert_int_equal(r.images, 22);
        assert_int_equal(r.skipped, 4);
        size_t size;
        uint8_t *bytes = read_file("out.h5", &size);
        assert_non_null(bytes);
        if (threads == 1) {
            first = bytes, first_size = size;
            continue;
        }
        assert_int_equal(size, first_size);
        assert_memory_equal(bytes, first, size);
        free(bytes);
    }
    free(first);
    unsetenv("SOURCE_DATE_EPOCH");
    packed p = open_packed();
    for (int64_t i = 0; i < p.info->count; i++) { /* every image is where its name is */
        data_picture whole, fitted;
        uint8_t *pixels = malloc(512 * 512 * 3);
        snprintf(name, sizeof name, "source/%s", p.names[i]);
        assert_int_equal(data_picture_read(&whole, in_folder(name), NULL), AG_OK);
        assert_int_equal(data_picture_fit(&fitted, &whole, 512, 512), AG_OK);
        assert_int_equal(data_set_read(p.set, 1, &i, pixels), AG_OK);
        assert_memory_equal(pixels, fitted.pixels, 512 * 512 * 3);
        data_picture_free(&whole), data_picture_free(&fitted);
        free(pixels);
    }
    close_packed(&p);
}

typedef struct watch {
    int calls, stop;
    data_pack_progress last;
} watch;

static int keep_progress(void *user, const data_pack_progress *p)
{
    watch *w = user;
    w->calls++;
    w->last = *p;
    return w->stop;
}

static void progress_ends_at_the_total_and_can_stop(void **state)
{
    (void)state;
    put_bad_company();
    const char *source = in_folder("source"), *output = in_folder("out.h5");
    watch w = {0};
    data_pack_options o = {
        .sources = &source, .source_count = 1, .output = output, .progress = keep_progress, .user = &w};
    assert_int_equal(data_pack(&o, NULL), AG_OK);
    assert_true(w.calls >= 1);
    assert_int_equal(w.last.done, 7);
    assert_int_equal(w.last.total, 7);
    assert_int_equal(w.last.skipped, 5);
    assert_true(w.last.bytes > 0);
    assert_int_equal(unlink(output), 0);
    assert_int_equal(unlink(in_folder("out.h5.skipped.txt")), 0);
    w.stop = 1;
    assert_int_equal(data_pack(&o, NULL), AG_ERR_FAILED);
    assert_nothing_written(0);
}

static void several_sources_become_one_set(void **state)
{
    (void)state;
    put_png("source/a/1.png", 8, 8, 1);
    put_png("more/b/2.png", 8, 8, 2);
    put_png("more/a/1.png", 8, 8, 3);
    put_png("single.jpg", 8, 8, 4); /* a PNG by its content */
    const char *sources[3];
    sources[0] = in_folder("source"), sources[1] = in_folder("more"), sources[2] = in_folder("single.jpg");
    const data_pack_options o = {.sources = sources, .source_count = 3, .output = in_folder("out.h5")};
    assert_int_equal(data_pack(&o, NULL), AG_OK);
    packed p = open_packed();
    assert_int_equal(p.info->count, 4);
    static const int value[] = {1, 3, 2, 4}, label[] = {0, 0, 1, -1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(p.first[i], value[i]);
        assert_int_equal(p.labels[i], label[i]);
    }
    close_packed(&p);
}

/* ---- tar ---- */

typedef struct tar_file {
    uint8_t bytes[1 << 23];
    size_t size;
} tar_file;

static tar_file shard;

static void tar_sum(uint8_t *h)
{
    unsigned sum = 8 * ' ';
    for (int i = 0; i < 512; i++)
        if (i < 148 || i >= 156) sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    h[155] = ' ';
}

/* A member; `size` is what the header says. Returns the header. */
static uint8_t *tar_put(const char *prefix, const char *name, char type, const void *bytes, size_t there, uint64_t size)
{
    uint8_t *h = shard.bytes + shard.size;
    assert_true(shard.size + 1024 + there < sizeof shard.bytes);
    memset(h, 0, 512);
    memcpy(h, name, strnlen(name, 100));
    memcpy(h + 100, "0000444", 8);
    snprintf((char *)h + 124, 12, "%011llo", (unsigned long long)size);
    h[156] = (uint8_t)type;
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    memcpy(h + 345, prefix, strlen(prefix));
    tar_sum(h);
    memset(h + 512, 0, (there + 511) / 512 * 512);
    memcpy(h + 512, bytes, there);
    shard.size += 512 + (there + 511) / 512 * 512;
    return h;
}

static uint8_t *tar_png(const char *prefix, const char *name, int value)
{
    sample s = flat_png(8, 8, PNG_COLOR_TYPE_RGB, value);
    uint8_t *h = tar_put(prefix, name, '0', s.bytes, s.size, s.size);
    free(s.bytes);
    return h;
}

static void tar_end(const char *name)
{
    memset(shard.bytes + shard.size, 0, 1024);
    shard.size += 1024;
    write_file(name, shard.bytes, shard.size);
}

static void tar_begin(void) { shard.size = 0; }

static void tar_members_are_read_with_every_kind_of_name(void **state)
{
    (void)state;
    char long_name[300], record[400];
    tar_begin();
    tar_put("", "./", '5', "", 0, 0);
    tar_png("", "./cat/1.png", 1);
    tar_png("dog", "2.png", 2);
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name, "cat/", 4);
    strcpy(long_name + 290, ".png");
    snprintf(record, sizeof record, "%d path=%s\n", 5 + 4 + (int)strlen(long_name) + 1, long_name);
    assert_int_equal(strlen(record), atoi(record));
    tar_put("", "pax", 'x', record, strlen(record), strlen(record));
    tar_png("", "cat/short.png", 3);
    long_name[4] = 'y';
    tar_put("", "././@LongLink", 'L', long_name, strlen(long_name) + 1, strlen(long_name) + 1);
    uint8_t *h = tar_png("", "cat/short2.png", 4);
    memcpy(h + 257, "ustar  ", 8); /* GNU: no prefix, other things there */
    memcpy(h + 345, "garbage", 7);
    tar_sum(h);
    h = tar_png("", "dog/5.png", 5); /* size in base 256 */
    const unsigned size = (unsigned)strtoul((char *)h + 124, NULL, 8);
    memset(h + 124, 0, 12);
    h[124] = 0x80, h[134] = (uint8_t)(size >> 8), h[135] = (uint8_t)size;
    tar_sum(h);
    tar_put("", "pax_global_header", 'g', "17 comment=hello\n", 17, 17);
    tar_put("", "cat/link.png", '2', "", 0, 0);
    tar_put("", "cat/hard.png", '1', "", 0, 4096); /* has no data, whatever it says */
    tar_png("", "cat/._1.png", 9);
    tar_png("", "__MACOSX/cat/1.png", 9);
    tar_put("", "cat/readme.txt", '0', "text", 4, 4);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 5);
    assert_int_equal(r.ignored, 1);
    assert_int_equal(r.classes, 2);
    packed p = open_packed();
    static const int value[] = {1, 3, 4, 2, 5}, label[] = {0, 0, 0, 1, 1};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(p.first[i], value[i]);
        assert_int_equal(p.labels[i], label[i]);
    }
    assert_string_equal(p.names[2], long_name);
    close_packed(&p);
}

static void the_folder_that_wraps_a_tar_is_no_class(void **state)
{
    (void)state;
    tar_begin();
    tar_png("", "photos/1.png", 1);
    tar_png("", "photos/2.png", 2);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 0);
    tar_begin();
    tar_png("", "set/train/cat/1.png", 1);
    tar_png("", "set/test/dog/2.png", 2);
    tar_end("a.tar");
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 2);
    assert_int_equal(r.in_split[0], 1);
    assert_int_equal(r.in_split[2], 1);
    packed p = open_packed();
    assert_string_equal(p.names[0], "test/dog/2.png");
    close_packed(&p);
}

static void a_bad_picture_in_a_tar_is_listed_with_its_archive(void **state)
{
    (void)state;
    tar_begin();
    tar_png("", "1.png", 1);
    tar_put("", "2.png", '0', "text", 4, 4);
    tar_put("", "3.png", '0', "", 0, 0);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 1);
    assert_int_equal(r.skipped, 2);
    size_t size;
    char *list = (char *)read_file("out.h5.skipped.txt", &size);
    assert_non_null(strstr(list, "a.tar: 2.png: is neither JPEG nor PNG"));
    assert_non_null(strstr(list, "a.tar: 3.png: is empty"));
    free(list);
}

static void a_tar_cut_short_gives_what_is_whole(void **state)
{
    (void)state;
    tar_begin();
    tar_png("", "1.png", 1);
    sample s = sample_photo(64, 64, 1);
    const size_t at = shard.size;
    tar_put("", "2.jpg", '0', s.bytes, s.size, s.size);
    write_file("a.tar", shard.bytes, at + 512 + s.size * 9 / 10);
    free(s.bytes);
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){.height = 8, .width = 8}, &r);
    assert_int_equal(r.images, 1);
    assert_int_equal(r.skipped, 1);
    assert_non_null(strstr(notes, "may be cut short"));
    size_t size;
    char *list = (char *)read_file("out.h5.skipped.txt", &size);
    assert_non_null(strstr(list, "the archive ends inside it"));
    free(list);
    assert_int_equal(pack("a.tar", (data_pack_options){.height = 8, .width = 8, .strict = true}, NULL), AG_ERR_DATA);
}

/* The archive in `shard` is refused; the message names it, the byte and the word. */
static void assert_tar_refused(size_t at, const char *word)
{
    char place[64];
    snprintf(place, sizeof place, "at byte %zu ", at);
    tar_end("a.tar");
    assert_int_equal(pack("a.tar", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("a.tar: damaged tar");
    assert_says(place);
    assert_says(word);
    assert_nothing_written(1);
    tar_begin();
    tar_png("", "1.png", 1);
}

static void hostile_tars_are_refused_with_archive_byte_and_member(void **state)
{
    (void)state;
    static const char *const records[] = {"99 path=x\n",
                                          "0 path=x\n",
                                          "path=x\n",
                                          "9 path=x",
                                          "8 pathx\n",
                                          "4 =\n5 a=b\n",
                                          "18446744073709551627 path=x\n",
                                          "9 path=\n",
                                          "17 size=12345x78\n",
                                          "32 size=99999999999999999999999\n"};
    tar_begin();
    tar_png("", "1.png", 1);
    size_t at = shard.size;
    tar_png("", "2.png", 1)[0] ^= 1;
    assert_tar_refused(at, "wrong checksum");
    tar_put("", "big.png", '0', "x", 1, (uint64_t)1 << 32);
    assert_tar_refused(at, "big.png): size larger than the whole archive");
    uint8_t *h = tar_put("", "neg.png", '0', "x", 1, 1);
    memset(h + 124, 0xff, 12);
    tar_sum(h);
    assert_tar_refused(at, "neg.png): size is not a number");
    h = tar_put("", "nan.png", '0', "x", 1, 1);
    memcpy(h + 124, "12x45678901", 12);
    tar_sum(h);
    assert_tar_refused(at, "nan.png): size is not a number");
    h = tar_put("", "huge.txt", '0', "x", 1, 1);
    memset(h + 124, 0, 12);
    h[124] = 0x80, h[128] = 0x7f; /* 2^63 - 2^56 */
    tar_sum(h);
    assert_tar_refused(at, "huge.txt): size larger than the whole archive");
    tar_put("", "pax", 'x', "x", 1, (1 << 20) + 1);
    assert_tar_refused(at, "more than 1 MiB");
    tar_put("", "pax", 'x', "x", 1, 1 << 19);
    assert_tar_refused(at, "runs past the end");
    tar_put("", "sparse.png", 'S', "x", 1, 1);
    assert_tar_refused(at, "sparse");
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        tar_put("", "pax", 'x', records[i], strlen(records[i]), strlen(records[i]));
        assert_tar_refused(at, "pax header");
    }
}

static void compressed_archives_are_refused_with_advice(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t size;
    } files[] = {{"a.tar.gz", "\x1f\x8b\x08\0", 4},
                 {"a.tar.xz",
                  "\xfd"
                  "7zXZ\0\0",
                  7},
                 {"a.tar.zst", "\x28\xb5\x2f\xfd", 4},
                 {"a.tar.bz2", "BZh9", 4},
                 {"a.zip", "PK\3\4", 4}};
    for (int i = 0; i < 5; i++) {
        write_file(files[i].name, files[i].bytes, files[i].size);
        assert_int_equal(pack(files[i].name, (data_pack_options){0}, NULL), AG_ERR_DATA);
        assert_says("unpack it first");
        assert_nothing_written(i + 1);
    }
    write_file("a.h5", "\x89HDF\r\n\x1a\n", 8);
    assert_int_equal(pack("a.h5", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("HDF5");
}

static void thousands_of_classes_have_names(void **state)
{
    (void)state;
    char name[32];
    tar_begin();
    sample s = flat_png(1, 1, PNG_COLOR_TYPE_GRAY, 7);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "class%04d/x.png", i);
        tar_put("", name, '0', s.bytes, s.size, s.size);
    }
    free(s.bytes);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 5000);
    packed p = open_packed();
    assert_int_equal(p.info->classes, 5000);
    assert_string_equal(data_set_class_name(p.set, 4999), "class4999");
    assert_int_equal(p.labels[63], 63);
    close_packed(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pictures_without_class_folders_have_no_labels),
        TEST(class_folders_give_labels_in_byte_order_and_nest),
        TEST(pictures_beside_class_folders_have_no_label_and_are_mentioned),
        TEST(split_folders_give_the_split_and_classes_below_them),
        TEST(split_names_beside_other_folders_are_classes),
        TEST(validation_share_is_drawn_by_name_and_survives_added_files),
        TEST(validation_share_with_a_validation_folder_is_refused),
        TEST(attributes_say_what_the_file_is),
        TEST(hidden_files_are_passed_over_and_other_files_counted),
        TEST(folders_linked_in_circles_are_read_once),
        TEST(names_that_are_not_utf8_become_utf8),
        TEST(sizes_that_differ_need_a_size),
        TEST(pictures_are_fitted_and_cropped_as_data_picture_fit_does),
        TEST(channels_follow_the_pictures_or_the_option),
        TEST(a_damaged_colour_picture_does_not_decide_the_channels),
        TEST(conversions_are_counted),
        TEST(bad_pictures_are_skipped_counted_and_listed),
        TEST(the_list_of_an_earlier_run_goes_when_nothing_is_skipped),
        TEST(strict_stops_at_the_first_bad_picture_and_leaves_the_old_output),
        TEST(a_share_of_bad_pictures_can_be_too_large),
        TEST(only_bad_pictures_is_an_error),
        TEST(empty_and_missing_sources_are_errors),
        TEST(options_out_of_range_are_refused),
        TEST(unwritable_outputs_are_errors),
        TEST(the_output_cannot_be_a_source),
        TEST(a_full_disk_leaves_the_old_output),
        TEST(one_thread_and_two_write_the_same_bytes),
        TEST(progress_ends_at_the_total_and_can_stop),
        TEST(several_sources_become_one_set),
        TEST(tar_members_are_read_with_every_kind_of_name),
        TEST(the_folder_that_wraps_a_tar_is_no_class),
        TEST(a_bad_picture_in_a_tar_is_listed_with_its_archive),
        TEST(a_tar_cut_short_gives_what_is_whole),
        TEST(hostile_tars_are_refused_with_archive_byte_and_member),
        TEST(compressed_archives_are_refused_with_advice),
        TEST(thousands_of_classes_have_names),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
