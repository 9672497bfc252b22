/* Checkpoints under fire: damaged bytes, truncation, kill -9, a full disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hdf5.h>

#include "checkpoints/checkpoint.h"
#include "data/publish.h"
#include "scratch.h"

/* For the leak checker: HDF5 itself forgets memory when it refuses a damaged file, and some OpenMP libraries theirs at a
 * fork. That we close all that we open is asserted below. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\nleak:libomp\n"; }

static char path[128];

static int set_up(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%s/checkpoint.h5", folder);
    return 0;
}

/* A model whose every value says which version it is of. */
enum { N = 12, LONGEST = 3000 };
static char names[N][64];
static real values[N][LONGEST];
static ckpt_item items[N];

static void model_make(int64_t longest)
{
    static const char *const groups[] = {"weights", "buffers", "optimizer"};
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "%s/encoder.block.%d.weight", groups[i % 3], i);
        items[i] = (ckpt_item){names[i], AG_REAL, 2, {i % 4, longest / 4}, values[i]};
    }
}

static int64_t elements(int i) { return items[i].shape[0] * items[i].shape[1]; }

static void model_set(int version)
{
    for (int i = 0; i < N; i++)
        for (int64_t k = 0; k < LONGEST; k++) values[i][k] = (real)version;
}

static ag_err model_save(int version)
{
    char state[64];
    model_set(version);
    snprintf(state, sizeof state, "{\"step\": %d}", version);
    return ckpt_save(path, N, items, state);
}

/* Loads; if that succeeds, all values and the state must be of one version, which is returned. -1: refused as it should be. */
static int model_load(void)
{
    char *state, expected[64];
    model_set(-7);
    const ag_err err = ckpt_load(path, N, items);
    if (err) {
        assert_int_equal(err, AG_ERR_CHECKPOINT);
        assert_true(values[1][0] == (real)-7);
        return -1;
    }
    const int version = (int)values[1][0];
    for (int i = 0; i < N; i++)
        for (int64_t k = 0; k < elements(i); k++) assert_true(values[i][k] == (real)version);
    assert_int_equal(ckpt_read_state(path, &state), AG_OK);
    snprintf(expected, sizeof expected, "{\"step\": %d}", version);
    assert_string_equal(state, expected);
    free(state);
    return version;
}

static void read_everything_else(void)
{
    char *state, sum[65];
    ckpt_listing l;
    const ag_err a = ckpt_read_state(path, &state), b = ckpt_list(path, &l), c = ckpt_fingerprint(path, sum);
    assert_true(a == AG_OK || a == AG_ERR_CHECKPOINT);
    assert_true(b == AG_OK || b == AG_ERR_CHECKPOINT);
    assert_true(c == AG_OK || c == AG_ERR_CHECKPOINT);
    free(state);
    ckpt_listing_free(&l);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

static int64_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (int64_t)st.st_size;
}

/* ---- damage --------------------------------------------------------------------------------------------------------- */

/* The state must be loadable or refused as well; a damaged state alone must not change the tensors. */
static int load_damaged(void)
{
    char *state;
    const bool state_bad = ckpt_read_state(path, &state) != AG_OK;
    free(state);
    if (!state_bad) return model_load();
    const ag_err err = ckpt_load(path, N, items);
    if (err && err != AG_ERR_CHECKPOINT) fail_msg("%s", ag_error_message());
    return -1;
}

static void every_damaged_byte_is_found_or_unused(void **unused)
{
    static const uint8_t flips[] = {0xFF, 0x01, 0x80};
    int64_t passed = 0, tried = 0;
    (void)unused;
    model_make(8);
    assert_int_equal(model_save(3), AG_OK);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (int64_t at = 0, size = file_size(); at < size; at++) {
        uint8_t byte, bad;
        const uint8_t flip = flips[at % 3];
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        bad = byte ^ flip;
        assert_int_equal(pwrite(fd, &bad, 1, at), 1);
        const int version = load_damaged();
        assert_true(version == 3 || version == -1);
        passed += version == 3;
        if (at % 7 == 0) read_everything_else();
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        tried++;
    }
    close(fd);
    assert_int_equal(model_load(), 3);
    print_message("%lld of %lld bytes are unused\n", (long long)passed, (long long)tried);
    assert_true(passed < tried / 10);
}

static void every_truncated_file_is_refused(void **unused)
{
    (void)unused;
    model_make(8);
    assert_int_equal(model_save(4), AG_OK);
    for (int64_t size = file_size() - 1; size >= 0; size -= size > 200 ? 13 : 1) {
        assert_int_equal(truncate(path, size), 0);
        assert_int_equal(model_load(), -1);
        read_everything_else();
    }
    assert_int_equal(model_save(5), AG_OK);
    assert_int_equal(model_load(), 5);
}

/* Runs of bytes from elsewhere in the file, as a disk that mixes up blocks would give. */
static void misplaced_blocks_are_found(void **unused)
{
    uint8_t saved[256], other[256];
    uint32_t r = 12345;
    (void)unused;
    model_make(400);
    assert_int_equal(model_save(6), AG_OK);
    const int64_t size = file_size();
    const int fd = open(path, O_RDWR);
    for (int i = 0; i < 300; i++) {
        r = r * 1664525u + 1013904223u;
        const int64_t at = r % (size - 256);
        r = r * 1664525u + 1013904223u;
        const int64_t from = r % (size - 256);
        assert_int_equal(pread(fd, saved, 256, at), 256);
        assert_int_equal(pread(fd, other, 256, from), 256);
        assert_int_equal(pwrite(fd, other, 256, at), 256);
        const int version = load_damaged();
        assert_true(version == 6 || version == -1);
        read_everything_else();
        assert_int_equal(pwrite(fd, saved, 256, at), 256);
    }
    close(fd);
    assert_int_equal(model_load(), 6);
}

