/* `load` and `run`: what a program says about where its values come from and how it is run. */
#include "frontend/decl.h"

#include <string.h>

/* ---- load */
static bool load_paths(Elab *cx, const Val *v, Span at, LoadSpec *l) {
    switch (v->kind) {
    case VAL_array:
    case VAL_list:
    case VAL_tuple:
        for (int i = 0; i < v->list.n; i++)
            if (!load_paths(cx, &v->list.at[i], at, l)) return false;
        return true;
    case VAL_instance:
    case VAL_param: {
        const char **part = NEW_N(cx->arena, const char *, l->npart + 1);
        for (int i = 0; i < l->npart; i++) part[i] = l->part[i];
        part[l->npart++] =
            v->kind == VAL_instance ? v->inst->path : cx->tensor.at[v->tensor].t.name;
        l->part = part;
        return true;
    }
    default:
        return report_error(cx, at, "load takes instances and params, not %s", val_describe(cx, v));
    }
}

static bool load_string(Elab *cx, Scope *s, const Expr *e, const char *what, const char **out) {
    Val v;
    if (!eval_expr(cx, s, e, &v)) return false;
    if (v.kind != VAL_str)
        return report_error(cx, e->span, "%s must be a string, not %s", what, val_describe(cx, &v));
    *out = v.s;
    return true;
}

/* An imported instance that had to move is in a checkpoint by its own file's path. */
static void rename_moved(Elab *cx, LoadSpec *l) {
    const Map *moved = &cx->decls->moved;
    for (size_t i = 0; i < moved->n; i++) {
        const char *path = moved->at[i].key;
        size_t n = strlen(path);
        bool loaded = false;
        for (int k = 0; k < l->npart; k++)
            loaded = loaded ||
                     (str_starts(l->part[k], path) && (!l->part[k][n] || l->part[k][n] == '.'));
        if (!loaded) continue;
        l->from[l->nrename] = moved->at[i].value;
        l->to[l->nrename++] = path;
    }
}

bool do_load(Elab *cx, Exec *x, const Stmt *s) {
    size_t n = s->load.from.n;
    LoadSpec l = {.span = s->span, .nrename = (int)n};
    l.from = NEW_N(cx->arena, const char *, n + cx->decls->moved.n + 1);
    l.to = NEW_N(cx->arena, const char *, n + cx->decls->moved.n + 1);
    for (size_t i = 0; i < s->load.part.n; i++) {
        const Expr *e = s->load.part.at[i];
        Val v;
        if (!eval_expr(cx, x->scope, e, &v) || !load_paths(cx, &v, e->span, &l)) return false;
    }
    if (!load_string(cx, x->scope, s->load.file, "the file to load", &l.file)) return false;
    for (size_t i = 0; i < n; i++)
        if (!load_string(cx, x->scope, s->load.from.at[i], "a name to rename", &l.from[i]) ||
            !load_string(cx, x->scope, s->load.to.at[i], "the new name", &l.to[i]))
            return false;
    rename_moved(cx, &l);
    vec_push(cx->arena, &cx->decls->load, l);
    return true;
}

/* ---- run */
typedef struct RunCx {
    Elab *cx;
    Scope *scope;
    RunSpec *run;
    const Arg *arg;
} RunCx;

/* A setting that is a word rather than a value. */
static bool run_word(const RunCx *r, const char *const *words, size_t n, size_t *which) {
    const Expr *e = r->arg->value;
    const char *word = e->kind == EXPR_name     ? e->name
                       : e->kind == EXPR_string ? e->string.text
                                                : NULL;
    for (*which = 0; word && *which < n; ++*which)
        if (str_eq(word, words[*which])) return true;
    report_error(r->cx, e->span, "%s is %s or %s, not %s", r->arg->name, words[0], words[1],
                 span_text(r->cx, e->span));
    if (word) suggest(r->cx, word, words, n);
    return false;
}

static bool run_count(const RunCx *r, int64_t least, int64_t *out) {
    Val v;
    const Expr *e = r->arg->value;
    if (!eval_expr(r->cx, r->scope, e, &v) || !val_int(r->cx, &v, r->arg->name, e->span, out))
        return false;
    return *out >= least || report_error(r->cx, e->span, "%s must be at least %lld, not %lld",
                                         r->arg->name, (long long)least, (long long)*out);
}

