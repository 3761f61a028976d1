/* eval_expr: the value of an expression in a scope. Both sides of an operator and all arguments of
 * a call are evaluated even when one is wrong, so that independent errors are reported together. */
#include "frontend/expr.h"
#include "frontend/foreign.h"

#include <string.h>

enum { NESTING_MAX = 2000, TEXT_MAX = 1 << 20, TEXT_STEP = 64 /* bytes of text a step */ };

/* ---- names */

static bool entry_number(Elab *cx, const char *name, Span at, Val *out) {
    bool progress = str_eq(name, "progress");
    if (!cx->g || (progress && !cx->in_train)) {
        const char *where = str_eq(name, "step") ? "train and eval" : "train";
        return report_error(cx, at, "'%s' has a value only inside %s", name, where);
    }
    Op op = str_eq(name, "steps") ? OP_steps : OP_step;
    TVal t = tensor_add(cx, op, NULL, NULL, 0, NULL, at);
    if (progress) {
        TVal both[2] = {t, tensor_add(cx, OP_steps, NULL, NULL, 0, NULL, at)};
        t = tensor_add(cx, OP_div, NULL, both, 2, NULL, at);
    }
    *out = val_of_tensor(&t);
    return tensor_ok(&t);
}

/* Names that the language itself gives; a program's own come first. */
static bool builtin_value(Elab *cx, const char *name, Span at, Val *out, bool *ok) {
    DType type;
    *ok = true;
    if (str_eq(name, "step") || str_eq(name, "steps") || str_eq(name, "progress"))
        *ok = entry_number(cx, name, at, out);
    else if (str_eq(name, "training"))
        *out = val_of_bool(cx->training);
    else if (dtype_from_name(name, &type))
        *out = val_of_str(dtype_name(type));
    else
        return false;
    return true;
}

static bool eval_name(Elab *cx, Scope *s, const Expr *e, Val *out) {
    bool ok;
    const Val *found = scope_find(s, e->name);
    if (!found && builtin_value(cx, e->name, e->span, out, &ok)) {
        out->span = e->span;
        return ok;
    }
    if (!name_value(cx, s, e->name, e->span, out)) return false;
    if (out->kind == VAL_int) out->dim = e->name;
    return out->kind != VAL_error;
}

static bool eval_field(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Val of;
    if (!eval_expr(cx, s, e->field.of, &of)) return false;
    if (val_is_tensor(&of)) {
        report_error(cx, e->field.name_span, "%s has no field '%s'", val_describe(cx, &of),
                     e->field.name);
        const Val *fn = scope_find(s, e->field.name);
        if (builtin_find(e->field.name) || (fn && fn->kind == VAL_fn))
            diag_hint(cx->diag, "%s is a function: %s(%s)", e->field.name, e->field.name,
                      e->field.of->kind == EXPR_name ? e->field.of->name : "x");
        else
            hint_foreign(cx, foreign_field(e->field.name));
        return false;
    }
    if (!val_field(cx, &of, e->field.name, e->field.name_span, out)) return false;
    if (out->kind == VAL_int && e->field.of->kind == EXPR_name)
        out->dim = arena_printf(cx->arena, "%s.%s", e->field.of->name, e->field.name);
    return out->kind != VAL_error;
}

/* ---- literals */

static bool eval_string(Elab *cx, Scope *s, const Expr *e, Val *out) {
    if (e->string.text) {
        *out = val_of_str(e->string.text);
        return true;
    }
    const char *text = "";
    for (size_t i = 0; i < e->string.part.n; i++) {
        const Expr *part = e->string.part.at[i];
        Val v;
        if (!eval_expr(cx, s, part, &v)) return false;
        const char *more = val_text(cx, &v);
        if (!more)
            return report_error(cx, part->span, "a string cannot hold %s", val_describe(cx, &v));
        size_t n = strlen(text) + strlen(more);
        if (n > TEXT_MAX)
            return report_error(cx, part->span, "a string has at most %d bytes", TEXT_MAX);
        if (!spend(cx, (int64_t)n / TEXT_STEP, part->span)) return false;
        text = arena_printf(cx->arena, "%s%s", text, more);
    }
    *out = val_of_str(text);
    return true;
}

static bool eval_items(Elab *cx, Scope *s, const Expr *e, Val *out) {
    size_t n = e->items.n;
    Val *at = NEW_N(cx->arena, Val, n + 1);
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        if (!eval_expr(cx, s, e->items.at[i], &at[i])) ok = false;
    ValKind kind = e->kind == EXPR_tuple ? VAL_tuple : VAL_list;
    return ok && list_make(cx, kind, at, (int)n, e->span, out);
}

