/* Vector-Jacobian products, one a row of the table of operators: given the cotangent of a node's
 * result, give one to each float input. They are built of operators that have rules themselves, so
 * that second order works. The cotangent given may have the broadcast shape (vjp_give sums it),
 * never a smaller one. NaN and infinities arise only where the derivative itself has them. */
#include "passes/internal.h"

/* ---- short hands */

static Ref unary(Vjp *v, Op op, Ref x) {
    return g_unary(v->g, op, x, v->at);
}
static Ref binary(Vjp *v, Op op, Ref x, Ref y) {
    return g_binary(v->g, op, x, y, v->at);
}
static Ref add(Vjp *v, Ref x, Ref y) {
    return binary(v, OP_add, x, y);
}
static Ref sub(Vjp *v, Ref x, Ref y) {
    return binary(v, OP_sub, x, y);
}
static Ref mul(Vjp *v, Ref x, Ref y) {
    return binary(v, OP_mul, x, y);
}
static Ref divide(Vjp *v, Ref x, Ref y) {
    return binary(v, OP_div, x, y);
}
static Ref neg(Vjp *v, Ref x) {
    return unary(v, OP_neg, x);
}
static Ref where(Vjp *v, Ref c, Ref x, Ref y) {
    return g_where(v->g, c, x, y, v->at);
}
static const Type *type_of(const Vjp *v, Ref r) {
    return graph_type(v->g, r);
}
static Ref num(Vjp *v, double c) {
    return g_const(v->g, type_of(v, v->gy)->dtype, c, v->at);
}
static Ref scale(Vjp *v, double c, Ref x) {
    return mul(v, num(v, c), x);
}
static Ref expand_like(Vjp *v, Ref x, Ref like) {
    const Type *t = type_of(v, like);
    return g_expand(v->g, x, t->rank, t->dim, v->at);
}
static Ref zeros_like(Vjp *v, Ref like) {
    return g_fill(v->g, type_of(v, like), 0, v->at);
}
static Ref with_attr(Vjp *v, Op op, const Attr *attr, const Ref *in, int nin) {
    return graph_add(v->g, op, attr, in, nin, NULL, v->at);
}

/* ---- no gradient */

void vjp_zero(Vjp *v) {
    (void)v;
}
void vjp_leaf(Vjp *v) {
    (void)v;
}
void vjp_none(Vjp *v) {
    vjp_fail(v, op_info[v->n->op].name);
}

/* ---- pointwise, one input */

static void vjp_neg(Vjp *v) {
    vjp_give(v, 0, neg(v, v->gy));
}
static void vjp_abs(Vjp *v) {
    vjp_give(v, 0, mul(v, v->gy, unary(v, OP_sign, v->x[0])));
}
static void vjp_exp(Vjp *v) {
    vjp_give(v, 0, mul(v, v->gy, v->y));
}
static void vjp_log(Vjp *v) {
    vjp_give(v, 0, divide(v, v->gy, v->x[0]));
}
static void vjp_log1p(Vjp *v) {
    vjp_give(v, 0, divide(v, v->gy, add(v, v->x[0], num(v, 1))));
}
static void vjp_expm1(Vjp *v) {
    vjp_give(v, 0, mul(v, v->gy, add(v, v->y, num(v, 1))));
}
static void vjp_sqrt(Vjp *v) {
    vjp_give(v, 0, divide(v, scale(v, 0.5, v->gy), v->y));
}
static void vjp_rsqrt(Vjp *v) { /* y = x^-1/2: y' = -y^3 / 2, no division */
    Ref cube = mul(v, mul(v, v->y, v->y), v->y);
    vjp_give(v, 0, mul(v, scale(v, -0.5, v->gy), cube));
}
static void vjp_tanh(Vjp *v) {
    Ref square = mul(v, v->y, v->y);
    vjp_give(v, 0, mul(v, v->gy, sub(v, num(v, 1), square)));
}
static void vjp_sigmoid(Vjp *v) {
    vjp_give(v, 0, mul(v, v->gy, mul(v, v->y, sub(v, num(v, 1), v->y))));
}
static void vjp_erf(Vjp *v) {
    const double two_over_root_pi = 1.12837916709551257390;
    Ref bell = unary(v, OP_exp, neg(v, mul(v, v->x[0], v->x[0])));
    vjp_give(v, 0, mul(v, scale(v, two_over_root_pi, v->gy), bell));
}
static void vjp_sin(Vjp *v) {
    vjp_give(v, 0, mul(v, v->gy, unary(v, OP_cos, v->x[0])));
}
static void vjp_cos(Vjp *v) {
    vjp_give(v, 0, neg(v, mul(v, v->gy, unary(v, OP_sin, v->x[0]))));
}
static void vjp_cast(Vjp *v) {
    if (vjp_wants(v, 0)) vjp_give(v, 0, g_cast(v->g, v->gy, type_of(v, v->x[0])->dtype, v->at));
}

