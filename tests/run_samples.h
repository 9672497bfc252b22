/* Run directories for tests: each has one of its own, and may log to it. */
#ifndef TESTS_RUN_SAMPLES_H
#define TESTS_RUN_SAMPLES_H

#include <string.h>

#include "checkpoints/metrics.h"
#include "checkpoints/run.h"
#include "scratch.h"

static char run_folder[128];

/* Every test has a run folder of its own, two levels below what exists. */
static inline int next_run(void **state)
{
    (void)state;
    static int runs;
    snprintf(run_folder, sizeof run_folder, "%s/runs/%d", folder, runs++);
    return 0;
}

static inline const char *in_run(const char *name)
{
    static char path[4][400];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", run_folder, name);
    return p;
}

static inline cJSON *parse(const char *text)
{
    cJSON *json;
    assert_int_equal(ckpt_json_parse(&json, text, strlen(text), "test", AG_ERR_USAGE), AG_OK);
    return json;
}

static inline ckpt_run *create(void)
{
    ckpt_run *run;
    cJSON *config = parse("{\"recipe\": \"vqvae\", \"lr\": 0.0002}");
    assert_int_equal(ckpt_run_create(&run, run_folder, config), AG_OK);
    cJSON_Delete(config);
    return run;
}

static inline void append(const char *path, const char *text)
{
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static const char *const two_names[] = {"loss", "codebook/perplexity"};

static inline void log_two(ckpt_log *log, const char *split, int64_t step, double a, double b)
{
    assert_int_equal(ckpt_log_scalars(log, split, step, 2, two_names, (const double[]){a, b}), AG_OK);
}

static inline ckpt_log *open_log(ckpt_run *run, int64_t step)
{
    ckpt_log *log;
    assert_int_equal(ckpt_log_open(&log, run, step), AG_OK);
    return log;
}

#endif
