/* Batches: every image once an epoch, the same stream from any position, errors and closing at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "autograd/random.h"
#include "data/hdf5_tools.h"
#include "data/loader.h"
#include "scratch.h"

/* Every allocation of the program passes here; the checkers bring their own. */
static atomic_long allocations;
#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTED 1
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return atomic_fetch_add(&allocations, 1), __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return atomic_fetch_add(&allocations, 1), __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return atomic_fetch_add(&allocations, 1), __libc_realloc(p, n); }
#else
#define COUNTED 0
#endif

enum { N = 37, H = 4, W = 3, C = 2, VALUES = H * W * C };

static char path[128];
static uint8_t pixels[N * VALUES]; /* the first value of image i is i */
static data_set *set;

static void write_set(bool with_split)
{
    const int64_t dims[] = {N, H, W, C}, n = N;
    int64_t labels[N];
    uint8_t split[N];
    hid_t file;
    for (int i = 0; i < N * VALUES; i++) pixels[i] = (uint8_t)ag_random_below(9, 9, (uint64_t)i, 256);
    for (int i = 0; i < N; i++) pixels[i * VALUES] = (uint8_t)i, labels[i] = 100 + i, split[i] = i % 4 == 1;
    assert_int_equal(data_h5_create(&file, path, path), AG_OK);
    assert_int_equal(data_h5_write(file, path, "images", H5T_NATIVE_UINT8, 4, dims, pixels), AG_OK);
    assert_int_equal(data_h5_write(file, path, "labels", H5T_NATIVE_INT64, 1, &n, labels), AG_OK);
    if (with_split) assert_int_equal(data_h5_write(file, path, "split", H5T_NATIVE_UINT8, 1, &n, split), AG_OK);
    assert_int_equal(data_h5_set_string(file, path, "layout", "NHWC"), AG_OK);
    assert_int_equal(data_h5_finish(file, path), AG_OK);
    if (data_set_open(&set, path, NULL)) fail_msg("%s", ag_error_message());
}

static int make_set(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%s/a.h5", folder);
    write_set(false);
    return 0;
}

static int remove_set(void **state)
{
    data_set_close(set);
    set = NULL;
    return remove_folder(state);
}

static data_loader *open_loader(data_loader_options options)
{
    data_loader *loader;
    if (data_loader_open(&loader, set, &options)) fail_msg("%s", ag_error_message());
    return loader;
}

/* The images of `batches` batches, by number; checks their pixels and labels. */
static void draw(data_loader *loader, int64_t batch, int64_t batches, int64_t *drawn)
{
    uint8_t *got = malloc((size_t)(batch * VALUES));
    int64_t *labels = malloc((size_t)batch * sizeof *labels);
    for (int64_t b = 0; b < batches; b++) {
        assert_int_equal(data_loader_next(loader, got, labels, NULL), AG_OK);
        for (int64_t k = 0; k < batch; k++) {
            const int64_t i = labels[k] - 100;
            assert_in_range(i, 0, N - 1);
            assert_memory_equal(got + k * VALUES, pixels + i * VALUES, VALUES);
            drawn[b * batch + k] = i;
        }
    }
    free(got), free(labels);
}

