/* The tables that ops.def expands into. */
#include "engine.h"

#define AG_OP(name, gradient) extern const ag__rule ag__##name;
#include "ops.def"
#undef AG_OP

const ag__rule *const ag__rules[AG__OP_COUNT] = {
#define AG_OP(name, gradient) &ag__##name,
#include "ops.def"
#undef AG_OP
};

const char *const ag__op_names[AG__OP_COUNT] = {
#define AG_OP(name, gradient) #name,
#include "ops.def"
#undef AG_OP
};

const ag__gradient_kind ag__gradient_kinds[AG__OP_COUNT] = {
#define AG_OP(name, gradient) gradient,
#include "ops.def"
#undef AG_OP
};
