/* Three uses of gradients as tensors of the graph, each against central differences: the adaptive adversarial weight (two gradients at
 * one weight), the R1 penalty (the gradient of a gradient's norm), and the product of a Hessian with a vector. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine.h"
#include "autograd/random.h"

static void numbers(uint64_t stream, double scale, ag_tensor *t)
{
    for (int64_t i = 0; i < ag_numel(t); i++)
        ((real *)ag_data(t))[i] = scale * ag_random_normal(11, stream, (uint64_t)i);
}

static void plan(ag_graph *g)
{
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
}

static double value(ag_graph *g, const ag_tensor *f)
{
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    return ag_value(f);
}

/* d f / d x[i] by central differences of order h^4. */
static double slope(ag_graph *g, const ag_tensor *f, ag_tensor *x, int64_t i)
{
    real *p = (real *)ag_data(x) + i;
    const double old = *p, h = 1e-4;
    double d[2];
    for (int n = 0; n < 2; n++) {
        const double step = h * (n + 1);
        *p = old + step;
        const double up = value(g, f);
        *p = old - step;
        d[n] = (up - value(g, f)) / (2 * step);
    }
    *p = old;
    return (4 * d[0] - d[1]) / 3;
}

/* Largest difference of d f / d x from dx, relative to the largest slope; every `stride`-th element. */
static double compare(ag_graph *g, const ag_tensor *f, ag_tensor *x, const ag_tensor *dx, int stride)
{
    double size = 0, error = 0;
    value(g, f);
    double *want = test_malloc(ag_bytes(dx));
    memcpy(want, ag_data(dx), ag_bytes(dx));
    for (int64_t i = 0; i < ag_numel(x); i += stride) {
        const double d = slope(g, f, x, i);
        size = fmax(size, fabs(d));
        error = fmax(error, fabs(d - want[i]));
    }
    test_free(want);
    assert_true(size > 1e-4);
    return error / size;
}

static ag_tensor *leaky_relu(ag_tensor *x)
{
    ag_tensor *zero = ag_constant(ag_graph_of(x), 0, 0, NULL);
    return ag_select(ag_less(x, zero), ag_scale(x, 0.2), x);
}

/* Without a kink. */
static ag_tensor *squash(ag_tensor *x) { return ag_div(x, ag_sqrt(ag_shift(ag_square(x), 1))); }

/* Two convolutions and a linear map to one number an image. */
static ag_tensor *discriminator(ag_tensor *x, ag_tensor *const w[3])
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}};
    ag_tensor *h = leaky_relu(ag_conv2d(x, w[0], NULL, NULL, &o));
    h = leaky_relu(ag_conv2d(h, w[1], NULL, NULL, &o));
    h = ag_reshape(h, 2, (int64_t[]){ag_dim(h, 0), ag_numel(h) / ag_dim(h, 0)});
    return ag_matmul(h, w[2], false, false);
}

static void discriminator_weights(ag_graph *g, ag_tensor *w[3])
{
    w[0] = ag_state(g, "d.0", AG_REAL, 4, (int64_t[]){4, 4, 3, 5});
    w[1] = ag_state(g, "d.1", AG_REAL, 4, (int64_t[]){4, 4, 5, 6});
    w[2] = ag_state(g, "d.2", AG_REAL, 2, (int64_t[]){2 * 2 * 6, 1});
}

static ag_tensor *norm(ag_tensor *x) { return ag_sqrt(ag_sum(ag_square(x))); }

/* ---- the adaptive adversarial weight ----------------------------------------------------------------------------------- */

static int count(const ag_graph *g, const char *op)
{
    int n = 0;
    for (int i = 0; i < g->order_count; i++) n += !strcmp(ag_op_name(g->order[i]), op);
    return n;
}

typedef struct gan {
    ag_graph *g;
    ag_tensor *x, *z, *first, *last, *d[3], *y, *nll, *adversarial;
} gan;

/* A decoder of two convolutions; L_nll = mean |x - y|, L_g = -mean D(y). */
static gan gan_build(void)
{
    gan m = {.g = ag_graph_new(1)};
    const ag_conv2d_options same = {.pad = {1, 1, 1, 1}};
    m.x = ag_input(m.g, "x", AG_REAL, 4, (int64_t[]){2, 8, 8, 3});
    m.z = ag_input(m.g, "z", AG_REAL, 4, (int64_t[]){2, 8, 8, 4});
    m.first = ag_state(m.g, "first", AG_REAL, 4, (int64_t[]){3, 3, 4, 4});
    m.last = ag_state(m.g, "last", AG_REAL, 4, (int64_t[]){3, 3, 4, 3});
    discriminator_weights(m.g, m.d);
    m.y = ag_conv2d(squash(ag_conv2d(m.z, m.first, NULL, NULL, &same)), m.last, NULL, NULL, &same);
    m.nll = ag_mean(ag_abs(ag_sub(m.x, m.y)));
    m.adversarial = ag_neg(ag_mean(discriminator(m.y, m.d)));
    return m;
}

