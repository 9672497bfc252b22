/* metrics.jsonl: its lines, resuming, and what is passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <time.h>

#include "run_samples.h"

static ckpt_history *read_history(void)
{
    ckpt_history *h;
    assert_int_equal(ckpt_history_read(&h, in_run("metrics.jsonl")), AG_OK);
    return h;
}

static void metrics_are_lines_of_strict_json(void **state)
{
    ckpt_run *run = create();
    size_t size;
    (void)state;
    ckpt_log *log = open_log(run, 0);
    log_two(log, "train", 100, 0.1f, NAN);
    assert_int_equal(ckpt_log_scalars(log, "a\"\\\n", 3, 1, (const char *const[]){"x"}, (const double[]){-INFINITY}),
                     AG_OK);
    assert_int_equal(ckpt_log_scalars(log, "train", 4, 0, NULL, NULL), AG_OK);
    assert_int_equal(ckpt_log_sync(log), AG_OK);
    ckpt_log_close(log);
    char *text = slurp(in_run("metrics.jsonl"), &size), *line = strtok(text, "\n");
    char expected[256], *stamp = strstr(line, "\"time\":");
    assert_non_null(stamp);
    assert_true(fabs(atof(stamp + 7) - (double)time(NULL)) < 100);
    snprintf(expected, sizeof expected,
             "{\"step\":100,\"split\":\"train\",%.*s,\"loss\":0.100000001,\"codebook/perplexity\":null,"
             "\"codebook/perplexity_special\":\"nan\"}",
             (int)strcspn(stamp, ","), stamp);
    assert_string_equal(line, expected);
    line = strtok(NULL, "\n");
    cJSON *json = parse(line);
    assert_string_equal(cJSON_GetObjectItem(json, "split")->valuestring, "a\"\\\n");
    assert_string_equal(cJSON_GetObjectItem(json, "x_special")->valuestring, "-inf");
    cJSON_Delete(json);
    cJSON_Delete(parse(strtok(NULL, "\n")));
    assert_null(strtok(NULL, "\n"));
    free(text);
    ckpt_run_close(run);
}

static void float_values_come_back_exactly(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    float sent[200];
    (void)state;
    for (int i = 0; i < 200; i++) {
        const uint32_t bits = 0x00800000u + (uint32_t)i * 10631111u;
        memcpy(&sent[i], &bits, 4);
        log_two(log, "train", i, (double)sent[i], i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY);
    }
    ckpt_log_close(log);
    ckpt_history *h = read_history();
    const ckpt_series *loss = ckpt_history_find(h, "train", "loss");
    const ckpt_series *odd = ckpt_history_find(h, "train", "codebook/perplexity");
    assert_int_equal(ckpt_history_count(h), 3); /* and time */
    assert_string_equal(ckpt_history_at(h, 0)->name, "time");
    assert_string_equal(ckpt_history_at(h, 0)->split, "train");
    assert_int_equal(loss->n, 200);
    assert_int_equal(odd->n, 200);
    for (int i = 0; i < 200; i++) {
        const float back = (float)loss->value[i];
        assert_memory_equal(&back, &sent[i], 4);
        assert_int_equal(loss->step[i], i);
        assert_true(i % 3 == 0 ? isnan(odd->value[i]) : isinf(odd->value[i]) && (odd->value[i] > 0) == (i % 3 == 1));
    }
    assert_null(ckpt_history_find(h, "validation", "loss"));
    ckpt_history_free(h);
    ckpt_run_close(run);
}

static void a_resume_supersedes_later_steps(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    (void)state;
    for (int step = 10; step <= 50; step += 10)
        log_two(log, "train", step, step, 1), log_two(log, "validation", step, 5, 5);
    ckpt_log_close(log);
    log = open_log(run, 30);
    for (int step = 40; step <= 60; step += 10) log_two(log, "train", step, step + 0.5, 2);
    ckpt_log_close(log);
    ckpt_history *h = read_history();
    const ckpt_series *loss = ckpt_history_find(h, "train", "loss");
    static const double expected[] = {10, 20, 30, 40.5, 50.5, 60.5};
    assert_int_equal(loss->n, 6);
    assert_memory_equal(loss->value, expected, sizeof expected);
    assert_int_equal(ckpt_history_find(h, "validation", "loss")->n, 3);
    assert_int_equal(ckpt_history_skipped(h), 0);
    ckpt_history_free(h);
    ckpt_run_close(run);
}

