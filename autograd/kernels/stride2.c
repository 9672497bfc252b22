/* 4x4 convolutions of step 2 by minimal filtering. Split by parity, the pixels of x form four phases of half the size,
 *
 *   X[ry,rx][i,j] = x[2i + ry - top, 2j + rx - left]        W[ry,rx][u,v] = w[2u + ry, 2v + rx]
 *
 * and each of the three products is one of 2x2 taps and step 1 over them by F(4x4, 2x2) (Toom-Cook, as in winograd.c), with 25
 * multiplications for 16 results of 4 taps:
 *
 *   forward   y = sum over phases of X * W               source channels: the four phases side by side, 4a of them
 *   input     X[r][i,j] = sum over u, v of y[i-u, j-v] W[r][u,v]^T        the four phases one after another
 *   weight    the transpose of forward in W
 *
 * Per frequency each is a matrix product over tiles, done block by block as in winograd.c and minimal_weight.c. */
#include "minimal.h"
#include "minimal_weight.h"
#include "stride2_tile.h"

#include <omp.h>

enum { TILE = 4, SPAN = 5, F = SPAN * SPAN };

bool K(stride2_fits)(const k_conv *c)
{
    const bool kind = c->kh == 4 && c->kw == 4 && c->stride == 2 && c->dilation <= 1 && c->groups <= 1;
    return kind && c->a % 16 == 0 && c->b % 16 == 0 && c->ho >= TILE && c->wo >= TILE && c->n * c->ho * c->wo >= 256;
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

/* ---- forward and input --------------------------------------------------------------------------------------------------- */

/* One of the two; `input` goes phase by phase, from phase (0,0) on. */
typedef struct map {
    const k_conv *c;
    bool input;
    int products;
    plan p;
} map;

static map make_map(const k_conv *c, bool input)
{
    map m = {.c = c, .input = input, .products = input ? PHASES : 1};
    const tiling tiles =
        input ? tiles_of(c->n, (c->h + 1) / 2, (c->w + 1) / 2, TILE) : tiles_of(c->n, c->ho, c->wo, TILE);
    m.p = plan_blocks(tiles, input ? c->b : PHASES * c->a, input ? c->a : c->b, m.products, 1);
    return m;
}

/* The first i with a pixel 2i + parity - edge >= 0. */
K_INLINE int64_t first_of(int parity, int edge) { return (edge - parity + 1) / 2; }

/* The 5x5 pixels of phase `phase` of x that a tile of results sees. */
K_INLINE window phase_window(const k_conv *c, const real *x, const place *at, int phase)
{
    return window_at(x + at->image * c->h * c->w * c->a, c->h, c->w, c->a, 2 * at->y + phase / 2 - c->top,
                     2 * at->x + phase % 2 - c->left, 2, SPAN);
}

/* V of forward and of weight, of the four phases of x side by side. */
static void transform_x(const k_conv *c, const real *x, const place *at, int64_t step, real *v)
{
    for (int phase = 0; phase < PHASES; phase++) {
        const window o = phase_window(c, x, at, phase);
        for (int64_t channel = 0; channel < c->a; channel += VL, v += VL) {
            kv out[MOST][MOST];
            window_transform(source4, SPAN, SPAN, &o, channel, VL, out);
            store_frequencies(SPAN, out, step, v);
        }
    }
}

/* V of input: the 5x5 pixels of y from one before the tile's on. */
static void transform_y(const k_conv *c, const real *y, const place *at, int phase, int64_t step, real *v)
{
    const window o =
        window_at(y + at->image * c->ho * c->wo * c->b, c->ho, c->wo, c->b, at->y + first_of(phase / 2, c->top) - 1,
                  at->x + first_of(phase % 2, c->left) - 1, 1, SPAN);
    for (int64_t channel = 0; channel < c->b; channel += VL) {
        kv out[MOST][MOST];
        window_transform(source4, SPAN, SPAN, &o, channel, VL, out);
        store_frequencies(SPAN, out, step, v + channel);
    }
}

/* U[product][f][panel of columns][row][lane]; unit: a vector of the columns of all products. */
static void transform_w(const map *m, const real *w, int64_t unit, real *u)
{
    const plan *p = &m->p;
    const int64_t product = unit * VL / p->columns, column = unit * VL % p->columns;
    const int64_t panel = column / K_PANEL * K_PANEL, width = k_min(K_PANEL, p->columns - panel);
    u += product * F * p->rows * p->columns;
    for (int64_t row = 0; row < p->rows; row += AT_ONCE) {
        const int64_t phase = m->input ? product : row / m->c->a;
        real *to = u + panel * p->rows + row * width + column - panel;
        kv g[AT_ONCE][MOST][MOST], out[MOST][MOST];
        load_taps(m->c, m->input, w, (int)phase, m->input ? row : row % m->c->a, column, g);
        for (int i = 0; i < AT_ONCE; i++) {
            both_axes(weight4, 2, SPAN, g[i], out);
            store_frequencies(SPAN, out, p->rows * p->columns, to + i * width);
        }
    }
}

static void multiply(const plan *p, const real *v, const real *u, int64_t tiles, const ahead next[2], int product,
                     int products, real *to)
{
    const int64_t panels = k_blocks(p->columns, K_PANEL), shares = products * F * panels;
    for (int f = 0; f < F; f++)
        for (int64_t column = 0; column < p->columns; column += K_PANEL) {
            const real *panel = u + (f * p->columns + column) * p->rows;
            for (int i = 0; i < 2; i++) ask_for(&next[i], (product * F + f) * panels + column / K_PANEL, shares);
            for (int64_t row = 0; row < tiles; row += K_ROWS) {
                const real *from = v + f * p->v_step + row * p->rows;
                real *at = to + f * p->m_step + row * p->columns + column;
                if (p->columns - column > VL)
                    minimal_product(from, p->rows, p->rows, panel, at, p->columns, 2);
                else
                    minimal_product(from, p->rows, p->rows, panel, at, p->columns, 1);
            }
        }
}

static void finish(const map *m, const place *at, int phase, const real *from, const k_epilogue *e, real *to)
{
    const k_conv *c = m->c;
    const target y = {at->image, c->ho, c->wo, c->b, at->y, at->x, 1};
    const target x = {at->image,
                      c->h,
                      c->w,
                      c->a,
                      2 * (at->y + first_of(phase / 2, c->top)) + phase / 2 - c->top,
                      2 * (at->x + first_of(phase % 2, c->left)) + phase % 2 - c->left,
                      2};
    for (int64_t channel = 0; channel < m->p.columns; channel += VL)
        finish_vector(result4, TILE, from + channel, m->p.m_step, m->input ? &x : &y, channel, e, to);
}

static void run_block(const map *m, int64_t first, const real *source, const real *u, real *v, real *products,
                      const k_epilogue *e, real *to)
{
    const k_conv *c = m->c;
    const plan *p = &m->p;
    const int64_t tiles = k_min(p->block, p->tiles.count - first);
    const int64_t then = k_min(first + p->block * omp_get_num_threads(), p->tiles.count);
    const ahead x = {&p->tiles, m->input ? to : source, c->h, c->w, c->a, 2, 0, 0};
    const ahead y = {&p->tiles, m->input ? source : to, c->ho, c->wo, c->b, 1, 0, 0};
    ahead next[] = {m->input ? x : y, m->input ? y : x}; /* this block's results, the source of one to come */
    next[0].first = first, next[0].count = tiles;
    next[1].first = then, next[1].count = k_min(p->block, p->tiles.count - then);
    for (int product = 0; product < m->products; product++) {
        for (int64_t i = 0; i < tiles; i++) {
            const place at = tile_place(&p->tiles, first + i);
            if (m->input)
                transform_y(c, source, &at, product, p->v_step, v + i * p->rows);
            else
                transform_x(c, source, &at, p->v_step, v + i * p->rows);
        }
        multiply(p, v, u + product * F * p->rows * p->columns, tiles, next, product, m->products, products);
        for (int64_t i = 0; i < tiles; i++) {
            const place at = tile_place(&p->tiles, first + i);
            finish(m, &at, product, products + i * p->columns, e, to);
        }
    }
}

static void run_map(const map *m, const real *source, const real *w, const k_epilogue *e, real *to, void *scratch)
{
    const plan *p = &m->p;
    real *u = (real *)k_align_pointer(scratch);
    char *own = (char *)u + p->u_bytes;
#pragma omp parallel
    {
        real *v = (real *)(own + (size_t)omp_get_thread_num() * (p->v_bytes + p->m_bytes)),
             *products = v + p->v_bytes / sizeof(real);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < m->products * p->columns / VL; i++) transform_w(m, w, i, u);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < p->tiles.count; first += p->block)
            run_block(m, first, source, u, v, products, e, to);
    }
}

