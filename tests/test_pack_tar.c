/* Packing tar archives: every kind of name, and hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pack_samples.h"

typedef struct tar_file {
    uint8_t bytes[1 << 23];
    size_t size;
} tar_file;

static tar_file shard;

static void tar_sum(uint8_t *h)
{
    unsigned sum = 8 * ' ';
    for (int i = 0; i < 512; i++)
        if (i < 148 || i >= 156) sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    h[155] = ' ';
}

/* A member; `size` is what the header says. Returns the header. */
static uint8_t *tar_put(const char *prefix, const char *name, char type, const void *bytes, size_t there, uint64_t size)
{
    uint8_t *h = shard.bytes + shard.size;
    assert_true(shard.size + 1024 + there < sizeof shard.bytes);
    memset(h, 0, 512);
    memcpy(h, name, strnlen(name, 100));
    memcpy(h + 100, "0000444", 8);
    snprintf((char *)h + 124, 12, "%011llo", (unsigned long long)size);
    h[156] = (uint8_t)type;
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    memcpy(h + 345, prefix, strlen(prefix));
    tar_sum(h);
    memset(h + 512, 0, (there + 511) / 512 * 512);
    memcpy(h + 512, bytes, there);
    shard.size += 512 + (there + 511) / 512 * 512;
    return h;
}

static uint8_t *tar_png(const char *prefix, const char *name, int value)
{
    sample s = flat_png(8, 8, PNG_COLOR_TYPE_RGB, value);
    uint8_t *h = tar_put(prefix, name, '0', s.bytes, s.size, s.size);
    free(s.bytes);
    return h;
}

static void tar_end(const char *name)
{
    memset(shard.bytes + shard.size, 0, 1024);
    shard.size += 1024;
    write_file(name, shard.bytes, shard.size);
}

static void tar_begin(void) { shard.size = 0; }

static void tar_members_are_read_with_every_kind_of_name(void **state)
{
    (void)state;
    char long_name[300], record[400];
    tar_begin();
    tar_put("", "./", '5', "", 0, 0);
    tar_png("", "./cat/1.png", 1);
    tar_png("dog", "2.png", 2);
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name, "cat/", 4);
    strcpy(long_name + 290, ".png");
    snprintf(record, sizeof record, "%d path=%s\n", 5 + 4 + (int)strlen(long_name) + 1, long_name);
    assert_int_equal(strlen(record), atoi(record));
    tar_put("", "pax", 'x', record, strlen(record), strlen(record));
    tar_png("", "cat/short.png", 3);
    long_name[4] = 'y';
    tar_put("", "././@LongLink", 'L', long_name, strlen(long_name) + 1, strlen(long_name) + 1);
    uint8_t *h = tar_png("", "cat/short2.png", 4);
    memcpy(h + 257, "ustar  ", 8); /* GNU: no prefix, other things there */
    memcpy(h + 345, "garbage", 7);
    tar_sum(h);
    h = tar_png("", "dog/5.png", 5); /* size in base 256 */
    const unsigned size = (unsigned)strtoul((char *)h + 124, NULL, 8);
    memset(h + 124, 0, 12);
    h[124] = 0x80, h[134] = (uint8_t)(size >> 8), h[135] = (uint8_t)size;
    tar_sum(h);
    tar_put("", "pax_global_header", 'g', "17 comment=hello\n", 17, 17);
    tar_put("", "cat/link.png", '2', "", 0, 0);
    tar_put("", "cat/hard.png", '1', "", 0, 4096); /* has no data, whatever it says */
    tar_png("", "cat/._1.png", 9);
    tar_png("", "__MACOSX/cat/1.png", 9);
    tar_put("", "cat/readme.txt", '0', "text", 4, 4);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 5);
    assert_int_equal(r.ignored, 1);
    assert_int_equal(r.classes, 2);
    packed p = open_packed();
    static const int value[] = {1, 3, 4, 2, 5}, label[] = {0, 0, 0, 1, 1};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(p.first[i], value[i]);
        assert_int_equal(p.labels[i], label[i]);
    }
    assert_string_equal(p.names[2], long_name);
    close_packed(&p);
}

static void the_folder_that_wraps_a_tar_is_no_class(void **state)
{
    (void)state;
    tar_begin();
    tar_png("", "photos/1.png", 1);
    tar_png("", "photos/2.png", 2);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 0);
    tar_begin();
    tar_png("", "set/train/cat/1.png", 1);
    tar_png("", "set/test/dog/2.png", 2);
    tar_end("a.tar");
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 2);
    assert_int_equal(r.in_split[0], 1);
    assert_int_equal(r.in_split[2], 1);
    packed p = open_packed();
    assert_string_equal(p.names[0], "test/dog/2.png");
    close_packed(&p);
}

static void a_bad_picture_in_a_tar_is_listed_with_its_archive(void **state)
{
    (void)state;
    tar_begin();
    tar_png("", "1.png", 1);
    tar_put("", "2.png", '0', "text", 4, 4);
    tar_put("", "3.png", '0', "", 0, 0);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.images, 1);
    assert_int_equal(r.skipped, 2);
    size_t size;
    char *list = slurp(in_folder("out.h5.skipped.txt"), &size);
    assert_non_null(strstr(list, "a.tar: 2.png: is neither JPEG nor PNG"));
    assert_non_null(strstr(list, "a.tar: 3.png: is empty"));
    free(list);
}

