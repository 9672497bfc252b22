#include "checkpoint_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/sha256.h"

static const char *group_of(nn_kind kind)
{
    switch (kind) {
    case NN_PARAMETER: return "weights";
    case NN_BUFFER: return "buffers";
    case NN_OPTIMIZER: break;
    }
    return "optimizer";
}

/* ---- parameters as items ---------------------------------------------------------------------------------------------- */

static void items_free(int n, ckpt_item *items)
{
    for (int i = 0; i < n; i++) free((char *)(uintptr_t)items[i].name); /* made by items_make, ours to free */
    free(items);
}

/* One item per parameter, those of the optimizer only if wanted; items are NULL when out of memory. */
static int items_make(nn_params *p, bool optimizer, ckpt_item **items)
{
    int n = 0;
    ckpt_item *list = calloc((size_t)nn_params_count(p) + 1, sizeof *list);
    *items = NULL;
    for (int i = 0; list && i < nn_params_count(p); i++) {
        const nn_param *q = nn_params_at(p, i);
        char *name;
        if (q->kind == NN_OPTIMIZER && !optimizer) continue;
        if (asprintf(&name, "%s/%s", group_of(q->kind), q->name) < 0) {
            items_free(n, list);
            return 0;
        }
        list[n] = (ckpt_item){.name = name, .dtype = q->dtype, .rank = q->rank, .data = q->data};
        memcpy(list[n].shape, q->shape, sizeof q->shape);
        n++;
    }
    *items = list;
    return n;
}

ag_err ckpt_save_params(const char *path, nn_params *p, const char *state)
{
    ckpt_item *items;
    const int n = items_make(p, true, &items);
    if (!items) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    const ag_err err = ckpt_save(path, n, items, state);
    items_free(n, items);
    return err;
}

ag_err ckpt_load_params(const char *path, nn_params *p, ckpt_use use)
{
    ckpt_item *items;
    const int n = items_make(p, use == CKPT_TRAINING, &items);
    if (!items) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    const ckpt__tolerance tolerance = {.ignored_group = use == CKPT_TRAINING ? NULL : group_of(NN_OPTIMIZER),
                                       .extra = use == CKPT_PART};
    const ag_err err = ckpt__load(path, n, items, tolerance);
    items_free(n, items);
    return err;
}

static bool is_listed(const ckpt_listing *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->items[i].name, name)) return true;
    return false;
}

/* The item of a weight becomes that of its average, if the file has it. */
static ag_err take_average(const ckpt_listing *l, ckpt_item *item, int *n)
{
    char *name;
    if (strncmp(item->name, "weights/", 8)) return AG_OK;
    if (asprintf(&name, CKPT_AVERAGES "%s", item->name + 8) < 0) return ag_fail(AG_ERR_MEMORY, "out of memory");
    if (!is_listed(l, name)) {
        free(name);
        return AG_OK;
    }
    free((char *)(uintptr_t)item->name); /* made by items_make, ours to free */
    item->name = name;
    ++*n;
    return AG_OK;
}

ag_err ckpt_load_averages(const char *path, nn_params *p, int *averages)
{
    ckpt_item *items;
    ckpt_listing l = {0};
    const int n = items_make(p, false, &items);
    *averages = 0;
    if (!items) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    ag_err err = ckpt_list(path, &l);
    for (int i = 0; !err && i < n; i++) err = take_average(&l, &items[i], averages);
    if (!err) err = ckpt_load_part(path, n, items);
    ckpt_listing_free(&l);
    items_free(n, items);
    return err;
}

/* ---- the name of a model ---------------------------------------------------------------------------------------------- */

static ag_err add_item(void *to, const ckpt_item *item, size_t bytes)
{
    data_sha256 *sum = to;
    const int64_t head[2] = {(int64_t)item->dtype, item->rank};
    data_sha256_add(sum, item->name, strlen(item->name) + 1);
    data_sha256_add(sum, head, sizeof head);
    data_sha256_add(sum, item->shape, (size_t)item->rank * sizeof item->shape[0]);
    data_sha256_add(sum, item->data, bytes);
    return AG_OK;
}

ag_err ckpt_fingerprint(const char *path, char out[65])
{
    data_sha256 sum;
    data_sha256_start(&sum);
    const ag_err err = ckpt__visit(path, add_item, &sum);
    if (!err)
        data_sha256_end(&sum, out);
    else
        out[0] = 0;
    return err;
}
