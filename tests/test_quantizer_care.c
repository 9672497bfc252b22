/* Codebooks are cared for: starts reach every one, dead codes come back, dropped depths rest; and options that contradict each other are
 * refused with the arithmetic. */
#include "quantizer_alone.h"

#include "nn/update.h"
#include "optim/optim.h"

/* ---- care of codebooks ------------------------------------------------------------------------------------------------ */

/* Separate depths and heads start from data: each depth from what the ones before leave. */
static void starts_reach_every_codebook(void **state)
{
    (void)state;
    enum { N = 64, D = 4 };
    const nn_quantizer_opt kinds[3] = {{NN_QUANTIZER_RESIDUAL, .K = 8, .D = D, .depth = 3, .start = NN_START_KMEANS},
                                       {.K = 8, .D = D, .heads = 2, .start = NN_START_KMEANS},
                                       {.K = 8, .D = D, .cosine = true, .start = NN_START_DATA}};
    for (int i = 0; i < 3; i++) {
        const nn_quantizer_opt *o = &kinds[i];
        assert_true(nn_quantizer_starts_from_data(o));
        alone a = ALONE(true, o, N, D);
        alone_plan(&a);
        assert_int_equal(nn_quantizer_start(a.params, "q", o, N, ag_data(a.z), 5), AG_OK);
        alone_run(&a, 1);
        for (int b = 0; b < a.q.books; b++) {
            int used = 0;
            for (int k = 0; k < 8; k++) used += ((real *)ag_data(a.q.counts))[b * 8 + k] > 0;
            assert_true(used >= 6);
        }
        double error = 0, size = 0;
        for (int j = 0; j < N * D; j++) {
            error += pow((double)((real *)ag_data(a.z))[j] - (double)((real *)ag_data(a.q.latents))[j], 2);
            size += pow((double)((real *)ag_data(a.z))[j], 2);
        }
        if (i == 0) assert_true(error < 0.25 * size);
        for (int j = 0; j < nn_params_count(a.params); j++) {
            const nn_param *p = nn_params_at(a.params, j);
            double sum = 0;
            if (!strstr(p->name, "cluster_size")) continue;
            for (int64_t k = 0; k < p->numel; k++) sum += (double)((real *)p->data)[k];
            assert_true(sum > 7.9); /* counts are set, and stay at a batch each */
        }
        alone_free(&a);
    }
}

/* Dead codes of every kind of codebook come back and are used. */
static void restarts_revive(void **state)
{
    (void)state;
    const nn_quantizer_opt kinds[4] = {
        {.K = 4, .D = 2, .restart = 0.5},
        {.K = 4, .D = 2, .rule = GRADIENT, .restart = 0.5},
        {NN_QUANTIZER_RESIDUAL, .K = 4, .D = 2, .depth = 2, .restart = 0.5},
        {NN_QUANTIZER_MULTISCALE, .K = 4, .D = 2, .rule = GRADIENT, .n_scales = 1, .scales = {4}, .restart = 0.5}};
    const double far[8] = {0.1, 0.1, 900, 900, -900, 900, 900, -900};
    for (int i = 0; i < 4; i++) {
        alone a = ALONE(true, &kinds[i], 4, 4, 4, 2);
        alone_plan(&a);
        for (int j = 0; j < nn_params_count(a.params); j++)
            if (strstr(nn_params_at(a.params, j)->name, "embedding"))
                set_param(&a, nn_params_at(a.params, j)->name, far);
        double revived = 0;
        for (uint64_t step = 1; step < 4; step++) {
            alone_run(&a, step);
            revived += ag_value(nn_quantized_counter_of(&a.q, "restarts"));
        }
        assert_true(revived >= 3 * (i == 2 ? 2 : 1));
        for (int k = 0; k < 4; k++) assert_true(((real *)ag_data(a.q.counts))[k] >= 1);
        alone_free(&a);
    }
}

/* depth_scale: the start finds the length of what every depth is given, so rows of any length get the same codes and error; the averages go
 * on from there; what a depth is given is divided by its length before it is searched. */
