/* The primitive functions: their table, the binding of arguments to parameters, and what the
 * functions themselves (builtin_*.c) ask of an argument. */
#include "frontend/expr.h"
#include "frontend/foreign.h"

#include <string.h>

static const Builtin table[] = {
#define BUILTIN(name, params, over, run, op) {#name, params, over, run, op},
#include "frontend/builtins.def"
#undef BUILTIN
};
enum { BUILTINS = sizeof table / sizeof *table };
static const char *const names[] = {
#define BUILTIN(name, params, over, run, op) #name,
#include "frontend/builtins.def"
#undef BUILTIN
    "step", "steps", "progress", "training", "f32", "bf16", "i32", "i64", "u8", "bool",
};

const Builtin *builtin_find(const char *name) {
    for (size_t i = 0; i < BUILTINS; i++)
        if (str_eq(table[i].name, name)) return &table[i];
    return NULL;
}

const char *const *builtin_names(size_t *n) {
    *n = sizeof names / sizeof *names;
    return names;
}

/* ---- parameters, written "x, lo?, hi?" */

typedef struct Params {
    const char *name[BUILTIN_ARGS];
    bool optional[BUILTIN_ARGS];
    int n, required;
} Params;

static void params_read(Elab *cx, const Builtin *b, Params *out) {
    *out = (Params){0};
    for (const char *p = b->params; *p;) {
        size_t len = strcspn(p, ",?");
        CHECK(out->n < BUILTIN_ARGS);
        out->name[out->n] = arena_strndup(cx->arena, p, len);
        out->optional[out->n] = p[len] == '?';
        if (p[len] != '?') out->required = out->n + 1;
        out->n++;
        p += len + strspn(p + len, "?, ");
    }
}

static bool wrong_count(Elab *cx, const Builtin *b, const Params *p, int given, Span at) {
    const char *s = p->n == 1 ? "" : "s";
    report_error(cx, at, "%s takes %s%d argument%s (%s), not %d", b->name,
                 p->required < p->n ? "up to " : "", p->n, s, b->params, given);
    if (b->op == OP_max || b->op == OP_min)
        diag_hint(cx->diag, "%simum(a, b) compares tensors element by element", b->name);
    if (p->n == 1 && str_eq(p->name[0], "shape"))
        diag_hint(cx->diag, "a shape is a list: %s([m, n])", b->name);
    if (b->op == OP_transpose)
        diag_hint(cx->diag, "it swaps the last two dimensions; rearrange(x[a, b, c] -> [b, a, c]) "
                            "gives any order");
    return false;
}

static int param_index(const Params *p, const char *name) {
    for (int i = 0; i < p->n; i++)
        if (str_eq(p->name[i], name)) return i;
    return -1;
}

static bool unknown_argument(Elab *cx, const Builtin *b, const Params *p, const CallArg *a) {
    report_error(cx, a->span, "%s has no argument '%s'", b->name, a->name);
    if (hint_foreign(cx, foreign_name(a->name))) return false;
    const char *near = nearest_name(a->name, p->name, (size_t)p->n);
    if (near)
        diag_hint(cx->diag, "did you mean '%s'?", near);
    else
        diag_hint(cx->diag, "%s(%s)", b->name, b->params);
    return false;
}

static bool bind(Call *c, const Params *p, const CallArg *arg, int narg) {
    int positional = 0;
    for (int i = 0; i < narg; i++) {
        int k = arg[i].name ? param_index(p, arg[i].name) : positional++;
        if (k < 0) return unknown_argument(c->cx, c->b, p, &arg[i]);
        if (k >= p->n) return wrong_count(c->cx, c->b, p, narg, c->at);
        if (c->given[k])
            return report_error(c->cx, arg[i].span, "'%s' is given twice to %s", p->name[k],
                                c->b->name);
        c->arg[k] = arg[i].val;
        c->given[k] = true;
        c->arg_span[k] = arg[i].span;
    }
    for (int k = 0; k < p->n; k++) {
        if (c->given[k] || p->optional[k]) continue;
        if (positional == narg) return wrong_count(c->cx, c->b, p, narg, c->at);
        return report_error(c->cx, c->at, "%s needs its argument '%s'", c->b->name, p->name[k]);
    }
    return true;
}

