/* How convolutions cut their positions into bands that fit the cache. */
#ifndef KERNELS_CONV_BAND_H
#define KERNELS_CONV_BAND_H

#include "vector.h"

/* Positions [y0,y1) x [x0,x1) of one image. */
typedef struct band {
    int64_t image, y0, y1, x0, x1;
} band;

/* A grid of h x w positions an image, cut into bands of at most band_h x band_w. A band of r x s positions reads
 * ((r-1)*step + span_h) x ((s-1)*step + span_w) source pixels of `pixel` reals. */
typedef struct bands {
    int64_t h, w, band_h, band_w;
    int64_t step, span_h, span_w, pixel;
} bands;

K_INLINE int64_t bands_source(const bands *b, int64_t h, int64_t w)
{
    return ((h - 1) * b->step + b->span_h) * ((w - 1) * b->step + b->span_w) * b->pixel;
}

/* Chooses band_h and band_w: whole rows if a few fit in `limit` bytes, else parts of rows. */
static inline void bands_choose(bands *b, size_t limit)
{
    const int64_t reals = (int64_t)(limit / sizeof(real));
    b->band_w = b->w;
    while (b->band_w > 16 && bands_source(b, k_min(b->h, 4), b->band_w) > reals) b->band_w = k_blocks(b->band_w, 2);
    b->band_h = b->h;
    while (b->band_h > 1 && bands_source(b, b->band_h, b->band_w) > reals) b->band_h = k_blocks(b->band_h, 2);
}

K_INLINE int64_t bands_across(const bands *b) { return k_blocks(b->w, b->band_w); }
K_INLINE int64_t bands_per_image(const bands *b) { return k_blocks(b->h, b->band_h) * bands_across(b); }

static inline band bands_at(const bands *b, int64_t index)
{
    const int64_t in_image = index % bands_per_image(b);
    const int64_t y0 = in_image / bands_across(b) * b->band_h, x0 = in_image % bands_across(b) * b->band_w;
    return (band){.image = index / bands_per_image(b),
                  .y0 = y0,
                  .y1 = k_min(y0 + b->band_h, b->h),
                  .x0 = x0,
                  .x1 = k_min(x0 + b->band_w, b->w)};
}

#endif
