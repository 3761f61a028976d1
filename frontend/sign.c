/* Signatures: which argument goes to which parameter, and what the types of parameters and results
 * say. A bare name among the dimensions that is not yet bound to an integer binds one; everything
 * else must match. Inside a fn dimensions carry the names of its signature, outside those of its
 * caller (Val.outer). What `...` stands for is kept in the call's scope under that very name, which
 * no program can write. */
#include "frontend/decl.h"
#include "frontend/foreign.h"

#include <string.h>

static const char LEADING[] = "...";

/* ---- matching */
static int find_param(const ParamDecls *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->at[i].name, name)) return (int)i;
    return -1;
}

static bool report_param(Elab *cx, const char *callee, const ParamDecls *p, const CallArg *a) {
    report_error(cx, a->span, "'%s' has no argument '%s'", callee, a->name);
    const char **names = NEW_N(cx->arena, const char *, p->n + 1);
    for (size_t i = 0; i < p->n; i++) names[i] = p->at[i].name;
    if (!hint_foreign(cx, foreign_name(a->name))) suggest(cx, a->name, names, p->n);
    return false;
}

static bool report_many(Elab *cx, const char *callee, const ParamDecls *p, int narg, Span at) {
    diag_error(cx->diag, at, "'%s' takes %zu argument%s, not %d", callee, p->n,
               p->n == 1 ? "" : "s", narg);
    if (p->n && p->at[0].span.file)
        diag_note(cx->diag, span_join(p->at[0].span, p->at[p->n - 1].span),
                  "they are declared here");
    report_calls(cx);
    if (p->n == 1 && str_eq(p->at[0].name, "shape"))
        diag_hint(cx->diag, "a shape is a list: %s([m, n])", callee);
    return false;
}

bool args_match(Elab *cx, const char *callee, const ParamDecls *param, const CallArg *arg, int narg,
                Span at, const CallArg **slot) {
    int next = 0;
    for (int i = 0; i < narg; i++) {
        int k = arg[i].name ? find_param(param, arg[i].name) : next++;
        if (k < 0) return report_param(cx, callee, param, &arg[i]);
        if (k >= (int)param->n) return report_many(cx, callee, param, narg, arg[i].span);
        if (slot[k]) {
            diag_error(cx->diag, arg[i].span, "'%s' is given twice", param->at[k].name);
            diag_note(cx->diag, slot[k]->span, "it is given here first");
            return report_calls(cx);
        }
        slot[k] = &arg[i];
    }
    for (size_t k = 0; k < param->n; k++) {
        if (slot[k] || param->at[k].value) continue;
        diag_error(cx->diag, at, "'%s' needs '%s'", callee, param->at[k].name);
        if (param->at[k].span.file)
            diag_note(cx->diag, param->at[k].span, "'%s' is declared here", param->at[k].name);
        return report_calls(cx);
    }
    return true;
}

/* The argument's value, or the default's, computed where earlier arguments are in scope. */
static bool arg_value(Elab *cx, const ParamDecl *p, const CallArg *a, Scope *s, Val *v, Span *at) {
    *at = a ? a->span : p->span;
    if (a)
        *v = a->val;
    else if (!eval_expr(cx, s, p->value, v))
        return false;
    if (!v->span.file) v->span = *at;
    return v->kind != VAL_error;
}

bool args_bind(Elab *cx, const char *callee, const ParamDecls *param, const CallArg *arg, int narg,
               Span at, Scope *s) {
    const CallArg **slot = NEW_N(cx->arena, const CallArg *, param->n + 1);
    if (!args_match(cx, callee, param, arg, narg, at, slot)) return false;
    for (size_t k = 0; k < param->n; k++) {
        const ParamDecl *p = &param->at[k];
        Val v;
        Span where;
        if (!arg_value(cx, p, slot[k], s, &v, &where)) return false;
        if (v.kind == VAL_int) v.outer = v.dim ? v.dim : "", v.dim = p->name;
        scope_set(cx, s, p->name, &v);
    }
    return true;
}

/* ---- types of tensors */
typedef struct Check {         /* a tensor against the type that a signature gives it */
    const char *callee, *what; /* what: "'x'", "the result" */
    const TypeExpr *type;
    TVal *t;
    Scope *scope;
    Span at;
    bool result;
} Check;

