/* Data sets: every layout gives the same pixels, splits and labels come out, and files that are wrong are refused in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autograd/random.h"
#include "data/dataset.h"
#include "data/hdf5_tools.h"
#include "data/picture.h"

enum { N = 23, H = 5, W = 7, C = 3, VALUES = H * W * C };

static char folder[64], path[128];
static uint8_t pixels[N * VALUES]; /* the content of every file below, [N,H,W,C] */

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tessera-dataset-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.h5", folder);
    for (int i = 0; i < N * VALUES; i++) pixels[i] = (uint8_t)ag_random_below(1, 2, (uint64_t)i, 256);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void assert_says(const char *part)
{
    if (!strstr(ag_error_message(), part)) fail_msg("'%s' does not say '%s'", ag_error_message(), part);
}

static hid_t create(void)
{
    hid_t file;
    assert_int_equal(data_h5_create(&file, path, path), AG_OK);
    return file;
}

static void finish(hid_t file) { assert_int_equal(data_h5_finish(file, path), AG_OK); }

static void put(hid_t file, const char *name, hid_t type, int rank, const int64_t *dims, const void *values)
{
    assert_int_equal(data_h5_write(file, path, name, type, rank, dims, values), AG_OK);
}

static const int64_t nhwc[] = {N, H, W, C}, nchw[] = {N, C, H, W};

static void put_images(hid_t file) { put(file, "images", H5T_NATIVE_UINT8, 4, nhwc, pixels); }

/* The images with chunks of these sizes and, if level > 0, deflate. */
static void put_chunked(hid_t file, const hsize_t *chunk, unsigned level)
{
    const hsize_t sizes[] = {N, H, W, C};
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(4, sizes, NULL);
    assert_true(H5Pset_chunk(how, 4, chunk) >= 0);
    if (level) assert_true(H5Pset_deflate(how, level) >= 0);
    const hid_t set = H5Dcreate2(file, "images", H5T_NATIVE_UINT8, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, pixels) >= 0);
    H5Dclose(set), H5Sclose(space), H5Pclose(how);
}

static data_set *open_set(const data_set_options *options)
{
    data_set *set;
    if (data_set_open(&set, path, options)) fail_msg("%s", ag_error_message());
    return set;
}

static void assert_refused(const data_set_options *options, ag_err code, const char *part)
{
    data_set *set;
    assert_int_equal(data_set_open(&set, path, options), code);
    assert_null(set);
    assert_says(path);
    assert_says(part);
}

/* Reads the images in several orders, as bytes and as reals, and compares. */
static void assert_pixels(data_set *set, float tolerance)
{
    static const int64_t orders[][9] = {{0, 1, 2, 3, 4, 5, 6, 7, 8},
                                        {22, 0, 22, 7, 8, 9, 9, 3, 21},
                                        {5, 5, 5, 5, 5, 5, 5, 5, 5},
                                        {8, 7, 6, 5, 4, 3, 2, 1, 0}};
    const data_set_info *info = data_set_get_info(set);
    assert_int_equal(info->count, N);
    assert_int_equal(info->height, H);
    assert_int_equal(info->width, W);
    assert_int_equal(info->channels, C);
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        uint8_t bytes[9][VALUES];
        float reals[9][VALUES];
        assert_int_equal(data_set_read(set, 9, orders[o], bytes[0]), AG_OK);
        assert_int_equal(data_set_read_real(set, 9, orders[o], reals[0]), AG_OK);
        for (int k = 0; k < 9; k++) {
            assert_memory_equal(bytes[k], pixels + orders[o][k] * VALUES, VALUES);
            for (int v = 0; v < VALUES; v++)
                assert_true(fabsf(reals[k][v] - (float)pixels[orders[o][k] * VALUES + v] / 255.0f) <= tolerance);
        }
    }
}

static void to_planar(const void *in, void *out, size_t size)
{
    for (int i = 0; i < N; i++)
        for (int p = 0; p < H * W; p++)
            for (int c = 0; c < C; c++)
                memcpy((char *)out + (size_t)(i * VALUES + c * H * W + p) * size,
                       (const char *)in + (size_t)(i * VALUES + p * C + c) * size, size);
}

