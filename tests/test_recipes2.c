/* The recipes vae, vqvae2, vitvqgan and dvae: whole losses and gradients against PyTorch (tests/fixtures/make_recipes2.py), published
 * parameter counts, every preset, codes and back, one level alone, contradictions. */
#include "networks.h"

#include "nn/losses.h"
#include "recipe.h"
#include "trainer.h"

static const char *const names[] = {"vae", "vqvae2", "vitvqgan", "dvae"};
enum { RECIPES = sizeof names / sizeof *names, SOME = 128 };

/* Of each recipe, small: 16 x 16 images. */
static const char *const small[RECIPES] = {
    "ch=32 ch_mult=1,2 blocks=1 encoder_attention=1 z_channels=4 dim=4 kl=1e-3 kl_sum=false sums=false pixel_loss=l2 "
    "discriminator=none lr=1e-3 batch=2",
    "grids=2 hidden=8 residual=4 blocks=1 dim=4 codes=16 start=normal lr=3e-3 batch=2",
    "patch=4 width=16 blocks=1 attention_heads=2 hidden=16 codes=16 dim=4 lr=3e-3 warmup=0 batch=2 discriminator=none",
    "width=8 blocks=1 initial=8 dim=0 codes=16 lr=3e-3 lr_steps=0 kl=1e-4 average=0 batch=2",
};

typedef struct model_of {
    const recipe *recipe;
    void *options;
    nn_params *params;
} model_of;

static model_of model_new(const char *name, const char *settings)
{
    model_of m = {.recipe = recipe_find(name), .params = nn_params_new(1)};
    m.options = recipe_options_new(m.recipe);
    if (option_assign_all(m.recipe->options, m.options, settings, "test")) fail_msg("%s", ag_error_message());
    return m;
}

static void model_free(model_of *m)
{
    nn_params_free(m->params);
    free(m->options);
}

static run *build(model_of *m, run_mode mode, int64_t batch, int64_t height, int64_t width, bool real_pixels, int only)
{
    run *r;
    const run_options o = {.mode = mode,
                           .batch = batch,
                           .image = {height, width, 3, real_pixels},
                           .variance = 0.08,
                           .seed = 1,
                           .only = only};
    if (m->recipe->check(m->options, &o.image)) fail_msg("%s: %s", m->recipe->name, ag_error_message());
    assert_int_equal(run_new(&r, m->recipe, m->options, m->params, &o), AG_OK);
    return r;
}

static run *ready(model_of *m, run_mode mode, int64_t height, int64_t width, int only)
{
    run *r = build(m, mode, 2, height, width, false, only);
    if (run_plan(r, 0)) fail_msg("%s: %s", m->recipe->name, ag_error_message());
    if (!r->pixels) return r;
    uint8_t *pixels = ag_data(r->pixels); /* smooth, and different */
    for (int64_t i = 0; i < ag_numel(r->pixels); i++)
        pixels[i] = (uint8_t)(128 + 100 * sin(0.02 * (double)i) + 20 * sin(0.9 * (double)(i % 48)));
    return r;
}

/* ---- parity ------------------------------------------------------------------------------------------------------------ */

/* The norm and every few values of each gradient. */
static void compare_gradients(hid_t file, const char *name, nn_params *params, int n, ag_tensor **wrt, ag_tensor **d)
{
    const hid_t group = H5Gopen2(file, name, H5P_DEFAULT), attribute = H5Aopen(group, "names", H5P_DEFAULT);
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    char *text[NETWORK_PARAMETERS];
    int64_t total = 0, at = 0;
    assert_int_equal(H5Sget_simple_extent_npoints(space), n);
    assert_true(H5Aread(attribute, type, text) >= 0);
    for (int i = 0; i < n; i++) {
        const int64_t numel = ag_numel(wrt[i]), stride = numel / SOME + 1;
        total += 1 + (numel + stride - 1) / stride;
    }
    double *want = network_load(file, name, "gradient", total), all = 0;
    for (int64_t i = 0; i < total; i++) all = fmax(all, fabs(want[i]));
    for (int i = 0; i < n; i++) {
        nn_param *p = nn_params_find(params, text[i]);
        int j = 0;
        while (j < n && nn_param_of(params, wrt[j]) != p) j++;
        if (!p || j == n) fail_msg("%s: no parameter %s", name, text[i]);
        double *got = test_malloc((size_t)(p->numel + 1) * sizeof *got), square = 0;
        network_reorder(p, ag_data(d[j]), got + 1);
        for (int64_t k = 1; k <= p->numel; k++) square += got[k] * got[k];
        got[0] = sqrt(square);
        const int64_t stride = p->numel / SOME + 1, some = 1 + (p->numel + stride - 1) / stride;
        for (int64_t k = 1; k < some; k++) got[k] = got[1 + (k - 1) * stride];
        network_same(name, text[i], some, got, want + at, 1e-3 * all, 1e-4);
        at += some;
        test_free(got);
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, text);
    H5Sclose(space), H5Tclose(type), H5Aclose(attribute), H5Gclose(group);
    test_free(want);
}

