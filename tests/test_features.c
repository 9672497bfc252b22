/* The recipe that learns features for a perceptual loss, and the recipes that use them: what is learned, what stays as it is, which
 * weights are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "adversarial_options.h"
#include "autograd/cpu.h"
#include "checkpoints/checkpoint.h"
#include "data/synth.h"
#include "learned_features.h"
#include "output.h"
#include "scratch.h"
#include "terminal.h"
#include "train.h"

enum { BATCH = 4, SIDE = 16 };

static char colour[64], grey[64];

#define LEARN                                                                                                          \
    "width=4 levels=3 batch=8 save_every=0 save_minutes=0 eval_every=0 samples_every=0 log_every=10 warmup=0 lr=3e-3 "
#define SMALL                                                                                                          \
    "ch=8 groups=4 blocks=1 z_channels=8 dim=4 codes=16 batch=4 ch_mult=1,2 encoder_attention=none "                   \
    "decoder_attention=none discriminator=none start=normal restart=0 warmup=0 lr=2e-3 steps=40 perceptual=features "

static ag_err go(const char *recipe_name, const char *data, const char *name, const char *settings)
{
    char *argv[] = {"tessera", NULL};
    const recipe *card = recipe_find(recipe_name);
    void *o = recipe_options_new(card);
    int signal;
    if (option_assign_all(card->options, o, settings, "test")) fail_msg("%s", ag_error_message());
    const train_config config = {
        .recipe = card, .options = o, .data = data, .out = in_folder(name), .argc = 1, .argv = argv};
    const ag_err err = train(&config, &signal);
    free(o);
    return err;
}

/* Pictures of one channel, without labels. */
static ag_err write_grey(void)
{
    enum { COUNT = 16 };
    static uint8_t pixels[COUNT * SIDE * SIDE];
    output o;
    for (int i = 0; i < COUNT * SIDE * SIDE; i++) pixels[i] = (uint8_t)(i % 256);
    ag_err err = output_images_begin(&o, grey, COUNT, &(image_shape){SIDE, SIDE, 1, false});
    if (!err) err = output_rows(&o, 0, COUNT, pixels);
    return output_end(&o, err);
}

static int setup(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(colour, sizeof colour, "%s", in_folder("colour.h5"));
    snprintf(grey, sizeof grey, "%s", in_folder("grey.h5"));
    terminal_set_quiet(true);
    ag_cpu_set_threads(1);
    if (data_synth(colour, "scenes", &(data_synth_options){.count = 64, .height = SIDE})) return -1;
    if (write_grey()) return -1;
    return go("features", colour, "learned", LEARN "steps=60") || go("features", grey, "grey", LEARN "steps=2") ||
                   go("vqvae", colour, "vqvae",
                      "hidden=8 residual=4 blocks=1 dim=4 codes=16 batch=8 steps=2 save_minutes=0")
               ? -1
               : 0;
}

/* ---- learning --------------------------------------------------------------------------------------------------------------- */

typedef struct fixture {
    const recipe *recipe;
    void *options;
    nn_params *params;
    run *r;
} fixture;

static fixture make(const char *name, const char *settings, run_mode mode, int64_t classes)
{
    fixture f = {.recipe = recipe_find(name), .params = nn_params_new(1)};
    const run_options o = {
        .mode = mode, .batch = BATCH, .image = {SIDE, SIDE, 3, false}, .variance = 0.08, .seed = 1, .classes = classes};
    f.options = recipe_options_new(f.recipe);
    if (option_assign_all(f.recipe->options, f.options, settings, "test")) fail_msg("%s", ag_error_message());
    if (f.recipe->check(f.options, &o.image)) fail_msg("%s", ag_error_message());
    assert_int_equal(run_new(&f.r, f.recipe, f.options, f.params, &o), AG_OK);
    return f;
}

static void end(fixture *f)
{
    run_free(f->r);
    nn_params_free(f->params);
    free(f->options);
}

static void fill(const run *r)
{
    uint8_t *pixels = ag_data(r->pixels);
    for (int64_t i = 0; i < ag_numel(r->pixels); i++)
        pixels[i] =
            (uint8_t)(128 + 100 * sin((double)(i % 48) / 7 + (double)(i / 768)) * cos((double)(i / 48 % 16) / 3));
    for (int64_t i = 0; r->labels && i < BATCH; i++) ((int32_t *)ag_data(r->labels))[i] = (int32_t)(i % 3);
}

static double value_of(const run *r, const char *name)
{
    for (int i = 0; i < r->n_losses; i++)
        if (!strcmp(r->losses[i].name, name)) return ag_value(r->losses[i].tensor);
    return NAN;
}

