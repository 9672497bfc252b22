/* gemm: C = op(A) op(B) by OpenBLAS, one single-threaded call per tile of C.
 *
 * The tiles follow from m and n alone and the inner dimension is never cut, so the result does not depend on the number of
 * threads. OpenBLAS (its OpenMP build) runs serially inside a parallel region; a region of one thread counts as none, but
 * then OpenBLAS has one thread too. */
#include "vector.h"

#include <cblas.h>

#ifdef AG_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

enum { TILES = 32, TILE_LEAST = 64, TILE_MOST = 512 };

typedef struct tiling {
    int64_t rows, columns;
} tiling;

/* `size` in about `parts` parts, each a multiple of 32. */
static int64_t tile_size(int64_t size, int64_t parts)
{
    return k_min(k_max(k_blocks(k_blocks(size, parts), 32) * 32, TILE_LEAST), TILE_MOST);
}

/* `batch` matrices of this size: the more there are, the fewer tiles each needs. */
static tiling choose(int64_t m, int64_t n, int64_t batch)
{
    const bool tall = m >= n;
    const int64_t wide = tile_size(tall ? n : m, 1), parts = k_blocks(tall ? n : m, wide);
    const int64_t deep = tile_size(tall ? m : n, k_blocks(TILES, parts * batch));
    return tall ? (tiling){deep, wide} : (tiling){wide, deep};
}

/* A tile of the result, while it is in the cache. */
static void finish(const k_epilogue *e, int64_t rows, int64_t columns, int64_t at, int64_t column, int64_t n, real *c)
{
    for (int64_t i = 0; i < rows; i++, at += n) {
        if (e->bias)
            for (int64_t j = 0; j < columns; j++) c[at + j] += e->bias[column + j];
        if (e->residual)
            for (int64_t j = 0; j < columns; j++) c[at + j] += e->residual[at + j];
        if (e->activation == K_RELU)
            for (int64_t j = 0; j < columns; j++) c[at + j] = c[at + j] < 0 ? 0 : c[at + j];
    }
}

static const real *matrix(const k_strided *s, int rank, const int64_t *batch, int64_t i)
{
    const real *p = s->data;
    for (int axis = rank - 1; axis >= 0; axis--) {
        p += i % batch[axis] * s->stride[axis];
        i /= batch[axis];
    }
    return p;
}

void K(gemm_batch)(bool ta, bool tb, int rank, const int64_t *batch, int64_t m, int64_t n, int64_t kk,
                   const k_strided *as, const k_strided *bs, const k_epilogue *e, real *c)
{
    int64_t count = 1;
    for (int axis = 0; axis < rank; axis++) count *= batch[axis];
    const tiling t = choose(m, n, count);
    const int64_t across = k_blocks(n, t.columns), down = k_blocks(m, t.rows);
    const int lda = (int)k_max(ta ? m : kk, 1), ldb = (int)k_max(tb ? kk : n, 1), ldc = (int)k_max(n, 1);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < count * down * across; i++) {
        const int64_t item = i / across / down, y = i / across % down * t.rows, x = i % across * t.columns;
        const int64_t rows = k_min(t.rows, m - y), columns = k_min(t.columns, n - x), at = (item * m + y) * n + x;
        const real *a = matrix(as, rank, batch, item) + (ta ? y : y * kk),
                   *b = matrix(bs, rank, batch, item) + (tb ? x * kk : x);
        GEMM(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)rows, (int)columns,
             (int)kk, 1, a, lda, b, ldb, 0, c + at, ldc);
        if (e) finish(e, rows, columns, at, x, n, c);
    }
}

void K(gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, const real *b, real *c)
{
    K(gemm_batch)(ta, tb, 0, NULL, m, n, kk, &(k_strided){.data = a}, &(k_strided){.data = b}, NULL, c);
}
