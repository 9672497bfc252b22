/* The engine: a graph is built once, differentiated, planned, and run many times.
 *
 *     ag_graph *g = ag_graph_new(seed);
 *     ag_tensor *x = ag_input(g, "x", AG_REAL, 2, (int64_t[]){8, 3});
 *     ag_tensor *w = ag_state(g, "w", AG_REAL, 2, (int64_t[]){3, 1});            // lives outside the arena, kept
 *     ag_tensor *loss = ag_mean(ag_square(ag_matmul(x, w)));
 *     ag_tensor *dw;
 *     ag_gradient(loss, 1, &w, &dw);                                             // appends nodes
 *     ag_assign(w, ag_sub(w, ag_scale(dw, 0.1)));                                // runs after every read of w
 *     ag_keep(loss);
 *     if ((err = ag_graph_plan(g, NULL))) ...                                    // shapes, lifetimes, one arena
 *     for (;;) { fill ag_data(x); if ((err = ag_graph_run(g, step))) ...; read ag_data(loss); }
 *
 * Tensors. A tensor is a node: the result of one op, of fixed shape and type, that refers only to earlier tensors, so
 * creation order is execution order. Leaves are inputs (written by the caller before each run), states (parameters,
 * moments, averages: kept from run to run) and constants. Layout is row-major; images are [N,H,W,C], sequences [N,L,C].
 *
 * Mistakes are sticky: the first op whose shapes do not fit records an error that names the op, its scope and the shapes,
 * and returns NULL; every op given a NULL tensor returns NULL; `ag_graph_plan` reports the error. Building code needs
 * no checks.
 *
 * Gradients are tensors: `ag_gradient` walks the graph backwards and calls each op's gradient rule, which builds ops. So
 * gradients can be differentiated again, unless a fused gradient op states that it stops there.
 *
 * Effects (`ag_assign`, optimizer updates) are the only way a state changes. They run after all other nodes, in the order
 * in which they were made: within one run every reader sees the values from before it.
 *
 * The plan drops what no effect and no kept tensor needs, finds how long each tensor lives, runs cheap ops (norms, activations,
 * sums, copies: AG_CHEAP in ops.def) a second time where keeping their results for the gradient would raise the peak, lets an op
 * write over its input where it is that input's last reader, and gives every tensor an offset in one arena. `ag_graph_run`
 * allocates nothing. The result of a run does not depend on the number of threads.
 *
 * A graph belongs to one thread at a time. */
#ifndef AUTOGRAD_GRAPH_H
#define AUTOGRAD_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "autograd/error.h"
#include "autograd/machine.h"
#include "autograd/real.h"

#define AG_MAX_RANK 6

typedef struct ag_graph ag_graph;
typedef struct ag_tensor ag_tensor;

typedef enum ag_dtype { AG_REAL, AG_I32, AG_U8 } ag_dtype;

/* Bytes of one element: 4 (8 in the double twin), 4, 1. */
size_t ag_dtype_size(ag_dtype dtype);
const char *ag_dtype_name(ag_dtype dtype); /* "f32" ("f64"), "i32", "u8" */

/* ---- graphs --------------------------------------------------------------------------------------------------- */

/* An empty graph; NULL if out of memory. `seed` keys every random op of the graph. */
ag_graph *ag_graph_new(uint64_t seed);
/* Frees the graph, its tensors and the arena; states bound to memory of the caller's keep it. NULL is fine. */
void ag_graph_free(ag_graph *g);

/* A number no other graph of this process has, now or later. */
uint64_t ag_graph_id(const ag_graph *g);

