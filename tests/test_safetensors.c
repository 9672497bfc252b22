/* Weights of other programs: what is read, and what is refused before it is believed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoints/safetensors.h"
#include "scratch.h"
#include "data/sha256.h"

static char path[96], hash[65];

static int enter(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    return 0;
}

/* A file of a header and bytes after it; `length` is what the file says of the header's, -1: the truth. Sets `hash`. */
static void write_file(const char *header, int64_t length, const void *data, size_t size)
{
    uint8_t bytes[8];
    const uint64_t n = length < 0 ? strlen(header) : (uint64_t)length;
    data_sha256 sum;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(n >> 8 * i);
    fwrite(bytes, 1, 8, f);
    fwrite(header, 1, strlen(header), f);
    if (size) fwrite(data, 1, size, f);
    fclose(f);
    data_sha256_start(&sum);
    data_sha256_add(&sum, bytes, 8);
    data_sha256_add(&sum, header, strlen(header));
    data_sha256_add(&sum, data, size);
    data_sha256_end(&sum, hash);
}

/* Parameters a: a kernel [2,1,3,1] of others ([1,1... here), b: a vector [2]. */
static nn_params *parameters(void)
{
    nn_params *p = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, false);
    nn_tensor(root, "a", NN_PARAMETER, NN_CONV, 4, (int64_t[]){1, 2, 3, 2}, (nn_init){.rule = NN_ZERO});
    nn_tensor(root, "b", NN_PARAMETER, NN_PLAIN, 1, (int64_t[]){2}, (nn_init){.rule = NN_ZERO});
    ag_graph_free(g);
    return p;
}

#define A(type, end)  "\"a\":{\"dtype\":\"" type "\",\"shape\":[2,3,1,2],\"data_offsets\":[0," #end "]}"
#define B(begin, end) "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" #begin "," #end "]}"

static void tensors_are_read_in_the_layout_of_others(void **state)
{
    (void)state;
    float data[14];
    for (int i = 0; i < 14; i++) data[i] = (float)i;
    nn_params *p = parameters();
    write_file("{\"__metadata__\":{\"format\":\"pt\"}," B(48, 56) "," A("F32", 48) "}  ", -1, data, sizeof data);
    assert_int_equal(ckpt_safetensors_load(path, hash, p), AG_OK);
    const real *a = nn_params_find(p, "a")->data, *b = nn_params_find(p, "b")->data;
    for (int out = 0; out < 2; out++)
        for (int in = 0; in < 3; in++)
            for (int x = 0; x < 2; x++) assert_true(a[(x * 3 + in) * 2 + out] == (real)((out * 3 + in) * 2 + x));
    assert_true(b[0] == 12 && b[1] == 13);
    nn_params_free(p);
}

static void small_types_are_widened(void **state)
{
    (void)state;
    static const uint16_t halves[12] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x3555, 0x8000, 0x7bff, 0x03ff};
    static const uint16_t brains[12] = {0x3f80, 0xc000, 0x0080, 0x7f80, 0x3eab};
    const float b[2] = {5, 6};
    uint8_t data[24 + 8];
    nn_params *p = parameters();
    memcpy(data + 24, b, 8);
    memcpy(data, halves, 24);
    write_file("{" A("F16", 24) "," B(24, 32) "}", -1, data, sizeof data);
    assert_int_equal(ckpt_safetensors_load(path, hash, p), AG_OK);
    const real *a = nn_params_find(p, "a")->data;
#define AT(i) a[((i) % 2 * 3 + (i) / 2 % 3) * 2 + (i) / 6]
    assert_true(AT(0) == 1 && AT(1) == -2 && AT(2) == (real)ldexp(1, -24) && isinf((double)AT(3)));
    assert_true(fabs((double)AT(4) - 0.33325195) < 1e-8 && AT(5) == 0 && AT(6) == 65504 &&
                AT(7) == (real)ldexp(1023, -24));
    memcpy(data, brains, 24);
    write_file("{" A("BF16", 24) "," B(24, 32) "}", -1, data, sizeof data);
    assert_int_equal(ckpt_safetensors_load(path, hash, p), AG_OK);
    assert_true(AT(0) == 1 && AT(1) == -2 && AT(2) == (real)ldexp(1, -126) && AT(4) == (real)0.333984375);
    nn_params_free(p);
}

