/* Vector quantization: van den Oord, Vinyals, Kavukcuoglu 2017, arXiv:1711.00937, section 3; EMA codebook: its appendix A.1.
 *
 *   k_n = argmin_j |z_n - e_j|^2        q_n = e_{k_n}        latents = z + sg(q - z)
 *   commitment = mean (z - sg(q))^2     codebook = mean (sg(z) - q)^2, means over rows and dimensions
 *
 * EMA: N <- d N + (1-d) n, M <- d M + (1-d) s, with n_k members of code k in the batch and s_k their sum;
 * N~ = (N + eps) / (sum N + K eps) * sum N;  e_k = M_k / N~_k. Debiased: N and M divided by 1 - d^t first.
 * Restart (RQ-VAE, Jukebox): after the accumulation, codes with N_k below the threshold take N_k = 1 and M_k = a row of the
 * batch. With several micro-batches an update, n and s are those of all of them, and rows come from the last. Codes are looked up, and the decoder sees them, before the update. */
#include "nn/update.h"

#include <stdlib.h>
#include <string.h>

#include "autograd/random.h"

static double decay(const nn_vq_opt *o) { return o->decay > 0 ? o->decay : 0.99; }
static double epsilon(const nn_vq_opt *o) { return o->epsilon > 0 ? o->epsilon : 1e-5; }

