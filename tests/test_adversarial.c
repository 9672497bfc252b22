/* Recipes with discriminators and perceptual losses: what the onset and the back-off do, presets, contradictions, codes that give the
 * bits of the reconstruction. Their losses and gradients: test_recipe_steps.c. */
#include "recipe_graph.h"

#include <unistd.h>

#include "adversarial_options.h"
#include "data/sha256.h"
#include "trainer.h"

/* ---- structure -------------------------------------------------------------------------------------------------------------------------- */

static void structure_is_the_mean_over_sizes_and_zero_for_equals(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    const ag_pool2d_options half = {.kernel = 2};
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 64, 40, 3}), *y = ag_shift(ag_scale(x, 0.7), 0.1);
    ag_tensor *both = ag_keep(nn_structure(y, x, -1, 1, 0)), *same = ag_keep(nn_structure(x, x, -1, 1, 0));
    ag_tensor *one = nn_structure(y, x, -1, 1, 1),
              *small = nn_structure(ag_avg_pool2d(y, &half), ag_avg_pool2d(x, &half), -1, 1, 1);
    ag_tensor *mean = ag_keep(ag_scale(ag_add(one, small), 0.5)); /* a quarter of 40 has no place for a window */
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    network_fill(x, 0);
    assert_int_equal(ag_graph_run(g, 0), AG_OK);
    assert_true(ag_value(both) > 0.05 && fabs(ag_value(both) - ag_value(mean)) < 1e-6);
    assert_true(fabs(ag_value(same)) < 1e-6);
    ag_graph_free(g);
}

/* The same pictures in [0,1], in [-1,1] and as dVAE's logits want them. */
static void structure_is_the_same_in_every_range(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *u = ag_input(g, "u", AG_REAL, 4, (int64_t[]){1, 40, 40, 3});
    ag_tensor *x = ag_shift(ag_scale(u, 0.5), 0.5), *y = ag_shift(ag_scale(ag_square(u), 0.8), 0.2); /* 0..1 */
    ag_tensor *unit = ag_keep(nn_structure(y, x, 0, 1, 0));
    ag_tensor *both = ag_keep(nn_structure(ag_shift(ag_scale(y, 2), -1), ag_shift(ag_scale(x, 2), -1), -1, 1, 0));
    ag_tensor *inner =
        ag_keep(nn_structure(ag_shift(ag_scale(y, 0.8), 0.1), ag_shift(ag_scale(x, 0.8), 0.1), 0.1, 0.9, 0));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    network_fill(u, 0);
    assert_int_equal(ag_graph_run(g, 0), AG_OK);
    assert_true(ag_value(unit) > 0.05);
    assert_float_equal(ag_value(both), ag_value(unit), 1e-5);
    assert_float_equal(ag_value(inner), ag_value(unit), 1e-5);
    ag_graph_free(g);
}

/* ---- onset ---------------------------------------------------------------------------------------------------------------------------- */

#define SMALL                                                                                                          \
    "ch=8 groups=4 blocks=1 z_channels=8 dim=4 codes=16 batch=2 disc_width=4 disc_layers=1 disc_norm=batch "           \
    "start=normal restart=0 "
#define SMALL_VQGAN SMALL "ch_mult=1,2 encoder_attention=1 decoder_attention=1 perceptual=ssim "

/* How differently one step moves a weight under two settings. */
static double moved_of(const char *name, const char *base, const char *weight, const char *settings, const char *other)
{
    double most = 0, difference = 0;
    real *weights[2] = {0};
    for (int i = 0; i < 2; i++) {
        char all[512];
        snprintf(all, sizeof all, "%s optimizer=sgd beta1=0 lr=0.1 %s", base, i ? other : settings);
        fixture f = fixture_new(name, NULL, all);
        build(&f, RUN_TRAIN, BATCH, SIDE, 3);
        plan(&f);
        nn_param *p = nn_params_find(f.params, weight);
        weights[i] = test_malloc((size_t)p->numel * sizeof(real));
        memcpy(weights[i], p->data, (size_t)p->numel * sizeof(real));
        fill(f.r);
        assert_int_equal(run_step(f.r, 0, 0), AG_OK);
        for (int64_t j = 0; j < p->numel; j++) {
            weights[i][j] -= ((real *)p->data)[j];
            most = fmax(most, fabs((double)weights[i][j]));
            if (i) difference = fmax(difference, fabs((double)(weights[0][j] - weights[1][j])));
        }
        fixture_free(&f);
    }
    test_free(weights[0]);
    test_free(weights[1]);
    return difference / most;
}

