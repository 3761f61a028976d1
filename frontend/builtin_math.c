/* Builtins that compute: pointwise functions, reductions, gradients. Of compile-time numbers they
 * give numbers. */
#include "frontend/expr.h"

#include <math.h>
#include <string.h>

/* ---- pointwise */

static bool unary(Call *c, enum Takes takes, Val *out) {
    const Val *v = &c->arg[0];
    TVal x;
    if (val_is_number(v)) return number_unary(c->cx, c->b->op, v, c->at, out);
    if (val_is_tree(v)) return tree_unary(c->cx, c->b->op, v, c->at, out);
    if (!call_tensor(c, 0, &x)) return false;
    if (takes == TAKES_floats ? !call_float(c, &x)
                              : !tensor_takes(c->cx, &x, takes, c->b->name, c->at))
        return false;
    return tensor_unary(c->cx, c->b->op, &x, c->at, &x) && call_return(&x, out);
}

bool run_float(Call *c, Val *out) {
    return unary(c, TAKES_floats, out);
}
bool run_number(Call *c, Val *out) {
    return unary(c, TAKES_numbers, out);
}

static bool round_number(Call *c, Val *out) {
    const Val *v = &c->arg[0];
    if (v->kind == VAL_int) {
        *out = *v;
        return true;
    }
    double f = c->b->op == OP_floor ? floor(v->f)
               : c->b->op == OP_neg ? ceil(v->f)
                                    : floor(v->f + 0.5);
    return number_integer(c->cx, f, c->b->name, c->at, out);
}

/* floor(x); round(x) = floor(x + 1/2); ceil(x) = -floor(-x). */
bool run_round(Call *c, Val *out) {
    TVal x;
    if (val_is_number(&c->arg[0])) return round_number(c, out);
    if (!call_tensor(c, 0, &x) || !call_float(c, &x)) return false;
    bool ceiling = c->b->op == OP_neg;
    if (c->b->op == OP_COUNT) {
        Val half = val_of_float(0.5), v = val_of_tensor(&x), sum;
        if (!apply_binary(c->cx, BIN_add, &v, &half, c->at, c->at, &sum)) return false;
        x = sum.t;
    }
    bool ok = (!ceiling || tensor_unary(c->cx, OP_neg, &x, c->at, &x)) &&
              tensor_unary(c->cx, OP_floor, &x, c->at, &x) &&
              (!ceiling || tensor_unary(c->cx, OP_neg, &x, c->at, &x));
    return ok && call_return(&x, out);
}

static bool extremum_numbers(const Call *c, Val *out) {
    const Val *a = &c->arg[0], *b = &c->arg[1];
    bool less = val_double(a) < val_double(b),
         smaller = c->b->op == OP_minimum || c->b->op == OP_min;
    *out = less == smaller ? *a : *b;
    return true;
}

bool run_extremum(Call *c, Val *out) {
    TVal t;
    const char *verb = c->b->op == OP_minimum ? "take the minimum of" : "take the maximum of";
    Phrase say = {verb, " and ", false};
    if (val_is_number(&c->arg[0]) && val_is_number(&c->arg[1])) return extremum_numbers(c, out);
    return tensor_pointwise(c->cx, c->b->op, c->arg, 2, TAKES_numbers, &say, c->at, &t) &&
           call_return(&t, out);
}

bool run_where(Call *c, Val *out) {
    TVal t;
    static const Phrase say = {"choose between", " and ", false};
    if (c->arg[0].kind == VAL_bool) {
        *out = c->arg[c->arg[0].b ? 1 : 2];
        return true;
    }
    return tensor_pointwise(c->cx, OP_where, c->arg, 3, TAKES_any, &say, c->at, &t) &&
           call_return(&t, out);
}

bool run_cast(Call *c, Val *out) {
    TVal x;
    DType to;
    if (c->arg[1].kind != VAL_str || !dtype_from_name(c->arg[1].s, &to)) {
        report_error(c->cx, c->arg_span[1], "cast takes a type, not %s",
                     val_describe(c->cx, &c->arg[1]));
        diag_hint(c->cx->diag, "f32, bf16, i32, i64, u8 or bool");
        return false;
    }
    if (!call_tensor(c, 0, &x)) return false;
    x = tensor_cast(c->cx, &x, to, c->at);
    return call_return(&x, out);
}

bool run_stop(Call *c, Val *out) {
    TVal x;
    if (val_is_tree(&c->arg[0])) return tree_unary(c->cx, OP_stop, &c->arg[0], c->at, out);
    if (val_is_number(&c->arg[0])) {
        *out = c->arg[0];
        return true;
    }
    return call_tensor(c, 0, &x) && tensor_unary(c->cx, OP_stop, &x, c->at, &x) &&
           call_return(&x, out);
}

