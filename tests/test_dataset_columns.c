/* Data sets: splits, labels, captions, moments and the fingerprint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <omp.h>

#include "dataset_samples.h"

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_set_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(splits_labels_names_and_captions_come_out),
        TEST(labels_may_be_one_hot_floats_or_columns),
        TEST(without_labels_they_are_minus_one_and_captions_empty),
        TEST(moments_agree_with_a_plain_sum_on_any_number_of_threads),
        TEST(fingerprint_follows_the_content),
    };
    return cmocka_run_group_tests_name("dataset columns", tests, NULL, NULL);
}
