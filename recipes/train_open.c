/* From a configuration to a run that is ready for its first step. */
#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"
#include "grids.h"
#include "memory.h"
#include "terminal.h"
#include "trainer.h"

static ag_err open_data(trainer *t)
{
    const char *path = t->config->data;
    ag_err err = data_set_open(&t->set, path, NULL);
    if (!err) err = data_set_open(&t->eval_set, path, NULL);
    if (err) return err;
    const data_set_info *info = data_set_get_info(t->set);
    t->image = images_shape(t->set);
    if (data_set_warning(t->set)) terminal_line("%s", data_set_warning(t->set));
    if (!info->in_split[DATA_TRAIN])
        return ag_fail(AG_ERR_DATA, "%s: no training images: dataset 'split' marks none with 0", path);
    if (t->o->batch > info->in_split[DATA_TRAIN])
        return ag_fail(AG_ERR_USAGE, "batch=%lld: larger than the %lld training images of %s; set a smaller batch",
                       (long long)t->o->batch, (long long)info->in_split[DATA_TRAIN], path);
    const recipe *r = t->config->recipe;
    if ((err = train_options_check(t->o)) || (err = r->check(t->config->options, &t->image))) return err;
    if (r->settle && (err = r->settle(t->config->options))) return err;
    return data_set_fingerprint(t->set, t->fingerprint);
}

/* Validation before test, so that best.h5 is not chosen by the test images where there is a choice. */
static ag_err choose_evaluation(trainer *t)
{
    const data_set_info *info = data_set_get_info(t->eval_set);
    const int64_t limit = t->o->eval_images;
    t->eval_split = info->in_split[DATA_VALIDATION] ? DATA_VALIDATION
                    : info->in_split[DATA_TEST]     ? DATA_TEST
                                                    : DATA_TRAIN;
    int64_t count;
    const int64_t *all = data_set_indices(t->eval_set, t->eval_split, &count);
    t->sample_count = count < SAMPLE_IMAGES ? count : SAMPLE_IMAGES;
    grids_spread(count, all, t->sample_count, t->sample_indices);
    t->eval_count = limit && count > limit ? limit : count;
    t->eval_indices = malloc((size_t)t->eval_count * sizeof *t->eval_indices);
    if (!t->eval_indices) return ag_fail(AG_ERR_MEMORY, "no memory for %lld indices", (long long)t->eval_count);
    grids_spread(count, all, t->eval_count,
                 t->eval_indices); /* files are often sorted by class: take every part of it */
    return AG_OK;
}

int64_t train_classes(const trainer *t)
{
    const data_set_info *info = data_set_get_info(t->set);
    return info->has_labels ? info->classes : 0;
}

static ag_err build_graphs(trainer *t)
{
    run_options build = {.mode = RUN_TRAIN,
                         .batch = t->o->batch,
                         .image = t->image,
                         .variance = t->variance,
                         .classes = train_classes(t),
                         .seed = (uint64_t)t->o->seed};
    if (!(t->params = nn_params_new((uint64_t)t->o->seed))) return ag_fail(AG_ERR_MEMORY, "no memory for parameters");
    ag_err err = train_freeze(t->o, t->params);
    if (err || (err = run_new(&t->train, t->config->recipe, t->config->options, t->params, &build))) return err;
    build.mode = RUN_RECONSTRUCT;
    build.batch = images_batch(&t->image);
    if ((err = run_new(&t->eval, t->config->recipe, t->config->options, t->params, &build))) return err;
    if (t->train->labels && !(t->labels = malloc((size_t)t->o->batch * sizeof *t->labels)))
        return ag_fail(AG_ERR_MEMORY, "no memory for labels");
    for (int q = 0; q < t->train->n_quantizers; q++)
        if (!(t->counts[q] = calloc((size_t)(t->train->quantizers[q].books * t->train->quantizers[q].K + 1),
                                    sizeof *t->counts[q])))
            return ag_fail(AG_ERR_MEMORY, "no memory for counts");
    return AG_OK;
}

static ag_err print_graph(const trainer *t)
{
    const char *path = t->config->print_graph;
    if (!path) return AG_OK;
    const size_t length = strlen(path);
    FILE *f = fopen(path, "w");
    if (!f) return ag_fail(AG_ERR_IO, "%s: cannot be written: %m; choose another --print-graph", path);
    if (length > 4 && !strcmp(path + length - 4, ".dot"))
        ag_graph_dot(t->train->graph, f);
    else
        ag_graph_print(t->train->graph, f);
    const bool bad = ferror(f);
    return fclose(f) || bad ? ag_fail(AG_ERR_IO, "%s: not all of it could be written: %m", path) : AG_OK;
}

static ag_err open_loader(trainer *t, int64_t position)
{
    return data_loader_open(&t->loader, t->set,
                            &(data_loader_options){.batch = t->o->batch,
                                                   .split = DATA_TRAIN,
                                                   .seed = (uint64_t)t->o->seed,
                                                   .in_order = t->o->in_order,
                                                   .flip = t->o->flip,
                                                   .position = position,
                                                   .real = t->image.real});
}

/* The latents of the images of the first step, one micro-batch after another, into rows[i] for start i. */
static ag_err first_latents(trainer *t, run *r, real **rows)
{
    for (int64_t micro = 0; micro < t->o->accumulate; micro++) {
        ag_err err = train_next_batch(t, r, NULL);
        if (!err) err = ag_graph_run_pure(r->graph, (uint64_t)micro);
        if (err) return err;
        for (int i = 0; i < r->n_starts; i++) {
            const ag_tensor *z = r->starts[i].rows;
            memcpy(rows[i] + micro * ag_numel(z), ag_data(z), ag_bytes(z));
        }
    }
    return AG_OK;
}

