/* 3x3 convolutions of step 1 by minimal filtering F(4x4, 3x3): Lavin, Gray 2016, arXiv:1509.09308, from Winograd 1980.
 *
 *   Y = A^T [ (G g G^T) * (B^T d B) ] A          d: 6x6 source pixels, g: 3x3 weights, Y: 4x4 results; * by element
 *
 * An output tile of 16 positions takes 36 multiplications a pair of channels instead of 144. Per frequency f of the 36 this
 * is a matrix product over channels, so:
 *
 *   U[f] = (G g G^T)[f]     [c, b] as panels of K_PANEL columns, once per call
 *   V[f] = (B^T d B)[f]     [tiles, c] for a block of tiles, in a thread's scratch
 *   M[f] = V[f] U[f]        [tiles, b] with the register tile of vector.h
 *   Y    = A^T M A          plus bias, residual, activation
 *
 * A block has as many tiles as keep V and M in the second-level cache. Rounding: with the points 0, +-1, +-2 and inf the error in
 * float is at most six times the bound on that of the direct sum (tests/test_kernels.c). */
#include "minimal.h"
#include "winograd_tile.h"

#include <omp.h>

enum { BLOCK_BYTES = 640 << 10 };

static bool worthwhile(const winograd *m)
{
    const tiling t = winograd_tiles(m);
    const int64_t whole = t.count * TILE * TILE;
    return m->c >= 16 && m->b >= 16 && t.count >= 8 && m->n * m->out_h * m->out_w * 3 >= whole * 2;
}

bool K(winograd_possible)(const k_conv *c)
{
    return c->kh == 3 && c->kw == 3 && c->stride == 1 && c->dilation <= 1 && c->groups <= 1;
}

bool K(winograd_forward)(const k_conv *c, winograd *out)
{
    *out = (winograd){c->n, c->h, c->w, c->a, c->ho, c->wo, c->b, c->top, c->left, false};
    return K(winograd_possible)(c) && worthwhile(out);
}

bool K(winograd_input)(const k_conv *c, winograd *out)
{
    *out = (winograd){c->n, c->ho, c->wo, c->b, c->h, c->w, c->a, 2 - c->top, 2 - c->left, true};
    return K(winograd_possible)(c) && worthwhile(out);
}

/* ---- blocks and scratch ----------------------------------------------------------------------------------------------- */

typedef struct plan {
    tiling tiles;
    int64_t block;   /* tiles in a block, a multiple of K_ROWS */
    int64_t width;   /* source channels as whole vectors */
    int64_t columns; /* result channels as panels */
    int64_t v_step,
        m_step; /* reals from frequency to frequency; not a multiple of 4 KiB, which would share a cache set */
    size_t u_bytes, v_bytes, m_bytes;
} plan;

static plan make_plan(const winograd *m)
{
    plan p = {.tiles = winograd_tiles(m), .width = k_panel_columns(m->c), .columns = k_panel_columns(m->b)};
    const int64_t fit = (int64_t)(BLOCK_BYTES / sizeof(real)) / (F * (p.width + p.columns));
    p.block = k_max(k_min(fit / K_ROWS, 8), 1) * K_ROWS;
    p.v_step = p.block * p.width + VL;
    p.m_step = p.block * p.columns + VL;
    p.u_bytes = k_align((size_t)(F * m->c * p.columns) * sizeof(real));
    p.v_bytes = k_align((size_t)(F * p.v_step) * sizeof(real));
    p.m_bytes = k_align((size_t)(F * p.m_step) * sizeof(real));
    return p;
}

size_t K(winograd_scratch)(const winograd *m)
{
    const plan p = make_plan(m);
    return 64 + p.u_bytes + (size_t)omp_get_max_threads() * (p.v_bytes + p.m_bytes);
}

/* ---- U: weights ------------------------------------------------------------------------------------------------------- */

