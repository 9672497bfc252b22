/* conv_forward and conv_input: a convolution and its transpose, direct, channels last.
 *
 *   forward   y[oy,ox] = sum x[oy*s + ky - top, ox*s + kx - left] * w[ky,kx]
 *   input     x[iy,ix] = sum over the same pairs of  y[oy,ox] * w[ky,kx]^T
 *
 * Both are the same walk (`map`): positions of a grid, each with a window of source pixels and a panel of weights. For
 * `input` with stride s the positions split into s*s phases, iy = q*s + ry - top: in one phase only the taps
 * ky = ry, ry+s, ... meet a y, at oy = q - j for ky = ry + j*s; that is a convolution of step 1 with those taps in reverse
 * order, written s apart. `forward` has a single phase. With dilation d tap ky reads d*ky further: a phase has the ky with
 * ky*d = ry (mod s), which are s/gcd(s,d) apart and read d/gcd(s,d) apart. Groups are done one after another.
 *
 * Memory. Weights are packed once per call as panels [terms][K_PANEL] per phase. A band of source pixels is copied with
 * its border of zeros into a thread's scratch (not where no window leaves the image), so the loops know no border; then
 * every panel goes over the whole band. In a row of the window the kw*channels numbers lie side by side, so the sum is
 * kh long runs. Bias, residual and activation are applied in registers.
 *
 * With up to DOT_MOST result channels a panel would be mostly empty. Where conv_few.c does not fit, the vectors run along the terms
 * instead, one sum per position and channel, and are added up at the end (`dot`). */
#include "conv_band.h"
#include "conv_few.h"
#include "depthwise.h"
#include "stride2.h"
#include "winograd.h"

#include <omp.h>

enum { BAND_BYTES = 192 << 10, DOT_MOST = 4 };

typedef struct map {
    bool transposed;
    int64_t n, h, w, c;                        /* source images */
    int64_t out_h, out_w, b;                   /* result images */
    int64_t source_pixel, result_pixel, w_row; /* reals from pixel to pixel, from row to row of a tap: of all groups */
    int kh, kw, stride, top, left, dilation;
    int64_t q0, r0; /* first row and column of the grid */
    int phases;     /* per axis */
    bool padded;    /* some window leaves the source */
    bool dot;       /* vectors run along the terms */
    bands bands;
} map;

/* One phase along one axis: its taps, where the first one reads at q = 0, where q = 0 is written, and the q that exist. */
typedef struct axis {
    int taps, before;  /* before: taps of the phases before this one */
    int64_t apart;     /* source rows from tap to tap */
    int64_t base, out; /* source = q * step + base + tap * apart; result = q * phases + out */
    int64_t from, to;
} axis;

static int common_divisor(int a, int b) { return b ? common_divisor(b, a % b) : a; }

/* Distance of the taps of one phase, and the first of them; -1: the phase has none. */
static int phase_apart(const map *m) { return m->stride / common_divisor(m->stride, m->dilation); }
static int phase_first(const map *m, int phase)
{
    for (int tap = 0; tap < phase_apart(m); tap++)
        if (tap * m->dilation % m->stride == phase) return tap;
    return -1;
}

static int phase_taps(const map *m, int phase, int taps)
{
    const int first = phase_first(m, phase);
    return first < 0 || first >= taps ? 0 : (int)k_blocks(taps - first, phase_apart(m));
}

static axis map_axis(const map *m, int phase, bool vertical)
{
    const int taps = vertical ? m->kh : m->kw, pad = vertical ? m->top : m->left, s = m->stride, d = m->dilation;
    const int64_t size = vertical ? m->out_h : m->out_w;
    if (!m->transposed) return (axis){.taps = taps, .apart = d, .base = -pad, .from = 0, .to = size};
    axis a = {.taps = phase_taps(m, phase, taps), .apart = d / common_divisor(s, d), .out = phase - pad};
    for (int i = 0; i < phase; i++) a.before += phase_taps(m, i, taps);
    if (a.taps) a.base = -(phase_first(m, phase) * d / s + (a.taps - 1) * a.apart);
    a.from = -k_floor_div(a.out, s);
    a.to = -k_floor_div(a.out - size, s);
    return a;
}

/* Number of windows' source rows (columns) and the first of them at position 0, over all phases. */
static int64_t map_span(const map *m, int taps)
{
    const int far = (taps - 1) * m->dilation;
    return (m->transposed ? far / m->stride : far) + 1;
}
static int64_t map_base(const map *m, int taps, int pad) { return m->transposed ? 1 - map_span(m, taps) : -pad; }

