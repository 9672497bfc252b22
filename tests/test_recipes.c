/* The graphs that recipes build: parameter counts, modes that agree bit for bit, nothing that changes when it should not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "autograd/random.h"
#include "chart.h"
#include "recipe.h"

enum { BATCH = 4, SIDE = 16 };

typedef struct fixture {
    const recipe *recipe;
    void *options;
    nn_params *params;
} fixture;

static fixture fixture_new(const char *settings)
{
    fixture f = {.recipe = recipe_find("vqvae"), .params = nn_params_new(1)};
    f.options = recipe_options_new(f.recipe);
    assert_int_equal(option_assign_all(f.recipe->options, f.options, settings, "test"), AG_OK);
    return f;
}

static void fixture_free(fixture *f)
{
    nn_params_free(f->params);
    free(f->options);
}

static run *build(fixture *f, run_mode mode, int64_t side)
{
    run *r;
    const run_options build = {
        .mode = mode, .batch = BATCH, .image = {side, side, 3, false}, .variance = 0.08, .seed = 1};
    assert_int_equal(run_new(&r, f->recipe, f->options, f->params, &build), AG_OK);
    assert_int_equal(run_plan(r, 0), AG_OK);
    return r;
}

static void fill(run *r)
{
    uint8_t *pixels = ag_data(r->pixels);
    for (int64_t i = 0; i < ag_numel(r->pixels); i++) pixels[i] = (uint8_t)ag_random_below(7, 0, (uint64_t)i, 256);
}

static const char tiny[] = "hidden=8 residual=4 blocks=1 dim=4 codes=16 batch=4 start=normal";

static void assert_count(const char *preset, int64_t parameters)
{
    fixture f = {.recipe = recipe_find("vqvae"), .params = nn_params_new(0)};
    f.options = recipe_options_new(f.recipe);
    assert_int_equal(recipe_preset_apply(f.recipe, f.options, preset), AG_OK);
    run_free(build(&f, RUN_TRAIN, 32));
    assert_int_equal(nn_params_numel(f.params, NN_PARAMETER), parameters);
    fixture_free(&f);
}

static void presets_have_the_published_parameter_counts(void **state)
{
    (void)state;
    assert_count("cifar10", 662083);
    assert_count("sonnet", 662723);
    assert_count("tiny", 53075);
    assert_count("reference", 54099);
}

/* A quantizer of each kind with the options that it needs. */
static const char *const quantizers[] = {
    "quantizer=vq",
    "quantizer=vq codebook=gradient cosine=true code_dim=2 rotation=true",
    "quantizer=vq heads=2 shared=false codebook=gradient entropy=0.1 orthogonal=0.1",
    "quantizer=vq codebook=gradient simvq=true assignment=balanced",
    "quantizer=finite_scalar codes=0 levels=8,5",
    "quantizer=lookup_free entropy=0.1",
    "quantizer=residual depth=3 restart=0.5 quantizer_dropout=0.2 depth_scale=true",
    "quantizer=residual depth=2 shared=false codebook=gradient",
    "quantizer=gumbel tau_steps=40 kl_steps=10",
    "quantizer=multiscale scales=1,2,4 codebook=gradient phi=2",
};
enum { QUANTIZERS = sizeof quantizers / sizeof *quantizers };

