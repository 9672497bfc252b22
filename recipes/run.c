/* Building the graph of a run from a recipe, in each of its modes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "recipe.h"

enum { MAX_TRAINABLE = 4096 };

static void make_code_inputs(run *r)
{
    int64_t codes[4] = {r->build.batch};
    int axes;
    while (r->n_codes_in < RUN_QUANTIZERS &&
           (axes = r->recipe->code_shape(r->options, &r->build.image, r->n_codes_in, codes + 1)) > 0)
        r->codes_in[r->n_codes_in++] = ag_input(r->graph, "codes", AG_I32, 1 + axes, codes);
}

static void make_inputs(run *r)
{
    const image_shape *s = &r->build.image;
    const double scale = r->recipe->scale, shift = r->recipe->shift;
    const int64_t shape[4] = {r->build.batch, s->height, s->width, s->channels};
    if (r->build.mode == RUN_DECODE) {
        make_code_inputs(r);
        return;
    }
    r->pixels = ag_input(r->graph, "images", s->real ? AG_REAL : AG_U8, 4, shape);
    if (!s->real) {
        r->images = ag_from_u8(r->pixels, scale / 255, shift);
    } else {
        r->images = scale == 1 ? r->pixels : ag_scale(r->pixels, scale);
        if (shift != 0) r->images = ag_shift(r->images, shift);
    }
    if (r->training) {
        r->rate = ag_input(r->graph, "rate", AG_REAL, 0, NULL);
        r->update = ag_input(r->graph, "update", AG_REAL, 0, NULL);
    }
}

static void keep_training(run *r)
{
    if (!r->mse && r->reconstruction) r->mse = nn_mse(r->reconstruction, r->images);
    for (int i = 0; i < r->n_phases; i++) ag_keep(r->phases[i].total);
    ag_keep(r->mse);
    for (int i = 0; i < r->n_losses; i++) ag_keep(r->losses[i].tensor);
    for (int i = 0; i < r->n_metrics; i++) ag_keep(r->metrics[i].tensor);
    for (int i = 0; i < r->n_quantizers; i++) {
        const nn_quantized *q = &r->quantizers[i];
        if (q->counts) ag_keep(q->counts);
        for (int j = 0; j < q->n_counters; j++) ag_keep(q->counters[j].value);
    }
}

static void keep_codes(run *r)
{
    for (int i = 0; i < r->n_quantizers; i++)
        if (r->quantizers[i].codes) ag_keep(r->quantizers[i].codes);
}

/* The reconstruction in units of pixel / 255 and as pixels; encode + decode and reconstruct share these lines, hence bits. */
static void keep_reconstruction(run *r)
{
    const double scale = r->recipe->scale, shift = r->recipe->shift;
    ag_tensor *y = r->reconstruction;
    r->reconstruction_pixels = ag_keep(ag_to_u8(y, 255 / scale, -shift * 255 / scale));
    y = ag_shift(y, -shift);
    r->reconstruction = ag_keep(scale == 1 ? y : ag_scale(y, 1 / scale));
}

static void keep(run *r)
{
    switch (r->build.mode) {
    case RUN_TRAIN: keep_training(r); break;
    case RUN_ENCODE: keep_codes(r); break;
    case RUN_RECONSTRUCT:
        keep_codes(r);
        keep_reconstruction(r);
        break;
    case RUN_DECODE: keep_reconstruction(r); break;
    case RUN_START:
        for (int i = 0; i < r->n_starts; i++) ag_keep(r->starts[i].rows);
        break;
    }
}