static void a_tar_cut_short_gives_what_is_whole(void **state)
{
    (void)state;
    tar_begin();
    tar_png("", "1.png", 1);
    sample s = sample_photo(64, 64, 1);
    const size_t at = shard.size;
    tar_put("", "2.jpg", '0', s.bytes, s.size, s.size);
    write_file("a.tar", shard.bytes, at + 512 + s.size * 9 / 10);
    free(s.bytes);
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){.height = 8, .width = 8}, &r);
    assert_int_equal(r.images, 1);
    assert_int_equal(r.skipped, 1);
    assert_non_null(strstr(notes, "may be cut short"));
    size_t size;
    char *list = slurp(in_folder("out.h5.skipped.txt"), &size);
    assert_non_null(strstr(list, "the archive ends inside it"));
    free(list);
    assert_int_equal(pack("a.tar", (data_pack_options){.height = 8, .width = 8, .strict = true}, NULL), AG_ERR_DATA);
}

/* The archive in `shard` is refused; the message names it, the byte and the word. */
static void assert_tar_refused(size_t at, const char *word)
{
    char place[64];
    snprintf(place, sizeof place, "at byte %zu ", at);
    tar_end("a.tar");
    assert_int_equal(pack("a.tar", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("a.tar: damaged tar");
    assert_says(place);
    assert_says(word);
    assert_nothing_written(1);
    tar_begin();
    tar_png("", "1.png", 1);
}

static void hostile_tars_are_refused_with_archive_byte_and_member(void **state)
{
    (void)state;
    static const char *const records[] = {"99 path=x\n",
                                          "0 path=x\n",
                                          "path=x\n",
                                          "9 path=x",
                                          "8 pathx\n",
                                          "4 =\n5 a=b\n",
                                          "18446744073709551627 path=x\n",
                                          "9 path=\n",
                                          "17 size=12345x78\n",
                                          "32 size=99999999999999999999999\n"};
    tar_begin();
    tar_png("", "1.png", 1);
    size_t at = shard.size;
    tar_png("", "2.png", 1)[0] ^= 1;
    assert_tar_refused(at, "wrong checksum");
    tar_put("", "big.png", '0', "x", 1, (uint64_t)1 << 32);
    assert_tar_refused(at, "big.png): size larger than the whole archive");
    uint8_t *h = tar_put("", "neg.png", '0', "x", 1, 1);
    memset(h + 124, 0xff, 12);
    tar_sum(h);
    assert_tar_refused(at, "neg.png): size is not a number");
    h = tar_put("", "nan.png", '0', "x", 1, 1);
    memcpy(h + 124, "12x45678901", 12);
    tar_sum(h);
    assert_tar_refused(at, "nan.png): size is not a number");
    h = tar_put("", "huge.txt", '0', "x", 1, 1);
    memset(h + 124, 0, 12);
    h[124] = 0x80, h[128] = 0x7f; /* 2^63 - 2^56 */
    tar_sum(h);
    assert_tar_refused(at, "huge.txt): size larger than the whole archive");
    tar_put("", "pax", 'x', "x", 1, (1 << 20) + 1);
    assert_tar_refused(at, "more than 1 MiB");
    tar_put("", "pax", 'x', "x", 1, 1 << 19);
    assert_tar_refused(at, "runs past the end");
    tar_put("", "sparse.png", 'S', "x", 1, 1);
    assert_tar_refused(at, "sparse");
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        tar_put("", "pax", 'x', records[i], strlen(records[i]), strlen(records[i]));
        assert_tar_refused(at, "pax header");
    }
}

static void compressed_archives_are_refused_with_advice(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t size;
    } files[] = {{"a.tar.gz", "\x1f\x8b\x08\0", 4},
                 {"a.tar.xz",
                  "\xfd"
                  "7zXZ\0\0",
                  7},
                 {"a.tar.zst", "\x28\xb5\x2f\xfd", 4},
                 {"a.tar.bz2", "BZh9", 4},
                 {"a.zip", "PK\3\4", 4}};
    for (int i = 0; i < 5; i++) {
        write_file(files[i].name, files[i].bytes, files[i].size);
        assert_int_equal(pack(files[i].name, (data_pack_options){0}, NULL), AG_ERR_DATA);
        assert_says("unpack it first");
        assert_nothing_written(i + 1);
    }
    write_file("a.h5", "\x89HDF\r\n\x1a\n", 8);
    assert_int_equal(pack("a.h5", (data_pack_options){0}, NULL), AG_ERR_DATA);
    assert_says("HDF5");
}

static void thousands_of_classes_have_names(void **state)
{
    (void)state;
    char name[32];
    tar_begin();
    sample s = flat_png(1, 1, PNG_COLOR_TYPE_GRAY, 7);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "class%04d/x.png", i);
        tar_put("", name, '0', s.bytes, s.size, s.size);
    }
    free(s.bytes);
    tar_end("a.tar");
    data_pack_report r;
    pack_well("a.tar", (data_pack_options){0}, &r);
    assert_int_equal(r.classes, 5000);
    packed p = open_packed();
    assert_int_equal(p.info->classes, 5000);
    assert_string_equal(data_set_class_name(p.set, 4999), "class4999");
    assert_int_equal(p.labels[63], 63);
    close_packed(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tar_members_are_read_with_every_kind_of_name),
        TEST(the_folder_that_wraps_a_tar_is_no_class),
        TEST(a_bad_picture_in_a_tar_is_listed_with_its_archive),
        TEST(a_tar_cut_short_gives_what_is_whole),
        TEST(hostile_tars_are_refused_with_archive_byte_and_member),
        TEST(compressed_archives_are_refused_with_advice),
        TEST(thousands_of_classes_have_names),
    };
    return cmocka_run_group_tests_name("pack_tar", tests, NULL, NULL);
}
