/* What quantizers must do, and the mistakes that implementations are known to make, one test each: codes against brute force and back,
 * gradient paths, reductions, bit order. */
#include "quantizer_alone.h"

/* ---- codes and back --------------------------------------------------------------------------------------------------- */

static const nn_quantizer_opt every[] = {
    {.K = 11, .D = 4},
    {.K = 11, .D = 4, .code_dim = 2, .rule = GRADIENT},
    {.K = 11, .D = 4, .cosine = true},
    {.K = 11, .D = 4, .heads = 2},
    {.K = 11, .D = 4, .heads = 2, .shared = true},
    {.K = 11, .D = 4, .rotation = true},
    {.K = 11, .D = 4, .rule = GRADIENT, .simvq = true},
    {.K = 11, .D = 4, .assignment = NN_ASSIGN_BALANCED},
    {NN_QUANTIZER_FINITE_SCALAR, .n_levels = 3, .levels = {8, 5, 5}},
    {NN_QUANTIZER_FINITE_SCALAR, .K = 240, .D = 6, .n_levels = 3, .levels = {8, 6, 5}},
    {NN_QUANTIZER_LOOKUP_FREE, .K = 32},
    {NN_QUANTIZER_LOOKUP_FREE, .K = 32, .D = 7, .spherical = true},
    {NN_QUANTIZER_RESIDUAL, .K = 11, .D = 4, .depth = 3, .shared = true},
    {NN_QUANTIZER_RESIDUAL, .K = 11, .D = 4, .depth = 2, .restart = 1e-9},
    {NN_QUANTIZER_RESIDUAL, .K = 11, .D = 4, .depth = 1},
    {NN_QUANTIZER_RESIDUAL, .K = 11, .D = 4, .depth = 3, .shared = true, .depth_scale = true},
    {NN_QUANTIZER_GUMBEL, .K = 11, .D = 4},
    {NN_QUANTIZER_GUMBEL, .K = 11, .D = 6, .code_dim = 4, .hard = true},
    {NN_QUANTIZER_MULTISCALE, .K = 11, .D = 4, .rule = GRADIENT, .n_scales = 3, .scales = {1, 2, 4}, .phi = 2,
     .phi_ratio = .5},
    {NN_QUANTIZER_MULTISCALE, .K = 11, .D = 4, .rule = GRADIENT, .n_scales = 2, .scales = {1, 4}},
};
enum { EVERY = sizeof every / sizeof *every };

/* Evaluation: the latents of the codes alone are those of the quantizer, bit for bit. */
static void lookup_gives_the_latents_bit_for_bit(void **state)
{
    (void)state;
    for (int i = 0; i < EVERY; i++) {
        const nn_quantizer_opt *o = &every[i];
        alone a = ALONE(false, o, 2, 4, 6, nn_quantizer_width(o));
        int64_t shape[3] = {0}, all = 1;
        const int rank = nn_quantizer_code_shape(o, 4, 6, shape);
        assert_int_equal(ag_rank(a.q.codes), 1 + rank);
        for (int j = 0; j < rank; j++) assert_int_equal(ag_dim(a.q.codes, 1 + j), shape[j]), all *= shape[j];
        ag_tensor *y = ag_keep(nn_quantizer_lookup(nn_in(nn_root(a.params, a.g, false), "q"), a.q.codes, o));
        alone_plan(&a);
        alone_run(&a, 1);
        assert_int_equal(ag_dim(a.q.latents, -1), nn_quantizer_dim(o));
        if (memcmp(ag_data(y), ag_data(a.q.latents), ag_bytes(y))) fail_msg("case %d", i);
        double counted = 0;
        for (int64_t j = 0; j < ag_numel(a.q.counts); j++) counted += (double)((real *)ag_data(a.q.counts))[j];
        near(counted, 2.0 * (double)all, 0);
        for (int64_t j = 0; j < 2 * all; j++) {
            const int32_t code = ((int32_t *)ag_data(a.q.codes))[j];
            assert_true(code >= 0 && code < a.q.K);
        }
        alone_free(&a);
    }
}

