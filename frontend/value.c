/* Values of the compile-time phase: making them, saying what they are in messages, and asking of
 * them what an operator needs (an integer, a number, a shape, a tensor). Numbers become tensors
 * only here, and only exactly: a literal that its dtype cannot hold is the user's error. */
#include "frontend/expr.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making */

Val val_error(void) {
    return (Val){.kind = VAL_error};
}
Val val_of_int(int64_t i) {
    return (Val){.kind = VAL_int, .i = i};
}
Val val_of_float(double f) {
    return (Val){.kind = VAL_float, .f = f};
}
Val val_of_bool(bool b) {
    return (Val){.kind = VAL_bool, .b = b};
}
Val val_of_str(const char *s) {
    return (Val){.kind = VAL_str, .s = s};
}
Val val_of_tensor(const TVal *t) {
    return (Val){.kind = VAL_tensor, .t = *t};
}

static bool is_list(const Val *v) {
    return v->kind == VAL_list || v->kind == VAL_tuple || v->kind == VAL_array ||
           v->kind == VAL_axes;
}

Val val_of_list(ValKind kind, Val *at, int n) {
    Val v = {.kind = kind, .list = {at, n, n, 0}};
    for (int i = 0; i < n; i++) {
        if (!is_list(&at[i])) continue;
        if (at[i].list.all <= INT_MAX - v.list.all) v.list.all += at[i].list.all;
        if (at[i].list.deep >= v.list.deep) v.list.deep = at[i].list.deep + 1;
    }
    return v;
}

bool list_make(Elab *cx, ValKind kind, Val *at, int n, Span span, Val *out) {
    *out = val_of_list(kind, at, n);
    if (out->list.all > LIST_MAX)
        return report_error(cx, span, "a list has at most %d values, with those of lists in it",
                            LIST_MAX);
    if (out->list.deep > LIST_DEEP)
        return report_error(cx, span, "lists are nested more than %d deep", LIST_DEEP);
    return spend(cx, n, span);
}

/* The size of an axis as an integer of the program: it keeps its name, and counts samples where the
 * axis does. */
Val dim_value(const TVal *t, int axis) {
    Val v = val_of_int(t->type.dim[axis]);
    v.dim = t->name[axis];
    v.batch = t->type.batch_axis == axis;
    return v;
}

/* ---- asking */

bool val_is_number(const Val *v) {
    return v->kind == VAL_int || v->kind == VAL_float;
}
bool val_is_tensor(const Val *v) {
    return v->kind == VAL_tensor || v->kind == VAL_param || v->kind == VAL_empty;
}
bool val_is_tree(const Val *v) {
    return v->kind == VAL_tree || v->kind == VAL_instance;
}
double val_double(const Val *v) {
    return v->kind == VAL_int ? (double)v->i : v->f;
}

static bool lists_same(const Val *a, const Val *b) {
    if (a->list.n != b->list.n) return false;
    for (int i = 0; i < a->list.n; i++)
        if (!val_same(&a->list.at[i], &b->list.at[i])) return false;
    return true;
}

bool val_same(const Val *a, const Val *b) {
    if (val_is_number(a) && val_is_number(b))
        return a->kind == VAL_int && b->kind == VAL_int ? a->i == b->i
                                                        : val_double(a) == val_double(b);
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case VAL_none: return true;
    case VAL_bool: return a->b == b->b;
    case VAL_str: return str_eq(a->s, b->s);
    case VAL_list:
    case VAL_tuple:
    case VAL_array:
    case VAL_axes: return lists_same(a, b);
    case VAL_fn:
        return a->fn->decl == b->fn->decl && a->fn->scope == b->fn->scope &&
               a->fn->self == b->fn->self;
    case VAL_builtin: return a->builtin == b->builtin;
    case VAL_block:
    case VAL_rule: return a->block.def == b->block.def;
    case VAL_applied:
    case VAL_instance: return a->inst == b->inst;
    case VAL_param: return a->tensor == b->tensor;
    case VAL_tensor: return ref_same(a->t.ref, b->t.ref);
    case VAL_tokenizer:
    case VAL_data: return a->index == b->index;
    default: return false;
    }
}

