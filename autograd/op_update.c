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
 * gradient_norm    |g|, the norm of all gradients together, before other effects
 *
 * Nothing changes in a run whose norm was asked for and is not finite.
 * Before that, with a clip: g *= min(1, clip / (|g| + 1e-6)) (Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063); the norm is one pass over
 * the gradients, and the factor is applied in the pass of the update.
 *
 * Inputs: n parameters, n gradients, n of each moment, rate, step (adam), norm (if asked for, or for a clip); n gradients, norm. */
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

/* The factor for the gradients; false: leave everything as it is. */
static bool clip(const ag_tensor *y, double *scale)
{
    const update *u = y->attr;
    *scale = 1;
    if (!u->norm) return true;
    const double norm = ag_value(y->in[y->inputs - 1]), factor = u->clip / (norm + 1e-6);
    if (u->clip > 0 && !(factor >= 1)) *scale = factor;
    return isfinite(norm);
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
    for (int i = 0; i < u->n; i++) sum += (4 + 4 * u->moments + (u->clip > 0)) * (double)y->in[i]->numel;
    return sum;
}

const ag__rule ag__adam = {.shape = update_shape, .run = adam_run, .flops = update_flops, .effect = true};
const ag__rule ag__sgd = {.shape = update_shape, .run = sgd_run, .flops = update_flops, .effect = true};
const ag__rule ag__lion = {.shape = update_shape, .run = lion_run, .flops = update_flops, .effect = true};

/* ---- the norm ----------------------------------------------------------------------------------------------------- */

static ag_err gradient_norm_shape(ag_tensor *y)
{
    const ag_tensor *norm = y->in[y->inputs - 1];
    if (norm->op != AG__OP_state || norm->numel != 1 || norm->dtype != AG_REAL)
        return ag_fail(AG_ERR_SHAPE, "the norm must be a state and a scalar");
    y->dtype = AG_REAL;
    return ag__shape_set(y, 0, NULL);
}

static size_t gradient_norm_scratch(const ag_tensor *y)
{
    size_t most = 0;
    for (int i = 0; i < y->inputs - 1; i++) {
        const size_t size = k.sum_squares_scratch(y->in[i]->numel);
        most = size > most ? size : most;
    }
    return most;
}

static void gradient_norm_run(const ag_tensor *y)
{
    double sum = 0;
    for (int i = 0; i < y->inputs - 1; i++) sum += k.sum_squares(y->in[i]->numel, ag__in(y, i), y->scratch);
    *(real *)y->in[y->inputs - 1]->data = (real)sqrt(sum);
}

static bool gradient_norm_fails(const ag_tensor *y) { return !isfinite(ag_value(y->in[y->inputs - 1])); }

static double gradient_norm_flops(const ag_tensor *y)
{
    double sum = 0;
    for (int i = 0; i < y->inputs - 1; i++) sum += 2 * (double)y->in[i]->numel;
    return sum;
}

const ag__rule ag__gradient_norm = {.shape = gradient_norm_shape,
                                    .run = gradient_norm_run,
                                    .flops = gradient_norm_flops,
                                    .scratch = gradient_norm_scratch,
                                    .effect = true,
                                    .gathers = true,
                                    .fails = gradient_norm_fails};

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
    ag_tensor *norm = o->norm ? o->norm : o->clip > 0 ? ag_state(g, "gradient norm", AG_REAL, 0, NULL) : NULL;
    attr->norm = norm;
    for (int i = 0; i < u->n; i++) attr->decayed[i] = !o->decayed || o->decayed[i];
    int inputs = 0;
    if (norm) {
        memcpy(in, lists[1], n * sizeof *in);
        in[n] = norm;
        ag__node(AG__OP_gradient_norm, u->n + 1, in, NULL, 0);
    }
    for (int j = 0; j < 2 + u->moments; j++)
        for (int i = 0; i < u->n; i++) in[inputs++] = lists[j][i];
    in[inputs++] = rate;
    if (op == AG__OP_adam) in[inputs++] = step;
    if (norm) in[inputs++] = norm;
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
