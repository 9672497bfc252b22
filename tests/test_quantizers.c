/* Every quantizer of nn/ against plain PyTorch (tests/fixtures/make_quantizers.py): values, terms, gradients, codebooks after updates;
 * and worked numbers. */
#include "quantizer_alone.h"

/* ---- against PyTorch ------------------------------------------------------------------------------------------------- */

static nn_quantized quantized(parity *c, ag_tensor *z, const nn_quantizer_opt *o)
{
    const nn_quantized q = nn_quantize(c->s, z, o, NULL);
    RESULT(q.latents);
    return q;
}

/* Latents, commitment, codebook (where there is one). */
static void with_terms(parity *c, ag_tensor *z, const nn_quantizer_opt *o)
{
    const nn_quantized q = quantized(c, z, o);
    RESULT(nn_quantized_term_of(&q, "commitment"));
    if (nn_quantized_term_of(&q, "codebook")) RESULT(nn_quantized_term_of(&q, "codebook"));
}

static void fsq(parity *c)
{
    quantized(c, IN(2, 3, 4, 3), &(nn_quantizer_opt){NN_QUANTIZER_FINITE_SCALAR, .n_levels = 3, .levels = {8, 5, 5}});
}
static void fsq_odd(parity *c)
{
    quantized(c, IN(7, 2), &(nn_quantizer_opt){NN_QUANTIZER_FINITE_SCALAR, .n_levels = 2, .levels = {5, 5}});
}
static void fsq_projected(parity *c)
{
    const nn_quantizer_opt o = {NN_QUANTIZER_FINITE_SCALAR, .D = 6, .n_levels = 4, .levels = {8, 6, 5, 5}};
    quantized(c, IN(2, 3, 6), &o);
}

static void lookup_free(parity *c, ag_tensor *z, nn_quantizer_opt o)
{
    o.kind = NN_QUANTIZER_LOOKUP_FREE;
    o.beta = 0.25;
    o.entropy = 0.1;
    const nn_quantized q = quantized(c, z, &o);
    RESULT(nn_quantized_term_of(&q, "commitment"));
    RESULT(nn_quantized_term_of(&q, "entropy"));
}
static void lfq(parity *c)
{
    lookup_free(c, IN(3, 4, 5), (nn_quantizer_opt){.K = 32, .entropy_temperature = 1, .entropy_gamma = 0.7});
}
static void lfq_one_bit(parity *c)
{
    lookup_free(c, IN(6, 1), (nn_quantizer_opt){.K = 2, .entropy_temperature = 0.5, .entropy_gamma = 1});
}
static void lfq_groups(parity *c)
{
    const nn_quantizer_opt o = {.D = 5, .entropy_temperature = 1, .entropy_gamma = 1, .entropy_groups = 2};
    lookup_free(c, IN(3, 4, 5), o);
}
static void lfq_spherical(parity *c)
{
    const nn_quantizer_opt o = {
        .K = 16, .entropy_temperature = 0.5, .entropy_gamma = 1, .entropy_groups = 4, .spherical = true};
    lookup_free(c, IN(3, 4, 4), o);
}

