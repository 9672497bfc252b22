/* nearest  codes[i] = argmin over j of |z_i - e_j|^2, the lowest j on ties; no gradient
 *          van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, eq. 1 */
#include "engine.h"

static int64_t width(const ag_tensor *y) { return y->in[1]->shape[1]; }

static ag_err nearest_shape(ag_tensor *y)
{
    const ag_tensor *z = y->in[0], *e = y->in[1];
    ag_err err = ag__check_type(z, AG_REAL, "latents");
    if (err || (err = ag__check_type(e, AG_REAL, "the codebook"))) return err;
    if (e->rank != 2 || z->rank < 1 || z->shape[z->rank - 1] != e->shape[1])
        return ag_fail(AG_ERR_SHAPE, "latents [...,D] need a codebook [K,D]");
    if (e->shape[0] > INT32_MAX) return ag_fail(AG_ERR_SHAPE, "more codes than an i32 can name");
    y->dtype = AG_I32;
    return ag__shape_set(y, z->rank - 1, z->shape);
}

static void nearest_run(const ag_tensor *y)
{
    k.nearest(y->numel, width(y), y->in[1]->shape[0], ag__in(y, 0), ag__in(y, 1), y->data, y->scratch);
}

static double nearest_flops(const ag_tensor *y) { return 2 * (double)y->in[0]->numel * (double)y->in[1]->shape[0]; }

static size_t nearest_scratch(const ag_tensor *y) { return k.nearest_scratch(y->numel, width(y), y->in[1]->shape[0]); }

const ag__rule ag__nearest = {
    .shape = nearest_shape, .run = nearest_run, .flops = nearest_flops, .scratch = nearest_scratch};

ag_tensor *ag_nearest(ag_tensor *z, ag_tensor *codebook)
{
    return ag__node(AG__OP_nearest, 2, (ag_tensor *[]){z, codebook}, NULL, 0);
}