/* Every code of FSQ and LFQ comes back from its own latents. */
static void all_codes_make_the_round_trip(void **state)
{
    (void)state;
    for (int i = 8; i < 11; i++) {
        nn_quantizer_opt o = every[i];
        o.D = 0;
        const int64_t K = nn_quantizer_codes(&o);
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        const nn_scope s = nn_root(p, g, false);
        ag_tensor *codes = ag_input(g, "codes", AG_I32, 1, &K);
        ag_tensor *latents = nn_quantizer_lookup(s, codes, &o);
        /* FSQ's latents are r / floor(L/2): back through the inverse of its bound, z = atanh((r + off) / half) - shift */
        nn_quantized q = {0};
        if (o.kind == NN_QUANTIZER_LOOKUP_FREE)
            q = nn_quantize(s, latents, &o, NULL);
        else
            q.codes = codes;
        ag_keep(q.codes), ag_keep(latents);
        assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
        for (int32_t k = 0; k < K; k++) ((int32_t *)ag_data(codes))[k] = k;
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
        for (int32_t k = 0; k < K; k++) {
            const real *v = (const real *)ag_data(latents) + k * ag_dim(latents, 1);
            int64_t code = 0, unit = 1;
            for (int64_t j = 0; j < ag_dim(latents, 1); j++) {
                const int64_t L = o.n_levels ? o.levels[j] : 2, h = L / 2;
                code += (o.n_levels ? (int64_t)rint((double)v[j] * (double)h) + h : v[j] > 0) * unit;
                unit *= L;
            }
            assert_int_equal(code, k);
            assert_int_equal(((int32_t *)ag_data(q.codes))[k], k);
        }
        ag_graph_free(g);
        nn_params_free(p);
    }
}

static int brute_nearest(const real *z, const double *e, int K, int D)
{
    int best = 0;
    double least = INFINITY;
    for (int k = 0; k < K; k++) {
        double d = 0;
        for (int i = 0; i < D; i++) d += ((double)z[i] - e[k * D + i]) * ((double)z[i] - e[k * D + i]);
        if (d < least) least = d, best = k;
    }
    return best;
}

static void codes_agree_with_brute_force(void **state)
{
    (void)state;
    enum { N = 300, K = 13, D = 3, DEPTH = 4 };
    double e[K * D];
    hash_table(e, K * D);
    const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL, .K = K,         .D = D,
                                .rule = GRADIENT,      .depth = DEPTH, .shared = true};
    alone a = ALONE(false, &o, N, D);
    alone_plan(&a);
    set_param(&a, "q.embedding", e);
    alone_run(&a, 1);
    for (int n = 0; n < N; n++) {
        real rest[D];
        memcpy(rest, (real *)ag_data(a.z) + n * D, sizeof rest);
        for (int d = 0; d < DEPTH; d++) {
            const int k = brute_nearest(rest, e, K, D);
            assert_int_equal(((int32_t *)ag_data(a.q.codes))[n * DEPTH + d], k);
            for (int i = 0; i < D; i++) rest[i] = (real)((double)rest[i] - e[k * D + i]);
        }
    }
    alone_free(&a);
}

/* ---- known mistakes ----------------------------------------------------------------------------------------------------- */

/* The listing of the paper has (1-eps) and tan: other codes near the boundaries, and 8 levels reach another largest value. */
static void finite_scalar_bound_is_atanh_of_1_plus_eps(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {NN_QUANTIZER_FINITE_SCALAR, .n_levels = 1, .levels = {5}};
    alone a = ALONE(true, &o, 2, 1);
    alone_plan(&a);
    /* half = 2.002: 1.5 is passed at atanh(1.5 / 2.002); with half = 1.998 it would need more */
    const double edge = atanh(1.5 / 2.002);
    set(a.z, (const double[]){edge - 1e-4, edge + 1e-4});
    alone_run(&a, 1);
    same_codes(a.q.codes, (const int32_t[]){3, 4});
    alone_free(&a);
}

static void halves_round_to_even(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){4}), *y = ag_keep(ag_round(x));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    set(x, (const double[]){-1.5, -.5, .5, 2.5});
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    near_all(y, (const double[]){-2, 0, 0, 2}, 0);
    ag_graph_free(g);
}

