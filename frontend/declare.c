/* Persistent tensors: `param`, `state` and what a rule keeps for each parameter. They are declared
 * while blocks' bodies run, read and changed in entries, and given their initial values at the end
 * (program.c). */
#include "frontend/decl.h"

#include <string.h>

/* The tensor that a clone's tensor starts as: the same path under the original. */
static int find_original(Elab *cx, const char *name) {
    const Instance *c = cx->decls->clone;
    if (!c) return -1;
    size_t n = strlen(c->path);
    if (strncmp(name, c->path, n) || name[n] != '.') return -1;
    const int *index =
        map_get(&cx->decls->tensors, arena_printf(cx->arena, "%s%s", c->like->path, name + n));
    return index ? *index : -1;
}

int tensor_declare(Elab *cx, const PTensor *t) {
    int index = (int)cx->tensor.n;
    vec_push(cx->arena, &cx->tensor, *t);
    cx->tensor.at[index].t.like = t->t.kind == TENSOR_cache ? -1 : find_original(cx, t->t.name);
    map_set(&cx->decls->tensors, t->t.name, arena_memdup(cx->arena, &index, sizeof index));
    return index;
}

/* ---- shape */
static bool declare_dim(Elab *cx, Scope *s, const Expr *e, PTensor *t, int axis) {
    Val v;
    int64_t i;
    if (!eval_expr(cx, s, e, &v) || !val_int(cx, &v, "a dimension", e->span, &i)) return false;
    if (i < 1)
        return report_error(cx, e->span, "a dimension is at least 1, not %lld", (long long)i);
    t->t.type.dim[axis] = i;
    t->dim_name[axis] = e->kind == EXPR_int ? NULL : v.dim;
    return true;
}

static bool declare_type(Elab *cx, Scope *s, const TypeExpr *type, Span at, PTensor *t) {
    if (type->dim.n > RANK)
        return report_error(cx, type->span, "a tensor has at most %d dimensions", RANK);
    t->t.type = type_scalar(type->has_dtype ? type->dtype : DT_f32);
    t->t.type.rank = (int8_t)type->dim.n;
    for (int i = 0; i < t->t.type.rank; i++) {
        const Expr *e = type->dim.at[i];
        if (e->kind == EXPR_ellipsis)
            return report_error(cx, e->span,
                                "`...` cannot stand here: every dimension must be known");
        if (!declare_dim(cx, s, e, t, i)) return false;
    }
    return dims_valid(t->t.type.rank, t->t.type.dim, &(Err){0}) ||
           report_error(cx, at, "'%s' would have more than 2^40 elements", t->t.name);
}

/* ---- initial value */
/* zeros(3, 4) for zeros */
static bool takes_shape(const Scope *s, const Expr *init) {
    if (init->kind != EXPR_call || init->call.fn->kind != EXPR_name) return false;
    const Val *fn = scope_find(s, init->call.fn->name);
    return fn && fn->kind == VAL_fn && fn->fn->decl->param.n &&
           str_eq(fn->fn->decl->param.at[0].name, "shape");
}

static bool declare_init(Elab *cx, Scope *s, const Expr *init, PTensor *t) {
    t->init = val_of_int(0);
    t->init_span = t->t.span;
    if (!init) return true;
    t->init_span = init->span;
    if (!eval_expr(cx, s, init, &t->init)) {
        if (takes_shape(s, init))
            diag_hint(cx->diag, "the shape is given to it: = %s", init->call.fn->name);
        return false;
    }
    ValKind k = t->init.kind;
    if (k == VAL_error) return false;
    if (k == VAL_fn || k == VAL_int || k == VAL_float || k == VAL_bool) return true;
    report_error(cx, init->span, "an initial value is a number or a fn of the shape, not %s",
                 val_describe(cx, &t->init));
    diag_hint(cx->diag, "zeros, ones, fill(0.5), normal(0.02), uniform(0.1), xavier, kaiming, ...");
    return false;
}

/* ---- statements */
static const char *tensor_path(Elab *cx, const Exec *x, const char *name) {
    return x->where == IN_rule ? arena_printf(cx->arena, "%s.%s", x->inst->path, name)
                               : path_of(cx, x, name);
}

static bool tensor_type(Elab *cx, const Exec *x, const Stmt *s, PTensor *t) {
    if (s->param.type) return declare_type(cx, x->scope, s->param.type, s->span, t);
    t->t.type = x->owner ? x->owner->type : type_scalar(DT_f32);
    t->t.type.batch_axis = NO_BATCH;
    if (x->owner) memcpy(t->dim_name, x->owner->name, sizeof t->dim_name);
    return true;
}

/* A cache is declared for one sample: in front of its dimensions stands the batch of `generate`,
 * which is not known yet. */
