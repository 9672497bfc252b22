/* Checkpoints: what is saved is what is loaded; what does not fit is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hdf5.h>

#include "checkpoints/checkpoint.h"
#include "checkpoints/crc32c.h"
#include "data/hdf5_tools.h"
#include "scratch.h"

/* A little of everything: every type, rank 0 to 6, no elements, long and odd names. */
enum { N = 7 };
typedef struct model {
    real weight[4 * 3 * 5];
    real deep[2 * 1 * 2 * 1 * 2 * 1];
    real scalar;
    int32_t codes[17];
    uint8_t bytes[3];
    real moment[60];
    ckpt_item items[N];
} model;

static void model_fill(model *m, int seed)
{
    for (int i = 0; i < 60; i++) m->weight[i] = (real)(seed * 100 + i) / 7, m->moment[i] = (real)-i;
    for (int i = 0; i < 8; i++) m->deep[i] = (real)(seed + i);
    for (int i = 0; i < 17; i++) m->codes[i] = -seed * i;
    for (int i = 0; i < 3; i++) m->bytes[i] = (uint8_t)(250 + i + seed);
    m->scalar = (real)(0.1 * seed);
}

static void model_make(model *m, int seed)
{
    memset(m, 0, sizeof *m);
    model_fill(m, seed);
    const ckpt_item items[N] = {
        {"weights/encoder.conv_in.weight", AG_REAL, 3, {4, 3, 5}, m->weight},
        {"weights/a deep one: \xc3\xa9.6", AG_REAL, 6, {2, 1, 2, 1, 2, 1}, m->deep},
        {"buffers/quantizer.updates", AG_REAL, 0, {0}, &m->scalar},
        {"buffers/quantizer.codes", AG_I32, 1, {17}, m->codes},
        {"buffers/quantizer.bytes", AG_U8, 2, {1, 3}, m->bytes},
        {"optimizer/none", AG_REAL, 2, {3, 0}, NULL},
        {"optimizer/encoder.conv_in.weight.m", AG_REAL, 2, {6, 10}, m->moment},
    };
    memcpy(m->items, items, sizeof items);
}

static void assert_same(const model *a, const model *b)
{
    assert_memory_equal(a->weight, b->weight, sizeof a->weight);
    assert_memory_equal(a->deep, b->deep, sizeof a->deep);
    assert_memory_equal(&a->scalar, &b->scalar, sizeof a->scalar);
    assert_memory_equal(a->codes, b->codes, sizeof a->codes);
    assert_memory_equal(a->bytes, b->bytes, sizeof a->bytes);
    assert_memory_equal(a->moment, b->moment, sizeof a->moment);
}

static void assert_refused(const char *path, int n, const ckpt_item *items, const char *part)
{
    assert_int_equal(ckpt_load(path, n, items), AG_ERR_CHECKPOINT);
    if (!strstr(ag_error_message(), part) || !strstr(ag_error_message(), path))
        fail_msg("'%s' has no '%s' or no file name", ag_error_message(), part);
}

/* ---- the checksum --------------------------------------------------------------------------------------------------- */

static void crc32c_gives_the_published_values(void **state)
{
    const uint8_t zeros[32] = {0};
    (void)state;
    assert_int_equal(ckpt_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(ckpt_crc32c(0, zeros, 32), 0x8A9136AA);
    assert_int_equal(ckpt_crc32c(0, zeros, 0), 0);
}

static uint32_t bitwise(const uint8_t *p, size_t n)
{
    uint32_t c = 0xFFFFFFFF;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82F63B78 : c >> 1;
    }
    return ~c;
}

static void crc32c_in_parts_is_that_of_the_whole(void **state)
{
    uint8_t bytes[100];
    (void)state;
    for (int i = 0; i < 100; i++) bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= 100; n++)
        for (size_t cut = 0; cut <= n; cut += 7)
            assert_int_equal(ckpt_crc32c(ckpt_crc32c(0, bytes, cut), bytes + cut, n - cut), bitwise(bytes, n));
}

/* ---- round trips ---------------------------------------------------------------------------------------------------- */

