/* Scenes: one to three like shapes, sometimes with smaller ones behind, lit from one side, over a background. The label is the
 * shape; the caption says what is to be seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/random.h"
#include "data/synth.h"
#include "synth_private.h"

#define MOST_OBJECTS 6

typedef struct object {
    shape shape;
    texture texture;
    float x, y, size, cos, sin, period;
    rgb a, b;
    uint32_t seed;
} object;

typedef struct scene {
    background back;
    object objects[MOST_OBJECTS];
    int count;
    float light_x, light_y, shadow;      /* direction to the light; darkness of shadows */
    float pixel, middle_x, middle_y, dx; /* pixel (i,j) is at ((i - middle_x) dx, (j - middle_y) dx) */
} scene;

/* What an object looks like, apart from where it is. */
static object draw_look(draws *d, paint *named)
{
    object o = {.shape = (shape)synth__below(d, SHAPES)};
    const paint a = synth__paint(d);
    paint b = synth__paint(d);
    for (int i = 0; i < 8 && b.name == a.name; i++) b = synth__paint(d);
    o.texture = synth__below(d, 5) < 2 ? TEXTURE_PLAIN : (texture)(1 + synth__below(d, TEXTURES - 1));
    o.a = a.colour, o.b = b.colour;
    o.period = synth__uniform(d, 0.22f, 0.5f);
    o.seed = (uint32_t)synth__below(d, 1 << 30);
    *named = a;
    return o;
}

static void turn(object *o, draws *d)
{
    /* Stars, hearts, moons stand nearly upright; a box may lie as it likes. */
    const float most = o->shape == SHAPE_HEART || o->shape == SHAPE_TRIANGLE ? 0.5f : 3.1415927f;
    const float angle = synth__uniform(d, -most, most);
    o->cos = cosf(angle), o->sin = sinf(angle);
}

/* Places the main shapes: one in the middle, two side by side, three in a triangle. */
static void place_main(scene *s, draws *d, object look, int n)
{
    static const float at[3][3][2] = {
        {{0, 0}}, {{-0.48f, 0.06f}, {0.48f, -0.06f}}, {{-0.5f, 0.38f}, {0.5f, 0.38f}, {0, -0.42f}}};
    const float sizes[3][2] = {{0.45f, 0.72f}, {0.3f, 0.45f}, {0.24f, 0.36f}};
    const float flip_x = synth__below(d, 2) ? 1.0f : -1.0f, flip_y = synth__below(d, 2) ? 1.0f : -1.0f;
    for (int i = 0; i < n; i++) {
        object o = look;
        const float loose = n == 1 ? 0.25f : 0.1f;
        o.size = synth__uniform(d, sizes[n - 1][0], sizes[n - 1][1]);
        o.x = flip_x * at[n - 1][i][0] + synth__uniform(d, -loose, loose);
        o.y = flip_y * at[n - 1][i][1] + synth__uniform(d, -loose, loose);
        turn(&o, d);
        s->objects[s->count++] = o;
    }
}

static void place_small(scene *s, draws *d, object look, int n)
{
    for (int i = 0; i < n; i++) {
        object o = look;
        const float side = synth__below(d, 2) ? 1.0f : -1.0f;
        o.size = synth__uniform(d, 0.12f, 0.22f);
        o.x = side * synth__uniform(d, 0.5f, 0.85f), o.y = synth__uniform(d, -0.8f, 0.8f);
        turn(&o, d);
        s->objects[s->count++] = o;
    }
}

/* "two striped red stars" */
static void describe(char *out, size_t room, int n, const char *size, texture t, const char *colour, shape kind)
{
    static const char *const counts[] = {"", "a", "two", "three"};
    const char *mark = synth__texture_names[t], *name = synth__shape_names[kind];
    const char *first = *size ? size : *mark ? mark : colour;
    const char *article = n == 1 && strchr("aeiou", first[0]) ? "an" : counts[n];
    const char *plural = n == 1 ? "" : name[strlen(name) - 1] == 's' || name[strlen(name) - 1] == 'x' ? "es" : "s";
    snprintf(out, room, "%s %s%s%s%s%s %s%s", article, size, *size ? " " : "", mark, *mark ? " " : "", colour, name,
             plural);
}

static void compose(scene *s, draws *d, int *label, char caption[DATA_SYNTH_CAPTION])
{
    paint colour, small_colour;
    char first[48], second[56] = "";
    const float angle = synth__uniform(d, -2.6f, -0.5f); /* from above */
    s->count = 0;
    s->light_x = cosf(angle), s->light_y = sinf(angle), s->shadow = synth__uniform(d, 0.25f, 0.5f);
    synth__background(&s->back, d, s->pixel);
    const object look = draw_look(d, &colour);
    const int n = synth__below(d, 2) ? 1 : 1 + synth__below(d, 3), small = synth__below(d, 5) - 2;
    if (small > 0) {
        const object other = draw_look(d, &small_colour);
        place_small(s, d, other, small);
        char what[48];
        describe(what, sizeof what, small, "small", other.texture, small_colour.name, other.shape);
        snprintf(second, sizeof second, " and %s", what);
    }
    place_main(s, d, look, n);
    describe(first, sizeof first, n, "", look.texture, colour.name, look.shape);
    snprintf(caption, DATA_SYNTH_CAPTION, "%s%s %s", first, second, s->back.text);
    *label = (int)look.shape;
}

/* Coordinates in the object's own frame, in its size. */
static void to_object(const object *o, float x, float y, float *u, float *v)
{
    const float dx = (x - o->x) / o->size, dy = (y - o->y) / o->size;
    *u = dx * o->cos + dy * o->sin, *v = dy * o->cos - dx * o->sin;
}

