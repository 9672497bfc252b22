/* How many threads a process gets: cores, not the threads of a core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autograd/cpu.h"

enum { LARGEST = 64 };

/* A folder like /sys/devices/system/cpu in which CPU i shares its core with those that `siblings` says of it; NULL: says nothing. */
static int cores_where(const char *(*siblings)(int cpu))
{
    char root[] = "/tmp/tessera-cpu.XXXXXX", path[PATH_MAX];
    assert_non_null(mkdtemp(root));
    for (int cpu = 0; cpu < LARGEST; cpu++) {
        if (!siblings(cpu)) continue;
        snprintf(path, sizeof path, "%s/cpu%d", root, cpu);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/cpu%d/topology", root, cpu);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", root, cpu);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "%s\n", siblings(cpu));
        fclose(f);
    }
    const int cores = ag_cpu_cores(root);
    snprintf(path, sizeof path, "rm -r %s", root);
    assert_int_equal(system(path), 0);
    return cores;
}

static int available(void)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (size_t i = LARGEST; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) skip();
    return CPU_COUNT(&set);
}

static const char *unknown(int cpu) { return cpu < 0 ? "" : NULL; }
static const char *range(int cpu) { return cpu < 0 ? "" : "0-63"; }

static const char *list(int cpu)
{
    static char text[4 * LARGEST];
    int n = 0;
    for (int i = 0; i < LARGEST; i++) n += snprintf(text + n, sizeof text - (size_t)n, "%s%d", i ? "," : "", i);
    return cpu < 0 ? "" : text;
}

static const char *alone(int cpu)
{
    static char text[16];
    snprintf(text, sizeof text, "%d", cpu);
    return text;
}

/* A CPU and one that this process can not use. */
static const char *with_a_stranger(int cpu)
{
    static char text[32];
    snprintf(text, sizeof text, "%d,%d", cpu, cpu + 1000);
    return text;
}

static void cpus_that_share_a_core_count_once(void **state)
{
    (void)state;
    const int cpus = available();
    assert_int_equal(cores_where(range), 1);
    assert_int_equal(cores_where(list), 1);
    assert_int_equal(cores_where(alone), cpus);
    assert_int_equal(cores_where(with_a_stranger), cpus);
    assert_int_equal(cores_where(unknown), cpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cpus_that_share_a_core_count_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
