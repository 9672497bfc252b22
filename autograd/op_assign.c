/* assign        state = value, after all other nodes of the run
 * assign_where  state = mask ? value : state */
#include "engine.h"

#include <string.h>

static ag_err assign_shape(ag_tensor *y)
{
    const ag_tensor *state = y->in[0], *value = y->in[1];
    if (state->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "only a state can be assigned to");
    if (!ag__same_shape(state, value) || state->dtype != value->dtype)
        return ag_fail(AG_ERR_SHAPE, "state and value differ in shape or type");
    return ag__shape_set(y, 0, NULL);
}

static void assign_run(const ag_tensor *y) { memcpy(y->in[0]->data, y->in[1]->data, ag_bytes(y->in[0])); }

static double nothing(const ag_tensor *y)
{
    (void)y;
    return 0;
}

const ag__rule ag__assign = {.shape = assign_shape, .run = assign_run, .flops = nothing, .effect = true};

void ag_assign(ag_tensor *state, ag_tensor *value)
{
    /* another state's value is copied before any effect can change it */
    if (value && ag__is_leaf(value) && value->dtype == AG_REAL) value = ag_broadcast(value, value->rank, value->shape);
    ag__node(AG__OP_assign, 2, (ag_tensor *[]){state, value}, NULL, 0);
}

static ag_err assign_where_shape(ag_tensor *y)
{
    const ag_tensor *state = y->in[0];
    if (state->op != AG__OP_state) return ag_fail(AG_ERR_SHAPE, "only a state can be assigned to");
    const ag_err err = ag__shape_broadcast(y);
    if (err) return err;
    if (!ag__same_shape(y, state)) return ag_fail(AG_ERR_SHAPE, "mask or value is larger than the state");
    return ag__shape_set(y, 0, NULL);
}

static void assign_where_run(const ag_tensor *y)
{
    const ag_tensor *to = y->in[0];
    const k_strided state = ag__strided(to, to), mask = ag__strided(y->in[1], to), value = ag__strided(y->in[2], to);
    k.select(to->rank, to->shape, &mask, &value, &state, to->data);
}

const ag__rule ag__assign_where = {
    .shape = assign_where_shape, .run = assign_where_run, .flops = nothing, .effect = true};

void ag_assign_where(ag_tensor *state, ag_tensor *mask, ag_tensor *value)
{
    ag__node(AG__OP_assign_where, 3, (ag_tensor *[]){state, mask, value}, NULL, 0);
}
