/* conv_weight: dw[ky,kx,ci,co] = sum over images and positions of x[oy*s + ky - top, ox*s + kx - left, ci] * y[oy,ox,co].
 *
 * The register tile holds `m` rows (input channels, or kx and input channels together where these are few) times a panel
 * of output channels and adds up positions. Both sides are copied once per band so that the tile reads each as one stream:
 *
 *   x   [block of m channels][row][column][m], with the border of zeros; every tap of the kernel reads the same block,
 *       shifted. With few channels: [row][column][channels], and a block of rows is m neighbouring numbers of a kernel row.
 *   y   [panel][position][K_PANEL]
 *
 * The bands of all images are divided into groups; each group adds into its own partial result, and the partial results
 * are added in the order of the groups. The groups follow from the shape alone. */
#include "conv_band.h"
#include "depthwise.h"
#include "stride2.h"
#include "winograd.h"

#include <omp.h>

enum {
    BAND_BYTES = 128 << 10,
    BATCH_POSITIONS = 256, /* positions added up between loading and storing a tile */
    BATCH_MOST = 16,       /* bands in a batch */
    GROUPS_MOST = 16,
    GROUP_POSITIONS = 512,
    FEW_CHANNELS = 8,
};
static const size_t partial_limit = (size_t)64 << 20;

typedef struct plan {
    const k_conv *c; /* of one group */
    int dilation;
    int64_t x_pixel, y_pixel; /* reals from pixel to pixel: of all groups */
    bands bands;
    bool few;                /* kx and input channels make the rows together */
    int m;                   /* rows of a tile */
    int64_t row_blocks;      /* tiles that the rows of one kernel row (few) or one tap take */
    int64_t tiles;           /* row_blocks * kh (few), * kh * kw */
    int64_t panels, columns; /* of output channels */
    int64_t items, batch, groups;
    int64_t x_reals, y_reals; /* copies of one band */
    size_t partial_bytes, thread_bytes;
} plan;

/* Rows of w that the tiles of one block run share, and where they begin. */
static int64_t run_rows(const plan *p) { return p->few ? p->c->kw * p->c->a : p->c->a; }
static int64_t run_of(const plan *p, int64_t tile) { return tile / p->row_blocks * run_rows(p); }

static void plan_bands(plan *p)
{
    const k_conv *c = p->c;
    p->bands = (bands){.n = c->n, .h = c->ho, .w = c->wo, .step = c->stride};
    p->bands.span_h = (c->kh - 1) * p->dilation + 1;
    p->bands.span_w = (c->kw - 1) * p->dilation + 1;
    if (c->kh == 1 && c->kw == 1 && c->stride == 1 && !c->top && !c->left && c->ho == c->h && c->wo == c->w)
        p->bands.h = 1, p->bands.w = c->h * c->w; /* a 1x1 convolution knows no rows */
    p->bands.pixel = p->few ? c->a : p->row_blocks * p->m;
    bands_choose(&p->bands, BAND_BYTES);
    p->bands.together = 1;
    p->x_reals = bands_source(&p->bands, p->bands.band_h, p->bands.band_w) + K_ROWS;
    p->y_reals = p->bands.band_h * p->bands.band_w * p->columns;
}

/* `c` is one group of `all`. */
static plan make_plan(const k_conv *all, const k_conv *c)
{
    const int dilation = conv_dilation(c);
    plan p = {.c = c,
              .dilation = dilation,
              .x_pixel = all->a,
              .y_pixel = all->b,
              .few = c->a < FEW_CHANNELS && dilation == 1,
              .panels = k_blocks(c->b, K_PANEL),
              .columns = k_panel_columns(c->b)};
    p.row_blocks = k_blocks(run_rows(&p), K_ROWS);
    p.m = (int)k_blocks(run_rows(&p), p.row_blocks);
    p.tiles = p.row_blocks * c->kh * (p.few ? 1 : c->kw);
    plan_bands(&p);
    p.items = bands_count(&p.bands);
    const int64_t positions = p.bands.band_h * p.bands.band_w;
    p.batch = k_min(k_min(k_blocks(BATCH_POSITIONS, positions), BATCH_MOST), k_max(p.items, 1));
    p.partial_bytes = k_align((size_t)(p.tiles * p.m * p.columns) * sizeof(real));
    p.groups =
        k_min(k_min(GROUPS_MOST, p.items * positions / GROUP_POSITIONS), (int64_t)(partial_limit / p.partial_bytes));
    p.groups = k_max(k_min(p.groups, p.items), 1);
    p.thread_bytes = k_align((size_t)(p.batch * (p.x_reals + p.y_reals)) * sizeof(real));
    return p;
}

