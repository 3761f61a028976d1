/* scan(init, xs over T, fn (carry, x) { return (carry, y) }): a recurrence along one dimension. It
 * is a loop at run time (builtin_loop.c) wherever one call says what all calls do. Else the fn is
 * called once for each place, with the carry that the call before returned, and what it returns
 * beside is stacked along the dimension; the graph, and so the time to compile, then grows with the
 * length. */
#include "frontend/scan.h"

#include <string.h>

static bool parts_read(Elab *cx, const Val *v, Span at, Parts *out) {
    bool tuple = v->kind == VAL_tuple || v->kind == VAL_list;
    *out = (Parts){.n = tuple ? v->list.n : v->kind != VAL_none, .tuple = tuple};
    out->at = NEW_N(cx->arena, TVal, out->n + 1);
    for (int i = 0; i < out->n; i++)
        if (!tensor_of(cx, tuple ? &v->list.at[i] : v, at, &out->at[i])) return false;
    return true;
}

static Val parts_value(Elab *cx, const Parts *p) {
    Val *at = NEW_N(cx->arena, Val, p->n + 1);
    for (int i = 0; i < p->n; i++) at[i] = val_of_tensor(&p->at[i]);
    if (p->tuple) return val_of_list(VAL_tuple, at, p->n);
    return p->n ? at[0] : (Val){.kind = VAL_none};
}

static bool read_sequence(Scan *s) {
    Call *c = s->c;
    if (!parts_read(s->cx, &c->arg[1], c->arg_span[1], &s->xs)) return false;
    if (s->xs.n == 0) return report_error(s->cx, c->arg_span[1], "scan needs something to go over");
    s->axis = NEW_N(s->cx->arena, int, s->xs.n);
    for (int i = 0; i < s->xs.n; i++) {
        const TVal *x = &s->xs.at[i], *first = &s->xs.at[0];
        if (!call_axis(c, x, &s->axis[i])) return false;
        int64_t n = x->type.dim[s->axis[i]];
        if (i == 0) s->length = n;
        if (n != s->length)
            return report_error(s->cx, c->at, "cannot scan %s beside %s: %s does not match %s",
                                tval_describe(s->cx, x), tval_describe(s->cx, first),
                                dim_text(s->cx, x, s->axis[i]), dim_text(s->cx, first, s->axis[0]));
    }
    return true;
}

TVal scan_drop(Scan *s, const TVal *x, int axis) {
    int64_t dim[RANK];
    const char *name[RANK] = {0};
    int rank = 0;
    for (int k = 0; k < x->type.rank; k++) {
        if (k == axis) continue;
        name[rank] = x->name[k];
        dim[rank++] = x->type.dim[k];
    }
    TVal t = tensor_reshape(s->cx, x, rank, dim, s->c->at);
    memcpy(t.name, name, sizeof name);
    return t;
}

static bool carry_fits(Scan *s, const Parts *next, Span at) {
    Val was = parts_value(s->cx, &s->carry), is = parts_value(s->cx, next);
    if (next->n != s->carry.n || next->tuple != s->carry.tuple)
        return report_error(s->cx, at, "the carry of this scan begins as %s and becomes %s",
                            val_describe(s->cx, &was), val_describe(s->cx, &is));
    for (int i = 0; i < next->n; i++) {
        const TVal *a = &s->carry.at[i], *b = &next->at[i];
        if (a->type.dtype == b->type.dtype && type_same_shape(&a->type, &b->type)) continue;
        report_error(s->cx, at, "the carry of this scan begins as %s and becomes %s",
                     tval_describe(s->cx, a), tval_describe(s->cx, b));
        diag_hint(s->cx->diag, "every call takes and returns a carry of one shape and type");
        return false;
    }
    return true;
}

