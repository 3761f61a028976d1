/* Operators on run-time tensors: every call adds nodes to the graph at hand. Shapes, dtypes and
 * names are checked here, in the user's terms, before the IR sees them. Names of dimensions and
 * what reductions dropped travel beside the reference; the batch axis is the IR's to infer. */
#include "frontend/expr.h"

#include <math.h>
#include <string.h>

bool tensor_ok(const TVal *t) {
    return ref_is(t->ref);
}

TVal tensor_add(Elab *cx, Op op, const Attr *attr, const TVal *in, int nin, const Type *given,
                Span at) {
    TVal t = {.ref = REF_NONE};
    Ref *ref = NEW_N(cx->arena, Ref, nin + 1);
    Type *type = NEW_N(cx->arena, Type, nin + 1), *result;
    int nout = 0;
    Err e = {0};
    for (int i = 0; i < nin; i++) {
        if (!tensor_ok(&in[i])) return t;
        ref[i] = in[i].ref;
        type[i] = in[i].type;
    }
    if (!cx->g) {
        report_error(cx, at, "tensors are computed only inside entries: train, eval");
        return t;
    }
    if (!shape_infer(op, attr, type, nin, given, cx->arena, &result, &nout, &e)) {
        report_error(cx, at, "%s", e.msg);
        return t;
    }
    if (cx->g->n >= GRAPH_LARGE) {
        report_error(cx, at, "an entry has at most %d operations", GRAPH_LARGE);
        return t;
    }
    t.ref = graph_add(cx->g, op, attr, ref, nin, given, at);
    t.type = *graph_type(cx->g, t.ref);
    return t;
}

TVal tensor_const(Elab *cx, const Type *type, double v, Span at) {
    Attr attr = {.num = v};
    return tensor_add(cx, OP_const, &attr, NULL, 0, type, at);
}

/* ---- one input */

static void carry(const TVal *from, TVal *to) {
    memcpy(to->name, from->name, sizeof to->name);
    to->full = from->full;
    to->dropped = from->dropped;
}

bool tensor_unary(Elab *cx, Op op, const TVal *x, Span at, TVal *out) {
    TVal t = tensor_add(cx, op, NULL, x, 1, NULL, at);
    carry(x, &t);
    *out = t;
    return tensor_ok(out);
}

TVal tensor_cast(Elab *cx, const TVal *x, DType to, Span at) {
    if (x->type.dtype == to) return *x;
    Attr attr = {.dtype = to};
    TVal t = tensor_add(cx, OP_cast, &attr, x, 1, NULL, at);
    carry(x, &t);
    return t;
}

TVal tensor_reshape(Elab *cx, const TVal *x, int rank, const int64_t *dim, Span at) {
    Attr attr = {.shape = {.rank = rank}};
    memcpy(attr.shape.dim, dim, (size_t)rank * sizeof *dim);
    bool same = rank == x->type.rank && memcmp(dim, x->type.dim, (size_t)rank * sizeof *dim) == 0;
    TVal t = same ? *x : tensor_add(cx, OP_reshape, &attr, x, 1, NULL, at);
    carry(&(TVal){0}, &t);
    return t;
}

TVal tensor_expand(Elab *cx, const TVal *x, const TVal *shape, Span at) {
    Attr attr = {.shape = {.rank = shape->type.rank}};
    memcpy(attr.shape.dim, shape->type.dim, sizeof attr.shape.dim);
    TVal t = type_same_shape(&x->type, &shape->type)
                 ? *x
                 : tensor_add(cx, OP_expand, &attr, x, 1, NULL, at);
    carry(shape, &t);
    return t;
}

TVal tensor_permute(Elab *cx, const TVal *x, const int *perm, Span at) {
    Attr attr = {.perm = {.rank = x->type.rank}};
    bool same = true;
    for (int i = 0; i < x->type.rank; i++) {
        attr.perm.axis[i] = perm[i];
        if (perm[i] != i) same = false;
    }
    TVal t = same ? *x : tensor_add(cx, OP_transpose, &attr, x, 1, NULL, at);
    carry(&(TVal){0}, &t);
    for (int i = 0; i < x->type.rank; i++) t.name[i] = x->name[perm[i]];
    return t;
}

/* The IR keeps reduced axes with size 1; the language drops them and remembers (language.md,
 * Broadcasting). */
