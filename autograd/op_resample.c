/* resample  y[oy,ox] = sum over iy, ix of R[oy,iy] C[ox,ix] x[iy,ix]        dx = the same with R^T and C^T
 *
 * R and C are tables of a few neighbouring weights per row (k_taps), made when the graph is built together with their
 * transposes. Resizing, pooling by averages and separable filters are all this one op with other tables:
 *
 *   nearest    floor(o * in / out)
 *   area       mean of floor(o*in/out) .. ceil((o+1)*in/out) - 1 (adaptive average pooling)
 *   bilinear   half-pixel centres: position (o + 1/2) in/out - 1/2, edges repeated
 *   bicubic    the same centres, cubic convolution with a = -0.75 (Keys 1981), edges repeated
 *   antialias  triangle, or cubic with a = -0.5, widened by in/out where that is above 1; weights inside the image, made
 *              to sum to 1 */
#include "engine.h"

#include <math.h>
#include <string.h>

typedef struct table {
    k_taps taps, back; /* the map and its transpose */
} table;

/* ---- tables ----------------------------------------------------------------------------------------------------- */

/* Rows of at most `width` weights, all empty; start NULL if out of memory. */
static k_taps taps_new(ag_graph *g, int64_t in, int64_t out, int64_t width)
{
    if (width > in) width = in;
    int64_t *start = ag__alloc(g, (size_t)out * sizeof *start);
    int32_t *count = ag__alloc(g, (size_t)out * sizeof *count);
    real *weight = ag__alloc(g, (size_t)(out * width) * sizeof *weight);
    k_taps t = {.in = in, .out = out, .width = (int)width, .start = start, .count = count, .weight = weight};
    if (!count || !weight) t.start = NULL;
    return t;
}

/* The table owns its memory until it is in an op. */
static int64_t *taps_start(const k_taps *t) { return (int64_t *)(uintptr_t)t->start; }
static int32_t *taps_count(const k_taps *t) { return (int32_t *)(uintptr_t)t->count; }
static real *taps_weight(const k_taps *t) { return (real *)(uintptr_t)t->weight; }

/* Row o: weights for `from`, from + 1, ...; those outside the axis go to its ends (clamp) or are dropped. */
static void taps_row(k_taps *t, int64_t o, int64_t from, int n, const double *weight, bool clamp)
{
    int64_t first = from < 0 ? 0 : from, last = from + n - 1 < t->in - 1 ? from + n - 1 : t->in - 1;
    if (clamp && first > t->in - 1) first = t->in - 1;
    if (clamp && last < 0) last = 0;
    taps_start(t)[o] = last < first ? 0 : first;
    taps_count(t)[o] = last < first ? 0 : (int32_t)(last - first + 1);
    for (int j = 0; j < n; j++) {
        int64_t at = from + j;
        if (clamp) at = at < 0 ? 0 : at >= t->in ? t->in - 1 : at;
        if (at >= first && at <= last) taps_weight(t)[o * t->width + at - first] += (real)weight[j];
    }
}

static bool taps_identity(const k_taps *t)
{
    for (int64_t o = 0; o < t->out; o++)
        if (t->in != t->out || t->start[o] != o || t->count[o] != 1 || t->weight[o * t->width] != 1) return false;
    return true;
}

static k_taps taps_transpose(ag_graph *g, const k_taps *t)
{
    int64_t width = 1;
    for (int pass = 0;; pass++) {
        k_taps b = pass ? taps_new(g, t->out, t->in, width) : (k_taps){0};
        if (pass && !b.start) return b;
        for (int64_t i = 0, low = 0; i < t->in; i++) {
            int64_t first = -1, last = -1;
            while (low < t->out && t->start[low] + t->count[low] <= i) low++; /* windows move on, so these are done */
            for (int64_t o = low; o < t->out && (t->start[o] <= i || !t->count[o]); o++) {
                if (t->start[o] > i || t->start[o] + t->count[o] <= i) continue;
                if (first < 0) first = o;
                last = o;
            }
            if (first < 0) continue;
            if (last - first + 1 > width) width = last - first + 1;
            if (!pass) continue;
            taps_start(&b)[i] = first;
            taps_count(&b)[i] = (int32_t)(last - first + 1);
            for (int64_t o = first; o <= last; o++)
                if (t->start[o] <= i && i < t->start[o] + t->count[o])
                    taps_weight(&b)[i * b.width + o - first] = t->weight[o * t->width + i - t->start[o]];
        }
        if (pass) return b;
    }
}

