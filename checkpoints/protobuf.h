/* Writing protobuf messages (formats: event files, ONNX) into a growing block of bytes.
 *
 *     ckpt__bytes b = {0};
 *     ckpt__pb_double(&b, 1, wall_time);
 *     size_t summary = ckpt__pb_open(&b, 5);       // a message inside
 *     ckpt__pb_string(&b, 1, "loss");
 *     ckpt__pb_close(&b, summary);
 *     if (b.failed) ...                            // out of memory: later calls did nothing
 *     ckpt__bytes_free(&b);
 *
 * A message is its fields one after another. A field is a key varint (number << 3 | wire) and a payload: wire 0 a varint
 * (7 bits a byte, lowest first, high bit on all but the last), 1 eight bytes, 2 a length varint and that many bytes,
 * 5 four bytes; all little-endian. Fields are written even when they hold the default; leave them out where proto3 does. */
#ifndef CHECKPOINTS_PROTOBUF_H
#define CHECKPOINTS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow; all zero is empty. After a failed allocation `failed` stays set and nothing more is added. */
typedef struct ckpt__bytes {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
} ckpt__bytes;

void ckpt__bytes_add(ckpt__bytes *b, const void *bytes, size_t size);
void ckpt__bytes_print(ckpt__bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Empties, keeps the memory, clears `failed`. */
void ckpt__bytes_reset(ckpt__bytes *b);
void ckpt__bytes_free(ckpt__bytes *b);

/* int32, int64, bool, enum; negative values take ten bytes. */
void ckpt__pb_varint(ckpt__bytes *b, int field, int64_t value);
void ckpt__pb_bytes(ckpt__bytes *b, int field, const void *bytes, size_t size);
void ckpt__pb_string(ckpt__bytes *b, int field, const char *text);
void ckpt__pb_float(ckpt__bytes *b, int field, float value);
void ckpt__pb_double(ckpt__bytes *b, int field, double value);
/* Begins a message inside; what it returns goes to the close that ends it. They nest. */
size_t ckpt__pb_open(ckpt__bytes *b, int field);
void ckpt__pb_close(ckpt__bytes *b, size_t opened);

#endif