static const char *type_text(Elab *cx, const TypeExpr *t) {
    const char *text = span_text(cx, t->span);
    return *text ? text : dtype_name(t->has_dtype ? t->dtype : DT_f32);
}

static const char *size_text(Elab *cx, const char *name, int64_t size) {
    if (name) return arena_printf(cx->arena, "%s = %lld", name, (long long)size);
    return arena_printf(cx->arena, "%lld", (long long)size);
}

static void diag_type(Elab *cx, const Check *k, const char *why) {
    if (k->result)
        diag_error(cx->diag, k->at, "'%s' gives %s, but says %s: %s", k->callee,
                   tval_describe(cx, k->t), type_text(cx, k->type), why);
    else
        diag_error(cx->diag, k->at, "cannot pass %s as %s of '%s': %s", tval_describe(cx, k->t),
                   k->what, k->callee, why);
    diag_note(cx->diag, k->type->span, "%s is declared %s here", k->what, type_text(cx, k->type));
}

static bool report_type(Elab *cx, const Check *k, const char *why) {
    diag_type(cx, k, why);
    return report_calls(cx);
}

static bool report_size(Elab *cx, const Check *k, int axis, const char *want_name,
                        const Val *want) {
    const char *have = size_text(cx, k->t->name[axis], k->t->type.dim[axis]);
    const char *need = size_text(cx, want_name, want->i);
    diag_type(cx, k, arena_printf(cx->arena, "%s does not match %s", have, need));
    if (want_name && want->span.file && want->span.file == k->at.file)
        diag_note(cx->diag, want->span, "%s comes from here", need);
    return report_calls(cx);
}

static Val dim_bound(const TVal *t, int axis, const char *name, Span at) {
    Val v = val_of_int(t->type.dim[axis]);
    v.dim = name;
    v.outer = t->name[axis];
    v.batch = t->type.batch_axis == axis;
    v.span = at;
    return v;
}

static bool is_ellipsis(const TypeExpr *t) {
    return t->dim.n && t->dim.at[0]->kind == EXPR_ellipsis;
}

static bool check_rank(Elab *cx, const Check *k, int *lead) {
    int fixed = (int)k->type->dim.n, rank = k->t->type.rank;
    bool open = is_ellipsis(k->type);
    *lead = open ? rank - (fixed - 1) : 0;
    if (open ? *lead >= 0 : rank == fixed) return true;
    int want = open ? fixed - 1 : fixed;
    report_type(cx, k,
                arena_printf(cx->arena, "it has %d dimension%s, %s%d %s wanted", rank,
                             rank == 1 ? "" : "s", open ? "at least " : "", want,
                             want == 1 ? "is" : "are"));
    if (!k->type->has_dims)
        diag_hint(cx->diag, "%s[...] takes any number of dimensions", type_text(cx, k->type));
    return false;
}

/* The dimensions that `...` stands for: bound the first time, compared after. */
static bool check_leading(Elab *cx, const Check *k, int lead) {
    Val *old = map_get(&k->scope->names, LEADING);
    if (!old) {
        Val v = {.kind = VAL_list,
                 .span = k->at,
                 .list = {.at = NEW_N(cx->arena, Val, lead + 1), .n = lead}};
        for (int i = 0; i < lead; i++) v.list.at[i] = dim_bound(k->t, i, k->t->name[i], k->at);
        scope_set(cx, k->scope, LEADING, &v);
        return true;
    }
    if (old->list.n != lead)
        return report_type(cx, k,
                           arena_printf(cx->arena,
                                        "`...` stands for %d dimension%s here and for %d elsewhere",
                                        lead, lead == 1 ? "" : "s", old->list.n));
    for (int i = 0; i < lead; i++)
        if (old->list.at[i].i != k->t->type.dim[i])
            return report_size(cx, k, i, old->list.at[i].dim, &old->list.at[i]);
    return true;
}

/* A dimension that is a bare name: bound here, or compared with what it is bound to. */
static bool check_name(Elab *cx, const Check *k, int axis, const Expr *e) {
    const Val *v = scope_find(k->scope, e->name);
    if (v && v->kind == VAL_error) return false;
    if (!v || v->kind != VAL_int) {
        Val bound = dim_bound(k->t, axis, e->name, k->at);
        scope_set(cx, k->scope, e->name, &bound);
        return true;
    }
    return v->i == k->t->type.dim[axis] || report_size(cx, k, axis, e->name, v);
}