static void decoding_gives_the_bits(const char *quantizer)
{
    char settings[256];
    snprintf(settings, sizeof settings, "%s %s", tiny, quantizer);
    fixture f = fixture_new(settings);
    assert_int_equal(f.recipe->check(f.options, &(image_shape){SIDE, SIDE, 3, false}), AG_OK);
    run *whole = build(&f, RUN_RECONSTRUCT, SIDE), *encoder = build(&f, RUN_ENCODE, SIDE),
        *decoder = build(&f, RUN_DECODE, SIDE);
    fill(whole);
    fill(encoder);
    assert_int_equal(ag_graph_run_pure(whole->graph, 0), AG_OK);
    assert_int_equal(ag_graph_run_pure(encoder->graph, 0), AG_OK);
    const ag_tensor *codes = encoder->quantizers[0].codes;
    assert_memory_equal(ag_data(codes), ag_data(whole->quantizers[0].codes), ag_bytes(codes));
    assert_int_equal(ag_numel(codes), ag_numel(decoder->codes_in[0]));
    memcpy(ag_data(decoder->codes_in[0]), ag_data(codes), ag_bytes(codes));
    assert_int_equal(ag_graph_run_pure(decoder->graph, 0), AG_OK);
    assert_memory_equal(ag_data(decoder->reconstruction_pixels), ag_data(whole->reconstruction_pixels),
                        ag_bytes(decoder->reconstruction_pixels));
    assert_memory_equal(ag_data(decoder->reconstruction), ag_data(whole->reconstruction),
                        ag_bytes(decoder->reconstruction));
    run_free(whole);
    run_free(encoder);
    run_free(decoder);
    fixture_free(&f);
}

static void decoding_the_codes_gives_the_bits_of_the_reconstruction(void **state)
{
    (void)state;
    for (int i = 0; i < QUANTIZERS; i++) decoding_gives_the_bits(quantizers[i]);
}

static void pixels_are_the_rounded_reconstruction(void **state)
{
    (void)state;
    fixture f = fixture_new(tiny);
    run *r = build(&f, RUN_RECONSTRUCT, SIDE);
    fill(r);
    assert_int_equal(ag_graph_run_pure(r->graph, 0), AG_OK);
    const real *y = ag_data(r->reconstruction);
    const uint8_t *pixels = ag_data(r->reconstruction_pixels);
    for (int64_t i = 0; i < ag_numel(r->reconstruction); i++) {
        const double v = fmin(fmax((double)y[i] * 255, 0), 255);
        assert_true(fabs(v - pixels[i]) < 0.501);
    }
    run_free(r);
    fixture_free(&f);
}

/* All tensors of the parameters, one after another. */
static uint8_t *snapshot(nn_params *p, size_t *size)
{
    uint8_t *all = NULL;
    *size = 0;
    for (int i = 0; i < nn_params_count(p); i++) {
        const nn_param *t = nn_params_at(p, i);
        const size_t bytes = (size_t)t->numel * ag_dtype_size(t->dtype);
        all = realloc(all, *size + bytes);
        assert_non_null(all);
        memcpy(all + *size, t->data, bytes);
        *size += bytes;
    }
    return all;
}

static void looking_changes_no_state(void **state)
{
    (void)state;
    fixture f = fixture_new(tiny);
    run *train = build(&f, RUN_TRAIN, SIDE), *eval = build(&f, RUN_RECONSTRUCT, SIDE);
    size_t size, again;
    uint8_t *before = snapshot(f.params, &size);
    fill(eval);
    assert_int_equal(ag_graph_run(eval->graph, 0), AG_OK);
    uint8_t *after = snapshot(f.params, &again);
    assert_int_equal(size, again);
    assert_memory_equal(before, after, size);
    free(after);
    fill(train);
    assert_int_equal(run_step(train, 0, 0), AG_OK);
    after = snapshot(f.params, &again);
    assert_int_equal(size, again);
    assert_true(memcmp(before, after, size) != 0);
    free(after);
    free(before);
    run_free(train);
    run_free(eval);
    fixture_free(&f);
}

static double train_on_one_batch(const char *settings, int steps, double *first)
{
    fixture f = fixture_new(settings);
    run *r = build(&f, RUN_TRAIN, SIDE);
    double last = 0;
    for (int i = 0; i < steps; i++) {
        fill(r);
        assert_int_equal(run_step(r, i, 0), AG_OK);
        last = ag_value(r->total);
        if (i == 0) *first = last;
        assert_true(isfinite(last));
    }
    run_free(r);
    fixture_free(&f);
    return last;
}

