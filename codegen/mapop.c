/* One small function an operator and a table of them. Integers wrap, shifts and divisions never
 * trap: dividing by zero gives zero, and casts from float saturate, as the interpreter says. */
#include "codegen/mapop.h"

#include <math.h>
#include <string.h>

#include "codegen/vecmath.h"

typedef struct MapCx {
    Emit *e;
    Op op;
    DType to, from;
    Value *in;
} MapCx;
typedef Value MapFn(const MapCx *m);

static bool in_f64(DType t) {
    return t == DT_f64;
}
static bool is_unsigned(DType t) {
    return t == DT_u8 || t == DT_bool;
}

/* ---- one input */
static Value map_neg(const MapCx *m) {
    return dtype_is_float(m->to) ? v_neg(m->e, m->in[0]) : LLVMBuildNeg(m->e->b, m->in[0], "");
}
static Value map_abs(const MapCx *m) {
    Value x = m->in[0];
    if (dtype_is_float(m->to)) return v_call(m->e, "llvm.fabs", x);
    if (is_unsigned(m->to)) return x;
    Value minus = LLVMBuildNeg(m->e->b, x, "");
    return v_select(m->e, i_cmp(m->e, LLVMIntSLT, x, c_int(x, 0)), minus, x);
}
static Value map_sign(const MapCx *m) {
    Value x = m->in[0];
    if (!dtype_is_float(m->to)) {
        Value above = v_select(m->e, i_cmp(m->e, LLVMIntNE, x, c_int(x, 0)), c_int(x, 1), x);
        return is_unsigned(m->to)
                   ? above
                   : v_select(m->e, i_cmp(m->e, LLVMIntSLT, x, c_int(x, 0)), c_int(x, -1), above);
    }
    Value y =
        v_select(m->e, v_cmpc(m->e, LLVMRealOGT, x, 0), c_float(x, 1), x); /* zeros and NaN stay */
    return v_select(m->e, v_cmpc(m->e, LLVMRealOLT, x, 0), c_float(x, -1), y);
}
static Value map_floor(const MapCx *m) {
    return v_call(m->e, "llvm.floor", m->in[0]);
}
static Value map_math(const MapCx *m) {
    if (in_f64(m->to)) return vecmath_lanes(m->e, m->op, m->in[0], NULL);
    return vecmath_table[m->op](m->e, m->in[0]);
}
static Value map_not(const MapCx *m) {
    return LLVMBuildNot(m->e->b, m->in[0], "");
}

/* ---- casts */
static Value saturate(Emit *e, const char *name, Value x, LType to) {
    LType t[] = {to, LLVMTypeOf(x)};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Value f = LLVMGetIntrinsicDeclaration(e->module, id, t, 2);
    return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->cx, id, t, 2), f, &x, 1, "");
}
static Value cast_float(Emit *e, DType to, DType from, Value x) { /* from a float */
    LType t = e_vector(reg_type(e, to));
    if (to == DT_bool) return v_cmpc(e, LLVMRealUNE, x, 0);
    if (to == DT_u8) return saturate(e, "llvm.fptoui.sat", x, t);
    if (!dtype_is_float(to)) return saturate(e, "llvm.fptosi.sat", x, t);
    if (in_f64(to) != in_f64(from))
        x = in_f64(to) ? LLVMBuildFPExt(e->b, x, t, "") : LLVMBuildFPTrunc(e->b, x, t, "");
    return to == DT_bf16 && from != DT_bf16 ? v_round_bf16(e, x) : x;
}
Value map_cast(Emit *e, DType to, DType from, Value x) {
    LType t = e_vector(reg_type(e, to));
    if (to == from) return x;
    if (dtype_is_float(from)) return cast_float(e, to, from, x);
    if (to == DT_bool) return i_cmp(e, LLVMIntNE, x, c_int(x, 0));
    if (dtype_is_float(to)) {
        Value y =
            is_unsigned(from) ? LLVMBuildUIToFP(e->b, x, t, "") : LLVMBuildSIToFP(e->b, x, t, "");
        return to == DT_bf16 ? v_round_bf16(e, y) : y;
    }
    return LLVMBuildIntCast2(e->b, x, t, !is_unsigned(from), "");
}
static Value map_cast_op(const MapCx *m) {
    return map_cast(m->e, m->to, m->from, m->in[0]);
}

/* ---- arithmetic */
static Value map_add(const MapCx *m) {
    return dtype_is_float(m->to) ? v_add(m->e, m->in[0], m->in[1])
                                 : i_add(m->e, m->in[0], m->in[1]);
}
static Value map_sub(const MapCx *m) {
    return dtype_is_float(m->to) ? v_sub(m->e, m->in[0], m->in[1])
                                 : i_sub(m->e, m->in[0], m->in[1]);
}
static Value map_mul(const MapCx *m) {
    return dtype_is_float(m->to) ? v_mul(m->e, m->in[0], m->in[1])
                                 : i_mul(m->e, m->in[0], m->in[1]);
}
/* Floor division of up to 32 bits in f64, which separates any two different quotients: no division
 * traps. */
