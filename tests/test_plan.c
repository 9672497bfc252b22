/* Plans: what recomputation, memory bounds, groups of effects and placement promise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "autograd/cpu.h"
#include "autograd/random.h"
#include "nn/quantizer.h"
#include "optim/optim.h"

/* ---- a network with noise, in blocks -------------------------------------------------------------------------------- */

enum { WIDTH = 12, LAYERS = 5, WEIGHTS = 2 * LAYERS };

typedef struct net {
    ag_graph *g;
    ag_tensor *x, *loss, *w[WEIGHTS], *d[WEIGHTS];
} net;

static ag_tensor *layer(const net *n, ag_tensor *h, int i)
{
    const int64_t shape[] = {ag_dim(h, 0), WIDTH};
    ag_tensor *a = ag_relu(ag_add(ag_matmul(h, n->w[2 * i], false, false), ag_normal(n->g, 2, shape, 0, 0.1)));
    ag_tensor *b = ag_exp(ag_scale(ag_square(ag_matmul(a, n->w[2 * i + 1], false, false)), -0.1));
    return ag_add(h, ag_mul(ag_dropout(ag_reshape(b, 2, shape), 0.25), ag_layer_norm(a, NULL, NULL, 1e-5)));
}

/* `twice`: the loss has the first gradients in it (random ops and blocks after a first ag_gradient). */
static net net_build(int64_t batch, bool blocks, bool twice)
{
    net n = {.g = ag_graph_new(3)};
    n.x = ag_input(n.g, "x", AG_REAL, 2, (int64_t[]){batch, WIDTH});
    for (int i = 0; i < WEIGHTS; i++) n.w[i] = ag_state(n.g, "w", AG_REAL, 2, (int64_t[]){WIDTH, WIDTH});
    ag_tensor *h = n.x;
    for (int i = 0; i < LAYERS; i++) {
        if (blocks) ag_block_begin(n.g);
        h = layer(&n, h, i);
        if (blocks) ag_block_end(n.g);
    }
    n.loss = ag_mean(ag_square(h));
    if (twice) {
        ag_gradient(n.loss, WEIGHTS, n.w, n.d);
        if (blocks) ag_block_begin(n.g);
        ag_tensor *more = ag_mean(ag_square(layer(&n, h, 1)));
        if (blocks) ag_block_end(n.g);
        n.loss = ag_add(ag_add(n.loss, more), ag_sum(ag_square(n.d[0])));
    }
    ag_gradient(n.loss, WEIGHTS, n.w, n.d);
    for (int i = 0; i < WEIGHTS; i++) ag_keep(n.d[i]);
    ag_keep(n.loss);
    return n;
}

static void numbers(uint64_t stream, double scale, ag_tensor *t)
{
    for (int64_t i = 0; i < ag_numel(t); i++)
        ((real *)ag_data(t))[i] = (real)(scale * ag_random_normal(4, stream, (uint64_t)i));
}

static void net_run(const net *n, const ag_plan_options *options)
{
    if (ag_graph_plan(n->g, options)) fail_msg("%s", ag_error_message());
    numbers(100, 1, n->x);
    for (int i = 0; i < WEIGHTS; i++) numbers((uint64_t)i, 0.3, n->w[i]);
    assert_int_equal(ag_graph_run(n->g, 7), AG_OK);
    assert_true(isfinite(ag_value(n->loss)));
}

static void same_bits(const net *a, const net *b)
{
    assert_true(ag_value(a->loss) == ag_value(b->loss));
    for (int i = 0; i < WEIGHTS; i++) assert_memory_equal(ag_data(a->d[i]), ag_data(b->d[i]), ag_bytes(a->d[i]));
}

static void recomputation_changes_no_bit(void **state)
{
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        net plain = net_build(9, false, twice), kept = net_build(9, true, twice), again = net_build(9, true, twice),
            apart = net_build(9, true, twice);
        net_run(&plain, NULL);
        net_run(&kept, NULL);
        net_run(&again, &(ag_plan_options){.recompute = true});
        net_run(&apart, &(ag_plan_options){.recompute = true, .unshared = true});
        if (!twice) same_bits(&plain, &kept); /* second gradients add up in another order where there are blocks */
        assert_true(ag_value(plain.loss) == ag_value(kept.loss));
        same_bits(&kept, &again);
        same_bits(&kept, &apart);
        net_run(&again, NULL); /* the same graph, planned anew without */
        same_bits(&kept, &again);
        ag_graph_free(plain.g), ag_graph_free(kept.g), ag_graph_free(again.g), ag_graph_free(apart.g);
    }
}