static void refused(const char *header, int64_t length, size_t size, const char *says)
{
    static const uint8_t data[256];
    nn_params *p = parameters();
    write_file(header, length, data, size);
    const ag_err err = ckpt_safetensors_load(path, hash, p);
    if (err != AG_ERR_DATA) fail_msg("%s: %d", header, err);
    if (!strstr(ag_error_message(), says)) fail_msg("%s: %s", header, ag_error_message());
    nn_params_free(p);
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    refused("{}", -1, 0, "names 0 tensors");
    refused("{" A("F32", 48) "," B(48, 56) "}", INT64_C(1) << 62, 56, "not a safetensors file");
    refused("{" A("F32", 48) "," B(48, 56) "}", 99999999, 56, "not a safetensors file");
    refused("{" A("F32", 48) "," B(48, 56) "}", 0, 56, "not a safetensors file");
    refused("[1,2]", -1, 0, "not a safetensors file");
    refused("{" A("F32", 48) "," A("F32", 48) "," B(48, 56) "}", -1, 56, "stands twice");
    refused("{" A("F32", 48) "," B(48, 56) "} x", -1, 56, "after the end");
    refused("{" A("F32", 48) "," B(48, 56) "}", -1, 55, "does not lie within");
    refused("{" A("F32", 48) "," B(48, 56) "}", -1, 57, "57 follow the header");
    refused("{" A("F32", 48) "," B(44, 52) "}", -1, 52, "begins at byte 44, the one before ends at 48");
    refused("{" A("F32", 48) "," B(52, 60) "}", -1, 60, "begins at byte 52, the one before ends at 48");
    refused("{" A("F32", 44) "," B(44, 52) "}", -1, 52, "its shape does not give its 44 bytes");
    refused("{" A("F33", 48) "," B(48, 56) "}", -1, 56, "no known dtype");
    refused("{" A("F32", 48) ",\"b\":7}", -1, 56, "no known dtype");
    refused("{" A("F32", 48) ",\"b\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[48,56]}}", -1, 56,
            "its shape");
    refused("{" A("F32", 48) ",\"b\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],"
                             "\"data_offsets\":[48,48]}}",
            -1, 48, "its shape");
    refused("{" A("F32", 48) ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[56,48]}}", -1, 56,
            "lie within");
    refused("{" A("F32", 48) ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[48.5,56.5]}}", -1, 60,
            "lie within");
    refused("{" A("F32", 48) ",\"b\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[48,56]}}", -1, 56, "its shape");
}

static void other_weights_are_refused(void **state)
{
    (void)state;
    static const uint8_t data[64];
    nn_params *p = parameters();
    refused("{" A("F32", 48) "}", -1, 48, "no tensor 'b'");
    refused("{" A("I32", 48) "," B(48, 56) "}", -1, 56, "'a' is I32 [2, 3, 1, 2], not F32");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[3,2,1,2],\"data_offsets\":[0,48]}," B(48, 56) "}", -1, 56,
            "'a' is F32 [3, 2, 1, 2], not F32, F16, BF16 or F64 [2, 3, 1, 2]");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3,1,2,1,1,1],\"data_offsets\":[0,48]}," B(48, 56) "}", -1, 56,
            "'a' is F32 [2, 3, 1, 2, 1, 1] and more axes, not");
    write_file("{" A("F32", 48) "," B(48, 56) "}", -1, data, 56);
    assert_int_equal(ckpt_safetensors_load(path, "", p), AG_ERR_DATA);
    assert_non_null(strstr(ag_error_message(), hash)); /* to be looked up and given */
    hash[5] = hash[5] == '0' ? '1' : '0';
    assert_int_equal(ckpt_safetensors_load(path, hash, p), AG_ERR_DATA);
    assert_non_null(strstr(ag_error_message(), "SHA-256"));
    unlink(path);
    assert_int_equal(ckpt_safetensors_load(path, hash, p), AG_ERR_IO);
    nn_params_free(p);
}

static void every_cut_file_is_refused(void **state)
{
    (void)state;
    static const char header[] = "{" A("F32", 48) "," B(48, 56) "}";
    uint8_t whole[8 + sizeof header - 1 + 56] = {sizeof header - 1};
    nn_params *p = parameters();
    memcpy(whole + 8, header, sizeof header - 1);
    for (size_t n = 0; n <= sizeof whole; n++) {
        data_sha256 sum;
        FILE *f = fopen(path, "wb");
        fwrite(whole, 1, n, f);
        fclose(f);
        data_sha256_start(&sum);
        data_sha256_add(&sum, whole, n);
        data_sha256_end(&sum, hash);
        assert_int_equal(ckpt_safetensors_load(path, hash, p), n < sizeof whole ? AG_ERR_DATA : AG_OK);
    }
    nn_params_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_read_in_the_layout_of_others),
        cmocka_unit_test(small_types_are_widened),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(other_weights_are_refused),
        cmocka_unit_test(every_cut_file_is_refused),
    };
    return cmocka_run_group_tests_name("safetensors", tests, enter, remove_folder);
}
