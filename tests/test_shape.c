/* Shapes, products, convolutions and resampling against PyTorch (tests/fixtures/make_shape.py), values and gradients; golden
 * numbers; the same bits for any number of threads; mistakes that are named. */
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <omp.h>

#include "golden.h"

/* Relative to the largest number of a tensor; the fixture is float. */
#ifdef AG_DOUBLE
#define TOLERANCE 1e-7
#else
#define TOLERANCE 2e-6
#endif

#define SIZES(...) ((const int64_t[]){__VA_ARGS__})

enum { MOST_INPUTS = 3 };

typedef ag_tensor *build_fn(ag_tensor **x);

/* ---- cases ----------------------------------------------------------------------------------------------------------- */

static ag_tensor *conv_dilated(ag_tensor **x)
{
    return ag_conv2d(x[0], x[1], x[2], NULL, &(ag_conv2d_options){.pad = {2, 2, 2, 2}, .dilation = 2});
}
static ag_tensor *conv_dilated_strided(ag_tensor **x)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {3, 3, 3, 3}, .dilation = 3};
    return ag_conv2d(x[0], x[1], x[2], NULL, &o);
}
static ag_tensor *conv_groups(ag_tensor **x)
{
    return ag_conv2d(x[0], x[1], x[2], NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .groups = 2});
}
static ag_tensor *conv_depthwise(ag_tensor **x)
{
    return ag_conv2d(x[0], x[1], x[2], NULL, &(ag_conv2d_options){.stride = 2, .pad = {1, 1, 1, 1}, .groups = 20});
}
static ag_tensor *conv_depthwise_wide(ag_tensor **x)
{
    return ag_conv2d(x[0], x[1], x[2], NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}, .groups = 70});
}
static ag_tensor *conv_transposed_groups(ag_tensor **x)
{
    const ag_conv2d_options o = {.stride = 2, .pad = {1, 1, 1, 1}, .groups = 2, .dilation = 2};
    return ag_conv2d_transposed(x[0], x[1], x[2], NULL, &o);
}
static ag_tensor *conv_masked(ag_tensor **x)
{
    return ag_conv2d(x[0], ag_conv_mask(x[1], AG_MASK_A, 3), NULL, NULL, &(ag_conv2d_options){.pad = {2, 2, 2, 2}});
}
static ag_tensor *conv3d_causal(ag_tensor **x)
{
    return ag_conv3d(x[0], x[1], x[2], NULL, &(ag_conv3d_options){.pad = {2, 0, 1, 1, 1, 1}});
}
static const ag_conv3d_options halves = {.stride = 2, .stride_t = 2, .pad = {1, 1, 1, 1, 1, 1}};
static ag_tensor *conv3d_strided(ag_tensor **x) { return ag_conv3d(x[0], x[1], x[2], NULL, &halves); }
static ag_tensor *conv3d_transposed(ag_tensor **x) { return ag_conv3d_transposed(x[0], x[1], x[2], NULL, &halves); }
static const ag_pool2d_options pool = {.kernel = 3, .stride = 2, .pad = 1};
static ag_tensor *max_pool(ag_tensor **x) { return ag_max_pool2d(x[0], &pool); }
static ag_tensor *max_pool_wide(ag_tensor **x) { return ag_max_pool2d(x[0], &(ag_pool2d_options){.kernel = 2}); }
static ag_tensor *avg_pool(ag_tensor **x) { return ag_avg_pool2d(x[0], &pool); }
static ag_tensor *avg_pool_inside(ag_tensor **x)
{
    return ag_avg_pool2d(x[0], &(ag_pool2d_options){.kernel = 3, .stride = 2, .pad = 1, .exclude_padding = true});
}
static ag_tensor *global_average(ag_tensor **x) { return ag_global_average(x[0]); }
static ag_tensor *nearest(ag_tensor **x) { return ag_resize(x[0], 14, 16, AG_NEAREST); }
static ag_tensor *area(ag_tensor **x) { return ag_resize(x[0], 3, 5, AG_AREA); }
static ag_tensor *bilinear_up(ag_tensor **x) { return ag_resize(x[0], 11, 13, AG_BILINEAR); }
static ag_tensor *bilinear_wide(ag_tensor **x) { return ag_resize(x[0], 6, 5, AG_BILINEAR); }
static ag_tensor *bilinear_down(ag_tensor **x) { return ag_resize(x[0], 4, 5, AG_BILINEAR); }
static ag_tensor *bicubic_up(ag_tensor **x) { return ag_resize(x[0], 11, 13, AG_BICUBIC); }
static ag_tensor *bicubic_down(ag_tensor **x) { return ag_resize(x[0], 4, 5, AG_BICUBIC); }
static ag_tensor *bilinear_antialias(ag_tensor **x) { return ag_resize(x[0], 4, 5, AG_BILINEAR_ANTIALIAS); }
static ag_tensor *bicubic_antialias(ag_tensor **x) { return ag_resize(x[0], 4, 5, AG_BICUBIC_ANTIALIAS); }
static ag_tensor *bicubic_antialias_up(ag_tensor **x) { return ag_resize(x[0], 9, 7, AG_BICUBIC_ANTIALIAS); }
static ag_tensor *blur(ag_tensor **x)
{
    return ag_filter2d(x[0], 4, (const double[]){.125, .375, .375, .125}, 2, 2, 1);
}
static ag_tensor *pixel_shuffle(ag_tensor **x) { return ag_pixel_shuffle(x[0], 2); }
static ag_tensor *pixel_unshuffle(ag_tensor **x) { return ag_pixel_unshuffle(x[0], 2); }
static ag_tensor *depth_to_space(ag_tensor **x) { return ag_depth_to_space(x[0], 2); }
static ag_tensor *pad(ag_tensor **x) { return ag_pad(x[0], SIZES(1, 0, 2), SIZES(0, 3, 1), 0.25); }
static ag_tensor *concat(ag_tensor **x) { return ag_concat(3, x, 1); }
static ag_tensor *heads(ag_tensor **x) { return ag_transpose(x[0], 1, 2); }
static ag_tensor *roll(ag_tensor **x) { return ag_roll(ag_roll(x[0], 1, 3), 2, -2); }
static ag_tensor *flip(ag_tensor **x) { return ag_flip(x[0], 2); }
static ag_tensor *products(ag_tensor **x) { return ag_matmul(x[0], x[1], false, true); }
static ag_tensor *linear(ag_tensor **x) { return ag_linear(x[0], x[1], x[2], NULL, AG_RELU); }