TVal tensor_reduce(Elab *cx, Op op, const TVal *x, uint32_t axes, bool keep, Span at) {
    Attr attr = {.axes = axes};
    TVal t = axes ? tensor_add(cx, op, &attr, x, 1, NULL, at) : *x;
    int64_t dim[RANK];
    const char *name[RANK] = {0};
    int rank = 0;
    if (!tensor_ok(&t)) return t;
    if (keep || !axes) {
        carry(&(TVal){0}, &t);
        for (int i = 0; i < x->type.rank; i++) t.name[i] = axes >> i & 1 ? NULL : x->name[i];
        return t;
    }
    for (int i = 0; i < x->type.rank; i++) {
        if (axes >> i & 1) continue;
        name[rank] = x->name[i];
        dim[rank++] = x->type.dim[i];
    }
    t = tensor_reshape(cx, &t, rank, dim, at);
    memcpy(t.name, name, sizeof t.name);
    t.full = x->type.rank;
    t.dropped = axes;
    return t;
}

/* ---- several inputs: alignment and broadcasting */

static int max_rank(const TVal *in, int n) {
    int rank = 0;
    for (int i = 0; i < n; i++)
        if (in[i].type.rank > rank) rank = in[i].type.rank;
    return rank;
}

/* A reduction's result against a tensor of the rank it had before: the dropped axes come back with
 * size 1. */
static void restore_dropped(Elab *cx, TVal *t, int rank, Span at) {
    if (t->full != rank || t->type.rank == 0 || t->type.rank == rank) return;
    int64_t dim[RANK];
    const char *name[RANK] = {0};
    for (int i = 0, j = 0; i < rank; i++) {
        bool gone = t->dropped >> i & 1;
        name[i] = gone ? NULL : t->name[j];
        dim[i] = gone ? 1 : t->type.dim[j++];
    }
    *t = tensor_reshape(cx, t, rank, dim, at);
    memcpy(t->name, name, sizeof name);
}

static void merge_names(const TVal *in, int n, TVal *out) {
    int rank = out->type.rank;
    for (int k = 0; k < n; k++) {
        int shift = rank - in[k].type.rank;
        for (int i = shift; i < rank; i++)
            if (!out->name[i] && in[k].type.dim[i - shift] == out->type.dim[i])
                out->name[i] = in[k].name[i - shift];
    }
}

/* What reductions dropped is still known after operators with scalars and with others that dropped
 * the same. */
static void merge_memory(const TVal *in, int n, TVal *out) {
    const TVal *first = NULL;
    for (int k = 0; k < n; k++) {
        bool scalar = in[k].type.rank == 0;
        if (scalar && (out->type.rank > 0 || !in[k].full)) continue;
        if (!in[k].full || in[k].type.rank != out->type.rank) return;
        if (first && (first->full != in[k].full || first->dropped != in[k].dropped)) return;
        first = &in[k];
    }
    if (!first) return;
    out->full = first->full;
    out->dropped = first->dropped;
}

typedef struct Clash { /* axis `axis_a` of operand a against `axis_b` of b */
    int a, axis_a, b, axis_b;
} Clash;

static bool broadcasts(const TVal *in, int n, Clash *c) {
    int rank = max_rank(in, n);
    for (int back = 1; back <= rank; back++) {
        int owner = -1;
        for (int k = 0; k < n; k++) {
            int axis = in[k].type.rank - back;
            if (axis < 0 || in[k].type.dim[axis] == 1) continue;
            if (owner < 0) {
                owner = k;
            } else if (in[owner].type.dim[in[owner].type.rank - back] != in[k].type.dim[axis]) {
                *c = (Clash){owner, in[owner].type.rank - back, k, axis};
                return false;
            }
        }
    }
    return true;
}

/* Would `b` fit as the leading dimensions of `a`? Then x[..., None] is what was meant. */
static bool leads(const TVal *a, const TVal *b) {
    if (b->type.rank == 0 || b->type.rank + 1 != a->type.rank) return false;
    return memcmp(a->type.dim, b->type.dim, (size_t)b->type.rank * sizeof a->type.dim[0]) == 0;
}

static const char *clash_text(Elab *cx, const Phrase *say, const char *a, const char *b) {
    return arena_printf(cx->arena, "cannot %s %s%s%s", say->verb, say->swap ? b : a, say->joiner,
                        say->swap ? a : b);
}

static bool report_clash(Elab *cx, const Phrase *say, const Val *v, const TVal *in, const Clash *c,
                         Span at) {
    const TVal *a = &in[c->a], *b = &in[c->b];
    diag_error(cx->diag, at, "%s: %s does not match %s",
               clash_text(cx, say, tval_describe(cx, a), tval_describe(cx, b)),
               dim_text(cx, a, c->axis_a), dim_text(cx, b, c->axis_b));
    note_sides(cx, &v[c->a], &v[c->b], at);
    report_calls(cx);
    if (leads(a, b) || leads(b, a)) {
        const TVal *small = leads(a, b) ? b : a, *large = leads(a, b) ? a : b;
        diag_hint(
            cx->diag,
            "shapes align at the last dimension; [..., None] after %s makes it line up with %s",
            tval_describe(cx, small), shape_text(cx, large));
    }
    return false;
}