static void zero_is_a_negative_bit(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {NN_QUANTIZER_LOOKUP_FREE, .K = 4};
    alone a = ALONE(true, &o, 1, 2);
    alone_plan(&a);
    set(a.z, (const double[]){0, 1e-30});
    alone_run(&a, 1);
    same_codes(a.q.codes, (const int32_t[]){2});
    alone_free(&a);
}

/* The table of 2^18 codes for each of 4096 positions would take 4 GiB. */
static void entropy_of_18_bits_needs_little_memory(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {NN_QUANTIZER_LOOKUP_FREE, .K = 1 << 18, .entropy = 0.1, .entropy_gamma = 1};
    alone a = ALONE(true, &o, 4096, 18);
    ag_tensor *loss = nn_quantized_loss(&a.q), *d;
    ag_plan_report report;
    ag_gradient(loss, 1, &a.z, &d);
    ag_keep(d);
    assert_int_equal(ag_graph_plan_report(a.g, NULL, &report), AG_OK);
    assert_true(report.arena_bytes < INT64_C(200) << 20 << (sizeof(real) == 8));
    alone_free(&a);
}

/* More bits a group bound the entropy of the batch from above. */
static void groups_of_bits_bound_the_entropy(void **state)
{
    (void)state;
    double last = 0;
    for (int groups = 1; groups <= 6; groups++) {
        const nn_quantizer_opt o = {
            NN_QUANTIZER_LOOKUP_FREE, .K = 64, .entropy = 1, .entropy_gamma = 1, .entropy_temperature = 1,
            .entropy_groups = groups};
        alone a = ALONE(true, &o, 10, 6);
        alone_plan(&a);
        alone_run(&a, 1);
        const double A = ag_value(nn_quantized_counter_of(&a.q, "entropy_batch"));
        if (groups == 1) last = A;
        assert_true(A > last - 1e-3);
        alone_free(&a);
    }
}

/* The decoder sees the codes of before the update, also where depths update in sequence. */
static void decoder_sees_codes_of_before_the_update(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 7, .D = 3, .initial_count = 1};
    alone a = ALONE(true, &o, 20, 3);
    alone_plan(&a);
    real before[21];
    const real *e = nn_params_find(a.params, "q.embedding")->data, *y = ag_data(a.q.latents);
    memcpy(before, e, sizeof before);
    alone_run(&a, 1);
    assert_true(memcmp(before, e, sizeof before) != 0);
    for (int i = 0; i < 20; i++)
        assert_memory_equal(y + 3 * i, before + 3 * ((const int32_t *)ag_data(a.q.codes))[i], 3 * sizeof(real));
    alone_free(&a);
}

static void rq_of_one_depth_is_vq(void **state)
{
    (void)state;
    const nn_quantizer_opt o[2] = {
        {.K = 7, .D = 3, .initial_count = 1, .shared = true},
        {NN_QUANTIZER_RESIDUAL, .K = 7, .D = 3, .initial_count = 1, .depth = 1, .shared = true}};
    alone a[2];
    for (int i = 0; i < 2; i++) {
        a[i] = ALONE(true, &o[i], 20, 3);
        alone_plan(&a[i]);
        for (int step = 1; step < 4; step++) alone_run(&a[i], (uint64_t)step);
    }
    assert_memory_equal(ag_data(a[0].q.latents), ag_data(a[1].q.latents), ag_bytes(a[0].q.latents));
    assert_memory_equal(ag_data(a[0].q.codes), ag_data(a[1].q.codes), ag_bytes(a[0].q.codes));
    assert_memory_equal(nn_params_find(a[0].params, "q.embedding")->data,
                        nn_params_find(a[1].params, "q.embedding")->data, 21 * sizeof(real));
    for (int i = 0; i < 2; i++) alone_free(&a[i]);
}

