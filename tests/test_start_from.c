/* Runs that begin with weights of another run, and parts that are frozen. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoints/checkpoint.h"
#include "data/synth.h"
#include "scratch.h"
#include "terminal.h"
#include "train.h"

static char data[96];

static const char small[] =
    "hidden=8 residual=4 blocks=1 dim=4 codes=16 batch=8 start=kmeans save_every=0 save_minutes=0 "
    "eval_every=0 samples_every=0 log_every=10";

static ag_err go(const char *name, const char *from, const char *more, int64_t steps, bool resume)
{
    char *argv[] = {"tessera", NULL};
    char all[512];
    const recipe *card = recipe_find("vqvae");
    struct train_options *o = recipe_options_new(card);
    int signal;
    snprintf(all, sizeof all, "%s %s steps=%lld", small, more, (long long)steps);
    assert_int_equal(option_assign_all(card->options, o, all, "test"), AG_OK);
    const train_config config = {.recipe = card,
                                 .options = o,
                                 .data = data,
                                 .out = in_folder(name),
                                 .init_from = from ? in_folder(from) : NULL,
                                 .resume = resume,
                                 .argc = 1,
                                 .argv = argv};
    const ag_err err = train(&config, &signal);
    free(o);
    return err;
}

/* A tensor of the checkpoint of a run; *n values. */
static real *tensor(const char *name, const char *what, int64_t *n)
{
    char path[128];
    ckpt_listing l;
    real *values = NULL;
    snprintf(path, sizeof path, "%s/checkpoint.h5", in_folder(name));
    assert_int_equal(ckpt_list(path, &l), AG_OK);
    for (int i = 0; i < l.n; i++) {
        if (strcmp(l.items[i].name, what)) continue;
        *n = 1;
        for (int d = 0; d < l.items[i].rank; d++) *n *= l.items[i].shape[d];
        values = l.items[i].data = calloc((size_t)*n, sizeof(real));
        assert_int_equal(ckpt_load_part(path, 1, &l.items[i]), AG_OK);
    }
    ckpt_listing_free(&l);
    return values;
}

static bool same(const char *a, const char *b, const char *what)
{
    int64_t n, m;
    real *x = tensor(a, what, &n), *y = tensor(b, what, &m);
    assert_true(x && y);
    const bool equal = n == m && !memcmp(x, y, (size_t)n * sizeof *x);
    free(x), free(y);
    return equal;
}

static int setup(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(data, sizeof data, "%s/data.h5", folder);
    terminal_set_quiet(true);
    const data_synth_options o = {.count = 64, .height = 16};
    return data_synth(data, "scenes", &o) ? -1 : 0;
}

static void weights_are_taken_and_frozen_ones_stay(void **state)
{
    (void)state;
    static const char *const kept[] = {"weights/encoder.conv.weight", "weights/encoder.conv_out.bias",
                                       "buffers/quantizer.embedding", "buffers/quantizer.cluster_size",
                                       "buffers/quantizer.embedding_sum"};
    assert_int_equal(go("first", NULL, "", 20, false), AG_OK);
    if (go("second", "first", "freeze=encoder,quantizer seed=5", 20, false)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < 5; i++) assert_true(same("first", "second", kept[i]));
    assert_false(same("first", "second", "weights/decoder.conv_in.weight"));
    int64_t n;
    assert_null(tensor("second", "optimizer/optimizer.adam.encoder.conv.weight.m", &n)); /* nor moments */
    if (go("third", "first", "seed=5", 20, false)) fail_msg("%s", ag_error_message());
    for (int i = 0; i < 5; i++) assert_false(same("first", "third", kept[i]));
}

static void a_frozen_run_resumes_with_the_same_bytes(void **state)
{
    (void)state;
    const char *settings = "freeze=encoder,quantizer seed=5 average=0.9";
    assert_int_equal(go("whole", "first", settings, 20, false), AG_OK);
    assert_int_equal(go("parts", "first", settings, 7, false), AG_OK);
    assert_int_equal(go("parts", NULL, settings, 20, true), AG_OK);
    assert_true(same("whole", "parts", "weights/decoder.conv_in.weight"));
    assert_true(same("whole", "parts", "optimizer/optimizer.average.decoder.conv_in.weight"));
    assert_true(same("whole", "parts", "optimizer/optimizer.adam.decoder.conv_in.weight.v"));
}