#define CASE(name)                                                                                                     \
    {                                                                                                                  \
#name, name                                                                                                    \
    }
static const struct {
    const char *name;
    build_fn *build;
} cases[] = {
    CASE(conv_dilated),
    CASE(conv_dilated_strided),
    CASE(conv_groups),
    CASE(conv_depthwise),
    CASE(conv_depthwise_wide),
    CASE(conv_transposed_groups),
    CASE(conv_masked),
    CASE(conv3d_causal),
    CASE(conv3d_strided),
    CASE(conv3d_transposed),
    CASE(max_pool),
    CASE(max_pool_wide),
    CASE(avg_pool),
    CASE(avg_pool_inside),
    CASE(global_average),
    CASE(nearest),
    CASE(area),
    CASE(bilinear_up),
    CASE(bilinear_wide),
    CASE(bilinear_down),
    CASE(bicubic_up),
    CASE(bicubic_down),
    CASE(bilinear_antialias),
    CASE(bicubic_antialias),
    CASE(bicubic_antialias_up),
    CASE(blur),
    CASE(pixel_shuffle),
    CASE(pixel_unshuffle),
    CASE(depth_to_space),
    CASE(pad),
    CASE(concat),
    CASE(heads),
    CASE(roll),
    CASE(flip),
    CASE(products),
    CASE(linear),
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- the fixture ------------------------------------------------------------------------------------------------------ */

static hid_t file;
static double worst;

static int shape_of(const char *group, const char *name, int64_t shape[AG_MAX_RANK])
{
    char path[128];
    snprintf(path, sizeof path, "/%s/%s", group, name);
    if (H5Lexists(file, path, H5P_DEFAULT) <= 0) return -1;
    const hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
    hsize_t size[AG_MAX_RANK];
    const int rank = H5Sget_simple_extent_dims(space, size, NULL);
    for (int i = 0; i < rank; i++) shape[i] = (int64_t)size[i];
    H5Sclose(space);
    H5Dclose(set);
    return rank;
}

static void same(const char *group, const char *name, const ag_tensor *t)
{
    char path[128];
    int64_t shape[AG_MAX_RANK];
    assert_int_equal(shape_of(group, name, shape), ag_rank(t));
    for (int i = 0; i < ag_rank(t); i++) assert_int_equal(shape[i], ag_dim(t, i));
    snprintf(path, sizeof path, "/%s/%s", group, name);
    const hid_t set = H5Dopen2(file, path, H5P_DEFAULT);
    double *want = test_malloc((size_t)ag_numel(t) * sizeof *want), size = 1e-12, error = 0;
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, want) >= 0);
    H5Dclose(set);
    for (int64_t i = 0; i < ag_numel(t); i++) {
        size = fmax(size, fabs(want[i]));
        error = fmax(error, fabs((double)((const real *)ag_data(t))[i] - want[i]));
    }
    if (!(error / size <= TOLERANCE)) fail_msg("%s/%s: off by %g of %g", group, name, error, size);
    worst = fmax(worst, error / size);
    test_free(want);
}

