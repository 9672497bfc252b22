/* The same in double precision. */
#include "test_sample.c"
