#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "checkpoints/metrics.h"
#include "data/publish.h"
#include "report.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width\">\n"
    "<style>\n"
    ":root{color-scheme:light dark}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1rem}\n"
    "svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:currentColor}svg .title{font-weight:600}\n"
    "svg .tick{font-size:11px;opacity:.7}svg .rule{stroke:currentColor;opacity:.15}svg .key{font-weight:600}\n"
    "table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}\n"
    "td+td{font-variant-numeric:tabular-nums}img{max-width:100%;image-rendering:pixelated}\n"
    ".columns{display:flex;flex-wrap:wrap;gap:3rem}\n"
    "</style>\n";

/* ---- curves ------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name, *title;
    bool logarithmic;
} curves[] = {{"loss", "loss", true},
              {"nmse", "nmse (mse / variance of the training pixels)", true},
              {"psnr", "PSNR (dB)", false},
              {"ssim", "SSIM", false},
              {"perplexity", "perplexity of the codes", false},
              {"codes_used", "codes used", false},
              {"commitment", "commitment loss", true},
              {"restarts", "codes restarted", false},
              {"images_per_s", "images a second", false},
              {"lr", "learning rate", false}};

static void write_curves(FILE *to, const ckpt_history *h)
{
    static const char *const splits[] = {"train", "validation", "test"};
    fputs("<h2>Curves</h2><div class=\"charts\">\n", to);
    for (size_t c = 0; c < sizeof curves / sizeof *curves; c++) {
        chart_line lines[4];
        int n = 0;
        for (int s = 0; s < 3; s++) {
            const ckpt_series *v = ckpt_history_find(h, splits[s], curves[c].name);
            if (v && v->n) lines[n++] = (chart_line){splits[s], v->n, v->step, v->value};
        }
        if (n) chart_lines(to, curves[c].title, n, lines, curves[c].logarithmic);
    }
    fputs("</div>\n", to);
}

/* ---- figures and codebooks --------------------------------------------------------------------------------------------- */

static void write_figures(FILE *to, const evaluation *e, const char *on)
{
    fputs("<h2>Figures</h2><p>Measured on ", to);
    chart_text(to, on);
    fprintf(to, ".</p><table><tr><td>nmse<td>%.5f<tr><td>mse (pixel / 255)<td>%.6f<tr><td>PSNR<td>%.3f dB", e->nmse,
            e->mse, e->psnr);
    fprintf(to, "<tr><td>SSIM (window %d)<td>%.5f<tr><td>bits per pixel<td>%.4f", e->ssim_window, e->ssim,
            e->bits_per_pixel);
    for (int q = 0; q < e->n_codebooks; q++) {
        const evaluation_codebook *c = &e->codebooks[q];
        const char *of = *c->name ? ": " : "";
        fprintf(to, "<tr><td>%s%scodes used<td>%lld of %lld (%.1f%%)<tr><td>%s%sperplexity<td>%.1f", c->name, of,
                (long long)c->used, (long long)c->codes, 100 * c->usage, c->name, of, c->perplexity);
    }
    fputs("</table>\n", to);
    for (int q = 0; q < e->n_codebooks; q++) {
        const char *name = e->codebooks[q].name;
        fprintf(to, "<h2>Codebook%s%s</h2><div class=\"charts\">", *name ? ": " : "", name);
        chart_usage(to, e->codebooks[q].codes, e->codebooks[q].counts);
        fputs("</div>\n", to);
    }
}

/* ---- samples ------------------------------------------------------------------------------------------------------------- */

static void write_base64(FILE *to, FILE *from)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char in[3];
    size_t n;
    while ((n = fread(in, 1, 3, from)) > 0) {
        const unsigned v = (unsigned)in[0] << 16 | (unsigned)(n > 1 ? in[1] : 0) << 8 | (n > 2 ? in[2] : 0);
        fputc(digits[v >> 18], to);
        fputc(digits[v >> 12 & 63], to);
        fputc(n > 1 ? digits[v >> 6 & 63] : '=', to);
        fputc(n > 2 ? digits[v & 63] : '=', to);
    }
}

