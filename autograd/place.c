/* Placing storages in the arena: each at the lowest offset where nothing that lives at the same time lies. No placement can be
 * smaller than the most bytes that live at one time; of several orders of placing the best is taken, until one is near that bound. If
 * none is, what stuck out is placed earlier the next time, for a few rounds (squeaky wheel: Joslin, Clements 1999). */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 64, LEAST_ROUNDS = 8, PAIRS = 1 << 22 }; /* a round takes time like pairs of spans */

int ag__spans(const ag_graph *g, bool unshared, ag__span *spans)
{
    int n = 0;
    for (int i = 0; i < g->order_count; i++) {
        ag_tensor *t = g->order[i];
        const int64_t scratch = t->rule->scratch ? ag__round_up((int64_t)t->rule->scratch(t), AG__ALIGN) : 0;
        if (scratch) spans[n++] = (ag__span){i, i, scratch, t->scratch_offset, t, true, 0};
        if (t->rule->effect || t->owner != t) continue;
        const int from = unshared ? 0 : t->rule->part ? t->in[0]->order : i;
        const int64_t size = ag__round_up((int64_t)ag_bytes(t), AG__ALIGN);
        spans[n++] = (ag__span){from, unshared ? g->order_count : t->last, size, t->offset, t, false, 0};
    }
    return n;
}

static int64_t sign(int64_t d) { return (d > 0) - (d < 0); }

static int by_time(const ag__span *x, const ag__span *y)
{
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    if (x->tensor->id != y->tensor->id) return x->tensor->id < y->tensor->id ? -1 : 1;
    return x->scratch - y->scratch;
}

static int64_t area(const ag__span *x) { return x->size * (x->last - x->first + 1); }

static int largest(const void *a, const void *b)
{
    const ag__span *x = a, *y = b;
    const int d = (int)sign(y->size - x->size);
    return d ? d : by_time(x, y);
}

static int longest(const void *a, const void *b)
{
    const ag__span *x = a, *y = b;
    const int d = (y->last - y->first) - (x->last - x->first);
    return d ? d : largest(x, y);
}

static int widest(const void *a, const void *b)
{
    const ag__span *x = a, *y = b;
    const int d = (int)sign(area(y) - area(x));
    return d ? d : by_time(x, y);
}

static int earliest(const void *a, const void *b)
{
    const ag__span *x = a, *y = b;
    return x->first != y->first ? x->first - y->first : largest(x, y);
}

/* Offset of s among `placed` spans, at[] their numbers by rising offset. */
static int64_t lowest(const ag__span *s, const ag__span *spans, const int *at, int placed)
{
    int64_t offset = 0;
    for (int j = 0; j < placed; j++) {
        const ag__span *o = &spans[at[j]];
        if (o->last < s->first || o->first > s->last) continue;
        if (o->offset - offset >= s->size) break;
        if (o->offset + o->size > offset) offset = o->offset + o->size;
    }
    return offset;
}

static int64_t place_in_order(ag__span *spans, int n, int *at)
{
    int64_t arena = 0;
    for (int i = 0; i < n; i++) {
        ag__span *s = &spans[i];
        s->offset = lowest(s, spans, at, i);
        if (s->offset + s->size > arena) arena = s->offset + s->size;
        int p = i;
        while (p > 0 && spans[at[p - 1]].offset > s->offset) p--;
        memmove(at + p + 1, at + p, (size_t)(i - p) * sizeof *at);
        at[p] = i;
    }
    return arena;
}

int64_t ag__most_live(const ag__span *spans, int n, int nodes, int64_t batch, int64_t *live)
{
    int64_t most = 0;
    memset(live, 0, ((size_t)nodes + 2) * sizeof *live);
    for (int i = 0; i < n; i++) {
        const ag_tensor *t = spans[i].tensor;
        if (batch && !spans[i].scratch && t->rank && t->shape[0] % batch == 0) continue;
        live[spans[i].first] += spans[i].size;
        live[spans[i].last + 1] -= spans[i].size;
    }
    for (int i = 1; i <= nodes; i++) live[i] += live[i - 1];
    for (int i = 0; i <= nodes; i++) most = live[i] > most ? live[i] : most;
    return most;
}

static int blamed(const void *a, const void *b)
{
    const ag__span *x = a, *y = b;
    return x->blame != y->blame ? y->blame - x->blame : widest(a, b);
}

/* Places `trial` in the order of `by`; if that is the best so far it is kept in `spans`. */
static void attempt(ag__span *spans, ag__span *trial, int n, int *at, int (*by)(const void *, const void *),
                    int64_t *best)
{
    qsort(trial, (size_t)n, sizeof *trial, by);
    const int64_t arena = place_in_order(trial, n, at);
    if (*best >= 0 && arena >= *best) return;
    *best = arena;
    memcpy(spans, trial, (size_t)n * sizeof *spans);
}

int64_t ag__place(ag__span *spans, int n, int64_t bound, ag__span *trial, int *at)
{
    static int (*const orders[])(const void *, const void *) = {largest, widest, longest, earliest};
    enum { ORDERS = sizeof orders / sizeof *orders };
    const int64_t near = bound + bound / 100;
    const int64_t fit = PAIRS / ((int64_t)n * n + 1);
    const int rounds = (int)(fit > MOST_ROUNDS ? MOST_ROUNDS : fit < LEAST_ROUNDS ? LEAST_ROUNDS : fit);
    int64_t best = -1;
    memcpy(trial, spans, (size_t)n * sizeof *spans);
    for (int i = 0; i < ORDERS + rounds && (best < 0 || best > near); i++) {
        attempt(spans, trial, n, at, i < ORDERS ? orders[i] : blamed, &best);
        for (int j = 0; j < n; j++) trial[j].blame += i >= ORDERS - 1 && trial[j].offset + trial[j].size > near;
    }
    return best < 0 ? 0 : best;
}