static void a_batch_is_learned_with_its_labels_if_there_are_any(void **state)
{
    (void)state;
    for (int64_t classes = 0; classes <= 3; classes += 3) {
        fixture f = make("features", "width=8 levels=3 batch=4 warmup=0 steps=200 lr=3e-3 noise=0.1 masked=0.1",
                         RUN_TRAIN, classes);
        double first[2] = {0}, last[2] = {0};
        if (run_plan(f.r, 0)) fail_msg("%s", ag_error_message());
        assert_int_equal(f.r->labels != NULL, classes > 0);
        for (int i = 0; i < 120; i++) {
            fill(f.r);
            assert_int_equal(run_step(f.r, i, 0), AG_OK);
            last[0] = value_of(f.r, "reconstruction"), last[1] = value_of(f.r, "labels");
            if (!i) memcpy(first, last, sizeof first);
        }
        if (!(last[0] < 0.5 * first[0])) fail_msg("reconstruction %g -> %g", first[0], last[0]);
        assert_int_equal(isnan(last[1]), !classes);
        if (classes && !(last[1] < 0.5 * first[1])) fail_msg("labels %g -> %g", first[1], last[1]);
        end(&f);
    }
}

/* Neither noise nor squares: the same picture every time, and the same as another graph without them. */
static void evaluation_sees_clean_pictures(void **state)
{
    (void)state;
    fixture f = make("features", "width=4 levels=2 batch=4", RUN_RECONSTRUCT, 3);
    fixture clean = make("features", "width=4 levels=2 batch=4 noise=0 masked=0", RUN_TRAIN, 0);
    fixture blotted = make("features", "width=4 levels=2 batch=4 noise=0 masked=0.5", RUN_TRAIN, 0);
    fixture *all[3] = {&f, &clean, &blotted};
    double mse[3];
    for (int i = 0; i < 3; i++) {
        if (run_plan(all[i]->r, 0)) fail_msg("%s", ag_error_message());
        fill(all[i]->r);
        assert_int_equal(i ? run_step(all[i]->r, 3, 0) : ag_graph_run_pure(f.r->graph, 3), AG_OK);
        mse[i] = i ? ag_value(all[i]->r->mse) / 4 : 0; /* of -1 .. 1 */
    }
    const real *y = ag_data(f.r->reconstruction);
    const uint8_t *x = ag_data(f.r->pixels);
    for (int64_t i = 0; i < ag_numel(f.r->pixels); i++) {
        const double d = (double)y[i] - x[i] / 255.0;
        mse[0] += d * d / (double)ag_numel(f.r->pixels);
    }
    assert_true(fabs(mse[0] - mse[1]) < 1e-6 * mse[0]);
    assert_true(fabs(mse[0] - mse[2]) > 1e-5 * mse[0]);
    for (int i = 0; i < 3; i++) end(all[i]);
}

static void the_labels_of_a_data_set_arrive(void **state)
{
    (void)state;
    char line[4096] = "";
    FILE *f = fopen(in_folder("learned/metrics.jsonl"), "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && !strstr(line, "\"labels\":")) continue;
    fclose(f);
    assert_non_null(strstr(line, "\"labels\":"));
}

/* ---- in use ------------------------------------------------------------------------------------------------------------------- */

static fixture user(const char *name, const char *base, const char *weights, const char *more)
{
    char settings[768];
    snprintf(settings, sizeof settings, "%s perceptual_weights=%s %s", base, in_folder(weights), more);
    return make(name, settings, RUN_TRAIN, 0);
}

/* The distance of reconstructions from images by a graph of its own with the weights of the checkpoint. */
static double distance_of(const run *r)
{
    nn_params *params = nn_params_new(0);
    ag_graph *g = ag_graph_new(0);
    const int64_t shape[4] = {BATCH, SIDE, SIDE, 3};
    ag_tensor *y = ag_input(g, "y", AG_REAL, 4, shape), *x = ag_input(g, "x", AG_REAL, 4, shape);
    const nn_scope s = nn_in(nn_root(params, g, false), "features");
    ag_tensor *d = ag_keep(ag_mean(nn_features_distance(s, y, x, &(nn_features_opt){.width = 4, .levels = 3})));
    int averages;
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    assert_int_equal(ckpt_load_averages(in_folder("learned/checkpoint.h5"), params, &averages), AG_OK);
    memcpy(ag_data(y), ag_data(r->reconstruction), ag_bytes(y));
    memcpy(ag_data(x), ag_data(r->images), ag_bytes(x));
    assert_int_equal(ag_graph_run(g, 0), AG_OK);
    const double value = ag_value(d);
    ag_graph_free(g);
    nn_params_free(params);
    return value;
}

static void the_distance_falls_and_the_features_stay(void **state)
{
    (void)state;
    fixture f = user("vqgan", SMALL, "learned", "");
    double first = 0, last = 0;
    ag_keep(f.r->reconstruction), ag_keep(f.r->images);
    if (run_plan(f.r, 0)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < nn_params_count(f.params); i++)
        assert_null(strstr(nn_params_at(f.params, i)->name, "features"));
    assert_int_equal(nn_params_count(f.r->borrowed), 12); /* neither decoder nor classes */
    real *before[12];
    for (int i = 0; i < 12; i++) {
        const nn_param *p = nn_params_at(f.r->borrowed, i);
        before[i] = test_malloc((size_t)p->numel * sizeof(real));
        memcpy(before[i], p->data, (size_t)p->numel * sizeof(real));
    }
    for (int i = 0; i < 40; i++) {
        fill(f.r);
        assert_int_equal(run_step(f.r, i, 0), AG_OK);
        last = value_of(f.r, "perceptual");
        if (!i) first = last;
        if (!i && !(fabs(distance_of(f.r) - last) < 1e-5 * last)) fail_msg("%.9g, not %.9g", last, distance_of(f.r));
    }
    if (!(last < 0.8 * first)) fail_msg("perceptual %g -> %g", first, last);
    for (int i = 0; i < 12; i++) {
        const nn_param *p = nn_params_at(f.r->borrowed, i);
        assert_memory_equal(before[i], p->data, (size_t)p->numel * sizeof(real));
        test_free(before[i]);
    }
    end(&f);
}