static void vq_cosine(parity *c)
{
    with_terms(c, IN(2, 5, 3), &(nn_quantizer_opt){.K = 7, .D = 3, .rule = GRADIENT, .cosine = true});
}
static void vq_cosine_ema(parity *c)
{
    with_terms(c, IN(2, 5, 3), &(nn_quantizer_opt){.K = 6, .D = 3, .decay = 0.9, .initial_count = 1, .cosine = true});
}
static void vq_heads(parity *c)
{
    with_terms(c, IN(2, 5, 6), &(nn_quantizer_opt){.K = 7, .D = 6, .rule = GRADIENT, .heads = 2});
}
static void vq_heads_shared(parity *c)
{
    with_terms(c, IN(2, 5, 6), &(nn_quantizer_opt){.K = 7, .D = 6, .rule = GRADIENT, .heads = 3, .shared = true});
}
static void vq_rotation(parity *c)
{
    with_terms(c, IN(2, 5, 3), &(nn_quantizer_opt){.K = 7, .D = 3, .rule = GRADIENT, .rotation = true});
}
static void vq_simvq(parity *c)
{
    with_terms(c, IN(2, 5, 3), &(nn_quantizer_opt){.K = 7, .D = 3, .rule = GRADIENT, .simvq = true});
}
static void vq_entropy(parity *c)
{
    const nn_quantizer_opt o = {.K = 7,
                                .D = 3,
                                .rule = GRADIENT,
                                .entropy = 1,
                                .entropy_gamma = 0.8,
                                .entropy_temperature = 0.5,
                                .orthogonal = 1};
    const nn_quantized q = nn_quantize(c->s, IN(2, 5, 3), &o, NULL);
    RESULT(nn_quantized_term_of(&q, "entropy"));
    RESULT(nn_quantized_term_of(&q, "orthogonal"));
}
static void vq_legacy(parity *c)
{
    const nn_quantizer_opt o = {.K = 7, .D = 3, .beta = 0.25, .rule = GRADIENT, .legacy_beta = true};
    const nn_quantized q = nn_quantize(c->s, IN(2, 5, 3), &o, NULL);
    RESULT(nn_quantized_loss(&q));
}
static void vq_balanced(parity *c)
{
    quantized(c, IN(12, 3), &(nn_quantizer_opt){.K = 4, .D = 3, .rule = GRADIENT, .assignment = NN_ASSIGN_BALANCED});
}
static void vq_projected(parity *c)
{
    with_terms(c, IN(2, 3, 5), &(nn_quantizer_opt){.K = 7, .D = 5, .code_dim = 2, .rule = GRADIENT});
}

static void rq_gradient(parity *c)
{
    with_terms(c, IN(2, 5, 2),
               &(nn_quantizer_opt){NN_QUANTIZER_RESIDUAL, .K = 6, .D = 2, .rule = GRADIENT, .depth = 3});
}
static void rq_shared_gradient(parity *c)
{
    const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL, .K = 6, .D = 2, .rule = GRADIENT, .depth = 3, .shared = true};
    with_terms(c, IN(2, 5, 2), &o);
}
static const nn_quantizer_opt averaged = {NN_QUANTIZER_RESIDUAL, .K = 6,     .D = 2,        .decay = 0.9,
                                          .initial_count = 1,    .depth = 3, .shared = true};
static void rq_shared_ema(parity *c) { with_terms(c, IN(2, 5, 2), &averaged); }
static void rq_once(parity *c)
{
    nn_quantizer_opt o = averaged;
    o.update_once = true;
    with_terms(c, IN(2, 5, 2), &o);
}
static void rq_scaled_gradient(parity *c)
{
    const nn_quantizer_opt o = {
        NN_QUANTIZER_RESIDUAL, .K = 6, .D = 2, .rule = GRADIENT, .depth = 3, .shared = true, .decay = 0.9,
        .depth_scale = true};
    with_terms(c, IN(2, 5, 2), &o);
}
static void rq_scaled_ema(parity *c)
{
    nn_quantizer_opt o = averaged;
    o.depth_scale = true;
    with_terms(c, IN(2, 5, 2), &o);
}
static void rq_scaled_once(parity *c)
{
    nn_quantizer_opt o = averaged;
    o.depth_scale = o.update_once = true;
    with_terms(c, IN(2, 5, 2), &o);
}

static const nn_quantizer_opt relaxed = {NN_QUANTIZER_GUMBEL, .K = 6, .D = 3, .kl = 1};
static void gumbel_kl(parity *c)
{
    const nn_quantized q = nn_quantize(c->s, IN(2, 5, 6), &relaxed, NULL);
    RESULT(nn_quantized_term_of(&q, "kl"));
}
static void gumbel_evaluated(parity *c) { quantized(c, IN(2, 5, 6), &relaxed); }

