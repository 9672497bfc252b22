/* Discriminators, the perceptual distance and losses against PyTorch (tests/fixtures/make_critics.py). Where the R1 penalty is part of
 * the result, gradients of parameters are second derivatives. */
#include "networks.h"
#include "nn/losses.h"

/* The fixture is float. */
#ifdef AG_DOUBLE
#define TOLERANCE 3e-7
#else
#define TOLERANCE 5e-5
#endif

/* All logits, then the R1 penalty. */
static ag_tensor *with_r1(ag_tensor *logits, ag_tensor *x)
{
    ag_tensor *all[2] = {ag_reshape(logits, 1, (int64_t[]){ag_numel(logits)}),
                         ag_reshape(nn_r1(logits, x), 1, (int64_t[]){1})};
    return ag_concat(2, all, 0);
}

static ag_tensor *patchgan_batch(nn_scope root, ag_tensor *x)
{
    return nn_patchgan(root, x, &(nn_patchgan_opt){.width = 3, .layers = 2});
}

static ag_tensor *patchgan_group(nn_scope root, ag_tensor *x)
{
    const nn_patchgan_opt o = {.width = 3, .layers = 1, .norm = NN_PATCHGAN_GROUP, .groups = 3};
    return with_r1(nn_patchgan(root, x, &o), x);
}

static ag_tensor *patchgan_spectral(nn_scope root, ag_tensor *x)
{
    return nn_patchgan(root, x, &(nn_patchgan_opt){.width = 3, .layers = 2, .norm = NN_PATCHGAN_SPECTRAL});
}

static ag_tensor *stylegan(nn_scope root, ag_tensor *x)
{
    return with_r1(nn_stylegan(root, x, &(nn_stylegan_opt){.levels = 3, .width = {4, 6, 8}, .group = 2}), x);
}

static ag_tensor *lpips(nn_scope root, ag_tensor *x)
{
    return nn_lpips(root, ag_slice_axis(x, 3, 0, 3), ag_slice_axis(x, 3, 3, 3), NULL, NULL);
}

static ag_tensor *learned(nn_scope root, ag_tensor *x)
{
    const nn_features_opt o = {.width = 4, .levels = 3};
    return nn_features_distance(root, ag_slice_axis(x, 3, 0, 2), ag_slice_axis(x, 3, 2, 2), &o);
}

/* Every loss of one half of x for the other. */
static ag_tensor *losses(nn_scope root, ag_tensor *x)
{
    ag_tensor *y = ag_slice_axis(x, 0, 0, 4), *t = ag_slice_axis(x, 0, 4, 4), *all[12];
    int n = 0;
    all[n++] = nn_l1(y, t);
    all[n++] = nn_huber(y, t, 0.3);
    all[n++] = nn_logit_laplace(y, t, nn_logit_laplace_map(ag_sigmoid(t), 0.1));
    for (int kind = 0; kind < 4; kind++) {
        all[n++] = nn_gan_discriminator((nn_gan_kind)kind, y, t);
        all[n++] = nn_gan_generator((nn_gan_kind)kind, t);
    }
    all[n++] = nn_lecam(root, y, t, 0, false);
    return ag_stack(n, all, 0);
}

static const network_case cases[] = {
    {"patchgan_batch", patchgan_batch, 4, {3, 16, 24, 2}, 0, false},
    {"patchgan_group", patchgan_group, 4, {2, 12, 8, 2}, 0, false},
    {"patchgan_spectral", patchgan_spectral, 4, {2, 16, 16, 2}, 0, false},
    {"stylegan", stylegan, 4, {4, 16, 8, 2}, 0, false},
    {"losses", losses, 2, {8, 5}, 0, true},
    {"learned", learned, 4, {2, 14, 9, 4}, 0, false},
    {"lpips", lpips, 4, {2, 16, 32, 6}, 0, true}, /* last: too large to be built for every number of threads */
};

static void networks_equal_pytorch(void **state)
{
    (void)state;
    network_check_all(TEST_FILES "/fixtures/critics.h5", sizeof cases / sizeof *cases, cases, TOLERANCE);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    network_check_bits(sizeof cases / sizeof *cases - 1, cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(networks_equal_pytorch),
                                       cmocka_unit_test(bits_do_not_depend_on_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
