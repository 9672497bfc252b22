/* The same with real = double. */
#include "test_quantizers.c"
