/* The memory map of a plan: which storage lies where in the arena, from when to when. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    const ag__span *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->first - y->first;
}

/* The spans of a planned graph, largest first; NULL if it is not planned or memory is out. */
static ag__span *planned_spans(const ag_graph *g, int *n)
{
    ag__span *spans = g->planned ? malloc((2 * (size_t)g->order_count + 1) * sizeof *spans) : NULL;
    *n = spans ? ag__spans(g, false, spans) : 0;
    if (spans) qsort(spans, (size_t)*n, sizeof *spans, by_size);
    return spans;
}

static double mib(int64_t bytes) { return (double)bytes / 0x1p20; }

static void summary(const ag_graph *g, FILE *to)
{
    const ag_plan_report *r = &g->report;
    fprintf(to,
            "arena %.2f MiB: %.1f%% of the %.2f MiB with a buffer each, %.1f%% above the most that lives at one time",
            mib(r->arena_bytes), 100 * (double)r->arena_bytes / (double)(r->unshared_bytes ? r->unshared_bytes : 1),
            mib(r->unshared_bytes), 100 * ((double)r->arena_bytes / (double)(r->bound_bytes ? r->bound_bytes : 1) - 1));
    fprintf(to, "; %lld nodes, %lld of them recomputed, %lld cheap ones made again\n", (long long)r->nodes,
            (long long)r->recomputed, (long long)r->remade);
}

void ag_graph_memory_print(const ag_graph *g, FILE *to)
{
    int n;
    ag__span *spans = planned_spans(g, &n);
    if (!spans) {
        fprintf(to, "no plan\n");
        return;
    }
    summary(g, to);
    fprintf(to, "%12s %12s %6s %6s  %-20s %-22s %s\n", "bytes", "offset", "from", "to", "op", "shape", "name");
    for (int i = 0; i < n; i++) {
        const ag_tensor *t = spans[i].tensor;
        fprintf(to, "%12lld %12lld %6d %6d  %-20s %-22s %s%s\n", (long long)spans[i].size, (long long)spans[i].offset,
                spans[i].first, spans[i].last, ag__op_names[t->op], spans[i].scratch ? "scratch" : ag__shape_text(t),
                t->of_gradient ? "d " : "", t->name);
    }
    free(spans);
}

/* ---- picture ------------------------------------------------------------------------------------------------------ */

enum { WIDTH = 1200, HEIGHT = 600, TOP = 30 };

/* Names are dotted words, but a file may bring any bytes. */
static void escape(const char *s, FILE *to)
{
    for (; *s; s++) {
        if (*s == '&' || *s == '<' || *s == '>' || *s == '"')
            fprintf(to, "&#%d;", *s);
        else if ((unsigned char)*s >= ' ')
            fputc(*s, to);
    }
}

static const char *colour(const ag__span *s)
{
    if (s->scratch) return "#bbbbbb";
    if (s->tensor->original) return "#7fb069";
    return s->tensor->of_gradient ? "#e07a5f" : "#3d85c6";
}

static void box(const ag__span *s, double x, double y, FILE *to)
{
    const ag_tensor *t = s->tensor;
    fprintf(to, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"><title>", s->first * x,
            TOP + HEIGHT - (double)(s->offset + s->size) * y, (s->last - s->first + 1) * x, (double)s->size * y,
            colour(s));
    fprintf(to, "%s%s %s",
            t->original      ? "again: "
            : t->of_gradient ? "gradient: "
                             : "",
            ag__op_names[t->op], s->scratch ? "scratch" : ag__shape_text(t));
    if (*t->name) fputc(' ', to);
    escape(t->name, to);
    fprintf(to, ", %.2f MiB at %.2f, nodes %d to %d</title></rect>\n", mib(s->size), mib(s->offset), s->first, s->last);
}

void ag_graph_memory_svg(const ag_graph *g, FILE *to)
{
    int n;
    ag__span *spans = planned_spans(g, &n);
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"14\">\n",
            WIDTH, TOP + HEIGHT);
    fprintf(to, "<text x=\"0\" y=\"18\">");
    if (spans)
        summary(g, to);
    else
        fprintf(to, "no plan");
    fprintf(to, "</text>\n<rect x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#999\"/>\n", TOP,
            WIDTH, HEIGHT);
    fprintf(to, "<g stroke=\"#fff\" stroke-width=\"0.3\">\n");
    const double x = (double)WIDTH / (g->order_count + 1);
    const double y = (double)HEIGHT / (double)(g->report.arena_bytes ? g->report.arena_bytes : 1);
    for (int i = 0; i < n; i++) box(&spans[i], x, y, to);
    fprintf(to, "</g>\n</svg>\n");
    free(spans);
}