static void multiscale_of_one_scale_is_vq(void **state)
{
    (void)state;
    const nn_quantizer_opt o[2] = {{.K = 7, .D = 3, .rule = GRADIENT},
                                   {NN_QUANTIZER_MULTISCALE, .K = 7, .D = 3, .rule = GRADIENT, .n_scales = 1,
                                    .scales = {4}, .phi = 1, .phi_ratio = 0}};
    alone a[2];
    for (int i = 0; i < 2; i++) {
        a[i] = ALONE(true, &o[i], 2, 4, 4, 3);
        alone_plan(&a[i]);
        alone_run(&a[i], 1);
    }
    assert_memory_equal(ag_data(a[0].q.latents), ag_data(a[1].q.latents), ag_bytes(a[0].q.latents));
    near(ag_value(a[0].q.terms[1].value), ag_value(a[1].q.terms[1].value), 1e-6);
    for (int i = 0; i < 2; i++) alone_free(&a[i]);
}

/* With the zero vector among the codes no depth makes the error larger. */
static void more_depths_never_hurt_with_a_zero_code(void **state)
{
    (void)state;
    double e[2 * 9], last = INFINITY;
    hash_table(e, 18);
    e[0] = e[1] = 0;
    for (int depth = 1; depth < 6; depth++) {
        const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL, .K = 9,         .D = 2,
                                    .rule = GRADIENT,      .depth = depth, .shared = true};
        alone a = ALONE(false, &o, 50, 2);
        alone_plan(&a);
        set_param(&a, "q.embedding", e);
        alone_run(&a, 1);
        double error = 0;
        for (int i = 0; i < 100; i++)
            error += pow((double)((real *)ag_data(a.z))[i] - (double)((real *)ag_data(a.q.latents))[i], 2);
        assert_true(error <= last * (1 + 1e-6));
        last = error;
        alone_free(&a);
    }
}

/* Gradient to z, of the sum of the latents, and of each term for the codes. */
static void gradient_paths(const nn_quantizer_opt *o, double *through, double *to_codes_of_sum,
                           double *to_codes_of_commitment)
{
    alone a = ALONE(true, o, 6, 3);
    ag_tensor *e[1], *d[3];
    assert_int_equal(nn_trainable(a.params, a.g, NULL, e, 1), 1);
    ag_gradient(ag_sum(a.q.latents), 1, &a.z, &d[0]);
    ag_gradient(ag_sum(a.q.latents), 1, e, &d[1]);
    ag_gradient(nn_quantized_term_of(&a.q, "commitment"), 1, e, &d[2]);
    for (int i = 0; i < 3; i++) ag_keep(d[i]);
    alone_plan(&a);
    alone_run(&a, 1);
    double *out[3] = {through, to_codes_of_sum, to_codes_of_commitment};
    for (int i = 0; i < 3; i++) {
        *out[i] = 0;
        for (int64_t j = 0; j < ag_numel(d[i]); j++)
            *out[i] = fmax(*out[i], fabs((double)((real *)ag_data(d[i]))[j] - (i == 0)));
    }
    alone_free(&a);
}

static void straight_through_passes_ones_and_codes_get_nothing(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 7, .D = 3, .rule = GRADIENT};
    double through, sum, commitment;
    gradient_paths(&o, &through, &sum, &commitment);
    near(through, 0, 0);
    near(sum, 0, 0);
    near(commitment, 0, 0);
}

/* The gradient of cosine codes is that of u = z / |z|: orthogonal to z (and not ones). */
static void cosine_gradient_passes_the_normalisation(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 7, .D = 3, .rule = GRADIENT, .cosine = true};
    alone a = ALONE(true, &o, 6, 3);
    ag_tensor *d;
    ag_gradient(ag_sum(a.q.latents), 1, &a.z, &d);
    ag_keep(d);
    alone_plan(&a);
    alone_run(&a, 1);
    for (int i = 0; i < 6; i++) {
        double dot = 0, norm = 0;
        for (int j = 0; j < 3; j++) {
            dot += (double)((real *)ag_data(d))[3 * i + j] * (double)((real *)ag_data(a.z))[3 * i + j];
            norm += pow((double)((real *)ag_data(a.q.latents))[3 * i + j], 2);
        }
        near(dot, 0, 1e-5);
        near(norm, 1, 1e-5); /* what was compared is emitted */
    }
    alone_free(&a);
}

