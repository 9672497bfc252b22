/* Data sets: every layout, type and packing gives the same pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/picture.h"
#include "dataset_samples.h"

static const int64_t nchw[] = {N, C, H, W};

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_set_folder, remove_folder)

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
        TEST(layout_is_told_by_sizes_attribute_or_option),
        TEST(range_is_demanded_where_it_cannot_be_told),
        TEST(a_key_names_another_dataset),
        TEST(bad_chunks_are_warned_of),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