size_t K(stride2_forward_scratch)(const k_conv *c)
{
    const map m = make_map(c, false);
    return plan_scratch(&m.p, omp_get_max_threads());
}

void K(stride2_forward)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    const map m = make_map(c, false);
    run_map(&m, x, w, e, y, scratch);
}

size_t K(stride2_input_scratch)(const k_conv *c)
{
    const map m = make_map(c, true);
    return plan_scratch(&m.p, omp_get_max_threads());
}

void K(stride2_input)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    const map m = make_map(c, true);
    run_map(&m, y, w, e, x, scratch);
}

/* ---- weight -------------------------------------------------------------------------------------------------------------------- */

typedef struct sources {
    const k_conv *c;
    const real *x, *y;
    tiling tiles;
} sources;

WINDOW_GROUP(source_0, source4, SPAN, SPAN, 0, 4)
WINDOW_GROUP(source_1, source4, SPAN, SPAN, 1, 2)
WINDOW_GROUP(source_2, source4, SPAN, SPAN, 3, 3)

static void weight_source(const void *self, int group, int64_t tile, int64_t first, int64_t count, int64_t step,
                          real *v)
{
    static window_group *const groups[LINE_GROUPS] = {source_0, source_1, source_2};
    const sources *s = self;
    const k_conv *c = s->c;
    const place at = tile_place(&s->tiles, tile);
    for (int64_t row = first; row < first + count;) {
        const int phase = (int)(row / c->a);
        const window o = phase_window(c, s->x, &at, phase);
        for (const int64_t end = k_min(first + count, (phase + 1) * c->a); row < end; row += VL, v += VL)
            groups[group](&o, row - phase * c->a, VL, step, v);
    }
}

