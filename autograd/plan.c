/* Planning: what runs, how long each tensor lives, and where in the one arena it lies.
 *
 * 1. Live: effects, kept tensors, and what they read (through views).
 * 2. Order: live nodes as they were built, then the effects, of which those that gather come first. Copies (gradient.c) are other
 *    names of their originals, unless the plan has to recompute: then they are nodes like all others. Cheap nodes are added a
 *    second time where that lowers the peak (remake.c).
 * 3. Storage: a view has the storage of what it views; an op that allows it takes over the storage of an input whose last
 *    reader it is. A part is written when the op it belongs to runs. Every other node owns storage that lives from its own
 *    position to that of its last reader. A node's scratch lives at one position.
 * 4. Offsets (place.c).
 * 5. Needs: what a node is computed for, so that a run without some of the effects leaves out what only they read. */
#include "engine.h"

#include "autograd/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = AG__ALIGN, HUGE = 2 << 20 };

static void mark_live(ag_graph *g)
{
    for (int i = 0; i < g->count; i++) g->tensors[i]->live = g->tensors[i]->kept || g->tensors[i]->rule->effect;
    for (int i = g->count - 1; i >= 0; i--) {
        const ag_tensor *t = g->tensors[i];
        if (!t->live) continue;
        if (ag__aliased(t)) {
            t->original->live = true;
            continue;
        }
        for (int j = t->rule->view ? t->inputs - 1 : 0; j < t->inputs; j++) t->in[j]->live = true;
    }
}

static void order_effects(ag_graph *g, bool gathers)
{
    for (int i = 0; i < g->effect_count; i++) {
        if (g->effects[i]->rule->gathers != gathers) continue;
        g->effects[i]->order = g->order_count;
        g->order[g->order_count++] = g->effects[i];
    }
}

static ag_err make_order(ag_graph *g)
{
    free(g->order);
    g->order_count = 0;
    g->order = malloc((2 * (size_t)g->count + 1) * sizeof *g->order); /* each may be run again */
    if (!g->order) return ag_fail(AG_ERR_MEMORY, "out of memory for a plan of %d nodes", g->count);
    for (int i = 0; i < g->count; i++) {
        ag_tensor *t = g->tensors[i];
        t->order = -1;
        if (!t->live || ag__is_leaf(t) || t->rule->effect || ag__aliased(t)) continue;
        t->order = g->order_count;
        g->order[g->order_count++] = t;
    }
    g->first_effect = g->order_count;
    order_effects(g, true);
    g->gathering = g->order_count - g->first_effect;
    order_effects(g, false);
    return AG_OK;
}

static ag_tensor *owner_of(ag_tensor *t)
{
    if (ag__aliased(t)) return t->original->owner;
    return t->rule->view ? t->in[t->inputs - 1]->owner : t;
}