static void every_image_comes_once_an_epoch(void **state)
{
    (void)state;
    int64_t drawn[5 * N];
    data_loader *loader = open_loader((data_loader_options){.batch = 5, .seed = 3});
    draw(loader, 5, N, drawn); /* five epochs */
    for (int e = 0; e < 5; e++) {
        int seen[N] = {0};
        for (int k = 0; k < N; k++) seen[drawn[e * N + k]]++;
        for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(drawn, drawn + N, N * sizeof *drawn);
    data_loader_close(loader);
}

static void the_order_is_the_permutation_of_seed_and_epoch(void **state)
{
    (void)state;
    int64_t drawn[2 * N], expected[N];
    data_loader *loader = open_loader((data_loader_options){.batch = N, .seed = 77, .prefetch = 1});
    draw(loader, N, 2, drawn);
    for (uint64_t e = 0; e < 2; e++) {
        ag_random_permutation(77, e, N, expected);
        assert_memory_equal(drawn + e * N, expected, sizeof expected);
    }
    data_loader_close(loader);
}

static void resuming_anywhere_continues_the_stream(void **state)
{
    (void)state;
    enum { B = 8, BATCHES = 15 };
    int64_t whole[B * BATCHES], rest[B * BATCHES];
    data_loader *loader = open_loader((data_loader_options){.batch = B, .seed = 5});
    draw(loader, B, BATCHES, whole);
    assert_int_equal(data_loader_position(loader), B * BATCHES);
    data_loader_close(loader);
    for (int64_t start = 0; start < B * (BATCHES - 1); start += 7) {
        const int64_t batches = (B * BATCHES - start) / B;
        loader = open_loader((data_loader_options){.batch = B, .seed = 5, .position = start});
        assert_int_equal(data_loader_position(loader), start);
        draw(loader, B, batches, rest);
        assert_memory_equal(rest, whole + start, (size_t)(batches * B) * sizeof *rest);
        data_loader_close(loader);
    }
}

static void another_batch_size_draws_the_same_stream(void **state)
{
    (void)state;
    int64_t a[60], b[60];
    data_loader *loader = open_loader((data_loader_options){.batch = 4, .seed = 6});
    draw(loader, 4, 15, a);
    data_loader_close(loader);
    loader = open_loader((data_loader_options){.batch = 15, .seed = 6, .prefetch = 7});
    draw(loader, 15, 4, b);
    data_loader_close(loader);
    assert_memory_equal(a, b, sizeof a);
}

static void in_order_is_file_order_round_and_round(void **state)
{
    (void)state;
    int64_t drawn[100];
    data_loader *loader = open_loader((data_loader_options){.batch = 10, .in_order = true});
    draw(loader, 10, 10, drawn);
    for (int k = 0; k < 100; k++) assert_int_equal(drawn[k], k % N);
    data_loader_close(loader);
}

static void a_split_gives_its_own_images_only(void **state)
{
    (void)state;
    int64_t drawn[9], n;
    data_set_close(set);
    write_set(true);
    const int64_t *list = data_set_indices(set, DATA_VALIDATION, &n);
    assert_int_equal(n, 9);
    data_loader *loader = open_loader((data_loader_options){.batch = 3, .split = DATA_VALIDATION, .seed = 1});
    draw(loader, 3, 3, drawn);
    for (int k = 0; k < 9; k++) {
        int found = 0;
        for (int i = 0; i < 9; i++) found += drawn[i] == list[k];
        assert_int_equal(found, 1);
    }
    assert_true(data_loader_epoch(loader) == 1.0);
    data_loader_close(loader);
}

static void flips_mirror_about_half_and_resume_the_same(void **state)
{
    (void)state;
    uint8_t got[N * VALUES], again[N * VALUES], mirrored[VALUES];
    int64_t labels[N];
    int flipped = 0;
    for (int64_t start = 0; start < 4 * N; start += N) {
        data_loader *loader =
            open_loader((data_loader_options){.batch = N, .seed = 2, .flip = true, .position = start});
        assert_int_equal(data_loader_next(loader, got, labels, NULL), AG_OK);
        data_loader_close(loader);
        loader = open_loader((data_loader_options){.batch = N, .seed = 2, .flip = true, .position = start});
        assert_int_equal(data_loader_next(loader, again, NULL, NULL), AG_OK);
        data_loader_close(loader);
        assert_memory_equal(got, again, sizeof got);
        for (int k = 0; k < N; k++) {
            const uint8_t *image = pixels + (labels[k] - 100) * VALUES;
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) memcpy(mirrored + (y * W + x) * C, image + (y * W + W - 1 - x) * C, C);
            const bool is = !memcmp(got + k * VALUES, mirrored, VALUES);
            assert_true(is || !memcmp(got + k * VALUES, image, VALUES));
            flipped += is;
        }
    }
    assert_in_range(flipped, 4 * N * 3 / 10, 4 * N * 7 / 10);
}

