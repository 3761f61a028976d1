/* Polynomials are minimax fits (Remez) made for these intervals; argument reductions follow Cody
 * and Waite, Software Manual for the Elementary Functions (1980), and for log1p Kahan's correction.
 * sin, cos and pow reduce in f64, where the plain formulas are exact enough; scaling by powers of
 * two is done in two steps so that denormal results round once, or by the one instruction that
 * AVX-512 has for it: the same bits. */
#include "codegen/vecmath.h"

#include <math.h>
#include <string.h>

#define POLY(e, x, ...)                                                                            \
    v_poly(e, x, (const double[]){__VA_ARGS__},                                                    \
           (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))
#define INF ((double)INFINITY)

static const double LN2_HI = 0.693145751953125,
                    LN2_LO = 1.428606765330187e-6; /* the high part has 16 bits */

/* ---- exp: x = n ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 2^23 rounds to an integer and leaves it in
 * the low bits: no conversion that a NaN would make undefined. */
typedef struct Reduced {
    Value r, n, exponent; /* exponent: i32, n 2^23 */
} Reduced;

static Reduced reduce_exp(Emit *e, Value x) {
    const double magic = 0x1.8p23;
    Value t = v_mad(e, x, c_float(x, 1.4426950408889634), c_float(x, magic)),
          n = v_addc(e, t, -magic);
    Value r = v_mad(e, n, c_float(x, -LN2_HI), x);
    r = v_mad(e, n, c_float(x, -LN2_LO), r);
    return (Reduced){r, n, i_shl(e, e_bits(e, t, e->vi32), 23)};
}
static Value power_of_two(Emit *e, Value exponent) { /* of n 2^23, n from -126 to 127 */
    return e_bits(e, i_add(e, exponent, c_int(exponent, 0x3f800000)), e->vf32);
}
static Value exp_minus_one(Emit *e, Value r) { /* e^r - 1 for a reduced r */
    Value p = POLY(e, r, 0.5000000068, 0.1666666586, 0.04166629374, 0.008333497874, 0.001394475483,
                   0.0001979018378);
    return v_mad(e, v_mul(e, r, r), p, r);
}
static Value clamp(Emit *e, Value x, double low, double high) { /* a NaN passes */
    return v_max(e, c_float(x, low), v_min(e, c_float(x, high), x));
}
/* p 2^n, rounded once, in one instruction. */
static Value scale_avx512(Emit *e, Value p, Value n) {
    enum { AS_SET = 4 }; /* the rounding that the thread has */
    LType mask = LLVMIntTypeInContext(e->cx, LANES);
    Value arg[] = {p, n, p, LLVMConstAllOnes(mask), LLVMConstInt(e->i32, AS_SET, 0)};
    const char *name = "llvm.x86.avx512.mask.scalef.ps.512";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Value f = LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0);
    return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->cx, id, NULL, 0), f, arg, 5, "");
}
/* p 2^n, n from -252 to 254: in two factors, the second of which rounds. */
static Value scale(Emit *e, Value p, const Reduced *t) {
    if (e->avx512) return scale_avx512(e, p, t->n);
    Value half = LLVMBuildAShr(e->b, t->exponent, c_int(t->exponent, 1), "");
    half = i_and(e, half, c_int(half, (int32_t)0xff800000));
    Value second = power_of_two(e, i_sub(e, t->exponent, half));
    return v_mul(e, v_mul(e, p, power_of_two(e, half)), second);
}
/* What is nearer to 0 than to any other number, as all that softmax masks is, does not go through
 * the scaling: a result that small costs an Intel processor over a hundred cycles. */
