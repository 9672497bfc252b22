/* Colours, textures and backgrounds of the scenes. */
#include <stdio.h>

#include "autograd/random.h"
#include "synth_private.h"

float synth__uniform(draws *d, float low, float high)
{
    return low + (high - low) * (float)ag_random_uniform(d->seed, d->stream, d->next++);
}

int synth__below(draws *d, int n) { return (int)ag_random_below(d->seed, d->stream, d->next++, (uint64_t)n); }

/* A hash of a lattice point: enough for pictures, cheap enough for several a pixel. */
static uint32_t hash(uint32_t seed, int32_t x, int32_t y)
{
    uint32_t h = (seed + (uint32_t)x * 0x9E3779B1u) ^ ((uint32_t)y * 0x85EBCA77u);
    h = (h ^ h >> 15) * 0x7FEB352Du;
    return (h ^ h >> 13) * 0x846CA68Bu;
}

static float hash01(uint32_t seed, int32_t x, int32_t y) { return (float)(int32_t)(hash(seed, x, y) >> 8) * 0x1p-24f; }

/* floorf that stays inline on machines before SSE4. */
static int32_t floor_int(float v)
{
    const int32_t i = (int32_t)v;
    return i - (v < (float)i);
}

/* Value noise in 0..1. */
static float noise(uint32_t seed, float x, float y)
{
    const int32_t ix = floor_int(x), iy = floor_int(y);
    const float fx = x - (float)ix, fy = y - (float)iy, u = fx * fx * (3 - 2 * fx), v = fy * fy * (3 - 2 * fy);
    const float top = mixf(hash01(seed, ix, iy), hash01(seed, ix + 1, iy), u);
    const float low = mixf(hash01(seed, ix, iy + 1), hash01(seed, ix + 1, iy + 1), u);
    return mixf(top, low, v);
}

/* `octaves` of it, each twice as fine and half as strong. */
static float fractal(uint32_t seed, float x, float y, int octaves)
{
    float sum = 0, total = 0, weight = 1;
    for (int i = 0; i < octaves; i++) {
        sum += weight * noise(seed + (uint32_t)i, x, y);
        total += weight;
        weight *= 0.5f, x = 2.03f * x + 11.7f, y = 2.03f * y + 5.3f;
    }
    return sum / total;
}

static rgb from_hsv(float h, float s, float v)
{
    const float k[3] = {5, 3, 1};
    float c[3];
    for (int i = 0; i < 3; i++) {
        const float t = fmodf(k[i] + h * 6, 6), ramp = t < 4 - t ? t : 4 - t;
        c[i] = v - v * s * clamp01(ramp);
    }
    return (rgb){c[0], c[1], c[2]};
}

paint synth__paint(draws *d)
{
    static const struct {
        const char *name;
        float h, dh, s0, s1, v0, v1;
    } names[] = {
        {"red", 0.0f, 0.02f, 0.75f, 0.95f, 0.65f, 0.95f},     {"orange", 0.075f, 0.02f, 0.75f, 0.95f, 0.85f, 1.0f},
        {"yellow", 0.145f, 0.02f, 0.65f, 0.9f, 0.9f, 1.0f},   {"green", 0.34f, 0.05f, 0.5f, 0.85f, 0.4f, 0.8f},
        {"teal", 0.49f, 0.03f, 0.5f, 0.85f, 0.45f, 0.8f},     {"blue", 0.6f, 0.04f, 0.55f, 0.9f, 0.5f, 0.95f},
        {"purple", 0.76f, 0.03f, 0.45f, 0.8f, 0.45f, 0.85f},  {"pink", 0.92f, 0.03f, 0.35f, 0.6f, 0.9f, 1.0f},
        {"brown", 0.065f, 0.015f, 0.55f, 0.75f, 0.3f, 0.55f}, {"white", 0.6f, 0.4f, 0.0f, 0.06f, 0.9f, 1.0f},
        {"grey", 0.6f, 0.1f, 0.0f, 0.1f, 0.35f, 0.65f},       {"black", 0.6f, 0.4f, 0.0f, 0.2f, 0.08f, 0.2f},
    };
    const int i = synth__below(d, (int)(sizeof names / sizeof *names));
    const float h = names[i].h + synth__uniform(d, -names[i].dh, names[i].dh);
    const float s = synth__uniform(d, names[i].s0, names[i].s1), v = synth__uniform(d, names[i].v0, names[i].v1);
    return (paint){from_hsv(h < 0 ? h + 1 : h, s, v), names[i].name};
}

