/* Running a planned graph: node after node; no allocation. */
#include "engine.h"

#include <math.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ag_err check_finite(const ag_tensor *t)
{
    if (t->rule->effect || t->dtype != AG_REAL) return AG_OK;
    const real *x = t->data;
    int64_t i = 0;
    while (i < t->numel && isfinite(x[i])) i++;
    if (i == t->numel) return AG_OK;
    return ag_fail(AG_ERR_DIVERGED, "step %llu: element %lld of %s%s%s%s %s is %g", (unsigned long long)t->graph->step,
                   (long long)i, t->of_gradient ? "gradient op " : "", ag__op_names[t->op], *t->name ? " in " : "",
                   t->name, ag__shape_text(t), (double)x[i]);
}

static ag_err run_nodes(ag_graph *g, uint64_t step, int count)
{
    if (!g->planned) return ag_fail(AG_ERR_FAILED, "a graph must be planned before it runs");
    g->step = step;
    for (int i = 0; i < count; i++) {
        ag_tensor *t = g->order[i];
        if (!t->rule->run) continue;
        const double start = g->profile ? now() : 0;
        t->rule->run(t);
        if (g->profile) t->seconds += now() - start;
        const ag_err err = g->anomaly ? check_finite(t) : AG_OK;
        if (err) return err;
    }
    g->runs += g->profile;
    return AG_OK;
}

ag_err ag_graph_run(ag_graph *g, uint64_t step) { return run_nodes(g, step, g->order_count); }

ag_err ag_graph_run_pure(ag_graph *g, uint64_t step) { return run_nodes(g, step, g->first_effect); }

void ag_graph_anomaly(ag_graph *g, bool on) { g->anomaly = on; }

void ag_graph_profile(ag_graph *g, bool on) { g->profile = on; }
