/* Optimizers: all parameters in one node, p the parameter, g its gradient, t the update's number from 1.
 *
 * adam    m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
 *         p = (1 - rate decay) p - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 *         Kingma, Ba 2015, arXiv:1412.6980, algorithm 1; decoupled decay: Loshchilov, Hutter 2019, arXiv:1711.05101
 * sgd     g += decay p          m = momentum m + g          p -= rate (nesterov ? g + momentum m : m)
 *         Sutskever and others 2013, "On the importance of initialization and momentum", as in the common library
 * lion    p = (1 - rate decay) p - rate sign(beta1 m + (1 - beta1) g)          m = beta2 m + (1 - beta2) g
 *         Chen and others 2023, arXiv:2302.06675, algorithm 2
 *
 * Nothing changes in a run whose norm was asked for and is not finite.
 * Before that, with a clip: g *= min(1, clip / (|g| + 1e-6)), |g| the norm of all gradients together (Pascanu, Mikolov, Bengio
 * 2013, arXiv:1211.5063); it is one pass over the gradients, and the factor is applied in the pass of the update.
 *
 * Inputs: n parameters, n gradients, n of each moment, rate, step (adam), norm (if asked for). */
#include "engine.h"

#include <math.h>
#include <string.h>

/* `a` and `b`: beta1, beta2 or momentum; ends with one byte a parameter: does it decay? */
typedef struct update {
    int n, moments;
    bool norm, nesterov;
    double a, b, epsilon, decay, clip;
    unsigned char decayed[];
} update;

static ag_tensor *moment(const ag_tensor *y, int which, int i)
{
    const update *u = y->attr;
    return y->in[(2 + which) * u->n + i];
}

static const ag_tensor *extra(const ag_tensor *y, int which)
{
    const update *u = y->attr;
    return y->in[(2 + u->moments) * u->n + which];
}

static ag_err update_shape(ag_tensor *y)
{
    const update *u = y->attr;
    for (int i = 0; i < u->n; i++)
        for (int j = 0; j < 2 + u->moments; j++) {
            const ag_tensor *p = y->in[i], *t = y->in[i + j * u->n];
            if (!ag__same_shape(p, t) || t->dtype != AG_REAL)
                return ag_fail(AG_ERR_SHAPE, "%s %s: its gradient or a moment is %s", p->name, ag__shape_text(p),
                               ag__shape_text(t));
            if (j != 1 && t->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "parameters and moments must be states");
        }
    for (int i = (2 + u->moments) * u->n; i < y->inputs; i++)
        if (y->in[i]->numel != 1 || y->in[i]->dtype != AG_REAL)
            return ag_fail(AG_ERR_SHAPE, "rate, step and norm must be scalars");
    if (u->norm && y->in[y->inputs - 1]->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "the norm must be a state");
    y->dtype = AG_REAL;
    return ag__shape_set(y, 0, NULL);
}

static size_t update_scratch(const ag_tensor *y)
{
    const update *u = y->attr;
    size_t most = 0;
    for (int i = 0; i < u->n && (u->clip > 0 || u->norm); i++) {
        const size_t size = k.sum_squares_scratch(y->in[i]->numel);
        most = size > most ? size : most;
    }
    return most;
}

/* The factor for the gradients; false: leave everything as it is. */
static bool clip(const ag_tensor *y, double *scale)
{
    const update *u = y->attr;
    double sum = 0;
    *scale = 1;
    if (u->clip <= 0 && !u->norm) return true;
    for (int i = 0; i < u->n; i++) sum += k.sum_squares(y->in[i]->numel, ag__in(y, u->n + i), y->scratch);
    const double norm = sqrt(sum), factor = u->clip / (norm + 1e-6);
    if (u->norm) *(real *)y->in[y->inputs - 1]->data = (real)norm;
    if (u->clip > 0 && !(factor >= 1)) *scale = factor;
    return !u->norm || isfinite((real)norm);
}

static double keep(const update *u, int i, double rate) { return u->decayed[i] ? 1 - rate * u->decay : 1; }

static void adam_run(const ag_tensor *y)
{
    const update *u = y->attr;
    const double rate = ag_value(extra(y, 0)), step = ag_value(extra(y, 1));
    double scale;
    if (!clip(y, &scale)) return;
    real o[] = {(real)u->a,
                (real)u->b,
                (real)u->epsilon,
                (real)(rate / (1 - pow(u->a, step))),
                (real)(1 / sqrt(1 - pow(u->b, step))),
                1,
                (real)scale};
    for (int i = 0; i < u->n; i++) {
        o[5] = (real)keep(u, i, rate);
        k.adam(y->in[i]->numel, y->in[i]->data, ag__in(y, u->n + i), moment(y, 0, i)->data, moment(y, 1, i)->data, o);
    }
}