/* G x, G = [1/4 0 0; -1/6 -1/6 -1/6; -1/6 1/6 -1/6; 1/24 1/12 1/6; 1/24 -1/12 1/6; 0 0 1] */
K_INLINE void weight_side(kv a, kv b, kv c, kv *y)
{
    const kv even = (a + c) * (real)(-1.0 / 6), odd = b * (real)(1.0 / 6);
    const kv far = a * (real)(1.0 / 24) + c * (real)(1.0 / 6), half = b * (real)(1.0 / 12);
    y[0] = a * (real)0.25;
    y[1] = even - odd;
    y[2] = even + odd;
    y[3] = far + half;
    y[4] = far - half;
    y[5] = c;
}

enum { AT_ONCE = 4 }; /* source channels */

/* g[channel][tap]: one vector of result channels of up to AT_ONCE source channels; the columns that do not exist are zero. */
static void load_weights(const winograd *m, const real *w, int64_t channel, int64_t count, int64_t column,
                         kv g[AT_ONCE][9])
{
    const bool whole = column + VL <= m->b && count == AT_ONCE;
    _Alignas(64) real lanes[AT_ONCE][VL];
    for (int tap = 0; tap < 9; tap++) {
        const real *from = w + (m->transposed ? 8 - tap : tap) * m->c * m->b;
        if (m->transposed && whole) k_transpose_to_vectors(from + column * m->c + channel, m->c, lanes[0]);
        for (int64_t i = 0; i < count; i++) {
            if (whole && !m->transposed) memcpy(lanes[i], from + (channel + i) * m->b + column, sizeof lanes[i]);
            for (int64_t j = 0; !whole && j < VL; j++)
                lanes[i][j] = column + j >= m->b ? 0
                              : m->transposed    ? from[(column + j) * m->c + channel + i]
                                                 : from[(channel + i) * m->b + column + j];
            g[i][tap] = k_load(lanes[i]);
        }
    }
}

static void transform_channel(const kv g[9], int64_t step, real *to)
{
    kv half[3][SPAN], whole[SPAN];
    for (int x = 0; x < 3; x++) weight_side(g[x], g[3 + x], g[6 + x], half[x]);
    for (int y = 0; y < SPAN; y++) {
        weight_side(half[0][y], half[1][y], half[2][y], whole);
        for (int x = 0; x < SPAN; x++) k_store(to + (y * SPAN + x) * step, whole[x]);
    }
}

/* U[f][panel][channel][lane]; unit: a vector of columns. */
static void transform_weights(const winograd *m, const plan *p, const real *w, int64_t unit, real *u)
{
    const int64_t panel = unit * VL / K_PANEL, inside = unit * VL % K_PANEL, width = k_panel_width(m->b, panel);
    for (int64_t channel = 0; channel < m->c; channel += AT_ONCE) {
        const int64_t count = k_min(AT_ONCE, m->c - channel);
        kv g[AT_ONCE][9];
        load_weights(m, w, channel, count, unit * VL, g);
        for (int64_t i = 0; i < count; i++)
            transform_channel(g[i], m->c * p->columns, u + panel * K_PANEL * m->c + (channel + i) * width + inside);
    }
}

/* ---- M: products ------------------------------------------------------------------------------------------------------ */

static void multiply(const winograd *m, const plan *p, const real *v, const real *u, int64_t rows, const ahead next[2],
                     real *to)
{
    const int64_t panels = k_blocks(p->columns, K_PANEL);
    for (int f = 0; f < F; f++)
        for (int64_t column = 0; column < p->columns; column += K_PANEL) {
            for (int i = 0; i < 2; i++) ask_for(&next[i], f * panels + column / K_PANEL, F * panels);
            const real *panel = u + f * m->c * p->columns + column * m->c;
            for (int64_t row = 0; row < rows; row += K_ROWS) {
                const real *from = v + f * p->v_step + row * p->width;
                real *at = to + f * p->m_step + row * p->columns + column;
                if (p->columns - column > VL)
                    minimal_product(from, p->width, m->c, panel, at, p->columns, 2);
                else
                    minimal_product(from, p->width, m->c, panel, at, p->columns, 1);
            }
        }
}

/* ---- Y: results ------------------------------------------------------------------------------------------------------- */