/* Last readers of storages; what reads a view reads what it views. */
void ag__lifetimes(ag_graph *g)
{
    for (int i = 0; i < g->count; i++) {
        ag_tensor *t = g->tensors[i];
        t->owner = owner_of(t);
        t->last = t->order;
    }
    for (int i = 0; i < g->order_count; i++) {
        const ag_tensor *t = g->order[i];
        for (int j = 0; j < t->inputs && !t->rule->view && !t->rule->part; j++) t->in[j]->owner->last = i;
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
void ag__overwrite(ag_graph *g)
{
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        for (int j = 0; j < t->inputs; j++)
            if (ag__aliased(t->in[j])) t->in[j]->owner = t->in[j]->original->owner;
        if (t->rule->view) t->owner = owner_of(t);
        if (t->rule->view || t->rule->part || t->rule->effect) continue;
        for (int j = 0; j < t->inputs && t->owner == t; j++) {
            if (!can_overwrite(t, j)) continue;
            ag_tensor *o = t->in[j]->owner;
            o->last = t->last;
            t->owner = o;
        }
    }
}

static ag_err place_all(ag_graph *g, const ag_plan_options *o, int64_t *fixed)
{
    const size_t most = 2 * (size_t)g->order_count + 2;
    ag__span *spans = malloc(2 * most * sizeof *spans);
    int *at = malloc(most * sizeof *at);
    int64_t *live = malloc(most * sizeof *live);
    ag_err err = AG_OK;
    if (!spans || !at || !live) {
        err = ag_fail(AG_ERR_MEMORY, "out of memory for a plan of %d nodes", g->order_count);
        goto out;
    }
    const int n = ag__spans(g, o->unshared, spans);
    g->report.bound_bytes = ag__most_live(spans, n, g->order_count, 0, live);
    g->report.arena_bytes = ag__place(spans, n, g->report.bound_bytes, spans + most, at);
    *fixed = ag__most_live(spans, n, g->order_count, o->batch, live);
    for (int i = 0; i < n; i++) {
        ag_tensor *t = spans[i].tensor;
        *(spans[i].scratch ? &t->scratch_offset : &t->offset) = spans[i].offset;
        if (spans[i].scratch && spans[i].size > g->report.scratch_bytes) g->report.scratch_bytes = spans[i].size;
    }
out:
    free(spans);
    free(at);
    free(live);
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

static void count_nodes(ag_graph *g)
{
    g->report.nodes = g->order_count;
    for (int i = 0; i < g->count; i++) {
        const ag_tensor *t = g->tensors[i];
        g->report.dropped += !t->live && !ag__is_leaf(t) && !ag__aliased(t);
        if (t->order < 0) continue;
        g->report.recomputed += t->original && !t->remake;
        g->report.remade += t->remake && !t->rule->view;
        if (!t->rule->view && !t->rule->effect && !t->original)
            g->report.unshared_bytes += ag__round_up((int64_t)ag_bytes(t), ALIGN);
    }
}

static ag_err order_nodes(ag_graph *g, const ag_plan_options *o)
{
    bool worth;
    ag_err err = make_order(g);
    if (err || o->unshared || o->keep_cheap) return err;
    err = ag__remake(g, &worth);
    if (err || worth) return err;
    ag__unplan(g);
    return make_order(g);
}

/* `fixed`: bytes of the arena that do not shrink with the batch. */
static ag_err lay_out_as(ag_graph *g, const ag_plan_options *o, bool recompute, int64_t *fixed)
{
    ag__unplan(g);
    g->recomputing = recompute;
    g->report = (ag_plan_report){0};
    for (int i = 0; i < g->count; i++) g->tensors[i]->offset = g->tensors[i]->scratch_offset = -1;
    mark_live(g);
    ag_err err = order_nodes(g, o);
    if (err) return err;
    ag__lifetimes(g);
    if (!o->unshared) ag__overwrite(g);
    if ((err = place_all(g, o, fixed))) return err;
    count_leaves(g);
    count_nodes(g);
    return AG_OK;
}

static int64_t total(const ag_graph *g)
{
    return g->report.arena_bytes + g->report.state_bytes + g->report.input_bytes;
}

/* Arena and inputs are a constant and a part in proportion to the batch. */
static ag_err refuse(ag_graph *g, const ag_plan_options *o, int64_t fixed)
{
    const double constant = (double)(g->report.state_bytes + fixed), all = (double)total(g);
    const double room = (double)o->memory_limit - constant;
    int64_t fits = room > 0 && all > constant ? (int64_t)((double)o->batch * room / (all - constant)) : 0;
    if (fits >= o->batch && o->batch) fits = o->batch - 1;
    g->report.batch_that_fits = fits;
    char advice[96] = "take a smaller batch or a larger bound";
    if (fits > 0) snprintf(advice, sizeof advice, "a batch of %lld would fit", (long long)fits);
    return ag_fail(AG_ERR_MEMORY, "the plan needs %.1f MiB%s, the bound is %.1f MiB; %s", all / 0x1p20,
                   g->report.recomputed ? " even with recomputation" : "", (double)o->memory_limit / 0x1p20, advice);
}

/* Backwards: of every node, the groups of the effects that read it, itself or what is made of it. */
static void find_needs(ag_graph *g)
{
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        t->needed = t->rule->effect ? UINT64_C(1) << t->group : 0;
    }
    for (int i = 0; i < g->count; i++) {
        ag_tensor *t = g->tensors[i];
        if (t->kept) *(ag__aliased(t) ? &t->original->needed : &t->needed) |= AG__ALWAYS;
    }
    for (int i = g->order_count - 1; i >= 0; i--) {
        const ag_tensor *t = g->order[i];
        for (int j = 0; j < t->inputs; j++)
            *(ag__aliased(t->in[j]) ? &t->in[j]->original->needed : &t->in[j]->needed) |= t->needed;
    }
}

static ag_err lay_out(ag_graph *g, const ag_plan_options *o)
{
    static const ag_plan_options none;
    int64_t fixed = 0;
    ag__unplan(g); /* what was planned before is gone even if this fails */
    if (!o) o = &none;
    if (g->error) return ag_fail(g->error, "%s", g->message);
    ag_err err = lay_out_as(g, o, o->recompute, &fixed);
    const bool over = o->memory_limit && total(g) > o->memory_limit;
    if (!err && over && g->copies && !o->recompute) err = lay_out_as(g, o, true, &fixed);
    if (!err) find_needs(g);
    if (!err && o->memory_limit && total(g) > o->memory_limit) err = refuse(g, o, fixed);
    return err;
}

ag_err ag_graph_plan_report(ag_graph *g, const ag_plan_options *options, ag_plan_report *out)
{
    const ag_err err = lay_out(g, options);
    if (out) *out = g->report;
    return err;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static ag_err allocate_leaf(ag_tensor *t)
{
    if (t->bound || t->data) return AG_OK;
    if (!t->live && t->op == AG__OP_constant) return AG_OK;
    const size_t size = (size_t)ag__round_up((int64_t)ag_bytes(t), ALIGN);
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
    const size_t size = (size_t)ag__round_up(need ? need : ALIGN, unit);
    if (g->arena && g->arena_size == size) return AG_OK;
    ag__arena_opens(g);
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
    }
    for (int i = 0; i < g->count; i++) {
        ag_tensor *t = g->tensors[i];
        if (ag__is_leaf(t) || t->rule->effect) continue;
        if (ag__aliased(t)) t->owner = t->original->owner;
        const ag_tensor *o = t->owner;
        t->data = !t->live ? NULL : ag__is_leaf(o) ? o->data : (char *)g->arena + o->offset;
    }
    g->planned = true;
    g->threads = ag_cpu_threads();
    return AG_OK;
}