/* Ops with further results: attention, group norm, and batch norm whose statistics are also read outside of the block. */
static ag_graph *statistics(ag_tensor **x, ag_tensor **dx, ag_tensor **mean)
{
    ag_graph *g = ag_graph_new(3);
    *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){2, 4, 6, 8});
    ag_tensor *h = *x;
    for (int i = 0; i < 3; i++) {
        ag_block_begin(g);
        h = ag_group_norm(ag_square(h), NULL, NULL, 2, 1e-5, AG_SILU);
        h = ag_batch_norm(ag_scale(h, 2), NULL, NULL, 1e-5, AG_LINEAR, mean, NULL);
        h = ag_reshape(h, 3, (int64_t[]){2, 24, 8});
        h = ag_add(ag_attention(h, ag_square(h), h, &(ag_attention_options){.heads = 2}), ag_softmax(h));
        h = ag_reshape(ag_exp(h), 4, (int64_t[]){2, 4, 6, 8});
        ag_block_end(g);
    }
    ag_keep(*mean);
    ag_gradient(ag_mean(ag_square(h)), 1, x, dx);
    ag_keep(*dx);
    return g;
}

static void ops_with_statistics_are_recomputed_too(void **state)
{
    (void)state;
    real first[2][2 * 4 * 6 * 8];
    for (int again = 0; again < 2; again++) {
        ag_tensor *x, *dx, *mean = NULL;
        ag_graph *g = statistics(&x, &dx, &mean);
        if (ag_graph_plan(g, &(ag_plan_options){.recompute = again})) fail_msg("%s", ag_error_message());
        numbers(100, 1, x);
        assert_int_equal(ag_graph_run(g, 7), AG_OK);
        memcpy(first[again], ag_data(dx), sizeof first[again]);
        assert_true(isfinite(ag_value(mean)) && first[again][5] != 0);
        ag_graph_free(g);
    }
    assert_memory_equal(first[0], first[1], sizeof first[0]);
}

static ag_plan_report report(ag_graph *g, const ag_plan_options *options)
{
    ag_plan_report r;
    if (ag_graph_plan_report(g, options, &r)) fail_msg("%s", ag_error_message());
    return r;
}

static void only_what_the_gradient_needs_is_rebuilt(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){64}), *w = ag_state(g, "w", AG_REAL, 1, (int64_t[]){64}),
              *d;
    ag_block_begin(g);
    ag_tensor *a = ag_mul(x, w), *b = ag_exp(a), *c = ag_add(b, x); /* the gradient needs b, and a to make it */
    ag_block_end(g);
    ag_gradient(ag_sum(c), 1, &w, &d);
    ag_keep(d);
    assert_int_equal(report(g, NULL).recomputed, 0);
    assert_int_equal(report(g, &(ag_plan_options){.recompute = true}).recomputed, 2);
    ag_graph_free(g);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static ag_graph *vqvae(nn_params *params, int64_t batch)
{
    const nn_vqvae_opt network = {
        .hidden = 128, .residual = 32, .blocks = 2, .downsampling = 2, .D = 64, .channels = 3, .skip_relu = true};
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(params, g, true);
    ag_tensor *params_used[64], *grads[64], *rate = ag_input(g, "rate", AG_REAL, 0, NULL);
    ag_tensor *x = ag_from_u8(ag_input(g, "pixels", AG_U8, 4, (int64_t[]){batch, 32, 32, 3}), 1 / 255.0, -0.5);
    ag_tensor *z = nn_vqvae_encoder(nn_in(root, "encoder"), x, &network);
    const nn_quantized q =
        nn_quantize(nn_in(root, "quantizer"), z, &(nn_quantizer_opt){.K = 512, .D = network.D, .beta = 0.25}, NULL);
    ag_tensor *y = nn_vqvae_decoder(nn_in(root, "decoder"), q.latents, &network);
    ag_tensor *loss = ag_keep(ag_add(nn_mse(y, x), nn_quantized_loss(&q)));
    const int n = nn_trainable(params, g, NULL, params_used, 64);
    ag_gradient(loss, n, params_used, grads);
    opt_adam(root, n, params_used, grads, rate, rate, NULL);
    return g;
}

