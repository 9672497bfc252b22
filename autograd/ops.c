/* The tables that ops.def expands into. */
#include "engine.h"

#define AG_OP(name, gradient, cost) extern const ag__rule ag__##name;
#include "ops.def"
#undef AG_OP

const ag__rule *const ag__rules[AG__OP_COUNT] = {
#define AG_OP(name, gradient, cost) &ag__##name,
#include "ops.def"
#undef AG_OP
};

const char *const ag__op_names[AG__OP_COUNT] = {
#define AG_OP(name, gradient, cost) #name,
#include "ops.def"
#undef AG_OP
};

const ag__gradient_kind ag__gradient_kinds[AG__OP_COUNT] = {
#define AG_OP(name, gradient, cost) gradient,
#include "ops.def"
#undef AG_OP
};

const ag__cost ag__costs[AG__OP_COUNT] = {
#define AG_OP(name, gradient, cost) cost,
#include "ops.def"
#undef AG_OP
};
