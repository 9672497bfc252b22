/* norm: layer, RMS, l2, group and batch normalisation of x [n,s,c], channels last, with an optional affine map and activation.
 *
 * Statistics are taken per n and per group of c / groups neighbouring channels, over s positions. Layer, RMS and l2 norm are
 * s = groups = 1 (norm_rows.h); batch norm is n = 1, groups = c.
 *
 * A sample is cut into tiles of rows that stay in the cache. Each tile gives a mean and a sum of squared deviations from it per
 * group; they are combined in tile order in double (Chan, Golub, LeVeque 1979), so a large mean costs no digits. Gradients
 * need two sums per channel; with SiLU the first pass leaves dy * act' in dx for the second. */
#include "norm_rows.h"

#include <omp.h>

enum { TILE_VALUES = 8192, TILE_LEAST = 64, BY_SAMPLE = 16, SLICE = 64 };

/* Per-channel numbers of a sample, each [pad]. */
enum { CENTRE, RATE, SCALE, SHIFT, FIRST, SECOND, COEFFICIENTS };

typedef struct work {
    const k_norm *o;
    const real *x, *dy, *w, *b, *mean, *rate;
    real *y, *means, *rates, *variances; /* results; y is dx in the gradient */
    int64_t tile, tiles, per_group,
        pad;            /* rows of a tile, tiles of a sample, channels of a group, c in whole vectors */
    double *groups;     /* [n,tiles,2,groups] means and sums of squares */
    real *sums;         /* [n,tiles,2,pad] */
    real *coefficients; /* [n,COEFFICIENTS,pad] */
} work;

static bool single_rows(const k_norm *o) { return o->s == 1 && o->groups == 1 && o->activation == K_LINEAR; }

static work plan_work(const k_norm *o, void *scratch)
{
    work z = {.o = o, .tile = k_min(k_max(TILE_VALUES / o->c, TILE_LEAST), o->s), .per_group = o->c / o->groups};
    z.tiles = k_blocks(o->s, z.tile);
    z.pad = k_panel_columns(o->c);
    z.groups = (double *)(void *)k_align_pointer(scratch);
    z.sums = (real *)(z.groups + o->n * z.tiles * 2 * o->groups);
    z.coefficients = z.sums + o->n * z.tiles * 2 * z.pad;
    return z;
}

static size_t scratch_bytes(const k_norm *o)
{
    const work z = plan_work(o, NULL);
    const int64_t parts = o->n * z.tiles;
    return 64 + (size_t)(parts * 2 * o->groups) * sizeof(double) +
           (size_t)(parts * 2 * z.pad + o->n * COEFFICIENTS * z.pad) * sizeof(real);
}

size_t K(norm_scratch)(const k_norm *o) { return single_rows(o) ? 0 : scratch_bytes(o); }

size_t K(norm_grad_scratch)(const k_norm *o)
{
    if (!single_rows(o)) return scratch_bytes(o);
    return 2 * (size_t)(k_blocks(o->n, tile_rows(o->n)) * o->c) * sizeof(real);
}

static int64_t rows_of(const work *z, int64_t t) { return k_min(z->tile, z->o->s - t * z->tile); }
static int64_t first_value(const work *z, int64_t n, int64_t t) { return (n * z->o->s + t * z->tile) * z->o->c; }
static real *sums_of(const work *z, int64_t n, int64_t t) { return z->sums + (n * z->tiles + t) * 2 * z->pad; }
static double *groups_of(const work *z, int64_t n, int64_t t)
{
    return z->groups + (n * z->tiles + t) * 2 * z->o->groups;
}
static real *coefficient(const work *z, int64_t n, int which)
{
    return z->coefficients + (n * COEFFICIENTS + which) * z->pad;
}

/* ---- statistics ------------------------------------------------------------------------------------------------------ */

enum { COLUMNS = 4 }; /* vectors of channels that are summed in registers at a time */

/* sum[i] of up to COLUMNS vectors of channels over the rows of a tile: x, or squared deviations from centre (NULL: x). */
K_INLINE void sum_columns(const int vectors, int64_t lanes, int64_t rows, int64_t c, const real *x, const real *centre,
                          real *sum)
{
    kv total[COLUMNS] = {0}, middle[COLUMNS] = {0};
    for (int v = 0; centre && v < vectors; v++) middle[v] = k_load(centre + v * VL);
    for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const real *at = x + r * c + v * VL;
            const kv d = (lanes == VL ? k_load(at) : k_load_some(at, lanes)) - middle[v];
            total[v] += centre ? d * d : d;
        }
    for (int v = 0; v < vectors; v++) k_store(sum + v * VL, total[v]);
}

