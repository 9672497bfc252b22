#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "data/picture.h"

/* ---- the frame ----------------------------------------------------------------------------------------------------- */

enum { WIDTH = 460, HEIGHT = 240, LEFT = 56, RIGHT = 12, TOP = 30, BOTTOM = 34, POINTS = 400 };

typedef struct frame {
    double x0, x1, y0, y1; /* data ranges; y in log10 if logarithmic */
    bool logarithmic;
} frame;

static const char *const colors[] = {"#2f6fb5", "#d1642c", "#3c9a5f", "#8d5bb5"};

static double px(const frame *f, double x) { return LEFT + (x - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT); }

static double py(const frame *f, double y)
{
    const double v = f->logarithmic ? log10(y) : y;
    return HEIGHT - BOTTOM - (v - f->y0) / (f->y1 - f->y0) * (HEIGHT - TOP - BOTTOM);
}

void chart_text(FILE *to, const char *text)
{
    for (; *text; text++) switch (*text) {
        case '<': fputs("&lt;", to); break;
        case '>': fputs("&gt;", to); break;
        case '&': fputs("&amp;", to); break;
        case '"': fputs("&quot;", to); break;
        default: fputc(*text, to);
        }
}

/* A round step (1, 2 or 5 times a power of ten) that cuts `span` into about `n` parts. */
static double round_step(double span, int n)
{
    const double raw = span / n, power = pow(10, floor(log10(raw))), digit = raw / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

static void begin(FILE *to, const char *title)
{
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\"><text class=\"title\" x=\"%d\" y=\"18\">", WIDTH, HEIGHT,
            LEFT);
    chart_text(to, title);
    fputs("</text>\n", to);
}

static void rule(FILE *to, double y, double value)
{
    fprintf(to, "<line class=\"rule\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, y, y);
    fprintf(to, "<text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%.1f\">%.4g</text>\n", LEFT - 6, y + 4, value);
}

static void y_axis(FILE *to, const frame *f)
{
    const double span = f->y1 - f->y0, step = round_step(span, 4);
    if (f->logarithmic && span > 0.9) { /* 1, 2, 5 of each decade, or the decades alone */
        for (int d = (int)floor(f->y0); d <= (int)ceil(f->y1); d++)
            for (int k = 0; k < (span > 3 ? 1 : 3); k++) {
                const double v = pow(10, d) * (k == 0 ? 1 : k == 1 ? 2 : 5);
                if (log10(v) >= f->y0 && log10(v) <= f->y1) rule(to, py(f, v), v);
            }
        return;
    }
    for (double v = ceil(f->y0 / step) * step; v <= f->y1 + 1e-9 * span; v += step) {
        const double shown = fabs(v) < 1e-9 * step ? 0 : v;
        rule(to, py(f, f->logarithmic ? pow(10, shown) : shown), f->logarithmic ? pow(10, shown) : shown);
    }
}

static void x_axis(FILE *to, const frame *f, const char *label)
{
    const double step = round_step(f->x1 - f->x0, 5);
    for (double v = ceil(f->x0 / step) * step; v <= f->x1 * (1 + 1e-9); v += step)
        fprintf(to, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">%.10g</text>", px(f, v),
                HEIGHT - BOTTOM + 16, v);
    fprintf(to, "<text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%d\">%s</text>\n", WIDTH - RIGHT, HEIGHT - 4,
            label);
}

/* ---- lines ----------------------------------------------------------------------------------------------------------- */

static bool usable(double y, bool logarithmic) { return isfinite(y) && (!logarithmic || y > 0); }

static bool find_frame(frame *f, int n, const chart_line *lines, bool logarithmic)
{
    *f = (frame){INFINITY, -INFINITY, INFINITY, -INFINITY, logarithmic};
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < lines[i].n; k++) {
            if (!usable(lines[i].y[k], logarithmic)) continue;
            const double y = logarithmic ? log10(lines[i].y[k]) : lines[i].y[k], x = (double)lines[i].x[k];
            f->x0 = fmin(f->x0, x);
            f->x1 = fmax(f->x1, x);
            f->y0 = fmin(f->y0, y);
            f->y1 = fmax(f->y1, y);
        }
    if (!(f->x1 >= f->x0)) return false;
    if (f->x1 == f->x0) f->x1 += 1;
    const double margin = f->y1 > f->y0 ? 0.05 * (f->y1 - f->y0) : fabs(f->y1) * 0.1 + 1e-6;
    f->y0 -= margin;
    f->y1 += margin;
    return true;
}

/* At most POINTS points: long lines are thinned by means of equal stretches. */
static void draw_line(FILE *to, const frame *f, const chart_line *l, const char *color)
{
    const int64_t stretch = l->n / POINTS + 1;
    fprintf(to, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" points=\"", color);
    for (int64_t k = 0; k < l->n; k += stretch) {
        double x = 0, y = 0;
        int count = 0;
        for (int64_t j = k; j < k + stretch && j < l->n; j++) {
            if (!usable(l->y[j], f->logarithmic)) continue;
            x += (double)l->x[j];
            y += l->y[j];
            count++;
        }
        if (count) fprintf(to, "%.1f,%.1f ", px(f, x / count), py(f, y / count));
    }
    fputs("\"/>\n", to);
}