bool scan_call(Scan *s, const Parts *x, Parts *y) {
    Call *c = s->c;
    Parts next;
    CallArg arg[2] = {{NULL, parts_value(s->cx, &s->carry), c->arg_span[0]},
                      {NULL, parts_value(s->cx, x), c->arg_span[1]}};
    Val out;
    Span at = c->arg_span[2];
    if (!call_value(s->cx, &c->arg[2], arg, 2, NULL, at, &out)) return false;
    if (out.kind != VAL_tuple || out.list.n != 2) {
        report_error(s->cx, at, "a scan's fn returns (carry, y), not %s",
                     val_describe(s->cx, &out));
        diag_hint(s->cx->diag, "where nothing is kept of each call: return (carry, None)");
        return false;
    }
    if (!parts_read(s->cx, &out.list.at[0], at, &next) || !carry_fits(s, &next, at) ||
        !parts_read(s->cx, &out.list.at[1], at, y))
        return false;
    s->carry = next;
    return true;
}

static bool call_at(Scan *s, int64_t t, Parts *y) {
    Parts x = {NEW_N(s->cx->arena, TVal, s->xs.n), s->xs.n, s->xs.tuple};
    for (int i = 0; i < x.n; i++) {
        TVal one = tensor_cut(s->cx, &s->xs.at[i], s->axis[i], t, 1, 1, s->c->at);
        x.at[i] = scan_drop(s, &one, s->axis[i]);
        if (!tensor_ok(&x.at[i])) return false;
    }
    return scan_call(s, &x, y);
}

bool scan_can_stack(Scan *s, const TVal *y) {
    int axis = s->axis[0];
    if (y->type.rank >= axis && y->type.rank < RANK) return true;
    return report_error(s->cx, s->c->at, "%s cannot be stacked along dimension %d",
                        tval_describe(s->cx, y), axis);
}

/* Result `k` of all calls, along the dimension that xs had. */
static bool stack(Scan *s, const Parts *y, int k, TVal *out) {
    int axis = s->axis[0];
    TVal *part = NEW_N(s->cx->arena, TVal, s->length);
    for (int64_t t = 0; t < s->length; t++) {
        if (y[t].n != y[0].n || !type_same_shape(&y[t].at[k].type, &y[0].at[k].type) ||
            y[t].at[k].type.dtype != y[0].at[k].type.dtype)
            return report_error(s->cx, s->c->at, "the calls of this scan return different things");
        if (!scan_can_stack(s, &y[t].at[k])) return false;
        part[t] = tensor_insert_axis(s->cx, &y[t].at[k], axis, s->c->at);
    }
    *out = tensor_join(s->cx, part, (int)s->length, axis, s->c->at);
    out->name[axis] = s->xs.at[0].name[axis];
    return tensor_ok(out);
}

static bool call_all(Scan *s, Parts *ys) {
    Parts *y = NEW_N(s->cx->arena, Parts, s->length);
    for (int64_t t = 0; t < s->length; t++)
        if (!call_at(s, t, &y[t])) return false;
    *ys = y[0];
    ys->at = NEW_N(s->cx->arena, TVal, ys->n + 1);
    for (int k = 0; k < ys->n; k++)
        if (!stack(s, y, k, &ys->at[k])) return false;
    return true;
}

bool run_scan(Call *c, Val *out) {
    Scan s = {.c = c, .cx = c->cx};
    Parts ys;
    bool done = false;
    if (!read_sequence(&s) || !parts_read(s.cx, &c->arg[0], c->arg_span[0], &s.carry)) return false;
    if (s.length > MAX_RESULTS)
        return report_error(s.cx, c->at, "a scan goes over at most %d places, not %lld",
                            MAX_RESULTS, (long long)s.length);
    if (!scan_loop(&s, &ys, &done) || (!done && !call_all(&s, &ys))) return false;
    Val *two = NEW_N(s.cx->arena, Val, 2);
    two[0] = parts_value(s.cx, &s.carry);
    two[1] = parts_value(s.cx, &ys);
    *out = val_of_list(VAL_tuple, two, 2);
    return true;
}
