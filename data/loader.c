/* One thread fills a ring of batches, the caller empties it. All memory is allocated at open:
 *
 *     ring    [prefetch] { pixels [batch,H,W,C], labels [batch] }     filled slots: first .. first + filled
 *     order   [images in the split]      the permutation of the epoch being drawn, the reading thread's own
 *     draw    [batch]                    the indices of the batch being read, likewise
 */
#include "data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autograd/random.h"
#include "dataset_private.h"

typedef struct slot {
    void *pixels;
    int64_t *labels;
} slot;

struct data_loader {
    data_set *set;
    data_loader_options options;
    const int64_t *indices; /* of the split */
    int64_t images;         /* in the split */
    int64_t values;         /* of a batch */
    size_t bytes;           /* of the pixels of a batch */
    int64_t position;       /* handed out */

    pthread_t thread;
    bool running;
    int64_t ahead; /* position of the reading thread */
    int64_t epoch; /* of `order`, -1: none yet */
    int64_t *order, *draw;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    slot *ring;
    int first, filled;
    bool stop;
    ag_err err; /* of the reading thread, which then has ended; the batches before it are still good */
    char message[1024];
};

static int64_t index_at(data_loader *l, int64_t position)
{
    const int64_t epoch = position / l->images, k = position % l->images;
    if (l->options.in_order) return l->indices[k];
    if (epoch != l->epoch) {
        ag_random_permutation(l->options.seed, (uint64_t)epoch, l->images, l->order);
        l->epoch = epoch;
    }
    return l->indices[l->order[k]];
}

/* Mirrors one image [H,W,C] of `size` bytes a value. */
static void mirror(const data_set_info *info, size_t size, char *image)
{
    const size_t pixel = (size_t)info->channels * size, row = pixel * (size_t)info->width;
    for (int y = 0; y < info->height; y++)
        for (char *a = image + (size_t)y * row, *b = a + row - pixel; a < b; a += pixel, b -= pixel)
            for (size_t i = 0; i < pixel; i++) {
                const char t = a[i];
                a[i] = b[i], b[i] = t;
            }
}

static void flip_batch(const data_loader *l, void *pixels)
{
    const uint64_t stream = ag_hash_name("data.flip");
    const size_t image = l->bytes / (size_t)l->options.batch;
    for (int64_t k = 0; k < l->options.batch; k++)
        if (ag_random_u64(l->options.seed, stream, (uint64_t)(l->ahead + k)) & 1)
            mirror(data_set_get_info(l->set), l->options.real ? sizeof(float) : 1, (char *)pixels + (size_t)k * image);
}

static ag_err read_batch(data_loader *l, const slot *s)
{
    const int64_t n = l->options.batch;
    for (int64_t k = 0; k < n; k++) l->draw[k] = index_at(l, l->ahead + k);
    ag_err err = l->options.real ? data_set_read_real(l->set, n, l->draw, s->pixels)
                                 : data_set_read(l->set, n, l->draw, s->pixels);
    if (!err) err = data_set_read_labels(l->set, n, l->draw, s->labels);
    if (!err && l->options.flip) flip_batch(l, s->pixels);
    return err;
}

