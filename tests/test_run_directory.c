/* Run directories: locks, run.json, metrics and event files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../checkpoints/events.h"
#include "checkpoints/crc32c.h"
#include "checkpoints/metrics.h"
#include "checkpoints/run.h"

static char folder[64], run_folder[128];
static int runs;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_run_directory.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Every test has a run folder of its own, two levels below what exists. */
static int next_run(void **state)
{
    (void)state;
    snprintf(run_folder, sizeof run_folder, "%s/runs/%d", folder, runs++);
    return 0;
}

static const char *in_run(const char *name)
{
    static char path[4][400];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", run_folder, name);
    return p;
}

static cJSON *parse(const char *text)
{
    cJSON *json;
    assert_int_equal(ckpt_json_parse(&json, text, strlen(text), "test", AG_ERR_USAGE), AG_OK);
    return json;
}

static ckpt_run *create(void)
{
    ckpt_run *run;
    cJSON *config = parse("{\"recipe\": \"vqvae\", \"lr\": 0.0002}");
    assert_int_equal(ckpt_run_create(&run, run_folder, config), AG_OK);
    cJSON_Delete(config);
    return run;
}

static char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, (1 << 20) - 1, f);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static void append(const char *path, const char *text)
{
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

static void json_that_is_not_strict_is_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"{\"a\": 1, \"b\": {\"c\": 1, \"d\": 2, \"c\": 3}}", "\"c\" stands twice"},
        {"{\"a\": 1} x", "line 1, column 10: text after the end"},
        {"{\"a\": 1}{}", "text after the end"},
        {"{\"a\": 1,\n \"b\": }", "line 2"},
        {"{\"a\": [1, 2", "line 1"},
        {"{\"a\": \"\xff\"}", "not UTF-8"},
        {"{\"a\": \"\xc0\xaf\"}", "not UTF-8"},
        {"{\"a\": \"\xed\xa0\x80\"}", "not UTF-8"},
        {"{\"a\": \"\xf4\x90\x80\x80\"}", "not UTF-8"},
        {"{\"a\": \"\xe2\x82", "not UTF-8"},
        {"{\"a\": 1e999}", "a: the number is too large"},
        {"", "too early"},
        {"   ", "line 1"},
        {"nonsense", "not JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *json;
        char *exact = malloc(strlen(bad[i].text)); /* no NUL after it: a read beyond is seen by the address checker */
        memcpy(exact, bad[i].text, strlen(bad[i].text));
        assert_int_equal(ckpt_json_parse(&json, exact, strlen(bad[i].text), "test.json", AG_ERR_USAGE), AG_ERR_USAGE);
        assert_null(json);
        if (!strstr(ag_error_message(), bad[i].why) || !strstr(ag_error_message(), "test.json"))
            fail_msg("%zu: '%s' without '%s'", i, ag_error_message(), bad[i].why);
        free(exact);
    }
    cJSON *json;
    assert_int_equal(ckpt_json_parse(&json, "{}\0 ", 4, "test.json", AG_ERR_DATA), AG_ERR_DATA);
}

