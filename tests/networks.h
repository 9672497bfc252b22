/* Whole networks against PyTorch and against golden rows. Weights come from the hash of golden.h, by name; the loss is the sum of
 * the result times the hash of its index in the order [N,C,H,W], so that every gradient is that of a random incoming one. A
 * fixture holds per case `y`, `dx` (unless the input is codes) and, unless there are none, `gradient`, all parameters one after another as in its
 * attribute `names`. */
#ifndef TESTS_NETWORKS_H
#define TESTS_NETWORKS_H

#include <hdf5.h>
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
#include "golden.h"
#include "nn/networks.h"

enum { NETWORK_PARAMETERS = 512 };

typedef struct network_case {
    const char *name;
    ag_tensor *(*build)(nn_scope root, ag_tensor *x);
    int rank;
    int64_t shape[4]; /* of the input, images as [N,H,W,C] */
    int codes;        /* the input is i32 of 0..codes-1; 0: real */
    bool input_only;  /* no gradients of parameters */
} network_case;

static double network_worst;
static int64_t network_numbers;

/* Element i in memory, images in [N,H,W,C], is this one in the order [N,C,H,W]. */
static int64_t network_place(const ag_tensor *t, int64_t i)
{
    if (ag_rank(t) != 4) return i;
    const int64_t h = ag_dim(t, 1), w = ag_dim(t, 2), c = ag_dim(t, 3);
    return ((i / (h * w * c) * c + i % c) * h + i / (w * c) % h) * w + i / c % w;
}

static void network_fill(ag_tensor *t, int codes)
{
    for (int64_t i = 0; i < ag_numel(t); i++) {
        const double u = golden_u((uint32_t)network_place(t, i));
        if (codes)
            ((int32_t *)ag_data(t))[i] = (int32_t)((u + 0.5) * codes);
        else
            ((real *)ag_data(t))[i] = (real)(2 * u);
    }
}

static double *network_load(hid_t file, const char *group, const char *name, int64_t count)
{
    char path[128];
    snprintf(path, sizeof path, "/%s/%s", group, name);
    const hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
    if (H5Sget_simple_extent_npoints(space) != count)
        fail_msg("%s: %lld numbers, not %lld", path, (long long)H5Sget_simple_extent_npoints(space), (long long)count);
    double *values = test_malloc((size_t)count * sizeof *values);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    return values;
}

/* Relative to the largest of the tensor; a tensor of zeros but for rounding counts as of size `small`. */
static void network_same(const char *name, const char *what, int64_t count, const double *got, const double *want,
                         double small, double tolerance)
{
    double size = small, error = 0;
    for (int64_t i = 0; i < count; i++) {
        size = fmax(size, fabs(want[i]));
        if (!(fabs(got[i] - want[i]) <= error)) error = fabs(got[i] - want[i]);
    }
    if (!(error / size <= tolerance)) fail_msg("%s: %s is off by %g of %g", name, what, error, size);
    network_worst = fmax(network_worst, error / size);
    network_numbers += count;
}

static void network_compare(hid_t file, const network_case *c, const char *what, const ag_tensor *t, double tolerance)
{
    double *want = network_load(file, c->name, what, ag_numel(t)), *got = test_malloc((size_t)ag_numel(t) * 8);
    for (int64_t i = 0; i < ag_numel(t); i++) got[network_place(t, i)] = (double)((const real *)ag_data(t))[i];
    network_same(c->name, what, ag_numel(t), got, want, 1e-3, tolerance);
    test_free(want);
    test_free(got);
}

/* From our layout [taps...,in,out] to [out,in,taps...]. */
static void network_reorder(const nn_param *p, const real *from, double *to)
{
    if (p->layout == NN_PLAIN) {
        for (int64_t i = 0; i < p->numel; i++) to[i] = (double)from[i];
        return;
    }
    const int64_t in = p->shape[p->rank - 2], out = p->shape[p->rank - 1], taps = p->numel / (in * out);
    for (int64_t i = 0; i < p->numel; i++) to[(i % out * in + i / out % in) * taps + i / (in * out)] = (double)from[i];
}

static void network_gradients(hid_t file, const network_case *c, nn_params *params, int n, ag_tensor **wrt,
                              ag_tensor **d, double tolerance)
{
    int64_t total = 0, at = 0;
    for (int i = 0; i < n; i++) total += ag_numel(wrt[i]);
    double *want = network_load(file, c->name, "gradient", total), *got = test_malloc((size_t)total * 8), all = 0;
    const hid_t group = H5Gopen2(file, c->name, H5P_DEFAULT), names = H5Aopen(group, "names", H5P_DEFAULT);
    const hid_t type = H5Aget_type(names), space = H5Aget_space(names);
    char *text[NETWORK_PARAMETERS];
    assert_int_equal(H5Sget_simple_extent_npoints(space), n);
    assert_true(H5Aread(names, type, text) >= 0);
    for (int64_t i = 0; i < total; i++) all = fmax(all, fabs(want[i]));
    for (int i = 0; i < n; i++) {
        nn_param *p = nn_params_find(params, text[i]);
        int j = 0;
        while (j < n && nn_param_of(params, wrt[j]) != p) j++;
        if (!p || j == n) fail_msg("%s: no parameter %s", c->name, text[i]);
        network_reorder(p, ag_data(d[j]), got);
        network_same(c->name, text[i], p->numel, got, want + at, 1e-2 * all, tolerance);
        at += p->numel;
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, text);
    H5Sclose(space), H5Tclose(type), H5Aclose(names), H5Gclose(group);
    test_free(want);
    test_free(got);
}

