/* tessera bench [RECIPE]: what this machine can do, and what a recipe makes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"
#include "autograd/machine.h"
#include "command.h"
#include "images.h"
#include "memory.h"
#include "recipe.h"
#include "signals.h"
#include "terminal.h"

enum { WARM_STEPS = 2, MOST_STEPS = 1000, FEWEST_STEPS = 3 };

typedef struct arguments {
    const char *preset, *size;
    command_list sets;
    int64_t channels, seconds, profile;
    bool json;
} arguments;

/* One recipe with one set of options. */
typedef struct subject {
    const recipe *recipe;
    const char *preset; /* "defaults" if none */
    void *options;
    image_shape image;
    ag_machine machine;
    int64_t memory; /* that is free, bytes; 0: not known */
} subject;

typedef struct result {
    double images_per_s, gflops, one_thread; /* one_thread: images/s; 0 if there is only one */
    double encode_per_s;                     /* 0: no codes, or codes that cannot be decoded alone */
    double start_seconds;                    /* graph and plan, to the first step */
    double hours;                            /* of all steps of the options */
    int64_t batch, steps, memory, peak;      /* memory: as planned; peak: resident, of the process while it trained */
    int64_t recomputed;                      /* nodes that run a second time because the memory would not do */
    cJSON *parameters;                       /* values to train, of each part of the model */
} result;

/* ---- timing ------------------------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A whole update, or one pass without. */
static ag_err once(run *r, int64_t step)
{
    if (r->build.mode != RUN_TRAIN) return ag_graph_run(r->graph, 0);
    ag_err err = AG_OK;
    for (int micro = 0; !err && micro < r->micro_batches; micro++) err = run_step(r, step, micro);
    return err;
}

/* Median seconds of a run of the graph over about `budget` seconds; negative: failed. The first runs, which touch the memory for the first
 * time, count neither for it nor for the profile. */
static double median_seconds(run *r, double budget, bool profile)
{
    static double seconds[MOST_STEPS];
    int n = 0;
    const double end = terminal_clock() + budget;
    while (n < MOST_STEPS && (n < WARM_STEPS + FEWEST_STEPS || terminal_clock() < end) && !signals_received()) {
        if (n == WARM_STEPS) ag_graph_profile(r->graph, profile);
        const double begin = terminal_clock();
        if (once(r, n)) return -1;
        seconds[n++] = terminal_clock() - begin;
    }
    if (n <= WARM_STEPS) return -1;
    qsort(seconds + WARM_STEPS, (size_t)(n - WARM_STEPS), sizeof *seconds, by_value);
    return seconds[WARM_STEPS + (n - WARM_STEPS) / 2];
}

/* Smooth pictures that differ. */
static void fill_pixels(const run *r)
{
    uint8_t *p = ag_data(r->pixels);
    const int64_t n = ag_numel(r->pixels), each = n / ag_dim(r->pixels, 0), row = each / ag_dim(r->pixels, 1);
    for (int64_t i = 0; i < n; i++) p[i] = (uint8_t)(i / each * 37 + i % each / row * 3 + i * 7 % 50);
}

static ag_err build_run(run **out, const subject *s, nn_params *params, run_mode mode, int64_t batch,
                        ag_plan_report *plan)
{
    const struct train_options *o = s->options;
    const run_options build = {
        .mode = mode, .batch = batch, .image = s->image, .variance = 0.06, .seed = (uint64_t)o->seed};
    const ag_err err = run_new(out, s->recipe, s->options, params, &build);
    return err ? err : run_plan_report(*out, s->memory, plan);
}

static ag_err open_run(run **out, const subject *s, nn_params *params, run_mode mode, int64_t batch,
                       ag_plan_report *plan)
{
    ag_err err = build_run(out, s, params, mode, batch, plan);
    if (!err && !(err = run_plan(*out, s->memory))) fill_pixels(*out);
    return err;
}

/* Before anything is allocated: is there the memory to train? */
static ag_err check_memory(const subject *s)
{
    const struct train_options *o = s->options;
    run *r = NULL;
    ag_plan_report plan;
    nn_params *outline = nn_params_outline();
    ag_err err =
        outline ? build_run(&r, s, outline, RUN_TRAIN, o->batch, &plan) : ag_fail(AG_ERR_MEMORY, "no memory to plan");
    if (err)
        ag_fail_context(err, "%s, preset %s%s", s->recipe->name, s->preset,
                        err == AG_ERR_MEMORY ? ", in the memory that is free" : "");
    run_free(r);
    nn_params_free(outline);
    return err;
}

