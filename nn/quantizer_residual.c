/* Residual quantization: Lee, Kim, Kim, Cho, Han 2022, arXiv:2203.01941 (RQ-VAE); dropout of depths: Zeghidour and others 2021,
 * arXiv:2107.03312.
 *
 *   r_0 = sg(z)   k_d = nearest(r_{d-1})   r_d = r_{d-1} - e_{k_d}   zhat_d = sum_{i<=d} e_{k_i}   latents = z + sg(zhat_D - z)
 *   commitment = (1/D) sum_d mean (z - sg(zhat_d))^2: a mean over depths of partial sums against z, as in the public code (the
 *   paper adds the depths).   codebook = the same with the gradient to the codes.
 *
 * An EMA codebook that all depths share learns once per depth, in sequence: depth d+1 searches what depth d has made of it, so its
 * averages decay by d^D a step (the public code). update_once: all depths search the same codes, and one update takes the members of
 * all. In a step that drops depths, their codes add nothing and teach nothing. With several micro-batches an update neither a codebook
 * that learns in sequence nor a draw of depths would be the same for all of them: both are refused.
 *
 * depth_scale (ours): depth d searches r_{d-1} / s_d and adds s_d e_k; s_d^2 is the moving average of the mean square of r_{d-1}. Each
 * depth leaves rows several times shorter than it found; unscaled, a shared codebook is divided among the depths by length. */
#include "codebook.h"
#include "nn/update.h"

enum { MOST_DEPTHS = 32 };

static int depth(const nn_quantizer_opt *o) { return o->depth ? o->depth : 4; }

static ag_err check(const nn_quantizer_opt *o)
{
    if (depth(o) < 1 || depth(o) > MOST_DEPTHS)
        return ag_fail(AG_ERR_USAGE, "depth=%d; 1 to %d fit", o->depth, MOST_DEPTHS);
    if (o->update_once && !o->shared)
        return ag_fail(AG_ERR_USAGE, "update_once=true needs one codebook for all depths: set shared=true");
    if (o->depth_scale && !o->shared)
        return ag_fail(AG_ERR_USAGE, "depth_scale=true is for one codebook of all depths: set shared=true");
    if (o->quantizer_dropout < 0 || o->quantizer_dropout > 1)
        return ag_fail(AG_ERR_USAGE, "quantizer_dropout=%g is no probability", o->quantizer_dropout);
    if (o->cosine)
        return ag_fail(AG_ERR_USAGE, "cosine=true: what a depth leaves has no length of 1; use quantizer=vq");
    return nn__codebook_check(o);
}

/* Codes learned by gradient learn once in any case: from the sum of all depths' gradients. */
static bool once(const nn_quantizer_opt *o) { return o->update_once || (o->shared && o->rule == NN_CODEBOOK_GRADIENT); }

static nn_scope at(nn_scope s, const nn_quantizer_opt *o, int d) { return o->shared ? s : nn_at(s, "depth", d); }

/* [] 1 if depth d takes part in this step, else 0; NULL: it always does. */
static ag_tensor *drawn(nn_scope s, const nn_quantizer_opt *o, ag_tensor **draws, int d)
{
    if (!s.training || o->quantizer_dropout <= 0 || d == 0) return NULL;
    for (int i = 0; i < 2 && !draws[i]; i++) draws[i] = ag_uniform(s.graph, 0, NULL, 0, 1);
    ag_tensor *drops = ag_less(draws[0], ag_constant(s.graph, o->quantizer_dropout, 0, NULL));
    ag_tensor *past = ag_less(ag_scale(draws[1], depth(o)), ag_constant(s.graph, d, 0, NULL));
    return ag_shift(ag_neg(ag_mul(drops, past)), 1);
}