static int is_grid(const struct dirent *entry)
{
    return !strncmp(entry->d_name, "recon-", 6) && strstr(entry->d_name, ".png");
}

static void write_picture(FILE *to, const char *folder, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return;
    FILE *from = fopen(path, "rb");
    if (from) {
        fprintf(to, "<p>step %ld</p><img alt=\"originals above reconstructions\" src=\"data:image/png;base64,",
                strtol(name + 6, NULL, 10));
        write_base64(to, from);
        fputs("\">\n", to);
        fclose(from);
    }
    free(path);
}

/* The first, one in the middle and the last grid. */
static void write_samples(FILE *to, const char *folder)
{
    struct dirent **list = NULL;
    const int n = scandir(folder, &list, is_grid, alphasort);
    if (n > 0) fputs("<h2>Samples</h2><p>Rows of originals, each above the row of their reconstructions.</p>\n", to);
    for (int i = 0; i < n; i++) {
        if (i == 0 || i == n - 1 || (n > 3 && i == n / 3)) write_picture(to, folder, list[i]->d_name);
        free(list[i]);
    }
    free(list);
}

/* ---- tables ---------------------------------------------------------------------------------------------------------------- */

static void write_table(FILE *to, const char *title, const cJSON *object)
{
    const cJSON *item;
    fputs("<div><h2>", to);
    chart_text(to, title);
    fputs("</h2><table>\n", to);
    cJSON_ArrayForEach(item, object)
    {
        char *text = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
        fputs("<tr><td>", to);
        chart_text(to, item->string ? item->string : "");
        fputs("<td>", to);
        chart_text(to, cJSON_IsString(item) ? item->valuestring : text ? text : "");
        fputc('\n', to);
        cJSON_free(text);
    }
    fputs("</table></div>\n", to);
}

static void write_page(FILE *to, const ckpt_run *from, const ckpt_history *h, const evaluation *e, const char *on)
{
    const cJSON *config = ckpt_run_config(from);
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(config, "recipe");
    const char *folder = ckpt_run_path(from, CKPT_RUN_FOLDER), *title = cJSON_IsString(name) ? name->valuestring : "";
    fputs(head, to);
    fputs("<title>", to);
    chart_text(to, folder);
    fputs("</title><h1>", to);
    chart_text(to, folder);
    fputs(" (", to);
    chart_text(to, title);
    fputs(")</h1>\n", to);
    if (e) write_figures(to, e, on);
    write_curves(to, h);
    write_samples(to, ckpt_run_path(from, CKPT_RUN_SAMPLES));
    fputs("<div class=\"columns\">\n", to);
    write_table(to, "Options", cJSON_GetObjectItemCaseSensitive(config, "options"));
    write_table(to, "How it ran", cJSON_GetObjectItemCaseSensitive(config, "manifest"));
    fputs("</div></html>\n", to);
}

ag_err report_write(const char *folder, const evaluation *e, const char *on)
{
    ckpt_run *from = NULL;
    ckpt_history *history = NULL;
    char *text = NULL;
    size_t size = 0;
    ag_err err = ckpt_run_open(&from, folder);
    if (!err) err = ckpt_history_read(&history, ckpt_run_path(from, CKPT_RUN_METRICS));
    if (!err) {
        FILE *to = open_memstream(&text, &size);
        if (to) write_page(to, from, history, e, on);
        const bool bad = !to || ferror(to);
        if ((to && fclose(to)) || bad) err = ag_fail(AG_ERR_MEMORY, "%s: no memory for its report", folder);
    }
    if (!err) err = data_publish_bytes(ckpt_run_path(from, CKPT_RUN_REPORT), text, size);
    free(text);
    ckpt_history_free(history);
    ckpt_run_close(from);
    return err;
}
