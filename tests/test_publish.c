/* Publishing files: the new one appears whole or the old one stays, and no temporary is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/publish.h"
#include "scratch.h"

static void bytes_appear_whole_and_alone(void **state)
{
    (void)state;
    const char *path = in_folder("a.bin");
    assert_int_equal(data_publish_bytes(path, "first", 5), AG_OK);
    assert_holds(path, "first");
    assert_int_equal(data_publish_bytes(path, "second", 6), AG_OK);
    assert_holds(path, "second");
    assert_int_equal(data_publish_bytes(in_folder("empty"), NULL, 0), AG_OK);
    assert_holds(in_folder("empty"), "");
    assert_int_equal(entries(), 2);
}

static void old_file_stays_until_commit(void **state)
{
    (void)state;
    const char *path = in_folder("a.bin");
    write_text(path, "old");
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, path), AG_OK);
    write_text(data_publish_temporary(p), "new");
    assert_holds(path, "old");
    assert_int_equal(data_publish_commit(p), AG_OK);
    assert_holds(path, "new");
    assert_int_equal(entries(), 1);
}

static void abort_leaves_the_old_file_and_no_temporary(void **state)
{
    (void)state;
    const char *path = in_folder("a.bin");
    write_text(path, "old");
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, path), AG_OK);
    write_text(data_publish_temporary(p), "half");
    data_publish_abort(p);
    assert_holds(path, "old");
    assert_int_equal(entries(), 1);
    data_publish_abort(NULL);
}

static void a_bare_name_goes_to_the_current_folder(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    const ag_err err = data_publish_bytes("bare", "x", 1);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(err, AG_OK);
    assert_holds(in_folder("bare"), "x");
}

static void missing_folder_is_found_at_once(void **state)
{
    (void)state;
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, in_folder("no/such/a.bin")), AG_ERR_IO);
    assert_null(p);
    assert_non_null(strstr(ag_error_message(), "no/such/a.bin"));
    assert_non_null(strstr(ag_error_message(), "no such file or folder"));
}

static void unwritable_folder_is_found_at_once(void **state)
{
    (void)state;
    /* Permissions do not bind root; /proc takes a new file from nobody. */
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, "/proc/tessera.bin"), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "/proc/tessera.bin"));
}

static void a_folder_is_no_file_name(void **state)
{
    (void)state;
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, folder), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "is a folder"));
    assert_int_equal(data_publish_begin(&p, ""), AG_ERR_IO);
    assert_int_equal(data_publish_begin(&p, in_folder("a/")), AG_ERR_IO);
    assert_int_equal(entries(), 0);
}

static void commit_fails_when_the_name_became_a_folder(void **state)
{
    (void)state;
    const char *path = in_folder("a.bin");
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, path), AG_OK);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(data_publish_commit(p), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "rename"));
    assert_int_equal(entries(), 1);
    assert_int_equal(rmdir(path), 0);
}

static void commit_fails_when_the_folder_is_gone(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_folder("sub"), 0777), 0);
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, in_folder("sub/a.bin")), AG_OK);
    assert_int_equal(unlink(data_publish_temporary(p)), 0);
    assert_int_equal(rmdir(in_folder("sub")), 0);
    assert_int_equal(data_publish_commit(p), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "sub/a.bin"));
}

static void too_large_a_file_leaves_the_old_one(void **state)
{
    (void)state;
    const char *path = in_folder("a.bin");
    write_text(path, "old");
    limit_file_size(1000);
    char *big = calloc(1, 100000);
    const ag_err err = data_publish_bytes(path, big, 100000);
    limit_file_size(RLIM_INFINITY);
    free(big);
    assert_int_equal(err, AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "file larger than the limit"));
    assert_holds(path, "old");
    assert_int_equal(entries(), 1);
}

static void full_disk_is_called_so(void **state)
{
    (void)state;
    assert_int_equal(data_io_fail("runs/a.h5", "write", ENOSPC), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "runs/a.h5: disk full"));
}

static void the_same_file_twice_at_once_is_refused(void **state)
{
    (void)state;
    data_publish *p, *q;
    assert_int_equal(data_publish_begin(&p, in_folder("a.bin")), AG_OK);
    assert_int_equal(data_publish_begin(&q, in_folder("a.bin")), AG_ERR_IO);
    assert_non_null(strstr(ag_error_message(), "already"));
    assert_int_equal(data_publish_commit(p), AG_OK);
    assert_int_equal(data_publish_begin(&q, in_folder("a.bin")), AG_OK);
    data_publish_abort(q);
}

static void a_leftover_of_the_same_process_number_does_not_stand_in_the_way(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, ".a.bin.tmp.%ld", (long)getpid());
    write_text(in_folder(name), "left by another life");
    assert_int_equal(data_publish_bytes(in_folder("a.bin"), "new", 3), AG_OK);
    assert_holds(in_folder("a.bin"), "new");
    assert_int_equal(entries(), 1);
}

static void a_killed_writer_leaves_the_old_file_and_cleaning_removes_its_temporary(void **state)
{
    (void)state;
    const char *path = in_folder("a.bin");
    write_text(path, "old");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        data_publish *p;
        if (!data_publish_begin(&p, path)) raise(SIGKILL);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_holds(path, "old");
    assert_int_equal(entries(), 2);
    data_publish_clean(folder);
    assert_int_equal(entries(), 1);
    assert_holds(path, "old");
}

static void cleaning_spares_the_living_and_all_other_names(void **state)
{
    (void)state;
    data_publish *p;
    assert_int_equal(data_publish_begin(&p, in_folder("a.bin")), AG_OK);
    write_text(in_folder("b.tmp.999999999"), "");
    write_text(in_folder(".b.tmp.99x"), "");
    write_text(in_folder(".tmp.999999999"), "");
    write_text(in_folder(".b"), "");
    data_publish_clean(folder);
    assert_int_equal(entries(), 5);
    data_publish_abort(p);
    data_publish_clean(in_folder("no such folder"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_appear_whole_and_alone),
        TEST(old_file_stays_until_commit),
        TEST(abort_leaves_the_old_file_and_no_temporary),
        TEST(a_bare_name_goes_to_the_current_folder),
        TEST(missing_folder_is_found_at_once),
        TEST(unwritable_folder_is_found_at_once),
        TEST(a_folder_is_no_file_name),
        TEST(commit_fails_when_the_name_became_a_folder),
        TEST(commit_fails_when_the_folder_is_gone),
        TEST(too_large_a_file_leaves_the_old_one),
        TEST(full_disk_is_called_so),
        TEST(the_same_file_twice_at_once_is_refused),
        TEST(a_leftover_of_the_same_process_number_does_not_stand_in_the_way),
        TEST(a_killed_writer_leaves_the_old_file_and_cleaning_removes_its_temporary),
        TEST(cleaning_spares_the_living_and_all_other_names),
    };
    return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
