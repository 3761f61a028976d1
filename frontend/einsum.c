/* Products: `a @ b` and einsum. Both become the IR's two-operand contraction, whose labels say
 * everything: no transposes are made. More than two operands are contracted from the left; labels
 * that only one operand has and nobody needs are summed out of it first, and of a label that stands
 * twice in one operand the diagonal is taken. */
#include "frontend/expr.h"

#include <string.h>

/* ---- a @ b */

static bool matmul_takes(Elab *cx, const TVal *a, const TVal *b, Span at) {
    const char *who = arena_printf(cx->arena, "cannot multiply %s by %s", tval_describe(cx, a),
                                   tval_describe(cx, b));
    if (a->type.rank == 0 || b->type.rank == 0) {
        report_error(cx, at, "%s: @ needs at least one dimension on each side", who);
        diag_hint(cx->diag, "* multiplies by a single number");
        return false;
    }
    if (!tensor_takes(cx, a, TAKES_floats, who, at) || !tensor_takes(cx, b, TAKES_floats, who, at))
        return false;
    if (a->type.dtype == b->type.dtype) return true;
    const char *left = dtype_name(a->type.dtype), *right = dtype_name(b->type.dtype);
    report_error(cx, at, "%s: %s and %s do not mix", who, left, right);
    return hint_cast(cx, a->type.dtype, b->type.dtype);
}

/* The operand as the source has it, where that is short. */
static const char *side_text(Elab *cx, Span op, Span at, bool right) {
    enum { SHORT = 24 };
    Span side = at;
    if (!op.file || op.line != at.line || op.end_line != at.end_line) return NULL;
    if (right)
        side.col = op.end_col;
    else
        side.end_col = op.col;
    const char *s = span_text(cx, side);
    if (!s) return NULL;
    s += strspn(s, " ");
    size_t n = strlen(s);
    while (n && s[n - 1] == ' ') n--;
    return n && n <= SHORT ? arena_strndup(cx->arena, s, n) : NULL;
}

static void hint_transpose(Elab *cx, const Val *v, const TVal *t, const char *text, bool right) {
    const char *side = text ? text : right ? "the right side" : "the left side";
    if (v->kind == VAL_param && t->type.rank == 2)
        diag_hint(cx->diag, "transpose(%s), or declare it [%s, %s]", side,
                  t->name[1] ? t->name[1] : dim_text(cx, t, 1),
                  t->name[0] ? t->name[0] : dim_text(cx, t, 0));
    else
        diag_hint(cx->diag, "transpose(%s)", side);
}

typedef struct Sides {
    const Val *va, *vb;
    TVal a, b;
    Span op, at;
} Sides;

static bool matmul_clash(Elab *cx, const Sides *s, int i, int k) {
    const TVal *a = &s->a, *b = &s->b;
    diag_error(cx->diag, s->at, "cannot multiply %s by %s: %s does not match %s",
               tval_describe(cx, a), tval_describe(cx, b), dim_text(cx, a, i), dim_text(cx, b, k));
    note_sides(cx, s->va, s->vb, s->at);
    report_calls(cx);
    if (i != a->type.rank - 1) return false;
    int64_t columns = b->type.dim[b->type.rank - 1];
    if (b->type.rank >= 2 && a->type.dim[i] == columns)
        hint_transpose(cx, s->vb, b, side_text(cx, s->op, s->at, true), true);
    else if (a->type.rank >= 2 && a->type.dim[a->type.rank - 2] == b->type.dim[k])
        hint_transpose(cx, s->va, a, side_text(cx, s->op, s->at, false), false);
    return false;
}

/* Labels of one operand: its own axis, the contracted one, and leading axes shared by position from
 * the right. An axis of size 1 that meets a longer one is dropped first, which is what broadcasting
 * means here. */
typedef struct Matmul {
    TVal a, b;
    char la[RANK + 1], lb[RANK + 1], lo[RANK + 1];
    TVal named; /* names of the result */
    int rank;
} Matmul;

