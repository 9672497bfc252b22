/* What a run begins with beside fresh weights: parts that are frozen, and weights of another run.
 *
 * Tensors are taken by name and shape; where the other run kept averages of its weights, these. A codebook that has more codes than
 * there is grown: as long as codes are missing, the most used one is split in two of half its members each, the new one moved by noise
 * of a hundredth of the codebook's deviation (the splitting of Linde, Buzo, Gray 1980). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/random.h"
#include "checkpoints/checkpoint.h"
#include "model.h"
#include "terminal.h"
#include "trainer.h"

/* ---- frozen parts ------------------------------------------------------------------------------------------------------ */

/* The next of "a,b,c" into word; false at the end. */
static bool next_word(const char **list, char *word, size_t size)
{
    const size_t n = strcspn(*list, ",");
    if (!n || n >= size) return false;
    memcpy(word, *list, n);
    word[n] = 0;
    *list += n + ((*list)[n] == ',');
    return true;
}

ag_err train_freeze(const struct train_options *o, nn_params *p)
{
    char word[sizeof o->freeze];
    ag_err err = AG_OK;
    for (const char *list = o->freeze; !err && next_word(&list, word, sizeof word);) err = nn_freeze(p, word);
    return err;
}

static bool is_in(const char *name, const char *part)
{
    const size_t n = strlen(part);
    return !strncmp(name, part, n) && (!name[n] || name[n] == '.');
}

static bool has_parameters(const trainer *t, const char *part)
{
    for (int i = 0; i < nn_params_count(t->params); i++) {
        const nn_param *p = nn_params_at(t->params, i);
        if (p->kind != NN_OPTIMIZER && is_in(p->name, part)) return true;
    }
    return false;
}

