/* Pictures: what a decoded pixel is for every kind of file, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "data/picture.h"
#include "picture_parts.h"
#include "picture_samples.h"

static data_picture decode(const sample *s, const data_decode_options *o)
{
    data_picture p;
    if (data_picture_decode(&p, s->bytes, s->size, "sample", o)) fail_msg("%s", ag_error_message());
    return p;
}

static void assert_refused(const void *bytes, size_t size, const data_decode_options *o, const char *word)
{
    data_picture p;
    assert_int_equal(data_picture_decode(&p, bytes, size, "the-name", o), AG_ERR_DATA);
    assert_null(p.pixels);
    assert_non_null(strstr(ag_error_message(), "the-name"));
    if (!strstr(ag_error_message(), word)) fail_msg("'%s' is not in '%s'", word, ag_error_message());
}

static void assert_near(const uint8_t *a, const uint8_t *b, size_t n, int tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (abs(a[i] - b[i]) > tolerance) fail_msg("value %zu is %d, expected %d", i, a[i], b[i]);
}

/* ---- JPEG ---- */

static void grey_jpeg_stays_grey_or_becomes_three_equal_channels(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(20, 30, 1, 1);
    sample s =
        sample_jpeg(&(jpeg_sample){.height = 20, .width = 30, .in = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE}, pixels);
    data_picture grey = decode(&s, NULL), colour = decode(&s, &(data_decode_options){.channels = 3});
    assert_int_equal(grey.channels, 1);
    assert_int_equal(grey.height, 20);
    assert_int_equal(grey.width, 30);
    assert_near(grey.pixels, pixels, 600, 12);
    assert_int_equal(colour.channels, 3);
    for (int i = 0; i < 600; i++)
        for (int c = 0; c < 3; c++) assert_int_equal(colour.pixels[3 * i + c], grey.pixels[i]);
    data_picture_free(&grey), data_picture_free(&colour);
    free(s.bytes), free(pixels);
}

static void colour_jpeg_is_rgb_in_order_baseline_and_progressive(void **state)
{
    (void)state;
    uint8_t pixels[16 * 24 * 3];
    for (int i = 0; i < 16 * 24; i++) pixels[3 * i] = 200, pixels[3 * i + 1] = 100, pixels[3 * i + 2] = 30;
    for (int progressive = 0; progressive < 2; progressive++)
        for (int stored = 0; stored < 2; stored++) {
            const jpeg_sample o = {.height = 16,
                                   .width = 24,
                                   .in = JCS_RGB,
                                   .stored = stored ? JCS_RGB : JCS_YCbCr,
                                   .progressive = progressive};
            sample s = sample_jpeg(&o, pixels);
            data_picture p = decode(&s, NULL);
            assert_int_equal(p.channels, 3);
            assert_near(p.pixels, pixels, sizeof pixels, 3);
            data_picture_free(&p);
            free(s.bytes);
        }
}

static void colour_becomes_luma(void **state)
{
    (void)state;
    const uint8_t raw[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 10, 20, 30, 1, 1, 0};
    sample s = sample_png(&(png_sample){.height = 1, .width = 6, .colour = PNG_COLOR_TYPE_RGB, .depth = 8, .raw = raw});
    data_picture p = decode(&s, &(data_decode_options){.channels = 1});
    const uint8_t expected[] = {76, 150, 29, 255, 18, 1}; /* 76.245, 149.685, 29.07, 255, 18.15, 0.886 */
    assert_int_equal(p.channels, 1);
    assert_memory_equal(p.pixels, expected, 6);
    data_picture_free(&p);
    free(s.bytes);
}