static bool push_out(Matmul *m, char label, const char *name) {
    if (m->rank == RANK) return false;
    m->named.name[m->rank] = name;
    m->lo[m->rank++] = label;
    return true;
}

/* Axis i of a meets axis k of b, both `back` places before the last leading one; false when they
 * clash. */
static bool lead_labels(Matmul *m, int back, const TVal *a, int i, const TVal *b, int k,
                        bool *drop_a, bool *drop_b) {
    bool both = i >= 0 && k >= 0;
    *drop_a = both && a->type.dim[i] == 1 && b->type.dim[k] != 1;
    *drop_b = both && b->type.dim[k] == 1 && a->type.dim[i] != 1;
    if (both && !*drop_a && !*drop_b && a->type.dim[i] != b->type.dim[k]) return false;
    const char *left = i >= 0 && !*drop_a ? a->name[i] : NULL;
    return push_out(m, (char)('a' + back), left ? left : k >= 0 ? b->name[k] : NULL);
}

static TVal drop_axes(Elab *cx, const TVal *t, const bool *drop, Span at) {
    int64_t dim[RANK];
    int rank = 0;
    for (int i = 0; i < t->type.rank; i++)
        if (!drop[i]) dim[rank++] = t->type.dim[i];
    return tensor_reshape(cx, t, rank, dim, at);
}

static void operand_labels(char *label, int leads, const bool *drop, int axes, char row,
                           char column) {
    int n = 0;
    for (int i = 0; i < leads; i++)
        if (!drop[i]) label[n++] = (char)('a' + leads - 1 - i);
    if (axes == 2) label[n++] = row;
    label[n++] = column;
}

/* The IR sums products of bf16 to f32; here a result has the type of the operands. */
static TVal add_dot(Elab *cx, const Attr *attr, const TVal in[2], Span at) {
    TVal t = tensor_add(cx, OP_dot, attr, in, 2, NULL, at);
    return tensor_ok(&t) ? tensor_cast(cx, &t, in[0].type.dtype, at) : t;
}

static TVal matmul_dot(Elab *cx, const Matmul *m, Span at) {
    TVal in[2] = {m->a, m->b};
    Attr attr = {0};
    memcpy(attr.dot.a, m->la, sizeof attr.dot.a);
    memcpy(attr.dot.b, m->lb, sizeof attr.dot.b);
    memcpy(attr.dot.out, m->lo, sizeof attr.dot.out);
    TVal t = add_dot(cx, &attr, in, at);
    memcpy(t.name, m->named.name, sizeof t.name);
    return t;
}

bool tensor_matmul(Elab *cx, const Val *va, const Val *vb, Span op_span, Span at, Val *out) {
    Matmul m = {0};
    TVal a, b;
    bool drop_a[RANK] = {0}, drop_b[RANK] = {0};
    if (!val_is_tensor(va) || !val_is_tensor(vb))
        return report_error(cx, at, "@ multiplies tensors, not %s",
                            val_describe(cx, val_is_tensor(va) ? vb : va));
    if (!val_tensor(cx, va, DT_f32, at, &a) || !val_tensor(cx, vb, DT_f32, at, &b)) return false;
    if (!matmul_takes(cx, &a, &b, at)) return false;
    Sides sides = {va, vb, a, b, op_span, at};
    int ra = a.type.rank, rb = b.type.rank, inner = rb >= 2 ? rb - 2 : 0;
    if (a.type.dim[ra - 1] != b.type.dim[inner]) return matmul_clash(cx, &sides, ra - 1, inner);
    int leads_a = ra > 2 ? ra - 2 : 0, leads_b = rb > 2 ? rb - 2 : 0;
    for (int back = (leads_a > leads_b ? leads_a : leads_b) - 1; back >= 0; back--) {
        bool da, db;
        int i = leads_a - 1 - back, k = leads_b - 1 - back;
        if (!lead_labels(&m, back, &a, i, &b, k, &da, &db)) return matmul_clash(cx, &sides, i, k);
        if (i >= 0) drop_a[i] = da;
        if (k >= 0) drop_b[k] = db;
    }
    if (ra >= 2) push_out(&m, 'x', a.name[ra - 2]);
    if (rb >= 2) push_out(&m, 'z', b.name[rb - 1]);
    operand_labels(m.la, leads_a, drop_a, ra >= 2 ? 2 : 1, 'x', 'y');
    operand_labels(m.lb, leads_b, drop_b, rb >= 2 ? 2 : 1, 'y', 'z');
    if (rb == 1) m.lb[0] = 'y';
    m.a = drop_axes(cx, &a, drop_a, at);
    m.b = drop_axes(cx, &b, drop_b, at);
    TVal t = matmul_dot(cx, &m, at);
    return call_return(&t, out);
}

