/* Names in what nobody calls: elaboration looks only at what runs, so afterwards every fn, block
 * and rule of every file is walked once, and a name that nothing around it binds is an error too.
 * It is resolved as the text stands: a name bound anywhere in a body counts in all of it, also by a
 * branch that is not taken. What depends on values is not asked: fields of instances, dimensions
 * after `over`, labels of patterns, fields of the data in entries. */
#include "frontend/decl.h"

typedef struct Names {
    Elab *cx;
    Map scopes; /* by module -> Scope* */
} Names;

static void see_expr(Names *n, Scope *s, const Expr *e);
static void see_body(Names *n, Scope *s, const Stmts *body);

static void bind(Names *n, Scope *s, const char *name) {
    Val v = val_error();
    if (name) scope_set(n->cx, s, name, &v);
}

/* What stands at the top level of a file: what its run has bound, then what it could have. */
static Scope *module_names(Names *n, const Module *m) {
    Scope *s = map_get(&n->scopes, m->name);
    if (s) return s;
    Scope *declared = scope_new(n->cx, m->scope->parent, NULL);
    for (size_t i = 0; i < m->file->stmt.n; i++) bind_errors(n->cx, declared, m->file->stmt.at[i]);
    s = NEW(n->cx->arena, Scope);
    *s = (Scope){.names = m->scope->names, .parent = declared};
    map_set(&n->scopes, m->name, s);
    return s;
}

/* ---- expressions */
static void see_name(Names *n, const Scope *s, const char *name, Span at) {
    size_t count = 0;
    const char *const *builtin = builtin_names(&count);
    if (scope_find(s, name) || name_elsewhere(name)) return;
    for (size_t i = 0; i < count; i++)
        if (str_eq(builtin[i], name)) return;
    report_unknown(n->cx, s, "name", name, at);
}

static void see_exprs(Names *n, Scope *s, const Exprs *list) {
    for (size_t i = 0; i < list->n; i++) see_expr(n, s, list->at[i]);
}

static void see_field(Names *n, Scope *s, const Expr *e) {
    const Expr *of = e->field.of;
    see_expr(n, s, of);
    const Val *v = of->kind == EXPR_name ? scope_find(s, of->name) : NULL;
    if (!v || v->kind != VAL_module) return;
    const Scope *in = module_names(n, v->module);
    if (!map_has(&in->names, e->field.name) && !map_has(&in->parent->names, e->field.name))
        report_field(n->cx, arena_printf(n->cx->arena, "'%s'", v->module->name), &in->names,
                     e->field.name, e->field.name_span);
}

/* An operand of einsum or rearrange: a tensor with labels after it. */
static void see_operand(Names *n, Scope *s, const Expr *e) {
    if (e->kind == EXPR_arrow) e = e->arrow.from;
    see_expr(n, s, e->kind == EXPR_index ? e->index.of : e);
}

static void see_call(Names *n, Scope *s, const Expr *e) {
    const Expr *fn = e->call.fn;
    bool pattern = fn->kind == EXPR_name && !scope_find(s, fn->name) &&
                   (str_eq(fn->name, "einsum") || str_eq(fn->name, "rearrange"));
    see_expr(n, s, fn);
    for (size_t i = 0; i < e->call.arg.n; i++) {
        const Arg *a = &e->call.arg.at[i];
        if (pattern && !a->name)
            see_operand(n, s, a->value);
        else
            see_expr(n, s, a->value);
    }
    for (size_t i = 0; i < e->call.over.n; i++) {
        const Expr *over = e->call.over.at[i];
        if (over->kind != EXPR_name && over->kind != EXPR_list) see_expr(n, s, over);
    }
}

static void see_type(Names *n, Scope *s, const TypeExpr *t) {
    if (t) see_exprs(n, s, &t->dim);
}

static void bind_dims(Names *n, Scope *s, const TypeExpr *t) {
    for (size_t i = 0; t && i < t->dim.n; i++)
        if (t->dim.at[i]->kind == EXPR_name) bind(n, s, t->dim.at[i]->name);
}

static void see_params(Names *n, Scope *s, const ParamDecls *param) {
    for (size_t i = 0; i < param->n; i++) {
        bind(n, s, param->at[i].name);
        bind_dims(n, s, param->at[i].type);
    }
    for (size_t i = 0; i < param->n; i++) {
        see_type(n, s, param->at[i].type);
        see_expr(n, s, param->at[i].value);
    }
}

