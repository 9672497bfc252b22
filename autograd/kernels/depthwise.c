/* Depthwise convolution: every channel has its own kernel, y[oy,ox,i] = sum x[oy*s + ky*d - top, ox*s + kx*d - left, i] * w[ky,kx,i].
 *
 * Vectors run along the channels. A pixel of the result is a sum over those taps that meet the image, kept in registers for
 * two vectors of channels at a time. The transpose is the same sum, with the taps that lead from its pixel to a y. The
 * weight gradient sums the rows of the images in groups that follow from the shape, and the groups in order. */
#include "depthwise.h"
#include "conv_band.h"

enum { PARALLEL_LEAST = 8192, WEIGHT_GROUPS = 16 };

/* Source positions along one axis that meet one result position, and which tap each is. */
typedef struct meeting {
    int count;
    int64_t at[DEPTHWISE_TAPS];
    int tap[DEPTHWISE_TAPS];
} meeting;

static void meet(const k_conv *c, bool transposed, bool vertical, int64_t o, meeting *m)
{
    const int64_t size = vertical ? (transposed ? c->ho : c->h) : (transposed ? c->wo : c->w);
    const int taps = vertical ? c->kh : c->kw, pad = vertical ? c->top : c->left, d = conv_dilation(c);
    m->count = 0;
    for (int tap = 0; tap < taps; tap++) {
        int64_t at = transposed ? o + pad - tap * d : o * c->stride + tap * d - pad;
        if (at < 0 || (transposed && at % c->stride)) continue;
        if (transposed) at /= c->stride;
        if (at >= size) continue;
        m->at[m->count] = at;
        m->tap[m->count++] = tap;
    }
}

typedef struct pixel {
    const k_conv *c;
    const meeting *v, *h;
    int64_t width; /* source pixels in a row */
    const real *image, *w, *bias, *residual;
    real *y;
    bool relu;
} pixel;

/* What is added to a sum and done to it. */
K_INLINE void finish(const pixel *p, kv sum, int64_t at)
{
    if (p->bias) sum += k_load(p->bias + at);
    if (p->residual) sum += k_load(p->residual + at);
    k_store(p->y + at, p->relu ? k_relu_vector(sum) : sum);
}

/* `n` vectors of channels from `i` on. */
K_INLINE void pixel_vectors(const pixel *p, const int n, int64_t i)
{
    const int64_t channels = p->c->a;
    kv sum[2] = {{0}, {0}};
    for (int v = 0; v < p->v->count; v++) {
        const real *row = p->image + p->v->at[v] * p->width * channels + i;
        const real *w = p->w + (int64_t)p->v->tap[v] * p->c->kw * channels + i;
        for (int h = 0; h < p->h->count; h++)
            for (int j = 0; j < n; j++)
                sum[j] += k_load(row + p->h->at[h] * channels + j * VL) * k_load(w + p->h->tap[h] * channels + j * VL);
    }
    for (int j = 0; j < n; j++) finish(p, sum[j], i + j * VL);
}

enum { ACROSS = 4 }; /* neighbouring pixels that share what they load */

/* ACROSS pixels and a vector of channels of a kernel three wide, stride 1: the sources of a row are `first` to first + ACROSS + 1, met
 * by the taps from left to right, or from right to left. */
K_INLINE void pixels_vector(pixel p, int64_t first, bool backwards, int64_t i)
{
    const int64_t channels = p.c->a;
    kv sum[ACROSS] = {0};
    for (int v = 0; v < p.v->count; v++) {
        const real *row = p.image + (p.v->at[v] * p.width + first) * channels + i;
        const real *w = p.w + (int64_t)p.v->tap[v] * 3 * channels + i;
        const kv ends[2] = {k_load(w), k_load(w + 2 * channels)}, middle = k_load(w + channels);
        kv x[ACROSS + 2];
#pragma GCC unroll 6
        for (int o = 0; o < ACROSS + 2; o++) x[o] = k_load(row + o * channels);
        if (v + 1 == p.v->count) /* what the next blocks of this row will be the first to read */
            for (int o = 0; o < ACROSS; o++) __builtin_prefetch(row + (2 * ACROSS + 2 + o) * channels);
#pragma GCC unroll 4
        for (int o = 0; o < ACROSS; o++)
            sum[o] += x[o] * ends[backwards] + x[o + 1] * middle + x[o + 2] * ends[!backwards];
    }
    for (int o = 0; o < ACROSS; o++, p.y += channels) {
        finish(&p, sum[o], i);
        if (p.residual) p.residual += channels;
    }
}

