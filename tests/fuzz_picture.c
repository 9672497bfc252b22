/* Fuzz target: any bytes into the picture decoder. The first byte chooses the options, the rest is the file.
 *
 *     CC=clang cmake -S . -B build-fuzz -DTESSERA_FUZZ=ON && cmake --build build-fuzz --target fuzz_picture
 *     build-fuzz/tests/fuzz_picture -max_total_time=60 CORPUS
 */
#include <stdint.h>
#include <stdlib.h>

#include "picture_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    static const int channels[4] = {0, 1, 3, 0};
    const data_decode_options o = {.min_height = data[0] & 4 ? 16 : 0,
                                   .min_width = data[0] & 8 ? 24 : 0,
                                   .channels = channels[data[0] & 3],
                                   .max_pixels = 1 << 18};
    data_picture p, q;
    data__picture_facts facts;
    if (data__picture_decode(&p, &facts, data + 1, size - 1, "fuzz", &o)) {
        if (p.pixels) abort();
        return 0;
    }
    if (p.height < 1 || p.width < 1 || (p.channels != 1 && p.channels != 3)) abort();
    if (o.channels && p.channels != o.channels) abort();
    if (data[0] & 16 && !data_picture_fit(&q, &p, 16, 24)) data_picture_free(&q);
    data_picture_free(&p);
    return 0;
}
