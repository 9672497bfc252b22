/* Strict JSON: what is refused, and that what is written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "run_samples.h"

static void json_that_is_not_strict_is_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"{\"a\": 1, \"b\": {\"c\": 1, \"d\": 2, \"c\": 3}}", "\"c\" stands twice"},
        {"{\"a\": 1} x", "line 1, column 10: text after the end"},
        {"{\"a\": 1}{}", "text after the end"},
        {"{\"a\": 1,\n \"b\": }", "line 2"},
        {"{\"a\": [1, 2", "line 1"},
        {"{\"a\": \"\xff\"}", "not UTF-8"},
        {"{\"a\": \"\xc0\xaf\"}", "not UTF-8"},
        {"{\"a\": \"\xed\xa0\x80\"}", "not UTF-8"},
        {"{\"a\": \"\xf4\x90\x80\x80\"}", "not UTF-8"},
        {"{\"a\": \"\xe2\x82", "not UTF-8"},
        {"{\"a\": 1e999}", "a: the number is too large"},
        {"", "too early"},
        {"   ", "line 1"},
        {"nonsense", "not JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *json;
        char *exact = malloc(strlen(bad[i].text)); /* no NUL after it: a read beyond is seen by the address checker */
        memcpy(exact, bad[i].text, strlen(bad[i].text));
        assert_int_equal(ckpt_json_parse(&json, exact, strlen(bad[i].text), "test.json", AG_ERR_USAGE), AG_ERR_USAGE);
        assert_null(json);
        if (!strstr(ag_error_message(), bad[i].why) || !strstr(ag_error_message(), "test.json"))
            fail_msg("%zu: '%s' without '%s'", i, ag_error_message(), bad[i].why);
        free(exact);
    }
    cJSON *json;
    assert_int_equal(ckpt_json_parse(&json, "{}\0 ", 4, "test.json", AG_ERR_DATA), AG_ERR_DATA);
}

static void json_with_space_and_text_of_all_lengths_is_read(void **state)
{
    cJSON *json =
        parse(" \r\n\t{\"a\": \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\", \"b\": {\"a\": 1}, \"c\": []}\n \n");
    (void)state;
    assert_string_equal(cJSON_GetObjectItem(json, "a")->valuestring, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    cJSON_Delete(json);
}

static void whole_numbers_of_64_bits_survive(void **state)
{
    static const uint64_t values[] = {0, 1, 9007199254740992u, 9007199254740993u, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cJSON *object = cJSON_CreateObject();
        uint64_t back = 5;
        assert_int_equal(ckpt_json_add_u64(object, "seed", values[i]), AG_OK);
        char *text;
        assert_int_equal(ckpt_json_print(&text, object), AG_OK);
        cJSON *again = parse(text);
        assert_int_equal(ckpt_json_get_u64(again, "seed", &back), AG_OK);
        assert_true(back == values[i]);
        free(text), cJSON_Delete(object), cJSON_Delete(again);
    }
    uint64_t v;
    cJSON *bad =
        parse("{\"a\": -1, \"b\": 1.5, \"c\": \"12x\", \"d\": \"\", \"e\": \"18446744073709551616\", \"f\": 1e17}");
    for (char key[2] = "a"; key[0] <= 'g'; key[0]++)
        assert_int_equal(ckpt_json_get_u64(bad, key, &v), AG_ERR_CHECKPOINT);
    cJSON_Delete(bad);
}

static void every_number_is_read_back_to_the_bit(void **state)
{
    cJSON *list = cJSON_CreateArray();
    char *text;
    uint64_t bits = 0x3fb999999999999a; /* 0.1 */
    (void)state;
    for (int i = 0; i < 500; i++, bits = bits * 6364136223846793005u + 1442695040888963407u) {
        double value;
        memcpy(&value, &bits, 8);
        if (isfinite(value)) cJSON_AddItemToArray(list, cJSON_CreateNumber(value));
    }
    cJSON_AddItemToArray(list, cJSON_CreateNumber(0.1 + 0.2));
    assert_int_equal(ckpt_json_print(&text, list), AG_OK);
    cJSON *again = parse(text);
    assert_int_equal(cJSON_GetArraySize(again), cJSON_GetArraySize(list));
    for (const cJSON *a = list->child, *b = again->child; a; a = a->next, b = b->next)
        assert_memory_equal(&a->valuedouble, &b->valuedouble, 8);
    free(text), cJSON_Delete(again);
    cJSON_AddItemToArray(list, cJSON_CreateNumber(NAN));
    assert_int_equal(ckpt_json_print(&text, list), AG_ERR_FAILED);
    assert_null(text);
    cJSON_Delete(list);
}

static void json_is_printed_for_people(void **state)
{
    const char *text =
        "{\n  \"a\": [1, 2.5, \"x\\\"y\\u000a\"],\n  \"b\": {\n    \"c\": null,\n    \"d\": [\n      [true],\n"
        "      {}\n    ]\n  }\n}\n";
    cJSON *json = parse(text);
    char *again;
    (void)state;
    assert_int_equal(ckpt_json_print(&again, json), AG_OK);
    assert_string_equal(again, text);
    free(again), cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_that_is_not_strict_is_refused),
        cmocka_unit_test(json_with_space_and_text_of_all_lengths_is_read),
        cmocka_unit_test(whole_numbers_of_64_bits_survive),
        cmocka_unit_test(every_number_is_read_back_to_the_bit),
        cmocka_unit_test(json_is_printed_for_people),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
