/* The VQ-VAE against PyTorch (tests/fixtures/make_vqvae.py): forward values, codes, losses, every gradient, and every
 * parameter after three steps of Adam, for both codebook rules and both public layer sets. */
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "golden.h"
#include "nn/quantizer.h"
#include "optim/optim.h"

enum { BATCH = 3, SIZE = 16, CODES = 16, WIDTH = 5, MAX_PARAMS = 64 };

/* Relative to the largest number of a tensor; the fixture is float. */
#ifdef AG_DOUBLE
#define TOLERANCE 2e-7
#else
#define TOLERANCE 1e-4
#endif

static hid_t file;
static double worst;

static double *load(const char *group, const char *name, int64_t count)
{
    char path[128];
    snprintf(path, sizeof path, "/%s/%s", group, name);
    const hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
    assert_int_equal(H5Sget_simple_extent_npoints(space), count);
    double *values = test_malloc((size_t)count * sizeof *values);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    return values;
}

static void same(const char *what, int64_t count, const real *got, const double *want)
{
    double size = 1e-12, error = 0;
    for (int64_t i = 0; i < count; i++) {
        size = fmax(size, fabs(want[i]));
        error = fmax(error, fabs((double)got[i] - want[i]));
    }
    if (!(error / size <= TOLERANCE)) fail_msg("%s: off by %g of %g", what, error, size);
    worst = fmax(worst, error / size);
}

static void same_as(const char *group, const char *name, const ag_tensor *t)
{
    double *want = load(group, name, ag_numel(t));
    same(name, ag_numel(t), ag_data(t), want);
    test_free(want);
}

/* The order of PyTorch for a convolution: [out,in,kh,kw] from our [kh,kw,in,out]. */
static void reorder(const nn_param *p, const real *from, real *to)
{
    if (p->layout != NN_CONV) {
        memcpy(to, from, (size_t)p->numel * sizeof *to);
        return;
    }
    const int64_t hw = p->shape[0] * p->shape[1], in = p->shape[2], out = p->shape[3];
    for (int64_t t = 0; t < hw; t++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < out; o++) to[(o * in + i) * hw + t] = from[(t * in + i) * out + o];
}

typedef struct setup {
    const char *group;
    bool sonnet, ema;
} setup;

typedef struct model {
    nn_params *params;
    ag_graph *g;
    ag_tensor *x, *z, *y, *loss, *rate, *step, *wrt[MAX_PARAMS], *d[MAX_PARAMS];
    nn_quantized q;
    int n;
} model;

static model build(const setup *s)
{
    model m = {.params = nn_params_new(1), .g = ag_graph_new(1)};
    const nn_scope root = nn_root(m.params, m.g, true);
    const nn_vqvae_opt net = {.hidden = 12,
                              .residual = 6,
                              .blocks = 2,
                              .downsampling = 2,
                              .D = WIDTH,
                              .channels = 3,
                              .residual_bias = s->sonnet,
                              .relu_before_stack = s->sonnet,
                              .skip_relu = !s->sonnet};
    const nn_quantizer_opt vq = {.K = CODES,
                                 .D = WIDTH,
                                 .beta = 0.25,
                                 .rule = s->ema ? NN_CODEBOOK_EMA : NN_CODEBOOK_GRADIENT,
                                 .initial_count = 1};
    m.x = ag_input(m.g, "x", AG_REAL, 4, (int64_t[]){BATCH, SIZE, SIZE, 3});
    m.rate = ag_input(m.g, "rate", AG_REAL, 0, NULL);
    m.step = ag_input(m.g, "step", AG_REAL, 0, NULL);
    m.z = ag_keep(nn_vqvae_encoder(nn_in(root, "encoder"), m.x, &net));
    m.q = nn_quantize(nn_in(root, "quantizer"), m.z, &vq, NULL);
    m.y = ag_keep(nn_vqvae_decoder(nn_in(root, "decoder"), m.q.latents, &net));
    m.loss = ag_add(nn_mse(m.y, m.x), nn_quantized_loss(&m.q));
    ag_keep(m.loss), ag_keep(m.q.codes), ag_keep(nn_quantized_term_of(&m.q, "commitment"));
    m.n = nn_trainable(m.params, m.g, NULL, m.wrt, MAX_PARAMS);
    ag_gradient(m.loss, m.n, m.wrt, m.d);
    for (int i = 0; i < m.n; i++) ag_keep(m.d[i]);
    opt_adam(root, m.n, m.wrt, m.d, m.rate, m.step, NULL);
    if (ag_graph_plan(m.g, NULL)) fail_msg("%s", ag_error_message());
    return m;
}