static void every_recipe_of_pictures_takes_them(void **state)
{
    (void)state;
    static const char *const names[] = {"vae", "rqvae", "hqvae", "var-tokenizer"};
    for (int i = 0; i < 4; i++) {
        fixture f = user(names[i], SMALL, "learned", i == 3 ? "scales=1,2,8" : "");
        if (run_plan(f.r, 0)) fail_msg("%s: %s", names[i], ag_error_message());
        fill(f.r);
        assert_int_equal(run_step(f.r, 0, 0), AG_OK);
        assert_true(value_of(f.r, "perceptual") > 0);
        end(&f);
    }
    fixture f =
        user("vitvqgan",
             "patch=4 width=16 blocks=1 attention_heads=2 hidden=16 codes=16 dim=4 batch=4 start=normal steps=10 "
             "discriminator=none perceptual=features",
             "learned", "");
    if (run_plan(f.r, 0)) fail_msg("vitvqgan: %s", ag_error_message());
    fill(f.r);
    assert_int_equal(run_step(f.r, 0, 0), AG_OK);
    assert_true(value_of(f.r, "perceptual") > 0); /* its images are in 0 .. 1 */
    end(&f);
}

static void wrong_weights_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *weights, *more, *says;
    } cases[] = {
        {"vqvae", "", "of recipe 'vqvae'; give a run of recipe 'features'"},
        {"grey", "", "has seen images of 1 channels, these have 3"},
        {"nowhere", "", "no such run or checkpoint"},
        {"colour.h5", "", "colour.h5"},
        {"learned", "perceptual_sha256=0123", "this run asks for perceptual_sha256=0123"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = user("vqgan", SMALL, cases[i].weights, cases[i].more);
        assert_int_equal(run_plan(f.r, 0), AG_ERR_CHECKPOINT);
        if (!strstr(ag_error_message(), cases[i].says) || !strstr(ag_error_message(), "perceptual=features"))
            fail_msg("%s: %s", cases[i].weights, ag_error_message());
        end(&f);
    }
    const recipe *card = recipe_find("vqgan");
    void *o = recipe_options_new(card);
    assert_int_equal(option_assign_all(card->options, o, SMALL, "test"), AG_OK);
    assert_int_equal(card->check(o, &(image_shape){SIDE, SIDE, 3, false}), AG_ERR_USAGE);
    assert_non_null(strstr(ag_error_message(), "tessera train features"));
    free(o);
}

/* Options that say another width than the tensors have. */
static void a_checkpoint_of_other_shapes_is_refused(void **state)
{
    (void)state;
    const char *from = in_folder("learned/checkpoint.h5");
    char *text, *at;
    int64_t n;
    ckpt_listing l;
    assert_int_equal(ckpt_read_state(from, &text), AG_OK);
    assert_non_null(at = strstr(text, "\"width\":\t4,\n\t\t\"levels\""));
    at[9] = '5';
    assert_int_equal(ckpt_list(from, &l), AG_OK);
    for (int i = 0; i < l.n; i++) {
        n = 1;
        for (int d = 0; d < l.items[i].rank; d++) n *= l.items[i].shape[d];
        l.items[i].data = test_malloc((size_t)n * sizeof(real));
    }
    assert_int_equal(ckpt_load_part(from, l.n, l.items), AG_OK);
    assert_int_equal(ckpt_save(in_folder("other.h5"), l.n, l.items, text), AG_OK);
    fixture f = user("vqgan", SMALL, "other.h5", "");
    assert_int_equal(run_plan(f.r, 0), AG_ERR_CHECKPOINT);
    assert_non_null(strstr(ag_error_message(), "features.0.0.weight"));
    end(&f);
    for (int i = 0; i < l.n; i++) test_free(l.items[i].data);
    ckpt_listing_free(&l);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_learned_with_its_labels_if_there_are_any),
        cmocka_unit_test(evaluation_sees_clean_pictures),
        cmocka_unit_test(the_labels_of_a_data_set_arrive),
        cmocka_unit_test(the_distance_falls_and_the_features_stay),
        cmocka_unit_test(every_recipe_of_pictures_takes_them),
        cmocka_unit_test(wrong_weights_are_refused),
        cmocka_unit_test(a_checkpoint_of_other_shapes_is_refused),
    };
    return cmocka_run_group_tests_name("features", tests, setup, remove_folder);
}
