/* Gradients of attention, in tiles that are computed again from q, k and the rows' logsumexp.
 *
 *   p = exp(scale q k^T + bias - lse);  dv = p^T dy;  dp = dy v^T;  delta_i = dy_i . y_i
 *   ds = p (dp - delta);  dq = scale ds k;  dk = scale ds^T q;  dbias = sum over samples of ds
 *
 * A head of a sample is one thread's work: key tiles outside, query tiles inside, so each sum has one order. p and ds come out
 * transposed (keys are rows), as dk and dv need them; dq takes a transposed copy.
 * Dao, Fu, Ermon, Rudra, Re 2022, arXiv:2205.14135, algorithm 4 */
#include "attention_tiles.h"

#include <omp.h>

/* What a thread needs for one head, as offsets into its memory. */
typedef struct layout {
    int64_t query_columns, dy_columns, query_rows, dy_rows, key_rows; /* packed matrices */
    int64_t delta, lse, p, ds, turned, k, v, dk, dv, dq, all;
} layout;

static int64_t take(int64_t *at, int64_t count)
{
    const int64_t from = *at;
    *at += k_blocks(count, 16) * 16;
    return from;
}

static layout lay_out(const k_attention *o)
{
    const int64_t d = k_panel_columns(o->d), lq = k_panel_columns(o->lq);
    layout l;
    l.all = 0;
    l.query_columns = take(&l.all, lq * o->d);
    l.dy_columns = take(&l.all, lq * o->d);
    l.query_rows = take(&l.all, o->lq * d);
    l.dy_rows = take(&l.all, o->lq * d);
    l.key_rows = take(&l.all, o->lk * d);
    l.delta = take(&l.all, lq);
    l.lse = take(&l.all, lq);
    l.p = take(&l.all, SQUARE * SQUARE);
    l.ds = take(&l.all, SQUARE * SQUARE);
    l.turned = take(&l.all, SQUARE * SQUARE);
    l.k = take(&l.all, SQUARE * o->d);
    l.v = take(&l.all, SQUARE * o->d);
    l.dk = take(&l.all, SQUARE * d);
    l.dv = take(&l.all, SQUARE * d);
    l.dq = take(&l.all, o->lq * d);
    return l;
}

size_t K(attention_grad_scratch)(const k_attention *o)
{
    return 64 + (size_t)(lay_out(o).all * omp_get_max_threads()) * sizeof(real);
}

typedef struct head {
    const k_attention *o;
    int64_t n, h;
    layout at;
    real *m; /* the thread's memory */
    const real *k, *v;
} head;

/* Scores [keys,queries] times scale, with bias, and -inf where masked: for tiles that have either. What is to be added is laid out by
 * queries, then turned. */
static void adjust(const head *t, int64_t i, int64_t queries, int64_t j, int64_t keys, int mask, real scale, real *s)
{
    const k_attention *o = t->o;
    real *add = t->m + t->at.turned, block[VL * VL];
    for (int64_t q = 0; q < queries; q++) {
        const real *bias = bias_row(o, t->h, i + q);
        const uint8_t *bytes = mask == MASK_SOME ? mask_row(o, t->n, i + q) + j : NULL;
        for (int64_t c = 0; c < keys; c += VL)
            k_store(add + q * SQUARE + c,
                    adjust_scores((kv){0}, k_min(VL, keys - c), bias ? bias + j + c : NULL, bytes ? bytes + c : NULL));
    }
    for (int64_t c = 0; c < keys; c += VL)
        for (int64_t q = 0; q < queries; q += VL) {
            turn_square(add + q * SQUARE + c, SQUARE, 1, block, VL);
            for (int64_t r = 0; r < VL; r++) {
                real *at = s + (c + r) * SQUARE + q;
                const kv v = k_load(block + r * VL), none = (kv){0} - (real)INFINITY;
                k_store(at, k_choose(v == none, none, k_load(at) * scale + v));
            }
        }
}

/* p = exp(p scale - lse), ds = p (ds - delta) scale */
static void weigh(const head *t, int64_t i, int64_t queries, int64_t keys, real before, real *p, real *ds)
{
    const real scale = (real)t->o->scale, *lse = t->m + t->at.lse + i, *delta = t->m + t->at.delta + i;
    for (int64_t c = 0; c < keys; c++)
        for (int64_t q = 0; q < k_panel_columns(queries); q += VL) {
            real *at = p + c * SQUARE + q, *d = ds + c * SQUARE + q;
            const kv weight = k_exp_below(k_load(at) * before - k_load(lse + q));
            k_store(at, weight);
            k_store(d, weight * (k_load(d) - k_load(delta + q)) * scale);
        }
}

