/* Patterns, `x[b, t, (h e)]`, and rearrange, which splits, permutes and merges by them: one
 * reshape, one transpose, one reshape. Labels are local to the expression and become the names of
 * the result's dimensions. */
#include "frontend/expr.h"

#include <string.h>

/* ---- reading patterns */

/* Of the dimensions that `...` stands for, counted from the last, as they align. */
static const char *const hidden_label[RANK] = {"...0", "...1", "...2", "...3",
                                               "...4", "...5", "...6", "...7"};

bool pattern_label_hidden(const char *label) {
    return label[0] == '.';
}

static bool axis_label(Elab *cx, const Expr *e, PatternAxis *axis) {
    if (e->kind != EXPR_name)
        return report_error(cx, e->span, "a pattern holds labels, not expressions");
    if (axis->n == RANK) return report_error(cx, e->span, "at most %d labels can be merged", RANK);
    axis->label[axis->n++] = e->name;
    return true;
}

static bool pattern_axis(Elab *cx, const Expr *e, bool groups, PatternAxis *axis) {
    *axis = (PatternAxis){.span = e->span};
    if (!groups) {
        if (e->kind == EXPR_group || e->kind == EXPR_tuple)
            return report_error(cx, e->span, "einsum does not merge labels; rearrange does");
        return axis_label(cx, e, axis);
    }
    if (e->kind == EXPR_int && e->i == 1) return true;
    if (e->kind != EXPR_group && e->kind != EXPR_tuple) return axis_label(cx, e, axis);
    for (size_t i = 0; i < e->items.n; i++)
        if (!axis_label(cx, e->items.at[i], axis)) return false;
    return true;
}

bool pattern_read(Elab *cx, const Exprs *at, int leading, bool groups, Span span, Pattern *out) {
    *out = (Pattern){0};
    int dots = 0;
    for (size_t i = 0; i < at->n; i++) {
        bool ellipsis = at->at[i]->kind == EXPR_ellipsis;
        int more = ellipsis ? leading : 1;
        if (ellipsis && dots++)
            return report_error(cx, at->at[i]->span, "... can stand once in a pattern");
        if (out->n + more > RANK)
            return report_error(cx, span, "a pattern can have at most %d dimensions", RANK);
        for (int k = 0; k < more; k++) {
            PatternAxis *axis = &out->axis[out->n++];
            if (ellipsis)
                *axis = (PatternAxis){
                    .label = {hidden_label[more - 1 - k]}, .n = 1, .span = at->at[i]->span};
            else if (!pattern_axis(cx, at->at[i], groups, axis))
                return false;
        }
    }
    return true;
}

static bool has_ellipsis(const Exprs *at) {
    for (size_t i = 0; i < at->n; i++)
        if (at->at[i]->kind == EXPR_ellipsis) return true;
    return false;
}

bool pattern_operand(Elab *cx, Scope *s, const Expr *e, const char *what, bool groups, TVal *t,
                     Pattern *p) {
    Val v;
    if (e->kind != EXPR_index) {
        report_error(cx, e->span, "%s takes a tensor with a pattern after it", what);
        diag_hint(cx->diag, "%s",
                  groups ? "rearrange(x[b, t, (h e)] -> [b, h, t, e], h = heads)"
                         : "einsum(q[b, t, e], k[b, s, e] -> [b, t, s])");
        return false;
    }
    if (!eval_expr(cx, s, e->index.of, &v)) return false;
    if (!val_is_tensor(&v))
        return report_error(cx, e->index.of->span, "%s takes tensors, not %s", what,
                            val_describe(cx, &v));
    if (!val_tensor(cx, &v, DT_f32, e->span, t)) return false;
    bool dots = has_ellipsis(&e->index.at);
    int named = (int)e->index.at.n - dots, leading = t->type.rank - named;
    if (leading < 0 || (!dots && leading != 0)) {
        diag_error(cx->diag, e->span, "this pattern has %d dimensions, and %s has %d", named,
                   tval_describe(cx, t), t->type.rank);
        note_origin(cx, &v, e->span);
        return report_calls(cx);
    }
    return pattern_read(cx, &e->index.at, leading, groups, e->span, p);
}

