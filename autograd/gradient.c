/* Reverse mode: walks the graph backwards from a scalar and lets each op's rule append the ops of its gradient.
 *
 * Recomputation: when the walk enters a marked block from behind, it first appends a copy of every node of the block that is not
 * read outside of it; rules of the block's ops then see the copies. Whether a copy is computed or is another name of its original
 * is the plan's choice (plan.c), so one graph serves both. */
#include "engine.h"

#include <assert.h>
#include <stdlib.h>

bool ag__wants(const ag_tensor *y, int i)
{
    const ag_graph *g = y->graph;
    const ag_tensor *x = y->in[i];
    while (x->id >= g->wanted_count && x->original) x = x->original;
    return g->wanted[x->id];
}

ag_tensor *ag__unbroadcast(ag_tensor *d, const ag_tensor *x)
{
    if (!d || ag__same_shape(d, x)) return d;
    return ag_sum_to(d, x->rank, x->shape);
}

/* One walk. By id: is a gradient wanted, is the tensor read outside of its block, its gradient, and its copy. */
typedef struct walk {
    ag_graph *g;
    int count;
    bool *wanted, *outside;
    ag_tensor **grads, **copies;
    int block; /* that was copied last */
} walk;

/* A gradient is wanted for the tensors asked for and for all on the way to them. */
static void mark_wanted(const walk *w, int n, ag_tensor *const *wrt)
{
    for (int i = 0; i < n; i++)
        if (wrt[i]) w->wanted[wrt[i]->id] = true;
    for (int id = 0; id < w->count; id++) {
        const ag_tensor *t = w->g->tensors[id];
        if (ag__gradient_kinds[t->op] == AG_GRAD_ZERO) continue;
        for (int i = 0; i < t->inputs; i++)
            if (w->wanted[t->in[i]->id]) w->wanted[id] = true;
    }
}

/* What stays in memory anyway: tensors that are kept, that effects read, or that nodes of other blocks read; and, with a view or a
 * further result, what it is a part of. */
static void mark_outside(const walk *w)
{
    for (int id = w->count - 1; id >= 0 && w->g->blocks; id--) {
        const ag_tensor *t = w->g->tensors[id];
        w->outside[id] |= t->kept;
        for (int i = 0; i < t->inputs; i++)
            if (t->rule->effect || t->in[i]->block != t->block) w->outside[t->in[i]->id] = true;
        if (w->outside[id] && t->inputs && (t->rule->view || t->rule->part))
            w->outside[t->in[t->inputs - 1]->id] = true;
    }
    for (int id = 0; id < w->count; id++) {
        const ag_tensor *t = w->g->tensors[id];
        if (t->rule->part) w->outside[id] = w->outside[t->in[0]->id];
    }
}

static ag_tensor *stand_in(const walk *w, ag_tensor *t) { return w->copies[t->id] ? w->copies[t->id] : t; }

static void copy_node(walk *w, ag_tensor *t)
{
    ag_tensor **in = malloc(((size_t)t->inputs + 1) * sizeof *in);
    if (!in) {
        ag_graph_fail(w->g, AG_ERR_MEMORY, "out of memory for the gradient of %s", ag__op_names[t->op]);
        return;
    }
    for (int i = 0; i < t->inputs; i++) in[i] = stand_in(w, t->in[i]);
    w->copies[t->id] = ag__copy(t, in);
    free(in);
}

/* Copies the block that node id belongs to; its nodes are neighbours. */
static void copy_block(walk *w, int id)
{
    ag_tensor *const *t = w->g->tensors;
    const int block = t[id]->block;
    int first = id, last = id;
    w->block = block;
    while (first > 0 && t[first - 1]->block == block) first--;
    while (last < w->count - 1 && t[last + 1]->block == block) last++;
    for (int i = first; i <= last && !w->g->error; i++)
        if (!ag__is_leaf(w->g->tensors[i]) && !w->g->tensors[i]->rule->effect && !w->outside[i])
            copy_node(w, w->g->tensors[i]);
}

static void backward(walk *w, ag_tensor *y)
{
    ag_graph *g = w->g;
    ag_tensor **dx = calloc((size_t)y->inputs, sizeof *dx);
    if (!dx) {
        ag_graph_fail(g, AG_ERR_MEMORY, "out of memory for the gradient of %s", ag__op_names[y->op]);
        return;
    }
    if (y->block && y->block != w->block) copy_block(w, y->id);
    ag_graph_scope(g, y->name);
    g->precision = y->precision;
    if (!g->error) y->rule->gradient(stand_in(w, y), w->grads[y->id], dx);
    for (int i = 0; i < y->inputs; i++) {
        const int id = y->in[i]->id;
        if (w->wanted[id] && dx[i]) w->grads[id] = w->grads[id] ? ag_add(w->grads[id], dx[i]) : dx[i];
    }
    free(dx);
}

