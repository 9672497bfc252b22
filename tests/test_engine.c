/* The engine's promises: mistakes are reported once and named, effects see the old values, the arena gives the bits of unshared
 * memory, the number of threads changes no bit, a step allocates nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/cpu.h"
#include "autograd/random.h"
#include "nn/quantizer.h"
#include "optim/optim.h"

/* ---- counting allocations ---------------------------------------------------------------------------------------- */

static _Atomic long allocations;
static long fail_after = -1; /* allocations that still succeed; -1: all */

#ifndef SANITIZED
#define COUNTS_ALLOCATIONS 1
static int refuse(void)
{
    allocations++;
    if (fail_after < 0) return 0;
    if (fail_after == 0) return 1;
    fail_after--;
    return 0;
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) { return refuse() ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return refuse() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return refuse() ? NULL : __libc_realloc(p, size); }
void *aligned_alloc(size_t alignment, size_t size) { return refuse() ? NULL : __libc_memalign(alignment, size); }
#else
#define COUNTS_ALLOCATIONS 0
#endif

/* ---- a small VQ-VAE as a subject ----------------------------------------------------------------------------------- */

enum { B = 8 };

typedef struct model {
    nn_params *params;
    ag_graph *g;
    ag_tensor *pixels, *rate, *step, *loss, *codes;
} model;

static const nn_vqvae_opt network = {
    .hidden = 24, .residual = 10, .blocks = 2, .downsampling = 2, .D = 6, .channels = 3, .residual_bias = true};

static model build(nn_codebook_rule rule, double restart)
{
    model m = {.params = nn_params_new(5), .g = ag_graph_new(6)};
    if (!m.params || !m.g) return m;
    const nn_scope root = nn_root(m.params, m.g, true);
    const nn_quantizer_opt vq = {
        .K = 16, .D = network.D, .beta = 0.25, .rule = rule, .initial_count = 1, .restart = restart};
    ag_tensor *params[64], *grads[64];
    m.pixels = ag_input(m.g, "pixels", AG_U8, 4, (int64_t[]){B, 12, 20, 3});
    m.rate = ag_input(m.g, "rate", AG_REAL, 0, NULL);
    m.step = ag_input(m.g, "step", AG_REAL, 0, NULL);
    ag_tensor *x = ag_from_u8(m.pixels, 1 / 255.0, -0.5);
    ag_tensor *z = nn_vqvae_encoder(nn_in(root, "encoder"), x, &network);
    nn_quantized q = nn_quantize(nn_in(root, "quantizer"), z, &vq, NULL);
    ag_tensor *y = nn_vqvae_decoder(nn_in(root, "decoder"), q.latents, &network);
    m.loss = ag_add(nn_mse(y, x), nn_quantized_loss(&q));
    m.loss = ag_keep(m.loss);
    m.codes = ag_keep(q.codes);
    const int n = nn_trainable(m.params, m.g, NULL, params, 64);
    ag_gradient(m.loss, n, params, grads);
    opt_adam(root, n, params, grads, m.rate, m.step,
             &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .update.clip = 3});
    opt_average(root, n, params, 0.9, true, m.step);
    return m;
}

static void model_free(model *m)
{
    ag_graph_free(m->g);
    nn_params_free(m->params);
}

static void fill(const model *m)
{
    uint8_t *p = ag_data(m->pixels);
    for (int64_t i = 0; i < ag_numel(m->pixels); i++) p[i] = (uint8_t)(ag_random_u64(1, 2, (uint64_t)i) >> 7);
    *(real *)ag_data(m->rate) = (real)1e-2;
}

static ag_err train(const model *m, int steps)
{
    ag_err err = AG_OK;
    for (int s = 1; s <= steps && !err; s++) {
        *(real *)ag_data(m->step) = (real)s;
        err = ag_graph_run(m->g, (uint64_t)s);
    }
    return err;
}

/* FNV-1a over every tensor of the model. */
static uint64_t weights_hash(const model *m)
{
    uint64_t h = 14695981039346656037u;
    for (int i = 0; i < nn_params_count(m->params); i++) {
        const nn_param *p = nn_params_at(m->params, i);
        const unsigned char *b = p->data;
        for (size_t j = 0; j < (size_t)p->numel * sizeof(real); j++) h = (h ^ b[j]) * 1099511628211u;
    }
    return h;
}

static uint64_t trained_hash(const ag_plan_options *options, nn_codebook_rule rule, double restart)
{
    model m = build(rule, restart);
    if (ag_graph_plan(m.g, options)) fail_msg("%s", ag_error_message());
    fill(&m);
    assert_int_equal(train(&m, 6), AG_OK);
    assert_true(isfinite(ag_value(m.loss)));
    const uint64_t h = weights_hash(&m);
    model_free(&m);
    return h;
}

