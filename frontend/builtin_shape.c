/* Builtins that move elements: transpose, concat, stack, pad, flip, roll, and the tables of rows:
 * take, put, compact. */
#include "frontend/expr.h"

#include <string.h>

static void unname(TVal *t, int axis) {
    t->name[axis] = NULL;
}

bool run_transpose(Call *c, Val *out) {
    TVal x;
    if (!call_tensor(c, 0, &x)) return false;
    int rank = x.type.rank, perm[RANK];
    if (rank < 2)
        return report_error(c->cx, c->at, "transpose swaps the last two dimensions, and %s has %d",
                            tval_describe(c->cx, &x), rank);
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    x = tensor_permute(c->cx, &x, perm, c->at);
    return call_return(&x, out);
}

/* ---- joining */

static bool parts_of(Call *c, TVal **part, int *n) {
    const Val *v = &c->arg[0];
    if (v->kind != VAL_list && v->kind != VAL_tuple) {
        report_error(c->cx, c->arg_span[0], "%s takes a list of tensors, not %s", c->b->name,
                     val_describe(c->cx, v));
        diag_hint(c->cx->diag, "%s([a, b] over 0)", c->b->name);
        return false;
    }
    *n = v->list.n;
    if (*n == 0) return report_error(c->cx, c->arg_span[0], "%s of an empty list", c->b->name);
    *part = NEW_N(c->cx->arena, TVal, *n);
    for (int i = 0; i < *n; i++) {
        const Val *one = &v->list.at[i];
        if (!val_is_tensor(one) && !val_is_number(one) && one->kind != VAL_bool)
            return report_error(c->cx, one->span, "%s takes tensors, not %s", c->b->name,
                                val_describe(c->cx, one));
        if (one->kind == VAL_empty && c->b->run == run_concat)
            (*part)[i] = one->t;
        else if (!tensor_of(c->cx, one, c->arg_span[0], &(*part)[i]))
            return false;
    }
    return true;
}

/* All but the joined axis (none: -1) must be equal. */
static bool parts_match(Call *c, const TVal *part, int n, int axis) {
    for (int i = 1; i < n; i++) {
        const TVal *a = &part[0], *b = &part[i];
        const char *who = arena_printf(c->cx->arena, "cannot %s %s and %s", c->b->name,
                                       tval_describe(c->cx, a), tval_describe(c->cx, b));
        if (a->type.dtype != b->type.dtype) {
            report_error(c->cx, c->at, "%s: %s and %s do not mix", who, dtype_name(a->type.dtype),
                         dtype_name(b->type.dtype));
            return hint_cast(c->cx, a->type.dtype, b->type.dtype);
        }
        if (a->type.rank != b->type.rank)
            return report_error(c->cx, c->at, "%s: they have %d and %d dimensions", who,
                                a->type.rank, b->type.rank);
        for (int k = 0; k < a->type.rank; k++)
            if (k != axis && a->type.dim[k] != b->type.dim[k])
                return report_error(c->cx, c->at, "%s: %s does not match %s", who,
                                    dim_text(c->cx, a, k), dim_text(c->cx, b, k));
    }
    return true;
}

TVal tensor_join(Elab *cx, const TVal *part, int n, int axis, Span at) {
    Attr attr = {.axis = axis};
    TVal t = tensor_add(cx, OP_concat, &attr, part, n, NULL, at);
    for (int k = 0; k < t.type.rank && tensor_ok(&t); k++)
        for (int i = 0; i < n; i++)
            if (!t.name[k] && k != axis) t.name[k] = part[i].name[k];
    return t;
}

/* Empty slices, which have no node, vanish. */
static int drop_empty(TVal *part, int n) {
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (tensor_ok(&part[i])) part[kept++] = part[i];
    return kept;
}