static bool walk_open(walk *w, ag_graph *g)
{
    const size_t n = (size_t)g->count;
    *w = (walk){.g = g, .count = g->count};
    w->wanted = calloc(n, sizeof *w->wanted);
    w->outside = calloc(n, sizeof *w->outside);
    w->grads = calloc(n, sizeof *w->grads);
    w->copies = calloc(n, sizeof *w->copies);
    if (w->wanted && w->outside && w->grads && w->copies) return true;
    ag_graph_fail(g, AG_ERR_MEMORY, "out of memory for a gradient of %d tensors", g->count);
    return false;
}

static void walk_close(walk *w)
{
    free(w->wanted);
    free(w->outside);
    free(w->grads);
    free(w->copies);
}

static void walk_back(walk *w, int from)
{
    ag_graph *g = w->g;
    for (int id = from; id >= 0 && !g->error; id--) {
        ag_tensor *y = g->tensors[id];
        if (!w->grads[id] || !w->wanted[id] || ag__is_leaf(y) || ag__gradient_kinds[y->op] == AG_GRAD_ZERO) continue;
        if (ag__gradient_kinds[y->op] == AG_GRAD_STOPS)
            ag_graph_fail(g, AG_ERR_SHAPE, "no gradient through %s in %s: the op is not differentiable (again)",
                          ag__op_names[y->op], y->name);
        else
            backward(w, y);
    }
}

/* `dy` NULL: 1. */
static void differentiate(ag_tensor *y, ag_tensor *dy, int n, ag_tensor *const *wrt, ag_tensor **out)
{
    ag_graph *g = y->graph;
    const char *scope = g->scope;
    const ag_precision precision = g->precision;
    const bool nested = g->building_gradient; /* a rule may differentiate the composed form of its op */
    const bool *outer = g->wanted;
    const int outer_count = g->wanted_count;
    walk w;
    ag__unplan(g);
    if (!walk_open(&w, g)) goto out;
    mark_wanted(&w, n, wrt);
    mark_outside(&w);
    g->wanted = w.wanted;
    g->wanted_count = w.count;
    g->building_gradient = true;
    w.grads[y->id] = dy ? dy : ag_constant(g, 1, y->rank, y->shape);
    walk_back(&w, y->id);
    for (int i = 0; i < n; i++) {
        if (!wrt[i]) continue;
        out[i] = w.grads[wrt[i]->id];
        if (!out[i]) out[i] = ag_constant(g, 0, wrt[i]->rank, wrt[i]->shape);
    }
out:
    g->wanted = outer;
    g->wanted_count = outer_count;
    g->building_gradient = nested;
    g->scope = scope;
    g->precision = precision;
    walk_close(&w);
}

void ag_gradient(ag_tensor *loss, int n, ag_tensor *const *wrt, ag_tensor **out)
{
    for (int i = 0; i < n; i++) out[i] = NULL;
    if (!loss) return;
    if (loss->numel != 1 || loss->dtype != AG_REAL)
        ag_graph_fail(loss->graph, AG_ERR_SHAPE, "gradient of %s %s in %s: only a real scalar has one",
                      ag__op_names[loss->op], ag__shape_text(loss), loss->name);
    else
        differentiate(loss, NULL, n, wrt, out);
}

void ag_pullback(ag_tensor *y, ag_tensor *dy, int n, ag_tensor *const *wrt, ag_tensor **out)
{
    for (int i = 0; i < n; i++) out[i] = NULL;
    if (!y || !dy) return;
    if (!ag__same_shape(y, dy) || y->dtype != AG_REAL || dy->dtype != AG_REAL)
        ag_graph_fail(y->graph, AG_ERR_SHAPE, "pullback of %s %s in %s: the gradient that arrives is %s %s",
                      ag__op_names[y->op], ag__shape_text(y), y->name, ag_dtype_name(dy->dtype), ag__shape_text(dy));
    else
        differentiate(y, dy, n, wrt, out);
}

void ag__gradient_of_composed(ag_tensor *y, ag_tensor *dy, ag_tensor **dx,
                              ag_tensor *(*compose)(const ag_tensor *y, ag_tensor *const *in))
{
    enum { MOST = 8 };
    ag_tensor *in[MOST] = {0}, *wrt[MOST] = {0}, *d[MOST] = {0};
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