static Value vm_exp(Emit *e, Value x) {
    Value zero = c_float(x, 0), nothing = v_cmpc(e, LLVMRealOLT, x, -103.97208);
    x = v_min(e, c_float(x, 89.0), x);
    Reduced t = reduce_exp(e, v_select(e, nothing, zero, x));
    return v_select(e, nothing, zero, scale(e, v_addc(e, exp_minus_one(e, t.r), 1.0), &t));
}
/* For x from -80 to 80, or NaN, where the result is a normal number. */
static Value exp_normal(Emit *e, Value x) {
    Reduced t = reduce_exp(e, x);
    Value p = v_addc(e, exp_minus_one(e, t.r), 1.0);
    return e->avx512 ? scale_avx512(e, p, t.n) : v_mul(e, p, power_of_two(e, t.exponent));
}

/* e^x - 1 = 2 (2^(n-1) (e^r - 1) + 2^(n-1) - 1/2). */
static Value vm_expm1(Emit *e, Value x) {
    Reduced t = reduce_exp(e, clamp(e, x, -18.0, 89.0));
    Value half = power_of_two(e, i_sub(e, t.exponent, c_int(t.exponent, 1 << 23)));
    Value rest = v_addc(e, half, -0.5);
    Value y = v_mulc(e, v_mad(e, exp_minus_one(e, t.r), half, rest), 2.0);
    Value tiny = v_cmpc(e, LLVMRealOLT, v_call(e, "llvm.fabs", x), 0x1p-25);
    return v_select(e, tiny, x, y);
}

/* ---- log: x = 2^k m with m in [sqrt 1/2, sqrt 2); returns m - 1, k as a float. x positive and
 * finite. */
static Value split_log(Emit *e, Value x, Value *k) {
    Value tiny = v_cmpc(e, LLVMRealOLT, x, 0x1p-126);
    Value bits = e_bits(e, v_select(e, tiny, v_mulc(e, x, 0x1p24), x), e->vi32);
    Value above = i_sub(e, bits, c_int(bits, 0x3f3504f3)); /* sqrt 1/2 */
    Value power = LLVMBuildAShr(e->b, above, c_int(bits, 23), "");
    Value m = e_bits(e, i_sub(e, bits, i_shl(e, power, 23)), e->vf32);
    Value count = LLVMBuildSIToFP(e->b, power, e->vf32, "");
    *k = v_select(e, tiny, v_addc(e, count, -24.0), count);
    return v_addc(e, m, -1.0);
}
/* k ln 2 + log(1 + f) + c */
static Value join_log(Emit *e, Value f, Value k, Value c) {
    Value p = POLY(e, f, 0.3333331262, -0.2500000949, 0.2000211774, -0.1666800196, 0.1421957094,
                   -0.1240548877, 0.1188795317, -0.1167618376, 0.06747712725);
    Value square = v_mul(e, f, f);
    Value tail = v_mul(e, k, c_float(k, LN2_LO));
    tail = v_mad(e, v_mul(e, square, f), p, tail);
    tail = v_add(e, v_mad(e, square, c_float(f, -0.5), tail), c);
    return v_mad(e, k, c_float(k, LN2_HI), v_add(e, f, tail));
}
static Value log_edges(Emit *e, Value x, Value pole, Value y) {
    Value inf = v_cmpc(e, LLVMRealOEQ, x, INF), zero = v_cmp(e, LLVMRealOEQ, x, pole);
    Value below = v_cmp(e, LLVMRealULT, x, pole); /* or NaN */
    y = v_select(e, inf, x, v_select(e, zero, c_float(x, -INF), y));
    return v_select(e, below, c_float(x, (double)NAN), y);
}
Value vecmath_log(Emit *e, Value x) {
    Value k, f = split_log(e, x, &k);
    return log_edges(e, x, c_float(x, 0), join_log(e, f, k, c_float(x, 0)));
}
/* With u = 1 + x rounded, log(1 + x) = log(u) + (x - (u - 1)) / u up to a term far below. */
static Value vm_log1p(Emit *e, Value x) {
    Value u = v_addc(e, x, 1.0), k, f = split_log(e, u, &k);
    Value big = v_cmpc(e, LLVMRealOGT, x, 1.0);
    Value of_x = v_sub(e, x, v_addc(e, u, -1.0)), of_1 = v_sub(e, c_float(x, 1), v_sub(e, u, x));
    Value lost = v_select(e, big, of_1, of_x);
    Value y = join_log(e, f, k, v_div(e, lost, u));
    Value tiny = v_cmpc(e, LLVMRealOLT, v_call(e, "llvm.fabs", x), 0x1p-25);
    return v_select(e, tiny, x, log_edges(e, x, c_float(x, -1), y));
}

