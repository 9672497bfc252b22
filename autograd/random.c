#include "autograd/random.h"

#include <math.h>

#define PI 3.14159265358979323846

void ag_random_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

uint64_t ag_random_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    ag_random_block(seed, stream, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double ag_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(ag_random_u64(seed, stream, index) >> 11) * 0x1p-53;
}

double ag_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    ag_random_block(seed, stream, index, w);
    const double u = ((double)(((uint64_t)w[1] << 32 | w[0]) >> 11) + 0.5) * 0x1p-53;
    const double v = (double)(((uint64_t)w[3] << 32 | w[2]) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(2 * PI * v);
}

uint64_t ag_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)ag_random_u64(seed, stream, index) * n) >> 64);
}

uint64_t ag_random_stream(uint64_t step, uint64_t purpose) { return step << 24 ^ (purpose & 0xFFFFFF); }

uint64_t ag_hash_name(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

void ag_random_permutation(uint64_t seed, uint64_t stream, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)ag_random_below(seed, stream, (uint64_t)i, (uint64_t)i + 1);
        const int64_t t = out[i];
        out[i] = out[j], out[j] = t;
    }
}
