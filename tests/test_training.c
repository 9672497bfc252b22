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

static model_of model_new(const char *settings)
{
    model_of m = {.recipe = recipe_find("vqvae"), .params = nn_params_new(1)};
    m.options = recipe_options_new(m.recipe);
    assert_int_equal(option_assign_all(m.recipe->options, m.options, tiny, "test"), AG_OK);
    assert_int_equal(option_assign_all(m.recipe->options, m.options, settings, "test"), AG_OK);
    return m;
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulated_gradients_are_those_of_the_large_batch),
        cmocka_unit_test(sums_are_empty_between_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