static void contiguous_bytes_come_back(void **state)
{
    (void)state;
    const hid_t file = create();
    put_images(file);
    finish(file);
    data_set *set = open_set(NULL);
    assert_pixels(set, 0);
    assert_int_equal(data_set_get_info(set)->dtype, DATA_U8);
    assert_null(data_set_warning(set));
    data_set_close(set);
    data_set_close(NULL);
}

static void chunked_and_packed_bytes_come_back(void **state)
{
    (void)state;
    const hsize_t chunks[][4] = {{1, H, W, C}, {4, H, W, C}, {10, 2, 3, 1}, {23, 5, 7, 3}};
    for (size_t i = 0; i < 4; i++)
        for (unsigned level = 0; level < 2; level++) {
            const hid_t file = create();
            put_chunked(file, chunks[i], level * 4);
            finish(file);
            data_set *set = open_set(NULL);
            assert_pixels(set, 0);
            data_set_close(set);
        }
}

static void planar_bytes_come_back_as_channels_last(void **state)
{
    (void)state;
    uint8_t *planar = malloc(sizeof pixels);
    to_planar(pixels, planar, 1);
    const hid_t file = create();
    put(file, "imgs", H5T_NATIVE_UINT8, 4, nchw, planar);
    finish(file);
    data_set *set = open_set(NULL);
    assert_pixels(set, 0);
    data_set_close(set);
    free(planar);
}

static void rank_three_is_grey(void **state)
{
    (void)state;
    const int64_t dims[] = {N, H, W * C}, second = 1;
    const hid_t file = create();
    put(file, "x", H5T_NATIVE_UINT8, 3, dims, pixels);
    finish(file);
    data_set *set = open_set(NULL);
    assert_int_equal(data_set_get_info(set)->channels, 1);
    assert_int_equal(data_set_get_info(set)->width, W * C);
    uint8_t one[VALUES];
    assert_int_equal(data_set_read(set, 1, &second, one), AG_OK);
    assert_memory_equal(one, pixels + VALUES, VALUES);
    data_set_close(set);
}