/* Plain CMYK: 0 = no ink. Adobe: 255 = no ink. */
static void cmyk_becomes_rgb(void **state)
{
    (void)state;
    const uint8_t ink[4] = {20, 200, 60, 40}; /* plain */
    uint8_t expected[8 * 8 * 3], pixels[8 * 8 * 4];
    for (int i = 0; i < 64; i++)
        for (int c = 0; c < 3; c++) expected[3 * i + c] = (uint8_t)((255 - ink[c]) * (255 - ink[3]) / 255);
    for (int kind = 0; kind < 3; kind++) {
        const int adobe = kind > 0;
        for (int i = 0; i < 256; i++) pixels[i] = adobe ? (uint8_t)(255 - ink[i % 4]) : ink[i % 4];
        const jpeg_sample o = {
            .height = 8, .width = 8, .in = JCS_CMYK, .stored = kind == 2 ? JCS_YCCK : JCS_CMYK, .no_adobe = !adobe};
        sample s = sample_jpeg(&o, pixels);
        data_picture p;
        data__picture_facts facts;
        assert_int_equal(data__picture_decode(&p, &facts, s.bytes, s.size, "cmyk", NULL), AG_OK);
        assert_int_equal(p.channels, 3);
        assert_true(facts.cmyk);
        assert_near(p.pixels, expected, sizeof expected, 4);
        data_picture_free(&p);
        free(s.bytes);
    }
}

static void jpeg_shrinks_while_decoding_but_never_below_the_minimum(void **state)
{
    (void)state;
    sample s = sample_photo(192, 256, 3);
    const struct {
        int min_height, min_width, height, width;
    } cases[] = {{0, 0, 192, 256}, {24, 32, 24, 32},    {25, 32, 48, 64},    {24, 33, 48, 64},
                 {96, 1, 96, 128}, {97, 128, 192, 256}, {500, 500, 192, 256}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_picture p =
            decode(&s, &(data_decode_options){.min_height = cases[i].min_height, .min_width = cases[i].min_width});
        assert_int_equal(p.height, cases[i].height);
        assert_int_equal(p.width, cases[i].width);
        data_picture_free(&p);
    }
    free(s.bytes);
}

static void the_minimum_holds_for_the_upright_picture(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(64, 256, 3, 1);
    const jpeg_sample o = {.height = 64, .width = 256, .in = JCS_RGB, .stored = JCS_YCbCr, .orientation = 6};
    sample s = sample_jpeg(&o, pixels);
    data_picture p = decode(&s, &(data_decode_options){.min_height = 128, .min_width = 32}); /* upright: 256 x 64 */
    assert_int_equal(p.height, 128);
    assert_int_equal(p.width, 32);
    data_picture_free(&p);
    free(s.bytes), free(pixels);
}

/* The upright picture is  1 2    How a camera stores it for each orientation, row by row (EXIF 2.32: what the 0th row
 *                         3 4    and the 0th column of the file are on the upright picture). */
static const uint8_t upright[6] = {10, 60, 110, 160, 210, 250}; /* 3 rows of 2 */

static const struct {
    int height, width;
    uint8_t at[6]; /* index into upright */
} stored_as[9] = {
    {0, 0, {0}},
    {3, 2, {0, 1, 2, 3, 4, 5}}, /* row 0 = top,    column 0 = left */
    {3, 2, {1, 0, 3, 2, 5, 4}}, /* row 0 = top,    column 0 = right */
    {3, 2, {5, 4, 3, 2, 1, 0}}, /* row 0 = bottom, column 0 = right */
    {3, 2, {4, 5, 2, 3, 0, 1}}, /* row 0 = bottom, column 0 = left */
    {2, 3, {0, 2, 4, 1, 3, 5}}, /* row 0 = left,   column 0 = top */
    {2, 3, {1, 3, 5, 0, 2, 4}}, /* row 0 = right,  column 0 = top */
    {2, 3, {5, 3, 1, 4, 2, 0}}, /* row 0 = right,  column 0 = bottom */
    {2, 3, {4, 2, 0, 5, 3, 1}}, /* row 0 = left,   column 0 = bottom */
};

static void jpeg_is_turned_upright_for_all_eight_orientations_and_both_byte_orders(void **state)
{
    (void)state;
    for (int k = 0; k < 16; k++) {
        const int orientation = k / 2 + 1, h = stored_as[orientation].height * 8, w = stored_as[orientation].width * 8;
        uint8_t pixels[48 * 8];
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) pixels[y * w + x] = upright[stored_as[orientation].at[y / 8 * (w / 8) + x / 8]];
        const jpeg_sample o = {.height = h,
                               .width = w,
                               .in = JCS_GRAYSCALE,
                               .stored = JCS_GRAYSCALE,
                               .orientation = orientation,
                               .big_endian = k % 2};
        sample s = sample_jpeg(&o, pixels);
        data_picture p = decode(&s, NULL);
        assert_int_equal(p.height, 24);
        assert_int_equal(p.width, 16);
        for (int y = 0; y < 24; y++)
            for (int x = 0; x < 16; x++) assert_true(abs(p.pixels[y * 16 + x] - upright[y / 8 * 2 + x / 8]) <= 2);
        data_picture_free(&p);
        free(s.bytes);
    }
}