static bool eval_fn(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Closure *c = NEW(cx->arena, Closure);
    *c = (Closure){.decl = e->fn, .scope = s, .self = s->self};
    *out = (Val){.kind = VAL_fn, .fn = c};
    return true;
}

/* ---- operators */

static bool eval_unary(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Val v;
    TVal t;
    if (!eval_expr(cx, s, e->unary.of, &v)) return false;
    bool negate = e->unary.op == UN_neg;
    if (negate && val_is_number(&v)) return number_negate(cx, &v, e->span, out);
    if (!negate && v.kind == VAL_bool) {
        *out = val_of_bool(!v.b);
        return true;
    }
    if (negate && val_is_tree(&v)) return tree_unary(cx, OP_neg, &v, e->span, out);
    const char *who = negate ? "cannot negate" : "cannot apply !";
    if (!val_is_tensor(&v))
        return report_error(cx, e->span, "%s to %s", negate ? "cannot apply -" : who,
                            val_describe(cx, &v));
    if (!val_tensor(cx, &v, DT_f32, e->span, &t)) return false;
    if (!tensor_takes(cx, &t, negate ? TAKES_numbers : TAKES_bools, who, e->span)) return false;
    return tensor_unary(cx, negate ? OP_neg : OP_not, &t, e->span, &t) && call_return(&t, out);
}

static bool eval_binary(Elab *cx, Scope *s, const Expr *e, Val *out) {
    BinaryOp op = e->binary.op;
    Val a, b;
    bool left = eval_expr(cx, s, e->binary.left, &a);
    if (left && op == BIN_pipe && a.kind == VAL_data)
        return data_pipe(cx, s, &a, e->binary.right, out);
    if (left && a.kind == VAL_bool && ((op == BIN_and && !a.b) || (op == BIN_pipe && a.b))) {
        *out = a; /* decided: the right side may be meaningless, as in i > 0 & sizes[i - 1] == n */
        return true;
    }
    bool right = eval_expr(cx, s, e->binary.right, &b);
    return left && right && apply_binary(cx, op, &a, &b, e->binary.op_span, e->span, out);
}

/* ---- over */

static bool axis_position(Elab *cx, int64_t i, const TVal *t, Span at, int *axis) {
    int rank = t->type.rank;
    if (i >= -rank && i < rank) {
        *axis = (int)(i < 0 ? i + rank : i);
        return true;
    }
    if (rank == 0) return report_error(cx, at, "%s has no dimensions", tval_describe(cx, t));
    return report_error(cx, at, "%s has no dimension %lld: they are numbered 0 to %d, or -%d to -1",
                        tval_describe(cx, t), (long long)i, rank - 1, rank);
}

static bool axes_push(Elab *cx, Axes *axes, int axis, const TVal *t, Span at) {
    for (int i = 0; i < axes->n; i++)
        if (axes->at[i] == axis)
            return report_error(cx, at, "dimension %d of %s is named twice", axis,
                                tval_describe(cx, t));
    CHECK(axes->n < RANK);
    axes->at[axes->n++] = axis;
    return true;
}

static bool axes_value(Elab *cx, const Val *v, const TVal *t, Span at, Axes *out) {
    if (v->kind == VAL_axes || v->kind == VAL_list || v->kind == VAL_tuple) {
        for (int i = 0; i < v->list.n; i++) {
            if (v->list.at[i].kind != VAL_int)
                return report_error(cx, at, "'over' takes dimensions, not %s",
                                    val_describe(cx, &v->list.at[i]));
            if (!axes_value(cx, &v->list.at[i], t, at, out)) return false;
        }
        return true;
    }
    int axis;
    if (v->kind != VAL_int)
        return report_error(cx, at, "'over' takes the name or the position of a dimension, not %s",
                            val_describe(cx, v));
    return axis_position(cx, v->i, t, at, &axis) && axes_push(cx, out, axis, t, at);
}

static bool no_dimension(Elab *cx, const char *name, const TVal *t, Span at) {
    const char *known[RANK];
    size_t n = 0;
    for (int i = 0; i < t->type.rank; i++)
        if (t->name[i]) known[n++] = t->name[i];
    report_error(cx, at, "%s has no dimension '%s'", tval_describe(cx, t), name);
    const char *near = nearest_name(name, known, n);
    if (near)
        diag_hint(cx->diag, "did you mean '%s'?", near);
    else if (n < (size_t)t->type.rank)
        diag_hint(cx->diag,
                  "dimensions without a name go by position: over %d, or over -1 for the last",
                  t->type.rank - 1);
    return false;
}