static void json_with_space_and_text_of_all_lengths_is_read(void **state)
{
    cJSON *json =
        parse(" \r\n\t{\"a\": \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\", \"b\": {\"a\": 1}, \"c\": []}\n \n");
    (void)state;
    assert_string_equal(cJSON_GetObjectItem(json, "a")->valuestring, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    cJSON_Delete(json);
}

static void whole_numbers_of_64_bits_survive(void **state)
{
    static const uint64_t values[] = {0, 1, 9007199254740992u, 9007199254740993u, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cJSON *object = cJSON_CreateObject();
        uint64_t back = 5;
        assert_int_equal(ckpt_json_add_u64(object, "seed", values[i]), AG_OK);
        char *text;
        assert_int_equal(ckpt_json_print(&text, object), AG_OK);
        cJSON *again = parse(text);
        assert_int_equal(ckpt_json_get_u64(again, "seed", &back), AG_OK);
        assert_true(back == values[i]);
        free(text), cJSON_Delete(object), cJSON_Delete(again);
    }
    uint64_t v;
    cJSON *bad =
        parse("{\"a\": -1, \"b\": 1.5, \"c\": \"12x\", \"d\": \"\", \"e\": \"18446744073709551616\", \"f\": 1e17}");
    for (char key[2] = "a"; key[0] <= 'g'; key[0]++)
        assert_int_equal(ckpt_json_get_u64(bad, key, &v), AG_ERR_CHECKPOINT);
    cJSON_Delete(bad);
}

static void every_number_is_read_back_to_the_bit(void **state)
{
    cJSON *list = cJSON_CreateArray();
    char *text;
    uint64_t bits = 0x3fb999999999999a; /* 0.1 */
    (void)state;
    for (int i = 0; i < 500; i++, bits = bits * 6364136223846793005u + 1442695040888963407u) {
        double value;
        memcpy(&value, &bits, 8);
        if (isfinite(value)) cJSON_AddItemToArray(list, cJSON_CreateNumber(value));
    }
    cJSON_AddItemToArray(list, cJSON_CreateNumber(0.1 + 0.2));
    assert_int_equal(ckpt_json_print(&text, list), AG_OK);
    cJSON *again = parse(text);
    assert_int_equal(cJSON_GetArraySize(again), cJSON_GetArraySize(list));
    for (const cJSON *a = list->child, *b = again->child; a; a = a->next, b = b->next)
        assert_memory_equal(&a->valuedouble, &b->valuedouble, 8);
    free(text), cJSON_Delete(again);
    cJSON_AddItemToArray(list, cJSON_CreateNumber(NAN));
    assert_int_equal(ckpt_json_print(&text, list), AG_ERR_FAILED);
    assert_null(text);
    cJSON_Delete(list);
}

static void json_is_printed_for_people(void **state)
{
    const char *text =
        "{\n  \"a\": [1, 2.5, \"x\\\"y\\u000a\"],\n  \"b\": {\n    \"c\": null,\n    \"d\": [\n      [true],\n"
        "      {}\n    ]\n  }\n}\n";
    cJSON *json = parse(text);
    char *again;
    (void)state;
    assert_int_equal(ckpt_json_print(&again, json), AG_OK);
    assert_string_equal(again, text);
    free(again), cJSON_Delete(json);
}

/* ---- folders and locks ---------------------------------------------------------------------------------------------- */

static void a_new_run_has_its_files(void **state)
{
    struct stat st;
    size_t size;
    (void)state;
    ckpt_run *run = create();
    assert_true(ckpt_run_locked(run));
    assert_int_equal(stat(in_run("samples"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    char *text = slurp(in_run("run.json"), &size);
    assert_string_equal(text, "{\n  \"recipe\": \"vqvae\",\n  \"lr\": 0.0002\n}\n");
    free(text);
    assert_string_equal(ckpt_run_path(run, CKPT_RUN_CHECKPOINT), in_run("checkpoint.h5"));
    char *sample = ckpt_run_sample_path(run, "recon", 1000), *kept = ckpt_run_kept_path(run, 1000);
    assert_string_equal(sample, in_run("samples/recon-00001000.png"));
    assert_string_equal(kept, in_run("checkpoint-00001000.h5"));
    free(sample), free(kept);
    ckpt_run_close(run);
}

static void a_folder_that_holds_a_run_is_not_taken(void **state)
{
    ckpt_run *run = create();
    cJSON *config = parse("{}");
    (void)state;
    ckpt_run_close(run);
    assert_int_equal(ckpt_run_create(&run, run_folder, config), AG_ERR_USAGE);
    assert_null(run);
    assert_non_null(strstr(ag_error_message(), "--resume"));
    assert_int_equal(ckpt_run_resume(&run, run_folder), AG_OK);
    assert_string_equal(cJSON_GetObjectItem(ckpt_run_config(run), "recipe")->valuestring, "vqvae");
    assert_int_equal(ckpt_run_set_config(run, config), AG_OK);
    assert_null(ckpt_run_config(run)->child);
    ckpt_run_close(run);
    assert_int_equal(ckpt_run_open(&run, run_folder), AG_OK);
    assert_null(ckpt_run_config(run)->child);
    ckpt_run_close(run);
    cJSON_Delete(config);
}

static void a_folder_with_other_files_is_taken(void **state)
{
    (void)state;
    mkdir(in_run(".."), 0777), mkdir(run_folder, 0777);
    append(in_run("notes.txt"), "mine\n");
    ckpt_run_close(create());
    assert_int_equal(access(in_run("notes.txt"), F_OK), 0);
}

static void no_run_is_a_missing_checkpoint(void **state)
{
    ckpt_run *run;
    (void)state;
    assert_int_equal(ckpt_run_open(&run, run_folder), AG_ERR_CHECKPOINT);
    assert_int_equal(ckpt_run_resume(&run, run_folder), AG_ERR_CHECKPOINT);
    assert_int_equal(access(run_folder, F_OK), -1);
    ckpt_run_close(create());
    append(in_run("run.json"), "{");
    assert_int_equal(ckpt_run_open(&run, run_folder), AG_ERR_CHECKPOINT);
    assert_null(run);
    assert_int_equal(unlink(in_run("run.json")), 0);
    append(in_run("run.json"), "[]");
    assert_int_equal(ckpt_run_open(&run, run_folder), AG_ERR_CHECKPOINT);
    assert_non_null(strstr(ag_error_message(), "object"));
}

static void a_file_in_the_way_is_named(void **state)
{
    ckpt_run *run;
    cJSON *config = parse("{}");
    (void)state;
    mkdir(in_run(".."), 0777);
    append(run_folder, "a file\n");
    assert_int_equal(ckpt_run_create(&run, run_folder, config), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), run_folder));
    assert_int_equal(ckpt_run_create(&run, in_run("below"), config), AG_ERR_IO);
    assert_int_equal(ckpt_run_create(&run, "", config), AG_ERR_USAGE);
    cJSON_Delete(config);
}

static void two_trainings_do_not_share_a_folder(void **state)
{
    ckpt_run *run = create(), *other;
    int status, ready[2];
    char byte;
    (void)state;
    assert_int_equal(ckpt_run_resume(&other, run_folder), AG_ERR_FAILED);
    assert_non_null(strstr(ag_error_message(), "another training"));
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(ag_error_message(), pid));
    assert_int_equal(ckpt_run_open(&other, run_folder), AG_OK); /* looking is always allowed */
    ckpt_run_close(other);
    ckpt_run_close(run);

    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        if (ckpt_run_resume(&run, run_folder) || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(ckpt_run_resume(&other, run_folder), AG_ERR_FAILED);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_int_equal(ckpt_run_resume(&other, run_folder), AG_OK); /* the lock died with its process */
    ckpt_run_close(other);
    close(ready[0]), close(ready[1]);
}

static void leftovers_of_dead_processes_are_deleted(void **state)
{
    int status;
    ckpt_run *run = create();
    (void)state;
    ckpt_run_close(run);
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, &status, 0);
    char dead[64], sample[64];
    snprintf(dead, sizeof dead, ".checkpoint.h5.tmp.%ld", (long)child);
    snprintf(sample, sizeof sample, "samples/.recon.png.tmp.%ld", (long)child);
    append(in_run(dead), "half"), append(in_run(sample), "half");
    assert_int_equal(ckpt_run_resume(&run, run_folder), AG_OK);
    assert_int_equal(access(in_run(dead), F_OK), -1);
    assert_int_equal(access(in_run(sample), F_OK), -1);
    ckpt_run_close(run);
}

static void text_that_no_one_could_read_back_is_not_written(void **state)
{
    ckpt_run *run = create();
    cJSON *config = cJSON_CreateObject();
    size_t size;
    (void)state;
    cJSON_AddStringToObject(config, "data", "caf\xe9.h5");
    assert_int_equal(ckpt_run_set_config(run, config), AG_ERR_USAGE);
    assert_non_null(strstr(ag_error_message(), "UTF-8"));
    char *text = slurp(in_run("run.json"), &size);
    assert_non_null(strstr(text, "vqvae"));
    free(text);
    cJSON_Delete(config);
    ckpt_run_close(run);
}

static void the_manifest_says_what_ran_where(void **state)
{
    static const char *const keys[] = {"version", "compiler", "flags",   "real", "cpu",  "cores",
                                       "blas",    "kernels",  "threads", "seed", "data", "data_fingerprint",
                                       "started", "host",     "argv"};
    char program[] = "tessera", odd[] = "--data=caf\xe9";
    char *argv[] = {program, odd};
    const ckpt_manifest_info info = {.argc = 2, .argv = argv, .seed = 7, .data = "x.h5", .data_fingerprint = "abc"};
    uint64_t seed;
    (void)state;
    cJSON *m = ckpt_manifest(&info);
    assert_non_null(m);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!cJSON_GetObjectItemCaseSensitive(m, keys[i])) fail_msg("no %s", keys[i]);
    assert_int_equal(ckpt_json_get_u64(m, "seed", &seed), AG_OK);
    assert_int_equal(seed, 7);
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(m, "argv"), 1)->valuestring, "--data=caf?");
    cJSON *config = cJSON_CreateObject();
    cJSON_AddItemToObject(config, "manifest", m);
    ckpt_run *run = create();
    assert_int_equal(ckpt_run_set_config(run, config), AG_OK);
    ckpt_run_close(run);
    assert_int_equal(ckpt_run_open(&run, run_folder), AG_OK);
    assert_true(cJSON_Compare(ckpt_run_config(run), config, 1));
    ckpt_run_close(run);
    cJSON_Delete(config);
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */

static const char *const two_names[] = {"loss", "codebook/perplexity"};

static void log_two(ckpt_log *log, const char *split, int64_t step, double a, double b)
{
    assert_int_equal(ckpt_log_scalars(log, split, step, 2, two_names, (const double[]){a, b}), AG_OK);
}

static ckpt_log *open_log(ckpt_run *run, int64_t step)
{
    ckpt_log *log;
    assert_int_equal(ckpt_log_open(&log, run, step), AG_OK);
    return log;
}

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
    struct rlimit limit;
    size_t size, before;
    int failed = 0;
    (void)state;
    log_two(log, "train", 1, 1, 1);
    free(slurp(in_run("metrics.jsonl"), &before));
    getrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){before * 3 + 10, limit.rlim_max});
    for (int step = 2; step < 10; step++)
        failed += ckpt_log_scalars(log, "train", step, 2, two_names, (const double[]){1, 1}) == AG_ERR_IO;
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
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

/* ---- event files ---------------------------------------------------------------------------------------------------- */

static void event_records_have_the_published_bytes(void **state)
{
    static const uint8_t version[] = {0x18, 0,    0,    0,    0,    0,    0,    0,    0xa3, 0x7f,
                                      0x4b, 0x22, 0x09, 0,    0,    0,    0,    0,    0,    0xf0,
                                      0x3f, 0x1a, 0x0d, 0x62, 0x72, 0x61, 0x69, 0x6e, 0x2e, 0x45,
                                      0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32, 0x86, 0xbf, 0x57, 0x7a};
    static const uint8_t scalar[] = {0x1a, 0,    0,    0,    0,    0,    0,    0,    0x12, 0x9b, 0xd8,
                                     0x2d, 0x09, 0,    0,    0,    0,    0,    0,    0,    0x40, 0x10,
                                     0x0a, 0x2a, 0x0d, 0x0a, 0x0b, 0x0a, 0x04, 0x6c, 0x6f, 0x73, 0x73,
                                     0x15, 0,    0,    0,    0x3f, 0x08, 0x1a, 0xdd, 0x56};
    ckpt__bytes b = {0};
    (void)state;
    ckpt__event_version(&b, 1.0);
    assert_int_equal(b.size, sizeof version);
    assert_memory_equal(b.data, version, sizeof version);
    ckpt__bytes_reset(&b);
    ckpt__event_scalars(&b, 2.0, 10, 1, (const char *const[]){"loss"}, (const double[]){0.5});
    assert_int_equal(b.size, sizeof scalar);
    assert_memory_equal(b.data, scalar, sizeof scalar);
    ckpt__bytes_free(&b);
    assert_int_equal(ckpt__event_mask(ckpt_crc32c(0,
                                                  "\x1a\x11"
                                                  "CRC test, one two",
                                                  19)),
                     0x5794D08A);
}