static void png_is_turned_upright_for_all_eight_orientations(void **state)
{
    (void)state;
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int channels = 1; channels <= 3; channels += 2) {
            uint8_t raw[18];
            for (int i = 0; i < 6 * channels; i++)
                raw[i] = (uint8_t)(upright[stored_as[orientation].at[i / channels]] + i % channels);
            sample s = sample_png(&(png_sample){.height = stored_as[orientation].height,
                                                .width = stored_as[orientation].width,
                                                .colour = channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                                                .depth = 8,
                                                .raw = raw,
                                                .orientation = orientation});
            data_picture p = decode(&s, NULL);
            assert_int_equal(p.height, 3);
            assert_int_equal(p.width, 2);
            for (int i = 0; i < 6 * channels; i++) assert_int_equal(p.pixels[i], upright[i / channels] + i % channels);
            data_picture_free(&p);
            free(s.bytes);
        }
}

static void damaged_exif_means_upright_and_is_read_within_its_bounds(void **state)
{
    (void)state;
    uint8_t exif[64];
    for (int big = 0; big < 2; big++) {
        const unsigned size = sample_exif(exif, 6, big) - 6;
        assert_int_equal(data__exif_orientation(exif + 6, size), 6);
        for (unsigned n = 0; n < size;
             n++) { /* a block of exactly n bytes: the address checker sees any read behind it */
            uint8_t *copy = malloc(n ? n : 1);
            memcpy(copy, exif + 6, n);
            const int found = data__exif_orientation(copy, n);
            assert_true(found == 1 ||
                        (found == 6 && n >= 8 + 2 + 24 - 2)); /* the entry's padding and the end may be missing */
            free(copy);
        }
        const int low = big ? 7 : 4; /* offset of the directory */
        const uint8_t before = exif[6 + low];
        exif[6 + low] = 0xff;
        assert_int_equal(data__exif_orientation(exif + 6, size), 1);
        memset(exif + 6 + 4, 0xff, 4);
        assert_int_equal(data__exif_orientation(exif + 6, size), 1);
        memset(exif + 6 + 4, 0, 4);
        exif[6 + low] = before;
        for (int value = 9; value <= 255; value += 41) {
            exif[6 + 30 + big] = (uint8_t)value;
            assert_int_equal(data__exif_orientation(exif + 6, size), 1);
        }
    }
    assert_int_equal(data__exif_orientation((const uint8_t *)"IM*\0\0\0\0\0", 8), 1);
}

static void every_cut_of_a_jpeg_is_refused(void **state)
{
    (void)state;
    for (int progressive = 0; progressive < 2; progressive++) {
        uint8_t *pixels = sample_pixels(40, 56, 3, 5);
        const jpeg_sample o = {
            .height = 40, .width = 56, .in = JCS_RGB, .stored = JCS_YCbCr, .progressive = progressive};
        sample s = sample_jpeg(&o, pixels);
        for (size_t n = 0; n < s.size; n += n + 40 < s.size ? 7 : 1) {
            uint8_t *copy = malloc(n ? n : 1); /* exactly n bytes */
            memcpy(copy, s.bytes, n);
            assert_refused(copy, n, NULL, "");
            free(copy);
        }
        free(s.bytes), free(pixels);
    }
}

static void jpeg_with_damage_inside_is_refused(void **state)
{
    (void)state;
    sample s = sample_photo(64, 64, 2);
    memset(s.bytes + s.size / 2, 0xff, 40); /* fill bytes, then what no code begins with */
    assert_refused(s.bytes, s.size, NULL, "JPEG");
    free(s.bytes);
}

