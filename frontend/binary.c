/* Operators between two values: compile-time numbers, tensors, and all the tensors of an instance
 * at once. One table says for each operator of the language which IR operator it is, what it takes
 * and how a message puts it. */
#include "frontend/expr.h"

#include <string.h>

typedef struct BinaryRule {
    Op op;
    enum Takes takes;
    bool reversed; /* a > b is b < a */
    Phrase say;
} BinaryRule;

static const BinaryRule binary_rule[] = {
    [BIN_pipe] = {OP_or, TAKES_bools, false, {"combine", " and ", false}},
    [BIN_and] = {OP_and, TAKES_bools, false, {"combine", " and ", false}},
    [BIN_eq] = {OP_eq, TAKES_any, false, {"compare", " with ", false}},
    [BIN_ne] = {OP_ne, TAKES_any, false, {"compare", " with ", false}},
    [BIN_lt] = {OP_lt, TAKES_numbers, false, {"compare", " with ", false}},
    [BIN_le] = {OP_le, TAKES_numbers, false, {"compare", " with ", false}},
    [BIN_gt] = {OP_lt, TAKES_numbers, true, {"compare", " with ", true}},
    [BIN_ge] = {OP_le, TAKES_numbers, true, {"compare", " with ", true}},
    [BIN_add] = {OP_add, TAKES_numbers, false, {"add", " and ", false}},
    [BIN_sub] = {OP_sub, TAKES_numbers, false, {"subtract", " from ", true}},
    [BIN_mul] = {OP_mul, TAKES_numbers, false, {"multiply", " by ", false}},
    [BIN_div] = {OP_div, TAKES_floats, false, {"divide", " by ", false}},
    [BIN_floordiv] = {OP_div, TAKES_numbers, false, {"divide", " by ", false}},
    [BIN_mod] = {OP_mod, TAKES_numbers, false, {"take the remainder of", " by ", false}},
    [BIN_matmul] = {OP_dot, TAKES_floats, false, {"multiply", " by ", false}},
    [BIN_pow] = {OP_pow, TAKES_floats, false, {"raise", " to the power ", false}},
};

/* ---- powers: small whole exponents are products, so that they are exact, fast and have plain
 * gradients */

enum { POWER_MAX = 16 };

static bool power_by_products(Elab *cx, const TVal *x, int64_t n, Span at, TVal *out) {
    TVal result = {.ref = REF_NONE}, base = *x;
    const Phrase *say = &binary_rule[BIN_mul].say;
    while (n) {
        Val pair[2] = {val_of_tensor(&result), val_of_tensor(&base)};
        if (n & 1) {
            if (!tensor_ok(&result))
                result = base;
            else if (!tensor_pointwise(cx, OP_mul, pair, 2, TAKES_numbers, say, at, &result))
                return false;
        }
        n >>= 1;
        pair[0] = pair[1];
        if (n && !tensor_pointwise(cx, OP_mul, pair, 2, TAKES_numbers, say, at, &base))
            return false;
    }
    *out = result;
    return true;
}

static bool invert(Elab *cx, TVal *t, Span at) {
    Val pair[2] = {val_of_float(1), val_of_tensor(t)};
    return tensor_pointwise(cx, OP_div, pair, 2, TAKES_floats, &binary_rule[BIN_div].say, at, t);
}

/* True where the power needs no general `pow`; `done` says whether it worked. */
static bool special_power(Elab *cx, const TVal *x, double e, Span at, TVal *out, bool *done) {
    bool real = dtype_is_float(x->type.dtype);
    double size = e < 0 ? -e : e;
    if (real && size == 0.5) {
        *done = tensor_unary(cx, e < 0 ? OP_rsqrt : OP_sqrt, x, at, out);
        return true;
    }
    if (e == 0) {
        *out = tensor_const(cx, &x->type, 1, at);
        memcpy(out->name, x->name, sizeof out->name);
        *done = tensor_ok(out);
        return true;
    }
    if (size > POWER_MAX || size != (double)(int64_t)size || (e < 0 && !real)) return false;
    *done = power_by_products(cx, x, (int64_t)size, at, out) && (e > 0 || invert(cx, out, at));
    return true;
}

static bool tensor_power(Elab *cx, const Val *a, const Val *b, Span at, TVal *out) {
    Val pair[2] = {*a, *b};
    if (val_is_tensor(a) && val_is_number(b)) {
        TVal x;
        bool done;
        const char *who = "cannot raise to a power";
        if (!val_tensor(cx, a, DT_f32, at, &x) || !tensor_takes(cx, &x, TAKES_numbers, who, at))
            return false;
        if (special_power(cx, &x, val_double(b), at, out, &done)) return done;
    }
    return tensor_pointwise(cx, OP_pow, pair, 2, TAKES_floats, &binary_rule[BIN_pow].say, at, out);
}