/* 0 or 1 by turns in stripes of width 1, soft over `edge`. */
static float stripe(float t, float edge)
{
    const float f = t - (float)floor_int(t * 0.5f) * 2; /* 0..2 */
    const float to_edge = f < 0.5f ? f : f < 1.5f ? 1 - f : f - 2;
    return clamp01(0.5f + to_edge / (edge > 1e-4f ? edge : 1e-4f));
}

const char *const synth__texture_names[TEXTURES] = {"", "striped", "checked", "dotted", "marbled"};

rgb synth__texture(texture t, float x, float y, float period, float pixel, uint32_t seed, rgb a, rgb b)
{
    const float edge = pixel / period, u = x / period, v = y / period;
    switch (t) {
    case TEXTURE_STRIPES: return mix(a, b, stripe(u, edge));
    case TEXTURE_CHECKS: {
        const float p = stripe(u, edge), q = stripe(v, edge);
        return mix(a, b, p + q - 2 * p * q);
    }
    case TEXTURE_DOTS: {
        const float w = v * 0.7f, row = (float)floor_int(w), shifted = u * 0.7f + 0.5f * row;
        const float dx = shifted - (float)floor_int(shifted) - 0.5f, dy = w - row - 0.5f;
        return mix(a, b, clamp01(0.5f + (0.3f - sqrtf(dx * dx + dy * dy)) / (0.7f * edge)));
    }
    case TEXTURE_MARBLE: {
        const float warp = fractal(seed, 0.8f * u, 0.8f * v, 3), vein = fabsf(stripe(u * 0.6f + 3 * warp, 1) - 0.5f);
        return mix(a, b, smooth01(1 - 2.4f * vein));
    }
    default: return a;
    }
}

/* Backgrounds. `a`, `b`, `c` are their colours, x0, y0 a place, cos, sin a direction. */

static rgb gradient_at(const background *g, float x, float y)
{
    return mix(g->a, g->b, smooth01(0.5f + 0.42f * (x * g->cos + y * g->sin)));
}

static rgb glow_at(const background *g, float x, float y)
{
    const float dx = x - g->x0, dy = y - g->y0;
    return mix(g->a, g->b, smooth01(sqrtf(dx * dx + dy * dy) * 0.62f));
}

/* Sky with a sun over two rows of hills, whose lines lie within known bounds, so that most pixels need no noise for them. */
static rgb hills_at(const background *g, float x, float y)
{
    const rgb bright = {1.0f, 0.95f, 0.8f}, distant = mix(g->b, g->a, 0.35f);
    const float low = y - g->y0;
    rgb c = distant;
    const float far_hill = low > 0.25f ? 0 : 0.45f * fractal(g->seed, 1.1f * x + 7, 0.5f, 2) - 0.25f;
    const float in_far = low < -0.3f ? 0 : low > 0.25f ? 1 : clamp01(0.5f + (low - far_hill) / g->pixel);
    if (in_far < 1) {
        const float dx = x - g->x0, dy = low + 0.75f, sun = sqrtf(dx * dx + dy * dy);
        const rgb sky = mix(g->a, mix(g->a, bright, 0.75f), smooth01(0.75f + 0.5f * low));
        const float glow = 0.35f * smooth01(1 - sun * 1.4f) + 0.65f * clamp01(0.5f + (0.17f - sun) / g->pixel);
        c = mix(mix(sky, bright, glow), distant, in_far);
    } else
        c = scale(c, 1.05f - 0.25f * low);
    if (low < 0.03f) return c;
    const float near_hill = low > 0.63f ? 0 : 0.08f + 0.5f * noise(g->seed + 9, 0.8f * x, 0.5f);
    const float in_near = clamp01(0.5f + (low - near_hill) / g->pixel);
    if (in_near <= 0) return c;
    return mix(c, scale(g->b, 0.55f + 0.18f * fractal(g->seed + 20, 9 * x, 14 * y, 2)), in_near);
}

/* Sky over water whose waves grow towards the eye. */
static rgb sea_at(const background *g, float x, float y)
{
    const rgb bright = {1.0f, 0.9f, 0.75f};
    if (y < g->y0) return mix(g->a, bright, smooth01(0.9f + 0.9f * (y - g->y0)) * 0.8f);
    const float depth = y - g->y0 + 0.06f, near = clamp01(depth);
    const float wave = noise(g->seed, 1.3f * x / depth, 2.2f / depth) - 0.5f;
    const float path = smooth01(1 - fabsf(x - g->x0) / (0.12f + 0.5f * depth)) * (0.4f + wave);
    const rgb water = mix(mix(g->b, bright, 0.35f), scale(g->b, 0.55f), near);
    return mix(scale(water, 1 + 0.55f * wave * (0.35f + near)), bright, clamp01(path) * 0.7f);
}

