/* A training step of the recipes with perceptual and adversarial losses, as whole models, against PyTorch (tests/fixtures/make_recipes.py,
 * make_recipe_steps.py): all losses, the gradients of all parameters of generator and discriminator, a codebook that follows averages. */
#include "recipe_graph.h"

#include "train.h"

#define TOLERANCE 1e-4

#define NETWORK                                                                                                        \
    "ch=3 ch_mult=1,2 groups=3 blocks=1 decoder_attention=1 z_channels=6 dim=4 codes=8 batch=2 start=normal "          \
    "restart=0 "                                                                                                       \
    "steps=10 optimizer=sgd beta1=0 warmup=0 disc_start=0 gan_start=0 "
#define VQGAN NETWORK "encoder_attention=1 codebook=gradient "
#define PATCH "disc_width=3 disc_layers=1 "

typedef struct parity_case {
    const char *recipe, *file, *name, *settings, *values[12];
} parity_case;

static const parity_case parity_cases[] = {
    {"vqgan",
     "recipes",
     "hinge",
     VQGAN PATCH "legacy_beta=false gan_ramp=4 perceptual=ssim perceptual_factor=0.5 disc_loss_weight=0.75 r1=0.1 "
                 "lecam=0.3",
     {"total", "reconstruction", "perceptual", "adversarial", "codebook", "commitment", "adaptive_weight",
      "discriminator", "r1", "lecam"}},
    {"vqgan",
     "recipes",
     "saturating",
     VQGAN "legacy_beta=true pixel_loss=l2 discriminator=stylegan disc_width=1 gan=non_saturating gan_weight=0.1 "
           "adaptive=false",
     {"total", "reconstruction", "adversarial", "codebook", "commitment", "discriminator"}},
    {"rqvae",
     "recipe_steps",
     "rqvae",
     NETWORK PATCH "encoder_attention=1 codebook=ema decay=0.9 depth=3 perceptual=ssim perceptual_factor=0.5",
     {"total", "reconstruction", "perceptual", "adversarial", "commitment", "adaptive_weight", "discriminator"}},
    {"hqvae",
     "recipe_steps",
     "hqvae",
     NETWORK PATCH "codebook=gradient disc_norm=group disc_width=16",
     {"total", "reconstruction", "adversarial", "quantize_t.commitment", "quantize_b.commitment", "quantize_t.codebook",
      "quantize_b.codebook", "adaptive_weight", "discriminator"}},
    {"var-tokenizer",
     "recipe_steps",
     "var_tokenizer",
     NETWORK PATCH "encoder_attention=1 scales=1,3,8 phi=2",
     {"total", "reconstruction", "adversarial", "commitment", "codebook", "adaptive_weight", "discriminator"}},
    {"vitvqgan",
     "recipe_steps",
     "vitvqgan",
     "patch=4 width=12 blocks=1 attention_heads=2 heads_width=8 hidden=10 codes=8 dim=4 batch=2 steps=10 optimizer=sgd "
     "beta1=0 weight_decay=0 warmup=0 schedule=constant disc_width=1 disc_start=0 gan_start=0 perceptual=ssim",
     {"total", "reconstruction", "perceptual", "adversarial", "codebook", "commitment", "likelihood", "discriminator",
      "r1"}},
};

/* Every parameter as it is. */
static real **parameters_of(nn_params *p)
{
    real **all = test_malloc((size_t)nn_params_count(p) * sizeof *all);
    for (int i = 0; i < nn_params_count(p); i++) {
        const nn_param *q = nn_params_at(p, i);
        all[i] = test_malloc((size_t)q->numel * sizeof **all);
        memcpy(all[i], q->data, (size_t)q->numel * sizeof **all);
    }
    return all;
}

static void parameters_free(nn_params *p, real **all)
{
    for (int i = 0; i < nn_params_count(p); i++) test_free(all[i]);
    test_free(all);
}

static bool follows_averages(nn_params *p)
{
    const nn_param *codebook = nn_params_find(p, "quantize.embedding");
    return codebook && codebook->kind == NN_BUFFER;
}

/* Weights from the hash, those of StyleGAN's discriminator four times as large: its layers divide them once more. A codebook that follows
 * averages is the hash too, with one member for each code. */