static bool check_over(Elab *cx, const Builtin *b, const Over *over, Span at) {
    if (over && b->over == OVER_never)
        return report_error(cx, over->span, "%s takes no 'over'", b->name);
    if (over || b->over != OVER_must) return true;
    report_error(cx, at, "%s must name a dimension with 'over'", b->name);
    diag_hint(cx->diag, "%s(%s over d), or over -1 for the last", b->name,
              str_eq(b->params, "parts") ? "[a, b]" : b->params);
    return false;
}

bool builtin_apply(Elab *cx, Scope *s, const Builtin *b, const CallArg *arg, int narg,
                   const Over *over, Span at, Val *out) {
    Call c = {.cx = cx, .scope = s, .b = b, .over = over, .at = at};
    Params p;
    *out = val_error();
    for (int i = 0; i < narg; i++)
        if (arg[i].val.kind == VAL_error) return false;
    params_read(cx, b, &p);
    return check_over(cx, b, over, at) && bind(&c, &p, arg, narg) && b->run(&c, out);
}

/* ---- what functions ask of their arguments */

const char *call_arg_name(const Call *c, int i) {
    Params p;
    params_read(c->cx, c->b, &p);
    return arena_printf(c->cx->arena, "'%s' of %s", p.name[i], c->b->name);
}

bool call_return(const TVal *t, Val *out) {
    if (!tensor_ok(t)) return false;
    *out = val_of_tensor(t);
    return true;
}

bool call_tensor(Call *c, int i, TVal *out) {
    const Val *v = &c->arg[i];
    if (val_is_tensor(v) || val_is_number(v) || v->kind == VAL_bool)
        return tensor_of(c->cx, v, c->arg_span[i], out);
    report_error(c->cx, c->arg_span[i], "%s takes a tensor or a number, not %s", c->b->name,
                 val_describe(c->cx, v));
    return false;
}

bool call_int(Call *c, int i, int64_t *out) {
    return val_int(c->cx, &c->arg[i], call_arg_name(c, i), c->arg_span[i], out);
}

bool call_flag(Call *c, int i, bool otherwise, bool *out) {
    *out = otherwise;
    if (!c->given[i]) return true;
    if (c->arg[i].kind != VAL_bool) {
        report_error(c->cx, c->arg_span[i], "%s is true or false, not %s", call_arg_name(c, i),
                     val_describe(c->cx, &c->arg[i]));
        if (c->over)
            diag_hint(c->cx->diag, "several dimensions stand in brackets: %s(x over [T, d])",
                      c->b->name);
        else if (c->arg[i].kind == VAL_int)
            diag_hint(c->cx->diag, "a dimension stands after 'over': %s(x over %lld)", c->b->name,
                      (long long)c->arg[i].i);
        return false;
    }
    *out = c->arg[i].b;
    return true;
}

bool call_shape(Call *c, int i, TVal *out) {
    return val_shape(c->cx, &c->arg[i], call_arg_name(c, i), c->arg_span[i], out);
}

bool call_axis(Call *c, const TVal *t, int *axis) {
    Axes axes;
    if (!over_resolve(c->cx, c->over, t, &axes)) return false;
    if (axes.n != 1)
        return report_error(c->cx, c->over->span, "%s goes over one dimension, not %d", c->b->name,
                            axes.n);
    *axis = axes.at[0];
    return true;
}

bool call_float(Call *c, const TVal *t) {
    if (dtype_is_float(t->type.dtype)) return true;
    report_error(c->cx, c->at, "%s takes floats, not %s", c->b->name, tval_describe(c->cx, t));
    diag_hint(c->cx->diag, "%s(cast(x, f32))", c->b->name);
    return false;
}
