/* Convolution over frames [n,t,h,w,a]: every frame of the result is a sum of two-dimensional convolutions, one per tap in
 * time, each added to the last one's result where it is stored (conv.c, winograd.c: the result is the residual). Frames
 * that have the same taps and whose sources follow each other are done in one call.
 *
 *   y[o] = act(bias + residual + sum over k of x[o*step + k*apart - front] * w[k])            forward
 *   x[i] = the same sum over the pairs (o, k) that meet i, with the transposed convolution    input
 *   w[k] = sum over these pairs of the weight gradient of one frame                           weight */
#include "conv_band.h"

enum { TILE = 16384 };

static int64_t reals_x(const k_conv3d *c) { return c->frame.h * c->frame.w * c->frame.a; }
static int64_t reals_y(const k_conv3d *c) { return c->frame.ho * c->frame.wo * c->frame.b; }
static int64_t reals_w(const k_conv3d *c)
{
    return (int64_t)c->frame.kh * c->frame.kw * (c->frame.a / conv_groups(&c->frame)) * c->frame.b;
}

static k_conv frames(const k_conv3d *c, int64_t n)
{
    k_conv f = c->frame;
    f.n = n;
    return f;
}

/* The frame that a tap of result frame `at` reads; -1: none. */
static int64_t source_frame(const k_conv3d *c, bool transposed, int64_t at, int tap)
{
    int64_t s =
        transposed ? at + c->front - (int64_t)tap * c->apart : at * c->step + (int64_t)tap * c->apart - c->front;
    if (s < 0 || (transposed && s % c->step)) return -1;
    if (transposed) s /= c->step;
    return s < (transposed ? c->to : c->t) ? s : -1;
}

/* How many frames from `at` on have the taps of `at`, each one frame further. */
static int64_t run_length(const k_conv3d *c, bool transposed, int64_t at)
{
    const int64_t size = transposed ? c->t : c->to;
    int64_t n = 1;
    for (bool same = c->step == 1; same && at + n < size;) {
        for (int tap = 0; tap < c->kt && same; tap++) {
            const int64_t first = source_frame(c, transposed, at, tap);
            same = source_frame(c, transposed, at + n, tap) == (first < 0 ? -1 : first + n);
        }
        n += same;
    }
    return n;
}

/* No tap: what is left of the sum. */
static void only_epilogue(const k_epilogue *e, int64_t n, int64_t channels, real *y)
{
#pragma omp parallel for schedule(static) if (n > TILE)
    for (int64_t i = 0; i < n; i++) {
        real sum = e->bias ? e->bias[i % channels] : 0;
        if (e->residual) sum += e->residual[i];
        y[i] = e->activation == K_RELU && sum < 0 ? 0 : sum;
    }
}

typedef struct job {
    const k_conv3d *c;
    bool transposed;
    const real *x, *w; /* of one item of the batch */
    k_epilogue e;
    real *y;
    void *scratch;
} job;

static void run_frames(const job *j, int64_t at, int64_t n)
{
    const k_conv3d *c = j->c;
    const k_conv f = frames(c, n);
    const int64_t in = j->transposed ? reals_y(c) : reals_x(c), out = j->transposed ? reals_x(c) : reals_y(c);
    k_epilogue e = j->e;
    real *y = j->y + at * out;
    int last = -1;
    for (int tap = 0; tap < c->kt; tap++)
        if (source_frame(c, j->transposed, at, tap) >= 0) last = tap;
    if (e.residual) e.residual += at * out;
    for (int tap = 0; tap <= last; tap++) {
        const int64_t from = source_frame(c, j->transposed, at, tap);
        if (from < 0) continue;
        e.activation = tap == last ? j->e.activation : K_LINEAR;
        (j->transposed ? K(conv_input) : K(conv_forward))(&f, j->x + from * in, j->w + tap * reals_w(c), &e, y,
                                                          j->scratch);
        e.bias = NULL;
        e.residual = y;
    }
    if (last < 0) only_epilogue(&e, n * out, j->transposed ? f.a : f.b, y);
}