/* ---- saying */

const char *number_text(Elab *cx, double f) {
    for (int digits = 6; digits < 17; digits++) {
        char *s = arena_printf(cx->arena, "%.*g", digits, f);
        if (strtod(s, NULL) == f) return s;
    }
    return arena_printf(cx->arena, "%.17g", f);
}

const char *val_text(Elab *cx, const Val *v) {
    switch (v->kind) {
    case VAL_int: return arena_printf(cx->arena, "%lld", (long long)v->i);
    case VAL_float: return number_text(cx, v->f);
    case VAL_bool: return v->b ? "true" : "false";
    case VAL_str: return v->s;
    default: return NULL;
    }
}

const char *shape_text(Elab *cx, const TVal *t) {
    const char *s = "[";
    for (int i = 0; i < t->type.rank; i++) {
        const char *comma = i ? ", " : "";
        s = t->name[i] ? arena_printf(cx->arena, "%s%s%s", s, comma, t->name[i])
                       : arena_printf(cx->arena, "%s%s%lld", s, comma, (long long)t->type.dim[i]);
    }
    return arena_printf(cx->arena, "%s]", s);
}

const char *tval_describe(Elab *cx, const TVal *t) {
    const char *type = dtype_name(t->type.dtype);
    if (t->type.rank == 0) return arena_printf(cx->arena, "a single %s", type);
    if (t->type.dtype == DT_f32) return shape_text(cx, t);
    return arena_printf(cx->arena, "%s%s", type, shape_text(cx, t));
}

const char *dim_text(Elab *cx, const TVal *t, int axis) {
    long long size = t->type.dim[axis];
    if (!t->name[axis]) return arena_printf(cx->arena, "%lld", size);
    return arena_printf(cx->arena, "%s = %lld", t->name[axis], size);
}

const char *axis_text(Elab *cx, const TVal *t, int axis) {
    const char *of = tval_describe(cx, t);
    if (t->name[axis]) return arena_printf(cx->arena, "%s of %s", dim_text(cx, t, axis), of);
    return arena_printf(cx->arena, "dimension %d of %s", axis, of);
}

static TVal param_shape(const PTensor *p) {
    TVal t = {.ref = REF_NONE, .type = p->t.type};
    memcpy(t.name, p->dim_name, sizeof t.name);
    return t;
}

static const char *describe_named(Elab *cx, const char *what, const char *name) {
    if (!name) return what;
    return arena_printf(cx->arena, "the %s '%s'", strchr(what, ' ') + 1, name);
}

const char *val_describe(Elab *cx, const Val *v) {
    switch (v->kind) {
    case VAL_error: return "an error";
    case VAL_none: return "none";
    case VAL_int:
    case VAL_float: return arena_printf(cx->arena, "the number %s", val_text(cx, v));
    case VAL_bool: return v->b ? "true" : "false";
    case VAL_str: return arena_printf(cx->arena, "the string \"%s\"", v->s);
    case VAL_list: return arena_printf(cx->arena, "a list of %d", v->list.n);
    case VAL_tuple: return arena_printf(cx->arena, "a tuple of %d", v->list.n);
    case VAL_fn: return describe_named(cx, "a function", v->fn->decl->name);
    case VAL_builtin: return describe_named(cx, "a function", v->builtin->name);
    case VAL_block: return describe_named(cx, "a block", v->block.def->block.name);
    case VAL_rule: return describe_named(cx, "a rule", v->block.def->block.name);
    case VAL_applied: return describe_named(cx, "a rule", v->inst->def->block.name);
    case VAL_instance: return describe_named(cx, "an instance", v->inst->path);
    case VAL_array: return arena_printf(cx->arena, "an array of %d instances", v->list.n);
    case VAL_param: {
        TVal t = param_shape(&cx->tensor.at[v->tensor]);
        return tval_describe(cx, &t);
    }
    case VAL_tensor:
    case VAL_empty: return tval_describe(cx, &v->t);
    case VAL_tree: return "the tensors of an instance";
    case VAL_module: return "a module";
    case VAL_tokenizer: return "a tokenizer";
    case VAL_data: return "data";
    case VAL_axes: return "a list of dimensions";
    }
    BUG("value of kind %d", (int)v->kind);
}