static bool dtype_fits(DType d, enum Takes takes) {
    return takes == TAKES_any || (takes == TAKES_numbers && d != DT_bool) ||
           (takes == TAKES_floats && dtype_is_float(d)) || (takes == TAKES_bools && d == DT_bool);
}

bool tensor_takes(Elab *cx, const TVal *t, enum Takes takes, const char *who, Span at) {
    if (dtype_fits(t->type.dtype, takes)) return true;
    const char *want = takes == TAKES_bools ? "bool" : takes == TAKES_floats ? "floats" : "numbers";
    report_error(cx, at, "%s: %s needed, not %s", who, want, tval_describe(cx, t));
    if (takes == TAKES_bools)
        diag_hint(cx->diag, "a comparison gives bool: x != 0");
    else
        diag_hint(cx->diag, "cast(x, f32)");
    return false;
}

/* Floats before integers, f32 before the rest. */
bool hint_cast(Elab *cx, DType a, DType b) {
    bool keep_a =
        dtype_is_float(a) == dtype_is_float(b) ? a == DT_f32 || b != DT_f32 : dtype_is_float(a);
    diag_hint(cx->diag, "tensors never convert by themselves: cast(x, %s) where x is %s",
              dtype_name(keep_a ? a : b), dtype_name(keep_a ? b : a));
    return false;
}

static bool one_dtype(Elab *cx, const Phrase *say, const Val *v, const TVal *in, int n, Span at) {
    for (int i = 1; i < n; i++) {
        if (in[i].type.dtype == in[0].type.dtype) continue;
        const char *a = dtype_name(in[0].type.dtype), *b = dtype_name(in[i].type.dtype);
        const char *say_both =
            clash_text(cx, say, tval_describe(cx, &in[0]), tval_describe(cx, &in[i]));
        diag_error(cx->diag, at, "%s: %s and %s do not mix", say_both, a, b);
        note_sides(cx, &v[0], &v[i], at);
        report_calls(cx);
        return hint_cast(cx, in[0].type.dtype, in[i].type.dtype);
    }
    return true;
}

/* The dtype that literals take: the tensors', else bool for true and false, f32 for numbers. */
static bool literal_dtype(Elab *cx, const Val *v, int n, Span at, TVal *in, DType *like) {
    bool found = false;
    *like = n > 0 && v[0].kind == VAL_bool ? DT_bool : DT_f32;
    for (int i = 0; i < n; i++) {
        if (!val_is_tensor(&v[i])) continue;
        if (!val_tensor(cx, &v[i], DT_f32, at, &in[i])) return false;
        if (!found) *like = in[i].type.dtype;
        found = true;
    }
    return true;
}

static bool operands(Elab *cx, const Val *v, int n, enum Takes takes, const Phrase *say, Span at,
                     TVal *in) {
    DType like;
    if (!literal_dtype(cx, v, n, at, in, &like)) return false;
    for (int i = 0; i < n; i++) {
        if (!val_is_tensor(&v[i]) || dtype_fits(in[i].type.dtype, takes)) continue;
        return tensor_takes(cx, &in[i], takes,
                            clash_text(cx, say, val_describe(cx, &v[0]), val_describe(cx, &v[1])),
                            at);
    }
    for (int i = 0; i < n; i++)
        if (!val_is_tensor(&v[i]) && !val_tensor(cx, &v[i], like, at, &in[i])) return false;
    return one_dtype(cx, say, v, in, n, at);
}

/* Adds the node once dtypes are settled; `v` are the operands' values, for notes. */
static bool broadcast_op(Elab *cx, Op op, const Val *v, TVal *in, int n, const Phrase *say, Span at,
                         TVal *out) {
    Clash clash;
    int rank = max_rank(in, n);
    for (int i = 0; i < n; i++) restore_dropped(cx, &in[i], rank, at);
    if (!broadcasts(in, n, &clash)) return report_clash(cx, say, v, in, &clash, at);
    *out = tensor_add(cx, op, NULL, in, n, NULL, at);
    if (!tensor_ok(out)) return false;
    merge_names(in, n, out);
    merge_memory(in, n, out);
    return true;
}

bool tensor_pointwise(Elab *cx, Op op, const Val *v, int n, enum Takes takes, const Phrase *say,
                      Span at, TVal *out) {
    enum { MOST = 3 };
    TVal in[MOST] = {0};
    CHECK(n <= MOST);
    if (op != OP_where)
        return operands(cx, v, n, takes, say, at, in) &&
               broadcast_op(cx, op, v, in, n, say, at, out);
    return val_tensor(cx, &v[0], DT_bool, at, &in[0]) &&
           tensor_takes(cx, &in[0], TAKES_bools, "the condition of where", at) &&
           operands(cx, v + 1, n - 1, takes, say, at, in + 1) &&
           broadcast_op(cx, op, v, in, n, say, at, out);
}
