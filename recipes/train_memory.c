/* What a run takes, before it takes it: everything is counted, a bound is kept or refused with what would fit. */
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "terminal.h"
#include "trainer.h"

enum { PAGE = 2 << 20 }; /* the unit of large arenas */

typedef struct needs {
    ag_plan_report train;
    double gflop;   /* of a step */
    int64_t eval;   /* graph and working memory of evaluations and samples */
    int64_t loader; /* batches read ahead, the order of the images */
    int64_t
        opening; /* what starting codebooks or loading weights takes for a while, before the graphs have their memory */
    int64_t total; /* at the highest point */
} needs;

static double mib(int64_t bytes) { return (double)bytes / (1 << 20); }

/* ---- counting ---------------------------------------------------------------------------------------------------------- */

static int64_t loader_bytes(const trainer *t, int64_t batch)
{
    const data_set_info *info = data_set_get_info(t->set);
    const int64_t each = 3 * ((int64_t)images_bytes(&t->image) + 8) + 8 + 16; /* pixels and labels; index and place */
    return batch * each + (t->o->in_order ? 0 : 8 * info->in_split[DATA_TRAIN]);
}

/* The arena as the plan allocates it. */
static int64_t arena(const ag_plan_report *r)
{
    return r->arena_bytes < PAGE ? r->arena_bytes : (r->arena_bytes + PAGE - 1) / PAGE * PAGE;
}

static ag_err eval_bytes(const trainer *t, int64_t *out)
{
    ag_plan_report r;
    const int64_t samples = 4 * t->sample_count * images_values(&t->image), chosen = 8 * t->eval_count;
    const ag_err err = run_plan_report(t->eval, 0, &r);
    *out = arena(&r) + r.input_bytes + evaluate_bytes(t->eval) + samples + chosen;
    return err;
}

/* Codebooks start from the latents of a step: they, their graph, and the clusters. */
static ag_err start_bytes(const trainer *t, const void *options, nn_params *params, int64_t *out)
{
    const struct train_options *o = options;
    const run_options build = {.mode = RUN_START, .batch = o->batch, .image = t->image, .variance = t->variance};
    ag_plan_report r;
    run *start = NULL;
    *out = 0;
    if (!t->train->n_starts) return AG_OK;
    ag_err err = run_new(&start, t->config->recipe, options, params, &build);
    if (!err) err = run_plan_report(start, 0, &r);
    if (!err) *out = arena(&r) + r.input_bytes;
    for (int i = 0; !err && i < start->n_starts; i++) {
        const int64_t rows = o->accumulate * ag_numel(start->starts[i].rows) / ag_dim(start->starts[i].rows, -1);
        *out += o->accumulate * (int64_t)ag_bytes(start->starts[i].rows) + 16 * rows;
    }
    run_free(start);
    return err;
}

/* The most that lives at one time: while the run opens, or while it goes on. */
static void add_up(const trainer *t, needs *n)
{
    const int64_t before = n->loader + (t->config->resume ? n->train.state_bytes : n->opening);
    const int64_t after = arena(&n->train) + n->train.input_bytes + n->eval + n->loader;
    n->total = n->train.state_bytes + (before > after ? before : after);
}

/* Recomputes where a run would else be over `limit` (0: no bound). *kept: without; may be NULL. */
static ag_err count(const trainer *t, run *train, nn_params *params, int64_t limit, needs *kept, needs *n)
{
    const struct train_options *o = train->options;
    const double steps = 1e-9 * (double)o->accumulate;
    ag_err err = eval_bytes(t, &n->eval);
    if (!err) err = start_bytes(t, o, params, &n->opening);
    if (!err) err = run_plan_report(train, 0, &n->train);
    if (err) return err;
    n->loader = loader_bytes(t, o->batch);
    n->gflop = ag_graph_flops(train->graph) * steps;
    add_up(t, n);
    if (kept) *kept = *n;
    if (!limit || n->total <= limit) return AG_OK;
    const int64_t room = limit - n->eval - n->loader - PAGE;
    err = run_plan_report(train, room > 0 ? room : 1, &n->train);
    if (err && err != AG_ERR_MEMORY) return err;
    n->gflop = ag_graph_flops(train->graph) * steps;
    add_up(t, n);
    return AG_OK;
}

typedef enum verdict { FITS, TOO_LARGE, REFUSED } verdict; /* REFUSED: by the recipe, whatever the memory */

/* The same for another batch and number of micro-batches. */
static ag_err try_batch(const trainer *t, int64_t batch, int64_t accumulate, verdict *out)
{
    const int64_t limit = t->config->memory_limit;
    needs n;
    const recipe *card = t->config->recipe;
    run *r = NULL;
    nn_params *params = nn_params_outline();
    struct train_options *o = recipe_options_new(card);
    ag_err err = params && o ? AG_OK : ag_fail(AG_ERR_MEMORY, "no memory to plan batch=%lld", (long long)batch);
    if (err) goto out;
    memcpy(o, t->config->options, card->options_size);
    o->batch = batch;
    o->accumulate = accumulate;
    const run_options build = {
        .mode = RUN_TRAIN, .batch = batch, .image = t->image, .variance = t->variance, .classes = train_classes(t)};
    if ((err = card->check(o, &t->image)) || (err = train_freeze(o, params))) goto out;
    if ((err = run_new(&r, card, o, params, &build)) || (err = count(t, r, params, limit, NULL, &n))) goto out;
    *out = n.total <= limit ? FITS : TOO_LARGE;
out:
    run_free(r);
    nn_params_free(params);
    free(o);
    if (err != AG_ERR_USAGE) return err;
    *out = REFUSED;
    return AG_OK;
}

