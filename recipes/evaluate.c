#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "evaluate.h"
#include "metrics.h"
#include "signals.h"
#include "terminal.h"

/* Working memory of an evaluation: one batch as numbers, results per image, scratch per thread. */
typedef struct work {
    int64_t *indices;          /* [batch] */
    real *originals;           /* [batch, values] */
    double *mse, *psnr, *ssim; /* [batch] */
    double *scratch;
    size_t scratch_each;
} work;

static void work_free(work *w)
{
    free(w->indices);
    free(w->originals);
    free(w->mse);
    free(w->scratch);
}

static ag_err work_new(work *w, const run *r)
{
    const image_shape *s = &r->build.image;
    const size_t batch = (size_t)r->build.batch;
    memset(w, 0, sizeof *w);
    w->scratch_each = metric_ssim_scratch(s->height, s->width);
    w->indices = calloc(batch, sizeof *w->indices);
    w->originals = calloc(batch * (size_t)images_values(s), sizeof *w->originals);
    w->mse = calloc(3 * batch, sizeof *w->mse);
    w->scratch = calloc(w->scratch_each * (size_t)omp_get_max_threads(), sizeof *w->scratch);
    if (!w->indices || !w->originals || !w->mse || !w->scratch)
        return ag_fail(AG_ERR_MEMORY, "no memory to evaluate %lld images at a time", (long long)batch);
    w->psnr = w->mse + batch;
    w->ssim = w->psnr + batch;
    return AG_OK;
}

int64_t evaluate_bytes(const run *r)
{
    const image_shape *s = &r->build.image;
    const int64_t batch = r->build.batch, scratch = (int64_t)metric_ssim_scratch(s->height, s->width);
    return batch * (images_values(s) * (int64_t)sizeof(real) + 32) + scratch * 8 * omp_get_max_threads();
}

/* Images first .. first + batch - 1 through the graph; past the end the last image is repeated. *valid: how many count. */
static ag_err run_batch(run *r, data_set *set, int64_t n, const int64_t *indices, int64_t first, int64_t *at,
                        int64_t *valid)
{
    const int64_t batch = r->build.batch;
    *valid = n - first < batch ? n - first : batch;
    for (int64_t i = 0; i < batch; i++) at[i] = indices[i < *valid ? first + i : n - 1];
    const ag_err err = images_read(set, &r->build.image, batch, at, ag_data(r->pixels));
    return err ? err : ag_graph_run_pure(r->graph, 0);
}

static void measure(const run *r, work *w, int64_t valid)
{
    const image_shape *s = &r->build.image;
    const int64_t values = images_values(s);
    const real *y = ag_data(r->reconstruction);
    images_to_real(s, valid * values, ag_data(r->pixels), w->originals);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < valid; i++) {
        const real *a = w->originals + i * values, *b = y + i * values;
        double *scratch = w->scratch + w->scratch_each * (size_t)omp_get_thread_num();
        w->mse[i] = metric_mse(values, a, b);
        w->psnr[i] = metric_psnr(values, a, b);
        w->ssim[i] = metric_ssim(s->height, s->width, s->channels, a, b, scratch);
    }
}

/* Codes of quantizer q of the valid images of a batch, from codebook `book` on. */
static void add_codes(evaluation *e, const run *r, int q, int book, int64_t valid)
{
    const nn_quantized *z = &r->quantizers[q];
    if (!z->codes) return;
    const int32_t *codes = ag_data(z->codes);
    const int64_t each = ag_numel(z->codes) / r->build.batch;
    for (int64_t i = 0; i < each; i++) {
        const int at = book + nn_quantized_book(z, i);
        if (at >= e->n_codebooks) continue;
        for (int64_t n = 0; n < valid; n++) e->codebooks[at].counts[codes[n * each + i]]++;
        if (!e->images) e->codebooks[at].each++;
    }
}

/* Adds the results of a batch in the order of the images, whatever thread made them. */
static void add_batch(evaluation *e, const run *r, const work *w, int64_t valid)
{
    for (int64_t i = 0; i < valid; i++) {
        e->mse += w->mse[i];
        e->psnr += w->psnr[i];
        e->ssim += w->ssim[i];
    }
    for (int q = 0, book = 0; q < r->n_quantizers; book += r->quantizers[q++].books) add_codes(e, r, q, book, valid);
    e->images += valid;
}

static ag_err start(evaluation *e, const run *r)
{
    memset(e, 0, sizeof *e);
    e->ssim_window = metric_ssim_window(r->build.image.height, r->build.image.width);
    e->n_codebooks = run_books(r);
    e->grids = recipe_grids(r->recipe, r->options, &r->build.image);
    for (int q = 0, at = 0; q < r->n_quantizers; q++)
        for (int i = 0; i < r->quantizers[q].books && at < e->n_codebooks; i++, at++) {
            const int64_t K = e->codebooks[at].codes = r->quantizers[q].K;
            evaluation_codebook *c = &e->codebooks[at];
            c->level = q;
            run_book_name(r, at, c->name);
            r->recipe->grid(r->options, &r->build.image, q, &c->grid[0], &c->grid[1]);
            if (!(c->counts = calloc((size_t)K, sizeof(double))))
                return ag_fail(AG_ERR_MEMORY, "no memory for the counts of %lld codes", (long long)K);
        }
    return AG_OK;
}

