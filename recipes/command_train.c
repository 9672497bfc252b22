/* tessera train RECIPE --data DATA.h5 -o RUN */
#include <stdlib.h>
#include <string.h>

#include "checkpoints/run.h"
#include "command.h"
#include "model.h"
#include "option_readers.h"
#include "terminal.h"
#include "train.h"

typedef struct arguments {
    const char *data, *out, *preset, *config, *memory, *print_graph, *init_from, *precision;
    command_list sets;
    int64_t steps, seed, profile;
    bool resume, anomaly;
} arguments;

/* A run.json or a plain object of options. */
static ag_err apply_config(const recipe *r, void *options, const char *path)
{
    cJSON *json = NULL;
    ag_err err = ckpt_json_read(&json, path, AG_ERR_USAGE);
    if (err) return err;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "recipe");
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(json, "options");
    if (cJSON_IsString(name) && strcmp(name->valuestring, r->name))
        err = ag_fail(AG_ERR_USAGE, "%s: options of recipe '%.64s', not of '%s'", path, name->valuestring, r->name);
    else
        err = option_from_json(r->options, options, cJSON_IsObject(inner) ? inner : json, path);
    cJSON_Delete(json);
    return err;
}

/* --steps, --seed and --precision are short for --set. */
static ag_err apply_short(const recipe *r, void *options, const arguments *a)
{
    char text[32];
    ag_err err = AG_OK;
    if (a->steps >= 0) {
        snprintf(text, sizeof text, "%lld", (long long)a->steps);
        err = option_set(r->options, options, "steps", text, "--steps");
    }
    if (!err && a->seed >= 0) {
        snprintf(text, sizeof text, "%lld", (long long)a->seed);
        err = option_set(r->options, options, "seed", text, "--seed");
    }
    if (!err && a->precision) err = option_set(r->options, options, "precision", a->precision, "--precision");
    return err;
}

/* defaults (or, when resuming, the options of the run) < preset < config < set < steps, seed, precision. */
static ag_err resolve(const recipe *r, void *options, const arguments *a)
{
    ag_err err = AG_OK;
    if (a->preset) err = recipe_preset_apply(r, options, a->preset);
    if (!err && a->config) err = apply_config(r, options, a->config);
    for (int i = 0; !err && i < a->sets.n; i++) err = option_assign(r->options, options, a->sets.items[i], "--set");
    return err ? err : apply_short(r, options, a);
}

/* Is the option among what --set sets? */
static bool is_set(const arguments *a, const char *name)
{
    const size_t n = strlen(name);
    for (int i = 0; i < a->sets.n; i++)
        if (!strncmp(a->sets.items[i], name, n) && a->sets.items[i][n] == '=') return true;
    return false;
}

/* Options of --set that have no effect; one that asks for the default asks for nothing. */
static void say_unread(const recipe *r, const void *options, const arguments *a)
{
    char value[512], usual[512], chosen[64];
    const option *o, *by;
    for (int i = 0; (o = option_at(r->options, i)); i++) {
        if (!is_set(a, o->name) || !(by = option_unread_by(r->options, options, o->name))) continue;
        option_value_text(o, options, value, sizeof value);
        option_value_text(o, r->defaults, usual, sizeof usual);
        if (!strcmp(value, usual)) continue;
        option_value_text(by, options, chosen, sizeof chosen);
        terminal_line("tessera: %s=%s: %s=%s does not read it", o->name, value, by->name, chosen);
    }
}

/* A new run must not run over an old one. */
static ag_err check_folder(const char *out)
{
    if (!ckpt_run_exists(out)) return AG_OK;
    return ag_fail(AG_ERR_USAGE, "%s: holds a run already; go on with it by --resume, or choose another -o", out);
}

/* Options and data of the run that is resumed. */
static ag_err from_run(train_config *config, const arguments *a, char **data)
{
    model *m = NULL;
    ag_err err = model_open(&m, a->out);
    if (err) return err;
    if (strcmp(m->recipe->name, config->recipe->name)) {
        err = ag_fail(AG_ERR_CHECKPOINT, "%s: of recipe '%s', not '%s'; resume it with that recipe", m->path,
                      m->recipe->name, config->recipe->name);
    } else {
        memcpy(config->options, m->options, m->recipe->options_size);
        const cJSON *saved = cJSON_GetObjectItemCaseSensitive(m->state, "data");
        if (!a->data && cJSON_IsString(saved)) *data = strdup(saved->valuestring);
    }
    model_close(m);
    return err;
}

