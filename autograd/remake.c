/* Results made again: a cheap op's result that is kept from the forward pass to the backward pass only because a gradient reads it
 * there is computed a second time just before that reader, from inputs that are in memory anyway, and what was kept is free in
 * between. So of a linear layer behind GELU and a norm in front of another one, the GELU's and the norm's results go; a norm with
 * SiLU behind a convolution likewise. (Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174, drop cheap results by a list of ops; here
 * the plan's own memory profile chooses.)
 *
 * Which: ops that ops.def calls AG_CHEAP. They have no state: the same kernel on the same inputs, random ops with the same stream,
 * gives the same bits. States change only in effects, which run after all that is made again.
 *
 * When: at the node where most memory lives (the peak), take the result that lives there unread, and is made again for the least
 * cost per byte saved; then look for the peak again, and go on until nothing at the peak can go. Nothing happens where memory is
 * not at its peak, so a plan is never slower without being smaller. Inputs that are dead at the peak are made again too if they are
 * cheap, or else kept, where they are smaller than the result (an upsampled image).
 *
 * Bounds: all that is made again costs at most 1 / SHARE of the step, both counted in bytes moved plus FLOPS_A_BYTE operations a
 * byte; results of less than LEAST bytes stay; unless the peak falls by 1 / WORTH in all, nothing is done.
 *
 * How: a node that runs t again is a tensor of its own, `t->remade`, in g->order before its first reader; readers from there on are
 * rewired to it, through copies of the views between. ag__unplan takes all of it back, so gradients and later plans see the graph
 * as it was built. */
#include "engine.h"

#include <stdlib.h>

enum { SHARE = 40, FLOPS_A_BYTE = 8, LEAST = 64 << 10, WORTH = 50, DEPTH = 4 };

/* By id: the tensor whose value this is (through views and other names), its last reader, its next reader after the peak. */
typedef struct search {
    ag_graph *g;
    ag_tensor **root;
    int *last, *next;
    ag__span *spans;
    int64_t *live;
    int64_t most;  /* bytes at the peak */
    int peak;      /* node */
    double budget; /* of cost that may still be added */
} search;

static bool open_search(search *s, ag_graph *g)
{
    const size_t n = 2 * (size_t)g->count + 2;
    *s = (search){.g = g};
    s->root = malloc(n * sizeof(ag_tensor *));
    s->last = malloc(n * sizeof *s->last);
    s->next = malloc(n * sizeof *s->next);
    s->spans = malloc(2 * n * sizeof *s->spans);
    s->live = malloc(n * sizeof *s->live);
    return s->root && s->last && s->next && s->spans && s->live;
}

static void close_search(search *s)
{
    free(s->root);
    free(s->last);
    free(s->next);
    free(s->spans);
    free(s->live);
}

static double cost(const ag_tensor *t)
{
    if (!t->rule->run) return 0;
    double bytes = t->rule->effect ? 0 : (double)ag_bytes(t);
    for (int i = 0; i < t->inputs; i++) bytes += (double)ag_bytes(t->in[i]);
    return bytes + ag__flops(t) / FLOPS_A_BYTE;
}

static bool runs(const ag_tensor *t) { return !t->rule->view && !t->rule->part; }

/* ---- the peak ----------------------------------------------------------------------------------------------------- */

static void find_peak(search *s)
{
    ag_graph *g = s->g;
    ag__lifetimes(g);
    for (int i = 0; i < g->count; i++) {
        s->root[i] = g->tensors[i]->owner;
        s->last[i] = g->tensors[i]->last;
        s->next[i] = g->order_count;
    }
    ag__overwrite(g);
    s->most = ag__most_live(s->spans, ag__spans(g, false, s->spans), g->order_count, 0, s->live);
    for (s->peak = 0; s->live[s->peak] < s->most;) s->peak++;
    for (int i = g->first_effect - 1; i >= s->peak; i--) {
        const ag_tensor *t = g->order[i];
        for (int j = 0; j < t->inputs && runs(t); j++) s->next[s->root[t->in[j]->id]->id] = i;
    }
}

/* ---- the best result to make again -------------------------------------------------------------------------------- */

/* What a node before node `at` would read for x: its value, made again if that is there by then. */
static ag_tensor *value_of(const search *s, const ag_tensor *x, int at)
{
    ag_tensor *r = s->root[x->id];
    return r->remade && r->remade->order < at ? r->remade : r;
}

static bool at_hand(const search *s, const ag_tensor *v)
{
    return ag__is_leaf(v) || s->last[v->id] >= s->peak || v->order > s->peak;
}

/* Can v, which is dead at the peak, be made again before node `at`? Adds what that costs. */
static bool reachable(const search *s, const ag_tensor *v, int at, int depth, double *added)
{
    if (!depth || ag__costs[v->op] != AG_CHEAP || v->remade || v->remake) return false;
    *added += cost(v);
    for (int i = 0; i < v->inputs; i++) {
        const ag_tensor *u = value_of(s, v->in[i], at);
        if (!at_hand(s, u) && !reachable(s, u, at, depth - 1, added)) return false;
    }
    return true;
}