/* ---- roots */
static Value vm_sqrt(Emit *e, Value x) {
    return v_call(e, "llvm.sqrt", x);
}
static Value vm_rsqrt(Emit *e, Value x) {
    return v_div(e, c_float(x, 1), vm_sqrt(e, x));
}

/* ---- tanh, sigmoid, erf. e^-a for a >= 0 can neither overflow nor lose the sign. */
static Value vm_tanh(Emit *e, Value x) {
    Value a = v_call(e, "llvm.fabs", x), square = v_mul(e, x, x);
    Value p = POLY(e, square, -0.3333333081, 0.1333320609, -0.053946772, 0.02170074069,
                   -0.008177464954, 0.002143002674);
    Value small = v_mad(e, v_mul(e, square, x), p, x);
    Value t = exp_normal(e, v_mulc(e, v_min(e, c_float(a, 20.0), a), -2.0));
    Value below = v_addc(e, t, 1.0), large = v_div(e, v_sub(e, c_float(x, 1), t), below);
    large = v_copysign(e, large, x);
    return v_select(e, v_cmpc(e, LLVMRealOLT, a, 0.625), small, large);
}
static Value vm_sigmoid(Emit *e, Value x) {
    Value t = vm_exp(e, v_neg(e, v_call(e, "llvm.fabs", x)));
    Value top = v_select(e, v_cmpc(e, LLVMRealOLT, x, 0), t, c_float(x, 1));
    return v_div(e, top, v_addc(e, t, 1.0));
}
/* x p(x^2) as far as 3.92, where erf rounds to 1. x^2 is taken to [-1, 1], around its middle: there
 * the terms of p never exceed its largest value, as erf(sqrt s) / sqrt s falls all the way like
 * e^-s. */
static Value vm_erf(Emit *e, Value x) {
    const double most = 3.92;
    x = clamp(e, x, -most, most);
    Value square = v_mul(e, x, x);
    Value t = v_mad(e, square, c_float(x, 2 / (most * most)), c_float(x, -1));
    Value p = POLY(e, t, 0.3607368171, -0.1801085770, 0.1340834200, -0.1091815159, 0.09062189609,
                   -0.07399367541, 0.05818933249, -0.04356700182, 0.03053486906, -0.01966479048,
                   0.01237524487, -0.008106834255, 0.004139637575, -0.001088726218, 0.0007043438964,
                   -0.0009274454205, 0.0003550355032);
    return clamp(e, v_mul(e, x, p), -1, 1);
}

/* ---- sin, cos: in f64. x = n pi/2 + r; pi/2 in two parts of which the first has 25 bits, so n
 * times it is exact up to 2^28. */
