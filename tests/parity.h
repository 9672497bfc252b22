/* Cases against PyTorch: the same numbers as tests/fixtures/parity.py, a graph that has the gradient of every input and parameter,
 * and the comparison. A fixture holds per run, one after another in double: every result, the gradient of every input, the gradient
 * of every parameter (in the layout of PyTorch), every buffer.
 *
 *     static void linear(parity *c) { RESULT(nn_linear(c->s, IN(2, 3, 5), &(nn_linear_opt){.out = 4})); }
 *     static const parity_case cases[] = {CASE(linear), ...}; */
#ifndef TESTS_PARITY_H
#define TESTS_PARITY_H

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

/* The difference of a tensor is taken relative to its largest number, or to this if that is smaller: some gradients (of a bias before
 * a norm, of a key's bias) are zero but for rounding. */
#define PARITY_SMALL 0.1

enum { PARITY_MANY = 8, PARITY_PARAMETERS = 16 };

typedef struct parity {
    nn_params *params;
    ag_graph *g;
    nn_scope s;
    ag_tensor *in[PARITY_MANY], *ids[PARITY_MANY], *y[PARITY_MANY], *r[PARITY_MANY];
    ag_tensor *wrt[PARITY_MANY + PARITY_PARAMETERS], *d[PARITY_MANY + PARITY_PARAMETERS];
    int low[PARITY_MANY], high[PARITY_MANY];
    int inputs, integers, results, wanted;
} parity;

typedef struct parity_case {
    const char *name;
    void (*build)(parity *c);
    int runs;                   /* 0: 1 */
    bool evaluation;            /* the scope is not a training scope */
    void (*prepare)(parity *c); /* buffers that do not start as the layer starts them */
} parity_case;

#define SHAPE(...)                                                                                                     \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
#define IN(...)             parity_input(c, SHAPE(__VA_ARGS__))
#define IDS(low, high, ...) parity_integers(c, low, high, SHAPE(__VA_ARGS__))
/* A row of the table of cases: the name of the function that builds it, then members of parity_case. */
#define CASE(build_it, ...)                                                                                            \
    {                                                                                                                  \
        .name = #build_it, .build = build_it, __VA_ARGS__                                                              \
    }
#define RESULT(tensor) (c->y[c->results++] = (tensor))

static hid_t parity_file;
static double parity_worst;
static int parity_numbers;

__attribute__((unused)) static ag_tensor *parity_input(parity *c, int rank, const int64_t *shape)
{
    return c->in[c->inputs++] = ag_input(c->g, "x", AG_REAL, rank, shape);
}

/* i32 in low..high-1 */
__attribute__((unused)) static ag_tensor *parity_integers(parity *c, int low, int high, int rank, const int64_t *shape)
{
    c->low[c->integers] = low;
    c->high[c->integers] = high;
    return c->ids[c->integers++] = ag_input(c->g, "ids", AG_I32, rank, shape);
}

/* Where element i of a parameter, counted as PyTorch stores it, is in memory. */
static int64_t parity_place(const nn_param *p, int64_t i)
{
    if (p->layout == NN_PLAIN) return i;
    int64_t taps = 1;
    for (int axis = 0; axis < p->rank - 2; axis++) taps *= p->shape[axis];
    const int64_t in = p->shape[p->rank - 2], out = p->shape[p->rank - 1];
    return (i % taps * in + i / taps % in) * out + i / (taps * in);
}

static void parity_fill(real *to, int64_t n, uint32_t first, double scale)
{
    for (int64_t i = 0; i < n; i++) to[i] = (real)(scale * golden_u(first + (uint32_t)i));
}

static void parity_fill_parameter(nn_param *p, uint32_t first)
{
    const size_t size = strlen(p->name);
    const bool norm = p->rank == 1 && size >= 6 && !strcmp(p->name + size - 6, "weight");
    for (int64_t i = 0; i < p->numel; i++)
        ((real *)p->data)[parity_place(p, i)] = (real)(golden_u(first + (uint32_t)i) + norm);
}

static void parity_fill_leaves(const parity *c, int run)
{
    for (int i = 0; i < c->inputs; i++)
        parity_fill(ag_data(c->in[i]), ag_numel(c->in[i]), 1000000 * (uint32_t)i + 100000 * (uint32_t)run, 4);
    for (int i = 0; i < c->integers; i++)
        for (int64_t j = 0; j < ag_numel(c->ids[i]); j++)
            ((int32_t *)ag_data(c->ids[i]))[j] =
                c->low[i] + (int32_t)floor((golden_u(20000000 + 1000000 * (uint32_t)i + (uint32_t)j) + 0.5) *
                                           (c->high[i] - c->low[i]));
    for (int i = 0; i < c->results; i++)
        if (c->r[i]) parity_fill(ag_data(c->r[i]), ag_numel(c->r[i]), 30000000 + 1000000 * (uint32_t)i, 1);
}

/* Builds a case with its gradients and plans it. */
static parity parity_begin(const parity_case *of)
{
    parity c = {.params = nn_params_new(1), .g = ag_graph_new(1)};
    c.s = nn_root(c.params, c.g, !of->evaluation);
    of->build(&c);
    ag_tensor *loss = NULL;
    for (int i = 0; i < c.results; i++) {
        int64_t shape[AG_MAX_RANK];
        for (int a = 0; a < ag_rank(c.y[i]); a++) shape[a] = ag_dim(c.y[i], a);
        c.r[i] = c.y[i] ? ag_input(c.g, "r", AG_REAL, ag_rank(c.y[i]), shape) : NULL;
        ag_tensor *sum = ag_sum(ag_mul(ag_keep(c.y[i]), c.r[i]));
        loss = loss ? ag_add(loss, sum) : sum;
    }
    memcpy(c.wrt, c.in, sizeof c.in);
    c.wanted = c.inputs + nn_trainable(c.params, c.g, NULL, c.wrt + c.inputs, PARITY_PARAMETERS);
    ag_gradient(loss, c.wanted, c.wrt, c.d);
    for (int i = 0; i < c.wanted; i++) ag_keep(c.d[i]);
    if (ag_graph_plan(c.g, NULL)) fail_msg("%s: %s", of->name, ag_error_message());
    for (int i = c.inputs; i < c.wanted; i++)
        parity_fill_parameter(nn_param_of(c.params, c.wrt[i]), 10000000 + 1000000 * (uint32_t)(i - c.inputs));
    if (of->prepare) of->prepare(&c);
    return c;
}

