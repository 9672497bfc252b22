/* Weight gradients by minimal filtering: the loops that 3x3 (winograd_weight.c) and 4x4 of step 2 (stride2.c) share.
 *
 *   w = finish( sum over tiles of V^T D )      per frequency; V [tiles, rows] transformed source, D [tiles, columns] of the results
 *
 * The threads go together through chunks of tiles: first they make V and D of a chunk, each some tiles, then they add V^T D to the
 * sums, each some panels of columns of some frequencies. So every tile is transformed once and every sum finished once. V and D of
 * a chunk stay in the third-level cache, those of one frequency in the second. A sum takes its tiles in order, whatever the chunks and
 * the threads, so these change no bit. */
#include "minimal_weight.h"
#include "minimal.h"

#include <omp.h>

/* Whole vectors and whole register tiles. */
enum { ROW_STEP = K_ROWS == 6 ? (VL > 2 ? 3 * VL : 6) : VL > K_ROWS ? VL : K_ROWS };
/* V and D of a chunk: a thread's share of the third-level cache, of so many threads at most; no fewer tiles than these. */
enum { SHARE_BYTES = 2500 << 10, SHARES = 16, LEAST_TILES = 32 };

typedef struct plan {
    int64_t rows, columns, tiles; /* whole register tiles; tiles of a chunk */
    int64_t v_step, d_step, m_step;
    bool ragged; /* the last register tiles read rows that no transform writes */
    size_t v_bytes, d_bytes, m_bytes;
} plan;

static plan make_plan(const minimal_weight *j)
{
    plan p = {.rows = k_blocks(j->rows, ROW_STEP) * ROW_STEP, .columns = k_panel_columns(j->columns)};
    p.ragged = k_blocks(j->rows, K_ROWS) * K_ROWS > k_panel_columns(j->rows);
    const int64_t fit = k_min(omp_get_max_threads(), SHARES) * SHARE_BYTES /
                        (j->frequencies * (p.rows + p.columns) * (int64_t)sizeof(real));
    p.tiles = k_blocks(j->tiles->count, k_blocks(j->tiles->count, k_max(fit, LEAST_TILES)));
    p.v_step = p.tiles * p.rows + VL; /* not a multiple of 4 KiB, which would share a cache set */
    p.d_step = p.tiles * p.columns + VL;
    p.m_step = p.rows * p.columns + VL;
    p.v_bytes = k_align((size_t)(j->frequencies * p.v_step) * sizeof(real));
    p.d_bytes = k_align((size_t)(j->frequencies * p.d_step) * sizeof(real));
    p.m_bytes = k_align((size_t)(j->frequencies * p.m_step) * sizeof(real));
    return p;
}

size_t K(minimal_weight_scratch)(const minimal_weight *j)
{
    const plan p = make_plan(j);
    return 64 + p.v_bytes + p.d_bytes + p.m_bytes;
}

/* M[panel][row][lane] = or += V^T D, one panel of one frequency. */
static void add_panel(const minimal_weight *j, const plan *p, const real *v, const real *d, int64_t tiles, bool first,
                      int64_t lanes, real *m)
{
    for (int64_t row = 0; row < j->rows; row += K_ROWS, m += K_ROWS * lanes)
        if (lanes > VL)
            minimal_add(v + row, p->rows, d, p->columns, tiles, first, m, 2);
        else
            minimal_add(v + row, p->rows, d, p->columns, tiles, first, m, 1);
}

static void finish_row(const minimal_weight *j, const plan *p, const real *m, int64_t row, real *w)
{
    for (int64_t column = 0; column < j->columns; column += VL) {
        const int64_t panel = column / K_PANEL * K_PANEL, lanes = k_min(K_PANEL, p->columns - panel);
        j->finish(j->self, m + panel * p->rows + row * lanes + column - panel, p->m_step, row, column, w);
    }
}

void K(minimal_weight_run)(const minimal_weight *j, real *w, void *scratch)
{
    const plan p = make_plan(j);
    const int64_t panels = k_blocks(p.columns, K_PANEL);
    real *v = (real *)k_align_pointer(scratch), *d = v + p.v_bytes / sizeof(real), *m = d + p.d_bytes / sizeof(real);
    if (p.ragged) memset(v, 0, p.v_bytes);
#pragma omp parallel
    {
        for (int64_t first = 0; first < j->tiles->count; first += p.tiles) {
            const int64_t tiles = k_min(p.tiles, j->tiles->count - first);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < tiles; i++) {
                j->source(j->self, first + i, p.v_step, v + i * p.rows);
                j->gradient(j->self, first + i, p.d_step, d + i * p.columns);
            }
#pragma omp for schedule(dynamic)
            for (int64_t i = 0; i < j->frequencies * panels; i++) {
                const int64_t f = i / panels, column = i % panels * K_PANEL;
                add_panel(j, &p, v + f * p.v_step, d + f * p.d_step + column, tiles, first == 0,
                          k_min(K_PANEL, p.columns - column), m + f * p.m_step + column * p.rows);
            }
        }
#pragma omp for schedule(static)
        for (int64_t row = 0; row < j->rows; row++) finish_row(j, &p, m, row, w);
    }
}