static void huge_jpeg_header_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    sample s = sample_photo(32, 32, 2);
    sample_jpeg_lie(&s, 60000, 60000);
    assert_refused(s.bytes, s.size, NULL, "60000 x 60000");
    sample_jpeg_lie(&s, 65535, 65535);
    assert_refused(s.bytes, s.size, NULL, "65500");
    sample_jpeg_lie(&s, 10000, 20000); /* within the limit, but the file could not hold it */
    assert_refused(s.bytes, s.size, NULL, "too many for");
    sample_jpeg_lie(&s, 32, 32);
    assert_refused(s.bytes, s.size, &(data_decode_options){.max_pixels = 1023}, "limit is 1023");
    data_picture p = decode(&s, &(data_decode_options){.max_pixels = 1024});
    data_picture_free(&p);
    free(s.bytes);
}

static void files_that_are_no_pictures_are_refused(void **state)
{
    (void)state;
    assert_refused("", 0, NULL, "is empty");
    assert_refused("This is a text.\n", 16, NULL, "neither JPEG nor PNG");
    assert_refused("\xff\xd8\xff", 3, NULL, "JPEG");
    assert_refused("\xff\xd8\xff\xd9", 4, NULL, "JPEG");
    assert_refused("\x89PNG\r\n\x1a\n", 8, NULL, "cut short");
    uint8_t noise[4096];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)((i * 2654435761u) >> 13);
    noise[0] = 0xff, noise[1] = 0xd8, noise[2] = 0xff;
    assert_refused(noise, sizeof noise, NULL, "JPEG");
    memcpy(noise, "\x89PNG\r\n\x1a\n", 8);
    assert_refused(noise, sizeof noise, NULL, "PNG");
}

static void twelve_bit_jpeg_is_refused(void **state)
{
    (void)state;
    sample s = sample_photo(16, 16, 1);
    for (size_t i = 0; i + 9 < s.size; i++)
        if (s.bytes[i] == 0xff && s.bytes[i + 1] == 0xc0) {
            s.bytes[i + 4] = 12;
            break;
        }
    assert_refused(s.bytes, s.size, NULL, "precision");
    free(s.bytes);
}

static void impossible_channel_numbers_are_refused(void **state)
{
    (void)state;
    sample s = sample_photo(16, 16, 1);
    data_picture p;
    for (int channels = -1; channels <= 4; channels++) {
        const ag_err err = data_picture_decode(&p, s.bytes, s.size, "x", &(data_decode_options){.channels = channels});
        assert_int_equal(err, channels == 0 || channels == 1 || channels == 3 ? AG_OK : AG_ERR_USAGE);
        data_picture_free(&p);
    }
    free(s.bytes);
}

/* ---- PNG ---- */

static const png_color colours[16] = {{0, 0, 0},     {255, 0, 0},   {0, 255, 0},     {0, 0, 255},
                                      {255, 255, 0}, {0, 255, 255}, {255, 0, 255},   {255, 255, 255},
                                      {10, 20, 30},  {40, 50, 60},  {70, 80, 90},    {100, 110, 120},
                                      {1, 2, 3},     {200, 100, 0}, {128, 128, 128}, {7, 77, 177}};
static const uint8_t opacity[16] = {0, 255, 128, 1, 254, 77, 255, 255, 0, 3, 200, 255, 100, 50, 25, 12};

static uint32_t raw_at(const png_sample *o, size_t i)
{
    return o->depth == 16 ? (uint32_t)o->raw[2 * i] << 8 | o->raw[2 * i + 1] : o->raw[i];
}

static double over_white(double value, double alpha) { return value * alpha / 255 + 255 - alpha; }

/* The definition, in floating point: value and alpha to 8 bits, then composited. */
static void expect_pixel(const png_sample *o, size_t i, uint8_t *out, int *channels)
{
    const double top = (double)((1 << o->depth) - 1);
    const int grey = !(o->colour & PNG_COLOR_MASK_COLOR), has_alpha = (o->colour & PNG_COLOR_MASK_ALPHA) != 0;
    double v[3], alpha = 255;
    *channels = grey ? 1 : 3;
    if (o->colour == PNG_COLOR_TYPE_PALETTE) {
        const png_color *c = &o->palette[o->raw[i]];
        v[0] = c->red, v[1] = c->green, v[2] = c->blue;
        if (o->transparent) alpha = o->alpha[o->raw[i]];
    } else {
        const int step = *channels + has_alpha;
        uint32_t raw[4] = {0};
        for (int c = 0; c < step; c++) raw[c] = raw_at(o, i * (size_t)step + (size_t)c);
        for (int c = 0; c < *channels; c++) v[c] = (int)(raw[c] * 255 / top + 0.5);
        if (has_alpha) alpha = (int)(raw[*channels] * 255 / top + 0.5);
        if (o->transparent && grey && raw[0] == o->transparency.gray) alpha = 0;
        if (o->transparent && !grey && raw[0] == o->transparency.red && raw[1] == o->transparency.green &&
            raw[2] == o->transparency.blue)
            alpha = 0;
    }
    for (int c = 0; c < *channels; c++) out[c] = (uint8_t)(over_white(v[c], alpha) + 0.5);
}

