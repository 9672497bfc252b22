/* Normalisation layers: weight starts at 1, bias at 0. */
#include "nn/update.h"

static const nn_init zeros = {NN_ZERO, 0, 0}, ones = {NN_CONSTANT, 1, 0};

typedef struct affine {
    ag_tensor *weight, *bias;
    double epsilon;
} affine;

static affine parameters(nn_scope s, const ag_tensor *x, const nn_norm_opt *o, bool bias)
{
    const int64_t c = ag_dim(x, -1);
    affine a = {.epsilon = o && o->epsilon > 0 ? o->epsilon : 1e-5};
    if (o && o->no_affine) return a;
    a.weight = nn_tensor(s, "weight", NN_PARAMETER, NN_PLAIN, 1, &c, ones);
    if (bias && !(o && o->no_bias)) a.bias = nn_tensor(s, "bias", NN_PARAMETER, NN_PLAIN, 1, &c, zeros);
    return a;
}

ag_tensor *nn_layer_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const affine a = parameters(s, x, o, true);
    ag_tensor *y = ag_layer_norm(x, a.weight, a.bias, a.epsilon);
    ag_graph_scope(s.graph, outer);
    return y;
}

ag_tensor *nn_rms_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const affine a = parameters(s, x, o, false);
    ag_tensor *y = ag_rms_norm(x, a.weight, a.epsilon);
    ag_graph_scope(s.graph, outer);
    return y;
}

ag_tensor *nn_group_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const affine a = parameters(s, x, o, true);
    ag_tensor *y =
        ag_group_norm(x, a.weight, a.bias, o && o->groups ? o->groups : 32, a.epsilon, o ? o->activation : AG_LINEAR);
    ag_graph_scope(s.graph, outer);
    return y;
}

/* running = 0.9 running + 0.1 now; a layer that sees several batches in a step follows each in turn. */
static void follow(ag_tensor *running, ag_tensor *now) { ag_average(1, &running, &now, 0.9, false, NULL); }

static ag_tensor *evaluate(ag_tensor *x, const affine *a, ag_tensor *mean, ag_tensor *variance,
                           ag_activation activation)
{
    ag_tensor *one = ag_constant(ag_graph_of(x), 1, 0, NULL), *root = ag_sqrt(ag_shift(variance, a->epsilon));
    ag_tensor *y = ag_mul(ag_sub(x, mean), ag_div(a->weight ? a->weight : one, root));
    if (a->bias) y = ag_add(y, a->bias);
    return activation == AG_RELU ? ag_relu(y) : activation == AG_SILU ? ag_silu(y) : y;
}

ag_tensor *nn_batch_norm(nn_scope s, ag_tensor *x, const nn_norm_opt *o)
{
    if (!x) return NULL;
    const char *outer = ag_graph_scope(s.graph, s.name);
    const int64_t c = ag_dim(x, -1), count = ag_numel(x) / c;
    const affine a = parameters(s, x, o, true);
    const ag_activation activation = o ? o->activation : AG_LINEAR;
    nn_batch_statistics(s);
    ag_tensor *mean = nn_tensor(s, "running_mean", NN_BUFFER, NN_PLAIN, 1, &c, zeros), *now_mean;
    ag_tensor *variance = nn_tensor(s, "running_var", NN_BUFFER, NN_PLAIN, 1, &c, ones), *now_variance, *y;
    if (s.training) {
        y = ag_batch_norm(x, a.weight, a.bias, a.epsilon, activation, &now_mean, &now_variance);
        follow(mean, now_mean);
        follow(variance, ag_scale(now_variance, count > 1 ? (double)count / (double)(count - 1) : 1));
    } else
        y = evaluate(x, &a, mean, variance, activation);
    ag_graph_scope(s.graph, outer);
    return y;
}
