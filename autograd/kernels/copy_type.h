/* The loops of copy.c for one type of element. Included once per type with
 *     ELEMENT            the type
 *     NAME(name)         the name of a function of that type
 *     LANES, LOW, HIGH   elements of a vector; the shuffles that interleave two vectors' first and second halves
 * or without LANES where there is nothing to gain from turning tiles in registers. */

static void NAME(rows)(const walk *w, int64_t from, int64_t to, int64_t first, int64_t last, const ELEMENT *x,
                       ELEMENT *y)
{
    const int inner = w->rank - 1;
    const int64_t xs = w->x[inner], ys = w->y[inner];
    for (int64_t r = from; r < to; r++) {
        const ELEMENT *a = x + r * w->x[inner - 1];
        ELEMENT *b = y + r * w->y[inner - 1];
        if (xs == 1 && ys == 1 && last - first >= 16)
            memcpy(b + first, a + first, (size_t)(last - first) * sizeof *b);
        else if (ys == 1)
            for (int64_t i = first; i < last; i++) b[i] = a[i * xs];
        else
            for (int64_t i = first; i < last; i++) b[i * ys] = a[i * xs];
    }
}

#ifdef LANES
typedef ELEMENT NAME(vector) __attribute__((vector_size(LANES * sizeof(ELEMENT))));

/* LANES x LANES elements turned round: rounds of interleaving the first half of the rows with the second. */
K_INLINE void NAME(square)(const ELEMENT *x, int64_t xs, ELEMENT *y, int64_t ys)
{
    NAME(vector) v[LANES], next[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++) memcpy(&v[i], x + i * xs, sizeof v[i]);
#pragma GCC unroll 3
    for (int round = 1; round < LANES; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], LOW);
            next[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], HIGH);
        }
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i++) v[i] = next[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++) memcpy(y + i * ys, &v[i], sizeof v[i]);
}
#else
#define LANES 1
K_INLINE void NAME(square)(const ELEMENT *x, int64_t xs, ELEMENT *y, int64_t ys)
{
    (void)xs, (void)ys;
    *y = *x;
}
#endif

/* y[j][i] = x[i][j], i < n along y, j < m along x: y + j*ys + i, x + i*xs + j. */
static void NAME(turn)(int64_t n, int64_t m, const ELEMENT *x, int64_t xs, ELEMENT *y, int64_t ys)
{
    const int64_t whole_n = n / LANES * LANES, whole_m = m / LANES * LANES;
    for (int64_t j = 0; j < whole_m; j += LANES)
        for (int64_t i = 0; i < whole_n; i += LANES) NAME(square)(x + i * xs + j, xs, y + j * ys + i, ys);
    for (int64_t j = 0; j < m; j++)
        for (int64_t i = j < whole_m ? whole_n : 0; i < n; i++) y[j * ys + i] = x[i * xs + j];
}

static void NAME(copy_rows)(const walk *w, const ELEMENT *x, ELEMENT *y)
{
    const int inner = w->rank - 1;
    const int64_t rows = w->shape[inner - 1], columns = w->shape[inner];
    const int64_t high = k_max(k_min(TILE / columns, rows), 1), wide = k_min(columns, TILE);
    const int64_t down = k_blocks(rows, high), across = k_blocks(columns, wide);
    int64_t outer = 1;
    for (int i = 0; i < inner - 1; i++) outer *= w->shape[i];
#pragma omp parallel for schedule(static) if (outer * rows * columns > 2 * TILE)
    for (int64_t t = 0; t < outer * down * across; t++) {
        int64_t xo, yo;
        offsets(w, inner - 1, -1, t / across / down, &xo, &yo);
        const int64_t row = t / across % down * high, column = t % across * wide;
        NAME(rows)(w, row, k_min(row + high, rows), column, k_min(column + wide, columns), x + xo, y + yo);
    }
}

static void NAME(copy_turned)(const walk *w, int axis, const ELEMENT *x, ELEMENT *y)
{
    const int inner = w->rank - 1;
    const int64_t n = w->shape[inner], m = w->shape[axis];
    const int64_t across = k_blocks(n, SQUARE), down = k_blocks(m, SQUARE);
    int64_t outer = 1;
    for (int i = 0; i < inner; i++) outer *= i == axis ? 1 : w->shape[i];
#pragma omp parallel for schedule(static) if (outer * n * m > 2 * TILE)
    for (int64_t t = 0; t < outer * down * across; t++) {
        int64_t xo, yo;
        offsets(w, inner, axis, t / across / down, &xo, &yo);
        const int64_t i = t % across * SQUARE, j = t / across % down * SQUARE;
        NAME(turn)
        (k_min(SQUARE, n - i), k_min(SQUARE, m - j), x + xo + i * w->x[inner] + j, w->x[inner],
         y + yo + j * w->y[axis] + i, w->y[axis]);
    }
}

#undef ELEMENT
#undef NAME
#undef LANES
#undef LOW
#undef HIGH
