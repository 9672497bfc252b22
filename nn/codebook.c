/* Codebooks: start, search, learning, restart.
 *
 * EMA (van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, A.1): N <- d N + (1-d) n, M <- d M + (1-d) s, with n_k members of
 * code k in the batch and s_k their sum; N~ = (N + eps) / (sum N + K eps) * sum N;  e_k = M_k / N~_k. Debiased: N and M divided by
 * 1 - d^t first. Restart (RQ-VAE, Jukebox): after the accumulation, codes with N_k below the threshold take N_k = 1 and M_k = a row of
 * the batch. With several micro-batches an update, n and s are those of all of them, and rows come from the last. */
#include "codebook.h"
#include "nn/update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/random.h"

double nn__codebook_decay(const nn_quantizer_opt *o) { return o->decay > 0 ? o->decay : 0.99; }
static double epsilon(const nn_quantizer_opt *o) { return o->epsilon > 0 ? o->epsilon : 1e-5; }

/* SimVQ: Zhu and others 2024, arXiv:2411.02038: a frozen table C ~ N(0,1/D), E = C W + b. */
static ag_tensor *reparametrized(nn__codebook *b)
{
    const nn_init init = {NN_NORMAL, 0, 1 / sqrt((double)b->D)};
    b->embedding = nn_tensor(b->s, "embedding", NN_BUFFER, NN_PLAIN, 2, (int64_t[]){b->K, b->D}, init);
    return nn_linear(nn_in(b->s, "reparametrization"), b->embedding, &(nn_linear_opt){.out = b->D});
}

static ag_tensor *embedding(const nn__codebook *b)
{
    const nn_quantizer_opt *o = b->o;
    nn_init init = {NN_NORMAL, 0, 1};
    if (o->start == NN_START_UNIFORM) init = (nn_init){NN_UNIFORM, -1.0 / (double)b->K, 1.0 / (double)b->K};
    return nn_tensor(b->s, "embedding", o->rule == NN_CODEBOOK_EMA ? NN_BUFFER : NN_PARAMETER, NN_PLAIN, 2,
                     (int64_t[]){b->K, b->D}, init);
}

static ag_tensor *buffer(nn_scope s, const char *name, int rank, const int64_t *shape, double value)
{
    return nn_tensor(s, name, NN_BUFFER, NN_PLAIN, rank, shape, (nn_init){NN_CONSTANT, value, 0});
}

/* d old + (1 - d) new */
static ag_tensor *average(ag_tensor *old, ag_tensor *new, double d)
{
    return ag_add(ag_scale(old, d), ag_scale(new, 1 - d));
}

static ag_tensor *column(ag_tensor *counts) { return ag_reshape(counts, 2, (int64_t[]){ag_dim(counts, 0), 1}); }

/* (N + eps) / (n + K eps) * n, n = sum N */
static ag_tensor *smoothed(const nn__codebook *b, ag_tensor *N)
{
    ag_tensor *n = ag_sum(N);
    return ag_mul(ag_shift(N, epsilon(b->o)), ag_div(n, ag_shift(n, (double)b->K * epsilon(b->o))));
}

/* Codes whose average count is too small, as 1; and the rows of the batch that may replace them. */
static ag_tensor *dead_codes(const nn__codebook *b, ag_tensor *N)
{
    return ag_less(N, ag_constant(ag_graph_of(N), b->o->restart, 0, NULL));
}

static ag_tensor *random_rows(ag_tensor *z, int64_t K)
{
    const int64_t D = ag_dim(z, -1), n = ag_numel(z) / D;
    return ag_gather(ag_reshape(z, 2, (int64_t[]){n, D}), ag_random_rows(ag_graph_of(z), K, n));
}

/* The embedding_sum of a fresh EMA codebook is the codes themselves (as first published, even with counts of 0), or counts
 * times codes. */
static void start_sums(nn_scope s, const nn_quantizer_opt *o)
{
    const nn_param *e = nn_params_find(s.params, nn_in(s, "embedding").name);
    nn_param *m = nn_params_find(s.params, nn_in(s, "embedding_sum").name);
    const double factor = o->initial_count > 0 ? o->initial_count : 1;
    for (int64_t i = 0; e && m && m->data && i < m->numel; i++)
        ((real *)m->data)[i] = (real)(factor * (double)((const real *)e->data)[i]);
}

