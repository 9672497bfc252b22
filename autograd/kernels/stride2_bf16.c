/* 4x4 convolutions of step 2 by minimal filtering, as in stride2.c, with the operands of the products rounded to bf16: two of the three
 * products, forward and input, both by F(3x3, 2x2), 16 products for 9 results of 4 taps. Its points 0, 1, -1 and inf only add and
 * subtract, so rounding its transforms is half again as bad as rounding the operands; F(4x4, 2x2), with the point 2, would be several
 * times as bad. The weight gradient, whose products of transforms are over tiles, stays in fp32.
 *
 *   V[f][tile][pair of source channels]      U[f][panel of columns][pair][lane]      M[f][tile][column] in fp32 */
#include "bf16.h"
#include "stride2_tile.h"

#include <omp.h>

enum { SPAN = MOST - 1, BLOCK_BYTES = 640 << 10 };

/* v_step in pairs, m_step in reals. */
static plan map_plan(const k_conv *c, bool input)
{
    plan p = input ? grid(c, SMALL, (c->h + c->top + 1) / 2, (c->w + c->left + 1) / 2) : grid(c, SMALL, c->ho, c->wo);
    p.rows = input ? c->b : PHASES * c->a;
    p.columns = input ? PHASES * c->a : c->b;
    const int64_t tile_bytes = p.frequencies * (p.rows / PAIR + p.columns) * (int64_t)sizeof(real);
    p.block = k_max(k_min(BLOCK_BYTES / tile_bytes / K_ROWS, 8), 1) * K_ROWS;
    p.v_step = p.block * p.rows / PAIR + VL;
    p.m_step = p.block * p.columns + VL;
    p.u_bytes = k_align((size_t)(p.frequencies * p.rows / PAIR * p.columns) * sizeof(k_pair));
    p.v_bytes = k_align((size_t)(p.frequencies * p.v_step) * sizeof(k_pair));
    p.m_bytes = k_align((size_t)(p.frequencies * p.m_step) * sizeof(real));
    return p;
}

/* ---- sources and weights --------------------------------------------------------------------------------------------------- */

/* 4x4 pixels of VL source channels from `row` on: of the phases of x side by side, or of y. */
K_INLINE void load_source(const k_conv *c, bool input, const real *source, const place *at, int64_t row,
                          kv d[MOST][MOST])
{
    const int64_t phase = input ? 0 : row / c->a;
    const real *image =
        source + (input ? at->image * c->ho * c->wo * c->b + row : at->image * c->h * c->w * c->a + row % c->a);
    for (int i = 0; i < SPAN; i++)
        for (int j = 0; j < SPAN; j++)
            d[i][j] = input ? pixel(image, c->ho, c->wo, c->b, at->y + i - 1, at->x + j - 1)
                            : pixel(image, c->h, c->w, c->a, 2 * (at->y + i) + phase / 2 - c->top,
                                    2 * (at->x + j) + phase % 2 - c->left);
}

static void transform_source(const k_conv *c, const plan *p, bool input, const real *source, int64_t tile, k_pair *v)
{
    const place at = tile_place(p, tile);
    for (int64_t row = 0; row < p->rows; row += VL) {
        kv d[MOST][MOST], out[MOST][MOST];
        load_source(c, input, source, &at, row, d);
        both_axes(source3, SPAN, SPAN, d, out);
        for (int i = 0; i < SPAN; i++)
            for (int j = 0; j < SPAN; j++) k_pairs_of_vector(out[i][j], v + (i * SPAN + j) * p->v_step + row / PAIR);
    }
}

/* Unit: a vector of columns. */
static void transform_w(const k_conv *c, const plan *p, bool input, const real *w, int64_t unit, k_pair *u)
{
    const int64_t column = unit * VL, panel = column / K_PANEL * K_PANEL, width = k_min(K_PANEL, p->columns - panel);
    for (int64_t row = 0; row < p->rows; row += AT_ONCE) {
        kv g[AT_ONCE][MOST][MOST], out[AT_ONCE][MOST][MOST];
        load_taps(c, input, w, (int)((input ? column : row) / c->a), input ? row : row % c->a,
                  input ? column % c->a : column, g);
        for (int i = 0; i < AT_ONCE; i++) both_axes(weight3, 2, SPAN, g[i], out[i]);
        for (int pair = 0; pair < AT_ONCE; pair += PAIR) {
            k_pair *to = u + (panel * p->rows + (row + pair) * width) / PAIR + column - panel;
            for (int i = 0; i < SPAN; i++)
                for (int j = 0; j < SPAN; j++)
                    k_pairs_of_vectors(out[pair][i][j], out[pair + PAIR - 1][i][j],
                                       to + (i * SPAN + j) * (p->rows / PAIR) * p->columns);
        }
    }
}

