/* The table of one instruction set. */
#include "kernel.h"

#define K_TEXT2(x) #x
#define K_TEXT(x)  K_TEXT2(x)

extern const k_table K(table);
const k_table K(table) = {
    .name = K_TEXT(K_SET),
#define AG_KERNEL(type, name, args) .name = K(name),
#include "kernels.def"
};
