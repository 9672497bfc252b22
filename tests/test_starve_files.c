/* Data sets, the loader, checkpoints, run directories and logs when memory runs out: an error and no harm, at each of our own
 * allocations and those of the JSON library. (Packing and decoding: test_fault_picture.) */
#include "starve.h"

#include <cjson/cJSON.h>

#include "autograd/random.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/metrics.h"
#include "data/hdf5_tools.h"
#include "data/loader.h"
#include "scratch.h"

static char data[96], checkpoint[96], run_folder[96];

/* ---- data ------------------------------------------------------------------------------------------------------- */

enum { N = 23, H = 4, W = 5, C = 3, VALUES = H * W * C, BATCH = 6 };
static uint8_t pixels[N * VALUES];

static ag_err write_set(void)
{
    const int64_t dims[] = {N, H, W, C}, n = N;
    int64_t labels[N];
    uint8_t split[N];
    hid_t file;
    ag_err err = data_h5_create(&file, data, data);
    for (int i = 0; i < N * VALUES; i++) pixels[i] = (uint8_t)ag_random_below(9, 9, (uint64_t)i, 256);
    for (int i = 0; i < N; i++) labels[i] = i % 3, split[i] = i % 4 == 1;
    if (!err) err = data_h5_write(file, data, "images", H5T_NATIVE_UINT8, 4, dims, pixels);
    if (!err) err = data_h5_write(file, data, "labels", H5T_NATIVE_INT64, 1, &n, labels);
    if (!err) err = data_h5_write(file, data, "split", H5T_NATIVE_UINT8, 1, &n, split);
    if (!err) err = data_h5_set_string(file, data, "layout", "NHWC");
    const ag_err closed = data_h5_finish(file, data);
    return err ? err : closed;
}

static ag_err read_set(data_set *set)
{
    const int64_t which[] = {7, 3, 22, 3};
    uint8_t got[4 * VALUES];
    float numbers[4 * VALUES];
    int64_t labels[4];
    double mean, variance;
    char sum[65];
    ag_err err = data_set_read(set, 4, which, got);
    if (!err) assert_memory_equal(got + VALUES, pixels + 3 * VALUES, VALUES);
    if (!err) err = data_set_read_real(set, 4, which, numbers);
    if (!err) err = data_set_read_labels(set, 4, which, labels);
    if (!err) assert_int_equal(labels[2], 22 % 3);
    if (!err) err = data_set_moments(set, DATA_TRAIN, &mean, &variance);
    if (!err) assert_true(mean > 0.3 && mean < 0.7 && variance > 0);
    return err ? err : data_set_fingerprint(set, sum);
}

static ag_err open_set(void)
{
    data_set *set;
    ag_err err = data_set_open(&set, data, NULL);
    if (!err) err = read_set(set);
    data_set_close(set);
    return err;
}

static ag_err load(void)
{
    data_set *set = NULL;
    data_loader *loader = NULL;
    uint8_t got[BATCH * VALUES];
    int64_t labels[BATCH];
    ag_err err = data_set_open(&set, data, NULL);
    const data_loader_options o = {.batch = BATCH, .split = DATA_TRAIN, .seed = 5, .flip = true};
    if (!err) err = data_loader_open(&loader, set, &o);
    for (int i = 0; i < 5 && !err; i++) err = data_loader_next(loader, got, labels, NULL);
    data_loader_close(loader);
    data_set_close(set);
    return err;
}

static void data_sets_survive(void **state)
{
    (void)state;
    starve("write", write_set);
    assert_true(starve("data set", open_set) > 3);
    assert_true(starve("loader", load) > 5);
}

/* ---- checkpoints -------------------------------------------------------------------------------------------------- */

static nn_params *params_make(double start)
{
    nn_params *p = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, true);
    for (int i = 0; i < 5; i++)
        nn_tensor(nn_at(root, "layer", i), "weight", i % 2 ? NN_BUFFER : NN_PARAMETER, NN_PLAIN, 2,
                  (int64_t[]){3 + i, 4}, (nn_init){.rule = NN_CONSTANT, .a = start + i});
    ag_graph_free(g);
    return p;
}

