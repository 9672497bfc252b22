/* Named parameters and scopes. */
#include "nn/update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/random.h"

/* A parameter, and the tensor that stands for it in the graph that asked last for it. */
typedef struct entry {
    nn_param param;
    uint64_t graph; /* ag_graph_id */
    ag_tensor *tensor, *reset;
} entry;

typedef struct text {
    struct text *next;
    char name[];
} text;

struct nn_params {
    uint64_t seed;
    entry **entries;
    int count, capacity;
    bool outline;
    text *names;  /* of scopes */
    text *frozen; /* prefixes */
    text *parts;  /* of models, said by scopes of other names */
    int micro_batches;
    bool batch_statistics;
};

nn_params *nn_params_new(uint64_t seed)
{
    nn_params *p = calloc(1, sizeof *p);
    if (!p) {
        ag_fail(AG_ERR_MEMORY, "out of memory for parameters");
        return NULL;
    }
    p->seed = seed;
    p->micro_batches = 1;
    return p;
}

nn_params *nn_params_outline(void)
{
    nn_params *p = nn_params_new(0);
    if (p) p->outline = true;
    return p;
}

static void texts_free(text *t)
{
    for (text *next; t; t = next) next = t->next, free(t);
}

void nn_params_free(nn_params *p)
{
    if (!p) return;
    for (int i = 0; i < p->count; i++) {
        free(p->entries[i]->param.name);
        free(p->entries[i]->param.data);
        free(p->entries[i]);
    }
    texts_free(p->names);
    texts_free(p->frozen);
    texts_free(p->parts);
    free(p->entries);
    free(p);
}

int nn_params_count(const nn_params *p) { return p->count; }

nn_param *nn_params_at(nn_params *p, int i) { return &p->entries[i]->param; }

static entry *find(nn_params *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (!strcmp(p->entries[i]->param.name, name)) return p->entries[i];
    return NULL;
}

nn_param *nn_params_find(nn_params *p, const char *name)
{
    entry *e = find(p, name);
    return e ? &e->param : NULL;
}

int64_t nn_params_numel(const nn_params *p, nn_kind kind)
{
    int64_t sum = 0;
    for (int i = 0; i < p->count; i++)
        if (p->entries[i]->param.kind == kind) sum += p->entries[i]->param.numel;
    return sum;
}

/* ---- updates (update.h) ------------------------------------------------------------------------------------------ */

void nn_micro_batches(nn_params *p, int n) { p->micro_batches = n; }

int nn_micro_batches_of(const nn_params *p) { return p->micro_batches; }

void nn_batch_statistics(nn_scope s) { s.params->batch_statistics |= s.training; }

bool nn_has_batch_statistics(const nn_params *p) { return p->batch_statistics; }

static bool add_text(text **list, const char *name)
{
    const size_t size = strlen(name) + 1;
    text *t = malloc(sizeof *t + size);
    if (!t) return false;
    memcpy(t->name, name, size);
    t->next = *list;
    *list = t;
    return true;
}

ag_err nn_freeze(nn_params *p, const char *prefix)
{
    return add_text(&p->frozen, prefix) ? AG_OK : ag_fail(AG_ERR_MEMORY, "out of memory to freeze %s", prefix);
}

bool nn_is_frozen(const nn_params *p, const char *name)
{
    for (const text *t = p->frozen; t; t = t->next) {
        const size_t n = strlen(t->name);
        if (!strncmp(name, t->name, n) && (!name[n] || name[n] == '.')) return true;
    }
    return false;
}

const char *nn_part_at(const nn_params *p, int i)
{
    const text *t = p->parts;
    while (t && i-- > 0) t = t->next;
    return t ? t->name : NULL;
}

static bool is_part(const nn_params *p, const char *name)
{
    const text *t = p->parts;
    while (t && strcmp(t->name, name) != 0) t = t->next;
    return t;
}

nn_scope nn_part(nn_scope s, const char *part)
{
    const bool frozen = nn_is_frozen(s.params, part);
    bool known = is_part(s.params, part) || add_text(&s.params->parts, part);
    if (frozen && !nn_is_frozen(s.params, s.name)) known = known && add_text(&s.params->frozen, s.name);
    if (!known) ag_graph_fail(s.graph, AG_ERR_MEMORY, "out of memory for the parts of a model");
    s.training = s.training && !frozen;
    return s;
}

/* ---- scopes ------------------------------------------------------------------------------------------------------ */

nn_scope nn_root(nn_params *params, ag_graph *g, bool training)
{
    return (nn_scope){.params = params, .graph = g, .name = "", .training = training};
}

nn_scope nn_in(nn_scope s, const char *name)
{
    if (!name || !*name) return s;
    const size_t size = strlen(s.name) + strlen(name) + 2;
    text *t = malloc(sizeof *t + size);
    if (!t) {
        ag_graph_fail(s.graph, AG_ERR_MEMORY, "out of memory for the name of a layer");
        return s;
    }
    snprintf(t->name, size, "%s%s%s", s.name, *s.name ? "." : "", name);
    t->next = s.params->names;
    s.params->names = t;
    s.name = t->name;
    s.training = s.training && !nn_is_frozen(s.params, s.name);
    return s;
}

