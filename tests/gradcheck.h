/* Gradient checks: one file of cases per family of ops in tests/gradients/, all linked into test_gradients_f64.
 *
 *     GRADCHECK(silu) { return ag_silu(INPUT(2, 3, 5)); }
 *     GRADCHECK(relu, .linear = true) { return ag_relu(INPUT(3, 5)); }
 *
 * registers a case of the op `silu`: a result built from inputs. The harness (test_gradients_f64.c) checks the gradient of every
 * subset of the inputs, and second gradients too. Several cases of one op: GRADCHECK_NAMED(conv2d, dilated). */
#ifndef TESTS_GRADCHECK_H
#define TESTS_GRADCHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "autograd/ops.h"

enum { MAX_INPUTS = 6 };

typedef struct gc {
    ag_graph *g;
    ag_tensor *in[MAX_INPUTS];
    bool positive[MAX_INPUTS], constant[MAX_INPUTS];
    int n;
    ag_tensor *incoming[MAX_INPUTS + 1]; /* random numbers that results are multiplied with */
    int incomings;
} gc;

typedef ag_tensor *build_fn(gc *c);

typedef struct gc_case {
    const char *op;
    build_fn *build;
    bool linear;   /* the second gradient is zero or not defined: check the first only */
    bool first;    /* the op's gradient op is not differentiable again */
    bool identity; /* the value is not what is differentiated (straight-through): has a test of its own */
    struct gc_case *next;
} gc_case;

void gc_register(gc_case *c);
ag_tensor *gc_input_of(gc *c, int rank, const int64_t *shape, bool positive, bool constant);

#define SHAPE(...)                                                                                                     \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
/* Values in +-[0.2,1.2], away from the kinks of relu and abs; POSITIVE: in [0.2,1.2]; FIXED: no gradient is asked for. */
#define INPUT(...)    gc_input_of(c, SHAPE(__VA_ARGS__), false, false)
#define POSITIVE(...) gc_input_of(c, SHAPE(__VA_ARGS__), true, false)
#define FIXED(...)    gc_input_of(c, SHAPE(__VA_ARGS__), false, true)

#define GRADCHECK(name, ...) GRADCHECK_NAMED(name, only, __VA_ARGS__)
#define GRADCHECK_NAMED(name, which, ...)                                                                              \
    static ag_tensor *build_##name##_##which(gc *c);                                                                   \
    __attribute__((constructor)) static void register_##name##_##which(void)                                           \
    {                                                                                                                  \
        static gc_case one = {.op = #name, .build = build_##name##_##which, __VA_ARGS__};                              \
        gc_register(&one);                                                                                             \
    }                                                                                                                  \
    static ag_tensor *build_##name##_##which(gc *c)

#endif
