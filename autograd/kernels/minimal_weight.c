/* Weight gradients by minimal filtering: the loops that 3x3 (winograd_weight.c) and 4x4 of step 2 (stride2.c) share.
 *
 *   w = finish( sum over tiles of V^T D )      per frequency; V [tiles, rows] transformed source, D [tiles, columns] of the results
 *
 * A unit is a block of rows and columns and a share of the tiles. It takes the frequencies a group of lines at a time, so that its sums
 * and V and D of some tiles stay in the second-level cache: nothing but pixels comes from further away, and threads share nothing.
 *
 * The sums of a unit are finished at once, to one of `splits` partial weights, 9 or 16 numbers instead of 36 or 25; these are added
 * in order. The cuts follow from the sizes, so the bits do not depend on threads. */
#include "minimal_weight.h"
#include "minimal.h"

#include <omp.h>

/* Whole vectors and whole register tiles. */
enum { ROW_STEP = K_ROWS == 6 ? (VL > 2 ? 3 * VL : 6) : VL > K_ROWS ? VL : K_ROWS };
enum { ROWS = 128, COLUMNS = 128, TILES = 32 };
/* Units where there are many tiles, and where there are few: finishing a unit costs as much as 4 tiles. */
enum { UNITS = 32, MANY_TILES = 128, LEAST_UNITS = 8, LEAST_TILES = 32 };

typedef struct plan {
    int64_t down, across, splits;
    int64_t rows, columns; /* of a block */
    int64_t v_step, d_step, m_step;
    bool ragged; /* the last block's register tiles read rows that no transform writes */
    size_t v_bytes, d_bytes, m_bytes, w_bytes;
} plan;

static plan make_plan(const minimal_weight *j)
{
    plan p = {.down = k_blocks(j->rows, ROWS), .across = k_blocks(j->columns, COLUMNS)};
    p.rows = k_blocks(k_blocks(j->rows, p.down), ROW_STEP) * ROW_STEP;
    p.columns = k_blocks(k_blocks(j->columns, p.across), K_PANEL) * K_PANEL;
    p.down = k_blocks(j->rows, p.rows);
    p.across = k_blocks(j->columns, p.columns);
    const int64_t last = j->rows - (p.down - 1) * p.rows;
    p.ragged = k_blocks(last, K_ROWS) * K_ROWS > k_panel_columns(last);
    const int64_t blocks = p.down * p.across, tiles = j->tiles->count;
    p.splits = k_max(k_min(k_blocks(UNITS, blocks), tiles / MANY_TILES), 1);
    p.splits = k_max(k_min(k_blocks(LEAST_UNITS, blocks), tiles / LEAST_TILES), p.splits);
    p.v_step = TILES * p.rows + VL; /* not a multiple of 4 KiB, which would share a cache set */
    p.d_step = TILES * p.columns + VL;
    p.m_step = p.rows * p.columns + VL;
    const int64_t most = j->frequencies[0]; /* no group has more */
    p.v_bytes = k_align((size_t)(most * p.v_step) * sizeof(real));
    p.d_bytes = k_align((size_t)(most * p.d_step) * sizeof(real));
    p.m_bytes = k_align((size_t)(most * p.m_step) * sizeof(real));
    p.w_bytes = p.splits > 1 ? k_align((size_t)j->numel * sizeof(real)) : 0;
    return p;
}

static size_t thread_bytes(const plan *p) { return p->v_bytes + p->d_bytes + p->m_bytes; }

size_t K(minimal_weight_scratch)(const minimal_weight *j)
{
    const plan p = make_plan(j);
    return 64 + (size_t)omp_get_max_threads() * thread_bytes(&p) + (size_t)p.splits * p.w_bytes;
}

/* One block of the sums and the tiles it is made of. */
typedef struct unit {
    int64_t row, rows, column, columns, tile, end;
} unit;