static void gaussian(parity *c)
{
    const nn_quantized q = quantized(c, IN(2, 5, 6), &(nn_quantizer_opt){NN_QUANTIZER_GAUSSIAN, .D = 3, .kl = 1});
    RESULT(nn_quantized_term_of(&q, "kl"));
}
static void gaussian_sum(parity *c)
{
    const nn_quantized q =
        quantized(c, IN(2, 5, 6), &(nn_quantizer_opt){NN_QUANTIZER_GAUSSIAN, .D = 3, .kl = 1, .kl_sum = true});
    RESULT(nn_quantized_term_of(&q, "kl"));
}

static void multiscale(parity *c)
{
    const nn_quantizer_opt o = {NN_QUANTIZER_MULTISCALE, .K = 9,   .D = 3,          .rule = GRADIENT, .n_scales = 4,
                                .scales = {1, 2, 3, 4},  .phi = 4, .phi_ratio = 0.5};
    with_terms(c, IN(2, 4, 4, 3), &o);
}
static void multiscale_wide(parity *c)
{
    const nn_quantizer_opt o = {NN_QUANTIZER_MULTISCALE, .K = 9,   .D = 3,          .rule = GRADIENT, .n_scales = 3,
                                .scales = {1, 2, 4},     .phi = 2, .phi_ratio = 0.3};
    with_terms(c, IN(1, 4, 6, 3), &o);
}
static void multiscale_plain(parity *c)
{
    const nn_quantizer_opt o = {NN_QUANTIZER_MULTISCALE, .K = 5,        .D = 2,
                                .rule = GRADIENT,        .n_scales = 2, .scales = {2, 4}};
    with_terms(c, IN(1, 4, 4, 2), &o);
}

/* Buffers as the fixture starts them. */
static void table(parity *c)
{
    nn_param *e = nn_params_find(c->params, "embedding"), *sum = nn_params_find(c->params, "embedding_sum");
    parity_fill(e->data, e->numel, 0, 2);
    if (sum) parity_fill(sum->data, sum->numel, 0, 2);
}
static void lengths(parity *c)
{
    memcpy(nn_params_find(c->params, "depth_square")->data, (const real[]){1, (real)0.25, (real)0.0625},
           3 * sizeof(real));
}
static void table_and_lengths(parity *c)
{
    table(c);
    lengths(c);
}
static void unit_table(parity *c)
{
    nn_param *e = nn_params_find(c->params, "embedding"), *sum = nn_params_find(c->params, "embedding_sum");
    table(c);
    real *v = e->data;
    for (int64_t i = 0; i < e->numel; i += 3) {
        const double norm = sqrt((double)(v[i] * v[i] + v[i + 1] * v[i + 1] + v[i + 2] * v[i + 2]));
        for (int j = 0; j < 3; j++) v[i + j] = (real)((double)v[i + j] / norm);
    }
    memcpy(sum->data, e->data, (size_t)e->numel * sizeof *v);
}

static const parity_case cases[] = {
    CASE(fsq),
    CASE(fsq_odd),
    CASE(fsq_projected),
    CASE(lfq),
    CASE(lfq_one_bit),
    CASE(lfq_groups),
    CASE(lfq_spherical),
    CASE(vq_cosine),
    CASE(vq_cosine_ema, .runs = 3, .prepare = unit_table),
    CASE(vq_heads),
    CASE(vq_heads_shared),
    CASE(vq_rotation),
    CASE(vq_simvq, .prepare = table),
    CASE(vq_entropy),
    CASE(vq_legacy),
    CASE(vq_balanced),
    CASE(vq_projected),
    CASE(rq_gradient),
    CASE(rq_shared_gradient),
    CASE(rq_shared_ema, .runs = 2, .prepare = table),
    CASE(rq_once, .runs = 2, .prepare = table),
    CASE(rq_scaled_gradient, .runs = 2, .prepare = lengths),
    CASE(rq_scaled_ema, .runs = 3, .prepare = table_and_lengths),
    CASE(rq_scaled_once, .runs = 3, .prepare = table_and_lengths),
    CASE(gumbel_kl),
    CASE(gumbel_evaluated, .evaluation = true),
    CASE(gaussian, .evaluation = true),
    CASE(gaussian_sum, .evaluation = true),
    CASE(multiscale),
    CASE(multiscale_wide),
    CASE(multiscale_plain),
};
enum { CASES = sizeof cases / sizeof *cases };

