/* SHA-256 (FIPS 180-4), for fingerprints of data, weights and files.
 *
 *     data_sha256 sum;
 *     data_sha256_start(&sum);
 *     data_sha256_add(&sum, bytes, size);      // as often as needed
 *     data_sha256_end(&sum, hex);
 */
#ifndef DATA_SHA256_H
#define DATA_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct data_sha256 {
    uint32_t state[8];
    uint64_t bytes;    /* added so far */
    uint8_t block[64]; /* the last bytes % 64 of them */
} data_sha256;

void data_sha256_start(data_sha256 *sum);
void data_sha256_add(data_sha256 *sum, const void *bytes, size_t size);
/* 64 hexadecimal digits + NUL. `sum` must be started again before further use. */
void data_sha256_end(data_sha256 *sum, char hex[65]);

#endif
