/* 4x4 convolutions of step 2 by minimal filtering. Split by parity, the pixels of x form four phases of half the size,
 *
 *   X[ry,rx][i,j] = x[2i + ry - top, 2j + rx - left]        W[ry,rx][u,v] = w[2u + ry, 2v + rx]
 *
 * and each of the three products is one of 2x2 taps and step 1 over them (Toom-Cook, as in winograd.c):
 *
 *   forward   y = sum over phases of X * W                   F(4x4, 2x2): 25 products for 16 results of 4 taps
 *   input     X[r][i,j] = sum over u, v of y[i-u, j-v] W[r][u,v]^T: four results from one source, F(3x3, 2x2): 16 for 9
 *   weight    the transpose of forward in W
 *
 * Source channels of `forward` and result channels of `input` are the four phases side by side: 4a of them. Per frequency each is a
 * matrix product over tiles, done block by block as in winograd.c and minimal_weight.c. */
#include "minimal.h"
#include "minimal_weight.h"
#include "stride2_tile.h"

#include <omp.h>

enum { BLOCK_BYTES = 640 << 10 };

bool K(stride2_fits)(const k_conv *c)
{
    const bool kind = c->kh == 4 && c->kw == 4 && c->stride == 2 && c->dilation <= 1 && c->groups <= 1;
    return kind && c->a % 16 == 0 && c->b % 16 == 0 && c->ho >= LARGE && c->wo >= LARGE && c->n * c->ho * c->wo >= 256;
}

/* ---- one-dimensional transforms -------------------------------------------------------------------------------------- */

/* F(4,2), points 0, 1, -1, 2, inf: B^T x, 5 -> 5 */
K_INLINE void source4(const kv *x, kv *y)
{
    y[0] = (x[0] - x[2]) * 2 + x[3] - x[1];
    y[1] = x[3] - x[2] - x[1] * 2;
    y[2] = x[3] - x[2] * 3 + x[1] * 2;
    y[3] = x[3] - x[1];
    y[4] = (x[1] - x[3]) * 2 + x[4] - x[2];
}

/* G x, 2 -> 5 */
K_INLINE void weight4(const kv *x, kv *y)
{
    const real half = (real)0.5, sixth = (real)(1.0 / 6);
    y[0] = x[0] * half;
    y[1] = (x[0] + x[1]) * -half;
    y[2] = (x[1] - x[0]) * sixth;
    y[3] = (x[0] + x[1] * 2) * sixth;
    y[4] = x[1];
}

/* G^T x, 5 -> 2 */
K_INLINE void weight4_back(const kv *x, kv *y)
{
    const real half = (real)0.5, sixth = (real)(1.0 / 6);
    y[0] = (x[0] - x[1]) * half + (x[3] - x[2]) * sixth;
    y[1] = x[1] * -half + (x[2] + x[3] * 2) * sixth + x[4];
}

/* A^T x, 5 -> 4 */
K_INLINE void result4(const kv *x, kv *y)
{
    const kv sum = x[1] + x[2], difference = x[1] - x[2];
    y[0] = x[0] + sum + x[3];
    y[1] = difference + x[3] * 2;
    y[2] = sum + x[3] * 4;
    y[3] = difference + x[3] * 8 + x[4];
}