static void other_numbers_become_bytes_and_reals(void **state)
{
    (void)state;
    static float zero_one[N * VALUES], minus_one[N * VALUES], planar[N * VALUES];
    static double doubles[N * VALUES];
    static uint16_t words[N * VALUES];
    static int64_t longs[N * VALUES];
    for (int i = 0; i < N * VALUES; i++) {
        const uint8_t v = pixels[i];
        zero_one[i] = (float)v / 255.0f, minus_one[i] = (float)v / 127.5f - 1;
        doubles[i] = v / 255.0, words[i] = (uint16_t)(v * 257), longs[i] = v;
    }
    to_planar(zero_one, planar, sizeof(float));
    const struct {
        hid_t type;
        const int64_t *dims;
        const void *values;
        const char *range;
    } files[] = {
        {H5T_NATIVE_FLOAT, nhwc, zero_one, NULL},  {H5T_NATIVE_FLOAT, nhwc, minus_one, NULL},
        {H5T_NATIVE_FLOAT, nchw, planar, NULL},    {H5T_NATIVE_DOUBLE, nhwc, doubles, NULL},
        {H5T_NATIVE_UINT16, nhwc, words, NULL},    {H5T_NATIVE_INT64, nhwc, longs, "0,255"},
        {H5T_NATIVE_FLOAT, nhwc, zero_one, "0,1"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const hid_t file = create();
        put(file, "images", files[i].type, 4, files[i].dims, files[i].values);
        if (files[i].range) assert_int_equal(data_h5_set_string(file, path, "range", files[i].range), AG_OK);
        finish(file);
        data_set *set = open_set(NULL);
        assert_int_equal(data_set_get_info(set)->dtype, DATA_F32);
        assert_pixels(set, 1e-6f);
        data_set_close(set);
    }
}

static void big_endian_floats_come_back(void **state)
{
    (void)state;
    static float values[N * VALUES];
    for (int i = 0; i < N * VALUES; i++) values[i] = (float)pixels[i] / 255.0f;
    hid_t set_id;
    const hid_t file = create();
    assert_int_equal(data_h5_make(&set_id, file, path, "images", H5T_IEEE_F32BE, 4, nhwc), AG_OK);
    assert_true(H5Dwrite(set_id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(set_id);
    finish(file);
    data_set *set = open_set(NULL);
    assert_pixels(set, 0);
    data_set_close(set);
}

static void stored_floats_in_range_come_back_exactly(void **state)
{
    (void)state;
    static float values[N * VALUES], got[N * VALUES];
    int64_t all[N];
    for (int i = 0; i < N; i++) all[i] = i;
    for (int i = 0; i < N * VALUES; i++) values[i] = (float)ag_random_uniform(5, 6, (uint64_t)i);
    const hid_t file = create();
    put(file, "images", H5T_NATIVE_FLOAT, 4, nhwc, values);
    finish(file);
    data_set *set = open_set(NULL);
    assert_int_equal(data_set_read_real(set, N, all, got), AG_OK);
    assert_memory_equal(got, values, sizeof values);
    data_set_close(set);
}

/* Encodes the images as PNG one after another; offsets has N + 1 entries. */
static uint8_t *encode_all(uint64_t *offsets)
{
    uint8_t *bytes = NULL;
    offsets[0] = 0;
    for (int i = 0; i < N; i++) {
        uint8_t *png;
        size_t size;
        const data_picture picture = {.height = H, .width = W, .channels = C, .pixels = pixels + i * VALUES};
        assert_int_equal(data_picture_encode_png(&picture, &png, &size), AG_OK);
        bytes = realloc(bytes, offsets[i] + size);
        memcpy(bytes + offsets[i], png, size);
        offsets[i + 1] = offsets[i] + size;
        free(png);
    }
    return bytes;
}

static void put_encoded(hid_t file, const uint8_t *bytes, const uint64_t *offsets, const int32_t (*shapes)[3])
{
    const int64_t total = (int64_t)offsets[N], positions = N + 1, shape_dims[] = {N, 3};
    put(file, "bytes", H5T_NATIVE_UINT8, 1, &total, bytes);
    put(file, "offsets", H5T_NATIVE_UINT64, 1, &positions, offsets);
    put(file, "shapes", H5T_NATIVE_INT32, 2, shape_dims, shapes);
}

static void encoded_pictures_are_decoded(void **state)
{
    (void)state;
    uint64_t offsets[N + 1];
    int32_t shapes[N][3];
    uint8_t *bytes = encode_all(offsets);
    double mean, variance;
    for (int i = 0; i < N; i++) shapes[i][0] = H, shapes[i][1] = W, shapes[i][2] = C;
    hid_t file = create();
    put_encoded(file, bytes, offsets, shapes);
    finish(file);
    data_set *set = open_set(NULL);
    assert_true(data_set_get_info(set)->encoded);
    assert_pixels(set, 0);
    assert_int_equal(data_set_moments(set, DATA_ALL, &mean, &variance), AG_OK);
    data_set_close(set);

    shapes[7][1] = W + 1;
    file = create();
    put_encoded(file, bytes, offsets, shapes);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "tessera pack --size");
    shapes[7][1] = W;

    offsets[3] = offsets[N] + 10;
    file = create();
    put_encoded(file, bytes, offsets, shapes);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "'offsets' is damaged: entry 3");
    free(bytes);
}

static void a_damaged_encoded_picture_is_named(void **state)
{
    (void)state;
    uint64_t offsets[N + 1];
    int32_t shapes[N][3];
    uint8_t *bytes = encode_all(offsets), one[VALUES];
    const int64_t good = 3, bad = 4;
    double mean, variance;
    for (int i = 0; i < N; i++) shapes[i][0] = H, shapes[i][1] = W, shapes[i][2] = C;
    memset(bytes + offsets[4], 'x', 30);
    const hid_t file = create();
    put_encoded(file, bytes, offsets, shapes);
    finish(file);
    data_set *set = open_set(NULL);
    assert_int_equal(data_set_read(set, 1, &good, one), AG_OK);
    assert_int_equal(data_set_read(set, 1, &bad, one), AG_ERR_DATA);
    assert_says("a.h5: image 4");
    assert_int_equal(data_set_moments(set, DATA_ALL, &mean, &variance), AG_ERR_DATA);
    assert_says("a.h5: image 4"); /* the message crosses from the thread that met it */
    data_set_close(set);
    free(bytes);
}

static void variable_length_pictures_are_decoded(void **state)
{
    (void)state;
    uint64_t offsets[N + 1];
    uint8_t *bytes = encode_all(offsets);
    hvl_t elements[N];
    for (int i = 0; i < N; i++) elements[i] = (hvl_t){offsets[i + 1] - offsets[i], bytes + offsets[i]};
    const int64_t n = N;
    const hid_t type = H5Tvlen_create(H5T_NATIVE_UINT8), file = create();
    put(file, "images", type, 1, &n, elements);
    finish(file);
    H5Tclose(type);
    data_set *set = open_set(NULL);
    assert_true(data_set_get_info(set)->encoded);
    assert_pixels(set, 0);
    data_set_close(set);
    free(bytes);
}

static void splits_labels_names_and_captions_come_out(void **state)
{
    (void)state;
    const int64_t n = N, ask[] = {22, 0, 3};
    int64_t labels[N], got[3], count;
    uint8_t split[N];
    char text[N][16];
    const char *captions[N], *classes[] = {"cat", "dog", "newt", "owl", "yak"};
    for (int i = 0; i < N; i++) {
        labels[i] = i % 4 - 1, split[i] = (uint8_t)(i % 5 == 0 ? 1 : i % 7 == 0 ? 2 : 0);
        snprintf(text[i], sizeof text[i], "%.*s %d", i % 3, "öö", i);
        captions[i] = text[i];
    }
    const hid_t file = create();
    put_images(file);
    put(file, "labels", H5T_NATIVE_INT64, 1, &n, labels);
    put(file, "split", H5T_NATIVE_UINT8, 1, &n, split);
    assert_int_equal(data_h5_write_strings(file, path, "captions", N, captions), AG_OK);
    assert_int_equal(data_h5_set_strings(file, path, "classes", 5, classes), AG_OK);
    finish(file);
    data_set *set = open_set(NULL);
    const data_set_info *info = data_set_get_info(set);
    assert_true(info->has_labels && info->has_split && info->has_captions);
    assert_int_equal(info->classes, 5);
    assert_string_equal(data_set_class_name(set, 4), "yak");
    assert_null(data_set_class_name(set, 5));
    assert_int_equal(data_set_read_labels(set, 3, ask, got), AG_OK);
    assert_int_equal(got[0], labels[22]);
    assert_int_equal(got[1], -1);
    for (int i = 0; i < 3; i++) {
        char *caption;
        assert_int_equal(data_set_read_caption(set, ask[i], &caption), AG_OK);
        assert_string_equal(caption, text[ask[i]]);
        free(caption);
    }
    for (int s = 0; s < 3; s++) {
        const int64_t *list = data_set_indices(set, (data_split)s, &count);
        assert_int_equal(count, info->in_split[s]);
        for (int64_t k = 0, i = -1; k < count; k++) {
            for (i++; split[i] != s; i++) {}
            assert_int_equal(list[k], i);
        }
    }
    assert_int_equal(info->in_split[0] + info->in_split[1] + info->in_split[2], N);
    data_set_indices(set, DATA_ALL, &count);
    assert_int_equal(count, N);
    data_set_close(set);
}

static void labels_may_be_one_hot_floats_or_columns(void **state)
{
    (void)state;
    static float one_hot[N][4];
    uint8_t column[N][1];
    float floats[N];
    const int64_t hot_dims[] = {N, 4}, column_dims[] = {N, 1}, n = N, ask[] = {0, 5, 22};
    for (int i = 0; i < N; i++) one_hot[i][i % 4] = 1, column[i][0] = (uint8_t)(i % 4), floats[i] = (float)(i % 4);
    for (int kind = 0; kind < 3; kind++) {
        int64_t got[3];
        const hid_t file = create();
        put_images(file);
        if (kind == 0) put(file, "y", H5T_NATIVE_FLOAT, 2, hot_dims, one_hot);
        if (kind == 1) put(file, "label", H5T_NATIVE_UINT8, 2, column_dims, column);
        if (kind == 2) put(file, "Y", H5T_NATIVE_FLOAT, 1, &n, floats);
        finish(file);
        data_set *set = open_set(NULL);
        assert_int_equal(data_set_get_info(set)->classes, 4);
        assert_int_equal(data_set_read_labels(set, 3, ask, got), AG_OK);
        for (int k = 0; k < 3; k++) assert_int_equal(got[k], ask[k] % 4);
        data_set_close(set);
    }
}

static void without_labels_they_are_minus_one_and_captions_empty(void **state)
{
    (void)state;
    const int64_t ask[] = {4, 5};
    int64_t got[2] = {0, 0};
    char *caption;
    const hid_t file = create();
    put_images(file);
    finish(file);
    data_set *set = open_set(NULL);
    assert_false(data_set_get_info(set)->has_labels);
    assert_int_equal(data_set_get_info(set)->in_split[DATA_TRAIN], N);
    assert_int_equal(data_set_read_labels(set, 2, ask, got), AG_OK);
    assert_true(got[0] == -1 && got[1] == -1);
    assert_int_equal(data_set_read_caption(set, 2, &caption), AG_OK);
    assert_string_equal(caption, "");
    free(caption);
    data_set_close(set);
}

static void layout_is_told_by_sizes_attribute_or_option(void **state)
{
    (void)state;
    static const uint8_t zeros[2 * 64 * 64 * 16];
    static const struct {
        int64_t dims[4];
        int h, w, c; /* 0: cannot be told */
    } cases[] = {
        {{2, 32, 32, 3}, 32, 32, 3},   {{2, 3, 32, 32}, 32, 32, 3}, {{2, 1, 28, 28}, 28, 28, 1},
        {{2, 28, 28, 1}, 28, 28, 1},   {{2, 4, 4, 3}, 4, 4, 3},     {{2, 3, 4, 4}, 4, 4, 3},
        {{2, 3, 3, 3}, 0, 0, 0},       {{2, 2, 9, 3}, 0, 0, 0},     {{2, 64, 64, 8}, 64, 64, 8},
        {{2, 12, 64, 64}, 64, 64, 12}, {{2, 16, 16, 3}, 16, 16, 3}, {{2, 20, 20, 20}, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const hid_t file = create();
        put(file, "images", H5T_NATIVE_UINT8, 4, cases[i].dims, zeros);
        finish(file);
        if (!cases[i].c) {
            assert_refused(NULL, AG_ERR_DATA, "set the attribute layout");
            continue;
        }
        data_set *set = open_set(NULL);
        assert_int_equal(data_set_get_info(set)->height, cases[i].h);
        assert_int_equal(data_set_get_info(set)->width, cases[i].w);
        assert_int_equal(data_set_get_info(set)->channels, cases[i].c);
        data_set_close(set);
    }
    const int64_t dims[] = {2, 3, 3, 2};
    const hid_t file = create();
    put(file, "images", H5T_NATIVE_UINT8, 4, dims, zeros);
    assert_int_equal(data_h5_set_string(file, path, "layout", "NCHW"), AG_OK);
    finish(file);
    data_set *set = open_set(NULL);
    assert_int_equal(data_set_get_info(set)->channels, 3);
    data_set_close(set);
    set = open_set(&(data_set_options){.layout = "NHWC"});
    assert_int_equal(data_set_get_info(set)->channels, 2);
    data_set_close(set);
    assert_refused(&(data_set_options){.layout = "HW"}, AG_ERR_USAGE, "layout 'HW' is not known");
}

static void range_is_demanded_where_it_cannot_be_told(void **state)
{
    (void)state;
    static float values[N * VALUES];
    static int16_t shorts[N * VALUES];
    for (int i = 0; i < N * VALUES; i++) values[i] = (float)pixels[i], shorts[i] = pixels[i];
    hid_t file = create();
    put(file, "images", H5T_NATIVE_FLOAT, 4, nhwc, values);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "neither 0..1 nor -1..1");
    data_set *set = open_set(&(data_set_options){.range = "0,255"});
    assert_pixels(set, 1e-6f);
    data_set_close(set);
    assert_refused(&(data_set_options){.range = "255"}, AG_ERR_USAGE, "range '255' is not LOW,HIGH");
    assert_refused(&(data_set_options){.range = "2,1"}, AG_ERR_USAGE, "range '2,1'");
    file = create();
    put(file, "images", H5T_NATIVE_INT16, 4, nhwc, shorts);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "is i16: what is black");
    values[2 * VALUES + 3] = NAN;
    file = create();
    put(file, "images", H5T_NATIVE_FLOAT, 4, nhwc, values);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "image 2 of dataset 'images' has a value that is not finite");
}