/* ---- tensors */

static bool whole_quotient(Elab *cx, const Val *pair, Span at, TVal *out) {
    const Phrase *say = &binary_rule[BIN_floordiv].say;
    if (!tensor_pointwise(cx, OP_div, pair, 2, TAKES_numbers, say, at, out)) return false;
    return !dtype_is_float(out->type.dtype) || tensor_unary(cx, OP_floor, out, at, out);
}

/* `/` on integers has no single meaning between tensors; say which is wanted. */
static bool exact_quotient(Elab *cx, const Val *pair, Span at, TVal *out) {
    for (int i = 0; i < 2; i++) {
        if (!val_is_tensor(&pair[i])) continue;
        TVal t;
        if (!val_tensor(cx, &pair[i], DT_f32, at, &t)) return false;
        if (dtype_is_float(t.type.dtype) || t.type.dtype == DT_bool) continue;
        report_error(cx, at, "cannot divide %s by %s: / needs floats", val_describe(cx, &pair[0]),
                     val_describe(cx, &pair[1]));
        diag_hint(cx->diag, "// divides integers and rounds down; cast(x, f32) gives floats");
        return false;
    }
    return tensor_pointwise(cx, OP_div, pair, 2, TAKES_floats, &binary_rule[BIN_div].say, at, out);
}

static bool tensor_binary(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span op_span, Span at,
                          Val *out) {
    const BinaryRule *r = &binary_rule[op];
    Val pair[2] = {r->reversed ? *b : *a, r->reversed ? *a : *b};
    TVal t;
    bool ok;
    switch (op) {
    case BIN_matmul: return tensor_matmul(cx, a, b, op_span, at, out);
    case BIN_pow: ok = tensor_power(cx, a, b, at, &t); break;
    case BIN_floordiv: ok = whole_quotient(cx, pair, at, &t); break;
    case BIN_div: ok = exact_quotient(cx, pair, at, &t); break;
    default: ok = tensor_pointwise(cx, r->op, pair, 2, r->takes, &r->say, at, &t); break;
    }
    if (ok) *out = val_of_tensor(&t);
    return ok;
}

/* ---- all the tensors of an instance */

bool tree_of(Elab *cx, const Val *v, Span at, Tree *out) {
    if (v->kind == VAL_tree) {
        *out = *v->tree;
        return true;
    }
    if (!cx->g)
        return report_error(cx, at, "%s has values only while an entry runs", val_describe(cx, v));
    return instance_leaves(cx, v->inst, out);
}

const TVal *tree_find(const Tree *t, const char *path) {
    for (size_t i = 0; i < t->leaf.n; i++)
        if (str_eq(t->leaf.at[i].path, path)) return &t->leaf.at[i].t;
    return NULL;
}

static const char *tree_extra(const Tree *a, const Tree *b) {
    for (size_t i = 0; i < a->leaf.n; i++)
        if (!tree_find(b, a->leaf.at[i].path)) return a->leaf.at[i].path;
    return NULL;
}

static bool trees_match(Elab *cx, const Val *a, const Val *b, const Tree *ta, const Tree *tb,
                        Span at) {
    const char *left = tree_extra(ta, tb), *right = tree_extra(tb, ta);
    if (!left && !right) return true;
    return report_error(cx, at, "%s and %s do not have the same parts: '%s' is only in the %s",
                        val_describe(cx, a), val_describe(cx, b), left ? left : right,
                        left ? "first" : "second");
}

static bool tree_binary(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span op_span, Span at,
                        Val *out) {
    Tree ta = {0}, tb = {0}, *result = NEW(cx->arena, Tree);
    bool left = val_is_tree(a), right = val_is_tree(b);
    if ((left && !tree_of(cx, a, at, &ta)) || (right && !tree_of(cx, b, at, &tb))) return false;
    if (left && right && !trees_match(cx, a, b, &ta, &tb, at)) return false;
    const Tree *paths = left ? &ta : &tb;
    for (size_t i = 0; i < paths->leaf.n; i++) {
        const char *path = paths->leaf.at[i].path;
        Val x = left ? val_of_tensor(tree_find(&ta, path)) : *a;
        Val y = right ? val_of_tensor(tree_find(&tb, path)) : *b, z;
        if (!apply_binary(cx, op, &x, &y, op_span, at, &z)) {
            diag_note(cx->diag, at, "this is '%s' of %s", path, val_describe(cx, left ? a : b));
            return false;
        }
        CHECK(z.kind == VAL_tensor);
        vec_push(cx->arena, &result->leaf, (TreeLeaf){path, z.t});
    }
    *out = (Val){.kind = VAL_tree, .tree = result};
    return true;
}

