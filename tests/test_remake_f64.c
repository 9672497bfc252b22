/* The same in double. */
#include "test_remake.c"