static void what_was_saved_is_loaded(void **state)
{
    model a, b;
    char *json;
    (void)state;
    model_make(&a, 3), model_make(&b, 8);
    const char *path = in_folder("a.h5");
    assert_int_equal(ckpt_save(path, N, a.items, "{\"step\": 12}"), AG_OK);
    assert_int_equal(ckpt_load(path, N, b.items), AG_OK);
    assert_same(&a, &b);
    assert_int_equal(ckpt_read_state(path, &json), AG_OK);
    assert_string_equal(json, "{\"step\": 12}");
    free(json);
}

static void a_state_longer_than_an_attribute_is_kept(void **state)
{
    const size_t size = 300000;
    char *text = malloc(size + 1), *json;
    (void)state;
    memset(text, 'x', size);
    text[size] = 0;
    assert_int_equal(ckpt_save(in_folder("long.h5"), 0, NULL, text), AG_OK);
    assert_int_equal(ckpt_read_state(in_folder("long.h5"), &json), AG_OK);
    assert_string_equal(json, text);
    free(json);
    free(text);
    assert_int_equal(ckpt_load(in_folder("long.h5"), 0, NULL), AG_OK);
}

static void no_state_is_an_empty_object(void **state)
{
    char *json;
    (void)state;
    assert_int_equal(ckpt_save(in_folder("none.h5"), 0, NULL, NULL), AG_OK);
    assert_int_equal(ckpt_read_state(in_folder("none.h5"), &json), AG_OK);
    assert_string_equal(json, "{}");
    free(json);
}

static void the_same_content_gives_the_same_bytes(void **state)
{
    model a;
    (void)state;
    model_make(&a, 5);
    assert_int_equal(ckpt_save(in_folder("one.h5"), N, a.items, "{}"), AG_OK);
    sleep(1); /* a time stamp in the file would show */
    assert_int_equal(ckpt_save(in_folder("two.h5"), N, a.items, "{}"), AG_OK);
    assert_same_bytes(in_folder("one.h5"), in_folder("two.h5"));
}

static void many_tensors_are_kept_in_their_order(void **state)
{
    enum { MANY = 1500 };
    static char name[MANY][128];
    static real values[MANY][4];
    static ckpt_item items[MANY];
    ckpt_listing l;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(name[i], sizeof name[i], "%s/some.quite.long.scope.of.a.layer.%d.block.%d.weight",
                 i % 3 ? "weights" : "optimizer", i * 7919 % 1500, i);
        for (int k = 0; k < 4; k++) values[i][k] = (real)(i * 4 + k);
        items[i] = (ckpt_item){name[i], AG_REAL, 2, {2, 2}, values[i]};
    }
    assert_int_equal(ckpt_save(in_folder("many.h5"), MANY, items, NULL), AG_OK);
    memset(values, 0, sizeof values);
    assert_int_equal(ckpt_load(in_folder("many.h5"), MANY, items), AG_OK);
    for (int i = 0; i < MANY; i++) assert_true(values[i][3] == (real)(i * 4 + 3));
    assert_int_equal(ckpt_list(in_folder("many.h5"), &l), AG_OK);
    assert_int_equal(l.n, MANY);
    assert_int_equal(l.bytes, sizeof values);
    for (int i = 0, k = 0; i < MANY; i++)
        if (i % 3 == 0) assert_string_equal(l.items[k++].name, name[i]); /* the optimizer's group was met first */
    ckpt_listing_free(&l);
}