static void a_torn_line_is_ended_and_passed_over(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    size_t size;
    (void)state;
    log_two(log, "train", 1, 1, 1);
    ckpt_log_close(log);
    append(in_run("metrics.jsonl"), "{\"step\":2,\"split\":\"tra");
    ckpt_history *h = read_history(); /* while it is torn */
    assert_int_equal(ckpt_history_skipped(h), 1);
    assert_int_equal(ckpt_history_find(h, "train", "loss")->n, 1);
    ckpt_history_free(h);
    log = open_log(run, 1);
    log_two(log, "train", 2, 2, 2);
    ckpt_log_close(log);
    append(in_run("metrics.jsonl"), "{\"step\":3}");
    ckpt_log_close(open_log(run, 0));
    append(in_run("metrics.jsonl"), "[]\n\n{\"step\":\"x\"}\n{\"step\":4,\"split\":\"train\",\"loss\":3}\n");
    h = read_history();
    assert_int_equal(ckpt_history_skipped(h), 4);
    assert_int_equal(ckpt_history_find(h, "train", "loss")->n, 3);
    assert_true(ckpt_history_find(h, "train", "loss")->value[2] == 3);
    ckpt_history_free(h);
    char *text = slurp(in_run("metrics.jsonl"), &size);
    assert_non_null(strstr(text, "\"tra\n{\"event\":\"resume\",\"step\":1,"));
    free(text);
    ckpt_run_close(run);
}

static void names_that_would_clash_are_refused(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    const double v[2] = {1, 2};
    size_t size;
    (void)state;
    assert_int_equal(ckpt_log_scalars(log, "train", 1, 1, (const char *const[]){"step"}, v), AG_ERR_FAILED);
    assert_int_equal(ckpt_log_scalars(log, "train", 1, 2, (const char *const[]){"a", "a"}, v), AG_ERR_FAILED);
    ckpt_log_close(log);
    free(slurp(in_run("metrics.jsonl"), &size));
    assert_int_equal(size, 0);
    ckpt_run_close(run);
}

/* A disk that fills up in the middle of a line: what is there stays whole lines. */
static void a_line_that_does_not_fit_is_taken_back(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    size_t size, before;
    int failed = 0;
    (void)state;
    log_two(log, "train", 1, 1, 1);
    free(slurp(in_run("metrics.jsonl"), &before));
    limit_file_size(before * 3 + 10);
    for (int step = 2; step < 10; step++)
        failed += ckpt_log_scalars(log, "train", step, 2, two_names, (const double[]){1, 1}) == AG_ERR_IO;
    limit_file_size(RLIM_INFINITY);
    assert_true(failed > 0 && failed < 8);
    char *text = slurp(in_run("metrics.jsonl"), &size);
    assert_int_equal(text[size - 1], '\n');
    free(text);
    log_two(log, "train", 20, 1, 1);
    ckpt_log_close(log);
    ckpt_history *h = read_history();
    assert_int_equal(ckpt_history_skipped(h), 0);
    ckpt_history_free(h);
    ckpt_run_close(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(metrics_are_lines_of_strict_json, next_run),
        cmocka_unit_test_setup(float_values_come_back_exactly, next_run),
        cmocka_unit_test_setup(a_resume_supersedes_later_steps, next_run),
        cmocka_unit_test_setup(a_torn_line_is_ended_and_passed_over, next_run),
        cmocka_unit_test_setup(names_that_would_clash_are_refused, next_run),
        cmocka_unit_test_setup(a_line_that_does_not_fit_is_taken_back, next_run),
    };
    return cmocka_run_group_tests_name("run log", tests, make_folder, remove_folder);
}