static void map_plan(map *m)
{
    const int64_t s = m->stride;
    m->phases = m->transposed ? m->stride : 1;
    m->q0 = m->transposed ? m->top / s : 0;
    m->r0 = m->transposed ? m->left / s : 0;
    bands *b = &m->bands;
    b->n = m->n;
    b->h = (m->transposed ? k_blocks(m->out_h + m->top, s) : m->out_h) - m->q0;
    b->w = (m->transposed ? k_blocks(m->out_w + m->left, s) : m->out_w) - m->r0;
    b->step = m->transposed ? 1 : s;
    b->span_h = map_span(m, m->kh);
    b->span_w = map_span(m, m->kw);
    const int64_t y = m->q0 * b->step + map_base(m, m->kh, m->top), x = m->r0 * b->step + map_base(m, m->kw, m->left);
    m->padded =
        y < 0 || x < 0 || y + (b->h - 1) * b->step + b->span_h > m->h || x + (b->w - 1) * b->step + b->span_w > m->w;
    m->dot = m->b <= DOT_MOST && m->c % VL == 0;
    /* pixels a multiple of 4 KiB apart would share a cache set */
    b->pixel = m->padded && m->c * b->step * (int64_t)sizeof(real) % 4096 == 0 ? m->c + VL : m->c;
    bands_choose(b, BAND_BYTES);
}

static map forward_map(const k_conv *c)
{
    map m = {.n = c->n,
             .h = c->h,
             .w = c->w,
             .c = c->a / conv_groups(c),
             .out_h = c->ho,
             .out_w = c->wo,
             .b = c->b / conv_groups(c),
             .source_pixel = c->a,
             .result_pixel = c->b,
             .w_row = c->b,
             .dilation = conv_dilation(c),
             .kh = c->kh,
             .kw = c->kw,
             .stride = c->stride,
             .top = c->top,
             .left = c->left};
    if (c->kh == 1 && c->kw == 1 && c->stride == 1 && !c->top && !c->left && c->ho == c->h && c->wo == c->w) {
        m.w = m.out_w = c->n * c->h * c->w; /* a 1x1 convolution knows no rows */
        m.n = m.h = m.out_h = 1;
    }
    map_plan(&m);
    return m;
}

static map input_map(const k_conv *c)
{
    map m = {.transposed = true,
             .n = c->n,
             .h = c->ho,
             .w = c->wo,
             .c = c->b / conv_groups(c),
             .out_h = c->h,
             .out_w = c->w,
             .b = c->a / conv_groups(c),
             .source_pixel = c->b,
             .result_pixel = c->a,
             .w_row = c->b,
             .dilation = conv_dilation(c),
             .kh = c->kh,
             .kw = c->kw,
             .stride = c->stride,
             .top = c->top,
             .left = c->left};
    if (c->kh == 1 && c->kw == 1 && c->stride == 1 && !c->top && !c->left && c->ho == c->h && c->wo == c->w) {
        m.w = m.out_w = c->n * c->h * c->w;
        m.n = m.h = m.out_h = 1;
    }
    map_plan(&m);
    return m;
}

/* ---- scratch: bias, packed weights, one band a thread ------------------------------------------------------------- */

typedef struct room {
    real *bias, *weights;
    char *band;
    size_t band_bytes, bytes;
} room;

static room map_room(const map *m, void *scratch, int threads)
{
    char *at = k_align_pointer(scratch);
    const size_t columns = (size_t)k_panel_columns(m->b);
    const size_t bias = k_align(columns * sizeof(real));
    const size_t weights = k_align((size_t)(m->kh * m->kw) * (size_t)m->c * columns * sizeof(real));
    room r = {.bias = (real *)at, .weights = (real *)(at + bias), .band = at + bias + weights};
    if (m->padded)
        r.band_bytes = k_align((size_t)(m->bands.together * bands_source(&m->bands, m->bands.band_h, m->bands.band_w)) *
                               sizeof(real));
    r.bytes = 64 + bias + weights + (size_t)threads * r.band_bytes;
    return r;
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

/* Where the panels of a phase begin. */
static int64_t phase_weights(const map *m, const axis *v, const axis *h)
{
    return ((int64_t)v->before * m->kw + (int64_t)v->taps * h->before) * m->c * k_panel_columns(m->b);
}

/* One tap of one panel: to[term][width], terms = source channels. */
static void pack_tap(const map *m, const real *w, int64_t column, int64_t width, real *to)
{
    const int64_t columns = k_min(m->b - column, width);
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = 0; i < m->c; i++)
            to[i * width + j] = j >= columns    ? 0
                                : m->transposed ? w[(column + j) * m->w_row + i]
                                                : w[i * m->w_row + column + j];
}