static ag_tensor *embedding(nn_scope s, const nn_vq_opt *o, int64_t D)
{
    nn_init init = {NN_NORMAL, 0, 1};
    if (o->start == NN_START_UNIFORM) init = (nn_init){NN_UNIFORM, -1.0 / (double)o->K, 1.0 / (double)o->K};
    return nn_tensor(s, "embedding", o->rule == NN_CODEBOOK_EMA ? NN_BUFFER : NN_PARAMETER, NN_PLAIN, 2,
                     (int64_t[]){o->K, D}, init);
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
static ag_tensor *smoothed(ag_tensor *N, const nn_vq_opt *o)
{
    ag_tensor *n = ag_sum(N);
    return ag_mul(ag_shift(N, epsilon(o)), ag_div(n, ag_shift(n, (double)o->K * epsilon(o))));
}

/* Codes whose average count is too small, as 1; and the rows of the batch that may replace them. */
static ag_tensor *dead_codes(ag_tensor *N, const nn_vq_opt *o)
{
    return ag_less(N, ag_constant(ag_graph_of(N), o->restart, 0, NULL));
}

static ag_tensor *random_rows(ag_tensor *z, int64_t K)
{
    const int64_t D = ag_dim(z, -1), n = ag_numel(z) / D;
    return ag_gather(ag_reshape(z, 2, (int64_t[]){n, D}), ag_random_rows(ag_graph_of(z), K, n));
}

/* The embedding_sum of a fresh EMA codebook is the codes themselves (as first published, even with counts of 0), or counts
 * times codes. */
static void start_sums(nn_scope s, const nn_vq_opt *o, bool fresh)
{
    if (!fresh || o->debias) return;
    const nn_param *e = nn_params_find(s.params, nn_in(s, "embedding").name);
    nn_param *m = nn_params_find(s.params, nn_in(s, "embedding_sum").name);
    const double factor = o->initial_count > 0 ? o->initial_count : 1;
    for (int64_t i = 0; e && m && i < m->numel; i++)
        ((real *)m->data)[i] = (real)(factor * (double)((const real *)e->data)[i]);
}

static void update_ema(nn_scope s, ag_tensor *e, ag_tensor *z, nn_quantized *q, const nn_vq_opt *o)
{
    const int64_t D = ag_dim(e, 1), K = o->K;
    const bool fresh = !nn_params_find(s.params, nn_in(s, "embedding_sum").name);
    ag_tensor *N0 = buffer(s, "cluster_size", 1, &K, o->debias ? 0 : o->initial_count);
    ag_tensor *M0 = buffer(s, "embedding_sum", 2, (int64_t[]){K, D}, 0);
    start_sums(s, o, fresh);
    if (!s.training) return;
    ag_tensor *N = average(N0, nn_update_sum(s, "counts", q->counts), decay(o));
    ag_tensor *M = average(M0, nn_update_sum(s, "members", ag_scatter_add(z, q->codes, K)), decay(o));
    if (o->restart > 0) {
        ag_tensor *dead = dead_codes(N, o);
        M = ag_select(column(dead), random_rows(z, K), M);
        N = ag_select(dead, ag_constant(s.graph, 1, 0, NULL), N);
        q->restarts = ag_sum(dead);
    }
    ag_graph_effect_group(s.graph, NN_EACH_UPDATE);
    ag_assign(N0, N);
    ag_assign(M0, M);
    if (o->debias) { /* power = d^t, kept from run to run */
        ag_tensor *power0 = buffer(s, "decay_power", 0, NULL, 1), *power = ag_scale(power0, decay(o));
        ag_tensor *share = ag_shift(ag_neg(power), 1);
        ag_assign(power0, power);
        N = ag_div(N, share);
        M = ag_div(M, share);
    }
    ag_assign(e, ag_div(M, column(smoothed(N, o))));
    ag_graph_effect_group(s.graph, NN_EACH_RUN);
}

/* With a codebook learned by gradient, counts are averaged only to find dead codes. */
static void restart_gradient(nn_scope s, ag_tensor *e, ag_tensor *z, nn_quantized *q, const nn_vq_opt *o)
{
    if (o->restart <= 0) return;
    ag_tensor *N0 = buffer(s, "cluster_size", 1, &o->K, o->initial_count);
    if (!s.training) return;
    ag_tensor *N = average(N0, nn_update_sum(s, "counts", q->counts), decay(o)), *dead = dead_codes(N, o);
    ag_graph_effect_group(s.graph, NN_EACH_UPDATE);
    ag_assign(N0, ag_select(dead, ag_constant(s.graph, 1, 0, NULL), N));
    ag_assign_where(e, column(dead), random_rows(z, o->K));
    ag_graph_effect_group(s.graph, NN_EACH_RUN);
    nn_reset_rows(s.params, e, dead);
    q->restarts = ag_sum(dead);
}

nn_quantized nn_vq(nn_scope s, ag_tensor *z, const nn_vq_opt *o)
{
    nn_quantized q = {.K = o->K};
    if (!z) return q;
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *e = embedding(s, o, ag_dim(z, -1)), *fixed = ag_stop_gradient(z);
    q.codes = ag_nearest(fixed, e);
    q.counts = ag_count(q.codes, o->K);
    ag_tensor *found = ag_gather(e, q.codes);
    q.latents = ag_straight_through(z, found);
    q.commitment = ag_mse(z, ag_stop_gradient(found));
    if (o->rule == NN_CODEBOOK_EMA) {
        update_ema(s, e, fixed, &q, o);
    } else {
        q.codebook = ag_mse(fixed, found);
        restart_gradient(s, e, fixed, &q, o);
    }
    ag_graph_scope(s.graph, outer);
    return q;
}

ag_tensor *nn_vq_lookup(nn_scope s, ag_tensor *codes, const nn_vq_opt *o, int64_t D)
{
    return ag_gather(embedding(s, o, D), codes);
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

ag_err nn_vq_start(nn_params *p, const char *name, const nn_vq_opt *o, int64_t n, const real *z, uint64_t seed)
{
    char full[256];
    snprintf(full, sizeof full, "%s.embedding", name);
    nn_param *e = nn_params_find(p, full);
    snprintf(full, sizeof full, "%s.embedding_sum", name);
    nn_param *sum = nn_params_find(p, full);
    snprintf(full, sizeof full, "%s.cluster_size", name);
    nn_param *size = nn_params_find(p, full);
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
    pick_rows(K, D, n, z, seed, e->data, order);
    if (o->start == NN_START_KMEANS && (err = lloyd(K, D, n, z, e->data, counts, 10))) goto out;
    for (int64_t j = 0; size && j < K; j++) ((real *)size->data)[j] = counts[j];
    for (int64_t i = 0; sum && i < K * D; i++) ((real *)sum->data)[i] = ((real *)e->data)[i] * counts[i / D];
out:
    free(order);
    free(counts);
    return err;
}
