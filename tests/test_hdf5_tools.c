/* The HDF5 helpers: values come back, and what is wrong with a file is said in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/hdf5_tools.h"
#include "scratch.h"

static char path[128];

static int set_up(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%s/a.h5", folder);
    return 0;
}

static const char *const names[] = {"airplane", "", "Schmetterling", "ö"};

/* A file with attributes of each kind and a dataset of 6 numbers. */
static void write_file(void)
{
    hid_t file;
    const int64_t dims[] = {2, 3}, numbers[] = {1, 2, 3, 4, 5, -6};
    assert_int_equal(data_h5_create(&file, path, path), AG_OK);
    assert_int_equal(data_h5_set_string(file, path, "source", "a text"), AG_OK);
    assert_int_equal(data_h5_set_string(file, path, "source", "another text"), AG_OK);
    assert_int_equal(data_h5_set_int(file, path, "step", INT64_MAX), AG_OK);
    assert_int_equal(data_h5_set_strings(file, path, "classes", 4, names), AG_OK);
    assert_int_equal(data_h5_write(file, path, "group/numbers", H5T_NATIVE_INT64, 2, dims, numbers), AG_OK);
    assert_int_equal(data_h5_write_strings(file, path, "captions", 4, names), AG_OK);
    assert_int_equal(data_h5_finish(file, path), AG_OK);
}

static void attributes_and_datasets_come_back(void **state)
{
    (void)state;
    hid_t file;
    char *text, **texts;
    int64_t n, step = 0, numbers[6] = {0};
    const int64_t dims[] = {2, 3};
    write_file();
    assert_int_equal(data_h5_open(&file, path, AG_ERR_DATA), AG_OK);
    assert_int_equal(data_h5_get_string(file, path, "source", &text), AG_OK);
    assert_string_equal(text, "another text");
    assert_int_equal(data_h5_get_int(file, path, "step", &step), AG_OK);
    assert_true(step == INT64_MAX);
    assert_int_equal(data_h5_get_strings(file, path, "classes", &n, &texts), AG_OK);
    assert_int_equal(n, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(texts[i], names[i]);
    assert_int_equal(data_h5_read(file, path, "group/numbers", AG_ERR_DATA, H5T_NATIVE_INT64, 2, dims, numbers), AG_OK);
    assert_true(numbers[5] == -6);
    assert_true(data_h5_has(file, "group/numbers") && !data_h5_has(file, "grope/numbers"));
    free(text);
    data_h5_free_strings(n, texts);
    H5Fclose(file);
}

static void a_missing_attribute_is_no_error_and_a_wrong_type_is(void **state)
{
    (void)state;
    hid_t file;
    char *text = path;
    int64_t step = 77;
    write_file();
    assert_int_equal(data_h5_open(&file, path, AG_ERR_DATA), AG_OK);
    assert_int_equal(data_h5_get_string(file, path, "nothing", &text), AG_OK);
    assert_null(text);
    assert_int_equal(data_h5_get_int(file, path, "nothing", &step), AG_OK);
    assert_int_equal(step, 77);
    assert_int_equal(data_h5_get_string(file, path, "step", &text), AG_ERR_DATA);
    assert_says("attribute 'step' is not a text");
    assert_int_equal(data_h5_get_int(file, path, "source", &step), AG_ERR_DATA);
    assert_says("attribute 'source' is not a number");
    assert_int_equal(data_h5_get_string(file, path, "classes", &text), AG_ERR_DATA);
    assert_says("4 texts, not one");
    H5Fclose(file);
}

static void reading_checks_the_sizes(void **state)
{
    (void)state;
    hid_t file;
    const int64_t dims[] = {3, 2};
    int64_t numbers[6];
    write_file();
    assert_int_equal(data_h5_open(&file, path, AG_ERR_CHECKPOINT), AG_OK);
    assert_int_equal(data_h5_read(file, path, "group/numbers", AG_ERR_CHECKPOINT, H5T_NATIVE_INT64, 2, dims, numbers),
                     AG_ERR_CHECKPOINT);
    assert_says("dataset 'group/numbers' is [2,3], expected [3,2]");
    assert_int_equal(data_h5_read(file, path, "weights", AG_ERR_CHECKPOINT, H5T_NATIVE_INT64, 2, dims, numbers),
                     AG_ERR_CHECKPOINT);
    assert_says("dataset 'weights' is missing");
    H5Fclose(file);
}

static void what_is_wrong_with_a_file_is_said(void **state)
{
    (void)state;
    hid_t file;
    assert_int_equal(data_h5_open(&file, path, AG_ERR_DATA), AG_ERR_IO);
    assert_says("a.h5: no such file");
    assert_int_equal(data_h5_open(&file, path, AG_ERR_CHECKPOINT), AG_ERR_CHECKPOINT);
    assert_int_equal(data_h5_open(&file, folder, AG_ERR_DATA), AG_ERR_DATA);
    assert_says("is a folder");
    assert_int_equal(data_h5_open(&file, "/dev/null", AG_ERR_DATA), AG_ERR_DATA);
    assert_says("not a regular file");
    write_bytes(path, "", 0);
    assert_int_equal(data_h5_open(&file, path, AG_ERR_DATA), AG_ERR_DATA);
    assert_says("is empty");
    write_bytes(path, "plain text, and a good deal of it", 33);
    assert_int_equal(data_h5_open(&file, path, AG_ERR_DATA), AG_ERR_DATA);
    assert_says("not an HDF5 file");
    assert_int_equal(file, -1);
}

static void a_truncated_file_is_called_so(void **state)
{
    (void)state;
    hid_t file;
    write_file();
    assert_int_equal(truncate(path, 2000), 0);
    assert_int_equal(data_h5_open(&file, path, AG_ERR_CHECKPOINT), AG_ERR_CHECKPOINT);
    assert_says("truncated: 2000 bytes of");
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(data_h5_open(&file, path, AG_ERR_DATA), AG_ERR_DATA);
    assert_says("a.h5: ");
}

static void the_same_content_gives_the_same_bytes(void **state)
{
    (void)state;
    write_file();
    assert_int_equal(rename(path, in_folder("first.h5")), 0);
    sleep(1); /* HDF5 stamps seconds */
    write_file();
    assert_same_bytes(in_folder("first.h5"), path);
}

static void a_write_that_the_system_refuses_is_an_io_error(void **state)
{
    (void)state;
    const int64_t n = 100000;
    char *big = calloc(1, (size_t)n);
    hid_t file;
    limit_file_size(10000);
    assert_int_equal(data_h5_create(&file, path, path), AG_OK);
    const ag_err err = data_h5_write(file, path, "big", H5T_NATIVE_UINT8, 1, &n, big);
    assert_true(H5Gcreate2(file, "left open", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    const ag_err end = data_h5_finish(file, path);
    limit_file_size(RLIM_INFINITY);
    free(big);
    assert_int_equal(err, AG_ERR_IO);
    assert_int_equal(end, AG_ERR_IO);
    assert_says("file larger than the limit");
    write_file(); /* and the library works on */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(attributes_and_datasets_come_back),
        TEST(a_missing_attribute_is_no_error_and_a_wrong_type_is),
        TEST(reading_checks_the_sizes),
        TEST(what_is_wrong_with_a_file_is_said),
        TEST(a_truncated_file_is_called_so),
        TEST(the_same_content_gives_the_same_bytes),
        TEST(a_write_that_the_system_refuses_is_an_io_error),
    };
    return cmocka_run_group_tests_name("hdf5_tools", tests, NULL, NULL);
}