/* Encodes random samples of one kind and compares every decoded value with the definition. */
static void check_png(int colour, int depth, int interlaced, int transparent)
{
    enum { H = 13, W = 11 };
    uint8_t raw[H * W * 4 * 2];
    unsigned seed = (unsigned)(colour * 100 + depth);
    for (size_t i = 0; i < sizeof raw; i++) {
        seed = seed * 1664525u + 1013904223u;
        raw[i] = (uint8_t)(seed >> 24);
        if (depth < 8) raw[i] = (uint8_t)(raw[i] & ((1 << depth) - 1));
        if (colour == PNG_COLOR_TYPE_PALETTE) raw[i] &= 15;
    }
    png_sample o = {.height = H,
                    .width = W,
                    .colour = colour,
                    .depth = depth,
                    .interlaced = interlaced,
                    .raw = raw,
                    .transparent = transparent};
    if (colour == PNG_COLOR_TYPE_PALETTE)
        o.palette = colours, o.palette_size = depth < 4 ? 1 << depth : 16, o.alpha = transparent ? opacity : NULL;
    else if (transparent)
        o.transparency = (png_color_16){.gray = (uint16_t)raw_at(&o, 5),
                                        .red = (uint16_t)raw_at(&o, 6),
                                        .green = (uint16_t)raw_at(&o, 7),
                                        .blue = (uint16_t)raw_at(&o, 8)};
    sample s = sample_png(&o);
    data_picture p;
    data__picture_facts facts;
    if (data__picture_decode(&p, &facts, s.bytes, s.size, "png", NULL)) fail_msg("%s", ag_error_message());
    assert_int_equal(facts.palette, colour == PNG_COLOR_TYPE_PALETTE);
    assert_int_equal(facts.sixteen, depth == 16);
    assert_int_equal(facts.alpha, transparent || (colour & PNG_COLOR_MASK_ALPHA));
    for (size_t i = 0; i < H * W; i++) {
        uint8_t expected[3];
        int channels;
        expect_pixel(&o, i, expected, &channels);
        assert_int_equal(p.channels, channels);
        for (int c = 0; c < channels; c++)
            if (p.pixels[i * (size_t)channels + (size_t)c] != expected[c])
                fail_msg("colour type %d, %d bits, interlaced %d, tRNS %d, pixel %zu: %d, expected %d", colour, depth,
                         interlaced, transparent, i, p.pixels[i * (size_t)channels + (size_t)c], expected[c]);
    }
    data_picture_free(&p);
    free(s.bytes);
}

static void png_of_every_colour_type_depth_interlacing_and_transparency(void **state)
{
    (void)state;
    static const int kinds[][2] = {
        {PNG_COLOR_TYPE_GRAY, 1},        {PNG_COLOR_TYPE_GRAY, 2},      {PNG_COLOR_TYPE_GRAY, 4},
        {PNG_COLOR_TYPE_GRAY, 8},        {PNG_COLOR_TYPE_GRAY, 16},     {PNG_COLOR_TYPE_RGB, 8},
        {PNG_COLOR_TYPE_RGB, 16},        {PNG_COLOR_TYPE_PALETTE, 1},   {PNG_COLOR_TYPE_PALETTE, 2},
        {PNG_COLOR_TYPE_PALETTE, 4},     {PNG_COLOR_TYPE_PALETTE, 8},   {PNG_COLOR_TYPE_GRAY_ALPHA, 8},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {PNG_COLOR_TYPE_RGB_ALPHA, 8}, {PNG_COLOR_TYPE_RGB_ALPHA, 16}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int interlaced = 0; interlaced < 2; interlaced++)
            for (int transparent = 0; transparent < (kinds[k][0] & PNG_COLOR_MASK_ALPHA ? 1 : 2); transparent++)
                check_png(kinds[k][0], kinds[k][1], interlaced, transparent);
}

