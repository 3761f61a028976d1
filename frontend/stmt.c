/* Statements: the table of what may stand where, assignment, `if`, `for` and `return`. In a module
 * or an entry an error leaves the statement's names bound to VAL_error and the next statement is
 * looked at; in a fn or a block it ends the body. */
#include "frontend/decl.h"

typedef struct StmtInfo {
    bool (*exec)(Elab *cx, Exec *x, const Stmt *s);
    const char *what;
    unsigned where;
} StmtInfo;
static const StmtInfo stmt_info[] = {
#define X(name, what, where) [STMT_##name] = {do_##name, what, where},
    STMT_TABLE(X)
#undef X
};

static const char *where_name(Where w) {
    switch (w) {
    case IN_module: return "at top level";
    case IN_block: return "in a block";
    case IN_rule: return "in a rule";
    case IN_fn: return "in a fn";
    case IN_entry: return "in an entry";
    }
    return "here";
}

bool exec_stmt(Elab *cx, Exec *x, const Stmt *s) {
    const StmtInfo *info = &stmt_info[s->kind];
    if (info->where & (unsigned)x->where) return info->exec(cx, x, s);
    report_error(cx, s->span, "%s cannot stand %s", info->what, where_name(x->where));
    if (info->where == IN_module) diag_hint(cx->diag, "declare it at the top level of the file");
    if (s->kind == STMT_fn)
        diag_hint(cx->diag, "declare it at top level, or: name = fn (x) { return ... }");
    if (info->where == IN_entry)
        diag_hint(cx->diag, "it belongs to `train on ... { }` or `eval on ... { }`");
    return false;
}

bool exec_stmts(Elab *cx, Exec *x, const Stmts *list) {
    bool ok = true, go_on = x->where == IN_module || x->where == IN_entry;
    for (size_t i = 0; i < list->n && !x->returned; i++) {
        if (diag_full(cx->diag)) return false;
        if (exec_stmt(cx, x, list->at[i])) continue;
        ok = false;
        if (!go_on) return false;
        bind_errors(cx, x->scope, list->at[i]);
    }
    return ok;
}

static void bind_error(Elab *cx, Scope *s, const char *name) {
    Val v = {.kind = VAL_error};
    if (name) scope_set(cx, s, name, &v);
}

void bind_errors(Elab *cx, Scope *s, const Stmt *stmt) {
    switch (stmt->kind) {
    case STMT_const:
    case STMT_tokenizer:
    case STMT_data:
    case STMT_assign:
        for (int i = 0; i < stmt->assign.ntarget; i++) {
            bind_error(cx, s, stmt->assign.target[i].name);
            bind_error(cx, s, stmt->assign.target[i].index);
        }
        break;
    case STMT_param:
    case STMT_state:
    case STMT_cache: bind_error(cx, s, stmt->param.name); break;
    case STMT_fn: bind_error(cx, s, stmt->fn->name); break;
    case STMT_block:
    case STMT_rule: bind_error(cx, s, stmt->block.name); break;
    case STMT_import: bind_error(cx, s, stmt->import.alias); break;
    case STMT_entry: bind_error(cx, s, stmt->entry.name); break; /* features */
    case STMT_if:
        for (size_t i = 0; i < stmt->cond.then.n; i++) bind_errors(cx, s, stmt->cond.then.at[i]);
        for (size_t i = 0; i < stmt->cond.other.n; i++) bind_errors(cx, s, stmt->cond.other.at[i]);
        break;
    case STMT_for:
        bind_error(cx, s, stmt->loop.name);
        for (size_t i = 0; i < stmt->loop.body.n; i++) bind_errors(cx, s, stmt->loop.body.at[i]);
        break;
    default: break;
    }
}

/* ---- assignment */
/* A param bound to a name in an entry is its value there and then: later changes do not show. */
static bool settle(Elab *cx, Val *v, Span at) {
    TVal t;
    if (v->kind != VAL_param || !cx->current) return true;
    if (!tensor_current(cx, v->tensor, at, &t)) return false;
    *v = val_of_tensor(&t);
    return true;
}

/* At top level a name is declared once. */
static bool declare_once(Elab *cx, const Exec *x, const Target *t) {
    const Val *old = x->where == IN_module ? map_get(&x->scope->names, t->name) : NULL;
    if (!old || old->kind == VAL_error) return true;
    diag_error(cx->diag, t->span, "'%s' is declared twice", t->name);
    if (old->span.file) diag_note(cx->diag, old->span, "it is declared here first");
    return report_calls(cx);
}

static bool assign_one(Elab *cx, Exec *x, const Target *t, Val v, Span at) {
    if (!declare_once(cx, x, t)) return false;
    if ((x->where == IN_fn || x->where == IN_entry) && !settle(cx, &v, at)) return false;
    if (x->where == IN_module || !v.span.file) v.span = t->span;
    if (x->where == IN_entry && v.kind == VAL_tensor)
        vec_push(cx->arena, &cx->decls->binding, (Binding){t->name, t->span, v.t.ref});
    scope_set(cx, x->scope, t->name, &v);
    return true;
}