static void pixel_single(const pixel *p, int64_t i)
{
    const int64_t channels = p->c->a;
    real sum = 0;
    for (int v = 0; v < p->v->count; v++)
        for (int h = 0; h < p->h->count; h++)
            sum += p->image[(p->v->at[v] * p->width + p->h->at[h]) * channels + i] *
                   p->w[((int64_t)p->v->tap[v] * p->c->kw + p->h->tap[h]) * channels + i];
    if (p->bias) sum += p->bias[i];
    if (p->residual) sum += p->residual[i];
    p->y[i] = p->relu && sum < 0 ? 0 : sum;
}

static void map_row(const k_conv *c, bool transposed, const real *x, const real *w, const k_epilogue *e, real *y,
                    int64_t row)
{
    const int64_t high = transposed ? c->h : c->ho, wide = transposed ? c->w : c->wo;
    const int64_t source_h = transposed ? c->ho : c->h, source_w = transposed ? c->wo : c->w;
    meeting v, h;
    meet(c, transposed, true, row % high, &v);
    pixel p = {.c = c, .v = &v, .h = &h, .width = source_w, .w = w, .bias = e ? e->bias : NULL};
    p.image = x + row / high * source_h * source_w * c->a;
    p.relu = e && e->activation == K_RELU;
    const bool three = c->kw == 3 && c->stride == 1 && conv_dilation(c) == 1 && c->a % VL == 0;
    for (int64_t o = 0; o < wide; o++) {
        const int64_t at = (row * wide + o) * c->a, first = transposed ? o + c->left - 2 : o - c->left;
        p.y = y + at;
        p.residual = e && e->residual ? e->residual + at : NULL;
        if (three && first >= 0 && first + ACROSS + 2 <= source_w && o + ACROSS <= wide) {
            if (transposed)
                for (int64_t i = 0; i < c->a; i += VL) pixels_vector(p, first, true, i);
            else
                for (int64_t i = 0; i < c->a; i += VL) pixels_vector(p, first, false, i);
            o += ACROSS - 1;
            continue;
        }
        meet(c, transposed, false, o, &h);
        int64_t i = 0;
        for (; i + 2 * VL <= c->a; i += 2 * VL) pixel_vectors(&p, 2, i);
        for (; i + VL <= c->a; i += VL) pixel_vectors(&p, 1, i);
        for (; i < c->a; i++) pixel_single(&p, i);
    }
}

void K(depthwise_forward)(const k_conv *c, const real *x, const real *w, const k_epilogue *e, real *y)
{
#pragma omp parallel for schedule(static) if (c->n * c->ho * c->wo * c->b > PARALLEL_LEAST)
    for (int64_t row = 0; row < c->n * c->ho; row++) map_row(c, false, x, w, e, y, row);
}

void K(depthwise_input)(const k_conv *c, const real *y, const real *w, const k_epilogue *e, real *x)
{
#pragma omp parallel for schedule(static) if (c->n * c->h * c->w * c->a > PARALLEL_LEAST)
    for (int64_t row = 0; row < c->n * c->h; row++) map_row(c, true, y, w, e, x, row);
}

/* ---- the weight gradient ------------------------------------------------------------------------------------------------ */

static int64_t weight_groups(const k_conv *c) { return k_min(WEIGHT_GROUPS, c->n * c->ho); }

size_t K(depthwise_weight_scratch)(const k_conv *c)
{
    return 64 + (size_t)weight_groups(c) * k_align((size_t)((int64_t)c->kh * c->kw * c->a) * sizeof(real));
}

/* sum of one tap += one row of y times its row of x, positions [from, to). */
static void tap_row(const k_conv *c, const real *x, const real *y, int64_t from, int64_t to, real *sum)
{
    const int64_t channels = c->a, step = c->stride * channels;
    int64_t i = 0;
    for (; i + VL <= channels; i += VL) {
        kv s = k_load(sum + i);
        for (int64_t o = from; o < to; o++) s += k_load(x + o * step + i) * k_load(y + o * channels + i);
        k_store(sum + i, s);
    }
    for (; i < channels; i++)
        for (int64_t o = from; o < to; o++) sum[i] += x[o * step + i] * y[o * channels + i];
}

