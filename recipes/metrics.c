#include <math.h>

#include "metrics.h"

static double clamp(double v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

double metric_mse(int64_t n, const real *a, const real *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return n ? sum / (double)n : 0;
}

double metric_psnr(int64_t n, const real *a, const real *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = clamp(a[i]) - clamp(b[i]);
        sum += d * d;
    }
    const double mse = n ? sum / (double)n : 0;
    return -10 * log10(mse > 1e-10 ? mse : 1e-10);
}

/* ---- SSIM ---------------------------------------------------------------------------------------------------------- */

enum { WINDOW = 11, MOMENTS = 5 }; /* x, y, xx, yy, xy */

int metric_ssim_window(int64_t height, int64_t width)
{
    const int64_t side = height < width ? height : width;
    return side >= WINDOW ? WINDOW : (int)(side % 2 ? side : side - 1) + (side < 1);
}

size_t metric_ssim_scratch(int64_t height, int64_t width) { return (size_t)MOMENTS * (size_t)height * (size_t)width; }

static void gaussian(int n, double *weights)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += weights[i] = exp(-(i - n / 2) * (i - n / 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < n; i++) weights[i] /= sum;
}

/* The five moments of one channel, filtered along x: m [5,H,Wo]. */
static void filter_rows(int64_t height, int64_t width, int64_t step, const real *a, const real *b, int n,
                        const double *w, double *m)
{
    const int64_t out = width - n + 1, plane = height * out;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < out; x++) {
            double s[MOMENTS] = {0};
            for (int i = 0; i < n; i++) {
                const int64_t at = (y * width + x + i) * step;
                const double p = clamp(a[at]), q = clamp(b[at]);
                s[0] += w[i] * p;
                s[1] += w[i] * q;
                s[2] += w[i] * p * p;
                s[3] += w[i] * q * q;
                s[4] += w[i] * p * q;
            }
            for (int k = 0; k < MOMENTS; k++) m[k * plane + y * out + x] = s[k];
        }
}

static double similarity(const double s[MOMENTS])
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    const double xx = s[2] - s[0] * s[0], yy = s[3] - s[1] * s[1], xy = s[4] - s[0] * s[1];
    return (2 * s[0] * s[1] + c1) * (2 * xy + c2) / ((s[0] * s[0] + s[1] * s[1] + c1) * (xx + yy + c2));
}

/* Filtered along y as well, then the mean of the similarity over positions. */
static double mean_similarity(int64_t height, int64_t out, int n, const double *w, const double *m)
{
    const int64_t rows = height - n + 1, plane = height * out;
    double sum = 0;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < out; x++) {
            double s[MOMENTS] = {0};
            for (int k = 0; k < MOMENTS; k++)
                for (int i = 0; i < n; i++) s[k] += w[i] * m[k * plane + (y + i) * out + x];
            sum += similarity(s);
        }
    return sum / (double)(rows * out);
}

double metric_ssim(int64_t height, int64_t width, int64_t channels, const real *a, const real *b, double *scratch)
{
    const int n = metric_ssim_window(height, width);
    double weights[WINDOW], sum = 0;
    gaussian(n, weights);
    for (int64_t c = 0; c < channels; c++) {
        filter_rows(height, width, channels, a + c, b + c, n, weights, scratch);
        sum += mean_similarity(height, width - n + 1, n, weights, scratch);
    }
    return sum / (double)channels;
}

/* ---- codebooks ------------------------------------------------------------------------------------------------------- */

double metric_perplexity(int64_t K, const double *counts)
{
    double total = 0, entropy = 0;
    for (int64_t k = 0; k < K; k++) total += counts[k];
    if (total <= 0) return 0;
    for (int64_t k = 0; k < K; k++)
        if (counts[k] > 0) entropy -= counts[k] / total * log(counts[k] / total);
    return exp(entropy);
}

int64_t metric_used(int64_t K, const double *counts)
{
    int64_t used = 0;
    for (int64_t k = 0; k < K; k++) used += counts[k] > 0;
    return used;
}