/* ---- running a case ------------------------------------------------------------------------------------------------------ */

typedef struct run {
    ag_graph *g;
    int n;
    ag_tensor *x[MOST_INPUTS], *d[MOST_INPUTS], *y, *r;
} run;

static void fill(const ag_tensor *t, uint32_t first)
{
    for (int64_t i = 0; i < ag_numel(t); i++) ((real *)ag_data(t))[i] = (real)golden_u(first + (uint32_t)i);
}

static run run_case(int number)
{
    run c = {.g = ag_graph_new(1)};
    int64_t shape[AG_MAX_RANK];
    for (int rank; c.n < MOST_INPUTS; c.n++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", c.n);
        if ((rank = shape_of(cases[number].name, name, shape)) < 0) break;
        c.x[c.n] = ag_input(c.g, name, AG_REAL, rank, shape);
    }
    c.y = ag_keep(cases[number].build(c.x));
    for (int i = 0; i < ag_rank(c.y); i++) shape[i] = ag_dim(c.y, i);
    c.r = ag_input(c.g, "r", AG_REAL, ag_rank(c.y), shape);
    ag_gradient(ag_sum(ag_mul(c.y, c.r)), c.n, c.x, c.d);
    for (int i = 0; i < c.n; i++) ag_keep(c.d[i]);
    if (ag_graph_plan(c.g, NULL)) fail_msg("%s: %s", cases[number].name, ag_error_message());
    for (int i = 0; i < c.n; i++) fill(c.x[i], 100000 * (uint32_t)i);
    fill(c.r, 900000);
    assert_int_equal(ag_graph_run(c.g, 1), AG_OK);
    return c;
}

static void values_and_gradients_equal_pytorch(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const run c = run_case(i);
        same(cases[i].name, "y", c.y);
        for (int j = 0; j < c.n; j++) same(cases[i].name, (const char *[]){"d0", "d1", "d2"}[j], c.d[j]);
        ag_graph_free(c.g);
    }
    print_message("[          ] %d cases, worst relative difference %.1e\n", CASES, worst);
}

static void thread_count_changes_no_bit(void **state)
{
    (void)state;
    const int before = omp_get_max_threads();
    for (int i = 0; i < CASES; i++) {
        omp_set_num_threads(1);
        const run one = run_case(i);
        for (int t = 1; t < 5; t++) {
            omp_set_num_threads((const int[]){1, 2, 3, 4, 8}[t]);
            const run many = run_case(i);
            assert_memory_equal(ag_data(one.y), ag_data(many.y), ag_bytes(one.y));
            for (int j = 0; j < one.n; j++)
                assert_memory_equal(ag_data(one.d[j]), ag_data(many.d[j]), ag_bytes(one.d[j]));
            ag_graph_free(many.g);
        }
        ag_graph_free(one.g);
    }
    omp_set_num_threads(before);
}

/* ---- large tensors: every way a copy can go, against plain indexing ------------------------------------------------------- */

