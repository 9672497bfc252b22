/* What all recipes share in training: micro-batches, update phases, freezing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "autograd/random.h"
#include "recipe.h"

enum { SIDE = 16, IMAGES = 8, VALUES = SIDE * SIDE * 3 };

typedef struct model_of {
    const recipe *recipe;
    void *options;
    nn_params *params;
    run *run;
} model_of;

static const char tiny[] = "hidden=8 residual=4 blocks=1 dim=4 codes=16 start=normal lr=0.003";

static model_of model_of_recipe(const char *name, const char *settings)
{
    model_of m = {.recipe = recipe_find(name), .params = nn_params_new(1)};
    m.options = recipe_options_new(m.recipe);
    assert_int_equal(option_assign_all(m.recipe->options, m.options, tiny, "test"), AG_OK);
    assert_int_equal(option_assign_all(m.recipe->options, m.options, settings, "test"), AG_OK);
    return m;
}

static model_of model_new(const char *settings) { return model_of_recipe("vqvae", settings); }

static void model_build(model_of *m)
{
    const struct train_options *o = m->options;
    const run_options build = {
        .mode = RUN_TRAIN, .batch = o->batch, .image = {SIDE, SIDE, 3, false}, .variance = 0.08, .seed = 1};
    if (run_new(&m->run, m->recipe, m->options, m->params, &build) || run_plan(m->run, 0))
        fail_msg("%s", ag_error_message());
}

static void model_free(model_of *m)
{
    run_free(m->run);
    nn_params_free(m->params);
    free(m->options);
}

/* Step `step` on images step * IMAGES .. + IMAGES - 1 of an endless supply. */
static void model_step(model_of *m, int64_t step)
{
    const int64_t batch = m->run->build.batch;
    assert_int_equal(batch * m->run->micro_batches, IMAGES);
    for (int micro = 0; micro < m->run->micro_batches; micro++) {
        uint8_t *pixels = ag_data(m->run->pixels);
        const int64_t first = step * IMAGES + micro * batch;
        for (int64_t i = 0; i < batch * VALUES; i++)
            pixels[i] = (uint8_t)ag_random_below(7, 0, (uint64_t)(first * VALUES + i), 256);
        assert_int_equal(run_step(m->run, step, micro), AG_OK);
    }
}

/* The largest difference of two tensors of a name, in parts of the largest value. */
static double difference(const model_of *a, const model_of *b, const char *name)
{
    const nn_param *p = nn_params_find(a->params, name), *q = nn_params_find(b->params, name);
    double most = 0, size = 0;
    assert_true(p && q && p->numel == q->numel);
    const real *x = p->data, *y = q->data;
    for (int64_t i = 0; i < p->numel; i++) {
        most = fmax(most, fabs((double)(x[i] - y[i])));
        size = fmax(size, fabs((double)x[i]));
    }
    return size > 0 ? most / size : most;
}

static bool begins(const char *name, const char *prefix) { return !strncmp(name, prefix, strlen(prefix)); }

/* Adam's first moment after one step is (1 - beta1) times the gradient. */
static void accumulated_gradients_are_those_of_the_large_batch(void **state)
{
    (void)state;
    static const char *const variants[] = {"quantizer=none", "codebook=ema", "codebook=gradient", "debias=true"};
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        char settings[128];
        snprintf(settings, sizeof settings, "batch=8 %s", variants[v]);
        model_of whole = model_new(settings);
        snprintf(settings, sizeof settings, "batch=2 accumulate=4 %s", variants[v]);
        model_of parts = model_new(settings);
        int compared = 0;
        model_build(&whole), model_build(&parts);
        model_step(&whole, 0), model_step(&parts, 0);
        for (int i = 0; i < nn_params_count(whole.params); i++) {
            const char *name = nn_params_at(whole.params, i)->name;
            if (begins(name, "optimizer.adam.") && name[strlen(name) - 1] == 'm')
                assert_true(difference(&whole, &parts, name) < 3e-5), compared++;
            if (begins(name, "quantizer.")) assert_true(difference(&whole, &parts, name) < 1e-5), compared++;
        }
        assert_true(compared > 8);
        model_free(&whole), model_free(&parts);
    }
}

static void sums_are_empty_between_updates(void **state)
{
    (void)state;
    model_of m = model_new("batch=4 accumulate=2");
    int sums = 0;
    model_build(&m);
    for (int step = 0; step < 3; step++) model_step(&m, step);
    for (int i = 0; i < nn_params_count(m.params); i++) {
        const nn_param *p = nn_params_at(m.params, i);
        if (!begins(p->name, "optimizer.sum.")) continue;
        for (int64_t j = 0; j < p->numel; j++) assert_true(((const real *)p->data)[j] == 0);
        sums++;
    }
    assert_true(sums > 10);
    assert_non_null(nn_params_find(m.params, "optimizer.sum.quantizer.counts"));
    model_free(&m);
}

