/* What layers need to know of how a model is updated: one update may see several micro-batches, and parts may be frozen.
 *
 * An update is made of one or more runs of the graph (ag_graph_run_groups), each with a micro-batch. Effects of group NN_EACH_RUN
 * happen in all of them; what shall happen once an update, from the figures of the whole batch, is made like this:
 *
 *     ag_tensor *counts = nn_update_sum(s, "counts", ag_count(codes, K));     // of all micro-batches, in the last run
 *     ag_graph_effect_group(s.graph, NN_EACH_UPDATE);
 *     ag_assign(size, average(size, counts));
 *     ag_graph_effect_group(s.graph, NN_EACH_RUN);
 */
#ifndef NN_UPDATE_H
#define NN_UPDATE_H

#include "nn/nn.h"

/* Groups of effects; from NN_FIRST_PHASE on they are the update phases of a recipe. */
enum { NN_EACH_RUN = 0, NN_EACH_UPDATE = 1, NN_FIRST_PHASE = 2 };

/* Graphs that are built from now on make one update from `n` micro-batches (1 at the start). */
void nn_micro_batches(nn_params *p, int n);
int nn_micro_batches_of(const nn_params *p);

/* What layers call whose results for an image depend on the other images of its batch in training: one update from several
 * micro-batches is then another one than from the whole batch. Has a graph of these parameters such a layer? */
void nn_batch_statistics(nn_scope s);
bool nn_has_batch_statistics(const nn_params *p);

/* x [...] summed over the micro-batches of an update, to be read by effects of NN_EACH_UPDATE; with one micro-batch, or outside of
 * training, x itself. Makes the state `optimizer.sum.SCOPE.name`, which is zero between updates. */
ag_tensor *nn_update_sum(nn_scope s, const char *name, ag_tensor *x);

/* Freezes what is named `prefix` or begins with `prefix.`, in graphs that are built from now on: such parameters are not trainable,
 * and such scopes are not training scopes (no codebook averages, no batch statistics, no dropout). AG_ERR_MEMORY. */
ag_err nn_freeze(nn_params *p, const char *prefix);
bool nn_is_frozen(const nn_params *p, const char *name);

/* Says that the scope, whatever it is called, belongs to the part `part` of its model: "encoder", "quantizer" or "decoder". Freezing the
 * part freezes it. Returns s, no longer a training scope if it is frozen. Quantizers say it themselves (nn_quantize), with parameters
 * or without. */
nn_scope nn_part(nn_scope s, const char *part);
/* The parts that have been said; NULL past the last. */
const char *nn_part_at(const nn_params *p, int i);

#endif
