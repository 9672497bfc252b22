/* The kernels of the double twin, by the same tests: `real` is double here, and the tolerances follow. */
#include "test_kernels.c"
