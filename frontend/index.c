/* x[...]: elements and slices of lists, and the basic indexing of tensors (integers, slices, `...`,
 * None), which is one IR slice and one reshape. Positions outside are errors, also in slices: a
 * program that cuts less than it says is wrong. A slice that says it keeps nothing is a value
 * without a node, which only concat takes. */
#include "frontend/expr.h"

#include <string.h>

/* ---- bounds */

static bool bound(Elab *cx, Scope *s, const Expr *e, const char *what, int64_t otherwise,
                  int64_t *out) {
    Val v;
    *out = otherwise;
    if (!e) return true;
    if (!eval_expr(cx, s, e, &v)) return false;
    return v.kind == VAL_none || val_int(cx, &v, what, e->span, out);
}

typedef struct Cut { /* elements start, start + step, ... : size of them */
    int64_t start, step, size;
} Cut;

static bool in_range(Elab *cx, int64_t i, int64_t n, const char *of, Span at) {
    if (i >= -n && i < n) return true;
    return report_error(cx, at, "index %lld is outside %s", (long long)i, of);
}

static bool end_in_range(Elab *cx, int64_t *i, int64_t n, const char *of, const Expr *e) {
    if (*i < -n || *i > n)
        return report_error(cx, e->span, "%lld is outside %s", (long long)*i, of);
    if (*i < 0) *i += n;
    return true;
}

/* a:b:step over n elements; `of` says of what, for messages: "T = 128 of [B, T]". */
static bool cut_slice(Elab *cx, Scope *s, const Expr *e, int64_t n, const char *of, Cut *out) {
    int64_t lo, hi;
    if (!bound(cx, s, e->slice.step, "the step of a slice", 1, &out->step)) return false;
    if (out->step == 0) return report_error(cx, e->span, "the step of a slice cannot be 0");
    bool forward = out->step > 0;
    if (!bound(cx, s, e->slice.lo, "the start of a slice", forward ? 0 : n - 1, &lo)) return false;
    if (!bound(cx, s, e->slice.hi, "the end of a slice", forward ? n : INT64_MIN, &hi))
        return false;
    if (e->slice.lo && !end_in_range(cx, &lo, n, of, e->slice.lo)) return false;
    if (hi == INT64_MIN)
        hi = -1;
    else if (e->slice.hi && !end_in_range(cx, &hi, n, of, e->slice.hi))
        return false;
    if (!forward && lo == n) lo = n - 1;
    int64_t reach = forward ? hi - lo : lo - hi;
    int64_t stride = forward ? out->step : out->step == INT64_MIN ? INT64_MAX : -out->step;
    out->start = lo;
    out->size = reach <= 0 ? 0 : (reach - 1) / stride + 1;
    return true;
}

/* ---- lists */

static const char *list_noun(const Val *v) {
    return v->kind == VAL_array ? "the array" : v->kind == VAL_tuple ? "the tuple" : "the list";
}

static bool list_slice(Elab *cx, Scope *s, const Val *of, const Expr *e, const char *what,
                       Val *out) {
    Cut cut;
    if (!cut_slice(cx, s, e, of->list.n, what, &cut)) return false;
    Val *at = NEW_N(cx->arena, Val, cut.size + 1);
    for (int64_t i = 0; i < cut.size; i++) at[i] = of->list.at[cut.start + i * cut.step];
    return list_make(cx, of->kind, at, (int)cut.size, e->span, out);
}

static bool index_list(Elab *cx, Scope *s, const Val *of, const Expr *e, Val *out) {
    Val v;
    int64_t i;
    if (e->index.at.n != 1)
        return report_error(cx, e->span, "%s takes one index, not %zu", list_noun(of),
                            e->index.at.n);
    const Expr *at = e->index.at.at[0];
    const char *what = arena_printf(cx->arena, "%s of %d", list_noun(of), of->list.n);
    if (at->kind == EXPR_slice) return list_slice(cx, s, of, at, what, out);
    if (!eval_expr(cx, s, at, &v) || !val_int(cx, &v, "the index of a list", at->span, &i))
        return false;
    if (!in_range(cx, i, of->list.n, what, at->span)) return false;
    *out = of->list.at[i < 0 ? i + of->list.n : i];
    return out->kind != VAL_error;
}

/* ---- tensors */

typedef struct Indexing {
    Elab *cx;
    Scope *s;
    TVal x;
    Attr slice;
    int axis;          /* of x, the next to be indexed */
    int64_t dim[RANK]; /* of the result */
    const char *name[RANK];
    int rank;
    Span at;
} Indexing;

static bool keep_axis(Indexing *ix, int64_t size, const char *name, Span at) {
    if (ix->rank == RANK)
        return report_error(ix->cx, at, "a tensor can have at most %d dimensions", RANK);
    ix->name[ix->rank] = name;
    ix->dim[ix->rank++] = size;
    return true;
}

static bool whole_axis(Indexing *ix, Span at) {
    int i = ix->axis++;
    return keep_axis(ix, ix->x.type.dim[i], ix->x.name[i], at);
}

static bool slice_axis(Indexing *ix, const Expr *e) {
    Cut cut;
    int64_t n = ix->x.type.dim[ix->axis];
    const char *of = axis_text(ix->cx, &ix->x, ix->axis);
    if (!cut_slice(ix->cx, ix->s, e, n, of, &cut)) return false;
    if (cut.size == n && cut.step == 1) return whole_axis(ix, e->span);
    int i = ix->axis++;
    ix->slice.slice.start[i] = cut.start;
    ix->slice.slice.step[i] = cut.step;
    ix->slice.slice.size[i] = cut.size;
    return keep_axis(ix, cut.size, NULL, e->span);
}

