/* Arithmetic of the compile-time phase. Integers are exact in 64 bits and overflow is an error; `/`
 * gives an integer where it divides and a float elsewhere; everything else is a double. Integers
 * that are dimensions keep their text ("4*d") and whether they count samples of the batch. */
#include "frontend/expr.h"

#include <math.h>
#include <string.h>

enum { DIM_TEXT = 24 }; /* longer names of dimensions are shown as their digits */

static bool overflow(Elab *cx, BinaryOp op, int64_t a, int64_t b, Span at) {
    return report_error(cx, at, "%lld %s %lld does not fit a 64-bit integer", (long long)a,
                        binary_name(op), (long long)b);
}

static bool int_pow(Elab *cx, int64_t a, int64_t b, Span at, Val *out) {
    int64_t r = 1;
    for (int64_t e = b, base = a; e; e >>= 1) {
        if ((e & 1) && __builtin_mul_overflow(r, base, &r)) return overflow(cx, BIN_pow, a, b, at);
        if (e > 1 && __builtin_mul_overflow(base, base, &base))
            return overflow(cx, BIN_pow, a, b, at);
    }
    *out = val_of_int(r);
    return true;
}

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

static int64_t floor_mod(int64_t a, int64_t b) {
    int64_t r = a % b;
    return (r != 0 && (r < 0) != (b < 0)) ? r + b : r;
}

static bool int_divide(Elab *cx, BinaryOp op, int64_t a, int64_t b, Span at, Val *out) {
    if (b == 0) return report_error(cx, at, "division by zero");
    if (b == -1) { /* INT64_MIN / -1 traps */
        if (op == BIN_mod) {
            *out = val_of_int(0);
            return true;
        }
        if (a == INT64_MIN) return overflow(cx, op, a, b, at);
    }
    if (op == BIN_div)
        *out = a % b == 0 ? val_of_int(a / b) : val_of_float((double)a / (double)b);
    else if (op == BIN_floordiv)
        *out = val_of_int(floor_div(a, b));
    else
        *out = val_of_int(floor_mod(a, b));
    return true;
}

static bool int_binary(Elab *cx, BinaryOp op, int64_t a, int64_t b, Span at, Val *out) {
    int64_t r = 0;
    bool bad = false;
    switch (op) {
    case BIN_add: bad = __builtin_add_overflow(a, b, &r); break;
    case BIN_sub: bad = __builtin_sub_overflow(a, b, &r); break;
    case BIN_mul: bad = __builtin_mul_overflow(a, b, &r); break;
    case BIN_pow: return int_pow(cx, a, b, at, out);
    default: return int_divide(cx, op, a, b, at, out);
    }
    if (bad) return overflow(cx, op, a, b, at);
    *out = val_of_int(r);
    return true;
}

static bool float_binary(Elab *cx, BinaryOp op, double a, double b, Span at, Val *out) {
    double r = 0;
    if (b == 0 && (op == BIN_div || op == BIN_floordiv || op == BIN_mod))
        return report_error(cx, at, "division by zero");
    switch (op) {
    case BIN_add: r = a + b; break;
    case BIN_sub: r = a - b; break;
    case BIN_mul: r = a * b; break;
    case BIN_div: r = a / b; break;
    case BIN_floordiv: r = floor(a / b); break;
    case BIN_mod: r = a - floor(a / b) * b; break;
    default: r = pow(a, b); break;
    }
    if (!isfinite(r) && isfinite(a) && isfinite(b))
        return report_error(cx, at, "%s %s %s is not a finite number", number_text(cx, a),
                            binary_name(op), number_text(cx, b));
    *out = val_of_float(r);
    return true;
}

static bool compare(BinaryOp op, const Val *a, const Val *b) {
    bool ints = a->kind == VAL_int && b->kind == VAL_int;
    double x = val_double(a), y = val_double(b);
    switch (op) {
    case BIN_lt: return ints ? a->i < b->i : x < y;
    case BIN_le: return ints ? a->i <= b->i : x <= y;
    case BIN_gt: return ints ? a->i > b->i : x > y;
    default: return ints ? a->i >= b->i : x >= y;
    }
}

/* ---- what an integer is called as a dimension */

