/* Figures of training: sums over the steps since the last line, the line itself, the live line. */
#include <math.h>
#include <string.h>

#include "metrics.h"
#include "terminal.h"
#include "trainer.h"

/* ---- sums ---------------------------------------------------------------------------------------------------------------- */

static void add_counts(trainer *t, int q)
{
    const nn_quantized *z = &t->train->quantizers[q];
    const real *counts = z->counts ? ag_data(z->counts) : NULL;
    for (int64_t k = 0; counts && k < z->books * z->K; k++) t->counts[q][k] += (double)counts[k];
}

void train_log_run(trainer *t, double waited)
{
    train_window *w = &t->window;
    const run *r = t->train;
    w->runs++;
    w->waited += waited;
    w->loss += ag_value(r->total);
    w->mse += ag_value(r->mse) / (r->recipe->scale * r->recipe->scale);
    for (int i = 0; i < r->n_losses; i++) w->losses[i] += ag_value(r->losses[i].tensor);
    for (int i = 0; i < r->n_metrics; i++) w->metrics[i] += ag_value(r->metrics[i].tensor);
    for (int q = 0; q < r->n_quantizers; q++) add_counts(t, q);
}

/* Figures of every book of a quantizer; *book counts the books of all. */
static void add_quantizer(trainer *t, int q, int *book)
{
    const nn_quantized *z = &t->train->quantizers[q];
    double *counts = t->counts[q];
    for (int i = 0; i < z->books && *book < RUN_BOOKS; i++, ++*book) {
        t->window.used[*book] += (double)metric_used(z->K, counts + i * z->K);
        t->window.perplexity[*book] += metric_perplexity(z->K, counts + i * z->K);
    }
    memset(counts, 0, (size_t)(z->books * z->K) * sizeof *counts);
    for (int i = 0; i < z->n_counters; i++) t->window.counters[q][i] += ag_value(z->counters[i].value);
}

static void add_norms(trainer *t)
{
    const run *r = t->train;
    for (int i = 0; i < r->n_phases; i++) {
        if (!r->phases[i].norm || t->step <= r->phases[i].o.start) continue; /* t->step counts the update just made */
        const double norm = ag_value(r->phases[i].norm);
        t->window.norms[i] += norm;
        t->window.clipped[i] += t->o->clip > 0 && norm > t->o->clip;
        t->window.updates[i]++;
    }
}

void train_log_step(trainer *t)
{
    t->window.steps++;
    add_norms(t);
    int book = 0;
    for (int q = 0; q < t->train->n_quantizers; q++) add_quantizer(t, q, &book);
}

/* ---- a line ---------------------------------------------------------------------------------------------------------------- */

static double psnr(double mse) { return -10 * log10(mse > 1e-10 ? mse : 1e-10); }

/* "perplexity" for the only codebook, "perplexity.1" for the second of several. */
static const char *numbered(char *out, size_t size, const char *name, int q, int n)
{
    if (n > 1)
        snprintf(out, size, "%s.%d", name, q);
    else
        snprintf(out, size, "%s", name);
    return out;
}

static void add(train_figures *f, const char *name, double value)
{
    if (f->n == TRAIN_FIGURES) return;
    snprintf(f->names[f->n], sizeof f->names[0], "%s", name);
    f->values[f->n++] = value;
}

/* "grad_norm", or "grad_norm.discriminator" where phases have names: before clipping. */
static void norm_figures(const trainer *t, train_figures *f)
{
    const train_window *w = &t->window;
    for (int i = 0; i < t->train->n_phases; i++) {
        const char *phase = t->train->phases[i].o.name;
        char name[32];
        if (w->updates[i] < 1) continue;
        snprintf(name, sizeof name, "grad_norm%s%.16s", phase ? "." : "", phase ? phase : "");
        add(f, name, w->norms[i] / w->updates[i]);
        snprintf(name, sizeof name, "clipped%s%.16s", phase ? "." : "", phase ? phase : "");
        if (t->o->clip > 0) add(f, name, w->clipped[i] / w->updates[i]);
    }
}

static void window_figures(const trainer *t, train_figures *f)
{
    const train_window *w = &t->window;
    const run *r = t->train;
    const double steps = (double)w->steps, n = (double)w->runs, seconds = terminal_clock() - w->began;
    const opt_schedule schedule = run_schedule(r);
    char name[32];
    add(f, "epoch", data_loader_epoch(t->loader));
    add(f, "lr", opt_rate(&schedule, t->step));
    add(f, "images_per_s", seconds > 0 ? n * (double)t->o->batch / seconds : 0);
    add(f, "data_wait", seconds > 0 ? w->waited / seconds : 0);
    add(f, "loss", w->loss / n);
    for (int i = 0; i < r->n_losses; i++) add(f, r->losses[i].name, w->losses[i] / n);
    for (int i = 0; i < r->n_metrics; i++) add(f, r->metrics[i].name, w->metrics[i] / n);
    norm_figures(t, f);
    add(f, "nmse", w->mse / n / t->variance);
    add(f, "psnr", psnr(w->mse / n));
    const int books = run_books(r);
    for (int i = 0; i < books; i++) {
        add(f, numbered(name, sizeof name, "codes_used", i, books), w->used[i] / steps);
        add(f, numbered(name, sizeof name, "perplexity", i, books), w->perplexity[i] / steps);
    }
    for (int q = 0; q < r->n_quantizers; q++)
        for (int i = 0; i < r->quantizers[q].n_counters; i++) {
            const nn_quantized_counter *c = &r->quantizers[q].counters[i];
            add(f, numbered(name, sizeof name, c->name, q, r->n_quantizers),
                c->sum ? w->counters[q][i] : w->counters[q][i] / steps);
        }
}

