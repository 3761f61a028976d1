/* Makes the nodes of the syntax. Every expression knows its depth; one nested deeper than
 * EXPR_DEPTH is reported once and replaced by a leaf, so that what walks the syntax may recurse;
 * its statement is left out. */
#include "frontend/parser.h"

/* ---- expressions */
Expr *expr_new(Parser *p, ExprKind kind, Span at) {
    Expr *e = NEW(p->arena, Expr);
    e->kind = kind;
    e->depth = 1;
    e->span = at;
    return e;
}

static void too_deep(Parser *p, Expr *e) {
    if (!p->deep)
        diag_error(p->diag, e->span, "this expression is nested more than %d deep", EXPR_DEPTH);
    p->deep = p->drop = true;
    *e = (Expr){.kind = EXPR_none, .depth = 1, .span = e->span};
}

/* Counts `child` (which may be NULL) into the depth of e. */
static bool deepen(Parser *p, Expr *e, const Expr *child) {
    if (child && child->depth >= e->depth) e->depth = child->depth + 1;
    if (e->depth <= EXPR_DEPTH) return true;
    too_deep(p, e);
    return false;
}

static bool deepen_all(Parser *p, Expr *e, const Exprs *children) {
    for (size_t i = 0; i < children->n; i++)
        if (!deepen(p, e, children->at[i])) return false;
    return true;
}

Expr *expr_name(Parser *p, const char *name, Span at) {
    Expr *e = expr_new(p, EXPR_name, at);
    e->name = name;
    return e;
}

Expr *expr_field(Parser *p, Expr *of, const char *name, Span name_span) {
    Expr *e = expr_new(p, EXPR_field, span_join(of->span, name_span));
    e->field.of = of;
    e->field.name = name;
    e->field.name_span = name_span;
    deepen(p, e, of);
    return e;
}

Expr *expr_unary(Parser *p, UnaryOp op, Expr *of, Span at) {
    Expr *e = expr_new(p, EXPR_unary, span_join(at, of->span));
    e->unary.op = op;
    e->unary.of = of;
    deepen(p, e, of);
    return e;
}

Expr *expr_binary(Parser *p, BinaryOp op, Expr *left, Expr *right, Span op_span) {
    Expr *e = expr_new(p, EXPR_binary, span_join(left->span, right->span));
    e->binary.op = op;
    e->binary.left = left;
    e->binary.right = right;
    e->binary.op_span = op_span;
    if (deepen(p, e, left)) deepen(p, e, right);
    return e;
}

Expr *expr_call(Parser *p, Expr *fn, const CallArgs *args, Span at) {
    Expr *e = expr_new(p, EXPR_call, at);
    e->call.fn = fn;
    e->call.arg = args->arg;
    e->call.over = args->over;
    e->call.has_over = args->has_over;
    e->call.over_span = args->over_span;
    bool ok = deepen(p, e, fn) && deepen_all(p, e, &args->over);
    for (size_t i = 0; ok && i < args->arg.n; i++) ok = deepen(p, e, args->arg.at[i].value);
    return e;
}

Expr *expr_index(Parser *p, Expr *of, const Exprs *at, Span span) {
    Expr *e = expr_new(p, EXPR_index, span);
    e->index.of = of;
    e->index.at = *at;
    if (deepen(p, e, of)) deepen_all(p, e, at);
    return e;
}

Expr *expr_slice(Parser *p, Expr *lo, Expr *hi, Expr *step, Span at) {
    Expr *e = expr_new(p, EXPR_slice, at);
    e->slice.lo = lo;
    e->slice.hi = hi;
    e->slice.step = step;
    if (deepen(p, e, lo) && deepen(p, e, hi)) deepen(p, e, step);
    return e;
}

Expr *expr_arrow(Parser *p, Expr *from, Expr *to) {
    Expr *e = expr_new(p, EXPR_arrow, span_join(from->span, to->span));
    e->arrow.from = from;
    e->arrow.to = to;
    if (deepen(p, e, from)) deepen(p, e, to);
    return e;
}

Expr *expr_items(Parser *p, ExprKind kind, const Exprs *items, Span at) {
    Expr *e = expr_new(p, kind, at);
    if (!items) return e;
    e->items = *items;
    deepen_all(p, e, items);
    return e;
}

Expr *expr_fn(Parser *p, FnDecl *fn, Span at) {
    Expr *e = expr_new(p, EXPR_fn, at);
    e->fn = fn;
    return e;
}

/* ---- lists */
#define LIST_OR_NEW(p, list, T) ((list) ? (list) : NEW((p)->arena, T))

Exprs *exprs_add(Parser *p, Exprs *list, Expr *e) {
    list = LIST_OR_NEW(p, list, Exprs);
    vec_push(p->arena, list, e);
    return list;
}

