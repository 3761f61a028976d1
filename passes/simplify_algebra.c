/* Algebra on pointwise operators: identities, signs, constant factors, powers, choices and casts. A
 * zero's sign may change, a NaN never goes away, and x / c stays a division unless c is a power of
 * two (then the product is exact). */
#include "passes/simplify.h"

#include <math.h>

static bool is_const(const Rewrite *r, int i, double want) {
    double v;
    return rewrite_const(r, i, &v) && v == want;
}
static Ref unary(const Rewrite *r, Op op, Ref x) {
    return g_unary(r->g, op, x, r->n->span);
}
static Ref binary(const Rewrite *r, Op op, Ref x, Ref y) {
    return g_binary(r->g, op, x, y, r->n->span);
}
static Ref number(const Rewrite *r, double v) {
    return g_const(r->g, r->n->type[0].dtype, v, r->n->span);
}

/* A whole tensor of one value broadcasts as well as a scalar, where the other side has the shape of
 * the result. */
static Ref scalar_operand(const Rewrite *r) {
    for (int i = 0; i < 2; i++) {
        const Type *t = rewrite_input_type(r, i);
        double v;
        if (t->rank == 0 || !rewrite_const(r, i, &v) ||
            !type_same_shape(rewrite_input_type(r, 1 - i), &r->n->type[0]))
            continue;
        Ref in[2] = {r->in[0], r->in[1]};
        in[i] = g_const(r->g, t->dtype, v, r->n->span);
        return binary(r, r->n->op, in[0], in[1]);
    }
    return REF_NONE;
}

/* ---- sums and signs */

static Ref add_zero(const Rewrite *r) {
    for (int i = 0; i < 2; i++)
        if (is_const(r, i, 0)) return rewrite_expand(r, r->in[1 - i]);
    return REF_NONE;
}
static Ref add_neg(const Rewrite *r) {
    for (int i = 0; i < 2; i++)
        if (rewrite_input(r, i)->op == OP_neg)
            return binary(r, OP_sub, r->in[1 - i], rewrite_input(r, i)->in[0]);
    return REF_NONE;
}
/* x plus rows added into zeros: they can be added into x. */
static Ref add_rows(const Rewrite *r) {
    for (int i = 0; i < 2; i++) {
        const Node *rows = rewrite_input(r, i);
        double v;
        if (rows->op != OP_put_add || !const_value(r->g, rows->in[0], &v) || v != 0) continue;
        if (r->uses[r->n->in[i].node] > 1) continue;
        if (!type_same_shape(rewrite_input_type(r, 1 - i), &r->n->type[0])) continue;
        Ref in[3] = {r->in[1 - i], rows->in[1], rows->in[2]};
        return graph_add(r->g, OP_put_add, &rows->attr, in, 3, NULL, rows->span);
    }
    return REF_NONE;
}
static Ref sub_zero(const Rewrite *r) {
    if (is_const(r, 1, 0)) return rewrite_expand(r, r->in[0]);
    if (is_const(r, 0, 0)) return rewrite_expand(r, unary(r, OP_neg, r->in[1]));
    return REF_NONE;
}
static Ref sub_neg(const Rewrite *r) {
    if (rewrite_input(r, 1)->op == OP_neg)
        return binary(r, OP_add, r->in[0], rewrite_input(r, 1)->in[0]);
    return REF_NONE;
}
static Ref neg_inside(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    double c;
    if (x->op == OP_neg) return x->in[0];
    if (x->op == OP_sub) return binary(r, OP_sub, x->in[1], x->in[0]);
    for (int i = 0; i < 2 && x->op == OP_mul; i++)
        if (const_value(r->g, x->in[i], &c))
            return rewrite_expand(r, binary(r, OP_mul, number(r, -c), x->in[1 - i]));
    return REF_NONE;
}

/* ---- products */

static Ref mul_one(const Rewrite *r) {
    for (int i = 0; i < 2; i++) {
        if (is_const(r, i, 1)) return rewrite_expand(r, r->in[1 - i]);
        if (is_const(r, i, -1)) return rewrite_expand(r, unary(r, OP_neg, r->in[1 - i]));
    }
    return REF_NONE;
}
/* c (k x) is (c k) x, c (-x) is (-c) x */
static Ref mul_scales(const Rewrite *r) {
    for (int i = 0; i < 2; i++) {
        const Node *x = rewrite_input(r, 1 - i);
        double c, k;
        if (!rewrite_const(r, i, &c)) continue;
        if (x->op == OP_neg) return rewrite_expand(r, binary(r, OP_mul, number(r, -c), x->in[0]));
        for (int j = 0; j < 2 && x->op == OP_mul && dtype_is_float(x->type[0].dtype); j++)
            if (const_value(r->g, x->in[j], &k) && isfinite(c * k) &&
                (c * k != 0 || c == 0 || k == 0))
                return rewrite_expand(r, binary(r, OP_mul, number(r, c * k), x->in[1 - j]));
    }
    return REF_NONE;
}
static Ref mul_neg(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0), *y = rewrite_input(r, 1);
    if (x->op == OP_neg && y->op == OP_neg) return binary(r, OP_mul, x->in[0], y->in[0]);
    return REF_NONE;
}
static Ref div_const(const Rewrite *r) {
    double c;
    int exponent;
    if (!rewrite_const(r, 1, &c)) return REF_NONE;
    if (c == 1) return rewrite_expand(r, r->in[0]);
    bool power = dtype_is_float(r->n->type[0].dtype) && fabs(frexp(c, &exponent)) == 0.5;
    if (power && exponent > -100 && exponent < 100)
        return rewrite_expand(r, binary(r, OP_mul, r->in[0], number(r, 1 / c)));
    return REF_NONE;
}
static Ref div_sqrt(const Rewrite *r) { /* 1 / sqrt(x) */
    const Node *y = rewrite_input(r, 1);
    if (y->op == OP_sqrt && is_const(r, 0, 1))
        return rewrite_expand(r, unary(r, OP_rsqrt, y->in[0]));
    return REF_NONE;
}

