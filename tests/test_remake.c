/* Cheap results made again in the backward pass (autograd/remake.c): the same bits, less memory, and the graph as it was built. */
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
#include "nn/nn.h"
#include "nn/networks.h"
#include "optim/optim.h"

enum { MOST = 128 };

static const ag_plan_options kept = {.keep_cheap = true}, none, twice = {.recompute = true},
                             kept_twice = {.keep_cheap = true, .recompute = true}, apart = {.unshared = true};

/* A model that is trained: loss, gradients of its parameters, their update. */
typedef struct model {
    nn_params *params;
    ag_graph *g;
    nn_scope root;
    ag_tensor *x, *loss, *rate, *step, *wrt[MOST], *grads[MOST];
    int n;
} model;

typedef ag_tensor *network(model *m);

static model build(network *make, int accumulate)
{
    model m = {.params = nn_params_new(1), .g = ag_graph_new(2)};
    ag_tensor *sums[MOST], **grads = m.grads;
    m.root = nn_root(m.params, m.g, true);
    m.rate = ag_input(m.g, "rate", AG_REAL, 0, NULL);
    m.step = ag_input(m.g, "step", AG_REAL, 0, NULL);
    m.loss = ag_keep(make(&m));
    m.n = nn_trainable(m.params, m.g, NULL, m.wrt, MOST);
    ag_gradient(m.loss, m.n, m.wrt, m.grads);
    if (accumulate) {
        opt_accumulate(m.root, m.n, m.wrt, m.grads, accumulate, sums);
        ag_graph_effect_group(m.g, 1);
        grads = sums;
    }
    opt_adam(m.root, m.n, m.wrt, grads, m.rate, m.step, NULL);
    if (accumulate) opt_clear(m.root, m.n, sums);
    return m;
}

static void model_free(model *m)
{
    ag_graph_free(m->g);
    nn_params_free(m->params);
}

static ag_plan_report planned(ag_graph *g, const ag_plan_options *o)
{
    ag_plan_report r;
    if (ag_graph_plan(g, o) || ag_graph_plan_report(g, o, &r) || ag_graph_plan(g, o))
        fail_msg("%s", ag_error_message());
    return r;
}

static void fill(ag_tensor *t, uint64_t stream)
{
    for (int64_t i = 0; i < ag_numel(t); i++) {
        const double v = ag_random_normal(4, stream, (uint64_t)i);
        if (ag_type(t) == AG_I32)
            ((int32_t *)ag_data(t))[i] = (int32_t)fabs(10 * v) % 32;
        else
            ((real *)ag_data(t))[i] = (real)v;
    }
}

/* A number that changes with each bit of the weights after three steps, and of the losses. */
static uint64_t trained(network *make, int accumulate, const ag_plan_options *o, ag_plan_report *r)
{
    model m = build(make, accumulate);
    *r = planned(m.g, o);
    uint64_t h = 14695981039346656037u;
    *(real *)ag_data(m.rate) = (real)0.01;
    for (int i = 1; i <= 3; i++) {
        *(real *)ag_data(m.step) = (real)i;
        for (int k = 1; k < accumulate; k++) {
            fill(m.x, (uint64_t)(10 * i + k));
            assert_int_equal(ag_graph_run_groups(m.g, (uint64_t)(10 * i + k), 1u << 0), AG_OK);
        }
        fill(m.x, (uint64_t)(10 * i));
        assert_int_equal(ag_graph_run(m.g, (uint64_t)(10 * i)), AG_OK);
        assert_true(isfinite(ag_value(m.loss)));
        for (size_t j = 0; j < sizeof(real); j++) h = (h ^ ((uint8_t *)ag_data(m.loss))[j]) * 1099511628211u;
    }
    for (int i = 0; i < m.n; i++)
        for (size_t j = 0; j < ag_bytes(m.wrt[i]); j++) h = (h ^ ((uint8_t *)ag_data(m.wrt[i]))[j]) * 1099511628211u;
    model_free(&m);
    return h;
}

/* ---- networks ----------------------------------------------------------------------------------------------------- */

enum { BATCH = 4, LENGTH = 64, WIDTH = 128 };

static ag_tensor *gpt_with(model *m, double dropout)
{
    const nn_gpt_opt net = {.codes = 32,
                            .slots = LENGTH,
                            .width = WIDTH,
                            .stack = {.blocks = 3, .heads = 2, .dropout = dropout, .drop_path = dropout}};
    m->x = ag_input(m->g, "codes", AG_I32, 2, (int64_t[]){BATCH, LENGTH + 1});
    ag_tensor *logits = nn_gpt(m->root, ag_slice_axis(m->x, 1, 0, LENGTH), &net);
    return ag_cross_entropy(logits, ag_slice_axis(m->x, 1, 1, LENGTH), NULL, 0);
}