/* ---- copies ------------------------------------------------------------------------------------------------------------ */

/* A band in a thread's scratch. */
typedef struct slot {
    const real *x, *y;
    int64_t rows, columns;  /* positions */
    int64_t x_row, x_block; /* reals from one source row to the next, from one block of channels to the next */
} slot;

/* One row of pixels, `apart` reals from one to the next, as blocks of m channels, `block` apart; the last block is filled up with zeros. */
K_INLINE void split_row(const real *row, int64_t apart, int64_t columns, int64_t channels, const int m, int64_t block,
                        real *to)
{
    const int64_t whole = channels / m, rest = channels % m;
    for (int64_t i = 0; i < whole; i++)
        for (int64_t x = 0; x < columns; x++)
            memcpy(to + i * block + x * m, row + x * apart + i * m, (size_t)m * sizeof(real));
    for (int64_t x = 0; rest && x < columns; x++) {
        memset(to + whole * block + x * m, 0, (size_t)m * sizeof(real));
        memcpy(to + whole * block + x * m, row + x * apart + whole * m, (size_t)rest * sizeof(real));
    }
}

/* One source row of a band (NULL: outside the image), columns from x0 on. */
static void copy_row(const plan *p, const real *row, int64_t w, int64_t x0, int64_t columns, int64_t block, real *to)
{
    const int64_t a = p->c->a;
    if (p->few) {
        bands_copy_row(row, w, a, p->x_pixel, x0, columns, a, to);
        return;
    }
    const int64_t from = row ? k_min(k_max(-x0, 0), columns) : columns, until = k_max(k_min(w - x0, columns), from);
    for (int64_t i = 0; i < p->row_blocks; i++) {
        memset(to + i * block, 0, (size_t)(from * p->m) * sizeof(real));
        memset(to + i * block + until * p->m, 0, (size_t)((columns - until) * p->m) * sizeof(real));
    }
    if (from == until) return;
    if (p->m == K_ROWS)
        split_row(row + (x0 + from) * p->x_pixel, p->x_pixel, until - from, a, K_ROWS, block, to + from * K_ROWS);
    else
        split_row(row + (x0 + from) * p->x_pixel, p->x_pixel, until - from, a, p->m, block, to + from * p->m);
}

/* The source rows of a band, with zeros outside the image. */
static void copy_x(const plan *p, const band *at, const real *x, slot *s, real *to)
{
    const k_conv *c = p->c;
    const bands *b = &p->bands;
    const int64_t h = b->w == c->wo ? c->h : 1, w = c->h * c->w / h; /* rows run together in a 1x1 convolution */
    const int64_t rows = (s->rows - 1) * b->step + b->span_h, columns = (s->columns - 1) * b->step + b->span_w;
    s->x = to;
    s->x_row = columns * (p->few ? c->a : p->m);
    s->x_block = rows * s->x_row;
    for (int64_t y = 0; y < rows; y++) {
        const int64_t iy = at->y0 * b->step - c->top + y;
        const real *row = iy >= 0 && iy < h ? x + (at->image * h + iy) * w * p->x_pixel : NULL;
        copy_row(p, row, w, at->x0 * b->step - c->left, columns, s->x_block, to + y * s->x_row);
    }
    if (p->few) memset(to + rows * s->x_row, 0, K_ROWS * sizeof(real)); /* the last tile of a run reads on */
}

