/* A loss that makes reconstructions worse than they have been loses half of its weight (run_backoff in run.h). Weight and best error are
 * states of the graph and so in the checkpoint. Only evaluations at multiples of eval_every count, which come in a run that was stopped
 * as in one that was not: both back off alike. */
#include "terminal.h"
#include "trainer.h"

void train_back_off(trainer *t, double nmse)
{
    const run_backoff *b = &t->train->backoff;
    if (!b->scale || !(b->share > 0) || t->o->eval_every < 1 || t->step % t->o->eval_every) return;
    real *scale = ag_data(b->scale), *best = ag_data(b->best);
    const double least = (double)*best;
    if (!(least > 0) || nmse < least) *best = (real)nmse;
    if (t->step <= b->start || !(least > 0) || !(nmse > (1 + b->share) * least)) return;
    *scale /= 2;
    terminal_line("step %lld: nmse %.4g is more than %.4g times the best, %.4g: the weight of the adversarial loss is "
                  "halved, to %g of gan_weight",
                  (long long)t->step, nmse, 1 + b->share, least, (double)*scale);
}