/* Values that gradients train, by the first part of their names. */
static cJSON *count_parameters(nn_params *params)
{
    cJSON *parts = cJSON_CreateObject();
    for (int i = 0; i < nn_params_count(params); i++) {
        const nn_param *p = nn_params_at(params, i);
        char part[128];
        if (p->kind != NN_PARAMETER) continue;
        snprintf(part, sizeof part, "%.*s", (int)strcspn(p->name, "."), p->name);
        cJSON *sum = cJSON_GetObjectItemCaseSensitive(parts, part);
        if (sum)
            cJSON_SetNumberValue(sum, sum->valuedouble + (double)p->numel);
        else
            cJSON_AddNumberToObject(parts, part, (double)p->numel);
    }
    return parts;
}

static ag_err measure_training(const subject *s, const arguments *a, nn_params *params, result *out)
{
    const struct train_options *o = s->options;
    run *r = NULL;
    ag_plan_report plan;
    memory_reset_peak();
    const double begin = terminal_clock();
    ag_err err = open_run(&r, s, params, RUN_TRAIN, o->batch, &plan);
    if (err) goto out;
    out->start_seconds = terminal_clock() - begin;
    out->memory = plan.arena_bytes + plan.state_bytes + plan.input_bytes;
    out->recomputed = plan.recomputed;
    const double seconds = median_seconds(r, (double)a->seconds, a->profile > 0);
    if (a->profile > 0) {
        ag_graph_profile_print(r->graph, (int)a->profile, &s->machine, stderr);
        ag_graph_profile(r->graph, false);
    }
    if (seconds < 0) goto failed;
    out->peak = memory_peak();
    if (a->json) out->parameters = count_parameters(params);
    out->batch = o->batch;
    out->steps = o->steps;
    out->images_per_s = (double)(o->batch * r->micro_batches) / seconds;
    out->gflops = ag_graph_flops(r->graph) * r->micro_batches / seconds * 1e-9;
    out->hours = seconds * (double)o->steps / 3600;
    if (s->machine.threads > 1) {
        ag_cpu_set_threads(1);
        const double alone = median_seconds(r, (double)a->seconds, false);
        ag_cpu_set_threads(s->machine.threads);
        if (alone < 0) goto failed;
        out->one_thread = (double)(o->batch * r->micro_batches) / alone;
    }
    goto out;
failed:
    err = ag_fail_context(AG_ERR_FAILED, "%s, preset %s: the step failed", s->recipe->name, s->preset);
out:
    run_free(r);
    return err;
}

static ag_err measure_encoding(const subject *s, const arguments *a, nn_params *params, result *out)
{
    run *r = NULL;
    ag_plan_report plan;
    const int64_t batch = images_batch(&s->image);
    if (!s->recipe->decode || !recipe_grids(s->recipe, s->options, &s->image)) return AG_OK;
    ag_err err = open_run(&r, s, params, RUN_ENCODE, batch, &plan);
    if (!err) {
        const double seconds = median_seconds(r, (double)a->seconds / 2, false);
        if (seconds < 0)
            err = ag_fail_context(AG_ERR_FAILED, "%s, preset %s: encoding failed", s->recipe->name, s->preset);
        else
            out->encode_per_s = (double)batch / seconds;
    }
    run_free(r);
    return err;
}

static ag_err measure(const subject *s, const arguments *a, result *out)
{
    ag_err err = s->recipe->check(s->options, &s->image);
    *out = (result){0};
    if (!err) err = check_memory(s);
    if (err) return err;
    nn_params *params = nn_params_new(1);
    if (!params) return ag_fail(AG_ERR_MEMORY, "no memory for parameters");
    if (!(err = measure_training(s, a, params, out))) err = measure_encoding(s, a, params, out);
    nn_params_free(params);
    return err;
}

/* ---- saying --------------------------------------------------------------------------------------------------------------- */

static void say_machine(const ag_machine *m)
{
    printf("%s\nkernels %s, threads %d\n\n", ag_cpu_model(), ag_cpu_kernels(), m->threads);
    printf("%-34s %10s %10s\n", "limits", "one thread", "all");
    printf("%-34s %10.1f %10.1f\n", "multiply-adds in fp32, GFLOP/s", m->gflops_one, m->gflops);
    if (m->gflops_bf16 > 0)
        printf("%-34s %10.1f %10.1f\n", "multiply-adds in bf16, GFLOP/s", m->gflops_bf16_one, m->gflops_bf16);
    printf("%-34s %10.1f %10.1f\n\n", "memory, y = a + b / 2, GB/s", m->gbs_one, m->gbs);
}

