/* The same with real = double. */
#include "test_parity_ops.c"