static void finish(evaluation *e, const run *r, double variance)
{
    const image_shape *s = &r->build.image;
    const double n = (double)e->images;
    e->mse /= n;
    e->psnr /= n;
    e->ssim /= n;
    e->nmse = e->mse / variance;
    for (int q = 0; q < e->n_codebooks; q++) {
        evaluation_codebook *c = &e->codebooks[q];
        c->used = metric_used(c->codes, c->counts);
        c->usage = (double)c->used / (double)c->codes;
        c->perplexity = metric_perplexity(c->codes, c->counts);
        e->bits_per_pixel += (double)c->each * log2((double)c->codes) / (double)(s->height * s->width);
    }
}

ag_err evaluate(evaluation *out, run *r, data_set *set, int64_t n, const int64_t *indices, double variance,
                const char *label)
{
    work w;
    int64_t valid;
    ag_err err = start(out, r);
    if (err) return err;
    err = work_new(&w, r);
    for (int64_t first = 0; !err && first < n; first += r->build.batch) {
        if ((err = run_batch(r, set, n, indices, first, w.indices, &valid))) break;
        measure(r, &w, valid);
        add_batch(out, r, &w, valid);
        if (label) terminal_live("%s %lld/%lld images", label, (long long)out->images, (long long)n);
        if (signals_received()) err = ag_fail(AG_ERR_FAILED, "evaluation stopped by a signal");
    }
    if (!err) finish(out, r, variance);
    work_free(&w);
    return err;
}

void evaluation_free(evaluation *e)
{
    for (int q = 0; q < e->n_codebooks; q++) {
        free(e->codebooks[q].counts);
        e->codebooks[q].counts = NULL;
    }
}

static void means_text(const evaluation *e, char *out, size_t size)
{
    double used = 0, codes = 0, perplexity = 0;
    const int n = e->n_codebooks;
    for (int i = 0; i < n; i++) {
        const evaluation_codebook *c = &e->codebooks[i];
        used += (double)c->used, codes += (double)c->codes, perplexity += c->perplexity;
    }
    snprintf(out, size, "%.1f of %.0f codes used, perplexity %.1f (means of %d codebooks)", used / n, codes / n,
             perplexity / n, n);
}

void evaluation_codes_text(const evaluation *e, char *out, size_t size)
{
    out[0] = 0;
    if (e->n_codebooks > RUN_BOOKS_SHOWN) {
        means_text(e, out, size);
        return;
    }
    for (int i = 0; i < e->n_codebooks; i++) {
        const evaluation_codebook *c = &e->codebooks[i];
        const size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s%s%lld of %lld codes used, perplexity %.1f", i ? "; " : "", c->name,
                 *c->name ? ": " : "", (long long)c->used, (long long)c->codes, c->perplexity);
    }
}

cJSON *evaluation_to_json(const evaluation *e)
{
    cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
    cJSON_AddNumberToObject(o, "images", (double)e->images);
    cJSON_AddNumberToObject(o, "mse", e->mse);
    cJSON_AddNumberToObject(o, "nmse", e->nmse);
    cJSON_AddNumberToObject(o, "psnr", e->psnr);
    cJSON_AddNumberToObject(o, "ssim", e->ssim);
    cJSON_AddNumberToObject(o, "ssim_window", e->ssim_window);
    cJSON_AddNumberToObject(o, "bits_per_pixel", e->bits_per_pixel);
    for (int q = 0; q < e->n_codebooks; q++) {
        const evaluation_codebook *c = &e->codebooks[q];
        cJSON *item = cJSON_CreateObject();
        if (*c->name) cJSON_AddStringToObject(item, "name", c->name);
        cJSON_AddNumberToObject(item, "codes", (double)c->codes);
        cJSON_AddNumberToObject(item, "used", (double)c->used);
        cJSON_AddNumberToObject(item, "usage", c->usage);
        cJSON_AddNumberToObject(item, "perplexity", c->perplexity);
        if (e->grids > 1) cJSON_AddNumberToObject(item, "level", c->level);
        if (e->grids > 1)
            cJSON_AddItemToObject(item, "grid", cJSON_CreateIntArray((int[]){(int)c->grid[0], (int)c->grid[1]}, 2));
        cJSON_AddItemToArray(list, item);
    }
    cJSON_AddItemToObject(o, "codebooks", list);
    return o;
}

ag_err evaluate_pixels(run *r, data_set *set, int64_t n, const int64_t *indices, uint8_t *originals,
                       uint8_t *reconstructions)
{
    const int64_t values = images_values(&r->build.image);
    int64_t valid;
    int64_t *at = calloc((size_t)r->build.batch, sizeof *at);
    ag_err err = at ? AG_OK : ag_fail(AG_ERR_MEMORY, "no memory for a batch of indices");
    for (int64_t first = 0; !err && first < n; first += r->build.batch) {
        if ((err = run_batch(r, set, n, indices, first, at, &valid))) break;
        const size_t bytes = (size_t)(valid * values);
        if (originals) images_to_u8(&r->build.image, valid * values, ag_data(r->pixels), originals + first * values);
        if (reconstructions) memcpy(reconstructions + first * values, ag_data(r->reconstruction_pixels), bytes);
        if (signals_received()) err = ag_fail(AG_ERR_FAILED, "stopped by a signal");
    }
    free(at);
    return err;
}
