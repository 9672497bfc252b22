/* Golden numbers: quantizer arithmetic worked by hand, and the tiny VQ-VAE with hash weights, whose values come from an
 * independent implementation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "golden.h"
#include "nn/quantizer.h"

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, not %.9g", got, want);
}

static void all_near(const ag_tensor *t, const double *want, double tolerance)
{
    for (int64_t i = 0; i < ag_numel(t); i++) near((double)((const real *)ag_data(t))[i], want[i], tolerance);
}

static const double codebook[8] = {0, 0, 1, 0, 0, 1, 1, 1};
static const double latents[10] = {.2, .1, .9, .3, .6, .6, .1, .8, .95, .1};

static void set(nn_params *p, const char *name, const double *values)
{
    nn_param *t = nn_params_find(p, name);
    assert_non_null(t);
    for (int64_t i = 0; i < t->numel; i++) ((real *)t->data)[i] = (real)values[i];
}

static void plan(ag_graph *g)
{
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
}

static void gradient_codebook(void **state)
{
    (void)state;
    const double dz[10] = {.01, .005, -.005, .015, -.02, -.02, .005, -.01, -.0025, .005};
    const double de[8] = {-.04, -.02, .03, -.08, -.02, .04, .08, .08};
    const int32_t codes[5] = {0, 1, 3, 2, 1};
    nn_params *p = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    ag_tensor *z = ag_input(g, "z", AG_REAL, 2, (int64_t[]){5, 2});
    nn_quantized q = nn_quantize(nn_in(nn_root(p, g, true), "q"), z,
                                 &(nn_quantizer_opt){.K = 4, .D = 2, .beta = 0.25, .rule = NN_CODEBOOK_GRADIENT}, NULL);
    ag_tensor *codebook_loss = nn_quantized_term_of(&q, "codebook"),
              *commitment = nn_quantized_term_of(&q, "commitment");
    ag_tensor *loss = nn_quantized_loss(&q), *wrt[2] = {z}, *d[2];
    assert_int_equal(nn_trainable(p, g, NULL, &wrt[1], 1), 1);
    ag_gradient(loss, 2, wrt, d);
    ag_keep(d[0]), ag_keep(d[1]), ag_keep(codebook_loss), ag_keep(commitment), ag_keep(q.codes), ag_keep(q.counts);
    plan(g);
    set(p, "q.embedding", codebook);
    memcpy(ag_data(z), latents, sizeof latents);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    assert_memory_equal(ag_data(q.codes), codes, sizeof codes);
    near(ag_value(codebook_loss), .05325, 1e-12);
    near(ag_value(commitment), .05325, 1e-12);
    all_near(d[0], dz, 1e-12);
    all_near(d[1], de, 1e-12);
    double entropy = 0;
    for (int i = 0; i < 4; i++) {
        const double share = ((real *)ag_data(q.counts))[i] / 5;
        entropy -= share * log(share);
    }
    near(exp(entropy), 3.789292, 1e-6);
    ag_graph_free(g);
    nn_params_free(p);
}

static void run_ema(bool debias, const double *n1, const double *e1, const double *e2)
{
    nn_params *p = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    ag_tensor *z = ag_input(g, "z", AG_REAL, 2, (int64_t[]){5, 2});
    const nn_quantizer_opt o = {.K = 4, .D = 2, .decay = 0.9, .debias = debias};
    nn_quantized q = nn_quantize(nn_in(nn_root(p, g, true), "q"), z, &o, NULL);
    assert_null(nn_quantized_term_of(&q, "codebook"));
    plan(g);
    set(p, "q.embedding", codebook);
    if (!debias) set(p, "q.embedding_sum", codebook);
    memcpy(ag_data(z), latents, sizeof latents);
    for (int step = 0; step < 2; step++) {
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
        const real *e = nn_params_find(p, "q.embedding")->data, *n = nn_params_find(p, "q.cluster_size")->data;
        for (int i = 0; i < 4 && n1 && !step; i++) near(n[i], n1[i], 1e-12);
        for (int i = 0; i < 8; i++) near(e[i], (step ? e2 : e1)[i], 1e-6);
        if (!step) set(p, "q.embedding", codebook); /* the golden second step uses the same codes again */
    }
    ag_graph_free(g);
    nn_params_free(p);
}