/* ---- einsum */

enum { EINSUM_OPERANDS = 8, EINSUM_LABELS = 52 };
typedef struct Term { /* a tensor whose axis i is labelled lab[i] */
    TVal t;
    char lab[RANK + 1];
} Term;
typedef struct Einsum {
    Elab *cx;
    Term term[EINSUM_OPERANDS];
    int nterm;
    const char *label[EINSUM_LABELS]; /* by letter */
    int64_t size[EINSUM_LABELS];
    const char *dim[EINSUM_LABELS]; /* the dimension it stood for first, for messages */
    const char
        *name[EINSUM_LABELS]; /* in the result: the label, or for `...` the dimension's own */
    Span where[EINSUM_LABELS];
    int n;
    char out[RANK + 1];
    Span at;
} Einsum;

static char letter(int i) {
    return (char)(i < 26 ? 'a' + i : 'A' + i - 26);
}
static int letter_index(char c) {
    return c >= 'a' ? c - 'a' : c - 'A' + 26;
}

static int label_index(const Einsum *es, const char *name) {
    for (int i = 0; i < es->n; i++)
        if (str_eq(es->label[i], name)) return i;
    return -1;
}

/* What `...` stands for broadcasts: a size of 1 gives way. */
static bool label_size(Einsum *es, int i, int64_t size, const char *text, const PatternAxis *p) {
    const char *name = es->label[i];
    bool hidden = pattern_label_hidden(name);
    if (es->size[i] == size || (hidden && size == 1)) return true;
    if (hidden && es->size[i] == 1) {
        es->size[i] = size;
        es->dim[i] = text;
        es->where[i] = p->span;
        return true;
    }
    const char *shown = hidden ? "`...`" : arena_printf(es->cx->arena, "'%s'", name);
    diag_error(es->cx->diag, p->span, "label %s is %s here, and %s before", shown, text,
               es->dim[i]);
    diag_note(es->cx->diag, es->where[i], "%s is %s here", shown, es->dim[i]);
    return report_calls(es->cx);
}

static bool label_axis(Einsum *es, Term *term, int axis, const PatternAxis *p) {
    const char *name = p->label[0], *text = dim_text(es->cx, &term->t, axis);
    int64_t size = term->t.type.dim[axis];
    int i = label_index(es, name);
    if (i < 0) {
        if (es->n == EINSUM_LABELS)
            return report_error(es->cx, p->span, "einsum can have at most %d labels",
                                EINSUM_LABELS);
        i = es->n++;
        es->label[i] = name;
        es->size[i] = size;
        es->dim[i] = text;
        es->name[i] = pattern_label_hidden(name) ? term->t.name[axis] : name;
        es->where[i] = p->span;
    }
    term->lab[axis] = letter(i);
    return label_size(es, i, size, text, p);
}

/* Axes i < k of one label become one: of their square, every (size + 1)-th element in a row. */
static void take_diagonal(Einsum *es, Term *term, int i, int k) {
    int perm[RANK], n = 0;
    int64_t size = term->t.type.dim[i], dim[RANK];
    char lab[RANK + 1] = {0};
    Attr cut = {.slice = {.rank = term->t.type.rank - 1}};
    for (int axis = 0; axis < term->t.type.rank; axis++) {
        if (axis == i || axis == k) continue;
        cut.slice.size[n] = dim[n] = term->t.type.dim[axis];
        cut.slice.step[n] = 1;
        lab[n] = term->lab[axis];
        perm[n++] = axis;
    }
    perm[n] = i;
    perm[n + 1] = k;
    lab[n] = term->lab[i];
    dim[n] = size * size;
    cut.slice.size[n] = size;
    cut.slice.step[n] = size > 1 ? size + 1 : 1;
    TVal square = tensor_permute(es->cx, &term->t, perm, es->at);
    square = tensor_reshape(es->cx, &square, n + 1, dim, es->at);
    term->t = tensor_add(es->cx, OP_slice, &cut, &square, 1, NULL, es->at);
    memcpy(term->lab, lab, sizeof lab);
}

