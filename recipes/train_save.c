/* What a training run leaves behind while it goes on: checkpoints, evaluations, sample grids; and how it goes on from one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/json.h"
#include "data/picture.h"
#include "grids.h"
#include "report.h"
#include "signals.h"
#include "terminal.h"
#include "trainer.h"

/* ---- checkpoints ------------------------------------------------------------------------------------------------------- */

static void add_image(cJSON *state, const trainer *t)
{
    cJSON *image = cJSON_AddObjectToObject(state, "image");
    cJSON_AddNumberToObject(image, "height", (double)t->image.height);
    cJSON_AddNumberToObject(image, "width", (double)t->image.width);
    cJSON_AddNumberToObject(image, "channels", (double)t->image.channels);
    cJSON *range = cJSON_AddObjectToObject(state, "range");
    cJSON_AddNumberToObject(range, "scale", t->config->recipe->scale);
    cJSON_AddNumberToObject(range, "shift", t->config->recipe->shift);
}

static void add_machine(cJSON *state)
{
    cJSON *o = cJSON_AddObjectToObject(state, "machine");
    cJSON_AddStringToObject(o, "cpu", ag_cpu_model());
    cJSON_AddStringToObject(o, "kernels", ag_cpu_kernels());
    cJSON_AddNumberToObject(o, "threads", ag_cpu_threads());
}

/* All that is needed to go on and is no tensor. Random numbers and the order of images are functions of seed, step and
 * position, so these three are the whole random state. */
static char *state_text(const trainer *t)
{
    cJSON *state = cJSON_CreateObject();
    cJSON_AddStringToObject(state, "recipe", t->config->recipe->name);
    cJSON_AddStringToObject(state, "version", TESSERA_VERSION);
    cJSON_AddNumberToObject(state, "step", (double)t->step);
    cJSON_AddNumberToObject(state, "position", (double)data_loader_position(t->loader));
    cJSON_AddNumberToObject(state, "epoch", data_loader_epoch(t->loader));
    cJSON_AddStringToObject(state, "random", "philox4x32-10 keyed by seed, step, node, element");
    cJSON_AddStringToObject(state, "data", t->config->data);
    cJSON_AddStringToObject(state, "data_fingerprint", t->fingerprint);
    option_add_real(state, "mean", t->mean);
    option_add_real(state, "variance", t->variance);
    cJSON_AddNumberToObject(state, "eval_step", (double)t->eval_step);
    cJSON_AddNumberToObject(state, "samples_step", (double)t->samples_step);
    cJSON_AddNumberToObject(state, "good_step", (double)t->good_step);
    cJSON *rollbacks = cJSON_AddArrayToObject(state, "rollbacks");
    for (int i = 0; i < t->n_rollbacks; i++)
        cJSON_AddItemToArray(rollbacks, cJSON_CreateNumber((double)t->rollbacks[i]));
    if (t->best_step >= 0) {
        option_add_real(state, "best_nmse", t->best);
        cJSON_AddNumberToObject(state, "best_step", (double)t->best_step);
    }
    add_image(state, t);
    add_machine(state);
    cJSON_AddItemToObject(state, "options", option_to_json(t->config->recipe->options, t->config->options));
    char *text = cJSON_Print(state);
    cJSON_Delete(state);
    return text;
}

static ag_err save_as(trainer *t, ckpt_run_file file)
{
    ag_err err = train_check_weights(t);
    char *text = err ? NULL : state_text(t);
    if (!err)
        err = text ? ckpt_save_params(ckpt_run_path(t->folder, file), t->params, text)
                   : ag_fail(AG_ERR_MEMORY, "%s: no memory to save", t->config->out);
    cJSON_free(text);
    return err;
}

/* Checkpoints at multiples of save_every (all, if it is 0) are those that a run goes back to when it diverges, so that where it goes
 * does not depend on when it was stopped. One in between replaces checkpoint.h5 too, and the other stays as rollback.h5. */
ag_err train_save(trainer *t)
{
    const bool planned = !t->o->save_every || t->step % t->o->save_every == 0;
    const int64_t good = t->good_step;
    if (planned || (t->saved_step == good && !train_keep_good(t))) t->good_step = t->step;
    const ag_err err = save_as(t, CKPT_RUN_CHECKPOINT);
    if (err) {
        t->good_step = good;
        return err;
    }
    t->saved_step = t->step;
    t->saved_at = terminal_clock();
    return ckpt_log_sync(t->log);
}

/* ---- going on -------------------------------------------------------------------------------------------------------------- */

