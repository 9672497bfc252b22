/* Optimizers against PyTorch (tests/fixtures/make_optim.py), published formulas and numbers worked out by hand; averages and schedules
 * against their closed forms. */
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/cpu.h"
#include "golden.h"
#include "optim/optim.h"

#ifdef AG_DOUBLE
#define TOLERANCE 1e-13
#else
#define TOLERANCE 2e-6
#endif

enum { PARAMS = 3, STEPS = 4, NUMBERS = 35 + 7 + 18 };

static double worst;

/* Three parameters whose gradients are inputs. */
typedef struct model {
    nn_params *params;
    ag_graph *g;
    nn_scope s;
    ag_tensor *rate, *step, *norm, *p[PARAMS], *d[PARAMS];
} model;

static const struct {
    const char *name;
    int rank;
    int64_t shape[2];
} parameters[PARAMS] = {{"a.weight", 2, {5, 7}}, {"a.bias", 1, {7}}, {"codes.embedding", 2, {6, 3}}};

static model model_new(void)
{
    model m = {.params = nn_params_new(1), .g = ag_graph_new(1)};
    m.s = nn_root(m.params, m.g, true);
    m.rate = ag_input(m.g, "rate", AG_REAL, 0, NULL);
    m.step = ag_input(m.g, "step", AG_REAL, 0, NULL);
    m.norm = ag_state(m.g, "norm", AG_REAL, 0, NULL);
    for (int k = 0; k < PARAMS; k++) {
        m.p[k] = nn_tensor(m.s, parameters[k].name, NN_PARAMETER, NN_PLAIN, parameters[k].rank, parameters[k].shape,
                           (nn_init){.rule = NN_ZERO});
        m.d[k] = ag_input(m.g, "d", AG_REAL, parameters[k].rank, parameters[k].shape);
        for (int64_t i = 0; i < ag_numel(m.p[k]); i++)
            ((real *)ag_data(m.p[k]))[i] = (real)golden_u((uint32_t)(1000 * k + i));
    }
    return m;
}

static void model_free(model *m)
{
    ag_graph_free(m->g);
    nn_params_free(m->params);
}

static double gradient(int t, int k, int64_t i) { return 3 * golden_u((uint32_t)(10000 * t + 1000 * k + i)); }

static void run(const model *m, int t, double rate)
{
    if (t == 1 && ag_graph_plan(m->g, NULL)) fail_msg("%s", ag_error_message());
    for (int k = 0; k < PARAMS; k++)
        for (int64_t i = 0; i < ag_numel(m->d[k]); i++) ((real *)ag_data(m->d[k]))[i] = (real)gradient(t, k, i);
    *(real *)ag_data(m->rate) = (real)rate;
    *(real *)ag_data(m->step) = (real)t;
    assert_int_equal(ag_graph_run(m->g, (uint64_t)t), AG_OK);
}

static void near(double got, double want)
{
    const double error = fabs(got - want) / fmax(1, fabs(want));
    if (!(error <= TOLERANCE)) fail_msg("%.17g instead of %.17g", got, want);
    worst = fmax(worst, error);
}

static void load(const char *name, int count, double *values)
{
    const hid_t file = H5Fopen(TEST_FILES "/fixtures/optim.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(set);
    assert_int_equal(H5Sget_simple_extent_npoints(space), count);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space), H5Dclose(set), H5Fclose(file);
}

static void check(model *m, const char *name, const char *norms)
{
    double want[NUMBERS], norm[STEPS];
    int at = 0;
    if (norms) load(norms, STEPS, norm);
    for (int t = 1; t <= STEPS; t++) {
        run(m, t, 0.02);
        if (norms) near(ag_value(m->norm) / norm[t - 1], 1);
    }
    load(name, NUMBERS, want);
    for (int k = 0; k < PARAMS; k++)
        for (int64_t i = 0; i < ag_numel(m->p[k]); i++) near((double)((real *)ag_data(m->p[k]))[i], want[at++]);
    model_free(m);
}

