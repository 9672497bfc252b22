/* The same comparison in double precision. */
#include "test_critics.c"
