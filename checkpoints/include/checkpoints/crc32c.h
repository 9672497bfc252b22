/* CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, initial value and final xor 0xFFFFFFFF. Every tensor of a
 * checkpoint and every record of an event file carries one. */
#ifndef CHECKPOINTS_CRC32C_H
#define CHECKPOINTS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes that follow bytes whose checksum is `crc`; 0 to begin.
 * ckpt_crc32c(0, "123456789", 9) is 0xE3069283. */
uint32_t ckpt_crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