static double share(const ag_plan_report *r) { return (double)r->arena_bytes / (double)r->unshared_bytes; }

static void arena_is_a_fraction_of_unshared_memory(void **state)
{
    (void)state;
    nn_params *params = nn_params_new(1);
    ag_graph *g = vqvae(params, 256);
    const ag_plan_report kept = report(g, NULL), again = report(g, &(ag_plan_options){.recompute = true});
    print_message("[          ] arena %.1f%% of unshared memory, %.1f%% with recomputation\n", 100 * share(&kept),
                  100 * share(&again));
    assert_true(share(&kept) <= 0.40);
    assert_true(share(&again) <= 0.25);
    assert_true(kept.arena_bytes >= kept.bound_bytes && (double)kept.arena_bytes <= 1.05 * (double)kept.bound_bytes);
    assert_true(again.arena_bytes >= again.bound_bytes &&
                (double)again.arena_bytes <= 1.05 * (double)again.bound_bytes);
    ag_graph_free(g);
    nn_params_free(params);
}

static int64_t needs(const ag_plan_report *r) { return r->arena_bytes + r->state_bytes + r->input_bytes; }

static void bound_first_recomputes_then_refuses(void **state)
{
    (void)state;
    nn_params *params = nn_params_new(1);
    ag_graph *g = vqvae(params, 64);
    ag_plan_report kept = report(g, NULL), again = report(g, &(ag_plan_options){.recompute = true}), r;
    r = report(g, &(ag_plan_options){.memory_limit = needs(&kept)});
    assert_true(r.recomputed == 0 && r.arena_bytes == kept.arena_bytes);
    r = report(g, &(ag_plan_options){.memory_limit = needs(&kept) - 1});
    assert_true(r.recomputed > 0 && r.arena_bytes == again.arena_bytes);
    const ag_plan_options tight = {.memory_limit = needs(&again) - 1, .batch = 64},
                          half = {.memory_limit = needs(&again) * 9 / 10, .batch = 64};
    assert_int_equal(ag_graph_plan_report(g, &tight, &r), AG_ERR_MEMORY);
    assert_true(r.batch_that_fits == 63);
    assert_int_equal(ag_graph_plan_report(g, &half, &r), AG_ERR_MEMORY);
    char advice[64];
    snprintf(advice, sizeof advice, "a batch of %lld would fit", (long long)r.batch_that_fits);
    assert_non_null(strstr(ag_error_message(), advice));
    assert_true(r.batch_that_fits > 20 && r.batch_that_fits < 64);
    ag_graph *smaller = vqvae(params, r.batch_that_fits * 9 / 10); /* what fits is an estimate */
    assert_int_equal(ag_graph_plan_report(smaller, &half, &r), AG_OK);
    ag_graph_free(g), ag_graph_free(smaller);
    nn_params_free(params);
}

/* No two storages that live at the same time may meet: random graphs, bits against unshared memory. */
static ag_tensor *random_graph(ag_graph *g, uint64_t seed, int nodes)
{
    ag_tensor *t[200], *sum = ag_constant(g, 0, 0, NULL);
    int n = 1;
    t[0] = ag_input(g, "x", AG_REAL, 1, (int64_t[]){300});
    for (uint64_t i = 0; n < nodes; i++) {
        ag_tensor *a = t[ag_random_below(seed, 1, i, (uint64_t)n)];
        const int64_t size = 1 + (int64_t)ag_random_below(seed, 2, i, 300), numel = ag_numel(a);
        ag_tensor *b = numel == 1 ? ag_broadcast(a, 1, &size) : ag_mul(a, ag_scale(a, 0.5));
        if (ag_random_below(seed, 3, i, 3) == 0 && ag_numel(b) > 1) b = ag_reshape(ag_sum(b), 1, (int64_t[]){1});
        t[n++] = b;
    }
    for (int i = 0; i < n; i += 7) sum = ag_add(sum, ag_mean(t[i]));
    return ag_keep(sum);
}