bool assign_value(Elab *cx, Exec *x, const Target *t, int n, Val v, Span at) {
    if (n == 1) return assign_one(cx, x, t, v, at);
    if (v.kind != VAL_tuple && v.kind != VAL_list)
        return report_error(cx, span_join(t[0].span, t[n - 1].span), "%d names for one value: %s",
                            n, val_describe(cx, &v));
    if (v.list.n != n)
        return report_error(cx, span_join(t[0].span, t[n - 1].span), "%d names for %d values", n,
                            v.list.n);
    for (int i = 0; i < n; i++)
        if (!assign_one(cx, x, &t[i], v.list.at[i], at)) return false;
    return true;
}

bool do_assign(Elab *cx, Exec *x, const Stmt *s) {
    const Target *t = s->assign.target;
    if (t->count) return exec_array(cx, x, t, s->assign.value);
    Val v;
    const char *path =
        x->where == IN_module || x->where == IN_block ? path_of(cx, x, t->name) : NULL;
    if (s->assign.ntarget != 1) path = NULL;
    if (!eval_named(cx, x, x->scope, path, s->assign.value, &v)) return false;
    return assign_value(cx, x, t, s->assign.ntarget, v, s->assign.value->span);
}

/* ---- control */
bool do_return(Elab *cx, Exec *x, const Stmt *s) {
    int n = (int)s->ret.value.n;
    if (x->where == IN_entry) return entry_return(cx, x, s);
    if (s->ret.as)
        return report_error(cx, s->ret.as->span, "`as` belongs to the return of `sample`");
    Val *v = NEW_N(cx->arena, Val, n + 1);
    for (int i = 0; i < n; i++) {
        const Expr *e = s->ret.value.at[i].value;
        if (s->ret.value.at[i].name)
            return report_error(cx, s->ret.value.at[i].span,
                                "only what `sample` and `predict` return has names");
        if (!eval_expr(cx, x->scope, e, &v[i]) || v[i].kind == VAL_error ||
            !settle(cx, &v[i], e->span))
            return false;
    }
    x->returned = true;
    if (n == 0)
        x->result = (Val){.kind = VAL_none, .span = s->span};
    else if (n == 1)
        x->result = v[0];
    else
        return list_make(cx, VAL_tuple, v, n, s->span, &x->result);
    return true;
}

bool do_if(Elab *cx, Exec *x, const Stmt *s) {
    Val c;
    const Expr *e = s->cond.cond;
    if (!eval_expr(cx, x->scope, e, &c) || c.kind == VAL_error) return false;
    if (c.kind != VAL_bool) {
        report_error(cx, e->span,
                     "`if` decides when the program is compiled and takes true or false, not %s",
                     val_describe(cx, &c));
        if (c.kind == VAL_tensor || c.kind == VAL_param)
            diag_hint(cx->diag, "where(condition, a, b) chooses at run time");
        return false;
    }
    return exec_stmts(cx, x, c.b ? &s->cond.then : &s->cond.other);
}

static bool loop_items(Elab *cx, const Val *v, Span at) {
    if (v->kind == VAL_list || v->kind == VAL_tuple || v->kind == VAL_array) return true;
    if (v->kind == VAL_error) return false;
    report_error(cx, at, "`for` walks a list, an array of blocks or range(n), not %s",
                 val_describe(cx, v));
    if (v->kind == VAL_int) diag_hint(cx->diag, "range(n) counts from 0 to n - 1");
    return false;
}

bool do_for(Elab *cx, Exec *x, const Stmt *s) {
    Val list;
    bool ok = true;
    if (!eval_expr(cx, x->scope, s->loop.in, &list) || !loop_items(cx, &list, s->loop.in->span))
        return false;
    for (int i = 0; i < list.list.n && !x->returned && ok; i++) {
        if (!spend(cx, 1, s->span)) return false;
        scope_set(cx, x->scope, s->loop.name, &list.list.at[i]);
        ok = exec_stmts(cx, x, &s->loop.body);
    }
    return ok;
}

/* What is no call changes nothing. */
bool do_expr(Elab *cx, Exec *x, const Stmt *s) {
    Val v;
    if (!eval_expr(cx, x->scope, s->expr, &v) || v.kind == VAL_error) return false;
    if (s->expr->kind == EXPR_call) return true;
    report_error(cx, s->span, "this value goes nowhere");
    diag_hint(cx->diag, x->where == IN_fn ? "return %s" : "name = %s", span_text(cx, s->span));
    return false;
}

bool do_fn(Elab *cx, Exec *x, const Stmt *s) {
    const FnDecl *f = s->fn;
    Closure *c = NEW(cx->arena, Closure);
    *c = (Closure){.decl = f, .scope = x->scope, .self = x->inst};
    Val v = {.kind = VAL_fn, .span = f->span, .fn = c};
    if (f->name) {
        Target t = {.name = f->name, .span = f->span};
        return assign_one(cx, x, &t, v, f->span);
    }
    if (!x->inst) return report_error(cx, f->span, "a fn at top level needs a name");
    if (x->inst->call) {
        diag_error(cx->diag, f->span, "'%s' has two unnamed fns", x->inst->def->block.name);
        diag_note(cx->diag, x->inst->call->decl->span, "the other one is here");
        return report_calls(cx);
    }
    x->inst->call = c;
    return true;
}
