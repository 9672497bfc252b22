#include "checkpoints/run.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "autograd/cpu.h"
#include "autograd/real.h"

/* The build passes both for this file alone (CMakeLists.txt). */
#ifndef TESSERA_FLAGS
#define TESSERA_FLAGS "unknown"
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

/* Host names and arguments may be any bytes. */
static cJSON *make_text(const char *value)
{
    char *clean = ckpt_json_clean(value);
    cJSON *text = clean ? cJSON_CreateString(clean) : NULL;
    free(clean);
    return text;
}

static bool add_text(cJSON *object, const char *key, const char *value)
{
    cJSON *text = value ? make_text(value) : NULL;
    if (text && cJSON_AddItemToObject(object, key, text)) return true;
    cJSON_Delete(text);
    return !value;
}

static bool add_build(cJSON *m)
{
    bool ok = add_text(m, "version", TESSERA_VERSION);
#ifdef TESSERA_COMMIT
    ok = ok && add_text(m, "git_commit", TESSERA_COMMIT);
#endif
    return ok && add_text(m, "compiler", COMPILER) && add_text(m, "flags", TESSERA_FLAGS) &&
           add_text(m, "real", AG_REAL_NAME);
}

static bool add_machine(cJSON *m)
{
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    return add_text(m, "host", host) && add_text(m, "cpu", ag_cpu_model()) &&
           cJSON_AddNumberToObject(m, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN)) &&
           add_text(m, "blas", "own") && /* matrix products are autograd/kernels/gemm.c */
           add_text(m, "kernels", ag_cpu_kernels()) && cJSON_AddNumberToObject(m, "threads", ag_cpu_threads());
}

static bool add_start(cJSON *m)
{
    char text[32];
    struct tm utc;
    const time_t now = time(NULL);
    return gmtime_r(&now, &utc) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) &&
           add_text(m, "started", text);
}

static bool add_arguments(cJSON *m, int argc, char *const *argv)
{
    cJSON *list = cJSON_AddArrayToObject(m, "argv");
    if (!list) return false;
    for (int i = 0; i < argc; i++) {
        cJSON *text = make_text(argv[i]);
        if (!text || !cJSON_AddItemToArray(list, text)) {
            cJSON_Delete(text);
            return false;
        }
    }
    return true;
}

cJSON *ckpt_manifest(const ckpt_manifest_info *info)
{
    cJSON *m = cJSON_CreateObject();
    const bool ok = m && add_build(m) && add_machine(m) && !ckpt_json_add_u64(m, "seed", info->seed) &&
                    add_text(m, "data", info->data) && add_text(m, "data_fingerprint", info->data_fingerprint) &&
                    add_start(m) && add_arguments(m, info->argc, info->argv);
    if (ok) return m;
    cJSON_Delete(m);
    ag_fail(AG_ERR_MEMORY, "out of memory for the manifest of the run");
    return NULL;
}
