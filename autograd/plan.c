/* Planning: what runs, how long each tensor lives, and where in the one arena it lies.
 *
 * 1. Live: effects, kept tensors, and what they read (through views).
 * 2. Order: live nodes as they were built, then the effects.
 * 3. Storage: a view has the storage of what it views; an op that allows it takes over the storage of an input whose last
 *    reader it is. A part is written when the op it belongs to runs. Every other node owns storage that lives from its own position to that of its last reader.
 * 4. Offsets: storages by falling size, each at the lowest offset where nothing that lives at the same time lies. A
 *    node's scratch is a storage that lives at one position. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, HUGE = 2 << 20 };

typedef struct span {
    int first, last;
    int64_t size, offset;
    ag_tensor *tensor;
    bool scratch;
} span;

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

static void mark_live(ag_graph *g)
{
    for (int i = 0; i < g->count; i++) g->tensors[i]->live = g->tensors[i]->kept || g->tensors[i]->rule->effect;
    for (int i = g->count - 1; i >= 0; i--) {
        const ag_tensor *t = g->tensors[i];
        if (!t->live) continue;
        for (int j = t->rule->view ? t->inputs - 1 : 0; j < t->inputs; j++) t->in[j]->live = true;
    }
}

static ag_err make_order(ag_graph *g)
{
    free(g->order);
    g->order = malloc(((size_t)g->count + 1) * sizeof *g->order);
    if (!g->order) return ag_fail(AG_ERR_MEMORY, "out of memory for a plan of %d nodes", g->count);
    g->order_count = 0;
    for (int i = 0; i < g->count; i++) {
        ag_tensor *t = g->tensors[i];
        t->order = -1;
        if (!t->live || ag__is_leaf(t) || t->rule->effect) continue;
        t->order = g->order_count;
        g->order[g->order_count++] = t;
    }
    g->first_effect = g->order_count;
    for (int i = 0; i < g->effect_count; i++) {
        g->effects[i]->order = g->order_count;
        g->order[g->order_count++] = g->effects[i];
    }
    return AG_OK;
}

/* The first input that a node reads when it runs: a view only its last, a part none. */
static int first_read(const ag_tensor *t) { return t->rule->part ? t->inputs : t->rule->view ? t->inputs - 1 : 0; }

/* Last readers of storages; views pass theirs on to what they view. */
static void find_lifetimes(ag_graph *g)
{
    for (int i = 0; i < g->count; i++) {
        ag_tensor *t = g->tensors[i];
        t->owner = t->rule->view ? t->in[t->inputs - 1]->owner : t;
        t->last = t->order;
    }
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        for (int j = first_read(t); j < t->inputs; j++) t->in[j]->owner->last = i;
    }
    for (int i = 0; i < g->count; i++)
        if (g->tensors[i]->kept) g->tensors[i]->owner->last = g->order_count;
}

static bool can_overwrite(const ag_tensor *t, int input)
{
    const ag_tensor *x = t->in[input], *o = x->owner;
    if (!(t->rule->in_place >> input & 1) || ag__is_leaf(o) || o->last != t->order || !ag__same_shape(x, t) ||
        ag_dtype_size(x->dtype) != ag_dtype_size(t->dtype))
        return false;
    for (int j = 0; j < t->inputs; j++) /* another operand in the same storage must be read in step with it */
        if (t->in[j]->owner == o && !ag__same_shape(t->in[j], t)) return false;
    return true;
}

/* In run order, so that a storage taken over can be taken over again. */
static void overwrite(ag_graph *g)
{
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        if (t->rule->view) t->owner = t->in[t->inputs - 1]->owner;
        if (t->rule->view || t->rule->part || t->rule->effect) continue;
        for (int j = 0; j < t->inputs && t->owner == t; j++) {
            if (!can_overwrite(t, j)) continue;
            ag_tensor *o = t->in[j]->owner;
            o->last = t->last;
            t->owner = o;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->scratch - y->scratch;
}

/* Lowest offset at which spans[i] meets none of the placed spans[0..i-1] in time and place. `near` is room for i indices. */
static int64_t place(const span *spans, int i, int *near)
{
    int n = 0;
    for (int j = 0; j < i; j++) {
        if (spans[j].last < spans[i].first || spans[j].first > spans[i].last) continue;
        int p = n++; /* insertion by offset */
        for (; p > 0 && spans[near[p - 1]].offset > spans[j].offset; p--) near[p] = near[p - 1];
        near[p] = j;
    }
    int64_t at = 0;
    for (int j = 0; j < n; j++) {
        const span *o = &spans[near[j]];
        if (o->offset - at >= spans[i].size) break;
        if (o->offset + o->size > at) at = o->offset + o->size;
    }
    return at;
}

static int collect_spans(ag_graph *g, bool unshared, span *spans)
{
    int n = 0;
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        const int64_t scratch = t->rule->scratch ? round_up((int64_t)t->rule->scratch(t), ALIGN) : 0;
        if (scratch) spans[n++] = (span){i, i, scratch, 0, t, true};
        if (scratch > g->report.scratch_bytes) g->report.scratch_bytes = scratch;
        if (t->rule->effect) continue;
        if (!t->rule->view) g->report.unshared_bytes += round_up((int64_t)ag_bytes(t), ALIGN);
        if (t->owner == t) {
            const int from = t->rule->part ? t->in[0]->order : i;
            spans[n++] = (span){from, t->last, round_up((int64_t)ag_bytes(t), ALIGN), 0, t, false};
            if (unshared) spans[n - 1].first = 0, spans[n - 1].last = g->order_count;
        }
    }
    return n;
}