/* Whole squares: what is not there is not read later. */
static void turn(int64_t keys, int64_t queries, const real *from, real *to)
{
    for (int64_t c = 0; c < keys; c += VL)
        for (int64_t q = 0; q < queries; q += VL)
            turn_square(from + c * SQUARE + q, SQUARE, 1, to + q * SQUARE + c, SQUARE);
}

/* Key tile j against query tile i. */
static void square(const head *t, int64_t i, int64_t j)
{
    const k_attention *o = t->o;
    const layout *l = &t->at;
    const int64_t queries = k_min(SQUARE, o->lq - i), d = k_panel_columns(o->d);
    const int64_t across = k_panel_columns(queries);
    int64_t keys = k_min(SQUARE, o->lk - j);
    const int mask = tile_mask(o, t->n, i, queries, j, &keys);
    real *m = t->m, *p = m + l->p, *ds = m + l->ds;
    if (mask == MASK_NONE) return;
    tile_product(keys, across, o->d, m + l->k, o->d, m + l->query_columns + i * o->d, o->d, 0, p, SQUARE, false);
    tile_product(keys, across, o->d, m + l->v, o->d, m + l->dy_columns + i * o->d, o->d, 0, ds, SQUARE, false);
    const bool adjusted = mask == MASK_SOME || o->bias;
    if (adjusted) adjust(t, i, queries, j, keys, mask, (real)o->scale, p);
    weigh(t, i, queries, keys, adjusted ? 1 : (real)o->scale, p, ds);
    tile_product(keys, d, queries, p, SQUARE, m + l->dy_rows, o->lq, i, m + l->dv, d, true);
    tile_product(keys, d, queries, ds, SQUARE, m + l->query_rows, o->lq, i, m + l->dk, d, true);
    turn(keys, queries, ds, m + l->turned);
    tile_product(queries, d, keys, m + l->turned, SQUARE, m + l->key_rows, o->lk, j, m + l->dq + i * d, d, true);
}

static void store_rows(int64_t rows, int64_t d, const real *from, real *to, int64_t stride)
{
    for (int64_t i = 0; i < rows; i++) memcpy(to + i * stride, from + i * k_panel_columns(d), (size_t)d * sizeof *to);
}

static void clear(real *to, int64_t count) { memset(to, 0, (size_t)count * sizeof *to); }

static void head_gradient(const head *t, const real *q, const real *y, const real *lse, const real *dy, real *dq,
                          real *dk, real *dv)
{
    const k_attention *o = t->o;
    const layout *l = &t->at;
    const int64_t d = k_panel_columns(o->d), stride = o->heads * o->d;
    const int64_t query = row_at(o, t->n, o->lq, t->h, 0), key = row_at(o, t->n, o->lk, t->h, 0);
    real *m = t->m;
    pack_columns(o->lq, o->d, q + query, stride, 1, m + l->query_columns);
    pack_columns(o->lq, o->d, dy + query, stride, 1, m + l->dy_columns);
    pack_rows(o->lq, o->d, q + query, stride, m + l->query_rows);
    pack_rows(o->lq, o->d, dy + query, stride, m + l->dy_rows);
    pack_rows(o->lk, o->d, t->k + key, stride, m + l->key_rows);
    row_constants(o, t->n, t->h, y, dy, lse, m + l->delta, m + l->lse);
    clear(m + l->dq, o->lq * d);
    for (int64_t j = 0; j < o->lk; j += SQUARE) {
        const int64_t keys = k_min(SQUARE, o->lk - j);
        gather_rows(keys, o->d, t->k + key + j * stride, stride, m + l->k);
        gather_rows(keys, o->d, t->v + key + j * stride, stride, m + l->v);
        clear(m + l->dk, keys * d);
        clear(m + l->dv, keys * d);
        for (int64_t i = 0; i < o->lq; i += SQUARE) square(t, i, j);
        if (dk) store_rows(keys, o->d, m + l->dk, dk + key + j * stride, stride);
        if (dv) store_rows(keys, o->d, m + l->dv, dv + key + j * stride, stride);
    }
    store_rows(o->lq, o->d, m + l->dq, dq + query, stride);
}

