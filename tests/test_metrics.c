/* Image and codebook metrics against published golden numbers (synthetic images 0 and 1 of the reference set). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics.h"

enum { SIDE = 32, CHANNELS = 3, VALUES = SIDE * SIDE * CHANNELS };

static real images[3][VALUES]; /* 0, 1, and 0 with noise */

static double draw(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s / 4294967296.0;
}

static bool inside(int kind, double dx, double dy, double r)
{
    const double d = dx * dx + dy * dy;
    if (kind == 0) return d <= r * r;
    if (kind == 1) return fabs(dx) <= r && fabs(dy) <= r;
    return 0.36 * r * r <= d && d <= r * r;
}

/* Image n of the reference set: a shape on a ramp, every figure from one linear congruential generator. */
static void reference_image(uint32_t n, real *out)
{
    uint32_t s = 12345u + 7919u * n;
    double c0[3], c1[3];
    for (int i = 0; i < 4; i++) draw(&s);
    for (int i = 0; i < 3; i++) c0[i] = draw(&s);
    for (int i = 0; i < 3; i++) c1[i] = draw(&s);
    const double cx = 8 + 16 * draw(&s), cy = 8 + 16 * draw(&s), r = 4 + 8 * draw(&s);
    const int kind = (int)(3 * draw(&s));
    const double g = 2 * acos(-1) * draw(&s);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < CHANNELS; c++) {
                const double ramp = .25 * ((x - 15.5) * cos(g) + (y - 15.5) * sin(g)) / 16;
                const double v = inside(kind, x - cx, y - cy, r) ? c1[c] : c0[c] + ramp;
                out[(y * SIDE + x) * CHANNELS + c] = (real)(v < 0 ? 0 : v > 1 ? 1 : v);
            }
}

/* The hash noise of the golden numbers, indexed in [C,H,W] order. */
static double noise(uint32_t i)
{
    uint32_t s = (i + 1) * 2654435761u;
    s ^= s >> 15;
    s *= 2246822519u;
    s ^= s >> 13;
    return s / 4294967296.0 - 0.5;
}

static int make_images(void **state)
{
    (void)state;
    reference_image(0, images[0]);
    reference_image(1, images[1]);
    for (uint32_t c = 0; c < CHANNELS; c++)
        for (uint32_t p = 0; p < SIDE * SIDE; p++) {
            const uint32_t at = p * CHANNELS + c;
            const double v = (double)images[0][at] + 0.1 * noise(c * SIDE * SIDE + p);
            images[2][at] = (real)(v < 0 ? 0 : v > 1 ? 1 : v);
        }
    return 0;
}

static double ssim(const real *a, const real *b, int h, int w, int c)
{
    double *scratch = malloc(metric_ssim_scratch(h, w) * sizeof *scratch);
    assert_non_null(scratch);
    const double v = metric_ssim(h, w, c, a, b, scratch);
    free(scratch);
    return v;
}

#define NEAR(value, expected, tolerance) assert_true(fabs((value) - (expected)) <= (tolerance))

static void images_have_the_published_values(void **state)
{
    (void)state;
    NEAR(images[0][0], 1.0, 1e-6);
    NEAR(images[0][(16 * SIDE + 16) * 3 + 1], .5961001, 1e-6);
    NEAR(images[0][(31 * SIDE + 31) * 3 + 2], .1903323, 1e-6);
}

static void two_images_have_the_golden_metrics(void **state)
{
    (void)state;
    NEAR(metric_mse(VALUES, images[0], images[1]), .0784670, 1e-6);
    NEAR(metric_psnr(VALUES, images[0], images[1]), 11.053127, 1e-5);
    NEAR(ssim(images[0], images[1], SIDE, SIDE, 3), .374958, 1e-5);
}

static void a_noisy_image_has_the_golden_metrics(void **state)
{
    (void)state;
    NEAR(metric_psnr(VALUES, images[0], images[2]), 31.119026, 1e-4);
    NEAR(ssim(images[0], images[2], SIDE, SIDE, 3), .762128, 1e-5);
}

static void equal_images_are_perfect(void **state)
{
    (void)state;
    assert_true(metric_mse(VALUES, images[0], images[0]) == 0);
    NEAR(metric_psnr(VALUES, images[0], images[0]), 100, 1e-9);
    NEAR(ssim(images[0], images[0], SIDE, SIDE, 3), 1, 1e-12);
}

static void psnr_clamps_and_mse_does_not(void **state)
{
    (void)state;
    const real a[2] = {1, 0}, b[2] = {3, 0.5};
    NEAR(metric_mse(2, a, b), (4 + 0.25) / 2, 1e-6);
    NEAR(metric_psnr(2, a, b), -10 * log10(0.125), 1e-6);
}

static void ssim_window_shrinks_with_small_images(void **state)
{
    (void)state;
    assert_int_equal(metric_ssim_window(32, 32), 11);
    assert_int_equal(metric_ssim_window(32, 11), 11);
    assert_int_equal(metric_ssim_window(10, 32), 9);
    assert_int_equal(metric_ssim_window(8, 8), 7);
    assert_int_equal(metric_ssim_window(2, 2), 1);
    assert_int_equal(metric_ssim_window(1, 5), 1);
    NEAR(ssim(images[0], images[0], 8, 8, 3), 1, 1e-12);
    assert_true(ssim(images[0], images[1], 8, 8, 3) < 0.999);
}

/* Of black and of one white pixel the only window tells the weight w of that pixel: their means are 0 and w, their squares 0 and w. */
static void ssim_window_has_the_golden_weights(void **state)
{
    (void)state;
    const double half[6] = {.00102838, .00759876, .03600077, .10936069, .21300553, .26601171};
    const double c1 = 1e-4, c2 = 9e-4;
    for (int i = 0; i < 121; i++) {
        const int y = i / 11, x = i % 11;
        real black[121] = {0}, white[121] = {0};
        white[i] = 1;
        const double w = half[y > 5 ? 10 - y : y] * half[x > 5 ? 10 - x : x];
        NEAR(ssim(black, white, 11, 11, 1) * (w * w + c1) * (w - w * w + c2) / (c1 * c2), 1, 1e-6);
    }
}

static void perplexity_counts_equal_codes(void **state)
{
    (void)state;
    const double uniform[4] = {3, 3, 3, 3}, one[4] = {0, 7, 0, 0}, none[4] = {0}, two[4] = {1, 0, 3, 0};
    NEAR(metric_perplexity(4, uniform), 4, 1e-12);
    NEAR(metric_perplexity(4, one), 1, 1e-12);
    assert_true(metric_perplexity(4, none) == 0);
    NEAR(metric_perplexity(4, two), exp(-.25 * log(.25) - .75 * log(.75)), 1e-12);
    assert_int_equal(metric_used(4, two), 2);
    assert_int_equal(metric_used(4, none), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_have_the_published_values),     cmocka_unit_test(two_images_have_the_golden_metrics),
        cmocka_unit_test(a_noisy_image_has_the_golden_metrics), cmocka_unit_test(equal_images_are_perfect),
        cmocka_unit_test(psnr_clamps_and_mse_does_not),         cmocka_unit_test(ssim_window_shrinks_with_small_images),
        cmocka_unit_test(ssim_window_has_the_golden_weights),   cmocka_unit_test(perplexity_counts_equal_codes),
    };
    return cmocka_run_group_tests_name("metrics", tests, make_images, NULL);
}