/* The same for all channels; sum and centre have whole vectors. */
K_INLINE void sum_tile(int64_t rows, int64_t c, const real *x, const real *centre, real *sum)
{
    int64_t i = 0;
    for (; i + COLUMNS * VL <= c; i += COLUMNS * VL)
        sum_columns(COLUMNS, VL, rows, c, x + i, centre ? centre + i : NULL, sum + i);
    for (; i + VL <= c; i += VL) sum_columns(1, VL, rows, c, x + i, centre ? centre + i : NULL, sum + i);
    if (i < c) sum_columns(1, c - i, rows, c, x + i, centre ? centre + i : NULL, sum + i);
}

static void tile_statistics(const work *z, int64_t n, int64_t t)
{
    const int64_t c = z->o->c, width = z->per_group, groups = z->o->groups, rows = rows_of(z, t);
    const real *x = z->x + first_value(z, n, t);
    real *centre = sums_of(z, n, t), *square = centre + z->pad;
    double *mean = groups_of(z, n, t), *deviation = mean + groups;
    sum_tile(rows, c, x, NULL, centre);
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0;
        for (int64_t i = g * width; i < (g + 1) * width; i++) sum += (double)centre[i];
        mean[g] = sum / (double)(rows * width);
        for (int64_t i = g * width; i < (g + 1) * width; i++) centre[i] = (real)mean[g];
    }
    sum_tile(rows, c, x, centre, square);
    for (int64_t g = 0; g < groups; g++) {
        deviation[g] = 0;
        for (int64_t i = g * width; i < (g + 1) * width; i++) deviation[g] += (double)square[i];
    }
}

/* What every channel of a sample is mapped with, from the mean and rate of its group. */
static void set_map(const work *z, int64_t n, int64_t g, real mean, real rate)
{
    real *centre = coefficient(z, n, CENTRE), *rates = coefficient(z, n, RATE), *scale = coefficient(z, n, SCALE),
         *shift = coefficient(z, n, SHIFT);
    for (int64_t i = g * z->per_group; i < (g + 1) * z->per_group; i++) {
        centre[i] = mean;
        rates[i] = rate;
        scale[i] = z->w ? rate * z->w[i] : rate;
        shift[i] = z->b ? z->b[i] : 0;
    }
}

static void sample_statistics(const work *z, int64_t n)
{
    const int64_t groups = z->o->groups;
    for (int64_t g = 0; g < groups; g++) {
        double count = 0, mean = 0, square = 0;
        for (int64_t t = 0; t < z->tiles; t++) {
            const double *part = groups_of(z, n, t), more = (double)(rows_of(z, t) * z->per_group);
            const double difference = part[g] - mean;
            mean += difference * more / (count + more);
            square += part[groups + g] + difference * difference * count * more / (count + more);
            count += more;
        }
        const double variance = square / count, rate = 1 / sqrt(variance + z->o->epsilon);
        set_map(z, n, g, (real)mean, (real)rate);
        if (z->means) z->means[n * groups + g] = (real)mean;
        if (z->rates) z->rates[n * groups + g] = (real)rate;
        if (z->variances) z->variances[n * groups + g] = (real)variance;
    }
}

/* ---- forward --------------------------------------------------------------------------------------------------------- */

K_INLINE kv activate(const int activation, kv v)
{
    if (activation == K_RELU) return k_relu_vector(v);
    if (activation == K_SILU) return v * k_sigmoid(v);
    return v;
}

K_INLINE void apply_rows(const int activation, const work *z, int64_t n, int64_t rows, const real *x, real *y)
{
    const int64_t c = z->o->c;
    const real *centre = coefficient(z, n, CENTRE), *scale = coefficient(z, n, SCALE),
               *shift = coefficient(z, n, SHIFT);
    for (int64_t r = 0; r < rows; r++, x += c, y += c) {
        int64_t i = 0;
#pragma GCC unroll 2
        for (; i + VL <= c; i += VL) {
            const kv v = (k_load(x + i) - k_load(centre + i)) * k_load(scale + i) + k_load(shift + i);
            k_store(y + i, activate(activation, v));
        }
        if (i < c) {
            const kv v = (k_load_some(x + i, c - i) - k_load(centre + i)) * k_load(scale + i) + k_load(shift + i);
            k_store_some(y + i, activate(activation, v), c - i);
        }
    }
}

static void tile_apply(const work *z, int64_t n, int64_t t)
{
    const int64_t at = first_value(z, n, t), rows = rows_of(z, t);
    if (z->o->activation == K_RELU)
        apply_rows(K_RELU, z, n, rows, z->x + at, z->y + at);
    else if (z->o->activation == K_SILU)
        apply_rows(K_SILU, z, n, rows, z->x + at, z->y + at);
    else
        apply_rows(K_LINEAR, z, n, rows, z->x + at, z->y + at);
}