/* One tap for `dot`: to[block of VL terms][channel][VL]. */
static void pack_tap_dot(const map *m, const real *w, real *to)
{
    for (int64_t i = 0; i < m->c; i++)
        for (int64_t j = 0; j < m->b; j++)
            to[(i / VL * m->b + j) * VL + i % VL] = m->transposed ? w[j * m->w_row + i] : w[i * m->w_row + j];
}

/* Unit: one tap of one panel. */
static void pack_weights(const map *m, const real *w, int64_t unit, real *packed)
{
    const int64_t panel = unit / (m->kh * m->kw), width = k_panel_width(m->b, panel);
    const int tap = (int)(unit % (m->kh * m->kw)), ky = tap / m->kw, kx = tap % m->kw;
    const axis v = map_axis(m, m->transposed ? ky * m->dilation % m->stride : 0, true);
    const axis h = map_axis(m, m->transposed ? kx * m->dilation % m->stride : 0, false);
    const int64_t y = m->transposed ? v.taps - 1 - ky / phase_apart(m) : ky;
    const int64_t x = m->transposed ? h.taps - 1 - kx / phase_apart(m) : kx;
    real *to = packed + phase_weights(m, &v, &h) + panel * K_PANEL * v.taps * h.taps * m->c;
    w += (int64_t)tap * (m->transposed ? m->b : m->c) * m->w_row;
    if (m->dot)
        pack_tap_dot(m, w, to + (y * h.taps + x) * m->c * m->b);
    else
        pack_tap(m, w, panel * K_PANEL, width, to + (y * h.taps + x) * m->c * width);
}

/* ---- bands ----------------------------------------------------------------------------------------------------------- */

/* Source pixels as the loops see them: `data` is the first one any window of the band reads. */
typedef struct window {
    const real *data;
    int64_t image, pitch, pixel; /* reals from image to image, from row to row, from pixel to pixel */
} window;

static window open_window(const map *m, const band *at, const real *source, real *copy)
{
    const bands *b = &m->bands;
    const int64_t y0 = (m->q0 + at->y0) * b->step + map_base(m, m->kh, m->top), row = m->w * m->source_pixel;
    const int64_t x0 = (m->r0 + at->x0) * b->step + map_base(m, m->kw, m->left);
    source += at->image * m->h * row;
    if (!m->padded) return (window){source + y0 * row + x0 * m->source_pixel, m->h * row, row, m->source_pixel};
    const int64_t rows = (at->y1 - at->y0 - 1) * b->step + b->span_h,
                  columns = (at->x1 - at->x0 - 1) * b->step + b->span_w;
    const int64_t pitch = columns * b->pixel;
    for (int64_t i = 0; i < at->images * rows; i++) {
        const int64_t y = y0 + i % rows;
        const real *from = y >= 0 && y < m->h ? source + (i / rows * m->h + y) * row : NULL;
        bands_copy_row(from, m->w, m->c, m->source_pixel, x0, columns, b->pixel, copy + i * pitch);
    }
    return (window){copy, rows * pitch, pitch, b->pixel};
}

/* ---- the register tile ------------------------------------------------------------------------------------------------ */

typedef struct tile {
    const real *rows[K_ROWS]; /* first source number of each position */
    int64_t at[K_ROWS];       /* where its channels go in the result */
    int count;                /* positions that exist; the others repeat the first */
    int64_t lanes;            /* channels of the panel that exist */
    k_terms terms;
    const real *w, *bias, *residual;
    real *y;
    bool relu;
} tile;

K_INLINE kv tile_finish(const tile *t, kv sum, const real *residual)
{
    if (residual) sum += k_load(residual);
    return t->relu ? k_relu_vector(sum) : sum;
}

/* Fewer channels than the panel has: through a buffer. */
static void tile_store_part(const tile *t, const int vectors, const kv *sum, int64_t at)
{
    real residual[K_PANEL] = {0}, result[K_PANEL];
    if (t->residual) memcpy(residual, t->residual + at, (size_t)t->lanes * sizeof(real));
    for (int v = 0; v < vectors; v++) k_store(result + v * VL, tile_finish(t, sum[v], residual + v * VL));
    memcpy(t->y + at, result, (size_t)t->lanes * sizeof(real));
}

