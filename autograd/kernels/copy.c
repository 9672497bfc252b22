/* copy: the elements of one strided array into another of the same shape: slices, concatenation, permutations, flips.
 * pad: a block into the middle of a larger one, and a constant around it, in one pass.
 * take, put: rows of each item of a batch by number, and back.
 *
 * Neighbouring axes that both sides of a copy walk in one stride become one axis. If the fastest axis of the source is
 * another than that of the result, squares of both are turned round in registers, so that both sides are read and
 * written in whole vectors; else rows are moved. */
#include "vector.h"

enum { AXES = 6, TILE = 16384, SQUARE = 32 };

/* Axes in the order of the result, the last one the fastest, at least two. Strides in elements. */
typedef struct walk {
    int rank;
    int64_t shape[AXES], x[AXES], y[AXES];
} walk;

static void prepend(walk *w, int64_t stride)
{
    for (int axis = w->rank++; axis > 0; axis--)
        w->shape[axis] = w->shape[axis - 1], w->x[axis] = w->x[axis - 1], w->y[axis] = w->y[axis - 1];
    w->shape[0] = 1;
    w->x[0] = w->y[0] = stride;
}

static walk collapse(int rank, const int64_t *shape, const int64_t *xs, const int64_t *ys)
{
    walk w = {0};
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] == 1) continue;
        const int n = w.rank;
        const bool merge = n > 0 && w.x[n - 1] == xs[axis] * shape[axis] && w.y[n - 1] == ys[axis] * shape[axis];
        if (!merge) w.shape[w.rank++] = 1;
        w.shape[w.rank - 1] *= shape[axis];
        w.x[w.rank - 1] = xs[axis];
        w.y[w.rank - 1] = ys[axis];
    }
    if (w.rank == 0) prepend(&w, 1);
    if (w.rank == 1) prepend(&w, 0);
    return w;
}

/* Element offsets of position `i` in the leading `axes`, without `skip`. */
static void offsets(const walk *w, int axes, int skip, int64_t i, int64_t *x, int64_t *y)
{
    *x = *y = 0;
    for (int axis = axes - 1; axis >= 0; axis--) {
        if (axis == skip) continue;
        *x += i % w->shape[axis] * w->x[axis];
        *y += i % w->shape[axis] * w->y[axis];
        i /= w->shape[axis];
    }
}

/* The axis that the source walks one by one where it is not the last; -1 if rows are as good. */
static int turned_axis(const walk *w)
{
    const int last = w->rank - 1;
    if (w->y[last] != 1 || w->x[last] == 1 || w->shape[last] < 4) return -1;
    for (int axis = 0; axis < last; axis++)
        if (w->x[axis] == 1 && w->shape[axis] >= 4) return axis;
    return -1;
}

#if K_VECTOR_BYTES >= 32
#define LANES4      8
#define LOW4_LANES  0, 8, 1, 9, 2, 10, 3, 11
#define HIGH4_LANES 4, 12, 5, 13, 6, 14, 7, 15
#define LANES8      4
#define LOW8_LANES  0, 4, 1, 5
#define HIGH8_LANES 2, 6, 3, 7
#else
#define LANES4      4
#define LOW4_LANES  0, 4, 1, 5
#define HIGH4_LANES 2, 6, 3, 7
#define LANES8      2
#define LOW8_LANES  0, 2
#define HIGH8_LANES 1, 3
#endif

#define ELEMENT    uint32_t
#define NAME(name) name##_4
#define LANES      LANES4
#define LOW        LOW4_LANES
#define HIGH       HIGH4_LANES
#include "copy_type.h"

#define ELEMENT    uint64_t
#define NAME(name) name##_8
#define LANES      LANES8
#define LOW        LOW8_LANES
#define HIGH       HIGH8_LANES
#include "copy_type.h"

#define ELEMENT    uint8_t
#define NAME(name) name##_1
#include "copy_type.h"