typedef void tile_step(const work *z, int64_t n, int64_t t);
typedef void sample_step(const work *z, int64_t n);

/* first on all tiles, between on all samples, last on all tiles: sample by sample while a sample is in the cache where that
 * keeps the threads busy, else each step over everything. The sums are the same either way. */
static void three_steps(const work *z, tile_step *first, sample_step *between, tile_step *last)
{
    const int64_t n = z->o->n, all = n * z->tiles;
    if (n >= BY_SAMPLE || n % omp_get_max_threads() == 0) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; i++) {
            for (int64_t t = 0; t < z->tiles; t++) first(z, i, t);
            between(z, i);
            for (int64_t t = 0; t < z->tiles; t++) last(z, i, t);
        }
        return;
    }
#pragma omp parallel if (all > 1)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < all; i++) first(z, i / z->tiles, i % z->tiles);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++) between(z, i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < all; i++) last(z, i / z->tiles, i % z->tiles);
    }
}

void K(norm)(const k_norm *o, const real *x, const real *w, const real *b, real *y, real *mean, real *rate,
             real *variance, void *scratch)
{
    if (single_rows(o)) {
        rows_forward(o, x, w, b, y, mean, rate, variance);
        return;
    }
    work z = plan_work(o, scratch);
    z.x = x, z.w = w, z.b = b, z.y = y, z.means = mean, z.rates = rate, z.variances = variance;
    three_steps(&z, tile_statistics, sample_statistics, tile_apply);
}

/* ---- gradient -------------------------------------------------------------------------------------------------------- */

/* dy times the activation's slope at v */
K_INLINE kv slope(const int activation, kv v, kv dy)
{
    if (activation == K_RELU) return k_choose(v > (kv){0}, dy, (kv){0});
    if (activation == K_SILU) {
        const kv s = k_sigmoid(v);
        return dy * (s * (v * ((real)1 - s) + (real)1));
    }
    return dy;
}

enum { PAIR = 2 };

/* s1 = sum u, s2 = sum u h over the rows of a tile, u = dy act'(v), h = (x - mean) rate, for up to PAIR vectors of channels from i on. The
 * u of SiLU is left in du: it is dear. */
K_INLINE void sum_vectors(const int activation, const int vectors, const work *z, int64_t n, int64_t t, int64_t i,
                          int64_t lanes)
{
    const int64_t c = z->o->c, at = first_value(z, n, t) + i, rows = rows_of(z, t);
    const real *x = z->x + at, *dy = z->dy + at;
    real *du = z->y + at, *s1 = sums_of(z, n, t) + i, *s2 = s1 + z->pad;
    kv centre[PAIR] = {0}, scale[PAIR] = {0}, shift[PAIR] = {0}, a[PAIR] = {0}, b[PAIR] = {0};
    for (int v = 0; v < vectors; v++) {
        centre[v] = k_load(coefficient(z, n, CENTRE) + i + v * VL);
        scale[v] = k_load(coefficient(z, n, SCALE) + i + v * VL);
        shift[v] = k_load(coefficient(z, n, SHIFT) + i + v * VL);
    }
    for (int64_t r = 0; r < rows; r++, x += c, dy += c, du += c)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            const kv d = (lanes == VL ? k_load(x + v * VL) : k_load_some(x, lanes)) - centre[v];
            kv u = lanes == VL ? k_load(dy + v * VL) : k_load_some(dy, lanes);
            if (activation != K_LINEAR) u = slope(activation, d * scale[v] + shift[v], u);
            if (activation == K_SILU) {
                if (lanes == VL)
                    k_store(du + v * VL, u);
                else
                    k_store_some(du, u, lanes);
            }
            a[v] += u;
            b[v] += u * d;
        }
    for (int v = 0; v < vectors; v++) {
        k_store(s1 + v * VL, a[v]);
        k_store(s2 + v * VL, b[v] * k_load(coefficient(z, n, RATE) + i + v * VL));
    }
}

K_INLINE void sum_rows(const int activation, const work *z, int64_t n, int64_t t)
{
    const int64_t c = z->o->c;
    int64_t i = 0;
    for (; i + PAIR * VL <= c; i += PAIR * VL) sum_vectors(activation, PAIR, z, n, t, i, VL);
    for (; i + VL <= c; i += VL) sum_vectors(activation, 1, z, n, t, i, VL);
    if (i < c) sum_vectors(activation, 1, z, n, t, i, c - i);
}