K_INLINE void tile_run(const tile *t, const int count, const int vectors)
{
    kv sum[K_ROWS][2];
#pragma GCC unroll 8
    for (int p = 0; p < count; p++)
        for (int v = 0; v < vectors; v++) sum[p][v] = k_load(t->bias + v * VL);
    k_tile_sum(count, vectors, &t->terms, t->rows, t->w, sum);
    if (t->lanes < vectors * VL) {
        kv part[K_ROWS][2];
#pragma GCC unroll 8
        for (int p = 0; p < count; p++)
            for (int v = 0; v < vectors; v++) part[p][v] = sum[p][v];
        for (int p = 0; p < t->count; p++) tile_store_part(t, vectors, part[p], t->at[p]);
        return;
    }
#pragma GCC unroll 8
    for (int p = 0; p < count; p++)
        for (int v = 0; v < vectors; v++)
            sum[p][v] = tile_finish(t, sum[p][v], t->residual ? t->residual + t->at[p] + v * VL : NULL);
#pragma GCC unroll 8
    for (int p = 0; p < count; p++)
        for (int v = 0; v < vectors; v++) k_store(t->y + t->at[p] + v * VL, sum[p][v]);
}

static void tile_whole_2(const tile *t) { tile_run(t, K_ROWS, 2); }
static void tile_whole_1(const tile *t) { tile_run(t, K_ROWS, 1); }
static void tile_half_2(const tile *t) { tile_run(t, K_ROWS / 2, 2); }
static void tile_half_1(const tile *t) { tile_run(t, K_ROWS / 2, 1); }
static void tile_single_2(const tile *t) { tile_run(t, 1, 2); }
static void tile_single_1(const tile *t) { tile_run(t, 1, 1); }

static void tile_any(const tile *t, int64_t width)
{
    if (t->count > K_ROWS / 2)
        (width > VL ? tile_whole_2 : tile_whole_1)(t);
    else if (t->count > 1)
        (width > VL ? tile_half_2 : tile_half_1)(t);
    else
        (width > VL ? tile_single_2 : tile_single_1)(t);
}

/* ---- the same for few result channels -------------------------------------------------------------------------------- */

/* Positions of a tile: as many as leave registers for the weights. */
K_INLINE int dot_rows(int64_t channels) { return channels < 3 ? K_ROWS : channels == 3 ? K_ROWS - 2 : K_ROWS / 2; }

K_INLINE void dot_sum(const tile *t, const int channels, kv sum[K_ROWS][DOT_MOST])
{
    const real *w = t->w;
    for (int64_t ky = 0; ky < t->terms.ky; ky++)
        for (int64_t kx = 0; kx < t->terms.kx; kx++) {
            const int64_t first = ky * t->terms.pitch + kx * t->terms.step;
            for (int64_t i = first; i < first + t->terms.length; i += VL, w += channels * VL)
#pragma GCC unroll 8
                for (int p = 0; p < dot_rows(channels); p++) {
                    const kv x = k_load(t->rows[p] + i);
#pragma GCC unroll 4
                    for (int c = 0; c < channels; c++) sum[p][c] += x * k_load(w + c * VL);
                }
        }
}

K_INLINE void dot_run(const tile *t, const int channels)
{
    kv sum[K_ROWS][DOT_MOST];
#pragma GCC unroll 8
    for (int p = 0; p < dot_rows(channels); p++)
        for (int c = 0; c < channels; c++) sum[p][c] = (kv){0};
    dot_sum(t, channels, sum);
#pragma GCC unroll 8
    for (int p = 0; p < dot_rows(channels); p++)
        for (int c = 0; c < channels; c++) {
            const int64_t at = t->at[p] + c;
            const real y = k_add_lanes(sum[p][c]) + t->bias[c] + (t->residual ? t->residual[at] : 0);
            if (p < t->count) t->y[at] = t->relu && y < 0 ? 0 : y;
        }
}

static void dot_1(const tile *t) { dot_run(t, 1); }
static void dot_2(const tile *t) { dot_run(t, 2); }
static void dot_3(const tile *t) { dot_run(t, 3); }
static void dot_4(const tile *t) { dot_run(t, 4); }
static void (*const dots[])(const tile *) = {dot_1, dot_2, dot_3, dot_4};

