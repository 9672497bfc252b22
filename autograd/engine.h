/* Inside the engine: what a tensor is, and what an op must provide. For the files of this folder only.
 *
 * An op is one file, op_NAME.c, that defines `const ag__rule ag__NAME`, and one row of ops.def. */
#ifndef AUTOGRAD_ENGINE_H
#define AUTOGRAD_ENGINE_H

#include "autograd/graph.h"
#include "autograd/ops.h"
#include "kernels/kernels.h"

typedef enum ag__op {
#define AG_OP(name, gradient, cost) AG__OP_##name,
#include "ops.def"
#undef AG_OP
    AG__OP_COUNT
} ag__op;

typedef enum ag__gradient_kind {
    AG_GRAD,       /* the rule builds ops that can be differentiated again                   */
    AG_GRAD_STOPS, /* no rule: asking for a gradient through it is an error                  */
    AG_GRAD_ZERO,  /* piecewise constant, or constant by definition: the gradient ends here  */
} ag__gradient_kind;

typedef enum ag__cost {
    AG_DEAR,
    AG_CHEAP, /* hardly more than a pass over its inputs and its result; the same bits each time */
} ag__cost;

/* One op. `shape` checks the inputs and sets rank, shape, dtype (default: those of input 0) and scratch of y.
 * `run` computes y->data. `gradient` sets dx[i] for every input i with ag__wants(y, i), as new tensors. */
typedef struct ag__rule {
    ag_err (*shape)(ag_tensor *y);
    void (*run)(const ag_tensor *y);
    void (*gradient)(ag_tensor *y, ag_tensor *dy, ag_tensor **dx);
    double (*flops)(const ag_tensor *y);   /* NULL: one per element of y */
    size_t (*scratch)(const ag_tensor *y); /* bytes of working memory; NULL: none */
    unsigned in_place;                     /* bit i: y may overwrite input i when their shapes are equal */
    bool view;                             /* y is the memory of its last input; run is NULL */
    bool part;                             /* a further result of in[0], which computes it; run is NULL */
    bool effect;                           /* runs after all others; y has no value */
    bool gathers;                          /* an effect that runs before other effects (ag_graph_run_first) */
    bool (*fails)(const ag_tensor *y); /* of an effect: is one of its inputs not finite, or too large? NULL: never */
} ag__rule;

enum { AG__PARTS = 3 };
#define AG__ALWAYS (UINT64_C(1) << 32)

struct ag_tensor {
    ag_graph *graph;
    const ag__rule *rule;
    ag__op op;
    ag_dtype dtype;
    int rank;
    int64_t shape[AG_MAX_RANK];
    int64_t numel;
    int inputs;
    ag_tensor **in;
    ag_tensor *parts[AG__PARTS]; /* further results (ag__part); a part that nobody needs has no data when y runs */
    void *attr;                  /* the op's options, copied */
    const char *name;            /* leaf: its name; node: the scope it was made in */
    int id;                      /* position in build order */
    uint64_t key;                /* of random ops: the same with and without recomputation (ag__stream) */
    int block;                   /* the block it was made in, 0: none (ag_block_begin) */
    ag_tensor *original;         /* made by a gradient to compute this tensor again; NULL for all others */
    unsigned group;              /* of effects (ag_graph_effect_group) */
    bool of_gradient;            /* made by ag_gradient */
    ag_precision precision;      /* of its products */
    bool kept;
    void *data;
    void *scratch;
    bool bound; /* memory of the caller's (leaves) */
    /* set by the plan */
    bool live;
    bool remake;       /* made by the plan to run `original` a second time, or a view of such a tensor */
    ag_tensor *remade; /* that tensor, of this one; NULL: none */
    int order;         /* position in the run, -1 for leaves */
    int last;          /* position of the last reader of this storage (of the owner) */
    ag_tensor *owner;  /* whose storage this is: itself, a viewed tensor, or an input overwritten in place */
    int64_t offset;    /* in the arena; -1: not there */
    int64_t scratch_offset;
    uint64_t needed; /* bit i: by effects of group i; AG__ALWAYS: by kept tensors */
    double seconds;  /* profile */
};

