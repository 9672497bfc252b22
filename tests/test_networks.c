/* Networks against PyTorch (tests/fixtures/make_networks.py): results, gradients of the input and of every parameter, also when
 * the plan computes the marked blocks a second time. Images are not square. */
#include "networks.h"

/* The fixture is float. */
#ifdef AG_DOUBLE
#define TOLERANCE 3e-7
#else
#define TOLERANCE 5e-5
#endif

static ag_tensor *vqgan_encoder(nn_scope root, ag_tensor *x)
{
    const nn_vqgan_opt o = {.ch = 6,
                            .levels = 3,
                            .ch_mult = {1, 2, 2},
                            .blocks = 1,
                            .encoder_attention = {[1] = true},
                            .z_channels = 3,
                            .double_z = true,
                            .channels = 2,
                            .groups = 3};
    return nn_vqgan_encoder(nn_in(root, "encoder"), x, &o);
}

static ag_tensor *vqgan_decoder(nn_scope root, ag_tensor *x)
{
    const nn_vqgan_opt o = {.ch = 6,
                            .levels = 2,
                            .ch_mult = {1, 2},
                            .blocks = 1,
                            .decoder_attention = {[0] = true},
                            .z_channels = 5,
                            .channels = 2,
                            .groups = 3};
    return nn_vqgan_decoder(nn_in(root, "decoder"), x, &o);
}

static ag_tensor *gpt(nn_scope root, ag_tensor *codes)
{
    const nn_gpt_opt o = {.codes = 11, .out = 7, .slots = 9, .width = 12, .stack = {.blocks = 2, .heads = 3}};
    return nn_gpt(nn_in(root, "transformer"), codes, &o);
}

static ag_tensor *transformer_vit(nn_scope root, ag_tensor *x)
{
    return nn_transformer(root, x,
                          &(nn_transformer_opt){.blocks = 2,
                                                .heads = 2,
                                                .hidden = 20,
                                                .activation = NN_MLP_GELU_TANH,
                                                .epsilon = 1e-6,
                                                .no_key_bias = false});
}

static const network_case cases[] = {
    {"vqgan_encoder", vqgan_encoder, 4, {2, 12, 8, 2}, 0, false},
    {"vqgan_decoder", vqgan_decoder, 4, {2, 4, 6, 5}, 0, false},
    {"gpt", gpt, 2, {3, 8}, 11, false},
    {"vit", transformer_vit, 3, {2, 7, 10}, 0, false},
};

static void networks_equal_pytorch(void **state)
{
    (void)state;
    network_check_all(TEST_FILES "/fixtures/networks.h5", sizeof cases / sizeof *cases, cases, TOLERANCE);
}

/* In evaluation nothing is dropped. In training with almost nothing dropped the sums are made apart, but are the same. */
static void dropout_only_in_training(void **state)
{
    (void)state;
    const double dropped[3] = {0, 0.5, 1e-7};
    double first[60];
    for (int i = 0; i < 3; i++) {
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        ag_tensor *x = ag_input(g, "x", AG_REAL, 3, (int64_t[]){2, 3, 10});
        const nn_transformer_opt o = {.blocks = 3, .heads = 2, .dropout = dropped[i], .drop_path = dropped[i]};
        ag_tensor *y = ag_keep(nn_transformer(nn_root(p, g, i == 2), x, &o));
        if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
        network_fill(x, 0);
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
        for (int j = 0; j < 60; j++) {
            const double v = (double)((real *)ag_data(y))[j];
            if (i)
                assert_true(fabs(v - first[j]) < 1e-5);
            else
                first[j] = v;
        }
        ag_graph_free(g);
        nn_params_free(p);
    }
}

static void moments(nn_params *p, const char *name, double *largest, double *deviation)
{
    const nn_param *w = nn_params_find(p, name);
    double squares = 0;
    assert_non_null(w);
    *largest = 0;
    for (int64_t i = 0; i < w->numel; i++) {
        const double v = (double)((real *)w->data)[i];
        *largest = fmax(*largest, fabs(v));
        squares += v * v;
    }
    *deviation = sqrt(squares / (double)w->numel);
}

/* 36 inputs of a result, 40 results, 1440 weights. */
static void weights_start_as_said(void **state)
{
    (void)state;
    const double deviation[4] = {1 / (6 * sqrt(3)), 1.0 / 6, 1.0 / 6, sqrt(6.0 / 76) / sqrt(3)};
    const double most[4] = {1.0 / 6, 1, 2 / (6 * 0.87962566), sqrt(6.0 / 76)};
    for (int i = 0; i < 4; i++) {
        double largest, found;
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 3, 3, 4});
        const nn_conv2d_opt o = {.out = 40, .kernel = 3, .weights = (nn_weights)i};
        nn_conv2d(nn_in(nn_root(p, g, true), "c"), x, &o);
        moments(p, "c.weight", &largest, &found);
        assert_true(largest <= most[i] && largest > (i == 1 ? 0.4 : 0.95 * most[i]));
        assert_true(fabs(found / deviation[i] - 1) < 0.05);
        moments(p, "c.bias", &largest, &found);
        assert_true(i ? largest == 0 : largest > 0.1 && largest <= most[0]);
        ag_graph_free(g);
        nn_params_free(p);
    }
}

/* Names, shapes and counts as with values, but no memory. */
static void outlines_have_no_values(void **state)
{
    (void)state;
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    ag_plan_report report;
    ag_tensor *x = ag_input(g, "x", AG_REAL, 2, (int64_t[]){2, 1000});
    ag_keep(nn_linear(nn_in(nn_root(p, g, true), "l"), x, &(nn_linear_opt){.out = 500}));
    assert_int_equal(nn_params_numel(p, NN_PARAMETER), 500500);
    assert_null(nn_params_find(p, "l.weight")->data);
    assert_int_equal(ag_graph_plan_report(g, NULL, &report), AG_OK);
    assert_true(report.state_bytes >= 500500 * (int64_t)sizeof(real));
    ag_graph_free(g);
    nn_params_free(p);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    network_check_bits(sizeof cases / sizeof *cases, cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_equal_pytorch), cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(dropout_only_in_training), cmocka_unit_test(weights_start_as_said),
        cmocka_unit_test(outlines_have_no_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
