/* Separable antialiased resize with the arithmetic of the common Python imaging library, so that its results and ours
 * are the same bytes. For an output value at o of n, drawn from `in` values:
 *
 *     scale   = in / n              centre = (o + 1/2) * scale
 *     reach   = support * max(scale, 1)
 *     taps    = inputs i with centre - reach <= i + 1/2 <= centre + reach, cut at the border
 *     weight  = filter((i + 1/2 - centre) / max(scale, 1)), normalised to sum 1, then rounded to 22 fractional bits
 *
 * Sums are 32-bit integers, rounded half up and clamped to 0..255 after each pass; the horizontal pass comes first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture_parts.h"

enum { FRACTION = 22, LANES = 16 };

/* Part of a side: outputs begin .. begin + count of `total`. */
typedef struct span {
    int in, total, begin, count;
} span;

typedef struct taps {
    int *first, *count; /* per output: its inputs */
    int32_t *weight;    /* per output: `room` weights */
    int room;
} taps;

static double sinc(double x) { return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI); }

static double lanczos3(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

/* Keys 1981, a = -1/2 */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static const struct {
    double (*value)(double);
    double support;
} filters[] = {[DATA_LANCZOS] = {lanczos3, 3}, [DATA_CUBIC] = {cubic, 2}, [DATA_TRIANGLE] = {triangle, 1}};

static void taps_free(taps *t)
{
    free(t->first), free(t->count), free(t->weight);
    *t = (taps){0};
}

/* The taps of one output value. */
static void taps_fill(taps *t, const span *s, int k, data_filter filter, double *w)
{
    const double scale = (double)s->in / s->total, stretch = scale < 1 ? 1 : scale;
    const double reach = filters[filter].support * stretch, shrink = 1 / stretch;
    const double centre = (s->begin + k + 0.5) * scale;
    int first = (int)(centre - reach + 0.5), end = (int)(centre + reach + 0.5);
    if (first < 0) first = 0;
    if (end > s->in) end = s->in;
    double sum = 0;
    for (int i = 0; i < end - first; i++) {
        w[i] = filters[filter].value((i + first - centre + 0.5) * shrink);
        sum += w[i];
    }
    int32_t *weight = t->weight + (size_t)k * (size_t)t->room;
    for (int i = 0; i < end - first; i++) {
        const double v = (sum != 0 ? w[i] / sum : w[i]) * (1 << FRACTION);
        weight[i] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
    }
    t->first[k] = first, t->count[k] = end - first;
}

static ag_err taps_make(taps *t, const span *s, data_filter filter)
{
    const double scale = (double)s->in / s->total;
    const size_t n = (size_t)s->count;
    size_t weights;
    *t = (taps){.room = (int)ceil(filters[filter].support * (scale < 1 ? 1 : scale)) * 2 + 1};
    if (__builtin_mul_overflow(n, (size_t)t->room, &weights)) weights = SIZE_MAX / sizeof(int32_t);
    t->first = malloc(n * sizeof *t->first);
    t->count = malloc(n * sizeof *t->count);
    t->weight = malloc(weights * sizeof *t->weight);
    double *w = malloc((size_t)t->room * sizeof *w);
    ag_err err = AG_OK;
    if (t->first && t->count && t->weight && w)
        for (int k = 0; k < s->count; k++) taps_fill(t, s, k, filter, w);
    else
        err = ag_fail(AG_ERR_MEMORY, "resize from %d to %d: out of memory", s->in, s->total);
    free(w);
    if (err) taps_free(t);
    return err;
}

static uint8_t clamp(int32_t sum)
{
    const int32_t v = sum >> FRACTION; /* rounds down; the half is in the sum */
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define SINGLE /* what chooses between clones runs before the checker is ready */
#endif
#endif

/* The two inner loops exist for plain x86-64, which has no 32-bit vector multiply, and for AVX2. */
#if defined(__x86_64__) && !defined(SINGLE)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

/* n sums over `count` strips of n bytes, a stride apart, each strip with its weight. */
CLONES static void weigh(const uint8_t *in, size_t stride, const int32_t *w, int count, size_t n, int32_t *sum)
{
    for (size_t x = 0; x < n; x++) sum[x] = 1 << (FRACTION - 1);
    for (int i = 0; i < count; i++, in += stride) {
        const int32_t v = w[i];
#pragma omp simd
        for (size_t x = 0; x < n; x++) sum[x] += in[x] * v;
    }
}

/* weigh for LANES sums, which stay in registers. */
CLONES static void weigh_lanes(const uint8_t *restrict in, size_t stride, const int32_t *restrict w, int count,
                               int32_t *restrict sum)
{
    int32_t s[LANES];
    for (int r = 0; r < LANES; r++) s[r] = 1 << (FRACTION - 1);
    for (int i = 0; i < count; i++, in += stride) {
        const int32_t v = w[i];
#pragma omp simd
        for (int r = 0; r < LANES; r++) s[r] += in[r] * v;
    }
    for (int r = 0; r < LANES; r++) sum[r] = s[r];
}

/* Up to LANES rows at once: `lanes` holds the bytes of a column side by side, so that a tap is one vector. */
static void resize_rows(const uint8_t *in, size_t stride, int rows, uint8_t *out, size_t out_stride, const taps *t,
                        size_t channels, uint8_t *lanes)
{
    for (int r = 0; r < rows; r++)
        for (size_t i = 0; i < stride; i++) lanes[i * LANES + (size_t)r] = in[(size_t)r * stride + i];
    for (size_t x = 0; x < out_stride / channels; x++)
        for (size_t k = 0; k < channels; k++) {
            int32_t sum[LANES];
            weigh_lanes(lanes + ((size_t)t->first[x] * channels + k) * LANES, channels * LANES,
                        t->weight + x * (size_t)t->room, t->count[x], sum);
            for (int r = 0; r < rows; r++) out[(size_t)r * out_stride + x * channels + k] = clamp(sum[r]);
        }
}

/* Row k of the output, from whole rows of n bytes. `rows` starts at input row `top`. */
static void resize_column(const uint8_t *rows, int top, uint8_t *out, const taps *t, int k, size_t n, int32_t *sum)
{
    weigh(rows + (size_t)(t->first[k] - top) * n, n, t->weight + (size_t)k * (size_t)t->room, t->count[k], n, sum);
    for (size_t x = 0; x < n; x++) out[x] = clamp(sum[x]);
}

/* A window of the resized picture. Only what the window needs is computed. */
static ag_err resize_window(data_picture *out, const data_picture *in, const span *v, const span *h, data_filter filter)
{
    taps across = {0}, down = {0};
    data_picture between = {0};
    int32_t *sum = NULL;
    uint8_t *lanes = NULL;
    *out = (data_picture){0};
    ag_err err = taps_make(&across, h, filter);
    if (!err) err = taps_make(&down, v, filter);
    if (err) goto out;
    const int top = down.first[0], bottom = down.first[v->count - 1] + down.count[v->count - 1];
    const size_t n = (size_t)h->count * (size_t)in->channels, stride = (size_t)in->width * (size_t)in->channels;
    if ((err = data__picture_new(&between, bottom - top, h->count, in->channels, "resize"))) goto out;
    if ((err = data__picture_new(out, v->count, h->count, in->channels, "resize"))) goto out;
    sum = malloc(n * sizeof *sum);
    lanes = calloc(stride, LANES);
    if (!sum || !lanes) {
        err = ag_fail(AG_ERR_MEMORY, "resize: out of memory for rows of %d pixels", in->width);
        goto out;
    }
    for (int y = top; y < bottom; y += LANES)
        resize_rows(in->pixels + (size_t)y * stride, stride, bottom - y < LANES ? bottom - y : LANES,
                    between.pixels + (size_t)(y - top) * n, n, &across, (size_t)in->channels, lanes);
    for (int y = 0; y < v->count; y++)
        resize_column(between.pixels, top, out->pixels + (size_t)y * n, &down, y, n, sum);
out:
    free(sum), free(lanes);
    data_picture_free(&between);
    taps_free(&across), taps_free(&down);
    if (err) data_picture_free(out);
    return err;
}

static ag_err resize_check(const data_picture *in, int height, int width, data_filter filter)
{
    if (height < 1 || width < 1)
        return ag_fail(AG_ERR_USAGE, "resize to %d x %d pixels: both sides must be at least 1", width, height);
    if (!in->pixels || (in->channels != 1 && in->channels != 3))
        return ag_fail(AG_ERR_SHAPE, "resize of a picture with %d channels: it must have 1 or 3", in->channels);
    if (filter < 0 || filter >= sizeof filters / sizeof *filters)
        return ag_fail(AG_ERR_USAGE, "resize: there is no filter %d", (int)filter);
    return AG_OK;
}

ag_err data_picture_resize(data_picture *out, const data_picture *in, int height, int width, data_filter filter)
{
    const span v = {in->height, height, 0, height}, h = {in->width, width, 0, width};
    const ag_err err = resize_check(in, height, width, filter);
    return err ? err : resize_window(out, in, &v, &h, filter);
}

ag_err data__picture_fit(data_picture *out, const data_picture *in, int height, int width, data_filter filter)
{
    const ag_err err = resize_check(in, height, width, filter);
    if (err) return err;
    int64_t tall = height, wide = width; /* the covering size */
    if ((int64_t)in->width * height >= (int64_t)in->height * width)
        wide = (int64_t)in->width * height / in->height;
    else
        tall = (int64_t)in->height * width / in->width;
    if (tall > INT32_MAX || wide > INT32_MAX)
        return ag_fail(AG_ERR_DATA, "a picture of %d x %d pixels is too narrow for %d x %d", in->width, in->height,
                       width, height);
    const span v = {in->height, (int)tall, (int)(tall - height) / 2, height};
    const span h = {in->width, (int)wide, (int)(wide - width) / 2, width};
    return resize_window(out, in, &v, &h, filter);
}

ag_err data_picture_fit(data_picture *out, const data_picture *in, int height, int width)
{
    return data__picture_fit(out, in, height, width, DATA_LANCZOS);
}