static void parity_run(parity *c, int run)
{
    parity_fill_leaves(c, run);
    assert_int_equal(ag_graph_run(c->g, (uint64_t)run + 1), AG_OK);
}

static void parity_end(parity *c)
{
    ag_graph_free(c->g);
    nn_params_free(c->params);
}

static double *parity_load(const char *name, int64_t *count)
{
    const hid_t set = H5Dopen2(parity_file, name, H5P_DEFAULT), space = H5Dget_space(set);
    if (set < 0) fail_msg("no case %s", name);
    *count = H5Sget_simple_extent_npoints(space);
    double *values = test_malloc((size_t)*count * sizeof *values);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    return values;
}

/* `order`: the parameter whose layout `got` has, or NULL. Returns what follows. */
static const double *parity_compare(const char *name, const char *what, int number, int64_t count, const real *got,
                                    const nn_param *order, const double *want, double tolerance)
{
    double size = PARITY_SMALL, error = 0;
    for (int64_t i = 0; i < count; i++) {
        const double apart = fabs((double)got[order ? parity_place(order, i) : i] - want[i]);
        size = fmax(size, fabs(want[i]));
        error = isnan(apart) ? INFINITY : fmax(error, apart);
    }
    if (!(error / size <= tolerance)) fail_msg("%s: %s %d is off by %g of %g", name, what, number, error, size);
    parity_worst = fmax(parity_worst, error / size);
    parity_numbers += (int)count;
    return want + count;
}

static const double *parity_compare_run(const parity *c, const char *name, const double *want, double tolerance)
{
    for (int i = 0; i < c->results; i++)
        want = parity_compare(name, "result", i, ag_numel(c->y[i]), ag_data(c->y[i]), NULL, want, tolerance);
    for (int i = 0; i < c->wanted; i++) {
        const bool input = i < c->inputs;
        want = parity_compare(name, input ? "gradient of input" : "gradient of parameter", input ? i : i - c->inputs,
                              ag_numel(c->d[i]), ag_data(c->d[i]), nn_param_of(c->params, c->wrt[i]), want, tolerance);
    }
    for (int i = 0, n = 0; i < nn_params_count(c->params); i++) {
        const nn_param *p = nn_params_at(c->params, i);
        if (p->kind == NN_BUFFER) want = parity_compare(name, "buffer", n++, p->numel, p->data, NULL, want, tolerance);
    }
    return want;
}

/* How many numbers a run compares. */
static int64_t parity_count(const parity *c)
{
    int64_t n = nn_params_numel(c->params, NN_BUFFER);
    for (int i = 0; i < c->results; i++) n += ag_numel(c->y[i]);
    for (int i = 0; i < c->wanted; i++) n += ag_numel(c->d[i]);
    return n;
}

static void parity_check(const parity_case *of, double tolerance)
{
    int64_t count;
    parity c = parity_begin(of);
    const int runs = of->runs ? of->runs : 1;
    double *want = parity_load(of->name, &count);
    const double *next = want;
    if (count != runs * parity_count(&c))
        fail_msg("%s: %d numbers for %d in the fixture", of->name, (int)(runs * parity_count(&c)), (int)count);
    for (int run = 0; run < runs; run++) {
        parity_run(&c, run);
        next = parity_compare_run(&c, of->name, next, tolerance);
    }
    test_free(want);
    parity_end(&c);
}

__attribute__((unused)) static void parity_check_all(const char *fixture, int count, const parity_case *cases,
                                                     double tolerance)
{
    parity_file = H5Fopen(fixture, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(parity_file >= 0);
    for (int i = 0; i < count; i++) parity_check(&cases[i], tolerance);
    H5Fclose(parity_file);
    print_message("[          ] %d cases, %d numbers, worst relative difference %.1e (bound %.0e)\n", count,
                  parity_numbers, parity_worst, tolerance);
}

/* Every case with 1, 2, 3, 4 and 8 threads: all results and gradients have the same bits. */
__attribute__((unused)) static void parity_check_threads(int count, const parity_case *cases)
{
    for (int i = 0; i < count; i++) {
        ag_cpu_set_threads(1);
        parity one = parity_begin(&cases[i]);
        parity_run(&one, 0);
        for (int t = 1; t < 5; t++) {
            ag_cpu_set_threads((const int[]){1, 2, 3, 4, 8}[t]);
            parity many = parity_begin(&cases[i]);
            parity_run(&many, 0);
            bool same = true;
            for (int j = 0; j < one.results; j++)
                same = same && !memcmp(ag_data(one.y[j]), ag_data(many.y[j]), ag_bytes(one.y[j]));
            for (int j = 0; j < one.wanted; j++)
                same = same && !memcmp(ag_data(one.d[j]), ag_data(many.d[j]), ag_bytes(one.d[j]));
            if (!same) fail_msg("%s: other bits with %d threads", cases[i].name, (const int[]){1, 2, 3, 4, 8}[t]);
            parity_end(&many);
        }
        parity_end(&one);
    }
    ag_cpu_set_threads(0);
}

#endif
