/* Running a planned graph: node after node; no allocation. */
#include "engine.h"

#include "autograd/cpu.h"

#include <math.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ag_err fail_finite(const ag_tensor *t, int64_t i, const char *more)
{
    return ag_fail(AG_ERR_DIVERGED, "step %llu: element %lld of %s%s%s%s %s is %g%s",
                   (unsigned long long)t->graph->step, (long long)i, t->of_gradient ? "gradient op " : "",
                   ag__op_names[t->op], *t->name ? " in " : "", t->name, ag__shape_text(t),
                   (double)((const real *)t->data)[i], more);
}

/* The first element that is not finite; none: t->numel. */
static int64_t find_not_finite(const ag_tensor *t)
{
    const real *x = t->data;
    int64_t i = 0;
    while (i < t->numel && isfinite(x[i])) i++;
    return i;
}

static double magnitude(const ag_tensor *t, int64_t i) { return fabs((double)((const real *)t->data)[i]); }

/* What is wrong with the inputs of an effect, all but the last: a number that is not finite, or the largest, which is too large to be
 * squared and summed. */
static ag_err check_effect(const ag_tensor *t)
{
    const ag_tensor *most = NULL;
    int64_t at = 0;
    if (!t->rule->fails || !t->rule->fails(t)) return AG_OK;
    for (int j = 0; j < t->inputs - 1; j++) {
        const ag_tensor *x = t->in[j];
        const int64_t bad = find_not_finite(x);
        if (bad < x->numel) return fail_finite(x, bad, "");
        for (int64_t i = 0; i < x->numel; i++)
            if (!most || magnitude(x, i) > magnitude(most, at)) most = x, at = i;
    }
    return most ? fail_finite(most, at, ", too large to be squared") : AG_OK;
}

static ag_err check_finite(const ag_tensor *t)
{
    if (t->rule->effect) return check_effect(t);
    if (t->dtype != AG_REAL || !t->data) return AG_OK;
    const int64_t i = find_not_finite(t);
    return i < t->numel ? fail_finite(t, i, "") : AG_OK;
}

/* ---- poison ------------------------------------------------------------------------------------------------------
 * Debug builds make stale reads seen: memory of the arena that holds no living tensor is filled with bytes that are NaN as a
 * number and -1 as a code, and the address checker, if there is one, refuses any access to it. */
#ifdef AG_POISON

#if defined(__SANITIZE_ADDRESS__)
#define CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED 1
#endif
#endif
#ifdef CHECKED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, size)   ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif

static void bury(void *p, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    memset(p, 0xff, size);
    ASAN_POISON_MEMORY_REGION(p, size);
}

static void wake(const ag_tensor *t)
{
    if (t && t->live && t->owner == t && t->offset >= 0) ASAN_UNPOISON_MEMORY_REGION(t->data, ag_bytes(t));
}

static void poison_arena(ag_graph *g) { bury(g->arena, g->arena_size); }

static void poison_before(const ag_tensor *t)
{
    if (t->rule->effect) return;
    if (!t->rule->part) wake(t);
    for (int i = 0; i < AG__PARTS; i++) wake(t->parts[i]);
}

static void bury_if_dead(const ag_tensor *o, int order)
{
    if (o && o->live && o->offset >= 0 && o->last == order)
        bury(o->data, (size_t)ag__round_up((int64_t)ag_bytes(o), AG__ALIGN));
}

/* Storages that node t was the last to read, and its own if nobody reads it. */
static void poison_after(const ag_tensor *t)
{
    for (int i = 0; i < t->inputs && !t->rule->part; i++) bury_if_dead(t->in[i]->owner, t->order);
    if (t->rule->effect) return;
    bury_if_dead(t->owner, t->order);
    for (int i = 0; i < AG__PARTS; i++) bury_if_dead(t->parts[i], t->order);
}

static void scratch_opens(const ag_tensor *t)
{
    if (t->scratch) ASAN_UNPOISON_MEMORY_REGION(t->scratch, t->rule->scratch(t));
}

static void scratch_closes(const ag_tensor *t)
{
    if (t->scratch) bury(t->scratch, (size_t)ag__round_up((int64_t)t->rule->scratch(t), AG__ALIGN));
}

#else
static void poison_arena(const ag_graph *g) { (void)g; }
static void poison_before(const ag_tensor *t) { (void)t; }
static void poison_after(const ag_tensor *t) { (void)t; }
static void scratch_opens(const ag_tensor *t) { (void)t; }
static void scratch_closes(const ag_tensor *t) { (void)t; }
#endif

void ag__arena_opens(ag_graph *g)
{
#ifdef AG_POISON
    if (g->arena) ASAN_UNPOISON_MEMORY_REGION(g->arena, g->arena_size);
#else
    (void)g;
#endif
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

static ag_err run_node(ag_tensor *t)
{
    const ag_graph *g = t->graph;
    const double start = g->profile ? now() : 0;
    scratch_opens(t);
    t->rule->run(t);
    scratch_closes(t);
    if (g->profile) t->seconds += now() - start;
    return g->anomaly ? check_finite(t) : AG_OK;
}

static ag_err run_order(ag_graph *g, int from, int to)
{
    if (!from) poison_arena(g);
    for (int i = from; i < to; i++) {
        ag_tensor *t = g->order[i];
        poison_before(t);
        const ag_err err = ag__runs(t) ? run_node(t) : AG_OK;
        if (err) return err;
        poison_after(t);
    }
    return AG_OK;
}

/* The part of the run from where it stands to node number `to`. */
static ag_err run_until(ag_graph *g, int to)
{
    if (!g->planned) return ag_fail(AG_ERR_FAILED, "a graph must be planned before it runs");
    const int threads = ag_cpu_threads(), from = g->reached;
    if (threads > g->threads) ag_cpu_set_threads(g->threads);
    const ag_err err = run_order(g, from, to);
    if (threads > g->threads) ag_cpu_set_threads(threads);
    g->reached = to;
    if (!err && to == g->order_count) g->runs += g->profile;
    return err;
}

static void begin(ag_graph *g, uint64_t step, unsigned groups, bool pure)
{
    g->step = step;
    g->groups = groups;
    g->pure = pure;
    g->reached = 0;
}

ag_err ag_graph_run(ag_graph *g, uint64_t step) { return ag_graph_run_groups(g, step, ~0u); }

ag_err ag_graph_run_groups(ag_graph *g, uint64_t step, unsigned groups)
{
    begin(g, step, groups, false);
    return run_until(g, g->order_count);
}

ag_err ag_graph_run_first(ag_graph *g, uint64_t step, unsigned groups)
{
    begin(g, step, groups, false);
    return run_until(g, g->first_effect + g->gathering);
}

ag_err ag_graph_run_rest(ag_graph *g) { return run_until(g, g->order_count); }

ag_err ag_graph_run_pure(ag_graph *g, uint64_t step)
{
    begin(g, step, 0, true);
    return run_until(g, g->order_count);
}

void ag_graph_anomaly(ag_graph *g, bool on) { g->anomaly = on; }

void ag_graph_profile(ag_graph *g, bool on) { g->profile = on; }
