/* Philox4x32-10 (Salmon et al., SC 2011) on 16 lanes; see random_block in base/base.h for which
 * element takes which word. */
#include "codegen/random.h"

#include "codegen/vecmath.h"

typedef struct Words {
    Value v[4]; /* <16 x i32> */
} Words;

/* The low and high halves of x * m: even and odd lanes multiply as 64-bit lanes. */
static void multiply_wide(Emit *e, Value x, uint32_t m, Value *low, Value *high) {
    LType pairs = LLVMVectorType(e->i64, LANES / 2);
    Value mask = c_int(LLVMConstNull(pairs), 0xffffffff), factor = c_int(mask, m);
    Value both = e_bits(e, x, pairs);
    Value even = i_mul(e, i_and(e, both, mask), factor),
          odd = i_mul(e, i_lshr(e, both, 32), factor);
    Value upper = c_int(mask, (int64_t)UINT64_C(0xffffffff00000000));
    Value low_odd = i_shl(e, odd, 32), low_even = i_and(e, even, mask);
    *low = e_bits(e, i_or(e, low_even, low_odd), e->vi32);
    Value high_odd = i_and(e, odd, upper), high_even = i_lshr(e, even, 32);
    *high = e_bits(e, i_or(e, high_even, high_odd), e->vi32);
}

static Value low_word(Emit *e, Value x) {
    return e_splat(e, LLVMBuildTrunc(e->b, x, e->i32, ""));
}
static Value high_word(Emit *e, Value x) {
    return low_word(e, i_lshr(e, x, 32));
}

static Words philox(Emit *e, const RandomSource *s, Value low, Value high) {
    Value step_low = low_word(e, s->step), step_high = high_word(e, s->step);
    Words c = {{low, high, step_low, step_high}};
    Value key0 = low_word(e, s->key), key1 = high_word(e, s->key);
    for (int round = 0; round < 10; round++) {
        Value a_low, a_high, b_low, b_high;
        multiply_wide(e, c.v[0], 0xD2511F53, &a_low, &a_high);
        multiply_wide(e, c.v[2], 0xCD9E8D57, &b_low, &b_high);
        Value b_mixed = i_xor(e, i_xor(e, b_high, c.v[1]), key0);
        Value a_mixed = i_xor(e, i_xor(e, a_high, c.v[3]), key1);
        c = (Words){{b_mixed, b_low, a_mixed, a_low}};
        key0 = i_add(e, key0, c_int(key0, (int64_t)0x9E3779B9));
        key1 = i_add(e, key1, c_int(key1, (int64_t)0xBB67AE85));
    }
    return c;
}

/* ---- distributions */
static Value to_unit(Emit *e, Value word, int add) { /* ((w >> 8) + add) 2^-24 */
    Value top = i_add(e, i_lshr(e, word, 8), c_int(word, add));
    return v_mulc(e, LLVMBuildSIToFP(e->b, top, e->vf32, ""), 0x1p-24);
}
static Value to_below(Emit *e, Value word, Value below) {
    Value wide = LLVMBuildZExt(e->b, word, e->vi64, "");
    return LLVMBuildTrunc(e->b, i_lshr(e, i_mul(e, wide, e_splat(e, below)), 32), e->vi32, "");
}
static void to_normal(Emit *e, Value even, Value odd, Value *with_cos, Value *with_sin) {
    Value sine, cosine;
    Value r = v_call(e, "llvm.sqrt", v_mulc(e, vecmath_log(e, to_unit(e, even, 1)), -2.0));
    vecmath_turn(e, to_unit(e, odd, 0), &sine, &cosine);
    *with_cos = v_mul(e, r, cosine);
    *with_sin = v_mul(e, r, sine);
}

void random_aligned(Emit *e, Op op, const RandomSource *s, Value index, Value out[4]) {
    Value block =
        i_lshr(e, index, 2); /* (index >> 6) << 4: the low four bits are free for the lane */
    Value low = i_or(e, low_word(e, block), c_lanes(e, e->vi32));
    Words w = philox(e, s, low, high_word(e, block));
    for (int i = 0; i < 4; i++) {
        if (op == OP_uniform)
            out[i] = to_unit(e, w.v[i], 0);
        else if (op == OP_randint)
            out[i] = to_below(e, w.v[i], s->below);
        else if (i % 2 == 0)
            to_normal(e, w.v[i], w.v[i + 1], &out[i], &out[i + 1]);
    }
}

static Value permute_lanes(Emit *e, const RandomSource *s, Value index) {
    Value out = LLVMGetPoison(e->vi32);
    for (int i = 0; i < LANES; i++) { /* lanes beyond the end are clamped: they are not stored */
        Value last = i_sub(e, s->below, c_i64(e, 1)), at = i_min(e, e_lane(e, index, i), last);
        Value y =
            e_extern(e, "random_permuted", e->i64, (Value[]){s->key, s->step, s->below, at}, 4);
        out = LLVMBuildInsertElement(e->b, out, LLVMBuildTrunc(e->b, y, e->i32, ""),
                                     LLVMConstInt(e->i32, (unsigned)i, 0), "");
    }
    return out;
}

static Value pick_word(Emit *e, const Words *w, Value number) {
    Value y = w->v[0];
    for (int i = 1; i < 4; i++)
        y = v_select(e, i_cmp(e, LLVMIntEQ, number, c_int(number, i)), w->v[i], y);
    return y;
}

Value random_any(Emit *e, Op op, const RandomSource *s, Value index) {
    if (op == OP_permutation) return permute_lanes(e, s, index);
    Value lane = i_and(e, index, c_int(index, 15));
    Value block = i_or(e, i_shl(e, i_lshr(e, index, 6), 4), lane);
    Value high = LLVMBuildTrunc(e->b, i_lshr(e, block, 32), e->vi32, "");
    Words w = philox(e, s, LLVMBuildTrunc(e->b, block, e->vi32, ""), high);
    Value number =
        LLVMBuildTrunc(e->b, i_and(e, i_lshr(e, index, 4), c_int(index, 3)), e->vi32, "");
    if (op == OP_uniform) return to_unit(e, pick_word(e, &w, number), 0);
    if (op == OP_randint) return to_below(e, pick_word(e, &w, number), s->below);
    Value with_cos, with_sin;
    Value even = pick_word(e, &w, i_and(e, number, c_int(number, 2))),
          odd = pick_word(e, &w, i_or(e, number, c_int(number, 1)));
    to_normal(e, even, odd, &with_cos, &with_sin);
    return v_select(e, i_cmp(e, LLVMIntNE, i_and(e, number, c_int(number, 1)), c_int(number, 0)),
                    with_sin, with_cos);
}
