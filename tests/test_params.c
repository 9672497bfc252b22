/* Parameters: how they start, what they are called, which are trained; sums over micro-batches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "golden.h"
#include "nn/quantizer.h"
#include "nn/update.h"

typedef struct moments {
    double mean, deviation, most;
} moments;

static moments of(nn_params *p, const char *name)
{
    const nn_param *t = nn_params_find(p, name);
    if (!t) fail_msg("no parameter %s", name);
    double sum = 0, squares = 0, most = 0;
    for (int64_t i = 0; i < t->numel; i++) {
        const double v = (double)((const real *)t->data)[i];
        sum += v;
        squares += v * v;
        most = fmax(most, fabs(v));
    }
    const double n = (double)t->numel;
    return (moments){sum / n, sqrt(squares / n - sum / n * (sum / n)), most};
}

/* `most`: no number is larger, and some come near. Thousands of numbers: deviations are right to a few per cent. */
static void starts(nn_params *p, const char *name, double deviation, double most)
{
    const moments m = of(p, name);
    if (!(fabs(m.mean) < 0.1 * deviation + 1e-12) || !(fabs(m.deviation - deviation) <= 0.05 * deviation))
        fail_msg("%s starts with mean %g, deviation %g, not %g", name, m.mean, m.deviation, deviation);
    if (most > 0 && (m.most > most * (1 + 1e-6) || m.most < 0.95 * most)) fail_msg("%s reaches %g", name, m.most);
}

typedef struct setup {
    nn_params *p;
    ag_graph *g;
    nn_scope s;
} setup;

static setup begin(bool training)
{
    setup t = {.p = nn_params_new(3), .g = ag_graph_new(1)};
    t.s = nn_root(t.p, t.g, training);
    return t;
}

static void end(setup *t)
{
    assert_int_equal(ag_graph_plan(t->g, NULL), AG_OK);
    ag_graph_free(t->g);
    nn_params_free(t->p);
}

static ag_tensor *zeros(ag_graph *g, int rank, const int64_t *shape) { return ag_constant(g, 0, rank, shape); }

static void weights_start_as_published(void **state)
{
    (void)state;
    setup t = begin(true);
    ag_tensor *x = zeros(t.g, 2, (int64_t[]){2, 50});
    const nn_weights kinds[] = {NN_WEIGHTS_UNIFORM, NN_WEIGHTS_NORMAL, NN_WEIGHTS_TRUNCATED, NN_WEIGHTS_XAVIER};
    for (int i = 0; i < 4; i++) nn_linear(nn_at(t.s, "l", i), x, &(nn_linear_opt){.out = 400, .weights = kinds[i]});
    nn_linear(nn_in(t.s, "d"), x, &(nn_linear_opt){.out = 400, .deviation = 0.02});
    const double root = 1 / sqrt(50), glorot = sqrt(6.0 / 450);
    starts(t.p, "l.0.weight", root / sqrt(3), root);
    starts(t.p, "l.0.bias", root / sqrt(3), root);
    starts(t.p, "l.1.weight", root, 0);
    starts(t.p, "l.2.weight", root, 2 * root / 0.8796256610342398);
    starts(t.p, "l.3.weight", glorot / sqrt(3), glorot);
    starts(t.p, "d.weight", 0.02, 0);
    const char *const zero[] = {"l.1.bias", "l.2.bias", "l.3.bias", "d.bias"};
    for (int i = 0; i < 4; i++) assert_true(of(t.p, zero[i]).most == 0);
    end(&t);
}