static void optimizers_equal_pytorch(void **state)
{
    (void)state;
    model m = model_new();
    opt_sgd(m.s, PARAMS, m.p, m.d, m.rate, NULL);
    check(&m, "sgd", NULL);
    m = model_new();
    opt_sgd(m.s, PARAMS, m.p, m.d, m.rate, &(ag_sgd_options){.momentum = 0.9, .update.weight_decay = 0.3});
    check(&m, "momentum", NULL);
    m = model_new();
    opt_sgd(m.s, PARAMS, m.p, m.d, m.rate, &(ag_sgd_options){.momentum = 0.8, .nesterov = true});
    check(&m, "nesterov", NULL);
    m = model_new();
    opt_adam(m.s, PARAMS, m.p, m.d, m.rate, m.step, &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6});
    check(&m, "adam", NULL);
    m = model_new();
    opt_adam(m.s, PARAMS, m.p, m.d, m.rate, m.step,
             &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .update.weight_decay = 0.3});
    check(&m, "adamw", NULL);
    print_message("[          ] worst difference %.1e\n", worst);
}

static void clipping_equals_pytorch(void **state)
{
    (void)state;
    model m = model_new();
    opt_sgd(m.s, PARAMS, m.p, m.d, m.rate, &(ag_sgd_options){.update = {.clip = 1.5, .norm = m.norm}});
    check(&m, "sgd_clip", "sgd_norms");
    m = model_new();
    const ag_update_options update = {.weight_decay = 0.3, .clip = 1.5, .norm = m.norm};
    opt_adam(m.s, PARAMS, m.p, m.d, m.rate, m.step,
             &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .update = update});
    check(&m, "adamw_clip", "adamw_norms");
}

/* p = 1, g = 1, 2, -1, rate 0.1, decay 0.5, betas 0.5 and 0.75, epsilon 0:
 *   1  m = 1/2    v = 1/4    m^ = 1      v^ = 1        p = 0.95 - 0.1
 *   2  m = 5/4    v = 19/16  m^ = 5/3    v^ = 19/7     p = 0.95 p - 0.1 (5/3) / sqrt(19/7)
 *   3  m = 1/8    v = 73/64  m^ = 1/7    v^ = 73/37    p = 0.95 p - 0.1 (1/7) / sqrt(73/37) */
static void adamw_follows_three_steps_by_hand(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *t[6];
    for (int i = 0; i < 6; i++) t[i] = ag_state(g, "t", AG_REAL, 0, NULL); /* p, g, m, v, rate, step */
    ag_adam(1, &t[0], &t[1], &t[2], &t[3], t[4], t[5],
            &(ag_adam_options){.beta1 = 0.5, .beta2 = 0.75, .update.weight_decay = 0.5});
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    const double gradients[] = {1, 2, -1}, p1 = 0.85, p2 = 0.95 * p1 - 0.1 * (5.0 / 3) / sqrt(19.0 / 7),
                 wants[] = {p1, p2, 0.95 * p2 - 0.1 * (1.0 / 7) / sqrt(73.0 / 37)};
    *(real *)ag_data(t[0]) = 1;
    *(real *)ag_data(t[4]) = (real)0.1;
    for (int i = 0; i < 3; i++) {
        *(real *)ag_data(t[1]) = (real)gradients[i];
        *(real *)ag_data(t[5]) = (real)(i + 1);
        ag_graph_run(g, 0);
        near(ag_value(t[0]), wants[i]);
    }
    ag_graph_free(g);
}

static void lion_follows_its_formula(void **state)
{
    (void)state;
    double p[PARAMS][35], v[PARAMS][35] = {{0}};
    model m = model_new();
    opt_lion(m.s, PARAMS, m.p, m.d, m.rate,
             &(ag_lion_options){.beta1 = 0.9, .beta2 = 0.95, .update.weight_decay = 0.25});
    for (int k = 0; k < PARAMS; k++)
        for (int64_t i = 0; i < ag_numel(m.p[k]); i++) p[k][i] = (double)((real *)ag_data(m.p[k]))[i];
    for (int t = 1; t <= STEPS; t++) {
        run(&m, t, 0.02);
        for (int k = 0; k < PARAMS; k++)
            for (int64_t i = 0; i < ag_numel(m.p[k]); i++) {
                const double d = gradient(t, k, i), c = 0.9 * v[k][i] + 0.1 * d, decay = k ? 0 : 0.25;
                p[k][i] -= 0.02 * ((c > 0 ? 1 : -1) + decay * p[k][i]);
                v[k][i] = 0.95 * v[k][i] + 0.05 * d;
                near((double)((real *)ag_data(m.p[k]))[i], p[k][i]);
            }
    }
    model_free(&m);
}