/* The rest has to come from restarts. */
static void say_few(const trainer *t, const run_start_entry *s, int64_t rows)
{
    const int64_t codes = s->options.K;
    if (rows >= codes) return;
    terminal_line(
        "start=%s: %lld images give %lld latents for %lld codes, so %lld of them begin unused or as copies; set "
        "a larger batch or accumulate, fewer codes, or restart",
        s->options.start == NN_START_KMEANS ? "kmeans" : "data", (long long)(t->o->batch * t->o->accumulate),
        (long long)rows, (long long)codes, (long long)(codes - rows));
}

/* Codebooks that start from the first step: latents of the untrained encoder, then nn_quantizer_start. */
static ag_err start_codebooks(trainer *t)
{
    run *r = NULL;
    real *rows[RUN_STARTS] = {0};
    const run_options build = {.mode = RUN_START,
                               .batch = t->o->batch,
                               .image = t->image,
                               .variance = t->variance,
                               .seed = (uint64_t)t->o->seed};
    if (!t->train->n_starts) return AG_OK;
    ag_err err = run_new(&r, t->config->recipe, t->config->options, t->params, &build);
    if (err || (err = run_plan(r, 0)) || (err = open_loader(t, 0))) goto out;
    for (int i = 0; i < r->n_starts; i++)
        if (!(rows[i] = malloc((size_t)t->o->accumulate * ag_bytes(r->starts[i].rows)))) {
            err = ag_fail(AG_ERR_MEMORY, "no memory for the latents that codebooks start from");
            goto out;
        }
    err = first_latents(t, r, rows);
    for (int i = 0; !err && i < r->n_starts; i++) {
        const run_start_entry *s = &r->starts[i];
        if (t->started[i]) continue;
        const int64_t n = t->o->accumulate * ag_numel(s->rows) / ag_dim(s->rows, -1);
        say_few(t, s, n);
        err = nn_quantizer_start(t->params, s->scope, &s->options, n, rows[i], (uint64_t)t->o->seed);
    }
out:
    for (int i = 0; i < RUN_STARTS; i++) free(rows[i]);
    data_loader_close(t->loader);
    t->loader = NULL;
    run_free(r);
    return err;
}

static ag_err first_weights(trainer *t)
{
    ag_err err = t->config->init_from ? train_init_from(t) : AG_OK;
    if (!err) err = start_codebooks(t);
    opt_average_start(t->params);
    return err;
}

ag_err train_next_batch(trainer *t, run *r, double *waited)
{
    void *pixels = ag_data(r->pixels);
    int64_t *labels = r->labels ? t->labels : NULL;
    const ag_err err = t->image.real ? data_loader_next_real(t->loader, pixels, labels, waited)
                                     : data_loader_next(t->loader, pixels, labels, waited);
    for (int64_t i = 0; !err && labels && i < t->o->batch; i++) ((int32_t *)ag_data(r->labels))[i] = (int32_t)labels[i];
    return err;
}

static void say_machine(const trainer *t)
{
    const data_set_info *i = data_set_get_info(t->set);
    terminal_title("tessera %s: train %s -> %s", TESSERA_VERSION, t->config->recipe->name, t->config->out);
    terminal_line("data %s: %lld images of %lldx%lldx%lld (train %lld, validation %lld, test %lld), variance %.7f",
                  t->config->data, (long long)i->count, (long long)t->image.width, (long long)t->image.height,
                  (long long)t->image.channels, (long long)i->in_split[0], (long long)i->in_split[1],
                  (long long)i->in_split[2], t->variance);
    terminal_line("%s, %d threads, kernels %s", ag_cpu_model(), ag_cpu_threads(), ag_cpu_kernels());
}

ag_err train_open(trainer *t)
{
    int64_t position = 0;
    ag_err err = open_data(t);
    if (err) return err;
    if ((err = choose_evaluation(t))) return err;
    if (t->config->resume && (err = train_load_state(t, &position))) return err;
    if (!t->config->resume && (err = data_set_moments(t->set, DATA_TRAIN, &t->mean, &t->variance))) return err;
    if (!(t->variance > 0))
        return ag_fail(AG_ERR_DATA, "%s: all training pixels are equal, there is nothing to learn", t->config->data);
    say_machine(t);
    memory_reset_peak();
    t->memory_before = memory_resident();
    if ((err = build_graphs(t)) || (err = train_plan(t))) return err;
    if ((err = train_check_frozen(t)) || (err = t->config->resume ? train_load_weights(t) : first_weights(t)))
        return err;
    if ((err = train_allocate(t)) || (err = print_graph(t))) return err;
    if ((err = open_loader(t, position))) return err;
    ag_graph_anomaly(t->train->graph, t->config->anomaly);
    ag_graph_profile(t->train->graph, t->config->profile > 0);
    t->first_step = t->step;
    t->began = t->window.began = t->saved_at = terminal_clock();
    if ((err = train_record_open(t))) return err;
    return t->config->resume ? AG_OK : train_save(t); /* from here on there is always something to resume */
}

void train_close(trainer *t)
{
    train_record_close(t);
    data_loader_close(t->loader);
    run_free(t->train);
    run_free(t->eval);
    nn_params_free(t->params);
    data_set_close(t->set);
    data_set_close(t->eval_set);
    evaluation_free(&t->last);
    free(t->eval_indices);
    free(t->labels);
    for (int q = 0; q < RUN_QUANTIZERS; q++) free(t->counts[q]);
}
