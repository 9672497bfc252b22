/* Building graphs: records, leaves, nodes, mistakes. The model is described in autograd/graph.h. */
#include "engine.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"
#include "autograd/random.h"

/* Records are cut from blocks that live as long as the graph. In a debug build each record is a block of its own: the address
 * checker sees its ends, and tests make each of these allocations fail. */
#ifdef AG_POISON
enum { BLOCK = 0 };
#else
enum { BLOCK = 65536 };
#endif

struct ag__block {
    ag__block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

static void record_error(ag_graph *g, ag_err err)
{
    if (g->error) return;
    g->error = err;
    strncpy(g->message, ag_error_message(), sizeof g->message - 1);
}

static void *cut(ag__block **from, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!*from || (*from)->size - (*from)->used < size) {
        const size_t block = size > BLOCK ? size : BLOCK;
        ag__block *b = malloc(sizeof *b + block);
        if (!b) return NULL;
        *b = (ag__block){.next = *from, .size = block};
        *from = b;
    }
    void *p = (*from)->bytes + (*from)->used;
    (*from)->used += size;
    return memset(p, 0, size);
}

static void out_of_memory(ag_graph *g)
{
    record_error(g, ag_fail(AG_ERR_MEMORY, "out of memory while building a graph of %d tensors", g->count));
}

void *ag__alloc(ag_graph *g, size_t size)
{
    void *p = cut(&g->memory, size);
    if (!p) out_of_memory(g);
    return p;
}

static void free_blocks(ag__block *b)
{
    for (ag__block *next; b; b = next) next = b->next, free(b);
}

ag_graph *ag_graph_new(uint64_t seed)
{
    ag_graph *g = calloc(1, sizeof *g);
    if (!g) {
        ag_fail(AG_ERR_MEMORY, "out of memory for a graph");
        return NULL;
    }
    static _Atomic uint64_t next_id;
    g->id = ++next_id;
    g->seed = seed;
    g->scope = "";
    g->groups = ~0u;
    return g;
}

void ag_graph_free(ag_graph *g)
{
    if (!g) return;
    for (int i = 0; i < g->count; i++)
        if (ag__is_leaf(g->tensors[i]) && !g->tensors[i]->bound) free(g->tensors[i]->data);
    free_blocks(g->memory);
    free_blocks(g->plan_memory);
    free(g->tensors);
    free(g->effects);
    free(g->order);
    ag__arena_opens(g);
    free(g->arena);
    free(g);
}

uint64_t ag_graph_id(const ag_graph *g) { return g->id; }

ag_err ag_graph_error(const ag_graph *g) { return g->error; }

ag_tensor *ag_graph_fail(ag_graph *g, ag_err err, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    record_error(g, ag_fail(err, "%s", text));
    return NULL;
}

ag_tensor *ag__mistake(ag_graph *g, const char *name, const char *format, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return ag_graph_fail(g, AG_ERR_SHAPE, "%s%s%s: %s", name, *g->scope ? " in " : "", g->scope, text);
}

const char *ag_graph_scope(ag_graph *g, const char *name)
{
    const char *old = g->scope;
    if (!name || !strcmp(name, old)) return old;
    char *copy = ag__alloc(g, strlen(name) + 1);
    if (copy) g->scope = strcpy(copy, name);
    return old;
}

ag_precision ag_graph_precision(ag_graph *g, ag_precision precision)
{
    const ag_precision old = g->precision;
    if (precision == AG_BF16 && !ag_cpu_bf16())
        ag_graph_fail(
            g, AG_ERR_USAGE,
            "precision bf16: needs a CPU with AVX512_BF16; this is %s, and the kernels in use are %s; take fp32",
            ag_cpu_model(), ag_cpu_kernels());
    else
        g->precision = precision;
    return old;
}

/* ---- shapes --------------------------------------------------------------------------------------------------- */

size_t ag_dtype_size(ag_dtype dtype) { return dtype == AG_REAL ? sizeof(real) : dtype == AG_I32 ? 4 : 1; }

const char *ag_dtype_name(ag_dtype dtype) { return dtype == AG_REAL ? AG_REAL_NAME : dtype == AG_I32 ? "i32" : "u8"; }

ag_err ag__shape_set(ag_tensor *y, int rank, const int64_t *shape)
{
    int64_t n = 1;
    if (rank < 0 || rank > AG_MAX_RANK)
        return ag_fail(AG_ERR_SHAPE, "%d axes; a tensor has 0 to %d", rank, AG_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1)
            return ag_fail(AG_ERR_SHAPE, "axis %d of size %lld; sizes are 1 or more", i, (long long)shape[i]);
        if (__builtin_mul_overflow(n, shape[i], &n) || n > INT64_MAX / 16)
            return ag_fail(AG_ERR_SHAPE, "more elements than can be counted");
        y->shape[i] = shape[i];
    }
    y->rank = rank;
    y->numel = n;
    return AG_OK;
}

