/* Data sets that are wrong, cut or damaged are refused in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "dataset_samples.h"

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
    size_t size;
    char *whole = slurp(path, &size);
    for (size_t n = 0; n < size; n += 61) {
        write_bytes(path, whole, n);
        data_set *set;
        assert_int_equal(data_set_open(&set, path, NULL), AG_ERR_DATA);
        assert_says("a.h5: ");
    }
    free(whole);
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
    size_t size;
    char *whole = slurp(path, &size);
    int opened = 0;
    for (uint64_t trial = 0; trial < 300; trial++) {
        const size_t at = ag_random_below(3, 1, trial, size);
        const char kept = whole[at];
        whole[at] = (char)ag_random_below(3, 2, trial, 256);
        write_bytes(path, whole, size);
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
    free(whole);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_set_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_without_images_says_what_it_holds),
        TEST(columns_that_do_not_fit_are_refused),
        TEST(sizes_no_file_could_hold_are_refused),
        TEST(truncated_files_are_refused_at_any_length),
        TEST(damaged_bytes_never_crash),
        TEST(a_file_cut_while_open_is_an_error_and_no_garbage),
        TEST(indices_outside_are_refused),
    };
    return cmocka_run_group_tests_name("dataset bad", tests, NULL, NULL);
}
