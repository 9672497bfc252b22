/* Built-in pictures: the reference set has its published values, scenes are the same for everyone and varied. */
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
#include <sys/stat.h>

#include "data/dataset.h"
#include "data/synth.h"
#include "scratch.h"

static char path[128];

static int set_up(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%s/a.h5", folder);
    return 0;
}

static void assert_near(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.9g is not %.9g", got, expected);
}

static data_set *make(const char *kind, const data_synth_options *options)
{
    data_set *set;
    if (data_synth(path, kind, options)) fail_msg("%s", ag_error_message());
    if (data_set_open(&set, path, NULL)) fail_msg("%s", ag_error_message());
    return set;
}

static void reference_pictures_have_the_published_values(void **state)
{
    (void)state;
    const double tolerance = 6e-8; /* half a unit of the seventh digit printed, and the rounding to float */
    float p[32][32][3];
    data_synth_reference(0, &p[0][0][0]);
    assert_near((double)p[0][0][0], 1.0, tolerance);
    assert_near((double)p[16][16][1], 0.5961001, tolerance);
    assert_near((double)p[31][31][2], 0.1903323, tolerance);
    data_synth_reference(4096, &p[0][0][0]);
    assert_near((double)p[0][0][0], 0.4659776, tolerance);
    assert_near((double)p[16][16][1], 0.2932031, tolerance);
    assert_near((double)p[31][31][2], 0.4966105, tolerance);
}

static void reference_file_has_the_published_moments(void **state)
{
    (void)state;
    double mean, variance;
    float expected[32 * 32 * 3], got[32 * 32 * 3];
    data_set *set = make("reference", NULL);
    const data_set_info *info = data_set_get_info(set);
    assert_int_equal(info->count, 4608);
    assert_int_equal(info->in_split[DATA_TRAIN], 4096);
    assert_int_equal(info->in_split[DATA_VALIDATION], 512);
    assert_int_equal(info->dtype, DATA_F32);
    assert_int_equal(info->classes, 3);
    assert_int_equal(data_set_moments(set, DATA_TRAIN, &mean, &variance), AG_OK);
    assert_near(mean, 0.4999265, 5e-8);
    assert_near(variance, 0.0912358, 5e-8);
    assert_int_equal(data_set_moments(set, DATA_VALIDATION, &mean, &variance), AG_OK);
    assert_near(mean, 0.5016738, 5e-8);
    for (int64_t n = 0; n < 4608; n += 501) {
        int64_t label;
        const int drawn = data_synth_reference(n, expected);
        assert_int_equal(data_set_read_real(set, 1, &n, got), AG_OK);
        assert_memory_equal(got, expected, sizeof got);
        assert_int_equal(data_set_read_labels(set, 1, &n, &label), AG_OK);
        assert_int_equal(label, drawn);
    }
    data_set_close(set);
}

static void the_reference_set_takes_no_options(void **state)
{
    (void)state;
    const data_synth_options cases[] = {{.count = 10}, {.height = 64}, {.seed = 1}, {.validation = 0.5}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(data_synth(path, "reference", &cases[i]), AG_ERR_USAGE);
        assert_says("fixed");
    }
    assert_int_equal(data_synth(path, "reference", &(data_synth_options){.count = 4608, .height = 32}), AG_OK);
}

static void any_number_of_threads_writes_the_same_bytes(void **state)
{
    (void)state;
    size_t size = 0, first_size = 0;
    char *first = NULL;
    const data_synth_options options = {.count = 700, .height = 24, .width = 16, .seed = 4};
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        assert_int_equal(data_synth(path, "scenes", &options), AG_OK);
        char *bytes = slurp(path, &size);
        if (threads == 1) {
            first = bytes, first_size = size;
            continue;
        }
        assert_int_equal(size, first_size);
        assert_memory_equal(bytes, first, size);
        free(bytes);
    }
    free(first);
}

static void scenes_open_with_labels_captions_and_split(void **state)
{
    (void)state;
    int counts[10] = {0};
    uint8_t got[40 * 48 * 3], drawn[40 * 48 * 3];
    data_set *set =
        make("scenes", &(data_synth_options){.count = 500, .height = 40, .width = 48, .seed = 9, .validation = 0.2});
    const data_set_info *info = data_set_get_info(set);
    assert_int_equal(info->count, 500);
    assert_int_equal(info->in_split[DATA_VALIDATION], 100);
    assert_int_equal(info->classes, 10);
    assert_true(info->has_captions && info->has_labels && info->dtype == DATA_U8);
    for (int64_t i = 0; i < 500; i++) {
        int64_t label;
        int drawn_label;
        char *caption, drawn_caption[DATA_SYNTH_CAPTION];
        assert_int_equal(data_set_read_labels(set, 1, &i, &label), AG_OK);
        assert_in_range(label, 0, 9);
        counts[label]++;
        assert_int_equal(data_set_read_caption(set, i, &caption), AG_OK);
        assert_non_null(strstr(caption, data_set_class_name(set, (int)label)));
        assert_int_equal(data_synth_scene(9, i, 40, 48, drawn, &drawn_label, drawn_caption), AG_OK);
        assert_int_equal(data_set_read(set, 1, &i, got), AG_OK);
        assert_memory_equal(got, drawn, sizeof got);
        assert_string_equal(caption, drawn_caption);
        free(caption);
    }
    for (int c = 0; c < 10; c++) assert_in_range(counts[c], 25, 85);
    data_set_close(set);
}

