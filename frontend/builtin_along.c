/* Builtins on the order of elements along a dimension, and on their running sums: top_k, cumsum. */
#include "frontend/expr.h"

#include <string.h>

/* `axis` goes behind the others, or back from there. */
static TVal axis_last(Elab *cx, const TVal *x, int axis, bool back, Span at) {
    int rank = x->type.rank, perm[RANK];
    for (int i = 0; i < rank; i++) {
        int far = i < axis ? i : i == rank - 1 ? axis : i + 1;
        perm[back ? far : i] = back ? i : far;
    }
    return tensor_permute(cx, x, perm, at);
}

static TVal largest_places(Call *c, const TVal *x, int64_t k) {
    TVal at = tensor_add(c->cx, OP_argtop, &(Attr){.count = k}, x, 1, NULL, c->at);
    memcpy(at.name, x->name, sizeof at.name);
    at.name[x->type.rank - 1] = c->arg[1].dim;
    return at;
}

static TVal take_places(Call *c, const TVal *x, const TVal *at) {
    Attr along = {.axis = x->type.rank - 1};
    TVal t = tensor_add(c->cx, OP_take, &along, (TVal[]){*x, *at}, 2, NULL, c->at);
    memcpy(t.name, at->name, sizeof t.name);
    return t;
}

bool run_top_k(Call *c, Val *out) {
    TVal x;
    int axis;
    int64_t k;
    if (!call_tensor(c, 0, &x) || !tensor_takes(c->cx, &x, TAKES_numbers, c->b->name, c->at) ||
        !call_int(c, 1, &k) || !call_axis(c, &x, &axis))
        return false;
    if (k < 1 || k > x.type.dim[axis])
        return report_error(c->cx, c->arg_span[1], "top_k gives between 1 and %s, not %lld",
                            dim_text(c->cx, &x, axis), (long long)k);
    TVal rows = axis_last(c->cx, &x, axis, false, c->at), at = largest_places(c, &rows, k);
    if (!tensor_ok(&at)) return false;
    TVal top = take_places(c, &rows, &at);
    if (!tensor_ok(&top)) return false;
    top = axis_last(c->cx, &top, axis, true, c->at);
    at = axis_last(c->cx, &at, axis, true, c->at);
    Val *two = NEW_N(c->cx->arena, Val, 2);
    two[0] = val_of_tensor(&top);
    two[1] = val_of_tensor(&at);
    *out = val_of_list(VAL_tuple, two, 2);
    return true;
}

/* Of bool and u8 in i32, as sum. */
bool run_cumsum(Call *c, Val *out) {
    TVal x;
    Attr along = {0};
    if (!call_tensor(c, 0, &x) || !call_axis(c, &x, &along.axis)) return false;
    if (dtype_size(x.type.dtype) == 1) x = tensor_cast(c->cx, &x, DT_i32, c->at);
    TVal t = tensor_add(c->cx, OP_cumsum, &along, &x, 1, NULL, c->at);
    memcpy(t.name, x.name, sizeof t.name);
    return call_return(&t, out);
}
