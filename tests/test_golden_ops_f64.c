/* Golden numbers of losses and norms that are compositions of operations: what a recipe would write, checked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/ops.h"

enum { MOST_LEAVES = 8 };

/* Leaves with values. */
typedef struct golden {
    ag_graph *g;
    ag_tensor *leaf[MOST_LEAVES];
    const double *values[MOST_LEAVES];
    int leaves;
} golden;

static ag_tensor *given(golden *c, int rank, const int64_t *shape, const double *values)
{
    c->values[c->leaves] = values;
    return c->leaf[c->leaves++] = ag_input(c->g, "x", AG_REAL, rank, shape);
}

#define VECTOR(n, ...)    given(&c, 1, (int64_t[]){n}, (const double[n]){__VA_ARGS__})
#define MATRIX(n, m, ...) given(&c, 2, (int64_t[]){n, m}, (const double[(n) * (m)]){__VA_ARGS__})

static void run(const golden *c)
{
    if (ag_graph_plan(c->g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < c->leaves; i++) memcpy(ag_data(c->leaf[i]), c->values[i], ag_bytes(c->leaf[i]));
    assert_int_equal(ag_graph_run(c->g, 1), AG_OK);
}

static void is(const ag_tensor *t, int n, const double *want, double tolerance)
{
    assert_int_equal(ag_numel(t), n);
    for (int i = 0; i < n; i++)
        if (!(fabs(((const double *)ag_data(t))[i] - want[i]) <= tolerance))
            fail_msg("number %d is %.9g, not %.9g", i, ((const double *)ag_data(t))[i], want[i]);
}

/* softmax((logits + noise) / tau): Jang, Gu, Poole 2017, arXiv:1611.01144; KL from uniform: ln K - H. */
static void gumbel_softmax(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *logits = VECTOR(3, 1, 0, -1), *noise = VECTOR(3, .2, .9, -.3), *sum = ag_add(logits, noise);
    ag_tensor *warm = ag_keep(ag_softmax(sum)), *cold = ag_keep(ag_softmax(ag_scale(sum, 16)));
    ag_tensor *kl = ag_keep(ag_shift(ag_sum(ag_mul(ag_softmax(logits), ag_log_softmax(logits))), log(3)));
    run(&c);
    is(warm, 3, (const double[]){.548576, .406395, .045030}, 1e-6);
    is(cold, 3, (const double[]){.991837, .008163, 0}, 1e-6);
    is(kl, 1, (const double[]){.266217}, 1e-6);
    const double last = ((const double *)ag_data(cold))[2];
    assert_true(last > 3e-18 && last < 5e-18);
    ag_graph_free(c.g);
}

/* KL(N(mean, e^logvar) || N(0,1)) = sum (mean^2 + e^logvar - 1 - logvar) / 2: Kingma, Welling 2014, arXiv:1312.6114, B. */
static void gaussian_kl(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *mean = VECTOR(2, .5, -1), *logvar = VECTOR(2, 0, -2);
    ag_tensor *terms = ag_sub(ag_add(ag_square(mean), ag_exp(logvar)), ag_shift(logvar, 1));
    ag_tensor *kl = ag_keep(ag_scale(ag_sum(terms), 0.5));
    run(&c);
    is(kl, 1, (const double[]){1.192668}, 1e-6);
    ag_graph_free(c.g);
}

/* -ln f(x) = |logit x - mu| / b + ln b + ln 2 + ln x + ln(1 - x): Ramesh et al. 2021, arXiv:2102.12092, A.3. */
static void logit_laplace(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *x = VECTOR(3, .1, .5, .9), *mu = VECTOR(3, 0, .3, 1.5), *ln_b = VECTOR(3, 0, -1, .5);
    ag_tensor *ln_x = ag_log(x), *ln_rest = ag_log1p(ag_neg(x));
    ag_tensor *apart = ag_mul(ag_abs(ag_sub(ag_sub(ln_x, ln_rest), mu)), ag_exp(ag_neg(ln_b)));
    ag_tensor *loss = ag_keep(ag_add(ag_add(apart, ag_shift(ln_b, log(2))), ag_add(ln_x, ln_rest)));
    run(&c);
    is(loss, 3, (const double[]){.482426, -.877663, -.791910}, 1e-6);
    ag_graph_free(c.g);
}

/* (1/n^2) sum_ij cos(e_i, e_j)^2 - 1/n */
static void orthogonal_regulariser(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *e = ag_l2_normalize(MATRIX(3, 2, 1, 0, 0, 2, 1, 1), 1e-12);
    ag_tensor *loss = ag_keep(ag_shift(ag_mean(ag_square(ag_matmul(e, e, false, true))), -1.0 / 3));
    run(&c);
    is(loss, 1, (const double[]){.222222}, 1e-6);
    ag_graph_free(c.g);
}

/* 0..7 as four channels of two positions, channels first, in two groups. */
static void group_norm(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *x = given(&c, 3, (int64_t[]){1, 4, 2}, (const double[]){0, 1, 2, 3, 4, 5, 6, 7});
    ag_tensor *y = ag_group_norm(ag_transpose(x, 1, 2), NULL, NULL, 2, 0, AG_LINEAR);
    y = ag_keep(ag_transpose(y, 1, 2));
    run(&c);
    is(y, 8, (const double[]){-1.341640, -.447214, .447214, 1.341640, -1.341640, -.447214, .447214, 1.341640}, 1e-6);
    ag_graph_free(c.g);
}

/* Hinge and non-saturating losses, and LeCAM (Tseng et al. 2021, arXiv:2104.03310): mean relu(r - ema_fake)^2 +
 * mean relu(ema_real - f)^2. */
static void adversarial_losses(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *r = VECTOR(3, 1.5, .2, -.3), *f = VECTOR(3, -1.2, .4, .1);
    ag_tensor *hinge = ag_add(ag_mean(ag_relu(ag_shift(ag_neg(r), 1))), ag_mean(ag_relu(ag_shift(f, 1))));
    ag_tensor *generator = ag_keep(ag_neg(ag_mean(f)));
    ag_tensor *vanilla = ag_add(ag_mean(ag_softplus(ag_neg(r))), ag_mean(ag_softplus(f)));
    ag_tensor *lecam =
        ag_add(ag_mean(ag_square(ag_relu(ag_shift(r, .2)))), ag_mean(ag_square(ag_relu(ag_shift(ag_neg(f), .5)))));
    hinge = ag_keep(ag_scale(hinge, 0.5));
    vanilla = ag_keep(ag_scale(vanilla, 0.5));
    ag_keep(lecam);
    run(&c);
    is(hinge, 1, (const double[]){.766667}, 1e-6);
    is(generator, 1, (const double[]){.233333}, 1e-6);
    is(vanilla, 1, (const double[]){.595767}, 1e-6);
    is(lecam, 1, (const double[]){2.036667}, 1e-6);
    ag_graph_free(c.g);
}

/* out = R e |q| / |e| turns e to q: with u = e/|e|, v = q/|q|, w = (u + v)/|u + v|, R = I - 2 w w^T + 2 v u^T, held fixed. Fifty et al.
 * 2024, arXiv:2410.06424, 4.2. The gradient of out[0] for e is |q|/|e| times row 0 of R. */
static void rotation_trick(void **state)
{
    (void)state;
    golden c = {.g = ag_graph_new(1)};
    ag_tensor *e = MATRIX(1, 3, 1, 2, 2), *q = MATRIX(1, 3, 2, 0, 1), *d;
    ag_tensor *identity = MATRIX(3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1);
    ag_tensor *u = ag_l2_normalize(e, 0), *v = ag_l2_normalize(q, 0), *w = ag_l2_normalize(ag_add(u, v), 0);
    ag_tensor *s = ag_sqrt(ag_div(ag_sum(ag_square(q)), ag_sum(ag_square(e))));
    ag_tensor *R =
        ag_add(ag_sub(identity, ag_scale(ag_matmul(w, w, true, false), 2)), ag_scale(ag_matmul(v, u, true, false), 2));
    ag_tensor *out = ag_mul(ag_matmul(e, ag_stop_gradient(R), false, true), ag_stop_gradient(s));
    ag_gradient(ag_slice_axis(out, 1, 0, 1), 1, &e, &d);
    ag_keep(d), ag_keep(out), ag_keep(R), ag_keep(s);
    run(&c);
    is(s, 1, (const double[]){.745356}, 1e-6);
    is(out, 3, (const double[]){2, 0, 1}, 1e-12);
    is(d, 3, (const double[]){.485949, .506702, .250323}, 1e-6);
    is(R, 9, (const double[]){.651970, .679812, .335844, -.512758, .721576, -.465197, -.558583, .131088, .819024},
       1e-6);
    ag_graph_free(c.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gumbel_softmax),         cmocka_unit_test(gaussian_kl), cmocka_unit_test(logit_laplace),
        cmocka_unit_test(orthogonal_regulariser), cmocka_unit_test(group_norm),  cmocka_unit_test(adversarial_losses),
        cmocka_unit_test(rotation_trick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