static void start(nn_params *params)
{
    for (int i = 0; i < nn_params_count(params); i++) {
        nn_param *p = nn_params_at(params, i);
        real *x = p->data;
        const bool loud = p->rank > 1 && nn_params_find(params, "discriminator.blocks.0.0.weight") &&
                          !strncmp(p->name, "discriminator.", 14);
        if (p->kind == NN_PARAMETER) golden_parameter(p);
        for (int64_t j = 0; loud && j < p->numel; j++) x[j] *= 4;
        if (p->kind != NN_BUFFER || !follows_averages(params)) continue;
        for (int64_t j = 0; j < p->numel; j++) x[j] = p->rank == 1 ? 1 : (real)(2 * golden_u((uint32_t)j));
    }
}

static void check_values(hid_t file, const parity_case *c, const run *r)
{
    int n = 0;
    while (n < 12 && c->values[n]) n++;
    double *want = network_load(file, c->name, "values", n);
    for (int i = 0; i < n; i++) {
        const double got = value_of(r, c->values[i]);
        network_same(c->name, c->values[i], 1, &got, &want[i], 1e-3, TOLERANCE);
    }
    test_free(want);
}

/* By how much each parameter has moved. */
static void check_gradients(hid_t file, const parity_case *c, nn_params *params, real **before, double rate)
{
    ag_tensor *wrt[NETWORK_PARAMETERS], *d[NETWORK_PARAMETERS];
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(params, g, false);
    int n = 0;
    for (int i = 0; i < nn_params_count(params); i++) {
        nn_param *q = nn_params_at(params, i);
        if (q->kind != NN_PARAMETER) continue;
        for (int64_t j = 0; j < q->numel; j++) before[i][j] = (before[i][j] - ((real *)q->data)[j]) / (real)rate;
        wrt[n] = nn_tensor(root, q->name, q->kind, q->layout, q->rank, q->shape, (nn_init){.rule = NN_ZERO});
        d[n] = ag_state(g, "gradient", AG_REAL, q->rank, q->shape);
        ag_bind(d[n++], before[i]);
    }
    network_gradients(file, &(network_case){.name = c->name}, params, n, wrt, d, TOLERANCE);
    ag_graph_free(g);
}

/* The codebook, its counts and its sums after the step. */
static void check_averages(hid_t file, const parity_case *c, nn_params *params)
{
    static const char *const names[] = {"quantize.embedding", "quantize.cluster_size", "quantize.embedding_sum"};
    double *want = network_load(file, c->name, "buffers", 8 * 4 + 8 + 8 * 4), got[8 * 4], *next = want;
    for (int i = 0; i < 3; i++) {
        const nn_param *p = nn_params_find(params, names[i]);
        for (int64_t j = 0; j < p->numel; j++) got[j] = (double)((const real *)p->data)[j];
        network_same(c->name, names[i], p->numel, got, next, 0, TOLERANCE);
        next += p->numel;
    }
    test_free(want);
}

/* A plain step of so large a rate that what a parameter moves by is its gradient without loss of digits. */
static void check_parity(const parity_case *c)
{
    const double rate = 1e6;
    char path[256];
    snprintf(path, sizeof path, "%s/fixtures/%s.h5", TEST_FILES, c->file);
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    fixture f = fixture_new(c->recipe, NULL, c->settings);
    if (f.recipe->check(f.options, &(image_shape){SIDE, SIDE, 3, false})) fail_msg("%s", ag_error_message());
    ((struct train_options *)f.options)->lr = rate;
    build(&f, RUN_TRAIN, BATCH, SIDE, 3);
    plan(&f);
    start(f.params);
    real **before = parameters_of(f.params);
    fill(f.r);
    assert_int_equal(run_step(f.r, 0, 0), AG_OK);
    check_values(file, c, f.r);
    check_gradients(file, c, f.params, before, rate);
    if (follows_averages(f.params)) check_averages(file, c, f.params);
    parameters_free(f.params, before);
    fixture_free(&f);
    H5Fclose(file);
}

static void a_step_equals_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parity_cases / sizeof *parity_cases; i++) check_parity(&parity_cases[i]);
    print_message("[          ] %lld numbers, worst relative difference %.1e (bound %.0e)\n",
                  (long long)network_numbers, network_worst, TOLERANCE);
}

int main(void)
{
    ag_cpu_set_threads(1); /* graphs are so small that threads would only wait for each other */
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_equals_pytorch)};
    return cmocka_run_group_tests_name("recipe steps", tests, NULL, NULL);
}