ag_err run_new(run **out, const recipe *card, const void *options, nn_params *params, const run_options *build)
{
    run *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r || !(r->graph = ag_graph_new(build->seed))) {
        free(r);
        return ag_fail(AG_ERR_MEMORY, "%s: no memory for its graph", card->name);
    }
    r->recipe = card;
    r->options = options;
    r->params = params;
    r->build = *build;
    r->training = build->mode == RUN_TRAIN;
    r->variance = build->variance * card->scale * card->scale;
    r->micro_batches = r->training ? (int)((const struct train_options *)options)->accumulate : 1;
    nn_micro_batches(params, r->micro_batches);
    if (r->training) ag_graph_precision(r->graph, (ag_precision)((const struct train_options *)options)->precision);
    r->root = nn_root(params, r->graph, r->training);
    make_inputs(r);
    if (build->mode == RUN_DECODE)
        r->reconstruction = card->decode(r, options, r->codes_in);
    else
        card->build(r, options);
    keep(r);
    *out = r;
    return AG_OK;
}

void run_free(run *r)
{
    if (!r) return;
    ag_graph_free(r->graph);
    nn_params_free(r->borrowed);
    free(r);
}

static ag_plan_options bound(const run *r, int64_t memory_limit)
{
    return (ag_plan_options){.memory_limit = memory_limit, .batch = r->build.batch};
}

ag_err run_plan_report(run *r, int64_t memory_limit, ag_plan_report *out)
{
    const ag_plan_options o = bound(r, memory_limit);
    return ag_graph_plan_report(r->graph, &o, out);
}

ag_err run_plan(run *r, int64_t memory_limit)
{
    const ag_plan_options o = bound(r, memory_limit);
    return ag_graph_plan(r->graph, &o);
}

int run_books(const run *r)
{
    int books = 0;
    for (int q = 0; q < r->n_quantizers; q++) books += r->quantizers[q].books;
    return books < RUN_BOOKS ? books : RUN_BOOKS;
}

void run_level_name(const run *r, int q, char out[RUN_BOOK_NAME])
{
    int64_t h, w;
    out[0] = 0;
    if (r->n_quantizers < 2) return;
    r->recipe->grid(r->options, &r->build.image, q, &h, &w);
    snprintf(out, RUN_BOOK_NAME, "level %d (%lldx%lld)", q, (long long)h, (long long)w);
}

void run_book_name(const run *r, int book, char out[RUN_BOOK_NAME])
{
    char part[32];
    int q = 0;
    while (q < r->n_quantizers - 1 && book >= r->quantizers[q].books) book -= r->quantizers[q++].books;
    run_level_name(r, q, out);
    nn_quantized_book_name(&r->quantizers[q], book, part, sizeof part);
    const size_t used = strlen(out);
    snprintf(out + used, RUN_BOOK_NAME - used, "%s%s", used && *part ? ", " : "", part);
}

opt_schedule run_schedule(const run *r)
{
    const struct train_options *o = r->options;
    return (opt_schedule){.rate = o->lr,
                          .shape = (opt_shape)o->schedule,
                          .warmup = o->warmup,
                          .steps = o->lr_steps ? o->lr_steps : o->steps,
                          .last = o->lr_last,
                          .every = o->lr_every,
                          .factor = o->lr_factor};
}

/* The groups of effects of a micro-batch: sums in all of them; codebooks and the phases that have begun in the last. */
static unsigned groups(const run *r, int64_t step, int micro)
{
    unsigned bits = 1u << NN_EACH_RUN;
    if (micro < r->micro_batches - 1) return bits;
    bits |= 1u << NN_EACH_UPDATE;
    for (int i = 0; i < r->n_phases; i++)
        if (step >= r->phases[i].o.start) bits |= 1u << (NN_FIRST_PHASE + i);
    return bits;
}

static run_fault find_fault(const run *r, int64_t step, int micro)
{
    for (int i = 0; i < r->n_phases; i++)
        if (!isfinite(ag_value(r->phases[i].total))) return (run_fault){"loss", r->phases[i].o.name};
    for (int i = 0; i < r->n_phases && micro == r->micro_batches - 1; i++) {
        const run_phase_entry *p = &r->phases[i];
        if (p->norm && step >= p->o.start && !isfinite(ag_value(p->norm))) return (run_fault){"gradient", p->o.name};
    }
    return (run_fault){0};
}