static void depths_are_scaled_to_one_length(void **state)
{
    (void)state;
    enum { N = 64, D = 4, DEPTH = 3 };
    const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL,
                                .K = 16,
                                .D = D,
                                .depth = DEPTH,
                                .shared = true,
                                .start = NN_START_KMEANS,
                                .decay = 0.5,
                                .depth_scale = true,
                                .update_once = true};
    int32_t codes[N * DEPTH];
    for (int run = 0; run < 2; run++) {
        const double length = run ? 8 : 1;
        alone a = ALONE(true, &o, N, D);
        alone_plan(&a);
        for (int i = 0; i < N * D; i++) ((real *)ag_data(a.z))[i] *= (real)length;
        assert_int_equal(nn_quantizer_start(a.params, "q", &o, N, ag_data(a.z), 5), AG_OK);
        const real *squares = nn_params_find(a.params, "q.depth_square")->data;
        const real *e = nn_params_find(a.params, "q.embedding")->data;
        double rest[N * D], book[16 * D], before[DEPTH], mean[DEPTH] = {0};
        for (int i = 0; i < N * D; i++) rest[i] = (double)((real *)ag_data(a.z))[i];
        for (int i = 0; i < 16 * D; i++) book[i] = (double)e[i];
        for (int d = 0; d < DEPTH; d++) before[d] = (double)squares[d];
        alone_run(&a, 1);
        const int32_t *k = ag_data(a.q.codes);
        for (int d = 0; d < DEPTH; d++)
            for (int i = 0; i < N * D; i++) {
                mean[d] += rest[i] * rest[i] / (N * D);
                rest[i] -= sqrt(before[d]) * book[k[i / D * DEPTH + d] * D + i % D];
            }
        for (int d = 0; d < DEPTH; d++) {
            near(before[d] / mean[d], 1, 1e-4);          /* of the start */
            near((double)squares[d] / mean[d], 1, 1e-4); /* the average of that and the same again */
            assert_true(d == 0 || mean[d] < mean[d - 1]);
        }
        if (run) assert_memory_equal(codes, k, sizeof codes);
        memcpy(codes, k, sizeof codes);
        for (int i = 0; i < N * D; i++) ((real *)ag_data(a.z))[i] *= 2;
        alone_run(&a, 2);
        near((double)squares[0] / mean[0], 0.5 + 0.5 * 4, 1e-4);
        alone_free(&a);
    }
}

/* In a step that drops depths the latents are those of fewer depths, and the dropped ones learn nothing. */
static void dropout_of_depths(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL, .K = 7,     .D = 3,
                                .initial_count = 1,    .depth = 3, .quantizer_dropout = 1};
    int seen[4] = {0};
    for (uint64_t step = 1; step <= 40; step++) {
        alone a = ALONE(true, &o, 20, 3);
        alone_plan(&a);
        const real *e[3];
        real before[3][21];
        for (int d = 0; d < 3; d++) {
            e[d] = nn_params_find(a.params, (const char *[]){"q.depth.0.embedding", "q.depth.1.embedding",
                                                             "q.depth.2.embedding"}[d])
                       ->data;
            memcpy(before[d], e[d], sizeof before[d]);
        }
        alone_run(&a, step);
        const int32_t *k = ag_data(a.q.codes);
        const real *y = ag_data(a.q.latents);
        int used = 0;
        for (int n = 1; n <= 3 && !used; n++) {
            double apart = 0;
            for (int i = 0; i < 60; i++) {
                double sum = 0;
                for (int d = 0; d < n; d++) sum += (double)before[d][k[i / 3 * 3 + d] * 3 + i % 3];
                apart = fmax(apart, fabs(sum - (double)y[i]));
            }
            if (apart < 1e-5) used = n;
        }
        seen[used]++;
        for (int d = 0; d < 3; d++) assert_int_equal(memcmp(before[d], e[d], sizeof before[d]) != 0, d < used);
        alone_free(&a);
    }
    assert_int_equal(seen[0], 0);
    for (int n = 1; n <= 3; n++) assert_true(seen[n] > 4);
}

/* ---- contradictions --------------------------------------------------------------------------------------------------- */

static void refused(const nn_quantizer_opt *o, const char *part)
{
    assert_int_equal(nn_quantizer_check(o), AG_ERR_USAGE);
    if (!strstr(ag_error_message(), part)) fail_msg("'%s' is not in: %s", part, ag_error_message());
}

static void contradictions_are_refused_with_the_arithmetic(void **state)
{
    (void)state;
    refused(&(nn_quantizer_opt){NN_QUANTIZER_FINITE_SCALAR, .K = 256, .n_levels = 3, .levels = {8, 5, 5}},
            "8 * 5 * 5 = 200 codes, but codes=256");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_FINITE_SCALAR, .K = 8}, "0 levels");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_FINITE_SCALAR, .n_levels = 2, .levels = {65536, 65536}}, "more than 2^31");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_LOOKUP_FREE, .K = 100}, "codes=100 is no power of two; 128 = 2^7 is");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_LOOKUP_FREE, .K = 8, .entropy_groups = 4}, "entropy_groups=4 of 3 bits");
    refused(&(nn_quantizer_opt){.K = 8, .D = 7, .heads = 2}, "7 dimensions cannot be cut into 2");
    refused(&(nn_quantizer_opt){.K = 8, .D = 7, .simvq = true}, "codebook=gradient");
    refused(&(nn_quantizer_opt){.K = 8, .D = 7, .legacy_beta = true}, "codebook=gradient");
    refused(&(nn_quantizer_opt){.K = 8, .D = 7, .orthogonal = 1}, "codebook=gradient");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_RESIDUAL, .K = 8, .D = 7, .update_once = true}, "shared=true");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_RESIDUAL, .K = 8, .D = 7, .depth_scale = true}, "shared=true");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_MULTISCALE, .K = 8, .D = 7, .n_scales = 2, .scales = {2, 4}},
            "codebook=gradient");
    refused(&(nn_quantizer_opt){NN_QUANTIZER_MULTISCALE, .K = 8, .D = 7, .n_scales = 2, .scales = {4, 2}}, "2 after 4");
    refused(&(nn_quantizer_opt){.D = 7}, "codes=0");
    refused(&(nn_quantizer_opt){.K = 7}, "set dim");
}