static bool tensor_index(Indexing *ix, const Val *v, Span at) {
    report_error(ix->cx, at,
                 "an index inside [...] must be known when the program is compiled, not %s",
                 val_describe(ix->cx, v));
    diag_hint(ix->cx->diag, "take(x, i over %d) gathers by a tensor of indices", ix->axis);
    return false;
}

static bool index_axis(Indexing *ix, const Expr *e) {
    Val v;
    int64_t i;
    if (e->kind == EXPR_slice) return slice_axis(ix, e);
    if (!eval_expr(ix->cx, ix->s, e, &v)) return false;
    if (val_is_tensor(&v)) return tensor_index(ix, &v, e->span);
    if (!val_int(ix->cx, &v, "an index", e->span, &i)) return false;
    int64_t n = ix->x.type.dim[ix->axis];
    if (!in_range(ix->cx, i, n, axis_text(ix->cx, &ix->x, ix->axis), e->span)) return false;
    ix->slice.slice.start[ix->axis] = i < 0 ? i + n : i;
    ix->slice.slice.size[ix->axis] = 1;
    ix->axis++;
    return true;
}

static bool is_new_axis(const Expr *e) {
    return e->kind == EXPR_none;
}

/* How many axes of x the items name, and whether one is `...`. */
static bool count_items(Indexing *ix, const Exprs *items, int *rest) {
    int used = 0, dots = 0;
    for (size_t i = 0; i < items->n; i++) {
        if (items->at[i]->kind == EXPR_ellipsis)
            dots++;
        else if (!is_new_axis(items->at[i]))
            used++;
    }
    if (dots > 1) return report_error(ix->cx, ix->at, "... can stand once in an index");
    if (used > ix->x.type.rank)
        return report_error(ix->cx, ix->at, "%d %s too many for %s", used,
                            used == 1 ? "index is" : "indices are", tval_describe(ix->cx, &ix->x));
    *rest = ix->x.type.rank - used;
    return true;
}

static bool index_items(Indexing *ix, const Exprs *items, int rest) {
    bool dots = false;
    for (size_t i = 0; i < items->n; i++) {
        const Expr *e = items->at[i];
        bool ok = true;
        if (e->kind == EXPR_ellipsis) {
            dots = true;
            for (int k = 0; k < rest && ok; k++) ok = whole_axis(ix, e->span);
        } else {
            ok = is_new_axis(e) ? keep_axis(ix, 1, NULL, e->span) : index_axis(ix, e);
        }
        if (!ok) return false;
    }
    for (int k = 0; k < rest && !dots; k++)
        if (!whole_axis(ix, ix->at)) return false;
    return true;
}

static bool index_empty(const Indexing *ix, Val *out) {
    TVal t = {.ref = REF_NONE, .type = type_scalar(ix->x.type.dtype)};
    t.type.rank = (int8_t)ix->rank;
    memcpy(t.type.dim, ix->dim, (size_t)ix->rank * sizeof ix->dim[0]);
    memcpy(t.name, ix->name, sizeof t.name);
    *out = (Val){.kind = VAL_empty, .t = t};
    return true;
}

static bool index_finish(Indexing *ix, Val *out) {
    TVal t = ix->x;
    bool cuts = false;
    for (int i = 0; i < t.type.rank; i++) {
        if (ix->slice.slice.size[i] == 0) return index_empty(ix, out);
        if (ix->slice.slice.size[i] != t.type.dim[i] || ix->slice.slice.step[i] != 1) cuts = true;
    }
    if (cuts) t = tensor_add(ix->cx, OP_slice, &ix->slice, &ix->x, 1, NULL, ix->at);
    if (!tensor_ok(&t)) return false;
    t = tensor_reshape(ix->cx, &t, ix->rank, ix->dim, ix->at);
    memcpy(t.name, ix->name, sizeof t.name);
    return call_return(&t, out);
}

static bool index_tensor(Elab *cx, Scope *s, const Val *of, const Expr *e, Val *out) {
    Indexing ix = {.cx = cx, .s = s, .at = e->span};
    int rest = 0;
    if (!val_tensor(cx, of, DT_f32, e->index.of->span, &ix.x)) return false;
    ix.slice.slice.rank = ix.x.type.rank;
    for (int i = 0; i < ix.x.type.rank; i++) {
        ix.slice.slice.step[i] = 1;
        ix.slice.slice.size[i] = ix.x.type.dim[i];
    }
    return count_items(&ix, &e->index.at, &rest) && index_items(&ix, &e->index.at, rest) &&
           index_finish(&ix, out);
}

bool eval_index(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Val of;
    if (!eval_expr(cx, s, e->index.of, &of)) return false;
    switch (of.kind) {
    case VAL_list:
    case VAL_tuple:
    case VAL_array:
    case VAL_axes: return index_list(cx, s, &of, e, out);
    case VAL_tensor:
    case VAL_empty:
    case VAL_param: return index_tensor(cx, s, &of, e, out);
    default: return report_error(cx, e->span, "%s cannot be indexed", val_describe(cx, &of));
    }
}