/* ---- what would fit ---------------------------------------------------------------------------------------------------- */

/* The largest smaller batch that fits, 0 if none does: larger ones do not, or the recipe refuses them. */
static ag_err largest_batch(const trainer *t, int64_t guess, int64_t *fits)
{
    int64_t low = 0, high = t->o->batch; /* what is left is between the two */
    *fits = 0;
    for (int64_t middle = guess; high - low > 1; middle = low + (high - low) / 2) {
        if (middle <= low || middle >= high) middle = low + (high - low) / 2;
        verdict v = REFUSED;
        int64_t batch = middle + 1;
        while (v == REFUSED && --batch > low) {
            const ag_err err = try_batch(t, batch, t->o->accumulate, &v);
            if (err) return err;
        }
        if (v == TOO_LARGE)
            high = batch;
        else
            low = middle;
        if (v == FITS) *fits = batch;
    }
    return AG_OK;
}

/* The largest batch that makes up updates of as many images from more micro-batches; 0 if none does, or if that would change what
 * the networks compute. */
static ag_err same_images(const trainer *t, int64_t *batch)
{
    const int64_t images = t->o->batch * t->o->accumulate;
    *batch = nn_has_batch_statistics(t->params) ? 0 : t->o->batch - 1;
    for (; *batch > 0; --*batch) {
        verdict v = REFUSED;
        if (images % *batch) continue;
        const ag_err err = try_batch(t, *batch, images / *batch, &v);
        if (err || v == FITS) return err;
    }
    return AG_OK;
}

static ag_err refuse(const trainer *t, const needs *n)
{
    int64_t fits = 0, parts = 0;
    char advice[256];
    ag_err err = largest_batch(t, n->train.batch_that_fits, &fits);
    if (!err) err = same_images(t, &parts);
    if (err) return err;
    size_t at = fits ? (size_t)snprintf(advice, sizeof advice, "batch=%lld would fit", (long long)fits)
                     : (size_t)snprintf(advice, sizeof advice,
                                        "no smaller batch would fit: weights and moments take %.1f, evaluation %.1f",
                                        mib(n->train.state_bytes), mib(n->eval));
    if (parts)
        snprintf(advice + at, sizeof advice - at,
                 "; --set batch=%lld --set accumulate=%lld makes updates of as many images", (long long)parts,
                 (long long)(t->o->batch * t->o->accumulate / parts));
    return ag_fail(AG_ERR_MEMORY, "--memory: the run needs %.1f MiB%s, allowed are %.1f; %s", mib(n->total),
                   n->train.recomputed ? ", marked blocks computed twice" : "", mib(t->config->memory_limit), advice);
}

/* ---- to be called by train_open ---------------------------------------------------------------------------------------- */

static void say(const trainer *t, const needs *n)
{
    terminal_line("parameters %lld (+ %lld in buffers); %.2f GFLOP a step",
                  (long long)nn_params_numel(t->params, NN_PARAMETER), (long long)nn_params_numel(t->params, NN_BUFFER),
                  n->gflop);
    terminal_line(
        "memory planned %.1f MiB: arena %.1f (%.1f unshared), weights and moments %.1f, inputs %.1f, evaluation %.1f, "
        "batches read ahead %.1f",
        mib(n->total), mib(n->train.arena_bytes), mib(n->train.unshared_bytes), mib(n->train.state_bytes),
        mib(n->train.input_bytes), mib(n->eval), mib(n->loader));
}

static void say_recomputed(const trainer *t, const needs *kept, const needs *n)
{
    terminal_line("--memory: %.1f MiB would be over the bound of %.1f, so marked blocks are computed twice: %.1f MiB "
                  "less, %.1f%% "
                  "more operations",
                  mib(kept->total), mib(t->config->memory_limit), mib(kept->total - n->total),
                  100 * (n->gflop / kept->gflop - 1));
}

ag_err train_plan(trainer *t)
{
    const int64_t limit = t->config->memory_limit;
    needs kept, n;
    const ag_err err = count(t, t->train, t->params, limit, &kept, &n);
    if (err) return err;
    say(t, &n);
    if (limit && n.total > limit) return refuse(t, &n);
    if (n.train.recomputed) say_recomputed(t, &kept, &n);
    t->memory_planned = n.total;
    t->train_limit = n.train.recomputed ? n.train.state_bytes + n.train.arena_bytes + n.train.input_bytes : 0;
    return AG_OK;
}

ag_err train_allocate(trainer *t)
{
    const ag_err err = run_plan(t->train, t->train_limit);
    return err ? err : run_plan(t->eval, 0);
}

void train_say_memory(const trainer *t)
{
    const int64_t peak = memory_peak();
    if (!peak || !t->memory_before) return;
    terminal_line("memory measured %.1f MiB at its peak, above the %.1f of program and libraries; planned %.1f",
                  mib(peak - t->memory_before), mib(t->memory_before), mib(t->memory_planned));
}
