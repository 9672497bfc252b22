/* Convolutions with few result channels (a picture's, a discriminator's), where a panel of result channels would be mostly empty: the
 * columns of the product are the taps instead.
 *
 *   P[i,j, (ky,kx,co)] = sum over ci of source[i,j,ci] * w[ky,kx,ci,co]          a matrix product, the source read in place
 *   y[oy,ox,co]        = sum of P[i,j, (ky,kx,co)] with i*stride + ky - top = oy, j*stride + kx - left = ox
 *
 * That is conv_input; a forward convolution of step 1 is the same with its taps turned round. P of a band of rows lies in a thread's
 * scratch, each row with as many zero pixels around it as windows leave the image. Results go in blocks of `stride` pixels, whose taps
 * (a whole number of strides of them, the last with zero weights) are neighbours in P. */
#include "conv_few.h"

#include <omp.h>

enum { MOST = 4, LEAST_SOURCE = 16, LANES_MOST = 16, TAPS_MOST = 8, BAND_BYTES = 256 << 10 };

typedef struct few {
    bool turned; /* forward */
    int64_t n, h, w, c, out_h, out_w, b;
    int kh, kw, stride, top, left;
    int steps;       /* strides of taps that cover kw */
    int64_t lanes;   /* of a block: stride * b */
    int64_t columns; /* of P: kh * steps * lanes, in whole vectors */
    int64_t blocks;  /* of a row of results */
    int64_t row;     /* pixels of a row of P: steps - 1 zeros, the source's, zeros */
    int64_t band;    /* rows of results at a time */
    size_t u_bytes, p_bytes, sum_bytes;
} few;

/* The source rows that result rows from `first` to `last` come from; not cut to the image. */
static int64_t source_first(const few *m, int64_t first) { return -k_floor_div(m->kh - 1 - m->top - first, m->stride); }
static int64_t source_last(const few *m, int64_t last) { return k_floor_div(last + m->top, m->stride); }

static few make(const k_conv *c, int product)
{
    few m = {.turned = product == K_FORWARD, .n = c->n, .kh = c->kh, .kw = c->kw, .stride = c->stride};
    if (m.turned) {
        m.h = c->h, m.w = c->w, m.c = c->a, m.out_h = c->ho, m.out_w = c->wo, m.b = c->b;
        m.top = c->kh - 1 - c->top, m.left = c->kw - 1 - c->left;
    } else {
        m.h = c->ho, m.w = c->wo, m.c = c->b, m.out_h = c->h, m.out_w = c->w, m.b = c->a;
        m.top = c->top, m.left = c->left;
    }
    m.steps = (int)k_blocks(m.kw, m.stride);
    m.lanes = m.stride * m.b;
    m.columns = k_panel_columns(m.kh * m.steps * m.lanes);
    m.blocks = k_blocks(m.out_w + m.left, m.stride);
    m.row = m.steps - 1 + k_max(m.w, m.blocks);
    const int64_t rows = k_max(BAND_BYTES / (int64_t)sizeof(real) / (m.row * m.columns), 1);
    m.band = k_max(k_min((rows - 1) * m.stride - m.kh, m.out_h), m.stride);
    m.u_bytes = k_align((size_t)(m.c * m.columns) * sizeof(real));
    m.p_bytes = k_align((size_t)(((m.band + m.kh) / m.stride + 2) * m.row * m.columns + LANES_MOST) * sizeof(real));
    m.sum_bytes = k_align((size_t)(m.blocks * m.lanes + LANES_MOST) * sizeof(real));
    return m;
}

bool K(few_fits)(const k_conv *c, int product)
{
    const int64_t results = product == K_FORWARD ? c->b : c->a, source = product == K_FORWARD ? c->a : c->b;
    if (product == K_WEIGHT || (product == K_FORWARD && c->stride != 1)) return false;
    if (c->dilation > 1 || c->groups > 1 || results > MOST || source < LEAST_SOURCE || c->kh > TAPS_MOST) return false;
    if (c->top < 0 || c->left < 0 || c->top >= c->kh || c->left >= c->kw) return false;
    const few m = make(c, product);
    return m.lanes <= LANES_MOST && m.columns * 2 < c->kh * c->kw * results * 3;
}

size_t K(few_scratch)(const k_conv *c, int product)
{
    const few m = make(c, product);
    return 64 + m.u_bytes + (size_t)omp_get_max_threads() * (m.p_bytes + m.sum_bytes);
}

/* U as panels [c][width] of columns (ky, kx up to a whole stride, co). */
static void pack(const few *m, const real *w, real *u)
{
    const int64_t width = m->steps * m->lanes;
    memset(u, 0, m->u_bytes);
    for (int64_t column = 0; column < m->kh * width; column++) {
        const int64_t ky = column / width, kx = column % width / m->b, co = column % m->b;
        const int64_t panel = column / K_PANEL, lanes = k_panel_width(m->columns, panel);
        if (kx >= m->kw) continue;
        const int64_t tap = m->turned ? (m->kh - 1 - ky) * m->kw + m->kw - 1 - kx : ky * m->kw + kx;
        const real *from = w + tap * m->b * m->c + co * (m->turned ? 1 : m->c);
        real *to = u + panel * K_PANEL * m->c + column % K_PANEL;
        for (int64_t i = 0; i < m->c; i++) to[i * lanes] = from[i * (m->turned ? m->b : 1)];
    }
}

/* ---- P ------------------------------------------------------------------------------------------------------------------ */

/* K_ROWS pixels from `pixel` on (of `count`; the last repeats) by all panels; those after them are asked for, since a product with few
 * columns takes less time than its pixels from memory. */