/* ---- reductions */

static bool over_mask(Call *c, const TVal *x, uint32_t *mask) {
    Axes axes;
    *mask = (1u << x->type.rank) - 1;
    if (!c->over) return true;
    if (!over_resolve(c->cx, c->over, x, &axes)) return false;
    *mask = 0;
    for (int i = 0; i < axes.n; i++) *mask |= 1u << axes.at[i];
    return true;
}

static bool reduce(Call *c, const TVal *x, int keep_arg, Val *out) {
    uint32_t axes;
    bool keep;
    if (!over_mask(c, x, &axes) || !call_flag(c, keep_arg, false, &keep)) return false;
    TVal t = *x;
    if (c->b->op == OP_sum && axes == 0 && x->type.dtype == DT_bool)
        t = tensor_cast(c->cx, x, DT_i32, c->at);
    t = tensor_reduce(c->cx, c->b->op, &t, axes, keep, c->at);
    return call_return(&t, out);
}

static bool fold(Call *c, const Val *list, bool (*join)(Call *, const Val *, Val *), Val *acc) {
    if (c->over) return report_error(c->cx, c->over->span, "a list has no dimensions to go over");
    for (int i = 0; i < list->list.n; i++) {
        if (i == 0 && acc->kind == VAL_none)
            *acc = list->list.at[0];
        else if (!join(c, &list->list.at[i], acc))
            return false;
    }
    return true;
}

static bool join_sum(Call *c, const Val *v, Val *acc) {
    Val sum;
    if (!apply_binary(c->cx, BIN_add, acc, v, c->at, c->at, &sum)) return false;
    *acc = sum;
    return true;
}

static bool join_most(Call *c, const Val *v, Val *acc) {
    Call pair = {.cx = c->cx,
                 .scope = c->scope,
                 .b = builtin_find(c->b->op == OP_max ? "maximum" : "minimum"),
                 .arg = {*acc, *v},
                 .at = c->at};
    return run_extremum(&pair, acc);
}

static bool is_list(const Val *v) {
    return v->kind == VAL_list || v->kind == VAL_tuple;
}

bool run_sum(Call *c, Val *out) {
    TVal x;
    if (is_list(&c->arg[0])) {
        *out = val_of_int(0);
        return fold(c, &c->arg[0], join_sum, out);
    }
    return call_tensor(c, 0, &x) && reduce(c, &x, 1, out);
}

static bool most_of_two(Call *c, Val *out) {
    if (val_is_number(&c->arg[0]) && val_is_number(&c->arg[1])) return extremum_numbers(c, out);
    report_error(c->cx, c->at, "%s reduces one tensor, and here are two", c->b->name);
    diag_hint(c->cx->diag, "%simum(a, b) compares element by element", c->b->name);
    return false;
}

bool run_most(Call *c, Val *out) {
    TVal x;
    if (c->given[1]) return most_of_two(c, out);
    if (is_list(&c->arg[0])) {
        if (c->arg[0].list.n == 0)
            return report_error(c->cx, c->arg_span[0], "%s of an empty list", c->b->name);
        *out = (Val){.kind = VAL_none};
        return fold(c, &c->arg[0], join_most, out);
    }
    if (!call_tensor(c, 0, &x)) return false;
    if (x.type.dtype == DT_bool) {
        report_error(c->cx, c->at, "%s takes numbers, not %s", c->b->name,
                     tval_describe(c->cx, &x));
        diag_hint(c->cx->diag, "any(x over d) and all(x over d) are for bool");
        return false;
    }
    return reduce(c, &x, 2, out);
}

bool run_quantify(Call *c, Val *out) {
    TVal x;
    return call_tensor(c, 0, &x) && tensor_takes(c->cx, &x, TAKES_bools, c->b->name, c->at) &&
           reduce(c, &x, 1, out);
}

/* With no `over` the index is that of the flattened tensor. */
bool run_argmax(Call *c, Val *out) {
    TVal x;
    int axis = 0;
    bool keep;
    if (!call_tensor(c, 0, &x) || !tensor_takes(c->cx, &x, TAKES_numbers, c->b->name, c->at))
        return false;
    if (!call_flag(c, 1, false, &keep) || (c->over && !call_axis(c, &x, &axis))) return false;
    if (!c->over) {
        int64_t all = type_count(&x.type);
        x = tensor_reshape(c->cx, &x, 1, &all, c->at);
    }
    Attr attr = {.axis = axis};
    TVal t = tensor_add(c->cx, OP_argmax, &attr, &x, 1, NULL, c->at);
    int64_t dim[RANK];
    const char *name[RANK] = {0};
    int rank = 0;
    for (int i = 0; i < x.type.rank; i++) {
        if (i == axis && !keep) continue;
        name[rank] = i == axis ? NULL : x.name[i];
        dim[rank++] = i == axis ? 1 : x.type.dim[i];
    }
    if (tensor_ok(&t)) t = tensor_reshape(c->cx, &t, rank, dim, c->at);
    memcpy(t.name, name, sizeof name);
    t.full = keep ? 0 : x.type.rank;
    t.dropped = keep ? 0 : 1u << axis;
    return call_return(&t, out);
}

