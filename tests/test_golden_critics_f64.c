/* Golden numbers of discriminators, the perceptual distance and losses: hash weights, synthetic images 0 and 1, values from
 * independent implementations or worked by hand. */
#include "golden_rows.h"
#include "nn/losses.h"

/* ---- discriminators ------------------------------------------------------------------------------------------------------ */

static void patchgan_rows(void **state)
{
    (void)state;
    const row rows[2] = {{.021062, .074048, {-.011383, -.023510, -.053769}, -.014586},
                         {-.239254, .641456, {-.810982, -.202177, -.454879}, .069699}};
    for (int training = 0; training < 2; training++) {
        bench b = begin(training);
        ag_tensor *y = ag_keep(nn_patchgan(b.root, b.x, &(nn_patchgan_opt){.width = 16, .layers = 2}));
        run(&b, 2, -1);
        assert_int_equal(nn_params_numel(b.params, NN_PARAMETER), 42961);
        check_row(training ? "batch statistics" : "running statistics", y, &rows[training]);
        end(&b);
    }
}

/* The mean over images of the squared gradient norm is the R1 penalty. */
static void stylegan_row(void **state)
{
    (void)state;
    const nn_stylegan_opt o = {.levels = 4, .width = {16, 32, 32, 32}};
    bench b = begin(true);
    ag_tensor *y = ag_keep(nn_stylegan(b.root, b.x, &o)), *penalty = ag_keep(nn_r1(y, b.x));
    fill(&b, 2, -1);
    assert_int_equal(nn_params_numel(b.params, NN_PARAMETER), 72561);
    for (int i = 0; i < nn_params_count(b.params); i++) { /* weights of unit variance */
        nn_param *p = nn_params_at(b.params, i);
        const double fan_in = (double)(p->numel / p->shape[p->rank - 1]);
        for (int64_t j = 0; p->rank > 1 && j < p->numel; j++) ((real *)p->data)[j] *= sqrt(fan_in);
    }
    assert_int_equal(ag_graph_run(b.g, 1), AG_OK);
    near("image 0", at(y, 0), 1.038435);
    near("image 1", at(y, 1), .750235);
    if (fabs(ag_value(penalty) - .00368273) > 1e-8) fail_msg("R1: %.9g", ag_value(penalty));
    end(&b);
}

static int64_t parameters(void (*build)(nn_scope root, ag_graph *g))
{
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    build(nn_root(p, g, true), g);
    if (ag_graph_error(g)) fail_msg("a mistake while building");
    const int64_t n = nn_params_numel(p, NN_PARAMETER);
    ag_graph_free(g);
    nn_params_free(p);
    return n;
}

static ag_tensor *picture(ag_graph *g, int64_t size)
{
    return ag_input(g, "x", AG_REAL, 4, (int64_t[]){4, size, size, 3});
}

static void patchgan_2(nn_scope s, ag_graph *g)
{
    ag_tensor *y = nn_patchgan(s, picture(g, 64), &(nn_patchgan_opt){.width = 64, .layers = 2});
    assert_int_equal(ag_dim(y, 1), 14);
}

static void patchgan_3(nn_scope s, ag_graph *g)
{
    ag_tensor *y = nn_patchgan(s, picture(g, 256), &(nn_patchgan_opt){.width = 64, .layers = 3});
    assert_int_equal(ag_dim(y, 1), 30);
}

static void patchgan_4(nn_scope s, ag_graph *g)
{
    nn_patchgan(s, picture(g, 64), &(nn_patchgan_opt){.width = 64, .layers = 4});
}

static void stylegan_256(nn_scope s, ag_graph *g)
{
    const nn_stylegan_opt o = nn_stylegan_usual(256, 2);
    assert_int_equal(o.levels, 7);
    nn_stylegan(s, picture(g, 256), &o);
}

static void parameter_counts(void **state)
{
    (void)state;
    assert_int_equal(parameters(patchgan_2), 663361);
    assert_int_equal(parameters(patchgan_3), 2765633);
    assert_int_equal(parameters(patchgan_4), 6960961);
    assert_int_equal(parameters(stylegan_256), 28864129);
}

/* ---- LPIPS ------------------------------------------------------------------------------------------------------------------ */

static void lpips_wiring(void **state)
{
    (void)state;
    const double want[5] = {.146702, .074892, .046829, .028696, .014402};
    bench b = begin(false);
    ag_tensor *taps[5], *x[2];
    for (int i = 0; i < 2; i++) x[i] = ag_slice_axis(b.x, 0, i, 1);
    ag_tensor *y = ag_keep(nn_lpips(b.root, x[0], x[1], NULL, taps));
    for (int i = 0; i < 5; i++) ag_keep(taps[i]);
    fill(&b, 2, -1);
    assert_int_equal(nn_params_numel(b.params, NN_PARAMETER), 14714688 + 64 + 128 + 256 + 512 + 512);
    for (int i = 0; i < nn_params_count(b.params); i++) {
        nn_param *p = nn_params_at(b.params, i);
        real *w = p->data;
        const bool head = p->name[0] == 'l';
        for (int64_t j = 0; j < p->numel && p->rank == 4; j++)
            w[j] = head ? fabs(golden_u((uint32_t)j)) : w[j] * sqrt(2);
    }
    assert_int_equal(ag_graph_run(b.g, 1), AG_OK);
    for (int i = 0; i < 5; i++) near("tap", ag_value(taps[i]), want[i]);
    near("LPIPS", ag_value(y), .311520);
    end(&b);
}