static bool span_inside(Span a, Span whole) {
    if (a.file != whole.file) return false;
    if (a.line < whole.line || (a.line == whole.line && a.col < whole.col)) return false;
    return a.line < whole.end_line || (a.line == whole.end_line && a.col < whole.end_col);
}

static const char *last_part(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

bool note_origin(Elab *cx, const Val *v, Span whole) {
    if (v->kind == VAL_param) {
        const PTensor *p = &cx->tensor.at[v->tensor];
        diag_note(cx->diag, p->t.span, "'%s' is declared %s here", last_part(p->t.name),
                  val_describe(cx, v));
        return true;
    }
    if (v->kind != VAL_tensor || !v->span.file || span_inside(v->span, whole)) return false;
    diag_note(cx->diag, v->span, "%s comes from here", tval_describe(cx, &v->t));
    return true;
}

void note_sides(Elab *cx, const Val *a, const Val *b, Span whole) {
    if (!note_origin(cx, b, whole)) note_origin(cx, a, whole);
}

/* ---- errors with the chain of calls */

enum { CHAIN_SHOWN = 6 };

static bool same_place(Span a, Span b) {
    return a.file == b.file && a.line == b.line && a.col == b.col;
}

/* A call that comes from the same place again and again (recursion) is shown once. */
bool report_calls(Elab *cx) {
    Span last = {0};
    int shown = 0;
    for (const Frame *f = cx->frame; f && shown < CHAIN_SHOWN; f = f->up) {
        if (!f->up || !f->what || !f->call.file || same_place(f->call, last)) continue;
        diag_note(cx->diag, f->call, "in the call to %s", f->what);
        last = f->call;
        shown++;
    }
    return false;
}

bool report_error(Elab *cx, Span at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    diag_error(cx->diag, at, "%s", arena_vprintf(cx->arena, fmt, ap));
    va_end(ap);
    return report_calls(cx);
}

/* ---- needing */

bool val_int(Elab *cx, const Val *v, const char *what, Span at, int64_t *out) {
    if (v->kind == VAL_error) return false;
    if (v->kind == VAL_int) {
        *out = v->i;
        return true;
    }
    report_error(cx, at, "%s must be an integer, not %s", what, val_describe(cx, v));
    if (v->kind == VAL_float && v->f == floor(v->f) && fabs(v->f) < 1e15)
        diag_hint(cx->diag, "%.0f without point and exponent is an integer, and int(x) makes one",
                  v->f);
    else if (v->kind == VAL_float)
        diag_hint(cx->diag, "a // b, round(x) and int(x) give integers");
    if (val_is_tensor(v)) diag_hint(cx->diag, "it has to be known when the program is compiled");
    return false;
}

bool val_num(Elab *cx, const Val *v, const char *what, Span at, double *out) {
    if (v->kind == VAL_error) return false;
    if (!val_is_number(v))
        return report_error(cx, at, "%s must be a number, not %s", what, val_describe(cx, v));
    *out = val_double(v);
    return true;
}

static bool shape_dim(Elab *cx, const Val *v, const char *what, Span at, TVal *shape) {
    int i = shape->type.rank;
    int64_t n;
    if (!val_int(cx, v, arena_printf(cx->arena, "dimension %d of %s", i, what), at, &n))
        return false;
    if (n < 1)
        return report_error(cx, at, "dimension %d of %s is %lld, and must be at least 1", i, what,
                            (long long)n);
    shape->type.dim[i] = n;
    shape->name[i] = v->dim;
    if (v->batch && shape->type.batch_axis == NO_BATCH) shape->type.batch_axis = (int8_t)i;
    shape->type.rank++;
    return true;
}

bool val_shape(Elab *cx, const Val *v, const char *what, Span at, TVal *shape) {
    if (v->kind == VAL_error) return false;
    if (v->kind != VAL_list && v->kind != VAL_tuple) {
        report_error(cx, at, "%s must be a list of sizes, not %s", what, val_describe(cx, v));
        if (v->kind == VAL_int) diag_hint(cx->diag, "[%lld]", (long long)v->i);
        if (val_is_tensor(v)) diag_hint(cx->diag, "shape(x) is the list of x's sizes");
        return false;
    }
    if (v->list.n > RANK)
        return report_error(cx, at, "%s has %d dimensions, and a tensor can have at most %d", what,
                            v->list.n, RANK);
    *shape = (TVal){.ref = REF_NONE, .type = type_scalar(DT_f32)};
    for (int i = 0; i < v->list.n; i++)
        if (!shape_dim(cx, &v->list.at[i], what, at, shape)) return false;
    if (!dims_valid(shape->type.rank, shape->type.dim, &(Err){0}))
        return report_error(cx, at, "%s is %s: more than 2^40 elements", what,
                            shape_text(cx, shape));
    return true;
}

/* What a dtype can hold, as an interval of doubles; integers among them must be exact. */
static void dtype_range(DType t, double *lo, double *hi) {
    double exact = 9007199254740992.0; /* 2^53: constants travel as doubles */
    *lo = t == DT_u8 ? 0 : t == DT_i8 ? -128 : t == DT_i32 ? -2147483648.0 : -exact;
    *hi = t == DT_u8 ? 255 : t == DT_i8 ? 127 : t == DT_i32 ? 2147483647.0 : exact;
}

static bool number_tensor(Elab *cx, const Val *v, DType like, Span at, TVal *out) {
    const char *type = dtype_name(like), *text = val_text(cx, v);
    if (like == DT_bool) {
        report_error(cx, at, "%s is a number, and bool is wanted here", text);
        diag_hint(cx->diag, "cast the other side to f32 or i32, or compare it with a number");
        return false;
    }
    double f = val_double(v), lo, hi;
    if (!dtype_is_float(like)) {
        dtype_range(like, &lo, &hi);
        if (f != floor(f)) {
            report_error(cx, at, "%s cannot be used with %s, which holds integers", text, type);
            diag_hint(cx->diag, "cast the %s side: cast(x, f32)", type);
            return false;
        }
        if (f < lo || f > hi) return report_error(cx, at, "%s does not fit %s", text, type);
    }
    Type t = type_scalar(like);
    *out = tensor_const(cx, &t, f, at);
    return tensor_ok(out);
}

static bool report_empty(Elab *cx, const Val *v, Span at) {
    diag_error(cx->diag, at, "%s has no elements: an empty slice can only be a part of concat",
               tval_describe(cx, &v->t));
    if (v->span.file && !span_inside(v->span, at)) diag_note(cx->diag, v->span, "it is cut here");
    return report_calls(cx);
}

bool val_tensor(Elab *cx, const Val *v, DType like, Span at, TVal *out) {
    *out = (TVal){.ref = REF_NONE};
    switch (v->kind) {
    case VAL_error: return false;
    case VAL_tensor: *out = v->t; return tensor_ok(out);
    case VAL_empty: return report_empty(cx, v, at);
    case VAL_param:
        if (!cx->g) {
            report_error(cx, at, "'%s' has a value only while an entry runs",
                         last_part(cx->tensor.at[v->tensor].t.name));
            diag_hint(cx->diag,
                      "compute with tensors inside train or eval, or in a fn called from there");
            return false;
        }
        return tensor_current(cx, v->tensor, at, out);
    case VAL_int:
    case VAL_float: return number_tensor(cx, v, like, at, out);
    case VAL_bool: {
        if (like != DT_bool)
            return report_error(cx, at, "%s cannot be used with %s", v->b ? "true" : "false",
                                dtype_name(like));
        Type t = type_scalar(DT_bool);
        *out = tensor_const(cx, &t, v->b, at);
        return tensor_ok(out);
    }
    default: return report_error(cx, at, "a tensor is needed here, not %s", val_describe(cx, v));
    }
}

bool tensor_of(Elab *cx, const Val *v, Span at, TVal *out) {
    return val_tensor(cx, v, v->kind == VAL_bool ? DT_bool : DT_f32, at, out);
}