static Value divide_narrow(const MapCx *m) {
    Emit *e = m->e;
    Value wide[2];
    for (int i = 0; i < 2; i++) wide[i] = map_cast(e, DT_f64, m->to, m->in[i]);
    Value q = v_call(e, "llvm.floor", v_div(e, wide[0], wide[1]));
    q = v_select(e, v_cmpc(e, LLVMRealOEQ, wide[1], 0), c_float(q, 0), q);
    return map_cast(e, m->to, DT_i64, map_cast(e, DT_i64, DT_f64, q)); /* wraps: INT32_MIN / -1 */
}
static Value divide_wide(const MapCx *m) {
    Emit *e = m->e;
    Value x = m->in[0], y = m->in[1], zero = i_cmp(e, LLVMIntEQ, y, c_int(y, 0)),
          minus = i_cmp(e, LLVMIntEQ, y, c_int(y, -1));
    Value safe = v_select(e, LLVMBuildOr(e->b, zero, minus, ""), c_int(y, 1), y);
    Value q = LLVMBuildSDiv(e->b, x, safe, ""), rest = i_sub(e, x, i_mul(e, q, safe));
    Value below = i_cmp(e, LLVMIntSLT, i_xor(e, x, safe), c_int(x, 0));
    below = LLVMBuildAnd(e->b, i_cmp(e, LLVMIntNE, rest, c_int(x, 0)), below, "");
    q = i_add(e, q, LLVMBuildSExt(e->b, below, LLVMTypeOf(x), ""));
    return v_select(e, zero, c_int(x, 0), v_select(e, minus, LLVMBuildNeg(e->b, x, ""), q));
}
static Value map_div(const MapCx *m) {
    if (dtype_is_float(m->to)) return v_div(m->e, m->in[0], m->in[1]);
    return m->to == DT_i64 ? divide_wide(m) : divide_narrow(m);
}
/* Sign of the divisor: the exact remainder of C's fmod, moved once by the divisor where signs
 * differ. */
static Value mod_float(const MapCx *m) {
    Emit *e = m->e;
    Value y = m->in[1], r = LLVMBuildFRem(e->b, m->in[0], y, ""), zero = c_float(r, 0);
    Value differ = v_cmp(e, LLVMRealOLT, y, zero);
    differ = LLVMBuildXor(e->b, v_cmp(e, LLVMRealOLT, r, zero), differ, "");
    differ = LLVMBuildAnd(e->b, differ, v_cmp(e, LLVMRealONE, r, zero), "");
    return v_select(e, differ, v_add(e, r, y), r);
}
static Value map_mod(const MapCx *m) {
    if (dtype_is_float(m->to)) return mod_float(m);
    Value y = m->in[1], r = i_sub(m->e, m->in[0], i_mul(m->e, map_div(m), y));
    return v_select(m->e, i_cmp(m->e, LLVMIntEQ, y, c_int(y, 0)), c_int(y, 0), r);
}
static Value map_pow(const MapCx *m) {
    if (in_f64(m->to)) return vecmath_lanes(m->e, OP_pow, m->in[0], m->in[1]);
    return vecmath_pow(m->e, m->in[0], m->in[1]);
}

/* ---- order */
static Value less(Emit *e, DType t, Value x, Value y) {
    if (dtype_is_float(t)) return v_cmp(e, LLVMRealOLT, x, y);
    return i_cmp(e, is_unsigned(t) ? LLVMIntULT : LLVMIntSLT, x, y);
}
static Value keep_nan(Emit *e, DType t, Value x, Value y) { /* x where it is NaN */
    return dtype_is_float(t) ? v_select(e, v_is_nan(e, x), x, y) : y;
}
static Value smaller(Emit *e, DType t, Value x,
                     Value y) { /* NaN if either is: a NaN in y fails the comparison and stays */
    return keep_nan(e, t, x, v_select(e, less(e, t, x, y), x, y));
}
static Value larger(Emit *e, DType t, Value x, Value y) {
    return keep_nan(e, t, x, v_select(e, less(e, t, y, x), x, y));
}
static Value map_minimum(const MapCx *m) {
    return smaller(m->e, m->to, m->in[0], m->in[1]);
}
static Value map_maximum(const MapCx *m) {
    return larger(m->e, m->to, m->in[0], m->in[1]);
}