/* A bare name is a dimension of the tensor first, then a variable that holds axes or a position. A
 * size that has this very name (T from x[B, T]) is no position. */
static bool axes_name(Elab *cx, Scope *s, const Expr *e, const TVal *t, Axes *out) {
    int axis = -1, count = 0;
    for (int i = 0; i < t->type.rank; i++) {
        if (!t->name[i] || !str_eq(t->name[i], e->name)) continue;
        if (axis < 0) axis = i;
        count++;
    }
    if (count == 1) return axes_push(cx, out, axis, t, e->span);
    if (count > 1) {
        report_error(cx, e->span, "%s has %d dimensions named '%s'", tval_describe(cx, t), count,
                     e->name);
        diag_hint(cx->diag, "say which by its position: over %d", axis);
        return false;
    }
    const Val *v = s ? scope_find(s, e->name) : NULL;
    if (v && v->kind == VAL_error) return false;
    bool size = v && v->kind == VAL_int && v->dim && str_eq(v->dim, e->name);
    bool usable = v && (v->kind == VAL_int || v->kind == VAL_axes || v->kind == VAL_list ||
                        v->kind == VAL_tuple);
    if (!usable || size) return no_dimension(cx, e->name, t, e->span);
    return axes_value(cx, v, t, e->span, out);
}

bool over_resolve(Elab *cx, const Over *o, const TVal *t, Axes *out) {
    *out = (Axes){0};
    for (size_t i = 0; i < o->expr->n; i++) {
        const Expr *e = o->expr->at[i];
        Val v;
        if (e->kind == EXPR_list) {
            Over inner = {&e->items, o->scope, e->span};
            Axes more;
            if (!over_resolve(cx, &inner, t, &more)) return false;
            for (int k = 0; k < more.n; k++)
                if (!axes_push(cx, out, more.at[k], t, e->span)) return false;
        } else if (e->kind == EXPR_name) {
            if (!axes_name(cx, o->scope, e, t, out)) return false;
        } else if (!eval_expr(cx, o->scope, e, &v) || !axes_value(cx, &v, t, e->span, out)) {
            return false;
        }
    }
    return true;
}

/* For a fn that declares `over axes`: positions in its first argument. */
static bool over_value(Elab *cx, const Over *o, const CallArg *arg, int narg, Val *out) {
    Axes axes;
    TVal t;
    if (narg == 0 || !val_is_tensor(&arg[0].val)) {
        const char *got = narg ? val_describe(cx, &arg[0].val) : "nothing";
        return report_error(cx, o->span, "'over' needs a tensor as the first argument, not %s",
                            got);
    }
    if (!val_tensor(cx, &arg[0].val, DT_f32, arg[0].span, &t) || !over_resolve(cx, o, &t, &axes))
        return false;
    Val *at = NEW_N(cx->arena, Val, axes.n + 1);
    for (int i = 0; i < axes.n; i++) at[i] = val_of_int(axes.at[i]);
    *out = val_of_list(VAL_axes, at, axes.n);
    out->span = o->span;
    return true;
}

/* ---- calls */

static bool eval_args(Elab *cx, Scope *s, const Expr *e, bool read, CallArg *out) {
    bool ok = true;
    for (size_t i = 0; i < e->call.arg.n; i++) {
        const Arg *a = &e->call.arg.at[i];
        out[i] = (CallArg){.name = a->name, .span = a->value->span};
        if (!eval_expr(cx, s, a->value, &out[i].val)) {
            ok = false;
        } else if (read && out[i].val.kind ==
                               VAL_param) { /* a later update must not change what the call sees */
            TVal t;
            Span declared = out[i].val.span;
            if (val_tensor(cx, &out[i].val, DT_f32, a->value->span, &t))
                out[i].val = val_of_tensor(&t);
            else
                ok = false;
            out[i].val.span = declared;
        }
    }
    return ok;
}

