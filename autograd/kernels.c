/* Chooses the kernel table before main; see kernels/kernels.h. */
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"

extern const k_table k_table_generic;
#ifdef AG_X86_SETS
extern const k_table k_table_v3, k_table_v4;
#endif

k_table k;

__attribute__((constructor)) static void choose(void)
{
    const char *forced = getenv("TESSERA_KERNELS");
    k = k_table_generic;
#ifdef AG_X86_SETS
    __builtin_cpu_init();
    if (forced && !strcmp(forced, "generic")) return;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) k = k_table_v3;
    if (forced && !strcmp(forced, "x86-64-v3")) return;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        k = k_table_v4;
#else
    (void)forced;
#endif
}

bool ag_cpu_bf16(void)
{
#ifdef AG_X86_SETS
    return !strcmp(k.name, "v4") && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

const char *ag_cpu_kernels(void)
{
#ifdef __aarch64__
    return "neon"; /* every such CPU has it, and the compiler uses it for the generic set */
#else
    return !strcmp(k.name, "v4") ? "x86-64-v4" : !strcmp(k.name, "v3") ? "x86-64-v3" : "generic";
#endif
}