static void moments_agree_with_a_plain_sum_on_any_number_of_threads(void **state)
{
    (void)state;
    uint8_t split[N];
    const int64_t n = N;
    double sum = 0, squares = 0, mean, variance, first[2] = {0, 0};
    int used = 0;
    for (int i = 0; i < N; i++) {
        split[i] = i % 3 == 0;
        for (int v = 0; v < VALUES && !split[i]; v++) {
            const double u = pixels[i * VALUES + v] / 255.0;
            sum += u, squares += u * u;
        }
        used += !split[i];
    }
    sum /= used * VALUES, squares = squares / (used * VALUES) - sum * sum;
    const hid_t file = create();
    put_images(file);
    put(file, "split", H5T_NATIVE_UINT8, 1, &n, split);
    finish(file);
    for (int threads = 1; threads <= 4; threads++) {
        omp_set_num_threads(threads);
        data_set *set = open_set(NULL);
        assert_int_equal(data_set_moments(set, DATA_TRAIN, &mean, &variance), AG_OK);
        assert_true(fabs(mean - sum) < 1e-12 && fabs(variance - squares) < 1e-12);
        if (threads == 1) first[0] = mean, first[1] = variance;
        assert_true(mean == first[0] && variance == first[1]);
        assert_int_equal(data_set_moments(set, DATA_TEST, &mean, &variance), AG_ERR_DATA);
        assert_says("no images in that split");
        data_set_close(set);
    }
}