static void quantizers_equal_pytorch(void **state)
{
    (void)state;
    parity_check_all(TEST_FILES "/fixtures/quantizers.h5", CASES, cases, TOLERANCE);
}

static void thread_count_changes_no_bit(void **state)
{
    (void)state;
    parity_check_threads(CASES, cases);
}

/* ---- worked numbers -------------------------------------------------------------------------------------------------- */

static void finite_scalar_numbers(void **state)
{
    (void)state;
    static const struct {
        int n;
        int64_t levels[4];
        int32_t codes[4]; /* of 0, 0.7, -2, 10 in all dimensions */
    } rows[] = {
        {3, {8, 5, 5}, {100, 150, 0, 199}}, {3, {8, 6, 5}, {124, 182, 0, 239}}, {4, {8, 5, 5, 5}, {500, 750, 0, 999}}};
    const double values[12] = {0, 0, 0, .5, .5, .5, -1, -1, -1, .75, 1, 1};
    for (int r = 0; r < 3; r++) {
        nn_quantizer_opt o = {NN_QUANTIZER_FINITE_SCALAR, .n_levels = rows[r].n};
        memcpy(o.levels, rows[r].levels, sizeof rows[r].levels);
        alone a = ALONE(true, &o, 4, rows[r].n);
        alone_plan(&a);
        for (int i = 0; i < 4 * rows[r].n; i++)
            ((real *)ag_data(a.z))[i] = (real)(double[]){0, .7, -2, 10}[i / rows[r].n];
        alone_run(&a, 1);
        same_codes(a.q.codes, rows[r].codes);
        if (r == 0) near_all(a.q.latents, values, NEAR);
        assert_int_equal(a.q.n_terms, 0); /* no loss is added */
        alone_free(&a);
    }
}

/* What is rounded is not given out, but its slope is the gradient of the values: b = tanh(z + shift) half - off has the slope
 * half - (b + off)^2 / half. */
static void finite_scalar_bounds(void **state)
{
    (void)state;
    const double z[4] = {0, .7, -2, 10}, half[3] = {3.5035, 2.002, 2.002}, off[3] = {.5, 0, 0}, most[3] = {4, 2, 2};
    const double bounded[12] = {0,         0,         0,         1.909572, 1.209944, 1.209944,
                                -3.836510, -1.929983, -1.929983, 3.0035,   2.002,    2.002};
    const nn_quantizer_opt o = {NN_QUANTIZER_FINITE_SCALAR, .n_levels = 3, .levels = {8, 5, 5}};
    alone a = ALONE(true, &o, 4, 3);
    ag_tensor *d;
    double want[12];
    ag_gradient(ag_sum(a.q.latents), 1, &a.z, &d);
    ag_keep(d);
    alone_plan(&a);
    for (int i = 0; i < 12; i++) {
        const int j = i % 3;
        ((real *)ag_data(a.z))[i] = (real)z[i / 3];
        want[i] = (half[j] - pow(bounded[i] + off[j], 2) / half[j]) / most[j];
    }
    alone_run(&a, 1);
    near_all(d, want, NEAR);
    alone_free(&a);
}