/* The first mistake made while building, AG_OK if none; the message is in ag_error_message() after ag_graph_plan. */
ag_err ag_graph_error(const ag_graph *g);
/* Records a mistake as an op would (for layers that check more than shapes); the first one counts. Returns NULL. */
ag_tensor *ag_graph_fail(ag_graph *g, ag_err err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Scope names: `encoder.down.0`. New tensors carry the name that is set; layers set it on entry and restore it.
 * `name` is copied. Returns the name that was set before, owned by the graph. */
const char *ag_graph_scope(ag_graph *g, const char *name);

typedef enum ag_precision { AG_FP32, AG_BF16 } ag_precision;

/* How products and convolutions that are made from now on are computed, and their gradients later (at the start AG_FP32). AG_BF16:
 * operands are rounded to bf16 where that is faster (matrix products; convolutions 1x1, and 4x4 of step 2 but for their weight
 * gradient), sums are made in fp32, and what is stored is fp32. Everything else is fp32 in any case, 3x3 convolutions of step 1 too: minimal filtering is faster still. Returns what was
 * set before. A CPU without AVX512_BF16 makes AG_BF16 a mistake of the graph, AG_ERR_USAGE. */
ag_precision ag_graph_precision(ag_graph *g, ag_precision precision);

/* ---- leaves --------------------------------------------------------------------------------------------------- */

/* A tensor the caller fills (ag_data) before each run; its memory is outside the arena and owned by the graph. */
ag_tensor *ag_input(ag_graph *g, const char *name, ag_dtype dtype, int rank, const int64_t *shape);
/* A tensor whose value stays from run to run. Memory is the graph's (zeroed by the plan) unless `ag_bind` gave some. */
ag_tensor *ag_state(ag_graph *g, const char *name, ag_dtype dtype, int rank, const int64_t *shape);
/* Makes a state or input use `memory` (64-byte aligned, of ag_bytes(t)), which stays the caller's. */
void ag_bind(ag_tensor *t, void *memory);
/* A constant filled with `value` (real), or 0-dimensional when rank is 0. */
ag_tensor *ag_constant(ag_graph *g, double value, int rank, const int64_t *shape);

/* ---- looking at tensors --------------------------------------------------------------------------------------- */

ag_graph *ag_graph_of(const ag_tensor *t);    /* NULL for NULL */
int ag_rank(const ag_tensor *t);              /* 0 for NULL */
int64_t ag_dim(const ag_tensor *t, int axis); /* axis -1 is the last; 1 for NULL or an axis that is not there */
int64_t ag_numel(const ag_tensor *t);         /* 0 for NULL */
size_t ag_bytes(const ag_tensor *t);
ag_dtype ag_type(const ag_tensor *t);
const char *ag_name(const ag_tensor *t); /* the leaf's name, or the scope a node was made in; "" if none */
const char *ag_op_name(const ag_tensor *t);
/* The values: of leaves at any time after the plan, of kept tensors after a run. NULL before the plan. */
void *ag_data(const ag_tensor *t);
/* The first value as a number, whatever the type. */
double ag_value(const ag_tensor *t);

/* ---- gradients and effects ------------------------------------------------------------------------------------ */

/* d loss / d wrt[i] as new tensors in out[i] (owned by the graph, same shape as wrt[i]). `loss` has one element. A tensor
 * that loss does not depend on gets a constant zero. A path that crosses an op without a gradient rule is an
 * error of the graph that names the op. */
void ag_gradient(ag_tensor *loss, int n, ag_tensor *const *wrt, ag_tensor **out);

/* The gradient of sum(y * dy) for wrt[i], dy of y's shape: what ag_gradient does after a loss whose gradient for y is dy. Two
 * losses that meet in y need only one pass from there on. */
void ag_pullback(ag_tensor *y, ag_tensor *dy, int n, ag_tensor *const *wrt, ag_tensor **out);

/* Recomputation: what is built between begin and end is a block (a block inside a block belongs to the outer one). Of a block,
 * only what is read outside of it need stay in memory for the gradient; a plan under a memory bound computes the rest again. Bits
 * do not change, random numbers included. Other plans ignore blocks. */
void ag_block_begin(ag_graph *g);
void ag_block_end(ag_graph *g);

/* After everything else of a run: state = value (same shape and type). */
void ag_assign(ag_tensor *state, ag_tensor *value);

/* The same where `mask` (broadcast to the state) is not 0; elsewhere the state stays as earlier effects left it. */
void ag_assign_where(ag_tensor *state, ag_tensor *mask, ag_tensor *value);

/* The group, 0 to 31, of the effects that are made from now on (0 at the start); see ag_graph_run_groups. */
void ag_graph_effect_group(ag_graph *g, unsigned group);

/* Keeps t (and what it needs) alive so that ag_data(t) can be read after a run. Returns t. */
ag_tensor *ag_keep(ag_tensor *t);

/* ---- plan and run --------------------------------------------------------------------------------------------- */

typedef struct ag_plan_options {
    int64_t
        memory_limit; /* bytes for arena and leaves; 0 = no bound. A plan over it recomputes the marked blocks; if that is not
                             enough it is AG_ERR_MEMORY */
    int64_t batch;  /* size of the first axis of what grows with the batch, for the batch that would fit; 0 = unknown */
    bool unshared;  /* every tensor its own memory: for tests and debugging */
    bool recompute; /* recompute the marked blocks even if there is no need */
    bool keep_cheap; /* run no cheap op a second time: for tests and measurements. unshared implies it */
} ag_plan_options;

typedef struct ag_plan_report {
    int64_t nodes, dropped;  /* nodes run; nodes dropped because nothing needs them */
    int64_t arena_bytes;     /* the one block that all intermediate tensors share */
    int64_t unshared_bytes;  /* what they would take with a buffer each */
    int64_t state_bytes;     /* parameters, moments, averages */
    int64_t input_bytes;     /* inputs and constants */
    int64_t scratch_bytes;   /* kernels' working memory, shared by all nodes (part of arena_bytes) */
    int64_t bound_bytes;     /* the most that lives at one time: no arena is smaller */
    int64_t recomputed;      /* nodes of marked blocks that run a second time; 0 if they are kept */
    int64_t remade;          /* cheap nodes that run a second time */
    int64_t batch_that_fits; /* with memory_limit and batch: the largest batch that fits, by estimate; 0 = none */
} ag_plan_report;

/* Plans and allocates; must come before the first run and after the last op. `options` may be NULL.
 * Errors: the first mistake of the building code; AG_ERR_MEMORY with the figures and the batch that would fit. */
ag_err ag_graph_plan(ag_graph *g, const ag_plan_options *options);
/* What a plan would need, without allocating. `out` is filled even if the plan is over its bound. */
ag_err ag_graph_plan_report(ag_graph *g, const ag_plan_options *options, ag_plan_report *out);

/* Runs every node and then the effects. `step` keys the random ops. Errors: AG_ERR_DIVERGED if anomaly detection is on
 * and a value is not finite (the message names the first tensor); AG_ERR_FAILED if not planned. */
ag_err ag_graph_run(ag_graph *g, uint64_t step);

/* The same with only the effects whose group's bit is set in `groups`, and without what only the others need. So gradients are
 * summed over k micro-batches: group 0 adds each run's gradients to sums that are states, group 1 updates and clears them; k - 1
 * runs with groups 1u << 0, then one with all (opt_accumulate in optim/optim.h). */
ag_err ag_graph_run_groups(ag_graph *g, uint64_t step, unsigned groups);

/* The same in two halves, so that losses and gradients can be looked at before anything follows from them. The first computes all that
 * the effects of `groups` need, and has only those effects that gather gradients (ag_accumulate, the norm of ag_update_options); the
 * rest, which may be left out, are the other effects. */
ag_err ag_graph_run_first(ag_graph *g, uint64_t step, unsigned groups);
ag_err ag_graph_run_rest(ag_graph *g);

/* The same without the effects: states stay as they are, all else is computed. (Groups 0 also leaves out what only effects need.) */
ag_err ag_graph_run_pure(ag_graph *g, uint64_t step);

/* Anomaly detection: check every real tensor after its node has run, and gradients whose norm is asked for. */
void ag_graph_anomaly(ag_graph *g, bool on);

/* ---- to be seen ----------------------------------------------------------------------------------------------- */

void ag_graph_print(const ag_graph *g, FILE *to); /* one line a node: number, op, shape, inputs, offset, name */
void ag_graph_dot(const ag_graph *g, FILE *to);   /* Graphviz */
/* The plan's memory: every storage of the arena with offset, size, first and last node, op and name, largest first. */
void ag_graph_memory_print(const ag_graph *g, FILE *to);
/* The same as a picture (SVG): time to the right, address upwards, one box a storage, what it is on hover. */
void ag_graph_memory_svg(const ag_graph *g, FILE *to);
/* Profile: off by default; when on, runs are timed node by node. */
void ag_graph_profile(ag_graph *g, bool on);
/* Time, share of the step, GFLOP/s and GB/s per op, then per scope (to `depth` name parts), summed over the profiled runs. With the
 * limits of `machine` (NULL: without) also the share of the limit that is reached: the time that the arithmetic at the
 * multiply-add peak, or the bytes at the memory's rate, whichever is longer, would take, over the time taken. More than 100
 * percent: minimal filtering, which does with fewer multiplications, or data that were still in a cache. */
void ag_graph_profile_print(const ag_graph *g, int depth, const ag_machine *machine, FILE *to);

/* Floating-point operations of one run, with the effects of the last one, by the ops' own counts (a multiply-add is two). */
double ag_graph_flops(const ag_graph *g);

#endif