/* ---- powers */

static Ref pow_const(const Rewrite *r) {
    Ref x = r->in[0], to = REF_NONE;
    double c;
    if (!rewrite_const(r, 1, &c)) return REF_NONE;
    if (c == 0) return rewrite_fill(r, 1);
    if (c == 1) to = x;
    if (c == 0.5) to = unary(r, OP_sqrt, x);
    if (c == -0.5) to = unary(r, OP_rsqrt, x);
    if (fabs(c) == 1 || fabs(c) == 2 || fabs(c) == 3 || fabs(c) == 4) {
        Ref square = fabs(c) > 1 ? binary(r, OP_mul, x, x) : x;
        to = fabs(c) == 3   ? binary(r, OP_mul, square, x)
             : fabs(c) == 4 ? binary(r, OP_mul, square, square)
                            : square;
        to = c < 0 ? binary(r, OP_div, number(r, 1), to) : to;
    }
    return ref_is(to) ? rewrite_expand(r, to) : REF_NONE;
}

/* ---- choices, logic, casts */

static Ref where_known(const Rewrite *r) {
    double c;
    if (rewrite_const(r, 0, &c)) return rewrite_expand(r, r->in[c != 0 ? 1 : 2]);
    if (ref_same(r->in[1], r->in[2])) return rewrite_expand(r, r->in[1]);
    if (rewrite_input(r, 0)->op == OP_not)
        return g_where(r->g, rewrite_input(r, 0)->in[0], r->in[2], r->in[1], r->n->span);
    return REF_NONE;
}
static Ref not_not(const Rewrite *r) {
    return rewrite_input(r, 0)->op == OP_not ? rewrite_input(r, 0)->in[0] : REF_NONE;
}
static Ref same_operands(const Rewrite *r) { /* and, or, minimum, maximum of x with itself */
    return ref_same(r->in[0], r->in[1]) ? r->in[0] : REF_NONE;
}
static Ref logic_const(const Rewrite *r) {
    double c;
    for (int i = 0; i < 2; i++)
        if (rewrite_const(r, i, &c)) /* true is what `and` ignores and `or` becomes */
            return (c != 0) == (r->n->op == OP_and) ? rewrite_expand(r, r->in[1 - i])
                                                    : rewrite_fill(r, c != 0);
    return REF_NONE;
}

/* Does every value of type `from` survive in `to`? */
static bool holds(DType to, DType from) {
    static const unsigned wider[DT_COUNT] = {
        [DT_f32] = 1u << DT_f64,
        [DT_bf16] = 1u << DT_f32 | 1u << DT_f64,
        [DT_i32] = 1u << DT_i64 | 1u << DT_f64,
        [DT_u8] = 1u << DT_i32 | 1u << DT_i64 | 1u << DT_f32 | 1u << DT_f64 | 1u << DT_bf16,
        [DT_i8] = 1u << DT_i32 | 1u << DT_i64 | 1u << DT_f32 | 1u << DT_f64 | 1u << DT_bf16,
        [DT_bool] =
            1u << DT_u8 | 1u << DT_i32 | 1u << DT_i64 | 1u << DT_f32 | 1u << DT_f64 | 1u << DT_bf16,
    };
    return to == from || (wider[from] >> to & 1);
}
static Ref cast_again(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    DType to = r->n->type[0].dtype;
    if (rewrite_input_type(r, 0)->dtype == to) return r->in[0];
    if (x->op == OP_cast && holds(x->type[0].dtype, graph_type(r->g, x->in[0])->dtype))
        return g_cast(r->g, x->in[0], to, r->n->span);
    return REF_NONE;
}

const Rule algebra_rules[] = {
    {OP_add, add_zero},
    {OP_add, add_neg},
    {OP_add, add_rows},
    {OP_sub, sub_zero},
    {OP_sub, sub_neg},
    {OP_neg, neg_inside},
    {OP_mul, mul_one},
    {OP_mul, mul_scales},
    {OP_mul, mul_neg},
    {OP_div, div_const},
    {OP_div, div_sqrt},
    {OP_pow, pow_const},
    {OP_where, where_known},
    {OP_not, not_not},
    {OP_and, same_operands},
    {OP_and, logic_const},
    {OP_or, same_operands},
    {OP_or, logic_const},
    {OP_minimum, same_operands},
    {OP_maximum, same_operands},
    {OP_cast, cast_again},
    {OP_add, scalar_operand},
    {OP_sub, scalar_operand},
    {OP_mul, scalar_operand},
    {OP_div, scalar_operand},
    {OP_mod, scalar_operand},
    {OP_pow, scalar_operand},
    {OP_minimum, scalar_operand},
    {OP_maximum, scalar_operand},
    {OP_eq, scalar_operand},
    {OP_ne, scalar_operand},
    {OP_lt, scalar_operand},
    {OP_le, scalar_operand},
};
const size_t algebra_count = sizeof algebra_rules / sizeof *algebra_rules;
