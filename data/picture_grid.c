#include "data/picture.h"

#include <string.h>

#include "picture_parts.h"

enum { GAP = 2, USUAL_HEIGHT = 96, MAX_GRID_SIDE = 1 << 20 };

/* One image at its place, each pixel a square of zoom x zoom; `stride` is the number of channels of the image. */
static void grid_place(data_picture *grid, int top, int left, const uint8_t *image, int height, int width, int stride,
                       int zoom)
{
    const size_t c = (size_t)grid->channels, row = (size_t)grid->width * c;
    for (int y = 0; y < height; y++) {
        uint8_t *line = grid->pixels + (size_t)(top + y * zoom) * row + (size_t)left * c;
        for (int x = 0; x < width; x++, image += stride)
            for (int i = 0; i < zoom; i++) memcpy(line + (size_t)(x * zoom + i) * c, image, c);
        for (int i = 1; i < zoom; i++) memcpy(line + (size_t)i * row, line, (size_t)(width * zoom) * c);
    }
}

ag_err data_picture_grid(data_picture *out, int64_t n, int height, int width, int channels, const uint8_t *pixels,
                         int columns, int zoom)
{
    *out = (data_picture){0};
    if (n < 1 || height < 1 || width < 1 || channels < 1 || columns < 1 || zoom < 0)
        return ag_fail(AG_ERR_USAGE,
                       "grid of %lld images of %d x %d x %d in %d columns, zoom %d: values must be positive",
                       (long long)n, width, height, channels, columns, zoom);
    if (zoom == 0) zoom = height < USUAL_HEIGHT ? (USUAL_HEIGHT + height / 2) / height : 1;
    if (columns > n) columns = (int)n;
    const int64_t rows = (n + columns - 1) / columns;
    const int64_t down = (int64_t)height * zoom + GAP, across = (int64_t)width * zoom + GAP;
    if (rows > MAX_GRID_SIDE || down > MAX_GRID_SIDE || across > MAX_GRID_SIDE || rows * down > MAX_GRID_SIDE ||
        columns * across > MAX_GRID_SIDE)
        return ag_fail(AG_ERR_USAGE, "grid of %lld images of %d x %d: larger than %d pixels a side; show fewer",
                       (long long)n, width, height, MAX_GRID_SIDE);
    const ag_err err =
        data__picture_new(out, (int)(rows * down) - GAP, (int)(columns * across) - GAP, channels < 3 ? 1 : 3, "grid");
    if (err) return err;
    memset(out->pixels, 255, (size_t)out->height * (size_t)out->width * (size_t)out->channels);
    for (int64_t i = 0; i < n; i++)
        grid_place(out, (int)(i / columns * down), (int)(i % columns * across), pixels + i * height * width * channels,
                   height, width, channels, zoom);
    return AG_OK;
}