static void check_permute(int rank, const int64_t *shape, const int *order, ag_dtype dtype)
{
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", dtype, rank, shape), *y = ag_keep(ag_permute(x, order));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    const size_t size = ag_dtype_size(dtype);
    unsigned char *p = ag_data(x);
    for (size_t i = 0; i < ag_bytes(x); i++) p[i] = (unsigned char)(i * 2654435761u >> 13);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    for (int64_t i = 0; i < ag_numel(y); i++) {
        int64_t at = 0, rest = i;
        int64_t place[AG_MAX_RANK];
        for (int a = rank - 1; a >= 0; a--) {
            place[order[a]] = rest % ag_dim(y, a);
            rest /= ag_dim(y, a);
        }
        for (int a = 0; a < rank; a++) at = at * shape[a] + place[a];
        if (memcmp((char *)ag_data(y) + (size_t)i * size, p + (size_t)at * size, size))
            fail_msg("%d axes of %zu bytes: element %d is not %d", rank, size, (int)i, (int)at);
    }
    ag_graph_free(g);
}

static void permutations_move_every_element_to_its_place(void **state)
{
    (void)state;
    for (int t = 0; t < 3; t++) {
        const ag_dtype type = (const ag_dtype[]){AG_REAL, AG_I32, AG_U8}[t];
        check_permute(2, SIZES(67, 131), (const int[]){1, 0}, type);
        check_permute(2, SIZES(300, 400), (const int[]){1, 0}, type);
        check_permute(4, SIZES(3, 37, 5, 24), (const int[]){0, 2, 1, 3}, type);
        check_permute(4, SIZES(2, 33, 17, 40), (const int[]){0, 2, 3, 1}, type);
        check_permute(4, SIZES(2, 9, 70, 11), (const int[]){0, 3, 1, 2}, type);
        check_permute(6, SIZES(2, 5, 7, 3, 2, 4), (const int[]){5, 3, 0, 4, 1, 2}, type);
        check_permute(3, SIZES(50, 60, 2), (const int[]){2, 1, 0}, type);
        check_permute(1, SIZES(50000), (const int[]){0}, type);
    }
}

/* Blocks cut out of a large tensor and put together again, along every axis; and padded, and cut out of that. */
static void parts_of_a_tensor_put_together_are_the_tensor(void **state)
{
    (void)state;
    for (int axis = 0; axis < 4; axis++) {
        ag_graph *g = ag_graph_new(1);
        ag_tensor *x = ag_input(g, "x", AG_REAL, 4, SIZES(9, 12, 31, 27)), *part[3];
        const int64_t size = ag_dim(x, axis);
        ag_split(x, axis, 3, SIZES(1, size - 3, 2), part);
        ag_tensor *again = ag_keep(ag_concat(3, part, axis));
        ag_tensor *wide = ag_keep(ag_pad(x, SIZES(1, 0, 2, 3), SIZES(0, 2, 1, 1), -7));
        ag_tensor *back = ag_keep(ag_slice(wide, SIZES(1, 0, 2, 3), SIZES(9, 12, 31, 27)));
        ag_tensor *round = ag_keep(ag_roll(ag_flip(ag_flip(ag_roll(x, axis, 5), axis), axis), axis, -5));
        assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
        fill(x, 0);
        assert_int_equal(ag_graph_run(g, 1), AG_OK);
        assert_memory_equal(ag_data(again), ag_data(x), ag_bytes(x));
        assert_memory_equal(ag_data(back), ag_data(x), ag_bytes(x));
        assert_memory_equal(ag_data(round), ag_data(x), ag_bytes(x));
        double border = 0, inside = 0;
        for (int64_t i = 0; i < ag_numel(wide); i++) border += (double)((real *)ag_data(wide))[i];
        for (int64_t i = 0; i < ag_numel(x); i++) inside += (double)((real *)ag_data(x))[i];
        assert_true(fabs(border - inside + 7.0 * (double)(ag_numel(wide) - ag_numel(x))) < 1e-2);
        ag_graph_free(g);
    }
}

/* ---- frames: against a sum of two-dimensional convolutions ------------------------------------------------------------------- */

enum { KT = 3, N = 2, T = 5, H = 12, W = 13, A = 24, B = 33 };