static void placed_storages_never_meet(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        double value[2];
        for (int unshared = 0; unshared < 2; unshared++) {
            ag_graph *g = ag_graph_new(1);
            ag_tensor *sum = random_graph(g, seed, 150);
            assert_int_equal(ag_graph_plan(g, &(ag_plan_options){.unshared = unshared}), AG_OK);
            ag_graph_run(g, 0);
            value[unshared] = ag_value(sum);
            const ag_plan_report r = report(g, NULL);
            worst = fmax(worst, (double)r.arena_bytes / (double)r.bound_bytes - 1);
            ag_graph_free(g);
        }
        assert_true(value[0] == value[1]);
    }
    print_message("[          ] random graphs: arena at most %.1f%% above the bound\n", 100 * worst);
    assert_true(worst < 0.15);
}

static void planning_is_fast(void **state)
{
    (void)state;
    double best = 1e9;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){64}), *y = x, *d;
    for (int i = 0; i < 250; i++) y = ag_mul(ag_exp(y), ag_square(y));
    ag_gradient(ag_sum(y), 1, &x, &d);
    ag_keep(d);
    for (int i = 0; i < 10; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        const ag_plan_report r = report(g, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        best = fmin(best, (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6);
        if (!i) print_message("[          ] %lld nodes", (long long)r.nodes);
    }
    print_message(" planned in %.2f ms\n", best);
    assert_true(best < 20); /* a debug build on a busy machine; see tests/bench for figures */
    ag_graph_free(g);
}

static void memory_map_is_text_and_picture(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    net n = net_build(9, true, false);
    ag_graph_memory_print(n.g, f);
    ag_graph_memory_svg(n.g, f);
    assert_int_equal(ag_graph_plan(n.g, &(ag_plan_options){.recompute = true}), AG_OK);
    ag_graph_scope(n.g, "a<b");
    ag_graph_memory_print(n.g, f);
    ag_graph_memory_svg(n.g, f);
    fclose(f);
    assert_non_null(strstr(text, "no plan"));
    assert_non_null(strstr(text, "above the most that lives at one time"));
    assert_non_null(strstr(text, "<title>again: "));
    assert_non_null(strstr(text, "</svg>"));
    free(text);
    ag_graph_free(n.g);
}

/* ---- gradients over micro-batches ------------------------------------------------------------------------------------ */

enum { FEATURES = 7, HIDDEN = 9, MICRO = 4, ROWS = 5 };

typedef struct trained {
    nn_params *params;
    ag_graph *g;
    ag_tensor *x, *rate, *step, *grads[8], *sums[8], *wrt[8];
    int n;
} trained;

/* A network of two layers; `k` > 0: gradients are summed over k runs. */
static trained trained_build(int64_t rows, int k)
{
    trained t = {.params = nn_params_new(2), .g = ag_graph_new(2)};
    const nn_scope s = nn_root(t.params, t.g, true);
    const nn_init init = {.rule = NN_UNIFORM, .a = -0.5, .b = 0.5};
    t.x = ag_input(t.g, "x", AG_REAL, 2, (int64_t[]){rows, FEATURES});
    t.rate = ag_input(t.g, "rate", AG_REAL, 0, NULL);
    t.step = ag_input(t.g, "step", AG_REAL, 0, NULL);
    ag_tensor *a = nn_tensor(s, "a.weight", NN_PARAMETER, NN_PLAIN, 2, (int64_t[]){FEATURES, HIDDEN}, init);
    ag_tensor *b = nn_tensor(s, "a.bias", NN_PARAMETER, NN_PLAIN, 1, (int64_t[]){HIDDEN}, init);
    ag_tensor *c = nn_tensor(s, "b.weight", NN_PARAMETER, NN_PLAIN, 2, (int64_t[]){HIDDEN, 3}, init);
    ag_tensor *h = ag_relu(ag_add(ag_matmul(t.x, a, false, false), b));
    ag_tensor *loss = ag_mean(ag_square(ag_matmul(h, c, false, false)));
    t.n = nn_trainable(t.params, t.g, NULL, t.wrt, 8);
    ag_gradient(loss, t.n, t.wrt, t.grads);
    ag_tensor **grads = t.grads;
    for (int i = 0; i < t.n; i++) ag_keep(t.grads[i]);
    if (k) {
        opt_accumulate(s, t.n, t.wrt, t.grads, k, t.sums);
        ag_graph_effect_group(t.g, 1);
        grads = t.sums;
    }
    opt_adam(s, t.n, t.wrt, grads, t.rate, t.step,
             &(ag_adam_options){.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .update.clip = 0.05});
    if (k) opt_clear(s, t.n, t.sums);
    ag_graph_effect_group(t.g, 0);
    if (ag_graph_plan(t.g, NULL)) fail_msg("%s", ag_error_message());
    *(real *)ag_data(t.rate) = (real)0.01;
    return t;
}

static void trained_free(trained *t)
{
    ag_graph_free(t->g);
    nn_params_free(t->params);
}

static void rows_into(ag_tensor *x, int first)
{
    for (int64_t i = 0; i < ag_numel(x); i++)
        ((real *)ag_data(x))[i] = (real)ag_random_normal(3, 3, (uint64_t)(first * FEATURES + i));
}

static double difference(const ag_tensor *a, const ag_tensor *b)
{
    double most = 0;
    for (int64_t i = 0; i < ag_numel(a); i++)
        most = fmax(most, fabs((double)((real *)ag_data(a))[i] - (double)((real *)ag_data(b))[i]));
    return most;
}

static void micro_batches_give_the_gradients_of_the_full_batch(void **state)
{
    (void)state;
    const double tolerance = sizeof(real) == 8 ? 1e-12 : 1e-6;
    trained full = trained_build(MICRO * ROWS, 0), micro = trained_build(ROWS, MICRO);
    for (int step = 1; step <= 3; step++) {
        *(real *)ag_data(full.step) = *(real *)ag_data(micro.step) = (real)step;
        rows_into(full.x, step * 1000);
        ag_graph_run_pure(full.g, (uint64_t)step);
        for (int m = 0; m < MICRO; m++) {
            rows_into(micro.x, step * 1000 + m * ROWS);
            assert_int_equal(ag_graph_run_groups(micro.g, (uint64_t)(step * MICRO + m), 1u << 0), AG_OK);
        }
        for (int i = 0; i < full.n; i++) assert_true(difference(full.grads[i], micro.sums[i]) <= tolerance);
        opt_average_start(micro.params); /* no averages: nothing happens */
        ag_graph_run(full.g, (uint64_t)step);
        for (int i = 0; i < full.n; i++) { /* take the last micro-batch back, and run it again with the update */
            real *sum = ag_data(micro.sums[i]);
            const real *d = ag_data(micro.grads[i]);
            for (int64_t j = 0; j < ag_numel(micro.sums[i]); j++) sum[j] -= d[j] / MICRO;
        }
        assert_int_equal(ag_graph_run_groups(micro.g, (uint64_t)(step * MICRO + MICRO - 1), ~0u), AG_OK);
        for (int i = 0; i < full.n; i++) {
            assert_true(difference(full.wrt[i], micro.wrt[i]) <= 100 * tolerance);
            for (int64_t j = 0; j < ag_numel(micro.sums[i]); j++) assert_true(((real *)ag_data(micro.sums[i]))[j] == 0);
        }
    }
    trained_free(&full), trained_free(&micro);
}

static void effects_run_in_the_groups_asked_for(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *a = ag_state(g, "a", AG_REAL, 0, NULL), *b = ag_state(g, "b", AG_REAL, 0, NULL);
    ag_assign(a, ag_shift(a, 1));
    ag_graph_effect_group(g, 5);
    ag_assign(b, ag_shift(b, 1));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    ag_graph_run_groups(g, 0, 1u << 0);
    ag_graph_run_groups(g, 0, 1u << 0);
    ag_graph_run_groups(g, 0, 1u << 5);
    ag_graph_run(g, 0);
    ag_graph_run_pure(g, 0);
    assert_true(ag_value(a) == 3 && ag_value(b) == 2);
    ag_graph_effect_group(g, 32);
    assert_int_equal(ag_graph_error(g), AG_ERR_SHAPE);
    ag_graph_free(g);
}

/* What is computed is seen by what is found not to be finite. */
static void what_only_other_groups_need_is_not_computed(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        ag_graph *g = ag_graph_new(1);
        ag_tensor *a = ag_state(g, "a", AG_REAL, 0, NULL), *b = ag_state(g, "b", AG_REAL, 0, NULL);
        ag_tensor *shared = ag_exp(a), *bad = ag_log(ag_neg(shared));
        ag_assign(a, ag_scale(shared, 2));
        ag_graph_effect_group(g, 5);
        ag_assign(b, ag_reshape(bad, 0, NULL));
        if (kept) ag_keep(bad);
        assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
        ag_graph_anomaly(g, true);
        const ag_err err = kept ? AG_ERR_DIVERGED : AG_OK;
        assert_int_equal(ag_graph_run_groups(g, 0, 0), err);
        assert_int_equal(ag_graph_run_groups(g, 0, 1u << 0), err);
        assert_true(kept || ag_value(a) == 2);
        const double few = ag_graph_flops(g);
        assert_int_equal(ag_graph_run_groups(g, 0, 1u << 5), AG_ERR_DIVERGED);
        assert_int_equal(ag_graph_run_pure(g, 0), AG_ERR_DIVERGED);
        assert_int_equal(ag_graph_run(g, 0), AG_ERR_DIVERGED);
        assert_true(kept ? few <= ag_graph_flops(g) : few < ag_graph_flops(g));
        ag_graph_free(g);
    }
}

