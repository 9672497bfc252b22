/* tessera report RUN */
#include <sys/stat.h>

#include "command.h"
#include "model.h"
#include "report.h"
#include "sweep.h"
#include "terminal.h"

/* Figures and codebook use over the data that the run names, or that the user gives. */
static ag_err measure(model_view *v, const char *data, const char *split_name, evaluation *e, char *on, size_t size)
{
    ag_err err = model_view_open(v, data, split_name, RUN_RECONSTRUCT);
    if (!err) err = evaluate(e, v->run, v->set, v->n, v->indices, v->model->variance, "evaluating");
    terminal_end_live();
    snprintf(on, size, "%s, split %s: %lld images, at step %lld", data, images_split_name(v->split), (long long)v->n,
             (long long)v->model->step);
    return err;
}

/* The table of a sweep. */
static ag_err run_sweep_report(const char *folder, const char *data, const char *split)
{
    sweep s;
    ag_err err = sweep_read(&s, folder);
    if (err) return err;
    err = sweep_table(&s, folder, data, split);
    sweep_free(&s);
    return err;
}

static ag_err run_report(const char *folder, const char *data, const char *split)
{
    model_view v = {0};
    evaluation e = {0};
    struct stat st;
    char on[512];
    ag_err err = model_open(&v.model, folder);
    if (err) return err;
    const cJSON *saved = cJSON_GetObjectItemCaseSensitive(v.model->state, "data");
    if (!data && cJSON_IsString(saved) && !stat(saved->valuestring, &st)) data = saved->valuestring;
    if (!data) terminal_line("%s: its data is not where it was; give --data for figures and codebook use", folder);
    if (data) err = measure(&v, data, split, &e, on, sizeof on);
    if (!err) err = report_write(folder, data ? &e : NULL, on);
    if (!err) terminal_line("%s/report.html", folder);
    evaluation_free(&e);
    model_view_close(&v);
    return err;
}

int command_report(const command *c, int argc, char **argv)
{
    const char *data = NULL, *split = NULL;
    const command_flag flags[] = {
        {"data", 'd', FLAG_TEXT, &data, "DATA.h5", "the images to measure on (default: those of the run)", 0, 0},
        {"split", 0, FLAG_TEXT, &split, "NAME",
         "train, validation, test or all (default: test, else validation, else train)", 0, 0},
        {0},
    };
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if ((err = command_words(c, n, 1))) return command_end(err);
    return command_end(sweep_exists(words[0]) ? run_sweep_report(words[0], data, split)
                                              : run_report(words[0], data, split));
}
