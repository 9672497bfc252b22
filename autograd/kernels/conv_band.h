/* How convolutions cut their positions into bands that fit the cache. */
#ifndef KERNELS_CONV_BAND_H
#define KERNELS_CONV_BAND_H

#include "vector.h"

K_INLINE int conv_dilation(const k_conv *c) { return c->dilation > 1 ? c->dilation : 1; }
K_INLINE int conv_groups(const k_conv *c) { return c->groups > 1 ? c->groups : 1; }

/* Positions [y0,y1) x [x0,x1) of `images` images. */
typedef struct band {
    int64_t image, images, y0, y1, x0, x1;
} band;

/* A grid of h x w positions an image, n images, cut into bands of at most band_h x band_w positions of one image, or of
 * `together` whole images. A band of r x s positions reads ((r-1)*step + span_h) x ((s-1)*step + span_w) source pixels of
 * `pixel` reals. */
typedef struct bands {
    int64_t n, h, w, band_h, band_w, together;
    int64_t step, span_h, span_w, pixel;
} bands;

K_INLINE int64_t bands_source(const bands *b, int64_t h, int64_t w)
{
    return ((h - 1) * b->step + b->span_h) * ((w - 1) * b->step + b->span_w) * b->pixel;
}

/* Chooses the bands: whole images if they fit in `limit` bytes (several, but no fewer than 16 bands in all), whole rows if a
 * few fit, else parts of rows. */
static inline void bands_choose(bands *b, size_t limit)
{
    const int64_t reals = (int64_t)(limit / sizeof(real));
    b->band_w = b->w;
    while (b->band_w > 16 && bands_source(b, k_min(b->h, 4), b->band_w) > reals) b->band_w = k_blocks(b->band_w, 2);
    b->band_h = b->h;
    while (b->band_h > 1 && bands_source(b, b->band_h, b->band_w) > reals) b->band_h = k_blocks(b->band_h, 2);
    b->together = 1;
    if (b->band_h == b->h && b->band_w == b->w)
        b->together = k_max(k_min(reals / bands_source(b, b->h, b->w), b->n / 16), 1);
}

K_INLINE int64_t bands_across(const bands *b) { return k_blocks(b->w, b->band_w); }
K_INLINE int64_t bands_per_image(const bands *b) { return k_blocks(b->h, b->band_h) * bands_across(b); }
K_INLINE int64_t bands_count(const bands *b) { return k_blocks(b->n, b->together) * bands_per_image(b); }

static inline band bands_at(const bands *b, int64_t index)
{
    const int64_t in_image = index % bands_per_image(b), image = index / bands_per_image(b) * b->together;
    const int64_t y0 = in_image / bands_across(b) * b->band_h, x0 = in_image % bands_across(b) * b->band_w;
    return (band){.image = image,
                  .images = k_min(b->together, b->n - image),
                  .y0 = y0,
                  .y1 = k_min(y0 + b->band_h, b->h),
                  .x0 = x0,
                  .x1 = k_min(x0 + b->band_w, b->w)};
}

/* `columns` pixels of a row of w, from column x0 on, with zeros outside the row; `channels` reals a pixel, `apart` from pixel
 * to pixel in the row and `pixel` in the copy. row NULL: a row outside the image. */
static inline void bands_copy_row(const real *row, int64_t w, int64_t channels, int64_t apart, int64_t x0,
                                  int64_t columns, int64_t pixel, real *to)
{
    const int64_t from = row ? k_min(k_max(-x0, 0), columns) : columns, until = k_max(k_min(w - x0, columns), from);
    memset(to, 0, (size_t)(from * pixel) * sizeof(real));
    if (from == until) {
    } else if (pixel == channels && apart == channels)
        memcpy(to + from * pixel, row + (x0 + from) * channels, (size_t)((until - from) * channels) * sizeof(real));
    else
        for (int64_t x = from; x < until; x++)
            memcpy(to + x * pixel, row + (x0 + x) * apart, (size_t)channels * sizeof(real));
    memset(to + until * pixel, 0, (size_t)((columns - until) * pixel) * sizeof(real));
}

#endif
