/* Building, differentiating, planning and printing a model when memory runs out: an error and no harm, at each allocation. */
#include <math.h>

#include "starve.h"

#include "autograd/random.h"
#include "optim/optim.h"

enum { B = 3, H = 8, PARAMS = 64 };
enum rule { ADAM, SGD, LION };

typedef struct model {
    nn_params *params;
    ag_graph *g;
    ag_tensor *pixels, *rate, *step, *loss;
} model;

static ag_tensor *block(nn_scope s, ag_tensor *x)
{
    ag_block_begin(s.graph);
    ag_tensor *h = nn_group_norm(nn_in(s, "norm"), x, &(nn_norm_opt){.groups = 2, .activation = AG_SILU});
    h = nn_conv2d(nn_in(s, "conv"), ag_dropout(h, 0.2),
                  &(nn_conv2d_opt){.out = ag_dim(x, -1), .kernel = 3, .pad = 1, .residual = x});
    ag_block_end(s.graph);
    return h;
}

static ag_tensor *network(nn_scope s, ag_tensor *x)
{
    ag_tensor *h = nn_conv2d(nn_in(s, "in"), x, &(nn_conv2d_opt){.out = 8, .kernel = 4, .stride = 2, .pad = 1});
    for (int i = 0; i < 2; i++) h = block(nn_at(s, "block", i), h);
    h = nn_batch_norm(nn_in(s, "norm"), h, NULL);
    const int64_t tokens[] = {ag_dim(h, 0), ag_dim(h, 1) * ag_dim(h, 2), ag_dim(h, 3)};
    h = nn_attention(nn_in(s, "attention"), nn_layer_norm(nn_in(s, "before"), ag_reshape(h, 3, tokens), NULL),
                     &(nn_attention_opt){.heads = 2});
    return nn_linear(nn_in(s, "out"), h, &(nn_linear_opt){.out = 5});
}

static void update(nn_scope s, const model *m, enum rule rule, int n, ag_tensor *const *params, ag_tensor *const *grads)
{
    ag_tensor *sums[PARAMS];
    if (rule == ADAM) opt_adam(s, n, params, grads, m->rate, m->step, NULL);
    if (rule == LION) opt_lion(s, n, params, grads, m->rate, NULL);
    if (rule == SGD) {
        opt_accumulate(s, n, params, grads, 2, sums);
        ag_graph_effect_group(s.graph, 1);
        opt_sgd(s, n, params, sums, m->rate, NULL);
        opt_clear(s, n, sums);
    }
    opt_average(s, n, params, 0.9, true, m->step);
}

/* Model code knows nothing of failures. */
static model build(enum rule rule)
{
    model m = {.params = nn_params_new(5), .g = ag_graph_new(6)};
    if (!m.params || !m.g) return m;
    const nn_scope root = nn_root(m.params, m.g, true);
    ag_tensor *params[PARAMS], *grads[PARAMS];
    m.pixels = ag_input(m.g, "pixels", AG_U8, 4, (int64_t[]){B, H, H, 3});
    m.rate = ag_input(m.g, "rate", AG_REAL, 0, NULL);
    m.step = ag_input(m.g, "step", AG_REAL, 0, NULL);
    ag_tensor *y = network(nn_in(root, "net"), ag_from_u8(m.pixels, 1 / 255.0, -0.5));
    m.loss = ag_keep(ag_mean(ag_square(y)));
    const int n = nn_trainable(m.params, m.g, NULL, params, PARAMS);
    ag_gradient(m.loss, n, params, grads);
    update(root, &m, rule, n, params, grads);
    return m;
}

static void model_free(model *m)
{
    ag_graph_free(m->g);
    nn_params_free(m->params);
}

static ag_err train(const model *m, double *loss)
{
    ag_err err = AG_OK;
    uint8_t *p = ag_data(m->pixels);
    for (int64_t i = 0; i < ag_numel(m->pixels); i++) p[i] = (uint8_t)(ag_random_u64(1, 2, (uint64_t)i) >> 7);
    *(real *)ag_data(m->rate) = (real)1e-2;
    for (int s = 1; s <= 2 && !err; s++) {
        *(real *)ag_data(m->step) = (real)s;
        err = ag_graph_run(m->g, (uint64_t)s);
    }
    *loss = ag_value(m->loss);
    return err;
}

static enum rule rule;
static ag_plan_options options;
static double usual; /* NaN before the first run */

/* A run is part of the last attempt only: what was built is whole, or there is an error. */
static ag_err build_and_plan(void)
{
    model m = build(rule);
    ag_err err = m.params && m.g ? ag_graph_plan(m.g, &options) : AG_ERR_MEMORY;
    double loss = usual;
    if (!err && starve_countdown < 0) err = train(&m, &loss);
    if (isnan(usual)) usual = loss;
    if (!err) assert_true(loss == usual && isfinite(loss));
    model_free(&m);
    return err;
}