/* The table with its transpose, ready for an op; NULL start if out of memory. */
static table taps_finish(ag_graph *g, k_taps t)
{
    table both = {.taps = t};
    if (!t.start) return both;
    both.taps.identity = taps_identity(&t);
    both.back = taps_transpose(g, &t);
    both.back.identity = both.taps.identity;
    if (!both.back.start) both.taps.start = NULL;
    return both;
}

static table identity_table(ag_graph *g, int64_t n)
{
    k_taps t = taps_new(g, n, n, 1);
    for (int64_t i = 0; t.start && i < n; i++) taps_row(&t, i, i, 1, (double[]){1}, false);
    return taps_finish(g, t);
}

/* ---- resizing --------------------------------------------------------------------------------------------------- */

enum { MANY = 1 << 12 }; /* weights of one row while it is made */

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double triangle(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static bool antialiased(ag_resize_mode mode) { return mode == AG_BILINEAR_ANTIALIAS || mode == AG_BICUBIC_ANTIALIAS; }

/* Half the width of the filter in source pixels. */
static double support(ag_resize_mode mode, double scale)
{
    return (mode == AG_BICUBIC_ANTIALIAS ? 2 : 1) * (scale > 1 ? scale : 1);
}

static void antialiased_row(k_taps *t, int64_t o, double scale, ag_resize_mode mode, double *w)
{
    const double centre = scale * ((double)o + 0.5), reach = support(mode, scale), narrow = scale > 1 ? 1 / scale : 1;
    int64_t from = (int64_t)(centre - reach + 0.5), to = (int64_t)(centre + reach + 0.5);
    double total = 0;
    if (centre - reach + 0.5 < 0) from = 0;
    if (to > t->in) to = t->in;
    const int n = (int)(to - from);
    for (int j = 0; j < n; j++) {
        const double x = ((double)(from + j) - centre + 0.5) * narrow;
        total += w[j] = mode == AG_BICUBIC_ANTIALIAS ? cubic(x, -0.5) : triangle(x);
    }
    for (int j = 0; j < n; j++) w[j] /= total;
    taps_row(t, o, from, n, w, false);
}

static void resize_row(k_taps *t, int64_t o, ag_resize_mode mode, double *w)
{
    const double scale = (double)t->in / (double)t->out, at = scale * ((double)o + 0.5) - 0.5;
    const int64_t first = (o * t->in) / t->out, last = ((o + 1) * t->in + t->out - 1) / t->out;
    switch (mode) {
    case AG_NEAREST: taps_row(t, o, first, 1, (double[]){1}, true); break;
    case AG_AREA:
        for (int64_t i = first; i < last; i++) w[i - first] = 1.0 / (double)(last - first);
        taps_row(t, o, first, (int)(last - first), w, true);
        break;
    case AG_BILINEAR: {
        const double place = at < 0 ? 0 : at, part = place - floor(place);
        taps_row(t, o, (int64_t)place, 2, (double[]){1 - part, part}, true);
        break;
    }
    case AG_BICUBIC: {
        const double part = at - floor(at);
        for (int j = 0; j < 4; j++) w[j] = cubic(part - (j - 1), -0.75);
        taps_row(t, o, (int64_t)floor(at) - 1, 4, w, true);
        break;
    }
    case AG_BILINEAR_ANTIALIAS:
    case AG_BICUBIC_ANTIALIAS: antialiased_row(t, o, scale, mode, w); break;
    }
}

static int64_t resize_width(ag_resize_mode mode, int64_t in, int64_t out)
{
    if (antialiased(mode)) return 2 * (int64_t)ceil(support(mode, (double)in / (double)out)) + 1;
    return mode == AG_AREA ? in / out + 2 : mode == AG_BICUBIC ? 4 : mode == AG_BILINEAR ? 2 : 1;
}

static table resize_table(ag_graph *g, int64_t in, int64_t out, ag_resize_mode mode)
{
    const int64_t width = resize_width(mode, in, out);
    k_taps t = taps_new(g, in, out, width);
    double *w = ag__alloc(g, (size_t)(width + 4) * sizeof *w);
    for (int64_t o = 0; t.start && w && o < out; o++) resize_row(&t, o, mode, w);
    return taps_finish(g, t);
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

/* Row o sums `weight` from o * stride - pad on; `mean`: made to sum to 1 over what is inside. */
static table window_table(ag_graph *g, int64_t in, int64_t out, int n, const double *weight, int stride, int pad,
                          bool mean)
{
    k_taps t = taps_new(g, in, out, n);
    for (int64_t o = 0; t.start && o < out; o++) {
        taps_row(&t, o, o * stride - pad, n, weight, false);
        double total = 0;
        for (int j = 0; j < t.count[o]; j++) total += (double)t.weight[o * t.width + j];
        for (int j = 0; mean && j < t.count[o]; j++) taps_weight(&t)[o * t.width + j] /= (real)total;
    }
    return taps_finish(g, t);
}

/* ---- the op ----------------------------------------------------------------------------------------------------- */

typedef struct maps {
    table v, h;
} maps;

static ag_err resample_shape(ag_tensor *y)
{
    const maps *m = y->attr;
    const ag_tensor *x = y->in[0];
    const ag_err err = ag__check_type(x, AG_REAL, "the input");
    if (err) return err;
    if (!m->v.taps.start || !m->h.taps.start) return ag_fail(AG_ERR_MEMORY, "out of memory for its weights");
    return ag__shape_set(y, 4, (int64_t[]){x->shape[0], m->v.taps.out, m->h.taps.out, x->shape[3]});
}

static void resample_run(const ag_tensor *y)
{
    const maps *m = y->attr;
    k.resample(y->shape[0], &m->v.taps, &m->h.taps, y->shape[3], ag__in(y, 0), y->data, y->scratch);
}

static void resample_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    const maps *m = y->attr;
    const maps back = {{m->v.back, m->v.taps}, {m->h.back, m->h.taps}};
    dx[0] = ag__node(AG__OP_resample, 1, &dy, &back, sizeof back);
}

static double resample_flops(const ag_tensor *y)
{
    const maps *m = y->attr;
    double rows = 0, columns = 0;
    for (int64_t i = 0; i < m->v.taps.out; i++) rows += m->v.taps.count[i];
    for (int64_t i = 0; i < m->h.taps.out; i++) columns += m->h.taps.count[i];
    const double in = rows * (double)m->h.taps.in, out = columns * (double)m->v.taps.out;
    return 2 * (double)(y->shape[0] * y->shape[3]) * (in + out);
}

static size_t resample_scratch(const ag_tensor *y)
{
    const maps *m = y->attr;
    return k.resample_scratch(&m->v.taps, &m->h.taps, y->shape[3]);
}

const ag__rule ag__resample = {.shape = resample_shape,
                               .run = resample_run,
                               .gradient = resample_gradient,
                               .flops = resample_flops,
                               .scratch = resample_scratch};

static bool images(const ag_tensor *x, const char *name)
{
    if (!x || x->graph->error) return false;
    if (x->rank == 4) return true;
    ag__mistake(x->graph, name, "%s is not [N,H,W,C]", ag__shape_text(x));
    return false;
}

static ag_tensor *apply(ag_tensor *x, table v, table h)
{
    const maps m = {v, h};
    if (v.taps.identity && h.taps.identity) return x;
    return ag__node(AG__OP_resample, 1, &x, &m, sizeof m);
}

ag_tensor *ag_resize(ag_tensor *x, int64_t h, int64_t w, ag_resize_mode mode)
{
    if (!images(x, "resize")) return NULL;
    if (h < 1 || w < 1 || h > INT32_MAX || w > INT32_MAX || (unsigned)mode > AG_BICUBIC_ANTIALIAS)
        return ag__mistake(x->graph, "resize", "%s to %lld x %lld in mode %d", ag__shape_text(x), (long long)h,
                           (long long)w, (int)mode);
    return apply(x, resize_table(x->graph, x->shape[1], h, mode), resize_table(x->graph, x->shape[2], w, mode));
}

/* Result size of windows of n at `stride` over `in` with pads; 0: none. */
static int64_t windows(int64_t in, int n, int stride, int pads)
{
    return n < 1 || stride < 1 || in + pads < n ? 0 : (in + pads - n) / stride + 1;
}

ag_tensor *ag_filter2d(ag_tensor *x, int n, const double *taps, int stride, int before, int after)
{
    if (!images(x, "filter2d")) return NULL;
    if (!stride) stride = 1;
    const int64_t h = windows(x->shape[1], n, stride, before + after),
                  w = windows(x->shape[2], n, stride, before + after);
    if (before < 0 || after < 0 || !h || !w)
        return ag__mistake(x->graph, "filter2d", "%d taps of stride %d, pad %d and %d, on %s", n, stride, before, after,
                           ag__shape_text(x));
    return apply(x, window_table(x->graph, x->shape[1], h, n, taps, stride, before, false),
                 window_table(x->graph, x->shape[2], w, n, taps, stride, before, false));
}

ag_tensor *ag_avg_pool2d(ag_tensor *x, const ag_pool2d_options *o)
{
    double weight[MANY];
    if (!images(x, "avg_pool2d")) return NULL;
    const int stride = o->stride ? o->stride : o->kernel;
    const int64_t h = windows(x->shape[1], o->kernel, stride, 2 * o->pad),
                  w = windows(x->shape[2], o->kernel, stride, 2 * o->pad);
    if (o->kernel > MANY || o->pad < 0 || o->pad > o->kernel / 2 || !h || !w)
        return ag__mistake(x->graph, "avg_pool2d", "kernel %d, stride %d, pad %d on %s", o->kernel, stride, o->pad,
                           ag__shape_text(x));
    for (int i = 0; i < o->kernel; i++) weight[i] = 1.0 / o->kernel;
    return apply(x, window_table(x->graph, x->shape[1], h, o->kernel, weight, stride, o->pad, o->exclude_padding),
                 window_table(x->graph, x->shape[2], w, o->kernel, weight, stride, o->pad, o->exclude_padding));
}

ag_tensor *ag_avg_pool_frames(ag_tensor *x, int kernel, int stride)
{
    double weight[MANY];
    if (!x || x->graph->error) return NULL;
    if (!stride) stride = kernel;
    const int64_t t = x->rank == 5 ? windows(x->shape[1], kernel, stride, 0) : 0;
    if (kernel > MANY || !t)
        return ag__mistake(x->graph, "avg_pool_frames", "kernel %d, stride %d on %s", kernel, stride,
                           ag__shape_text(x));
    const int64_t *s = x->shape, size = s[2] * s[3];
    for (int i = 0; i < kernel; i++) weight[i] = 1.0 / kernel;
    ag_tensor *y = ag_reshape(x, 4, (int64_t[]){s[0], s[1], size, s[4]});
    y = apply(y, window_table(x->graph, s[1], t, kernel, weight, stride, 0, false), identity_table(x->graph, size));
    return ag_reshape(y, 5, (int64_t[]){s[0], t, s[2], s[3], s[4]});
}

ag_tensor *ag_global_average(ag_tensor *x)
{
    if (!x || x->graph->error) return NULL;
    if (x->rank < 3) return ag__mistake(x->graph, "global_average", "%s is not [N,...,C]", ag__shape_text(x));
    const int64_t n = x->shape[0], c = x->shape[x->rank - 1], size = x->numel / n / c;
    ag_tensor *y = ag_reshape(x, 4, (int64_t[]){n, size, 1, c});
    y = apply(y, resize_table(x->graph, size, 1, AG_AREA), identity_table(x->graph, 1));
    return ag_reshape(y, 2, (int64_t[]){n, c});
}