static void take_diagonals(Einsum *es, Term *term) {
    for (int k = 1; tensor_ok(&term->t) && k < term->t.type.rank; k++) {
        const char *first = strchr(term->lab, term->lab[k]);
        if (first == &term->lab[k]) continue;
        take_diagonal(es, term, (int)(first - term->lab), k);
        k = 0;
    }
}

/* Axes of size 1 that broadcast against another operand's are left out. */
static void drop_ones(Einsum *es, Term *term) {
    int64_t dim[RANK];
    char lab[RANK + 1] = {0};
    int n = 0;
    for (int i = 0; i < term->t.type.rank; i++) {
        if (term->t.type.dim[i] != es->size[letter_index(term->lab[i])]) continue;
        lab[n] = term->lab[i];
        dim[n++] = term->t.type.dim[i];
    }
    if (n == term->t.type.rank) return;
    term->t = tensor_reshape(es->cx, &term->t, n, dim, es->at);
    memcpy(term->lab, lab, sizeof lab);
}

static bool einsum_operand(Einsum *es, Scope *s, const Expr *e, int *leading) {
    if (es->nterm == EINSUM_OPERANDS)
        return report_error(es->cx, e->span, "einsum takes at most %d operands", EINSUM_OPERANDS);
    Term *term = &es->term[es->nterm];
    Pattern p;
    if (!pattern_operand(es->cx, s, e, "einsum", false, &term->t, &p)) return false;
    int dots = 0;
    for (int i = 0; i < p.n; i++) {
        dots += pattern_label_hidden(p.axis[i].label[0]);
        if (!label_axis(es, term, i, &p.axis[i])) return false;
    }
    if (dots > *leading) *leading = dots;
    take_diagonals(es, term);
    es->nterm++;
    return tensor_ok(&term->t);
}

static bool einsum_result(Einsum *es, const Expr *to, int leading) {
    Pattern p;
    CHECK(to->kind == EXPR_list);
    if (!pattern_read(es->cx, &to->items, leading, false, to->span, &p)) return false;
    for (int i = 0; i < p.n; i++) {
        const char *name = p.axis[i].label[0];
        int k = label_index(es, name);
        if (k < 0) {
            report_error(es->cx, p.axis[i].span, "label '%s' of the result is in no operand", name);
            const char *near = nearest_name(name, es->label, (size_t)es->n);
            if (near) diag_hint(es->cx->diag, "did you mean '%s'?", near);
            return false;
        }
        if (strchr(es->out, letter(k)))
            return report_error(es->cx, p.axis[i].span, "label '%s' stands twice in the result",
                                name);
        es->out[i] = letter(k);
    }
    return true;
}

static bool needed(const Einsum *es, char label, int from) {
    if (strchr(es->out, label)) return true;
    for (int i = from; i < es->nterm; i++)
        if (strchr(es->term[i].lab, label)) return true;
    return false;
}

/* Sums the axes that neither the result, nor terms from `from` on, nor `other` need. */
static void sum_out(Einsum *es, Term *term, int from, const char *other) {
    uint32_t axes = 0;
    char kept[RANK + 1] = {0};
    int n = 0;
    for (int i = 0; term->lab[i]; i++) {
        if (needed(es, term->lab[i], from) || strchr(other, term->lab[i]))
            kept[n++] = term->lab[i];
        else
            axes |= 1u << i;
    }
    if (axes) term->t = tensor_reduce(es->cx, OP_sum, &term->t, axes, false, es->at);
    memcpy(term->lab, kept, sizeof kept);
}