static void say_heading(void)
{
    printf("%-13s %-10s %-10s %6s %9s %8s %7s %8s %9s %9s %7s %8s\n", "recipe", "preset", "image", "batch", "images/s",
           "GFLOP/s", "of peak", "threads", "encode/s", "MiB", "start s", "hours");
}

/* The start of a line: what was measured, or was not. */
static void say_subject(const subject *s)
{
    char image[32];
    snprintf(image, sizeof image, "%lldx%lldx%lld", (long long)s->image.width, (long long)s->image.height,
             (long long)s->image.channels);
    printf("%-13s %-10s %-10s ", s->recipe->name, s->preset, image);
}

static void say_error(const subject *s)
{
    say_subject(s);
    printf("not measured: %s\n", ag_error_message());
    fflush(stdout);
}

static void say(const subject *s, const result *r)
{
    char threads[16] = "-", encode[24] = "-";
    say_subject(s);
    if (r->one_thread > 0) snprintf(threads, sizeof threads, "x%.2f", r->images_per_s / r->one_thread);
    if (r->encode_per_s > 0) snprintf(encode, sizeof encode, "%.0f", r->encode_per_s);
    printf("%6lld %9.1f %8.1f %6.0f%% %8s %9s %9.1f %7.3f %8.2f%s\n", (long long)r->batch, r->images_per_s, r->gflops,
           100 * r->gflops / s->machine.gflops, threads, encode, (double)r->memory / 0x1p20, r->start_seconds, r->hours,
           r->recomputed ? "  (marked blocks computed twice, for lack of memory)" : "");
    fflush(stdout);
}

static cJSON *json_machine(const ag_machine *m)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "cpu", ag_cpu_model());
    cJSON_AddStringToObject(j, "kernels", ag_cpu_kernels());
    cJSON_AddNumberToObject(j, "threads", m->threads);
    cJSON_AddNumberToObject(j, "gflops", m->gflops);
    cJSON_AddNumberToObject(j, "gflops_one_thread", m->gflops_one);
    if (m->gflops_bf16 > 0) {
        cJSON_AddNumberToObject(j, "gflops_bf16", m->gflops_bf16);
        cJSON_AddNumberToObject(j, "gflops_bf16_one_thread", m->gflops_bf16_one);
    }
    cJSON_AddNumberToObject(j, "gb_per_s", m->gbs);
    cJSON_AddNumberToObject(j, "gb_per_s_one_thread", m->gbs_one);
    return j;
}

static cJSON *json_subject(const subject *s)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "recipe", s->recipe->name);
    cJSON_AddStringToObject(j, "preset", s->preset);
    cJSON_AddNumberToObject(j, "height", (double)s->image.height);
    cJSON_AddNumberToObject(j, "width", (double)s->image.width);
    cJSON_AddNumberToObject(j, "channels", (double)s->image.channels);
    return j;
}

static cJSON *json_error(const subject *s)
{
    cJSON *j = json_subject(s);
    cJSON_AddStringToObject(j, "error", ag_error_message());
    return j;
}

static cJSON *json_result(const subject *s, const result *r)
{
    cJSON *j = json_subject(s);
    cJSON_AddNumberToObject(j, "batch", (double)r->batch);
    cJSON_AddNumberToObject(j, "images_per_s", r->images_per_s);
    cJSON_AddNumberToObject(j, "gflops", r->gflops);
    cJSON_AddNumberToObject(j, "share_of_peak", r->gflops / s->machine.gflops);
    if (r->one_thread > 0) cJSON_AddNumberToObject(j, "images_per_s_one_thread", r->one_thread);
    if (r->encode_per_s > 0) cJSON_AddNumberToObject(j, "encode_images_per_s", r->encode_per_s);
    cJSON_AddNumberToObject(j, "memory_bytes", (double)r->memory);
    if (r->recomputed) cJSON_AddNumberToObject(j, "recomputed", (double)r->recomputed);
    if (r->peak) cJSON_AddNumberToObject(j, "peak_rss_bytes", (double)r->peak);
    cJSON_AddItemToObject(j, "parameters", cJSON_Duplicate(r->parameters, true));
    cJSON_AddNumberToObject(j, "start_seconds", r->start_seconds);
    cJSON_AddNumberToObject(j, "steps", (double)r->steps);
    cJSON_AddNumberToObject(j, "hours", r->hours);
    return j;
}

/* ---- the command ------------------------------------------------------------------------------------------------------- */