static void simvq_moves_every_code_and_looks_up_the_map(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 7, .D = 3, .rule = GRADIENT, .simvq = true};
    alone a = ALONE(true, &o, 1, 3);
    ag_tensor *w[2], *d[2];
    assert_int_equal(nn_trainable(a.params, a.g, NULL, w, 2), 2); /* weight and bias; the table is frozen */
    ag_gradient(nn_quantized_term_of(&a.q, "codebook"), 2, w, d);
    ag_keep(d[0]), ag_keep(d[1]);
    alone_plan(&a);
    alone_run(&a, 1);
    const nn_param *table = nn_params_find(a.params, "q.embedding");
    assert_int_equal(table->kind, NN_BUFFER);
    const int32_t code = *(int32_t *)ag_data(a.q.codes);
    for (int i = 0; i < 3; i++) { /* not the raw row */
        const double raw = (double)((real *)table->data)[code * 3 + i], got = (double)((real *)ag_data(a.q.latents))[i];
        assert_true(fabs(raw - got) > 1e-6);
        assert_true((double)((real *)ag_data(d[1]))[i] != 0);
    }
    alone_free(&a);
}

static void legacy_beta_is_on_the_codebook_term(void **state)
{
    (void)state;
    for (int legacy = 0; legacy < 2; legacy++) {
        const nn_quantizer_opt o = {.K = 7, .D = 3, .beta = 0.25, .rule = GRADIENT, .legacy_beta = legacy};
        alone a = ALONE(true, &o, 6, 3);
        assert_string_equal(a.q.terms[0].name, "commitment");
        near(a.q.terms[0].weight, legacy ? 1 : 0.25, 0);
        near(a.q.terms[1].weight, legacy ? 0.25 : 1, 0);
        alone_free(&a);
    }
}

/* A temperature near 0 makes the relaxed choice a draw by softmax(l); codes are those of the raw logits. */
static void gumbel_draws_by_the_softmax(void **state)
{
    (void)state;
    enum { N = 20000 };
    const double logits[3] = {1, 0, -1}, total = exp(1) + 1 + exp(-1);
    const nn_quantizer_opt o = {NN_QUANTIZER_GUMBEL,         .K = 3, .D = 3, .tau = 1, .tau_end = 1e-3, .tau_steps = 10,
                                .tau_curve = NN_CURVE_LINEAR};
    alone a = ALONE(true, &o, N, 3);
    alone_plan(&a);
    set_param(&a, "q.embedding", (const double[]){1, 0, 0, 0, 1, 0, 0, 0, 1});
    for (int i = 0; i < 3 * N; i++) ((real *)ag_data(a.z))[i] = (real)logits[i % 3];
    *(real *)ag_data(a.step) = 11;
    alone_run(&a, 1);
    near(ag_value(nn_quantized_counter_of(&a.q, "temperature")), 1e-3, 1e-6);
    double shares[3] = {0};
    for (int i = 0; i < 3 * N; i++) shares[i % 3] += (double)((real *)ag_data(a.q.latents))[i] / N;
    for (int i = 0; i < 3; i++) near(shares[i], exp(logits[i]) / total, 0.015);
    near((double)((real *)ag_data(a.q.counts))[0], N, 0);
    alone_free(&a);
}

static void hard_gumbel_emits_rows(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {NN_QUANTIZER_GUMBEL, .K = 5, .D = 2, .hard = true};
    alone a = ALONE(true, &o, 40, 5);
    ag_tensor *d;
    ag_gradient(ag_sum(ag_square(a.q.latents)), 1, &a.z, &d);
    ag_keep(d);
    alone_plan(&a);
    alone_run(&a, 1);
    const real *e = nn_params_find(a.params, "q.embedding")->data, *y = ag_data(a.q.latents);
    double moved = 0;
    for (int i = 0; i < 40; i++) {
        bool row = false;
        for (int k = 0; k < 5; k++)
            row = row ||
                  (fabs((double)(y[2 * i] - e[2 * k])) < 1e-6 && fabs((double)(y[2 * i + 1] - e[2 * k + 1])) < 1e-6);
        assert_true(row);
    }
    for (int i = 0; i < 200; i++) moved += fabs((double)((real *)ag_data(d))[i]);
    assert_true(moved > 0.01);
    alone_free(&a);
}

