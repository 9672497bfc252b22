/* Runs that meet numbers that are not finite: they go back, go on, and end with the same bytes however they are interrupted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hdf5.h>

#include "autograd/random.h"
#include "checkpoints/checkpoint.h"
#include "scratch.h"
#include "terminal.h"
#include "train.h"

enum { SIDE = 8, VALUES = SIDE * SIDE * 3, IMAGES = 240 };

static char data[96], broken[96];

/* Random images; one of them is black, if `black` >= 0. */
static void write_images(const char *path, int black)
{
    static uint8_t images[IMAGES][VALUES];
    const hsize_t dims[4] = {IMAGES, SIDE, SIDE, 3};
    for (int i = 0; i < IMAGES; i++)
        for (int k = 0; k < VALUES; k++)
            images[i][k] = i == black ? 0 : (uint8_t)(1 + ag_random_below(3, (uint64_t)i, (uint64_t)k / 12, 250));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                space = H5Screate_simple(4, dims, NULL);
    const hid_t set = H5Dcreate2(file, "images", H5T_NATIVE_UINT8, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, images) >= 0);
    H5Dclose(set), H5Sclose(space), H5Fclose(file);
}

/* A model that cannot bear black images: y = a x + b, and either the loss is infinite, or its gradient is not a number. */
static bool gradient_only;

static ag_err check(const void *options, const image_shape *image)
{
    (void)options, (void)image;
    return AG_OK;
}

static void build(run *r, const void *options)
{
    (void)options;
    ag_tensor *a =
        nn_tensor(nn_in(r->root, "gain"), "weight", NN_PARAMETER, NN_PLAIN, 0, NULL, (nn_init){NN_CONSTANT, 0.5, 0});
    ag_tensor *b =
        nn_tensor(nn_in(r->root, "offset"), "weight", NN_PARAMETER, NN_PLAIN, 0, NULL, (nn_init){NN_CONSTANT, 0.2, 0});
    ag_tensor *light = ag_reshape(ag_global_average(r->images), 2, (int64_t[]){r->build.batch, 3});
    r->reconstruction = ag_add(ag_mul(r->images, a), b);
    run_loss(r, "reconstruction", nn_mse(r->reconstruction, r->images), 1);
    run_loss(r, "light", ag_mean(gradient_only ? ag_sqrt(ag_mul(light, ag_square(a))) : ag_log(light)), 0.01);
    run_phase(r, NULL);
}

static const struct train_options defaults = {TRAIN_DEFAULTS, .batch = 8, .steps = 48, .lr = 0.01};
static const recipe_preset presets[] = {{0}};
static const recipe lamp = {.name = "lamp",
                            .title = "a test",
                            .paper = "none",
                            .options_size = sizeof(struct train_options),
                            .defaults = &defaults,
                            .options = &train_option_table,
                            .presets = presets,
                            .scale = 1,
                            .check = check,
                            .build = build};

static int setup(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(data, sizeof data, "%s/good.h5", folder);
    snprintf(broken, sizeof broken, "%s/broken.h5", folder);
    write_images(data, -1);
    write_images(broken, 77);
    terminal_set_quiet(true);
    return 0;
}

static const char often[] = "eval_every=0 samples_every=0 log_every=5 save_every=5 save_minutes=0 average=0.9";
static const char small[] = "hidden=4 residual=2 blocks=1 dim=4 codes=8 batch=8 divide_by_variance=false";

/* Trains in folder/name; `more` options on top. */
static ag_err go(const recipe *card, const char *name, const char *images, const char *more, int64_t steps, bool resume)
{
    char out[96], all[512];
    char *argv[] = {"tessera", NULL};
    struct train_options *o = recipe_options_new(card);
    int signal;
    snprintf(out, sizeof out, "%s/%s", folder, name);
    snprintf(all, sizeof all, "%s %s steps=%lld", often, more, (long long)steps);
    assert_int_equal(option_assign_all(card->options, o, all, "test"), AG_OK);
    const train_config config = {
        .recipe = card, .options = o, .data = images, .out = out, .resume = resume, .argc = 1, .argv = argv};
    const ag_err err = train(&config, &signal);
    free(o);
    return err;
}

/* A file of the run `name`. */
static const char *in_run(const char *name, const char *file)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", name, file);
    return in_folder(path);
}

static int occurrences(const char *name, const char *file, const char *what)
{
    size_t size;
    int n = 0;
    char *text = slurp(in_run(name, file), &size);
    for (const char *p = text; (p = strstr(p, what)); p++) n++;
    free(text);
    return n;
}

static void assert_same_file(const char *a, const char *b)
{
    assert_same_bytes(in_run(a, "checkpoint.h5"), in_run(b, "checkpoint.h5"));
}

static void a_run_goes_back_and_on_with_other_images(void **state)
{
    (void)state;
    if (go(&lamp, "whole", broken, "", 48, false)) fail_msg("%s", ag_error_message());
    assert_true(occurrences("whole", "metrics.jsonl", "\"event\":\"resume\"") >= 1);
    assert_true(occurrences("whole", "metrics.jsonl", "\"step\":45,") == 1);
    assert_true(occurrences("whole", "metrics.jsonl", "special") == 0);
}

