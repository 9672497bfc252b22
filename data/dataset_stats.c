/* Moments and fingerprint of a data set. */
#include <stdlib.h>
#include <string.h>

#include "dataset_private.h"
#include "data/sha256.h"

/* Images are summed in blocks of this many, whatever the number of threads; bytes exactly, floats block by block in order. */
#define BLOCK 256
enum { CHUNK = 65536 };

typedef struct block_sum {
    double sum, squares;
} block_sum;

static void add_bytes(const uint8_t *v, int64_t n, block_sum *s)
{
    uint64_t sum = 0, squares = 0;
    for (int64_t first = 0; first < n; first += CHUNK) {
        const int64_t end = first + CHUNK < n ? first + CHUNK : n;
        uint32_t part = 0, part_squares = 0; /* narrow, so that they go in vectors; CHUNK * 255^2 fits */
#pragma omp simd reduction(+ : part, part_squares)
        for (int64_t i = first; i < end; i++) {
            const uint32_t u = v[i];
            part += u, part_squares += u * u;
        }
        sum += part, squares += part_squares;
    }
    s->sum += (double)sum, s->squares += (double)squares; /* below 2^53 for any block: exact */
}

static void add_reals(const data_set *set, const float *v, int64_t n, block_sum *s)
{
    const double scale = 1 / (set->high - set->low);
    for (int64_t i = 0; i < n; i++) {
        const double u = (double)data__unit(set->low, scale, v[i]);
        s->sum += u, s->squares += u * u;
    }
}

/* Consecutive indices from p on, at most `most`. */
static int64_t run_length(const int64_t *p, int64_t n, int64_t most)
{
    int64_t k = 1;
    while (k < n && k < most && p[k] == p[k - 1] + 1) k++;
    return k;
}

static ag_err fetch_in_turn(const data_set *set, int64_t first, int64_t count, void *stage)
{
    ag_err err;
    if (data__reads_parallel(set)) return data__fetch(set, first, count, stage);
#pragma omp critical(data_fetch)
    {
        data_h5_quiet();
        err = data__fetch(set, first, count, stage);
    }
    return err;
}

static ag_err sum_block(const data_set *set, const int64_t *indices, int64_t n, void *stage, block_sum *s)
{
    ag_err err = AG_OK;
    for (int64_t k = 0, length = 0; k < n && !err; k += length) {
        length = run_length(indices + k, n - k, set->stage_images);
        if ((err = fetch_in_turn(set, indices[k], length, stage))) break;
        if (set->element == 1)
            add_bytes(stage, length * set->values, s);
        else
            add_reals(set, stage, length * set->values, s);
    }
    return err;
}

/* The first error of the threads, with its message, which lives in the thread that met it. */
typedef struct first_error {
    ag_err err;
    char message[1024];
} first_error;

static void note_error(first_error *first, ag_err err)
{
#pragma omp critical(data_note_error)
    if (!first->err) {
        first->err = err;
        strncpy(first->message, ag_error_message(), sizeof first->message - 1);
    }
}

static ag_err sum_all(const data_set *set, const int64_t *indices, int64_t n, block_sum *sums)
{
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    const size_t stage_bytes = (size_t)(set->stage_images * set->values) * set->element;
    first_error first = {AG_OK, ""};
#pragma omp parallel
    {
        void *stage = malloc(stage_bytes);
        if (!stage) note_error(&first, ag_fail(AG_ERR_MEMORY, "%s: out of memory", set->path));
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t from = b * BLOCK, count = n - from < BLOCK ? n - from : BLOCK;
            const ag_err err = stage ? sum_block(set, indices + from, count, stage, &sums[b]) : AG_ERR_MEMORY;
            if (stage && err) note_error(&first, err);
        }
        free(stage);
    }
    return first.err ? ag_fail(first.err, "%s", first.message) : AG_OK;
}

static void moments_of(const data_set *set, int64_t images, const block_sum *sums, int64_t blocks, double *mean,
                       double *variance)
{
    const double count = (double)images * (double)set->values, one = set->element == 1 ? 255 : 1;
    double sum = 0, squares = 0;
    for (int64_t b = 0; b < blocks; b++) sum += sums[b].sum, squares += sums[b].squares;
    const double m = sum / count, v = squares / count - m * m;
    *mean = m / one, *variance = v > 0 ? v / (one * one) : 0;
}

ag_err data_set_moments(data_set *set, data_split split, double *mean, double *variance)
{
    int64_t n;
    const int64_t *indices = data_set_indices(set, split, &n);
    if (!set->moments[split].known) {
        if (n == 0) return ag_fail(AG_ERR_DATA, "%s: no images in that split", set->path);
        const int64_t blocks = (n + BLOCK - 1) / BLOCK;
        block_sum *sums = calloc((size_t)blocks, sizeof *sums);
        ag_err err = sums ? data__reserve(set, 1) : ag_fail(AG_ERR_MEMORY, "%s: out of memory", set->path);
        if (!err) err = sum_all(set, indices, n, sums);
        if (!err) moments_of(set, n, sums, blocks, &set->moments[split].mean, &set->moments[split].variance);
        free(sums);
        if (err) return err;
        set->moments[split].known = true;
    }
    *mean = set->moments[split].mean, *variance = set->moments[split].variance;
    return AG_OK;
}

/* The pixels of 64 images spread over the file, as stored. */
static ag_err add_sample(data_set *set, data_sha256 *sum)
{
    const int64_t count = set->info.count, n = count < 64 ? count : 64;
    ag_err err = data__reserve(set, 1);
    for (int64_t k = 0; k < n && !err; k++) {
        const int64_t i = n > 1 ? (int64_t)((__int128)(count - 1) * k / (n - 1)) : 0;
        err = data__fetch(set, i, 1, set->stage);
        if (!err) data_sha256_add(sum, set->stage, (size_t)set->values * set->element);
    }
    return err;
}

ag_err data_set_fingerprint(data_set *set, char out[65])
{
    const data_set_info *info = &set->info;
    const int64_t shape[] = {info->count,    info->height,          info->width,
                             info->channels, (int64_t)set->element, set->planar};
    const double range[] = {set->low, set->high};
    const uint8_t parts[] = {set->labels != NULL, set->split != NULL};
    data_sha256 sum;
    data_sha256_start(&sum);
    data_sha256_add(&sum, shape, sizeof shape);
    data_sha256_add(&sum, range, sizeof range);
    data_sha256_add(&sum, parts, sizeof parts);
    if (set->labels) data_sha256_add(&sum, set->labels, (size_t)info->count * sizeof *set->labels);
    if (set->split) data_sha256_add(&sum, set->split, (size_t)info->count);
    const ag_err err = add_sample(set, &sum);
    data_sha256_end(&sum, out);
    return err;
}
