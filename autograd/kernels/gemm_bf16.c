/* gemm_batch with operands rounded to bf16 and sums in fp32 (bf16.h), cut and stored as in gemm.c:
 *
 *   for each chunk:   A's rows of the unit are packed as [row][pair], or, transposed, as [tile of rows][pair][K_ROWS]
 *     for each panel: its terms of B are packed as [pair][K_PANEL]
 *       for each tile of rows: C's tile (+)= rows times panel, a pair of terms at a time
 *
 * Packing rounds, so each operand is read once per unit and the loops see half the bytes. */
#include "bf16.h"
#include "gemm.h"

enum { PAIRS = TERMS / PAIR };

/* ---- packing ------------------------------------------------------------------------------------------------------------ */

static void pack_rows_of_b(const real *b, int64_t b_term, int64_t terms, int64_t lanes, int64_t width, k_pair *to)
{
    for (int64_t i = 0; i < terms; i += PAIR, b += PAIR * b_term, to += width) {
        const real *next = i + PAIR <= terms ? b + (PAIR - 1) * b_term : NULL;
        if (lanes == K_PANEL)
            k_pairs_of_rows(b, next, K_PANEL, to);
        else
            k_pairs_of_rows(b, next, lanes, to);
        for (int64_t j = lanes; j < width; j++) to[j] = 0;
        __builtin_prefetch(b + K_PANEL);
        __builtin_prefetch(b + b_term + K_PANEL);
    }
}

/* The same of a transposed B, column by column. */
static void pack_columns_of_b(const real *b, int64_t b_column, int64_t terms, int64_t lanes, int64_t width, k_pair *to)
{
    _Alignas(64) k_pair line[K_PANEL * PAIRS];
    const int64_t pairs = k_blocks(terms, PAIR), blocks = lanes / 4 * 4, whole = pairs / 4 * 4;
    for (int64_t j = 0; j < lanes; j++) k_pairs_of_terms(b + j * b_column, terms, line + j * PAIRS);
    for (int64_t i = 0; i < whole; i += 4)
        for (int64_t j = 0; j < blocks; j += 4) k_transpose_4(line + j * PAIRS + i, PAIRS, to + i * width + j, width);
    for (int64_t i = 0; i < pairs; i++)
        for (int64_t j = i < whole ? blocks : 0; j < width; j++)
            to[i * width + j] = j < lanes ? line[j * PAIRS + i] : 0;
}

/* Rows [y0,y1) of a transposed A: [tile][pair][K_ROWS]; rows that do not exist are never stored, but finite. */
static void pack_columns_of_a(const product *p, int64_t y0, int64_t y1, int64_t i0, int64_t terms, k_pair *to)
{
    k_pair line[UNIT_ROWS];
    const int64_t pairs = k_blocks(terms, PAIR), rows = y1 - y0;
    for (int64_t i = 0; i < pairs; i++) {
        const real *from = p->a + y0 + (i0 + i * PAIR) * p->a_term;
        k_pairs_of_rows(from, (i + 1) * PAIR <= terms ? from + (PAIR - 1) * p->a_term : NULL, rows, line);
        for (int64_t r = rows; r % K_ROWS; r++) line[r] = 0;
        for (int64_t r = 0; r < rows; r += K_ROWS)
            memcpy(to + r * pairs + i * K_ROWS, line + r, K_ROWS * sizeof(k_pair));
    }
}

static void pack_rows_of_a(const product *p, int64_t y0, int64_t y1, int64_t i0, int64_t terms, k_pair *to)
{
    for (int64_t y = y0; y < y1; y++, to += PAIRS) k_pairs_of_terms(p->a + y * p->a_row + i0, terms, to);
}

/* ---- the register tile ------------------------------------------------------------------------------------------------- */

/* Row r of A begins at a + r * a_row, its pairs lie a_pair apart. */
K_INLINE void tile(const product *p, const panel *q, int64_t y, int64_t rows, const k_pair *a, const int64_t a_row,
                   const int64_t a_pair, const k_pair *b, const int vectors)
{
    kv sum[K_ROWS][2];
    const k_pair *row[K_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < K_ROWS; r++) {
        row[r] = a + (r < rows ? r : rows - 1) * a_row;
        sum[r][0] = sum[r][1] = (kv){0};
    }
    prefetch_tile(p, q, y, rows, K_ROWS, vectors);
    k_pairs_tile(k_blocks(q->terms, PAIR), row, a_pair, b, vectors, sum);
    store_tile(p, q, y, rows, sum, K_ROWS, vectors);
}

typedef void tile_function(const product *p, const panel *q, int64_t y, int64_t rows, const k_pair *a, const k_pair *b);

static void rows_1(const product *p, const panel *q, int64_t y, int64_t rows, const k_pair *a, const k_pair *b)
{
    tile(p, q, y, rows, a, PAIRS, 1, b, 1);
}

static void rows_2(const product *p, const panel *q, int64_t y, int64_t rows, const k_pair *a, const k_pair *b)
{
    tile(p, q, y, rows, a, PAIRS, 1, b, 2);
}

static void columns_1(const product *p, const panel *q, int64_t y, int64_t rows, const k_pair *a, const k_pair *b)
{
    tile(p, q, y, rows, a, 1, K_ROWS, b, 1);
}

static void columns_2(const product *p, const panel *q, int64_t y, int64_t rows, const k_pair *a, const k_pair *b)
{
    tile(p, q, y, rows, a, 1, K_ROWS, b, 2);
}

/* ---- units --------------------------------------------------------------------------------------------------------------- */

static void run_unit(const product *p, const unit *u)
{
    _Alignas(64) k_pair packed_b[PAIRS * K_PANEL], packed_a[UNIT_ROWS * PAIRS];
    const bool turned = p->a_term != 1;
    for (int64_t i = 0; i == 0 || i < p->kk; i += TERMS) {
        panel q = {.terms = k_min(TERMS, p->kk - i), .first = i == 0, .last = i + TERMS >= p->kk};
        (turned ? pack_columns_of_a : pack_rows_of_a)(p, u->y0, u->y1, i, q.terms, packed_a);
        const int64_t row = turned ? k_blocks(q.terms, PAIR) : PAIRS;
        for (q.x = u->x0; q.x < u->x1; q.x += K_PANEL) {
            q.lanes = k_min(u->x1 - q.x, K_PANEL);
            const int64_t width = k_panel_columns(q.lanes);
            const bool two = width > VL;
            tile_function *run = turned ? two ? columns_2 : columns_1 : two ? rows_2 : rows_1;
            const real *b = p->b + i * p->b_term + q.x * p->b_column;
            if (p->b_column == 1)
                pack_rows_of_b(b, p->b_term, q.terms, q.lanes, width, packed_b);
            else
                pack_columns_of_b(b, p->b_column, q.terms, q.lanes, width, packed_b);
            for (int64_t y = u->y0; y < u->y1; y += K_ROWS)
                run(p, &q, y, k_min(K_ROWS, u->y1 - y), packed_a + (y - u->y0) * row, packed_b);
        }
    }
}

void K(gemm_batch_bf16)(bool ta, bool tb, int rank, const int64_t *batch, int64_t m, int64_t n, int64_t kk,
                        const k_strided *as, const k_strided *bs, const k_epilogue *e, real *c)
{
    run_batch(ta, tb, rank, batch, m, n, kk, as, bs, e, c, run_unit);
}