static void arena_gives_the_bits_of_unshared_memory(void **state)
{
    (void)state;
    const ag_plan_options unshared = {.unshared = true}, again = {.recompute = true};
    assert_true(trained_hash(NULL, NN_CODEBOOK_EMA, 1) == trained_hash(&again, NN_CODEBOOK_EMA, 1));
    assert_true(trained_hash(NULL, NN_CODEBOOK_EMA, 0) == trained_hash(&unshared, NN_CODEBOOK_EMA, 0));
    assert_true(trained_hash(NULL, NN_CODEBOOK_GRADIENT, 0.5) == trained_hash(&unshared, NN_CODEBOOK_GRADIENT, 0.5));
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    const int threads[] = {1, 2, 3, 4, 8};
    uint64_t first = 0;
    for (int i = 0; i < 5; i++) {
        ag_cpu_set_threads(threads[i]);
        const uint64_t h = trained_hash(NULL, NN_CODEBOOK_EMA, 1);
        if (!i) first = h;
        assert_true(h == first);
    }
    ag_cpu_set_threads(0);
}

static void training_lowers_the_loss(void **state)
{
    (void)state;
    model m = build(NN_CODEBOOK_EMA, 0);
    assert_int_equal(ag_graph_plan(m.g, NULL), AG_OK);
    fill(&m);
    train(&m, 1);
    const double before = ag_value(m.loss);
    train(&m, 30);
    assert_true(ag_value(m.loss) < 0.9 * before);
    model_free(&m);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTS_ALLOCATIONS) skip();
    model m = build(NN_CODEBOOK_EMA, 1);
    assert_int_equal(ag_graph_plan(m.g, NULL), AG_OK);
    fill(&m);
    train(&m, 2);
    const long before = allocations;
    train(&m, 3);
    assert_int_equal(allocations, before);
    model_free(&m);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    if (!COUNTS_ALLOCATIONS) skip();
    const ag_plan_options again = {.recompute = true};
    for (long n = 0;; n++) {
        fail_after = n;
        model m = build(NN_CODEBOOK_EMA, 1);
        ag_err err = m.params && m.g ? ag_graph_plan(m.g, &again) : AG_ERR_MEMORY;
        const bool ran_out = fail_after == 0;
        fail_after = -1;
        if (err) assert_int_equal(err, AG_ERR_MEMORY);
        if (m.g || m.params) model_free(&m);
        if (!err) {
            assert_false(ran_out && n == 0);
            assert_true(n > 20);
            return;
        }
    }
}

/* ---- small graphs --------------------------------------------------------------------------------------------------- */

static void first_mistake_is_named(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_graph_scope(g, "decoder.up.1.conv");
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 8, 8, 5}),
              *w = ag_input(g, "w", AG_REAL, 4, (int64_t[]){3, 3, 4, 2});
    ag_tensor *y = ag_conv2d(x, w, NULL, NULL, NULL);
    assert_null(y);
    assert_null(ag_add(y, y)); /* later mistakes are not reported */
    assert_null(ag_matmul(x, w, false, false));
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "conv2d in decoder.up.1.conv of [1,8,8,5], [3,3,4,2]"));
    assert_non_null(strstr(ag_error_message(), "5 channels meet a weight for"));
    ag_graph_free(g);
}

static void gradient_of_what_is_not_differentiable_says_so(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){3}), *d;
    ag_gradient(ag_square(x), 1, &x, &d);
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "only a real scalar"));
    ag_graph_free(g);
}

static void effects_read_the_old_values(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *a = ag_state(g, "a", AG_REAL, 0, NULL), *b = ag_state(g, "b", AG_REAL, 0, NULL);
    ag_assign(a, b); /* a swap: neither sees the other's new value */
    ag_assign(b, a);
    ag_tensor *sum = ag_keep(ag_add(a, ag_scale(b, 10)));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    *(real *)ag_data(a) = 1;
    *(real *)ag_data(b) = 2;
    assert_int_equal(ag_graph_run(g, 0), AG_OK);
    assert_true(ag_value(a) == 2 && ag_value(b) == 1 && ag_value(sum) == 21);
    assert_int_equal(ag_graph_run_pure(g, 0), AG_OK);
    assert_true(ag_value(a) == 2 && ag_value(b) == 1 && ag_value(sum) == 12);
    ag_graph_free(g);
}