static void decay_spares_vectors_and_codebooks(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int rank;
        bool decays;
    } cases[] = {
        {"encoder.conv.weight", 4, true},  {"encoder.conv.bias", 1, false},    {"head.weight", 2, true},
        {"quantizer.embedding", 2, false}, {"decoder.norm.weight", 1, false},  {"token_embedding.weight", 2, false},
        {"decoder.position", 2, false},    {"embedding_head.weight", 2, true}, {"codebook.3", 2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        strcpy(name, cases[i].name);
        if (opt_decays(&(nn_param){.name = name, .rank = cases[i].rank}) != cases[i].decays) fail_msg("%s", name);
    }
}

static void clipping_has_the_same_bits_on_any_threads(void **state)
{
    (void)state;
    static real first[40000];
    for (int threads = 1; threads <= 8; threads = threads == 4 ? 8 : threads + 1) {
        ag_graph *g = ag_graph_new(1);
        ag_tensor *p = ag_state(g, "p", AG_REAL, 1, (int64_t[]){40000}),
                  *d = ag_state(g, "d", AG_REAL, 1, (int64_t[]){40000}),
                  *m = ag_state(g, "m", AG_REAL, 1, (int64_t[]){40000}), *rate = ag_constant(g, 0.5, 0, NULL);
        ag_cpu_set_threads(threads);
        ag_sgd(1, &p, &d, &m, rate, &(ag_sgd_options){.momentum = 0.5, .update.clip = 2});
        assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
        for (int i = 0; i < 40000; i++) ((real *)ag_data(d))[i] = (real)golden_u((uint32_t)i);
        ag_graph_run(g, 0);
        if (threads == 1) memcpy(first, ag_data(p), sizeof first);
        assert_memory_equal(first, ag_data(p), sizeof first);
        ag_graph_free(g);
    }
    ag_cpu_set_threads(0);
}

/* With a constant decay d: average = d^T p0 + (1 - d) sum d^(T-t) p_t. */
static void averages_have_the_closed_form(void **state)
{
    (void)state;
    for (int warmup = 0; warmup < 2; warmup++) {
        model m = model_new();
        double p[STEPS + 1], want = 0, rest = 1;
        opt_sgd(m.s, PARAMS, m.p, m.d, m.rate, NULL);
        opt_average(m.s, PARAMS, m.p, 0.3, warmup, m.step);
        p[0] = (double)((real *)ag_data(m.p[1]))[2];
        for (int t = 1; t <= STEPS; t++) {
            run(&m, t, 0.5);
            p[t] = (double)((real *)ag_data(m.p[1]))[2];
        }
        for (int t = STEPS; t >= 1; t--) {
            const double decay = warmup ? fmin(0.3, (1.0 + t) / (10 + t)) : 0.3;
            want += rest * (1 - decay) * p[t];
            rest *= decay;
        }
        const nn_param *average = nn_params_find(m.params, "optimizer.average.a.bias");
        assert_non_null(average);
        near((double)((real *)average->data)[2], want + rest * p[0]);
        model_free(&m);
    }
}

