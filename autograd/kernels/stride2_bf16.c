/* 4x4 convolutions of step 2 by minimal filtering, as in stride2.c, with the operands of the products rounded to bf16: two of the three
 * products, forward and input, both by F(3x3, 2x2), 16 products for 9 results of 4 taps. Its points 0, 1, -1 and inf only add and
 * subtract, so rounding its transforms is half again as bad as rounding the operands; F(4x4, 2x2), with the point 2, would be several
 * times as bad. The weight gradient, whose products of transforms are over tiles, stays in fp32.
 *
 *   V[f][tile][pair of source channels]      U[f][panel of columns][pair][lane]      M[f][tile][column] in fp32 */
#include "bf16.h"
#include "stride2_tile.h"

#include <omp.h>

enum { TILE = 3, SPAN = 4 };

/* ---- one-dimensional transforms, F(3,2), points 0, 1, -1, inf --------------------------------------------------------- */

/* B^T x, 4 -> 4 */
K_INLINE void source3(const kv *x, kv *y)
{
    y[0] = x[2] - x[0];
    y[1] = x[1] + x[2];
    y[2] = x[2] - x[1];
    y[3] = x[3] - x[1];
}

/* G x, 2 -> 4 */
K_INLINE void weight3(const kv *x, kv *y)
{
    y[0] = -x[0];
    y[1] = (x[0] + x[1]) * (real)0.5;
    y[2] = (x[0] - x[1]) * (real)0.5;
    y[3] = x[1];
}

/* A^T x, 4 -> 3 */
K_INLINE void result3(const kv *x, kv *y)
{
    y[0] = x[0] + x[1] + x[2];
    y[1] = x[1] - x[2];
    y[2] = x[1] + x[2] + x[3];
}

/* ---- sources and weights --------------------------------------------------------------------------------------------------- */

/* V and U in pairs of channels. */
static plan map_plan(const k_conv *c, bool input)
{
    const tiling tiles = input ? tiles_of(c->n, (c->h + c->top + 1) / 2, (c->w + c->left + 1) / 2, TILE)
                               : tiles_of(c->n, c->ho, c->wo, TILE);
    return plan_blocks(tiles, input ? c->b : PHASES * c->a, input ? PHASES * c->a : c->b, 1, PAIR);
}

/* 4x4 pixels: of a phase of x, or of y from one before the tile on. */
K_INLINE window source_window(const k_conv *c, bool input, const real *source, const place *at, int phase)
{
    if (input)
        return window_at(source + at->image * c->ho * c->wo * c->b, c->ho, c->wo, c->b, at->y - 1, at->x - 1, 1, SPAN);
    return window_at(source + at->image * c->h * c->w * c->a, c->h, c->w, c->a, 2 * at->y + phase / 2 - c->top,
                     2 * at->x + phase % 2 - c->left, 2, SPAN);
}

static void transform_source(const k_conv *c, const plan *p, bool input, const real *source, int64_t tile, k_pair *v)
{
    const place at = tile_place(&p->tiles, tile);
    const int64_t channels = input ? c->b : c->a;
    for (int phase = 0; phase < (input ? 1 : PHASES); phase++) {
        const window o = source_window(c, input, source, &at, phase);
        for (int64_t channel = 0; channel < channels; channel += VL, v += VL / PAIR) {
            kv out[MOST][MOST];
            window_transform(source3, SPAN, SPAN, &o, channel, VL, out);
            for (int i = 0; i < SPAN; i++)
                for (int j = 0; j < SPAN; j++) k_pairs_of_vector(out[i][j], v + (i * SPAN + j) * p->v_step);
        }
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

/* Of input: the columns are the pixels of the four phases. */
static void finish(const k_conv *c, const plan *p, bool input, int64_t tile, const real *m, const k_epilogue *e,
                   real *to)
{
    const place at = tile_place(&p->tiles, tile);
    const target y = {at.image, c->ho, c->wo, c->b, at.y, at.x, 1};
    for (int64_t column = 0; column < p->columns; column += VL) {
        const int64_t phase = input ? column / c->a : 0;
        const target x = {at.image, c->h, c->w, c->a, 2 * at.y + phase / 2 - c->top, 2 * at.x + phase % 2 - c->left, 2};
        finish_vector(result3, TILE, m + column, p->m_step, input ? &x : &y, column - phase * c->a, e, to);
    }
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
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p.columns / VL; i++) transform_w(c, &p, input, w, i, u);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < p.tiles.count; first += p.block) {
            const int64_t tiles = k_min(p.block, p.tiles.count - first);
            for (int64_t i = 0; i < tiles; i++)
                transform_source(c, &p, input, source, first + i, v + i * (p.rows / PAIR));
            multiply(&p, v, u, tiles, m);
            for (int64_t i = 0; i < tiles; i++) finish(c, &p, input, first + i, m + i * p.columns, e, to);
        }
    }
}

size_t K(stride2_forward_bf16_scratch)(const k_conv *c)
{
    const plan p = map_plan(c, false);
    return plan_scratch(&p, omp_get_max_threads());
}

void K(stride2_forward_bf16)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    map_run(c, false, x, w, e, y, scratch);
}

size_t K(stride2_input_bf16_scratch)(const k_conv *c)
{
    const plan p = map_plan(c, true);
    return plan_scratch(&p, omp_get_max_threads());
}

void K(stride2_input_bf16)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    map_run(c, true, y, w, e, x, scratch);
}
