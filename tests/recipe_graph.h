/* The graph of a recipe with given options, for tests: built in one of its modes, planned, filled with hash pixels, read. */
#ifndef TESTS_RECIPE_GRAPH_H
#define TESTS_RECIPE_GRAPH_H

#include "networks.h"

#include "recipe.h"

enum { BATCH = 2, SIDE = 16 };

typedef struct fixture {
    const recipe *recipe;
    void *options;
    nn_params *params;
    run *r;
} fixture;

static inline fixture fixture_new(const char *name, const char *preset, const char *settings)
{
    fixture f = {.recipe = recipe_find(name), .params = nn_params_new(1)};
    f.options = recipe_options_new(f.recipe);
    if (preset) assert_int_equal(recipe_preset_apply(f.recipe, f.options, preset), AG_OK);
    if (option_assign_all(f.recipe->options, f.options, settings, "test")) fail_msg("%s", ag_error_message());
    return f;
}

static inline void fixture_free(fixture *f)
{
    run_free(f->r);
    nn_params_free(f->params);
    free(f->options);
}

static inline void build(fixture *f, run_mode mode, int64_t batch, int64_t side, int64_t channels)
{
    const run_options o = {
        .mode = mode, .batch = batch, .image = {side, side, channels, false}, .variance = 0.08, .seed = 1};
    assert_int_equal(run_new(&f->r, f->recipe, f->options, f->params, &o), AG_OK);
}

static inline void plan(const fixture *f)
{
    if (run_plan(f->r, 0)) fail_msg("%s: %s", f->recipe->name, ag_error_message());
}

static inline void fill(const run *r)
{
    uint8_t *pixels = ag_data(r->pixels);
    for (int64_t i = 0; i < ag_numel(r->pixels); i++)
        pixels[i] = (uint8_t)((golden_u((uint32_t)network_place(r->pixels, i)) + 0.5) * 256);
}

static inline double value_of(const run *r, const char *name)
{
    for (int i = 0; i < r->n_losses; i++)
        if (!strcmp(r->losses[i].name, name)) return ag_value(r->losses[i].tensor);
    for (int i = 0; i < r->n_metrics; i++)
        if (!strcmp(r->metrics[i].name, name)) return ag_value(r->metrics[i].tensor);
    if (!strcmp(name, "total")) return ag_value(r->total);
    fail_msg("no loss %s", name);
    return 0;
}

#endif