static uint64_t key(const run *r, int64_t step, int micro) { return (uint64_t)(step * r->micro_batches + micro); }

ag_err run_step(run *r, int64_t step, int micro)
{
    const opt_schedule schedule = run_schedule(r);
    *(real *)ag_data(r->rate) = (real)opt_rate(&schedule, step + 1);
    *(real *)ag_data(r->update) = (real)(step + 1);
    r->fault = (run_fault){0};
    const ag_err err = ag_graph_run_first(r->graph, key(r, step, micro), groups(r, step, micro));
    if (err) return err;
    r->fault = find_fault(r, step, micro);
    return r->fault.what ? AG_OK : ag_graph_run_rest(r->graph);
}

ag_err run_look(run *r, int64_t step, int micro)
{
    ag_graph_anomaly(r->graph, true);
    const ag_err err = ag_graph_run_pure(r->graph, key(r, step, micro));
    if (err) return err; /* else it is in a norm; sums over micro-batches have been made and are not added to again */
    return ag_graph_run_first(r->graph, key(r, step, micro), groups(r, step, micro) & ~(1u << NN_EACH_RUN));
}

/* ---- for build functions -------------------------------------------------------------------------------------------- */

static void add_scalar(run *r, run_scalar *list, int *n, const char *name, ag_tensor *tensor)
{
    if (*n == RUN_LOSSES)
        ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: more than %d losses or metrics", r->recipe->name, RUN_LOSSES);
    else
        list[(*n)++] = (run_scalar){name, tensor};
}

void run_loss(run *r, const char *name, ag_tensor *tensor, double weight)
{
    run_loss_by(r, name, tensor, weight, NULL);
}

void run_loss_by(run *r, const char *name, ag_tensor *tensor, double weight, ag_tensor *factor)
{
    if (!tensor) return;
    add_scalar(r, r->losses, &r->n_losses, name, tensor);
    ag_tensor *term = weight == 1 ? tensor : ag_scale(tensor, weight);
    if (factor) term = ag_mul(term, factor);
    r->pending = r->pending ? ag_add(r->pending, term) : term;
}

ag_tensor *run_labels(run *r)
{
    if (!r->training || r->build.classes < 2) return NULL;
    if (!r->labels) r->labels = ag_input(r->graph, "labels", AG_I32, 1, &r->build.batch);
    return r->labels;
}

void run_metric(run *r, const char *name, ag_tensor *tensor) { add_scalar(r, r->metrics, &r->n_metrics, name, tensor); }

void run_quantizer(run *r, const nn_quantized *q)
{
    if (r->n_quantizers == RUN_QUANTIZERS)
        ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: more than %d quantizers", r->recipe->name, RUN_QUANTIZERS);
    else
        r->quantizers[r->n_quantizers++] = *q;
}

void run_start(run *r, const char *scope, ag_tensor *rows, const nn_quantizer_opt *o)
{
    if (r->n_starts == RUN_STARTS)
        ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: more than %d codebook starts", r->recipe->name, RUN_STARTS);
    else
        r->starts[r->n_starts++] = (run_start_entry){scope, rows, *o};
}

ag_tensor *run_level(run *r, int level, ag_tensor *latents)
{
    if (!latents || !r->build.only || r->build.only == level + 1) return latents;
    const int64_t shape[4] = {ag_dim(latents, 0), ag_dim(latents, 1), ag_dim(latents, 2), ag_dim(latents, 3)};
    const double n = (double)(shape[0] * shape[1] * shape[2]);
    return ag_broadcast(ag_scale(ag_sum_to(latents, 4, (int64_t[]){1, 1, 1, shape[3]}), 1 / n), 4, shape);
}

/* The parameters of a phase; how many there are. */
static int phase_parameters(run *r, const run_phase_opt *o, ag_tensor **params)
{
    const int n = nn_trainable(r->params, r->graph, o->prefixes, params, MAX_TRAINABLE);
    if (n <= MAX_TRAINABLE) return n;
    ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: %d parameters, more than %d", r->recipe->name, n, MAX_TRAINABLE);
    return 0;
}

