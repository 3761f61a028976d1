/* Instances of blocks: made at top level or in another block's body, named by the assignment that
 * makes them, and the owners of the tensors and parts that their bodies declare. A clone runs the
 * same body once more under its own path; its tensors start as the original's. */
#include "frontend/decl.h"

#include <string.h>

enum { MAX_ARRAY = 100000 };

/* ---- paths */
/* An imported file's names are paths as they stand, unless the main file has the name too: then
 * they go under the import's. */
static const char *module_path(Elab *cx, const Module *m, const char *name) {
    if (m == cx->main || !map_has(&cx->decls->own, name)) return name;
    const char *path = arena_printf(cx->arena, "%s%s", m->prefix, name);
    map_set(&cx->decls->moved, path, arena_strdup(cx->arena, name));
    return path;
}

const char *path_of(Elab *cx, const Exec *x, const char *name) {
    if (x->where == IN_module) return module_path(cx, x->module, name);
    return arena_printf(cx->arena, "%s.%s", x->inst->path, name);
}

bool path_claim(Elab *cx, const char *path, Span at) {
    const Span *old = map_get(&cx->decls->paths, path);
    if (!old) {
        map_set(&cx->decls->paths, path, arena_memdup(cx->arena, &at, sizeof at));
        return true;
    }
    diag_error(cx->diag, at, "'%s' exists already", path);
    diag_note(cx->diag, *old, "it is made here first");
    return report_calls(cx);
}

/* The path that the assignment at hand gives to the instance made by the call at `at`, or NULL. */
static const char *take_path(Elab *cx, Span at) {
    Decls *d = cx->decls;
    if (!d->path || d->naming.file != at.file || d->naming.line != at.line ||
        d->naming.col != at.col)
        return NULL;
    const char *path = d->path;
    d->path = NULL;
    return path;
}

bool eval_named(Elab *cx, Exec *x, Scope *s, const char *path, const Expr *value, Val *out) {
    Decls *d = cx->decls;
    Span naming = d->naming;
    const char *old = d->path;
    Instance *maker = d->maker;
    d->naming = value->span;
    d->path = value->kind == EXPR_call ? path : NULL;
    if (x->where == IN_module) d->maker = NULL;
    bool ok = eval_expr(cx, s, value, out) && out->kind != VAL_error;
    d->naming = naming;
    d->path = old;
    d->maker = maker;
    return ok;
}

/* ---- making */
static bool run_block(Elab *cx, Instance *i, Span at) {
    Decls *d = cx->decls;
    Instance *maker = d->maker;
    const char *name = i->def->block.name;
    Frame f;
    if (!enter_call(cx, name, at)) return false;
    frame_push(cx, &f, name, 0, at);
    d->maker = i;
    Exec x = {.where = IN_block, .scope = i->scope, .inst = i};
    bool ok = exec_stmts(cx, &x, &i->def->block.body);
    d->maker = maker;
    frame_pop(cx);
    cx->depth--;
    return ok;
}

static bool may_make(Elab *cx, const char *name, Span at, const char **path) {
    if (cx->g) {
        report_error(
            cx, at, "'%s' makes parameters, so it cannot be called while a step is computed", name);
        diag_hint(cx->diag, "make the instance at top level or in a block, and call that");
        return false;
    }
    *path = take_path(cx, at);
    if (*path) return path_claim(cx, *path, at);
    report_error(cx, at, "an instance of '%s' needs a name for its parameters", name);
    diag_hint(cx->diag, "name = %s(...)", name);
    return false;
}

static Instance *instance_make(Elab *cx, const char *path, const Stmt *def, Scope *outside) {
    Instance *i = NEW(cx->arena, Instance);
    i->path = path;
    i->def = def;
    i->scope = scope_new(cx, outside, i);
    if (cx->decls->maker) vec_push(cx->arena, &cx->decls->maker->part, i);
    return i;
}

bool instance_new(Elab *cx, const Val *block, const CallArg *arg, int narg, Span at, Val *out) {
    const Stmt *def = block->block.def;
    const char *name = def->block.name, *path;
    if (!may_make(cx, name, at, &path)) return false;
    Instance *i = instance_make(cx, path, def, block->block.scope);
    *out = (Val){.kind = VAL_instance, .span = at, .inst = i};
    return args_bind(cx, name, &def->block.param, arg, narg, at, i->scope) && run_block(cx, i, at);
}

bool instance_of_rule(Elab *cx, const Val *rule, const CallArg *arg, int narg, Span at, Val *out) {
    const Stmt *def = rule->block.def;
    Instance *i = NEW(cx->arena, Instance);
    i->def = def;
    i->scope = scope_new(cx, rule->block.scope, NULL);
    *out = (Val){.kind = VAL_applied, .span = at, .inst = i};
    return args_bind(cx, def->block.name, &def->block.param, arg, narg, at, i->scope);
}

/* ---- clones */
static bool clone_instance(Elab *cx, const Instance *of, const char *path, Span at, Val *out) {
    Decls *d = cx->decls;
    const Instance *outer = d->clone;
    Instance *i = instance_make(cx, path, of->def, of->scope->parent);
    i->like = of;
    for (size_t k = 0; k < of->def->block.param.n; k++) {
        const char *name = of->def->block.param.at[k].name;
        scope_set(cx, i->scope, name, map_get(&of->scope->names, name));
    }
    *out = (Val){.kind = VAL_instance, .span = at, .inst = i};
    d->clone = i;
    bool ok = run_block(cx, i, at);
    d->clone = outer;
    return ok;
}