/* [depth] s_d^2; NULL without depth_scale. */
static ag_tensor *squares_of(nn_scope s, const nn_quantizer_opt *o)
{
    const int64_t n = depth(o);
    return o->depth_scale ? nn_tensor(s, "depth_square", NN_BUFFER, NN_PLAIN, 1, &n, (nn_init){NN_CONSTANT, 1, 0})
                          : NULL;
}

/* x times s_d, or divided by it. */
static ag_tensor *scaled(ag_tensor *x, ag_tensor *squares, int d, ag_tensor *(*by)(ag_tensor *, ag_tensor *))
{
    if (!squares) return x;
    return by(x, ag_sqrt(ag_shift(ag_reshape(ag_slice_axis(squares, 0, d, 1), 0, NULL), 1e-12)));
}

typedef struct depths {
    ag_tensor *codes[MOST_DEPTHS], *counts[MOST_DEPTHS], *rest[MOST_DEPTHS], *now[MOST_DEPTHS];
    ag_tensor *squares, *commitment, *codebook, *restarts;
} depths;

static ag_tensor *plus(ag_tensor *a, ag_tensor *b) { return a && b ? ag_add(a, b) : a ? a : b; }

/* [1] s_d^2 after this step. */
static ag_tensor *average_square(const nn__codebook *book, const nn_quantizer_opt *o, ag_tensor *rest, ag_tensor *takes,
                                 int d, const depths *all)
{
    const double decay = nn__codebook_decay(o);
    ag_tensor *old = ag_slice_axis(all->squares, 0, d, 1);
    const nn_scope alone = {.params = book->s.params, .graph = book->s.graph, .name = ""};
    ag_tensor *sum = nn_update_sum(book->s, nn_at(alone, "square", d).name, ag_mean(ag_square(rest)));
    ag_tensor *mean = ag_reshape(ag_scale(sum, 1.0 / nn_micro_batches_of(book->s.params)), 1, (int64_t[]){1});
    ag_tensor *new = ag_add(ag_scale(old, decay), ag_scale(mean, 1 - decay));
    return takes ? ag_select(takes, new, old) : new;
}

/* The averages of all depths become effects. */
static void keep_squares(nn_scope s, const nn_quantizer_opt *o, const depths *all)
{
    if (!all->squares || !s.training) return;
    ag_graph_effect_group(s.graph, NN_EACH_UPDATE);
    ag_assign(all->squares, ag_concat(depth(o), all->now, 0));
    ag_graph_effect_group(s.graph, NN_EACH_RUN);
}

/* Finds the codes of depth d, adds its rows to *sum and returns what is left. */
static ag_tensor *one_depth(nn__codebook *book, const nn_quantizer_opt *o, ag_tensor *rest, ag_tensor *takes, int d,
                            depths *all, ag_tensor **sum)
{
    ag_tensor *row = all->rest[d] = scaled(rest, all->squares, d, ag_div);
    all->codes[d] = nn__codebook_find(book, row);
    ag_tensor *counts = ag_count(all->codes[d], o->K);
    ag_tensor *found = scaled(nn__codebook_take(book, all->codes[d]), all->squares, d, ag_mul);
    if (all->squares && book->s.training) all->now[d] = average_square(book, o, rest, takes, d, all);
    all->counts[d] = ag_reshape(counts, 2, (int64_t[]){1, o->K});
    if (takes) found = ag_mul(found, takes);
    *sum = plus(*sum, found);
    if (!once(o)) nn__codebook_update(book, row, all->codes[d], counts, takes);
    return ag_sub(rest, ag_stop_gradient(found));
}

/* One update of a shared codebook from the members of all depths. */
static void update_all(nn__codebook *book, const nn_quantizer_opt *o, depths *all, int64_t D)
{
    const int n = depth(o);
    ag_tensor *rows[MOST_DEPTHS], *codes[MOST_DEPTHS];
    for (int d = 0; d < n; d++) {
        const int64_t count = ag_numel(all->codes[d]);
        rows[d] = ag_reshape(all->rest[d], 2, (int64_t[]){count, D});
        codes[d] = ag_reshape(all->codes[d], 1, &count);
    }
    ag_tensor *members = ag_concat(n, codes, 0);
    nn__codebook_update(book, ag_concat(n, rows, 0), members, ag_count(members, o->K), NULL);
}