static void fingerprint_follows_the_content(void **state)
{
    (void)state;
    char a[65], b[65], c[65];
    const int64_t n = N;
    int64_t labels[N] = {0};
    for (int i = 0; i < 3; i++) {
        const hid_t file = create();
        if (i == 1) H5Gclose(H5Gcreate2(file, "something else", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        put_images(file);
        labels[5] = i == 2;
        put(file, "labels", H5T_NATIVE_INT64, 1, &n, labels);
        finish(file);
        data_set *set = open_set(NULL);
        assert_int_equal(data_set_fingerprint(set, i == 0 ? a : i == 1 ? b : c), AG_OK);
        data_set_close(set);
    }
    assert_int_equal(strlen(a), 64);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
}

static void a_file_without_images_says_what_it_holds(void **state)
{
    (void)state;
    const int64_t two[] = {3, 4}, n = N;
    const char *captions[N];
    for (int i = 0; i < N; i++) captions[i] = "text";
    hid_t file = create();
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "no datasets");
    file = create();
    put(file, "weights", H5T_NATIVE_FLOAT, 2, two, pixels);
    assert_int_equal(data_h5_write_strings(file, path, "words", N, captions), AG_OK);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "the file holds: weights f32 [3,4], words text [23]");
    assert_refused(&(data_set_options){.key = "faces"}, AG_ERR_DATA, "no dataset 'faces'");
    assert_refused(&(data_set_options){.key = "weights"}, AG_ERR_DATA, "dataset 'weights' is f32 [3,4]; images are");
    file = create();
    put(file, "images", H5T_NATIVE_UINT8, 1, &n, pixels);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "dataset 'images' is u8 [23]; images are numbers of rank 4");
    file = create();
    assert_int_equal(data_h5_write_strings(file, path, "images", N, captions), AG_OK);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "dataset 'images' is text [23]");
    file = create();
    H5Gclose(H5Gcreate2(file, "images", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "'images' is a group");
    file = create();
    put(file, "codes", H5T_NATIVE_UINT16, 2, two, pixels);
    assert_int_equal(data_h5_set_string(file, path, "format", "tessera-codes"), AG_OK);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "holds tokens, not images");
}