static bool cache_type(Elab *cx, PTensor *t) {
    Type *type = &t->t.type;
    if (type->rank == RANK)
        return report_error(cx, t->t.span, "a cache has at most %d dimensions", RANK - 1);
    memmove(type->dim + 1, type->dim, (size_t)type->rank * sizeof *type->dim);
    memmove(t->dim_name + 1, t->dim_name, (size_t)type->rank * sizeof *t->dim_name);
    type->dim[0] = 1;
    t->dim_name[0] = "B";
    type->rank++;
    return true;
}

static bool declare_tensor(Elab *cx, Exec *x, const Stmt *s, TensorKind kind) {
    PTensor t = {
        .t = {
            .name = tensor_path(cx, x, s->param.name), .kind = kind, .like = -1, .span = s->span}};
    t.scope = x->scope;
    if (!tensor_type(cx, x, s, &t) || !declare_init(cx, x->scope, s->param.init, &t)) return false;
    if (kind == TENSOR_cache && !cache_type(cx, &t)) return false;
    if (kind == TENSOR_param && !dtype_is_float(t.t.type.dtype)) {
        report_error(cx, s->span, "a param is trained by gradients, so it cannot be %s",
                     dtype_name(t.t.type.dtype));
        diag_hint(cx->diag, "state %s keeps a value that only `update` changes", s->param.name);
        return false;
    }
    if (!path_claim(cx, t.t.name, s->span)) return false;
    Val v = {.kind = VAL_param, .span = s->span, .tensor = tensor_declare(cx, &t)};
    bool part = kind != TENSOR_cache; /* a cache is no value of the instance */
    if (x->inst && part) vec_push(cx->arena, &x->inst->tensor, v.tensor);
    return assign_value(cx, x, &(Target){.name = s->param.name, .span = s->param.name_span}, 1, v,
                        s->span);
}

bool do_param(Elab *cx, Exec *x, const Stmt *s) {
    return declare_tensor(cx, x, s, TENSOR_param);
}

bool do_state(Elab *cx, Exec *x, const Stmt *s) {
    return declare_tensor(cx, x, s, x->where == IN_rule ? TENSOR_optim : TENSOR_state);
}

bool do_cache(Elab *cx, Exec *x, const Stmt *s) {
    if (s->param.init)
        return report_error(cx, s->param.init->span,
                            "a cache is zero when a generation starts, it has no initial value");
    return declare_tensor(cx, x, s, TENSOR_cache);
}

/* ---- values in an entry */
static void grow_current(Elab *cx) {
    Decls *d = cx->decls;
    if (d->nbound >= cx->tensor.n) return;
    size_t n = cx->tensor.n * 2;
    Ref *current = NEW_N(cx->arena, Ref, n);
    for (size_t i = 0; i < n; i++) current[i] = i < d->nbound ? cx->current[i] : REF_NONE;
    cx->current = current;
    d->nbound = n;
}

bool tensor_current(Elab *cx, int tensor, Span at, TVal *out) {
    const PTensor *p = &cx->tensor.at[tensor];
    if (!cx->current)
        return report_error(cx, at, "'%s' has a value only while an entry runs", p->t.name);
    if (p->t.kind == TENSOR_cache && !cx->in_generate) {
        report_error(cx, at, "'%s' is a cache: it has a value only in `generate`", p->t.name);
        diag_note(cx->diag, p->t.span, "it is declared here");
        return false;
    }
    if (p->t.kind == TENSOR_bank && !cx->in_eval) {
        report_error(cx, at, "'%s' is gathered for `eval`, and has no value elsewhere", p->t.name);
        diag_note(cx->diag, p->t.span, "it is returned here");
        return report_calls(cx);
    }
    grow_current(cx);
    *out = (TVal){.ref = cx->current[tensor], .type = p->t.type};
    memcpy(out->name, p->dim_name, sizeof out->name);
    if (!ref_is(out->ref)) {
        uint32_t region = cx->g->region; /* one read for all, whoever comes first */
        cx->g->region = 0;
        out->ref =
            graph_add(cx->g, OP_state, &(Attr){.tensor = tensor}, NULL, 0, &p->t.type, p->t.span);
        cx->g->region = region;
        cx->current[tensor] = out->ref;
    }
    out->type = *graph_type(cx->g, out->ref);
    return true;
}

void tensor_set(Elab *cx, int tensor, Ref value, Span at) {
    grow_current(cx);
    TVal old;
    if (!ref_is(cx->current[tensor])) tensor_current(cx, tensor, at, &old);
    vec_push(cx->arena, &cx->decls->version, (Version){tensor, cx->current[tensor], at});
    cx->current[tensor] = value;
}