nn_scope nn_at(nn_scope s, const char *name, int i)
{
    char both[128];
    snprintf(both, sizeof both, "%s.%d", name, i);
    return nn_in(s, both);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static double draw(nn_init init, uint64_t seed, uint64_t stream, uint64_t i)
{
    switch (init.rule) {
    case NN_ZERO: return 0;
    case NN_CONSTANT: return init.a;
    case NN_UNIFORM: return init.a + (init.b - init.a) * ag_random_uniform(seed, stream, i);
    case NN_NORMAL: return init.a + init.b * ag_random_normal(seed, stream, i);
    case NN_TRUNCATED_NORMAL:
        for (uint64_t again = 0;; again++) {
            const double n = ag_random_normal(seed, stream + again, i);
            if (fabs(n) <= 2) return init.a + init.b * n;
        }
    }
    return 0;
}

/* No draw depends on another, so threads change nothing. */
static void fill(real *values, int64_t n, nn_init init, uint64_t seed, uint64_t stream)
{
#pragma omp parallel for schedule(static) if (n > 65536)
    for (int64_t i = 0; i < n; i++) values[i] = (real)draw(init, seed, stream, (uint64_t)i);
}

static entry *create(nn_params *p, const char *name, nn_kind kind, nn_layout layout, ag_dtype dtype, int rank,
                     const int64_t *shape, int64_t numel, nn_init init)
{
    if (p->count == p->capacity) {
        const int more = p->capacity ? 2 * p->capacity : 64;
        entry **list = realloc(p->entries, (size_t)more * sizeof *list);
        if (!list) return NULL;
        p->entries = list;
        p->capacity = more;
    }
    entry *e = calloc(1, sizeof *e);
    const size_t bytes = ((size_t)numel * ag_dtype_size(dtype) + 63) / 64 * 64;
    char *copy = strdup(name);
    void *data = p->outline ? NULL : aligned_alloc(64, bytes);
    if (!e || !copy || (!data && !p->outline)) {
        free(e), free(copy), free(data);
        return NULL;
    }
    if (data) memset(data, 0, bytes);
    e->param = (nn_param){
        .name = copy, .kind = kind, .layout = layout, .dtype = dtype, .rank = rank, .numel = numel, .data = data};
    if (rank) memcpy(e->param.shape, shape, (size_t)rank * sizeof *shape);
    if (data && init.rule != NN_ZERO) fill(data, numel, init, p->seed, ag_hash_name(name));
    return p->entries[p->count++] = e;
}

static const char *shape_text(int rank, const int64_t *shape, char to[128])
{
    size_t n = 1;
    strcpy(to, "[");
    for (int i = 0; i < rank; i++) n += (size_t)snprintf(to + n, 128 - n, i ? ",%lld" : "%lld", (long long)shape[i]);
    return strcat(to, "]");
}

static bool fits(nn_scope s, const nn_param *p, int rank, const int64_t *shape)
{
    char asked[128], found[128];
    if (p->rank == rank && (!rank || !memcmp(p->shape, shape, (size_t)rank * sizeof *shape))) return true;
    ag_graph_fail(s.graph, AG_ERR_SHAPE, "%s exists with another shape: %s asked for, %s found", p->name,
                  shape_text(rank, shape, asked), shape_text(p->rank, p->shape, found));
    return false;
}

ag_tensor *nn_tensor(nn_scope s, const char *name, nn_kind kind, nn_layout layout, int rank, const int64_t *shape,
                     nn_init init)
{
    const nn_scope full = nn_in(s, name);
    if (ag_graph_error(s.graph)) return NULL;
    entry *e = find(s.params, full.name);
    if (e && !fits(s, &e->param, rank, shape)) return NULL;
    if (e && e->graph == ag_graph_id(s.graph)) return e->tensor;
    ag_tensor *t = ag_state(s.graph, full.name, AG_REAL, rank, shape);
    if (!t) return NULL;
    if (!e) e = create(s.params, full.name, kind, layout, AG_REAL, rank, shape, ag_numel(t), init);
    if (!e) return ag_graph_fail(s.graph, AG_ERR_MEMORY, "out of memory for %s", full.name);
    if (e->param.data) ag_bind(t, e->param.data);
    e->graph = ag_graph_id(s.graph);
    e->tensor = t;
    e->reset = NULL;
    return t;
}

static entry *entry_of(nn_params *p, const ag_tensor *t)
{
    for (int i = 0; t && i < p->count; i++)
        if (p->entries[i]->tensor == t && p->entries[i]->graph == ag_graph_id(ag_graph_of(t))) return p->entries[i];
    return NULL;
}

nn_param *nn_param_of(nn_params *p, const ag_tensor *t)
{
    entry *e = entry_of(p, t);
    return e ? &e->param : NULL;
}

void nn_reset_rows(nn_params *p, const ag_tensor *t, ag_tensor *mask)
{
    entry *e = entry_of(p, t);
    if (e) e->reset = mask;
}

ag_tensor *nn_reset_rows_of(nn_params *p, const ag_tensor *t)
{
    entry *e = entry_of(p, t);
    return e ? e->reset : NULL;
}

static bool has_prefix(const char *name, const char *const *prefixes)
{
    if (!prefixes) return true;
    for (; *prefixes; prefixes++)
        if (!strncmp(name, *prefixes, strlen(*prefixes))) return true;
    return false;
}

int nn_trainable(nn_params *p, ag_graph *g, const char *const *prefixes, ag_tensor **out, int max)
{
    int n = 0;
    for (int i = 0; i < p->count; i++) {
        const entry *e = p->entries[i];
        if (e->param.kind != NN_PARAMETER || e->graph != ag_graph_id(g) || !has_prefix(e->param.name, prefixes) ||
            nn_is_frozen(p, e->param.name))
            continue;
        if (n < max) out[n] = e->tensor;
        n++;
    }
    return n;
}