static bool set_seed(const RunCx *r) {
    int64_t seed;
    if (!run_count(r, 0, &seed)) return false;
    r->run->seed = (uint64_t)seed;
    return true;
}

static bool set_precision(const RunCx *r) {
    static const char *const words[] = {"f32", "bf16"};
    size_t which;
    if (!run_word(r, words, 2, &which)) return false;
    r->run->precision = words[which];
    return true;
}

static bool set_keep(const RunCx *r) {
    return run_count(r, 1, &r->run->keep);
}

static bool set_order(const RunCx *r) {
    static const char *const words[] = {"follow", "alternate"};
    size_t which;
    if (!run_word(r, words, 2, &which)) return false;
    r->run->alternate = which == 1;
    return true;
}

/* What a literal says, its suffix counts here in powers of 1024. */
static bool size_literal(const RunCx *r, int64_t *bytes) {
    const Expr *e = r->arg->value;
    return (e->kind == EXPR_int || e->kind == EXPR_float) &&
           size_read(span_text(r->cx, e->span), bytes);
}

static bool set_memory(const RunCx *r) {
    r->run->memory_at = r->arg->value->span;
    if (size_literal(r, &r->run->memory)) return true;
    return report_error(r->cx, r->arg->value->span,
                        "memory is a number of bytes, such as 512M or 8G, not %s",
                        span_text(r->cx, r->arg->value->span));
}

static bool set_micro(const RunCx *r) {
    return run_count(r, 1, &r->run->micro);
}

static bool set_watch(const RunCx *r) {
    static const char *const words[] = {"on", "off"};
    size_t which;
    if (!run_word(r, words, 2, &which)) return false;
    r->cx->decls->unwatched = which == 1;
    return true;
}

static bool every_eval(const RunCx *r) {
    return run_count(r, 1, &r->run->eval_every);
}

static bool every_save(const RunCx *r) {
    return run_count(r, 1, &r->run->save_every);
}

static bool every_log(const RunCx *r) {
    return run_count(r, 1, &r->run->log_every);
}

typedef struct Setting {
    const char *name;
    bool (*set)(const RunCx *r);
} Setting;
static const Setting settings[] = {
    {"seed", set_seed},   {"precision", set_precision}, {"keep", set_keep},
    {"order", set_order}, {"memory", set_memory},       {"micro", set_micro},
    {"watch", set_watch},
};
static const Setting everies[] = {{"eval", every_eval}, {"save", every_save}, {"log", every_log}};

static bool apply_setting(const RunCx *r, const Setting *table, size_t n, const char *what) {
    const char *names[8];
    for (size_t i = 0; i < n; i++) {
        names[i] = table[i].name;
        if (r->arg->name && str_eq(r->arg->name, names[i])) return table[i].set(r);
    }
    report_error(r->cx, r->arg->span, "unknown %s '%s'", what,
                 r->arg->name ? r->arg->name : span_text(r->cx, r->arg->span));
    if (r->arg->name) suggest(r->cx, r->arg->name, names, n);
    return false;
}

bool do_run(Elab *cx, Exec *x, const Stmt *s) {
    bool ok = true;
    if (x->module != cx->main) return true; /* an imported file's run is its own */
    if (cx->decls->run.file) {
        diag_error(cx->diag, s->span, "a file has one `run`");
        diag_note(cx->diag, cx->decls->run, "the other one is here");
        return false;
    }
    cx->decls->run = s->span;
    RunCx r = {cx, x->scope, &cx->program->spec.run, NULL};
    for (size_t i = 0; i < s->run.item.n; i++) {
        r.arg = &s->run.item.at[i];
        ok = apply_setting(&r, settings, sizeof settings / sizeof *settings, "setting") && ok;
    }
    for (size_t i = 0; i < s->run.every.n; i++) {
        r.arg = &s->run.every.at[i];
        ok = apply_setting(&r, everies, sizeof everies / sizeof *everies, "event") && ok;
    }
    return ok;
}