static Value map_eq(const MapCx *m) {
    return dtype_is_float(m->from) ? v_cmp(m->e, LLVMRealOEQ, m->in[0], m->in[1])
                                   : i_cmp(m->e, LLVMIntEQ, m->in[0], m->in[1]);
}
static Value map_ne(const MapCx *m) {
    return dtype_is_float(m->from) ? v_cmp(m->e, LLVMRealUNE, m->in[0], m->in[1])
                                   : i_cmp(m->e, LLVMIntNE, m->in[0], m->in[1]);
}
static Value map_lt(const MapCx *m) {
    return less(m->e, m->from, m->in[0], m->in[1]);
}
static Value map_le(const MapCx *m) {
    if (dtype_is_float(m->from)) return v_cmp(m->e, LLVMRealOLE, m->in[0], m->in[1]);
    return i_cmp(m->e, is_unsigned(m->from) ? LLVMIntULE : LLVMIntSLE, m->in[0], m->in[1]);
}
static Value map_and(const MapCx *m) {
    return LLVMBuildAnd(m->e->b, m->in[0], m->in[1], "");
}
static Value map_or(const MapCx *m) {
    return LLVMBuildOr(m->e->b, m->in[0], m->in[1], "");
}
static Value map_where(const MapCx *m) {
    return v_select(m->e, m->in[0], m->in[1], m->in[2]);
}

static MapFn *const map_table[OP_COUNT] = {
    [OP_neg] = map_neg,         [OP_abs] = map_abs,         [OP_sign] = map_sign,
    [OP_floor] = map_floor,     [OP_exp] = map_math,        [OP_log] = map_math,
    [OP_log1p] = map_math,      [OP_expm1] = map_math,      [OP_sqrt] = map_math,
    [OP_rsqrt] = map_math,      [OP_tanh] = map_math,       [OP_sigmoid] = map_math,
    [OP_erf] = map_math,        [OP_sin] = map_math,        [OP_cos] = map_math,
    [OP_not] = map_not,         [OP_cast] = map_cast_op,    [OP_add] = map_add,
    [OP_sub] = map_sub,         [OP_mul] = map_mul,         [OP_div] = map_div,
    [OP_mod] = map_mod,         [OP_pow] = map_pow,         [OP_eq] = map_eq,
    [OP_ne] = map_ne,           [OP_lt] = map_lt,           [OP_le] = map_le,
    [OP_and] = map_and,         [OP_or] = map_or,           [OP_where] = map_where,
    [OP_minimum] = map_minimum, [OP_maximum] = map_maximum,
};

/* bf16 is computed in f32 and rounded after every operator, as it would be if it were stored. */
Value map_emit(Emit *e, Op op, DType to, DType from, Value *in) {
    MapCx m = {e, op, to, from, in};
    if (!map_table[op]) BUG("no code for the operator '%s'", op_info[op].name);
    Value y = map_table[op](&m);
    return to == DT_bf16 && op != OP_cast && op != OP_where ? v_round_bf16(e, y) : y;
}

/* ---- reductions */
static Value least(Emit *e, DType t) {
    LType v = e_vector(reg_type(e, t));
    if (dtype_is_float(t)) return c_float(LLVMConstNull(v), -(double)INFINITY);
    int64_t x = t == DT_i32 ? INT32_MIN : t == DT_i64 ? INT64_MIN : t == DT_i8 ? INT8_MIN : 0;
    return c_int(LLVMConstNull(v), x);
}
static Value greatest(Emit *e, DType t) {
    LType v = e_vector(reg_type(e, t));
    if (dtype_is_float(t)) return c_float(LLVMConstNull(v), (double)INFINITY);
    int64_t x = t == DT_i32 ? INT32_MAX : t == DT_i64 ? INT64_MAX : t == DT_i8 ? INT8_MAX : -1;
    return c_int(LLVMConstNull(v), x);
}
Value map_identity(Emit *e, Op op, DType t) {
    if (op == OP_sum) return LLVMConstNull(e_vector(reg_type(e, t)));
    return op == OP_min ? greatest(e, t) : least(e, t);
}
Value map_accumulate(Emit *e, Op op, DType t, Value acc, Value x) {
    if (op == OP_sum) return dtype_is_float(t) ? v_add(e, acc, x) : i_add(e, acc, x);
    return op == OP_min ? smaller(e, t, x, acc) : larger(e, t, x, acc);
}
Value map_beats(Emit *e, DType t, Value y, Value j, Value x, Value i) {
    Value wins = less(e, t, x, y), earlier = i_cmp(e, LLVMIntSLT, j, i);
    Value equal = dtype_is_float(t) ? v_cmp(e, LLVMRealOEQ, x, y) : i_cmp(e, LLVMIntEQ, x, y);
    if (dtype_is_float(t)) {
        Value y_nan = v_is_nan(e, y), x_nan = v_is_nan(e, x);
        wins = LLVMBuildOr(e->b, wins, LLVMBuildAnd(e->b, y_nan, LLVMBuildNot(e->b, x_nan, ""), ""),
                           "");
        equal = LLVMBuildOr(e->b, equal, LLVMBuildAnd(e->b, y_nan, x_nan, ""), "");
    }
    return LLVMBuildOr(e->b, wins, LLVMBuildAnd(e->b, equal, earlier, ""), "");
}
