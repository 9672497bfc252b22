/* The recipe `features`, as the losses that use what it has learned see it. (A file features.h would hide that of the C library.) */
#ifndef RECIPES_LEARNED_FEATURES_H
#define RECIPES_LEARNED_FEATURES_H

#include "nn/networks.h"
#include "recipe.h"

extern const recipe recipe_features;

/* The network of the recipe's options; its parameters are below `features`. */
nn_features_opt features_network(const void *options);

#endif