static void equals_pytorch(hid_t file, const char *name, const char *settings, int losses)
{
    static ag_tensor *wrt[NETWORK_PARAMETERS], *d[NETWORK_PARAMETERS];
    model_of m = model_new(name, settings);
    run *r = build(&m, RUN_RECONSTRUCT, 2, 16, 16, true, 0);
    const double scale = m.recipe->scale, shift = m.recipe->shift;
    const int n = nn_trainable(m.params, r->graph, NULL, wrt, NETWORK_PARAMETERS);
    ag_tensor *total = r->total;
    if (!total) /* vae: makes losses of pixels in training alone, where there is noise */
        total = ag_add(r->pending, ag_scale(nn_l1(r->reconstruction, r->pixels), scale * 16 * 16 * 3));
    ag_gradient(ag_keep(total), n, wrt, d);
    for (int i = 0; i < n; i++) ag_keep(d[i]);
    for (int i = 0; i < r->n_losses; i++) ag_keep(r->losses[i].tensor);
    if (run_plan(r, 0)) fail_msg("%s: %s", name, ag_error_message());
    for (int i = 0; i < nn_params_count(m.params); i++) network_start(nn_params_at(m.params, i));
    real *x = ag_data(r->pixels);
    for (int64_t i = 0; i < ag_numel(r->pixels); i++)
        x[i] = (real)(golden_u((uint32_t)network_place(r->pixels, i)) + 0.5);
    assert_int_equal(ag_graph_run_pure(r->graph, 0), AG_OK);
    real *y = ag_data(r->reconstruction); /* in 0..1 by now: back to the range of the networks */
    for (int64_t i = 0; i < ag_numel(r->reconstruction); i++) y[i] = (real)((double)y[i] * scale + shift);
    network_compare(file, &(network_case){.name = name}, "y", r->reconstruction, 1e-4);
    const int count = !strcmp(name, "vqvae2") ? 4 : 3; /* of vqvae2 only the sum */
    double *want = network_load(file, name, "losses", count), got[8];
    for (int i = 0; i < losses; i++) got[i] = ag_value(r->losses[i].tensor);
    got[losses] = ag_value(total);
    for (int i = 0; i < losses; i++) network_same(name, r->losses[i].name, 1, got + i, want + i, 0, 1e-4);
    network_same(name, "total", 1, got + losses, want + count - 1, 0, 1e-4);
    test_free(want);
    compare_gradients(file, name, m.params, n, wrt, d);
    run_free(r);
    model_free(&m);
}

static void whole_losses_and_gradients_equal_pytorch(void **state)
{
    (void)state;
    const hid_t file = H5Fopen(TEST_FILES "/fixtures/recipes2.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    equals_pytorch(file, "vae",
                   "ch=32 ch_mult=1,2 blocks=1 encoder_attention=1 decoder_attention=1 z_channels=2 dim=3 kl=1e-2 "
                   "kl_sum=true sums=true pixel_loss=l1 discriminator=none",
                   1);
    equals_pytorch(file, "vqvae2", "grids=2 hidden=8 residual=4 blocks=1 dim=3 codes=7 codebook=gradient start=normal",
                   0);
    equals_pytorch(file, "dvae", "width=4 blocks=1 initial=6 table=false dim=0 codes=7 kl=0.3 kl_steps=0", 2);
    H5Fclose(file);
    print_message("[          ] %lld numbers, worst relative difference %.1e\n", (long long)network_numbers,
                  network_worst);
}

/* ---- presets -------------------------------------------------------------------------------------------------------------- */

