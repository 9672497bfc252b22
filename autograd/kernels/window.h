/* Tiles of images and the windows of pixels around them, for minimal filtering. */
#ifndef KERNELS_WINDOW_H
#define KERNELS_WINDOW_H

#include "vector.h"

/* ---- tiles ------------------------------------------------------------------------------------------------------------- */

/* Images of results cut into squares: results a side; tiles in a column of an image, in a row, in all. */
typedef struct tiling {
    int64_t size, down, across, count;
} tiling;

static inline tiling tiles_of(int64_t n, int64_t h, int64_t w, int64_t size)
{
    const int64_t down = k_blocks(h, size), across = k_blocks(w, size);
    return (tiling){size, down, across, n * down * across};
}

/* The first result of a tile. */
typedef struct place {
    int64_t image, y, x;
} place;

K_INLINE place tile_place(const tiling *t, int64_t tile)
{
    const int64_t line = tile / t->across;
    return (place){line / t->down, line % t->down * t->size, tile % t->across * t->size};
}

/* ---- windows ----------------------------------------------------------------------------------------------------------- */

enum { WINDOW = 6 }; /* most rows and columns */

/* Rows and columns of an image [h,w,c] that are `step` apart, from pixel (top,left) on. A row outside the image is one zero
 * vector, whatever the offset in it: `inside` is 0 there, else ~0. */
typedef struct window {
    const real *row[WINDOW];
    int64_t inside[WINDOW];
    int64_t left, step, w, c;
} window;

K_INLINE window window_at(const real *image, int64_t h, int64_t w, int64_t c, int64_t top, int64_t left, int64_t step,
                          const int rows)
{
    static const real zero[VL];
    window o = {.left = left, .step = step, .w = w, .c = c};
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        const int64_t y = top + i * step;
        const bool inside = y >= 0 && y < h;
        o.row[i] = inside ? image + y * w * c : zero;
        o.inside[i] = -(int64_t)inside;
    }
    return o;
}

/* Is column j in the image? Its offset in a row. */
K_INLINE bool window_column(const window *o, int j, int64_t *at)
{
    const int64_t x = o->left + j * o->step;
    *at = x * o->c;
    return x >= 0 && x < o->w;
}

/* Channels `channel` and on of row i in the column at `at`: a vector, or fewer lanes and zeros. */
K_INLINE kv window_pixel(const window *o, int i, int64_t at, int64_t channel, int64_t lanes)
{
    const real *from = o->row[i] + ((at + channel) & o->inside[i]);
    if (lanes == VL) return k_load(from);
    kv some = {0};
    memcpy(&some, from, (size_t)lanes * sizeof(real));
    return some;
}

/* A transform of one axis. */
typedef void window_side(const kv *x, kv *y);

/* f of the pixels of column j; zeros outside the image. */
K_INLINE void window_line(window_side *f, const int in, const window *o, int j, int64_t channel, int64_t lanes,
                          kv line[WINDOW])
{
    int64_t at;
    kv x[WINDOW];
    for (int i = 0; i < WINDOW; i++) line[i] = (kv){0};
    if (!window_column(o, j, &at)) return;
#pragma GCC unroll 6
    for (int i = 0; i < in; i++) x[i] = window_pixel(o, i, at, channel, lanes);
    f(x, line);
}

/* y = f applied to both axes of the window's pixels: in x in -> out x out. */
K_INLINE void window_transform(window_side *f, const int in, const int out, const window *o, int64_t channel,
                               int64_t lanes, kv y[WINDOW][WINDOW])
{
    kv half[WINDOW][WINDOW];
#pragma GCC unroll 6
    for (int j = 0; j < in; j++) {
        kv line[WINDOW];
        window_line(f, in, o, j, channel, lanes, line);
#pragma GCC unroll 6
        for (int i = 0; i < out; i++) half[i][j] = line[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < out; i++) f(half[i], y[i]);
}

/* Two of the lines that window_transform gives, y[a] and y[b], to va[i * step] and vb[i * step] (b = a: one). All lines at a time would
 * not stay in registers; what only others need is left out by the compiler. */
K_INLINE void window_lines(window_side *f, const int in, const int out, const int a, const int b, const window *o,
                           int64_t channel, int64_t lanes, int64_t step, real *va, real *vb)
{
    kv first[WINDOW], second[WINDOW], y[WINDOW];
#pragma GCC unroll 6
    for (int j = 0; j < in; j++) {
        kv line[WINDOW];
        window_line(f, in, o, j, channel, lanes, line);
        first[j] = line[a], second[j] = line[b];
    }
    f(first, y);
#pragma GCC unroll 6
    for (int i = 0; i < out; i++) k_store(va + i * step, y[i]);
    if (a == b) return;
    f(second, y);
#pragma GCC unroll 6
    for (int i = 0; i < out; i++) k_store(vb + i * step, y[i]);
}

/* The lines of a group one after the other, for minimal_weight.c. */
typedef void window_group(const window *o, int64_t channel, int64_t lanes, int64_t step, real *v);
#define WINDOW_GROUP(name, f, in, out, a, b)                                                                           \
    static void name(const window *o, int64_t channel, int64_t lanes, int64_t step, real *v)                           \
    {                                                                                                                  \
        if (lanes >= VL)                                                                                               \
            window_lines(f, in, out, a, b, o, channel, VL, step, v, v + (out)*step);                                   \
        else                                                                                                           \
            window_lines(f, in, out, a, b, o, channel, lanes, step, v, v + (out)*step);                                \
    }

/* ---- what comes next ------------------------------------------------------------------------------------------------------- */

/* Pixels that tiles to come read or write. They are asked for in small shares during the products, which need no memory: between
 * windows a processor sees no pattern, and each transform would wait for its pixels. */
typedef struct ahead {
    const tiling *tiles;
    const real *image;     /* [n,h,w,c] */
    int64_t h, w, c, step; /* pixels from result to result */
    int64_t first, count;  /* tiles */
} ahead;

/* Share i of `shares`. */
K_INLINE void ask_for(const ahead *a, int64_t i, int64_t shares)
{
    enum { LINE = 64 / sizeof(real) };
    const int64_t side = a->tiles->size * a->step, lines = k_blocks(a->c, LINE), all = a->count * side * side;
    for (int64_t pixel = all * i / shares; pixel < all * (i + 1) / shares; pixel++) {
        const place p = tile_place(a->tiles, a->first + pixel / (side * side));
        const int64_t y = p.y * a->step + pixel / side % side, x = p.x * a->step + pixel % side;
        if (y >= a->h || x >= a->w) continue;
        const real *from = a->image + ((p.image * a->h + y) * a->w + x) * a->c;
        for (int64_t l = 0; l < lines; l++) __builtin_prefetch(from + l * LINE, 0, 2);
    }
}

#endif