ag_err ag__shape_copy(ag_tensor *y, const ag_tensor *x) { return ag__shape_set(y, x->rank, x->shape); }

bool ag__same_shape(const ag_tensor *a, const ag_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]);
}

const char *ag__shape_text(const ag_tensor *t)
{
    static _Thread_local char buffers[8][96];
    static _Thread_local int next;
    char *b = buffers[next++ % 8];
    size_t n = 1;
    b[0] = '[';
    for (int i = 0; i < t->rank && n < 70; i++)
        n += (size_t)snprintf(b + n, 96 - n, i ? ",%lld" : "%lld", (long long)t->shape[i]);
    strcpy(b + n, "]");
    return b;
}

ag_err ag__check_type(const ag_tensor *x, ag_dtype dtype, const char *what)
{
    if (x->dtype == dtype) return AG_OK;
    return ag_fail(AG_ERR_SHAPE, "%s is %s, not %s", what, ag_dtype_name(x->dtype), ag_dtype_name(dtype));
}

ag_err ag__check_extras(const ag_tensor *y, const ag_tensor *bias, const ag_tensor *residual)
{
    const int64_t c = y->shape[y->rank - 1];
    if (bias && (bias->dtype != AG_REAL || bias->rank != 1 || bias->shape[0] != c))
        return ag_fail(AG_ERR_SHAPE, "the bias must be real [%lld]", (long long)c);
    if (residual && (residual->dtype != AG_REAL || !ag__same_shape(residual, y)))
        return ag_fail(AG_ERR_SHAPE, "the residual must be real %s", ag__shape_text(y));
    return AG_OK;
}

ag_err ag__check_fused(ag_activation a)
{
    if (a == AG_LINEAR || a == AG_RELU) return AG_OK;
    if (a == AG_SILU) return ag_fail(AG_ERR_SHAPE, "it fuses ReLU or nothing, not SiLU: apply ag_silu to its result");
    return ag_fail(AG_ERR_SHAPE, "it fuses ReLU or nothing, not activation %d", (int)a);
}

ag_err ag__shape_unary(ag_tensor *y)
{
    const ag_err err = ag__check_type(y->in[0], AG_REAL, "the input");
    return err ? err : ag__shape_copy(y, y->in[0]);
}

ag_err ag__shape_broadcast(ag_tensor *y)
{
    int rank = 0;
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < y->inputs; i++) {
        const ag_err err = ag__check_type(y->in[i], AG_REAL, "an input");
        if (err) return err;
        if (y->in[i]->rank > rank) rank = y->in[i]->rank;
    }
    for (int axis = 0; axis < rank; axis++) {
        shape[axis] = 1;
        for (int i = 0; i < y->inputs; i++) {
            const int own = axis - rank + y->in[i]->rank;
            const int64_t size = own < 0 ? 1 : y->in[i]->shape[own];
            if (size != 1 && shape[axis] != 1 && size != shape[axis])
                return ag_fail(AG_ERR_SHAPE, "shapes do not broadcast: an axis is %lld in one and %lld in another",
                               (long long)shape[axis], (long long)size);
            if (size != 1) shape[axis] = size;
        }
    }
    return ag__shape_set(y, rank, shape);
}