/* `lanes` of the channels of one row of y, whose pixels are `channels` apart, filled up with zeros to `width`. */
K_INLINE void gather_row(const real *row, int64_t columns, int64_t channels, const int64_t lanes, const int64_t width,
                         real *to)
{
    for (int64_t x = 0; x < columns; x++) {
        memcpy(to + x * width, row + x * channels, (size_t)lanes * sizeof(real));
        if (lanes < width) memset(to + x * width + lanes, 0, (size_t)(width - lanes) * sizeof(real));
    }
}

/* Panels [from, to) of a band of y. */
static void copy_y(const plan *p, const band *at, const real *y, int64_t from, int64_t to_panel, slot *s, real *to)
{
    const int64_t b = p->c->b, w = p->bands.w, pixel = p->y_pixel;
    y += (at->image * p->c->ho * p->c->wo + at->y0 * w + at->x0) * pixel;
    s->y = to;
    for (int64_t panel = from; panel < to_panel; panel++) {
        const int64_t first = panel * K_PANEL, width = k_panel_width(b, panel), lanes = k_min(b - first, width);
        for (int64_t i = 0; i < s->rows; i++) {
            real *row = to + (first * s->rows + i * width) * s->columns;
            if (lanes == K_PANEL)
                gather_row(y + i * w * pixel + first, s->columns, pixel, K_PANEL, K_PANEL, row);
            else
                gather_row(y + i * w * pixel + first, s->columns, pixel, lanes, width, row);
        }
    }
}

/* ---- the register tile -------------------------------------------------------------------------------------------------- */

typedef struct weight_tile {
    const slot *slots;
    int64_t count;         /* of slots */
    int64_t block, ky, kx; /* x: block of channels, kernel row; kx in reals from the row's begin */
    int64_t shift;
    int64_t step; /* reals between the source pixels of neighbouring positions */
    int64_t stride;
    int64_t first; /* first column of the panel */
    real *sum;     /* [m][width], added to */
} weight_tile;