static void lookup_free_numbers(void **state)
{
    (void)state;
    const double x[9] = {.3, -.2, .05, -1, .4, .9, .02, .01, -.6};
    const double want[2][3] = {{.031038, 1.129597, -1.098559}, {1.395188, 1.960954, -.565766}};
    for (int i = 0; i < 2; i++) {
        const nn_quantizer_opt o = {
            NN_QUANTIZER_LOOKUP_FREE,          .K = 8, .beta = 1, .entropy = 1, .entropy_gamma = 1,
            .entropy_temperature = i ? 1 : .01};
        alone a = ALONE(true, &o, 3, 3);
        alone_plan(&a);
        set(a.z, x);
        alone_run(&a, 1);
        same_codes(a.q.codes, (const int32_t[]){5, 6, 3}); /* least significant bit first */
        near(ag_value(nn_quantized_term_of(&a.q, "commitment")), .500333, NEAR);
        near(ag_value(nn_quantized_counter_of(&a.q, "entropy_sample")), want[i][0], NEAR);
        near(ag_value(nn_quantized_counter_of(&a.q, "entropy_batch")), want[i][1], NEAR);
        near(ag_value(nn_quantized_term_of(&a.q, "entropy")), want[i][2], NEAR);
        alone_free(&a);
    }
}

static void residual_numbers(void **state)
{
    (void)state;
    double e[16];
    hash_table(e, 16);
    const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL, .K = 8,     .D = 2,        .beta = 1,
                                .rule = GRADIENT,      .depth = 3, .shared = true};
    alone a = ALONE(true, &o, 3, 2);
    alone_plan(&a);
    set(a.z, (const double[]){.6, -.4, -.9, .2, .1, .8});
    set_param(&a, "q.embedding", e);
    alone_run(&a, 1);
    same_codes(a.q.codes, (const int32_t[]){6, 0, 4, 0, 1, 0, 3, 4, 0});     /* depths of each latent */
    near(ag_value(nn_quantized_term_of(&a.q, "commitment")), .140615, 1e-6); /* the mean over depths, not the sum */
    alone_free(&a);
    const double left[3] = {.142631, .144191, .135024}; /* after each depth */
    for (int depth = 1; depth <= 3; depth++) {
        nn_quantizer_opt fewer = o;
        double sum = 0;
        fewer.depth = depth;
        alone b = ALONE(true, &fewer, 3, 2);
        alone_plan(&b);
        set(b.z, (const double[]){.6, -.4, -.9, .2, .1, .8});
        set_param(&b, "q.embedding", e);
        alone_run(&b, 1);
        for (int d = 0; d < depth; d++) sum += left[d];
        near(depth * ag_value(nn_quantized_term_of(&b.q, "commitment")), sum, 3e-6);
        alone_free(&b);
    }
}

static void rotation_numbers(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 1, .D = 3, .rule = GRADIENT, .rotation = true};
    alone a = ALONE(true, &o, 1, 3);
    ag_tensor *d[3];
    for (int i = 0; i < 3; i++) {
        ag_gradient(ag_sum(ag_slice_axis(a.q.latents, -1, i, 1)), 1, &a.z, &d[i]);
        ag_keep(d[i]);
    }
    alone_plan(&a);
    set(a.z, (const double[]){1, 2, 2});
    set_param(&a, "q.embedding", (const double[]){2, 0, 1});
    alone_run(&a, 1);
    near_all(a.q.latents, (const double[]){2, 0, 1}, 0); /* q itself */
    near_all(d[0], (const double[]){.485949, .506702, .250323}, NEAR);
    const double s = .745356,
                 R[3][3] = {{.651970, .679812, .335844}, {-.512758, .721576, -.465197}, {-.558583, .131088, .819024}};
    for (int i = 0; i < 3; i++) near_all(d[i], (const double[]){s * R[i][0], s * R[i][1], s * R[i][2]}, 2e-6);
    alone_free(&a);
}