/* Builds and plans a step of its own batch by outline, without memory for weights; returns their number, without the discriminator's. */
static int64_t outline(const char *name, const recipe_preset *p)
{
    model_of m = {.recipe = recipe_find(name), .params = nn_params_outline()};
    ag_plan_report report;
    m.options = recipe_options_new(m.recipe);
    if (recipe_preset_apply(m.recipe, m.options, p->name)) fail_msg("%s", ag_error_message());
    if (train_options_check(m.options)) fail_msg("%s %s: %s", name, p->name, ag_error_message());
    const int64_t batch = ((const struct train_options *)m.options)->batch;
    run *r = build(&m, RUN_TRAIN, batch, p->image, p->image, false, 0);
    if (run_plan_report(r, 0, &report)) fail_msg("%s %s: %s", name, p->name, ag_error_message());
    int64_t n = nn_params_numel(m.params, NN_PARAMETER);
    for (int i = 0; i < nn_params_count(m.params); i++) {
        const nn_param *q = nn_params_at(m.params, i);
        if (q->kind == NN_PARAMETER && !strncmp(q->name, "discriminator.", 14)) n -= q->numel;
    }
    run_free(r);
    model_free(&m);
    return n;
}

static void presets_have_the_published_parameter_counts(void **state)
{
    static const struct {
        const char *name, *preset;
        int64_t parameters;
    } known[] = {{"vae", "paper", 83653863},     {"vae", "tiny", 1004871},    {"vqvae2", "rosinality", 1388867},
                 {"vqvae2", "tiny", 88275},      {"dvae", "paper", 97616006}, {"dvae", "tiny", 171550},
                 {"vitvqgan", "small", 50908195}};
    size_t found = 0;
    (void)state;
    for (int i = 0; i < RECIPES; i++)
        for (const recipe_preset *p = recipe_find(names[i])->presets; p->name; p++) {
            const int64_t n = outline(names[i], p);
            for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
                if (strcmp(known[k].name, names[i]) || strcmp(known[k].preset, p->name)) continue;
                if (n != known[k].parameters) fail_msg("%s %s: %lld parameters", names[i], p->name, (long long)n);
                found++;
            }
        }
    assert_int_equal(found, sizeof known / sizeof *known);
}

/* van den Oord 2017, 4.1: strided layers and residual blocks of 256 channels and no other layer but the 1x1 to and from the codes:
 * 12,544 + 1,048,832 + 2 * 655,872 + 16,448, back 16,640 + 2 * 655,872 + 1,048,832 + 12,291, and 512 codes of 64. */
static void the_paper_preset_of_vqvae_is_its_network(void **state)
{
    (void)state;
    for (const recipe_preset *p = recipe_find("vqvae")->presets; p->name; p++)
        if (!strcmp(p->name, "paper")) assert_int_equal(outline("vqvae", p), 4811843);
}

static void every_recipe_has_the_usual_presets_and_names_an_option_once(void **state)
{
    static const char *const usual[] = {"paper", "cifar10", "photos64", "tiny"};
    (void)state;
    for (int i = 0; i < RECIPES; i++)
        for (int j = 0; j < 4; j++) {
            void *options = recipe_options_new(recipe_find(names[i]));
            assert_int_equal(recipe_preset_apply(recipe_find(names[i]), options, usual[j]), AG_OK);
            free(options);
        }
    const recipe *r;
    for (int i = 0; (r = recipe_at(i)); i++)
        for (int j = 0; option_at(r->options, j); j++)
            for (int k = 0; k < j; k++)
                if (!strcmp(option_at(r->options, j)->name, option_at(r->options, k)->name))
                    fail_msg("%s: two options %s", r->name, option_at(r->options, j)->name);
}

/* ---- codes ------------------------------------------------------------------------------------------------------------------ */