static double moved(const char *settings, const char *other)
{
    return moved_of("vqgan", SMALL_VQGAN, "encoder.conv_in.weight", settings, other);
}

static void before_its_onset_the_discriminator_moves_nothing_of_the_generator(void **state)
{
    (void)state;
    assert_true(moved("discriminator=none", "disc_start=0 gan_start=5 steps=10") < 1e-4);
    assert_true(moved("discriminator=none", "disc_start=0 gan_start=5 steps=10 adaptive=false") < 1e-4);
    assert_true(moved("discriminator=none", "disc_start=0 gan_start=0 steps=10") > 1e-2);
    assert_true(moved("discriminator=none", "disc_start=0 gan_start=0 steps=10 adaptive=false") > 1e-4);
}

/* The last layer gives the picture, which the discriminator sees, and its scales, which only the likelihood sees. */
static void scales_of_a_likelihood_learn_beside_a_discriminator(void **state)
{
    static const char base[] =
        "patch=4 width=16 blocks=1 attention_heads=2 hidden=16 codes=16 dim=4 batch=2 steps=10 warmup=0 "
        "schedule=constant disc_layers=1 disc_width=4 disc_norm=batch r1=0 logit_laplace=1",
                      weight[] = "decoder.to_pixel.1.weight";
    (void)state;
    for (int adaptive = 0; adaptive < 2; adaptive++) {
        const char *other = adaptive ? "discriminator=patchgan disc_start=0 gan_start=5 adaptive=true"
                                     : "discriminator=patchgan disc_start=0 gan_start=5 adaptive=false";
        assert_true(moved_of("vitvqgan", base, weight, "discriminator=none", other) < 1e-4);
    }
}

/* With the adaptive weight, a discriminator whose logits are larger pulls no harder; what is cut, does. */
static void the_adaptive_weight_makes_both_losses_pull_alike(void **state)
{
    (void)state;
    const char *const alike = "disc_start=0 gan_start=0 steps=10 gan=hinge", *const cut =
                                                                                 "disc_start=0 gan_start=0 steps=10 "
                                                                                 "adaptive_limit=0.0001";
    assert_true(moved(alike, cut) > 1e-2);
    assert_true(moved("discriminator=none", cut) < 1e-3);
}

static void the_discriminator_starts_to_learn_when_told(void **state)
{
    (void)state;
    fixture f = fixture_new("vqgan", NULL, SMALL_VQGAN "disc_start=2 gan_start=3 steps=10");
    build(&f, RUN_TRAIN, BATCH, SIDE, 3);
    plan(&f);
    nn_param *p = nn_params_find(f.params, "discriminator.main.0.weight");
    real first[4 * 4 * 3 * 4];
    assert_int_equal(p->numel * (int64_t)sizeof(real), sizeof first);
    memcpy(first, p->data, sizeof first);
    for (int step = 0; step < 4; step++) {
        fill(f.r);
        assert_int_equal(run_step(f.r, step, 0), AG_OK);
        assert_int_equal(memcmp(first, p->data, sizeof first) != 0, step >= 2);
        assert_true(value_of(f.r, "adversarial_onset") == (step >= 3));
        assert_true(isfinite(value_of(f.r, "adaptive_weight")));
    }
    fixture_free(&f);
}

/* ---- back-off ------------------------------------------------------------------------------------------------------------------------ */

