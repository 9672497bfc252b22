/* rotary        (y0, y1) = (x0 cos - x1 sin, x0 sin + x1 cos) for the neighbouring pairs of x [N,L,H,D], angles by slot and pair
 *         in a table [L,D/2,2] of (cos, sin). dx: the same with -sin. No gradient to the table.
 * rotary_table  pair p of slot s: angle s base^(-2p/D); on a grid, of slot (row, column) after `lead` slots: pairs 0..D/4-1 turn by
 *         row base^(-2p/(D/2)), the others by column. Leading slots do not turn, or, as in LlamaGen, have cos = sin = 0, which
 *         sets their queries and keys to zero.
 * Su et al. 2021, arXiv:2104.09864; Sun et al. 2024, arXiv:2406.06525 */
#include "engine.h"

#include <math.h>

static ag_err rotary_shape(ag_tensor *y)
{
    const ag_tensor *x = y->in[0], *t = y->in[1];
    if (x->dtype != AG_REAL || x->rank != 4 || x->shape[3] % 2)
        return ag_fail(AG_ERR_SHAPE, "the input must be real [N,L,H,D] with an even D");
    if (t->dtype != AG_REAL || t->rank != 3 || t->shape[0] != x->shape[1] || t->shape[1] != x->shape[3] / 2 ||
        t->shape[2] != 2)
        return ag_fail(AG_ERR_SHAPE, "the table must be real [%lld,%lld,2], not %s", (long long)x->shape[1],
                       (long long)x->shape[3] / 2, ag__shape_text(t));
    return ag__shape_copy(y, x);
}

static void rotary_run(const ag_tensor *y)
{
    k.rotary(y->shape[0], y->shape[1], y->shape[2], y->shape[3], ag__in(y, 0), ag__in(y, 1),
             (real) * (const double *)y->attr, y->data);
}

static ag_tensor *turn(ag_tensor *x, ag_tensor *table, double direction)
{
    return ag__node(AG__OP_rotary, 2, (ag_tensor *[]){x, table}, &direction, sizeof direction);
}

static void rotary_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    if (ag__wants(y, 1)) ag_graph_fail(y->graph, AG_ERR_SHAPE, "rotary in %s: no gradient to the table", y->name);
    if (ag__wants(y, 0)) dx[0] = turn(dy, y->in[1], -*(const double *)y->attr);
}

static double rotary_flops(const ag_tensor *y) { return 3 * (double)y->numel; }

const ag__rule ag__rotary = {
    .shape = rotary_shape, .run = rotary_run, .gradient = rotary_gradient, .flops = rotary_flops};

ag_tensor *ag_rotary(ag_tensor *x, ag_tensor *table) { return turn(x, table, 1); }

static ag_err rotary_table_shape(ag_tensor *y)
{
    const ag_rotary_options *o = y->attr;
    y->dtype = AG_REAL;
    if (o->width < 2 || o->width % (o->columns ? 4 : 2))
        return ag_fail(AG_ERR_SHAPE, "a head of %lld numbers; it needs pairs (on a grid, in both halves)",
                       (long long)o->width);
    if (o->rows < 1 || o->columns < 0 || o->lead < 0)
        return ag_fail(AG_ERR_SHAPE, "%lld slots, then %lld rows of %lld columns", (long long)o->lead,
                       (long long)o->rows, (long long)o->columns);
    return ag__shape_set(y, 3, (int64_t[]){o->lead + o->rows * (o->columns ? o->columns : 1), o->width / 2, 2});
}

static double angle(const ag_rotary_options *o, int64_t slot, int64_t pair)
{
    const double base = o->base != 0 ? o->base : 10000;
    if (!o->columns) return (double)slot * pow(base, -2 * (double)pair / (double)o->width);
    const int64_t half = o->width / 4;
    const double at = (double)(pair < half ? slot / o->columns : slot % o->columns);
    return at * pow(base, -2 * (double)(pair % half) / (double)(o->width / 2));
}

static void rotary_table_run(const ag_tensor *y)
{
    const ag_rotary_options *o = y->attr;
    real *t = y->data;
    for (int64_t s = 0; s < y->shape[0]; s++)
        for (int64_t p = 0; p < y->shape[1]; p++, t += 2) {
            const bool lead = s < o->lead;
            const double a = lead ? 0 : angle(o, s - o->lead, p);
            t[0] = lead && o->zero_lead ? 0 : (real)cos(a);
            t[1] = (real)sin(a);
        }
}

const ag__rule ag__rotary_table = {.shape = rotary_table_shape, .run = rotary_table_run};

ag_tensor *ag_rotary_table(ag_graph *g, const ag_rotary_options *o)
{
    return ag__source(g, AG__OP_rotary_table, o, sizeof *o);
}