/* A checked floor in perspective before a wall; checks fade to their mean where they get finer than pixels. */
static rgb floor_at(const background *g, float x, float y)
{
    if (y < g->y0) return scale(g->c, 1.0f - 0.3f * (g->y0 - y) * 0.7f);
    const float z = 0.55f / (y - g->y0 + 0.04f), u = (x - g->x0) * z * 2.2f, v = z * 2.2f;
    const float edge = g->pixel * z * z * 2.2f / 0.55f, sharp = clamp01(1.6f - edge);
    const float p = stripe(u, g->pixel * z * 2.2f), q = stripe(v, edge), check = mixf(0.5f, p + q - 2 * p * q, sharp);
    return scale(mix(g->a, g->b, check), 1.0f - 0.25f * clamp01(1 - 1.2f * (y - g->y0)));
}

/* Fractal clouds, darker where the cloud a little higher up is thick. */
static rgb clouds_at(const background *g, float x, float y)
{
    const float u = 1.3f * x + 3, v = 2.1f * y, cover = fractal(g->seed, u, v, 4);
    const rgb sky = mix(g->a, (rgb){0.92f, 0.95f, 1.0f}, smooth01(0.3f + 0.4f * y));
    if (cover < 0.42f) return sky;
    const float light = 1.0f - 0.3f * smooth01((noise(g->seed, u, v - 0.3f) - 0.4f) * 2.5f);
    return mix(sky, (rgb){light, light, mixf(light, 1, 0.25f)}, smooth01((cover - 0.42f) * 5));
}

static rgb stripes_at(const background *g, float x, float y)
{
    const float u = x * g->cos + y * g->sin, v = y * g->cos - x * g->sin;
    return scale(mix(g->a, g->b, stripe(u / g->period, g->pixel / g->period)), 1.0f - 0.12f * v);
}

static rgb dots_at(const background *g, float x, float y)
{
    const float u = x * g->cos + y * g->sin, v = y * g->cos - x * g->sin;
    return scale(synth__texture(TEXTURE_DOTS, u, v, g->period, g->pixel, 0, g->a, g->b), 1.0f - 0.1f * y);
}

/* Boards of wood: stretched noise for the grain, a dark line between boards. */
static rgb wood_at(const background *g, float x, float y)
{
    const float u = x * g->cos + y * g->sin, v = y * g->cos - x * g->sin, row = v / 0.55f + 10;
    const int32_t board = floor_int(row);
    const float shift = 9 * hash01(g->seed, board, 1), grain = fractal(g->seed, 0.9f * u + shift, 9 * v + shift, 2);
    const float rings = smooth01(fabsf(stripe(8 * (v + 0.35f * grain) + shift, 2)));
    const float gap = fabsf(row - (float)board - 0.5f) - 0.5f,
                line = clamp01(0.5f + (-gap * 0.55f - 0.012f) / g->pixel);
    const float tone = (0.72f + 0.2f * grain + 0.18f * rings) * (0.85f + 0.25f * hash01(g->seed, board, 2));
    return scale(g->a, tone * (0.35f + 0.65f * line));
}

/* Bricks in bond; mortar lighter. */
static rgb bricks_at(const background *g, float x, float y)
{
    const float row = y / (0.5f * g->period) + 20;
    const int32_t j = floor_int(row);
    const float column = x / g->period + 20 + 0.5f * (float)(j & 1);
    const int32_t i = floor_int(column);
    const float dx = (0.5f - fabsf(column - (float)i - 0.5f)) * g->period,
                dy = (0.5f - fabsf(row - (float)j - 0.5f)) * 0.5f * g->period;
    const float joint = clamp01(0.5f + ((dx < dy ? dx : dy) - 0.045f * g->period) / g->pixel);
    const float tone = 0.72f + 0.4f * hash01(g->seed, i, j) + 0.2f * (noise(g->seed, 14 * x, 14 * y) - 0.5f);
    return mix(scale((rgb){0.78f, 0.75f, 0.7f}, 0.95f), scale(g->a, tone), joint);
}

