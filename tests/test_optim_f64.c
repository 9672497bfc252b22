/* The same in double. */
#include "test_optim.c"