static void gan_fill(const gan *m)
{
    plan(m->g);
    numbers(1, 1, m->x), numbers(2, 1, m->z), numbers(3, 0.3, m->first), numbers(4, 0.3, m->last);
    for (int i = 0; i < 3; i++) numbers((uint64_t)(5 + i), 0.3, m->d[i]);
}

/* lambda = |d nll / d last| / (|d adversarial / d last| + 1e-4), a constant for the gradient of nll + lambda adversarial:
 * Esser, Rombach, Ommer 2021, arXiv:2012.09841, eq. 7. Both losses' gradients at y are needed anyway; the two at the weight cost one
 * product each; the sum goes back through the decoder once. */
static void adaptive_weight_runs_the_discriminator_backwards_once(void **state)
{
    (void)state;
    gan m = gan_build();
    ag_tensor *g1, *g2, *w1, *w2, *both[2] = {m.first, m.last}, *d[2];
    ag_gradient(m.nll, 1, &m.y, &g1);
    ag_gradient(m.adversarial, 1, &m.y, &g2);
    ag_pullback(m.y, g1, 1, &m.last, &w1);
    ag_pullback(m.y, g2, 1, &m.last, &w2);
    ag_tensor *lambda = ag_clamp(ag_div(norm(w1), ag_shift(norm(w2), 1e-4)), 0, 1e4);
    ag_pullback(m.y, ag_add(g1, ag_mul(g2, lambda)), 2, both, d);
    ag_keep(lambda), ag_keep(m.nll), ag_keep(m.adversarial), ag_keep(d[0]), ag_keep(d[1]), ag_keep(w1), ag_keep(w2);
    gan_fill(&m);
    /* the discriminator: one gradient of the input per convolution; the decoder: one for its first layer's output */
    assert_int_equal(count(m.g, "conv2d_transposed"), 2 + 1);
    /* the weights: last for each loss and for the sum, first for the sum */
    assert_int_equal(count(m.g, "conv2d_weight_grad"), 4);
    assert_int_equal(count(m.g, "conv2d"), 4);

    assert_true(compare(m.g, m.nll, m.last, w1, 7) < 1e-7);
    assert_true(compare(m.g, m.adversarial, m.last, w2, 7) < 1e-7);
    value(m.g, m.nll);
    double n1 = 0, n2 = 0;
    for (int64_t i = 0; i < ag_numel(m.last); i++) {
        const double a = slope(m.g, m.nll, m.last, i), b = slope(m.g, m.adversarial, m.last, i);
        n1 += a * a, n2 += b * b;
    }
    value(m.g, m.nll);
    const double weight = ag_value(lambda), want = sqrt(n1) / (sqrt(n2) + 1e-4);
    assert_true(fabs(weight - want) < 1e-7 * want);
    double worst = 0, size = 0;
    for (int j = 0; j < 2; j++)
        for (int64_t i = 0; i < ag_numel(both[j]); i += 5) {
            const double numeric = slope(m.g, m.nll, both[j], i) + weight * slope(m.g, m.adversarial, both[j], i);
            value(m.g, m.nll);
            size = fmax(size, fabs(numeric));
            worst = fmax(worst, fabs(numeric - ((double *)ag_data(d[j]))[i]));
        }
    print_message("[          ] lambda %.6f; worst relative difference %.1e\n", weight, worst / size);
    assert_true(worst < 1e-7 * size);
    ag_graph_free(m.g);
}

/* ---- R1 ------------------------------------------------------------------------------------------------------------------ */

