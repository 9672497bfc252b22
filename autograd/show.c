/* Showing a graph: text, Graphviz, profile. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

double ag__flops(const ag_tensor *y)
{
    if (!y->rule->run) return 0;
    return y->rule->flops ? y->rule->flops(y) : (double)y->numel;
}

double ag_graph_flops(const ag_graph *g)
{
    double sum = 0;
    for (int i = 0; i < g->order_count; i++) sum += ag__runs(g->order[i]) ? ag__flops(g->order[i]) : 0;
    return sum;
}

static double moved_bytes(const ag_tensor *t)
{
    double sum = t->rule->effect ? 0 : (double)ag_bytes(t);
    for (int i = 0; i < t->inputs; i++) sum += (double)ag_bytes(t->in[i]);
    return sum;
}

void ag_graph_print(const ag_graph *g, FILE *to)
{
    fprintf(to, "%6s  %-20s %-5s %-22s %10s  %s\n", "node", "op", "type", "shape", "offset", "inputs, name");
    for (int i = 0; i < g->count; i++) {
        const ag_tensor *t = g->tensors[i];
        char offset[32] = "-";
        if (t->owner->offset >= 0 && t->live) snprintf(offset, sizeof offset, "%lld", (long long)t->owner->offset);
        fprintf(to, "%6d  %-20s %-5s %-22s %10s ", t->id, ag__op_names[t->op], ag_dtype_name(t->dtype),
                t->rule->effect ? "effect" : ag__shape_text(t),
                !t->live         ? "dropped"
                : ag__aliased(t) ? "alias"
                                 : offset);
        for (int j = 0; j < t->inputs && j < 8; j++) fprintf(to, " %d", t->in[j]->id);
        if (t->inputs > 8) fprintf(to, " ... (%d)", t->inputs);
        fprintf(to, "%s%s%s\n", *t->name ? "  " : "", t->of_gradient ? "d " : "", t->name);
    }
    const ag_plan_report *r = &g->report;
    if (g->planned)
        fprintf(to,
                "%lld nodes (%lld recomputed, %lld made again), %lld dropped; arena %.2f MiB (%.2f MiB unshared, %.2f "
                "MiB live at most), "
                "states %.2f MiB, inputs %.2f MiB\n",
                (long long)r->nodes, (long long)r->recomputed, (long long)r->remade, (long long)r->dropped,
                (double)r->arena_bytes / 0x1p20, (double)r->unshared_bytes / 0x1p20, (double)r->bound_bytes / 0x1p20,
                (double)r->state_bytes / 0x1p20, (double)r->input_bytes / 0x1p20);
}

void ag_graph_dot(const ag_graph *g, FILE *to)
{
    fprintf(to, "digraph tessera {\n  rankdir=LR; node [shape=box, fontname=\"monospace\"];\n");
    for (int i = 0; i < g->count; i++) {
        const ag_tensor *t = g->tensors[i];
        const char *style = ag__is_leaf(t) ? ", style=rounded" : t->of_gradient ? ", color=firebrick" : "";
        fprintf(to, "  n%d [label=\"%s\\n%s\\n%s\"%s];\n", t->id, ag__op_names[t->op], ag__shape_text(t), t->name,
                style);
        for (int j = 0; j < t->inputs; j++) fprintf(to, "  n%d -> n%d;\n", t->in[j]->id, t->id);
    }
    fprintf(to, "}\n");
}

/* ---- profile ---------------------------------------------------------------------------------------------------- */

typedef struct line {
    char key[96];
    double seconds, flops, bytes, limit;
    int nodes;
} line;

static void key_of(const ag_tensor *t, int depth, char *key, size_t size)
{
    if (!depth) {
        snprintf(key, size, "%s", ag__op_names[t->op]);
        return;
    }
    size_t n = 0;
    for (const char *c = t->name; *c && n < size - 12; c++) {
        if (*c == '.' && !--depth) break;
        key[n++] = *c;
    }
    key[n] = 0;
    if (!n) n = (size_t)snprintf(key, size, "(no scope)");
    if (t->of_gradient) snprintf(key + n, size - n, " gradient");
}

static int by_seconds(const void *a, const void *b)
{
    const double x = ((const line *)a)->seconds, y = ((const line *)b)->seconds;
    return (x < y) - (x > y);
}

/* Seconds of a run of t at the machine's limits. */
static double limit_of(const ag_tensor *t, const ag_machine *m)
{
    if (!m || !t->rule->run) return 0;
    const double arithmetic = ag__flops(t) / m->gflops * 1e-9, memory = moved_bytes(t) / m->gbs * 1e-9;
    return arithmetic > memory ? arithmetic : memory;
}

/* The nodes of the run summed by key; how many keys. */
static int collect(const ag_graph *g, int depth, const ag_machine *m, line *lines)
{
    int n = 0;
    for (int i = 0; i < g->order_count; i++) {
        const ag_tensor *t = g->order[i];
        char key[96];
        int j = 0;
        if (t->rule->run && !ag__runs(t)) continue;
        key_of(t, depth, key, sizeof key);
        while (j < n && strcmp(lines[j].key, key)) j++;
        if (j == n) strcpy(lines[n++].key, key);
        lines[j].seconds += t->seconds;
        lines[j].flops += ag__flops(t);
        lines[j].bytes += t->rule->run ? moved_bytes(t) : 0;
        lines[j].limit += limit_of(t, m);
        lines[j].nodes++;
    }
    qsort(lines, (size_t)n, sizeof *lines, by_seconds);
    return n;
}

static void print_table(const ag_graph *g, int depth, double total, const ag_machine *m, FILE *to)
{
    line *lines = calloc((size_t)g->order_count + 1, sizeof *lines);
    if (!lines) return;
    const int n = collect(g, depth, m, lines);
    fprintf(to, "%-40s %6s %10s %7s %9s %8s%s\n", depth ? "scope" : "op", "nodes", "ms a run", "share", "GFLOP/s",
            "GB/s", m ? "  of limit" : "");
    for (int i = 0; i < n; i++) {
        const double s = lines[i].seconds / (double)g->runs;
        if (lines[i].seconds <= 0) continue;
        fprintf(to, "%-40s %6d %10.3f %6.1f%% %9.1f %8.1f", lines[i].key, lines[i].nodes, 1e3 * s,
                100 * lines[i].seconds / total, lines[i].flops / s / 1e9, lines[i].bytes / s / 1e9);
        if (m) fprintf(to, " %8.0f%%", 100 * lines[i].limit / s);
        fprintf(to, "\n");
    }
    free(lines);
}

void ag_graph_profile_print(const ag_graph *g, int depth, const ag_machine *machine, FILE *to)
{
    double total = 0;
    for (int i = 0; i < g->order_count; i++) total += g->order[i]->seconds;
    if (!g->runs || total <= 0) {
        fprintf(to, "no profiled runs\n");
        return;
    }
    fprintf(to, "%lld runs, %.3f ms a run, %.1f GFLOP/s", (long long)g->runs, 1e3 * total / (double)g->runs,
            ag_graph_flops(g) * (double)g->runs / total / 1e9);
    if (machine)
        fprintf(to, "; limits of %d threads: %.0f GFLOP/s in multiply-adds, %.1f GB/s from memory", machine->threads,
                machine->gflops, machine->gbs);
    fprintf(to, "\n\n");
    print_table(g, 0, total, machine, to);
    fprintf(to, "\n");
    print_table(g, depth < 1 ? 1 : depth, total, machine, to);
}