static void sgd_run(const ag_tensor *y)
{
    const update *u = y->attr;
    double scale;
    if (!clip(y, &scale)) return;
    real o[] = {(real)u->a, u->nesterov ? 1 : 0, u->nesterov ? (real)u->a : 1, (real)ag_value(extra(y, 0)),
                0,          (real)scale};
    for (int i = 0; i < u->n; i++) {
        o[4] = u->decayed[i] ? (real)u->decay : 0;
        k.sgd(y->in[i]->numel, y->in[i]->data, ag__in(y, u->n + i), moment(y, 0, i)->data, o);
    }
}

static void lion_run(const ag_tensor *y)
{
    const update *u = y->attr;
    const double rate = ag_value(extra(y, 0));
    double scale;
    if (!clip(y, &scale)) return;
    real o[] = {(real)u->a, (real)u->b, (real)rate, 1, (real)scale};
    for (int i = 0; i < u->n; i++) {
        o[3] = (real)keep(u, i, rate);
        k.lion(y->in[i]->numel, y->in[i]->data, ag__in(y, u->n + i), moment(y, 0, i)->data, o);
    }
}

static double update_flops(const ag_tensor *y)
{
    const update *u = y->attr;
    double sum = 0;
    for (int i = 0; i < u->n; i++) sum += (4 + 4 * u->moments + (u->clip > 0 ? 3 : 0)) * (double)y->in[i]->numel;
    return sum;
}

const ag__rule ag__adam = {
    .shape = update_shape, .run = adam_run, .flops = update_flops, .scratch = update_scratch, .effect = true};
const ag__rule ag__sgd = {
    .shape = update_shape, .run = sgd_run, .flops = update_flops, .scratch = update_scratch, .effect = true};
const ag__rule ag__lion = {
    .shape = update_shape, .run = lion_run, .flops = update_flops, .scratch = update_scratch, .effect = true};

/* ---- building ----------------------------------------------------------------------------------------------------- */

static void build(ag__op op, const update *u, const ag_update_options *o, ag_tensor *const *const lists[4],
                  ag_tensor *rate, ag_tensor *step)
{
    ag_graph *g = ag_graph_of(rate);
    if (!g || u->n < 1) return;
    const size_t n = (size_t)u->n, size = sizeof *u + n;
    update *attr = ag__alloc(g, size);
    ag_tensor **in = ag__alloc(g, (4 * n + 3) * sizeof *in);
    if (!attr || !in) return;
    *attr = *u;
    attr->decay = o->weight_decay;
    attr->clip = o->clip;
    attr->norm = o->norm;
    for (int i = 0; i < u->n; i++) attr->decayed[i] = !o->decayed || o->decayed[i];
    int inputs = 0;
    for (int j = 0; j < 2 + u->moments; j++)
        for (int i = 0; i < u->n; i++) in[inputs++] = lists[j][i];
    in[inputs++] = rate;
    if (op == AG__OP_adam) in[inputs++] = step;
    if (o->norm) in[inputs++] = o->norm;
    ag__node(op, inputs, in, attr, size);
}

void ag_adam(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *const *v,
             ag_tensor *rate, ag_tensor *step, const ag_adam_options *options)
{
    static const ag_adam_options published = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    const ag_adam_options *o = options ? options : &published;
    const update u = {.n = n, .moments = 2, .a = o->beta1, .b = o->beta2, .epsilon = o->epsilon};
    build(AG__OP_adam, &u, &o->update, (ag_tensor *const *const[]){params, grads, m, v}, rate, step);
}

void ag_sgd(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *rate,
            const ag_sgd_options *o)
{
    const update u = {.n = n, .moments = 1, .a = o->momentum, .nesterov = o->nesterov};
    build(AG__OP_sgd, &u, &o->update, (ag_tensor *const *const[]){params, grads, m, NULL}, rate, NULL);
}

void ag_lion(int n, ag_tensor *const *params, ag_tensor *const *grads, ag_tensor *const *m, ag_tensor *rate,
             const ag_lion_options *options)
{
    static const ag_lion_options published = {.beta1 = 0.9, .beta2 = 0.99};
    const ag_lion_options *o = options ? options : &published;
    const update u = {.n = n, .moments = 1, .a = o->beta1, .b = o->beta2};
    build(AG__OP_lion, &u, &o->update, (ag_tensor *const *const[]){params, grads, m, NULL}, rate, NULL);
}
