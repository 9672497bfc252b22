/* When numbers stop being finite: what it was is named, and the run goes back to its last good checkpoint and on with other images. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"
#include "trainer.h"

enum { WITHIN = 1000 }; /* steps in which roll-backs are counted */

/* ---- what it was ------------------------------------------------------------------------------------------------------- */

/* The name of the first tensor of the model that is not finite, NULL if all are. */
static const char *bad_weight(const trainer *t)
{
    for (int i = 0; i < nn_params_count(t->params); i++) {
        const nn_param *p = nn_params_at(t->params, i);
        const real *data = p->data;
        real sum = 0;
        if (p->dtype != AG_REAL) continue;
        for (int64_t k = 0; k < p->numel; k++) sum += data[k] * 0; /* stays 0 unless one is not finite */
        if (sum != 0 || isnan(sum)) return p->name;
    }
    return NULL;
}

static ag_err diverged(trainer *t)
{
    return ag_fail(AG_ERR_DIVERGED,
                   "%s; the checkpoint of step %lld is kept: lower lr, set clip, or look with --anomaly", t->fault,
                   (long long)t->saved_step);
}

/* What a failed run of the graph says, without the step (the graph counts from 0). */
static const char *engine_message(void)
{
    const char *text = ag_error_message(), *colon = strncmp(text, "step ", 5) ? NULL : strstr(text, ": ");
    return colon ? colon + 2 : text;
}

/* A step that is refused is computed again to see which tensor is the first. */
ag_err train_check_run(trainer *t, int micro)
{
    char where[512] = "";
    const run_fault *fault = &t->train->fault;
    if (!fault->what) return AG_OK;
    if (run_look(t->train, t->step, micro)) snprintf(where, sizeof where, " (%s)", engine_message());
    ag_graph_anomaly(t->train->graph, t->config->anomaly);
    snprintf(t->fault, sizeof t->fault, "step %lld: the %s%s%s is not finite%s", (long long)t->step + 1, fault->what,
             fault->phase ? " of " : "", fault->phase ? fault->phase : "", where);
    return diverged(t);
}

ag_err train_check_weights(trainer *t)
{
    const char *bad = bad_weight(t);
    if (!bad) return AG_OK;
    snprintf(t->fault, sizeof t->fault, "step %lld: %s is not finite", (long long)t->step, bad);
    return diverged(t);
}

ag_err train_anomaly(trainer *t)
{
    snprintf(t->fault, sizeof t->fault, "step %lld: %s", (long long)t->step + 1, engine_message());
    return diverged(t);
}

/* ---- going back -------------------------------------------------------------------------------------------------------- */

static char *rollback_path(const trainer *t)
{
    char *path = NULL;
    return asprintf(&path, "%s/rollback.h5", t->config->out) < 0 ? NULL : path;
}

bool train_keep_good(const trainer *t)
{
    char *to = rollback_path(t);
    if (to) unlink(to);
    const bool kept = to && !link(ckpt_run_path(t->folder, CKPT_RUN_CHECKPOINT), to);
    if (!kept)
        terminal_line("%s/rollback.h5: cannot be linked to checkpoint.h5 (%m); a roll-back will go to the newest "
                      "checkpoint, and so depend on when the run was stopped",
                      t->config->out);
    free(to);
    return kept;
}

/* Roll-backs that happened long before this step no longer count. */
static void forget(trainer *t)
{
    int kept = 0;
    for (int i = 0; i < t->n_rollbacks; i++)
        if (t->rollbacks[i] > t->step - WITHIN) t->rollbacks[kept++] = t->rollbacks[i];
    t->n_rollbacks = kept;
}

static ag_err load_good(trainer *t)
{
    const bool newest = t->saved_step == t->good_step;
    char *path = newest ? strdup(ckpt_run_path(t->folder, CKPT_RUN_CHECKPOINT)) : rollback_path(t);
    const ag_err err =
        path ? train_load_progress(t, path, t->good_step) : ag_fail(AG_ERR_MEMORY, "%s: no memory", t->config->out);
    if (!err && !newest) t->saved_step = -1; /* what is in checkpoint.h5 belongs to the way that was left */
    free(path);
    return err;
}

static void clear_figures(trainer *t)
{
    t->window = (train_window){.began = terminal_clock()};
    for (int q = 0; q < t->train->n_quantizers; q++) {
        const nn_quantized *z = &t->train->quantizers[q];
        memset(t->counts[q], 0, (size_t)(z->books * z->K) * sizeof *t->counts[q]);
    }
}

ag_err train_roll_back(trainer *t)
{
    if (t->config->anomaly || !t->o->rollback) return AG_ERR_DIVERGED; /* with the message of what it was */
    forget(t);
    if (t->n_rollbacks >= t->o->rollback)
        return ag_fail(AG_ERR_DIVERGED,
                       "%s, after going back %d times in %d steps; the checkpoint of step %lld is kept: lower lr, set "
                       "clip, or look with --anomaly",
                       t->fault, t->n_rollbacks, WITHIN, (long long)t->good_step);
    t->rollbacks[t->n_rollbacks++] = t->step;
    const ag_err err = load_good(t);
    if (err) return err;
    clear_figures(t);
    terminal_line("%s; back to step %lld and on with other images (%d of %lld)", t->fault, (long long)t->step,
                  t->n_rollbacks, (long long)t->o->rollback);
    return ckpt_log_back(t->log, t->folder, t->step);
}