/* x [N,T,H,W,A] with KT - 1 frames of zeros in front, w [KT,3,3,A,B]: tap by tap. */
static ag_tensor *by_images(ag_tensor *x, ag_tensor *w, ag_tensor *bias, ag_tensor *residual)
{
    ag_tensor *wide = ag_pad(x, SIZES(0, KT - 1, 0, 0, 0), SIZES(0, 0, 0, 0, 0), 0);
    ag_tensor *y = ag_add(ag_reshape(residual, 4, SIZES(N * T, H, W, B)), bias);
    for (int tap = 0; tap < KT; tap++) {
        ag_tensor *frames = ag_reshape(ag_slice_axis(wide, 1, tap, T), 4, SIZES(N * T, H, W, A));
        ag_tensor *own = ag_reshape(ag_slice_axis(w, 0, tap, 1), 4, SIZES(3, 3, A, B));
        y = ag_add(y, ag_conv2d(frames, own, NULL, NULL, &(ag_conv2d_options){.pad = {1, 1, 1, 1}}));
    }
    return ag_reshape(ag_relu(y), 5, SIZES(N, T, H, W, B));
}

static void close_to(const ag_tensor *a, const ag_tensor *b)
{
    const double tolerance = sizeof(real) == 4 ? 2e-5 : 1e-13;
    double size = 0, error = 0;
    assert_int_equal(ag_numel(a), ag_numel(b));
    for (int64_t i = 0; i < ag_numel(a); i++) {
        const double x = (double)((const real *)ag_data(a))[i], y = (double)((const real *)ag_data(b))[i];
        size = fmax(size, fabs(y));
        error = fmax(error, fabs(x - y));
    }
    if (!(error <= tolerance * size)) fail_msg("off by %g of %g", error, size);
}

static void convolution_over_frames_is_a_sum_over_images(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *in[4] = {ag_input(g, "x", AG_REAL, 5, SIZES(N, T, H, W, A)),
                        ag_input(g, "w", AG_REAL, 5, SIZES(KT, 3, 3, A, B)), ag_input(g, "b", AG_REAL, 1, SIZES(B)),
                        ag_input(g, "r", AG_REAL, 5, SIZES(N, T, H, W, B))};
    const ag_conv3d_options o = {.pad = {KT - 1, 0, 1, 1, 1, 1}, .activation = AG_RELU};
    ag_tensor *y[2] = {ag_keep(ag_conv3d(in[0], in[1], in[2], in[3], &o)),
                       ag_keep(by_images(in[0], in[1], in[2], in[3]))};
    ag_tensor *d[2][4];
    for (int i = 0; i < 2; i++) {
        ag_gradient(ag_sum(ag_square(y[i])), 4, in, d[i]);
        for (int j = 0; j < 4; j++) ag_keep(d[i][j]);
    }
    if (ag_graph_plan(g, NULL)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < 4; i++) fill(in[i], (uint32_t)i * 100000);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    close_to(y[0], y[1]);
    for (int j = 0; j < 4; j++) close_to(d[0][j], d[1][j]);
    ag_graph_free(g);
}

/* ---- golden numbers ---------------------------------------------------------------------------------------------------------- */

static void expect(const ag_tensor *t, int n, const double *want)
{
    assert_int_equal(ag_numel(t), n);
    for (int i = 0; i < n; i++)
        if (!(fabs((double)((const real *)ag_data(t))[i] - want[i]) < 1e-5))
            fail_msg("number %d is %g, not %g", i, (double)((const real *)ag_data(t))[i], want[i]);
}

static void resizes_give_the_golden_numbers(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *eight = ag_input(g, "8", AG_REAL, 4, SIZES(1, 8, 1, 1)),
              *three = ag_input(g, "3", AG_REAL, 4, SIZES(1, 1, 3, 1));
    ag_tensor *down = ag_keep(ag_resize(eight, 3, 1, AG_AREA)), *up = ag_keep(ag_resize(three, 1, 8, AG_BICUBIC));
    ag_tensor *one = ag_keep(ag_resize(ag_slice_axis(three, 2, 1, 1), 1, 4, AG_BICUBIC));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    for (int i = 0; i < 8; i++) ((real *)ag_data(eight))[i] = (real)i;
    for (int i = 0; i < 3; i++) ((real *)ag_data(three))[i] = (real)(1 << i);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    expect(down, 3, (const double[]){1, 3.5, 6});
    expect(up, 8, (const double[]){.889221, 1.044190, 1.268310, 1.650635, 2.420227, 3.221130, 3.903382, 4.221558});
    expect(one, 4, (const double[]){2, 2, 2, 2});
    ag_graph_free(g);
}

