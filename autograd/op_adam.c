/* adam    m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
 *         p = (1 - rate decay) p - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 * for all parameters in one node, t = step from 1. Kingma, Ba 2015, arXiv:1412.6980, algorithm 1; decoupled decay:
 * Loshchilov, Hutter 2019, arXiv:1711.05101. Inputs: n parameters, n gradients, n m, n v, rate, step. */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int group(const ag_tensor *y) { return (y->inputs - 2) / 4; }

static ag_err adam_shape(ag_tensor *y)
{
    const int n = group(y);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < 4; j++) {
            const ag_tensor *p = y->in[i], *t = y->in[i + j * n];
            if (!ag__same_shape(p, t) || t->dtype != AG_REAL)
                return ag_fail(AG_ERR_SHAPE, "%s %s: its gradient or a moment is %s", p->name, ag__shape_text(p),
                               ag__shape_text(t));
            if (j != 1 && t->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "parameters and moments must be states");
        }
    if (y->in[4 * n]->numel != 1 || y->in[4 * n + 1]->numel != 1)
        return ag_fail(AG_ERR_SHAPE, "rate and step must be scalars");
    y->dtype = AG_REAL;
    return ag__shape_set(y, 0, NULL);
}

static void adam_run(const ag_tensor *y)
{
    const ag_adam_options *o = y->attr;
    const int n = group(y);
    const double rate = (double)*ag__in(y, 4 * n), step = (double)*ag__in(y, 4 * n + 1);
    const real factors[6] = {(real)o->beta1,
                             (real)o->beta2,
                             (real)o->epsilon,
                             (real)(rate / (1 - pow(o->beta1, step))),
                             (real)(1 / sqrt(1 - pow(o->beta2, step))),
                             (real)(1 - rate * o->weight_decay)};
    for (int i = 0; i < n; i++)
        k.adam(y->in[i]->numel, y->in[i]->data, ag__in(y, n + i), y->in[2 * n + i]->data, y->in[3 * n + i]->data,
               factors);
}

static double adam_flops(const ag_tensor *y)
{
    double sum = 0;
    for (int i = 0; i < group(y); i++) sum += 12 * (double)y->in[i]->numel;
    return sum;
}

const ag__rule ag__adam = {.shape = adam_shape, .run = adam_run, .flops = adam_flops, .effect = true};

void ag_adam(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *const *v,
             ag_tensor *rate, ag_tensor *step, const ag_adam_options *options)
{
    ag_graph *g = ag_graph_of(rate);
    if (!g || n < 1) return;
    ag_tensor **in = ag__alloc(g, (4 * (size_t)n + 2) * sizeof *in);
    if (!in) return;
    memcpy(in, params, (size_t)n * sizeof *in);
    memcpy(in + n, grads, (size_t)n * sizeof *in);
    memcpy(in + 2 * n, m, (size_t)n * sizeof *in);
    memcpy(in + 3 * n, v, (size_t)n * sizeof *in);
    in[4 * n] = rate;
    in[4 * n + 1] = step;
    const ag_adam_options published = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
                          *o = options ? options : &published;
    ag__node(AG__OP_adam, 4 * n + 2, in, o, sizeof *o);
}