bool run_concat(Call *c, Val *out) {
    TVal *part;
    int n, axis;
    if (!parts_of(c, &part, &n) || !call_axis(c, &part[0], &axis) || !parts_match(c, part, n, axis))
        return false;
    n = drop_empty(part, n);
    if (n == 0) return report_error(c->cx, c->arg_span[0], "every part of this concat is empty");
    TVal t = tensor_join(c->cx, part, n, axis, c->at);
    return call_return(&t, out);
}

TVal tensor_insert_axis(Elab *cx, const TVal *x, int axis, Span at) {
    int64_t dim[RANK];
    const char *name[RANK] = {0};
    for (int i = 0, k = 0; i <= x->type.rank; i++) {
        name[i] = i == axis ? NULL : x->name[k];
        dim[i] = i == axis ? 1 : x->type.dim[k++];
    }
    TVal t = tensor_reshape(cx, x, x->type.rank + 1, dim, at);
    memcpy(t.name, name, sizeof name);
    return t;
}

bool run_stack(Call *c, Val *out) {
    TVal *part;
    int n, axis;
    if (!parts_of(c, &part, &n) || !parts_match(c, part, n, -1)) return false;
    if (part[0].type.rank == RANK)
        return report_error(c->cx, c->at, "a tensor can have at most %d dimensions", RANK);
    TVal whole = {.ref = part[0].ref, .type = {.rank = (int8_t)(part[0].type.rank + 1)}};
    if (!call_axis(c, &whole, &axis)) return false;
    for (int i = 0; i < n; i++) part[i] = tensor_insert_axis(c->cx, &part[i], axis, c->at);
    TVal t = tensor_join(c->cx, part, n, axis, c->at);
    return call_return(&t, out);
}

bool run_pad(Call *c, Val *out) {
    TVal x;
    int axis;
    int64_t before, after, size;
    if (!call_tensor(c, 0, &x) || !call_int(c, 1, &before) || !call_int(c, 2, &after) ||
        !call_axis(c, &x, &axis))
        return false;
    if (before < 0 || after < 0)
        return report_error(c->cx, c->at, "pad adds zeros, and cannot add %lld",
                            (long long)(before < 0 ? before : after));
    if (__builtin_add_overflow(before, after, &size) ||
        !dims_valid(1, &(int64_t){size ? size : 1}, &(Err){0}))
        return report_error(c->cx, c->at, "pad adds more than 2^40 zeros");
    Attr attr = {.pad = {.rank = x.type.rank}};
    attr.pad.lo[axis] = before;
    attr.pad.hi[axis] = after;
    TVal t = tensor_add(c->cx, OP_pad, &attr, &x, 1, NULL, c->at);
    memcpy(t.name, x.name, sizeof t.name);
    if (size) unname(&t, axis);
    return call_return(&t, out);
}

/* ---- order along an axis */

TVal tensor_cut(Elab *cx, const TVal *x, int axis, int64_t start, int64_t step, int64_t size,
                Span at) {
    Attr attr = {.slice = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        attr.slice.step[i] = 1;
        attr.slice.size[i] = x->type.dim[i];
    }
    attr.slice.start[axis] = start;
    attr.slice.step[axis] = step;
    attr.slice.size[axis] = size;
    TVal t = tensor_add(cx, OP_slice, &attr, x, 1, NULL, at);
    memcpy(t.name, x->name, sizeof t.name);
    return t;
}

bool run_flip(Call *c, Val *out) {
    TVal x;
    Axes axes;
    if (!call_tensor(c, 0, &x) || !over_resolve(c->cx, c->over, &x, &axes)) return false;
    for (int i = 0; i < axes.n && tensor_ok(&x); i++) {
        int64_t n = x.type.dim[axes.at[i]];
        x = tensor_cut(c->cx, &x, axes.at[i], n - 1, -1, n, c->at);
    }
    return call_return(&x, out);
}

