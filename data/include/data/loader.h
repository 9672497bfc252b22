/* Batches for training: shuffled by a seeded permutation per epoch, prefetched by one thread, resumable anywhere.
 *
 * Epoch e visits every image of the split once, in the order ag_random_permutation(seed, e); the order is a function of
 * (seed, epoch) alone. Batches run on across the epoch's end (no image is dropped). The position is one number: images
 * drawn so far. Setting it gives exactly the batches that would have followed. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "data/dataset.h"

typedef struct data_loader data_loader;

typedef struct data_loader_options {
    int64_t batch; /* images a batch, 1.. ; AG_ERR_USAGE if larger than the split */
    data_split split;
    uint64_t seed;
    bool in_order;    /* file order instead of a permutation (the same in every epoch) */
    bool flip;        /* mirror each image left-right with probability 1/2, keyed by (seed, position) */
    int64_t position; /* images already drawn */
    int prefetch;     /* batches read ahead; 0 means 3 */
    bool real;        /* batches are floats in [0,1], from data_loader_next_real, whatever the file holds */
} data_loader_options;

/* Borrows `set` (which no one else may read while the loader lives). */
ag_err data_loader_open(data_loader **out, data_set *set, const data_loader_options *options);
void data_loader_close(data_loader *loader); /* stops the thread; NULL is fine */

/* The next batch: pixels u8 [batch,H,W,C], labels int64 [batch] or NULL. Allocates nothing. *waited (may be NULL) gets the
 * seconds this call waited for the reading thread. Errors of the reading thread come out here. */
ag_err data_loader_next(data_loader *loader, uint8_t *pixels, int64_t *labels, double *waited);

/* The same for a loader opened with `real`: float [batch,H,W,C] in [0,1] (data_set_read_real). Calling the one that does not
 * fit the loader is AG_ERR_USAGE. */
ag_err data_loader_next_real(data_loader *loader, float *pixels, int64_t *labels, double *waited);

/* Images handed out so far, and the epoch that makes: position / images in the split. */
int64_t data_loader_position(const data_loader *loader);
double data_loader_epoch(const data_loader *loader);

#endif