/* ---- pointwise, two and three inputs */

static void vjp_add(Vjp *v) {
    vjp_give(v, 0, v->gy);
    vjp_give(v, 1, v->gy);
}
static void vjp_sub(Vjp *v) {
    vjp_give(v, 0, v->gy);
    if (vjp_wants(v, 1)) vjp_give(v, 1, neg(v, v->gy));
}
static void vjp_mul(Vjp *v) {
    if (vjp_wants(v, 0)) vjp_give(v, 0, mul(v, v->gy, v->x[1]));
    if (vjp_wants(v, 1)) vjp_give(v, 1, mul(v, v->gy, v->x[0]));
}
static void vjp_div(Vjp *v) { /* (a / b)' by b = -(a / b) / b: y is there, b^2 might overflow */
    Ref share = divide(v, v->gy, v->x[1]);
    vjp_give(v, 0, share);
    if (vjp_wants(v, 1)) vjp_give(v, 1, neg(v, mul(v, share, v->y)));
}
static void vjp_mod(Vjp *v) { /* a - b floor(a / b) */
    vjp_give(v, 0, v->gy);
    if (vjp_wants(v, 1)) {
        Ref turns = unary(v, OP_floor, divide(v, v->x[0], v->x[1]));
        vjp_give(v, 1, neg(v, mul(v, v->gy, turns)));
    }
}

static Ref power(Vjp *v, Ref x, double c) {
    return c == 1 ? x : binary(v, OP_pow, x, num(v, c));
}
static void pow_by_base(Vjp *v) {
    Ref x = v->x[0], p = v->x[1];
    double c;
    if (const_value(v->g, p, &c)) {
        if (c == 0) return;
        Ref less = c == 1 ? num(v, 1) : power(v, x, c - 1);
        vjp_give(v, 0, mul(v, scale(v, c, v->gy), less));
        return;
    }
    /* x^0 is flat everywhere, also at x = 0 where 0 * x^-1 would be NaN */
    Ref slope = mul(v, p, binary(v, OP_pow, x, sub(v, p, num(v, 1))));
    Ref flat = binary(v, OP_eq, p, num(v, 0));
    vjp_give(v, 0, mul(v, v->gy, where(v, flat, num(v, 0), slope)));
}
static void vjp_pow(Vjp *v) {
    if (vjp_wants(v, 0)) pow_by_base(v);
    if (!vjp_wants(v, 1)) return;
    /* 0^p stays 0 for p > 0: its logarithm must not enter, not even times zero */
    Ref zero = binary(v, OP_eq, v->x[0], num(v, 0));
    Ref log = unary(v, OP_log, where(v, zero, num(v, 1), v->x[0]));
    vjp_give(v, 1, mul(v, v->gy, mul(v, v->y, log)));
}

/* The winner gets it all, equals get half each, and a NaN nothing. */
static void give_winner(Vjp *v, Ref first_wins, Ref second_wins) {
    Ref zero = num(v, 0), tie = binary(v, OP_eq, v->x[0], v->x[1]), half = scale(v, 0.5, v->gy);
    if (vjp_wants(v, 0)) vjp_give(v, 0, where(v, tie, half, where(v, first_wins, v->gy, zero)));
    if (vjp_wants(v, 1)) vjp_give(v, 1, where(v, tie, half, where(v, second_wins, v->gy, zero)));
}
static void vjp_minimum(Vjp *v) {
    Ref more = binary(v, OP_lt, v->x[1], v->x[0]), less = binary(v, OP_lt, v->x[0], v->x[1]);
    give_winner(v, less, more);
}
static void vjp_maximum(Vjp *v) {
    Ref less = binary(v, OP_lt, v->x[0], v->x[1]), more = binary(v, OP_lt, v->x[1], v->x[0]);
    give_winner(v, more, less);
}

static void vjp_where(Vjp *v) { /* a choice, not a product: what was not chosen may be infinite */
    Ref zero = num(v, 0);
    if (vjp_wants(v, 1)) vjp_give(v, 1, where(v, v->x[0], v->gy, zero));
    if (vjp_wants(v, 2)) vjp_give(v, 2, where(v, v->x[0], zero, v->gy));
}

/* ---- shape */