/* ---- update rules -------------------------------------------------------------------------------------------------- */

static double norm_of(const model_of *m, const char *ending)
{
    double sum = 0;
    for (int i = 0; i < nn_params_count(m->params); i++) {
        const nn_param *p = nn_params_at(m->params, i);
        const size_t n = strlen(p->name), k = strlen(ending);
        if (!begins(p->name, "optimizer.") || n < k || strcmp(p->name + n - k, ending)) continue;
        for (int64_t j = 0; j < p->numel; j++) sum += pow((double)((const real *)p->data)[j], 2);
    }
    return sqrt(sum);
}

static void clipping_bounds_the_norm_of_all_gradients(void **state)
{
    (void)state;
    model_of free_one = model_new("batch=8"), clipped = model_new("batch=8 clip=0.01");
    model_build(&free_one), model_build(&clipped);
    model_step(&free_one, 0), model_step(&clipped, 0);
    const double raw = ag_value(free_one.run->phases[0].norm);
    assert_true(raw > 0.02 && raw == ag_value(clipped.run->phases[0].norm));
    assert_true(fabs(norm_of(&free_one, ".m") - 0.1 * raw) < 1e-4 * raw);
    assert_true(fabs(norm_of(&clipped, ".m") - 0.1 * 0.01) < 1e-5);
    model_free(&free_one), model_free(&clipped);
}

static void biases_and_codebooks_do_not_decay(void **state)
{
    (void)state;
    model_of plain = model_new("batch=8 codebook=gradient optimizer=adam"),
             decayed = model_new("batch=8 codebook=gradient optimizer=adamw weight_decay=0.5");
    int same = 0, other = 0;
    model_build(&plain), model_build(&decayed);
    model_step(&plain, 0), model_step(&decayed, 0);
    for (int i = 0; i < nn_params_count(plain.params); i++) {
        const nn_param *p = nn_params_at(plain.params, i);
        if (p->kind != NN_PARAMETER) continue;
        const bool kernel = p->rank == 4;
        assert_int_equal(difference(&plain, &decayed, p->name) > 0, kernel);
        *(kernel ? &other : &same) += 1;
    }
    assert_true(same > 4 && other > 4);
    model_free(&plain), model_free(&decayed);
}

static void every_optimizer_and_schedule_learns(void **state)
{
    (void)state;
    static const char *const variants[] = {"optimizer=adamw weight_decay=0.01 schedule=cosine",
                                           "optimizer=lion lr=0.001 beta2=0.99 schedule=linear lr_last=0.1",
                                           "optimizer=sgd lr=0.1 schedule=step lr_every=20",
                                           "schedule=exponential lr_last=0.1 warmup=3",
                                           "schedule=quarter_cosine clip=1 average=0.9"};
    const opt_shape shapes[] = {OPT_COSINE, OPT_LINEAR, OPT_STEP, OPT_EXPONENTIAL, OPT_QUARTER_COSINE};
    for (int v = 0; v < 5; v++) {
        char settings[160];
        snprintf(settings, sizeof settings, "quantizer=none batch=8 steps=60 %s", variants[v]);
        model_of m = model_new(settings);
        double first = 0;
        model_build(&m);
        assert_int_equal(train_options_check(m.options), AG_OK);
        assert_int_equal(run_schedule(m.run).shape, shapes[v]);
        for (int step = 0; step < 60; step++) {
            model_step(&m, step);
            if (!step) first = ag_value(m.run->total);
        }
        assert_true(ag_value(m.run->total) < 0.98 * first);
        model_free(&m);
    }
}

static void codebooks_are_named_by_what_they_are_of(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *settings, *names[4];
    } cases[] = {
        {"vqvae", "quantizer=vq", {""}},
        {"vqvae", "quantizer=none", {NULL}},
        {"vqvae", "quantizer=vq heads=2", {"head 1", "head 2"}},
        {"vqvae", "quantizer=residual depth=3", {"depth 1", "depth 2", "depth 3"}},
        {"vqvae", "quantizer=multiscale codebook=gradient scales=1,3,4", {"1x1", "3x3", "4x4"}},
        {"vqvae2", "grids=1", {""}},
        {"vqvae2", "grids=2", {"level 0 (2x2)", "level 1 (4x4)"}},
        {"vqvae2",
         "grids=2 quantizer=residual depth=2",
         {"level 0 (2x2), depth 1", "level 0 (2x2), depth 2", "level 1 (4x4), depth 1", "level 1 (4x4), depth 2"}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[RUN_BOOK_NAME], settings[128];
        snprintf(settings, sizeof settings, "batch=8 %s", cases[i].settings);
        model_of m = model_of_recipe(cases[i].recipe, settings);
        int n = 0;
        model_build(&m);
        while (n < 4 && cases[i].names[n]) n++;
        assert_int_equal(run_books(m.run), n);
        for (int book = 0; book < n; book++) {
            run_book_name(m.run, book, name);
            assert_string_equal(name, cases[i].names[book]);
        }
        model_free(&m);
    }
}