static void the_weight_is_halved_when_evaluations_get_worse(void **state)
{
    (void)state;
    fixture f = fixture_new("vqgan", NULL, SMALL_VQGAN "disc_start=0 gan_start=3 steps=10 backoff=0.5");
    build(&f, RUN_TRAIN, BATCH, SIDE, 3);
    plan(&f);
    const nn_param *scale = nn_params_find(f.params, "optimizer.adversarial.scale");
    assert_non_null(scale);
    assert_int_equal(scale->kind, NN_OPTIMIZER); /* saved with the run, not needed to encode */
    const real *best = nn_params_find(f.params, "optimizer.adversarial.best")->data;
    const struct train_options o = {.eval_every = 2};
    trainer t = {.train = f.r, .o = &o, .step = 2};
    train_back_off(&t, 0.1);
    assert_true(*best == (real)0.1 && *(real *)scale->data == 1);
    t.step = 3;
    train_back_off(&t, 0.01); /* of the last step of a run that goes on later: one in a single go has none there */
    assert_true(*best == (real)0.1);
    t.step = 4;
    train_back_off(&t, 0.149);
    assert_true(*(real *)scale->data == 1);
    train_back_off(&t, 0.151);
    assert_true(*(real *)scale->data == (real)0.5);
    train_back_off(&t, 0.2);
    assert_true(*(real *)scale->data == (real)0.25 && *best == (real)0.1);
    fill(f.r);
    assert_int_equal(run_step(f.r, 4, 0), AG_OK);
    assert_true(value_of(f.r, "adversarial_onset") == 0.25);
    train_back_off(&t, 0.05);
    assert_true(*best == (real)0.05 && *(real *)scale->data == (real)0.25);
    fixture_free(&f);
}

static void before_its_onset_nothing_is_halved(void **state)
{
    (void)state;
    fixture f = fixture_new("vqgan", NULL, SMALL_VQGAN "disc_start=0 gan_start=4 steps=10 backoff=0.5");
    build(&f, RUN_TRAIN, BATCH, SIDE, 3);
    plan(&f);
    const struct train_options o = {.eval_every = 2};
    trainer t = {.train = f.r, .o = &o, .step = 2};
    train_back_off(&t, 0.1);
    t.step = 4;
    train_back_off(&t, 5);
    assert_true(ag_value(f.r->backoff.scale) == 1);
    t.step = 6;
    train_back_off(&t, 5);
    assert_true(ag_value(f.r->backoff.scale) == 0.5);
    fixture_free(&f);
}

