/* tessera report RUN */
#include <sys/stat.h>

#include "command.h"
#include "model.h"
#include "report.h"
#include "sweep.h"
#include "terminal.h"

/* Figures and codebook use over the data that the run names, or that the user gives. */
static ag_err measure(model *m, const char *data, const char *split_name, evaluation *e, char *on, size_t size)
{
    data_set *set = NULL;
    run *r = NULL;
    data_split split;
    const int64_t *indices;
    int64_t n;
    ag_err err = data_set_open(&set, data, NULL);
    if (err || (err = images_split(set, split_name, &split, &indices, &n))) goto out;
    const image_shape shape = images_shape(set);
    if ((err = model_run(&r, m, RUN_RECONSTRUCT, &shape))) goto out;
    err = evaluate(e, r, set, n, indices, m->variance, "evaluating");
    snprintf(on, size, "%s, split %s: %lld images, at step %lld", data, images_split_name(split), (long long)n,
             (long long)m->step);
out:
    terminal_end_live();
    run_free(r);
    data_set_close(set);
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
    model *m = NULL;
    evaluation e = {0};
    struct stat st;
    char on[512];
    ag_err err = model_open(&m, folder);
    if (err) return err;
    const cJSON *saved = cJSON_GetObjectItemCaseSensitive(m->state, "data");
    if (!data && cJSON_IsString(saved) && !stat(saved->valuestring, &st)) data = saved->valuestring;
    if (!data) terminal_line("%s: its data is not where it was; give --data for figures and codebook use", folder);
    if (data) err = measure(m, data, split, &e, on, sizeof on);
    if (!err) err = report_write(folder, data ? &e : NULL, on);
    if (!err) terminal_line("%s/report.html", folder);
    evaluation_free(&e);
    model_close(m);
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
