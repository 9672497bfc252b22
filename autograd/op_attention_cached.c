/* attention_cached  y = attention of q [N,L,H,D] over slots 0..position-1 of the caches [N,S,H,D] and the new k, v [N,L,H,D],
 *         which are slots position..position+L-1; causal, or by the rows of a mask [S,S]. No gradient.
 * write_slots  effect: rows position.. of a state [N,S,...] become those of a tensor [N,L,...]
 * A position outside 0..S-L is taken as the nearest inside. */
#include "engine.h"

#include <math.h>
#include <string.h>

typedef struct options {
    double scale;
    bool mask;
} options;

static int64_t position_of(const ag_tensor *position, int64_t slots, int64_t fresh)
{
    const int64_t p = *(const int32_t *)position->data;
    return p < 0 ? 0 : p > slots - fresh ? slots - fresh : p;
}

static ag_err check_position(const ag_tensor *p)
{
    return p->dtype == AG_I32 && p->numel == 1 ? AG_OK : ag_fail(AG_ERR_SHAPE, "the position must be one i32");
}

/* Inputs: q, k, v, cache_k, cache_v, position, [mask]. */
static ag_err attention_cached_shape(ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *q = y->in[0], *cache = y->in[3];
    for (int i = 0; i < 5; i++)
        if (y->in[i]->dtype != AG_REAL || y->in[i]->rank != 4)
            return ag_fail(AG_ERR_SHAPE, "queries, keys, values and caches must be real [N,L,H,D]");
    if (!ag__same_shape(q, y->in[1]) || !ag__same_shape(q, y->in[2]) || !ag__same_shape(cache, y->in[4]))
        return ag_fail(AG_ERR_SHAPE, "new queries, keys and values, or the two caches, differ in shape");
    if (cache->shape[0] != q->shape[0] || cache->shape[2] != q->shape[2] || cache->shape[3] != q->shape[3] ||
        cache->shape[1] < q->shape[1])
        return ag_fail(AG_ERR_SHAPE, "the cache %s does not hold slots of %s", ag__shape_text(cache),
                       ag__shape_text(q));
    const ag_err err = check_position(y->in[5]);
    if (err) return err;
    if (o->mask) {
        const ag_tensor *m = y->in[6];
        if (m->dtype != AG_U8 || m->rank != 2 || m->shape[0] != cache->shape[1] || m->shape[1] != cache->shape[1])
            return ag_fail(AG_ERR_SHAPE, "the mask must be u8 [S,S] for %lld slots", (long long)cache->shape[1]);
    }
    return ag__shape_copy(y, q);
}

static k_attention sizes(const ag_tensor *y)
{
    const options *o = y->attr;
    const ag_tensor *q = y->in[0];
    k_attention a = {.n = q->shape[0],
                     .lq = q->shape[1],
                     .lk = q->shape[1],
                     .heads = q->shape[2],
                     .d = q->shape[3],
                     .scale = o->scale};
    if (o->mask) a.mask = y->in[6]->data, a.mask_query = y->in[3]->shape[1];
    return a;
}

static void attention_cached_run(const ag_tensor *y)
{
    const k_attention a = sizes(y);
    const int64_t slots = y->in[3]->shape[1];
    k.attention_cached(&a, slots, position_of(y->in[5], slots, a.lq), ag__in(y, 0), ag__in(y, 1), ag__in(y, 2),
                       ag__in(y, 3), ag__in(y, 4), y->data, y->scratch);
}

static size_t attention_cached_scratch(const ag_tensor *y)
{
    const k_attention a = sizes(y);
    return k.attention_cached_scratch(&a, y->in[3]->shape[1]);
}

static double attention_cached_flops(const ag_tensor *y) { return 4 * (double)y->numel * (double)y->in[3]->shape[1]; }

const ag__rule ag__attention_cached = {.shape = attention_cached_shape,
                                       .run = attention_cached_run,
                                       .scratch = attention_cached_scratch,
                                       .flops = attention_cached_flops};

ag_tensor *ag_attention_cached(ag_tensor *q, ag_tensor *k_, ag_tensor *v, ag_tensor *cache_k, ag_tensor *cache_v,
                               ag_tensor *position, ag_tensor *mask, double scale)
{
    ag_tensor *in[7] = {q, k_, v, cache_k, cache_v, position, mask};
    options o = {.scale = scale, .mask = mask};
    if (o.scale == 0) o.scale = 1 / sqrt((double)ag_dim(q, -1));
    return ag__node(AG__OP_attention_cached, 6 + o.mask, in, &o, sizeof o);
}

static ag_err write_slots_shape(ag_tensor *y)
{
    const ag_tensor *state = y->in[0], *rows = y->in[1];
    if (state->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "only a state can be written to");
    bool fit = state->rank == rows->rank && state->rank >= 2 && state->dtype == rows->dtype &&
               rows->shape[1] <= state->shape[1];
    for (int i = 0; fit && i < state->rank; i++) fit = i == 1 || state->shape[i] == rows->shape[i];
    if (!fit) return ag_fail(AG_ERR_SHAPE, "rows [N,L,...] do not fit a state [N,S,...]");
    const ag_err err = check_position(y->in[2]);
    return err ? err : ag__shape_set(y, 0, NULL);
}

static void write_slots_run(const ag_tensor *y)
{
    const ag_tensor *state = y->in[0], *rows = y->in[1];
    const int64_t slots = state->shape[1], fresh = rows->shape[1], at = position_of(y->in[2], slots, fresh);
    const size_t row = ag_bytes(rows) / (size_t)(rows->shape[0] * fresh);
    for (int64_t n = 0; n < rows->shape[0]; n++)
        memcpy((char *)state->data + (size_t)(n * slots + at) * row,
               (const char *)rows->data + (size_t)(n * fresh) * row, (size_t)fresh * row);
}

static double nothing(const ag_tensor *y)
{
    (void)y;
    return 0;
}

const ag__rule ag__write_slots = {.shape = write_slots_shape, .run = write_slots_run, .flops = nothing, .effect = true};

void ag_write_slots(ag_tensor *state, ag_tensor *rows, ag_tensor *position)
{
    ag__node(AG__OP_write_slots, 3, (ag_tensor *[]){state, rows, position}, NULL, 0);
}