/* ---- recipes ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct variant {
    const char *recipe, *settings;
} variant;

static const variant variants[] = {
    {"vqgan", SMALL_VQGAN "codebook=gradient"},
    {"vqgan", SMALL_VQGAN "quantizer=finite_scalar levels=5,3,3 codes=0 legacy_beta=false pixel_loss=huber"},
    {"vqgan", SMALL_VQGAN "quantizer=lookup_free entropy=0.1 legacy_beta=false lecam=0.01"},
    {"vqgan", SMALL_VQGAN "discriminator=stylegan disc_width=1 r1=1 gan=least_squares"},
    {"vqgan", SMALL_VQGAN "disc_norm=spectral gan=vanilla disc_rate=2"},
    {"vqgan", SMALL_VQGAN "discriminator=none"},
    {"rqvae", SMALL "ch_mult=1,2 encoder_attention=none decoder_attention=1"},
    {"hqvae", SMALL "ch_mult=1,2 decoder_attention=none"},
    {"var-tokenizer", SMALL "ch_mult=1,2 encoder_attention=1 decoder_attention=none scales=1,2,8"},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static void every_recipe_learns_one_batch(void **state)
{
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        char settings[512];
        snprintf(settings, sizeof settings, "%s lr=0.002 warmup=0 steps=100 disc_start=10 gan_start=90",
                 variants[v].settings);
        fixture f = fixture_new(variants[v].recipe, NULL, settings);
        if (f.recipe->check(f.options, &(image_shape){SIDE, SIDE, 3, false})) fail_msg("%s", ag_error_message());
        build(&f, RUN_TRAIN, BATCH, SIDE, 3);
        plan(&f);
        double first = 0, last = 0, judged = 0;
        for (int i = 0; i < 60; i++) {
            fill(f.r);
            assert_int_equal(run_step(f.r, i, 0), AG_OK);
            last = value_of(f.r, "reconstruction");
            if (!i) first = last;
            if (i == 10 && f.r->n_phases > 1) judged = value_of(f.r, "discriminator");
        }
        if (!(last < 0.95 * first)) fail_msg("%s: reconstruction %g -> %g", settings, first, last);
        if (f.r->n_phases > 1 && !(value_of(f.r, "discriminator") < judged))
            fail_msg("%s: discriminator %g -> %g", settings, judged, value_of(f.r, "discriminator"));
        fixture_free(&f);
    }
}

static void decoding_gives_the_bits(const variant *v)
{
    fixture whole = fixture_new(v->recipe, NULL, v->settings), decoder = whole;
    build(&whole, RUN_RECONSTRUCT, BATCH, SIDE, 3);
    build(&decoder, RUN_DECODE, BATCH, SIDE, 3);
    plan(&whole);
    plan(&decoder);
    for (int i = 0; i < nn_params_count(whole.params); i++)
        assert_null(strstr(nn_params_at(whole.params, i)->name, "discriminator")); /* only training needs one */
    fill(whole.r);
    assert_int_equal(ag_graph_run_pure(whole.r->graph, 0), AG_OK);
    for (int i = 0; i < decoder.r->n_codes_in; i++) {
        const ag_tensor *codes = whole.r->quantizers[i].codes;
        assert_int_equal(ag_numel(codes), ag_numel(decoder.r->codes_in[i]));
        memcpy(ag_data(decoder.r->codes_in[i]), ag_data(codes), ag_bytes(codes));
    }
    assert_int_equal(ag_graph_run_pure(decoder.r->graph, 0), AG_OK);
    assert_memory_equal(ag_data(decoder.r->reconstruction), ag_data(whole.r->reconstruction),
                        ag_bytes(whole.r->reconstruction));
    run_free(decoder.r);
    fixture_free(&whole);
}

static void decoding_the_codes_gives_the_bits_of_the_reconstruction(void **state)
{
    (void)state;
    for (int v = 0; v < VARIANTS; v++) decoding_gives_the_bits(&variants[v]);
}

/* Of the generator without codebooks that learn by averages, and the discriminator: model cards of the public code. */
static void assert_counts(const char *name, int64_t generator, int64_t discriminator)
{
    fixture f = fixture_new(name, "paper", "");
    int64_t g = 0, d = 0;
    ag_plan_report report;
    nn_params_free(f.params);
    f.params = nn_params_outline();
    if (f.recipe->check(f.options, &(image_shape){256, 256, 3, false})) fail_msg("%s", ag_error_message());
    build(&f, RUN_TRAIN, ((struct train_options *)f.options)->batch, 256, 3);
    if (run_plan_report(f.r, 0, &report)) fail_msg("%s: %s", name, ag_error_message());
    for (int i = 0; i < nn_params_count(f.params); i++) {
        const nn_param *p = nn_params_at(f.params, i);
        if (p->kind == NN_PARAMETER) *(strncmp(p->name, "discriminator.", 14) ? &g : &d) += p->numel;
    }
    assert_int_equal(g, generator);
    assert_int_equal(d, discriminator);
    fixture_free(&f);
}

static void paper_presets_have_the_published_parameter_counts(void **state)
{
    (void)state;
    assert_counts("vqgan", 71879555 + 1024 * 256, 2765633);
    assert_counts("rqvae", 100207491, 663361);
    assert_counts("hqvae", 89460355, 663361);
    assert_counts("var-tokenizer", 108817283 + 4096 * 32, 2765633);
}