static void fill(const model *m)
{
    for (int i = 0; i < nn_params_count(m->params); i++) {
        nn_param *p = nn_params_at(m->params, i);
        if (p->kind == NN_PARAMETER || !strncmp(p->name, "quantizer.embedding", 19)) golden_parameter(p);
    }
    real *x = ag_data(m->x);
    for (int64_t i = 0; i < ag_numel(m->x); i++) {
        const int64_t w = i % SIZE, h = i / SIZE % SIZE, c = i / (SIZE * SIZE) % 3, n = i / (3 * SIZE * SIZE);
        x[((n * SIZE + h) * SIZE + w) * 3 + c] = (real)golden_u((uint32_t)i);
    }
    *(real *)ag_data(m->rate) = (real)1e-2;
}

static void run(const model *m, int step)
{
    *(real *)ag_data(m->step) = (real)step;
    assert_int_equal(ag_graph_run(m->g, (uint64_t)step), AG_OK);
}

/* `values[i]` (a tensor per trainable parameter, by name) against the flat fixture in the order of its names. */
static void compare_parameters(const model *m, const char *group, const char *what, bool gradients)
{
    int64_t total = 0, at = 0;
    for (int i = 0; i < m->n; i++) total += ag_numel(m->wrt[i]);
    double *want = load(group, what, total);
    const hid_t where = H5Gopen2(file, group, H5P_DEFAULT), names = H5Aopen(where, "names", H5P_DEFAULT);
    const hid_t type = H5Aget_type(names), space = H5Aget_space(names);
    char *text[MAX_PARAMS];
    assert_int_equal(H5Sget_simple_extent_npoints(space), m->n);
    assert_true(H5Aread(names, type, text) >= 0);
    for (int i = 0; i < m->n; i++) {
        nn_param *p = nn_params_find(m->params, text[i]);
        if (!p) fail_msg("no parameter %s", text[i]);
        int j = 0;
        while (j < m->n && nn_param_of(m->params, m->wrt[j]) != p) j++;
        real *got = test_malloc((size_t)p->numel * sizeof *got);
        reorder(p, gradients ? ag_data(m->d[j]) : p->data, got);
        same(text[i], p->numel, got, want + at);
        at += p->numel;
        test_free(got);
    }
    assert_int_equal(at, total);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, text);
    H5Sclose(space), H5Tclose(type), H5Aclose(names), H5Gclose(where);
    test_free(want);
}

static void check(const setup *s)
{
    model m = build(s);
    fill(&m);
    run(&m, 1);
    same_as(s->group, "z", m.z);
    same_as(s->group, "y", m.y);
    same_as(s->group, "commitment", nn_quantized_term_of(&m.q, "commitment"));
    same_as(s->group, "loss", m.loss);
    double *codes = load(s->group, "codes", ag_numel(m.q.codes));
    for (int64_t i = 0; i < ag_numel(m.q.codes); i++)
        assert_int_equal(((const int32_t *)ag_data(m.q.codes))[i], (int)codes[i]);
    test_free(codes);
    compare_parameters(&m, s->group, "gradient", true);
    run(&m, 2);
    run(&m, 3);
    same_as(s->group, "loss3", m.loss);
    compare_parameters(&m, s->group, "after", false);
    const nn_param *e = nn_params_find(m.params, "quantizer.embedding");
    double *want = load(s->group, "embedding", e->numel);
    same("embedding", e->numel, e->data, want);
    test_free(want);
    ag_graph_free(m.g);
    nn_params_free(m.params);
}

static void vqvae_equals_pytorch(void **state)
{
    (void)state;
    const setup setups[] = {{"zalando_gradient", false, false},
                            {"zalando_ema", false, true},
                            {"sonnet_gradient", true, false},
                            {"sonnet_ema", true, true}};
    file = H5Fopen(TEST_FILES "/fixtures/vqvae.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (int i = 0; i < 4; i++) check(&setups[i]);
    H5Fclose(file);
    print_message("[          ] worst relative difference %.1e\n", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vqvae_equals_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