K_INLINE void weight_run(const weight_tile *t, const int m, const int vectors)
{
    kv sum[K_ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
        for (int v = 0; v < vectors; v++) sum[i][v] = k_load(t->sum + (i * vectors + v) * VL);
    for (int64_t j = 0; j < t->count; j++) {
        const slot *s = t->slots + j;
        const real *y = s->y + t->first * s->rows * s->columns;
        for (int64_t row = 0; row < s->rows; row++) {
            const real *x = s->x + t->block * s->x_block + (row * t->stride + t->ky) * s->x_row + t->shift;
            for (int64_t i = 0; i < s->columns; i++, x += t->step, y += vectors * VL) {
                kv y0 = k_load(y), y1 = vectors > 1 ? k_load(y + VL) : (kv){0};
#pragma GCC unroll 8
                for (int r = 0; r < m; r++) {
                    sum[r][0] += y0 * x[r];
                    if (vectors > 1) sum[r][1] += y1 * x[r];
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
        for (int v = 0; v < vectors; v++) k_store(t->sum + (i * vectors + v) * VL, sum[i][v]);
}

#define WEIGHT_TILE(m)                                                                                                 \
    static void weight_##m##_2(const weight_tile *t) { weight_run(t, m, 2); }                                          \
    static void weight_##m##_1(const weight_tile *t) { weight_run(t, m, 1); }
WEIGHT_TILE(1)
WEIGHT_TILE(2)
WEIGHT_TILE(3)
WEIGHT_TILE(4)
WEIGHT_TILE(5)
WEIGHT_TILE(6)
#if K_ROWS > 6
WEIGHT_TILE(7)
WEIGHT_TILE(8)
#endif

static void (*const weight_tiles[K_ROWS][2])(const weight_tile *) = {
    {weight_1_1, weight_1_2}, {weight_2_1, weight_2_2}, {weight_3_1, weight_3_2},
    {weight_4_1, weight_4_2}, {weight_5_1, weight_5_2}, {weight_6_1, weight_6_2},
#if K_ROWS > 6
    {weight_7_1, weight_7_2}, {weight_8_1, weight_8_2},
#endif
};

/* ---- the walk -------------------------------------------------------------------------------------------------------------- */

/* Where a tile of a panel is in a partial result: [panel][tile][m][width]. */
static int64_t partial_at(const plan *p, int64_t panel, int64_t tile)
{
    return p->tiles * p->m * panel * K_PANEL + tile * p->m * k_panel_width(p->c->b, panel);
}

static void add_batch(const plan *p, const slot *slots, int64_t count, int64_t from, int64_t to, real *partial)
{
    const k_conv *c = p->c;
    weight_tile t = {.slots = slots, .count = count, .stride = c->stride, .step = c->stride * (p->few ? c->a : p->m)};
    for (int64_t panel = from; panel < to; panel++) {
        t.first = panel * K_PANEL;
        const int vectors = k_panel_width(c->b, panel) > VL;
        /* the taps of one block of channels follow each other: they read the same copy */
        for (int64_t block = 0; block < p->row_blocks; block++)
            for (int64_t run = 0; run < p->tiles / p->row_blocks; run++) {
                t.block = p->few ? 0 : block;
                t.ky = p->few ? run : run / c->kw * p->dilation;
                t.shift = p->few ? block * p->m : run % c->kw * p->dilation * p->m;
                t.sum = partial + partial_at(p, panel, run * p->row_blocks + block);
                weight_tiles[p->m - 1][vectors](&t);
            }
    }
}

/* Panels [from, to) of one group: its bands, batch by batch. */
static void run_group(const plan *p, int64_t group, int64_t from, int64_t to, const real *x, const real *y,
                      real *partial, real *copies)
{
    const int64_t first = p->items * group / p->groups, last = p->items * (group + 1) / p->groups;
    const int64_t begin = partial_at(p, from, 0),
                  end = to == p->panels ? p->tiles * p->m * p->columns : partial_at(p, to, 0);
    slot slots[BATCH_MOST];
    memset(partial + begin, 0, (size_t)(end - begin) * sizeof(real));
    for (int64_t i = first; i < last; i += p->batch) {
        const int64_t count = k_min(p->batch, last - i);
        for (int64_t j = 0; j < count; j++) {
            const band at = bands_at(&p->bands, i + j);
            real *copy = copies + j * (p->x_reals + p->y_reals);
            slots[j] = (slot){.rows = at.y1 - at.y0, .columns = at.x1 - at.x0};
            copy_x(p, &at, x, &slots[j], copy);
            copy_y(p, &at, y, from, to, &slots[j], copy + p->x_reals);
        }
        add_batch(p, slots, count, from, to, partial);
    }
}

/* One tile of one panel: the partial results added in order. */
static void add_groups(const plan *p, const char *partials, int64_t panel, int64_t tile, real *w)
{
    const int64_t b = p->c->b, width = k_panel_width(b, panel), lanes = k_min(b - panel * K_PANEL, width);
    const int64_t first = tile % p->row_blocks * p->m, rows = k_min(p->m, run_rows(p) - first);
    const real *from = (const real *)partials + partial_at(p, panel, tile);
    const size_t apart = p->partial_bytes / sizeof(real);
    real *to = w + (run_of(p, tile) + first) * p->y_pixel + panel * K_PANEL;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j += VL) {
            kv sum = {0};
            for (int64_t g = 0; g < p->groups; g++) sum += k_load(from + (size_t)g * apart + r * width + j);
            memcpy(to + r * p->y_pixel + j, &sum, (size_t)k_max(k_min(lanes - j, VL), 0) * sizeof(real));
        }
}

static void run_one(const plan *p, const real *x, const real *y, real *w, void *scratch)
{
    const int threads = omp_get_max_threads();
    char *partials = k_align_pointer(scratch), *copies = partials + (size_t)p->groups * p->partial_bytes;
    /* fewer groups than threads: a group is done in parts, by panels (this changes no sum) */
    const int64_t parts = k_min(p->panels, k_blocks(threads, p->groups)), chunk = k_blocks(p->panels, parts);
#pragma omp parallel num_threads(threads)
    {
        real *copy = (real *)(copies + (size_t)omp_get_thread_num() * p->thread_bytes);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < p->groups * parts; i++) {
            const int64_t group = i / parts, from = k_min(i % parts * chunk, p->panels),
                          to = k_min(from + chunk, p->panels);
            real *partial = (real *)(partials + (size_t)group * p->partial_bytes);
            if (from < to) run_group(p, group, from, to, x, y, partial, copy);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p->panels * p->tiles; i++) add_groups(p, partials, i / p->tiles, i % p->tiles, w);
    }
}

/* One group of the convolution. */
static k_conv part_of(const k_conv *c)
{
    k_conv one = *c;
    one.a /= conv_groups(c);
    one.b /= conv_groups(c);
    one.groups = 1;
    return one;
}

/* ---- few output channels ------------------------------------------------------------------------------------------------- */

/* With few output channels most of a panel would be empty. The same sum is the weight gradient of the convolution that goes from y to x:
 * dw[ky,kx,ci,co] = sum of y[iy + (kh-1-ky) - (kh-1-top), ...,co] * x[iy,ix,ci]. */
static bool turned(const k_conv *c)
{
    return c->b < FEW_CHANNELS && c->a >= K_PANEL && c->stride == 1 && conv_groups(c) == 1;
}

static k_conv turn(const k_conv *c)
{
    k_conv t = *c;
    t.h = c->ho, t.w = c->wo, t.a = c->b;
    t.ho = c->h, t.wo = c->w, t.b = c->a;
    t.top = (c->kh - 1) * conv_dilation(c) - c->top, t.left = (c->kw - 1) * conv_dilation(c) - c->left;
    return t;
}

/* w [kh,kw,a,b] from the gradient of the turned convolution [kh,kw,b,a], whose taps go backwards. */
static void turn_back(const k_conv *c, const real *from, real *w)
{
    const int64_t taps = c->kh * c->kw;
    for (int64_t tap = 0; tap < taps; tap++)
        for (int64_t i = 0; i < c->a; i++)
            for (int64_t j = 0; j < c->b; j++)
                w[(tap * c->a + i) * c->b + j] = from[((taps - 1 - tap) * c->b + j) * c->a + i];
}

static size_t turned_bytes(const k_conv *c) { return k_align((size_t)(c->kh * c->kw * c->a * c->b) * sizeof(real)); }

size_t K(conv_weight_scratch)(const k_conv *c)
{
    winograd minimal;
    if (K(depthwise)(c)) return K(depthwise_weight_scratch)(c);
    if (K(stride2_fits)(c)) return K(stride2_weight_scratch)(c);
    if (K(winograd_weight)(c, &minimal)) return K(winograd_weight_scratch)(&minimal);
    const k_conv part = turned(c) ? turn(c) : part_of(c);
    const plan p = make_plan(turned(c) ? &part : c, &part);
    return 64 + (turned(c) ? turned_bytes(c) : 0) + (size_t)p.groups * p.partial_bytes +
           (size_t)omp_get_max_threads() * p.thread_bytes;
}

void K(conv_weight)(const k_conv *c, const real *x, const real *y, real *w, void *scratch)
{
    winograd minimal;
    if (K(depthwise)(c)) {
        K(depthwise_weight)(c, x, y, w, scratch);
    } else if (K(stride2_fits)(c)) {
        K(stride2_weight)(c, x, y, w, scratch);
    } else if (K(winograd_weight)(c, &minimal)) {
        K(winograd_weight_run)(&minimal, x, y, w, scratch);
    } else if (turned(c)) {
        const k_conv other = turn(c);
        const plan p = make_plan(&other, &other);
        real *from = (real *)k_align_pointer(scratch);
        run_one(&p, y, x, from, (char *)from + turned_bytes(c));
        turn_back(c, from, w);
    } else {
        const k_conv one = part_of(c);
        const plan p = make_plan(c, &one);
        for (int g = 0; g < conv_groups(c); g++) run_one(&p, x + g * one.a, y + g * one.b, w + g * one.b, scratch);
    }
}
