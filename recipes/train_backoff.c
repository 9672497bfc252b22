/* A loss that makes reconstructions worse than they have been loses half of its weight (run_backoff in run.h). The weight is a state of
 * the graph and so in the checkpoint; evaluations come at the same steps in a run that was stopped, so that run backs off alike. */
#include "terminal.h"
#include "trainer.h"

void train_back_off(trainer *t, double nmse)
{
    const run_backoff *b = &t->train->backoff;
    if (!b->scale || !(b->share > 0) || t->step <= b->start || !(nmse > (1 + b->share) * t->best)) return;
    real *scale = ag_data(b->scale);
    *scale /= 2;
    terminal_line("step %lld: nmse %.4g is more than %.4g times %.4g of step %lld, the best: the weight of the "
                  "adversarial loss is halved, to %g of gan_weight",
                  (long long)t->step, nmse, 1 + b->share, t->best, (long long)t->best_step, (double)*scale);
}
