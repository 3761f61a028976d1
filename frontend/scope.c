/* Names and what they stand for. A scope is a map with a parent; a file's own names stand above
 * those it imported, these above the core module, and the primitive functions come last. A name
 * that two imports have, for different things, is bound to a VAL_error that says so (`s` is the
 * sentence); it is an error only where it is used. */
#include "frontend/decl.h"
#include "frontend/foreign.h"

#include <string.h>

Scope *scope_new(Elab *cx, Scope *parent, Instance *self) {
    Scope *s = NEW(cx->arena, Scope);
    map_init(&s->names, cx->arena);
    s->parent = parent;
    s->self = self;
    return s;
}

Val *scope_find(const Scope *s, const char *name) {
    for (; s; s = s->parent) {
        Val *v = map_get(&s->names, name);
        if (v) return v;
    }
    return NULL;
}

void scope_set(Elab *cx, Scope *s, const char *name, const Val *v) {
    map_set(&s->names, name, arena_memdup(cx->arena, v, sizeof *v));
}

void scope_import(Elab *cx, Scope *imports, const char *name, Val *v, const char *from) {
    Val *old = map_get(&imports->names, name);
    if (old == v) return;
    if (!old) {
        map_set(&imports->names, name, v);
        return;
    }
    Val clash = {.kind = VAL_error, .span = v->span};
    clash.s = arena_printf(cx->arena, "'%s' is in several imports, %s among them", name, from);
    scope_set(cx, imports, name, &clash);
}

static bool take_found(Elab *cx, const Val *v, const char *name, Span at, Val *out) {
    *out = *v;
    if (v->kind != VAL_error) return true;
    if (v->s) {
        diag_error(cx->diag, at, "%s", v->s);
        diag_note(cx->diag, v->span, "one of them is here");
        diag_hint(cx->diag, "import one of the files under a name, and write that name before '%s'",
                  name);
    }
    return false;
}

bool name_value(Elab *cx, const Scope *s, const char *name, Span at, Val *out) {
    *out = (Val){.kind = VAL_error};
    const Val *v = scope_find(s, name);
    if (v) return take_found(cx, v, name, at, out);
    const Builtin *b = builtin_find(name);
    if (!b) {
        report_unknown(cx, s, "name", name, at);
        return false;
    }
    *out = (Val){.kind = VAL_builtin, .span = at, .builtin = b};
    return true;
}

Val *core_find(Elab *cx, const char *name) {
    return cx->core && cx->core->scope ? map_get(&cx->core->scope->names, name) : NULL;
}

/* ---- fields: a.name */
static bool tokenizer_field(Elab *cx, const Val *of, const char *name, Span at, Val *out) {
    const TokenizerDecl *t = &cx->decls->tokenizer.at[of->index];
    const struct {
        const char *name;
        int64_t id;
    } field[] = {
        {"size", t->info.size}, {"pad", t->info.pad},   {"unk", t->info.unk}, {"cls", t->info.cls},
        {"sep", t->info.sep},   {"mask", t->info.mask}, {"end", t->info.end},
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        if (!str_eq(name, field[i].name)) continue;
        if (field[i].id < 0) {
            diag_error(cx->diag, at, "tokenizer '%s' (%s) has no '%s'", t->spec.name, t->spec.kind,
                       name);
            diag_note(cx->diag, t->spec.span, "'%s' is declared here", t->spec.name);
            return false;
        }
        *out = val_of_int(field[i].id);
        out->dim = arena_printf(cx->arena, "%s.%s", t->spec.name, name);
        return true;
    }
    diag_error(cx->diag, at, "a tokenizer has no '%s'", name);
    diag_hint(cx->diag, "it has size, pad, unk, cls, sep, mask and end");
    return false;
}

static bool map_field(Elab *cx, const Map *names, const char *owner, const char *name, Span at,
                      Val *out) {
    const Val *v = map_get(names, name);
    if (v) return take_found(cx, v, name, at, out);
    report_field(cx, owner, names, name, at);
    return false;
}

/* "layer" of an array whose members are bert.layer.0 and so on. */
static const char *array_name(Elab *cx, const Val *of) {
    if (!of->list.n || of->list.at[0].kind != VAL_instance) return "";
    const char *path = of->list.at[0].inst->path, *end = strrchr(path, '.');
    const char *start = end;
    while (start && start > path && start[-1] != '.') start--;
    return end ? arena_strndup(cx->arena, start, (size_t)(end - start)) : path;
}

bool val_field(Elab *cx, const Val *of, const char *name, Span at, Val *out) {
    *out = (Val){.kind = VAL_error};
    switch (of->kind) {
    case VAL_error: return false;
    case VAL_instance: {
        const Instance *i = of->inst;
        const char *owner = arena_printf(cx->arena, "'%s' (%s)", i->path, i->def->block.name);
        return map_field(cx, &i->scope->names, owner, name, at, out);
    }
    case VAL_module: {
        const Module *m = of->module;
        return map_field(cx, &m->scope->names, arena_printf(cx->arena, "'%s'", m->name), name, at,
                         out);
    }
    case VAL_tokenizer: return tokenizer_field(cx, of, name, at, out);
    default:
        diag_error(cx->diag, at, "%s has no '%s'", val_describe(cx, of), name);
        if (of->kind == VAL_array)
            diag_hint(cx->diag, "choose one of the array first: %s[0].%s", array_name(cx, of),
                      name);
        else
            hint_foreign(cx, foreign_field(name));
        return false;
    }
}
