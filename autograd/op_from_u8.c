/* from_u8  y = x * scale + shift, x u8; no gradient */
#include "engine.h"

typedef struct mapping {
    double scale, shift;
} mapping;

static ag_err from_u8_shape(ag_tensor *y)
{
    const ag_err err = ag__check_type(y->in[0], AG_U8, "the input");
    y->dtype = AG_REAL;
    return err ? err : ag__shape_copy(y, y->in[0]);
}

static void from_u8_run(const ag_tensor *y)
{
    const mapping *o = y->attr;
    k.from_u8(y->numel, y->in[0]->data, (real)o->scale, (real)o->shift, y->data);
}

const ag__rule ag__from_u8 = {.shape = from_u8_shape, .run = from_u8_run};

ag_tensor *ag_from_u8(ag_tensor *x, double scale, double shift)
{
    return ag__node(AG__OP_from_u8, 1, &x, &(mapping){scale, shift}, sizeof(mapping));
}

/* to_u8  y = clamp(floor(x * scale + shift + 1/2), 0, 255), u8; no gradient */
static ag_err to_u8_shape(ag_tensor *y)
{
    const ag_err err = ag__check_type(y->in[0], AG_REAL, "the input");
    y->dtype = AG_U8;
    return err ? err : ag__shape_copy(y, y->in[0]);
}

static void to_u8_run(const ag_tensor *y)
{
    const mapping *o = y->attr;
    k.to_u8(y->numel, ag__in(y, 0), (real)o->scale, (real)o->shift, y->data);
}

const ag__rule ag__to_u8 = {.shape = to_u8_shape, .run = to_u8_run};

ag_tensor *ag_to_u8(ag_tensor *x, double scale, double shift)
{
    return ag__node(AG__OP_to_u8, 1, &x, &(mapping){scale, shift}, sizeof(mapping));
}