static void every_variant_learns_one_batch(void **state)
{
    (void)state;
    static const char *const variants[] = {"codebook=ema",
                                           "codebook=gradient start=uniform",
                                           "debias=true start=uniform",
                                           "restart=0.5 initial_count=0",
                                           "quantizer=none",
                                           "codebook=gradient restart=0.5",
                                           "residual_bias=false skip_relu=true relu_before_stack=true downsampling=1"};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char settings[256];
        double first, last;
        snprintf(settings, sizeof settings, "%s lr=0.003 %s", tiny, variants[i]);
        last = train_on_one_batch(settings, 60, &first);
        assert_true(last < 0.97 * first);
    }
}

static void every_quantizer_learns_one_batch(void **state)
{
    (void)state;
    for (int i = 0; i <= QUANTIZERS; i++) {
        char settings[256];
        double first, last;
        snprintf(settings, sizeof settings, "%s lr=0.003 %s", tiny,
                 i < QUANTIZERS ? quantizers[i] : "quantizer=gaussian");
        last = train_on_one_batch(settings, 80, &first);
        if (!(last < 0.97 * first)) fail_msg("%s: %g -> %g", settings, first, last);
    }
}

static void the_losses_add_up_to_the_total(void **state)
{
    (void)state;
    static const char *const variants[] = {"codebook=ema", "codebook=gradient", "quantizer=none"};
    for (int v = 0; v < 3; v++) {
        char settings[256];
        snprintf(settings, sizeof settings, "%s beta=0.3 %s", tiny, variants[v]);
        fixture f = fixture_new(settings);
        run *r = build(&f, RUN_TRAIN, SIDE);
        fill(r);
        assert_int_equal(run_step(r, 0, 0), AG_OK);
        double sum = 0;
        for (int i = 0; i < r->n_losses; i++) {
            const char *name = r->losses[i].name;
            const double weight = !strcmp(name, "reconstruction") ? 1 / 0.08 : !strcmp(name, "commitment") ? 0.3 : 1;
            sum += weight * ag_value(r->losses[i].tensor);
        }
        assert_int_equal(r->n_losses, v == 0 ? 2 : v == 1 ? 3 : 1);
        assert_true(fabs(sum - ag_value(r->total)) < 1e-5 * sum);
        run_free(r);
        fixture_free(&f);
    }
}

static void html_is_escaped(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    chart_text(f, "<a href=\"x\">&");
    fclose(f);
    assert_string_equal(text, "&lt;a href=&quot;x&quot;&gt;&amp;");
    free(text);
}

static void charts_of_strange_values_are_whole(void **state)
{
    (void)state;
    const int64_t x[4] = {1, 2, 3, 4};
    const double none[4] = {NAN, INFINITY, NAN, -INFINITY}, one[4] = {NAN, 5, NAN, NAN}, flat[4] = {3, 3, 3, 3},
                 mixed[4] = {-1, 0, 1, 1e30};
    const double *const series[] = {none, one, flat, mixed};
    for (int i = 0; i < 4; i++)
        for (int logarithmic = 0; logarithmic < 2; logarithmic++) {
            char *text = NULL;
            size_t size;
            FILE *f = open_memstream(&text, &size);
            chart_lines(f, "t", 1, &(chart_line){"a", 4, x, series[i]}, logarithmic);
            fclose(f);
            assert_null(strstr(text, "nan"));
            assert_null(strstr(text, "inf"));
            assert_true(i == 0 ? size == 0 : strstr(text, "</svg>") != NULL);
            free(text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_parameter_counts),
        cmocka_unit_test(decoding_the_codes_gives_the_bits_of_the_reconstruction),
        cmocka_unit_test(pixels_are_the_rounded_reconstruction),
        cmocka_unit_test(looking_changes_no_state),
        cmocka_unit_test(every_variant_learns_one_batch),
        cmocka_unit_test(every_quantizer_learns_one_batch),
        cmocka_unit_test(the_losses_add_up_to_the_total),
        cmocka_unit_test(html_is_escaped),
        cmocka_unit_test(charts_of_strange_values_are_whole),
    };
    return cmocka_run_group_tests_name("recipes", tests, NULL, NULL);
}
