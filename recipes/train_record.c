/* The folder of a run: run.json, metrics.jsonl, event files, samples. */
#include <stdlib.h>

#include "terminal.h"
#include "trainer.h"

static cJSON *configuration(const trainer *t)
{
    const ckpt_manifest_info info = {.argc = t->config->argc,
                                     .argv = t->config->argv,
                                     .seed = (uint64_t)t->o->seed,
                                     .data = t->config->data,
                                     .data_fingerprint = t->fingerprint};
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "recipe", t->config->recipe->name);
    cJSON_AddItemToObject(config, "options", option_to_json(t->config->recipe->options, t->config->options));
    cJSON_AddItemToObject(config, "manifest", ckpt_manifest(&info));
    return config;
}

static ag_err log_options(trainer *t, const cJSON *config)
{
    char *text = cJSON_Print(cJSON_GetObjectItemCaseSensitive(config, "options"));
    const ag_err err =
        text ? ckpt_log_text(t->log, "options", t->step, text) : ag_fail(AG_ERR_MEMORY, "no memory for options");
    cJSON_free(text);
    return err;
}

ag_err train_record_open(trainer *t)
{
    cJSON *config = configuration(t);
    ag_err err = config ? AG_OK : ag_fail(AG_ERR_MEMORY, "%s: no memory for its configuration", t->config->out);
    if (!err)
        err = t->config->resume ? ckpt_run_resume(&t->folder, t->config->out)
                                : ckpt_run_create(&t->folder, t->config->out, config);
    if (!err && t->config->resume) err = ckpt_run_set_config(t->folder, config);
    if (!err) err = ckpt_log_open(&t->log, t->folder, t->step);
    if (!err) err = log_options(t, config);
    if (!err && !ckpt_run_locked(t->folder))
        terminal_line("%s: this file system has no locks; do not train twice in it at once", t->config->out);
    cJSON_Delete(config);
    return err;
}

void train_record_close(trainer *t)
{
    ckpt_log_close(t->log);
    ckpt_run_close(t->folder);
}

ag_err train_record_figures(trainer *t, const char *split, const train_figures *f)
{
    const char *names[TRAIN_FIGURES];
    for (int i = 0; i < f->n; i++) names[i] = f->names[i];
    return ckpt_log_scalars(t->log, split, t->step, f->n, names, f->values);
}

ag_err train_record_samples(trainer *t, const data_picture *grid)
{
    uint8_t *png = NULL;
    size_t size;
    ag_err err = data_picture_encode_png(grid, &png, &size);
    if (!err) err = ckpt_log_image(t->log, "recon/grid", t->step, png, size);
    free(png);
    return err;
}
