/* Packing: which pictures end up where in the data set, with which label, split and pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pack_samples.h"

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
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
