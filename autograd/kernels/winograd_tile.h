/* What the three minimal-filtering products share: tiles, and the transform of source pixels. */
#ifndef KERNELS_WINOGRAD_TILE_H
#define KERNELS_WINOGRAD_TILE_H

#include "winograd.h"

enum { F = 36, TILE = 4, SPAN = 6 };

/* B^T x, B^T = [4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1] */
K_INLINE void source_side(const kv *x, kv *y)
{
    const kv a = x[4] - x[2] * 4, b = x[3] - x[1] * 4, c = x[4] - x[2], d = (x[3] - x[1]) * 2;
    y[0] = x[0] * 4 - x[2] * 5 + x[4];
    y[1] = a + b;
    y[2] = a - b;
    y[3] = c + d;
    y[4] = c - d;
    y[5] = x[1] * 4 - x[3] * 5 + x[5];
}

/* Where a tile lies. */
typedef struct place {
    int64_t image, y, x;
} place;

K_INLINE place tile_place(const winograd *m, int64_t tile)
{
    const int64_t down = k_blocks(m->out_h, TILE), across = k_blocks(m->out_w, TILE);
    return (place){tile / across / down, tile / across % down * TILE, tile % across * TILE};
}

/* The 36 pixels of a tile, each `lanes` channels from `channel` on; zero outside the image. */
K_INLINE void load_source(const winograd *m, const real *source, const place *at, int64_t channel, int64_t lanes,
                          kv d[SPAN][SPAN])
{
    for (int i = 0; i < SPAN; i++) {
        const int64_t y = at->y + i - m->top;
        const real *row = source + ((at->image * m->h + y) * m->w) * m->c + channel;
        for (int j = 0; j < SPAN; j++) {
            const int64_t x = at->x + j - m->left;
            d[i][j] = (kv){0};
            if (y < 0 || y >= m->h || x < 0 || x >= m->w) continue;
            if (lanes == VL)
                d[i][j] = k_load(row + x * m->c);
            else
                memcpy(&d[i][j], row + x * m->c, (size_t)lanes * sizeof(real));
        }
    }
}

/* v[f * step + i] of one tile, channels first + i for i < count; those beyond the last up to a whole vector become zero. */
static inline void transform_source(const winograd *m, const real *source, int64_t tile, int64_t first, int64_t count,
                                    int64_t step, real *v)
{
    const place at = tile_place(m, tile);
    for (int64_t channel = first; channel < first + count; channel += VL) {
        const int64_t lanes = k_min(VL, m->c - channel);
        kv d[SPAN][SPAN], half[SPAN][SPAN], column[SPAN], out[SPAN];
        load_source(m, source, &at, channel, lanes, d);
        for (int x = 0; x < SPAN; x++) {
            for (int y = 0; y < SPAN; y++) column[y] = d[y][x];
            source_side(column, out);
            for (int y = 0; y < SPAN; y++) half[y][x] = out[y];
        }
        for (int y = 0; y < SPAN; y++) {
            source_side(half[y], out);
            for (int x = 0; x < SPAN; x++) k_store(v + (y * SPAN + x) * step + channel - first, out[x]);
        }
    }
}

#endif