static void layers_count_their_inputs(void **state)
{
    (void)state;
    setup t = begin(true);
    ag_tensor *x = zeros(t.g, 4, (int64_t[]){1, 8, 8, 24}), *l = zeros(t.g, 3, (int64_t[]){1, 5, 48});
    nn_conv2d(nn_in(t.s, "c"), x, &(nn_conv2d_opt){.out = 32, .kernel = 3});
    nn_conv2d(nn_in(t.s, "g"), x, &(nn_conv2d_opt){.out = 64, .kernel = 3, .groups = 4});
    nn_conv2d_transposed(nn_in(t.s, "t"), x, &(nn_conv2d_opt){.out = 32, .kernel = 4, .stride = 2, .pad = 1});
    nn_embedding(nn_in(t.s, "e"), ag_input(t.g, "i", AG_I32, 1, (int64_t[]){4}),
                 &(nn_embedding_opt){.K = 200, .D = 40});
    nn_embedding(nn_in(t.s, "f"), ag_input(t.g, "i", AG_I32, 1, (int64_t[]){4}),
                 &(nn_embedding_opt){.K = 200, .D = 40, .deviation = 0.1});
    nn_attention(nn_in(t.s, "a"), l,
                 &(nn_attention_opt){.heads = 2, .deviation = 0.02, .proj_deviation = 0.005, .names.qkv = "qkv"});
    nn_attention(nn_in(t.s, "b"), l, &(nn_attention_opt){.heads = 2, .names = {.q = "query", .proj = "out.0"}});
    const double conv = 1 / sqrt(24 * 9), grouped = 1 / sqrt(6 * 9), back = 1 / sqrt(32 * 16), line = 1 / sqrt(48);
    starts(t.p, "c.weight", conv / sqrt(3), conv);
    starts(t.p, "g.weight", grouped / sqrt(3), grouped);
    starts(t.p, "t.weight", back / sqrt(3), back);
    starts(t.p, "e.weight", 1, 0);
    starts(t.p, "f.weight", 0.1, 0);
    starts(t.p, "a.qkv.weight", 0.02, 0);
    starts(t.p, "a.proj.weight", 0.005, 0);
    starts(t.p, "b.query.weight", line / sqrt(3), line);
    starts(t.p, "b.k.weight", line / sqrt(3), line);
    starts(t.p, "b.out.0.weight", line / sqrt(3), line);
    assert_true(of(t.p, "a.qkv.bias").most == 0);
    end(&t);
}

static void a_weight_depends_on_seed_and_name_alone(void **state)
{
    (void)state;
    setup one = begin(true), two = begin(true), other = {.p = nn_params_new(4), .g = ag_graph_new(1)};
    other.s = nn_root(other.p, other.g, true);
    const nn_linear_opt o = {.out = 30};
    const int64_t shape[2] = {2, 20};
    nn_linear(nn_in(one.s, "a"), zeros(one.g, 2, shape), &o);
    nn_linear(nn_in(one.s, "b"), zeros(one.g, 2, shape), &o);
    nn_linear(nn_in(two.s, "b"), zeros(two.g, 2, shape), &o);
    nn_linear(nn_in(other.s, "b"), zeros(other.g, 2, shape), &o);
    const nn_param *b = nn_params_find(one.p, "b.weight");
    const size_t size = 600 * sizeof(real);
    assert_memory_equal(b->data, nn_params_find(two.p, "b.weight")->data, size);
    assert_memory_not_equal(b->data, nn_params_find(one.p, "a.weight")->data, size);
    assert_memory_not_equal(b->data, nn_params_find(other.p, "b.weight")->data, size);
    end(&one), end(&two), end(&other);
}

static void a_second_graph_has_the_same_weights(void **state)
{
    (void)state;
    setup t = begin(true);
    const nn_conv2d_opt o = {.out = 4, .kernel = 3};
    nn_conv2d(nn_in(t.s, "c"), zeros(t.g, 4, (int64_t[]){1, 5, 5, 2}), &o);
    void *data = nn_params_find(t.p, "c.weight")->data;
    ag_graph *g = ag_graph_new(1);
    const nn_scope s = nn_root(t.p, g, false);
    ag_tensor *w[4];
    nn_conv2d(nn_in(s, "c"), zeros(g, 4, (int64_t[]){7, 9, 9, 2}), &o);
    assert_int_equal(nn_params_count(t.p), 2);
    assert_int_equal(nn_trainable(t.p, g, NULL, w, 4), 2);
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    assert_ptr_equal(ag_data(w[0]), data);
    assert_ptr_equal(nn_param_of(t.p, w[0])->data, data);
    assert_null(nn_param_of(t.p, NULL));
    ag_graph_free(g);
    end(&t);
}