/* Bytes that making t again before its next reader saves at the peak; `added`: what it costs. */
static int64_t saved(const search *s, const ag_tensor *t, double *added)
{
    int64_t bytes = (int64_t)ag_bytes(t);
    *added = cost(t);
    for (int i = 0; i < t->inputs; i++) {
        const ag_tensor *v = value_of(s, t->in[i], s->next[t->id]);
        double more = 0;
        if (at_hand(s, v)) continue;
        if (reachable(s, v, s->next[t->id], DEPTH, &more))
            *added += more;
        else
            bytes -= (int64_t)ag_bytes(v);
    }
    return bytes;
}

/* Lives at the peak unread, and is read by a node after it. */
static bool idle(const search *s, const ag_tensor *t)
{
    const int next = s->next[t->id];
    return runs(t) && ag__costs[t->op] == AG_CHEAP && !t->remade && !t->remake && next > s->peak &&
           next < s->g->first_effect && s->last[t->id] < s->g->order_count && ag_bytes(t) >= LEAST;
}

static ag_tensor *best(const search *s, double *added)
{
    ag_tensor *best = NULL;
    double most = 0;
    for (int i = 0; i < s->peak; i++) {
        ag_tensor *t = s->g->order[i];
        double more;
        if (!idle(s, t)) continue;
        const int64_t bytes = saved(s, t, &more);
        if (bytes < LEAST || more > s->budget || (double)bytes / more <= most) continue;
        most = (double)bytes / more;
        *added = more;
        best = t;
    }
    return best;
}

/* ---- making it again ---------------------------------------------------------------------------------------------- */

static ag_tensor *insert(search *s, ag_tensor *t, const ag_tensor *before)
{
    ag_graph *g = s->g;
    ag_tensor *r = ag__remake_of(t);
    if (!r) return NULL;
    const int at = before->order;
    for (int i = g->order_count++; i > at; i--) {
        g->order[i] = g->order[i - 1];
        g->order[i]->order = i;
    }
    g->order[at] = r;
    g->first_effect++;
    r->order = at;
    s->root[r->id] = r;
    s->last[r->id] = g->order_count;
    return r;
}

/* The tensor that takes x's place behind a value made again, x being the value, another name of it, or a view. */
static ag_tensor *stand_in(search *s, ag_tensor *x, const ag_tensor *before)
{
    if (ag__aliased(x)) return stand_in(s, x->original, before);
    if (x->remade || !x->rule->view) return x->remade;
    ag_tensor *base = stand_in(s, x->in[x->inputs - 1], before), *r = base ? insert(s, x, before) : NULL;
    if (!r) return NULL;
    r->in[r->inputs - 1] = base;
    s->root[r->id] = s->root[base->id];
    return r;
}

/* Runs t again before node `before`, and first what it reads that is not at hand. */
static ag_tensor *make_again(search *s, ag_tensor *t, const ag_tensor *before)
{
    ag_tensor *r = insert(s, t, before);
    for (int i = 0; r && i < t->inputs; i++) {
        ag_tensor *x = t->in[i], *v = value_of(s, x, r->order);
        double ignored = 0;
        if (!at_hand(s, v) && reachable(s, v, r->order, DEPTH, &ignored) && !make_again(s, v, r)) return NULL;
        if (value_of(s, x, r->order) != s->root[x->id] && !(r->in[i] = stand_in(s, x, r))) return NULL;
    }
    return r;
}

static ag_err rewire_readers(search *s, ag_tensor *t, ag_tensor *first)
{
    ag_graph *g = s->g;
    ag_err err = AG_OK;
    for (int i = first->order; i < g->order_count && !err; i++) {
        ag_tensor *reader = g->order[i];
        for (int j = 0; j < reader->inputs && runs(reader) && !err; j++) {
            if (s->root[reader->in[j]->id] != t) continue;
            ag_tensor *x = stand_in(s, reader->in[j], reader);
            err = x ? ag__rewire(reader, j, x) : AG_ERR_MEMORY;
        }
        i = reader->order;
    }
    return err;
}

/* One result; *more: was there one to make again? */
static ag_err improve(search *s, bool *more)
{
    double added = 0;
    ag_tensor *t = best(s, &added);
    *more = t;
    if (!t) return AG_OK;
    ag_tensor *reader = s->g->order[s->next[t->id]];
    s->budget -= added;
    if (!make_again(s, t, reader)) return AG_ERR_MEMORY;
    return rewire_readers(s, t, reader);
}

ag_err ag__remake(ag_graph *g, bool *worth)
{
    search s;
    ag_err err = open_search(&s, g) ? AG_OK : AG_ERR_MEMORY;
    bool more = !err;
    *worth = false;
    if (more) find_peak(&s);
    const int64_t first = s.most;
    for (int i = 0; i < g->order_count; i++) s.budget += cost(g->order[i]) / SHARE;
    while (more && !(err = improve(&s, &more)) && more) find_peak(&s);
    if (err)
        ag_fail(err, "out of memory for a plan of %d nodes", g->order_count);
    else
        *worth = g->remakes && first - s.most >= first / WORTH;
    close_search(&s);
    return err;
}