static void building_and_planning_survive(void **state)
{
    static const char *const names[] = {"adam", "sgd", "lion"};
    (void)state;
    for (rule = ADAM; rule <= LION; rule++)
        for (int recompute = 0; recompute < 2; recompute++) {
            options = (ag_plan_options){.recompute = recompute};
            usual = NAN;
            const long n = starve(names[rule], build_and_plan);
            print_message("[          ] %s%s: %ld failures\n", names[rule], recompute ? ", recomputed" : "", n);
            assert_true(n > 20);
        }
}

static model planned;
static FILE *sink;

static ag_err plan_again(void)
{
    const ag_err err = ag_graph_plan(planned.g, &options);
    double loss;
    if (err) { /* not the plan of before either: its memory may be gone */
        assert_int_equal(ag_graph_run(planned.g, 1), AG_ERR_FAILED);
        ag_graph_print(planned.g, sink);
        ag_graph_memory_print(planned.g, sink);
        starve_countdown = -1;
        assert_int_equal(ag_graph_plan(planned.g, &options), AG_OK);
        starve_countdown = -2; /* one did fail */
    }
    assert_int_equal(train(&planned, &loss), AG_OK);
    assert_true(isfinite(loss));
    options.recompute = !options.recompute; /* another arena */
    return err;
}

static void a_plan_that_fails_leaves_none(void **state)
{
    (void)state;
    planned = build(ADAM);
    assert_int_equal(ag_graph_plan(planned.g, NULL), AG_OK);
    options = (ag_plan_options){.recompute = true};
    assert_non_null(sink = fopen("/dev/null", "w"));
    assert_true(starve("plan", plan_again) >= 3);
    fclose(sink);
    const ag_plan_options none = {.memory_limit = 1000};
    assert_int_equal(ag_graph_plan(planned.g, &none), AG_ERR_MEMORY);
    assert_int_equal(ag_graph_run(planned.g, 1), AG_ERR_FAILED);
    model_free(&planned);
}

/* A plan that adds nodes to the graph: after a failure it is the graph that was built, and can be planned and run. */
static ag_graph *large;
static ag_tensor *derivative, *input;

static ag_err plan_with_results_made_again(void)
{
    const ag_err err = ag_graph_plan(large, NULL);
    const long countdown = starve_countdown;
    ag_plan_report r;
    starve_countdown = -1;
    if (err) assert_int_equal(ag_graph_run(large, 1), AG_ERR_FAILED);
    assert_int_equal(ag_graph_plan_report(large, NULL, &r), AG_OK);
    assert_true(r.remade > 0);
    assert_int_equal(ag_graph_plan(large, NULL), AG_OK);
    for (int64_t i = 0; i < ag_numel(input); i++) ((real *)ag_data(input))[i] = (real)(i % 7);
    assert_int_equal(ag_graph_run(large, 1), AG_OK);
    assert_true(isfinite(((real *)ag_data(derivative))[5]));
    ag_graph_plan(large, &(ag_plan_options){.keep_cheap = true}); /* another arena */
    starve_countdown = err ? -2 : countdown;
    return err;
}

static void a_plan_that_adds_nodes_takes_them_back(void **state)
{
    (void)state;
    large = ag_graph_new(1);
    ag_tensor *w = ag_state(large, "w", AG_REAL, 2, (int64_t[]){64, 64}), *h;
    h = input = ag_input(large, "x", AG_REAL, 2, (int64_t[]){256, 64});
    for (int i = 0; i < 6; i++)
        h = ag_matmul(ag_reshape(ag_layer_norm(h, NULL, NULL, 1e-5), 2, (int64_t[]){256, 64}), w, false, false);
    ag_gradient(ag_mean(ag_square(h)), 1, &w, &derivative);
    ag_keep(derivative);
    assert_true(starve("plan with results made again", plan_with_results_made_again) >= 8);
    ag_graph_free(large);
}

/* Printing has no error to return: it says less. */
static ag_err print_all(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = __real_open_memstream(&text, &size);
    ag_graph_print(planned.g, f);
    ag_graph_dot(planned.g, f);
    ag_graph_memory_print(planned.g, f);
    ag_graph_memory_svg(planned.g, f);
    fclose(f);
    free(text);
    return AG_OK;
}

static void printing_survives(void **state)
{
    (void)state;
    planned = build(ADAM);
    assert_int_equal(ag_graph_plan(planned.g, NULL), AG_OK);
    starve("print", print_all);
    model_free(&planned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(building_and_planning_survive),
        cmocka_unit_test(a_plan_that_fails_leaves_none),
        cmocka_unit_test(a_plan_that_adds_nodes_takes_them_back),
        cmocka_unit_test(printing_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
