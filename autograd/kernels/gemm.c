/* gemm: C = op(A) op(B) with bias, residual and activation, in register tiles of K_ROWS rows by two vectors of columns (vector.h).
 *
 * C is cut into units of up to UNIT_ROWS rows, a thread's work each; a unit walks the inner dimension in chunks of TERMS:
 *
 *   for each chunk:   A's rows of the unit are read where they lie, or, transposed, packed as [tile of rows][term][K_ROWS]
 *     for each panel: its terms of B are packed as [term][K_PANEL], which stay in the first or second cache
 *       for each tile of rows: C's tile (+)= rows times panel, sums in registers; the last chunk adds bias and residual
 *
 * Few rows (a step of sampling) read B where it lies: packing would cost as much as the product. A sum is made of whole chunks in
 * order wherever its element lies in a unit, so the result does not depend on the number of threads.
 * Goto, van de Geijn 2008, "Anatomy of high-performance matrix multiplication", with one level of packing less. */
#include "gemm.h"

/* ---- packing ------------------------------------------------------------------------------------------------------------ */

static void pack_rows_of_b(const real *b, int64_t b_term, int64_t terms, int64_t lanes, int64_t width, real *to)
{
    if (lanes == K_PANEL) {
        for (int64_t i = 0; i < terms; i++, b += b_term, to += K_PANEL) {
            k_store(to, k_load(b));
            k_store(to + VL, k_load(b + VL));
            /* the next panel's line: rows lie too far apart for the hardware to guess */
            __builtin_prefetch(b + K_PANEL);
            __builtin_prefetch(b + K_PANEL + VL);
        }
        return;
    }
    for (int64_t i = 0; i < terms; i++, b += b_term, to += width) {
        for (int64_t j = 0; j < lanes; j++) to[j] = b[j];
        for (int64_t j = lanes; j < width; j++) to[j] = 0;
    }
}

/* The same of a transposed B, a cache line of each column at a time: of columns a page apart few lines fit the first cache. */
static void pack_columns_of_b(const real *b, int64_t b_column, int64_t terms, int64_t lanes, int64_t width, real *to)
{
    enum { LINE = 64 / sizeof(real) };
    const int64_t blocks = lanes / 4 * 4, whole = terms / 4 * 4;
    for (int64_t first = 0; first < whole; first += LINE)
        for (int64_t j = 0; j < blocks; j += 4)
            for (int64_t i = first; i < k_min(first + LINE, whole); i += 4)
                k_transpose_4(b + j * b_column + i, b_column, to + i * width + j, width);
    for (int64_t i = 0; i < terms; i++)
        for (int64_t j = i < whole ? blocks : 0; j < width; j++)
            to[i * width + j] = j < lanes ? b[j * b_column + i] : 0;
}

/* Rows y0.. of a transposed A: [tile][term][K_ROWS], two tiles at a time, which share cache lines; rows that do not exist repeat
 * the last. */
static void pack_a(const product *p, int64_t y0, int64_t y1, int64_t i0, int64_t terms, real *to)
{
    const int64_t whole = (y1 - y0) / K_ROWS, rest = (y1 - y0) % K_ROWS, tile = terms * K_ROWS;
    const real *first = p->a + y0 + i0 * p->a_term;
    for (int64_t t = 0; t < whole; t += 2) {
        const real *from = first + t * K_ROWS;
        real *at = to + t * tile;
        for (int64_t i = 0; i < terms; i++, from += p->a_term, at += K_ROWS) {
            memcpy(at, from, K_ROWS * sizeof(real));
            if (t + 1 < whole) memcpy(at + tile, from + K_ROWS, K_ROWS * sizeof(real));
        }
    }
    for (int64_t i = 0; rest && i < terms; i++)
        for (int64_t r = 0; r < K_ROWS; r++)
            to[whole * tile + i * K_ROWS + r] = first[i * p->a_term + whole * K_ROWS + k_min(r, rest - 1)];
}

/* ---- the register tile ------------------------------------------------------------------------------------------------- */

/* Rows y.. times the panel, `count` at a time of which `rows` exist; row r of A begins at a + r * a_row, its terms lie
 * a_term apart. */
K_INLINE void tile(const product *p, const panel *q, int64_t y, int64_t rows, const real *a, const int64_t a_row,
                   const int64_t a_term, const int count, const int vectors)
{
    kv sum[K_ROWS][2];
    const real *row[K_ROWS], *b = q->b;
#pragma GCC unroll 8
    for (int r = 0; r < count; r++) {
        row[r] = a + (r < rows ? r : rows - 1) * a_row;
        sum[r][0] = sum[r][1] = (kv){0};
    }
    prefetch_tile(p, q, y, rows, count, vectors);
    for (int64_t i = 0; i < q->terms; i++, b += q->b_term) {
        const kv b0 = k_load(b), b1 = vectors > 1 ? k_load(b + VL) : (kv){0};
#pragma GCC unroll 8
        for (int r = 0; r < count; r++) {
            const real x = row[r][i * a_term];
            sum[r][0] += b0 * x;
            if (vectors > 1) sum[r][1] += b1 * x;
        }
    }
    store_tile(p, q, y, rows, sum, count, vectors);
}

