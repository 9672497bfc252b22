/* attention: softmax(scale q k^T + bias, masked) v in tiles, with running maxima and sums; no lq x lk numbers are stored.
 *
 * Per query tile, for each key tile that the mask lets through:  s = q k^T scale + bias;  m' = max(m, max s);  p = exp(s - m');
 * l = l exp(m - m') + sum p;  acc = acc exp(m - m') + p v.  The keys are packed with the scale in them. At the end y = acc / l and lse = m + log l. A row that may attend
 * to nothing gives 0, and an lse so large that its weights are 0 in the gradient.
 * Dao, Fu, Ermon, Rudra, Re 2022, arXiv:2205.14135, algorithm 1; Milakov, Gimelshein 2018, arXiv:1805.02867 */
#include "attention_tiles.h"

#include <omp.h>

typedef struct room {
    real *packed, *own;
    int64_t keys, values, thread; /* numbers of the packed keys and values of a head, and of a thread */
} room;

static room find_room(const k_attention *o, void *scratch)
{
    room r = {.packed = (real *)k_align_pointer(scratch)};
    r.keys = k_panel_columns(o->lk) * o->d;
    r.values = k_blocks(o->lk * k_panel_columns(o->d), VL) * VL;
    r.own = r.packed + o->n * o->heads * (r.keys + r.values);
    r.thread = QUERIES * (KEYS + 2 * k_panel_columns(o->d));
    return r;
}

size_t K(attention_scratch)(const k_attention *o)
{
    const room r = find_room(o, NULL);
    return 64 + (size_t)(o->n * o->heads * (r.keys + r.values) + omp_get_max_threads() * r.thread) * sizeof(real);
}

/* What a query tile knows of its rows so far. */
typedef struct progress {
    real most[QUERIES], m[QUERIES], l[QUERIES],
        keep[QUERIES]; /* of this tile; of all so far; sums; exp(m before - m) */
} progress;

/* The largest so far, and what is left of the sums and of acc with it. */
static void follow(progress *p)
{
    for (int64_t i = 0; i < QUERIES; i += VL) {
        const kv before = k_load(p->m + i), m = k_most(k_load(p->most + i), before);
        const kv keep = k_exp_below(before - k_choose(m == -(real)INFINITY, (kv){0}, m));
        k_store(p->m + i, m);
        k_store(p->keep + i, keep);
        k_store(p->l + i, k_load(p->l + i) * keep);
    }
}

/* A row of scores becomes weights, acc follows the new maximum. */
static void weigh_row(int64_t keys, progress *p, int64_t row, real *s, int64_t d, real *acc)
{
    const real m = p->m[row] == -(real)INFINITY ? 0 : p->m[row], keep = p->keep[row];
    kv sum = {0};
    for (int64_t i = 0; i < keys; i += VL) {
        const kv e = k_exp_below(k_load(s + i) - m);
        k_store(s + i, e);
        sum += e;
    }
    p->l[row] += k_add_lanes(sum);
    if (keep < 1)
        for (int64_t i = 0; i < d; i += VL) k_store(acc + i, k_load(acc + i) * keep);
}

static void query_tile(const k_attention *o, const room *r, int64_t n, int64_t h, int64_t first, const real *q, real *y,
                       real *lse, real *own)
{
    const int64_t rows = k_min(QUERIES, o->lq - first), d = k_panel_columns(o->d), stride = o->heads * o->d;
    const real *keys_at = r->packed + (n * o->heads + h) * (r->keys + r->values), *values_at = keys_at + r->keys;
    real *s = own, *acc = own + QUERIES * KEYS, *queries = acc + QUERIES * d;
    progress p = {.l = {0}};
    for (int64_t i = 0; i < rows * d; i++) acc[i] = 0;
    gather_rows(rows, o->d, q + row_at(o, n, o->lq, h, first), stride, queries);
    for (int64_t i = 0; i < QUERIES; i++) p.most[i] = p.m[i] = -(real)INFINITY;
    for (int64_t j = 0; j < o->lk; j += KEYS) {
        int64_t keys = k_min(KEYS, o->lk - j);
        const int mask = tile_mask(o, n, first, rows, j, &keys);
        if (mask == MASK_NONE) continue;
        tile_product(rows, k_panel_columns(keys), o->d, queries, o->d, keys_at + j * o->d, o->d, 0, s, KEYS, false);
        for (int64_t i = 0; i < rows; i++) {
            const real *bias = bias_row(o, h, first + i);
            const uint8_t *bytes = mask == MASK_SOME ? mask_row(o, n, first + i) + j : NULL;
            p.most[i] = finish_scores(keys, bias ? bias + j : NULL, bytes, s + i * KEYS);
        }
        follow(&p);
        for (int64_t i = 0; i < rows; i++) weigh_row(keys, &p, i, s + i * KEYS, d, acc + i * d);
        tile_product(rows, d, keys, s, KEYS, values_at, o->lk, j, acc, d, true);
    }
    for (int64_t i = 0; i < rows; i++) {
        const real inverse = p.l[i] > 0 ? 1 / p.l[i] : 0;
        real *to = y + row_at(o, n, o->lq, h, first + i);
#pragma omp simd
        for (int64_t c = 0; c < o->d; c++) to[c] = acc[i * d + c] * inverse;
        if (lse)
            lse[(n * o->heads + h) * o->lq + first + i] = p.l[i] > 0 ? p.m[i] + (real)log((double)p.l[i]) : (real)1e30;
    }
}

void K(attention)(const k_attention *o, const real *q, const real *k_, const real *v, real *y, real *lse, void *scratch)
{
    const room r = find_room(o, scratch);
    const int64_t all = o->n * o->heads, tiles = k_blocks(o->lq, QUERIES), stride = o->heads * o->d;
#pragma omp parallel
    {
        real *own = r.own + omp_get_thread_num() * r.thread;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < all; i++) {
            real *to = r.packed + i * (r.keys + r.values);
            const int64_t at = row_at(o, i / o->heads, o->lk, i % o->heads, 0);
            pack_columns(o->lk, o->d, k_ + at, stride, (real)o->scale, to);
            pack_rows(o->lk, o->d, v + at, stride, to + r.keys);
        }
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < all * tiles; i++)
            query_tile(o, &r, i / tiles / o->heads, i / tiles % o->heads, i % tiles * QUERIES, q, y, lse, own);
    }
}