K_INLINE void tile(const few *m, const real *source, int64_t pixel, int64_t count, const real *u, real *p)
{
    const k_terms terms = {.ky = 1, .kx = 1, .length = m->c};
    const real *rows[K_ROWS];
    real *to[K_ROWS];
    for (int i = 0; i < K_ROWS; i++) {
        const int64_t at = k_min(pixel + i, count - 1);
        rows[i] = source + at * m->c;
        to[i] = p + (at / m->w * m->row + m->steps - 1 + at % m->w) * m->columns;
    }
    const real *next = source + (pixel + K_ROWS) * m->c;
    for (int64_t i = 0; i < K_ROWS * m->c; i += 64 / (int64_t)sizeof(real)) __builtin_prefetch(next + i, 0, 2);
    for (int64_t column = 0; column < m->columns; column += K_PANEL) {
        kv sum[K_ROWS][2] = {0};
        const bool two = m->columns - column > VL;
        if (two)
            k_tile_sum(K_ROWS, 2, &terms, rows, u + column * m->c, sum);
        else
            k_tile_sum(K_ROWS, 1, &terms, rows, u + column * m->c, sum);
#pragma GCC unroll 8
        for (int i = 0; i < K_ROWS; i++) {
            k_store(to[i] + column, sum[i][0]);
            if (two) k_store(to[i] + column + VL, sum[i][1]);
        }
    }
}

/* P of `rows` source rows. */
static void fill(const few *m, const real *source, int64_t rows, const real *u, real *p)
{
    const int64_t before = m->steps - 1, after = m->row - before - m->w;
    for (int64_t i = 0; i < rows; i++) {
        real *row = p + i * m->row * m->columns;
        memset(row, 0, (size_t)(before * m->columns) * sizeof *row);
        memset(row + (before + m->w) * m->columns, 0, (size_t)(after * m->columns) * sizeof *row);
    }
    for (int64_t i = 0; i < rows * m->w; i += K_ROWS) tile(m, source, i, rows * m->w, u, p);
}

/* ---- y ------------------------------------------------------------------------------------------------------------------ */

/* A row of results before bias: sum[block][lane] over the taps ky[t] of the rows from[t] of P, four lanes at a time. Lanes beyond the last
 * of a block hold what follows in P; the next block writes over them. */
K_INLINE void add_taps(const few *m, int taps, const real *const *from, const int *ky, const int quads, real *sum)
{
    for (int64_t block = 0; block < m->blocks; block++, sum += m->lanes) {
        k_quad add[LANES_MOST / 4] = {0};
        for (int t = 0; t < taps; t++) {
            const real *p = from[t] + (block + m->steps - 1) * m->columns + ky[t] * m->steps * m->lanes;
            for (int step = 0; step < m->steps; step++, p += m->lanes - m->columns)
#pragma GCC unroll 4
                for (int i = 0; i < quads; i++) {
                    k_quad part;
                    memcpy(&part, p + 4 * i, sizeof part);
                    add[i] += part;
                }
        }
#pragma GCC unroll 4
        for (int i = 0; i < quads; i++) memcpy(sum + 4 * i, &add[i], sizeof add[i]);
    }
}

/* Row oy of image `image`, from P of the source rows from `first` to `last`. */
static void finish(const few *m, int64_t image, int64_t oy, int64_t first, int64_t last, const real *p,
                   const k_epilogue *e, real *sum, real *y)
{
    const real *from[TAPS_MOST];
    int ky[TAPS_MOST], taps = 0;
    for (int tap = 0; tap < m->kh; tap++) {
        const int64_t at = oy + m->top - tap, i = k_floor_div(at, m->stride);
        if (i * m->stride != at || i < first || i > last) continue;
        from[taps] = p + (i - first) * m->row * m->columns;
        ky[taps++] = tap;
    }
    if (m->lanes <= 4)
        add_taps(m, taps, from, ky, 1, sum);
    else if (m->lanes <= 8)
        add_taps(m, taps, from, ky, 2, sum);
    else
        add_taps(m, taps, from, ky, LANES_MOST / 4, sum);
    const int64_t begin = (image * m->out_h + oy) * m->out_w * m->b;
    sum += m->left * m->b;
    for (int64_t i = 0; i < m->out_w; i++)
        for (int64_t co = 0; co < m->b; co++) {
            const int64_t at = i * m->b + co;
            real result = sum[at];
            if (e && e->bias) result += e->bias[co];
            if (e && e->residual) result += e->residual[begin + at];
            y[begin + at] = e && e->activation == K_RELU && result < 0 ? 0 : result;
        }
}

void K(few_run)(const k_conv *c, int product, const real *source, const real *w, const k_epilogue *e, real *y,
                void *scratch)
{
    const few m = make(c, product);
    const int64_t bands = k_blocks(m.out_h, m.band);
    real *u = (real *)k_align_pointer(scratch);
    char *own = (char *)u + m.u_bytes;
    pack(&m, w, u);
#pragma omp parallel for schedule(dynamic)
    for (int64_t unit = 0; unit < m.n * bands; unit++) {
        real *p = (real *)(own + (size_t)omp_get_thread_num() * (m.p_bytes + m.sum_bytes)),
             *sum = p + m.p_bytes / sizeof(real);
        const int64_t image = unit / bands, y0 = unit % bands * m.band, y1 = k_min(y0 + m.band, m.out_h);
        const int64_t first = k_max(source_first(&m, y0), 0), last = k_min(source_last(&m, y1 - 1), m.h - 1);
        if (first <= last) fill(&m, source + (image * m.h + first) * m.w * m.c, last - first + 1, u, p);
        for (int64_t oy = y0; oy < y1; oy++) finish(&m, image, oy, first, last, p, e, sum, y);
    }
}