nn__codebook nn__codebook_open(nn_scope s, const nn_quantizer_opt *o, int64_t D)
{
    nn__codebook b = {.s = s, .o = o, .K = o->K, .D = D};
    b.now = o->simvq ? reparametrized(&b) : (b.embedding = embedding(&b));
    if (o->cosine) b.now = ag_l2_normalize(b.now, 1e-12);
    if (o->rule == NN_CODEBOOK_EMA) {
        const bool fresh = !nn_params_find(s.params, nn_in(s, "embedding_sum").name);
        b.N = b.N0 = buffer(s, "cluster_size", 1, &b.K, o->debias ? 0 : o->initial_count);
        b.M = b.M0 = buffer(s, "embedding_sum", 2, (int64_t[]){b.K, D}, 0);
        if (fresh && !o->debias) start_sums(s, o);
        if (o->debias) b.power = b.power0 = buffer(s, "decay_power", 0, NULL, 1);
    } else if (o->restart > 0) { /* counts are averaged only to find dead codes */
        b.N = b.N0 = buffer(s, "cluster_size", 1, &b.K, o->initial_count);
    }
    return b;
}

ag_tensor *nn__codebook_find(const nn__codebook *b, ag_tensor *z) { return ag_nearest(z, b->now); }

ag_tensor *nn__codebook_take(const nn__codebook *b, ag_tensor *codes) { return ag_gather(b->now, codes); }

/* Distances in units of their mean, negative: scores [N,K]. */
static ag_tensor *scores(const nn__codebook *b, ag_tensor *z)
{
    const double T = b->o->assignment_temperature > 0 ? b->o->assignment_temperature : 0.05;
    ag_tensor *rows = ag_reshape(z, 2, (int64_t[]){ag_numel(z) / b->D, b->D}), *e = ag_stop_gradient(b->now);
    ag_tensor *squares = ag_sum_to(ag_square(rows), 2, (int64_t[]){ag_dim(rows, 0), 1});
    ag_tensor *distances = ag_add(nn__distances(rows, e), squares);
    return ag_div(ag_scale(distances, -1 / T), ag_mean(distances));
}

/* How many rows got another code than the nearest. */
static ag_tensor *count_moved(const nn__codebook *b, ag_tensor *z, ag_tensor *codes)
{
    ag_tensor *apart = ag_sub(nn__codebook_take(b, codes), nn__codebook_take(b, nn__codebook_find(b, z)));
    apart = ag_reshape(ag_square(apart), 2, (int64_t[]){ag_numel(codes), b->D});
    apart = ag_sum_to(apart, 2, (int64_t[]){ag_numel(codes), 1});
    return ag_sum(ag_less(ag_constant(b->s.graph, 0, 0, NULL), ag_stop_gradient(apart)));
}

ag_tensor *nn__codebook_choose(const nn__codebook *b, ag_tensor *z, nn_quantized *q)
{
    int64_t shape[AG_MAX_RANK];
    if (!b->s.training || b->o->assignment == NN_ASSIGN_NEAREST) return nn__codebook_find(b, z);
    for (int i = 0; i < ag_rank(z) - 1; i++) shape[i] = ag_dim(z, i);
    ag_tensor *s = scores(b, z), *codes;
    codes = b->o->assignment == NN_ASSIGN_SAMPLED ? ag_categorical(s) : nn__balanced_codes(s, 3);
    codes = ag_reshape(codes, ag_rank(z) - 1, shape);
    nn__add_counter(q, "moved", count_moved(b, z, codes), true);
    return codes;
}

static void count_restarts(nn__codebook *b)
{
    ag_tensor *n = ag_sum(b->dead);
    b->restarts = b->restarts ? ag_add(b->restarts, n) : n;
}