/* roll(x, n)[i] = x[i - n], the end coming round to the front. */
bool run_roll(Call *c, Val *out) {
    TVal x;
    int axis = 0;
    int64_t by;
    if (!call_tensor(c, 0, &x) || !call_int(c, 1, &by)) return false;
    if (!c->over && x.type.rank != 1) {
        report_error(c->cx, c->at, "roll must name a dimension of %s with 'over'",
                     tval_describe(c->cx, &x));
        diag_hint(c->cx->diag, "roll(x, %lld over -1)", (long long)by);
        return false;
    }
    if (c->over && !call_axis(c, &x, &axis)) return false;
    int64_t n = x.type.dim[axis], k = (by % n + n) % n;
    if (k == 0) return call_return(&x, out);
    TVal end = tensor_cut(c->cx, &x, axis, n - k, 1, k, c->at);
    TVal start = tensor_cut(c->cx, &x, axis, 0, 1, n - k, c->at);
    TVal t = tensor_join(c->cx, (TVal[]){end, start}, 2, axis, c->at);
    t.name[axis] = x.name[axis];
    return call_return(&t, out);
}

/* ---- tables of rows */

/* An index that is plain from the graph: a constant, or a count 0, 1, ... (position(iota(T)) with
 * too short a table). */
static bool index_provable(Call *c, const TVal *x, const TVal *i, int axis) {
    const Node *n = graph_node(c->cx->g, i->ref);
    int64_t size = x->type.dim[axis], most = -1;
    if (n->op == OP_iota)
        most = n->type[0].dim[n->attr.axis] - 1;
    else if (n->op == OP_const)
        most = n->attr.num < 0 ? size : (int64_t)n->attr.num;
    if (most < size) return true;
    long long bad = n->op == OP_const ? (long long)n->attr.num : (long long)most;
    return report_error(c->cx, c->at, "index %lld is outside %s", bad, axis_text(c->cx, x, axis));
}

static bool index_leading(Call *c, const TVal *x, TVal *i, int axis) {
    if (i->type.rank == 0 && axis > 0) { /* one index for all rows */
        TVal shape = *x;
        shape.type.rank = (int8_t)axis;
        shape.type.batch_axis = NO_BATCH;
        *i = tensor_expand(c->cx, i, &shape, c->at);
        return tensor_ok(i);
    }
    bool ok = i->type.rank >= axis;
    for (int k = 0; k < axis && ok; k++) ok = x->type.dim[k] == i->type.dim[k];
    if (ok) return true;
    report_error(
        c->cx, c->at, "cannot %s %s by %s over %s: the dimensions before that must be the same",
        c->b->name, tval_describe(c->cx, x), tval_describe(c->cx, i), dim_text(c->cx, x, axis));
    return false;
}

static bool table_index(Call *c, const TVal *x, int axis, TVal *i) {
    if (!val_tensor(c->cx, &c->arg[1], DT_i32, c->arg_span[1], i)) return false;
    if (i->type.dtype != DT_i32) {
        report_error(c->cx, c->arg_span[1], "%s takes indices of type i32, not %s", c->b->name,
                     tval_describe(c->cx, i));
        diag_hint(c->cx->diag, "cast(i, i32)");
        return false;
    }
    if (!index_provable(c, x, i, axis) || !index_leading(c, x, i, axis)) return false;
    if (x->type.rank - 1 + i->type.rank - axis <= RANK) return true;
    return report_error(c->cx, c->at, "a tensor can have at most %d dimensions", RANK);
}

/* The shape of x[:axis] + i[axis:] + x[axis+1:], with names. */
static TVal rows_shape(const TVal *x, const TVal *i, int axis) {
    TVal t = {.ref = REF_NONE, .type = type_scalar(x->type.dtype)};
    int n = 0;
    for (int k = 0; k < i->type.rank; k++, n++) {
        t.name[n] = k < axis && !i->name[k] ? x->name[k] : i->name[k];
        t.type.dim[n] = i->type.dim[k];
    }
    for (int k = axis + 1; k < x->type.rank; k++, n++) {
        t.name[n] = x->name[k];
        t.type.dim[n] = x->type.dim[k];
    }
    t.type.rank = (int8_t)n;
    return t;
}

