/* The same with real = double. */
#include "test_layers.c"
