/* The same in double, where sums over micro-batches agree to 1e-12. */
#include "test_plan.c"