/* As far as a graph without memory: codebooks that would be restarted for ever are found there. */
static void every_preset_fits_its_images(void **state)
{
    (void)state;
    const recipe *r;
    for (int i = 0; (r = recipe_at(i)); i++)
        for (const recipe_preset *p = r->presets; p->name; p++) {
            fixture f = fixture_new(r->name, p->name, "");
            ag_plan_report report;
            nn_params_free(f.params);
            f.params = nn_params_outline();
            if (r->check(f.options, &(image_shape){p->image, p->image, 3, false}))
                fail_msg("%s --preset %s: %s", r->name, p->name, ag_error_message());
            build(&f, RUN_TRAIN, ((struct train_options *)f.options)->batch, p->image, 3);
            if (run_plan_report(f.r, 0, &report)) fail_msg("%s --preset %s: %s", r->name, p->name, ag_error_message());
            fixture_free(&f);
        }
}

/* ---- perceptual weights ------------------------------------------------------------------------------------------------------------ */

/* A safetensors file, F16, of every parameter of LPIPS: all `bits`. */
static void write_lpips(const char *path, uint16_t bits, char hash[65])
{
    enum { PIECE = 4096 };
    char header[16384], piece[2 * PIECE];
    size_t at = 0;
    int64_t offset = 0;
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 16, 16, 3});
    data_sha256 sum;
    assert_non_null(nn_lpips(nn_root(p, g, false), x, x, NULL, NULL));
    for (int i = 0; i < nn_params_count(p); i++) {
        const nn_param *q = nn_params_at(p, i);
        at += (size_t)snprintf(header + at, sizeof header - at, "%c\"%s\":{\"dtype\":\"F16\",\"shape\":[",
                               i ? ',' : '{', q->name);
        for (int a = 0; a < q->rank; a++) {
            const int mine = q->layout == NN_PLAIN ? a : a == 0 ? q->rank - 1 : a == 1 ? q->rank - 2 : a - 2;
            at += (size_t)snprintf(header + at, sizeof header - at, "%s%lld", a ? "," : "", (long long)q->shape[mine]);
        }
        at += (size_t)snprintf(header + at, sizeof header - at, "],\"data_offsets\":[%lld,%lld]}", (long long)offset,
                               (long long)(offset + 2 * q->numel));
        offset += 2 * q->numel;
    }
    at += (size_t)snprintf(header + at, sizeof header - at, "}");
    assert_true(at < sizeof header);
    for (int i = 0; i < PIECE; i++) memcpy(piece + 2 * i, &bits, 2);
    FILE *f = fopen(path, "wb");
    const uint64_t n = at;
    fwrite(&n, 8, 1, f);
    fwrite(header, 1, at, f);
    data_sha256_start(&sum);
    data_sha256_add(&sum, &n, 8);
    data_sha256_add(&sum, header, at);
    for (int64_t left = offset; left > 0; left -= 2 * PIECE) {
        const size_t size = left < 2 * PIECE ? (size_t)left : 2 * PIECE;
        fwrite(piece, 1, size, f);
        data_sha256_add(&sum, piece, size);
    }
    assert_int_equal(fclose(f), 0);
    data_sha256_end(&sum, hash);
    ag_graph_free(g);
    nn_params_free(p);
}

static void lpips_weights_are_read_and_belong_to_no_checkpoint(void **state)
{
    (void)state;
    char folder[] = "/tmp/tessera-lpips.XXXXXX", path[64], settings[512], hash[65];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    write_lpips(path, 0x1c00, hash); /* 2^-8 */
    snprintf(settings, sizeof settings,
             SMALL_VQGAN
             "disc_start=0 gan_start=0 steps=10 perceptual=lpips perceptual_weights=%s perceptual_sha256=%s",
             path, hash);
    fixture f = fixture_new("vqgan", NULL, settings);
    assert_int_equal(f.recipe->check(f.options, &(image_shape){SIDE, SIDE, 3, false}), AG_OK);
    build(&f, RUN_TRAIN, BATCH, SIDE, 3);
    plan(&f);
    for (int i = 0; i < nn_params_count(f.params); i++) assert_null(strstr(nn_params_at(f.params, i)->name, "slice"));
    const nn_param *first = nn_params_find(f.r->borrowed, "net.slice1.0.weight");
    fill(f.r);
    assert_int_equal(run_step(f.r, 0, 0), AG_OK);
    assert_true(value_of(f.r, "perceptual") > 0 && isfinite(value_of(f.r, "total")));
    for (int64_t i = 0; i < first->numel; i++) assert_true(((const real *)first->data)[i] == (real)0.00390625);
    fixture_free(&f);
    memset(strstr(settings, hash), '0', 64); /* another hash */
    f = fixture_new("vqgan", NULL, settings);
    build(&f, RUN_TRAIN, BATCH, SIDE, 3);
    assert_int_equal(run_plan(f.r, 0), AG_ERR_DATA);
    assert_non_null(strstr(ag_error_message(), "perceptual=lpips"));
    assert_non_null(strstr(ag_error_message(), hash));
    fixture_free(&f);
    unlink(path);
    rmdir(folder);
}