static void decoding_gives_the_bits(const char *name, const char *settings, const char *more)
{
    char all[512];
    snprintf(all, sizeof all, "%s %s", settings, more);
    model_of m = model_new(name, all);
    run *whole = ready(&m, RUN_RECONSTRUCT, 32, 16, 0), *decoder = ready(&m, RUN_DECODE, 32, 16, 0);
    assert_int_equal(ag_graph_run_pure(whole->graph, 0), AG_OK);
    assert_true(decoder->n_codes_in > 0 && decoder->n_codes_in == whole->n_quantizers);
    for (int g = 0; g < decoder->n_codes_in; g++) {
        const ag_tensor *codes = whole->quantizers[g].codes;
        assert_int_equal(ag_bytes(codes), ag_bytes(decoder->codes_in[g]));
        memcpy(ag_data(decoder->codes_in[g]), ag_data(codes), ag_bytes(codes));
    }
    assert_int_equal(ag_graph_run_pure(decoder->graph, 0), AG_OK);
    if (memcmp(ag_data(decoder->reconstruction), ag_data(whole->reconstruction), ag_bytes(whole->reconstruction)))
        fail_msg("%s %s: decoding gives other bits", name, more);
    run_free(whole);
    run_free(decoder);
    model_free(&m);
}

static void decoding_the_codes_gives_the_bits_of_the_reconstruction(void **state)
{
    (void)state;
    for (int i = 1; i < RECIPES; i++) {
        decoding_gives_the_bits(names[i], small[i], "");
        decoding_gives_the_bits(names[i], small[i], "quantizer=vq dim=4 codebook=gradient start=normal cosine=true");
        decoding_gives_the_bits(names[i], small[i], "quantizer=finite_scalar dim=4 codes=40 levels=8,5");
        decoding_gives_the_bits(names[i], small[i], "quantizer=residual dim=4 depth=2 start=normal cosine=false");
        decoding_gives_the_bits(names[i], small[i], "quantizer=gumbel dim=4 table=true");
    }
    decoding_gives_the_bits("vqvae2", small[1], "grids=3");
    decoding_gives_the_bits("vqvae2", small[1], "grids=1");
    decoding_gives_the_bits("vae", small[0], "quantizer=vq codebook=ema start=normal");
}

static void one_level_alone_makes_its_share(void **state)
{
    (void)state;
    model_of m = model_new("vqvae2", small[1]);
    double mse[3];
    run *all = ready(&m, RUN_RECONSTRUCT, 16, 16, 0);
    assert_int_equal(ag_graph_run_pure(all->graph, 0), AG_OK);
    for (int only = 1; only <= 2; only++) {
        run *one = ready(&m, RUN_RECONSTRUCT, 16, 16, only);
        assert_int_equal(ag_graph_run_pure(one->graph, 0), AG_OK);
        for (int g = 0; g < 2; g++) /* the codes are those of the whole model */
            assert_memory_equal(ag_data(one->quantizers[g].codes), ag_data(all->quantizers[g].codes),
                                ag_bytes(all->quantizers[g].codes));
        mse[only] = 0;
        for (int64_t i = 0; i < ag_numel(one->reconstruction); i++)
            mse[only] +=
                pow((double)(((real *)ag_data(one->reconstruction))[i] - ((real *)ag_data(all->reconstruction))[i]), 2);
        assert_true(mse[only] > 0);
        run_free(one);
    }
    assert_true(mse[1] != mse[2]);
    run_free(all);
    model_free(&m);
}

static void continuous_latents_have_no_codes(void **state)
{
    (void)state;
    model_of m = model_new("vae", small[0]);
    const image_shape image = {16, 16, 3, false};
    assert_int_equal(recipe_grids(m.recipe, m.options, &image), 0);
    model_free(&m);
    m = model_new("vqvae2", "grids=3");
    assert_int_equal(recipe_grids(m.recipe, m.options, &image), 3);
    model_free(&m);
}

/* ---- training ----------------------------------------------------------------------------------------------------------------- */

static void every_recipe_learns_one_batch(void **state)
{
    static const char *const more[] = {"", "quantizer=gaussian dim=4 kl=1e-4", "quantizer=lookup_free dim=4 codes=16"};
    (void)state;
    for (int i = 0; i < RECIPES; i++)
        for (int v = 0; v < (i ? 3 : 1); v++) {
            char settings[512];
            snprintf(settings, sizeof settings, "%s %s", small[i], more[v]);
            model_of m = model_new(names[i], settings);
            run *r = ready(&m, RUN_TRAIN, 16, 16, 0);
            double first = 0, last = 0;
            for (int step = 0; step < 60; step++) {
                assert_int_equal(run_step(r, step, 0), AG_OK);
                last = ag_value(r->mse);
                if (!step) first = last;
                assert_true(isfinite(ag_value(r->total)));
            }
            if (!(last < 0.97 * first)) fail_msg("%s %s: mse %g -> %g", names[i], more[v], first, last);
            run_free(r);
            model_free(&m);
        }
}

