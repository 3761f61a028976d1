/* From files to a program: modules, imports, constants and their overrides. A file is read in
 * passes, so that order matters only where values do: imports, then fns, blocks and rules, then
 * everything else in order, then (of the main file) train and the other entries. */
#include "frontend/decl.h"

#include <stdlib.h>
#include <string.h>

/* ---- running a file's statements */
static int pass_of(const Stmt *s) {
    switch (s->kind) {
    case STMT_import: return 0;
    case STMT_fn:
    case STMT_block:
    case STMT_rule: return 1;
    case STMT_entry:
        /* an eval takes the batch of train, and reads features */
        return s->entry.word == WORD_train ? 3 : s->entry.word == WORD_features ? 4 : 5;
    default: return 2;
    }
}

/* Once imports have run, before what takes long, such as a vocabulary. */
static bool check_defines(Elab *cx, const Module *main) {
    Decls *d = cx->decls;
    size_t errors = diag_errors(cx->diag);
    for (size_t i = 0; i < main->file->stmt.n; i++) {
        const Stmt *s = main->file->stmt.at[i];
        if (s->kind != STMT_const) continue;
        vec_push(cx->arena, &d->consts, s->assign.target->name);
        for (size_t k = 0; k < d->ndefine; k++)
            d->defined[k] |= str_eq(d->define[k].name, s->assign.target->name);
    }
    for (size_t i = 0; i < d->ndefine; i++) {
        if (d->defined[i] || d->broken) continue;
        diag_error(cx->diag, (Span){0}, "-D %s=%s: there is no const '%s'", d->define[i].name,
                   d->define[i].value, d->define[i].name);
        if (nearest_name(d->define[i].name, d->consts.at, d->consts.n))
            suggest(cx, d->define[i].name, d->consts.at, d->consts.n);
        else if (d->consts.n)
            diag_hint(cx->diag, "its consts are: %s",
                      name_list(cx->arena, d->consts.at, d->consts.n, "and"));
    }
    return diag_errors(cx->diag) == errors;
}

static void module_run(Elab *cx, Module *m) {
    Exec x = {.where = IN_module, .scope = m->scope, .module = m};
    for (int pass = 0; pass < (m == cx->main ? 6 : 3); pass++) {
        if (pass == 1 && m == cx->main && !check_defines(cx, m)) return;
        for (size_t i = 0; i < m->file->stmt.n && !diag_full(cx->diag); i++) {
            const Stmt *s = m->file->stmt.at[i];
            if (pass_of(s) != pass || exec_stmt(cx, &x, s)) continue;
            if (!diag_errors(cx->diag))
                BUG("%s:%u: failed without an error", m->name, s->span.line);
            bind_errors(cx, m->scope, s);
        }
    }
}

static Module *module_new(Elab *cx, const char *key, const char *name, const char *prefix) {
    Module *m = NEW(cx->arena, Module);
    *m = (Module){.name = name, .prefix = prefix, .loading = true};
    Scope *imports = scope_new(cx, cx->core ? cx->core->scope : NULL, NULL);
    m->scope = scope_new(cx, imports, NULL);
    map_set(&cx->decls->modules, key, m);
    return m;
}

/* Known before the imports run, which must not take the main file's paths. */
static void note_own(Elab *cx, const Module *m) {
    for (size_t i = 0; i < m->file->stmt.n; i++) {
        const Stmt *s = m->file->stmt.at[i];
        if (s->kind == STMT_param || s->kind == STMT_state)
            map_set(&cx->decls->own, s->param.name, cx);
        for (int k = 0; s->kind == STMT_assign && k < s->assign.ntarget; k++)
            if (s->assign.target[k].name) map_set(&cx->decls->own, s->assign.target[k].name, cx);
    }
}

/* Parses and runs. What a broken file lacks cannot be known, so unknown names are silent from then
 * on. */
static void module_load(Elab *cx, Module *m, const char *path, const char *text, size_t n) {
    size_t errors = diag_errors(cx->diag);
    m->file = parse_upm(cx->arena, cx->diag, path, text, n);
    if (diag_errors(cx->diag) > errors) cx->decls->broken = true;
    if (m->file && m == cx->main) note_own(cx, m);
    if (m->file) module_run(cx, m);
    m->loading = false;
}

