/* Pictures: resizing to the byte, grids, writing PNG. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/picture.h"
#include "picture_parts.h"
#include "picture_samples.h"

static data_picture decode(const sample *s, const data_decode_options *o)
{
    data_picture p;
    if (data_picture_decode(&p, s->bytes, s->size, "sample", o)) fail_msg("%s", ag_error_message());
    return p;
}

/* ---- resizing ---- */

static int32_t next_number(FILE *f)
{
    uint8_t b[4];
    assert_int_equal(fread(b, 1, 4, f), 4);
    return (int32_t)((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
}

static data_picture next_picture(FILE *f, int height, int width, int channels)
{
    data_picture p;
    assert_int_equal(data__picture_new(&p, height, width, channels, "fixture"), AG_OK);
    const size_t n = (size_t)height * (size_t)width * (size_t)channels;
    assert_int_equal(fread(p.pixels, 1, n, f), n);
    return p;
}

static void resize_gives_the_bytes_of_the_reference_library(void **state)
{
    (void)state;
    FILE *f = fopen(TEST_FILES "/fixtures/picture_resize.bin", "rb");
    assert_non_null(f);
    const int cases = next_number(f);
    assert_int_equal(cases, 30);
    for (int k = 0; k < cases; k++) {
        int v[6];
        for (int i = 0; i < 6; i++) v[i] = next_number(f);
        data_picture in = next_picture(f, v[0], v[1], v[2]), expected = next_picture(f, v[3], v[4], v[2]), out;
        assert_int_equal(data_picture_resize(&out, &in, v[3], v[4], (data_filter)v[5]), AG_OK);
        assert_int_equal(out.height, v[3]);
        assert_int_equal(out.width, v[4]);
        assert_int_equal(out.channels, v[2]);
        assert_memory_equal(out.pixels, expected.pixels, (size_t)v[3] * (size_t)v[4] * (size_t)v[2]);
        data_picture_free(&in), data_picture_free(&expected), data_picture_free(&out);
    }
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
}

static void resize_keeps_constants_and_the_same_size(void **state)
{
    (void)state;
    data_picture p = {31, 17, 3, sample_pixels(31, 17, 3, 4)}, q;
    for (int filter = DATA_LANCZOS; filter <= DATA_TRIANGLE; filter++) {
        assert_int_equal(data_picture_resize(&q, &p, 31, 17, (data_filter)filter), AG_OK);
        assert_memory_equal(q.pixels, p.pixels, 31 * 17 * 3);
        data_picture_free(&q);
    }
    for (int value = 0; value < 256; value += 51) {
        memset(p.pixels, value, 31 * 17 * 3);
        assert_int_equal(data_picture_resize(&q, &p, 90, 5, DATA_LANCZOS), AG_OK);
        for (int i = 0; i < 90 * 5 * 3; i++) assert_int_equal(q.pixels[i], value);
        data_picture_free(&q);
    }
    data_picture_free(&p);
}

static void resize_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    data_picture p = {4, 4, 1, sample_pixels(4, 4, 1, 4)}, q;
    assert_int_equal(data_picture_resize(&q, &p, 0, 4, DATA_CUBIC), AG_ERR_USAGE);
    assert_int_equal(data_picture_resize(&q, &p, 4, -1, DATA_CUBIC), AG_ERR_USAGE);
    assert_int_equal(data_picture_resize(&q, &p, 4, 4, (data_filter)3), AG_ERR_USAGE);
    p.channels = 2;
    assert_int_equal(data_picture_resize(&q, &p, 2, 4, DATA_CUBIC), AG_ERR_SHAPE);
    data_picture_free(&p);
}

static void fit_is_resize_to_cover_then_centre_crop(void **state)
{
    (void)state;
    static const int cases[][6] = {
        /* height, width -> height, width; covering height, width */
        {40, 60, 16, 16, 16, 24}, {60, 40, 16, 16, 24, 16}, {37, 53, 20, 9, 20, 28}, {10, 10, 30, 20, 30, 30},
        {24, 32, 24, 32, 24, 32}, {25, 32, 24, 32, 25, 32}, {3, 200, 8, 8, 8, 533},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const int *v = cases[k];
        data_picture p = {v[0], v[1], 3, sample_pixels(v[0], v[1], 3, 9)}, whole, fitted;
        assert_int_equal(data_picture_resize(&whole, &p, v[4], v[5], DATA_LANCZOS), AG_OK);
        assert_int_equal(data_picture_fit(&fitted, &p, v[2], v[3]), AG_OK);
        assert_int_equal(fitted.height, v[2]);
        assert_int_equal(fitted.width, v[3]);
        const int top = (v[4] - v[2]) / 2, left = (v[5] - v[3]) / 2;
        for (int y = 0; y < v[2]; y++)
            assert_memory_equal(fitted.pixels + y * v[3] * 3, whole.pixels + ((y + top) * v[5] + left) * 3,
                                (size_t)v[3] * 3);
        data_picture_free(&p), data_picture_free(&whole), data_picture_free(&fitted);
    }
}

/* ---- grids and writing ---- */

static void grid_places_images_two_pixels_apart_on_white(void **state)
{
    (void)state;
    uint8_t images[3 * 2 * 2 * 3];
    for (int i = 0; i < 36; i++) images[i] = (uint8_t)(i + 1);
    data_picture g;
    assert_int_equal(data_picture_grid(&g, 3, 2, 2, 3, images, 2, 3), AG_OK);
    assert_int_equal(g.height, 14);
    assert_int_equal(g.width, 14);
    assert_int_equal(g.channels, 3);
    for (int y = 0; y < 14; y++)
        for (int x = 0; x < 14; x++) {
            const int row = y / 8, column = x / 8, iy = y % 8 / 3, ix = x % 8 / 3, image = row * 2 + column;
            const bool inside = y % 8 < 6 && x % 8 < 6 && image < 3;
            for (int c = 0; c < 3; c++)
                assert_int_equal(g.pixels[(y * 14 + x) * 3 + c],
                                 inside ? images[((image * 2 + iy) * 2 + ix) * 3 + c] : 255);
        }
    data_picture_free(&g);
}

static void grid_zooms_small_images_and_takes_any_number_of_channels(void **state)
{
    (void)state;
    uint8_t *images = sample_pixels(5 * 32, 32, 5, 1);
    data_picture g;
    assert_int_equal(data_picture_grid(&g, 5, 32, 32, 1, images, 5, 0), AG_OK);
    assert_int_equal(g.height, 96);
    assert_int_equal(g.channels, 1);
    data_picture_free(&g);
    assert_int_equal(data_picture_grid(&g, 5, 32, 32, 5, images, 9, 1), AG_OK);
    assert_int_equal(g.channels, 3);
    assert_int_equal(g.width, 5 * 34 - 2);
    assert_memory_equal(g.pixels, images, 3);
    assert_memory_equal(g.pixels + 3, images + 5, 3);
    data_picture_free(&g);
    assert_int_equal(data_picture_grid(&g, 2, 32, 32, 2, images, 1, 1), AG_OK);
    assert_int_equal(g.channels, 1);
    assert_int_equal(g.pixels[1], images[2]);
    data_picture_free(&g);
    assert_int_equal(data_picture_grid(&g, 0, 32, 32, 1, images, 1, 1), AG_ERR_USAGE);
    assert_int_equal(data_picture_grid(&g, 1, 32, 32, 1, images, 0, 1), AG_ERR_USAGE);
    assert_int_equal(data_picture_grid(&g, (int64_t)1 << 40, 32, 32, 1, images, 1, 1), AG_ERR_USAGE);
    free(images);
}

static void png_comes_back_as_it_was_written(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 3; channels += 2) {
        data_picture p = {33, 47, channels, sample_pixels(33, 47, channels, 6)};
        sample s;
        assert_int_equal(data_picture_encode_png(&p, &s.bytes, &s.size), AG_OK);
        data_picture q = decode(&s, NULL);
        assert_int_equal(q.height, 33);
        assert_int_equal(q.width, 47);
        assert_int_equal(q.channels, channels);
        assert_memory_equal(p.pixels, q.pixels, (size_t)(33 * 47 * channels));
        data_picture_free(&p), data_picture_free(&q);
        free(s.bytes);
    }
    data_picture two = {2, 2, 2, sample_pixels(2, 2, 2, 1)};
    sample s;
    assert_int_equal(data_picture_encode_png(&two, &s.bytes, &s.size), AG_ERR_SHAPE);
    assert_null(s.bytes);
    data_picture_free(&two);
}