static bool check_size(Elab *cx, const Check *k, int axis, const Expr *e) {
    Val v;
    int64_t i;
    if (!eval_expr(cx, k->scope, e, &v) || !val_int(cx, &v, "a dimension", e->span, &i))
        return false;
    Val want = val_of_int(i);
    const char *name = e->kind == EXPR_int ? NULL : v.dim ? v.dim : span_text(cx, e->span);
    return i == k->t->type.dim[axis] || report_size(cx, k, axis, name, &want);
}

/* First the names, for these may be bound by a later dimension than the one that computes with
 * them. */
static bool check_dims(Elab *cx, const Check *k, int lead, bool names) {
    size_t first = is_ellipsis(k->type) ? 1 : 0;
    for (size_t i = first; i < k->type->dim.n; i++) {
        const Expr *e = k->type->dim.at[i];
        int axis = lead + (int)(i - first);
        if ((e->kind == EXPR_name) != names) continue;
        if (!(names ? check_name(cx, k, axis, e) : check_size(cx, k, axis, e))) return false;
    }
    return true;
}

/* Dimension names as the signature's inside or its caller shall see them. */
static bool rename_dims(Elab *cx, const Check *k, int lead) {
    size_t first = is_ellipsis(k->type) ? 1 : 0;
    const Val *leading = map_get(&k->scope->names, LEADING);
    for (int i = 0; i < lead && k->result && leading; i++)
        if (leading->list.at[i].outer) k->t->name[i] = leading->list.at[i].outer;
    for (size_t i = first; i < k->type->dim.n; i++) {
        const Expr *e = k->type->dim.at[i];
        Val v;
        if (!eval_expr(cx, k->scope, e, &v)) return false;
        const char *name = v.dim;
        if (e->kind == EXPR_int)
            name = NULL;
        else if (!k->result && e->kind == EXPR_name)
            name = e->name;
        else if (k->result && v.outer)
            name = *v.outer ? v.outer : NULL;
        k->t->name[lead + (int)(i - first)] = name;
    }
    k->t->full = 0; /* a reduction's memory ends where a shape is declared */
    return true;
}

static bool check_dtype(Elab *cx, const Check *k) {
    DType want = k->type->has_dtype ? k->type->dtype : DT_f32;
    if (k->t->type.dtype == want) return true;
    report_type(cx, k,
                arena_printf(cx->arena, "%s is wanted, not %s", dtype_name(want),
                             dtype_name(k->t->type.dtype)));
    diag_hint(cx->diag, "cast(..., %s)", dtype_name(want));
    return false;
}

/* ---- parameters */
static bool arg_tensor(Elab *cx, const TypeExpr *type, const Val *v, Span at, TVal *t) {
    return val_tensor(cx, v, type->has_dtype ? type->dtype : DT_f32, at, t);
}

/* An untyped argument as it is; a param by its value now. */
static bool bind_plain(Elab *cx, const char *name, Val *v, Span at, Scope *s) {
    TVal t;
    if (v->kind == VAL_param && cx->current) {
        if (!tensor_current(cx, v->tensor, at, &t)) return false;
        *v = val_of_tensor(&t);
    }
    scope_set(cx, s, name, v);
    return true;
}

static bool bind_over(Elab *cx, const FnDecl *f, const char *callee, const Val *over,
                      const Val *first, Span at, Scope *s) {
    if (!f->over) {
        if (!over) return true;
        diag_error(cx->diag, at, "'%s' takes no `over`", callee);
        diag_note(cx->diag, f->span, "'%s' is declared here", callee);
        return report_calls(cx);
    }
    Val v = {.kind = VAL_axes, .span = at};
    if (over)
        v.list = over->list;
    else if (!f->over_all) {
        return report_error(cx, at, "'%s' needs to know the dimension: %s(x over T)", callee,
                            callee);
    } else {
        int rank = first && first->kind == VAL_tensor ? first->t.type.rank : 0;
        v.list.n = rank;
        v.list.at = NEW_N(cx->arena, Val, rank + 1);
        for (int i = 0; i < rank; i++) v.list.at[i] = val_of_int(i);
    }
    scope_set(cx, s, f->over, &v);
    return true;
}