/* The same for three neighbouring taps; stride 1, whole vectors of channels. x is the first tap's. */
static void three_taps_row(int64_t channels, const real *x, const real *y, int64_t from, int64_t to, real *sum)
{
    for (int64_t i = 0; i < channels; i += VL) {
        kv s[2][3] = {{k_load(sum + i), k_load(sum + channels + i), k_load(sum + 2 * channels + i)}};
        kv x0 = k_load(x + from * channels + i), x1 = k_load(x + (from + 1) * channels + i);
        int64_t o = from;
        for (; o + 2 <= to; o += 2) {
            const kv x2 = k_load(x + (o + 2) * channels + i), x3 = k_load(x + (o + 3) * channels + i);
            const kv y0 = k_load(y + o * channels + i), y1 = k_load(y + (o + 1) * channels + i);
            s[0][0] += x0 * y0, s[0][1] += x1 * y0, s[0][2] += x2 * y0;
            s[1][0] += x1 * y1, s[1][1] += x2 * y1, s[1][2] += x3 * y1;
            x0 = x2, x1 = x3;
        }
        if (o < to) {
            const kv y0 = k_load(y + o * channels + i);
            s[0][0] += x0 * y0, s[0][1] += x1 * y0, s[0][2] += k_load(x + (o + 2) * channels + i) * y0;
        }
        for (int t = 0; t < 3; t++) k_store(sum + t * channels + i, s[0][t] + s[1][t]);
    }
}

static void weight_row(const k_conv *c, const real *x, const real *y, int64_t row, real *sum)
{
    const int d = conv_dilation(c);
    const real *image = x + row / c->ho * c->h * c->w * c->a;
    y += row * c->wo * c->a;
    for (int ky = 0; ky < c->kh; ky++) {
        const int64_t iy = row % c->ho * c->stride + ky * d - c->top;
        if (iy < 0 || iy >= c->h) continue;
        const int64_t inner = k_max(c->left, 0), outer = k_min(c->w - 2 + c->left, c->wo); /* where three taps meet x */
        const bool three = c->kw == 3 && c->stride == 1 && d == 1 && c->a % VL == 0 && inner + 1 < outer;
        if (three) three_taps_row(c->a, image + (iy * c->w - c->left) * c->a, y, inner, outer, sum + ky * 3 * c->a);
        for (int kx = 0; kx < c->kw; kx++) {
            const int64_t shift = (int64_t)kx * d - c->left; /* ix = o * stride + shift, in [0, w) */
            const int64_t from = shift < 0 ? k_blocks(-shift, c->stride) : 0;
            const int64_t to = c->w > shift ? k_min(k_blocks(c->w - shift, c->stride), c->wo) : 0;
            const real *source = image + (iy * c->w + shift) * c->a;
            real *own = sum + (ky * c->kw + kx) * c->a;
            if (from < k_min(to, three ? inner : to)) tap_row(c, source, y, from, k_min(to, three ? inner : to), own);
            if (three && k_max(from, outer) < to) tap_row(c, source, y, k_max(from, outer), to, own);
        }
    }
}

void K(depthwise_weight)(const k_conv *c, const real *x, const real *y, real *w, void *scratch)
{
    const int64_t groups = weight_groups(c), rows = c->n * c->ho, size = (int64_t)c->kh * c->kw * c->a;
    const size_t apart = k_align((size_t)size * sizeof(real)) / sizeof(real);
    real *partial = (real *)k_align_pointer(scratch);
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
        for (int64_t g = 0; g < groups; g++) {
            real *sum = partial + (size_t)g * apart;
            memset(sum, 0, (size_t)size * sizeof *sum);
            for (int64_t row = rows * g / groups; row < rows * (g + 1) / groups; row++) weight_row(c, x, y, row, sum);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < size; i++) {
            real sum = 0;
            for (int64_t g = 0; g < groups; g++) sum += partial[(size_t)g * apart + (size_t)i];
            w[i] = sum;
        }
    }
}