/* A reader of the wire format, written from its description: the next field of a message. */
typedef struct field {
    int number, wire;
    uint64_t value;      /* varint, or the bits of a fixed one */
    const uint8_t *data; /* of length `value` for wire 2 */
} field;

static uint64_t read_varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        assert_true(*p < end);
        const uint8_t byte = *(*p)++;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return v;
    }
    fail_msg("varint too long");
    return 0;
}

static bool next_field(const uint8_t **p, const uint8_t *end, field *f)
{
    if (*p == end) return false;
    const uint64_t key = read_varint(p, end);
    *f = (field){.number = (int)(key >> 3), .wire = (int)(key & 7)};
    if (f->wire == 0) {
        f->value = read_varint(p, end);
    } else if (f->wire == 2) {
        f->value = read_varint(p, end);
        assert_true(f->value <= (uint64_t)(end - *p));
        f->data = *p;
        *p += f->value;
    } else {
        const size_t n = f->wire == 1 ? 8 : 4;
        assert_true(f->wire == 1 || f->wire == 5);
        assert_true((size_t)(end - *p) >= n);
        memcpy(&f->value, *p, n);
        *p += n;
    }
    return true;
}

/* Field `number` of a message; wire -1 if it is not there. */
static field get(const uint8_t *message, uint64_t size, int number)
{
    const uint8_t *p = message;
    for (field f; next_field(&p, message + size, &f);)
        if (f.number == number) return f;
    return (field){.wire = -1};
}