static int finish(ag_err err, int signal) { return err ? command_fail(err) : signal ? 128 + signal : 0; }

static int run_train(const command *c, const arguments *a, const char *name, int argc, char **argv)
{
    train_config config = {.out = a->out,
                           .resume = a->resume,
                           .init_from = a->init_from,
                           .anomaly = a->anomaly,
                           .profile = a->profile,
                           .print_graph = a->print_graph,
                           .argc = argc,
                           .argv = argv};
    char *data = NULL;
    int signal = 0;
    ag_err err = recipe_get(&config.recipe, name);
    if (err || (err = command_need(c, a->out, "-o RUN"))) goto out;
    if (!a->resume && (err = command_need(c, a->data, "--data DATA.h5"))) goto out;
    if (a->resume && a->init_from) {
        err = ag_fail(AG_ERR_USAGE, "--init-from: a run that is resumed has its weights; leave one of the two out");
        goto out;
    }
    if (a->memory && (err = command_size(a->memory, "--memory", &config.memory_limit))) goto out;
    if (!(config.options = recipe_options_new(config.recipe))) {
        err = ag_fail(AG_ERR_MEMORY, "no memory for options");
        goto out;
    }
    if ((err = a->resume ? from_run(&config, a, &data) : check_folder(a->out))) goto out;
    if ((err = resolve(config.recipe, config.options, a))) goto out;
    say_unread(config.recipe, config.options, a);
    config.data = a->data ? a->data : data;
    if ((err = command_need(c, config.data, "--data DATA.h5"))) goto out;
    err = train(&config, &signal);
out:
    free(config.options);
    free(data);
    return finish(err, signal);
}

int command_train(const command *c, int argc, char **argv)
{
    arguments a = {.steps = -1, .seed = -1};
    const int64_t most = INT64_C(9007199254740991);
    const command_flag flags[] = {
        {"data", 'd', FLAG_TEXT, &a.data, "DATA.h5", "the images", 0, 0},
        {"output", 'o', FLAG_TEXT, &a.out, "RUN", "folder of the run", 0, 0},
        {"preset", 'p', FLAG_TEXT, &a.preset, "NAME", "a set of options of the recipe", 0, 0},
        {"config", 'c', FLAG_TEXT, &a.config, "FILE.json", "options from a file; a run.json serves as it is", 0, 0},
        {"set", 's', FLAG_LIST, &a.sets, "KEY=VALUE", "one option; may be given more than once", 0, 0},
        {"steps", 0, FLAG_INT, &a.steps, "N", "short for --set steps=N", 1, INT64_C(1000000000000)},
        {"seed", 0, FLAG_INT, &a.seed, "N", "short for --set seed=N", 0, most},
        {"precision", 0, FLAG_TEXT, &a.precision, "fp32|bf16", "short for --set precision=", 0, 0},
        {"resume", 'r', FLAG_ON, &a.resume, NULL, "go on with the run in RUN, bit for bit", 0, 0},
        {"init-from", 0, FLAG_TEXT, &a.init_from, "RUN",
         "begin with the weights of another run, as far as names and shapes are the same; a codebook may be larger", 0,
         0},
        {"memory", 'm', FLAG_TEXT, &a.memory, "SIZE",
         "take no more (512M, 2G): compute marked blocks twice, or refuse and say what fits", 0, 0},
        {"anomaly", 0, FLAG_ON, &a.anomaly, NULL, "stop at the first value that is not finite and name its tensor", 0,
         0},
        {"profile", 0, FLAG_INT, &a.profile, "N", "print time per operation and scope after N steps", 1, most},
        {"print-graph", 0, FLAG_TEXT, &a.print_graph, "FILE", "write the graph as text (.txt) or for Graphviz (.dot)",
         0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    int status = 0;
    if (!err && !done) err = command_words(c, n, 1);
    if (err || done)
        status = command_end(err);
    else
        status = run_train(c, &a, words[0], argc, argv);
    free(a.sets.items);
    return status;
}