static void the_list_names_type_and_shape(void **state)
{
    model a;
    ckpt_listing l;
    (void)state;
    model_make(&a, 3);
    assert_int_equal(ckpt_save(in_folder("a.h5"), N, a.items, NULL), AG_OK);
    assert_int_equal(ckpt_list(in_folder("a.h5"), &l), AG_OK);
    assert_int_equal(l.n, N);
    assert_int_equal(l.format_version, CKPT_FORMAT_VERSION);
    for (int i = 0; i < N; i++) {
        assert_string_equal(l.items[i].name, a.items[i].name);
        assert_int_equal(l.items[i].dtype, a.items[i].dtype);
        assert_int_equal(l.items[i].rank, a.items[i].rank);
        assert_memory_equal(l.items[i].shape, a.items[i].shape, (size_t)a.items[i].rank * sizeof(int64_t));
        assert_null(l.items[i].data);
    }
    ckpt_listing_free(&l);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static void tensors_that_do_not_fit_are_refused_by_name(void **state)
{
    model a, b, before;
    (void)state;
    model_make(&a, 3), model_make(&b, 8);
    before = b;
    const char *path = in_folder("a.h5");
    assert_int_equal(ckpt_save(path, N, a.items, NULL), AG_OK);

    b.items[4].shape[1] = 2;
    assert_refused(path, N, b.items, "buffers/quantizer.bytes: shape [1, 3] found, [1, 2] expected");
    b.items[4].shape[1] = 3, b.items[4].rank = 1;
    assert_refused(path, N, b.items, "shape [1, 3] found, [1] expected");
    b.items[4].rank = 2, b.items[4].dtype = AG_I32;
    assert_refused(path, N, b.items, "type u8 found, i32 expected");
    b.items[4].dtype = AG_U8, b.items[0].name = "weights/decoder.conv_in.weight";
    assert_refused(path, N, b.items, "weights/decoder.conv_in.weight: missing");
    b.items[0].name = a.items[0].name;
    assert_refused(path, N - 1, b.items, "optimizer/encoder.conv_in.weight.m: in the file, but");
    assert_memory_equal(b.weight, before.weight, sizeof b.weight);
    assert_memory_equal(b.codes, before.codes, sizeof b.codes);
    assert_int_equal(ckpt_load(path, N, b.items), AG_OK);
}

static void a_failed_load_touches_nothing(void **state)
{
    model a, b, before;
    (void)state;
    model_make(&a, 3), model_make(&b, 8);
    const char *path = in_folder("a.h5");
    assert_int_equal(ckpt_save(path, N, a.items, NULL), AG_OK);
    b.items[N - 1].shape[0] = 10, b.items[N - 1].shape[1] = 6; /* the last one; all before it are fine */
    before = b;
    assert_refused(path, N, b.items, "optimizer/encoder.conv_in.weight.m: shape");
    assert_memory_equal(&b, &before, sizeof b);
}

static void files_that_are_no_checkpoints_are_refused(void **state)
{
    char *json;
    ckpt_listing l;
    (void)state;
    assert_refused(in_folder("nowhere.h5"), 0, NULL, "no such file");
    assert_refused(folder, 0, NULL, "folder");
    write_text(in_folder("empty.h5"), "");
    assert_refused(in_folder("empty.h5"), 0, NULL, "empty");
    write_text(in_folder("text.h5"), "once upon a time there was a checkpoint");
    assert_refused(in_folder("text.h5"), 0, NULL, "not an HDF5 file");
    assert_int_equal(ckpt_read_state(in_folder("text.h5"), &json), AG_ERR_CHECKPOINT);
    assert_null(json);
    assert_int_equal(ckpt_list(in_folder("text.h5"), &l), AG_ERR_CHECKPOINT);
    assert_int_equal(l.n, 0);

    hid_t file;
    assert_int_equal(data_h5_create(&file, in_folder("images.h5"), "images.h5"), AG_OK);
    assert_int_equal(data_h5_set_string(file, "images.h5", "format", "tessera-images"), AG_OK);
    assert_int_equal(data_h5_finish(file, "images.h5"), AG_OK);
    assert_refused(in_folder("images.h5"), 0, NULL, "not a checkpoint");
}

/* Changes a saved file through HDF5 itself, as a user's script would. */
static hid_t reopen(const char *path)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void a_newer_format_is_refused(void **state)
{
    const uint32_t version = 2;
    (void)state;
    assert_int_equal(ckpt_save(in_folder("new.h5"), 0, NULL, NULL), AG_OK);
    const hid_t file = reopen(in_folder("new.h5")), a = H5Aopen(file, "format_version", H5P_DEFAULT);
    assert_true(H5Awrite(a, H5T_NATIVE_UINT32, &version) >= 0);
    H5Aclose(a), H5Fclose(file);
    assert_refused(in_folder("new.h5"), 0, NULL, "format version 2");
}

static void a_value_changed_by_hand_fails_its_checksum(void **state)
{
    model a;
    const int32_t other[17] = {1};
    (void)state;
    model_make(&a, 3);
    assert_int_equal(ckpt_save(in_folder("c.h5"), N, a.items, NULL), AG_OK);
    const hid_t file = reopen(in_folder("c.h5")), d = H5Dopen2(file, "buffers/quantizer.codes", H5P_DEFAULT);
    assert_true(H5Dwrite(d, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, other) >= 0);
    H5Dclose(d), H5Fclose(file);
    assert_refused(in_folder("c.h5"), N, a.items, "buffers/quantizer.codes: checksum");
}

static void a_tensor_without_checksum_is_refused(void **state)
{
    model a;
    (void)state;
    model_make(&a, 3);
    assert_int_equal(ckpt_save(in_folder("n.h5"), N, a.items, NULL), AG_OK);
    const hid_t file = reopen(in_folder("n.h5"));
    assert_true(H5Adelete_by_name(file, "buffers/quantizer.codes", "crc32c", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_refused(in_folder("n.h5"), N, a.items, "no checksum");
}

static void links_to_other_files_are_refused(void **state)
{
    (void)state;
    assert_int_equal(ckpt_save(in_folder("l.h5"), 0, NULL, NULL), AG_OK);
    const hid_t file = reopen(in_folder("l.h5"));
    assert_true(H5Lcreate_external("/etc/passwd", "/x", file, "weights", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_refused(in_folder("l.h5"), 0, NULL, "weights: not a tensor");
}

/* Makes `name` of another type and layout: what a checkpoint of other software might hold. */
static void replace_dataset(const char *path, const char *name, hid_t type, int rank, const hsize_t *dims, bool chunked)
{
    const hid_t file = reopen(path), space = H5Screate_simple(rank, dims, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    if (chunked) H5Pset_chunk(how, rank, dims);
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    const hid_t d = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(d >= 0);
    H5Dclose(d), H5Pclose(how), H5Sclose(space), H5Fclose(file);
}

static void other_types_and_layouts_are_refused(void **state)
{
    model a;
    char sum[65], *json;
    ckpt_listing l;
    (void)state;
    model_make(&a, 3);
    const char *path = in_folder("t.h5");
    assert_int_equal(ckpt_save(path, N, a.items, NULL), AG_OK);
    replace_dataset(path, "buffers/quantizer.codes", H5T_STD_I64LE, 1, (const hsize_t[]){17}, false);
    assert_refused(path, N, a.items, "buffers/quantizer.codes: neither");
    assert_int_equal(ckpt_list(path, &l), AG_ERR_CHECKPOINT);
    replace_dataset(path, "buffers/quantizer.codes", H5T_STD_I32BE, 1, (const hsize_t[]){17}, false);
    assert_refused(path, N, a.items, "buffers/quantizer.codes: neither");
    replace_dataset(path, "buffers/quantizer.codes", H5T_STD_I32LE, 7, (const hsize_t[]){1, 1, 1, 1, 1, 1, 17}, false);
    assert_refused(path, N, a.items, "buffers/quantizer.codes: its shape");
    replace_dataset(path, "buffers/quantizer.codes", H5T_STD_I32LE, 1, (const hsize_t[]){17}, true);
    assert_int_equal(ckpt_fingerprint(path, sum), AG_ERR_CHECKPOINT);
    assert_string_equal(sum, "");
    replace_dataset(path, "state", H5T_STD_U8LE, 1, (const hsize_t[]){2}, true);
    assert_int_equal(ckpt_read_state(path, &json), AG_ERR_CHECKPOINT);
    assert_null(json);
}

/* A state of 2^40 bytes that the file does not have. */
static void a_size_that_the_file_does_not_hold_is_not_believed(void **state)
{
    const hsize_t huge = (hsize_t)1 << 40;
    char *json;
    (void)state;
    assert_int_equal(ckpt_save(in_folder("h.h5"), 0, NULL, NULL), AG_OK);
    const hid_t file = reopen(in_folder("h.h5")), space = H5Screate_simple(1, &huge, NULL);
    assert_true(H5Ldelete(file, "state", H5P_DEFAULT) >= 0);
    const hid_t d = H5Dcreate2(file, "state", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(d >= 0);
    H5Dclose(d), H5Sclose(space), H5Fclose(file);
    assert_int_equal(ckpt_read_state(in_folder("h.h5"), &json), AG_ERR_CHECKPOINT);
}

static void bad_names_are_not_saved(void **state)
{
    static const char *const bad[] = {"weight", "/weight", "weights/", "weights/a/b", "weights/.", "../x", "state/x"};
    real x = 1;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const ckpt_item item = {bad[i], AG_REAL, 0, {0}, &x};
        assert_int_equal(ckpt_save(in_folder("bad.h5"), 1, &item, NULL), AG_ERR_FAILED);
    }
    const ckpt_item twice[2] = {{"weights/x", AG_REAL, 0, {0}, &x}, {"weights/x", AG_REAL, 1, {1}, &x}};
    assert_int_equal(ckpt_save(in_folder("bad.h5"), 2, twice, NULL), AG_ERR_FAILED);
    const ckpt_item huge = {"weights/x", AG_REAL, 3, {INT64_MAX, INT64_MAX, 3}, &x};
    assert_int_equal(ckpt_save(in_folder("bad.h5"), 1, &huge, NULL), AG_ERR_FAILED);
    assert_int_equal(access(in_folder("bad.h5"), F_OK), -1);
}

static void a_folder_that_is_not_there_is_an_io_error(void **state)
{
    (void)state;
    assert_int_equal(ckpt_save(in_folder("no/such/folder.h5"), 0, NULL, NULL), AG_ERR_IO);
}

/* ---- parameters of a model ------------------------------------------------------------------------------------------ */

static nn_params *network(uint64_t seed, int64_t width, bool optimizer, bool decoder)
{
    const int64_t shape[2] = {3, width};
    const nn_init init = {NN_NORMAL, 0, 1};
    nn_params *p = nn_params_new(seed);
    ag_graph *g = ag_graph_new(1);
    assert_non_null(p);
    assert_non_null(g);
    const nn_scope s = nn_root(p, g, true);
    nn_tensor(nn_in(s, "encoder"), "weight", NN_PARAMETER, NN_PLAIN, 2, shape, init);
    nn_tensor(nn_in(s, "quantizer"), "cluster_size", NN_BUFFER, NN_PLAIN, 1, shape, init);
    if (decoder) nn_tensor(nn_in(s, "decoder"), "weight", NN_PARAMETER, NN_PLAIN, 2, shape, init);
    if (optimizer) nn_tensor(nn_in(s, "optimizer.encoder"), "weight.m", NN_OPTIMIZER, NN_PLAIN, 2, shape, init);
    assert_int_equal(ag_graph_error(g), AG_OK);
    ag_graph_free(g);
    return p;
}

static void assert_same_values(nn_params *a, nn_params *b, const char *name, bool same)
{
    const nn_param *x = nn_params_find(a, name), *y = nn_params_find(b, name);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(!memcmp(x->data, y->data, (size_t)x->numel * sizeof(real)), same);
}

static void parameters_of_a_model_come_back(void **state)
{
    nn_params *a = network(1, 4, true, true), *b = network(2, 4, true, true);
    (void)state;
    assert_same_values(a, b, "encoder.weight", false);
    assert_int_equal(ckpt_save_params(in_folder("p.h5"), a, NULL), AG_OK);
    assert_int_equal(ckpt_load_params(in_folder("p.h5"), b, CKPT_TRAINING), AG_OK);
    for (int i = 0; i < nn_params_count(a); i++) assert_same_values(a, b, nn_params_at(a, i)->name, true);
    nn_params_free(a), nn_params_free(b);
}

static void inference_needs_no_optimizer_and_a_part_no_rest(void **state)
{
    nn_params *a = network(1, 4, true, true), *no_optimizer = network(2, 4, false, true);
    nn_params *encoder = network(3, 4, false, false), *all = network(4, 4, true, true);
    const char *path = in_folder("p.h5");
    (void)state;
    assert_int_equal(ckpt_save_params(path, a, NULL), AG_OK);
    assert_int_equal(ckpt_load_params(path, no_optimizer, CKPT_TRAINING), AG_ERR_CHECKPOINT);
    assert_int_equal(ckpt_load_params(path, no_optimizer, CKPT_INFERENCE), AG_OK);
    assert_same_values(a, no_optimizer, "decoder.weight", true);
    assert_int_equal(ckpt_load_params(path, encoder, CKPT_INFERENCE), AG_ERR_CHECKPOINT);
    assert_int_equal(ckpt_load_params(path, encoder, CKPT_PART), AG_OK);
    assert_same_values(a, encoder, "encoder.weight", true);
    assert_same_values(a, encoder, "quantizer.cluster_size", true);
    assert_int_equal(ckpt_load_params(path, all, CKPT_INFERENCE), AG_OK);
    assert_same_values(a, all, "optimizer.encoder.weight.m", false);
    nn_params_free(a), nn_params_free(no_optimizer), nn_params_free(encoder), nn_params_free(all);
}

static void a_model_of_another_width_is_refused(void **state)
{
    nn_params *a = network(1, 4, true, true), *b = network(2, 5, true, true);
    (void)state;
    assert_int_equal(ckpt_save_params(in_folder("p.h5"), a, NULL), AG_OK);
    assert_int_equal(ckpt_load_params(in_folder("p.h5"), b, CKPT_TRAINING), AG_ERR_CHECKPOINT);
    assert_non_null(strstr(ag_error_message(), "weights/encoder.weight: shape [3, 4] found, [3, 5] expected"));
    nn_params_free(a), nn_params_free(b);
}

static void the_fingerprint_names_the_model_and_nothing_else(void **state)
{
    nn_params *a = network(1, 4, true, true), *b = network(1, 4, false, true);
    char one[65], two[65];
    (void)state;
    assert_int_equal(ckpt_save_params(in_folder("a.h5"), a, "{\"step\":1}"), AG_OK);
    assert_int_equal(ckpt_save_params(in_folder("b.h5"), b, "{\"step\":2}"), AG_OK);
    assert_int_equal(ckpt_fingerprint(in_folder("a.h5"), one), AG_OK);
    assert_int_equal(ckpt_fingerprint(in_folder("b.h5"), two), AG_OK);
    assert_int_equal(strlen(one), 64);
    assert_string_equal(one, two);
    ((real *)nn_params_find(b, "decoder.weight")->data)[7] += 1;
    assert_int_equal(ckpt_save_params(in_folder("b.h5"), b, NULL), AG_OK);
    assert_int_equal(ckpt_fingerprint(in_folder("b.h5"), two), AG_OK);
    assert_string_not_equal(one, two);
    nn_params_free(a), nn_params_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_published_values),
        cmocka_unit_test(crc32c_in_parts_is_that_of_the_whole),
        cmocka_unit_test(what_was_saved_is_loaded),
        cmocka_unit_test(a_state_longer_than_an_attribute_is_kept),
        cmocka_unit_test(no_state_is_an_empty_object),
        cmocka_unit_test(the_same_content_gives_the_same_bytes),
        cmocka_unit_test(many_tensors_are_kept_in_their_order),
        cmocka_unit_test(the_list_names_type_and_shape),
        cmocka_unit_test(tensors_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(a_failed_load_touches_nothing),
        cmocka_unit_test(files_that_are_no_checkpoints_are_refused),
        cmocka_unit_test(a_newer_format_is_refused),
        cmocka_unit_test(a_value_changed_by_hand_fails_its_checksum),
        cmocka_unit_test(a_tensor_without_checksum_is_refused),
        cmocka_unit_test(links_to_other_files_are_refused),
        cmocka_unit_test(other_types_and_layouts_are_refused),
        cmocka_unit_test(a_size_that_the_file_does_not_hold_is_not_believed),
        cmocka_unit_test(bad_names_are_not_saved),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_io_error),
        cmocka_unit_test(parameters_of_a_model_come_back),
        cmocka_unit_test(inference_needs_no_optimizer_and_a_part_no_rest),
        cmocka_unit_test(a_model_of_another_width_is_refused),
        cmocka_unit_test(the_fingerprint_names_the_model_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