static void ema_codebook(void **state)
{
    (void)state;
    const double n1[4] = {.1, .2, .1, .1};
    const double e1[8] = {.199996, .099998, 5.425163, .200006, .099998, 9.799804, 9.599808, 9.599808};
    const double e2[8] = {.199998, .099999, 3.056627, .200003, .099999, 5.063105, 4.863107, 4.863107};
    run_ema(false, n1, e1, e2);
}

static void debiased_ema_codebook(void **state)
{
    (void)state;
    const double e[8] = {.2, .1, .925003, .200001, .1, .799998, .599999, .599999};
    run_ema(true, NULL, e, e);
}

/* Dead codes come back as rows of the batch, and provably revive: the next batch uses them. */
static void restart_revives_dead_codes(void **state)
{
    (void)state;
    const double far[8] = {0.5, 0.5, 90, 90, -90, 90, 90, -90};
    for (int rule = 0; rule < 2; rule++) {
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        ag_tensor *z = ag_input(g, "z", AG_REAL, 2, (int64_t[]){5, 2});
        const nn_quantizer_opt o = {
            .K = 4, .D = 2, .rule = (nn_codebook_rule)rule, .initial_count = 0, .restart = 0.01};
        nn_quantized q = nn_quantize(nn_in(nn_root(p, g, true), "q"), z, &o, NULL);
        ag_tensor *restarts = ag_keep(nn_quantized_counter_of(&q, "restarts"));
        ag_keep(q.counts);
        plan(g);
        set(p, "q.embedding", far);
        if (!rule) set(p, "q.embedding_sum", far);
        memcpy(ag_data(z), latents, sizeof latents);
        ag_graph_run(g, 1);
        near(ag_value(restarts), 3, 0);
        near(((real *)ag_data(q.counts))[0], 5, 0);
        ag_graph_run(g, 2);
        near(ag_value(restarts), 0, 0);
        for (int i = 1; i < 4; i++) assert_true(((real *)ag_data(q.counts))[i] >= 1);
        ag_graph_free(g);
        nn_params_free(p);
    }
}

static void kmeans_start(void **state)
{
    (void)state;
    const real points[12] = {0, 0, 0, 1, 5, 5, 6, 5, 10, 0, 10, 1};
    bool exact = false;
    for (uint64_t seed = 0; seed < 20; seed++) { /* the start is random rows; some start reaches the optimum */
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        ag_tensor *z = ag_input(g, "z", AG_REAL, 2, (int64_t[]){6, 2});
        const nn_quantizer_opt o = {.K = 3, .D = 2, .start = NN_START_KMEANS};
        nn_quantize(nn_in(nn_root(p, g, true), "q"), z, &o, NULL);
        assert_int_equal(nn_quantizer_start(p, "q", &o, 6, points, seed), AG_OK);
        const real *e = nn_params_find(p, "q.embedding")->data, *n = nn_params_find(p, "q.cluster_size")->data,
                   *m = nn_params_find(p, "q.embedding_sum")->data;
        double total = 0, found = 0;
        for (int j = 0; j < 3; j++) {
            total += n[j];
            near(m[2 * j], e[2 * j] * n[j], 1e-12);
            near(m[2 * j + 1], e[2 * j + 1] * n[j], 1e-12);
            found += (e[2 * j] == 0 && e[2 * j + 1] == 0.5) || (e[2 * j] == 5.5 && e[2 * j + 1] == 5) ||
                     (e[2 * j] == 10 && e[2 * j + 1] == 0.5);
        }
        near(total, 6, 0);
        exact = exact || found == 3;
        ag_graph_free(g);
        nn_params_free(p);
    }
    assert_true(exact);
}