static void a_key_names_another_dataset(void **state)
{
    (void)state;
    const hid_t file = create();
    put(file, "faces/small", H5T_NATIVE_UINT8, 4, nhwc, pixels);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "no images");
    data_set *set = open_set(&(data_set_options){.key = "faces/small"});
    assert_pixels(set, 0);
    data_set_close(set);
}

static void columns_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const int64_t n = N, short_n = N - 1;
    int64_t labels[N] = {0}, split[N] = {0};
    const char *classes[] = {"cat", "dog"};
    for (int kind = 0; kind < 6; kind++) {
        labels[3] = kind == 1 ? -2 : kind == 2 ? 2 : kind == 5 ? INT64_MAX : 0;
        split[4] = kind == 3 ? -1 : 0;
        const hid_t file = create();
        put_images(file);
        put(file, "labels", H5T_NATIVE_INT64, 1, kind == 0 ? &short_n : &n, labels);
        put(file, kind == 4 ? "captions" : "split", H5T_NATIVE_INT64, 1, &n, split);
        assert_int_equal(data_h5_set_strings(file, path, "classes", 2, classes), AG_OK);
        finish(file);
        static const char *const says[] = {"'labels' has 22 entries for 23 images",
                                           "image 3: neither a class number",
                                           "has class 2, but attribute 'classes' names only 2",
                                           "'split', image 4",
                                           "'captions' holds no texts",
                                           "image 3: neither a class number"};
        assert_refused(NULL, AG_ERR_DATA, says[kind]);
    }
}