static void a_name_has_one_shape(void **state)
{
    (void)state;
    setup t = begin(true);
    ag_tensor *x = zeros(t.g, 2, (int64_t[]){3, 4});
    ag_tensor *a = nn_linear(nn_in(t.s, "l"), x, &(nn_linear_opt){.out = 5, .no_bias = true});
    assert_ptr_equal(nn_linear(nn_in(t.s, "l"), x, &(nn_linear_opt){.out = 5, .no_bias = true}) ? a : NULL, a);
    assert_null(nn_linear(nn_in(t.s, "l"), x, &(nn_linear_opt){.out = 6, .no_bias = true}));
    assert_int_equal(ag_graph_plan(t.g, NULL), AG_ERR_SHAPE);
    assert_string_equal(ag_error_message(), "l.weight exists with another shape: [4,6] asked for, [4,5] found");
    ag_graph_free(t.g);
    ag_graph *g = ag_graph_new(1);
    assert_null(
        nn_linear(nn_in(nn_root(t.p, g, true), "l"), zeros(g, 2, (int64_t[]){3, 7}), &(nn_linear_opt){.out = 5}));
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_string_equal(ag_error_message(), "l.weight exists with another shape: [7,5] asked for, [4,5] found");
    ag_graph_free(g);
    nn_params_free(t.p);
}

static void trainable_are_parameters_of_the_graph_by_prefix(void **state)
{
    (void)state;
    setup t = begin(true);
    ag_tensor *x = zeros(t.g, 2, (int64_t[]){3, 4}), *w[8];
    const nn_linear_opt o = {.out = 4};
    nn_linear(nn_in(t.s, "encoder.a"), x, &o);
    nn_batch_norm(nn_in(t.s, "encoder.norm"), x, NULL);
    nn_linear(nn_in(t.s, "decoder.b"), x, &o);
    assert_int_equal(nn_trainable(t.p, t.g, NULL, w, 8), 6);
    assert_string_equal(ag_name(w[0]), "encoder.a.weight");
    assert_int_equal(nn_trainable(t.p, t.g, (const char *const[]){"decoder", NULL}, w, 8), 2);
    assert_string_equal(ag_name(w[1]), "decoder.b.bias");
    assert_int_equal(nn_trainable(t.p, t.g, (const char *const[]){"x", "encoder.", NULL}, w, 1), 4);
    assert_int_equal(nn_params_numel(t.p, NN_PARAMETER), 2 * 20 + 8);
    assert_int_equal(nn_params_numel(t.p, NN_BUFFER), 8);
    assert_null(nn_params_find(t.p, "encoder"));
    end(&t);
}

static void what_is_frozen_is_not_trained(void **state)
{
    (void)state;
    setup t = begin(true);
    ag_tensor *x = zeros(t.g, 2, (int64_t[]){3, 4}), *w[8];
    assert_int_equal(nn_freeze(t.p, "enc"), AG_OK);
    assert_true(nn_is_frozen(t.p, "enc"));
    assert_true(nn_is_frozen(t.p, "enc.norm.weight"));
    assert_false(nn_is_frozen(t.p, "encoder"));
    nn_batch_norm(nn_in(t.s, "enc.norm"), x, NULL);
    nn_batch_norm(nn_in(t.s, "encoder"), x, NULL);
    assert_int_equal(nn_trainable(t.p, t.g, NULL, w, 8), 2);
    assert_string_equal(ag_name(w[0]), "encoder.weight");
    assert_int_equal(ag_graph_plan(t.g, NULL), AG_OK);
    assert_int_equal(ag_graph_run(t.g, 1), AG_OK);
    assert_true(((real *)nn_params_find(t.p, "enc.norm.running_var")->data)[0] == 1);
    assert_true(((real *)nn_params_find(t.p, "encoder.running_var")->data)[0] == (real)0.9);
    end(&t);
}