static float distance_at(const object *o, float x, float y)
{
    float u, v;
    to_object(o, x, y, &u, &v);
    return synth__distance(o->shape, u, v) * o->size;
}

/* Light on a ball: Lambert's law, a highlight, darker at the rim. */
static rgb light_ball(const scene *s, const object *o, rgb c, float x, float y)
{
    const float nx = (x - o->x) / (0.95f * o->size), ny = (y - o->y) / (0.95f * o->size), flat = nx * nx + ny * ny;
    const float nz = sqrtf(flat < 1 ? 1 - flat : 0);
    const float lit = 0.62f * (nx * s->light_x + ny * s->light_y) + 0.78f * nz;
    float shine = 0.36f * (nx * s->light_x + ny * s->light_y) + 0.93f * nz; /* half way to the eye */
    shine = shine > 0 ? shine : 0;
    shine *= shine, shine *= shine, shine *= shine, shine *= shine, shine *= shine;
    return mix(scale(c, 0.28f + 0.82f * (lit > 0 ? lit : 0)), (rgb){1, 1, 1}, 0.8f * shine);
}

/* A rounded rim: within `rim` of the edge the surface leans outwards and meets the light. */
static rgb light_rim(const scene *s, const object *o, rgb c, float x, float y, float distance)
{
    const float rim = 0.22f * o->size, depth = 1 + distance / rim;
    if (depth <= 0) return c;
    const float e = 0.5f * s->pixel;
    const float gx = distance_at(o, x + e, y) - distance, gy = distance_at(o, x, y + e) - distance;
    const float lean = depth * depth * (gx * s->light_x + gy * s->light_y) / e;
    return lean > 0 ? mix(c, (rgb){1, 1, 1}, 0.45f * clamp01(lean)) : scale(c, 1 + 0.5f * (lean < -1 ? -1 : lean));
}

static rgb surface_at(const scene *s, const object *o, float x, float y, float distance)
{
    float u, v;
    to_object(o, x, y, &u, &v);
    if (o->shape == SHAPE_BALL) {
        const float bulge = 1 + 0.45f * (u * u + v * v);
        u *= bulge, v *= bulge;
    }
    const rgb c = synth__texture(o->texture, u, v, o->period, s->pixel / o->size, o->seed, o->a, o->b);
    return o->shape == SHAPE_BALL ? light_ball(s, o, c, x, y) : light_rim(s, o, c, x, y, distance);
}

static int pixel_floor(float v, int limit) { return v < 0 ? 0 : v > (float)limit ? limit : (int)v; }

/* One object and its shadow over the picture so far. */
static void paint_object(const scene *s, const object *o, int height, int width, rgb *picture)
{
    const float blur = 0.3f * o->size, shift = 0.22f * o->size, reach = 1.15f * o->size + shift + 0.5f * blur;
    const int x0 = pixel_floor((o->x - reach) / s->dx + s->middle_x, width),
              x1 = pixel_floor((o->x + reach) / s->dx + s->middle_x + 1, width);
    const int y0 = pixel_floor((o->y - reach) / s->dx + s->middle_y, height),
              y1 = pixel_floor((o->y + reach) / s->dx + s->middle_y + 1, height);
    for (int j = y0; j < y1; j++)
        for (int i = x0; i < x1; i++) {
            const float x = ((float)i - s->middle_x) * s->dx, y = ((float)j - s->middle_y) * s->dx;
            rgb *p = &picture[j * width + i];
            const float distance = distance_at(o, x, y), cover = clamp01(0.5f - distance / s->pixel);
            if (cover < 1) {
                const float far = distance_at(o, x + shift * s->light_x, y + shift * s->light_y);
                *p = scale(*p, 1 - s->shadow * smooth01(0.5f - far / blur));
            }
            if (cover > 0) *p = mix(*p, surface_at(s, o, x, y, distance), cover);
        }
}

static uint8_t to_byte(float v) { return (uint8_t)(255 * clamp01(v) + 0.5f); }

/* `picture` is the room for the unrounded picture. */
static void render(const scene *s, int height, int width, rgb *picture, uint8_t *pixels)
{
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++)
            picture[j * width + i] =
                synth__background_at(&s->back, ((float)i - s->middle_x) * s->dx, ((float)j - s->middle_y) * s->dx);
    for (int k = 0; k < s->count; k++) paint_object(s, &s->objects[k], height, width, picture);
    for (int k = 0; k < height * width; k++) {
        pixels[3 * k] = to_byte(picture[k].r);
        pixels[3 * k + 1] = to_byte(picture[k].g);
        pixels[3 * k + 2] = to_byte(picture[k].b);
    }
}

ag_err data_synth_scene(uint64_t seed, int64_t index, int height, int width, uint8_t *pixels, int *label,
                        char caption[DATA_SYNTH_CAPTION])
{
    const int shorter = height < width ? height : width;
    draws d = {.seed = seed, .stream = ag_random_stream((uint64_t)index, ag_hash_name("synth.scenes"))};
    scene s = {
        .dx = 2.0f / (float)shorter, .middle_x = 0.5f * (float)(width - 1), .middle_y = 0.5f * (float)(height - 1)};
    rgb *picture = malloc((size_t)height * (size_t)width * sizeof *picture);
    if (!picture) return ag_fail(AG_ERR_MEMORY, "scenes: no memory for a picture of %d x %d", width, height);
    s.pixel = s.dx;
    compose(&s, &d, label, caption);
    render(&s, height, width, picture, pixels);
    free(picture);
    return AG_OK;
}