static bool dot_labels(const Einsum *es, const Term *a, const Term *b, int next, char *out) {
    int n = 0;
    for (const Term *t = a; t; t = t == a ? b : NULL) {
        for (const char *c = t->lab; *c; c++) {
            if ((t == b && strchr(a->lab, *c)) || !needed(es, *c, next)) continue;
            if (n == RANK)
                return report_error(es->cx, es->at,
                                    "this product has more than %d dimensions on the way", RANK);
            out[n++] = *c;
        }
    }
    return true;
}

static bool contract(Einsum *es, Term *acc, int i) {
    Term *b = &es->term[i];
    Term result = {0};
    bool last = i + 1 == es->nterm;
    sum_out(es, acc, i + 1, b->lab);
    sum_out(es, b, i + 1, acc->lab);
    if (last)
        memcpy(result.lab, es->out, sizeof result.lab);
    else if (!dot_labels(es, acc, b, i + 1, result.lab))
        return false;
    Attr attr = {0};
    memcpy(attr.dot.a, acc->lab, sizeof attr.dot.a);
    memcpy(attr.dot.b, b->lab, sizeof attr.dot.b);
    memcpy(attr.dot.out, result.lab, sizeof attr.dot.out);
    TVal in[2] = {acc->t, b->t};
    result.t = add_dot(es->cx, &attr, in, es->at);
    *acc = result;
    return tensor_ok(&acc->t);
}

static bool einsum_dtypes(Einsum *es, const Expr *e) {
    for (int i = 0; i < es->nterm && es->nterm > 1; i++) {
        const Expr *arg = e->call.arg.at[i].value;
        Span at = arg->kind == EXPR_arrow ? arg->arrow.from->span : arg->span;
        DType first = es->term[0].t.type.dtype, type = es->term[i].t.type.dtype;
        if (!tensor_takes(es->cx, &es->term[i].t, TAKES_floats, "einsum", at)) return false;
        if (type == first) continue;
        report_error(es->cx, at, "einsum: %s and %s do not mix", dtype_name(first),
                     dtype_name(type));
        return hint_cast(es->cx, first, type);
    }
    return true;
}

static bool einsum_contract(Einsum *es, Val *out) {
    for (int i = 0; i < es->nterm; i++) drop_ones(es, &es->term[i]);
    Term acc = es->term[0];
    for (int i = 1; i < es->nterm; i++)
        if (!contract(es, &acc, i)) return false;
    if (es->nterm == 1) {
        int perm[RANK];
        sum_out(es, &acc, 1, "");
        for (int i = 0; es->out[i]; i++) perm[i] = (int)(strchr(acc.lab, es->out[i]) - acc.lab);
        if (tensor_ok(&acc.t)) acc.t = tensor_permute(es->cx, &acc.t, perm, es->at);
    }
    acc.t.full = 0;
    for (int i = 0; es->out[i]; i++) acc.t.name[i] = es->name[letter_index(es->out[i])];
    return call_return(&acc.t, out);
}

bool eval_einsum(Elab *cx, Scope *s, const Expr *e, Val *out) {
    Einsum es = {.cx = cx, .at = e->span};
    size_t n = e->call.arg.n;
    int leading = 0;
    for (size_t i = 0; i < n; i++) {
        const Arg *a = &e->call.arg.at[i];
        if (a->name) return report_error(cx, a->span, "einsum has no argument '%s'", a->name);
    }
    const Expr *arrow = n ? e->call.arg.at[n - 1].value : NULL;
    if (!arrow || arrow->kind != EXPR_arrow) {
        report_error(cx, e->span, "einsum needs a result: einsum(a[i, k], b[k, j] -> [i, j])");
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!einsum_operand(&es, s, i + 1 == n ? arrow->arrow.from : e->call.arg.at[i].value,
                            &leading))
            return false;
    return einsum_dtypes(&es, e) && einsum_result(&es, arrow->arrow.to, leading) &&
           einsum_contract(&es, out);
}