/* "encoder, quantizer, decoder": the first words of the names, then parts that are called otherwise there. */
static void list_parts(const trainer *t, char *out, size_t size)
{
    const char *part;
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < nn_params_count(t->params); i++) {
        const nn_param *p = nn_params_at(t->params, i);
        const int n = (int)strcspn(p->name, ".");
        bool known = p->kind == NN_OPTIMIZER;
        for (int j = 0; j < i && !known; j++) {
            const char *other = nn_params_at(t->params, j)->name;
            known = (int)strcspn(other, ".") == n && !strncmp(other, p->name, (size_t)n);
        }
        if (!known && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%.*s", used ? ", " : "", n, p->name);
    }
    for (int i = 0; (part = nn_part_at(t->params, i)); i++)
        if (!has_parameters(t, part) && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", part);
}

static ag_err check_part(const trainer *t, const char *part)
{
    char parts[256];
    const char *said;
    for (int i = 0; (said = nn_part_at(t->params, i)); i++)
        if (!strcmp(said, part)) return AG_OK;
    for (int i = 0; i < nn_params_count(t->params); i++) {
        const nn_param *p = nn_params_at(t->params, i);
        if (p->kind == NN_BUFFER && !strcmp(p->name, part))
            return ag_fail(AG_ERR_USAGE, "freeze=%s: follows the layer it belongs to; freeze that: %.*s", part,
                           (int)(strrchr(part, '.') ? strrchr(part, '.') - part : 0), part);
    }
    if (has_parameters(t, part)) return AG_OK;
    list_parts(t, parts, sizeof parts);
    return ag_fail(AG_ERR_USAGE, "freeze=%s: no such part; this model has %s", part, parts);
}

ag_err train_check_frozen(const trainer *t)
{
    char word[sizeof t->o->freeze];
    int trained = 0;
    for (const char *list = t->o->freeze; next_word(&list, word, sizeof word);) {
        const ag_err err = check_part(t, word);
        if (err) return err;
    }
    for (int i = 0; i < t->train->n_phases; i++) trained += t->train->phases[i].parameters;
    return trained ? AG_OK : ag_fail(AG_ERR_USAGE, "freeze=%s: leaves nothing to train", t->o->freeze);
}

/* ---- weights of another run -------------------------------------------------------------------------------------------- */

typedef enum fate { FATE_OTHER_KIND, FATE_MISSING, FATE_OTHER_SHAPE, FATE_TAKEN, FATE_GROWN } fate;

typedef struct source {
    char *path;
    ckpt_listing l;
    fate *fates;       /* of the parameters */
    ckpt_item **found; /* in l */
    int taken, of, averages;
} source;

static ckpt_item *listed(const source *s, const char *group, const char *name)
{
    const size_t n = strlen(group);
    for (int i = 0; i < s->l.n; i++)
        if (!strncmp(s->l.items[i].name, group, n) && !strcmp(s->l.items[i].name + n, name)) return &s->l.items[i];
    return NULL;
}

/* An EMA codebook is a buffer, one that learns by gradient a weight: both places will do. */
static ckpt_item *find_tensor(source *s, const nn_param *p)
{
    ckpt_item *item = listed(s, CKPT_AVERAGES, p->name);
    s->averages += item != NULL;
    if (!item) item = listed(s, "weights/", p->name);
    return item ? item : listed(s, "buffers/", p->name);
}

static const char *last_word(const char *name) { return strrchr(name, '.') ? strrchr(name, '.') + 1 : name; }

/* Is it a codebook, or averages of one, with more rows than there? */
static bool can_grow(const nn_param *p, const ckpt_item *item)
{
    static const char *const words[] = {"embedding", "embedding_sum", "cluster_size"};
    bool named = false;
    for (int i = 0; i < 3; i++) named |= !strcmp(last_word(p->name), words[i]);
    if (!named || p->rank < 1 || p->rank != item->rank || item->dtype != AG_REAL) return false;
    for (int d = 1; d < p->rank; d++)
        if (p->shape[d] != item->shape[d]) return false;
    return item->shape[0] >= 1 && item->shape[0] < p->shape[0];
}

static fate fate_of(const nn_param *p, const ckpt_item *item)
{
    if (!item) return FATE_MISSING;
    bool same = p->rank == item->rank && p->dtype == item->dtype;
    for (int d = 0; same && d < p->rank; d++) same = p->shape[d] == item->shape[d];
    return same ? FATE_TAKEN : can_grow(p, item) ? FATE_GROWN : FATE_OTHER_SHAPE;
}

static ag_err compare(source *s, const trainer *t)
{
    const size_t n = (size_t)nn_params_count(t->params) + 1;
    s->fates = calloc(n, sizeof *s->fates);
    s->found = calloc(n, sizeof *s->found);
    if (!s->fates || !s->found) return ag_fail(AG_ERR_MEMORY, "%s: no memory to compare it", s->path);
    for (int i = 0; i < nn_params_count(t->params); i++) {
        const nn_param *p = nn_params_at(t->params, i);
        if (p->kind == NN_OPTIMIZER) continue;
        s->found[i] = find_tensor(s, p);
        s->fates[i] = fate_of(p, s->found[i]);
        s->of++;
        s->taken += s->fates[i] >= FATE_TAKEN;
    }
    return s->taken ? AG_OK
                    : ag_fail(AG_ERR_CHECKPOINT,
                              "--init-from %s: none of its tensors has name and shape of one of the %d of this model; "
                              "'tessera info' lists them",
                              s->path, s->of);
}

static ag_err read_taken(source *s, const trainer *t)
{
    int n = 0;
    ckpt_item *items = calloc((size_t)s->of + 1, sizeof *items);
    if (!items) return ag_fail(AG_ERR_MEMORY, "%s: no memory to read it", s->path);
    for (int i = 0; i < nn_params_count(t->params); i++) {
        if (s->fates[i] != FATE_TAKEN) continue;
        items[n] = *s->found[i];
        items[n++].data = nn_params_at(t->params, i)->data;
    }
    const ag_err err = ckpt_load_part(s->path, n, items);
    free(items);
    return err;
}

/* ---- codebooks --------------------------------------------------------------------------------------------------------- */

/* A codebook and the averages of its rule; NULL where there are none. */
typedef struct book {
    nn_param *embedding, *sum, *size;
    int at, at_size; /* numbers of embedding and size among the parameters; -1: none */
} book;

static nn_param *sibling(const trainer *t, const nn_param *p, const char *word)
{
    char name[256];
    snprintf(name, sizeof name, "%.*s%s", (int)(last_word(p->name) - p->name), p->name, word);
    return nn_params_find(t->params, name);
}

static int number_of(const trainer *t, const nn_param *p)
{
    for (int i = 0; p && i < nn_params_count(t->params); i++)
        if (nn_params_at(t->params, i) == p) return i;
    return -1;
}

static book book_of(const trainer *t, nn_param *embedding)
{
    book b = {embedding, sibling(t, embedding, "embedding_sum"), sibling(t, embedding, "cluster_size"), 0, 0};
    b.at = number_of(t, b.embedding);
    b.at_size = number_of(t, b.size);
    return b;
}

static ag_err read_rows(const source *s, const ckpt_item *found, real *to)
{
    ckpt_item item = *found;
    item.data = to;
    return ckpt_load_part(s->path, 1, &item);
}

/* Members of each code of before; 1 each where nobody counted. */
static ag_err read_counts(const source *s, const book *b, int64_t rows, double *counts)
{
    for (int64_t k = 0; k < b->embedding->shape[0]; k++) counts[k] = 1;
    const ckpt_item *item = b->at_size >= 0 ? s->found[b->at_size] : NULL;
    if (!item || item->rank != 1 || item->shape[0] != rows) return AG_OK;
    real *values = malloc((size_t)rows * sizeof *values);
    const ag_err err =
        values ? read_rows(s, item, values) : ag_fail(AG_ERR_MEMORY, "%s: no memory to read it", s->path);
    for (int64_t k = 0; !err && k < rows; k++) counts[k] = (double)values[k];
    free(values);
    return err;
}

static double deviation(int64_t n, const real *e)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)e[i], squares += (double)e[i] * (double)e[i];
    const double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    return variance > 0 ? sqrt(variance) : 1;
}

