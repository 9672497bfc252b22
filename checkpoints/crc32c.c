#include "checkpoints/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82F63B78u

/* table[0][b]: the remainder of byte b; table[k][b]: of byte b followed by k zero bytes. Eight bytes at a time then need
 * eight independent look-ups (Kounavis, Berry 2005, "A systematic approach to building high performance software-based
 * CRC generators"). */
static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ (c & 1 ? POLYNOMIAL : 0);
        table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++) {
            const uint32_t c = table[k - 1][b];
            table[k][b] = (c >> 8) ^ table[0][c & 255];
        }
}

static uint32_t eight(uint32_t c, const uint8_t *p)
{
    const uint32_t low = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    return table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
           table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
}

uint32_t ckpt_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint32_t c = ~crc;
    pthread_once(&once, make_tables);
    for (; size >= 8; size -= 8, p += 8) c = eight(c, p);
    for (; size > 0; size--, p++) c = (c >> 8) ^ table[0][(c ^ *p) & 255];
    return ~c;
}