static Module *module_known(Elab *cx, const char *key, Span at, bool *cycle) {
    Module *m = map_get(&cx->decls->modules, key);
    *cycle = m && m->loading;
    if (*cycle) report_error(cx, at, "'%s' imports itself, directly or through others", m->name);
    return m;
}

/* ---- imports */
const char *const library_modules[LIBRARY_MODULES] = {"std.nn",    "std.optim", "std.corrupt",
                                                      "std.loss",  "std.init",  "std.metric",
                                                      "std.probe", "std.style"};

static void report_library(Elab *cx, const char *name, const char *path, Span at) {
    static const char *const later[] = {"vision", "augment", "speech"};
    const char *full = arena_printf(cx->arena, "std.%s", name);
    cx->decls->broken = true; /* its names will be missing */
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (str_eq(name, later[i])) {
            report_error(cx, at, "this version does not carry '%s'", full);
            return;
        }
    report_error(cx, at, "there is no library module '%s'", full);
    if (getenv("UPT_STD"))
        diag_hint(cx->diag, "UPT_STD says that it is '%s'", path);
    else
        suggest(cx, full, library_modules, LIBRARY_MODULES);
}

Module *module_library(Elab *cx, const char *name, Span at) {
    const char *key = arena_printf(cx->arena, "std.%s", name), *path = key;
    bool cycle;
    Module *m = module_known(cx, key, at, &cycle);
    if (m) return cycle ? NULL : m;
    size_t n = 0;
    const char *text =
        cx->host && cx->host->module ? cx->host->module(cx->host->cx, name, &n, &path) : NULL;
    if (!text) {
        report_library(cx, name, path, at);
        return NULL;
    }
    m = module_new(cx, key, key, "std.");
    m->library = true;
    module_load(cx, m, path, text, n);
    return m;
}

static const char *join_path(Arena *a, const char *from, const char *path) {
    const char *slash = strrchr(from, '/');
    if (path[0] == '/' || !slash) return path;
    return arena_printf(a, "%.*s/%s", (int)(slash - from), from, path);
}

/* One file has one module, however its path is written. */
static const char *path_key(Arena *a, const char *path) {
    char *real = realpath(path, NULL);
    const char *key = arena_printf(a, "file %s", real ? real : path);
    free(real);
    return key;
}

static bool module_file(Elab *cx, Module *from, const char *file, const char *alias, Span at,
                        Module **out) {
    const char *path = join_path(cx->arena, from->file->path, file);
    const char *key = path_key(cx->arena, path);
    bool cycle;
    *out = module_known(cx, key, at, &cycle);
    if (*out) return !cycle;
    char *text;
    size_t n;
    Err e = {0};
    if (!file_read(cx->arena, path, &text, &n, &e)) return report_error(cx, at, "%s", e.msg);
    *out = module_new(cx, key, path, arena_printf(cx->arena, "%s%s.", from->prefix, alias));
    module_load(cx, *out, path, text, n);
    return true;
}

/* A library module's names, and those of what it imports itself. */
static void import_names(Elab *cx, Module *to, const Module *m) {
    const Scope *scopes[] = {m->scope, m->scope->parent};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < scopes[k]->names.n; i++) {
            const MapEntry *e = &scopes[k]->names.at[i];
            scope_import(cx, to->scope->parent, e->key, e->value, m->name);
        }
}

static bool import_library(Elab *cx, Exec *x, const Stmt *s, Module **m) {
    const char *name = s->import.module;
    if (!str_starts(name, "std.")) {
        report_error(cx, s->span, "there is no library '%s'", name);
        diag_hint(cx->diag, "library modules are std.nn, std.optim, ...; a file is imported by its "
                            "path: import \"bert.upm\" as pre");
        return false;
    }
    *m = module_library(cx, name + 4, s->span);
    if (*m && !s->import.alias) import_names(cx, x->module, *m);
    return *m;
}