/* Options that may differ when a run goes on: they do not touch the weights of the steps already made. */
static bool may_change(const char *name)
{
    static const char *const names[] = {"steps",      "log_every",    "eval_every",    "eval_images",
                                        "save_every", "save_minutes", "samples_every", "perceptual_weights"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

static ag_err check_options(const trainer *t, const cJSON *saved, const char *path)
{
    const recipe *r = t->config->recipe;
    const option *o;
    char mine[256], theirs[256];
    void *options = recipe_options_new(r);
    ag_err err =
        options ? option_from_json(r->options, options, saved, path) : ag_fail(AG_ERR_MEMORY, "%s: no memory", path);
    if (err == AG_ERR_USAGE) err = ag_fail_context(AG_ERR_CHECKPOINT, "options in the checkpoint");
    for (int i = 0; !err && (o = option_at(r->options, i)); i++) {
        option_value_text(o, t->config->options, mine, sizeof mine);
        option_value_text(o, options, theirs, sizeof theirs);
        if (!strcmp(mine, theirs) || may_change(o->name)) continue;
        err = ag_fail(AG_ERR_USAGE,
                      "--resume: %s=%s, but the run in %s was started with %s; only steps and the *_every options may "
                      "change; start a new run with --config %s/run.json",
                      o->name, mine, t->config->out, theirs, t->config->out);
    }
    free(options);
    return err;
}

static ag_err check_state(const trainer *t, const cJSON *state, const char *path)
{
    const cJSON *recipe_name = cJSON_GetObjectItemCaseSensitive(state, "recipe");
    const cJSON *print = cJSON_GetObjectItemCaseSensitive(state, "data_fingerprint");
    if (!cJSON_IsString(recipe_name) || strcmp(recipe_name->valuestring, t->config->recipe->name))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: of recipe '%.64s', not '%s'; resume it with that recipe", path,
                       cJSON_IsString(recipe_name) ? recipe_name->valuestring : "?", t->config->recipe->name);
    if (!cJSON_IsString(print) || strcmp(print->valuestring, t->fingerprint))
        return ag_fail(AG_ERR_DATA,
                       "%s: not the data that the run in %s was started with; give that file with --data, or start a "
                       "new run",
                       t->config->data, t->config->out);
    return check_options(t, cJSON_GetObjectItemCaseSensitive(state, "options"), path);
}

static double number(const cJSON *state, const char *key, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(state, key);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

/* What evaluations and samples left behind at the step of a state. */
static void read_progress(trainer *t, const cJSON *state)
{
    t->step = (int64_t)number(state, "step", -1);
    t->best = number(state, "best_nmse", INFINITY);
    t->best_step = (int64_t)number(state, "best_step", -1);
    t->eval_step = (int64_t)number(state, "eval_step", -1);
    t->samples_step = (int64_t)number(state, "samples_step", -1);
}

static void read_rollbacks(trainer *t, const cJSON *state)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(state, "rollbacks"), *item;
    t->good_step = (int64_t)number(state, "good_step", -1);
    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsNumber(item) && t->n_rollbacks < TRAIN_ROLLBACKS)
            t->rollbacks[t->n_rollbacks++] = (int64_t)item->valuedouble;
    }
}

static ag_err read_state(const char *path, cJSON **state)
{
    char *text = NULL;
    ag_err err = ckpt_read_state(path, &text);
    if (!err) err = ckpt_json_parse(state, text, strlen(text), path, AG_ERR_CHECKPOINT);
    free(text);
    return err;
}

ag_err train_load_progress(trainer *t, const char *path, int64_t step)
{
    cJSON *state = NULL;
    ag_err err = read_state(path, &state);
    if (!err && (int64_t)number(state, "step", -1) != step)
        err = ag_fail(AG_ERR_CHECKPOINT, "%s: of another step than %lld, the one to go back to", path, (long long)step);
    if (!err) err = ckpt_load_params(path, t->params, CKPT_TRAINING);
    if (!err) read_progress(t, state);
    cJSON_Delete(state);
    return err;
}

ag_err train_load_state(trainer *t, int64_t *position)
{
    char *path = NULL;
    cJSON *state = NULL;
    ag_err err;
    if (asprintf(&path, "%s/checkpoint.h5", t->config->out) < 0)
        return ag_fail(AG_ERR_MEMORY, "%s: no memory", t->config->out);
    if ((err = read_state(path, &state))) goto out;
    if ((err = check_state(t, state, path))) goto out;
    read_progress(t, state);
    read_rollbacks(t, state);
    *position = (int64_t)number(state, "position", -1);
    t->mean = number(state, "mean", 0);
    t->variance = number(state, "variance", 0);
    if (t->step < 0 || *position < 0 || !(t->variance > 0))
        err = ag_fail(AG_ERR_CHECKPOINT, "%s: its state lacks step, position or variance; it cannot be resumed", path);
    else if (t->step >= t->o->steps)
        err = ag_fail(AG_ERR_USAGE, "%s: the run has made its %lld steps; give more with --steps", t->config->out,
                      (long long)t->step);
    t->saved_step = t->step;
out:
    cJSON_Delete(state);
    free(path);
    return err;
}

