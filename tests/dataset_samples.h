/* Data sets written by hand, for the tests of data/dataset.h: a file `path` in a folder of the test's own, and the pixels it holds. */
#ifndef TESTS_DATASET_SAMPLES_H
#define TESTS_DATASET_SAMPLES_H

#include <math.h>

#include "autograd/random.h"
#include "data/dataset.h"
#include "data/hdf5_tools.h"
#include "scratch.h"

enum { N = 23, H = 5, W = 7, C = 3, VALUES = H * W * C };

static char path[128];
static uint8_t pixels[N * VALUES]; /* the content of every file, [N,H,W,C] */
static const int64_t nhwc[] = {N, H, W, C};

static inline int make_set_folder(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%s/a.h5", folder);
    for (int i = 0; i < N * VALUES; i++) pixels[i] = (uint8_t)ag_random_below(1, 2, (uint64_t)i, 256);
    return 0;
}

static inline hid_t create(void)
{
    hid_t file;
    assert_int_equal(data_h5_create(&file, path, path), AG_OK);
    return file;
}

static inline void finish(hid_t file) { assert_int_equal(data_h5_finish(file, path), AG_OK); }

static inline void put(hid_t file, const char *name, hid_t type, int rank, const int64_t *dims, const void *values)
{
    assert_int_equal(data_h5_write(file, path, name, type, rank, dims, values), AG_OK);
}

static inline void put_images(hid_t file) { put(file, "images", H5T_NATIVE_UINT8, 4, nhwc, pixels); }

static inline data_set *open_set(const data_set_options *options)
{
    data_set *set;
    if (data_set_open(&set, path, options)) fail_msg("%s", ag_error_message());
    return set;
}

static inline void assert_refused(const data_set_options *options, ag_err code, const char *part)
{
    data_set *set;
    assert_int_equal(data_set_open(&set, path, options), code);
    assert_null(set);
    assert_says(path);
    assert_says(part);
}

/* Reads the images in several orders, as bytes and as reals, and compares. */
static inline void assert_pixels(data_set *set, float tolerance)
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

#endif
