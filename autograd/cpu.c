/* What this machine offers (cpu.h). The kernel table itself is chosen in kernels.c. */
#include "autograd/cpu.h"

#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The text after "KEY :" in /proc/cpuinfo; false if there is none. */
static bool read_cpuinfo(const char *key, char *out, size_t size)
{
    char line[512];
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        found = out[0] != '\0';
    }
    if (f) fclose(f);
    return found;
}

const char *ag_cpu_model(void)
{
    static char model[128];
    if (!model[0] && !read_cpuinfo("model name", model, sizeof model)) snprintf(model, sizeof model, "unknown");
    return model;
}

/* ---- threads ----------------------------------------------------------------------------------------------------------- */

/* The first two numbers of a file; a word such as "max" reads as -1. Returns how many were there. */
static int read_numbers(const char *directory, const char *name, long long out[2])
{
    char path[PATH_MAX], text[128] = "";
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path) return 0;
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    const bool read = fgets(text, sizeof text, f) != NULL;
    fclose(f);
    int n = 0;
    char *save = NULL;
    for (char *word = read ? strtok_r(text, " \n", &save) : NULL; word && n < 2; word = strtok_r(NULL, " \n", &save)) {
        char *end;
        const long long value = strtoll(word, &end, 10);
        out[n++] = *end ? -1 : value;
    }
    return n;
}

/* Cores that the quota of one control group allows, INT_MAX if it sets none. Version 2: cpu.max "QUOTA PERIOD"; version 1:
 * two files, quota -1 for none. */
static int group_cores(const char *directory)
{
    long long v[2] = {-1, -1}, period[2] = {-1, -1};
    if (read_numbers(directory, "cpu.max", v) < 2) {
        if (!read_numbers(directory, "cpu.cfs_quota_us", v) || !read_numbers(directory, "cpu.cfs_period_us", period))
            return INT_MAX;
        v[1] = period[0];
    }
    if (v[0] <= 0 || v[1] <= 0) return INT_MAX;
    const long long cores = (v[0] + v[1] - 1) / v[1];
    return cores < INT_MAX ? (int)cores : INT_MAX;
}

/* The least quota of a group and those above it, up to the mount point of length `root`. */
static int path_cores(char *path, size_t root)
{
    int least = group_cores(path);
    for (char *slash; (slash = strrchr(path, '/')) && (size_t)(slash - path) >= root;) {
        *slash = '\0';
        const int cores = group_cores(path);
        least = cores < least ? cores : least;
    }
    return least;
}

/* Lines of /proc/self/cgroup: "0::/path" for version 2, "N:cpu,cpuacct:/path" for version 1. */
static int quota_cores(void)
{
    char line[PATH_MAX], path[PATH_MAX + 64];
    int least = INT_MAX;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        const bool second = controllers[1] == '\0';
        if (!second && !strstr(controllers, "cpu")) continue;
        const char *root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
        snprintf(path, sizeof path, "%s%s", root, group);
        const int cores = path_cores(path, strlen(root));
        least = cores < least ? cores : least;
    }
    if (f) fclose(f);
    return least;
}

/* Does a CPU below `cpu` that the process may use share its core? The file lists them: "0,64" or "0-1". */
static bool has_lower_sibling(const char *root, int cpu, const cpu_set_t *set)
{
    char path[PATH_MAX], text[512] = "";
    if ((size_t)snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", root, cpu) >= sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char *at = fgets(text, sizeof text, f), *end = at;
    fclose(f);
    for (; at && *at; at = *end == ',' ? end + 1 : NULL) {
        const long first = strtol(at, &end, 10);
        const long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        for (long i = first; i <= last && i < cpu; i++)
            if (i >= 0 && CPU_ISSET((size_t)i, set)) return true;
    }
    return false;
}

int ag_cpu_cores(const char *root)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) { /* more CPUs than cpu_set_t can name */
        const long n = sysconf(_SC_NPROCESSORS_ONLN);
        return n < 1 ? 1 : (int)n;
    }
    int cores = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set) && !has_lower_sibling(root, cpu, &set)) cores++;
    return cores;
}

int ag_cpu_threads(void) { return omp_get_max_threads(); }

void ag_cpu_set_threads(int n)
{
    const char *wish = getenv("OMP_NUM_THREADS");
    if (n < 1 && wish) n = atoi(wish); /* of a list, the outermost level */
    if (n < 1) {
        const int cores = ag_cpu_cores("/sys/devices/system/cpu"), quota = quota_cores();
        n = cores < quota ? cores : quota;
    }
    omp_set_num_threads(n < 1 ? 1 : n);
}

void ag_cpu_start(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || setenv("GOMP_SPINCOUNT", "3000", 1)) return;
    char path[PATH_MAX]; /* not the link itself: the process would be called "exe" */
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = '\0';
    execv(path, argv);
}