/* ---- products and results -------------------------------------------------------------------------------------------------- */

K_INLINE void product(const plan *p, const k_pair *v, const k_pair *u, real *to, const int vectors)
{
    const k_pair *rows[K_ROWS];
    kv sum[K_ROWS][2] = {0};
    for (int i = 0; i < K_ROWS; i++) rows[i] = v + i * (p->rows / PAIR);
    k_pairs_tile(p->rows / PAIR, rows, 1, u, vectors, sum);
#pragma GCC unroll 8
    for (int i = 0; i < K_ROWS; i++)
        for (int j = 0; j < vectors; j++) k_store(to + i * p->columns + j * VL, sum[i][j]);
}

static void multiply(const plan *p, const k_pair *v, const k_pair *u, int64_t tiles, real *to)
{
    const int64_t pairs = p->rows / PAIR;
    for (int f = 0; f < p->frequencies; f++)
        for (int64_t column = 0; column < p->columns; column += K_PANEL)
            for (int64_t row = 0; row < tiles; row += K_ROWS) {
                const k_pair *from = v + f * p->v_step + row * pairs, *panel = u + (f * p->columns + column) * pairs;
                real *at = to + f * p->m_step + row * p->columns + column;
                if (p->columns - column > VL)
                    product(p, from, panel, at, 2);
                else
                    product(p, from, panel, at, 1);
            }
}

static void finish_y(const k_conv *c, const plan *p, const real *m, int64_t tile, const k_epilogue *e, real *y)
{
    const place at = tile_place(p, tile);
    for (int64_t channel = 0; channel < c->b; channel += VL) {
        kv x[MOST][MOST], out[MOST][MOST];
        const kv bias = load_bias(e, channel);
        load_frequencies(SPAN, m + channel, p->m_step, x);
        both_axes(result3, SPAN, SMALL, x, out);
        for (int64_t i = 0; i < k_min(SMALL, c->ho - at.y); i++)
            for (int64_t j = 0; j < k_min(SMALL, c->wo - at.x); j++)
                store_result(e, out[i][j], bias, ((at.image * c->ho + at.y + i) * c->wo + at.x + j) * c->b + channel,
                             y);
    }
}

static size_t map_scratch(const k_conv *c, bool input)
{
    const plan p = map_plan(c, input);
    return 64 + p.u_bytes + (size_t)omp_get_max_threads() * (p.v_bytes + p.m_bytes);
}

static void map_run(const k_conv *c, bool input, const real *source, const real *w, const k_epilogue *e, real *to,
                    void *scratch)
{
    const plan p = map_plan(c, input);
    char *shared = k_align_pointer(scratch), *own = shared + p.u_bytes;
    k_pair *u = (k_pair *)shared;
#pragma omp parallel
    {
        char *room = own + (size_t)omp_get_thread_num() * (p.v_bytes + p.m_bytes);
        k_pair *v = (k_pair *)room;
        real *m = (real *)(room + p.v_bytes);
        memset(v, 0, p.v_bytes); /* a block with fewer tiles multiplies what is there */
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p.columns / VL; i++) transform_w(c, &p, input, w, i, u);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < p.tiles; first += p.block) {
            const int64_t tiles = k_min(p.block, p.tiles - first);
            for (int64_t i = 0; i < tiles; i++)
                transform_source(c, &p, input, source, first + i, v + i * (p.rows / PAIR));
            multiply(&p, v, u, tiles, m);
            for (int64_t i = 0; i < tiles; i++)
                (input ? finish_x : finish_y)(c, &p, m + i * p.columns, first + i, e, to);
        }
    }
}

size_t K(stride2_forward_bf16_scratch)(const k_conv *c) { return map_scratch(c, false); }

void K(stride2_forward_bf16)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    map_run(c, false, x, w, e, y, scratch);
}

size_t K(stride2_input_bf16_scratch)(const k_conv *c) { return map_scratch(c, true); }

void K(stride2_input_bf16)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    map_run(c, true, y, w, e, x, scratch);
}