/* ---- death ---------------------------------------------------------------------------------------------------------- */

/* Tells of every finished save through the pipe. */
static void save_forever(int version, int tell)
{
    for (;;)
        if (model_save(version++) || write(tell, "x", 1) != 1) _exit(1);
}

static pid_t start_saving(int version, int *told)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) save_forever(version, ends[1]);
    close(ends[1]);
    *told = ends[0];
    return child;
}

static void kill_and_wait(pid_t child, int told)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(told);
}

static void pause_ns(long ns) { nanosleep(&(struct timespec){0, ns}, NULL); }

/* Every child finishes one save and is killed somewhere in a later one. */
static void killed_while_saving_the_file_is_always_whole(void **unused)
{
    int last = 1, told;
    char byte;
    (void)unused;
    model_make(LONGEST);
    assert_int_equal(model_save(last), AG_OK);
    for (int i = 0; i < 40; i++) {
        const pid_t child = start_saving(last + 1, &told);
        assert_int_equal(read(told, &byte, 1), 1);
        pause_ns(100000L * (i % 37));
        kill_and_wait(child, told);
        const int version = model_load();
        assert_true(version > last);
        last = version;
    }
    data_publish_clean(folder);
    assert_int_equal(entries(), 1);
}

static void read_while_saving_the_file_is_always_whole(void **unused)
{
    int last = 1, told;
    (void)unused;
    model_make(LONGEST);
    assert_int_equal(model_save(last), AG_OK);
    const pid_t child = start_saving(last + 1, &told);
    for (int i = 0; i < 60; i++) {
        model_set(-7);
        assert_int_equal(ckpt_load(path, N, items), AG_OK);
        for (int k = 0; k < N; k++) assert_true(elements(k) == 0 || values[k][0] == values[1][0]);
        assert_true((int)values[1][0] >= last);
        last = (int)values[1][0];
    }
    kill_and_wait(child, told);
    data_publish_clean(folder);
}

/* ---- a full disk ---------------------------------------------------------------------------------------------------- */

/* Wherever the write stops: an error that says so, the old file, no litter, and the program goes on. */
static void a_write_that_stops_anywhere_keeps_the_old_file(void **unused)
{
    (void)unused;
    model_make(LONGEST);
    assert_int_equal(model_save(10), AG_OK);
    const int64_t size = file_size();
    for (int64_t limit = 0; limit < size; limit += size / 50) {
        limit_file_size((rlim_t)limit);
        const ag_err err = model_save(11);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(err, AG_ERR_IO);
        assert_non_null(strstr(ag_error_message(), path));
        assert_int_equal(entries(), 1);
    }
    assert_int_equal(model_load(), 10);
    assert_int_equal(model_save(11), AG_OK);
    assert_int_equal(model_load(), 11);
}

static bool write_to(const char *file, const char *text)
{
    const int fd = open(file, O_WRONLY);
    const bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return done;
}

/* A name space in which this process may mount; as any user where the system allows it. */
static bool may_mount(void)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "0 %ld 1", (long)geteuid());
    snprintf(groups, sizeof groups, "0 %ld 1", (long)getegid());
    if (geteuid() == 0) return !unshare(CLONE_NEWNS);
    return !unshare(CLONE_NEWUSER | CLONE_NEWNS) && write_to("/proc/self/setgroups", "deny") &&
           write_to("/proc/self/uid_map", users) && write_to("/proc/self/gid_map", groups);
}

/* In the child: a file system of 256 KiB. 0 done, 77 not allowed here. */
static int fill_a_disk(void)
{
    if (!may_mount() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) return 77;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=256k")) return 77;
    model_make(LONGEST);
    if (model_save(20)) return 1;
    char filler[160];
    snprintf(filler, sizeof filler, "%s/filler", folder);
    FILE *f = fopen(filler, "wb");
    for (int i = 0; f && i < 250; i++) fwrite(values, 1024, 1, f); /* stops at the end of the disk */
    if (f) fclose(f);
    for (int i = 0; i < 3; i++) {
        const ag_err err = model_save(21);
        if (err != AG_ERR_IO || !strstr(ag_error_message(), "disk full")) return 2;
        if (entries() != 2 || model_load() != 20) return 3;
    }
    unlink(filler);
    if (model_save(21) || model_load() != 21) return 4;
    return 0;
}

static void a_full_disk_keeps_the_old_file_and_the_program(void **unused)
{
    int status;
    (void)unused;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int result = fill_a_disk();
        H5close();     /* HDF5's exit handler */
        _exit(result); /* without that of LLVM's OpenMP library, which misses its threads after a fork */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("no right to mount here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_damaged_byte_is_found_or_unused),
        cmocka_unit_test(every_truncated_file_is_refused),
        cmocka_unit_test(misplaced_blocks_are_found),
        cmocka_unit_test(killed_while_saving_the_file_is_always_whole),
        cmocka_unit_test(read_while_saving_the_file_is_always_whole),
        cmocka_unit_test(a_write_that_stops_anywhere_keeps_the_old_file),
        cmocka_unit_test(a_full_disk_keeps_the_old_file_and_the_program),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
