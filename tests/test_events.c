/* Event files: their bytes, read back by the wire format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>

#include "../checkpoints/events.h"
#include "checkpoints/crc32c.h"
#include "run_samples.h"

static void event_records_have_the_published_bytes(void **state)
{
    static const uint8_t version[] = {0x18, 0,    0,    0,    0,    0,    0,    0,    0xa3, 0x7f,
                                      0x4b, 0x22, 0x09, 0,    0,    0,    0,    0,    0,    0xf0,
                                      0x3f, 0x1a, 0x0d, 0x62, 0x72, 0x61, 0x69, 0x6e, 0x2e, 0x45,
                                      0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32, 0x86, 0xbf, 0x57, 0x7a};
    static const uint8_t scalar[] = {0x1a, 0,    0,    0,    0,    0,    0,    0,    0x12, 0x9b, 0xd8,
                                     0x2d, 0x09, 0,    0,    0,    0,    0,    0,    0,    0x40, 0x10,
                                     0x0a, 0x2a, 0x0d, 0x0a, 0x0b, 0x0a, 0x04, 0x6c, 0x6f, 0x73, 0x73,
                                     0x15, 0,    0,    0,    0x3f, 0x08, 0x1a, 0xdd, 0x56};
    ckpt__bytes b = {0};
    (void)state;
    ckpt__event_version(&b, 1.0);
    assert_int_equal(b.size, sizeof version);
    assert_memory_equal(b.data, version, sizeof version);
    ckpt__bytes_reset(&b);
    ckpt__event_scalars(&b, 2.0, 10, 1, (const char *const[]){"loss"}, (const double[]){0.5});
    assert_int_equal(b.size, sizeof scalar);
    assert_memory_equal(b.data, scalar, sizeof scalar);
    ckpt__bytes_free(&b);
    assert_int_equal(ckpt__event_mask(ckpt_crc32c(0,
                                                  "\x1a\x11"
                                                  "CRC test, one two",
                                                  19)),
                     0x5794D08A);
}

/* A reader of the wire format, written from its description: the next field of a message. */
typedef struct field {
    int number, wire;
    uint64_t value;      /* varint, or the bits of a fixed one */
    const uint8_t *data; /* of length `value` for wire 2 */
} field;

static uint64_t read_varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        assert_true(*p < end);
        const uint8_t byte = *(*p)++;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return v;
    }
    fail_msg("varint too long");
    return 0;
}

static bool next_field(const uint8_t **p, const uint8_t *end, field *f)
{
    if (*p == end) return false;
    const uint64_t key = read_varint(p, end);
    *f = (field){.number = (int)(key >> 3), .wire = (int)(key & 7)};
    if (f->wire == 0) {
        f->value = read_varint(p, end);
    } else if (f->wire == 2) {
        f->value = read_varint(p, end);
        assert_true(f->value <= (uint64_t)(end - *p));
        f->data = *p;
        *p += f->value;
    } else {
        const size_t n = f->wire == 1 ? 8 : 4;
        assert_true(f->wire == 1 || f->wire == 5);
        assert_true((size_t)(end - *p) >= n);
        memcpy(&f->value, *p, n);
        *p += n;
    }
    return true;
}

/* Field `number` of a message; wire -1 if it is not there. */
static field get(const uint8_t *message, uint64_t size, int number)
{
    const uint8_t *p = message;
    for (field f; next_field(&p, message + size, &f);)
        if (f.number == number) return f;
    return (field){.wire = -1};
}

static field inside(field f, int number)
{
    assert_int_equal(f.wire, 2);
    return get(f.data, f.value, number);
}

static bool text_is(field f, const char *text)
{
    return f.wire == 2 && f.value == strlen(text) && !memcmp(f.data, text, f.value);
}

/* Record i of an event file, its checksums checked. False at the end. */
static bool next_record(const uint8_t **p, const uint8_t *end, field *event)
{
    uint64_t length;
    uint32_t check;
    if (*p == end) return false;
    assert_true(end - *p >= 16);
    memcpy(&length, *p, 8);
    memcpy(&check, *p + 8, 4);
    assert_int_equal(check, ckpt__event_mask(ckpt_crc32c(0, *p, 8)));
    assert_true(length <= (uint64_t)(end - *p) - 16);
    memcpy(&check, *p + 12 + length, 4);
    assert_int_equal(check, ckpt__event_mask(ckpt_crc32c(0, *p + 12, length)));
    *event = (field){.wire = 2, .value = length, .data = *p + 12};
    *p += 16 + length;
    return true;
}

/* Names of the event files of the run, in the order in which readers take them. */
static int is_event_file(const struct dirent *e) { return strstr(e->d_name, "tfevents") != NULL; }

static char *read_event_file(int which, int expected, size_t *size)
{
    struct dirent **list;
    const int n = scandir(run_folder, &list, is_event_file, alphasort);
    assert_int_equal(n, expected);
    char *bytes = slurp(in_run(list[which]->d_name), size);
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    return bytes;
}

static const uint8_t tiny_png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0,
                                   1,    4,   0,   0,   0,    7,    8,    2,    0, 0, 0, 1,  2,   3,   4,   5,   6};