void chart_lines(FILE *to, const char *title, int n, const chart_line *lines, bool logarithmic)
{
    frame f;
    if (!find_frame(&f, n, lines, logarithmic)) return;
    begin(to, title);
    y_axis(to, &f);
    x_axis(to, &f, "step");
    for (int i = 0; i < n; i++) {
        draw_line(to, &f, &lines[i], colors[i % 4]);
        fprintf(to, "<text class=\"key\" style=\"fill:%s\" text-anchor=\"end\" x=\"%d\" y=\"18\">", colors[i % 4],
                WIDTH - RIGHT - 74 * (n - 1 - i));
        chart_text(to, lines[i].name);
        fputs("</text>\n", to);
    }
    fputs("</svg>\n", to);
}

/* ---- codebook use ------------------------------------------------------------------------------------------------------ */

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Shares of all, largest first; NULL if out of memory or all are 0. */
static double *sorted_shares(int64_t K, const double *counts)
{
    double total = 0, *shares = malloc((size_t)K * sizeof *shares);
    for (int64_t k = 0; k < K; k++) total += counts[k];
    if (!shares || total <= 0) {
        free(shares);
        return NULL;
    }
    for (int64_t k = 0; k < K; k++) shares[k] = counts[k] / total;
    qsort(shares, (size_t)K, sizeof *shares, descending);
    return shares;
}

void chart_usage(FILE *to, int64_t K, const double *counts)
{
    double *shares = sorted_shares(K, counts);
    if (!shares) return;
    const frame f = {0, (double)K, 0, 100 * shares[0] * 1.05, false};
    const int64_t stretch = K / POINTS + 1;
    begin(to, "share of each code, most used first (%)");
    y_axis(to, &f);
    x_axis(to, &f, "code");
    fprintf(to, "<path fill=\"%s\" d=\"M%.1f,%.1f", colors[0], px(&f, 0), py(&f, 0));
    for (int64_t k = 0; k < K; k += stretch) {
        const double end = (double)(k + stretch < K ? k + stretch : K);
        fprintf(to, "V%.1fH%.1f", py(&f, 100 * shares[k]), px(&f, end));
    }
    fprintf(to, "V%.1fZ\"/>\n", py(&f, 0));
    const double even = py(&f, 100.0 / (double)K);
    fprintf(to, "<line stroke=\"%s\" stroke-dasharray=\"5 4\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", colors[1],
            LEFT, WIDTH - RIGHT, even, even);
    fprintf(to, "<text class=\"key\" style=\"fill:%s\" text-anchor=\"end\" x=\"%d\" y=\"18\">even use</text></svg>\n",
            colors[1], WIDTH - RIGHT);
    free(shares);
}

static void fill(data_picture *p, int x0, int x1, int y0, int y1, const uint8_t color[3])
{
    for (int y = y0 < 0 ? 0 : y0; y < y1 && y < p->height; y++)
        for (int x = x0 < 0 ? 0 : x0; x < x1 && x < p->width; x++)
            memcpy(p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x), color, 3);
}

ag_err chart_usage_png(const char *path, int64_t K, const double *counts)
{
    static const uint8_t blue[] = {0x2f, 0x6f, 0xb5}, orange[] = {0xd1, 0x64, 0x2c}, grey[] = {0x88, 0x88, 0x88};
    const int margin = 24, w = 800, h = 320, inner_w = w - 2 * margin, inner_h = h - 2 * margin;
    double *shares = sorted_shares(K, counts);
    data_picture p = {.width = w, .height = h, .channels = 3, .pixels = malloc((size_t)w * (size_t)h * 3)};
    ag_err err = AG_OK;
    if (!shares || !p.pixels) {
        err = ag_fail(AG_ERR_MEMORY, "%s: no memory, or no code was counted", path);
        goto out;
    }
    memset(p.pixels, 255, (size_t)w * (size_t)h * 3);
    for (int x = 0; x < inner_w; x++) {
        const int64_t k = (int64_t)x * K / inner_w;
        const int bar = (int)(shares[k] / shares[0] * inner_h + 0.5);
        fill(&p, margin + x, margin + x + 1, h - margin - bar, h - margin, blue);
    }
    const int even = (int)(1 / (double)K / shares[0] * inner_h + 0.5);
    for (int x = 0; x < inner_w; x += 12)
        fill(&p, margin + x, margin + x + 7, h - margin - even - 1, h - margin - even + 1, orange);
    fill(&p, margin - 2, margin, margin, h - margin, grey);
    fill(&p, margin - 2, w - margin, h - margin, h - margin + 2, grey);
    err = data_picture_write_png(path, &p);
out:
    data_picture_free(&p);
    free(shares);
    return err;
}