static ag_tensor *gpt(model *m) { return gpt_with(m, 0); }
static ag_tensor *gpt_dropout(model *m) { return gpt_with(m, 0.2); }

static ag_tensor *conv(nn_scope s, ag_tensor *x, int64_t out, ag_tensor *residual)
{
    return nn_conv2d(s, x, &(nn_conv2d_opt){.out = out, .kernel = 3, .pad = 1, .residual = residual});
}

static ag_tensor *residual_blocks(model *m)
{
    m->x = ag_input(m->g, "x", AG_REAL, 4, (int64_t[]){2, 16, 16, 3});
    ag_tensor *h = conv(nn_in(m->root, "in"), m->x, 16, NULL);
    const nn_norm_opt silu = {.groups = 4, .activation = AG_SILU};
    for (int i = 0; i < 3; i++) {
        const nn_scope s = nn_at(m->root, "block", i);
        ag_block_begin(m->g);
        ag_tensor *y = conv(nn_in(s, "conv1"), nn_group_norm(nn_in(s, "norm1"), h, &silu), 32, NULL);
        h = conv(nn_in(s, "conv2"), nn_group_norm(nn_in(s, "norm2"), y, &silu), 16, h);
        ag_block_end(m->g);
        if (i < 2) h = conv(nn_in(s, "up"), ag_resize(h, 2 * ag_dim(h, 1), 2 * ag_dim(h, 2), AG_NEAREST), 16, NULL);
    }
    return ag_mean(ag_square(h));
}

/* Results behind a dropout, read through views, gated, and normalised over the batch with statistics that are kept. */
static ag_tensor *chains(model *m)
{
    m->x = ag_input(m->g, "x", AG_REAL, 2, (int64_t[]){512, 32});
    ag_tensor *h = nn_linear(nn_in(m->root, "in"), m->x, &(nn_linear_opt){.out = 64});
    for (int i = 0; i < 3; i++) {
        const nn_scope s = nn_at(m->root, "layer", i);
        ag_tensor *u =
            nn_linear(nn_in(s, "up"), nn_batch_norm(nn_in(s, "norm"), h, NULL), &(nn_linear_opt){.out = 128});
        ag_tensor *g = nn_linear(nn_in(s, "gate"), ag_l2_normalize(h, 1e-6), &(nn_linear_opt){.out = 128});
        ag_tensor *a = ag_dropout(ag_gelu(ag_mul(ag_silu(g), u)), 0.1);
        a = ag_reshape(ag_reshape(a, 3, (int64_t[]){64, 8, 128}), 4, (int64_t[]){8, 8, 8, 128});
        a = ag_permute(a, (int[]){1, 0, 2, 3});
        a = nn_linear(nn_in(s, "down"), ag_concat(2, (ag_tensor *[]){a, a}, 3), &(nn_linear_opt){.out = 64});
        h = ag_add(h, ag_reshape(a, 2, (int64_t[]){512, 64}));
    }
    return ag_mean(ag_square(h));
}

/* A penalty on the gradient of the input: what is read later is itself a gradient. */
static ag_tensor *penalty(model *m)
{
    m->x = ag_input(m->g, "x", AG_REAL, 4, (int64_t[]){4, 16, 16, 8});
    ag_tensor *h = m->x, *dx;
    for (int i = 0; i < 3; i++) {
        const nn_scope s = nn_at(m->root, "layer", i);
        h = ag_leaky_relu(
            nn_group_norm(nn_in(s, "norm"), conv(nn_in(s, "conv"), h, 24, NULL), &(nn_norm_opt){.groups = 3}), 0.2);
    }
    ag_tensor *score = ag_mean(ag_square(h));
    ag_gradient(score, 1, &m->x, &dx);
    return ag_add(score, ag_sum(ag_square(dx)));
}

static const struct {
    const char *name;
    network *make;
    double most; /* the arena's share of that without */
} networks[] = {
    {"gpt", gpt, 0.85},      {"gpt, dropout", gpt_dropout, 0.85}, {"residual blocks", residual_blocks, 0.85},
    {"chains", chains, 0.9}, {"penalty", penalty, 0.95},
};

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void bits_stay_and_the_arena_shrinks(void **state)
{
    (void)state;
    ag_cpu_set_threads(2); /* scratch, which counts too, has a part for each thread */
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        ag_plan_report without, with, r;
        const uint64_t expected = trained(networks[i].make, 0, &kept, &without);
        assert_true(trained(networks[i].make, 0, &none, &with) == expected);
        const double share = (double)with.arena_bytes / (double)without.arena_bytes;
        print_message("[          ] %-16s arena %.2f of that with all kept, %lld of %lld nodes made again\n",
                      networks[i].name, share, (long long)with.remade, (long long)with.nodes);
        assert_true(without.remade == 0 && with.remade > 0 && with.recomputed == 0);
        assert_true(share <= networks[i].most);
        assert_true(trained(networks[i].make, 0, &apart, &r) == expected && r.remade == 0);
    }
}