static ag_err place_all(ag_graph *g, bool unshared)
{
    span *spans = malloc((2 * (size_t)g->order_count + 1) * sizeof *spans);
    int *near = malloc((2 * (size_t)g->order_count + 1) * sizeof *near);
    ag_err err = AG_OK;
    if (!spans || !near) {
        err = ag_fail(AG_ERR_MEMORY, "out of memory for a plan of %d nodes", g->order_count);
        goto out;
    }
    const int n = collect_spans(g, unshared, spans);
    qsort(spans, (size_t)n, sizeof *spans, by_size);
    for (int i = 0; i < n; i++) {
        span *s = &spans[i];
        s->offset = place(spans, i, near);
        if (s->offset + s->size > g->report.arena_bytes) g->report.arena_bytes = s->offset + s->size;
        if (s->scratch)
            s->tensor->scratch_offset = s->offset;
        else
            s->tensor->offset = s->offset;
    }
out:
    free(spans);
    free(near);
    return err;
}

static void count_leaves(ag_graph *g)
{
    for (int i = 0; i < g->count; i++) {
        const ag_tensor *t = g->tensors[i];
        if (t->op == AG__OP_state)
            g->report.state_bytes += (int64_t)ag_bytes(t);
        else if (ag__is_leaf(t) && (t->live || t->op == AG__OP_input))
            g->report.input_bytes += (int64_t)ag_bytes(t);
    }
}

static ag_err lay_out(ag_graph *g, const ag_plan_options *o)
{
    static const ag_plan_options none;
    if (!o) o = &none;
    if (g->error) return ag_fail(g->error, "%s", g->message);
    g->report = (ag_plan_report){0};
    for (int i = 0; i < g->count; i++) g->tensors[i]->offset = g->tensors[i]->scratch_offset = -1;
    mark_live(g);
    ag_err err = make_order(g);
    if (err) return err;
    find_lifetimes(g);
    if (!o->unshared) overwrite(g);
    if ((err = place_all(g, o->unshared))) return err;
    count_leaves(g);
    g->report.nodes = g->order_count;
    for (int i = 0; i < g->count; i++) g->report.dropped += !g->tensors[i]->live && !ag__is_leaf(g->tensors[i]);
    const int64_t total = g->report.arena_bytes + g->report.state_bytes + g->report.input_bytes;
    if (o->memory_limit && total > o->memory_limit)
        return ag_fail(AG_ERR_MEMORY,
                       "the plan needs %.1f MiB, the bound is %.1f MiB; take a smaller batch or a larger bound",
                       (double)total / 0x1p20, (double)o->memory_limit / 0x1p20);
    return AG_OK;
}

ag_err ag_graph_plan_report(ag_graph *g, const ag_plan_options *options, ag_plan_report *out)
{
    const ag_err err = lay_out(g, options);
    g->planned = false;
    if (out) *out = g->report;
    return err;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static ag_err allocate_leaf(ag_tensor *t)
{
    if (t->bound || t->data) return AG_OK;
    if (!t->live && t->op == AG__OP_constant) return AG_OK;
    const size_t size = (size_t)round_up((int64_t)ag_bytes(t), ALIGN);
    t->data = aligned_alloc(ALIGN, size);
    if (!t->data) return ag_fail(AG_ERR_MEMORY, "out of memory for %s %s", t->name, ag__shape_text(t));
    memset(t->data, 0, size);
    if (t->op == AG__OP_constant)
        for (int64_t i = 0; i < t->numel; i++) ((real *)t->data)[i] = (real) * (const double *)t->attr;
    return AG_OK;
}

static ag_err allocate_arena(ag_graph *g)
{
    const int64_t need = g->report.arena_bytes;
    const int64_t unit = need >= HUGE ? HUGE : ALIGN;
    const size_t size = (size_t)round_up(need ? need : ALIGN, unit);
    if (g->arena && g->arena_size == size) return AG_OK;
    free(g->arena);
    g->arena = aligned_alloc((size_t)unit, size);
    g->arena_size = g->arena ? size : 0;
    if (!g->arena) return ag_fail(AG_ERR_MEMORY, "out of memory: the plan needs %.1f MiB", (double)need / 0x1p20);
#ifdef MADV_HUGEPAGE
    if (unit == HUGE) madvise(g->arena, size, MADV_HUGEPAGE);
#endif
    return AG_OK;
}

ag_err ag_graph_plan(ag_graph *g, const ag_plan_options *options)
{
    ag_err err = lay_out(g, options);
    if (err || (err = allocate_arena(g))) return err;
    for (int i = 0; i < g->count; i++)
        if (ag__is_leaf(g->tensors[i]) && (err = allocate_leaf(g->tensors[i]))) return err;
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        t->scratch = t->scratch_offset < 0 ? NULL : (char *)g->arena + t->scratch_offset;
        const ag_tensor *o = t->owner;
        if (!t->rule->effect) t->data = ag__is_leaf(o) ? o->data : (char *)g->arena + o->offset;
    }
    for (int i = 0; i < g->count; i++)
        if (!g->tensors[i]->live && !ag__is_leaf(g->tensors[i])) g->tensors[i]->data = NULL;
    g->planned = true;
    return AG_OK;
}