static void refused_in_the_graph(const nn_quantizer_opt *o, const char *part)
{
    alone a = ALONE(true, o, 2, 4, 4, 2);
    assert_int_equal(ag_graph_plan(a.g, NULL), AG_ERR_USAGE);
    if (!strstr(ag_error_message(), part)) fail_msg("'%s' is not in: %s", part, ag_error_message());
    alone_free(&a);
}

static void what_depends_on_the_batch_is_refused_too(void **state)
{
    (void)state;
    refused_in_the_graph(&(nn_quantizer_opt){.K = 64, .D = 2, .restart = 1},
                         "32 latents a batch over 64 codes are 0.5 members");
    refused_in_the_graph(
        &(nn_quantizer_opt){NN_QUANTIZER_MULTISCALE, .K = 8, .D = 2, .rule = GRADIENT, .n_scales = 2, .scales = {1, 8}},
        "the last has 8 rows, the latents have 4");
}

/* Sequential updates and draws of depths would see parts of the batch. */
static void micro_batches_that_would_change_the_result_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const nn_quantizer_opt o = {NN_QUANTIZER_RESIDUAL,
                                    .K = 8,
                                    .D = 2,
                                    .depth = 2,
                                    .shared = true,
                                    .update_once = i > 0,
                                    .quantizer_dropout = i == 2 ? 0.1 : 0};
        nn_params *p = nn_params_new(1);
        ag_graph *g = ag_graph_new(1);
        nn_micro_batches(p, 2);
        nn_quantize(nn_root(p, g, true), ag_input(g, "z", AG_REAL, 2, (int64_t[]){6, 2}), &o, NULL);
        assert_int_equal(ag_graph_plan(g, NULL), i == 1 ? AG_OK : AG_ERR_USAGE);
        ag_graph_free(g);
        nn_params_free(p);
    }
}

/* A code set anew has no momentum left from the old one. */
static void restarted_codes_have_no_momentum(void **state)
{
    (void)state;
    const nn_quantizer_opt o = {.K = 2, .D = 2, .rule = GRADIENT, .decay = 0.5, .initial_count = 1, .restart = 0.5};
    alone a = ALONE(true, &o, 8, 2);
    ag_tensor *e[1], *d[1], *rate = ag_constant(a.g, 0.01, 0, NULL);
    assert_int_equal(nn_trainable(a.params, a.g, NULL, e, 1), 1);
    ag_gradient(nn_quantized_term_of(&a.q, "codebook"), 1, e, d);
    opt_adam(nn_root(a.params, a.g, true), 1, e, d, rate, a.step, NULL);
    alone_plan(&a);
    set_param(&a, "q.embedding", (const double[]){1, 1, -1, -1});
    for (int run = 1; run <= 4; run++) { /* both codes have members in the first run only */
        for (int i = 0; i < 16; i++) ((real *)ag_data(a.z))[i] = (real)(run == 1 && i < 8 ? -1.5 : 1.5);
        *(real *)ag_data(a.step) = (real)run;
        alone_run(&a, (uint64_t)run);
        near(ag_value(nn_quantized_counter_of(&a.q, "restarts")), run == 4, 0);
        for (int i = 0; i < nn_params_count(a.params); i++) {
            const nn_param *p = nn_params_at(a.params, i);
            if (p->kind != NN_OPTIMIZER || p->rank != 2) continue;
            for (int j = 0; j < 2; j++) assert_true((((real *)p->data)[2 + j] != 0) == (run < 4));
        }
    }
    alone_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depths_are_scaled_to_one_length),
        cmocka_unit_test(dropout_of_depths),
        cmocka_unit_test(starts_reach_every_codebook),
        cmocka_unit_test(restarts_revive),
        cmocka_unit_test(contradictions_are_refused_with_the_arithmetic),
        cmocka_unit_test(what_depends_on_the_batch_is_refused_too),
        cmocka_unit_test(micro_batches_that_would_change_the_result_are_refused),
        cmocka_unit_test(restarted_codes_have_no_momentum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
