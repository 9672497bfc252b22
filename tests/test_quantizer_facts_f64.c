/* The same with real = double. */
#include "test_quantizer_facts.c"