static void sizes_no_file_could_hold_are_refused(void **state)
{
    (void)state;
    const hsize_t sizes[] = {(hsize_t)1 << 40, 4, 5, 3}, chunk[] = {1, 4, 5, 3};
    const hid_t file = create();
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(4, sizes, NULL);
    assert_true(H5Pset_chunk(how, 4, chunk) >= 0);
    hid_t set = H5Dcreate2(file, "images", H5T_NATIVE_UINT8, space, H5P_DEFAULT, how, H5P_DEFAULT);
    H5Dclose(set), H5Sclose(space), H5Pclose(how);
    finish(file);
    assert_refused(NULL, AG_ERR_DATA, "was never written");

    const int64_t empty[] = {0, 4, 5, 3};
    const hid_t other = create();
    assert_int_equal(data_h5_make(&set, other, path, "images", H5T_NATIVE_UINT8, 4, empty), AG_OK);
    H5Dclose(set);
    finish(other);
    assert_refused(NULL, AG_ERR_DATA, "holds no images");
}

static void truncated_files_are_refused_at_any_length(void **state)
{
    (void)state;
    hid_t file = create();
    put_images(file);
    finish(file);
    FILE *f = fopen(path, "rb");
    static char whole[1 << 16];
    const size_t size = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (size_t n = 0; n < size; n += 61) {
        f = fopen(path, "wb");
        assert_int_equal(fwrite(whole, 1, n, f), n);
        fclose(f);
        data_set *set;
        assert_int_equal(data_set_open(&set, path, NULL), AG_ERR_DATA);
        assert_says("a.h5: ");
    }
}

static void damaged_bytes_never_crash(void **state)
{
    (void)state;
    hid_t file = create();
    put_images(file);
    const int64_t n = N;
    int64_t labels[N] = {0};
    put(file, "labels", H5T_NATIVE_INT64, 1, &n, labels);
    finish(file);
    static char whole[1 << 16];
    FILE *f = fopen(path, "rb");
    const size_t size = fread(whole, 1, sizeof whole, f);
    fclose(f);
    int opened = 0;
    for (uint64_t trial = 0; trial < 300; trial++) {
        const size_t at = ag_random_below(3, 1, trial, size);
        const char kept = whole[at];
        whole[at] = (char)ag_random_below(3, 2, trial, 256);
        f = fopen(path, "wb");
        assert_int_equal(fwrite(whole, 1, size, f), size);
        fclose(f);
        data_set *set;
        const int64_t ask[] = {0, N - 1};
        if (!data_set_open(&set, path, NULL)) {
            const data_set_info *info = data_set_get_info(set);
            uint8_t *out = malloc((size_t)info->height * (size_t)info->width * (size_t)info->channels * 2);
            opened++;
            if (info->count == N) (void)data_set_read(set, 2, ask, out);
            free(out);
            data_set_close(set);
        }
        whole[at] = kept;
    }
    assert_true(opened > 0);
}

