/* 'did you mean': errors about names that do not exist, each with the nearest name that does, or
 * the module that has it. */
#include "frontend/decl.h"
#include "frontend/foreign.h"

#include <string.h>

static const char **map_keys(Arena *a, const Map *m) {
    const char **key = NEW_N(a, const char *, m->n + 1);
    for (size_t i = 0; i < m->n; i++) key[i] = m->at[i].key;
    return key;
}

/* The nearest, or all of a few. */
void suggest(Elab *cx, const char *name, const char *const *names, size_t n) {
    enum { FEW = 20 };
    const char *near = nearest_name(name, names, n);
    if (near)
        diag_hint(cx->diag, "did you mean '%s'?", near);
    else if (n && n <= FEW)
        diag_hint(cx->diag, "there %s %s", n == 1 ? "is only" : "are",
                  name_list(cx->arena, names, n, "and"));
}

bool hint_foreign(Elab *cx, const char *hint) {
    if (hint) diag_hint(cx->diag, "%s", hint);
    return hint;
}

void report_field(Elab *cx, const char *owner, const Map *names, const char *name, Span at) {
    if (cx->decls->broken) return;
    report_error(cx, at, "%s has no '%s'", owner, name);
    suggest(cx, name, map_keys(cx->arena, names), names->n);
}

/* Whether a module's text declares the name at the start of a line. */
static bool text_declares(const char *text, size_t n, const char *name) {
    static const char *const word[] = {"fn ", "block ", "rule ", "const "};
    size_t length = strlen(name);
    for (const char *p = text, *end = text + n; p < end;) {
        for (size_t i = 0; i < sizeof word / sizeof *word; i++) {
            size_t w = strlen(word[i]);
            if ((size_t)(end - p) > w + length && !memcmp(p, word[i], w) &&
                !memcmp(p + w, name, length) && strchr("( =", p[w + length]))
                return true;
        }
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p++) break;
    }
    return false;
}

/* A library module that the file may have forgotten to import. */
static bool hint_import(Elab *cx, const char *name) {
    for (size_t i = 0; cx->host && cx->host->module && i < LIBRARY_MODULES; i++) {
        size_t n = 0;
        const char *module = library_modules[i] + strlen("std.");
        const char *path, *text = cx->host->module(cx->host->cx, module, &n, &path);
        if (!text || !text_declares(text, n, name)) continue;
        diag_hint(cx->diag, "it is in the library: import %s", library_modules[i]);
        return true;
    }
    return false;
}

static bool is_stage(const char *name) {
#define STAGE(stage, takes, args)                                                                  \
    if (str_eq(name, #stage)) return true;
#include "base/stages.def"
#undef STAGE
    return false;
}

/* Of the language's design, and in no version yet. */
static bool is_later(const char *name) {
    static const char *const later[] = {"grid_sample", "knn", "linear_probe", "retrieval"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (str_eq(name, later[i])) return true;
    return false;
}

bool name_elsewhere(const char *name) {
    return is_stage(name) || is_later(name);
}

void report_unknown(Elab *cx, const Scope *s, const char *what, const char *name, Span at) {
    if (cx->decls->broken) return;
    if (is_later(name)) {
        report_error(cx, at, "this version does not carry '%s'", name);
        return;
    }
    report_error(cx, at, "unknown %s '%s'", what, name);
    if (hint_import(cx, name)) return;
    if (is_stage(name)) {
        diag_hint(cx->diag, "it belongs to a pipeline: data x = documents(\"*.txt\") | ...");
        return;
    }
    if (hint_foreign(cx, foreign_name(name))) return;
    VEC(const char *) names = {0};
    for (; s; s = s->parent)
        for (size_t i = 0; i < s->names.n; i++) vec_push(cx->arena, &names, s->names.at[i].key);
    size_t n = 0;
    const char *const *builtin = builtin_names(&n);
    for (size_t i = 0; i < n; i++) vec_push(cx->arena, &names, builtin[i]);
    suggest(cx, name, names.at, names.n);
}

const char *span_text(Elab *cx, Span at) {
    size_t n = 0;
    const char *p = diag_text(cx->diag, at.file, &n);
    if (!p || !at.line || !at.end_col) return "";
    const char *end = p + n;
    for (uint32_t line = 1; line < at.line; line++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p++) return "";
    }
    const char *stop = p;
    for (uint32_t line = at.line; line < at.end_line; line++) {
        stop = memchr(stop, '\n', (size_t)(end - stop));
        if (!stop++) return "";
    }
    p += at.col - 1;
    stop += at.end_col - 1;
    if (p >= stop || stop > end) return "";
    char *text = arena_strndup(cx->arena, p, (size_t)(stop - p));
    char *to = text;
    for (const char *from = text; *from; from++) { /* runs of white space become one space */
        bool space = *from == ' ' || *from == '\n' || *from == '\t' || *from == '\r';
        if (!space)
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    *to = 0;
    return text;
}