bool value_clone(Elab *cx, const Val *of, Span at, Val *out) {
    const char *path;
    *out = val_error();
    if (of->kind == VAL_error) return false;
    if (of->kind != VAL_instance)
        return report_error(cx, at, "clone copies an instance of a block, not %s",
                            val_describe(cx, of));
    return may_make(cx, "clone", at, &path) && clone_instance(cx, of->inst, path, at, out);
}

/* ---- arrays: layer[n] = X(...), layer[i < n] = X(s[i]) */
bool exec_array(Elab *cx, Exec *x, const Target *t, const Expr *value) {
    Val count, v = {.kind = VAL_array, .span = t->span};
    int64_t n;
    if (x->where != IN_module && x->where != IN_block) {
        report_error(cx, t->span, "an array of instances is made at top level or in a block");
        diag_hint(cx->diag,
                  "a tensor never changes: %s = put(%s, i, v over 0) is one with row i set",
                  t->name, t->name);
        return false;
    }
    if (!eval_expr(cx, x->scope, t->count, &count) ||
        !val_int(cx, &count, "the length of an array", t->count->span, &n))
        return false;
    if (n < 0 || n > MAX_ARRAY)
        return report_error(cx, t->count->span, "an array has 0 to %d elements, not %lld",
                            MAX_ARRAY, (long long)n);
    v.list.at = NEW_N(cx->arena, Val, n + 1);
    const char *path = path_of(cx, x, t->name);
    for (; v.list.n < n; v.list.n++) {
        Scope *s = scope_new(cx, x->scope, x->inst);
        Val i = val_of_int(v.list.n);
        if (t->index) scope_set(cx, s, t->index, &i);
        const char *element = arena_printf(cx->arena, "%s.%d", path, v.list.n);
        if (!eval_named(cx, x, s, element, value, &v.list.at[v.list.n])) return false;
    }
    ValKind kind = n && v.list.at[0].kind != VAL_instance ? VAL_list : VAL_array;
    if (!list_make(cx, kind, v.list.at, (int)n, t->span, &v)) return false;
    v.span = t->span;
    return assign_value(cx, x, &(Target){.name = t->name, .span = t->span}, 1, v, value->span);
}

/* ---- parts of the model: what load, freeze, minimize and update name */
static void add_instance(Elab *cx, const Instance *i, Tensors *out) {
    for (size_t k = 0; k < i->tensor.n; k++) vec_push(cx->arena, out, i->tensor.at[k]);
    for (size_t k = 0; k < i->part.n; k++) add_instance(cx, i->part.at[k], out);
}

bool part_tensors(Elab *cx, const Val *part, Span at, Tensors *out) {
    switch (part->kind) {
    case VAL_error: return false;
    case VAL_instance: add_instance(cx, part->inst, out); return true;
    case VAL_param: vec_push(cx->arena, out, part->tensor); return true;
    case VAL_array:
    case VAL_list:
    case VAL_tuple:
        for (int i = 0; i < part->list.n; i++)
            if (!part_tensors(cx, &part->list.at[i], at, out)) return false;
        return true;
    default:
        return report_error(cx, at, "a part of the model is an instance or a param, not %s",
                            val_describe(cx, part));
    }
}

static void freeze_instance(Elab *cx, Instance *i) {
    i->frozen = true;
    for (size_t k = 0; k < i->part.n; k++) freeze_instance(cx, i->part.at[k]);
}

static void freeze_value(Elab *cx, const Val *v) {
    if (v->kind == VAL_instance) freeze_instance(cx, v->inst);
    if (v->kind != VAL_array && v->kind != VAL_list && v->kind != VAL_tuple) return;
    for (int i = 0; i < v->list.n; i++) freeze_value(cx, &v->list.at[i]);
}

bool do_freeze(Elab *cx, Exec *x, const Stmt *s) {
    for (size_t i = 0; i < s->freeze.part.n; i++) {
        const Expr *e = s->freeze.part.at[i];
        Val v;
        Tensors t = {0};
        if (!eval_expr(cx, x->scope, e, &v) || !part_tensors(cx, &v, e->span, &t)) return false;
        for (size_t k = 0; k < t.n; k++) cx->tensor.at[t.at[k]].frozen = true;
        freeze_value(cx, &v);
    }
    return true;
}

static void add_leaves(Elab *cx, const Instance *i, size_t prefix, Tree *out, Span at, bool *ok) {
    for (size_t k = 0; k < i->tensor.n && *ok; k++) {
        TreeLeaf leaf = {.path = cx->tensor.at[i->tensor.at[k]].t.name + prefix};
        *ok = tensor_current(cx, i->tensor.at[k], at, &leaf.t);
        vec_push(cx->arena, &out->leaf, leaf);
    }
    for (size_t k = 0; k < i->part.n && *ok; k++)
        add_leaves(cx, i->part.at[k], prefix, out, at, ok);
}

bool instance_leaves(Elab *cx, const Instance *inst, Tree *out) {
    bool ok = true;
    add_leaves(cx, inst, strlen(inst->path) + 1, out, inst->def->span, &ok);
    return ok;
}