static ag_err resolve(subject *s, const arguments *a, const recipe_preset *preset)
{
    ag_err err = AG_OK;
    int height = preset ? preset->image : 32, width = height;
    if (a->size && (err = command_image_size(a->size, &height, &width))) return err;
    s->preset = preset ? preset->name : "defaults";
    s->image = (image_shape){.height = height, .width = width, .channels = a->channels};
    if (preset) err = recipe_preset_apply(s->recipe, s->options, preset->name);
    for (int i = 0; !err && i < a->sets.n; i++)
        err = option_assign(s->recipe->options, s->options, a->sets.items[i], "--set");
    return err ? err : train_options_check(s->options);
}

/* `preset` NULL: the recipe has none. `alone`: no other recipe is asked for, so what cannot be measured is an error; else it is a line
 * of the table, and the table goes on. */
static ag_err bench_one(const recipe *card, const recipe_preset *preset, bool alone, const arguments *a,
                        const ag_machine *m, cJSON *list)
{
    subject s = {.recipe = card, .options = recipe_options_new(card), .machine = *m, .memory = memory_available()};
    result r = {0};
    ag_err err = s.options ? resolve(&s, a, preset) : ag_fail(AG_ERR_MEMORY, "no memory for options");
    if (err) goto out;
    err = measure(&s, a, &r);
    const bool told = err && !alone && !signals_received();
    if (list && (told || !err))
        cJSON_AddItemToArray(list, told ? json_error(&s) : json_result(&s, &r));
    else if (told)
        say_error(&s);
    else if (!err)
        say(&s, &r);
    if (told) err = AG_OK;
out:
    cJSON_Delete(r.parameters);
    free(s.options);
    return err;
}

/* What a recipe is measured at if no preset is asked for: something that fits most machines. */
static const recipe_preset *usual_preset(const recipe *card)
{
    static const char *const usual[] = {"cifar10", "photos64"};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        for (const recipe_preset *p = card->presets; p->name; p++)
            if (!strcmp(p->name, usual[i])) return p;
    return card->presets->name ? card->presets : NULL;
}

static ag_err bench_all(const char *name, const arguments *a, const ag_machine *m, cJSON *list)
{
    const recipe *card;
    ag_err err = AG_OK;
    if (name) {
        if ((err = recipe_get(&card, name))) return err;
        const recipe_preset *preset = usual_preset(card);
        if (a->preset && (err = recipe_preset_find(&preset, card, a->preset))) return err;
        return bench_one(card, preset, true, a, m, list);
    }
    for (int i = 0; !err && (card = recipe_at(i)) && !signals_received(); i++)
        err = bench_one(card, usual_preset(card), false, a, m, list);
    return err;
}

static int run_bench(const char *name, const arguments *a)
{
    ag_machine m;
    cJSON *out = a->json ? cJSON_CreateObject() : NULL, *list = a->json ? cJSON_CreateArray() : NULL;
    ag_err err = ag_machine_measure(&m);
    if (!err && !a->json) {
        say_machine(&m);
        say_heading();
    }
    if (!err) err = bench_all(name, a, &m, list);
    if (!err && a->json) {
        cJSON_AddItemToObject(out, "machine", json_machine(&m));
        cJSON_AddItemToObject(out, "recipes", list);
        list = NULL;
        err = command_print_json(out);
    }
    cJSON_Delete(list);
    cJSON_Delete(out);
    return command_end(err);
}

int command_bench(const command *c, int argc, char **argv)
{
    arguments a = {.channels = 3, .seconds = 4};
    const command_flag flags[] = {
        {"preset", 'p', FLAG_TEXT, &a.preset, "NAME",
         "a set of options of the recipe (default: cifar10, else photos64, else its first)", 0, 0},
        {"set", 's', FLAG_LIST, &a.sets, "KEY=VALUE", "one option; may be given more than once", 0, 0},
        {"size", 0, FLAG_TEXT, &a.size, "N|WxH", "pixels of an image (default: what the preset is meant for)", 0, 0},
        {"channels", 0, FLAG_INT, &a.channels, "N", "channels of an image (default 3)", 1, 64},
        {"seconds", 0, FLAG_INT, &a.seconds, "N", "to measure each (default 4)", 1, 3600},
        {"profile", 0, FLAG_INT, &a.profile, "N",
         "print time and share of the limit per operation and per scope of N name parts", 1, 8},
        {"json", 0, FLAG_ON, &a.json, NULL, "one JSON object", 0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    int status;
    if (!err && !done && n > 1) err = command_words(c, n, 1);
    if (!err && !done && !n && (a.preset || a.sets.n))
        err = ag_fail(AG_ERR_USAGE, "bench: --preset and --set are a recipe's; name it: tessera bench RECIPE ...");
    status = err || done ? command_end(err) : run_bench(n ? words[0] : NULL, &a);
    free(a.sets.items);
    return status;
}