typedef void tile_function(const product *p, const panel *q, int64_t y, int64_t rows, const real *a);

static void single_1(const product *p, const panel *q, int64_t y, int64_t rows, const real *a)
{
    tile(p, q, y, rows, a, p->a_row, 1, 1, 1);
}

static void single_2(const product *p, const panel *q, int64_t y, int64_t rows, const real *a)
{
    tile(p, q, y, rows, a, p->a_row, 1, 1, 2);
}

static void lying_1(const product *p, const panel *q, int64_t y, int64_t rows, const real *a)
{
    tile(p, q, y, rows, a, p->a_row, 1, K_ROWS, 1);
}

static void lying_2(const product *p, const panel *q, int64_t y, int64_t rows, const real *a)
{
    tile(p, q, y, rows, a, p->a_row, 1, K_ROWS, 2);
}

static void packed_1(const product *p, const panel *q, int64_t y, int64_t rows, const real *a)
{
    tile(p, q, y, rows, a, 1, K_ROWS, K_ROWS, 1);
}

static void packed_2(const product *p, const panel *q, int64_t y, int64_t rows, const real *a)
{
    tile(p, q, y, rows, a, 1, K_ROWS, K_ROWS, 2);
}

/* ---- units --------------------------------------------------------------------------------------------------------------- */

/* The panel at column x of the chunk that begins at term i; packed into `room` unless it can be read where it lies. */
static void open_panel(const product *p, const unit *u, int64_t x, int64_t i, panel *q, real *room)
{
    const real *b = p->b + i * p->b_term + x * p->b_column;
    q->x = x;
    q->lanes = k_min(u->x1 - x, K_PANEL);
    const int64_t width = k_panel_columns(q->lanes);
    if (p->m <= FEW_ROWS && p->b_column == 1 && q->lanes == width) {
        q->b = b;
        q->b_term = p->b_term;
        return;
    }
    q->b = room;
    q->b_term = width;
    if (p->b_column == 1)
        pack_rows_of_b(b, p->b_term, q->terms, q->lanes, width, room);
    else
        pack_columns_of_b(b, p->b_column, q->terms, q->lanes, width, room);
}

/* The next tile's rows of A, for the first panel; later panels find them in the cache. */
static void prefetch_rows(const product *p, const unit *u, int64_t y, int64_t i, int64_t terms)
{
    for (int64_t r = y; r < k_min(y + K_ROWS, u->y1); r++)
        for (int64_t t = 0; t < terms; t += 64 / (int64_t)sizeof(real)) __builtin_prefetch(p->a + r * p->a_row + i + t);
}

static void run_unit(const product *p, const unit *u)
{
    _Alignas(64) real packed_b[TERMS * K_PANEL], packed_a[UNIT_ROWS * TERMS];
    const bool packed = p->a_term != 1;
    int64_t i = 0;
    do {
        panel q = {.terms = k_min(TERMS, p->kk - i), .first = i == 0, .last = i + TERMS >= p->kk};
        if (packed) pack_a(p, u->y0, u->y1, i, q.terms, packed_a);
        for (int64_t x = u->x0; x < u->x1; x += K_PANEL) {
            open_panel(p, u, x, i, &q, packed_b);
            const bool two = k_panel_columns(q.lanes) > VL;
            tile_function *run = packed     ? two ? packed_2 : packed_1
                                 : p->m > 1 ? two ? lying_2 : lying_1
                                 : two      ? single_2
                                            : single_1;
            for (int64_t y = u->y0; y < u->y1; y += K_ROWS) {
                if (x == u->x0 && !packed) prefetch_rows(p, u, y + K_ROWS, i, q.terms);
                run(p, &q, y, k_min(K_ROWS, u->y1 - y),
                    packed ? packed_a + (y - u->y0) * q.terms : p->a + y * p->a_row + i);
            }
        }
        i += TERMS;
    } while (i < p->kk);
}

void K(gemm_batch)(bool ta, bool tb, int rank, const int64_t *batch, int64_t m, int64_t n, int64_t kk,
                   const k_strided *as, const k_strided *bs, const k_epilogue *e, real *c)
{
    run_batch(ta, tb, rank, batch, m, n, kk, as, bs, e, c, run_unit);
}

void K(gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, const real *b, real *c)
{
    K(gemm_batch)(ta, tb, 0, NULL, m, n, kk, &(k_strided){.data = a}, &(k_strided){.data = b}, NULL, c);
}
