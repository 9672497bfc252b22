/* What the tests of golden rows share: the row, and a graph of the two synthetic images with hash weights. For the double twins. */
#ifndef TESTS_GOLDEN_ROWS_H
#define TESTS_GOLDEN_ROWS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "golden.h"
#include "nn/networks.h"

/* Mean, population deviation, the first three values in the order [N,C,H,W], the last value. */
typedef struct row {
    double mean, deviation, first[3], last;
} row;

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1.5e-6 * fmax(1, fabs(want)))) fail_msg("%s: %.9g, not %.9g", what, got, want);
}

static double at(const ag_tensor *t, int64_t i) { return (double)((const real *)ag_data(t))[i]; }

/* `first` holds values along an image row, or along the last axis of what is no image. */
static void check_row(const char *name, const ag_tensor *t, const row *want)
{
    const int64_t n = ag_numel(t), c = ag_rank(t) == 4 && ag_dim(t, 2) > 1 ? ag_dim(t, 3) : 1;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += at(t, i), squares += at(t, i) * at(t, i);
    near(name, sum / (double)n, want->mean);
    near(name, sqrt(squares / (double)n - sum / (double)n * (sum / (double)n)), want->deviation);
    for (int i = 0; i < 3 && i * c < n; i++) near(name, at(t, i * c), want->first[i]);
    near(name, at(t, n - 1), want->last);
}

/* A graph with the two images as x * scale + shift. */
typedef struct bench {
    nn_params *params;
    ag_graph *g;
    nn_scope root;
    ag_tensor *x;
} bench;

static bench begin(bool training)
{
    bench b = {.params = nn_params_new(1), .g = ag_graph_new(1)};
    b.root = nn_root(b.params, b.g, training);
    b.x = ag_input(b.g, "x", AG_REAL, 4, (int64_t[]){2, 32, 32, 3});
    return b;
}

static void fill(const bench *b, double scale, double shift)
{
    if (ag_graph_plan(b->g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < nn_params_count(b->params); i++)
        if (nn_params_at(b->params, i)->kind == NN_PARAMETER) golden_parameter(nn_params_at(b->params, i));
    double *pixels = ag_data(b->x);
    for (int n = 0; n < 2; n++) golden_image(n, pixels + n * 3072);
    for (int i = 0; i < 6144; i++) pixels[i] = pixels[i] * scale + shift;
}

static void run(const bench *b, double scale, double shift)
{
    fill(b, scale, shift);
    if (ag_graph_run(b->g, 1)) fail_msg("%s", ag_error_message());
}

static void end(bench *b)
{
    ag_graph_free(b->g);
    nn_params_free(b->params);
}

#endif