/* ---- losses ------------------------------------------------------------------------------------------------------------------ */

/* A graph whose tensors are lists of numbers. */
typedef struct list {
    nn_params *params;
    ag_graph *g;
    nn_scope root;
    ag_tensor *leaf[4];
    const double *values[4];
    int n;
} list;

static list lists(bool training)
{
    list l = {.params = nn_params_new(1), .g = ag_graph_new(1)};
    l.root = nn_root(l.params, l.g, training);
    return l;
}

static ag_tensor *numbers(list *l, int64_t n, const double *values)
{
    l->values[l->n] = values;
    return l->leaf[l->n++] = ag_input(l->g, "numbers", AG_REAL, 1, &n);
}

static void plan_list(list *l)
{
    if (ag_graph_plan(l->g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < l->n; i++) memcpy(ag_data(l->leaf[i]), l->values[i], ag_bytes(l->leaf[i]));
}

static void run_list(list *l) { assert_int_equal(ag_graph_run(l->g, 1), AG_OK); }

static void end_list(list *l)
{
    ag_graph_free(l->g);
    nn_params_free(l->params);
}

static const double r3[3] = {1.5, .2, -.3}, f3[3] = {-1.2, .4, .1};

static void adversarial_losses(void **state)
{
    (void)state;
    list l = lists(false);
    ag_tensor *r = numbers(&l, 3, r3), *f = numbers(&l, 3, f3), *d[4], *g[4];
    for (int i = 0; i < 4; i++) {
        d[i] = ag_keep(nn_gan_discriminator((nn_gan_kind)i, r, f));
        g[i] = ag_keep(nn_gan_generator((nn_gan_kind)i, f));
    }
    ag_tensor *lecam = ag_keep(nn_lecam(nn_in(l.root, "lecam"), r, f, 0, true));
    plan_list(&l);
    *(real *)nn_params_find(l.params, "lecam.ema_real")->data = .5;
    *(real *)nn_params_find(l.params, "lecam.ema_fake")->data = -.2;
    run_list(&l);
    near("hinge D", ag_value(d[NN_GAN_HINGE]), .766667);
    near("hinge G", ag_value(g[NN_GAN_HINGE]), .233333);
    near("vanilla D", ag_value(d[NN_GAN_VANILLA]), .595767);
    near("vanilla G", ag_value(g[NN_GAN_VANILLA]), .233333);
    near("non-saturating D", ag_value(d[NN_GAN_NON_SATURATING]), 2 * .5957669);
    near("non-saturating G", ag_value(g[NN_GAN_NON_SATURATING]),
         (log1p(exp(1.2)) + log1p(exp(-.4)) + log1p(exp(-.1))) / 3);
    near("least squares D", ag_value(d[NN_GAN_LEAST_SQUARES]), (.25 + .64 + 1.69 + 1.44 + .16 + .01) / 6);
    near("least squares G", ag_value(g[NN_GAN_LEAST_SQUARES]), (4.84 + .36 + .81) / 6);
    near("LeCAM", ag_value(lecam), 2.036667);
    end_list(&l);
}

/* In training the averages follow, and the term sees them from before or after, as asked. */
static void lecam_averages_follow(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        list l = lists(true);
        ag_tensor *r = numbers(&l, 3, r3), *f = numbers(&l, 3, f3);
        ag_tensor *term = ag_keep(nn_lecam(nn_in(l.root, "lecam"), r, f, 0.9, first));
        plan_list(&l);
        run_list(&l);
        const double real_mean = 1.4 / 30, fake_mean = -.7 / 30;
        const double a = first ? fake_mean : 0, b = first ? real_mean : 0;
        double want = 0;
        for (int i = 0; i < 3; i++) want += pow(fmax(r3[i] - a, 0), 2) / 3 + pow(fmax(b - f3[i], 0), 2) / 3;
        near("term", ag_value(term), want);
        near("real", *(real *)nn_params_find(l.params, "lecam.ema_real")->data, real_mean);
        near("fake", *(real *)nn_params_find(l.params, "lecam.ema_fake")->data, fake_mean);
        end_list(&l);
    }
}

