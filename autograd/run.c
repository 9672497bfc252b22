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

static ag_err check_finite(const ag_tensor *t)
{
    if (t->rule->effect || t->dtype != AG_REAL || !t->data) return AG_OK;
    const real *x = t->data;
    int64_t i = 0;
    while (i < t->numel && isfinite(x[i])) i++;
    if (i == t->numel) return AG_OK;
    return ag_fail(AG_ERR_DIVERGED, "step %llu: element %lld of %s%s%s%s %s is %g", (unsigned long long)t->graph->step,
                   (long long)i, t->of_gradient ? "gradient op " : "", ag__op_names[t->op], *t->name ? " in " : "",
                   t->name, ag__shape_text(t), (double)x[i]);
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

static ag_err run_order(ag_graph *g)
{
    poison_arena(g);
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        poison_before(t);
        const ag_err err = ag__runs(t) ? run_node(t) : AG_OK;
        if (err) return err;
        poison_after(t);
    }
    return AG_OK;
}

static ag_err run_nodes(ag_graph *g, uint64_t step, unsigned groups, bool pure)
{
    if (!g->planned) return ag_fail(AG_ERR_FAILED, "a graph must be planned before it runs");
    const int threads = ag_cpu_threads();
    g->step = step;
    g->groups = groups;
    g->pure = pure;
    if (threads > g->threads) ag_cpu_set_threads(g->threads);
    const ag_err err = run_order(g);
    if (threads > g->threads) ag_cpu_set_threads(threads);
    if (!err) g->runs += g->profile;
    return err;
}

ag_err ag_graph_run(ag_graph *g, uint64_t step) { return run_nodes(g, step, ~0u, false); }

ag_err ag_graph_run_groups(ag_graph *g, uint64_t step, unsigned groups) { return run_nodes(g, step, groups, false); }

ag_err ag_graph_run_pure(ag_graph *g, uint64_t step) { return run_nodes(g, step, 0, true); }

void ag_graph_anomaly(ag_graph *g, bool on) { g->anomaly = on; }

void ag_graph_profile(ag_graph *g, bool on) { g->profile = on; }