static void run_items(const k_conv3d *c, bool transposed, const real *x, const real *w, const k_epilogue *e, real *y,
                      void *scratch)
{
    const int64_t size = transposed ? c->t : c->to;
    const int64_t in = transposed ? c->to * reals_y(c) : c->t * reals_x(c);
    const int64_t out = size * (transposed ? reals_x(c) : reals_y(c));
    for (int64_t item = 0; item < c->n; item++) {
        job j = {c, transposed, x + item * in, w, e ? *e : (k_epilogue){0}, y + item * out, scratch};
        if (j.e.residual) j.e.residual += item * out;
        for (int64_t at = 0, n; at < size; at += n) run_frames(&j, at, n = run_length(c, transposed, at));
    }
}

/* Scratch of the largest call, and of one frame: fewer frames may choose another algorithm. */
static size_t scratch_of(const k_conv3d *c, int64_t most, size_t (*bytes)(const k_conv *))
{
    size_t need = 0;
    for (int64_t n = 1; n <= most; n++) {
        const k_conv f = frames(c, n);
        const size_t b = bytes(&f);
        need = b > need ? b : need;
    }
    return need;
}

size_t K(conv3d_forward_scratch)(const k_conv3d *c)
{
    return scratch_of(c, c->step == 1 ? c->to : 1, K(conv_forward_scratch));
}

void K(conv3d_forward)(const k_conv3d *c, const real *x, const real *w, const k_epilogue *e, real *y, void *scratch)
{
    run_items(c, false, x, w, e, y, scratch);
}

size_t K(conv3d_input_scratch)(const k_conv3d *c)
{
    return scratch_of(c, c->step == 1 ? c->t : 1, K(conv_input_scratch));
}

void K(conv3d_input)(const k_conv3d *c, const real *y, const real *w, const k_epilogue *e, real *x, void *scratch)
{
    run_items(c, true, y, w, e, x, scratch);
}

/* ---- the weight gradient ------------------------------------------------------------------------------------------------ */

size_t K(conv3d_weight_scratch)(const k_conv3d *c)
{
    return 64 + k_align((size_t)reals_w(c) * sizeof(real)) +
           scratch_of(c, c->step == 1 ? c->to : 1, K(conv_weight_scratch));
}

static void add_to(int64_t n, const real *x, real *y)
{
#pragma omp parallel for simd schedule(static) if (n > 2 * TILE)
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

/* One item, one tap: frames o, o + 1, ... of y with theirs of x. */
static void weight_item(const k_conv3d *c, int tap, const real *x, const real *y, real *one, bool *first, real *w,
                        void *scratch)
{
    for (int64_t o = 0, n; o < c->to; o += n) {
        const int64_t from = source_frame(c, false, o, tap);
        n = 1;
        if (from < 0) continue;
        while (c->step == 1 && o + n < c->to && source_frame(c, false, o + n, tap) >= 0) n++;
        const k_conv f = frames(c, n);
        K(conv_weight)(&f, x + from * reals_x(c), y + o * reals_y(c), *first ? w : one, scratch);
        if (!*first) add_to(reals_w(c), one, w);
        *first = false;
    }
}

void K(conv3d_weight)(const k_conv3d *c, const real *x, const real *y, real *w, void *scratch)
{
    real *one = (real *)k_align_pointer(scratch);
    void *rest = (char *)one + k_align((size_t)reals_w(c) * sizeof(real));
    for (int tap = 0; tap < c->kt; tap++) {
        real *to = w + tap * reals_w(c);
        bool first = true;
        for (int64_t item = 0; item < c->n; item++)
            weight_item(c, tap, x + item * c->t * reals_x(c), y + item * c->to * reals_y(c), one, &first, to, rest);
        if (first) memset(to, 0, (size_t)reals_w(c) * sizeof *to);
    }
}