static void the_published_network_of_two_levels_takes_a_step(void **state)
{
    (void)state;
    model_of m = model_new("vqvae2", "");
    assert_int_equal(recipe_preset_apply(m.recipe, m.options, "paper"), AG_OK);
    run *r = ready(&m, RUN_TRAIN, 32, 32, 0);
    assert_int_equal(run_step(r, 0, 0), AG_OK);
    assert_true(isfinite(ag_value(r->total)) && ag_value(r->total) > 0);
    run_free(r);
    model_free(&m);
}

/* ---- frozen parts --------------------------------------------------------------------------------------------------------------- */

static void *copy_of(const nn_param *p)
{
    const size_t size = (size_t)p->numel * ag_dtype_size(p->dtype);
    return memcpy(test_malloc(size), p->data, size);
}

/* Whatever their scopes are called: all that leads from the image to the codes stands still, all behind it learns. */
static void check_frozen(const recipe *card, const char *more)
{
    static const char *const still[] = {"enc", "quant", "pre_quant"};
    char settings[256];
    void *before[SOME * 4] = {0};
    snprintf(settings, sizeof settings, "freeze=encoder,quantizer batch=2 warmup=0 %s", more);
    model_of m = {.recipe = card, .params = nn_params_new(1), .options = recipe_options_new(card)};
    assert_int_equal(recipe_preset_apply(card, m.options, "tiny"), AG_OK);
    if (option_assign_all(card->options, m.options, settings, "test")) fail_msg("%s", ag_error_message());
    assert_int_equal(train_freeze(m.options, m.params), AG_OK);
    run *r = ready(&m, RUN_TRAIN, 32, 32, 0);
    const trainer t = {.o = m.options, .params = m.params, .train = r};
    if (train_check_frozen(&t)) fail_msg("%s: %s", card->name, ag_error_message());
    const int n = nn_params_count(m.params);
    assert_true(n <= SOME * 4);
    for (int i = 0; i < n; i++) before[i] = copy_of(nn_params_at(m.params, i));
    for (int step = 0; step < 2; step++) assert_int_equal(run_step(r, step, 0), AG_OK);
    for (int i = 0; i < n; i++) {
        const nn_param *p = nn_params_at(m.params, i);
        bool kept = false;
        for (size_t j = 0; j < sizeof still / sizeof *still; j++) kept |= !strncmp(p->name, still[j], strlen(still[j]));
        const bool same = !memcmp(before[i], p->data, (size_t)p->numel * ag_dtype_size(p->dtype));
        const bool moves = p->kind == NN_PARAMETER && !kept && strncmp(p->name, "discriminator.", 14) != 0;
        if (kept && !same) fail_msg("%s: %s has changed", card->name, p->name);
        if (moves && same) fail_msg("%s: %s has not changed", card->name, p->name);
        test_free(before[i]);
    }
    run_free(r);
    model_free(&m);
}

static void the_parts_of_every_recipe_can_be_frozen(void **state)
{
    (void)state;
    const recipe *card;
    for (int i = 0; (card = recipe_at(i)); i++) {
        if (!card->decode) continue; /* no tokenizer */
        check_frozen(card, "");
    }
    check_frozen(recipe_find("vqvae"), "quantizer=finite_scalar codes=0");
    check_frozen(recipe_find("dvae"), "quantizer=residual depth=2 dim=8");
}

/* The closed forms of dVAE's schedules, as they are logged. */
static void the_temperature_and_the_weight_of_kl_follow_their_schedules(void **state)
{
    (void)state;
    char settings[512];
    snprintf(settings, sizeof settings, "%s tau_steps=10 tau_end=0.0625 kl_steps=4", small[3]);
    model_of m = model_new("dvae", settings);
    run *r = ready(&m, RUN_TRAIN, 16, 16, 0);
    const nn_quantized *q = &r->quantizers[0];
    for (int step = 0; step < 12; step++) {
        const double t = step < 10 ? step / 10.0 : 1, k = step < 4 ? step / 4.0 : 1, pi = 3.14159265358979;
        assert_int_equal(run_step(r, step, 0), AG_OK);
        assert_true(fabs(ag_value(nn_quantized_counter_of(q, "temperature")) -
                         (0.0625 + 0.9375 * (1 + cos(pi * t)) / 2)) < 1e-5);
        assert_true(fabs(ag_value(nn_quantized_counter_of(q, "kl_factor")) - (1 - cos(pi * k)) / 2) < 1e-5);
    }
    run_free(r);
    model_free(&m);
}

