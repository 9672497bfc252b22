/* How good a tokenizer is on a set of images. */
#ifndef RECIPES_EVALUATE_H
#define RECIPES_EVALUATE_H

#include <cjson/cJSON.h>

#include "images.h"
#include "recipe.h"

/* One for every codebook, depth of a residual quantizer, head or scale, level of a hierarchical model. */
typedef struct evaluation_codebook {
    char name[RUN_BOOK_NAME]; /* run_book_name */
    int level;                /* of which grid of codes */
    int64_t grid[2];          /* rows and columns of that grid */
    int64_t codes, used;
    double usage;      /* used / codes: over all images evaluated */
    double perplexity; /* of the distribution over all images evaluated */
    double *counts;    /* [codes] */
    int64_t each;      /* codes of an image */
} evaluation_codebook;

typedef struct evaluation {
    int64_t images;
    double mse;            /* mean over images, in units of pixel / 255, not clamped */
    double nmse;           /* mse / variance of the training pixels */
    double psnr;           /* dB, per image, clamped, mean over images */
    double ssim;           /* metric_ssim, mean over images */
    int ssim_window;       /* 11, smaller for small images */
    double bits_per_pixel; /* fixed length: codes of an image * log2 K / (H * W); 0 without a codebook */
    int grids;             /* of codes; more than one in a hierarchical model */
    int n_codebooks;
    evaluation_codebook codebooks[RUN_BOOKS];
} evaluation;

/* Runs r (RUN_RECONSTRUCT, planned) over n images of `set` and measures. `variance` of the training pixels (pixel / 255). With a
 * `label` there is a live line. Stops early with AG_ERR_FAILED if a signal came. */
ag_err evaluate(evaluation *out, run *r, data_set *set, int64_t n, const int64_t *indices, double variance,
                const char *label);
/* Bytes that it takes beside the graph. */
int64_t evaluate_bytes(const run *r);
/* "", "12 of 64 codes used, perplexity 9.1", the same of each codebook with its name, or the means of all if they are more than
 * RUN_BOOKS_SHOWN, which it says. */
void evaluation_codes_text(const evaluation *e, char *out, size_t size);
void evaluation_free(evaluation *e); /* frees what is in it, not e */
/* The object that `eval --json` prints. */
cJSON *evaluation_to_json(const evaluation *e);

/* Runs r over n images: originals and reconstructions as pixels, either may be NULL; codes i32 of the first quantizer, may be NULL. */
ag_err evaluate_pixels(run *r, data_set *set, int64_t n, const int64_t *indices, uint8_t *originals,
                       uint8_t *reconstructions);

#endif
