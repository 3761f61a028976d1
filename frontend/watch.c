/* `watch f(x)`: a sign of ill health. What it computes is four values that a fn of the library
 * returns: a number, whether it is bad, what that means, and what usually helps. It becomes a
 * report named watch.f and, next to it, an output that says whether to warn. So only logged steps
 * compute it, and like any report it changes neither random numbers nor states.
 *
 * A fn may watch what it computes; it does so in `train` alone, and not where its values will be
 * computed again (remat). */
#include "frontend/decl.h"

#include <string.h>

enum { WATCH_PARTS = 4 };

/* ---- its name */

static const char *watch_word(Elab *cx, const Stmt *s) {
    const Expr *f = s->expr->kind == EXPR_call ? s->expr->call.fn : NULL;
    if (f && f->kind == EXPR_name) return f->name;
    if (f && f->kind == EXPR_field) return f->field.name;
    report_error(cx, s->expr->span, "`watch` takes a call, such as collapse(z) of std.probe");
    return NULL;
}

bool watch_label_taken(const Elab *cx, const char *label) {
    for (size_t i = 0; i < cx->decls->output.n; i++) {
        const Output *o = &cx->decls->output.at[i];
        if (o->kind == OUT_report && str_eq(o->name, label)) return true;
    }
    return false;
}

static const char *watch_label(Elab *cx, const char *word) {
    const char *label = arena_printf(cx->arena, "watch.%s", word);
    for (int n = 2; watch_label_taken(cx, label); n++)
        label = arena_printf(cx->arena, "watch.%s.%d", word, n);
    return label;
}

/* ---- its value */

static bool is_watch(const Val *v) {
    return v->kind == VAL_tuple && v->list.n == WATCH_PARTS && v->list.at[2].kind == VAL_str &&
           v->list.at[3].kind == VAL_str;
}

static bool watch_scalar(Elab *cx, const Val *v, DType t, const char *what, Span at, TVal *out) {
    if (!val_tensor(cx, v, t, at, out)) return false;
    if (!out->type.rank && out->type.dtype == t) return true;
    return report_error(cx, at, "%s of a watch is one %s, not %s", what, dtype_name(t),
                        tval_describe(cx, out));
}

static void add_output(Elab *cx, OutKind kind, const char *name, Ref ref, Span at) {
    vec_push(cx->arena, &cx->decls->output, (Output){kind, name, 0, ref, at});
}

static bool add_watch(Elab *cx, const Val *v, const char *label, Span at) {
    TVal number, bad;
    if (!is_watch(v)) {
        report_error(cx, at, "a watch gives four values, not %s", val_describe(cx, v));
        diag_hint(cx->diag,
                  "return number, number > 3, \"what that means\", \"what usually helps\"");
        return false;
    }
    const Val *part = v->list.at;
    if (!watch_scalar(cx, &part[0], DT_f32, "the number", at, &number) ||
        !watch_scalar(cx, &part[1], DT_bool, "the second value", at, &bad))
        return false;
    add_output(cx, OUT_report, label, number.ref, at);
    add_output(cx, OUT_watch,
               arena_printf(cx->arena, "%s; what usually helps: %s", part[2].s, part[3].s), bad.ref,
               at);
    return true;
}

/* In a fn that an eval calls, that a report calls, or whose values are made twice. */
static bool is_idle(const Elab *cx) {
    return !cx->g || !cx->in_train || !cx->training || cx->decls->reporting || cx->g->region;
}

bool do_watch(Elab *cx, Exec *x, const Stmt *s) {
    Val v;
    if (x->where == IN_fn && is_idle(cx)) return true;
    if (!cx->in_train) return report_error(cx, s->span, "`watch` belongs to `train`");
    const char *word = watch_word(cx, s);
    if (!word) return false;
    const char *label = watch_label(cx, word);
    if (!report_value(cx, x, s->expr, label, &v)) return false;
    return v.kind == VAL_error || add_watch(cx, &v, label, s->expr->span);
}

bool watch_call(Elab *cx, const Val *fn, const CallArg *arg, int narg, const char *label, Span at) {
    Frame f;
    Val v;
    frame_aside(cx, &f, label);
    cx->decls->reporting = true;
    bool ok = call_value(cx, fn, arg, narg, NULL, at, &v);
    cx->decls->reporting = false;
    frame_pop(cx);
    return ok && add_watch(cx, &v, label, at);
}

/* The watches of a finished graph go, and their reports with them. */
void watches_drop(Graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->nout; i++) {
        bool watched = i + 1 < g->nout && g->out[i + 1].kind == OUT_watch;
        if (!watched && g->out[i].kind != OUT_watch) g->out[n++] = g->out[i];
    }
    g->nout = n;
}