static void orthogonality_and_divergences(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 3, .D = 2, .rule = GRADIENT, .orthogonal = 1};
    alone a = ALONE(true, &o, 1, 2);
    alone_plan(&a);
    set_param(&a, "q.embedding", (const double[]){1, 0, 0, 2, 1, 1});
    alone_run(&a, 1);
    near(ag_value(nn_quantized_term_of(&a.q, "orthogonal")), .222222, 1e-6);
    alone_free(&a);
    a = ALONE(true, (&(nn_quantizer_opt){NN_QUANTIZER_GAUSSIAN, .D = 2, .kl_sum = true}), 1, 4);
    alone_plan(&a);
    set(a.z, (const double[]){.5, -1, 0, -2});
    alone_run(&a, 1);
    near(ag_value(nn_quantized_term_of(&a.q, "kl")), 1.192668, 1e-6);
    alone_free(&a);
    a = ALONE(true, (&(nn_quantizer_opt){NN_QUANTIZER_GUMBEL, .K = 3, .D = 2}), 1, 3);
    alone_plan(&a);
    set(a.z, (const double[]){1, 0, -1});
    alone_run(&a, 1);
    near(ag_value(nn_quantized_term_of(&a.q, "kl")), .266217, 1e-6);
    alone_free(&a);
}

static void schedules_are_closed_forms_of_the_step(void **state)
{
    (void)state;
    static const double want[2][3] = {{.862706, .53125, .199794}, {.928637, .725413, .421266}};
    ag_graph *g = ag_graph_new(1);
    ag_tensor *step = ag_input(g, "step", AG_REAL, 0, NULL), *y[2];
    y[0] = ag_keep(nn_schedule(step, NN_CURVE_COSINE, 1, 1.0 / 16, 150000));
    y[1] = ag_keep(nn_schedule(step, NN_CURVE_QUARTER_COSINE, 1, 1.0 / 16, 150000));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    for (int i = 2; i >= 0; i--) { /* in any order: nothing compounds */
        *(real *)ag_data(step) = (real)(37500 * (i + 1) + 1);
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
        for (int j = 0; j < 2; j++) near(ag_value(y[j]), want[j][i], 2e-6);
    }
    *(real *)ag_data(step) = 300000;
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    for (int j = 0; j < 2; j++) near(ag_value(y[j]), 1.0 / 16, 1e-6);
    ag_graph_free(g);
}

static double mean(const ag_tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; i < ag_numel(t); i++) sum += (double)((const real *)ag_data(t))[i];
    return sum / (double)ag_numel(t);
}

/* Of the population. */
static double deviation(const ag_tensor *t)
{
    double squares = 0;
    for (int64_t i = 0; i < ag_numel(t); i++) squares += pow((double)((const real *)ag_data(t))[i] - mean(t), 2);
    return sqrt(squares / (double)ag_numel(t));
}

static void moments(const ag_tensor *t, double m, double s)
{
    near(mean(t), m, 1e-5);
    near(deviation(t), s, 1e-5);
}