/* A x, 4 -> 5 */
K_INLINE void gradient4(const kv *x, kv *y)
{
    y[0] = x[0];
    y[1] = x[0] + x[1] + x[2] + x[3];
    y[2] = x[0] - x[1] + x[2] - x[3];
    y[3] = x[0] + x[1] * 2 + x[2] * 4 + x[3] * 8;
    y[4] = x[3];
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------- */

/* Forward and input: a block's source and result stay in the second-level cache. */
static plan map_plan(const k_conv *c, bool input)
{
    plan p = input ? grid(c, SMALL, (c->h + c->top + 1) / 2, (c->w + c->left + 1) / 2) : grid(c, LARGE, c->ho, c->wo);
    p.rows = input ? c->b : PHASES * c->a;
    p.columns = input ? PHASES * c->a : c->b;
    const int64_t fit = (int64_t)(BLOCK_BYTES / sizeof(real)) / (p.frequencies * (p.rows + p.columns));
    p.block = k_max(k_min(fit / K_ROWS, 8), 1) * K_ROWS;
    p.v_step = p.block * p.rows + VL;
    p.m_step = p.block * p.columns + VL;
    p.u_bytes = k_align((size_t)(p.frequencies * p.rows * p.columns) * sizeof(real));
    p.v_bytes = k_align((size_t)(p.frequencies * p.v_step) * sizeof(real));
    p.m_bytes = k_align((size_t)(p.frequencies * p.m_step) * sizeof(real));
    return p;
}

/* Source of forward and of weight, of the four phases of x side by side: channels first + i for i < count, 5x5 pixels each. */
static void transform_x(const k_conv *c, const real *x, const place *at, int64_t first, int64_t count, int64_t step,
                        real *v)
{
    const real *image = x + at->image * c->h * c->w * c->a;
    for (int64_t row = first; row < first + count; row += VL) {
        const int64_t phase = row / c->a, channel = row % c->a;
        kv d[MOST][MOST], out[MOST][MOST];
        for (int i = 0; i < MOST; i++)
            for (int j = 0; j < MOST; j++)
                d[i][j] = pixel(image + channel, c->h, c->w, c->a, 2 * (at->y + i) + phase / 2 - c->top,
                                2 * (at->x + j) + phase % 2 - c->left);
        both_axes(source4, MOST, MOST, d, out);
        store_frequencies(MOST, out, step, v + row - first);
    }
}

/* Source of input: 4x4 pixels of y, from one before the tile on. */
static void transform_y(const k_conv *c, const real *y, const place *at, int64_t step, real *v)
{
    const real *image = y + at->image * c->ho * c->wo * c->b;
    for (int64_t channel = 0; channel < c->b; channel += VL) {
        kv d[MOST][MOST], out[MOST][MOST];
        for (int i = 0; i < MOST - 1; i++)
            for (int j = 0; j < MOST - 1; j++)
                d[i][j] = pixel(image + channel, c->ho, c->wo, c->b, at->y + i - 1, at->x + j - 1);
        both_axes(source3, MOST - 1, MOST - 1, d, out);
        store_frequencies(MOST - 1, out, step, v + channel);
    }
}

/* ---- weights: U[f][panel of columns][row][lane] ---------------------------------------------------------------------------- */

/* Unit: a vector of columns. */
static void transform_w(const k_conv *c, const plan *p, bool input, const real *w, int64_t unit, real *u)
{
    const int64_t column = unit * VL, panel = column / K_PANEL * K_PANEL, width = k_min(K_PANEL, p->columns - panel);
    for (int64_t row = 0; row < p->rows; row += AT_ONCE) {
        const int phase = (int)((input ? column : row) / c->a);
        real *to = u + panel * p->rows + row * width + column - panel;
        kv g[AT_ONCE][MOST][MOST], out[MOST][MOST];
        load_taps(c, input, w, phase, input ? row : row % c->a, input ? column % c->a : column, g);
        for (int i = 0; i < AT_ONCE; i++) {
            if (input)
                both_axes(weight3, 2, MOST - 1, g[i], out);
            else
                both_axes(weight4, 2, MOST, g[i], out);
            store_frequencies(p->tile + 1, out, p->rows * p->columns, to + i * width);
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------------------- */

static void multiply(const plan *p, const real *v, const real *u, int64_t tiles, real *to)
{
    for (int f = 0; f < p->frequencies; f++)
        for (int64_t column = 0; column < p->columns; column += K_PANEL)
            for (int64_t row = 0; row < tiles; row += K_ROWS) {
                const real *from = v + f * p->v_step + row * p->rows, *panel = u + (f * p->columns + column) * p->rows;
                real *at = to + f * p->m_step + row * p->columns + column;
                if (p->columns - column > VL)
                    minimal_product(from, p->rows, p->rows, panel, at, p->columns, 2);
                else
                    minimal_product(from, p->rows, p->rows, panel, at, p->columns, 1);
            }
}

/* ---- results ----------------------------------------------------------------------------------------------------------------- */

static void finish_y(const k_conv *c, const plan *p, const real *m, int64_t tile, const k_epilogue *e, real *y)
{
    const place at = tile_place(p, tile);
    for (int64_t channel = 0; channel < c->b; channel += VL) {
        kv x[MOST][MOST], out[MOST][MOST];
        const kv bias = load_bias(e, channel);
        load_frequencies(MOST, m + channel, p->m_step, x);
        both_axes(result4, MOST, LARGE, x, out);
        for (int64_t i = 0; i < k_min(LARGE, c->ho - at.y); i++)
            for (int64_t j = 0; j < k_min(LARGE, c->wo - at.x); j++)
                store_result(e, out[i][j], bias, ((at.image * c->ho + at.y + i) * c->wo + at.x + j) * c->b + channel,
                             y);
    }
}

/* ---- forward and input --------------------------------------------------------------------------------------------------------- */

static size_t map_scratch(const k_conv *c, bool input)
{
    const plan p = map_plan(c, input);
    return 64 + p.u_bytes + (size_t)omp_get_max_threads() * (p.v_bytes + p.m_bytes);
}

static void map_run(const k_conv *c, bool input, const real *source, const real *w, const k_epilogue *e, real *to,
                    void *scratch)
{
    const plan p = map_plan(c, input);
    real *u = (real *)k_align_pointer(scratch);
    char *own = (char *)u + p.u_bytes;
#pragma omp parallel
    {
        real *v = (real *)(own + (size_t)omp_get_thread_num() * (p.v_bytes + p.m_bytes)),
             *m = v + p.v_bytes / sizeof(real);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p.columns / VL; i++) transform_w(c, &p, input, w, i, u);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < p.tiles; first += p.block) {
            const int64_t tiles = k_min(p.block, p.tiles - first);
            for (int64_t i = 0; i < tiles; i++) {
                const place at = tile_place(&p, first + i);
                if (input)
                    transform_y(c, source, &at, p.v_step, v + i * p.rows);
                else
                    transform_x(c, source, &at, 0, p.rows, p.v_step, v + i * p.rows);
            }
            multiply(&p, v, u, tiles, m);
            for (int64_t i = 0; i < tiles; i++)
                (input ? finish_x : finish_y)(c, &p, m + i * p.columns, first + i, e, to);
        }
    }
}

size_t K(stride2_forward_scratch)(const k_conv *c) { return map_scratch(c, false); }

void K(stride2_forward)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    map_run(c, false, x, w, e, y, scratch);
}

size_t K(stride2_input_scratch)(const k_conv *c) { return map_scratch(c, true); }

void K(stride2_input)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    map_run(c, true, y, w, e, x, scratch);
}