/* Fewer rows in a batch than codes need: each would fall below the threshold again, for ever. */
static bool restart_is_endless(const nn__codebook *b, const ag_tensor *z)
{
    const int64_t rows = nn_micro_batches_of(b->s.params) * ag_numel(z) / b->D;
    if ((double)rows > b->o->restart * (double)b->K) return false;
    ag_graph_fail(b->s.graph, AG_ERR_USAGE,
                  "restart=%g: %lld latents a batch over %lld codes are %.3g members a code, so every code would be "
                  "restarted for ever; set restart below that (a tenth: %.2g), a larger batch, or fewer codes",
                  b->o->restart, (long long)rows, (long long)b->K, (double)rows / (double)b->K,
                  0.1 * (double)rows / (double)b->K);
    return true;
}

/* The name of a sum of this update: a codebook may be updated several times in a step. */
static const char *sum_name(const nn__codebook *b, const char *what)
{
    return b->updates ? nn_at((nn_scope){.params = b->s.params, .graph = b->s.graph, .name = ""}, what, b->updates).name
                      : what;
}

static ag_tensor *if_taken(ag_tensor *takes, ag_tensor *new, ag_tensor *old)
{
    return takes ? ag_select(takes, new, old) : new;
}

static void update_ema(nn__codebook *b, ag_tensor *z, ag_tensor *codes, ag_tensor *counts, ag_tensor *takes)
{
    const nn_quantizer_opt *o = b->o;
    ag_tensor *N = average(b->N, nn_update_sum(b->s, sum_name(b, "counts"), counts), nn__codebook_decay(o));
    ag_tensor *M = average(b->M, nn_update_sum(b->s, sum_name(b, "members"), ag_scatter_add(z, codes, b->K)),
                           nn__codebook_decay(o));
    if (o->restart > 0) {
        b->dead = dead_codes(b, N);
        M = ag_select(column(b->dead), random_rows(z, b->K), M);
        N = ag_select(b->dead, ag_constant(b->s.graph, 1, 0, NULL), N);
        count_restarts(b);
    }
    b->N = N = if_taken(takes, N, b->N);
    b->M = M = if_taken(takes, M, b->M);
    if (o->debias) { /* power = d^t, kept from run to run */
        b->power = if_taken(takes, ag_scale(b->power, nn__codebook_decay(o)), b->power);
        ag_tensor *share = ag_shift(ag_neg(b->power), 1);
        N = ag_div(N, share);
        M = ag_div(M, share);
    }
    ag_tensor *now = ag_div(M, column(smoothed(b, N)));
    if (o->cosine) now = ag_l2_normalize(now, 1e-12);
    b->now = if_taken(takes, now, b->now);
}

static void update_gradient(nn__codebook *b, ag_tensor *z, ag_tensor *counts)
{
    ag_tensor *N = average(b->N, nn_update_sum(b->s, sum_name(b, "counts"), counts), nn__codebook_decay(b->o));
    b->dead = dead_codes(b, N);
    b->N = ag_select(b->dead, ag_constant(b->s.graph, 1, 0, NULL), N);
    b->fresh = random_rows(z, b->K);
    count_restarts(b);
}

void nn__codebook_update(nn__codebook *b, ag_tensor *z, ag_tensor *codes, ag_tensor *counts, ag_tensor *takes)
{
    if (!b->s.training || !b->N || !z || restart_is_endless(b, z)) return;
    if (b->M)
        update_ema(b, z, codes, counts, takes);
    else
        update_gradient(b, z, counts);
    b->updates++;
}

void nn__codebook_close(nn__codebook *b)
{
    if (!b->s.training) return;
    ag_graph_effect_group(b->s.graph, NN_EACH_UPDATE);
    if (b->N && b->N != b->N0) ag_assign(b->N0, b->N);
    if (b->M && b->M != b->M0) ag_assign(b->M0, b->M);
    if (b->power && b->power != b->power0) ag_assign(b->power0, b->power);
    if (b->M && b->updates) ag_assign(b->embedding, b->now);
    if (b->fresh) {
        ag_assign_where(b->embedding, column(b->dead), b->fresh);
        nn_reset_rows(b->s.params, b->embedding, b->dead);
    }
    ag_graph_effect_group(b->s.graph, NN_EACH_RUN);
}

/* ---- data-dependent start ----------------------------------------------------------------------------------------- */