static void gaussian_noise_has_the_stated_deviation(void **state)
{
    (void)state;
    enum { N = 20000 };
    alone a = ALONE(true, (&(nn_quantizer_opt){NN_QUANTIZER_GAUSSIAN, .D = 1}), N, 2);
    alone_plan(&a);
    for (int i = 0; i < N; i++) ((real *)ag_data(a.z))[2 * i] = 3, ((real *)ag_data(a.z))[2 * i + 1] = (real)log(0.25);
    alone_run(&a, 1);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        const double x = (double)((real *)ag_data(a.q.latents))[i] - 3;
        sum += x / N, squares += x * x / N;
    }
    near(sum, 0, 0.015);
    near(sqrt(squares), 0.5, 0.015);
    near(ag_value(nn_quantized_counter_of(&a.q, "deviation")), 0.5, 1e-5);
    for (int i = 0; i < N; i++) ((real *)ag_data(a.z))[2 * i + 1] = 500; /* cut to 20 before exp */
    alone_run(&a, 2);
    assert_true(isfinite(ag_value(nn_quantized_term_of(&a.q, "kl"))));
    alone_free(&a);
}

static void balanced_assignment_spreads_a_collapse(void **state)
{
    (void)state;
    const double e[8] = {0, 0, 9, 0, 0, 9, 9, 9};
    for (int balanced = 0; balanced < 2; balanced++) {
        const nn_quantizer_opt o = {
            .K = 4, .D = 2, .rule = GRADIENT, .assignment = balanced ? NN_ASSIGN_BALANCED : NN_ASSIGN_NEAREST};
        alone a = ALONE(true, &o, 64, 2);
        alone_plan(&a);
        set_param(&a, "q.embedding", e);
        alone_run(&a, 1);
        int used = 0;
        for (int k = 0; k < 4; k++) used += ((real *)ag_data(a.q.counts))[k] > 4;
        assert_int_equal(used, balanced ? 4 : 1);
        if (balanced) assert_true(ag_value(nn_quantized_counter_of(&a.q, "moved")) > 30);
        alone_free(&a);
    }
}

static void sampled_assignment_prefers_near_codes(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {
        .K = 4, .D = 2, .rule = GRADIENT, .assignment = NN_ASSIGN_SAMPLED, .assignment_temperature = 0.2};
    alone a = ALONE(true, &o, 400, 2);
    alone_plan(&a);
    alone_run(&a, 1);
    const double moved = ag_value(nn_quantized_counter_of(&a.q, "moved"));
    assert_true(moved > 4 && moved < 200);
    alone_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_gives_the_latents_bit_for_bit),
        cmocka_unit_test(all_codes_make_the_round_trip),
        cmocka_unit_test(codes_agree_with_brute_force),
        cmocka_unit_test(finite_scalar_bound_is_atanh_of_1_plus_eps),
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(zero_is_a_negative_bit),
        cmocka_unit_test(entropy_of_18_bits_needs_little_memory),
        cmocka_unit_test(groups_of_bits_bound_the_entropy),
        cmocka_unit_test(decoder_sees_codes_of_before_the_update),
        cmocka_unit_test(rq_of_one_depth_is_vq),
        cmocka_unit_test(multiscale_of_one_scale_is_vq),
        cmocka_unit_test(more_depths_never_hurt_with_a_zero_code),
        cmocka_unit_test(straight_through_passes_ones_and_codes_get_nothing),
        cmocka_unit_test(cosine_gradient_passes_the_normalisation),
        cmocka_unit_test(simvq_moves_every_code_and_looks_up_the_map),
        cmocka_unit_test(legacy_beta_is_on_the_codebook_term),
        cmocka_unit_test(gumbel_draws_by_the_softmax),
        cmocka_unit_test(hard_gumbel_emits_rows),
        cmocka_unit_test(gaussian_noise_has_the_stated_deviation),
        cmocka_unit_test(balanced_assignment_spreads_a_collapse),
        cmocka_unit_test(sampled_assignment_prefers_near_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