static nn_params *saved, *loaded;

static ag_err save(void) { return ckpt_save_params(checkpoint, saved, "{\"step\": 3}"); }

static ag_err load_checkpoint(void)
{
    ckpt_listing l;
    char *state = NULL, sum[65];
    ag_err err = ckpt_load_params(checkpoint, loaded, CKPT_TRAINING);
    const real *first = nn_params_at(loaded, 2)->data;
    if (!err) assert_true(first[0] == 3);
    if (!err) err = ckpt_read_state(checkpoint, &state);
    free(state);
    if (err) return err;
    if ((err = ckpt_list(checkpoint, &l))) return err;
    ckpt_listing_free(&l);
    return ckpt_fingerprint(checkpoint, sum);
}

static void checkpoints_survive(void **state)
{
    (void)state;
    saved = params_make(1), loaded = params_make(100);
    assert_true(starve("save", save) > 3);
    assert_true(starve("load", load_checkpoint) > 3);
    nn_params_free(saved);
    nn_params_free(loaded);
}

/* ---- runs --------------------------------------------------------------------------------------------------------- */

static ag_err log_some(const ckpt_run *run, int64_t step)
{
    static const char *const names[] = {"loss", "psnr"};
    static const uint8_t png[64] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2"; /* its first chunk is all that is read */
    ckpt_log *log;
    ag_err err = ckpt_log_open(&log, run, step);
    for (int64_t i = 1; i < 4 && !err; i++)
        err = ckpt_log_scalars(log, "train", step + i, 2, names, (double[]){0.1 * (double)i, 20});
    if (!err) err = ckpt_log_image(log, "grid", step, png, sizeof png);
    if (!err) err = ckpt_log_text(log, "note", step, "words");
    if (!err) err = ckpt_log_sync(log);
    ckpt_log_close(log);
    return err;
}

/* A folder that an attempt left without a run in it is not in the way of the next. */
static ag_err run_anew(void)
{
    ckpt_run *run = NULL;
    cJSON *config = NULL;
    static const char text[] = "{\"recipe\": \"vqvae\", \"lr\": 0.0002}";
    remove_all(run_folder);
    ag_err err = ckpt_json_parse(&config, text, sizeof text - 1, "test", AG_ERR_USAGE);
    if (!err) err = ckpt_run_create(&run, run_folder, config);
    if (!err) err = log_some(run, 0);
    if (!err) err = ckpt_run_set_config(run, config);
    ckpt_run_close(run);
    cJSON_Delete(config);
    return err;
}

static ag_err run_on(void)
{
    ckpt_run *run = NULL;
    ag_err err = ckpt_run_resume(&run, run_folder);
    if (!err) err = log_some(run, 3);
    ckpt_run_close(run);
    return err;
}

static ag_err look_at_run(void)
{
    ckpt_run *run = NULL;
    ckpt_history *h = NULL;
    ag_err err = ckpt_run_open(&run, run_folder);
    if (!err) err = ckpt_history_read(&h, ckpt_run_path(run, CKPT_RUN_METRICS));
    if (!err) assert_int_equal(ckpt_history_find(h, "train", "loss")->n, 3);
    ckpt_history_free(h);
    ckpt_run_close(run);
    return err;
}

static void runs_survive(void **state)
{
    (void)state;
    assert_true(starve("run", run_anew) > 10);
    assert_true(starve("history", look_at_run) > 10);
    assert_true(starve("resume", run_on) > 10);
}

static int set_up(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(data, sizeof data, "%s/data.h5", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.h5", folder);
    snprintf(run_folder, sizeof run_folder, "%s/run", folder);
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = __wrap_malloc, .free_fn = free});
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_sets_survive),
        cmocka_unit_test(checkpoints_survive),
        cmocka_unit_test(runs_survive),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