static void see_fn(Names *n, Scope *outside, const FnDecl *f) {
    Scope *s = scope_new(n->cx, outside, NULL);
    bind(n, s, f->over);
    for (int i = 0; i < f->nresult; i++) bind_dims(n, s, f->result[i]);
    see_params(n, s, &f->param);
    for (int i = 0; i < f->nresult; i++) see_type(n, s, f->result[i]);
    see_expr(n, s, f->value);
    see_body(n, s, &f->body);
}

static void see_expr(Names *n, Scope *s, const Expr *e) {
    if (!e || diag_full(n->cx->diag)) return;
    switch (e->kind) {
    case EXPR_name: see_name(n, s, e->name, e->span); break;
    case EXPR_string: see_exprs(n, s, &e->string.part); break;
    case EXPR_field: see_field(n, s, e); break;
    case EXPR_call: see_call(n, s, e); break;
    case EXPR_index:
        see_expr(n, s, e->index.of);
        see_exprs(n, s, &e->index.at);
        break;
    case EXPR_slice:
        see_expr(n, s, e->slice.lo);
        see_expr(n, s, e->slice.hi);
        see_expr(n, s, e->slice.step);
        break;
    case EXPR_list:
    case EXPR_tuple: see_exprs(n, s, &e->items); break;
    case EXPR_unary: see_expr(n, s, e->unary.of); break;
    case EXPR_binary:
        see_expr(n, s, e->binary.left);
        see_expr(n, s, e->binary.right);
        break;
    case EXPR_fn: see_fn(n, s, e->fn); break;
    default: break;
    }
}

/* ---- statements */
static void see_block(Names *n, Scope *outside, const Stmt *block) {
    Scope *s = scope_new(n->cx, outside, NULL);
    see_params(n, s, &block->block.param);
    see_body(n, s, &block->block.body);
}

static void see_update(Names *n, Scope *s, const Stmt *u) {
    const Target *t = u->assign.target;
    if (t->path)
        see_expr(n, s, t->path);
    else
        see_name(n, s, t->name, t->span);
    see_expr(n, s, u->assign.value);
}

/* The names that the statement binds are known. Pipelines, entries and what stands only in these
 * have names of their own. */
static void see_stmt(Names *n, Scope *s, const Stmt *stmt) {
    switch (stmt->kind) {
    case STMT_fn: see_fn(n, s, stmt->fn); break;
    case STMT_block:
    case STMT_rule: see_block(n, s, stmt); break;
    case STMT_const:
    case STMT_assign:
        see_expr(n, s, stmt->assign.target[0].count);
        see_expr(n, s, stmt->assign.value);
        break;
    case STMT_param:
    case STMT_state:
    case STMT_cache:
        see_type(n, s, stmt->param.type);
        see_expr(n, s, stmt->param.init);
        break;
    case STMT_update: see_update(n, s, stmt); break;
    case STMT_return:
        for (size_t i = 0; i < stmt->ret.value.n; i++) see_expr(n, s, stmt->ret.value.at[i].value);
        break;
    case STMT_if:
        see_expr(n, s, stmt->cond.cond);
        for (size_t i = 0; i < stmt->cond.then.n; i++) see_stmt(n, s, stmt->cond.then.at[i]);
        for (size_t i = 0; i < stmt->cond.other.n; i++) see_stmt(n, s, stmt->cond.other.at[i]);
        break;
    case STMT_for:
        see_expr(n, s, stmt->loop.in);
        for (size_t i = 0; i < stmt->loop.body.n; i++) see_stmt(n, s, stmt->loop.body.at[i]);
        break;
    case STMT_expr: see_expr(n, s, stmt->expr); break;
    default: break;
    }
}

static void see_body(Names *n, Scope *s, const Stmts *body) {
    for (size_t i = 0; i < body->n; i++) bind_errors(n->cx, s, body->at[i]);
    for (size_t i = 0; i < body->n; i++) see_stmt(n, s, body->at[i]);
}

void check_names(Elab *cx) {
    Names n = {.cx = cx};
    const Map *modules = &cx->decls->modules;
    map_init(&n.scopes, cx->arena);
    for (size_t i = 0; i < modules->n; i++) {
        const Module *m = modules->at[i].value;
        Scope *s = module_names(&n, m);
        for (size_t k = 0; k < m->file->stmt.n; k++) see_stmt(&n, s, m->file->stmt.at[k]);
    }
}