bool tree_unary(Elab *cx, Op op, const Val *a, Span at, Val *out) {
    Tree t = {0}, *result = NEW(cx->arena, Tree);
    if (!tree_of(cx, a, at, &t)) return false;
    for (size_t i = 0; i < t.leaf.n; i++) {
        TVal y;
        if (!tensor_unary(cx, op, &t.leaf.at[i].t, at, &y)) return false;
        vec_push(cx->arena, &result->leaf, (TreeLeaf){t.leaf.at[i].path, y});
    }
    *out = (Val){.kind = VAL_tree, .tree = result};
    return true;
}

/* ---- any two values */

static bool lists_join(Elab *cx, const Val *a, const Val *b, Span span, Val *out) {
    int n = a->list.n + b->list.n; /* of at most LIST_MAX each */
    Val *at = NEW_N(cx->arena, Val, n + 1);
    if (a->list.n) memcpy(at, a->list.at, (size_t)a->list.n * sizeof *at);
    if (b->list.n) memcpy(at + a->list.n, b->list.at, (size_t)b->list.n * sizeof *at);
    return list_make(cx, VAL_list, at, n, span, out);
}

static bool mismatch(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span at) {
    const Phrase *say = &binary_rule[op].say;
    const char *x = val_describe(cx, a), *y = val_describe(cx, b);
    if (op == BIN_matmul && (val_is_number(a) || val_is_number(b))) {
        report_error(cx, at, "@ multiplies matrices, and cannot take %s and %s", x, y);
        diag_hint(cx->diag, "* multiplies by a number");
        return false;
    }
    bool swap = say->swap && !binary_rule[op].reversed;
    report_error(cx, at, "cannot %s %s%s%s", say->verb, swap ? y : x, say->joiner, swap ? x : y);
    if (a->kind == VAL_str || b->kind == VAL_str)
        diag_hint(cx->diag, "a string holds values: \"${name} and ${other}\"");
    if (a->kind == VAL_none || b->kind == VAL_none)
        diag_hint(cx->diag, "a fn gives something only by `return`");
    return false;
}

static bool compile_time(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span at, Val *out) {
    if (val_is_number(a) && val_is_number(b)) return number_binary(cx, op, a, b, at, out);
    if (op == BIN_eq || op == BIN_ne) {
        if (a->kind == VAL_list && !spend(cx, a->list.all, at)) return false;
        *out = val_of_bool(val_same(a, b) == (op == BIN_eq));
        return true;
    }
    if (a->kind == VAL_bool && b->kind == VAL_bool && (op == BIN_and || op == BIN_pipe)) {
        *out = val_of_bool(op == BIN_and ? a->b && b->b : a->b || b->b);
        return true;
    }
    if (op == BIN_add && a->kind == VAL_list && b->kind == VAL_list)
        return lists_join(cx, a, b, at, out);
    return mismatch(cx, op, a, b, at);
}

static bool joins_tensor(const Val *v) {
    return val_is_tensor(v) || val_is_number(v) || v->kind == VAL_bool;
}
static bool joins_tree(const Val *v) {
    return val_is_tree(v) || joins_tensor(v);
}

bool apply_binary(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span op_span, Span whole,
                  Val *out) {
    *out = val_error();
    if (a->kind == VAL_error || b->kind == VAL_error) return false;
    bool tensor = (val_is_tensor(a) || val_is_tensor(b)) && joins_tensor(a) && joins_tensor(b);
    bool tree = (val_is_tree(a) || val_is_tree(b)) && joins_tree(a) && joins_tree(b);
    bool same = (op == BIN_eq || op == BIN_ne) && tree;
    bool numbers = val_is_number(a) || val_is_number(b);
    if (op == BIN_matmul && (numbers || tree)) return mismatch(cx, op, a, b, whole);
    bool ok = tensor          ? tensor_binary(cx, op, a, b, op_span, whole, out)
              : tree && !same ? tree_binary(cx, op, a, b, op_span, whole, out)
                              : compile_time(cx, op, a, b, whole, out);
    if (ok) out->span = whole;
    return ok;
}