/* ---- contradictions ------------------------------------------------------------------------------------------------------------------------ */

static void contradictions_are_refused_with_the_arithmetic(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *settings, *says;
    } cases[] = {
        {"vqgan", "disc_start=20 gan_start=5", "for 15 updates the generator would follow"},
        {"vqgan", "disc_start=0 gan_start=100 steps=100", "ends 1 updates before it"},
        {"vqgan", "ch_mult=1,2,4 encoder_attention=3", "level 3 never occurs; ch_mult has 3 levels, 0 to 2"},
        {"vqgan", "ch=20", "ch=20 times 1 of ch_mult are 20 channels, which groups=32 do not divide"},
        {"vqgan", "ch_mult=1,1,1,1,1,1 encoder_attention=none decoder_attention=none", "multiples of 2^5 = 32"},
        {"vqgan", "disc_layers=5", "images of 48 are halved 5 times, to 1"},
        {"vqgan", "discriminator=stylegan", "squares of 8, 16, ... 512 pixels, not 48x48"},
        {"vqgan", "disc_norm=group disc_width=20", "= 40 channels"},
        {"vqgan", "perceptual=lpips", "set perceptual_weights and perceptual_sha256"},
        {"vqgan", "quant_kernel=2", "quant_kernel=2"},
        {"hqvae", "quantizer=finite_scalar codes=0", "set quantizer=vq"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char settings[512];
        snprintf(settings, sizeof settings,
                 "ch=32 steps=1000 disc_start=0 gan_start=0 ch_mult=1,2 encoder_attention=none "
                 "decoder_attention=none restart=0 %s",
                 cases[i].settings);
        fixture f = fixture_new(cases[i].recipe, NULL, settings);
        const ag_err err = f.recipe->check(f.options, &(image_shape){48, 48, 3, false});
        if (err != AG_ERR_USAGE) fail_msg("%s: accepted", cases[i].settings);
        if (!strstr(ag_error_message(), cases[i].says)) fail_msg("%s: %s", cases[i].settings, ag_error_message());
        fixture_free(&f);
    }
}

int main(void)
{
    ag_cpu_set_threads(1); /* graphs are so small that threads would only wait for each other */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure_is_the_mean_over_sizes_and_zero_for_equals),
        cmocka_unit_test(structure_is_the_same_in_every_range),
        cmocka_unit_test(before_its_onset_the_discriminator_moves_nothing_of_the_generator),
        cmocka_unit_test(scales_of_a_likelihood_learn_beside_a_discriminator),
        cmocka_unit_test(the_adaptive_weight_makes_both_losses_pull_alike),
        cmocka_unit_test(the_discriminator_starts_to_learn_when_told),
        cmocka_unit_test(the_weight_is_halved_when_evaluations_get_worse),
        cmocka_unit_test(before_its_onset_nothing_is_halved),
        cmocka_unit_test(every_recipe_learns_one_batch),
        cmocka_unit_test(decoding_the_codes_gives_the_bits_of_the_reconstruction),
        cmocka_unit_test(paper_presets_have_the_published_parameter_counts),
        cmocka_unit_test(every_preset_fits_its_images),
        cmocka_unit_test(lpips_weights_are_read_and_belong_to_no_checkpoint),
        cmocka_unit_test(contradictions_are_refused_with_the_arithmetic),
    };
    return cmocka_run_group_tests_name("adversarial", tests, NULL, NULL);
}