/* ---- the walk ----------------------------------------------------------------------------------------------------------- */

/* Positions of one phase inside a band, and how they map to the source window and the result. */
typedef struct walk {
    int64_t images, rows, columns;
    const real *source;
    int64_t source_image, source_row, source_column;
    int64_t out, out_image, out_row, out_column;
} walk;

static walk phase_walk(const map *m, const band *at, const window *s, const axis *v, const axis *h)
{
    const int64_t ya = k_max(m->q0 + at->y0, v->from), yb = k_min(m->q0 + at->y1, v->to);
    const int64_t xa = k_max(m->r0 + at->x0, h->from), xb = k_min(m->r0 + at->x1, h->to);
    const int64_t y = (ya - m->q0 - at->y0) * m->bands.step + v->base - map_base(m, m->kh, m->top);
    const int64_t x = (xa - m->r0 - at->x0) * m->bands.step + h->base - map_base(m, m->kw, m->left);
    const int64_t oy = ya * m->phases + v->out, ox = xa * m->phases + h->out;
    return (walk){.images = at->images,
                  .rows = k_max(yb - ya, 0),
                  .columns = k_max(xb - xa, 0),
                  .source = s->data + y * s->pitch + x * s->pixel,
                  .source_image = s->image,
                  .source_row = m->bands.step * s->pitch,
                  .source_column = m->bands.step * s->pixel,
                  .out = ((at->image * m->out_h + oy) * m->out_w + ox) * m->result_pixel,
                  .out_image = m->out_h * m->out_w * m->result_pixel,
                  .out_row = m->phases * m->out_w * m->result_pixel,
                  .out_column = m->phases * m->result_pixel};
}

/* The next position: along the row, then the rows, then the images. */
typedef struct cursor {
    int64_t x, y, source, row_source, image_source, out, row_out, image_out;
} cursor;

K_INLINE void cursor_next(cursor *c, const walk *p)
{
    c->source += p->source_column, c->out += p->out_column;
    if (++c->x < p->columns) return;
    c->x = 0;
    c->source = c->row_source += p->source_row, c->out = c->row_out += p->out_row;
    if (++c->y < p->rows) return;
    c->y = 0;
    c->source = c->row_source = c->image_source += p->source_image;
    c->out = c->row_out = c->image_out += p->out_image;
}

/* One panel over all positions of a walk, a tile at a time, running on over the ends of rows and images. */
static void walk_panel(const walk *p, tile *t, int64_t column, int64_t width, bool dot)
{
    const int64_t positions = p->images * p->rows * p->columns;
    const int most = dot ? dot_rows(t->lanes) : K_ROWS;
    cursor c = {0};
    for (int64_t first = 0; first < positions; first += most) {
        t->count = (int)k_min(positions - first, most);
        for (int i = 0; i < t->count; i++, cursor_next(&c, p)) {
            t->rows[i] = p->source + c.source;
            t->at[i] = p->out + c.out + column;
        }
        for (int i = t->count; i < K_ROWS; i++) t->rows[i] = t->rows[0], t->at[i] = t->at[0];
        if (dot)
            dots[t->lanes - 1](t);
        else
            tile_any(t, width);
    }
}

typedef struct job {
    const map *m;
    const room *r;
    const k_epilogue *e;
    const real *source;
    real *y;
} job;

/* Panels [from, to) of one phase over one band. */
static void run_phase(const job *j, const band *at, const window *s, int phase, int64_t from, int64_t to)
{
    const map *m = j->m;
    const axis v = map_axis(m, phase / m->phases, true), h = map_axis(m, phase % m->phases, false);
    const walk p = phase_walk(m, at, s, &v, &h);
    if (p.rows == 0 || p.columns == 0) return;
    const bool merged = s->pixel == m->c && h.apart == 1;
    tile t = {.terms = {.ky = v.taps,
                        .kx = merged ? 1 : h.taps,
                        .length = merged ? h.taps * m->c : m->c,
                        .pitch = s->pitch * v.apart,
                        .step = s->pixel * h.apart},
              .residual = j->e ? j->e->residual : NULL,
              .y = j->y,
              .relu = j->e && j->e->activation == K_RELU};
    for (int64_t i = from; i < to; i++) {
        const int64_t column = i * K_PANEL, width = k_panel_width(m->b, i);
        t.w = j->r->weights + phase_weights(m, &v, &h) + column * v.taps * h.taps * m->c;
        t.bias = j->r->bias + column;
        t.lanes = k_min(m->b - column, width);
        walk_panel(&p, &t, column, width, m->dot);
    }
}