static void evaluation_can_use_the_averages(void **state)
{
    (void)state;
    model m = model_new();
    opt_sgd(m.s, PARAMS, m.p, m.d, m.rate, NULL);
    opt_average(m.s, PARAMS, m.p, 0.9, false, m.step);
    run(&m, 1, 0.5);
    const nn_param *average = nn_params_find(m.params, "optimizer.average.a.weight");
    const real trained = ((real *)ag_data(m.p[0]))[3], mean = ((real *)average->data)[3];
    assert_true(trained != mean);
    assert_int_equal(opt_average_swap(m.params), PARAMS);
    assert_true(((real *)ag_data(m.p[0]))[3] == mean && ((real *)average->data)[3] == trained);
    assert_int_equal(opt_average_swap(m.params), PARAMS);
    assert_true(((real *)ag_data(m.p[0]))[3] == trained);
    opt_average_start(m.params);
    assert_true(((real *)average->data)[3] == trained);
    model_free(&m);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    model m = model_new();
    ag_tensor *wrong = ag_input(m.g, "wrong", AG_REAL, 1, (int64_t[]){2});
    opt_sgd(m.s, 1, m.p, &wrong, m.rate, NULL);
    assert_int_equal(ag_graph_plan(m.g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "a.weight [5,7]: its gradient or a moment is [2]"));
    model_free(&m);
    m = model_new();
    opt_average(m.s, 1, m.p, 1.5, false, m.step);
    assert_int_equal(ag_graph_plan(m.g, NULL), AG_ERR_SHAPE);
    model_free(&m);
    m = model_new();
    ag_tensor *input = ag_input(m.g, "x", AG_REAL, 0, NULL);
    opt_lion(m.s, 1, &input, &input, m.rate, NULL);
    assert_int_equal(ag_graph_plan(m.g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "x is no parameter"));
    model_free(&m);
}

/* ---- schedules -------------------------------------------------------------------------------------------------------- */

static void is(double got, double want)
{
    if (!(fabs(got - want) <= 1e-6)) fail_msg("%.9g instead of %.9g", got, want);
}

static void schedules_meet_their_ends(void **state)
{
    (void)state;
    const opt_shape shapes[] = {OPT_COSINE, OPT_LINEAR, OPT_QUARTER_COSINE, OPT_EXPONENTIAL};
    const double middle[] = {0.5 * (1 + 0.1), 0.5 * (1 + 0.1), 1 - 0.9 * (1 - sqrt(0.5)), sqrt(0.1)};
    for (int i = 0; i < 4; i++) {
        const opt_schedule s = {.rate = 2, .shape = shapes[i], .warmup = 10, .steps = 110, .last = 0.1};
        is(opt_rate(&s, 1), 0.2);
        is(opt_rate(&s, 10), 2);
        is(opt_rate(&s, 60), 2 * middle[i]);
        is(opt_rate(&s, 110), 0.2);
        is(opt_rate(&s, 1000), 0.2);
    }
    const opt_schedule constant = {.rate = 3, .steps = 5},
                       falling = {.rate = 4, .shape = OPT_STEP, .every = 30, .factor = 0.5};
    is(opt_rate(&constant, 0), 3);
    is(opt_rate(&constant, 99), 3);
    is(opt_rate(&falling, 29), 4);
    is(opt_rate(&falling, 30), 2);
    is(opt_rate(&falling, 95), 0.5);
}

/* A temperature from 1 to 1/16 over 150,000 steps, as two implementations of the same paper anneal it. */
static void temperatures_fall_by_half_or_quarter_cosine(void **state)
{
    (void)state;
    const double half[] = {.862706, .53125, .199794}, quarter[] = {.928637, .725413, .421266};
    for (int i = 0; i < 3; i++) {
        is(opt_between(OPT_COSINE, 1, 1.0 / 16, 0.25 * (i + 1)), half[i]);
        is(opt_between(OPT_QUARTER_COSINE, 1, 1.0 / 16, 0.25 * (i + 1)), quarter[i]);
    }
    is(opt_between(OPT_QUARTER_COSINE, 0, 6.6, 2), 6.6);
    is(opt_between(OPT_EXPONENTIAL, 1, 0.01, 0.5), 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_equal_pytorch),
        cmocka_unit_test(clipping_equals_pytorch),
        cmocka_unit_test(adamw_follows_three_steps_by_hand),
        cmocka_unit_test(lion_follows_its_formula),
        cmocka_unit_test(decay_spares_vectors_and_codebooks),
        cmocka_unit_test(clipping_has_the_same_bits_on_any_threads),
        cmocka_unit_test(averages_have_the_closed_form),
        cmocka_unit_test(evaluation_can_use_the_averages),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(schedules_meet_their_ends),
        cmocka_unit_test(temperatures_fall_by_half_or_quarter_cosine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