/* What all other tests of golden numbers are made from. */
static void hash_numbers(void **state)
{
    (void)state;
    const double u[4] = {-.13641977, .33194042, -.44155899, -.31292170};
    const double table[16] = {-.272840, .663881,  -.883118, -.625843, .679377, -.883525, -.252191, .794468,
                              .152126,  -.595122, -.932489, -.884278, .946192, -.457902, .698366,  .798915};
    for (uint32_t i = 0; i < 4; i++) near(golden_u(i), u[i], 1e-8);
    for (uint32_t i = 0; i < 16; i++) near(2 * golden_u(i), table[i], 1e-6);
}

/* shape, mean, population deviation, first three values in [N,C,H,W] order, last value */
typedef struct row {
    double mean, deviation, first[3], last;
} row;

static void check_row(const ag_tensor *t, const row *want)
{
    const int64_t n = ag_numel(t), hw = ag_dim(t, 1) * ag_dim(t, 2), c = ag_dim(t, 3);
    const real *v = ag_data(t);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)v[i], squares += (double)v[i] * (double)v[i];
    near(sum / (double)n, want->mean, 1e-6);
    near(sqrt(squares / (double)n - sum / (double)n * (sum / (double)n)), want->deviation, 1e-6);
    for (int i = 0; i < 3; i++) near((double)v[i * c], want->first[i], 1e-6);
    near((double)v[n - 1], want->last, 1e-6);
    assert_true(hw > 3);
}

static void tiny_vqvae_with_hash_weights(void **state)
{
    (void)state;
    const row encoder = {.027883, .274993, {.689394, .683597, .637615}, .095543};
    const row decoder = {-.064008, .195658, {-.043461, -.119457, -.051290}, -.081056};
    const nn_vqvae_opt o = {
        .hidden = 32, .residual = 16, .blocks = 2, .downsampling = 2, .D = 16, .channels = 3, .residual_bias = true};
    nn_params *p = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, false);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){2, 32, 32, 3});
    ag_tensor *z = ag_keep(nn_vqvae_encoder(nn_in(root, "encoder"), x, &o));
    ag_tensor *y = ag_keep(nn_vqvae_decoder(nn_in(root, "decoder"), z, &o));
    plan(g);
    assert_int_equal(nn_params_numel(p, NN_PARAMETER), 53075);
    for (int i = 0; i < nn_params_count(p); i++) golden_parameter(nn_params_at(p, i));
    for (int n = 0; n < 2; n++) {
        double *pixels = (double *)ag_data(x) + n * 3072;
        golden_image(n, pixels);
        for (int i = 0; i < 3072; i++) pixels[i] -= 0.5;
    }
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    check_row(z, &encoder);
    check_row(y, &decoder);
    ag_graph_free(g);
    nn_params_free(p);
}

static void published_parameter_counts(void **state)
{
    (void)state;
    const bool sonnet[2] = {true, false};
    const int64_t want[2] = {662723, 662083};
    for (int i = 0; i < 2; i++) {
        const nn_vqvae_opt o = {.hidden = 128,
                                .residual = 32,
                                .blocks = 2,
                                .downsampling = 2,
                                .D = 64,
                                .channels = 3,
                                .residual_bias = sonnet[i]};
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        const nn_scope root = nn_root(p, g, false);
        ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){2, 32, 32, 3});
        nn_vqvae_decoder(nn_in(root, "decoder"), nn_vqvae_encoder(nn_in(root, "encoder"), x, &o), &o);
        assert_int_equal(nn_params_numel(p, NN_PARAMETER), want[i]);
        ag_graph_free(g);
        nn_params_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_codebook),
        cmocka_unit_test(ema_codebook),
        cmocka_unit_test(debiased_ema_codebook),
        cmocka_unit_test(restart_revives_dead_codes),
        cmocka_unit_test(kmeans_start),
        cmocka_unit_test(hash_numbers),
        cmocka_unit_test(tiny_vqvae_with_hash_weights),
        cmocka_unit_test(published_parameter_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