/* ---- weight -------------------------------------------------------------------------------------------------------------------- */

typedef struct sources {
    const k_conv *c;
    const real *x, *y;
    plan p;
} sources;

static void weight_source(const void *self, int64_t tile, int64_t first, int64_t count, int64_t step, real *v)
{
    const sources *s = self;
    const place at = tile_place(&s->p, tile);
    transform_x(s->c, s->x, &at, first, count, step, v);
}

static void weight_gradient(const void *self, int64_t tile, int64_t first, int64_t count, int64_t step, real *d)
{
    const sources *s = self;
    const k_conv *c = s->c;
    const place at = tile_place(&s->p, tile);
    const real *image = s->y + at.image * c->ho * c->wo * c->b;
    for (int64_t channel = first; channel < first + count; channel += VL) {
        kv x[MOST][MOST], out[MOST][MOST];
        for (int i = 0; i < LARGE; i++)
            for (int j = 0; j < LARGE; j++) x[i][j] = pixel(image + channel, c->ho, c->wo, c->b, at.y + i, at.x + j);
        both_axes(gradient4, LARGE, MOST, x, out);
        store_frequencies(MOST, out, step, d + channel - first);
    }
}

/* The 2x2 taps of one row (phase and source channel) and one vector of columns. */
static void weight_finish(const void *self, const real *sum, int64_t step, int64_t row, int64_t column, real *w)
{
    const k_conv *c = ((const sources *)self)->c;
    const int64_t phase = row / c->a;
    kv x[MOST][MOST], out[MOST][MOST];
    load_frequencies(MOST, sum, step, x);
    both_axes(weight4_back, MOST, 2, x, out);
    for (int u = 0; u < 2; u++)
        for (int v = 0; v < 2; v++)
            k_store(w + (((2 * u + phase / 2) * 4 + 2 * v + phase % 2) * c->a + row % c->a) * c->b + column, out[u][v]);
}

static minimal_weight job(const k_conv *c, const sources *s)
{
    const plan p = grid(c, LARGE, c->ho, c->wo);
    return (minimal_weight){.self = s,
                            .frequencies = p.frequencies,
                            .tiles = p.tiles,
                            .rows = PHASES * c->a,
                            .columns = c->b,
                            .numel = 16 * c->a * c->b,
                            .source = weight_source,
                            .gradient = weight_gradient,
                            .finish = weight_finish};
}

size_t K(stride2_weight_scratch)(const k_conv *c)
{
    const minimal_weight j = job(c, NULL);
    return K(minimal_weight_scratch)(&j);
}

void K(stride2_weight)(const k_conv *c, const real *x, const real *y, real *w, void *scratch)
{
    const sources s = {c, x, y, grid(c, LARGE, c->ho, c->wo)};
    const minimal_weight j = job(c, &s);
    K(minimal_weight_run)(&j, w, scratch);
}