WINDOW_GROUP(gradient_0, gradient4, TILE, SPAN, 0, 4)
WINDOW_GROUP(gradient_1, gradient4, TILE, SPAN, 1, 2)
WINDOW_GROUP(gradient_2, gradient4, TILE, SPAN, 3, 3)

static void weight_gradient(const void *self, int group, int64_t tile, int64_t first, int64_t count, int64_t step,
                            real *d)
{
    static window_group *const groups[LINE_GROUPS] = {gradient_0, gradient_1, gradient_2};
    const sources *s = self;
    const k_conv *c = s->c;
    const place at = tile_place(&s->tiles, tile);
    const window o = window_at(s->y + at.image * c->ho * c->wo * c->b, c->ho, c->wo, c->b, at.y, at.x, 1, TILE);
    for (int64_t channel = first; channel < first + count; channel += VL, d += VL)
        groups[group](&o, channel, VL, step, d);
}

/* What the lines a and b (b = a: one) give to the 2x2 taps; the others are zero. */
K_INLINE void weight_lines(const int a, const int b, const k_conv *c, const real *sum, int64_t step, bool add, real *w)
{
    kv x[SPAN], first[2], second[2], out[2];
    for (int i = 0; i < SPAN; i++) x[i] = k_load(sum + i * step);
    weight4_back(x, first);
    if (a != b) {
        for (int i = 0; i < SPAN; i++) x[i] = k_load(sum + (SPAN + i) * step);
        weight4_back(x, second);
    }
    for (int i = 0; i < SPAN; i++) x[i] = (kv){0};
    for (int v = 0; v < 2; v++) {
        x[a] = first[v];
        if (a != b) x[b] = second[v];
        weight4_back(x, out);
        for (int u = 0; u < 2; u++) minimal_give(out[u], add, VL, w + (2 * u * 4 + 2 * v) * c->a * c->b);
    }
}

static void weight_finish(const void *self, int group, const real *sum, int64_t step, int64_t row, int64_t column,
                          real *w)
{
    const k_conv *c = ((const sources *)self)->c;
    const int64_t phase = row / c->a;
    w += ((phase / 2 * 4 + phase % 2) * c->a + row % c->a) * c->b + column;
    switch (group) {
    case 0: weight_lines(0, 4, c, sum, step, false, w); break;
    case 1: weight_lines(1, 2, c, sum, step, true, w); break;
    default: weight_lines(3, 3, c, sum, step, true, w); break;
    }
}

static minimal_weight job(const sources *s)
{
    const k_conv *c = s->c;
    return (minimal_weight){.self = s,
                            .frequencies = {2 * SPAN, 2 * SPAN, SPAN},
                            .tiles = &s->tiles,
                            .rows = PHASES * c->a,
                            .columns = c->b,
                            .numel = 16 * c->a * c->b,
                            .source = weight_source,
                            .gradient = weight_gradient,
                            .finish = weight_finish};
}

size_t K(stride2_weight_scratch)(const k_conv *c)
{
    const sources s = {c, NULL, NULL, tiles_of(c->n, c->ho, c->wo, TILE)};
    const minimal_weight j = job(&s);
    return K(minimal_weight_scratch)(&j);
}

void K(stride2_weight)(const k_conv *c, const real *x, const real *y, real *w, void *scratch)
{
    const sources s = {c, x, y, tiles_of(c->n, c->ho, c->wo, TILE)};
    const minimal_weight j = job(&s);
    K(minimal_weight_run)(&j, w, scratch);
}