bool run_take(Call *c, Val *out) {
    TVal in[2];
    int axis;
    if (!call_tensor(c, 0, &in[0]) || !call_axis(c, &in[0], &axis) ||
        !table_index(c, &in[0], axis, &in[1]))
        return false;
    Attr attr = {.axis = axis};
    TVal shape = rows_shape(&in[0], &in[1], axis),
         t = tensor_add(c->cx, OP_take, &attr, in, 2, NULL, c->at);
    memcpy(t.name, shape.name, sizeof t.name);
    return call_return(&t, out);
}

static bool expandable(const TVal *v, const TVal *shape) {
    int shift = shape->type.rank - v->type.rank;
    for (int k = 0; k < v->type.rank; k++)
        if (shift < 0 || (v->type.dim[k] != 1 && v->type.dim[k] != shape->type.dim[k + shift]))
            return false;
    return shift >= 0;
}

bool run_put(Call *c, Val *out) {
    TVal in[3];
    int axis;
    if (!call_tensor(c, 0, &in[0]) || !call_axis(c, &in[0], &axis) ||
        !table_index(c, &in[0], axis, &in[1]))
        return false;
    TVal shape = rows_shape(&in[0], &in[1], axis), *v = &in[2];
    if (!val_tensor(c->cx, &c->arg[2], in[0].type.dtype, c->arg_span[2], v)) return false;
    const char *name = c->b->name, *table = tval_describe(c->cx, &in[0]);
    if (v->type.dtype != in[0].type.dtype)
        return report_error(c->cx, c->at, "cannot %s %s into %s: %s and %s do not mix", name,
                            tval_describe(c->cx, v), table, dtype_name(v->type.dtype),
                            dtype_name(in[0].type.dtype));
    if (!expandable(v, &shape))
        return report_error(c->cx, c->at, "cannot %s %s into %s: the rows to set are %s", name,
                            tval_describe(c->cx, v), table, tval_describe(c->cx, &shape));
    *v = tensor_expand(c->cx, v, &shape, c->at);
    Attr attr = {.axis = axis};
    TVal t = tensor_add(c->cx, c->b->op, &attr, in, 3, NULL, c->at);
    memcpy(t.name, in[0].name, sizeof t.name);
    return call_return(&t, out);
}

bool run_compact(Call *c, Val *out) {
    TVal mask;
    int axis;
    int64_t k;
    if (!call_tensor(c, 0, &mask) || !tensor_takes(c->cx, &mask, TAKES_bools, "compact", c->at))
        return false;
    if (!call_int(c, 1, &k) || !call_axis(c, &mask, &axis)) return false;
    if (axis != mask.type.rank - 1)
        return report_error(c->cx, c->over->span, "compact goes over the last dimension");
    if (k < 1 || k > mask.type.dim[axis])
        return report_error(c->cx, c->arg_span[1],
                            "compact keeps between 1 and %s places, not %lld",
                            dim_text(c->cx, &mask, axis), (long long)k);
    Attr attr = {.count = k};
    TVal at = tensor_add(c->cx, OP_compact, &attr, &mask, 1, NULL, c->at);
    if (!tensor_ok(&at)) return false;
    memcpy(at.name, mask.name, sizeof at.name);
    at.name[axis] = c->arg[1].dim;
    TVal real = at;
    real.ref.out = 1;
    real.type = *graph_type(c->cx->g, real.ref);
    Val *two = NEW_N(c->cx->arena, Val, 2);
    two[0] = val_of_tensor(&at);
    two[1] = val_of_tensor(&real);
    *out = val_of_list(VAL_tuple, two, 2);
    return true;
}
