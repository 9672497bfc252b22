/* Features for a perceptual distance, small enough to learn on the user's own pictures: the plan of VGG (Simonyan, Zisserman 2015,
 * arXiv:1409.1556) with two convolutions of 3x3 a level and means in place of the largest between them, which lets gradients of a
 * distance through smoothly (Gatys, Ecker, Bethge 2016). */
#include "nn/networks.h"

ag_tensor *nn_features(nn_scope s, ag_tensor *x, const nn_features_opt *o, ag_tensor **taps)
{
    char name[32];
    if (!x) return NULL;
    if (ag_rank(x) != 4 || o->levels < 1 || o->levels > NN_MOST_LEVELS || !(ag_dim(x, 1) >> (o->levels - 1)) ||
        !(ag_dim(x, 2) >> (o->levels - 1)))
        return ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s: %d levels halve images of %lld x %lld to nothing", s.name,
                             o->levels, (long long)ag_dim(x, 1), (long long)ag_dim(x, 2));
    for (int i = 0; i < o->levels; i++) {
        const nn_conv2d_opt conv = {.out = o->width << i, .kernel = 3, .pad = 1, .activation = AG_RELU};
        ag_block_begin(s.graph);
        if (i) x = ag_avg_pool2d(x, &(ag_pool2d_options){.kernel = 2});
        for (int j = 0; j < 2; j++) {
            snprintf(name, sizeof name, "%d.%d", i, j);
            x = nn_conv2d(nn_in(s, name), x, &conv);
        }
        ag_block_end(s.graph);
        if (taps) taps[i] = x;
    }
    return x;
}

ag_tensor *nn_features_distance(nn_scope s, ag_tensor *y, ag_tensor *x, const nn_features_opt *o)
{
    ag_tensor *a[NN_MOST_LEVELS], *b[NN_MOST_LEVELS], *sum = NULL;
    if (!nn_features(s, y, o, a) || !nn_features(s, x, o, b)) return NULL;
    for (int i = 0; i < o->levels; i++) {
        ag_tensor *d = ag_square(ag_sub(ag_l2_normalize(a[i], 1e-3), ag_l2_normalize(b[i], 1e-3)));
        const int64_t n = ag_dim(d, 0), places = ag_dim(d, 1) * ag_dim(d, 2);
        d = ag_reshape(d, 2, (int64_t[]){n, places * ag_dim(d, 3)});
        d = ag_scale(ag_sum_to(d, 2, (int64_t[]){n, 1}), 1.0 / (double)places);
        sum = sum ? ag_add(sum, d) : d;
    }
    return sum ? ag_reshape(sum, 1, (int64_t[]){ag_dim(sum, 0)}) : NULL;
}
