/* Packing: what is skipped, what is refused, and that a failure leaves everything as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pack_samples.h"

/* ---- bad files ---- */

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
    char *list = slurp(in_folder("out.h5.skipped.txt"), &size);
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
    assert_holds(in_folder("out.h5"), "old");
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
    for (rlim_t limit = 0; limit <= 16384; limit += 2048) { /* the whole file takes more */
        limit_file_size(limit);
        const ag_err err = pack("source", (data_pack_options){0}, NULL);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(err, AG_ERR_IO);
        assert_says("out.h5: file larger than the limit");
        assert_holds(in_folder("out.h5"), "old");
        assert_nothing_written(1);
    }
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
    char *first = NULL;
    size_t first_size = 0;
    setenv("SOURCE_DATE_EPOCH", "1000000000", 1);
    for (int threads = 1; threads <= 2; threads++) { /* 768 KiB an image: several windows */
        data_pack_report r;
        pack_well("source", (data_pack_options){.height = 512, .width = 512, .threads = threads}, &r);
        assert_int_equal(r.images, 22);
        assert_int_equal(r.skipped, 4);
        size_t size;
        char *bytes = slurp(in_folder("out.h5"), &size);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("pack_bad", tests, NULL, NULL);
}
