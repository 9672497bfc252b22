/* attention_mask  u8 [L,L], 1 where query slot i may attend to key slot j
 *         causal   j <= i, or both in the first `prefix` slots            strict  j < i
 *         levels   level(j) <= level(i), slots in levels of the given sizes (Tian et al. 2024, arXiv:2404.02905)
 *         row, column, convolution: `prefix` text slots first: text to text causal, text to image nothing, image to text all; image
 *         to image, with a and b the raster indices of query and key on a grid `width` wide, b <= a and
 *                  row: a - b <= width;  column: (a - b) mod width = 0;
 *                  convolution: a - b = r width + c, 0 <= r <= kernel / 2, |c| <= kernel / 2 (wrapping around the rows)
 *                  (Ramesh et al. 2021, arXiv:2102.12092, B.1) */
#include "engine.h"

static int level_of(const ag_mask_options *o, int64_t slot)
{
    int level = 0;
    for (int64_t end = o->levels[0]; slot >= end && level < o->level_count - 1; end += o->levels[level]) level++;
    return level;
}

static bool image_pair(const ag_mask_options *o, int64_t apart)
{
    const int64_t w = o->width, half = o->kernel / 2;
    if (apart < 0) return false;
    if (o->kind == AG_MASK_ROW) return apart <= w;
    if (o->kind == AG_MASK_COLUMN) return apart % w == 0;
    for (int64_t r = 0; r <= half; r++) {
        const int64_t c = apart - r * w;
        if (c >= -half && c <= half) return true;
    }
    return false;
}

static bool allowed(const ag_mask_options *o, int64_t i, int64_t j)
{
    switch (o->kind) {
    case AG_MASK_CAUSAL: return j <= i || (i < o->prefix && j < o->prefix);
    case AG_MASK_STRICT: return j < i;
    case AG_MASK_LEVELS: return level_of(o, j) <= level_of(o, i);
    default: break;
    }
    if (i < o->prefix) return j <= i;
    return j < o->prefix || image_pair(o, i - j);
}

static ag_err check_levels(const ag_mask_options *o)
{
    int64_t sum = 0;
    if (o->level_count < 1 || o->level_count > AG_MASK_MOST_LEVELS)
        return ag_fail(AG_ERR_SHAPE, "%d levels; a mask has 1 to %d", o->level_count, AG_MASK_MOST_LEVELS);
    for (int i = 0; i < o->level_count; i++) {
        if (o->levels[i] < 1 || o->levels[i] > o->length)
            return ag_fail(AG_ERR_SHAPE, "level %d is empty or too long", i);
        sum += o->levels[i];
    }
    if (sum != o->length)
        return ag_fail(AG_ERR_SHAPE, "levels of %lld slots for a length of %lld", (long long)sum, (long long)o->length);
    return AG_OK;
}

static ag_err attention_mask_shape(ag_tensor *y)
{
    const ag_mask_options *o = y->attr;
    const bool grid = o->kind == AG_MASK_ROW || o->kind == AG_MASK_COLUMN || o->kind == AG_MASK_CONVOLUTION;
    y->dtype = AG_U8;
    if (o->prefix < 0 || o->prefix > o->length)
        return ag_fail(AG_ERR_SHAPE, "a prefix of %lld in %lld slots", (long long)o->prefix, (long long)o->length);
    if (grid && o->width < 1) return ag_fail(AG_ERR_SHAPE, "a grid needs a width");
    if (o->kind == AG_MASK_CONVOLUTION && o->kernel < 1) return ag_fail(AG_ERR_SHAPE, "a convolution needs a kernel");
    const ag_err err = o->kind == AG_MASK_LEVELS ? check_levels(o) : AG_OK;
    return err ? err : ag__shape_set(y, 2, (int64_t[]){o->length, o->length});
}

static void attention_mask_run(const ag_tensor *y)
{
    const ag_mask_options *o = y->attr;
    uint8_t *m = y->data;
#pragma omp parallel for schedule(static) if (y->numel > 32768)
    for (int64_t i = 0; i < o->length; i++)
        for (int64_t j = 0; j < o->length; j++) m[i * o->length + j] = allowed(o, i, j);
}

const ag__rule ag__attention_mask = {.shape = attention_mask_shape, .run = attention_mask_run};

ag_tensor *ag_attention_mask(ag_graph *g, const ag_mask_options *o)
{
    return ag__source(g, AG__OP_attention_mask, o, sizeof *o);
}