/* Sums are made first, whatever was built first; the rest may be left out. */
static void effects_that_do_not_gather_can_be_left_out(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *a = ag_state(g, "a", AG_REAL, 0, NULL), *sum = ag_state(g, "sum", AG_REAL, 0, NULL);
    ag_tensor *last = ag_state(g, "last", AG_REAL, 0, NULL), *one = ag_constant(g, 1, 0, NULL);
    ag_assign(a, ag_add(a, one));
    ag_assign_where(last, one, sum);
    ag_accumulate(1, &sum, &one, 1);
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    assert_int_equal(ag_graph_run_first(g, 0, ~0u), AG_OK);
    assert_true(ag_value(a) == 0 && ag_value(sum) == 1 && ag_value(last) == 0);
    assert_int_equal(ag_graph_run_first(g, 1, ~0u), AG_OK);
    assert_int_equal(ag_graph_run_rest(g), AG_OK);
    assert_true(ag_value(a) == 1 && ag_value(sum) == 2 && ag_value(last) == 2);
    assert_int_equal(ag_graph_run(g, 2), AG_OK);
    assert_true(ag_value(a) == 2 && ag_value(sum) == 3 && ag_value(last) == 3);
    ag_graph_free(g);
}

static void pullback_is_the_gradient_from_there_on(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){6}), *y = ag_exp(x), *dy, *whole, *part, *none;
    ag_tensor *loss = ag_sum(ag_mul(ag_square(y), y));
    ag_gradient(loss, 1, &x, &whole);
    ag_gradient(loss, 1, &y, &dy);
    ag_pullback(y, dy, 1, &x, &part);
    ag_keep(whole), ag_keep(part);
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    for (int i = 0; i < 6; i++) ((real *)ag_data(x))[i] = (real)(0.1 * i);
    ag_graph_run(g, 0);
    assert_memory_equal(ag_data(whole), ag_data(part), ag_bytes(x));
    ag_pullback(y, loss, 1, &x, &none);
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "the gradient that arrives is"));
    ag_graph_free(g);
}

/* Kernels' working memory is per thread, and with it every figure about memory. */
static int two_threads(void **state)
{
    (void)state;
    ag_cpu_set_threads(2);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recomputation_changes_no_bit),
        cmocka_unit_test(ops_with_statistics_are_recomputed_too),
        cmocka_unit_test(only_what_the_gradient_needs_is_rebuilt),
        cmocka_unit_test(arena_is_a_fraction_of_unshared_memory),
        cmocka_unit_test(bound_first_recomputes_then_refuses),
        cmocka_unit_test(placed_storages_never_meet),
        cmocka_unit_test(planning_is_fast),
        cmocka_unit_test(memory_map_is_text_and_picture),
        cmocka_unit_test(micro_batches_give_the_gradients_of_the_full_batch),
        cmocka_unit_test(effects_run_in_the_groups_asked_for),
        cmocka_unit_test(what_only_other_groups_need_is_not_computed),
        cmocka_unit_test(effects_that_do_not_gather_can_be_left_out),
        cmocka_unit_test(pullback_is_the_gradient_from_there_on),
    };
    return cmocka_run_group_tests(tests, two_threads, NULL);
}