static void real_batches_are_the_bytes_over_255(void **state)
{
    (void)state;
    float got[4 * VALUES];
    uint8_t bytes[4 * VALUES];
    int64_t labels[4];
    data_loader *loader = open_loader((data_loader_options){.batch = 4, .seed = 8, .real = true, .flip = true});
    assert_int_equal(data_loader_next(loader, bytes, labels, NULL), AG_ERR_USAGE);
    assert_says("gives floats");
    assert_int_equal(data_loader_next_real(loader, got, labels, NULL), AG_OK);
    data_loader_close(loader);
    loader = open_loader((data_loader_options){.batch = 4, .seed = 8, .flip = true});
    assert_int_equal(data_loader_next_real(loader, got, labels, NULL), AG_ERR_USAGE);
    assert_int_equal(data_loader_next(loader, bytes, labels, NULL), AG_OK);
    data_loader_close(loader);
    for (int i = 0; i < 4 * VALUES; i++) assert_true(got[i] == (float)bytes[i] / 255.0f);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    data_loader *loader;
    const struct {
        data_loader_options options;
        ag_err err;
        const char *says;
    } cases[] = {
        {{.batch = N + 1}, AG_ERR_USAGE, "batch 38: larger than the data"},
        {{.batch = 0}, AG_ERR_USAGE, "batch 0"},
        {{.batch = -3}, AG_ERR_USAGE, "batch -3"},
        {{.batch = 1, .position = -1}, AG_ERR_USAGE, "position -1"},
        {{.batch = 1, .prefetch = -1}, AG_ERR_USAGE, "prefetch -1"},
        {{.batch = 1, .split = DATA_TEST}, AG_ERR_DATA, "no images in that split"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(data_loader_open(&loader, set, &cases[i].options), cases[i].err);
        assert_null(loader);
        assert_says(cases[i].says);
    }
}

static void errors_of_the_reading_thread_come_out_of_next(void **state)
{
    (void)state;
    uint8_t got[4 * VALUES];
    assert_int_equal(truncate(path, 2500), 0);
    data_loader *loader = open_loader((data_loader_options){.batch = 4, .in_order = true});
    ag_err err = AG_OK;
    for (int b = 0; b < 20 && !err; b++) err = data_loader_next(loader, got, NULL, NULL);
    assert_int_equal(err, AG_ERR_DATA);
    assert_says("truncated while in use");
    ag_error_clear();
    assert_int_equal(data_loader_next(loader, got, NULL, NULL), AG_ERR_DATA);
    assert_says("truncated while in use");
    data_loader_close(loader);
}

static void closing_at_any_moment_does_not_hang(void **state)
{
    (void)state;
    uint8_t got[4 * VALUES];
    data_loader_close(NULL);
    for (int trial = 0; trial < 60; trial++) {
        data_loader *loader = open_loader((data_loader_options){.batch = 4, .seed = 1, .prefetch = 1 + trial % 3});
        for (int b = 0; b < trial % 5; b++) assert_int_equal(data_loader_next(loader, got, NULL, NULL), AG_OK);
        if (trial % 2) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the ring is full, the thread waits */
        data_loader_close(loader);
    }
}

static void nothing_is_allocated_between_batches(void **state)
{
    (void)state;
    if (!COUNTED) skip();
    uint8_t got[6 * VALUES];
    int64_t labels[6];
    double waited;
    data_loader *loader = open_loader((data_loader_options){.batch = 6, .seed = 1, .flip = true});
    assert_int_equal(data_loader_next(loader, got, labels, &waited), AG_OK); /* the thread has started */
    const long before = atomic_load(&allocations);
    for (int b = 0; b < 200; b++) {
        const ag_err err = data_loader_next(loader, got, labels, &waited);
        if (err || !(waited >= 0)) fail();
    }
    const long after = atomic_load(&allocations);
    data_loader_close(loader);
    assert_true(before > 0);
    assert_int_equal(after, before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_set, remove_set)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_image_comes_once_an_epoch),
        TEST(the_order_is_the_permutation_of_seed_and_epoch),
        TEST(resuming_anywhere_continues_the_stream),
        TEST(another_batch_size_draws_the_same_stream),
        TEST(in_order_is_file_order_round_and_round),
        TEST(a_split_gives_its_own_images_only),
        TEST(flips_mirror_about_half_and_resume_the_same),
        TEST(real_batches_are_the_bytes_over_255),
        TEST(wrong_options_are_refused),
        TEST(errors_of_the_reading_thread_come_out_of_next),
        TEST(closing_at_any_moment_does_not_hang),
        TEST(nothing_is_allocated_between_batches),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
