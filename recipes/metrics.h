/* How near a reconstruction is to its image, and how much of a codebook is used. Images are [H,W,C] in 0..1 (pixel / 255). */
#ifndef RECIPES_METRICS_H
#define RECIPES_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "autograd/real.h"

/* mean (a - b)^2 over n values, as they are (not clamped). */
double metric_mse(int64_t n, const real *a, const real *b);

/* 10 log10(1 / mse) of one image, both clamped to 0..1; equal images give 100 (the value at mse 1e-10). */
double metric_psnr(int64_t n, const real *a, const real *b);

/* Side of the window that metric_ssim uses: 11, or the largest odd number that fits the image. */
int metric_ssim_window(int64_t height, int64_t width);
/* Doubles of working memory for one image. */
size_t metric_ssim_scratch(int64_t height, int64_t width);
/* Structural similarity of one image, both clamped: Gaussian window (sigma 1.5), positions where it fits, biased
 * covariances, C1 = 0.01^2, C2 = 0.03^2, mean over positions and channels.
 * Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment: from error visibility to structural similarity" */
double metric_ssim(int64_t height, int64_t width, int64_t channels, const real *a, const real *b, double *scratch);

/* exp(entropy) of the distribution that K counts give; 0 if all are 0. */
double metric_perplexity(int64_t K, const double *counts);
/* How many counts are not 0. */
int64_t metric_used(int64_t K, const double *counts);

#endif