static void update(run *r, const run_phase_entry *phase, ag_tensor *const *params, ag_tensor *const *grads)
{
    const struct train_options *o = r->options;
    const int n = phase->parameters;
    ag_tensor *rate = phase->o.rate > 0 ? ag_scale(r->rate, phase->o.rate) : r->rate;
    ag_tensor *number = phase->o.start ? ag_shift(r->update, (double)-phase->o.start) : r->update;
    const ag_update_options u = {.weight_decay = o->weight_decay, .clip = o->clip, .norm = phase->norm};
    switch ((train_optimizer)o->optimizer) {
    case TRAIN_ADAM:
    case TRAIN_ADAMW:
        opt_adam(r->root, n, params, grads, rate, number,
                 &(ag_adam_options){.beta1 = o->beta1, .beta2 = o->beta2, .epsilon = o->adam_eps, .update = u});
        break;
    case TRAIN_LION:
        opt_lion(r->root, n, params, grads, rate,
                 &(ag_lion_options){.beta1 = o->beta1, .beta2 = o->beta2, .update = u});
        break;
    case TRAIN_SGD:
        opt_sgd(r->root, n, params, grads, rate, &(ag_sgd_options){.momentum = o->beta1, .update = u});
        break;
    }
    if (o->average > 0) opt_average(r->root, n, params, o->average, true, number);
}

/* Gradients, their sums over micro-batches, and the update, in the group of the phase. */
static void train_phase(run *r, run_phase_entry *phase, ag_tensor *const *params)
{
    const int n = phase->parameters, group = NN_FIRST_PHASE + (int)(phase - r->phases);
    ag_tensor *grads[MAX_TRAINABLE], *sums[MAX_TRAINABLE];
    const bool summed = r->micro_batches > 1;
    phase->norm = ag_state(r->graph, "gradient norm", AG_REAL, 0, NULL);
    ag_gradient(phase->total, n, params, grads);
    if (summed) opt_accumulate(r->root, n, params, grads, r->micro_batches, sums);
    ag_graph_effect_group(r->graph, (unsigned)group);
    update(r, phase, params, summed ? sums : grads);
    ag_graph_effect_group(r->graph, NN_EACH_UPDATE);
    if (summed) opt_clear(r->root, n, sums);
    ag_graph_effect_group(r->graph, NN_EACH_RUN);
}

/* Does an earlier phase move one of the parameters? */
static bool is_taken(run *r, const run_phase_entry *phase, ag_tensor *const *params)
{
    ag_tensor *theirs[MAX_TRAINABLE];
    for (const run_phase_entry *p = r->phases; p < phase; p++) {
        const int n = phase_parameters(r, &p->o, theirs);
        for (int i = 0; i < phase->parameters; i++)
            for (int j = 0; j < n; j++) {
                if (params[i] != theirs[j]) continue;
                ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: %s is in two update phases", r->recipe->name,
                              ag_name(params[i]));
                return true;
            }
    }
    return false;
}

void run_phase(run *r, const run_phase_opt *options)
{
    ag_tensor *params[MAX_TRAINABLE];
    if (r->n_phases == RUN_PHASES) {
        ag_graph_fail(r->graph, AG_ERR_FAILED, "%s: more than %d phases", r->recipe->name, RUN_PHASES);
        return;
    }
    run_phase_entry *phase = &r->phases[r->n_phases++];
    *phase = (run_phase_entry){.o = options ? *options : (run_phase_opt){0}, .total = r->pending};
    r->pending = NULL;
    r->total = r->phases[0].total;
    if (!r->training || ag_graph_error(r->graph)) return;
    phase->parameters = phase_parameters(r, &phase->o, params);
    if (phase->parameters && !is_taken(r, phase, params)) train_phase(r, phase, params);
}
