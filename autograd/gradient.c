/* Reverse mode: walks the graph backwards from a scalar and lets each op's rule append the ops of its gradient. */
#include "engine.h"

#include <assert.h>
#include <stdlib.h>

bool ag__wants(const ag_tensor *y, int i) { return y->graph->wanted[y->in[i]->id]; }

ag_tensor *ag__unbroadcast(ag_tensor *d, const ag_tensor *x)
{
    if (!d || ag__same_shape(d, x)) return d;
    return ag_sum_to(d, x->rank, x->shape);
}

/* A gradient is wanted for the tensors asked for and for all on the way to them. */
static void mark_wanted(const ag_graph *g, int count, int n, ag_tensor *const *wrt, bool *wanted)
{
    for (int i = 0; i < n; i++)
        if (wrt[i]) wanted[wrt[i]->id] = true;
    for (int id = 0; id < count; id++) {
        const ag_tensor *t = g->tensors[id];
        if (ag__gradient_kinds[t->op] == AG_GRAD_ZERO) continue;
        for (int i = 0; i < t->inputs; i++)
            if (wanted[t->in[i]->id]) wanted[id] = true;
    }
}

static void backward(ag_graph *g, ag_tensor *y, ag_tensor **grads)
{
    ag_tensor **dx = calloc((size_t)y->inputs, sizeof *dx);
    if (!dx) {
        ag_graph_fail(g, AG_ERR_MEMORY, "out of memory for the gradient of %s", ag__op_names[y->op]);
        return;
    }
    ag_graph_scope(g, y->name);
    y->rule->gradient(y, grads[y->id], dx);
    for (int i = 0; i < y->inputs; i++) {
        const int id = y->in[i]->id;
        if (g->wanted[id] && dx[i]) grads[id] = grads[id] ? ag_add(grads[id], dx[i]) : dx[i];
    }
    free(dx);
}

void ag_gradient(ag_tensor *loss, int n, ag_tensor *const *wrt, ag_tensor **out)
{
    for (int i = 0; i < n; i++) out[i] = NULL;
    if (!loss) return;
    ag_graph *g = loss->graph;
    const int count = g->count;
    const char *scope = g->scope;
    const bool nested = g->building_gradient; /* a rule may differentiate the composed form of its op */
    const bool *outer = g->wanted;
    bool *wanted = calloc((size_t)count, sizeof *wanted);
    ag_tensor **grads = calloc((size_t)count, sizeof *grads);
    if (!wanted || !grads) {
        ag_graph_fail(g, AG_ERR_MEMORY, "out of memory for a gradient of %d tensors", count);
        goto out;
    }
    if (loss->numel != 1 || loss->dtype != AG_REAL) {
        ag_graph_fail(g, AG_ERR_SHAPE, "gradient of %s %s in %s: only a real scalar has one", ag__op_names[loss->op],
                      ag__shape_text(loss), loss->name);
        goto out;
    }
    mark_wanted(g, count, n, wrt, wanted);
    g->wanted = wanted;
    g->building_gradient = true;
    grads[loss->id] = ag_constant(g, 1, loss->rank, loss->shape);
    for (int id = loss->id; id >= 0 && !g->error; id--) {
        ag_tensor *y = g->tensors[id];
        if (!grads[id] || !wanted[id] || ag__is_leaf(y) || ag__gradient_kinds[y->op] == AG_GRAD_ZERO) continue;
        if (ag__gradient_kinds[y->op] == AG_GRAD_STOPS)
            ag_graph_fail(g, AG_ERR_SHAPE, "no gradient through %s in %s: the op is not differentiable (again)",
                          ag__op_names[y->op], y->name);
        else
            backward(g, y, grads);
    }
    for (int i = 0; i < n; i++) {
        if (!wrt[i]) continue;
        out[i] = grads[wrt[i]->id];
        if (!out[i]) out[i] = ag_constant(g, 0, wrt[i]->rank, wrt[i]->shape);
    }
out:
    g->wanted = outer;
    g->building_gradient = nested;
    g->scope = scope;
    free(wanted);
    free(grads);
}

void ag__gradient_of_composed(ag_tensor *y, ag_tensor *dy, ag_tensor **dx,
                              ag_tensor *(*compose)(const ag_tensor *y, ag_tensor *const *in))
{
    enum { MOST = 8 };
    ag_tensor *in[MOST], *wrt[MOST], *d[MOST];
    int at[MOST], n = 0;
    assert(y->inputs <= MOST);
    for (int i = 0; i < y->inputs; i++) {
        in[i] = y->in[i];
        if (!ag__wants(y, i)) continue;
        wrt[n] = in[i] = ag_reshape(in[i], in[i]->rank, in[i]->shape); /* the walk ends at these views */
        at[n++] = i;
    }
    ag_gradient(ag_sum(ag_mul(compose(y, in), dy)), n, wrt, d);
    for (int i = 0; i < n; i++) dx[at[i]] = d[i];
}
