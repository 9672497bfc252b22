/* Pictures and packing when memory runs out: at every single allocation in turn, ours and those of the libraries, the call
 * fails with an error, and works again afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack_parts.h"
#include "picture_samples.h"

#ifndef __GLIBC__
#define SANITIZED
#endif

/* Allocations until the one that fails; negative: none fails. */
static long countdown = -1;
static long live; /* blocks allocated while armed or before, less those freed */

#ifndef SANITIZED
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

static bool fails(void)
{
    if (countdown < 0 || countdown-- > 0) return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

void *malloc(size_t n) { return fails() ? NULL : counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : counted(__libc_calloc(n, size)); }
void *realloc(void *p, size_t n) { return fails() ? NULL : p ? __libc_realloc(p, n) : counted(__libc_realloc(p, n)); }
void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}
#endif

static uint64_t outcome; /* of the last call of act: a checksum over its result */

static void note_outcome(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) outcome = (outcome ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
}

static ag_err run(ag_err (*act)(void))
{
    outcome = 0xcbf29ce484222325u;
    return act();
}

/* Runs `act` with the first allocation failing, then the second, until it needs no more. Nothing may be left behind.
 * A library may get over the failure (libjpeg asks again for less); then the result must be the usual one. */
static void starve(ag_err (*act)(void))
{
    assert_int_equal(run(act), AG_OK); /* caches of the libraries fill */
#ifdef SANITIZED
    return; /* the sanitizer owns malloc */
#endif
    const uint64_t usual = outcome;
    long errors = 0;
    for (long n = 0;; n++) {
        assert_true(n < 100000);
        const long before = live;
        countdown = n;
        const ag_err err = run(act);
        const bool failed = countdown < 0;
        countdown = -1;
        if (live != before) fail_msg("allocation %ld: %ld blocks left", n, live - before);
        if (!failed) {
            assert_int_equal(err, AG_OK);
            assert_true(errors > 1);
            return;
        }
        errors += err != AG_OK;
        if (!err && outcome != usual) fail_msg("allocation %ld failed: another result, and no error", n);
        if (err && err != AG_ERR_MEMORY && err != AG_ERR_IO) fail_msg("allocation %ld: %s", n, ag_error_message());
    }
}

static sample file;
static data_decode_options options;

static ag_err decode(void)
{
    data_picture p;
    const ag_err err = data_picture_decode(&p, file.bytes, file.size, "x", &options);
    if (!err) note_outcome(p.pixels, (size_t)(p.height * p.width * p.channels));
    data_picture_free(&p);
    return err;
}

static void decoding_jpeg_survives(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(40, 24, 4, 1);
    for (int kind = 0; kind < 3; kind++) {
        const jpeg_sample o = {.height = 40,
                               .width = 24,
                               .in = kind == 2 ? JCS_CMYK : JCS_RGB,
                               .stored = kind == 2 ? JCS_CMYK : JCS_YCbCr,
                               .progressive = kind == 1,
                               .orientation = 6};
        file = sample_jpeg(&o, pixels);
        options = (data_decode_options){.channels = 1};
        starve(decode);
        free(file.bytes);
    }
    free(pixels);
}

static void decoding_png_survives(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(40, 24, 8, 1);
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        file = sample_png(&(png_sample){.height = 40,
                                        .width = 24,
                                        .colour = PNG_COLOR_TYPE_RGB_ALPHA,
                                        .depth = 16,
                                        .raw = pixels,
                                        .interlaced = interlaced,
                                        .orientation = 3});
        options = (data_decode_options){.channels = 1};
        starve(decode);
        free(file.bytes);
    }
    free(pixels);
}

static data_picture picture;

static ag_err fit_and_encode(void)
{
    data_picture fitted = {0};
    uint8_t *png = NULL;
    size_t size;
    ag_err err = data_picture_fit(&fitted, &picture, 16, 16);
    if (!err) err = data_picture_encode_png(&fitted, &png, &size);
    if (!err) note_outcome(png, size);
    data_picture_free(&fitted);
    free(png);
    return err;
}

static void fitting_and_encoding_survive(void **state)
{
    (void)state;
    picture = (data_picture){40, 24, 3, sample_pixels(40, 24, 3, 1)};
    starve(fit_and_encode);
    data_picture_free(&picture);
}

static char source[64];

static ag_err scan_and_decode(void)
{
    const char *const sources[1] = {source};
    const data_pack_options o = {.sources = sources, .source_count = 1, .output = "out.h5", .height = 8, .width = 8};
    data__pack_list list;
    data__pack_form form;
    data__pack_result r;
    uint8_t pixels[8 * 8 * 3];
    ag_err err = data__pack_scan(&list, &o);
    if (!err) err = data__pack_classify(&list);
    if (!err) err = data__pack_decide(&form, &list);
    for (int64_t i = 0; !err && i < list.count; i++) {
        data__pack_decode(&r, &list, i, &form, pixels);
        err = r.err;
        note_outcome(list.items[i].name, strlen(list.items[i].name));
        if (!err) note_outcome(pixels, sizeof pixels);
        free(r.reason);
    }
    data__pack_list_free(&list);
    return err;
}

static void put(const char *name, const sample *s)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", source, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(s->bytes, 1, s->size, f), s->size);
    fclose(f);
}

static void scanning_and_decoding_survive(void **state)
{
    (void)state;
    char path[128];
    strcpy(source, "/tmp/tessera-fault-XXXXXX");
    assert_non_null(mkdtemp(source));
    static const char *const classes[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", source, classes[i]);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    snprintf(path, sizeof path, "%s/link", source);
    assert_int_equal(symlink("a", path), 0);
    sample s = sample_photo(20, 30, 1);
    put("a/1.jpg", &s), put("b/2.jpg", &s);
    free(s.bytes);
    starve(scan_and_decode);
    snprintf(path, sizeof path, "rm -rf '%s'", source);
    assert_int_equal(system(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_jpeg_survives),
        cmocka_unit_test(decoding_png_survives),
        cmocka_unit_test(fitting_and_encoding_survive),
        cmocka_unit_test(scanning_and_decoding_survive),
    };
    return cmocka_run_group_tests_name("fault_picture", tests, NULL, NULL);
}