/* A^T x, A^T = [1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 1] */
K_INLINE void result_side(const kv *x, kv *y)
{
    const kv a = x[1] + x[2], b = x[1] - x[2], c = x[3] + x[4], d = x[3] - x[4];
    y[0] = x[0] + a + c;
    y[1] = b + d * 2;
    y[2] = a + c * 4;
    y[3] = b + d * 8 + x[5];
}

/* y at `at` = activation(sum + residual): a vector, or fewer lanes. */
K_INLINE void store_result(const k_epilogue *e, kv sum, int64_t at, int64_t lanes, real *y)
{
    kv residual = {0};
    if (e && e->residual) memcpy(&residual, e->residual + at, (size_t)lanes * sizeof(real));
    sum += residual;
    if (e && e->activation == K_RELU) sum = k_relu_vector(sum);
    memcpy(y + at, &sum, (size_t)lanes * sizeof(real));
}

K_INLINE void result_vector(const winograd *m, const place *at, const real *from, int64_t step, int64_t channel,
                            int64_t lanes, const k_epilogue *e, real *y)
{
    kv half[TILE][SPAN], column[SPAN], out[TILE], bias = {0};
    if (e && e->bias) memcpy(&bias, e->bias + channel, (size_t)lanes * sizeof(real));
#pragma GCC unroll 6
    for (int x = 0; x < SPAN; x++) {
#pragma GCC unroll 6
        for (int f = 0; f < SPAN; f++) column[f] = k_load(from + (f * SPAN + x) * step + channel);
        result_side(column, out);
#pragma GCC unroll 4
        for (int i = 0; i < TILE; i++) half[i][x] = out[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < TILE; i++) {
        const int64_t to = ((at->image * m->out_h + at->y + i) * m->out_w + at->x) * m->b + channel;
        result_side(half[i], out);
#pragma GCC unroll 4
        for (int j = 0; j < TILE; j++)
            if (at->y + i < m->out_h && at->x + j < m->out_w) store_result(e, out[j] + bias, to + j * m->b, lanes, y);
    }
}

static void transform_result(const winograd *m, const plan *p, const real *from, int64_t tile, const k_epilogue *e,
                             real *y)
{
    const place at = tile_place(&p->tiles, tile);
    for (int64_t channel = 0; channel < m->b; channel += VL)
        if (m->b - channel >= VL)
            result_vector(m, &at, from, p->m_step, channel, VL, e, y);
        else
            result_vector(m, &at, from, p->m_step, channel, m->b - channel, e, y);
}

/* A block of tiles; while it is multiplied, its results and the source of the block that this thread is likely to do next come nearer. */
static void run_block(const winograd *m, const plan *p, int64_t first, const real *source, const real *u, real *v,
                      real *products, const k_epilogue *e, real *y)
{
    const int64_t tiles = k_min(p->block, p->tiles.count - first);
    const int64_t then = k_min(first + p->block * omp_get_num_threads(), p->tiles.count);
    const ahead next[] = {
        {&p->tiles, y, m->out_h, m->out_w, m->b, 1, first, tiles},
        {&p->tiles, source, m->h, m->w, m->c, 1, then, k_min(p->block, p->tiles.count - then)},
    };
    for (int64_t i = 0; i < tiles; i++) {
        const place at = tile_place(&p->tiles, first + i);
        transform_source(m, source, &at, p->v_step, v + i * p->width);
    }
    multiply(m, p, v, u, tiles, next, products);
    for (int64_t i = 0; i < tiles; i++) transform_result(m, p, products + i * p->columns, first + i, e, y);
}

void K(winograd_run)(const winograd *m, const real *source, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    const plan p = make_plan(m);
    real *u = (real *)k_align_pointer(scratch);
    char *own = (char *)u + p.u_bytes;
#pragma omp parallel
    {
        real *v = (real *)(own + (size_t)omp_get_thread_num() * (p.v_bytes + p.m_bytes)),
             *products = v + p.v_bytes / sizeof(real);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p.columns / VL; i++) transform_weights(m, &p, w, i, u);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < p.tiles.count; first += p.block)
            run_block(m, &p, first, source, u, v, products, e, y);
    }
}