static void downsampling_pads_right_and_below(void **state)
{
    (void)state;
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, SIZES(1, 4, 4, 1)), *w = ag_constant(g, 1, 4, SIZES(3, 3, 1, 1));
    int pads[2];
    ag_pad_same(4, 3, 2, 1, pads);
    assert_int_equal(pads[0], 0);
    assert_int_equal(pads[1], 1);
    ag_pad_same(4, 4, 2, 1, pads);
    assert_int_equal(pads[0], 1);
    assert_int_equal(pads[1], 1);
    ag_tensor *y = ag_keep(ag_conv2d(x, w, NULL, NULL, &(ag_conv2d_options){.stride = 2, .pad = {0, 1, 0, 1}}));
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    for (int i = 0; i < 16; i++) ((real *)ag_data(x))[i] = (real)i;
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    expect(y, 4, (const double[]){45, 39, 66, 50});
    ag_graph_free(g);
}

static void layers_take_groups_dilation_and_uneven_padding(void **state)
{
    (void)state;
    nn_params *params = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    const nn_scope s = nn_root(params, g, true);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, SIZES(1, 4, 6, 8));
    ag_tensor *y =
        nn_conv2d(nn_in(s, "a"), x,
                  &(nn_conv2d_opt){.out = 12, .kernel = 3, .pad = 1, .pads = {2, 1, 0, 1}, .groups = 4, .dilation = 2});
    assert_int_equal(ag_dim(y, 1), 4 + 5 - 4);
    assert_int_equal(ag_dim(y, 2), 6 + 3 - 4);
    const nn_param *w = nn_params_find(params, "a.weight");
    assert_int_equal(w->shape[2], 2);
    assert_int_equal(w->shape[3], 12);
    assert_int_equal(ag_dim(nn_downsample(nn_in(s, "down"), x), 2), 3);
    assert_int_equal(ag_dim(nn_upsample(nn_in(s, "up"), x), 1), 8);
    assert_non_null(nn_params_find(params, "down.conv.bias"));
    y = nn_conv2d_transposed(nn_in(s, "t"), x,
                             &(nn_conv2d_opt){.out = 6, .kernel = 4, .stride = 2, .pad = 1, .groups = 2});
    assert_int_equal(ag_dim(y, 3), 6);
    assert_int_equal(ag_dim(y, 1), 8);
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    assert_null(nn_conv2d(nn_in(s, "b"), x, &(nn_conv2d_opt){.out = 12, .kernel = 1, .groups = 3}));
    ag_graph_free(g);
    nn_params_free(params);
}

/* The gradient of one output of two stacked masked convolutions is zero for its own input and all later ones in raster order. */
static void masked_convolutions_do_not_see_what_comes_later(void **state)
{
    (void)state;
    enum { ROWS = 6, COLUMNS = 7, Y = 3, X = 2 };
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, SIZES(1, ROWS, COLUMNS, 2)), *dx;
    ag_tensor *a = ag_input(g, "a", AG_REAL, 4, SIZES(5, 5, 2, 3)),
              *b = ag_input(g, "b", AG_REAL, 4, SIZES(3, 3, 3, 1));
    const ag_conv2d_options two = {.pad = {2, 2, 2, 2}}, one = {.pad = {1, 1, 1, 1}};
    ag_tensor *y = ag_conv2d(x, ag_conv_mask(a, AG_MASK_A, 0), NULL, NULL, &two);
    y = ag_conv2d(y, ag_conv_mask(b, AG_MASK_B, 0), NULL, NULL, &one);
    ag_gradient(ag_sum(ag_slice(y, SIZES(0, Y, X, 0), SIZES(1, 1, 1, 1))), 1, &x, &dx);
    ag_keep(dx);
    assert_int_equal(ag_graph_plan(g, NULL), AG_OK);
    fill(x, 0), fill(a, 100), fill(b, 300);
    assert_int_equal(ag_graph_run(g, 1), AG_OK);
    int seen = 0;
    for (int i = 0; i < ROWS * COLUMNS * 2; i++) {
        const bool nonzero = ((real *)ag_data(dx))[i] != 0;
        if (nonzero && i / 2 >= Y * COLUMNS + X) fail_msg("position %d is seen", i / 2);
        seen += nonzero;
    }
    assert_true(seen > 20);
    ag_graph_free(g);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------------------------ */