static field inside(field f, int number)
{
    assert_int_equal(f.wire, 2);
    return get(f.data, f.value, number);
}

static bool text_is(field f, const char *text)
{
    return f.wire == 2 && f.value == strlen(text) && !memcmp(f.data, text, f.value);
}

/* Record i of an event file, its checksums checked. False at the end. */
static bool next_record(const uint8_t **p, const uint8_t *end, field *event)
{
    uint64_t length;
    uint32_t check;
    if (*p == end) return false;
    assert_true(end - *p >= 16);
    memcpy(&length, *p, 8);
    memcpy(&check, *p + 8, 4);
    assert_int_equal(check, ckpt__event_mask(ckpt_crc32c(0, *p, 8)));
    assert_true(length <= (uint64_t)(end - *p) - 16);
    memcpy(&check, *p + 12 + length, 4);
    assert_int_equal(check, ckpt__event_mask(ckpt_crc32c(0, *p + 12, length)));
    *event = (field){.wire = 2, .value = length, .data = *p + 12};
    *p += 16 + length;
    return true;
}

/* Names of the event files of the run, in the order in which readers take them. */
static int is_event_file(const struct dirent *e) { return strstr(e->d_name, "tfevents") != NULL; }

static char *read_event_file(int which, int expected, size_t *size)
{
    struct dirent **list;
    const int n = scandir(run_folder, &list, is_event_file, alphasort);
    assert_int_equal(n, expected);
    char *bytes = slurp(in_run(list[which]->d_name), size);
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    return bytes;
}

static const uint8_t tiny_png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0,
                                   1,    4,   0,   0,   0,    7,    8,    2,    0, 0, 0, 1,  2,   3,   4,   5,   6};

static void events_are_read_back_by_the_wire_format(void **state)
{
    ckpt_run *run = create();
    ckpt_log *log = open_log(run, 0);
    char *big = malloc(70000);
    size_t size;
    field e, v;
    (void)state;
    memset(big, 'y', 69999);
    big[69999] = 0;
    log_two(log, "train", 300, 0.25, NAN);
    log_two(log, "validation", 300, 4, 5);
    assert_int_equal(ckpt_log_image(log, "recon/grid", 301, tiny_png, sizeof tiny_png), AG_OK);
    assert_int_equal(ckpt_log_text(log, "config", 302, big), AG_OK);
    ckpt_log_close(log);

    char *bytes = read_event_file(0, 1, &size);
    const uint8_t *p = (const uint8_t *)bytes, *end = p + size;
    assert_true(next_record(&p, end, &e));
    assert_true(text_is(inside(e, 3), "brain.Event:2"));
    assert_true(next_record(&p, end, &e));
    assert_int_equal(inside(e, 2).wire, -1); /* step 0 */
    assert_int_equal(inside(inside(e, 7), 1).value, 1);

    assert_true(next_record(&p, end, &e));
    assert_int_equal(inside(e, 2).value, 300);
    const uint8_t *q = inside(e, 5).data, *q_end = q + inside(e, 5).value;
    float x;
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "train/loss"));
    memcpy(&x, &(uint32_t){(uint32_t)inside(v, 2).value}, 4);
    assert_true(x == 0.25f);
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "codebook/perplexity"));
    memcpy(&x, &(uint32_t){(uint32_t)inside(v, 2).value}, 4);
    assert_true(isnan(x));
    assert_false(next_field(&q, q_end, &v));

    assert_true(next_record(&p, end, &e));
    q = inside(e, 5).data, q_end = q + inside(e, 5).value;
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "validation/loss"));
    assert_true(next_field(&q, q_end, &v));
    assert_true(text_is(inside(v, 1), "validation/codebook/perplexity"));

    assert_true(next_record(&p, end, &e));
    v = inside(inside(inside(e, 5), 1), 4);
    assert_int_equal(inside(v, 1).value, 7);
    assert_int_equal(inside(v, 2).value, 260);
    assert_int_equal(inside(v, 3).value, 3);
    assert_int_equal(inside(v, 4).value, sizeof tiny_png);
    assert_memory_equal(inside(v, 4).data, tiny_png, sizeof tiny_png);

    assert_true(next_record(&p, end, &e));
    v = inside(inside(e, 5), 1);
    assert_true(text_is(inside(v, 1), "config"));
    assert_true(text_is(inside(inside(inside(v, 9), 1), 1), "text"));
    assert_int_equal(inside(inside(v, 9), 4).value, 2);
    assert_int_equal(inside(inside(v, 8), 1).value, 7);
    assert_int_equal(inside(inside(v, 8), 2).value, 0);
    assert_true(text_is(inside(inside(v, 8), 8), big));
    assert_false(next_record(&p, end, &e));
    free(bytes), free(big);
    ckpt_run_close(run);
}