typedef struct ag__block ag__block;

struct ag_graph {
    uint64_t id, seed, step;
    ag_tensor **tensors;
    int count, capacity;
    ag_tensor **effects;
    int effect_count, effect_capacity;
    ag_tensor **order; /* the nodes to run, effects last, first of them those that gather */
    int order_count, first_effect, gathering;
    ag__block *memory;           /* records live here; freed in one go */
    ag__block *plan_memory;      /* those that the plan makes, freed before the next one */
    struct ag__rewired *rewired; /* inputs that the plan replaced */
    int remakes;                 /* tensors that the plan made; the last ones */
    const char *scope;
    ag_precision precision; /* of the tensors being built */
    bool building_gradient;
    const bool *wanted; /* during ag_gradient: by id, whether a gradient is wanted */
    int wanted_count;
    int block, blocks, block_depth; /* the block being built, how many there were, begins without an end */
    int copies;                     /* tensors with an original */
    bool recomputing;               /* set by the plan: copies are computed; else they are their originals */
    unsigned group;                 /* of the effects being built */
    unsigned groups;                /* whose effects the last run had; all before the first */
    bool pure;                      /* it had none, and computed all else */
    int reached;                    /* nodes of the order that it has passed */
    ag_err error;
    char message[512];
    bool planned, anomaly, profile;
    int threads;  /* when it was planned: kernels' working memory is for so many */
    int64_t runs; /* profiled */
    ag_plan_report report;
    void *arena;
    size_t arena_size;
};

extern const ag__rule *const ag__rules[AG__OP_COUNT];
extern const char *const ag__op_names[AG__OP_COUNT];
extern const ag__gradient_kind ag__gradient_kinds[AG__OP_COUNT];
extern const ag__cost ag__costs[AG__OP_COUNT];

/* Appends a node; NULL if an input is NULL or the shape rule fails. `attr` is copied. */
ag_tensor *ag__node(ag__op op, int inputs, ag_tensor *const *in, const void *attr, size_t attr_size);
/* The same for ops without tensor inputs. */
ag_tensor *ag__source(ag_graph *g, ag__op op, const void *attr, size_t attr_size);