static void map_run(const map *m, const real *source, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    const int threads = omp_get_max_threads();
    const room r = map_room(m, scratch, threads);
    const job j = {m, &r, e, source, y};
    const int64_t panels = k_blocks(m->b, K_PANEL), items = bands_count(&m->bands);
    /* too few bands for the threads: each band is done in parts, by panels (this changes no sum) */
    const int64_t parts = k_max(k_min(panels, k_blocks(4 * threads, k_max(items, 1))), 1);
    const int64_t chunk = k_blocks(panels, parts);
    for (int64_t i = 0; i < k_panel_columns(m->b); i++) r.bias[i] = i < m->b && e && e->bias ? e->bias[i] : 0;
#pragma omp parallel num_threads(threads)
    {
        real *copy = (real *)(r.band + (size_t)omp_get_thread_num() * r.band_bytes);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels * m->kh * m->kw; i++) pack_weights(m, w, i, r.weights);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < items * parts; i++) {
            const band at = bands_at(&m->bands, i / parts);
            const window s = open_window(m, &at, source, copy);
            const int64_t from = k_min(i % parts * chunk, panels), to = k_min(from + chunk, panels);
            for (int phase = 0; phase < m->phases * m->phases; phase++) run_phase(&j, &at, &s, phase, from, to);
        }
    }
}

/* Group by group: `source` and `result` channels of one. */
static void run_groups(const map *m, int groups, const real *source, const real *w, const k_epilogue *e, real *y,
                       void *scratch)
{
    for (int g = 0; g < groups; g++) {
        k_epilogue own = e ? *e : (k_epilogue){0};
        if (own.bias) own.bias += g * m->b;
        if (own.residual) own.residual += g * m->b;
        map_run(m, source + g * m->c, w + g * (m->transposed ? m->c : m->b), &own, y + g * m->b, scratch);
    }
}

size_t K(conv_forward_scratch)(const k_conv *c)
{
    winograd minimal;
    if (K(depthwise)(c)) return 0;
    if (K(stride2_fits)(c)) return K(stride2_forward_scratch)(c);
    if (K(winograd_forward)(c, &minimal)) return K(winograd_scratch)(&minimal);
    if (K(few_fits)(c, K_FORWARD)) return K(few_scratch)(c, K_FORWARD);
    const map m = forward_map(c);
    return map_room(&m, NULL, omp_get_max_threads()).bytes;
}

void K(conv_forward)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    winograd minimal;
    if (K(depthwise)(c)) {
        K(depthwise_forward)(c, x, w, e, y);
    } else if (K(stride2_fits)(c)) {
        K(stride2_forward)(c, x, w, e, y, scratch);
    } else if (K(winograd_forward)(c, &minimal)) {
        K(winograd_run)(&minimal, x, w, e, y, scratch);
    } else if (K(few_fits)(c, K_FORWARD)) {
        K(few_run)(c, K_FORWARD, x, w, e, y, scratch);
    } else {
        const map m = forward_map(c);
        run_groups(&m, conv_groups(c), x, w, e, y, scratch);
    }
}

size_t K(conv_input_scratch)(const k_conv *c)
{
    winograd minimal;
    if (K(depthwise)(c)) return 0;
    if (K(stride2_fits)(c)) return K(stride2_input_scratch)(c);
    if (K(winograd_input)(c, &minimal)) return K(winograd_scratch)(&minimal);
    if (K(few_fits)(c, K_INPUT)) return K(few_scratch)(c, K_INPUT);
    const map m = input_map(c);
    return map_room(&m, NULL, omp_get_max_threads()).bytes;
}

void K(conv_input)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    winograd minimal;
    if (K(depthwise)(c)) {
        K(depthwise_input)(c, y, w, e, x);
    } else if (K(stride2_fits)(c)) {
        K(stride2_input)(c, y, w, e, x, scratch);
    } else if (K(winograd_input)(c, &minimal)) {
        K(winograd_run)(&minimal, y, w, e, x, scratch);
    } else if (K(few_fits)(c, K_INPUT)) {
        K(few_run)(c, K_INPUT, y, w, e, x, scratch);
    } else {
        const map m = input_map(c);
        run_groups(&m, conv_groups(c), y, w, e, x, scratch);
    }
}