static bool fits_micro_batches(nn_scope s, const nn_quantizer_opt *o)
{
    if (!s.training || nn_micro_batches_of(s.params) == 1 || depth(o) == 1) return true;
    if (o->quantizer_dropout <= 0 && (once(o) || !o->shared)) return true;
    ag_graph_fail(s.graph, AG_ERR_USAGE,
                  "accumulate=%d: a shared codebook that learns once per depth, and dropout of depths, need the whole "
                  "batch at once; set update_once=true and quantizer_dropout=0, or accumulate=1",
                  nn_micro_batches_of(s.params));
    return false;
}

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)step;
    const int n = depth(o);
    const int64_t D = ag_dim(z, -1);
    nn_quantized q = {.rows = z};
    nn__codebook book;
    depths all = {.squares = squares_of(s, o)};
    if (!fits_micro_batches(s, o)) return q;
    ag_tensor *fixed = ag_stop_gradient(z), *rest = fixed, *sum = NULL, *draws[2] = {NULL, NULL};
    for (int d = 0; d < n; d++) {
        if (d == 0 || !o->shared) book = nn__codebook_open(at(s, o, d), o, D);
        rest = one_depth(&book, o, rest, drawn(s, o, draws, d), d, &all, &sum);
        all.commitment = plus(all.commitment, ag_mse(z, ag_stop_gradient(sum)));
        if (o->rule == NN_CODEBOOK_GRADIENT) all.codebook = plus(all.codebook, ag_mse(fixed, sum));
        if (o->shared && d < n - 1) continue;
        if (once(o)) update_all(&book, o, &all, D);
        nn__codebook_close(&book);
        all.restarts = plus(all.restarts, book.restarts);
    }
    keep_squares(s, o, &all);
    q.codes = n > 1 ? ag_stack(n, all.codes, ag_rank(z) - 1) : all.codes[0];
    q.counts = ag_concat(n, all.counts, 0);
    q.latents = nn__pass_through(z, sum, o->rotation && s.training);
    nn__add_codebook_terms(&q, o, ag_scale(all.commitment, 1.0 / n),
                           all.codebook ? ag_scale(all.codebook, 1.0 / n) : NULL);
    nn__add_counter(&q, "restarts", all.restarts, true);
    return q;
}

static ag_tensor *lookup(nn_scope s, ag_tensor *codes, const nn_quantizer_opt *o)
{
    const int n = depth(o), rank = ag_rank(codes);
    ag_tensor *sum = NULL, *squares = squares_of(s, o);
    int64_t shape[AG_MAX_RANK];
    for (int i = 0; i < rank - 1; i++) shape[i] = ag_dim(codes, i);
    for (int d = 0; d < n; d++) {
        const nn__codebook book = nn__codebook_open(at(s, o, d), o, nn__quantizer_inner(o));
        ag_tensor *one = n > 1 ? ag_reshape(ag_slice_axis(codes, -1, d, 1), rank - 1, shape) : codes;
        sum = plus(sum, scaled(nn__codebook_take(&book, one), squares, d, ag_mul));
    }
    return sum;
}

/* Each depth starts from what the depths before it leave of the rows; a shared codebook from the rows (divided by their s_1). */
static ag_err start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                    uint64_t seed)
{
    if (o->shared && !o->depth_scale) return nn__codebook_start(p, name, o, n, rows, seed);
    return nn__codebook_start_residual(p, name, o, depth(o), n, rows, seed);
}

const nn__quantizer nn__quantizer_residual = {
    .quantize = quantize, .lookup = lookup, .check = check, .start = start, .depth = depth, .part = "depth"};