static Value sine_poly(Emit *e, Value r, Value square) {
    Value p = POLY(e, square, -0.16666666641620173, 0.0083333293847620327, -0.00019839334301852021,
                   2.718305176576199e-6);
    return v_mad(e, v_mul(e, square, r), p, r);
}
static Value cosine_poly(Emit *e, Value square) {
    Value p = POLY(e, square, -0.5, 0.041666666622785936, -0.0013888883749858148,
                   2.4799519081717696e-5, -2.7210161550634825e-7);
    return v_mad(e, square, p, c_float(square, 1));
}
/* Quadrant q: its parity swaps the two, its second bit negates. */
static Value pick_quadrant(Emit *e, Value q, Value even, Value odd) {
    Value y = v_select(e, i_cmp(e, LLVMIntNE, i_and(e, q, c_int(q, 1)), c_int(q, 0)), odd, even);
    Value minus = v_neg(e, y);
    return v_select(e, i_cmp(e, LLVMIntNE, i_and(e, q, c_int(q, 2)), c_int(q, 0)), minus, y);
}
/* Through memory and the C library, which reduces with as many digits as it takes. */
static Value huge_lanes(Emit *e, const char *name, Value x, Value huge, Value y) {
    Value slot = e_alloca(e, e->vf32), in = e_alloca(e, e->vf32);
    e_store(e, y, slot);
    Value any = LLVMBuildICmp(e->b, LLVMIntNE, e_bits(e, huge, LLVMIntTypeInContext(e->cx, LANES)),
                              LLVMConstNull(LLVMIntTypeInContext(e->cx, LANES)), "");
    If rare = if_begin(e, any);
    e_store(e, x, in);
    e_extern(e, name, LLVMVoidTypeInContext(e->cx), (Value[]){in}, 1);
    e_store(e, v_select(e, huge, e_load(e, e->vf32, in), y), slot);
    if_end(e, &rare);
    return e_load(e, e->vf32, slot);
}
static Value sine_shifted(Emit *e, Value x, int quadrant, const char *name) {
    Value huge = v_cmpc(e, LLVMRealUGT, v_call(e, "llvm.fabs", x), 0x1p28);
    Value wide = LLVMBuildFPExt(e->b, v_select(e, huge, c_float(x, 0), x), e->vf64, "");
    Value n = v_call(e, "llvm.roundeven", v_mulc(e, wide, 0.63661977236758134));
    Value r = v_mad(e, n, c_float(wide, -1.5707963109016418), wide);
    r = v_mad(e, n, c_float(wide, -1.5893254773528197e-8), r);
    Value square = v_mul(e, r, r);
    Value q = LLVMBuildFPToSI(e->b, n, e->vi32, "");
    q = i_add(e, q, c_int(q, quadrant));
    Value cosine = cosine_poly(e, square);
    Value y = pick_quadrant(e, q, sine_poly(e, r, square), cosine);
    y = LLVMBuildFPTrunc(e->b, y, e->vf32, "");
    if (quadrant == 0) /* keeps the sign of zero */
        y = v_select(e, v_cmpc(e, LLVMRealOEQ, x, 0), x, y);
    return huge_lanes(e, name, x, huge, y);
}
static Value vm_sin(Emit *e, Value x) {
    return sine_shifted(e, x, 0, "upt_sin_lanes");
}
static Value vm_cos(Emit *e, Value x) {
    return sine_shifted(e, x, 1, "upt_cos_lanes");
}

void vecmath_turn(Emit *e, Value t, Value *sine, Value *cosine) {
    Value n = v_call(e, "llvm.roundeven", v_mulc(e, t, 4.0));
    Value r = v_mulc(e, v_mad(e, n, c_float(t, -0.25), t), 6.283185307179586);
    Value square = v_mul(e, r, r), q = LLVMBuildFPToSI(e->b, n, e->vi32, "");
    Value s = sine_poly(e, r, square), c = cosine_poly(e, square);
    *sine = pick_quadrant(e, q, s, c);
    *cosine = pick_quadrant(e, i_add(e, q, c_int(q, 1)), s, c);
}