/* ---- rearrange */

typedef struct Label {
    const char *name;
    int64_t size;    /* 0: not yet known */
    const char *dim; /* name in the result: the label, or for `...` the dimension's own */
} Label;
typedef struct Rearrange {
    Elab *cx;
    TVal x;
    Pattern from, to;
    Label label[RANK];
    int n;
    Span at;
} Rearrange;

static Label *label_find(Rearrange *r, const char *name) {
    for (int i = 0; i < r->n; i++)
        if (str_eq(r->label[i].name, name)) return &r->label[i];
    return NULL;
}

static bool declare_labels(Rearrange *r) {
    for (int i = 0; i < r->from.n; i++) {
        const PatternAxis *axis = &r->from.axis[i];
        for (int k = 0; k < axis->n; k++) {
            const char *name = axis->label[k];
            if (label_find(r, name))
                return report_error(r->cx, axis->span, "label '%s' stands twice in the pattern",
                                    name);
            if (r->n == RANK)
                return report_error(r->cx, axis->span, "a tensor can have at most %d dimensions",
                                    RANK);
            r->label[r->n++] = (Label){name, 0, pattern_label_hidden(name) ? r->x.name[i] : name};
        }
    }
    return true;
}

static void hint_label(Rearrange *r, const char *name) {
    const char *known[RANK];
    size_t n = 0;
    for (int i = 0; i < r->n; i++)
        if (!pattern_label_hidden(r->label[i].name)) known[n++] = r->label[i].name;
    const char *near = nearest_name(name, known, n);
    if (near) diag_hint(r->cx->diag, "did you mean '%s'?", near);
}

/* h = heads */
static bool given_size(Rearrange *r, Scope *s, const Arg *a) {
    Val v;
    int64_t n;
    Label *label = label_find(r, a->name);
    if (!label) {
        report_error(r->cx, a->span, "'%s' is no label of the pattern", a->name);
        hint_label(r, a->name);
        return false;
    }
    const char *what = arena_printf(r->cx->arena, "the size of '%s'", a->name);
    if (!eval_expr(r->cx, s, a->value, &v) || !val_int(r->cx, &v, what, a->value->span, &n))
        return false;
    if (n < 1)
        return report_error(r->cx, a->value->span, "%s is %lld, and must be at least 1", what,
                            (long long)n);
    label->size = n;
    return true;
}

static const char *labels_text(Rearrange *r, const PatternAxis *axis) {
    const char *s = "(";
    for (int i = 0; i < axis->n; i++)
        s = arena_printf(r->cx->arena, "%s%s%s", s, i ? " " : "", axis->label[i]);
    return arena_printf(r->cx->arena, "%s)", s);
}

/* The sizes of one axis' labels: at most one is left to be worked out. */
static bool solve_axis(Rearrange *r, int i) {
    const PatternAxis *axis = &r->from.axis[i];
    Label *open = NULL;
    int64_t product = 1, size = r->x.type.dim[i];
    const char *text = dim_text(r->cx, &r->x, i);
    if (axis->n == 0 && size != 1) return report_error(r->cx, axis->span, "1 stands for %s", text);
    for (int k = 0; k < axis->n; k++) {
        Label *label = label_find(r, axis->label[k]);
        if (label->size == 0 && open) {
            report_error(r->cx, axis->span, "the sizes of '%s' and '%s' are both unknown",
                         open->name, label->name);
            diag_hint(r->cx->diag, "give one of them: rearrange(..., %s = n)", open->name);
            return false;
        }
        if (label->size == 0)
            open = label;
        else if (__builtin_mul_overflow(product, label->size, &product))
            product = INT64_MAX;
    }
    if (open && size % product == 0)
        open->size = size / product;
    else if (open)
        return report_error(r->cx, axis->span, "%s cannot be split: %lld does not divide it", text,
                            (long long)product);
    else if (product != size)
        return report_error(r->cx, axis->span, "%s is %lld, and should be %s", labels_text(r, axis),
                            (long long)product, text);
    return true;
}