static void tile_sums(const work *z, int64_t n, int64_t t)
{
    if (z->o->activation == K_RELU)
        sum_rows(K_RELU, z, n, t);
    else if (z->o->activation == K_SILU)
        sum_rows(K_SILU, z, n, t);
    else
        sum_rows(K_LINEAR, z, n, t);
}

/* dx = rate (w u - m1 - h m2) = scale u - first - (x - mean) second, m1 = mean(w u), m2 = mean(w u h) over the group */
static void sample_sums(const work *z, int64_t n)
{
    const int64_t width = z->per_group;
    real *first = coefficient(z, n, FIRST), *second = coefficient(z, n, SECOND);
    for (int64_t g = 0; g < z->o->groups; g++) {
        double m1 = 0, m2 = 0;
        for (int64_t t = 0; t < z->tiles; t++) {
            const real *s1 = sums_of(z, n, t), *s2 = s1 + z->pad;
            for (int64_t i = g * width; i < (g + 1) * width; i++) {
                const double w = z->w ? (double)z->w[i] : 1;
                m1 += w * (double)s1[i];
                m2 += w * (double)s2[i];
            }
        }
        const double rate = (double)z->rate[n * z->o->groups + g], count = (double)(width * z->o->s);
        for (int64_t i = g * width; i < (g + 1) * width; i++) {
            first[i] = (real)(rate * m1 / count);
            second[i] = (real)(rate * rate * m2 / count);
        }
    }
}

K_INLINE void gradient_rows(const int activation, const work *z, int64_t n, int64_t t)
{
    const int64_t c = z->o->c, at = first_value(z, n, t);
    const real *restrict centre = coefficient(z, n, CENTRE), *restrict scale = coefficient(z, n, SCALE),
                         *restrict shift = coefficient(z, n, SHIFT), *restrict first = coefficient(z, n, FIRST),
                         *restrict second = coefficient(z, n, SECOND);
    const real *x = z->x + at, *dy = (activation == K_SILU ? z->y : z->dy) + at;
    real *dx = z->y + at;
    for (int64_t r = 0; r < rows_of(z, t); r++, x += c, dy += c, dx += c)
#pragma omp simd
        for (int64_t i = 0; i < c; i++) {
            const real d = x[i] - centre[i];
            const real u = activation == K_RELU ? k_choose_one(d * scale[i] + shift[i] > 0, dy[i], 0) : dy[i];
            dx[i] = scale[i] * u - first[i] - d * second[i];
        }
}

static void tile_gradient(const work *z, int64_t n, int64_t t)
{
    if (z->o->activation == K_RELU)
        gradient_rows(K_RELU, z, n, t);
    else if (z->o->activation == K_SILU)
        gradient_rows(K_SILU, z, n, t);
    else
        gradient_rows(K_LINEAR, z, n, t);
}

static void parameter_gradients(const work *z, real *dw, real *db)
{
    const int64_t c = z->o->c, all = z->o->n * z->tiles;
#pragma omp parallel for schedule(static) if (all * c > 32768)
    for (int64_t from = 0; from < c; from += SLICE) {
        double w[SLICE] = {0}, b[SLICE] = {0};
        const int64_t width = k_min(SLICE, c - from);
        for (int64_t p = 0; p < all; p++) {
            const real *s1 = z->sums + p * 2 * z->pad + from, *s2 = s1 + z->pad;
            for (int64_t i = 0; i < width; i++) b[i] += (double)s1[i], w[i] += (double)s2[i];
        }
        for (int64_t i = 0; i < width; i++) {
            if (dw) dw[from + i] = (real)w[i];
            if (db) db[from + i] = (real)b[i];
        }
    }
}

static void set_maps(const work *z)
{
    const int64_t groups = z->o->groups;
#pragma omp parallel for schedule(static) if (z->o->n * z->o->c > 32768)
    for (int64_t n = 0; n < z->o->n; n++)
        for (int64_t g = 0; g < groups; g++) set_map(z, n, g, z->mean[n * groups + g], z->rate[n * groups + g]);
}

void K(norm_grad)(const k_norm *o, const real *x, const real *dy, const real *mean, const real *rate, const real *w,
                  const real *b, real *dx, real *dw, real *db, void *scratch)
{
    if (single_rows(o)) {
        rows_gradient(o, x, dy, mean, rate, w, dx, dw, db, scratch);
        return;
    }
    work z = plan_work(o, scratch);
    z.x = x, z.dy = dy, z.w = w, z.b = b, z.y = dx, z.mean = mean, z.rate = rate;
    set_maps(&z);
    three_steps(&z, tile_sums, sample_sums, tile_gradient);
    if (dw || db) parameter_gradients(&z, dw, db);
}
