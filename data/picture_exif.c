/* EXIF orientation. An EXIF block is a small TIFF file:
 *
 *     0  "II" little-endian or "MM" big-endian     2  u16 42     4  u32 offset of the first directory
 *     directory: u16 count, then count entries of 12 bytes: u16 tag, u16 type, u32 values, 4 bytes value or offset
 *
 * Tag 0x0112, type 3 (u16), one value: 1..8 (EXIF 2.32, 4.6.4). All else in the block is skipped. */
#include "picture_parts.h"

typedef struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big;
} tiff;

/* n (2 or 4) bytes at `at`; false if they are not all inside. */
static bool get(const tiff *t, size_t at, int n, uint32_t *value)
{
    if (at > t->size || t->size - at < (size_t)n) return false;
    uint32_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | t->bytes[at + (size_t)(t->big ? i : n - 1 - i)];
    *value = v;
    return true;
}

int data__exif_orientation(const uint8_t *bytes, size_t size)
{
    tiff t = {.bytes = bytes, .size = size};
    uint32_t magic, at, count, tag, type, values, value;
    if (size < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M')) return 1;
    t.big = bytes[0] == 'M';
    if (!get(&t, 2, 2, &magic) || magic != 42 || !get(&t, 4, 4, &at) || !get(&t, at, 2, &count)) return 1;
    for (size_t entry = (size_t)at + 2; count > 0; count--, entry += 12) {
        if (!get(&t, entry, 2, &tag) || !get(&t, entry + 2, 2, &type) || !get(&t, entry + 4, 4, &values) ||
            !get(&t, entry + 8, 2, &value))
            return 1;
        if (tag == 0x0112) return type == 3 && values == 1 && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