/* The old codes stay where they are, new ones lie beside the most used, members and sums fit them. */
static void a_codebook_grows_by_splitting(void **state)
{
    (void)state;
    static const char *const rules[] = {"", "codebook=gradient restart=0.5"};
    for (int rule = 0; rule < 2; rule++) {
        const char *where = rule ? "weights/quantizer.embedding" : "buffers/quantizer.embedding";
        char settings[128], source[16], name[16];
        int64_t n, m, k;
        double before = 0, after = 0, spread = 0;
        snprintf(source, sizeof source, "source%d", rule), snprintf(name, sizeof name, "grown%d", rule);
        assert_int_equal(go(source, NULL, rules[rule], 15, false), AG_OK);
        snprintf(settings, sizeof settings, "%s codes=40 freeze=encoder,quantizer", rules[rule]);
        if (go(name, source, settings, 2, false)) fail_msg("%s", ag_error_message());
        real *old = tensor(source, where, &n), *e = tensor(name, where, &m);
        assert_true(n == 16 * 4 && m == 40 * 4);
        assert_memory_equal(old, e, (size_t)n * sizeof *e);
        for (int64_t i = 0; i < n; i++) spread = fmax(spread, fabs((double)old[i]));
        for (int64_t j = 16; j < 40; j++) {
            double nearest = INFINITY;
            for (int64_t i = 0; i < 16; i++) {
                double d = 0;
                for (int c = 0; c < 4; c++) d += pow((double)(e[j * 4 + c] - e[i * 4 + c]), 2);
                nearest = fmin(nearest, d);
            }
            assert_true(nearest > 0 && sqrt(nearest) < 0.3 * spread);
        }
        real *counts = tensor(source, "buffers/quantizer.cluster_size", &k);
        for (int64_t i = 0; i < k; i++) before += (double)counts[i];
        free(counts);
        counts = tensor(name, "buffers/quantizer.cluster_size", &k);
        for (int64_t i = 0; i < k; i++) after += (double)counts[i];
        assert_true(k == 40 && fabs(before - after) < 1e-3 * before);
        real *sums = rule ? NULL : tensor(name, "buffers/quantizer.embedding_sum", &m);
        for (int64_t i = 0; sums && i < m; i++)
            assert_true(fabs((double)(sums[i] - counts[i / 4] * e[i])) < 1e-5 * (1 + fabs((double)sums[i])));
        free(old), free(e), free(counts), free(sums);
    }
}

/* The averages of an EMA codebook begin at the codes that a gradient has learned. */
static void another_rule_for_the_codebook_takes_the_codes(void **state)
{
    (void)state;
    assert_int_equal(go("learned", NULL, "codebook=gradient", 15, false), AG_OK);
    assert_int_equal(go("followed", "learned", "codebook=ema freeze=encoder,quantizer", 2, false), AG_OK);
    int64_t n, m;
    real *a = tensor("learned", "weights/quantizer.embedding", &n),
         *b = tensor("followed", "buffers/quantizer.embedding", &m),
         *sum = tensor("followed", "buffers/quantizer.embedding_sum", &m);
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    assert_memory_equal(a, sum, (size_t)n * sizeof *a); /* one member each */
    free(a), free(b), free(sum);
}

static void averages_are_taken_where_there_are_any(void **state)
{
    (void)state;
    int64_t n, m;
    assert_int_equal(go("averaged", NULL, "average=0.9", 15, false), AG_OK);
    assert_int_equal(go("from", "averaged", "freeze=encoder,quantizer", 2, false), AG_OK);
    real *a = tensor("averaged", "optimizer/optimizer.average.encoder.conv.weight", &n),
         *b = tensor("from", "weights/encoder.conv.weight", &m);
    assert_true(n == m);
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    free(a), free(b);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_int_equal(go("no", NULL, "freeze=encodr", 2, false), AG_ERR_USAGE);
    assert_non_null(strstr(ag_error_message(), "this model has encoder, quantizer, decoder"));
    assert_int_equal(go("no", NULL, "freeze=encoder,decoder", 2, false), AG_ERR_USAGE);
    assert_non_null(strstr(ag_error_message(), "nothing to train"));
    assert_int_equal(go("no", NULL, "freeze=quantizer.cluster_size", 2, false), AG_ERR_USAGE);
    assert_int_equal(go("no", "first", "hidden=10 residual=3 dim=5 codes=8", 2, false), AG_OK); /* one bias fits */
    assert_int_equal(go("no2", "nothing", "", 2, false), AG_ERR_CHECKPOINT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_taken_and_frozen_ones_stay),
        cmocka_unit_test(a_frozen_run_resumes_with_the_same_bytes),
        cmocka_unit_test(a_codebook_grows_by_splitting),
        cmocka_unit_test(another_rule_for_the_codebook_takes_the_codes),
        cmocka_unit_test(averages_are_taken_where_there_are_any),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
