/* clamp   y = min(max(x, low), high)        dx = dy inside [low, high], 0 outside */
#include "engine.h"

typedef struct bounds {
    double low, high;
} bounds;

static void clamp_run(const ag_tensor *y)
{
    const bounds *o = y->attr;
    k.clamp(y->numel, ag__in(y, 0), (real)o->low, (real)o->high, y->data);
}

static void clamp_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag__node(AG__OP_clamp_mask, 2, (ag_tensor *[]){dy, y->in[0]}, y->attr, sizeof(bounds));
}

const ag__rule ag__clamp = {.shape = ag__shape_unary, .run = clamp_run, .gradient = clamp_gradient, .in_place = 1};

ag_tensor *ag_clamp(ag_tensor *x, double low, double high)
{
    return ag__node(AG__OP_clamp, 1, &x, &(bounds){low, high}, sizeof(bounds));
}

/* clamp_mask  dx = dy where low <= x <= high, else 0; linear in dy, none for x */
static void clamp_mask_run(const ag_tensor *y)
{
    const bounds *o = y->attr;
    k.clamp_mask(y->numel, ag__in(y, 0), ag__in(y, 1), (real)o->low, (real)o->high, y->data);
}

static void clamp_mask_gradient(ag_tensor *y, ag_tensor *dy, ag_tensor **dx)
{
    dx[0] = ag__node(AG__OP_clamp_mask, 2, (ag_tensor *[]){dy, y->in[1]}, y->attr, sizeof(bounds));
}

const ag__rule ag__clamp_mask = {
    .shape = ag__shape_unary, .run = clamp_mask_run, .gradient = clamp_mask_gradient, .in_place = 3};