/* By the rate of the lines so far, the last ones counting most. */
static double eta(const trainer *t, double images_per_s)
{
    const double rate = t->rate > 0 ? t->rate : images_per_s;
    return rate > 0 ? (double)((t->o->steps - t->step) * t->o->batch * t->o->accumulate) / rate : 0;
}

/* How a figure is called where space is short; NULL: not shown there. */
static const char *short_name(const char *name)
{
    static const char *const table[][2] = {{"grad_norm", NULL},    {"epoch", NULL},           {"lr", NULL},
                                           {"images_per_s", NULL}, {"data_wait", NULL},       {"codes_used", "codes"},
                                           {"perplexity", "ppl"},  {"reconstruction", "rec"}, {"commitment", "commit"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(name, table[i][0])) return table[i][1];
    return name;
}

/* The figures of a line as people read them. */
static void line_text(const train_figures *f, char *out, size_t size)
{
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < f->n && n < size; i++) {
        const char *name = short_name(f->names[i]);
        if (name) n += (size_t)snprintf(out + n, size - n, " %s %.4g", name, f->values[i]);
    }
}

/* "step 1200/50000 | loss 0.0831 rec 0.0712 | lr 2.0e-04 | 38.2 img/s | eta 1h12m" */
static void whole_line(const trainer *t, const train_figures *f, char *out, size_t size)
{
    char figures[1024], left[32];
    line_text(f, figures, sizeof figures);
    snprintf(out, size, "step %lld/%lld |%s | lr %.3g | %.1f img/s | eta %s", (long long)t->step,
             (long long)t->o->steps, figures, f->values[1], f->values[2],
             terminal_duration(eta(t, f->values[2]), left, sizeof left));
}

ag_err train_log_write(trainer *t)
{
    train_figures f = {0};
    char line[1280];
    if (!t->window.steps) return AG_OK;
    window_figures(t, &f);
    t->rate = t->rate > 0 ? 0.7 * t->rate + 0.3 * f.values[2] : f.values[2];
    whole_line(t, &f, line, sizeof line);
    if (!terminal_is_live() || t->step == t->o->steps) terminal_line("%s", line);
    t->window = (train_window){.began = terminal_clock()};
    return train_record_figures(t, "train", &f);
}

/* The means of the steps since the last line, as they stand. */
void train_log_live(trainer *t)
{
    if (!terminal_live_due() || !t->window.steps) return;
    train_figures f = {0};
    char line[1280];
    window_figures(t, &f);
    whole_line(t, &f, line, sizeof line);
    terminal_live("%s", line);
}

ag_err train_log_evaluation(trainer *t, const evaluation *e, const evaluation *last)
{
    train_figures f = {0};
    char name[32], codes[96] = "", raw[96] = "";
    add(&f, "images", (double)e->images);
    add(&f, "mse", e->mse);
    add(&f, "nmse", e->nmse);
    add(&f, "psnr", e->psnr);
    add(&f, "ssim", e->ssim);
    for (int q = 0; q < e->n_codebooks; q++) {
        const evaluation_codebook *c = &e->codebooks[q];
        add(&f, numbered(name, sizeof name, "codes_used", q, e->n_codebooks), (double)c->used);
        add(&f, numbered(name, sizeof name, "perplexity", q, e->n_codebooks), c->perplexity);
        if (!q)
            snprintf(codes, sizeof codes, ", %lld of %lld codes used, perplexity %.1f", (long long)c->used,
                     (long long)c->codes, c->perplexity);
    }
    if (last) {
        add(&f, "nmse_last", last->nmse);
        add(&f, "psnr_last", last->psnr);
        add(&f, "ssim_last", last->ssim);
        snprintf(raw, sizeof raw, "; without averaging nmse %.4f, psnr %.2f", last->nmse, last->psnr);
    }
    terminal_line("step %lld: %s (%lld images): nmse %.4f, psnr %.2f dB, ssim %.4f%s%s%s", (long long)t->step,
                  images_split_name(t->eval_split), (long long)e->images, e->nmse, e->psnr, e->ssim, codes, raw,
                  e->nmse < t->best ? " (best)" : "");
    return train_record_figures(t, images_split_name(t->eval_split), &f);
}