ag_err ag__shape_copy(ag_tensor *y, const ag_tensor *x);
ag_err ag__shape_set(ag_tensor *y, int rank, const int64_t *shape); /* checks rank, signs, overflow */
bool ag__same_shape(const ag_tensor *a, const ag_tensor *b);
/* Shape rule of ops whose result is like their only input. */
ag_err ag__shape_unary(ag_tensor *y);
/* Shape rule of broadcasting ops: y's shape from all its inputs. */
ag_err ag__shape_broadcast(ag_tensor *y);
/* Strides of x seen with y's shape. */
k_strided ag__strided(const ag_tensor *x, const ag_tensor *y);
/* Fails unless x is of the type. */
ag_err ag__check_type(const ag_tensor *x, ag_dtype dtype, const char *what);
/* Fails unless what a convolution or product adds to its result fits: a bias real [C], a residual real, of y's shape. Both may be NULL. */
ag_err ag__check_extras(const ag_tensor *y, const ag_tensor *bias, const ag_tensor *residual);
/* Fails unless convolutions and products fuse it. */
ag_err ag__check_fused(ag_activation a);
/* A mistake that is found before there is a node: "NAME in SCOPE: why". Returns NULL. */
ag_tensor *ag__mistake(ag_graph *g, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "[2,3,4]" in one of a few rotating buffers. */
const char *ag__shape_text(const ag_tensor *t);

/* A tensor that computes t again from `in`, part of the gradient being built; NULL if out of memory. */
ag_tensor *ag__copy(ag_tensor *t, ag_tensor *const *in);
/* A tensor that computes t a second time from t's inputs, appended by the plan and gone with it; NULL if out of memory. */
ag_tensor *ag__remake_of(ag_tensor *t);
/* Makes x, which the plan appended, take the place of input i of t until the plan is gone. */
ag_err ag__rewire(ag_tensor *t, int i, ag_tensor *x);
/* Takes back what the plan appended and replaced. To be called before the graph grows or is differentiated. */
void ag__unplan(ag_graph *g);
/* The stream of random numbers of y in this run. */
uint64_t ag__stream(const ag_tensor *y);
/* Is t only another name of its original in this plan? */
static inline bool ag__aliased(const ag_tensor *t) { return t->original && !t->remake && !t->graph->recomputing; }

/* Of the nodes in g->order: whose storage a tensor is and when it is read last, before and after ops take over their inputs'
 * storages (plan.c). */
void ag__lifetimes(ag_graph *g);
void ag__overwrite(ag_graph *g);
/* Has cheap ops run again where that lowers the peak (remake.c). Needs g->order with room for twice the tensors. *worth: it gained
 * enough; if not, it is to be taken back by ag__unplan, and g->order made anew. */
ag_err ag__remake(ag_graph *g, bool *worth);

/* Is t computed in a run with the effects of the last one? */
static inline bool ag__runs(const ag_tensor *t)
{
    const ag_graph *g = t->graph;
    return t->rule->run && (t->needed & (AG__ALWAYS | g->groups) || (g->pure && !t->rule->effect));
}

/* A piece of the arena: where, and from which node of the run to which. */
typedef struct ag__span {
    int first, last;
    int64_t size, offset;
    ag_tensor *tensor;
    bool scratch;
    int blame; /* how often it stuck out of the bound */
} ag__span;

enum { AG__ALIGN = 64 };

static inline int64_t ag__round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
/* The spans of a graph with lifetimes, in run order, into `spans` (room for twice the nodes); how many there are. */
int ag__spans(const ag_graph *g, bool unshared, ag__span *spans);
/* Gives the spans offsets, near `bound` if it can; `trial` and `at` have room for n. Returns the size of the arena. */
int64_t ag__place(ag__span *spans, int n, int64_t bound, ag__span *trial, int *at);
/* The most bytes that live at one time: no placement is smaller. `live` has room for nodes + 1. Only spans with batch not dividing
 * their first axis if batch > 0. */
int64_t ag__most_live(const ag__span *spans, int n, int nodes, int64_t batch, int64_t *live);

/* A further result of y (statistics that its gradient op needs), computed by y's run into y->parts[i]->data, which is NULL
 * when nobody reads the part. To be made right after y, in the op's building function. */
ag_tensor *ag__part(ag_tensor *y, int i, ag_dtype dtype, int rank, const int64_t *shape);
/* Memory of part i for y's run; NULL if it is not there or not needed. */
static inline void *ag__part_data(const ag_tensor *y, int i) { return y->parts[i] ? y->parts[i]->data : NULL; }

/* In a gradient rule: is the gradient for input i asked for? */
bool ag__wants(const ag_tensor *y, int i);
/* dx for a broadcast input: d summed to the shape of x. */
ag_tensor *ag__unbroadcast(ag_tensor *d, const ag_tensor *x);

/* Gradient rule of a fused gradient op y from its composed form: `compose` builds y's value from `in` (stand-ins for y's inputs)
 * with ops that can be differentiated, and the gradients of that form are y's. */
void ag__gradient_of_composed(ag_tensor *y, ag_tensor *dy, ag_tensor **dx,
                              ag_tensor *(*compose)(const ag_tensor *y, ag_tensor *const *in));

/* Lets the address checker see the whole arena as usable again, before it is freed (run.c). */
void ag__arena_opens(ag_graph *g);

bool ag__is_leaf(const ag_tensor *t);
void *ag__alloc(ag_graph *g,
                size_t size); /* zeroed, lives as long as the graph; NULL and sticky error if out of memory */
double ag__flops(const ag_tensor *y);

static inline const real *ag__in(const ag_tensor *y, int i) { return y->in[i]->data; }
/* Elements between neighbours along each axis of a tensor without gaps. */
void ag__dense_strides(const ag_tensor *t, int64_t *stride);
/* Sums over the last axis, which stays with size 1; NULL of NULL. */
ag_tensor *ag__last_sum(ag_tensor *x);

#endif