static void split_codes(nn_param *embedding, int64_t rows, double *counts, uint64_t seed)
{
    const int64_t K = embedding->shape[0], D = embedding->numel / K;
    real *e = embedding->data;
    const double noise = 0.01 * deviation(rows * D, e);
    for (int64_t j = rows; j < K; j++) {
        int64_t most = 0;
        for (int64_t k = 1; k < j; k++) most = counts[k] > counts[most] ? k : most;
        counts[j] = counts[most] /= 2;
        for (int64_t d = 0; d < D; d++)
            e[j * D + d] = e[most * D + d] +
                           (real)(noise * ag_random_normal(seed, ag_hash_name(embedding->name), (uint64_t)(j * D + d)));
    }
}

/* The averages that belong to these codes and counts. */
static void set_averages(const book *b, const double *counts)
{
    const int64_t K = b->embedding->shape[0], D = b->embedding->numel / K;
    for (int64_t k = 0; b->size && k < K; k++) ((real *)b->size->data)[k] = (real)counts[k];
    for (int64_t i = 0; b->sum && i < K * D; i++)
        ((real *)b->sum->data)[i] = (real)(counts[i / D] * (double)((const real *)b->embedding->data)[i]);
}

static ag_err take_codebook(source *s, const trainer *t, nn_param *embedding)
{
    const book b = book_of(t, embedding);
    const int64_t K = embedding->shape[0], rows = s->found[b.at]->shape[0];
    const int at_sum = number_of(t, b.sum);
    const bool grown = s->fates[b.at] == FATE_GROWN, whole = at_sum < 0 || s->fates[at_sum] == FATE_TAKEN;
    if (!grown && whole) return AG_OK;
    double *counts = malloc((size_t)K * sizeof *counts);
    ag_err err = counts ? read_counts(s, &b, rows, counts) : ag_fail(AG_ERR_MEMORY, "%s: no memory", s->path);
    if (!err && grown) err = read_rows(s, s->found[b.at], embedding->data);
    if (!err && grown) {
        split_codes(embedding, rows, counts, (uint64_t)t->o->seed);
        terminal_line("%s: %lld codes become %lld, the most used are split", embedding->name, (long long)rows,
                      (long long)K);
    }
    if (!err) set_averages(&b, counts);
    free(counts);
    return err;
}

static ag_err take_codebooks(source *s, trainer *t)
{
    ag_err err = AG_OK;
    for (int i = 0; !err && i < nn_params_count(t->params); i++) {
        nn_param *p = nn_params_at(t->params, i);
        if (s->fates[i] < FATE_TAKEN || strcmp(last_word(p->name), "embedding")) continue;
        err = take_codebook(s, t, p);
        for (int k = 0; k < t->train->n_starts; k++) t->started[k] |= is_in(p->name, t->train->starts[k].scope);
    }
    return err;
}

/* ---- what was done ----------------------------------------------------------------------------------------------------- */

static void say_all(const source *s, const trainer *t, fate which, const char *what)
{
    char list[1024];
    size_t used = 0;
    for (int i = 0; i < nn_params_count(t->params); i++) {
        const nn_param *p = nn_params_at(t->params, i);
        if (p->kind == NN_OPTIMIZER || s->fates[i] != which || used >= sizeof list) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", p->name);
    }
    if (used) terminal_line("  %s: %s%s", what, list, used >= sizeof list ? " ..." : "");
}

static void say(const source *s, const trainer *t)
{
    terminal_line("%d of %d tensors taken from %s%s", s->taken, s->of, s->path,
                  s->averages ? " (averages of the weights)" : "");
    say_all(s, t, FATE_MISSING, "not found there");
    say_all(s, t, FATE_OTHER_SHAPE, "of another shape there");
}

ag_err train_init_from(trainer *t)
{
    source s = {0};
    ag_err err = model_path(&s.path, t->config->init_from);
    if (!err) err = ckpt_list(s.path, &s.l);
    if (!err) err = compare(&s, t);
    if (!err) err = read_taken(&s, t);
    if (!err) err = take_codebooks(&s, t);
    if (!err) say(&s, t);
    ckpt_listing_free(&s.l);
    free(s.fates);
    free(s.found);
    free(s.path);
    return err;
}