static void reconstruction_losses(void **state)
{
    (void)state;
    const double x[3] = {.1, .5, .9}, mean[3] = {0, .3, 1.5}, scale[3] = {0, -1, .5}, edge[3] = {0, .5, 1};
    list l = lists(false);
    ag_tensor *tx = numbers(&l, 3, x), *tm = numbers(&l, 3, mean), *ts = numbers(&l, 3, scale);
    ag_tensor *te = numbers(&l, 3, edge);
    ag_tensor *laplace = ag_keep(nn_logit_laplace(tm, ts, tx)), *l1 = ag_keep(nn_l1(tm, tx));
    ag_tensor *huber = ag_keep(nn_huber(tm, tx, .15)), *mse = ag_keep(nn_mse(tm, tx));
    ag_tensor *map = ag_keep(nn_logit_laplace_map(te, .1)), *image = ag_keep(nn_logit_laplace_image(tm, .1));
    plan_list(&l);
    run_list(&l);
    near("logit-Laplace", ag_value(laplace), (.482426 - .877663 - .791910) / 3);
    near("L1", ag_value(l1), (.1 + .2 + .6) / 3);
    near("Huber", ag_value(huber), (.005 + .15 * (.2 - .075) + .15 * (.6 - .075)) / 3);
    near("MSE", ag_value(mse), (.01 + .04 + .36) / 3);
    for (int i = 0; i < 3; i++) near("map", at(map, i), .1 + .4 * i);
    near("image", at(image, 0), .5);
    near("image", at(image, 2), (1 / (1 + exp(-1.5)) - .1) / .8);
    end_list(&l);
}

static void images_apart(void **state)
{
    (void)state;
    bench b = begin(false);
    ag_tensor *x[2];
    for (int i = 0; i < 2; i++) x[i] = ag_slice_axis(b.x, 0, i, 1);
    ag_tensor *l1 = ag_keep(nn_l1(x[0], x[1])), *mse = ag_keep(nn_mse(x[0], x[1]));
    run(&b, 1, 0);
    near("L1", ag_value(l1), .220471);
    near("MSE", ag_value(mse), .0784670);
    end(&b);
}

/* How neighbours differ in image 0, less how they do in image 1: the mean size. They are `step` values apart: 3 in a row, 96 in a column. */
static double edges_apart(const double *pixels, int step)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i + step < 3072; i++) {
        if (step == 3 && i % 96 >= 93) continue; /* the last of its row */
        sum += fabs(pixels[i + step] - pixels[i] - pixels[3072 + i + step] + pixels[3072 + i]);
        n++;
    }
    return sum / n;
}

static void structure_apart(void **state)
{
    (void)state;
    for (int low = -1; low < 1; low++) {
        bench b = begin(false);
        ag_tensor *x[2];
        for (int i = 0; i < 2; i++) x[i] = ag_slice_axis(b.x, 0, i, 1);
        ag_tensor *loss = ag_keep(nn_structure(x[0], x[1], low, 1, 1));
        run(&b, 1 - low, low);
        double pixels[6144];
        for (int n = 0; n < 2; n++) golden_image(n, pixels + n * 3072);
        near("SSIM", 1 + 2 * (edges_apart(pixels, 3) + edges_apart(pixels, 96)) - ag_value(loss), .374958);
        end(&b);
    }
}

/* Ten times the adversarial loss leaves the weighted gradient alone; the cut holds; nothing flows through the weight. */
static void adaptive_weight(void **state)
{
    (void)state;
    const double a[3] = {3, 0, 4}, b[3] = {0, .5, 0}, tiny[3] = {0, 0, 1e-9};
    list l = lists(false);
    ag_tensor *ta = numbers(&l, 3, a), *tb = numbers(&l, 3, b), *tt = numbers(&l, 3, tiny), *raw[2], *d;
    ag_tensor *w = ag_keep(nn_adaptive_weight(ta, tb, 0, &raw[0]));
    ag_tensor *w10 = ag_keep(nn_adaptive_weight(ta, ag_scale(tb, 10), 0, NULL));
    ag_tensor *cut = ag_keep(nn_adaptive_weight(ta, tt, 0, &raw[1]));
    ag_gradient(ag_mul(w, ag_sum(tb)), 1, &ta, &d);
    ag_keep(d), ag_keep(raw[0]), ag_keep(raw[1]);
    plan_list(&l);
    run_list(&l);
    near("weight", ag_value(w), 5 / .5001);
    near("times ten", ag_value(w10) * 10, 5 / .50001);
    near("cut", ag_value(cut), 1e4);
    near("raw", ag_value(raw[1]), 5 / (1e-9 + 1e-4));
    for (int i = 0; i < 3; i++) assert_true(at(d, i) == 0);
    end_list(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patchgan_rows),         cmocka_unit_test(stylegan_row),
        cmocka_unit_test(parameter_counts),      cmocka_unit_test(lpips_wiring),
        cmocka_unit_test(adversarial_losses),    cmocka_unit_test(lecam_averages_follow),
        cmocka_unit_test(reconstruction_losses), cmocka_unit_test(images_apart),
        cmocka_unit_test(structure_apart),       cmocka_unit_test(adaptive_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