static void events_are_read_back_by_the_wire_format(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    char *big = malloc(70000);
    size_t size;
    field e, v;
    (void)state;
    memset(big, 'y', 69999);
    big[69999] = 0;
    log_two(log, "train", 300, 0.25, NAN);
    log_two(log, "validation", 300, 4, 5);
    assert_int_equal(ckpt_log_image(log, "recon/grid", 301, tiny_png, sizeof tiny_png), AG_OK);
    assert_int_equal(ckpt_log_text(log, "config", 302, big), AG_OK);
    ckpt_log_close(log);

    char *bytes = read_event_file(0, 1, &size);
    const uint8_t *p = (const uint8_t *)bytes, *end = p + size;
    assert_true(next_record(&p, end, &e));
    assert_true(text_is(inside(e, 3), "brain.Event:2"));
    assert_true(next_record(&p, end, &e));
    assert_int_equal(inside(e, 2).wire, -1); /* step 0 */
    assert_int_equal(inside(inside(e, 7), 1).value, 1);

    assert_true(next_record(&p, end, &e));
    assert_int_equal(inside(e, 2).value, 300);
    const uint8_t *q = inside(e, 5).data, *q_end = q + inside(e, 5).value;
    float x;
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "train/loss"));
    memcpy(&x, &(uint32_t){(uint32_t)inside(v, 2).value}, 4);
    assert_true(x == 0.25f);
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "codebook/perplexity"));
    memcpy(&x, &(uint32_t){(uint32_t)inside(v, 2).value}, 4);
    assert_true(isnan(x));
    assert_false(next_field(&q, q_end, &v));

    assert_true(next_record(&p, end, &e));
    q = inside(e, 5).data, q_end = q + inside(e, 5).value;
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "validation/loss"));
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "validation/codebook/perplexity"));

    assert_true(next_record(&p, end, &e));
    v = inside(inside(inside(e, 5), 1), 4);
    assert_int_equal(inside(v, 1).value, 7);
    assert_int_equal(inside(v, 2).value, 260);
    assert_int_equal(inside(v, 3).value, 3);
    assert_int_equal(inside(v, 4).value, sizeof tiny_png);
    assert_memory_equal(inside(v, 4).data, tiny_png, sizeof tiny_png);

    assert_true(next_record(&p, end, &e));
    v = inside(inside(e, 5), 1);
    assert_true(text_is(inside(v, 1), "config"));
    assert_true(text_is(inside(inside(inside(v, 9), 1), 1), "text"));
    assert_int_equal(inside(inside(v, 9), 4).value, 2);
    assert_int_equal(inside(inside(v, 8), 1).value, 7);
    assert_int_equal(inside(inside(v, 8), 2).value, 0);
    assert_true(text_is(inside(inside(v, 8), 8), big));
    assert_false(next_record(&p, end, &e));
    free(bytes), free(big);
    ckpt_run_close(run);
}

static void every_session_writes_a_file_that_sorts_last(void **state)
{
    ckpt_run *run = create();
    size_t size;
    field e;
    (void)state;
    for (int session = 0; session < 12; session++) { /* all within one second, as far as the clock knows */
        ckpt_log_close(open_log(run, session * 10));
        char *bytes = read_event_file(session, session + 1, &size);
        const uint8_t *p = (const uint8_t *)bytes, *end = p + size;
        assert_true(next_record(&p, end, &e));
        assert_true(next_record(&p, end, &e));
        assert_int_equal(inside(inside(e, 7), 1).value, 1);
        if (session) assert_int_equal(inside(e, 2).value, session * 10 + 1);
        free(bytes);
    }
    ckpt_run_close(run);
}

static void negative_steps_and_bad_pictures_are_handled(void **state)
{
    ckpt__bytes b = {0};
    (void)state;
    ckpt__pb_varint(&b, 2, -1);
    assert_int_equal(b.size, 11);
    const uint8_t *p = b.data;
    field f;
    assert_true(next_field(&p, b.data + b.size, &f));
    assert_true((int64_t)f.value == -1);
    ckpt__bytes_free(&b);
    uint8_t bad[sizeof tiny_png];
    memcpy(bad, tiny_png, sizeof bad);
    assert_int_equal(ckpt__event_image(&b, 1, 1, "t", bad, 20), AG_ERR_DATA);
    bad[25] = 5;
    assert_int_equal(ckpt__event_image(&b, 1, 1, "t", bad, sizeof bad), AG_ERR_DATA);
    bad[0] = 0;
    assert_int_equal(ckpt__event_image(&b, 1, 1, "t", bad, sizeof bad), AG_ERR_DATA);
    assert_int_equal(b.size, 0);
    ckpt__bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(event_records_have_the_published_bytes, next_run),
        cmocka_unit_test_setup(events_are_read_back_by_the_wire_format, next_run),
        cmocka_unit_test_setup(every_session_writes_a_file_that_sorts_last, next_run),
        cmocka_unit_test_setup(negative_steps_and_bad_pictures_are_handled, next_run),
    };
    return cmocka_run_group_tests_name("events", tests, make_folder, remove_folder);
}