static void png_file_is_written_whole_and_alone(void **state)
{
    (void)state;
    char folder[] = "/tmp/tessera-picture-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.png", folder);
    data_picture p = {5, 6, 3, sample_pixels(5, 6, 3, 6)}, q;
    assert_int_equal(data_picture_write_png(path, &p), AG_OK);
    assert_int_equal(data_picture_read(&q, path, NULL), AG_OK);
    assert_memory_equal(p.pixels, q.pixels, 5 * 6 * 3);
    data_picture_free(&q);
    int entries = 0;
    DIR *dir = opendir(folder);
    while (readdir(dir)) entries++;
    closedir(dir);
    assert_int_equal(entries, 3); /* ., .. and the file */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(data_picture_write_png(path, &p), AG_ERR_IO);
    assert_int_equal(data_picture_read(&q, path, NULL), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), path));
    data_picture_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_gives_the_bytes_of_the_reference_library),
        cmocka_unit_test(resize_keeps_constants_and_the_same_size),
        cmocka_unit_test(resize_refuses_what_it_cannot_do),
        cmocka_unit_test(fit_is_resize_to_cover_then_centre_crop),
        cmocka_unit_test(grid_places_images_two_pixels_apart_on_white),
        cmocka_unit_test(grid_zooms_small_images_and_takes_any_number_of_channels),
        cmocka_unit_test(png_comes_back_as_it_was_written),
        cmocka_unit_test(png_file_is_written_whole_and_alone),
    };
    return cmocka_run_group_tests_name("picture_resize", tests, NULL, NULL);
}