static void captions_are_whole_and_mostly_different(void **state)
{
    (void)state;
    static char captions[2000][DATA_SYNTH_CAPTION];
    uint8_t pixels[8 * 8 * 3];
    int label, same = 0;
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(data_synth_scene(0, i, 8, 8, pixels, &label, captions[i]), AG_OK);
        assert_in_range(strlen(captions[i]), 15, 130);
        assert_null(strstr(captions[i], "  "));
        assert_true(!strncmp(captions[i], "a ", 2) || !strncmp(captions[i], "an ", 3) ||
                    !strncmp(captions[i], "two ", 4) || !strncmp(captions[i], "three ", 6));
        for (int k = 0; k < i; k++) same += !strcmp(captions[k], captions[i]);
    }
    assert_in_range(same, 0, 200);
}

/* A set worth a codebook: pictures differ, use the whole range, and another seed makes others. */
static void scenes_are_varied(void **state)
{
    (void)state;
    double mean, variance, least = 1, most = 0;
    uint8_t a[32 * 32 * 3], b[32 * 32 * 3];
    int label;
    char caption[DATA_SYNTH_CAPTION];
    data_set *set = make("scenes", &(data_synth_options){.count = 300, .width = 32});
    assert_int_equal(data_set_get_info(set)->height, 32);
    assert_int_equal(data_set_moments(set, DATA_ALL, &mean, &variance), AG_OK);
    data_set_close(set);
    assert_true(mean > 0.35 && mean < 0.65);
    assert_true(variance > 0.04 && variance < 0.12);
    for (int i = 0; i < 100; i++) {
        double sum = 0;
        assert_int_equal(data_synth_scene(1, i, 32, 32, a, &label, caption), AG_OK);
        assert_int_equal(data_synth_scene(2, i, 32, 32, b, &label, caption), AG_OK);
        assert_memory_not_equal(a, b, sizeof a);
        for (size_t k = 0; k < sizeof a; k++) sum += a[k] / 255.0 / (double)sizeof a;
        least = sum < least ? sum : least, most = sum > most ? sum : most;
    }
    assert_true(least < 0.3 && most > 0.6);
}

static void wrong_options_are_refused_and_nothing_is_written(void **state)
{
    (void)state;
    struct stat st;
    const struct {
        const char *kind;
        data_synth_options options;
        const char *says;
    } cases[] = {
        {"photos", {0}, "no such kind; there are: scenes, reference"},
        {"scenes", {.count = -1}, "count -1"},
        {"scenes", {.height = 4}, "size 4 x 4"},
        {"scenes", {.width = 5000}, "size 5000 x 5000"},
        {"scenes", {.validation = 1.5}, "validation 1.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(data_synth(path, cases[i].kind, &cases[i].options), AG_ERR_USAGE);
        assert_says(cases[i].says);
        assert_true(stat(path, &st));
    }
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/no/such/a.h5", folder);
    assert_int_equal(data_synth(nowhere, "scenes", &(data_synth_options){.count = 3}), AG_ERR_IO);
    assert_says("no/such/a.h5");
}

static void a_disk_that_fills_leaves_the_old_file(void **state)
{
    (void)state;
    struct stat before, after;
    const data_synth_options small = {.count = 10, .height = 16}, large = {.count = 900, .height = 16};
    assert_int_equal(data_synth(path, "scenes", &small), AG_OK);
    assert_int_equal(stat(path, &before), 0);
    limit_file_size(100000);
    const ag_err err = data_synth(path, "scenes", &large);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(err, AG_ERR_IO);
    assert_says("a.h5: file larger than the limit");
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size);
    assert_int_equal(entries(), 1);
}

static void note_progress(void *data, int64_t done, int64_t total)
{
    int64_t *seen = data;
    assert_true(done > seen[0] && done <= total);
    seen[0] = done, seen[1] = total;
}

static void progress_is_told_up_to_the_end(void **state)
{
    (void)state;
    int64_t seen[2] = {0, 0};
    data_set *set = make(
        "scenes",
        &(data_synth_options){.count = 1100, .height = 8, .progress = note_progress, .data = seen, .validation = -1});
    assert_int_equal(data_set_get_info(set)->in_split[DATA_TRAIN], 1100);
    data_set_close(set);
    assert_int_equal(seen[0], 1100);
    assert_int_equal(seen[1], 1100);
}

static void kinds_are_listed(void **state)
{
    (void)state;
    int n;
    const data_synth_kind *kinds = data_synth_kinds(&n);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++) {
        assert_true(strlen(kinds[i].name) && strlen(kinds[i].about));
        assert_true(kinds[i].count > 0 && kinds[i].height > 0 && kinds[i].channels > 0 && kinds[i].classes > 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reference_pictures_have_the_published_values),
        TEST(reference_file_has_the_published_moments),
        TEST(the_reference_set_takes_no_options),
        TEST(any_number_of_threads_writes_the_same_bytes),
        TEST(scenes_open_with_labels_captions_and_split),
        TEST(captions_are_whole_and_mostly_different),
        TEST(scenes_are_varied),
        TEST(wrong_options_are_refused_and_nothing_is_written),
        TEST(a_disk_that_fills_leaves_the_old_file),
        TEST(progress_is_told_up_to_the_end),
        TEST(kinds_are_listed),
    };
    return cmocka_run_group_tests_name("synth", tests, NULL, NULL);
}