static void what_nobody_needs_is_dropped(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){1000});
    ag_tensor *y = ag_keep(ag_sum(ag_square(x)));
    ag_exp(ag_square(x));
    ag_plan_report r;
    assert_int_equal(ag_graph_plan_report(g, NULL, &r), AG_OK);
    assert_int_equal(r.nodes, 2);
    assert_int_equal(r.dropped, 2);
    assert_non_null(y);
    ag_graph_free(g);
}

static void a_chain_runs_in_one_buffer(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){4096}), *y = x;
    for (int i = 0; i < 10; i++) y = ag_shift(y, 1);
    ag_keep(y);
    ag_plan_report r;
    assert_int_equal(ag_graph_plan_report(g, NULL, &r), AG_OK);
    assert_int_equal(r.arena_bytes, 4096 * sizeof(real));
    assert_int_equal(r.unshared_bytes, 10 * 4096 * sizeof(real));
    ag_graph_free(g);
}

static void memory_bound_refuses_with_the_figure(void **state)
{
    (void)state;
    model m = build(NN_CODEBOOK_EMA, 0);
    assert_int_equal(ag_graph_plan(m.g, &(ag_plan_options){.memory_limit = 1 << 16}), AG_ERR_MEMORY);
    assert_non_null(strstr(ag_error_message(), "MiB"));
    model_free(&m);
}

static void anomaly_names_the_first_tensor(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){3});
    ag_graph_scope(g, "decoder.norm");
    ag_keep(ag_exp(ag_log(x)));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    ((real *)ag_data(x))[1] = -1;
    assert_int_equal(ag_graph_run(g, 4), AG_OK);
    ag_graph_anomaly(g, true);
    assert_int_equal(ag_graph_run(g, 4), AG_ERR_DIVERGED);
    assert_non_null(strstr(ag_error_message(), "log in decoder.norm"));
    ag_graph_free(g);
}

static void random_tensors_are_keyed_by_step(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(11);
    ag_tensor *u = ag_keep(ag_uniform(g, 1, (int64_t[]){10000}, -1, 1)),
              *n = ag_keep(ag_normal(g, 1, (int64_t[]){10000}, 2, 3)), *rows = ag_keep(ag_random_rows(g, 100, 1000));
    real first[10000];
    double sum = 0, squares = 0;
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    ag_graph_run(g, 1);
    memcpy(first, ag_data(u), sizeof first);
    for (int i = 0; i < 10000; i++) {
        const double v = (double)((real *)ag_data(n))[i];
        sum += v, squares += v * v;
        assert_true(first[i] >= -1 && first[i] < 1);
    }
    assert_true(fabs(sum / 10000 - 2) < 0.1 && fabs(sqrt(squares / 10000 - 4) - 3) < 0.1);
    for (int i = 1; i < 100; i++) assert_true(((int32_t *)ag_data(rows))[i] > ((int32_t *)ag_data(rows))[i - 1]);
    ag_graph_run(g, 2);
    assert_memory_not_equal(first, ag_data(u), sizeof first);
    ag_graph_run(g, 1);
    assert_memory_equal(first, ag_data(u), sizeof first);
    ag_graph_free(g);
}

static void graph_prints_as_text_and_dot(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    model m = build(NN_CODEBOOK_EMA, 0);
    assert_int_equal(ag_graph_plan(m.g, NULL), AG_OK);
    FILE *f = open_memstream(&text, &size);
    ag_graph_print(m.g, f);
    ag_graph_dot(m.g, f);
    ag_graph_profile(m.g, true);
    fill(&m);
    train(&m, 1);
    const ag_machine machine = {.threads = 2, .gflops = 1e-9, .gbs = 1e9};
    ag_graph_profile_print(m.g, 2, &machine, f);
    fclose(f);
    assert_non_null(strstr(text, "encoder.down.0"));
    assert_non_null(strstr(text, "digraph"));
    assert_non_null(strstr(text, "conv2d_weight_grad"));
    assert_non_null(strstr(text, "GFLOP/s"));
    assert_non_null(strstr(text, "of limit"));
    free(text);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_the_bits_of_unshared_memory),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(training_lowers_the_loss),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(every_failed_allocation_is_an_error),
        cmocka_unit_test(first_mistake_is_named),
        cmocka_unit_test(gradient_of_what_is_not_differentiable_says_so),
        cmocka_unit_test(effects_read_the_old_values),
        cmocka_unit_test(what_nobody_needs_is_dropped),
        cmocka_unit_test(a_chain_runs_in_one_buffer),
        cmocka_unit_test(memory_bound_refuses_with_the_figure),
        cmocka_unit_test(anomaly_names_the_first_tensor),
        cmocka_unit_test(random_tensors_are_keyed_by_step),
        cmocka_unit_test(graph_prints_as_text_and_dot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