void K(attention_grad)(const k_attention *o, const real *q, const real *k_, const real *v, const real *y,
                       const real *lse, const real *dy, real *dq, real *dk, real *dv, void *scratch)
{
    real *memory = (real *)k_align_pointer(scratch);
    const layout at = lay_out(o);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < o->n * o->heads; i++) {
        const head t = {.o = o,
                        .n = i / o->heads,
                        .h = i % o->heads,
                        .at = at,
                        .m = memory + omp_get_thread_num() * at.all,
                        .k = k_,
                        .v = v};
        head_gradient(&t, q, y, lse, dy, dq, dk, dv);
    }
}

/* ---- the gradient of the bias ------------------------------------------------------------------------------------------ */

typedef struct bias_layout {
    int64_t key_columns, value_columns, delta, lse, s, dp, all;
} bias_layout;

static bias_layout bias_lay_out(const k_attention *o)
{
    bias_layout l;
    l.all = 0;
    l.key_columns = take(&l.all, k_panel_columns(o->lk) * o->d);
    l.value_columns = take(&l.all, k_panel_columns(o->lk) * o->d);
    l.delta = take(&l.all, k_panel_columns(o->lq));
    l.lse = take(&l.all, k_panel_columns(o->lq));
    l.s = take(&l.all, QUERIES * KEYS);
    l.dp = take(&l.all, QUERIES * KEYS);
    return l;
}

size_t K(attention_bias_scratch)(const k_attention *o)
{
    return 64 + (size_t)(bias_lay_out(o).all * omp_get_max_threads()) * sizeof(real);
}

/* to += p (dp - delta) of one row of a tile */
static void add_row(int64_t keys, real lse, real delta, const real *s, const real *dp, real *to)
{
    for (int64_t i = 0; i < keys; i += VL) {
        const int64_t count = k_min(VL, keys - i);
        const kv more = k_exp(k_load(s + i) - lse) * (k_load(dp + i) - delta);
        k_store_some(to + i, k_load_some(to + i, count) + more, count);
    }
}

static void bias_tile(const head *t, const bias_layout *l, int64_t i, int64_t j, const real *q, const real *dy,
                      real *dbias)
{
    const k_attention *o = t->o;
    const int64_t rows = k_min(QUERIES, o->lq - i);
    const int64_t at = row_at(o, t->n, o->lq, t->h, i), stride = o->heads * o->d;
    int64_t keys = k_min(KEYS, o->lk - j);
    const int mask = tile_mask(o, t->n, i, rows, j, &keys);
    const int64_t across = k_panel_columns(keys);
    real *m = t->m, *s = m + l->s, *dp = m + l->dp;
    if (mask == MASK_NONE) return;
    tile_product(rows, across, o->d, q + at, stride, m + l->key_columns + j * o->d, o->d, 0, s, KEYS, false);
    tile_product(rows, across, o->d, dy + at, stride, m + l->value_columns + j * o->d, o->d, 0, dp, KEYS, false);
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *bytes = mask == MASK_SOME ? mask_row(o, t->n, i + r) + j : NULL;
        finish_scores(keys, bias_row(o, t->h, i + r) + j, bytes, s + r * KEYS);
        add_row(keys, m[l->lse + i + r], m[l->delta + i + r], s + r * KEYS, dp + r * KEYS,
                dbias + (t->h * o->lq + i + r) * o->lk + j);
    }
}

/* One head is one thread's work, its samples in order. */
void K(attention_bias)(const k_attention *o, const real *q, const real *k_, const real *v, const real *y,
                       const real *lse, const real *dy, real *dbias, void *scratch)
{
    real *memory = (real *)k_align_pointer(scratch);
    const bias_layout l = bias_lay_out(o);
#pragma omp parallel for schedule(dynamic)
    for (int64_t h = 0; h < o->heads; h++) {
        head t = {.o = o, .h = h, .m = memory + omp_get_thread_num() * l.all, .k = k_, .v = v};
        clear(dbias + h * o->lq * o->lk, o->lq * o->lk);
        for (t.n = 0; t.n < o->n; t.n++) {
            const int64_t key = row_at(o, t.n, o->lk, h, 0);
            pack_columns(o->lk, o->d, k_ + key, o->heads * o->d, (real)o->scale, t.m + l.key_columns);
            pack_columns(o->lk, o->d, v + key, o->heads * o->d, 1, t.m + l.value_columns);
            row_constants(o, t.n, h, y, dy, lse, t.m + l.delta, t.m + l.lse);
            for (int64_t i = 0; i < o->lq; i += QUERIES)
                for (int64_t j = 0; j < o->lk; j += KEYS) bias_tile(&t, &l, i, j, q, dy, dbias);
        }
    }
}
