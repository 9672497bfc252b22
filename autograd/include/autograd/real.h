/* The number type of the engine.
 *
 * `real` is float; the check build (libraries whose names end in _f64) compiles the same sources with
 * AG_DOUBLE defined, so that gradients can be compared with finite differences to nine digits. */
#ifndef AUTOGRAD_REAL_H
#define AUTOGRAD_REAL_H

#include <stdint.h>

#ifdef AG_DOUBLE
typedef double real;
#define AG_REAL_NAME "f64"
#else
typedef float real;
#define AG_REAL_NAME "f32"
#endif

#endif
