/* Signed distances of the shapes, all of size about 1. Exact inside and near edges; beyond corners some are only bounds, which a
 * soft edge of one pixel does not show. */
#include "synth_private.h"

const char *const synth__shape_names[SHAPES] = {"disc", "ball",  "box",  "ring",   "triangle",
                                                "star", "cross", "moon", "flower", "heart"};

static float disc(float x, float y, float r) { return sqrtf(x * x + y * y) - r; }

static float box(float x, float y, float w, float h, float round)
{
    const float dx = fabsf(x) - w + round, dy = fabsf(y) - h + round;
    const float ox = dx > 0 ? dx : 0, oy = dy > 0 ? dy : 0, in = dx > dy ? dx : dy;
    return (in < 0 ? in : sqrtf(ox * ox + oy * oy)) - round;
}

/* Three half-planes at 120 degrees. */
static float triangle(float x, float y)
{
    const float side = 0.8660254f * fabsf(x) - 0.5f * y, bottom = y;
    return (side > bottom ? side : bottom) - 0.5f;
}

/* Five points, the upper one at (0,-1). Mirroring about the vertical and about the axis at 36 degrees from it, twice, brings
 * every point into the wedge between a tip and the notch beside it (radius 0.45), where the outline is one straight edge. */
static float star(float x, float y)
{
    const float c = 0.809017f, s = 0.587785f; /* cos, sin of 36 degrees */
    x = fabsf(x), y = -y;
    for (int i = 0; i < 2; i++) {
        const float over = x * c - y * s;
        if (over > 0) x -= 2 * over * c, y += 2 * over * s;
        x = fabsf(x);
    }
    const float ex = 0.45f * s, ey = 0.45f * c - 1; /* from tip to notch */
    return (ex * (y - 1) - ey * x) / sqrtf(ex * ex + ey * ey);
}

static float cross(float x, float y)
{
    const float a = box(x, y, 0.95f, 0.32f, 0.05f), b = box(x, y, 0.32f, 0.95f, 0.05f);
    return a < b ? a : b;
}

static float moon(float x, float y)
{
    const float outer = disc(x, y, 0.95f), bite = disc(x - 0.45f, y + 0.12f, 0.78f);
    return outer > -bite ? outer : -bite;
}

static float flower(float x, float y)
{
    const float angle = atan2f(y, x);
    return 0.8f * (sqrtf(x * x + y * y) - 0.72f - 0.24f * cosf(6 * angle));
}

/* A square on its corner and a disc on each upper side. */
static float heart(float x, float y)
{
    const float h = 0.7071068f, half = 0.52f;
    y -= 0.12f;
    const float square = box((x + y) * h, (x - y) * h, half, half, 0.04f);
    const float lobe = disc(fabsf(x) - half * h, y + half * h, half);
    return square < lobe ? square : lobe;
}

float synth__distance(shape s, float x, float y)
{
    switch (s) {
    case SHAPE_BOX: return box(x, y, 0.85f, 0.7f, 0.08f);
    case SHAPE_RING: return fabsf(sqrtf(x * x + y * y) - 0.72f) - 0.24f;
    case SHAPE_TRIANGLE: return triangle(x, y);
    case SHAPE_STAR: return star(x, y);
    case SHAPE_CROSS: return cross(x, y);
    case SHAPE_MOON: return moon(x, y);
    case SHAPE_FLOWER: return flower(x, y);
    case SHAPE_HEART: return heart(x, y);
    default: return disc(x, y, 0.95f);
    }
}