static void it_goes_with_marked_blocks_and_micro_batches(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        ag_plan_report r, with;
        assert_true(trained(networks[i].make, 2, &kept, &r) == trained(networks[i].make, 2, &none, &with));
        assert_true(with.remade > 0);
        assert_true(trained(networks[i].make, 0, &kept_twice, &r) == trained(networks[i].make, 0, &twice, &with));
        assert_true(with.recomputed == r.recomputed && with.arena_bytes <= r.arena_bytes);
    }
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    ag_plan_report r;
    const int threads = ag_cpu_threads();
    const uint64_t expected = trained(chains, 0, &none, &r);
    for (int n = 1; n <= 3; n++) {
        ag_cpu_set_threads(n);
        assert_true(trained(chains, 0, &none, &r) == expected);
    }
    ag_cpu_set_threads(threads);
}

/* A chain h = W norm(h) whose norms are made again, but for the one that is kept. */
static ag_graph *norms(ag_tensor **x, ag_tensor **kept_norm, ag_tensor **w, ag_tensor **dw, ag_tensor **loss)
{
    ag_graph *g = ag_graph_new(1);
    *x = ag_input(g, "x", AG_REAL, 2, (int64_t[]){512, 64});
    *w = ag_state(g, "w", AG_REAL, 2, (int64_t[]){64, 64});
    ag_tensor *h = *x;
    for (int i = 0; i < 6; i++) {
        ag_tensor *y = ag_layer_norm(h, NULL, NULL, 1e-5);
        if (i == 2) *kept_norm = y;
        h = ag_matmul(y, *w, false, false);
    }
    *loss = ag_keep(ag_mean(ag_square(h)));
    ag_gradient(*loss, 1, w, dw);
    ag_keep(*dw);
    return g;
}

static void what_is_kept_is_kept(void **state)
{
    (void)state;
    ag_tensor *x, *y, *w, *dw, *loss;
    ag_graph *g = norms(&x, &y, &w, &dw, &loss);
    const ag_plan_report before = planned(g, NULL);
    ag_keep(y);
    const ag_plan_report after = planned(g, NULL);
    assert_true(before.remade > 0 && after.remade > 0);
    fill(x, 1), fill(w, 2);
    assert_int_equal(ag_graph_run(g, 0), AG_OK);
    double row = 0;
    for (int i = 0; i < 64; i++) row += pow(((real *)ag_data(y))[i], 2);
    assert_true(fabs(row / 64 - 1) < 1e-3); /* a norm's row, still there after the run */
    ag_graph_free(g);
}

static void a_planned_graph_can_grow(void **state)
{
    (void)state;
    ag_tensor *x, *y, *w, *dw, *loss, *again;
    ag_graph *g = norms(&x, &y, &w, &dw, &loss);
    assert_true(planned(g, NULL).remade > 0);
    ag_gradient(loss, 1, &w, &again); /* walks the graph as it was built */
    ag_keep(again);
    assert_true(planned(g, NULL).remade > 0);
    assert_int_equal(planned(g, &kept).remade, 0);
    for (int i = 0; i < 2; i++) {
        planned(g, i ? &kept : NULL);
        fill(x, 1), fill(w, 2);
        assert_int_equal(ag_graph_run(g, 0), AG_OK);
        assert_memory_equal(ag_data(dw), ag_data(again), ag_bytes(dw));
        assert_true(((real *)ag_data(dw))[5] != 0);
    }
    ag_graph_free(g);
}

static void little_time_is_spent_on_it(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 1, (int64_t[]){1 << 15}), *y = x, *dx;
    for (int i = 0; i < 200; i++) y = ag_mul(ag_sigmoid(y), ag_scale(y, 0.5)); /* nothing but cheap ops */
    ag_gradient(ag_sum(y), 1, &x, &dx);
    ag_keep(dx);
    const ag_plan_report r = planned(g, NULL);
    print_message("[          ] %lld of %lld nodes\n", (long long)r.remade, (long long)r.nodes);
    assert_true(r.remade > 0 && r.remade * 20 < r.nodes);
    ag_graph_free(g);
}