/* ---- gradients */

static bool grad_targets(Call *c, Tree *x) {
    const Val *v = &c->arg[1];
    if (val_is_tree(v)) return tree_of(c->cx, v, c->arg_span[1], x);
    int n = is_list(v) ? v->list.n : 1;
    for (int i = 0; i < n; i++) {
        const Val *one = is_list(v) ? &v->list.at[i] : v;
        TVal t;
        if (!val_is_tensor(one))
            return report_error(c->cx, c->arg_span[1],
                                "grad differentiates for tensors, not for %s",
                                val_describe(c->cx, one));
        if (!val_tensor(c->cx, one, DT_f32, c->arg_span[1], &t)) return false;
        vec_push(c->cx->arena, &x->leaf, (TreeLeaf){NULL, t});
    }
    return true;
}

static bool grad_check(Call *c, const TVal *y, const Tree *x) {
    if (y->type.rank != 0) {
        report_error(c->cx, c->arg_span[0], "grad needs a single number to differentiate, not %s",
                     tval_describe(c->cx, y));
        diag_hint(c->cx->diag, "sum(y) or mean(y)");
        return false;
    }
    if (!dtype_is_float(y->type.dtype))
        return report_error(c->cx, c->arg_span[0], "grad differentiates floats, not %s",
                            tval_describe(c->cx, y));
    for (size_t i = 0; i < x->leaf.n; i++)
        if (!dtype_is_float(x->leaf.at[i].t.type.dtype))
            return report_error(c->cx, c->arg_span[1], "grad is for floats, not for %s",
                                tval_describe(c->cx, &x->leaf.at[i].t));
    return x->leaf.n > 0 ||
           report_error(c->cx, c->arg_span[1], "grad needs something to differentiate for");
}

static bool grad_targets_current(Call *c, const TVal *y) {
    const Val *v = &c->arg[1];
    if (!is_list(v)) return grad_is_current(c->cx, v, y->ref, c->arg_span[0], c->arg_span[1]);
    for (int i = 0; i < v->list.n; i++)
        if (!grad_is_current(c->cx, &v->list.at[i], y->ref, c->arg_span[0], c->arg_span[1]))
            return false;
    return true;
}

static void grad_results(Call *c, const TVal *node, Tree *x) {
    for (size_t i = 0; i < x->leaf.n; i++) {
        TVal *t = &x->leaf.at[i].t;
        t->ref = (Ref){node->ref.node, node->ref.out + (uint32_t)i};
        t->type = *graph_type(c->cx->g, t->ref);
        t->full = 0;
    }
}

bool run_grad(Call *c, Val *out) {
    Tree *x = NEW(c->cx->arena, Tree);
    TVal y;
    if (!call_tensor(c, 0, &y) || !grad_targets(c, x) || !grad_check(c, &y, x)) return false;
    if (!grad_targets_current(c, &y)) return false;
    int n = (int)x->leaf.n;
    TVal *in = NEW_N(c->cx->arena, TVal, n + 1);
    in[0] = y;
    for (int i = 0; i < n; i++) in[i + 1] = x->leaf.at[i].t;
    TVal node = tensor_add(c->cx, OP_grad, NULL, in, n + 1, NULL, c->at);
    if (!tensor_ok(&node)) return false;
    Tree *result = NEW(c->cx->arena, Tree);
    for (int i = 0; i < n; i++) vec_push(c->cx->arena, &result->leaf, x->leaf.at[i]);
    grad_results(c, &node, result);
    if (val_is_tree(&c->arg[1])) {
        *out = (Val){.kind = VAL_tree, .tree = result};
    } else if (is_list(&c->arg[1])) {
        Val *at = NEW_N(c->cx->arena, Val, n + 1);
        for (int i = 0; i < n; i++) at[i] = val_of_tensor(&result->leaf.at[i].t);
        *out = val_of_list(VAL_tuple, at, n);
    } else {
        *out = val_of_tensor(&result->leaf.at[0].t);
    }
    return true;
}