/* Stopped after any step, also between the checkpoint that it will go back to and the step that fails. */
static void interrupted_runs_end_with_the_same_bytes(void **state)
{
    (void)state;
    for (int stop = 1; stop < 48; stop += 4) {
        char name[32];
        snprintf(name, sizeof name, "part-%d", stop);
        assert_int_equal(go(&lamp, name, broken, "", stop, false), AG_OK);
        assert_int_equal(go(&lamp, name, broken, "", 48, true), AG_OK);
        assert_same_file("whole", name);
    }
}

static void micro_batches_go_back_as_well(void **state)
{
    (void)state;
    assert_int_equal(go(&lamp, "micro", broken, "batch=2 accumulate=4", 48, false), AG_OK);
    assert_true(occurrences("micro", "metrics.jsonl", "\"event\":\"resume\"") >= 1);
    assert_int_equal(go(&lamp, "micro2", broken, "batch=2 accumulate=4", 17, false), AG_OK);
    assert_int_equal(go(&lamp, "micro2", broken, "batch=2 accumulate=4", 48, true), AG_OK);
    assert_same_file("micro", "micro2");
}

static void a_gradient_that_is_not_finite_is_one_too(void **state)
{
    (void)state;
    gradient_only = true;
    assert_int_equal(go(&lamp, "gradient", broken, "", 48, false), AG_OK);
    assert_true(occurrences("gradient", "metrics.jsonl", "\"event\":\"resume\"") >= 1);
    assert_true(occurrences("gradient", "metrics.jsonl", "special") == 0);
    assert_int_equal(go(&lamp, "gradient2", broken, "rollback=0", 48, false), AG_ERR_DIVERGED);
    assert_non_null(strstr(ag_error_message(), "the gradient is not finite ("));
    gradient_only = false;
}

static void without_rollback_the_first_stops_the_run(void **state)
{
    (void)state;
    assert_int_equal(go(&lamp, "stops", broken, "rollback=0", 48, false), AG_ERR_DIVERGED);
    assert_non_null(strstr(ag_error_message(), "the loss is not finite ("));
    assert_non_null(strstr(ag_error_message(), " of log "));
    assert_non_null(strstr(ag_error_message(), " is -inf)"));
}

/* Whatever the codebook learns by, what is named is a tensor of a layer, with its scope, and not the loss that was found to be finite. */
static void a_gradient_that_is_too_large_is_named(void **state)
{
    (void)state;
    static const char *const rules[] = {"codebook=gradient", "codebook=ema", "codebook=gradient accumulate=2 batch=4"};
    for (int i = 0; i < 3; i++)
        for (int rollback = 0; rollback < 2; rollback++) {
            char name[32], settings[256];
            snprintf(name, sizeof name, "large-%d-%d", i, rollback);
            snprintf(
                settings, sizeof settings,
                "hidden=32 residual=16 blocks=2 dim=16 codes=32 batch=8 start=kmeans restart=0.1 lr=5 optimizer=sgd "
                "rollback=%d %s",
                rollback, rules[i]);
            assert_int_equal(go(recipe_find("vqvae"), name, data, settings, 60, false), AG_ERR_DIVERGED);
            const char *message = ag_error_message(), *where = strstr(message, "gradient is not finite (element ");
            if (!where || (!strstr(where, "encoder.") && !strstr(where, "decoder.") && !strstr(where, "quantizer.")))
                fail_msg("%s: %s", rules[i], message);
        }
}

/* A learning rate that no order of images survives. */
static void a_run_that_always_fails_stops_and_keeps_its_checkpoint(void **state)
{
    (void)state;
    char path[96], settings[256];
    ckpt_listing l;
    snprintf(settings, sizeof settings, "%s lr=10 optimizer=sgd quantizer=none rollback=2", small);
    assert_int_equal(go(recipe_find("vqvae"), "fails", data, settings, 400, false), AG_ERR_DIVERGED);
    assert_non_null(strstr(ag_error_message(), "after going back 2 times in 1000 steps"));
    assert_int_equal(occurrences("fails", "metrics.jsonl", "\"event\":\"resume\""), 2);
    snprintf(path, sizeof path, "%s/fails/checkpoint.h5", folder);
    assert_int_equal(ckpt_list(path, &l), AG_OK);
    for (int i = 0; i < l.n; i++) {
        ckpt_item *item = &l.items[i];
        int64_t numel = 1;
        for (int d = 0; d < item->rank; d++) numel *= item->shape[d];
        if (item->dtype != AG_REAL) continue;
        item->data = calloc((size_t)numel, sizeof(real));
        assert_int_equal(ckpt_load_part(path, 1, item), AG_OK);
        for (int64_t k = 0; k < numel; k++) assert_true(isfinite(((real *)item->data)[k]) != 0);
        free(item->data);
    }
    ckpt_listing_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_goes_back_and_on_with_other_images),
        cmocka_unit_test(interrupted_runs_end_with_the_same_bytes),
        cmocka_unit_test(micro_batches_go_back_as_well),
        cmocka_unit_test(a_gradient_that_is_not_finite_is_one_too),
        cmocka_unit_test(without_rollback_the_first_stops_the_run),
        cmocka_unit_test(a_gradient_that_is_too_large_is_named),
        cmocka_unit_test(a_run_that_always_fails_stops_and_keeps_its_checkpoint),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
