/* The training loop, in the order in which things happen. */
#include <math.h>
#include <stdio.h>

#include "signals.h"
#include "terminal.h"
#include "trainer.h"

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

static bool save_due(const trainer *t)
{
    const double minutes = t->o->save_minutes;
    return due(t->step, t->o->save_every) || (minutes > 0 && terminal_clock() - t->saved_at > 60 * minutes);
}

static ag_err micro_batch(trainer *t, int micro)
{
    double waited;
    ag_err err = train_next_batch(t, t->train, &waited);
    if (err) return err;
    if ((err = run_step(t->train, t->step, micro))) return err == AG_ERR_DIVERGED ? train_anomaly(t) : err;
    if ((err = train_check_run(t, micro))) return err;
    train_log_run(t, waited);
    return AG_OK;
}

static ag_err one_step(trainer *t)
{
    ag_err err = AG_OK;
    for (int micro = 0; !err && micro < t->train->micro_batches; micro++) err = micro_batch(t, micro);
    if (err) return err;
    t->step++;
    train_log_step(t);
    return AG_OK;
}

/* Evaluation and samples of this step, unless they were made before the run was stopped. */
static ag_err look(trainer *t)
{
    const bool last = t->step == t->o->steps;
    ag_err err = AG_OK;
    if ((due(t->step, t->o->eval_every) || (last && t->o->eval_every)) && t->eval_step != t->step)
        err = train_evaluate(t);
    if (err) return err;
    if ((due(t->step, t->o->samples_every) || (last && t->o->samples_every)) && t->samples_step != t->step)
        err = train_samples(t);
    return err;
}

static void print_profile(trainer *t)
{
    ag_machine machine;
    terminal_end_live();
    ag_graph_profile_print(t->train->graph, 2, ag_machine_measure(&machine) ? NULL : &machine, stderr);
    ag_graph_profile(t->train->graph, false);
}

/* What a finished step brings with it. */
static ag_err after_step(trainer *t)
{
    ag_err err = AG_OK;
    const bool last = t->step == t->o->steps;
    if (due(t->step, t->o->log_every) || last) err = train_log_write(t);
    train_log_live(t);
    if (!err) err = look(t);
    if (!err && (save_due(t) || last)) err = train_save(t);
    if (t->config->profile && t->step - t->first_step == t->config->profile) print_profile(t);
    return err;
}

static ag_err stop(trainer *t, int *signal)
{
    char command[4096];
    *signal = signals_received();
    const ag_err err = t->saved_step == t->step ? AG_OK : train_save(t);
    if (err) return err;
    train_resume_command(t, command, sizeof command);
    terminal_line("stopped at step %lld, saved; go on with:\n  %s", (long long)t->step, command);
    return AG_OK;
}

static ag_err loop(trainer *t, int *signal)
{
    ag_err err = t->step > 0 ? look(t) : AG_OK; /* a stop may have cut it short */
    while (!err && t->step < t->o->steps) {
        err = one_step(t);
        if (!err) err = after_step(t);
        if (err == AG_ERR_DIVERGED) err = train_roll_back(t);
        if (!err && signals_received() && t->step < t->o->steps) return stop(t, signal);
    }
    return err;
}

ag_err train(const train_config *c, int *signal)
{
    trainer t = {.config = c,
                 .o = c->options,
                 .best = INFINITY,
                 .best_step = -1,
                 .saved_step = -1,
                 .good_step = -1,
                 .eval_step = -1,
                 .samples_step = -1};
    *signal = 0;
    ag_err err = train_open(&t);
    if (!err) err = loop(&t, signal);
    terminal_end_live();
    if (!err) train_say_memory(&t);
    if (!err && !*signal) err = train_report(&t);
    train_close(&t);
    return err;
}