static void it_can_be_seen(void **state)
{
    (void)state;
    ag_tensor *x, *y, *w, *dw, *loss;
    ag_graph *g = norms(&x, &y, &w, &dw, &loss);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    planned(g, NULL);
    ag_graph_memory_print(g, f);
    ag_graph_memory_svg(g, f);
    ag_graph_print(g, f);
    ag_graph_dot(g, f);
    fclose(f);
    assert_non_null(strstr(text, "cheap ones made again"));
    assert_non_null(strstr(text, "<title>again: norm"));
    free(text);
    ag_graph_free(g);
}

/* ---- random graphs ------------------------------------------------------------------------------------------------- */

static ag_tensor *random_op(ag_graph *g, uint64_t seed, uint64_t i, ag_tensor *a, ag_tensor *b, ag_tensor *w)
{
    const int64_t shape[] = {16, 16, 64}, back[] = {256, 64};
    switch (ag_random_below(seed, 2, i, 12)) {
    case 0: return ag_matmul(a, w, false, false);
    case 1: return ag_add(a, b);
    case 2: return ag_mul(ag_sigmoid(a), b);
    case 3: return ag_gelu(a);
    case 4: return ag_layer_norm(a, NULL, NULL, 1e-5);
    case 5: return ag_dropout(a, 0.3);
    case 6: return ag_reshape(ag_permute(ag_reshape(a, 3, shape), (int[]){1, 0, 2}), 2, back);
    case 7: return ag_sub(ag_scale(a, 0.5), ag_stop_gradient(b));
    case 8: return ag_softmax(a);
    case 9: return ag_straight_through(a, ag_tanh(b));
    case 10: return ag_slice_axis(ag_concat(2, (ag_tensor *[]){a, b}, 0), 0, 128, 256);
    default: return ag_add(ag_normal(g, 2, back, 0, 0.1), ag_silu(a));
    }
}

static ag_graph *random_graph(uint64_t seed, ag_tensor **x, ag_tensor **w, ag_tensor **dw, ag_tensor **loss)
{
    enum { NODES = 40 };
    ag_graph *g = ag_graph_new(seed);
    ag_tensor *t[NODES];
    t[0] = *x = ag_input(g, "x", AG_REAL, 2, (int64_t[]){256, 64});
    *w = ag_state(g, "w", AG_REAL, 2, (int64_t[]){64, 64});
    for (int i = 1; i < NODES; i++) {
        const int few = i < 6 ? i : 6; /* mostly what was made lately */
        ag_tensor *a = t[i - 1 - (int)ag_random_below(seed, 0, (uint64_t)i, (uint64_t)few)];
        ag_tensor *b = t[ag_random_below(seed, 1, (uint64_t)i, (uint64_t)i)];
        if (ag_random_below(seed, 3, (uint64_t)i, 8) == 0) ag_block_begin(g);
        t[i] = random_op(g, seed, (uint64_t)i, a, b, *w);
        ag_block_end(g);
        if (ag_random_below(seed, 4, (uint64_t)i, 20) == 0) ag_keep(t[i]);
    }
    *loss = ag_mean(ag_square(ag_add(t[NODES - 1], t[NODES - 2])));
    ag_gradient(*loss, 1, w, dw);
    if (seed % 3 == 0) {
        *loss = ag_add(*loss, ag_mean(ag_square(*dw)));
        ag_gradient(*loss, 1, w, dw);
    }
    ag_keep(*loss), ag_keep(*dw);
    return g;
}

static void random_graphs_keep_their_bits(void **state)
{
    (void)state;
    const ag_plan_options *options[] = {&kept, &none, &twice, &apart, &none};
    int64_t remade = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        ag_tensor *x, *w, *dw, *loss;
        ag_graph *g = random_graph(seed, &x, &w, &dw, &loss);
        real first[64 * 64];
        for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
            const ag_plan_report r = planned(g, options[i]);
            remade += r.remade;
            fill(x, 1), fill(w, 2);
            for (int64_t j = 0; j < ag_numel(w); j++) ((real *)ag_data(w))[j] *= (real)0.15;
            assert_int_equal(ag_graph_run(g, 7), AG_OK);
            if (!i) memcpy(first, ag_data(dw), sizeof first);
            assert_memory_equal(first, ag_data(dw), sizeof first);
        }
        assert_true(isfinite(ag_value(loss)));
        ag_graph_free(g);
    }
    print_message("[          ] %lld nodes made again\n", (long long)remade);
    assert_true(remade > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_stay_and_the_arena_shrinks),
        cmocka_unit_test(it_goes_with_marked_blocks_and_micro_batches),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(what_is_kept_is_kept),
        cmocka_unit_test(a_planned_graph_can_grow),
        cmocka_unit_test(little_time_is_spent_on_it),
        cmocka_unit_test(it_can_be_seen),
        cmocka_unit_test(random_graphs_keep_their_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