ag_err train_load_weights(trainer *t)
{
    char *path = NULL;
    if (asprintf(&path, "%s/checkpoint.h5", t->config->out) < 0)
        return ag_fail(AG_ERR_MEMORY, "%s: no memory", t->config->out);
    const ag_err err = ckpt_load_params(path, t->params, CKPT_TRAINING);
    if (!err) terminal_line("resuming at step %lld", (long long)t->step);
    free(path);
    return err;
}

/* A word for a POSIX shell: as it is if harmless, else in single quotes. */
static size_t shell_word(char *out, size_t size, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/=,+:@%";
    size_t n = 0;
#define PUT(c) (n + 1 < size ? (void)(out[n++] = (c)) : (void)0)
    const bool plain = *word && !word[strspn(word, safe)];
    if (!plain) PUT('\'');
    for (const char *p = word; *p; p++) {
        if (*p == '\'') { PUT('\''), PUT('\\'), PUT('\''); }
        PUT(*p);
    }
    if (!plain) PUT('\'');
#undef PUT
    if (size) out[n] = 0;
    return n;
}

void train_resume_command(const trainer *t, char *out, size_t size)
{
    const char *const words[] = {t->config->argv[0], "train", t->config->recipe->name, "--data",
                                 t->config->data,    "-o",    t->config->out,          "--resume"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words && n + 2 < size; i++) {
        if (i) out[n++] = ' ';
        n += shell_word(out + n, size - n, words[i]);
    }
}

/* ---- evaluations and samples ---------------------------------------------------------------------------------------------- */

static ag_err evaluate_as_it_is(trainer *t, evaluation *e)
{
    return evaluate(e, t->eval, t->eval_set, t->eval_count, t->eval_indices, t->variance, "evaluating");
}

/* With the averages of the weights, if there are any. */
static ag_err evaluate_averages(trainer *t, evaluation *e)
{
    opt_average_swap(t->params);
    const ag_err err = evaluate_as_it_is(t, e);
    opt_average_swap(t->params);
    return err;
}

ag_err train_evaluate(trainer *t)
{
    const bool averages = t->o->average > 0;
    evaluation raw = {0};
    evaluation_free(&t->last);
    ag_err err = averages ? evaluate_as_it_is(t, &raw) : AG_OK;
    if (!err) err = evaluate_averages(t, &t->last);
    if (err && signals_received()) { /* the loop saves and stops; the figures of a part say nothing */
        evaluation_free(&t->last);
        t->last = (evaluation){0};
        err = AG_OK;
        goto out;
    }
    t->eval_step = t->step;
    if (!err) err = train_log_evaluation(t, &t->last, averages ? &raw : NULL);
    if (!err) train_back_off(t, t->last.nmse);
    if (err || !(t->last.nmse < t->best)) goto out;
    t->best = t->last.nmse;
    t->best_step = t->step;
    err = save_as(t, CKPT_RUN_BEST);
out:
    evaluation_free(&raw);
    return err;
}

ag_err train_report(trainer *t)
{
    char on[128];
    snprintf(on, sizeof on, "split %s: %lld images, during training", images_split_name(t->eval_split),
             (long long)t->last.images);
    return report_write(t->config->out, t->last.images ? &t->last : NULL, on);
}

ag_err train_samples(trainer *t)
{
    const size_t bytes = (size_t)(t->sample_count * images_values(&t->image));
    uint8_t *pixels = malloc(2 * bytes);
    data_picture grid = {0};
    char *path = NULL;
    ag_err err = AG_OK;
    if (!pixels || !(path = ckpt_run_sample_path(t->folder, "recon", t->step))) {
        err = ag_fail(AG_ERR_MEMORY, "no memory for samples");
        goto out;
    }
    opt_average_swap(t->params);
    err = evaluate_pixels(t->eval, t->eval_set, t->sample_count, t->sample_indices, pixels, pixels + bytes);
    opt_average_swap(t->params);
    if (err) {
        if (signals_received()) err = AG_OK;
        goto out;
    }
    t->samples_step = t->step;
    if ((err = grids_pairs(&grid, &t->image, t->sample_count, pixels, pixels + bytes))) goto out;
    if ((err = data_picture_write_png(path, &grid))) goto out;
    err = train_record_samples(t, &grid);
out:
    data_picture_free(&grid);
    free(path);
    free(pixels);
    return err;
}