void K(copy)(int size, int rank, const int64_t *shape, const void *x, const int64_t *xs, void *y, const int64_t *ys)
{
    const walk w = collapse(rank, shape, xs, ys);
    const int axis = turned_axis(&w);
    if (size == 4 && axis >= 0)
        copy_turned_4(&w, axis, x, y);
    else if (size == 8 && axis >= 0)
        copy_turned_8(&w, axis, x, y);
    else if (size == 4)
        copy_rows_4(&w, x, y);
    else if (size == 8)
        copy_rows_8(&w, x, y);
    else if (axis >= 0)
        copy_turned_1(&w, axis, x, y);
    else
        copy_rows_1(&w, x, y);
}

/* ---- pad --------------------------------------------------------------------------------------------------------------- */

static void fill(real *y, int64_t n, real value)
{
    for (int64_t i = 0; i < n; i++) y[i] = value;
}

/* Where the row of y numbered `i` (over the axes before the last) is in x; -1: all border. */
static int64_t source_row(int axes, const int64_t *shape, const int64_t *before, const int64_t *out, int64_t i)
{
    int64_t row = 0, stride = 1;
    for (int axis = axes - 1; axis >= 0; axis--) {
        const int64_t at = i % out[axis] - before[axis];
        if (at < 0 || at >= shape[axis]) return -1;
        row += at * stride;
        stride *= shape[axis];
        i /= out[axis];
    }
    return row;
}

/* Columns [from, to) of one row of y; the row of x (NULL: none) is at columns [before, before + n). */
static void pad_row(const real *x, int64_t n, int64_t before, int64_t from, int64_t to, real value, real *y)
{
    const int64_t a = x ? k_min(k_max(before, from), to) : to, b = x ? k_max(k_min(before + n, to), a) : to;
    fill(y + from, a - from, value);
    if (b > a) memcpy(y + a, x + a - before, (size_t)(b - a) * sizeof *y);
    fill(y + b, to - b, value);
}

void K(pad)(int rank, const int64_t *shape, const int64_t *before, const int64_t *out, real value, const real *x,
            real *y)
{
    int64_t inner = 1, rows = 1;
    while (rank > 1 && shape[rank - 1] == out[rank - 1]) inner *= shape[--rank];
    const int64_t n = rank ? shape[rank - 1] * inner : 1, wide = rank ? out[rank - 1] * inner : 1;
    const int64_t first = rank ? before[rank - 1] * inner : 0;
    for (int axis = 0; axis < rank - 1; axis++) rows *= out[axis];
    const int64_t high = k_max(TILE / wide, 1), piece = k_min(wide, TILE);
    const int64_t down = k_blocks(rows, high), across = k_blocks(wide, piece);
#pragma omp parallel for schedule(static) if (rows * wide > 2 * TILE)
    for (int64_t t = 0; t < down * across; t++) {
        const int64_t from = t % across * piece, to = k_min(from + piece, wide);
        for (int64_t r = t / across * high; r < k_min((t / across + 1) * high, rows); r++) {
            const int64_t row = source_row(rank - 1, shape, before, out, r);
            pad_row(row < 0 ? NULL : x + row * n, n, first, from, to, value, y + r * wide);
        }
    }
}

/* ---- rows by number ------------------------------------------------------------------------------------------------------ */

void K(take)(int64_t n, int64_t rows, int64_t picks, int64_t d, const real *x, const int32_t *index, real *y)
{
#pragma omp parallel for schedule(static) if (n * picks * d > 2 * TILE)
    for (int64_t i = 0; i < n * picks; i++)
        memcpy(y + i * d, x + (i / picks * rows + index[i]) * d, (size_t)d * sizeof *y);
}

void K(put)(int64_t n, int64_t rows, int64_t picks, int64_t d, const real *x, const int32_t *index, real *y)
{
    const int64_t piece = k_min(d, 64), pieces = k_blocks(d, piece);
#pragma omp parallel for schedule(static) if (n * (rows + picks) * d > 2 * TILE)
    for (int64_t t = 0; t < n * pieces; t++) {
        const int64_t image = t / pieces, from = t % pieces * piece, count = k_min(piece, d - from);
        for (int64_t r = 0; r < rows; r++) memset(y + (image * rows + r) * d + from, 0, (size_t)count * sizeof *y);
        for (int64_t i = image * picks; i < (image + 1) * picks; i++) {
            const real *a = x + i * d + from;
            real *b = y + (image * rows + index[i]) * d + from;
            for (int64_t j = 0; j < count; j++) b[j] += a[j];
        }
    }
}