k_strided ag__strided(const ag_tensor *x, const ag_tensor *y)
{
    k_strided s = {.data = x->data};
    int64_t stride = 1;
    for (int axis = y->rank - 1; axis >= 0; axis--) {
        const int own = axis - y->rank + x->rank;
        const int64_t size = own < 0 ? 1 : x->shape[own];
        s.stride[axis] = size == 1 ? 0 : stride;
        stride *= size;
    }
    return s;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------- */

bool ag__is_leaf(const ag_tensor *t)
{
    return t->op == AG__OP_input || t->op == AG__OP_state || t->op == AG__OP_constant;
}

static bool push(ag_tensor ***list, int *count, int *capacity, ag_tensor *t)
{
    if (*count == *capacity) {
        const int more = *capacity ? 2 * *capacity : 256;
        ag_tensor **p = realloc(*list, (size_t)more * sizeof *p);
        if (!p) return false;
        *list = p;
        *capacity = more;
    }
    (*list)[(*count)++] = t;
    return true;
}

static ag_tensor *new_tensor(ag_graph *g, ag__op op, int inputs, const void *attr, size_t attr_size)
{
    if (!g || g->error) return NULL;
    ag__unplan(g);
    ag_tensor *t = ag__alloc(g, sizeof *t);
    ag_tensor **in = ag__alloc(g, (size_t)inputs * sizeof *in);
    void *copy = ag__alloc(g, attr_size);
    if (!t || !in || !copy) return NULL;
    if (attr_size) memcpy(copy, attr, attr_size);
    *t = (ag_tensor){.graph = g,
                     .rule = ag__rules[op],
                     .op = op,
                     .inputs = inputs,
                     .in = in,
                     .attr = copy,
                     .name = g->scope,
                     .id = g->count,
                     .key = (uint64_t)(g->count - g->copies) + 1,
                     .block = g->block,
                     .group = g->group,
                     .of_gradient = g->building_gradient,
                     .precision = g->precision,
                     .owner = t,
                     .offset = -1};
    return t;
}

static ag_tensor *append(ag_graph *g, ag_tensor *t)
{
    if (push(&g->tensors, &g->count, &g->capacity, t) &&
        (!t->rule->effect || push(&g->effects, &g->effect_count, &g->effect_capacity, t)))
        return t;
    out_of_memory(g);
    return NULL;
}

static void shape_mistake(ag_graph *g, const ag_tensor *t, ag_err err)
{
    char shapes[256] = "";
    size_t n = 0;
    for (int i = 0; i < t->inputs && i < 4 && n < 200; i++)
        n += (size_t)snprintf(shapes + n, sizeof shapes - n, "%s%s", i ? ", " : "", ag__shape_text(t->in[i]));
    record_error(g, ag_fail_context(err, "%s%s%s%s%s", ag__op_names[t->op], *t->name ? " in " : "", t->name,
                                    t->inputs ? " of " : "", shapes));
}

ag_tensor *ag__node(ag__op op, int inputs, ag_tensor *const *in, const void *attr, size_t attr_size)
{
    for (int i = 0; i < inputs; i++)
        if (!in[i]) return NULL;
    ag_graph *g = in[0]->graph;
    ag_tensor *t = new_tensor(g, op, inputs, attr, attr_size);
    if (!t) return NULL;
    if (inputs) memcpy(t->in, in, (size_t)inputs * sizeof *in);
    t->dtype = in[0]->dtype;
    for (int i = 0; i < inputs; i++)
        if (in[i]->graph != g) return ag__mistake(g, ag__op_names[op], "inputs of two graphs");
    const ag_err err = t->rule->shape(t);
    if (err) {
        shape_mistake(g, t, err);
        return NULL;
    }
    return append(g, t);
}

ag_tensor *ag__source(ag_graph *g, ag__op op, const void *attr, size_t attr_size)
{
    ag_tensor *t = new_tensor(g, op, 0, attr, attr_size);
    if (!t) return NULL;
    const ag_err err = t->rule->shape(t);
    if (err) {
        shape_mistake(g, t, err);
        return NULL;
    }
    return append(g, t);
}

ag_tensor *ag__copy(ag_tensor *t, ag_tensor *const *in)
{
    ag_graph *g = t->graph;
    ag_tensor *c = new_tensor(g, t->op, t->inputs, NULL, 0);
    if (!c) return NULL;
    ag_tensor **inputs = c->in;
    const int id = c->id, block = c->block;
    *c = *t;
    c->id = id;
    c->block = block;
    c->in = inputs;
    c->original = t;
    c->owner = c;
    c->of_gradient = true;
    c->kept = false;
    memset(c->parts, 0, sizeof c->parts);
    if (t->inputs) memcpy(c->in, in, (size_t)t->inputs * sizeof *in);
    for (int i = 0; t->rule->part && i < AG__PARTS; i++)
        if (t->in[0]->parts[i] == t) in[0]->parts[i] = c;
    g->copies++;
    return append(g, c);
}

/* ---- what a plan adds ------------------------------------------------------------------------------------------ */

struct ag__rewired {
    struct ag__rewired *next;
    ag_tensor **slot, *was;
};

ag_tensor *ag__remake_of(ag_tensor *t)
{
    ag_graph *g = t->graph;
    ag_tensor *r = cut(&g->plan_memory, sizeof *r);
    ag_tensor **in = cut(&g->plan_memory, (size_t)t->inputs * sizeof *in);
    if (!r || !in) return NULL;
    if (t->inputs) memcpy(in, t->in, (size_t)t->inputs * sizeof *in);
    *r = *t;
    r->id = g->count;
    r->in = in;
    r->original = t;
    r->owner = r;
    r->remake = r->live = r->of_gradient = true;
    r->kept = false;
    r->seconds = 0;
    r->offset = r->scratch_offset = -1;
    memset(r->parts, 0, sizeof r->parts);
    if (!push(&g->tensors, &g->count, &g->capacity, r)) return NULL;
    g->remakes++;
    t->remade = r;
    return r;
}

ag_err ag__rewire(ag_tensor *t, int i, ag_tensor *x)
{
    ag_graph *g = t->graph;
    struct ag__rewired *r = cut(&g->plan_memory, sizeof *r);
    if (!r) return AG_ERR_MEMORY;
    *r = (struct ag__rewired){.next = g->rewired, .slot = &t->in[i], .was = t->in[i]};
    g->rewired = r;
    t->in[i] = x;
    return AG_OK;
}

void ag__unplan(ag_graph *g)
{
    g->planned = false;
    if (!g->remakes) return;
    for (struct ag__rewired *r = g->rewired; r; r = r->next) *r->slot = r->was; /* the last one first */
    g->rewired = NULL;
    g->count -= g->remakes;
    g->remakes = 0;
    g->order_count = g->first_effect = 0;
    for (int i = 0; i < g->count; i++) g->tensors[i]->remade = NULL;
    free_blocks(g->plan_memory);
    g->plan_memory = NULL;
}

uint64_t ag__stream(const ag_tensor *y) { return ag_random_stream(y->graph->step, y->key); }

/* ---- blocks and groups ------------------------------------------------------------------------------------------ */

void ag_block_begin(ag_graph *g)
{
    if (!g->block_depth++) g->block = ++g->blocks;
}

void ag_block_end(ag_graph *g)
{
    if (g->block_depth && !--g->block_depth) g->block = 0;
}

void ag_graph_effect_group(ag_graph *g, unsigned group)
{
    if (group > 31)
        ag_graph_fail(g, AG_ERR_SHAPE, "effect group %u; groups are 0 to 31", group);
    else
        g->group = group;
}

/* ---- leaves --------------------------------------------------------------------------------------------------- */

static ag_tensor *leaf(ag_graph *g, ag__op op, const char *name, ag_dtype dtype, int rank, const int64_t *shape)
{
    ag_tensor *t = new_tensor(g, op, 0, NULL, 0);
    char *copy = t ? ag__alloc(g, strlen(name) + 1) : NULL;
    if (!copy) return NULL;
    t->name = strcpy(copy, name);
    t->dtype = dtype;
    const ag_err err = ag__shape_set(t, rank, shape);
    if (err) {
        record_error(g, ag_fail_context(err, "%s", name));
        return NULL;
    }
    return append(g, t);
}

ag_tensor *ag_input(ag_graph *g, const char *name, ag_dtype dtype, int rank, const int64_t *shape)
{
    return leaf(g, AG__OP_input, name, dtype, rank, shape);
}

ag_tensor *ag_state(ag_graph *g, const char *name, ag_dtype dtype, int rank, const int64_t *shape)
{
    return leaf(g, AG__OP_state, name, dtype, rank, shape);
}

void ag_bind(ag_tensor *t, void *memory)
{
    if (!t) return;
    if (!t->bound) free(t->data);
    t->data = memory;
    t->bound = true;
}

ag_tensor *ag_constant(ag_graph *g, double value, int rank, const int64_t *shape)
{
    ag_tensor *t = leaf(g, AG__OP_constant, "", AG_REAL, rank, shape);
    if (!t) return NULL;
    double *v = ag__alloc(g, sizeof *v);
    if (!v) return NULL;
    *v = value;
    t->attr = v;
    return t;
}

static ag_err leaf_shape(ag_tensor *y)
{
    (void)y;
    return AG_OK;
}

const ag__rule ag__input = {.shape = leaf_shape}, ag__state = {.shape = leaf_shape},
               ag__constant = {.shape = leaf_shape};

/* ---- looking -------------------------------------------------------------------------------------------------- */

ag_graph *ag_graph_of(const ag_tensor *t) { return t ? t->graph : NULL; }
int ag_rank(const ag_tensor *t) { return t ? t->rank : 0; }
int64_t ag_numel(const ag_tensor *t) { return t ? t->numel : 0; }
size_t ag_bytes(const ag_tensor *t) { return t ? (size_t)t->numel * ag_dtype_size(t->dtype) : 0; }
ag_dtype ag_type(const ag_tensor *t) { return t ? t->dtype : AG_REAL; }
const char *ag_name(const ag_tensor *t) { return t ? t->name : ""; }
const char *ag_op_name(const ag_tensor *t) { return t ? ag__op_names[t->op] : ""; }
void *ag_data(const ag_tensor *t) { return t ? t->data : NULL; }

int64_t ag_dim(const ag_tensor *t, int axis)
{
    if (!t) return 1;
    if (axis < 0) axis += t->rank;
    return axis < 0 || axis >= t->rank ? 1 : t->shape[axis];
}

double ag_value(const ag_tensor *t)
{
    if (!t || !t->data) return 0;
    switch (t->dtype) {
    case AG_REAL: return (double)*(const real *)t->data;
    case AG_I32: return *(const int32_t *)t->data;
    case AG_U8: return *(const uint8_t *)t->data;
    }
    return 0;
}

ag_tensor *ag_keep(ag_tensor *t)
{
    if (t) {
        t->kept = true;
        ag__unplan(t->graph);
    }
    return t;
}