static void multiscale_numbers(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {
        NN_QUANTIZER_MULTISCALE, .K = 16,  .D = 4,          .beta = 0.25, .rule = GRADIENT, .n_scales = 4,
        .scales = {1, 2, 3, 4},  .phi = 4, .phi_ratio = 0.5};
    alone a = ALONE(true, &o, 2, 4, 4, 4);
    ag_tensor *loss = ag_keep(nn_quantized_loss(&a.q)), *wrt[2] = {a.z}, *d[2];
    for (int i = 0; i < nn_params_count(a.params); i++) assert_int_equal(nn_params_at(a.params, i)->kind, NN_PARAMETER);
    assert_true(nn_trainable(a.params, a.g, (const char *[]){"q.embedding", NULL}, wrt + 1, 1) == 1);
    ag_gradient(loss, 2, wrt, d);
    ag_keep(d[0]), ag_keep(d[1]);
    alone_plan(&a);
    for (int i = 0; i < nn_params_count(a.params); i++) golden_parameter(nn_params_at(a.params, i));
    double e[64];
    hash_table(e, 64);
    set_param(&a, "q.embedding", e);
    for (int n = 0; n < 2; n++) /* the numbers are in [N,C,H,W] order */
        for (int c = 0; c < 4; c++)
            for (int i = 0; i < 16; i++)
                ((real *)ag_data(a.z))[(n * 16 + i) * 4 + c] = (real)(2 * golden_u((uint32_t)((n * 4 + c) * 16 + i)));
    alone_run(&a, 1);
    const int32_t codes[30] = {7, 9,  11, 7, 5,  14, 9, 8, 14, 13, 8,  14, 5, 8,  6,
                               8, 13, 13, 8, 14, 14, 8, 8, 14, 5,  11, 1,  8, 12, 1}; /* of the first image */
    for (int i = 0; i < 30; i++) assert_int_equal(((const int32_t *)ag_data(a.q.codes))[i], codes[i]);
    near(ag_value(loss), .362403, 1e-5);
    const real *y = ag_data(a.q.latents), *de = ag_data(d[1]), *dz = ag_data(d[0]);
    for (int i = 0; i < 3; i++) near((double)y[4 * i], (double[]){-.376600, -.042389, -.453395}[i], 1e-5);
    near((double)y[127], -.076658, 1e-5);
    moments(a.q.latents, -.060846, .416300);
    moments(d[1], .000984, .009809);
    near(deviation(d[0]), .001961, 1e-5);
    for (int i = 0; i < 3; i++) {
        near((double)de[i], (double[]){-.000942, -.000908, -.000719}[i], 1e-6);
        near((double)dz[4 * i], (double[]){-.000882, .002471, -.003507}[i], 1e-6);
    }
    alone_free(&a);
}

/* Each convolution of zeros and a bias of its own, taken whole: the sum of the biases says how often each was used. */
static void scales_choose_the_convolutions_of_the_public_code(void **state)
{
    (void)state;
    static const struct {
        int scales, uses[4];
    } rows[] = {{10, {2, 3, 2, 3}}, {4, {1, 1, 1, 1}}, {5, {1, 1, 2, 1}}, {6, {2, 1, 1, 2}}};
    for (int r = 0; r < 4; r++) {
        nn_quantizer_opt o = {NN_QUANTIZER_MULTISCALE,    .K = 2,   .D = 1,        .rule = GRADIENT,
                              .n_scales = rows[r].scales, .phi = 4, .phi_ratio = 1};
        for (int i = 0; i < o.n_scales; i++) o.scales[i] = i + 1;
        alone a = ALONE(true, &o, 1, o.n_scales, o.n_scales, 1);
        alone_plan(&a);
        for (int i = 0; i < 4; i++) {
            char name[32];
            snprintf(name, sizeof name, "q.phi.%d.weight", i);
            set_param(&a, name, (const double[9]){0});
            snprintf(name, sizeof name, "q.phi.%d.bias", i);
            set_param(&a, name, &(double){pow(10, i)});
        }
        alone_run(&a, 1);
        double want = 0;
        for (int i = 0; i < 4; i++) want += rows[r].uses[i] * pow(10, i);
        near((double)*(real *)ag_data(a.q.latents), want, 1e-3);
        alone_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantizers_equal_pytorch),
        cmocka_unit_test(thread_count_changes_no_bit),
        cmocka_unit_test(finite_scalar_numbers),
        cmocka_unit_test(finite_scalar_bounds),
        cmocka_unit_test(lookup_free_numbers),
        cmocka_unit_test(residual_numbers),
        cmocka_unit_test(rotation_numbers),
        cmocka_unit_test(orthogonality_and_divergences),
        cmocka_unit_test(schedules_are_closed_forms_of_the_step),
        cmocka_unit_test(multiscale_numbers),
        cmocka_unit_test(scales_choose_the_convolutions_of_the_public_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
