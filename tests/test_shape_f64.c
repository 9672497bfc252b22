/* The same in double. */
#include "test_shape.c"