bool do_import(Elab *cx, Exec *x, const Stmt *s) {
    Module *m;
    if (s->import.module) {
        if (!import_library(cx, x, s, &m)) return false;
        if (!s->import.alias) return true;
    } else {
        if (!s->import.alias) {
            report_error(cx, s->span, "an imported file needs a name for what is in it");
            diag_hint(cx->diag, "import \"%s\" as model", s->import.file);
            return false;
        }
        if (!module_file(cx, x->module, s->import.file, s->import.alias, s->span, &m)) return false;
    }
    Val v = {.kind = VAL_module, .span = s->span, .module = m};
    return assign_value(cx, x, &(Target){.name = s->import.alias, .span = s->span}, 1, v, s->span);
}

/* ---- constants */
/* A const that holds a string takes the text as it is: quotes are the shell's. */
static bool define_value(Elab *cx, const Define *d, const Expr *declared, Val *out) {
    if (declared->kind == EXPR_string && d->value[0] != '"') {
        *out = val_of_str(d->value);
        return true;
    }
    const char *path = arena_printf(cx->arena, "-D %s", d->name);
    Expr *e = parse_expr(cx->arena, cx->diag, path, d->value, strlen(d->value));
    return e && eval_expr(cx, cx->core ? cx->core->scope : cx->main->scope, e, out) &&
           out->kind != VAL_error;
}

bool do_const(Elab *cx, Exec *x, const Stmt *s) {
    Decls *d = cx->decls;
    const Target *t = s->assign.target;
    const char *full = arena_printf(cx->arena, "%s%s", x->module->prefix, t->name);
    const Define *define = NULL;
    Val v;
    if (!x->module->library && x->module != cx->main) vec_push(cx->arena, &d->consts, full);
    for (size_t i = 0; i < d->ndefine; i++)
        if (str_eq(d->define[i].name, full)) define = &d->define[i], d->defined[i] = true;
    if (define ? !define_value(cx, define, s->assign.value, &v)
               : !eval_expr(cx, x->scope, s->assign.value, &v))
        return false;
    if (v.kind == VAL_tensor || v.kind == VAL_instance || v.kind == VAL_param)
        return report_error(cx, s->assign.value->span, "a const is a compile-time value, not %s",
                            val_describe(cx, &v));
    if (v.kind == VAL_int) v.dim = t->name;
    return assign_value(cx, x, t, s->assign.ntarget, v, s->assign.value->span);
}

/* ---- definitions */
static bool define_block(Elab *cx, Exec *x, const Stmt *s, ValKind kind) {
    Val v = {.kind = kind, .span = s->block.name_span, .block = {s, x->scope}};
    return assign_value(cx, x, &(Target){.name = s->block.name, .span = s->block.name_span}, 1, v,
                        s->span);
}

bool do_block(Elab *cx, Exec *x, const Stmt *s) {
    return define_block(cx, x, s, VAL_block);
}

bool do_rule(Elab *cx, Exec *x, const Stmt *s) {
    return define_block(cx, x, s, VAL_rule);
}

/* ---- all of it */
static Elab *elab_new(Arena *a, Diag *d, const FrontendHost *host, const Define *define,
                      size_t ndefine) {
    Elab *cx = NEW(a, Elab);
    *cx = (Elab){
        .arena = a, .diag = d, .host = host, .program = program_new(a, d), .decls = NEW(a, Decls)};
    cx->program->spec.run.precision = "f32";
    cx->decls->define = define;
    cx->decls->ndefine = ndefine;
    cx->decls->defined = NEW_N(a, bool, ndefine + 1);
    map_init(&cx->decls->modules, a);
    map_init(&cx->decls->paths, a);
    map_init(&cx->decls->own, a);
    map_init(&cx->decls->moved, a);
    map_init(&cx->decls->tensors, a);
    return cx;
}

Program *frontend_compile(Arena *a, Diag *d, const char *path, const char *text, size_t n,
                          const FrontendHost *host, const Define *define, size_t ndefine) {
    Elab *cx = elab_new(a, d, host, define, ndefine);
    size_t errors = diag_errors(d);
    Frame root = {.place = 0};
    map_init(&root.counts, a);
    cx->frame = &root;
    if (host && host->module) cx->core = module_library(cx, "core", (Span){0});
    cx->main = module_new(cx, path_key(a, path), path, "");
    module_load(cx, cx->main, path, text, n);
    if (diag_errors(d) == errors) program_finish(cx);
    check_names(cx);
    return diag_errors(d) == errors ? cx->program : NULL;
}
