/* accumulate  sum += factor x, after all other nodes and before other effects; n tensors in one node
 * average     mean = d mean + (1 - d) x,  d = decay, or with warm-up min(decay, (1 + t) / (10 + t)), t the update's number from 1
 * Inputs: n sums (or means), n values, [step] (average). */
#include "engine.h"

#include <math.h>
#include <string.h>

typedef struct options {
    int n;
    double factor; /* or the decay */
    bool warmup;
} options;

static ag_err accumulate_shape(ag_tensor *y)
{
    const options *o = y->attr;
    for (int i = 0; i < o->n; i++) {
        const ag_tensor *state = y->in[i], *x = y->in[o->n + i];
        if (state->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "only a state can collect values");
        if (!ag__same_shape(state, x) || state->dtype != AG_REAL || x->dtype != AG_REAL)
            return ag_fail(AG_ERR_SHAPE, "%s %s: what it collects is %s", state->name, ag__shape_text(state),
                           ag__shape_text(x));
    }
    if (y->inputs > 2 * o->n && y->in[2 * o->n]->numel != 1) return ag_fail(AG_ERR_SHAPE, "step must be a scalar");
    y->dtype = AG_REAL;
    return ag__shape_set(y, 0, NULL);
}

static void accumulate_run(const ag_tensor *y)
{
    const options *o = y->attr;
    for (int i = 0; i < o->n; i++) k.accumulate(y->in[i]->numel, (real)o->factor, ag__in(y, o->n + i), y->in[i]->data);
}

static void average_run(const ag_tensor *y)
{
    const options *o = y->attr;
    const double t = o->warmup ? ag_value(y->in[2 * o->n]) : 0;
    const double decay = o->warmup ? fmin(o->factor, (1 + t) / (10 + t)) : o->factor;
    for (int i = 0; i < o->n; i++) k.average(y->in[i]->numel, (real)decay, ag__in(y, o->n + i), y->in[i]->data);
}

static double accumulate_flops(const ag_tensor *y)
{
    const options *o = y->attr;
    double sum = 0;
    for (int i = 0; i < o->n; i++) sum += 2 * (double)y->in[i]->numel;
    return sum;
}

const ag__rule ag__accumulate = {
    .shape = accumulate_shape, .run = accumulate_run, .flops = accumulate_flops, .effect = true, .gathers = true};
const ag__rule ag__average = {.shape = accumulate_shape, .run = average_run, .flops = accumulate_flops, .effect = true};

static void build(ag__op op, options o, ag_tensor *const *states, ag_tensor *const *values, ag_tensor *step)
{
    ag_graph *g = o.n > 0 ? ag_graph_of(states[0]) : NULL;
    const size_t n = g ? (size_t)o.n : 0;
    ag_tensor **in = g ? ag__alloc(g, (2 * n + 1) * sizeof *in) : NULL;
    if (!in) return;
    memcpy(in, states, n * sizeof *in);
    memcpy(in + n, values, n * sizeof *in);
    in[2 * n] = step;
    ag__node(op, 2 * o.n + (step != NULL), in, &o, sizeof o);
}

void ag_accumulate(int n, ag_tensor *const *sums, ag_tensor *const *values, double factor)
{
    build(AG__OP_accumulate, (options){.n = n, .factor = factor}, sums, values, NULL);
}

void ag_average(int n, ag_tensor *const *means, ag_tensor *const *values, double decay, bool warmup, ag_tensor *step)
{
    if (warmup && !step && n > 0 && means[0]) {
        ag__mistake(ag_graph_of(means[0]), "average", "its warm-up needs the number of the update");
        return;
    }
    build(AG__OP_average, (options){.n = n, .factor = decay, .warmup = warmup}, means, values, step);
}