/* ---- contradictions ------------------------------------------------------------------------------------------------------------ */

static void refused(const char *name, const char *settings, int64_t height, int64_t width, const char *said)
{
    model_of m = model_new(name, settings);
    const image_shape image = {height, width, 3, false};
    if (m.recipe->check(m.options, &image) != AG_ERR_USAGE) fail_msg("%s %s: not refused", name, settings);
    if (!strstr(ag_error_message(), said)) fail_msg("%s %s: %s", name, settings, ag_error_message());
    model_free(&m);
}

static void contradictions_are_refused_with_the_arithmetic(void **state)
{
    (void)state;
    refused("vae", "encoder_attention=4", 64, 64, "level 4 never occurs; ch_mult has 4 levels, 0 to 3");
    refused("vae", "ch=40", 64, 64, "40 channels, which groups=32 do not divide");
    refused("vae", "ch_mult=1,2,2,2", 60, 64, "multiples of 2^3 = 8");
    refused("vae", "sums=true kl_sum=false", 64, 64,
            "sums=true, kl_sum=false: one loss would be a sum over an image (of 12288 values)");
    refused("vqvae2", "grids=3", 32, 24, "multiples of 16 (grids=3); the nearest sizes are 16x32 and 32x32");
    refused("vqvae2", "quantizer=finite_scalar levels=8,5,5", 32, 32, "8 * 5 * 5 = 200 codes, but codes=512");
    refused(
        "vqvae2", "quantizer=multiscale codebook=gradient grids=3", 32, 32,
        "quantizer=multiscale: its last map has the rows of one grid, and grids=3 have different ones; set grids=1");
    refused("hqvae", "quantizer=multiscale", 64, 64, "set quantizer=vq");
    refused("hqvae", "quantizer=residual codes=0", 64, 64, "set quantizer=vq");
    refused("dvae", "codes=1", 32, 32, "give 2 or more");
    refused("dvae", "code_dim=4", 32, 32, "without a table its latents are the 8192 shares of the codes");
    refused("dvae", "", 36, 32, "multiples of 8; the nearest sizes are 32x32 and 32x40: pack again with --size");
    if (strstr(ag_error_message(), "set ")) fail_msg("an option that dvae has not: %s", ag_error_message());
    refused("vitvqgan", "gan_start=600000", 32, 32, "gan_start=600000: a run of steps=500000");
    refused("vitvqgan", "discriminator=none width=50", 32, 32, "50 / 4 for the sines");
    refused("vitvqgan", "discriminator=none attention_heads=7", 32, 32, "768 / 7 channels a head");
    refused("vitvqgan", "discriminator=none decoder_width=64 decoder_attention_heads=3", 32, 32,
            "64 / 3 channels a head");
    refused("vitvqgan", "discriminator=none l2=0 logit_laplace=0", 32, 32, "no loss of the picture");
    refused("vitvqgan", "discriminator=none patch=7", 32, 32, "multiples of 7 (patch=7)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_losses_and_gradients_equal_pytorch),
        cmocka_unit_test(presets_have_the_published_parameter_counts),
        cmocka_unit_test(the_paper_preset_of_vqvae_is_its_network),
        cmocka_unit_test(every_recipe_has_the_usual_presets_and_names_an_option_once),
        cmocka_unit_test(decoding_the_codes_gives_the_bits_of_the_reconstruction),
        cmocka_unit_test(one_level_alone_makes_its_share),
        cmocka_unit_test(continuous_latents_have_no_codes),
        cmocka_unit_test(every_recipe_learns_one_batch),
        cmocka_unit_test(the_published_network_of_two_levels_takes_a_step),
        cmocka_unit_test(the_parts_of_every_recipe_can_be_frozen),
        cmocka_unit_test(the_temperature_and_the_weight_of_kl_follow_their_schedules),
        cmocka_unit_test(contradictions_are_refused_with_the_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