static void vjp_reshape(Vjp *v) {
    const Type *t = type_of(v, v->x[0]);
    vjp_give(v, 0, g_reshape(v->g, v->gy, t->rank, t->dim, v->at));
}
static void vjp_expand(Vjp *v) {
    vjp_give(v, 0, v->gy);
}
static void vjp_transpose(Vjp *v) {
    int back[RANK] = {0}, rank = v->n->attr.perm.rank;
    for (int i = 0; i < rank; i++) back[v->n->attr.perm.axis[i]] = i;
    vjp_give(v, 0, g_transpose(v->g, v->gy, back, v->at));
}

/* Turned round along these axes. */
static Ref flip(Vjp *v, Ref x, uint32_t axes) {
    const Type *t = type_of(v, x);
    Attr a = {.slice.rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        bool back = (axes >> i & 1) && t->dim[i] > 1;
        a.slice.start[i] = back ? t->dim[i] - 1 : 0;
        a.slice.step[i] = back ? -1 : 1;
        a.slice.size[i] = t->dim[i];
    }
    return axes ? with_attr(v, OP_slice, &a, &x, 1) : x;
}
/* What is left of a slice with its axes of negative step turned round has positive steps. */
static void vjp_slice(Vjp *v) {
    const Type *t = type_of(v, v->x[0]);
    uint32_t back = 0;
    for (int i = 0; i < v->n->attr.slice.rank && i < RANK; i++)
        if (v->n->attr.slice.step[i] < 0) back |= 1u << i;
    Ref g = flip(v, v->gy, back);
    Attr pad = {.pad.rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        int64_t start = v->n->attr.slice.start[i], step = v->n->attr.slice.step[i];
        int64_t span = (v->n->attr.slice.size[i] - 1) * (step < 0 ? -step : step);
        pad.pad.lo[i] = step < 0 ? start - span : start;
        pad.pad.gap[i] = (step < 0 ? -step : step) - 1;
        pad.pad.hi[i] = t->dim[i] - pad.pad.lo[i] - span - 1;
    }
    vjp_give(v, 0, with_attr(v, OP_pad, &pad, &g, 1));
}
static void vjp_pad(Vjp *v) {
    const Type *t = type_of(v, v->x[0]);
    Attr cut = {.slice.rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        cut.slice.start[i] = v->n->attr.pad.lo[i];
        cut.slice.step[i] = v->n->attr.pad.gap[i] + 1;
        cut.slice.size[i] = t->dim[i];
    }
    vjp_give(v, 0, with_attr(v, OP_slice, &cut, &v->gy, 1));
}
static void vjp_concat(Vjp *v) {
    int axis = v->n->attr.axis;
    int64_t at = 0;
    for (int k = 0; k < v->n->nin; k++) {
        const Type *t = type_of(v, v->x[k]);
        Attr cut = {.slice.rank = t->rank};
        for (int i = 0; i < t->rank; i++) {
            cut.slice.start[i] = i == axis ? at : 0;
            cut.slice.step[i] = 1;
            cut.slice.size[i] = t->dim[i];
        }
        at += t->dim[axis];
        if (vjp_wants(v, k)) vjp_give(v, k, with_attr(v, OP_slice, &cut, &v->gy, 1));
    }
}

/* ---- reductions and products */

static void vjp_sum(Vjp *v) {
    vjp_give(v, 0, expand_like(v, v->gy, v->x[0]));
}

static void share_among_equals(Vjp *v) {
    Ref won = binary(v, OP_eq, v->x[0], v->y);
    DType t = type_of(v, v->gy)->dtype;
    Ref count = g_reduce(v->g, OP_sum, g_cast(v->g, won, t, v->at), v->n->attr.axes, v->at);
    Ref zero = num(v, 0);
    vjp_give(v, 0, where(v, won, divide(v, v->gy, count), zero));
}
static void vjp_max(Vjp *v) {
    share_among_equals(v);
}
static void vjp_min(Vjp *v) {
    share_among_equals(v);
}

/* Every label that one operand lacks is in the result, so each gradient is a product of the same
 * kind. */
static void vjp_dot(Vjp *v) {
    const char *la = v->n->attr.dot.a, *lb = v->n->attr.dot.b, *lo = v->n->attr.dot.out;
    for (int i = 0; i < 2; i++) {
        if (!vjp_wants(v, i)) continue;
        Ref d = i == 0 ? g_dot(v->g, v->gy, v->x[1], lo, lb, la, v->at)
                       : g_dot(v->g, v->x[0], v->gy, la, lo, lb, v->at);
        vjp_give(v, i, g_cast(v->g, d, type_of(v, v->x[i])->dtype, v->at));
    }
}

/* ---- tables */

static Ref take_rows(Vjp *v, Ref x, Ref index) {
    Attr a = {.axis = v->n->attr.axis};
    return with_attr(v, OP_take, &a, (Ref[]){x, index}, 2);
}
static Ref put_rows(Vjp *v, Op op, Ref x, Ref index, Ref rows) {
    Attr a = {.axis = v->n->attr.axis};
    return with_attr(v, op, &a, (Ref[]){x, index, rows}, 3);
}

