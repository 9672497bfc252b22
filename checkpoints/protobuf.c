#include "protobuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian and written from memory as it is");

enum wire { VARINT = 0, EIGHT = 1, LENGTH = 2, FOUR = 5 };

static bool reserve(ckpt__bytes *b, size_t more)
{
    if (b->failed) return false;
    if (more <= b->capacity - b->size) return true;
    if (more > SIZE_MAX / 2 - b->size) return !(b->failed = true);
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity - b->size < more) capacity *= 2;
    uint8_t *data = realloc(b->data, capacity);
    if (!data) return !(b->failed = true);
    b->data = data;
    b->capacity = capacity;
    return true;
}

void ckpt__bytes_add(ckpt__bytes *b, const void *bytes, size_t size)
{
    if (size == 0 || !reserve(b, size)) return;
    memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

void ckpt__bytes_print(ckpt__bytes *b, const char *format, ...)
{
    char text[128];
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text)
        b->failed = true; /* for numbers and fixed words only; long text goes through ckpt__bytes_add */
    else
        ckpt__bytes_add(b, text, (size_t)n);
}

void ckpt__bytes_reset(ckpt__bytes *b)
{
    b->size = 0;
    b->failed = false;
}

void ckpt__bytes_free(ckpt__bytes *b)
{
    free(b->data);
    *b = (ckpt__bytes){0};
}

static size_t put_varint(uint8_t out[10], uint64_t v)
{
    size_t n = 0;
    for (; v >= 128; v >>= 7) out[n++] = (uint8_t)(v | 128);
    out[n++] = (uint8_t)v;
    return n;
}

static void add_varint(ckpt__bytes *b, uint64_t v)
{
    uint8_t bytes[10];
    ckpt__bytes_add(b, bytes, put_varint(bytes, v));
}

static void add_key(ckpt__bytes *b, int field, enum wire wire) { add_varint(b, (uint64_t)field << 3 | wire); }

void ckpt__pb_varint(ckpt__bytes *b, int field, int64_t value)
{
    add_key(b, field, VARINT);
    add_varint(b, (uint64_t)value);
}

void ckpt__pb_bytes(ckpt__bytes *b, int field, const void *bytes, size_t size)
{
    add_key(b, field, LENGTH);
    add_varint(b, size);
    ckpt__bytes_add(b, bytes, size);
}

void ckpt__pb_string(ckpt__bytes *b, int field, const char *text) { ckpt__pb_bytes(b, field, text, strlen(text)); }

void ckpt__pb_float(ckpt__bytes *b, int field, float value)
{
    add_key(b, field, FOUR);
    ckpt__bytes_add(b, &value, sizeof value);
}

void ckpt__pb_double(ckpt__bytes *b, int field, double value)
{
    add_key(b, field, EIGHT);
    ckpt__bytes_add(b, &value, sizeof value);
}

/* One byte is kept for the length; a longer length moves the message up when it is known. */
size_t ckpt__pb_open(ckpt__bytes *b, int field)
{
    add_key(b, field, LENGTH);
    ckpt__bytes_add(b, "", 1);
    return b->size;
}

void ckpt__pb_close(ckpt__bytes *b, size_t opened)
{
    if (b->failed) return;
    uint8_t bytes[10];
    const size_t length = b->size - opened, n = put_varint(bytes, length);
    if (!reserve(b, n - 1)) return;
    memmove(b->data + opened - 1 + n, b->data + opened, length);
    memcpy(b->data + opened - 1, bytes, n);
    b->size += n - 1;
}