static void every_session_writes_a_file_that_sorts_last(void **state)
{
    ckpt_run *run = create();
    size_t size;
    field e;
    (void)state;
    for (int session = 0; session < 12; session++) { /* all within one second, as far as the clock knows */
        ckpt_log_close(open_log(run, session * 10));
        char *bytes = read_event_file(session, session + 1, &size);
        const uint8_t *p = (const uint8_t *)bytes, *end = p + size;
        assert_true(next_record(&p, end, &e));
        assert_true(next_record(&p, end, &e));
        assert_int_equal(inside(inside(e, 7), 1).value, 1);
        if (session) assert_int_equal(inside(e, 2).value, session * 10 + 1);
        free(bytes);
    }
    ckpt_run_close(run);
}

static void negative_steps_and_bad_pictures_are_handled(void **state)
{
    ckpt__bytes b = {0};
    (void)state;
    ckpt__pb_varint(&b, 2, -1);
    assert_int_equal(b.size, 11);
    const uint8_t *p = b.data;
    field f;
    assert_true(next_field(&p, b.data + b.size, &f));
    assert_true((int64_t)f.value == -1);
    ckpt__bytes_free(&b);
    uint8_t bad[sizeof tiny_png];
    memcpy(bad, tiny_png, sizeof bad);
    assert_int_equal(ckpt__event_image(&b, 1, 1, "t", bad, 20), AG_ERR_DATA);
    bad[25] = 5;
    assert_int_equal(ckpt__event_image(&b, 1, 1, "t", bad, sizeof bad), AG_ERR_DATA);
    bad[0] = 0;
    assert_int_equal(ckpt__event_image(&b, 1, 1, "t", bad, sizeof bad), AG_ERR_DATA);
    assert_int_equal(b.size, 0);
    ckpt__bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(json_that_is_not_strict_is_refused, next_run),
        cmocka_unit_test_setup(json_with_space_and_text_of_all_lengths_is_read, next_run),
        cmocka_unit_test_setup(whole_numbers_of_64_bits_survive, next_run),
        cmocka_unit_test_setup(every_number_is_read_back_to_the_bit, next_run),
        cmocka_unit_test_setup(json_is_printed_for_people, next_run),
        cmocka_unit_test_setup(a_new_run_has_its_files, next_run),
        cmocka_unit_test_setup(a_folder_that_holds_a_run_is_not_taken, next_run),
        cmocka_unit_test_setup(a_folder_with_other_files_is_taken, next_run),
        cmocka_unit_test_setup(no_run_is_a_missing_checkpoint, next_run),
        cmocka_unit_test_setup(a_file_in_the_way_is_named, next_run),
        cmocka_unit_test_setup(two_trainings_do_not_share_a_folder, next_run),
        cmocka_unit_test_setup(leftovers_of_dead_processes_are_deleted, next_run),
        cmocka_unit_test_setup(text_that_no_one_could_read_back_is_not_written, next_run),
        cmocka_unit_test_setup(the_manifest_says_what_ran_where, next_run),
        cmocka_unit_test_setup(metrics_are_lines_of_strict_json, next_run),
        cmocka_unit_test_setup(float_values_come_back_exactly, next_run),
        cmocka_unit_test_setup(a_resume_supersedes_later_steps, next_run),
        cmocka_unit_test_setup(a_torn_line_is_ended_and_passed_over, next_run),
        cmocka_unit_test_setup(names_that_would_clash_are_refused, next_run),
        cmocka_unit_test_setup(a_line_that_does_not_fit_is_taken_back, next_run),
        cmocka_unit_test_setup(event_records_have_the_published_bytes, next_run),
        cmocka_unit_test_setup(events_are_read_back_by_the_wire_format, next_run),
        cmocka_unit_test_setup(every_session_writes_a_file_that_sorts_last, next_run),
        cmocka_unit_test_setup(negative_steps_and_bad_pictures_are_handled, next_run),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
