/* A sweep: one recipe trained with several settings, one after another, and a table of what came out.
 *
 *     SWEEP/sweep.json     recipe, preset, data, and the settings of every cell: {"cells": ["quantizer=vq seed=0", ...]}
 *     SWEEP/run-000 ...    the runs, in the order of the cells
 *     SWEEP/table.md       a row for each setting, seeds together as mean and largest distance from it; table.json the same, and every run */
#ifndef RECIPES_SWEEP_H
#define RECIPES_SWEEP_H

#include <stdbool.h>

#include "autograd/error.h"

typedef struct sweep {
    char *recipe, *preset, *data; /* preset "": none */
    int n;
    char **cells; /* "key=value key=value", applied over the preset and what all share */
    char *shared; /* the same for all cells */
} sweep;

/* The runs of the cells: all values of the axes in every combination, the last axis first to change. An axis is a list of settings. */
ag_err sweep_cells(sweep *s, int axes, const int *counts, char *const *const *settings);
/* Makes the folder and its sweep.json, or, if there is one, checks that it is of the same sweep: AG_ERR_USAGE. */
ag_err sweep_begin(const sweep *s, const char *folder);
bool sweep_exists(const char *folder);
ag_err sweep_read(sweep *s, const char *folder);
void sweep_free(sweep *s);
/* The folder of run i; malloc'ed, NULL if out of memory. */
char *sweep_run_folder(const char *folder, int i);
/* Measures every run on `data` (NULL: that of the sweep), writes table.md and table.json, and prints the first. A cell that has not been trained to
 * its end is measured as it is, with its step. `split` as in images_split. */
ag_err sweep_table(const sweep *s, const char *folder, const char *data, const char *split);

#endif