/* K rows of z, different ones while there are enough. */
static void pick_rows(int64_t K, int64_t D, int64_t n, const real *z, uint64_t seed, real *e, int64_t *order)
{
    ag_random_permutation(seed, ag_hash_name("codebook start"), n, order);
    for (int64_t j = 0; j < K; j++) memcpy(e + j * D, z + order[j % n] * D, (size_t)D * sizeof *e);
}

/* Lloyd's algorithm as a graph: assign, average, an empty cluster keeps its centre. `counts` gets the final sizes. */
static ag_err lloyd(int64_t K, int64_t D, int64_t n, const real *z, real *e, real *counts, int iterations)
{
    ag_graph *g = ag_graph_new(0);
    if (!g) return ag_error_code();
    ag_tensor *rows = ag_input(g, "rows", AG_REAL, 2, (int64_t[]){n, D}),
              *centres = ag_state(g, "centres", AG_REAL, 2, (int64_t[]){K, D});
    ag_bind(rows, (void *)(uintptr_t)z);
    ag_bind(centres, e);
    ag_tensor *codes = ag_nearest(rows, centres), *sizes = ag_keep(ag_count(codes, K));
    ag_tensor *mean = ag_div(ag_scatter_add(rows, codes, K), column(sizes));
    ag_assign(centres, ag_select(column(sizes), mean, centres));
    ag_err err = ag_graph_plan(g, NULL);
    for (int i = 0; !err && i < iterations; i++) err = ag_graph_run(g, (uint64_t)i);
    if (!err) memcpy(counts, ag_data(sizes), (size_t)K * sizeof *counts);
    ag_graph_free(g);
    return err;
}

static nn_param *find(nn_params *p, const char *name, const char *part)
{
    char full[320];
    snprintf(full, sizeof full, "%s.%s", name, part);
    return nn_params_find(p, full);
}

static void normalize_rows(int64_t K, int64_t D, real *e)
{
    for (int64_t j = 0; j < K; j++) {
        double squares = 0;
        for (int64_t i = 0; i < D; i++) squares += (double)e[j * D + i] * (double)e[j * D + i];
        const double factor = 1 / fmax(sqrt(squares), 1e-12);
        for (int64_t i = 0; i < D; i++) e[j * D + i] = (real)((double)e[j * D + i] * factor);
    }
}

ag_err nn__codebook_start(nn_params *p, const char *name, const nn_quantizer_opt *o, int64_t n, const real *rows,
                          uint64_t seed)
{
    nn_param *e = find(p, name, "embedding"), *sum = find(p, name, "embedding_sum"),
             *size = find(p, name, "cluster_size");
    if (!e || e->rank != 2 || n < 1) return ag_fail(AG_ERR_FAILED, "%s: no codebook of that name to start", name);
    const int64_t K = e->shape[0], D = e->shape[1];
    int64_t *order = malloc((size_t)n * sizeof *order);
    real *counts = malloc((size_t)K * sizeof *counts);
    ag_err err = AG_OK;
    if (!order || !counts) {
        err = ag_fail(AG_ERR_MEMORY, "out of memory to start a codebook of %lld", (long long)K);
        goto out;
    }
    for (int64_t j = 0; j < K; j++) counts[j] = 1;
    pick_rows(K, D, n, rows, seed, e->data, order);
    if (o->start == NN_START_KMEANS && (err = lloyd(K, D, n, rows, e->data, counts, 10))) goto out;
    if (o->cosine) normalize_rows(K, D, e->data);
    for (int64_t j = 0; size && j < K; j++) ((real *)size->data)[j] = counts[j];
    for (int64_t i = 0; sum && i < K * D; i++) ((real *)sum->data)[i] = ((real *)e->data)[i] * counts[i / D];
out:
    free(order);
    free(counts);
    return err;
}

/* rest -= the nearest row of the codebook e */
static ag_err leave(int64_t K, int64_t D, int64_t n, real *e, real *rest)
{
    ag_graph *g = ag_graph_new(0);
    if (!g) return ag_error_code();
    ag_tensor *rows = ag_state(g, "rows", AG_REAL, 2, (int64_t[]){n, D}),
              *table = ag_state(g, "codes", AG_REAL, 2, (int64_t[]){K, D});
    ag_bind(rows, rest);
    ag_bind(table, e);
    ag_assign(rows, ag_sub(rows, ag_gather(table, ag_nearest(rows, table))));
    ag_err err = ag_graph_plan(g, NULL);
    if (!err) err = ag_graph_run(g, 0);
    ag_graph_free(g);
    return err;
}

