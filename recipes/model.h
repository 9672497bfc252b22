/* A trained model, opened from a run folder (its checkpoint.h5) or from a checkpoint file. */
#ifndef RECIPES_MODEL_H
#define RECIPES_MODEL_H

#include <cjson/cJSON.h>

#include "images.h"
#include "recipe.h"

typedef struct model {
    char *path; /* of the checkpoint file */
    const recipe *recipe;
    void *options;
    nn_params *params;
    image_shape image; /* it was trained on */
    double variance;   /* of the training pixels, pixel / 255 */
    int64_t step;
    bool last_weights; /* to be set before model_run: the weights of the last step, even if there are averages */
    int only;          /* to be set before model_run: number from 1 of a level alone (run_options); 0: all */
    int averages;      /* set by model_run: how many weights are averages */
    cJSON *state;
} model;

/* Reads the state, not yet the weights. Errors: AG_ERR_CHECKPOINT missing, damaged, or of a recipe this program lacks. */
ag_err model_open(model **out, const char *run_or_file);
void model_close(model *m); /* NULL is fine */
/* Builds the graph for images of a size, loads the weights (their averages, where the run kept some), plans. Errors: sizes or channels that do not fit. */
ag_err model_run(run **out, model *m, run_mode mode, const image_shape *image);

/* A model and a part of a data set for it: model_open the model, then model_view_open the rest. */
typedef struct model_view {
    model *model;
    data_set *set;
    run *run;
    data_split split;
    const int64_t *indices; /* of the n images of the part */
    int64_t n;
} model_view;

/* The images of the part `split_name` (images_split), and the graph for them. Errors: those of both. */
ag_err model_view_open(model_view *v, const char *data, const char *split_name, run_mode mode);
/* All of it, the model too; what is not open is NULL. */
void model_view_close(model_view *v);

/* PATH itself, or PATH/checkpoint.h5 if PATH is a folder; malloc'ed. */
ag_err model_path(char **out, const char *run_or_file);

#endif