/* ---- pow: 2^(y log2 |x|) in f64, then the cases of C's Annex F. */
static Value log2_wide(Emit *e, Value a) { /* a: f64, the value of a positive f32 */
    Value bits = e_bits(e, a, e->vi64);
    Value above = i_sub(e, bits, c_int(bits, 0x3fe6a09e667f3bcd));
    Value power = LLVMBuildAShr(e->b, above, c_int(bits, 52), "");
    Value m = e_bits(e, i_sub(e, bits, i_shl(e, power, 52)), e->vf64);
    Value k = LLVMBuildSIToFP(e->b, LLVMBuildTrunc(e->b, power, e->vi32, ""), e->vf64, "");
    Value above_1 = v_addc(e, m, 1.0), s = v_div(e, v_addc(e, m, -1.0), above_1);
    Value p = POLY(e, v_mul(e, s, s), 2.8853900817778493, 0.96179669411472133, 0.57707794192854454,
                   0.41220929974520286, 0.319903630100303, 0.28293133901298739);
    return v_mad(e, s, p, k);
}
static Value exp2_wide(Emit *e, Value t) { /* clamped beyond f32's range on both sides */
    t = v_min(e, c_float(t, 160.0), v_max(e, c_float(t, -200.0), t));
    Value n = v_call(e, "llvm.roundeven", t), r = v_sub(e, t, n);
    Value p = POLY(e, r, 0.99999999996168797, 0.69314718072837612, 0.24022651198118897,
                   0.05550410353630697, 0.0096180272571728365, 0.0013333922434519938,
                   0.00015469290371786769, 1.5201948850859958e-5);
    Value k = LLVMBuildSExt(e->b, LLVMBuildFPToSI(e->b, n, e->vi32, ""), e->vi64, "");
    return v_mul(e, p, e_bits(e, i_shl(e, i_add(e, k, c_int(k, 1023)), 52), e->vf64));
}
static Value is_integer(Emit *e, Value y) {
    return v_cmp(e, LLVMRealOEQ, v_call(e, "llvm.trunc", y), y);
}

/* 2^n, n taken into [least, most]. */
static Value bounded_power(Emit *e, Value n, int least, int most) {
    Value low = c_int(n, least);
    n = i_min(e, n, c_int(n, most));
    n = v_select(e, i_cmp(e, LLVMIntSLT, n, low), low, n);
    return power_of_two(e, i_shl(e, n, 23));
}

/* After Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor"
 * (1990): where r is 1 / m rounded, and the rest that x r leaves is known, one more step gives x /
 * m rounded. Powers of two keep m near 1, so that nothing on the way overflows or vanishes: `up`
 * is at least 1, `down` at most. Infinities and zeros leave no rest: x r is right as it is. */
Value vecmath_divide(Emit *e, Value x, Value y) {
    Value bits = e_bits(e, y, e->vi32), exponent = i_and(e, i_lshr(e, bits, 23), c_int(bits, 255));
    Value up = bounded_power(e, i_sub(e, c_int(exponent, 126), exponent), 0, 127);
    Value down = bounded_power(e, i_sub(e, c_int(exponent, 127), exponent), -126, 0);
    Value m = v_mul(e, v_mul(e, y, up), down), r = v_div(e, c_float(m, 1), m);
    Value near = v_mul(e, x, up), q = v_mul(e, near, r);
    Value rest = v_mad(e, v_neg(e, q), m, near);
    Value better = v_mad(e, rest, r, q);
    return v_mul(e, v_select(e, v_is_nan(e, better), q, better), down);
}

Value vecmath_pow(Emit *e, Value x, Value y) {
    Value a = v_call(e, "llvm.fabs", x), wide = LLVMBuildFPExt(e->b, a, e->vf64, "");
    Value log2 = log2_wide(e, wide);
    log2 = v_select(e, v_cmpc(e, LLVMRealOEQ, a, 0), c_float(log2, -INF), log2);
    log2 = v_select(e, v_cmpc(e, LLVMRealOEQ, a, INF), c_float(log2, INF), log2);
    Value t = v_mul(e, log2, LLVMBuildFPExt(e->b, y, e->vf64, ""));
    t = v_select(e, v_cmpc(e, LLVMRealOEQ, a, 1), c_float(t, 0), t);
    Value nan = v_is_nan(e, y);
    nan = LLVMBuildOr(e->b, v_is_nan(e, x), nan, "");
    t = v_select(e, nan, c_float(t, 0), t);
    t = v_select(e, v_cmpc(e, LLVMRealOEQ, y, 0), c_float(t, 0), t); /* 0 times infinity */
    Value size = LLVMBuildFPTrunc(e->b, exp2_wide(e, t), e->vf32, "");
    Value whole = is_integer(e, y),
          odd = LLVMBuildAnd(e->b, whole, LLVMBuildNot(e->b, is_integer(e, v_mulc(e, y, 0.5)), ""),
                             "");
    Value signed_ = v_select(e, odd, v_copysign(e, size, x), size);
    Value finite = v_cmpc(e, LLVMRealOLT, a, INF);
    Value bad = LLVMBuildAnd(e->b, v_cmpc(e, LLVMRealOLT, x, 0), finite, "");
    bad = LLVMBuildOr(e->b, LLVMBuildAnd(e->b, bad, LLVMBuildNot(e->b, whole, ""), ""), nan, "");
    Value one = v_cmpc(e, LLVMRealOEQ, y, 0);
    one = LLVMBuildOr(e->b, v_cmpc(e, LLVMRealOEQ, x, 1), one, "");
    return v_select(e, one, c_float(x, 1), v_select(e, bad, c_float(x, (double)NAN), signed_));
}

