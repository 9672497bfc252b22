/* tessera eval RUN --data DATA.h5 */
#include <stdio.h>

#include "chart.h"
#include "command.h"
#include "evaluate.h"
#include "model.h"
#include "terminal.h"

/* What a level of a hierarchical model makes alone. */
typedef struct level_share {
    double nmse, psnr, ssim;
} level_share;

static void print_levels(const evaluation *e, const level_share *levels)
{
    for (int i = 0; levels && i < e->grids; i++)
        printf("  level %d alone   nmse %.5f, psnr %.3f dB, ssim %.5f (other levels: their mean)\n", i, levels[i].nmse,
               levels[i].psnr, levels[i].ssim);
}

static void print_text(const evaluation *e, const level_share *levels, const model *m, const char *data,
                       const char *split)
{
    printf("%s (step %lld%s) on %s, split %s\n", m->path, (long long)m->step,
           m->averages ? ", averages of the weights" : "", data, split);
    printf("  images          %lld\n", (long long)e->images);
    printf("  mse             %.6g      (pixel / 255)\n", e->mse);
    printf("  nmse            %.5f      (mse / variance %.7f of the training pixels)\n", e->nmse, m->variance);
    printf("  psnr            %.3f dB   (per image, clamped, mean)\n", e->psnr);
    printf("  ssim            %.5f      (Gaussian window %dx%d, sigma 1.5%s)\n", e->ssim, e->ssim_window,
           e->ssim_window, e->ssim_window < 11 ? "; shrunk to fit the images" : "");
    printf("  bits per pixel  %.4f      (fixed length)\n", e->bits_per_pixel);
    for (int q = 0; q < e->n_codebooks; q++) {
        const evaluation_codebook *c = &e->codebooks[q];
        printf("  %-15s %lld of %lld codes used (%.1f%%), perplexity %.1f\n", *c->name ? c->name : "codebook",
               (long long)c->used, (long long)c->codes, 100 * c->usage, c->perplexity);
    }
    print_levels(e, levels);
}

static void add_levels(cJSON *object, const evaluation *e, const level_share *levels)
{
    cJSON *list = levels ? cJSON_AddArrayToObject(object, "levels_alone") : NULL;
    for (int i = 0; list && i < e->grids; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "nmse", levels[i].nmse);
        cJSON_AddNumberToObject(item, "psnr", levels[i].psnr);
        cJSON_AddNumberToObject(item, "ssim", levels[i].ssim);
        cJSON_AddItemToArray(list, item);
    }
}

static ag_err print_result(const evaluation *e, const level_share *levels, const model *m, const char *data,
                           const char *split, bool json)
{
    if (!json) {
        print_text(e, levels, m, data, split);
        return command_flush();
    }
    cJSON *object = evaluation_to_json(e);
    cJSON_AddStringToObject(object, "weights", m->averages ? "average" : "last");
    add_levels(object, e, levels);
    const ag_err err = command_print_json(object);
    cJSON_Delete(object);
    return err;
}

typedef struct arguments {
    const char *data, *split, *usage;
    int64_t images;
    bool json, last_weights, levels;
} arguments;

/* Each level alone, into shares[RUN_QUANTIZERS]. */
static ag_err measure_levels(model *m, data_set *set, int64_t n, const int64_t *indices, level_share *shares)
{
    const image_shape shape = images_shape(set);
    const int grids = recipe_grids(m->recipe, m->options, &shape);
    ag_err err = AG_OK;
    if (grids < 2)
        return ag_fail(AG_ERR_USAGE, "--levels: the model of %s has one grid of codes; leave the option out", m->path);
    for (m->only = 1; !err && m->only <= grids; m->only++) {
        run *r = NULL;
        evaluation e = {0};
        err = model_run(&r, m, RUN_RECONSTRUCT, &shape);
        if (!err) err = evaluate(&e, r, set, n, indices, m->variance, "evaluating a level");
        shares[m->only - 1] = (level_share){e.nmse, e.psnr, e.ssim};
        evaluation_free(&e);
        run_free(r);
    }
    m->only = 0;
    return err;
}

static ag_err run_eval(const char *name, const arguments *a)
{
    model_view v = {0};
    evaluation e = {0};
    level_share shares[RUN_QUANTIZERS];
    ag_err err = model_open(&v.model, name);
    if (err) return err;
    v.model->last_weights = a->last_weights;
    if ((err = model_view_open(&v, a->data, a->split, RUN_RECONSTRUCT))) goto out;
    if (a->images && a->images < v.n) v.n = a->images;
    if ((err = evaluate(&e, v.run, v.set, v.n, v.indices, v.model->variance, "evaluating"))) goto out;
    if (a->levels && (err = measure_levels(v.model, v.set, v.n, v.indices, shares))) goto out;
    terminal_end_live();
    if (a->usage && !e.n_codebooks)
        err = ag_fail(AG_ERR_USAGE, "--usage: the model of %s has no codebook", v.model->path);
    else if (a->usage)
        err = chart_usage_png(a->usage, e.codebooks[0].codes, e.codebooks[0].counts);
    if (!err) err = print_result(&e, a->levels ? shares : NULL, v.model, a->data, images_split_name(v.split), a->json);
out:
    terminal_end_live();
    evaluation_free(&e);
    model_view_close(&v);
    return err;
}

int command_eval(const command *c, int argc, char **argv)
{
    arguments a = {0};
    const command_flag flags[] = {
        {"data", 'd', FLAG_TEXT, &a.data, "DATA.h5", "the images", 0, 0},
        {"split", 0, FLAG_TEXT, &a.split, "NAME",
         "train, validation, test or all (default: test, else validation, else train)", 0, 0},
        {"images", 'n', FLAG_INT, &a.images, "N", "only the first N (default: all)", 1, INT64_C(1000000000000)},
        {"json", 0, FLAG_ON, &a.json, NULL, "print one JSON object and nothing else", 0, 0},
        {"last-weights", 0, FLAG_ON, &a.last_weights, NULL,
         "the weights of the last step, where the run kept averages (option average)", 0, 0},
        {"levels", 0, FLAG_ON, &a.levels, NULL,
         "of a model with several grids of codes: each level alone, the latents of the others replaced by their mean",
         0, 0},
        {"usage", 0, FLAG_TEXT, &a.usage, "FILE.png", "draw how often each code is used, most used first", 0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if ((err = command_words(c, n, 1)) || (err = command_need(c, a.data, "--data DATA.h5"))) return command_end(err);
    return command_end(run_eval(words[0], &a));
}