static void a_part_is_frozen_under_any_name(void **state)
{
    (void)state;
    setup t = begin(true);
    ag_tensor *x = zeros(t.g, 2, (int64_t[]){3, 4}), *w[8];
    assert_int_equal(nn_freeze(t.p, "encoder"), AG_OK);
    assert_false(nn_part(nn_in(t.s, "before"), "encoder").training);
    assert_true(nn_part(nn_in(t.s, "behind"), "decoder").training);
    nn_batch_norm(nn_in(t.s, "before.norm"), x, NULL);
    nn_batch_norm(nn_in(t.s, "behind.norm"), x, NULL);
    assert_int_equal(nn_trainable(t.p, t.g, NULL, w, 8), 2);
    assert_string_equal(ag_name(w[0]), "behind.norm.weight");
    assert_string_equal(nn_part_at(t.p, 0), "decoder");
    assert_string_equal(nn_part_at(t.p, 1), "encoder");
    assert_null(nn_part_at(t.p, 2));
    end(&t);
}

static void an_outline_has_shapes_and_no_memory(void **state)
{
    (void)state;
    setup t = {.p = nn_params_outline(), .g = ag_graph_new(1)};
    t.s = nn_root(t.p, t.g, false);
    nn_linear(nn_in(t.s, "l"), zeros(t.g, 2, (int64_t[]){1, 4}), &(nn_linear_opt){.out = 5});
    assert_int_equal(nn_params_numel(t.p, NN_PARAMETER), 25);
    assert_null(nn_params_find(t.p, "l.weight")->data);
    ag_graph_free(t.g);
    nn_params_free(t.p);
}

/* ---- updates from micro-batches ------------------------------------------------------------------------------------------- */

enum { ROWS = 12, CODES = 5, WIDTH = 3 };

/* The codebook after two updates of ROWS rows each, cut into `micro` batches. */
static void codebook(int micro, bool debias, double *out)
{
    setup t = begin(true);
    nn_micro_batches(t.p, micro);
    assert_int_equal(nn_micro_batches_of(t.p), micro);
    const int rows = ROWS / micro;
    ag_tensor *z = ag_input(t.g, "z", AG_REAL, 2, (int64_t[]){rows, WIDTH});
    const nn_quantizer_opt o = {.K = CODES, .D = WIDTH, .decay = 0.9, .debias = debias, .initial_count = !debias};
    nn_quantize(nn_in(t.s, "q"), z, &o, NULL);
    if (ag_graph_plan(t.g, NULL)) fail_msg("%s", ag_error_message());
    for (int update = 0; update < 2; update++)
        for (int m = 0; m < micro; m++) {
            real *to = ag_data(z);
            for (int i = 0; i < rows * WIDTH; i++)
                to[i] = (real)(4 * golden_u((uint32_t)((update * ROWS + m * rows) * WIDTH + i)));
            const unsigned last = m == micro - 1 ? ~0u : 1u << NN_EACH_RUN;
            assert_int_equal(ag_graph_run_groups(t.g, 1, last), AG_OK);
        }
    const char *const parts[] = {"q.embedding", "q.embedding_sum", "q.cluster_size"};
    for (int i = 0; i < 3; i++) {
        const nn_param *p = nn_params_find(t.p, parts[i]);
        for (int64_t j = 0; j < p->numel; j++) *out++ = (double)((const real *)p->data)[j];
    }
    end(&t);
}