/* Parameters from the hash; vectors of power iterations, which would be random, are ones. */
static void network_start(nn_param *p)
{
    const char *last = strrchr(p->name, '.');
    if (p->kind == NN_PARAMETER) golden_parameter(p);
    if (last && !strcmp(last, ".weight_u"))
        for (int64_t i = 0; i < p->numel; i++) ((real *)p->data)[i] = 1;
}

/* A case with its gradients for the input (unless codes) and the parameters, planned and filled. */
typedef struct network {
    nn_params *params;
    ag_graph *g;
    ag_tensor *y, *wrt[NETWORK_PARAMETERS], *d[NETWORK_PARAMETERS];
    int inputs, parameters;
} network;

static void network_begin(network *m, const network_case *c, bool recompute)
{
    *m = (network){.params = nn_params_new(1), .g = ag_graph_new(1), .inputs = c->codes ? 0 : 1};
    ag_tensor *x = ag_input(m->g, "x", c->codes ? AG_I32 : AG_REAL, c->rank, c->shape);
    m->y = ag_keep(c->build(nn_root(m->params, m->g, true), x));
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < ag_rank(m->y); i++) shape[i] = ag_dim(m->y, i);
    ag_tensor *r = ag_input(m->g, "r", AG_REAL, ag_rank(m->y), shape);
    m->wrt[0] = x;
    if (!c->input_only)
        m->parameters = nn_trainable(m->params, m->g, NULL, m->wrt + m->inputs, NETWORK_PARAMETERS - m->inputs);
    ag_gradient(ag_sum(ag_mul(m->y, r)), m->inputs + m->parameters, m->wrt, m->d);
    for (int i = 0; i < m->inputs + m->parameters; i++) ag_keep(m->d[i]);
    if (ag_graph_plan(m->g, &(ag_plan_options){.recompute = recompute}))
        fail_msg("%s: %s", c->name, ag_error_message());
    for (int i = 0; i < nn_params_count(m->params); i++) network_start(nn_params_at(m->params, i));
    network_fill(x, c->codes);
    network_fill(r, 0);
    assert_int_equal(ag_graph_run(m->g, 1), AG_OK);
}

static void network_end(network *m)
{
    ag_graph_free(m->g);
    nn_params_free(m->params);
}

static void network_check(hid_t file, const network_case *c, bool recompute, double tolerance)
{
    network m;
    network_begin(&m, c, recompute);
    network_compare(file, c, "y", m.y, tolerance);
    if (m.inputs) network_compare(file, c, "dx", m.d[0], tolerance);
    if (m.parameters) network_gradients(file, c, m.params, m.parameters, m.wrt + m.inputs, m.d + m.inputs, tolerance);
    network_end(&m);
}

/* Every case with 1, 2, 3, 4 and 8 threads, and with recomputation: the same bits. */
__attribute__((unused)) static void network_check_bits(int count, const network_case *cases)
{
    static const int threads[6] = {1, 2, 3, 4, 8, 1};
    for (int i = 0; i < count; i++) {
        network one, other;
        ag_cpu_set_threads(1);
        network_begin(&one, &cases[i], false);
        for (int t = 1; t < 6; t++) {
            ag_cpu_set_threads(threads[t]);
            network_begin(&other, &cases[i], t == 5);
            bool same = !memcmp(ag_data(one.y), ag_data(other.y), ag_bytes(one.y));
            for (int j = 0; j < one.inputs + one.parameters; j++)
                same = same && !memcmp(ag_data(one.d[j]), ag_data(other.d[j]), ag_bytes(one.d[j]));
            if (!same) fail_msg("%s: other bits with %d threads or recomputed", cases[i].name, threads[t]);
            network_end(&other);
        }
        network_end(&one);
    }
    ag_cpu_set_threads(0);
}

__attribute__((unused)) static void network_check_all(const char *fixture, int count, const network_case *cases,
                                                      double tolerance)
{
    const hid_t file = H5Fopen(fixture, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (int i = 0; i < count; i++)
        for (int recompute = 0; recompute < 2; recompute++) network_check(file, &cases[i], recompute, tolerance);
    H5Fclose(file);
    print_message("[          ] %d networks, %lld numbers, worst relative difference %.1e (bound %.0e)\n", count,
                  (long long)network_numbers, network_worst, tolerance);
}

#endif
