/* nearest: the codebook search, fused with its product.
 *
 * argmin_j |z - e_j|^2 = argmax_j (z . e_j - |e_j|^2 / 2), so the sums of the register tile start at -|e_j|^2 / 2 and the
 * largest wins. Each lane keeps its own best over the panels (the first of equals, because only a larger value replaces
 * it); at the end the largest lane wins and among equal lanes the lowest code. A row with NaN beats nothing and gets 0.
 *
 * The codebook is packed once per call. A block of rows goes over one panel at a time, so a panel is read from memory once
 * per block. */
#include "vector.h"

#include <math.h>
#include <omp.h>

enum { BLOCK_BYTES = 128 << 10, BLOCK_MOST = 32 * K_ROWS };

/* What a block of rows knows so far, lane by lane. */
typedef struct best {
    kv value[BLOCK_MOST];
    ki code[BLOCK_MOST];
} best;

static int64_t block_rows(int64_t n, int64_t d)
{
    const int64_t fit = BLOCK_BYTES / (d * (int64_t)sizeof(real)) / K_ROWS * K_ROWS;
    return k_min(k_max(fit, K_ROWS), k_min(BLOCK_MOST, k_blocks(n, K_ROWS) * K_ROWS));
}

/* Panel: [K_PANEL] of -|e|^2/2, then [d][K_PANEL]. Codes that do not exist are infinitely far. */
static void pack_codes(int64_t d, int64_t codes, const real *e, int64_t panel, real *to)
{
    for (int64_t j = 0; j < K_PANEL; j++) {
        const int64_t code = panel * K_PANEL + j;
        real square = 0;
        for (int64_t i = 0; i < d; i++) {
            const real v = code < codes ? e[code * d + i] : 0;
            square += v * v;
            to[(i + 1) * K_PANEL + j] = v;
        }
        to[j] = code < codes ? square * (real)-0.5 : -(real)INFINITY;
    }
}

/* K_ROWS rows against one panel. */
static void search_tile(int64_t d, const real *const *rows, const real *panel, int64_t first_code, kv *value, ki *code)
{
    const k_terms terms = {.ky = 1, .kx = 1, .length = d};
    kv sum[K_ROWS][2];
    for (int p = 0; p < K_ROWS; p++) sum[p][0] = k_load(panel), sum[p][1] = k_load(panel + VL);
    k_tile_sum(K_ROWS, 2, &terms, rows, panel + K_PANEL, sum);
    ki lane;
    for (int i = 0; i < VL; i++) lane[i] = (k_lane)i + (k_lane)first_code;
    for (int p = 0; p < K_ROWS; p++)
        for (int v = 0; v < 2; v++) {
            const ki more = sum[p][v] > value[p];
            value[p] = k_choose(more, sum[p][v], value[p]);
            code[p] = (more & (lane + (k_lane)(v * VL))) | (~more & code[p]);
        }
}

static int32_t best_code(const best *b, int64_t row)
{
    int at = 0;
    for (int i = 1; i < VL; i++) {
        const real v = b->value[row][i], most = b->value[row][at];
        if (v > most || (v == most && b->code[row][i] < b->code[row][at])) at = i;
    }
    return (int32_t)b->code[row][at];
}

static void search_block(int64_t d, int64_t panels, const real *packed, const real *z, int64_t rows, int32_t *code)
{
    best b;
    for (int64_t i = 0; i < k_blocks(rows, K_ROWS) * K_ROWS; i++) {
        b.value[i] = (kv){0} - (real)INFINITY;
        b.code[i] = (ki){0};
    }
    for (int64_t panel = 0; panel < panels; panel++)
        for (int64_t i = 0; i < rows; i += K_ROWS) {
            const real *row[K_ROWS];
            for (int p = 0; p < K_ROWS; p++) row[p] = z + k_min(i + p, rows - 1) * d;
            search_tile(d, row, packed + panel * (d + 1) * K_PANEL, panel * K_PANEL, b.value + i, b.code + i);
        }
    for (int64_t i = 0; i < rows; i++) code[i] = best_code(&b, i);
}

size_t K(nearest_scratch)(int64_t n, int64_t d, int64_t codes)
{
    (void)n;
    return 64 + (size_t)k_blocks(codes, K_PANEL) * (size_t)(d + 1) * K_PANEL * sizeof(real);
}

void K(nearest)(int64_t n, int64_t d, int64_t codes, const real *z, const real *e, int32_t *code, void *scratch)
{
    real *packed = (real *)k_align_pointer(scratch);
    const int64_t panels = k_blocks(codes, K_PANEL), rows = block_rows(n, d);
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels; i++) pack_codes(d, codes, e, i, packed + i * (d + 1) * K_PANEL);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < k_blocks(n, rows); i++)
            search_block(d, panels, packed, z + i * rows * d, k_min(rows, n - i * rows), code + i * rows);
    }
}