/* cost * mean_b sum |d D(x_b) / d x_b|^2: Mescheder, Geiger, Nowozin 2018, arXiv:1801.04406, eq. 9 (there with cost gamma / 2). */
static void r1_penalty_has_the_right_gradient(void **state)
{
    (void)state;
    for (int blocks = 0; blocks < 2; blocks++) {
        ag_graph *g = ag_graph_new(1);
        ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){3, 8, 8, 3}), *w[3], *dx, *dw[3];
        double worst = 0;
        discriminator_weights(g, w);
        if (blocks) ag_block_begin(g);
        ag_tensor *logits = discriminator(x, w);
        if (blocks) ag_block_end(g);
        ag_gradient(ag_sum(logits), 1, &x, &dx);
        ag_tensor *penalty = ag_keep(ag_scale(ag_sum(ag_square(dx)), 10.0 / 3));
        ag_tensor *loss = ag_keep(ag_add(penalty, ag_mean(ag_square(logits))));
        ag_gradient(loss, 3, w, dw);
        for (int i = 0; i < 3; i++) ag_keep(dw[i]);
        if (ag_graph_plan(g, &(ag_plan_options){.recompute = blocks})) fail_msg("%s", ag_error_message());
        numbers(1, 1, x);
        for (int i = 0; i < 3; i++) numbers((uint64_t)(2 + i), 0.3, w[i]);
        for (int i = 0; i < 3; i++) worst = fmax(worst, compare(g, loss, w[i], dw[i], i == 2 ? 1 : 11));
        print_message("[          ] penalty %.4f; worst relative difference %.1e\n", ag_value(penalty), worst);
        assert_true(ag_value(penalty) > 0 && worst < 1e-7);
        ag_graph_free(g);
    }
}

/* ---- Hessian times vector ------------------------------------------------------------------------------------------------ */

enum { WEIGHTS = 3 };

/* H v = d (gradient . v) / d weights, against (gradient(w + h v) - gradient(w - h v)) / 2h. */
static void hessian_vector_product_is_the_change_of_the_gradient(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    const int64_t shapes[WEIGHTS][2] = {{4, 6}, {6, 5}, {5, 2}};
    ag_tensor *x = ag_input(g, "x", AG_REAL, 2, (int64_t[]){7, 4}),
              *t = ag_input(g, "t", AG_REAL, 2, (int64_t[]){7, 2});
    ag_tensor *w[WEIGHTS], *v[WEIGHTS], *d[WEIGHTS], *hv[WEIGHTS], *h = x, *along = NULL;
    for (int i = 0; i < WEIGHTS; i++) {
        w[i] = ag_state(g, "w", AG_REAL, 2, shapes[i]);
        v[i] = ag_input(g, "v", AG_REAL, 2, shapes[i]);
        h = ag_matmul(h, w[i], false, false);
        if (i < WEIGHTS - 1) h = squash(h);
    }
    ag_tensor *loss = ag_keep(ag_mse(h, t));
    ag_gradient(loss, WEIGHTS, w, d);
    for (int i = 0; i < WEIGHTS; i++) {
        ag_tensor *dot = ag_sum(ag_mul(d[i], v[i]));
        along = along ? ag_add(along, dot) : dot;
    }
    ag_gradient(along, WEIGHTS, w, hv);
    for (int i = 0; i < WEIGHTS; i++) ag_keep(d[i]), ag_keep(hv[i]);
    plan(g);
    numbers(1, 1, x), numbers(2, 1, t);
    for (int i = 0; i < WEIGHTS; i++) numbers((uint64_t)(3 + i), 0.5, w[i]), numbers((uint64_t)(9 + i), 1, v[i]);
    value(g, loss);
    static double exact[WEIGHTS][64], numeric[WEIGHTS][64];
    for (int i = 0; i < WEIGHTS; i++) memcpy(exact[i], ag_data(hv[i]), ag_bytes(hv[i]));
    const double steps[] = {1e-4, -1e-4, 2e-4, -2e-4}, factors[] = {4, -4, -0.5, 0.5}; /* times 1 / (6 h) */
    for (int n = 0; n < 4; n++) {
        for (int i = 0; i < WEIGHTS; i++)
            for (int64_t j = 0; j < ag_numel(w[i]); j++)
                ((double *)ag_data(w[i]))[j] += steps[n] * ((double *)ag_data(v[i]))[j];
        value(g, loss);
        for (int i = 0; i < WEIGHTS; i++)
            for (int64_t j = 0; j < ag_numel(w[i]); j++) {
                numeric[i][j] += factors[n] * ((double *)ag_data(d[i]))[j] / (6 * 1e-4);
                ((double *)ag_data(w[i]))[j] -= steps[n] * ((double *)ag_data(v[i]))[j];
            }
    }
    double worst = 0, size = 0;
    for (int i = 0; i < WEIGHTS; i++)
        for (int64_t j = 0; j < ag_numel(w[i]); j++) {
            size = fmax(size, fabs(numeric[i][j]));
            worst = fmax(worst, fabs(numeric[i][j] - exact[i][j]));
        }
    print_message("[          ] worst relative difference %.1e\n", worst / size);
    assert_true(size > 0.01 && worst < 1e-7 * size);
    ag_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adaptive_weight_runs_the_discriminator_backwards_once),
        cmocka_unit_test(r1_penalty_has_the_right_gradient),
        cmocka_unit_test(hessian_vector_product_is_the_change_of_the_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
