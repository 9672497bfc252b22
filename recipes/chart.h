/* Charts: lines and bars as inline SVG, bars as PNG. */
#ifndef RECIPES_CHART_H
#define RECIPES_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "autograd/error.h"

typedef struct chart_line {
    const char *name;
    int64_t n;
    const int64_t *x;
    const double *y; /* values that are not finite are left out */
} chart_line;

/* An SVG element of n lines over the same axes; `logarithmic`: the y axis, if all values are above 0. */
void chart_lines(FILE *to, const char *title, int n, const chart_line *lines, bool logarithmic);

/* An SVG element with the counts of K codes, most used first, as shares of all; and the share each would have if all were used alike. */
void chart_usage(FILE *to, int64_t K, const double *counts);

/* The same bars as a PNG (no text). */
ag_err chart_usage_png(const char *path, int64_t K, const double *counts);

/* Text with <, >, & and " replaced. */
void chart_text(FILE *to, const char *text);

#endif
