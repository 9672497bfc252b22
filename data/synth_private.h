/* What the pictures of "scenes" are made of: shapes (synth_shapes.c), colours, textures and backgrounds (synth_paint.c);
 * synth_scenes.c composes them. Coordinates: x to the right, y down, the shorter side of the picture is -1..1. */
#ifndef DATA_SYNTH_PRIVATE_H
#define DATA_SYNTH_PRIVATE_H

#include <math.h>
#include <stdint.h>

/* A row of random numbers, one picture's own. */
typedef struct draws {
    uint64_t seed, stream, next;
} draws;

float synth__uniform(draws *d, float low, float high);
int synth__below(draws *d, int n);

typedef struct rgb {
    float r, g, b;
} rgb;

static inline float clamp01(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }
static inline float smooth01(float t) { return t = clamp01(t), t * t * (3 - 2 * t); }
static inline float mixf(float a, float b, float t) { return a + (b - a) * t; }
static inline rgb mix(rgb a, rgb b, float t) { return (rgb){mixf(a.r, b.r, t), mixf(a.g, b.g, t), mixf(a.b, b.b, t)}; }
static inline rgb scale(rgb a, float k) { return (rgb){a.r * k, a.g * k, a.b * k}; }

/* Shapes: the classes of the set, in this order. */
typedef enum shape {
    SHAPE_DISC,
    SHAPE_BALL,
    SHAPE_BOX,
    SHAPE_RING,
    SHAPE_TRIANGLE,
    SHAPE_STAR,
    SHAPE_CROSS,
    SHAPE_MOON,
    SHAPE_FLOWER,
    SHAPE_HEART,
    SHAPES
} shape;
extern const char *const synth__shape_names[SHAPES];
/* Distance to the edge of the shape of size 1 (negative inside), or a close bound of it. */
float synth__distance(shape s, float x, float y);

/* A named colour with some chance in it. */
typedef struct paint {
    rgb colour;
    const char *name;
} paint;
paint synth__paint(draws *d);

/* What covers a shape. */
typedef enum texture { TEXTURE_PLAIN, TEXTURE_STRIPES, TEXTURE_CHECKS, TEXTURE_DOTS, TEXTURE_MARBLE, TEXTURES } texture;
extern const char *const synth__texture_names[TEXTURES]; /* adjectives; "" for plain */
/* Colour at (x,y) of a texture of `period`; `pixel` is the width of a pixel, for smooth edges. */
rgb synth__texture(texture t, float x, float y, float period, float pixel, uint32_t seed, rgb a, rgb b);

typedef struct background {
    int kind;
    rgb a, b, c;
    float cos, sin, x0, y0, period, pixel;
    uint32_t seed;
    char text[48]; /* "over a blue to red gradient" */
} background;
void synth__background(background *g, draws *d, float pixel);
rgb synth__background_at(const background *g, float x, float y);

#endif