static void every_cut_of_a_png_is_refused(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(24, 20, 3, 8);
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        sample s = sample_png(&(png_sample){.height = 24,
                                            .width = 20,
                                            .colour = PNG_COLOR_TYPE_RGB,
                                            .depth = 8,
                                            .raw = pixels,
                                            .interlaced = interlaced});
        for (size_t n = 1; n < s.size; n++) {
            uint8_t *copy = malloc(n);
            memcpy(copy, s.bytes, n);
            assert_refused(copy, n, NULL, "");
            free(copy);
        }
        free(s.bytes);
    }
    free(pixels);
}

static void one_flipped_bit_in_png_pixels_is_refused(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(24, 20, 3, 8);
    sample s =
        sample_png(&(png_sample){.height = 24, .width = 20, .colour = PNG_COLOR_TYPE_RGB, .depth = 8, .raw = pixels});
    s.bytes[s.size / 2] ^= 4;
    assert_refused(s.bytes, s.size, NULL, "PNG");
    free(s.bytes), free(pixels);
}

/* Sets the sizes in a PNG header, with the right checksum. */
static void png_lie(sample *s, uint32_t height, uint32_t width)
{
    for (int i = 0; i < 4; i++) {
        s->bytes[16 + i] = (uint8_t)(width >> (24 - 8 * i));
        s->bytes[20 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    uint32_t crc = 0xffffffff; /* PNG, annex D */
    for (int i = 12; i < 29; i++) {
        crc ^= s->bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++) s->bytes[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void huge_png_header_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    uint8_t *pixels = sample_pixels(24, 20, 3, 8);
    sample s =
        sample_png(&(png_sample){.height = 24, .width = 20, .colour = PNG_COLOR_TYPE_RGB, .depth = 8, .raw = pixels});
    png_lie(&s, 60000, 60000);
    assert_refused(s.bytes, s.size, NULL, "60000 x 60000");
    png_lie(&s, 1, 0x7fffffff);
    assert_refused(s.bytes, s.size, NULL, "2147483647 x 1");
    png_lie(&s, 16000, 16000);
    assert_refused(s.bytes, s.size, NULL, "too many for");
    png_lie(&s, 25, 20);
    assert_refused(s.bytes, s.size, NULL, "PNG");
    free(s.bytes), free(pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grey_jpeg_stays_grey_or_becomes_three_equal_channels),
        cmocka_unit_test(colour_jpeg_is_rgb_in_order_baseline_and_progressive),
        cmocka_unit_test(colour_becomes_luma),
        cmocka_unit_test(cmyk_becomes_rgb),
        cmocka_unit_test(jpeg_shrinks_while_decoding_but_never_below_the_minimum),
        cmocka_unit_test(the_minimum_holds_for_the_upright_picture),
        cmocka_unit_test(jpeg_is_turned_upright_for_all_eight_orientations_and_both_byte_orders),
        cmocka_unit_test(png_is_turned_upright_for_all_eight_orientations),
        cmocka_unit_test(damaged_exif_means_upright_and_is_read_within_its_bounds),
        cmocka_unit_test(every_cut_of_a_jpeg_is_refused),
        cmocka_unit_test(jpeg_with_damage_inside_is_refused),
        cmocka_unit_test(huge_jpeg_header_is_refused_before_memory_is_taken),
        cmocka_unit_test(files_that_are_no_pictures_are_refused),
        cmocka_unit_test(twelve_bit_jpeg_is_refused),
        cmocka_unit_test(impossible_channel_numbers_are_refused),
        cmocka_unit_test(png_of_every_colour_type_depth_interlacing_and_transparency),
        cmocka_unit_test(every_cut_of_a_png_is_refused),
        cmocka_unit_test(one_flipped_bit_in_png_pixels_is_refused),
        cmocka_unit_test(huge_png_header_is_refused_before_memory_is_taken),
    };
    return cmocka_run_group_tests_name("picture", tests, NULL, NULL);
}