static bool bind_typed(Elab *cx, const char *callee, const ParamDecl *p, const Val *v, Span at,
                       Scope *s, Check *k, int *lead) {
    TVal *t = NEW(cx->arena, TVal);
    *k = (Check){callee, arena_printf(cx->arena, "'%s'", p->name), p->type, t, s, at, false};
    if (!arg_tensor(cx, p->type, v, at, t) || !check_dtype(cx, k) || !check_rank(cx, k, lead))
        return false;
    if (is_ellipsis(p->type) && !check_leading(cx, k, *lead)) return false;
    Val bound = val_of_tensor(t); /* for later defaults; bound again once all names are known */
    scope_set(cx, s, p->name, &bound);
    return check_dims(cx, k, *lead, true);
}

bool signature_bind(Elab *cx, const FnDecl *f, const char *callee, const CallArg *arg, int narg,
                    const Val *over, Span at, Scope *s) {
    const CallArg **slot = NEW_N(cx->arena, const CallArg *, f->param.n + 1);
    Check *check = NEW_N(cx->arena, Check, f->param.n + 1);
    int *lead = NEW_N(cx->arena, int, f->param.n + 1);
    if (!args_match(cx, callee, &f->param, arg, narg, at, slot)) return false;
    for (size_t i = 0; i < f->param.n; i++) {
        const ParamDecl *p = &f->param.at[i];
        Val v;
        Span where;
        if (!arg_value(cx, p, slot[i], s, &v, &where)) return false;
        if (!p->type ? !bind_plain(cx, p->name, &v, where, s)
                     : !bind_typed(cx, callee, p, &v, where, s, &check[i], &lead[i]))
            return false;
    }
    for (size_t i = 0; i < f->param.n; i++) {
        Check *k = &check[i];
        if (!k->type) continue;
        if (!check_dims(cx, k, lead[i], false) || !rename_dims(cx, k, lead[i])) return false;
        Val v = val_of_tensor(k->t);
        v.span = f->param.at[i].span;
        scope_set(cx, s, f->param.at[i].name, &v);
    }
    const Val *first = f->param.n ? map_get(&s->names, f->param.at[0].name) : NULL;
    return bind_over(cx, f, callee, over, first, at, s);
}

/* ---- results */
static bool result_one(Elab *cx, const char *callee, const TypeExpr *type, Scope *s, Val *v,
                       Span at) {
    TVal t;
    int lead = 0;
    if (!arg_tensor(cx, type, v, at, &t)) return false;
    Check k = {callee, "the result", type, &t, s, at, true};
    if (!check_dtype(cx, &k) || !check_rank(cx, &k, &lead)) return false;
    if (is_ellipsis(type) && !check_leading(cx, &k, lead)) return false;
    if (!check_dims(cx, &k, lead, true) || !check_dims(cx, &k, lead, false) ||
        !rename_dims(cx, &k, lead))
        return false;
    Span span = v->span;
    *v = val_of_tensor(&t);
    v->span = span;
    return true;
}

/* Where a fn computes its result, for errors about it. */
static Span result_span(const FnDecl *f) {
    return f->value ? f->value->span : f->body.n ? f->body.at[f->body.n - 1]->span : f->span;
}

bool signature_result(Elab *cx, const FnDecl *f, const char *callee, Scope *s, Val *v) {
    if (!f->nresult || v->kind == VAL_error) return v->kind != VAL_error;
    Span where = result_span(f);
    if (f->nresult == 1) {
        if (v->kind != VAL_none) return result_one(cx, callee, f->result[0], s, v, where);
        return report_error(cx, f->span, "'%s' ends without a return, but says it gives %s", callee,
                            type_text(cx, f->result[0]));
    }
    int n = v->kind == VAL_tuple ? v->list.n : v->kind == VAL_none ? 0 : 1;
    if (n != f->nresult)
        return report_error(cx, where, "'%s' gives %d value%s, but says %d", callee, n,
                            n == 1 ? "" : "s", f->nresult);
    v->list.at = arena_memdup(cx->arena, v->list.at, sizeof(Val) * (size_t)n);
    for (int i = 0; i < n; i++)
        if (!result_one(cx, callee, f->result[i], s, &v->list.at[i], where)) return false;
    return true;
}
