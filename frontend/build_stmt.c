/* Makes the statements of the syntax, and the targets on the left of '='. */
#include "frontend/parser.h"

Stmt *stmt_new(Parser *p, StmtKind kind, Span at) {
    Stmt *s = NEW(p->arena, Stmt);
    s->kind = kind;
    s->span = at;
    return s;
}

/* ---- targets */
static bool bad_target(Parser *p, const Expr *e) {
    diag_error(p->diag, e->span,
               "this cannot be bound: the left of '=' takes a name, (a, b), or layer[n]");
    if (e->kind == EXPR_field)
        diag_hint(p->diag, "`update` changes what lasts: update bert.scale = ...");
    return false;
}

/* layer[n], layer[i < n] */
static bool array_target(Parser *p, const Expr *e, Target *t) {
    if (e->index.of->kind != EXPR_name || e->index.at.n != 1) return bad_target(p, e);
    Expr *count = e->index.at.at[0];
    t->name = e->index.of->name;
    t->count = count;
    if (count->kind != EXPR_binary || count->binary.op != BIN_lt) return true;
    if (count->binary.left->kind != EXPR_name) return bad_target(p, count);
    t->index = count->binary.left->name;
    t->count = count->binary.right;
    return true;
}

static bool one_target(Parser *p, const Expr *e, Target *t) {
    *t = (Target){.span = e->span};
    if (e->kind == EXPR_index) return array_target(p, e, t);
    if (e->kind != EXPR_name) return bad_target(p, e);
    t->name = e->name;
    return true;
}

Stmt *stmt_bind(Parser *p, StmtKind kind, Target *target, int n, Expr *value, Span at) {
    Stmt *s = stmt_new(p, kind, at);
    s->assign.target = target;
    s->assign.ntarget = n;
    s->assign.value = value;
    return s;
}

Stmt *stmt_bind_name(Parser *p, StmtKind kind, const char *name, Span name_span, Expr *value,
                     Span at) {
    Target *t = NEW(p->arena, Target);
    t->name = name;
    t->span = name_span;
    return stmt_bind(p, kind, t, 1, value, at);
}

Stmt *stmt_assign(Parser *p, StmtKind kind, Expr *left, Expr *value, Span at) {
    bool many = left->kind == EXPR_tuple;
    size_t n = many ? left->items.n : 1;
    Target *target = NEW_N(p->arena, Target, n);
    for (size_t i = 0; i < n; i++) {
        if (!one_target(p, many ? left->items.at[i] : left, &target[i])) return NULL;
        if (!many || !target[i].count) continue;
        bad_target(p, left->items.at[i]);
        return NULL;
    }
    return stmt_bind(p, kind, target, (int)n, value, at);
}

/* A name, or a path of fields and indices from one. */
Stmt *stmt_update(Parser *p, Expr *left, Expr *value, Span at) {
    const Expr *root = left;
    while (root->kind == EXPR_field || root->kind == EXPR_index)
        root = root->kind == EXPR_field ? root->field.of : root->index.of;
    if (root->kind != EXPR_name) {
        diag_error(p->diag, left->span,
                   "'update' takes the name of a param, a state or an instance");
        return NULL;
    }
    Target *t = NEW(p->arena, Target);
    *t = (Target){.name = root->name, .path = root == left ? NULL : left, .span = left->span};
    return stmt_bind(p, STMT_update, t, 1, value, at);
}

/* ---- declarations */
Stmt *stmt_fn(Parser *p, FnDecl *fn) {
    Stmt *s = stmt_new(p, STMT_fn, fn->span);
    s->fn = fn;
    return s;
}

Stmt *stmt_block(Parser *p, StmtKind kind, const char *name, Span name_span, const FnParams *params,
                 const Stmts *body, Span at) {
    Stmt *s = stmt_new(p, kind, at);
    s->block.name = name;
    s->block.name_span = name_span;
    s->block.body = *body;
    if (!params) return s;
    s->block.param = params->param;
    if (params->over) diag_error(p->diag, params->over_span, "only a function takes 'over'");
    return s;
}

Stmt *stmt_param(Parser *p, StmtKind kind, const char *name, Span name_span, TypeExpr *type,
                 Expr *init, Span at) {
    Stmt *s = stmt_new(p, kind, at);
    s->param.name = name;
    s->param.name_span = name_span;
    s->param.type = type;
    s->param.init = init;
    return s;
}

Stmt *stmt_entry(Parser *p, EntryWord word, const char *name, Expr *on, const Clauses *clauses,
                 Span at) {
    Stmt *s = stmt_new(p, STMT_entry, at);
    s->entry.word = word;
    s->entry.name = name;
    s->entry.on = on;
    if (!clauses) return s;
    s->entry.batch = clauses->batch;
    s->entry.steps = clauses->steps;
    s->entry.epochs = clauses->epochs;
    return s;
}

Stmt *stmt_rename(Parser *p, Stmt *load, Expr *from, Expr *to) {
    vec_push(p->arena, &load->load.from, from);
    vec_push(p->arena, &load->load.to, to);
    load->span = span_join(load->span, to->span);
    return load;
}

Stmt *stmt_import(Parser *p, const char *module, Expr *file, const char *alias, Span at) {
    Stmt *s = stmt_new(p, STMT_import, at);
    s->import.module = module;
    s->import.alias = alias;
    if (!file) return s;
    s->import.file = file->string.text;
    if (file->string.text) return s;
    diag_error(p->diag, file->span, "the file of an import is a plain string");
    return NULL;
}

Stmt *stmt_report(Parser *p, ReportKind kind, const Args *items, Expr *as, Span at) {
    Stmt *s = stmt_new(p, STMT_report, at);
    s->report.kind = kind;
    s->report.item = *items;
    s->report.as = as;
    return s;
}