/* Every label of the left stands once on the right, and nothing else does. */
static bool check_result(Rearrange *r, Span at) {
    int used[RANK] = {0};
    for (int i = 0; i < r->to.n; i++) {
        const PatternAxis *axis = &r->to.axis[i];
        for (int k = 0; k < axis->n; k++) {
            Label *label = label_find(r, axis->label[k]);
            if (!label) {
                report_error(r->cx, axis->span, "label '%s' is not in the pattern on the left",
                             axis->label[k]);
                hint_label(r, axis->label[k]);
                return false;
            }
            if (used[label - r->label]++)
                return report_error(r->cx, axis->span, "label '%s' stands twice in the result",
                                    label->name);
        }
    }
    for (int i = 0; i < r->n; i++) {
        if (used[i]) continue;
        const char *name = pattern_label_hidden(r->label[i].name) ? "..." : r->label[i].name;
        report_error(r->cx, at, "label '%s' is lost: it is not in the result", name);
        diag_hint(r->cx->diag, "sum(x over %s) reduces a dimension", name);
        return false;
    }
    return true;
}

static const char *merged_name(Rearrange *r, const PatternAxis *axis) {
    const char *s = NULL;
    for (int k = 0; k < axis->n; k++) {
        const char *name = label_find(r, axis->label[k])->dim;
        if (!name) return NULL;
        s = s ? arena_printf(r->cx->arena, "%s*%s", s, name) : name;
    }
    return s;
}

static TVal rearrange_apply(Rearrange *r) {
    int64_t dim[RANK];
    int perm[RANK], n = 0;
    for (int i = 0; i < r->n; i++) dim[i] = r->label[i].size;
    TVal t = tensor_reshape(r->cx, &r->x, r->n, dim, r->at);
    for (int i = 0; i < r->to.n; i++)
        for (int k = 0; k < r->to.axis[i].n; k++)
            perm[n++] = (int)(label_find(r, r->to.axis[i].label[k]) - r->label);
    if (!tensor_ok(&t)) return t;
    t = tensor_permute(r->cx, &t, perm, r->at);
    for (int i = 0; i < r->to.n; i++) {
        dim[i] = 1;
        for (int k = 0; k < r->to.axis[i].n; k++)
            dim[i] *= label_find(r, r->to.axis[i].label[k])->size;
    }
    if (tensor_ok(&t)) t = tensor_reshape(r->cx, &t, r->to.n, dim, r->at);
    for (int i = 0; i < r->to.n; i++) t.name[i] = merged_name(r, &r->to.axis[i]);
    return t;
}

bool eval_rearrange(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Rearrange r = {.cx = cx, .at = e->span};
    size_t n = e->call.arg.n;
    const Arg *arg = e->call.arg.at;
    if (n == 0 || arg[0].name || arg[0].value->kind != EXPR_arrow ||
        arg[0].value->arrow.to->kind != EXPR_list) {
        report_error(cx, e->span, "rearrange takes a pattern, and sizes of its labels by name");
        diag_hint(cx->diag, "rearrange(x[b, t, (h e)] -> [b, h, t, e], h = heads)");
        return false;
    }
    const Expr *arrow = arg[0].value;
    if (!pattern_operand(cx, s, arrow->arrow.from, "rearrange", true, &r.x, &r.from) ||
        !declare_labels(&r))
        return false;
    int leading = 0;
    for (int i = 0; i < r.n; i++) leading += pattern_label_hidden(r.label[i].name);
    if (!pattern_read(cx, &arrow->arrow.to->items, leading, true, arrow->arrow.to->span, &r.to))
        return false;
    for (size_t i = 1; i < n; i++) {
        if (!arg[i].name)
            return report_error(cx, arg[i].span, "rearrange takes sizes by name: h = heads");
        if (!given_size(&r, s, &arg[i])) return false;
    }
    for (int i = 0; i < r.from.n; i++)
        if (!solve_axis(&r, i)) return false;
    if (!check_result(&r, arrow->arrow.to->span)) return false;
    TVal t = rearrange_apply(&r);
    return call_return(&t, out);
}
