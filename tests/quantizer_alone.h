/* A quantizer alone in a graph, for its tests. */
#ifndef TESTS_QUANTIZER_ALONE_H
#define TESTS_QUANTIZER_ALONE_H

#include "parity.h"

#include "autograd/random.h"
#include "nn/quantizer.h"

/* Largest difference of a tensor, relative to its largest number. */
#ifdef AG_DOUBLE
#define TOLERANCE 1e-11
#define NEAR      1e-6
#else
#define TOLERANCE 2e-5
#define NEAR      2e-5
#endif

#define GRADIENT NN_CODEBOOK_GRADIENT, .start = NN_START_NORMAL

/* ---- a quantizer alone ----------------------------------------------------------------------------------------------- */

typedef struct alone {
    nn_params *params;
    ag_graph *g;
    ag_tensor *z, *step;
    nn_quantized q;
} alone;

#define ALONE(training, o, ...) alone_new(training, o, SHAPE(__VA_ARGS__))

__attribute__((unused)) static alone alone_new(bool training, const nn_quantizer_opt *o, int rank, const int64_t *shape)
{
    alone a = {.params = nn_params_new(1), .g = ag_graph_new(3)};
    a.z = ag_input(a.g, "z", AG_REAL, rank, shape);
    a.step = training ? ag_input(a.g, "step", AG_REAL, 0, NULL) : NULL;
    a.q = nn_quantize(nn_in(nn_root(a.params, a.g, training), "q"), a.z, o, a.step);
    if (a.q.latents) ag_keep(a.q.latents);
    if (a.q.codes) ag_keep(a.q.codes), ag_keep(a.q.counts);
    for (int i = 0; i < a.q.n_terms; i++) ag_keep(a.q.terms[i].value);
    for (int i = 0; i < a.q.n_counters; i++) ag_keep(a.q.counters[i].value);
    return a;
}

__attribute__((unused)) static void alone_plan(alone *a)
{
    if (ag_graph_plan(a->g, NULL)) fail_msg("%s", ag_error_message());
    parity_fill(ag_data(a->z), ag_numel(a->z), 0, 4);
    if (a->step) *(real *)ag_data(a->step) = 1;
}

__attribute__((unused)) static void alone_run(alone *a, uint64_t step)
{
    assert_int_equal(ag_graph_run(a->g, step), AG_OK);
}

__attribute__((unused)) static void alone_free(alone *a)
{
    ag_graph_free(a->g);
    nn_params_free(a->params);
}

__attribute__((unused)) static void set(ag_tensor *t, const double *values)
{
    for (int64_t i = 0; i < ag_numel(t); i++) ((real *)ag_data(t))[i] = (real)values[i];
}

__attribute__((unused)) static void set_param(alone *a, const char *name, const double *values)
{
    nn_param *p = nn_params_find(a->params, name);
    assert_non_null(p);
    for (int64_t i = 0; i < p->numel; i++) ((real *)p->data)[i] = (real)values[i];
}

__attribute__((unused)) static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, not %.9g", got, want);
}

__attribute__((unused)) static void near_all(const ag_tensor *t, const double *want, double tolerance)
{
    for (int64_t i = 0; i < ag_numel(t); i++) near((double)((const real *)ag_data(t))[i], want[i], tolerance);
}

__attribute__((unused)) static void same_codes(const ag_tensor *t, const int32_t *want)
{
    for (int64_t i = 0; i < ag_numel(t); i++) assert_int_equal(((const int32_t *)ag_data(t))[i], want[i]);
}

__attribute__((unused)) static void hash_table(double *e, int n)
{
    for (int i = 0; i < n; i++) e[i] = 2 * golden_u((uint32_t)i);
}

#endif
