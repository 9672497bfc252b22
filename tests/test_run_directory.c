/* Run directories: files, locks, run.json and the manifest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run_samples.h"

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
    char *sample = ckpt_run_sample_path(run, "recon", 1000);
    assert_string_equal(sample, in_run("samples/recon-00001000.png"));
    free(sample);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_new_run_has_its_files, next_run),
        cmocka_unit_test_setup(a_folder_that_holds_a_run_is_not_taken, next_run),
        cmocka_unit_test_setup(a_folder_with_other_files_is_taken, next_run),
        cmocka_unit_test_setup(no_run_is_a_missing_checkpoint, next_run),
        cmocka_unit_test_setup(a_file_in_the_way_is_named, next_run),
        cmocka_unit_test_setup(two_trainings_do_not_share_a_folder, next_run),
        cmocka_unit_test_setup(leftovers_of_dead_processes_are_deleted, next_run),
        cmocka_unit_test_setup(text_that_no_one_could_read_back_is_not_written, next_run),
        cmocka_unit_test_setup(the_manifest_says_what_ran_where, next_run),
    };
    return cmocka_run_group_tests_name("run directory", tests, make_folder, remove_folder);
}