static void *reading_thread(void *data)
{
    data_loader *l = data;
    data_h5_quiet();
    pthread_mutex_lock(&l->lock);
    while (!l->stop && !l->err) {
        if (l->filled == l->options.prefetch) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        const slot *s = &l->ring[(l->first + l->filled) % l->options.prefetch];
        pthread_mutex_unlock(&l->lock);
        const ag_err err = read_batch(l, s);
        pthread_mutex_lock(&l->lock);
        l->ahead += l->options.batch;
        if (err) {
            l->err = err;
            strncpy(l->message, ag_error_message(), sizeof l->message - 1);
        } else
            l->filled++;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static ag_err check_options(const data_loader *l)
{
    const data_loader_options *o = &l->options;
    const char *path = data_set_path(l->set);
    hbool_t thread_safe = false;
    if (o->batch < 1) return ag_fail(AG_ERR_USAGE, "batch %lld: it must be at least 1", (long long)o->batch);
    if (l->images == 0) return ag_fail(AG_ERR_DATA, "%s: no images in that split", path);
    if (o->batch > l->images)
        return ag_fail(AG_ERR_USAGE,
                       "batch %lld: larger than the data, %s has %lld images in that split; choose at most that",
                       (long long)o->batch, path, (long long)l->images);
    if (o->position < 0 || o->position > INT64_MAX / 2)
        return ag_fail(AG_ERR_USAGE, "%s: position %lld in the data: out of range", path, (long long)o->position);
    if (o->prefetch < 1 || o->prefetch > 1024)
        return ag_fail(AG_ERR_USAGE, "prefetch %d: it must be 1 to 1024 batches", o->prefetch);
    if (!data__reads_parallel(l->set) && (H5is_library_threadsafe(&thread_safe) < 0 || !thread_safe))
        return ag_fail(AG_ERR_FAILED,
                       "%s: needs an HDF5 library built for threads; or write the images unpacked, "
                       "without chunks",
                       path);
    return AG_OK;
}

static ag_err allocate(data_loader *l)
{
    const data_loader_options *o = &l->options;
    bool all = (l->ring = calloc((size_t)o->prefetch, sizeof *l->ring)) != NULL;
    all = (l->draw = malloc((size_t)o->batch * sizeof *l->draw)) && all;
    if (!o->in_order) all = (l->order = malloc((size_t)l->images * sizeof *l->order)) && all;
    for (int i = 0; i < o->prefetch && all; i++) {
        l->ring[i].pixels = malloc(l->bytes);
        l->ring[i].labels = malloc((size_t)o->batch * sizeof *l->ring[i].labels);
        all = l->ring[i].pixels && l->ring[i].labels;
    }
    if (!all)
        return ag_fail(AG_ERR_MEMORY, "%s: no memory for %d batches of %lld bytes; choose a smaller batch",
                       data_set_path(l->set), o->prefetch, (long long)l->bytes);
    return data__reserve(l->set, o->batch);
}

/* The thread takes no signals: they belong to the one that trains. */
static ag_err start_thread(data_loader *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&l->thread, NULL, reading_thread, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->running = !failed;
    return failed ? ag_fail(AG_ERR_FAILED, "%s: cannot start the reading thread: %s", data_set_path(l->set),
                            strerror(failed))
                  : AG_OK;
}

ag_err data_loader_open(data_loader **out, data_set *set, const data_loader_options *options)
{
    *out = NULL;
    data_loader *l = calloc(1, sizeof *l);
    if (!l) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", data_set_path(set));
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->set = set, l->options = *options, l->epoch = -1;
    if (l->options.prefetch == 0) l->options.prefetch = 3;
    l->indices = data_set_indices(set, options->split, &l->images);
    l->position = l->ahead = options->position;
    ag_err err = check_options(l);
    if (!err && __builtin_mul_overflow(options->batch, set->values, &l->values))
        err = ag_fail(AG_ERR_USAGE, "batch %lld: too large", (long long)options->batch);
    l->bytes = (size_t)l->values * (options->real ? sizeof(float) : 1);
    if (!err) err = allocate(l);
    if (!err) err = start_thread(l);
    if (err)
        data_loader_close(l);
    else
        *out = l;
    return err;
}

void data_loader_close(data_loader *l)
{
    if (!l) return;
    if (l->running) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    for (int i = 0; l->ring && i < l->options.prefetch; i++) free(l->ring[i].pixels), free(l->ring[i].labels);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l->ring), free(l->draw), free(l->order);
    free(l);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ag_err next_batch(data_loader *l, void *pixels, int64_t *labels, double *waited)
{
    const double start = now();
    ag_err err = AG_OK;
    pthread_mutex_lock(&l->lock);
    while (!l->filled && !l->err) pthread_cond_wait(&l->changed, &l->lock);
    if (!l->filled) err = ag_fail(l->err, "%s", l->message);
    const slot *s = &l->ring[l->first]; /* while it counts as filled, the thread leaves it alone */
    pthread_mutex_unlock(&l->lock);
    if (waited) *waited = now() - start;
    if (err) return err;
    memcpy(pixels, s->pixels, l->bytes);
    if (labels) memcpy(labels, s->labels, (size_t)l->options.batch * sizeof *labels);
    pthread_mutex_lock(&l->lock);
    l->first = (l->first + 1) % l->options.prefetch, l->filled--;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    l->position += l->options.batch;
    return AG_OK;
}

ag_err data_loader_next(data_loader *l, uint8_t *pixels, int64_t *labels, double *waited)
{
    if (l->options.real) return ag_fail(AG_ERR_USAGE, "%s: this loader gives floats, not bytes", data_set_path(l->set));
    return next_batch(l, pixels, labels, waited);
}

ag_err data_loader_next_real(data_loader *l, float *pixels, int64_t *labels, double *waited)
{
    if (!l->options.real)
        return ag_fail(AG_ERR_USAGE, "%s: this loader gives bytes, not floats", data_set_path(l->set));
    return next_batch(l, pixels, labels, waited);
}

int64_t data_loader_position(const data_loader *l) { return l->position; }

double data_loader_epoch(const data_loader *l) { return (double)l->position / (double)l->images; }
