/* SHA-256 against the examples of NIST (FIPS 180-4 example values) and against itself in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "data/sha256.h"

static void assert_sum(const char *text, const char *hex)
{
    char got[65];
    data_sha256 sum;
    data_sha256_start(&sum);
    data_sha256_add(&sum, text, strlen(text));
    data_sha256_end(&sum, got);
    assert_string_equal(got, hex);
}

static void standard_examples_agree(void **state)
{
    (void)state;
    assert_sum("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_sum("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_sum("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
               "mnopqrstnopqrstu",
               "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

static void a_million_letters_agree(void **state)
{
    (void)state;
    char hex[65], letters[1000];
    data_sha256 sum;
    memset(letters, 'a', sizeof letters);
    data_sha256_start(&sum);
    for (int i = 0; i < 1000; i++) data_sha256_add(&sum, letters, sizeof letters);
    data_sha256_end(&sum, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void pieces_give_the_sum_of_the_whole(void **state)
{
    (void)state;
    uint8_t bytes[300];
    char whole[65], pieces[65];
    data_sha256 sum;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        data_sha256_start(&sum);
        data_sha256_add(&sum, bytes, size);
        data_sha256_end(&sum, whole);
        data_sha256_start(&sum);
        for (size_t at = 0, n = 1; at < size; at += n, n = (n * 5 + 3) % 97 + 1) {
            if (n > size - at) n = size - at;
            data_sha256_add(&sum, bytes + at, n);
        }
        data_sha256_end(&sum, pieces);
        assert_string_equal(whole, pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_examples_agree),
        cmocka_unit_test(a_million_letters_agree),
        cmocka_unit_test(pieces_give_the_sum_of_the_whole),
    };
    return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
