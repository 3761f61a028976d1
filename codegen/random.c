/* Philox4x32-10 (Salmon et al., SC 2011) on 16 lanes; see random_block in base/base.h for which
 * element takes which word. */
#include "codegen/random.h"

#include "codegen/vecmath.h"

enum { ROUNDS = 10, TOGETHER = 2 };
typedef struct Words {
    Value v[4]; /* <16 x i32> */
} Words;

/* The low and high halves of x * m: for the high ones even and odd lanes multiply as 64-bit lanes.
 */
static void multiply_wide(Emit *e, Value x, uint32_t m, Value *low, Value *high) {
    LType pairs = LLVMVectorType(e->i64, LANES / 2);
    Value mask = c_int(LLVMConstNull(pairs), 0xffffffff), factor = c_int(mask, m);
    Value upper = c_int(mask, (int64_t)UINT64_C(0xffffffff00000000));
    Value both = e_bits(e, x, pairs);
    Value even = i_mul(e, i_and(e, both, mask), factor);
    Value odd = i_mul(e, i_lshr(e, both, 32), factor);
    Value high_odd = i_and(e, odd, upper), high_even = i_lshr(e, even, 32);
    *low = i_mul(e, x, c_int(x, m));
    *high = e_bits(e, i_or(e, high_even, high_odd), e->vi32);
}

static Value low_word(Emit *e, Value x) {
    return e_splat(e, LLVMBuildTrunc(e->b, x, e->i32, ""));
}
static Value high_word(Emit *e, Value x) {
    return low_word(e, i_lshr(e, x, 32));
}

static Words philox_round(Emit *e, const Words *c, Value key0, Value key1) {
    Value a_low, a_high, b_low, b_high;
    multiply_wide(e, c->v[0], 0xD2511F53, &a_low, &a_high);
    multiply_wide(e, c->v[2], 0xCD9E8D57, &b_low, &b_high);
    Value b_mixed = i_xor(e, i_xor(e, b_high, c->v[1]), key0);
    Value a_mixed = i_xor(e, i_xor(e, a_high, c->v[3]), key1);
    return (Words){{b_mixed, b_low, a_mixed, a_low}};
}

static Value round_key(Emit *e, const RandomSource *s, Value round, int half) {
    Value at = i_add(e, round, c_i64(e, half));
    return e_splat(e, e_load(e, e->i32, e_at(e, e->i32, s->keys, at)));
}

/* The rounds are a loop: written out they are as fast, but most of a kernel's compile time. */
static Words philox(Emit *e, const RandomSource *s, Value low, Value high) {
    Value step_low = low_word(e, s->step), step_high = high_word(e, s->step);
    Words c = {{low, high, step_low, step_high}};
    Value place[4];
    for (int i = 0; i < 4; i++) {
        place[i] = e_alloca(e, e->vi32);
        e_store(e, c.v[i], place[i]);
    }
    Loop round = loop_begin(e, c_i64(e, 0), c_i64(e, ROUNDS), c_i64(e, TOGETHER));
    for (int i = 0; i < 4; i++) c.v[i] = e_load(e, e->vi32, place[i]);
    for (int i = 0; i < TOGETHER; i++) {
        Value at = i_add(e, round.i, c_i64(e, i));
        c = philox_round(e, &c, round_key(e, s, at, 0), round_key(e, s, at, ROUNDS));
    }
    for (int i = 0; i < 4; i++) e_store(e, c.v[i], place[i]);
    loop_end(e, &round);
    for (int i = 0; i < 4; i++) c.v[i] = e_load(e, e->vi32, place[i]);
    return c;
}

/* The low halves of the keys of all rounds, then the high ones. */
static Value key_schedule(Emit *e, Value key) {
    Value keys = e_alloca(e, LLVMArrayType2(e->i32, 2 * ROUNDS));
    Value low = LLVMBuildTrunc(e->b, key, e->i32, "");
    Value high = LLVMBuildTrunc(e->b, i_lshr(e, key, 32), e->i32, "");
    for (int i = 0; i < ROUNDS; i++) {
        e_store(e, low, e_at(e, e->i32, keys, c_i64(e, i)));
        e_store(e, high, e_at(e, e->i32, keys, c_i64(e, ROUNDS + i)));
        low = i_add(e, low, c_int(low, (int64_t)0x9E3779B9));
        high = i_add(e, high, c_int(high, (int64_t)0xBB67AE85));
    }
    return keys;
}

RandomSource random_source(Emit *e, Value key, Value step, Value below) {
    return (RandomSource){key, step, below, key_schedule(e, key)};
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