static void contradicting_options_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"weight_decay=0.1", "schedule=exponential", "schedule=step"};
    for (int i = 0; i < 3; i++) {
        model_of m = model_new(bad[i]);
        assert_int_equal(train_options_check(m.options), AG_ERR_USAGE);
        model_free(&m);
    }
}

static real first_value(const model_of *m, const char *name)
{
    const nn_param *p = nn_params_find(m->params, name);
    assert_non_null(p);
    return *(const real *)p->data;
}

static void averages_follow_the_weights(void **state)
{
    (void)state;
    const char *name = "decoder.conv_in.weight", *average = "optimizer.average.decoder.conv_in.weight";
    model_of m = model_new("batch=8 average=0.3");
    model_build(&m);
    double expected = (double)first_value(&m, name);
    assert_true((double)first_value(&m, average) == expected);
    for (int step = 0; step < 5; step++) {
        const double t = step + 1, d = fmin(0.3, (1 + t) / (10 + t));
        model_step(&m, step);
        expected = d * expected + (1 - d) * (double)first_value(&m, name);
        assert_true(fabs((double)first_value(&m, average) - expected) < 1e-6);
    }
    const real before = first_value(&m, name);
    assert_true(opt_average_swap(m.params) > 5 && fabs((double)first_value(&m, name) - expected) < 1e-6);
    opt_average_swap(m.params);
    assert_true(first_value(&m, name) == before);
    model_free(&m);
}

/* A gradient that is not finite is seen in its norm, and nothing has been updated. */
static void no_update_with_a_gradient_that_is_not_finite(void **state)
{
    (void)state;
    static const char *const rules[] = {"optimizer=adam", "optimizer=sgd", "optimizer=lion"};
    for (int i = 0; i < 3; i++) {
        char settings[64];
        snprintf(settings, sizeof settings, "quantizer=none batch=8 %s", rules[i]);
        model_of m = model_new(settings), fresh = model_new(settings);
        model_build(&m), model_build(&fresh);
        nn_param *p = nn_params_find(m.params, "decoder.conv_in.bias");
        ((real *)p->data)[0] = (real)INFINITY;
        model_step(&m, 0);
        assert_true(!isfinite(ag_value(m.run->phases[0].norm)));
        assert_true(difference(&m, &fresh, "encoder.conv_out.weight") == 0);
        assert_true(difference(&m, &fresh, "decoder.conv_in.weight") == 0);
        model_free(&m), model_free(&fresh);
    }
}

/* Losses that are finite, gradients whose squares are not: nothing happens either, also not to what follows averages. */
static void nothing_follows_a_step_that_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"codebook=ema batch=8", "codebook=ema batch=4 accumulate=2",
                                        "codebook=gradient restart=0.1 batch=8 average=0.9",
                                        "codebook=ema debias=true batch=8"};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int with_loss = 0; with_loss < 2; with_loss++) {
            model_of m = model_new(cases[c]), fresh = model_new(cases[c]);
            model_build(&m), model_build(&fresh);
            const char *const changed = "decoder.up.1.weight";
            nn_param *p = nn_params_find(m.params, changed);
            for (int64_t i = 0; i < p->numel; i++) ((real *)p->data)[i] *= (real)(with_loss ? 1e25 : 1e16);
            model_step(&m, 0);
            assert_true(!with_loss == !!isfinite(ag_value(m.run->phases[0].total)));
            assert_true(!isfinite(ag_value(m.run->phases[0].norm)));
            assert_string_equal(m.run->fault.what, with_loss ? "loss" : "gradient");
            for (int i = 0; i < nn_params_count(m.params); i++) {
                const char *name = nn_params_at(m.params, i)->name;
                if (begins(name, "optimizer.sum.") || strstr(name, changed)) continue;
                if (difference(&m, &fresh, name) != 0) fail_msg("%s: %s has changed", cases[c], name);
            }
            assert_int_equal(run_look(m.run, 0, m.run->micro_batches - 1), AG_ERR_DIVERGED);
            assert_non_null(strstr(ag_error_message(), with_loss ? " mse [] is inf" : "coder."));
            model_free(&m), model_free(&fresh);
        }
}

/* ---- phases -------------------------------------------------------------------------------------------------------- */

/* A model of two parts that pull at each other: a wants to be the mean of the images, b wants to be a. */
static const char *const part_a[] = {"a", NULL}, *const part_b[] = {"b", NULL}, *const both[] = {"a", "b", NULL};
static bool overlapping;