static void refuse(ag_graph *g, const ag_tensor *t, const char *part)
{
    assert_null(t);
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    if (!strstr(ag_error_message(), part)) fail_msg("\"%s\" does not say \"%s\"", ag_error_message(), part);
    ag_graph_free(g);
}

#define REFUSED(part, ...)                                                                                             \
    do {                                                                                                               \
        ag_graph *g = ag_graph_new(1);                                                                                 \
        ag_tensor *x = ag_input(g, "x", AG_REAL, 4, SIZES(2, 4, 6, 3));                                                \
        (void)x;                                                                                                       \
        refuse(g, __VA_ARGS__, part);                                                                                  \
    } while (0)

static void mistakes_are_named(void **state)
{
    (void)state;
    REFUSED("slice of [2,4,6,3]", ag_slice_axis(x, 1, 3, 2));
    REFUSED("no axis 4", ag_slice_axis(x, 4, 0, 1));
    REFUSED("pad of [2,4,6,3]", ag_pad(x, SIZES(0, 0, -1, 0), SIZES(0, 0, 0, 0), 0));
    REFUSED("name each", ag_permute(x, (const int[]){0, 1, 1, 2}));
    REFUSED("differs from the first", ag_concat(2, (ag_tensor *[]){x, ag_slice_axis(x, 1, 0, 2)}, 2));
    REFUSED("pixel_shuffle: [2,4,6,3] is not [N,H,W,C*2*2]", ag_pixel_shuffle(x, 2));
    REFUSED("inner sizes", ag_matmul(x, x, false, false));
    REFUSED("broadcast", ag_matmul(x, ag_constant(ag_graph_of(x), 0, 3, SIZES(3, 3, 3)), false, false));
    REFUSED("2 groups", ag_conv2d(x, ag_constant(ag_graph_of(x), 0, 4, SIZES(1, 1, 3, 4)), NULL, NULL,
                                  &(ag_conv2d_options){.groups = 2}));
    REFUSED("larger than the padded", ag_conv2d(x, ag_constant(ag_graph_of(x), 0, 4, SIZES(3, 3, 3, 1)), NULL, NULL,
                                                &(ag_conv2d_options){.dilation = 2}));
    REFUSED("five axes", ag_conv3d(x, x, NULL, NULL, NULL));
    REFUSED("half of the kernel", ag_max_pool2d(x, &(ag_pool2d_options){.kernel = 3, .pad = 2}));
    REFUSED("avg_pool2d", ag_avg_pool2d(x, &(ag_pool2d_options){.kernel = 9}));
    REFUSED("resize", ag_resize(x, 0, 3, AG_AREA));
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 2, SIZES(3, 7)), *part[2];
    ag_split(x, 1, 2, NULL, part);
    refuse(g, part[0], "split");
}

static int open_fixture(void **state)
{
    (void)state;
    file = H5Fopen(TEST_FILES "/fixtures/shape.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    return file >= 0 ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    return H5Fclose(file) >= 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_equal_pytorch),
        cmocka_unit_test(thread_count_changes_no_bit),
        cmocka_unit_test(permutations_move_every_element_to_its_place),
        cmocka_unit_test(parts_of_a_tensor_put_together_are_the_tensor),
        cmocka_unit_test(convolution_over_frames_is_a_sum_over_images),
        cmocka_unit_test(resizes_give_the_golden_numbers),
        cmocka_unit_test(downsampling_pads_right_and_below),
        cmocka_unit_test(layers_take_groups_dilation_and_uneven_padding),
        cmocka_unit_test(masked_convolutions_do_not_see_what_comes_later),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