VecMathFn *const vecmath_table[OP_COUNT] = {
    [OP_exp] = vm_exp,   [OP_log] = vecmath_log, [OP_log1p] = vm_log1p, [OP_expm1] = vm_expm1,
    [OP_sqrt] = vm_sqrt, [OP_rsqrt] = vm_rsqrt,  [OP_tanh] = vm_tanh,   [OP_sigmoid] = vm_sigmoid,
    [OP_erf] = vm_erf,   [OP_sin] = vm_sin,      [OP_cos] = vm_cos,
};

/* ---- lane by lane in C */
static double rsqrt_double(double x) {
    return 1 / sqrt(x);
}
static double sigmoid_double(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
/* clang-format off */
#define LANES_OF(X)                                                                                \
    X(exp, exp) X(log, log) X(log1p, log1p) X(expm1, expm1) X(sqrt, sqrt)                          \
    X(rsqrt, rsqrt_double) X(tanh, tanh) X(sigmoid, sigmoid_double) X(erf, erf) X(sin, sin)        \
    X(cos, cos)
/* clang-format on */
#define DEFINE(op, f)                                                                              \
    static void lanes_##op(double *x) {                                                            \
        for (int i = 0; i < LANES; i++) x[i] = f(x[i]);                                            \
    }
LANES_OF(DEFINE)
static void lanes_pow(double *x, const double *y) {
    for (int i = 0; i < LANES; i++) x[i] = pow(x[i], y[i]);
}
static void sin_lanes(float *x) {
    for (int i = 0; i < LANES; i++) x[i] = (float)sin((double)x[i]);
}
static void cos_lanes(float *x) {
    for (int i = 0; i < LANES; i++) x[i] = (float)cos((double)x[i]);
}

/* ISO C has no conversion of functions to void pointers; POSIX does, and a union says so quietly.
 */
#define SYMBOL(n, f) {n, (void *)(uintptr_t)(f)},
#define LANES_SYMBOL(op, f) SYMBOL("upt_lanes_" #op, lanes_##op)
const ExternSymbol vecmath_symbols[] = {LANES_OF(LANES_SYMBOL) SYMBOL("upt_lanes_pow", lanes_pow)
                                            SYMBOL("upt_sin_lanes", sin_lanes)
                                                SYMBOL("upt_cos_lanes", cos_lanes)};
const size_t vecmath_symbol_count = sizeof vecmath_symbols / sizeof *vecmath_symbols;

#define LANES_NAME(op, f) [OP_##op] = "upt_lanes_" #op,
Value vecmath_lanes(Emit *e, Op op, Value x, Value y) {
    static const char *const name[OP_COUNT] = {LANES_OF(LANES_NAME)[OP_pow] = "upt_lanes_pow"};
    Value arg[2] = {e_alloca(e, e->vf64)};
    e_store(e, x, arg[0]);
    if (y) e_store(e, y, arg[1] = e_alloca(e, e->vf64));
    e_extern(e, name[op], LLVMVoidTypeInContext(e->cx), arg, y ? 2 : 1);
    return e_load(e, e->vf64, arg[0]);
}