Args *args_add(Parser *p, Args *list, Arg arg) {
    list = LIST_OR_NEW(p, list, Args);
    vec_push(p->arena, list, arg);
    return list;
}

Stmts *stmts_add(Parser *p, Stmts *list, Stmt *s) {
    list = LIST_OR_NEW(p, list, Stmts);
    bool whole = !p->nopen && p->unclosed;
    if (s && !p->drop && !whole) vec_push(p->arena, list, s);
    p->drop = false;
    if (whole) p->unclosed = false;
    return list;
}

Types *types_add(Parser *p, Types *list, TypeExpr *t) {
    list = LIST_OR_NEW(p, list, Types);
    vec_push(p->arena, &list->at, t);
    return list;
}

Parts *parts_add(Parser *p, Parts *list, Expr *part, Expr *scale) {
    list = LIST_OR_NEW(p, list, Parts);
    vec_push(p->arena, &list->part, (Arg){.value = part, .span = part->span});
    vec_push(p->arena, &list->scale, scale);
    return list;
}

CallArgs *call_args_add(Parser *p, CallArgs *list, const CallArg *arg) {
    list = LIST_OR_NEW(p, list, CallArgs);
    vec_push(p->arena, &list->arg, arg->arg);
    if (!arg->over) return list;
    if (list->has_over) {
        diag_error(p->diag, arg->over_span, "a call has one 'over'");
        diag_note(p->diag, list->over_span, "the first is here");
        diag_hint(p->diag, "several axes are a list: over [T, d]");
        return list;
    }
    list->has_over = true;
    list->over_span = arg->over_span;
    if (arg->over->kind == EXPR_list)
        list->over = arg->over->items;
    else
        vec_push(p->arena, &list->over, arg->over);
    return list;
}

FnParams *fn_params_add(Parser *p, FnParams *list, const ParamDecl *param) {
    list = LIST_OR_NEW(p, list, FnParams);
    for (size_t i = 0; i < list->param.n; i++) {
        if (!str_eq(list->param.at[i].name, param->name)) continue;
        diag_error(p->diag, param->span, "there are two parameters '%s'", param->name);
        diag_note(p->diag, list->param.at[i].span, "the first is here");
    }
    vec_push(p->arena, &list->param, *param);
    return list;
}

void fn_params_over(Parser *p, FnParams *list, const char *name, bool all, Span at) {
    if (list->over) {
        diag_error(p->diag, at, "a function has one 'over'");
        diag_note(p->diag, list->over_span, "the first is here");
    }
    list->over = name;
    list->over_all = all;
    list->over_span = at;
}

/* ---- types and functions */
static void check_dtype(Parser *p, const char *name, DType *t, Span at) {
    if (dtype_from_name(name, t)) return;
    const char *names[DT_COUNT];
    for (int i = 0; i < DT_COUNT; i++) names[i] = dtype_name((DType)i);
    diag_error(p->diag, at, "there is no type '%s'", name);
    const char *near = nearest_name(name, names, DT_COUNT);
    if (near)
        diag_hint(p->diag, "did you mean '%s'?", near);
    else
        diag_hint(p->diag, "f32, bf16, i32, i64, u8, bool; a name alone takes anything");
}

TypeExpr *type_new(Parser *p, const char *dtype, const Exprs *dims, Span at, Span name_span) {
    TypeExpr *t = NEW(p->arena, TypeExpr);
    t->span = at;
    t->has_dtype = dtype != NULL;
    if (dtype) check_dtype(p, dtype, &t->dtype, name_span);
    t->has_dims = dims != NULL;
    if (dims) t->dim = *dims;
    for (size_t i = 1; i < t->dim.n; i++)
        if (t->dim.at[i]->kind == EXPR_ellipsis)
            diag_error(p->diag, t->dim.at[i]->span, "'...' can only be the first dimension");
    return t;
}

FnDecl *fn_new(Parser *p, const char *name, const FnParams *params, const Types *results, Span at) {
    FnDecl *fn = NEW(p->arena, FnDecl);
    fn->name = name;
    fn->span = at;
    if (params) {
        fn->param = params->param;
        fn->over = params->over;
        fn->over_all = params->over_all;
        fn->over_span = params->over_span;
    }
    if (results) {
        fn->result = results->at.at;
        fn->nresult = (int)results->at.n;
    }
    return fn;
}

void clause_set(Parser *p, Expr **clause, Expr *value, const char *what, Span at) {
    if (*clause) {
        diag_error(p->diag, at, "'%s' is said twice", what);
        diag_note(p->diag, (*clause)->span, "the first is here");
    }
    *clause = value;
}