static void codebooks_learn_the_same_from_micro_batches(void **state)
{
    (void)state;
    enum { ALL = CODES * (2 * WIDTH + 1) };
    double want[ALL], got[ALL];
    for (int debias = 0; debias < 2; debias++) {
        codebook(1, debias, want);
        for (int micro = 2; micro <= 4; micro++) {
            codebook(micro, debias, got);
            for (int i = 0; i < ALL; i++)
                if (!(fabs(got[i] - want[i]) <= 1e-5 * fmax(1, fabs(want[i]))))
                    fail_msg("%d micro-batches: number %d is %g, not %g", micro, i, got[i], want[i]);
        }
    }
}

static void codebooks_that_cannot_learn_are_refused(void **state)
{
    (void)state;
    setup t = begin(true);
    const real rows[6] = {0};
    const nn_quantizer_opt o = {.K = 4, .D = 3, .start = NN_START_DATA};
    assert_int_equal(nn_quantizer_start(t.p, "q", &o, 2, rows, 1), AG_ERR_FAILED);
    assert_non_null(strstr(ag_error_message(), "q: no codebook of that name"));
    end(&t);
    t = begin(true);
    ag_tensor *z = ag_input(t.g, "z", AG_REAL, 2, (int64_t[]){2, 3});
    nn_quantize(nn_in(t.s, "q"), z, &(nn_quantizer_opt){.K = 4, .D = 3, .restart = 1}, NULL);
    assert_int_equal(ag_graph_plan(t.g, NULL), AG_ERR_USAGE);
    assert_non_null(strstr(ag_error_message(), "2 latents a batch over 4 codes"));
    ag_graph_free(t.g);
    nn_params_free(t.p);
}

/* Codes that start from data are rows of it, different ones while there are enough; counts and sums fit. */
static void codebooks_start_as_rows_of_the_data(void **state)
{
    (void)state;
    setup t = begin(true);
    real rows[7 * 3];
    for (int i = 0; i < 21; i++) rows[i] = (real)i;
    const nn_quantizer_opt o = {.K = 5, .D = 3, .start = NN_START_DATA};
    assert_true(nn_quantizer_starts_from_data(&o));
    assert_false(nn_quantizer_starts_from_data(&(nn_quantizer_opt){.K = 5, .D = 3}));
    nn_quantize(nn_in(t.s, "q"), ag_input(t.g, "z", AG_REAL, 2, (int64_t[]){7, 3}), &o, NULL);
    assert_int_equal(nn_quantizer_start(t.p, "q", &o, 7, rows, 1), AG_OK);
    const real *e = nn_params_find(t.p, "q.embedding")->data, *m = nn_params_find(t.p, "q.embedding_sum")->data;
    unsigned seen = 0;
    for (int k = 0; k < 5; k++) {
        const int row = (int)e[3 * k] / 3;
        assert_memory_equal(e + 3 * k, rows + 3 * row, 3 * sizeof(real));
        assert_memory_equal(m + 3 * k, e + 3 * k, 3 * sizeof(real));
        assert_false(seen >> row & 1);
        seen |= 1u << row;
        assert_true(((real *)nn_params_find(t.p, "q.cluster_size")->data)[k] == 1);
    }
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_start_as_published),
        cmocka_unit_test(layers_count_their_inputs),
        cmocka_unit_test(a_weight_depends_on_seed_and_name_alone),
        cmocka_unit_test(a_second_graph_has_the_same_weights),
        cmocka_unit_test(a_name_has_one_shape),
        cmocka_unit_test(trainable_are_parameters_of_the_graph_by_prefix),
        cmocka_unit_test(what_is_frozen_is_not_trained),
        cmocka_unit_test(a_part_is_frozen_under_any_name),
        cmocka_unit_test(an_outline_has_shapes_and_no_memory),
        cmocka_unit_test(codebooks_learn_the_same_from_micro_batches),
        cmocka_unit_test(codebooks_that_cannot_learn_are_refused),
        cmocka_unit_test(codebooks_start_as_rows_of_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
