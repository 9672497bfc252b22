/* The same with real = double. */
#include "test_codebook.c"
