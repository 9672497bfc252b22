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

static tiling choose(int64_t m, int64_t n)
{
    const bool tall = m >= n;
    const int64_t wide = tile_size(tall ? n : m, 1), parts = k_blocks(tall ? n : m, wide);
    const int64_t deep = tile_size(tall ? m : n, k_blocks(TILES, parts));
    return tall ? (tiling){deep, wide} : (tiling){wide, deep};
}

void K(gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, const real *b, real *c)
{
    const tiling t = choose(m, n);
    const int64_t across = k_blocks(n, t.columns), down = k_blocks(m, t.rows);
    const int lda = (int)k_max(ta ? m : kk, 1), ldb = (int)k_max(tb ? kk : n, 1), ldc = (int)k_max(n, 1);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < down * across; i++) {
        const int64_t y = i / across * t.rows, x = i % across * t.columns;
        GEMM(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)k_min(t.rows, m - y),
             (int)k_min(t.columns, n - x), (int)kk, 1, a + (ta ? y : y * kk), lda, b + (tb ? x * kk : x), ldb, 0,
             c + y * n + x, ldc);
    }
}
