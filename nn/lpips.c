/* LPIPS: Zhang, Isola, Efros, Shechtman, Wang 2018, arXiv:1801.03924, version 0.1 on VGG-16 (Simonyan, Zisserman 2015,
 * arXiv:1409.1556, configuration D), with the names of the published code: net.slice1.0 ... net.slice5.28, lin0.model.1 ... */
#include "nn/networks.h"

enum { SLICES = 5 };

typedef struct slice {
    int convolutions;
    int64_t width;
    int numbers[3]; /* of the layers in VGG's list */
} slice;

static const slice slices[SLICES] = {
    {2, 64, {0, 2}}, {2, 128, {5, 7}}, {3, 256, {10, 12, 14}}, {3, 512, {17, 19, 21}}, {3, 512, {24, 26, 28}}};

/* Images in [-1,1] as VGG knows them: (x - shift) / scale, its training set's mean and deviation. One channel becomes three. */
static ag_tensor *normalized(ag_tensor *x)
{
    static const double shift[3] = {-0.030, -0.088, -0.188}, scale[3] = {0.458, 0.448, 0.450};
    ag_tensor *out[3];
    for (int i = 0; i < 3; i++) {
        ag_tensor *channel = ag_slice_axis(x, -1, ag_dim(x, -1) == 1 ? 0 : i, 1);
        out[i] = ag_shift(ag_scale(channel, 1 / scale[i]), -shift[i] / scale[i]);
    }
    return ag_concat(3, out, -1);
}

/* The features behind each slice, of length 1 at every position. */
static void features(nn_scope s, ag_tensor *x, ag_tensor *out[SLICES])
{
    char name[32];
    x = normalized(x);
    for (int i = 0; i < SLICES; i++) {
        const nn_conv2d_opt o = {.out = slices[i].width, .kernel = 3, .pad = 1, .activation = AG_RELU};
        ag_block_begin(s.graph);
        if (i) x = ag_max_pool2d(x, &(ag_pool2d_options){.kernel = 2});
        for (int j = 0; j < slices[i].convolutions; j++) {
            snprintf(name, sizeof name, "net.slice%d.%d", i + 1, slices[i].numbers[j]);
            x = nn_conv2d(nn_in(s, name), x, &o);
        }
        ag_block_end(s.graph);
        out[i] = ag_l2_normalize(x, 1e-10);
    }
}

/* Mean over positions of sum_c w_c d_c^2: d [N,h,w,C] -> [N]. */
static ag_tensor *distance(nn_scope s, int i, ag_tensor *a, ag_tensor *b, const nn_lpips_opt *o)
{
    ag_tensor *d = ag_square(ag_sub(a, b));
    const int64_t n = ag_dim(d, 0), c = ag_dim(d, -1), places = ag_dim(d, 1) * ag_dim(d, 2);
    if (o && o->no_heads)
        d = ag_sum_to(ag_reshape(d, 2, (int64_t[]){n, places * c}), 2, (int64_t[]){n, 1});
    else {
        char name[32];
        snprintf(name, sizeof name, "lin%d.model.1", i);
        const nn_conv2d_opt head = {.out = 1, .kernel = 1, .no_bias = true};
        d = nn_conv2d(nn_in(s, name), d, &head);
        d = d ? ag_sum_to(ag_reshape(d, 2, (int64_t[]){n, places}), 2, (int64_t[]){n, 1}) : NULL;
    }
    return ag_scale(ag_reshape(d, 1, &n), 1.0 / (double)places);
}

ag_tensor *nn_lpips(nn_scope s, ag_tensor *x, ag_tensor *y, const nn_lpips_opt *o, ag_tensor **taps)
{
    ag_tensor *a[SLICES], *b[SLICES], *sum = NULL;
    if (!x || !y) return NULL;
    if (ag_rank(x) != 4 || (ag_dim(x, 3) != 3 && ag_dim(x, 3) != 1) || ag_dim(x, 1) < 16 || ag_dim(x, 2) < 16)
        return ag_graph_fail(
            s.graph, AG_ERR_SHAPE,
            "%s: LPIPS takes images of 16 x 16 or more with 1 or 3 channels, not %lld x %lld with %lld", s.name,
            (long long)ag_dim(x, 1), (long long)ag_dim(x, 2), (long long)ag_dim(x, 3));
    features(s, x, a);
    features(s, y, b);
    for (int i = 0; i < SLICES; i++) {
        ag_tensor *d = distance(s, i, a[i], b[i], o);
        if (taps) taps[i] = d;
        sum = sum ? ag_add(sum, d) : d;
    }
    return sum;
}