static const char *operand_text(Elab *cx, const Val *v, const char *wrap) {
    const char *s = v->dim ? v->dim : val_text(cx, v);
    return strpbrk(s, wrap) ? arena_printf(cx->arena, "(%s)", s) : s;
}

static const char *result_text(Elab *cx, BinaryOp op, const Val *a, const Val *b) {
    if (!a->dim && !b->dim) return NULL;
    bool sum = op == BIN_add || op == BIN_sub;
    const char *left = operand_text(cx, a, sum ? "" : "+-"),
               *right = operand_text(cx, b,
                                     op == BIN_add ? ""
                                     : sum         ? "+-"
                                                   : "+-*/%");
    const char *gap = sum ? " " : "";
    char *s = arena_printf(cx->arena, "%s%s%s%s%s", left, gap, binary_name(op), gap, right);
    return strlen(s) > DIM_TEXT ? NULL : s;
}

/* Whole multiples of the batch count samples too: 2*B, B*k, B + B. */
static bool result_batch(BinaryOp op, const Val *a, const Val *b) {
    if (op == BIN_mul) return a->batch != b->batch;
    return op == BIN_add && a->batch && b->batch;
}

static bool arithmetic(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span at, Val *out) {
    bool ints = a->kind == VAL_int && b->kind == VAL_int && !(op == BIN_pow && b->i < 0);
    if (!ints) return float_binary(cx, op, val_double(a), val_double(b), at, out);
    if (!int_binary(cx, op, a->i, b->i, at, out)) return false;
    if (out->kind == VAL_int) {
        out->dim = result_text(cx, op, a, b);
        out->batch = result_batch(op, a, b);
    }
    return true;
}

bool number_binary(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span at, Val *out) {
    switch (op) {
    case BIN_eq: *out = val_of_bool(val_same(a, b)); return true;
    case BIN_ne: *out = val_of_bool(!val_same(a, b)); return true;
    case BIN_lt:
    case BIN_le:
    case BIN_gt:
    case BIN_ge: *out = val_of_bool(compare(op, a, b)); return true;
    case BIN_and:
    case BIN_pipe:
        return report_error(cx, at, "%s combines true and false, not numbers", binary_name(op));
    default: return arithmetic(cx, op, a, b, at, out);
    }
}

bool number_negate(Elab *cx, const Val *a, Span at, Val *out) {
    if (a->kind == VAL_float) {
        *out = val_of_float(-a->f);
        return true;
    }
    if (a->i == INT64_MIN) return overflow(cx, BIN_sub, 0, a->i, at);
    *out = val_of_int(-a->i);
    return true;
}

bool number_integer(Elab *cx, double f, const char *what, Span at, Val *out) {
    if (!(fabs(f) < 9223372036854774784.0))
        return report_error(cx, at, "%s of %s does not fit a 64-bit integer", what,
                            number_text(cx, f));
    *out = val_of_int((int64_t)f);
    return true;
}

static double apply(Op op, double x) {
    switch (op) {
    case OP_exp: return exp(x);
    case OP_log: return log(x);
    case OP_log1p: return log1p(x);
    case OP_expm1: return expm1(x);
    case OP_sqrt: return sqrt(x);
    case OP_rsqrt: return 1 / sqrt(x);
    case OP_tanh: return tanh(x);
    case OP_sigmoid: return 1 / (1 + exp(-x));
    case OP_erf: return erf(x);
    case OP_sin: return sin(x);
    case OP_cos: return cos(x);
    case OP_abs: return fabs(x);
    case OP_sign: return (x > 0) - (x < 0);
    default: BUG("%s of a number", op_info[op].name);
    }
}

bool number_unary(Elab *cx, Op op, const Val *a, Span at, Val *out) {
    if (op == OP_abs && a->kind == VAL_int) {
        if (a->i < 0) return number_negate(cx, a, at, out);
        *out = *a;
        return true;
    }
    double x = val_double(a), r = apply(op, x);
    if (!isfinite(r))
        return report_error(cx, at, "%s(%s) is not a finite number", op_info[op].name,
                            val_text(cx, a));
    *out = op == OP_sign ? val_of_int((int64_t)r) : val_of_float(r);
    return true;
}