static unit find_unit(const minimal_weight *j, const plan *p, int64_t i)
{
    const int64_t split = i / (p->down * p->across), block = i % (p->down * p->across);
    unit u = {.row = block / p->across * p->rows, .column = block % p->across * p->columns};
    u.rows = k_min(p->rows, j->rows - u.row);
    u.columns = k_min(p->columns, j->columns - u.column);
    u.tile = j->tiles->count * split / p->splits;
    u.end = j->tiles->count * (split + 1) / p->splits;
    return u;
}

/* M[f][panel][row][lane] = or += V[f]^T D[f] */
static void multiply(const plan *p, const unit *u, int frequencies, const real *v, const real *d, int64_t tiles,
                     bool first, real *m)
{
    for (int f = 0; f < frequencies; f++, v += p->v_step, d += p->d_step, m += p->m_step)
        for (int64_t column = 0; column < u->columns; column += K_PANEL) {
            const int64_t lanes = k_min(K_PANEL, k_panel_columns(u->columns) - column);
            real *to = m + column * p->rows;
            for (int64_t row = 0; row < u->rows; row += K_ROWS, to += K_ROWS * lanes)
                if (lanes > VL)
                    minimal_add(v + row, p->rows, d + column, p->columns, tiles, first, to, 2);
                else
                    minimal_add(v + row, p->rows, d + column, p->columns, tiles, first, to, 1);
        }
}

static void finish_group(const minimal_weight *j, const plan *p, const unit *u, int group, const real *m, real *w)
{
    for (int64_t row = 0; row < u->rows; row++)
        for (int64_t column = 0; column < u->columns; column += VL) {
            const int64_t panel = column / K_PANEL * K_PANEL,
                          lanes = k_min(K_PANEL, k_panel_columns(u->columns) - panel);
            j->finish(j->self, group, m + panel * p->rows + row * lanes + column - panel, p->m_step, u->row + row,
                      u->column + column, w);
        }
}

static void run_unit(const minimal_weight *j, const plan *p, const unit *u, real *v, real *d, real *m, real *w)
{
    for (int group = 0; group < LINE_GROUPS; group++) {
        for (int64_t t = u->tile; t < u->end; t += TILES) {
            const int64_t tiles = k_min(TILES, u->end - t);
            for (int64_t i = 0; i < tiles; i++) {
                j->source(j->self, group, t + i, u->row, u->rows, p->v_step, v + i * p->rows);
                j->gradient(j->self, group, t + i, u->column, u->columns, p->d_step, d + i * p->columns);
            }
            multiply(p, u, j->frequencies[group], v, d, tiles, t == u->tile, m);
        }
        finish_group(j, p, u, group, m, w);
    }
}

static void add_parts(const minimal_weight *j, const plan *p, const real *parts, real *w)
{
    const int64_t step = (int64_t)(p->w_bytes / sizeof(real)), slice = 1024;
#pragma omp for schedule(static)
    for (int64_t first = 0; first < j->numel; first += slice) {
        const int64_t end = k_min(first + slice, j->numel);
        for (int64_t i = first; i < end; i++) w[i] = parts[i];
        for (int64_t s = 1; s < p->splits; s++)
            for (int64_t i = first; i < end; i++) w[i] += parts[s * step + i];
    }
}

void K(minimal_weight_run)(const minimal_weight *j, real *w, void *scratch)
{
    const plan p = make_plan(j);
    char *own = k_align_pointer(scratch);
    real *parts = (real *)(own + (size_t)omp_get_max_threads() * thread_bytes(&p));
    const int64_t blocks = p.down * p.across, part = (int64_t)(p.w_bytes / sizeof(real));
#pragma omp parallel
    {
        real *v = (real *)(own + (size_t)omp_get_thread_num() * thread_bytes(&p)), *d = v + p.v_bytes / sizeof(real),
             *m = d + p.d_bytes / sizeof(real);
        if (p.ragged) memset(v, 0, p.v_bytes);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < blocks * p.splits; i++) {
            const unit u = find_unit(j, &p, i);
            run_unit(j, &p, &u, v, d, m, p.splits > 1 ? parts + i / blocks * part : w);
        }
        if (p.splits > 1) add_parts(j, &p, parts, w);
    }
}
