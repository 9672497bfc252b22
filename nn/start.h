/* Initial values of layers. */
#ifndef NN_START_H
#define NN_START_H

#include <math.h>

#include "nn/nn.h"

/* Weights with `in` inputs of one result and `out` results of one input. */
static inline nn_init nn__start_weight(nn_weights weights, double in, double out)
{
    const double bound = sqrt(weights == NN_WEIGHTS_XAVIER ? 6 / (in + out) : 1 / in);
    switch (weights) {
    case NN_WEIGHTS_NORMAL: return (nn_init){NN_NORMAL, 0, bound};
    case NN_WEIGHTS_TRUNCATED: return (nn_init){NN_TRUNCATED_NORMAL, 0, bound / 0.87962566103423978};
    case NN_WEIGHTS_UNIFORM:
    case NN_WEIGHTS_XAVIER: break;
    }
    return (nn_init){NN_UNIFORM, -bound, bound};
}

static inline nn_init nn__start_bias(nn_weights weights, double in)
{
    return weights == NN_WEIGHTS_UNIFORM ? nn__start_weight(weights, in, 0) : (nn_init){NN_ZERO, 0, 0};
}

#endif
