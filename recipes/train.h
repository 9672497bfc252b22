/* Training: the loop that every recipe shares. */
#ifndef RECIPES_TRAIN_H
#define RECIPES_TRAIN_H

#include "recipe.h"

typedef struct train_config {
    const recipe *recipe;
    void *options;          /* resolved; begins with struct train_options */
    const char *data, *out; /* data set and run folder */
    bool resume;
    const char *init_from;   /* run or checkpoint whose weights a new run begins with; NULL = none */
    int64_t memory_limit;    /* bytes, 0 = no bound */
    bool anomaly;            /* check every tensor of every step */
    int64_t profile;         /* print a profile of this many steps; 0 = none */
    const char *print_graph; /* .txt or .dot, NULL = no */
    int argc;
    char **argv; /* for the manifest */
} train_config;

/* Trains until `steps`, a signal or a fault. *signal: number of the signal that stopped the run (its checkpoint is saved), else 0. */
ag_err train(const train_config *c, int *signal);

#endif
