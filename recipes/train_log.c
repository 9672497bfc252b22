/* Figures of training: sums over the steps since the last line, the line itself, the live line. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
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
    assert(f->n < TRAIN_FIGURES);
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
    f->book = f->n;
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
    static const char *const table[][2] = {{"grad_norm", NULL},     {"epoch", NULL},     {"lr", NULL},
                                           {"images_per_s", NULL},  {"data_wait", NULL}, {"reconstruction", "rec"},
                                           {"commitment", "commit"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(name, table[i][0])) return table[i][1];
    return name;
}

typedef struct text {
    char *out;
    size_t size, n;
} text;

static void __attribute__((format(printf, 2, 3))) put(text *to, const char *format, ...)
{
    va_list list;
    if (to->n >= to->size) return;
    va_start(list, format);
    to->n += (size_t)vsnprintf(to->out + to->n, to->size - to->n, format, list);
    va_end(list);
}

/* " codes 12 ppl 9.1" of the only codebook, " | depth 1: codes 12 ppl 9.1" of one of several. */
static void put_book(text *to, const run *r, int book, const double *values)
{
    char name[RUN_BOOK_NAME];
    run_book_name(r, book, name);
    put(to, "%s%s%s codes %.4g ppl %.4g", *name ? " | " : "", name, *name ? ":" : "", values[0], values[1]);
}

static void put_means(text *to, int books, const double *values)
{
    double used = 0, perplexity = 0;
    for (int i = 0; i < books; i++) used += values[2 * i] / books, perplexity += values[2 * i + 1] / books;
    put(to, " | means of %d codebooks: codes %.4g ppl %.4g", books, used, perplexity);
}

/* " restarts 3" of quantizer q; with `apart` not beside its only codebook: " | level 0 (4x4): restarts 3". */
static void put_counters(text *to, const run *r, int q, bool apart, const double *values)
{
    char name[RUN_BOOK_NAME];
    const nn_quantized *z = &r->quantizers[q];
    run_level_name(r, q, name);
    if (apart && z->n_counters) put(to, " |%s%s%s", *name ? " " : "", name, *name ? ":" : "");
    for (int i = 0; i < z->n_counters; i++) put(to, " %s %.4g", z->counters[i].name, values[i]);
}

/* `values`: codes used and perplexity of every codebook, then the counters of every quantizer. */
static void put_quantizers(text *to, const run *r, const double *values)
{
    const int books = run_books(r);
    const bool many = books > RUN_BOOKS_SHOWN;
    const double *counters = values + 2 * books;
    if (many) put_means(to, books, values);
    for (int q = 0, book = 0; q < r->n_quantizers; counters += r->quantizers[q++].n_counters) {
        for (int i = 0; i < r->quantizers[q].books && book < books; i++, book++)
            if (!many) put_book(to, r, book, values + 2 * book);
        put_counters(to, r, q, many || r->quantizers[q].books > 1, counters);
    }
}

/* The figures of a line as people read them. */
static void line_text(const run *r, const train_figures *f, char *out, size_t size)
{
    text to = {out, size, 0};
    out[0] = 0;
    for (int i = 0; i < f->book; i++) {
        const char *name = short_name(f->names[i]);
        if (name) put(&to, " %s %.4g", name, f->values[i]);
    }
    put_quantizers(&to, r, f->values + f->book);
}

/* "step 1200/50000 | loss 0.0831 rec 0.0712 | lr 2.0e-04 | 38.2 img/s | eta 1h12m" */
static void whole_line(const trainer *t, const train_figures *f, char *out, size_t size)
{
    char figures[1024], left[32];
    line_text(t->train, f, figures, sizeof figures);
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
    char name[32], codes[512], raw[96] = "";
    add(&f, "images", (double)e->images);
    add(&f, "mse", e->mse);
    add(&f, "nmse", e->nmse);
    add(&f, "psnr", e->psnr);
    add(&f, "ssim", e->ssim);
    for (int q = 0; q < e->n_codebooks; q++) {
        const evaluation_codebook *c = &e->codebooks[q];
        add(&f, numbered(name, sizeof name, "codes_used", q, e->n_codebooks), (double)c->used);
        add(&f, numbered(name, sizeof name, "perplexity", q, e->n_codebooks), c->perplexity);
    }
    evaluation_codes_text(e, codes, sizeof codes);
    if (last) {
        add(&f, "nmse_last", last->nmse);
        add(&f, "psnr_last", last->psnr);
        add(&f, "ssim_last", last->ssim);
        snprintf(raw, sizeof raw, "; without averaging nmse %.4f, psnr %.2f", last->nmse, last->psnr);
    }
    terminal_line("step %lld: %s (%lld images): nmse %.4f, psnr %.2f dB, ssim %.4f%s%s%s%s", (long long)t->step,
                  images_split_name(t->eval_split), (long long)e->images, e->nmse, e->psnr, e->ssim, *codes ? ", " : "",
                  codes, raw, e->nmse < t->best ? " (best)" : "");
    return train_record_figures(t, images_split_name(t->eval_split), &f);
}