static void a_file_cut_while_open_is_an_error_and_no_garbage(void **state)
{
    (void)state;
    const int64_t last = N - 1;
    uint8_t one[VALUES];
    const hid_t file = create();
    put_images(file);
    finish(file);
    data_set *set = open_set(NULL);
    assert_int_equal(truncate(path, 3000), 0);
    assert_int_equal(data_set_read(set, 1, &last, one), AG_ERR_DATA);
    assert_says("truncated while in use");
    data_set_close(set);
}

static void indices_outside_are_refused(void **state)
{
    (void)state;
    const int64_t outside[] = {0, N}, negative = -1;
    int64_t label;
    uint8_t two[2][VALUES];
    char *caption;
    const hid_t file = create();
    put_images(file);
    finish(file);
    data_set *set = open_set(NULL);
    assert_int_equal(data_set_read(set, 2, outside, two[0]), AG_ERR_USAGE);
    assert_says("image 23 asked for; there are 23");
    assert_int_equal(data_set_read(set, 1, &negative, two[0]), AG_ERR_USAGE);
    assert_int_equal(data_set_read_labels(set, 1, &negative, &label), AG_ERR_USAGE);
    assert_int_equal(data_set_read_caption(set, N, &caption), AG_ERR_USAGE);
    data_set_close(set);
}

static void bad_chunks_are_warned_of(void **state)
{
    (void)state;
    /* 320 MB of never-compressing claims would be slow to make: sparse chunks, one of them written. */
    const hsize_t sizes[] = {9000, 100, 128, 3}, chunk[] = {1000, 8, 8, 1}, zero[4] = {0};
    const hid_t file = create(), how = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(4, sizes, NULL);
    assert_true(H5Pset_chunk(how, 4, chunk) >= 0 && H5Pset_deflate(how, 1) >= 0);
    const hid_t id = H5Dcreate2(file, "images", H5T_NATIVE_UINT8, space, H5P_DEFAULT, how, H5P_DEFAULT);
    uint8_t *values = calloc(1000 * 64, 1);
    for (int i = 0; i < 1000 * 64; i++) values[i] = (uint8_t)ag_random_below(1, 1, (uint64_t)i, 256);
    const hid_t memory = H5Screate_simple(4, chunk, NULL);
    assert_true(H5Sselect_hyperslab(space, H5S_SELECT_SET, zero, NULL, chunk, NULL) >= 0);
    assert_true(H5Dwrite(id, H5T_NATIVE_UINT8, memory, space, H5P_DEFAULT, values) >= 0);
    H5Sclose(memory), H5Dclose(id), H5Sclose(space), H5Pclose(how);
    free(values);
    finish(file);
    data_set *set = open_set(NULL);
    assert_non_null(data_set_warning(set));
    assert_non_null(strstr(data_set_warning(set), "chunks are [1000,8,8,1]"));
    data_set_close(set);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contiguous_bytes_come_back),
        TEST(chunked_and_packed_bytes_come_back),
        TEST(planar_bytes_come_back_as_channels_last),
        TEST(rank_three_is_grey),
        TEST(other_numbers_become_bytes_and_reals),
        TEST(big_endian_floats_come_back),
        TEST(stored_floats_in_range_come_back_exactly),
        TEST(encoded_pictures_are_decoded),
        TEST(a_damaged_encoded_picture_is_named),
        TEST(variable_length_pictures_are_decoded),
        TEST(splits_labels_names_and_captions_come_out),
        TEST(labels_may_be_one_hot_floats_or_columns),
        TEST(without_labels_they_are_minus_one_and_captions_empty),
        TEST(layout_is_told_by_sizes_attribute_or_option),
        TEST(range_is_demanded_where_it_cannot_be_told),
        TEST(moments_agree_with_a_plain_sum_on_any_number_of_threads),
        TEST(fingerprint_follows_the_content),
        TEST(a_file_without_images_says_what_it_holds),
        TEST(a_key_names_another_dataset),
        TEST(columns_that_do_not_fit_are_refused),
        TEST(sizes_no_file_could_hold_are_refused),
        TEST(truncated_files_are_refused_at_any_length),
        TEST(damaged_bytes_never_crash),
        TEST(a_file_cut_while_open_is_an_error_and_no_garbage),
        TEST(indices_outside_are_refused),
        TEST(bad_chunks_are_warned_of),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