/* x.dim(i) is the one method of tensors. */
static bool call_dim(Elab *cx, Scope *s, const Expr *e, const Val *of, Val *out) {
    Val i;
    TVal t;
    int64_t n;
    int axis;
    if (e->call.arg.n != 1 || e->call.arg.at[0].name || e->call.has_over)
        return report_error(cx, e->span, "dim takes one argument, the position of a dimension");
    Span at = e->call.arg.at[0].span;
    if (!eval_expr(cx, s, e->call.arg.at[0].value, &i) || !val_tensor(cx, of, DT_f32, e->span, &t))
        return false;
    if (!val_int(cx, &i, "the position of a dimension", at, &n) ||
        !axis_position(cx, n, &t, at, &axis))
        return false;
    *out = dim_value(&t, axis);
    return true;
}

static bool eval_callee(Elab *cx, Scope *s, const Expr *e, Val *fn, bool *is_dim) {
    const Expr *f = e->call.fn;
    *is_dim = false;
    if (f->kind != EXPR_field || !str_eq(f->field.name, "dim")) return eval_expr(cx, s, f, fn);
    if (!eval_expr(cx, s, f->field.of, fn)) return false;
    *is_dim = val_is_tensor(fn);
    if (*is_dim) return true;
    Val of = *fn;
    return val_field(cx, &of, f->field.name, f->field.name_span, fn);
}

static bool eval_call(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Val fn, axes;
    bool is_dim;
    int narg = (int)e->call.arg.n;
    CallArg *arg = NEW_N(cx->arena, CallArg, narg + 1);
    Over over = {&e->call.over, s, e->call.over_span};
    bool known = eval_callee(cx, s, e, &fn, &is_dim);
    if (known && is_dim) return call_dim(cx, s, e, &fn, out);
    bool builtin = known && fn.kind == VAL_builtin;
    if (builtin && str_eq(fn.builtin->name, "einsum")) return eval_einsum(cx, s, e, out);
    if (builtin && str_eq(fn.builtin->name, "rearrange")) return eval_rearrange(cx, s, e, out);
    bool read = known && cx->g && (fn.kind == VAL_fn || fn.kind == VAL_instance);
    if (!eval_args(cx, s, e, read, arg) || !known) return false;
    if (builtin)
        return builtin_apply(cx, s, fn.builtin, arg, narg, e->call.has_over ? &over : NULL, e->span,
                             out);
    if (e->call.has_over && !over_value(cx, &over, arg, narg, &axes)) return false;
    return call_value(cx, &fn, arg, narg, e->call.has_over ? &axes : NULL, e->span, out);
}

/* ---- all of them */

static bool eval_kind(Elab *cx, Scope *s, const Expr *e, Val *out) {
    switch (e->kind) {
    case EXPR_int: *out = val_of_int(e->i); return true;
    case EXPR_float: *out = val_of_float(e->f); return true;
    case EXPR_bool: *out = val_of_bool(e->b); return true;
    case EXPR_name: return eval_name(cx, s, e, out);
    case EXPR_field: return eval_field(cx, s, e, out);
    case EXPR_none: *out = (Val){.kind = VAL_none}; return true;
    case EXPR_string: return eval_string(cx, s, e, out);
    case EXPR_list:
    case EXPR_tuple: return eval_items(cx, s, e, out);
    case EXPR_fn: return eval_fn(cx, s, e, out);
    case EXPR_unary: return eval_unary(cx, s, e, out);
    case EXPR_binary: return eval_binary(cx, s, e, out);
    case EXPR_call: return eval_call(cx, s, e, out);
    case EXPR_index: return eval_index(cx, s, e, out);
    default: return report_error(cx, e->span, "patterns stand only in einsum and rearrange");
    }
}

bool spend(Elab *cx, int64_t steps, Span at) {
    enum { STEPS_MAX = 2000000 };
    bool told = cx->spent > STEPS_MAX;
    cx->spent += steps;
    if (cx->spent <= STEPS_MAX) return true;
    if (!told) report_error(cx, at, "compiling this takes more than %d steps", STEPS_MAX);
    return false;
}

bool eval_expr(Elab *cx, Scope *s, const Expr *e, Val *out) {
    *out = val_error();
    if (diag_full(cx->diag)) return false;
    if (cx->nesting >= NESTING_MAX)
        return report_error(cx, e->span, "expressions and calls are nested too deeply here");
    if (!spend(cx, 1, e->span)) return false;
    cx->nesting++;
    bool ok = eval_kind(cx, s, e, out);
    cx->nesting--;
    if (!ok) *out = val_error();
    /* names and fields keep the span of where they were declared */
    if (!ok || (e->kind != EXPR_name && e->kind != EXPR_field)) out->span = e->span;
    return ok;
}