static void build_two(run *r, const void *options)
{
    (void)options;
    ag_tensor *a = nn_tensor(r->root, "a", NN_PARAMETER, NN_PLAIN, 0, NULL, (nn_init){NN_CONSTANT, 1, 0});
    ag_tensor *b = nn_tensor(r->root, "b", NN_PARAMETER, NN_PLAIN, 0, NULL, (nn_init){NN_CONSTANT, 2, 0});
    r->reconstruction = ag_mul(r->images, a);
    run_loss(r, "first", ag_square(ag_sub(a, ag_mean(r->images))), 1);
    run_phase(r, &(run_phase_opt){.name = "first", .prefixes = part_a});
    run_loss(r, "second", ag_square(ag_sub(b, a)), 3);
    run_phase(r, &(run_phase_opt){.name = "second", .prefixes = overlapping ? both : part_b, .rate = 0.5, .start = 2});
    run_metric(r, "distance", ag_sub(b, a));
}

static const struct train_options two_defaults = {TRAIN_DEFAULTS, .batch = 8, .steps = 10, .lr = 0.1};
static const recipe two = {.name = "two",
                           .options_size = sizeof(struct train_options),
                           .defaults = &two_defaults,
                           .options = &train_option_table,
                           .scale = 1,
                           .build = build_two};

static model_of two_new(const char *settings)
{
    model_of m = {.recipe = &two, .params = nn_params_new(1), .options = recipe_options_new(&two)};
    assert_int_equal(option_assign_all(&train_option_table, m.options, settings, "test"), AG_OK);
    return m;
}

static void phases_move_their_own_parameters_at_their_own_rate(void **state)
{
    (void)state;
    static const char *const variants[] = {"optimizer=sgd beta1=0", "optimizer=sgd beta1=0 batch=2 accumulate=4"};
    for (int v = 0; v < 2; v++) {
        model_of m = two_new(variants[v]);
        model_build(&m);
        assert_int_equal(m.run->n_phases, 2);
        assert_true(m.run->total == m.run->phases[0].total);
        for (int step = 0; step < 4; step++) {
            const double a = (double)first_value(&m, "a"), b = (double)first_value(&m, "b");
            model_step(&m, step);
            const double a1 = (double)first_value(&m, "a"), b1 = (double)first_value(&m, "b");
            assert_true(a1 < a);
            const double moved = step < 2 ? 0 : 0.5 * 0.1 * 3 * 2 * (b - a); /* at the a of before the step */
            assert_true(fabs(b1 - (b - moved)) < 1e-6);
            assert_true(step < 2 || fabs(ag_value(m.run->phases[1].norm) - 6 * (b - a)) < 1e-5);
            assert_true(fabs(ag_value(m.run->metrics[0].tensor) - (b - a)) < 1e-6);
        }
        model_free(&m);
    }
}

/* Its first update is number 1: Adam then moves by the learning rate, whatever the gradient. */
static void a_phase_that_begins_later_begins_afresh(void **state)
{
    (void)state;
    model_of m = two_new("optimizer=adam");
    model_build(&m);
    for (int step = 0; step < 3; step++) model_step(&m, step);
    assert_true(fabs((double)first_value(&m, "b") - (2 - 0.5 * 0.1)) < 1e-5);
    model_free(&m);
}

static void a_parameter_belongs_to_one_phase(void **state)
{
    (void)state;
    overlapping = true;
    model_of m = two_new("");
    const run_options build = {.mode = RUN_TRAIN, .batch = 8, .image = {SIDE, SIDE, 3, false}, .variance = 1};
    assert_int_equal(run_new(&m.run, m.recipe, m.options, m.params, &build), AG_OK);
    assert_int_equal(run_plan(m.run, 0), AG_ERR_FAILED);
    assert_non_null(strstr(ag_error_message(), "a is in two update phases"));
    overlapping = false;
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulated_gradients_are_those_of_the_large_batch),
        cmocka_unit_test(sums_are_empty_between_updates),
        cmocka_unit_test(clipping_bounds_the_norm_of_all_gradients),
        cmocka_unit_test(biases_and_codebooks_do_not_decay),
        cmocka_unit_test(every_optimizer_and_schedule_learns),
        cmocka_unit_test(codebooks_are_named_by_what_they_are_of),
        cmocka_unit_test(contradicting_options_are_refused),
        cmocka_unit_test(averages_follow_the_weights),
        cmocka_unit_test(no_update_with_a_gradient_that_is_not_finite),
        cmocka_unit_test(nothing_follows_a_step_that_is_refused),
        cmocka_unit_test(phases_move_their_own_parameters_at_their_own_rate),
        cmocka_unit_test(a_phase_that_begins_later_begins_afresh),
        cmocka_unit_test(a_parameter_belongs_to_one_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