/* Divides rows by the root of their mean square, which is multiplied by `gain` and becomes s_d^2 of the quantizer `name`. */
static ag_err take_scale(nn_params *p, const char *name, int d, int64_t n, real *rows, double *gain)
{
    nn_param *squares = find(p, name, "depth_square");
    double sum = 0;
    if (!squares || d >= squares->numel) return ag_fail(AG_ERR_FAILED, "%s: no scale of depth %d to start", name, d);
    for (int64_t i = 0; i < n; i++) sum += (double)rows[i] * (double)rows[i];
    const double root = sqrt(sum / (double)n);
    for (int64_t i = 0; root > 0 && i < n; i++) rows[i] = (real)((double)rows[i] / root);
    *gain *= root;
    ((real *)squares->data)[d] = (real)(*gain * *gain);
    return AG_OK;
}

ag_err nn__codebook_start_residual(nn_params *p, const char *name, const nn_quantizer_opt *o, int depth, int64_t n,
                                   const real *rows, uint64_t seed)
{
    char at[256];
    double gain = 1;
    const int64_t D = nn__quantizer_inner(o);
    const size_t bytes = (size_t)(n * D) * sizeof(real);
    real *rest = aligned_alloc(64, (bytes + 63) / 64 * 64);
    ag_err err = rest ? AG_OK : ag_fail(AG_ERR_MEMORY, "out of memory to start %s", name);
    if (rest) memcpy(rest, rows, bytes);
    for (int d = 0; d < depth && !err; d++) {
        snprintf(at, sizeof at, o->shared ? "%s" : "%s.depth.%d", name, d);
        if (o->depth_scale && (err = take_scale(p, name, d, n * D, rest, &gain))) break;
        if ((d == 0 || !o->shared) && (err = nn__codebook_start(p, at, o, n, rest, seed + (uint64_t)d))) break;
        err = leave(o->K, D, n, find(p, at, "embedding")->data, rest);
    }
    free(rest);
    return err;
}

ag_err nn__codebook_check(const nn_quantizer_opt *o)
{
    const bool gradient = o->rule == NN_CODEBOOK_GRADIENT;
    if (o->K < 1) return ag_fail(AG_ERR_USAGE, "codes=%lld: a codebook needs at least one", (long long)o->K);
    if (o->simvq && (!gradient || o->start == NN_START_KMEANS || o->start == NN_START_DATA || o->restart > 0))
        return ag_fail(AG_ERR_USAGE, "simvq=true trains a map of a frozen random table: set codebook=gradient, "
                                     "start=normal and restart=0");
    if (o->legacy_beta && !gradient)
        return ag_fail(AG_ERR_USAGE, "legacy_beta=true weighs the codebook loss: set codebook=gradient");
    if (o->orthogonal > 0 && !gradient)
        return ag_fail(AG_ERR_USAGE, "orthogonal=%g is a loss of the codes: set codebook=gradient", o->orthogonal);
    if (o->debias && gradient) return ag_fail(AG_ERR_USAGE, "debias=true corrects moving averages: set codebook=ema");
    return AG_OK;
}

ag_err nn__codebook_start_heads(nn_params *p, const char *name, const nn_quantizer_opt *o, int heads, int64_t n,
                                const real *rows, uint64_t seed)
{
    char at[256];
    const int64_t D = nn__quantizer_inner(o), d = D / heads;
    real *part = aligned_alloc(64, ((size_t)(n * d) * sizeof *part + 63) / 64 * 64);
    ag_err err = part ? AG_OK : ag_fail(AG_ERR_MEMORY, "out of memory to start %s", name);
    for (int h = 0; h < heads && !err; h++) {
        for (int64_t i = 0; i < n; i++) memcpy(part + i * d, rows + i * D + h * d, (size_t)d * sizeof *part);
        snprintf(at, sizeof at, "%s.head.%d", name, h);
        err = nn__codebook_start(p, at, o, n, part, seed + (uint64_t)h);
    }
    free(part);
    return err;
}