/* A dark sky: a point of light in a third of the cells of a lattice, and a faint cloud. */
static rgb night_at(const background *g, float x, float y)
{
    const float u = x * 6 + 50, v = y * 6 + 50;
    const int32_t i = floor_int(u), j = floor_int(v);
    const float cloud = smooth01((fractal(g->seed + 5, 1.2f * x, 1.2f * y, 2) - 0.35f) * 2.0f);
    const rgb sky = mix(mix(scale(g->a, 0.22f), scale(g->b, 0.4f), 0.5f + 0.5f * y), g->c, 0.35f * cloud);
    const float chance = hash01(g->seed + 2, i, j);
    if (chance > 0.36f) return sky;
    const float dx = u - (float)i - mixf(0.2f, 0.8f, hash01(g->seed, i, j));
    const float dy = v - (float)j - mixf(0.2f, 0.8f, hash01(g->seed + 1, i, j));
    const float size = chance < 0.03f ? 0.16f : 0.03f,
                star = clamp01(1.2f - sqrtf(dx * dx + dy * dy) / (size + 3 * g->pixel));
    return mix(sky, (rgb){1.0f, 0.98f, 0.92f}, star * (0.4f + 1.6f * chance));
}

typedef rgb background_run(const background *g, float x, float y);
static background_run *const runs[] = {gradient_at, glow_at, hills_at, sea_at,    floor_at, clouds_at,
                                       stripes_at,  dots_at, wood_at,  bricks_at, night_at};

/* Colours a background cannot do without, and its words. */
static void settle(background *g, draws *d, const char *a, const char *b)
{
    const rgb warm = {synth__uniform(d, 0.6f, 0.8f), synth__uniform(d, 0.36f, 0.5f), synth__uniform(d, 0.18f, 0.3f)};
    const rgb sky = {synth__uniform(d, 0.25f, 0.5f), synth__uniform(d, 0.5f, 0.7f), synth__uniform(d, 0.8f, 0.95f)};
    const rgb dusk = {synth__uniform(d, 0.75f, 0.95f), synth__uniform(d, 0.4f, 0.55f), synth__uniform(d, 0.35f, 0.6f)};
    const int evening = synth__below(d, 3) == 0;
    switch (g->kind) {
    case 0: snprintf(g->text, sizeof g->text, "on %s fading to %s", a, b); break;
    case 1: snprintf(g->text, sizeof g->text, "before %s glowing in %s", b, a); break;
    case 2:
        g->a = evening ? dusk : sky;
        g->b = (rgb){synth__uniform(d, 0.3f, 0.6f), synth__uniform(d, 0.55f, 0.75f), synth__uniform(d, 0.2f, 0.4f)};
        snprintf(g->text, sizeof g->text, "before green hills %s", evening ? "at sunset" : "by day");
        break;
    case 3:
        g->a = evening ? dusk : sky;
        g->b = (rgb){synth__uniform(d, 0.05f, 0.2f), synth__uniform(d, 0.3f, 0.5f), synth__uniform(d, 0.45f, 0.7f)};
        snprintf(g->text, sizeof g->text, "above the sea %s", evening ? "at sunset" : "by day");
        break;
    case 4:
        g->c = mix(g->c, (rgb){0.8f, 0.8f, 0.8f}, 0.5f);
        snprintf(g->text, sizeof g->text, "over a floor of %s and %s checks", a, b);
        break;
    case 5:
        g->a = sky;
        snprintf(g->text, sizeof g->text, "among clouds");
        break;
    case 6: g->b = mix(g->b, g->a, 0.35f), snprintf(g->text, sizeof g->text, "on %s and %s stripes", a, b); break;
    case 7: snprintf(g->text, sizeof g->text, "on %s paper with %s dots", a, b); break;
    case 8: g->a = warm, snprintf(g->text, sizeof g->text, "on wooden boards"); break;
    case 9:
        g->a = mix(warm, g->a, 0.25f), g->period = synth__uniform(d, 0.35f, 0.6f);
        snprintf(g->text, sizeof g->text, "before a brick wall");
        break;
    default: snprintf(g->text, sizeof g->text, "in a starry night"); break;
    }
}

void synth__background(background *g, draws *d, float pixel)
{
    const int kinds = (int)(sizeof runs / sizeof *runs);
    const paint a = synth__paint(d), c = synth__paint(d);
    paint b = synth__paint(d);
    for (int i = 0; i < 8 && b.name == a.name; i++) b = synth__paint(d);
    const float angle = synth__uniform(d, 0, 6.2831853f);
    *g = (background){.kind = synth__below(d, kinds), .a = a.colour, .b = b.colour, .c = c.colour, .pixel = pixel};
    g->cos = cosf(angle), g->sin = sinf(angle);
    g->x0 = synth__uniform(d, -0.7f, 0.7f);
    g->y0 = g->kind == 1 ? synth__uniform(d, -0.7f, 0.7f) : synth__uniform(d, -0.25f, 0.35f);
    g->period = synth__uniform(d, 0.12f, 0.4f);
    g->seed = (uint32_t)synth__below(d, 1 << 30);
    settle(g, d, a.name, b.name);
}

rgb synth__background_at(const background *g, float x, float y) { return runs[g->kind](g, x, y); }