/* One element of each row taken: its place in the row, compared along the axis. Unlike rows added
 * to a table this is pointwise, and joins the kernel of what else reaches x (the softmax of a
 * loss). */
static Ref put_back_one(Vjp *v) {
    Type t = *type_of(v, v->x[0]), index = *type_of(v, v->x[1]), rows = t;
    int axis = v->n->attr.axis;
    for (int i = axis; i < t.rank; i++) index.dim[i] = 1;
    rows.dim[axis] = 1;
    Type line = type_make(DT_i32, t.rank, index.dim);
    for (int i = 0; i < axis; i++) line.dim[i] = 1;
    line.dim[axis] = t.dim[axis];
    Ref place = graph_add(v->g, OP_iota, &(Attr){.axis = axis}, NULL, 0, &line, v->at);
    Ref here = binary(v, OP_eq, place, g_reshape(v->g, v->x[1], t.rank, index.dim, v->at));
    Ref zero = num(v, 0);
    return where(v, here, g_reshape(v->g, v->gy, t.rank, rows.dim, v->at), zero);
}
static void vjp_take(Vjp *v) {
    if (!vjp_wants(v, 0)) return;
    if (type_of(v, v->x[1])->rank == v->n->attr.axis)
        vjp_give(v, 0, put_back_one(v));
    else
        vjp_give(v, 0, put_rows(v, OP_put_add, zeros_like(v, v->x[0]), v->x[1], v->gy));
}
static void vjp_put_add(Vjp *v) {
    vjp_give(v, 0, v->gy);
    if (vjp_wants(v, 2)) vjp_give(v, 2, take_rows(v, v->gy, v->x[1]));
}

/* Which of the rows put is the one that stays: each leaves its number in a table as it is put, and
 * reads it back. */
static Ref put_winners(Vjp *v) { /* bool, the shape of the indices */
    int axis = v->n->attr.axis;
    Type t = *type_of(v, v->x[0]), it = *type_of(v, v->x[1]);
    Type line = type_make(DT_i32, axis + 1, it.dim), table = type_make(DT_i32, axis + 1, t.dim);
    line.dim[axis] = 1;
    for (int i = axis; i < it.rank; i++) line.dim[axis] *= it.dim[i];
    Attr along = {.axis = axis};
    Ref number = graph_add(v->g, OP_iota, &along, NULL, 0, &line, v->at);
    number = g_reshape(v->g, number, it.rank, it.dim, v->at);
    Ref written = put_rows(v, OP_put, g_fill(v->g, &table, 0, v->at), v->x[1], number);
    return binary(v, OP_eq, take_rows(v, written, v->x[1]), number);
}
static void vjp_put(Vjp *v) {
    if (vjp_wants(v, 0))
        vjp_give(v, 0, put_rows(v, OP_put, v->gy, v->x[1], zeros_like(v, v->x[2])));
    if (!vjp_wants(v, 2)) return;
    Ref won = put_winners(v), rows = take_rows(v, v->gy, v->x[1]);
    Type t = *type_of(v, v->x[2]), wide = *type_of(v, won);
    for (int i = wide.rank; i < t.rank; i++) wide.dim[i] = 1;
    won = g_reshape(v->g, won, t.rank, wide.dim, v->at);
    vjp_give(v, 2, where(v, won, rows, num(v, 0)));
}

/* An element is in the sums from its own place on: what is summed from the other end. */
static void vjp_cumsum(Vjp *v) {
    uint32_t along = 1u << v->n->attr.axis;
    Ref back = flip(v, v->gy, along);
    vjp_give(v, 0, flip(v, with_attr(v, OP_cumsum, &v->n->attr, &back, 1), along));
}

/* ---- windows: each other's adjoint, but for what the result has along them */

static void vjp_window(Vjp *v, Op op) {
    Attr a = v->n->attr;
    for (int i = 0; i < a.window.rank; i++)
        a.window.dim[i] = type_of(v, v->x[0])->dim[a.window.axis + i];
    vjp_give(v, 0, with_attr(v, op, &a, &v->gy, 1));
}
static void vjp_unfold(Vjp *v) {
    vjp_window(v, OP_fold);
}
static void vjp_fold(Vjp *v) {
    vjp_window(v, OP_unfold);
}

VjpFn *const vjp_table[OP_COUNT] = {
#define OP(name, arity, attr, shape, vjp, lower, flags) [OP_##name] = vjp_##vjp,
#include "ir/ops.def"
#undef OP
};
