/* Vectors of instructions: loads, leaves, pointwise operators, stores, and values kept from one
 * stage to the next. */
#include "codegen/lanes.h"

#include <stddef.h>

#include "codegen/mapop.h"
#include "codegen/vecmath.h"

Level level_of(const Kernel *k, const Instr *i) {
    bool inner = i->by & BY_INNER, deep = i->by & BY_REDUCED;
    if (k->mode == MODE_columns && deep) return IN_BODY;
    if (k->mode != MODE_columns && inner && (k->mode == MODE_rows || i->stage == 0)) return IN_BODY;
    if (deep) return IN_STEP;
    return inner || i->stage > 0 ? IN_STRIP : i->by & BY_KEPT ? IN_ROW : IN_CALL;
}

Value value_of(const Loops *l, int i, int u) {
    return l->reg[i].u[instr_at(l, (size_t)i)->by & BY_INNER ? u : 0];
}

/* ---- places */
/* Index of the first lane of vector u, along the inner axis too. */
static Value lane_index(Loops *l, int access, int u) {
    Emit *e = l->e;
    const Access *a = access_at(l, access);
    if (a->walk == WALK_zero) return l->at[access];
    Value inner = i_add(e, l->column, c_i64(e, LANES * u));
    if (a->walk == WALK_any)
        inner = i_mul(e, inner, l->size[kernel_size_stride(l->k, access, inner_axis(l))]);
    return i_add(e, l->at[access], inner);
}
static Value lane_stride(const Loops *l, int access) {
    return l->size[kernel_size_stride(l->k, access, inner_axis(l))];
}

static Value load_lanes(Loops *l, const Instr *i, int u) {
    Emit *e = l->e;
    const Access *a = access_at(l, i->access);
    LType t = mem_type(e, a->dtype);
    Value p = e_at(e, t, l->buf[a->buf], lane_index(l, i->access, u)), x;
    if (a->walk == WALK_zero)
        x = e_splat(e, e_load(e, t, p));
    else if (a->walk == WALK_one)
        x = mem_load(e, t, p, l->mask[u]);
    else
        x = mem_gather(e, t, p, lane_stride(l, i->access), l->mask[u]);
    return mem_unpack(e, a->dtype, x);
}

static void store_lanes(Loops *l, const Store *s, int u) {
    Emit *e = l->e;
    const Access *a = access_at(l, s->access);
    Value p = e_at(e, mem_type(e, a->dtype), l->buf[a->buf], lane_index(l, s->access, u));
    Value x = mem_pack(e, a->dtype, value_of(l, s->instr, u));
    if (a->walk == WALK_zero)
        e_store(e, e_lane(e, x, 0), p);
    else if (a->walk == WALK_one)
        mem_store(e, x, p, l->mask[u]);
    else
        mem_scatter(e, x, p, lane_stride(l, s->access), l->mask[u]);
}

void store_value(Loops *l, const Store *s) {
    for (int u = 0; u < (access_at(l, s->access)->walk == WALK_zero ? 1 : l->k->unroll); u++)
        store_lanes(l, s, u);
}

/* The indices of vector u as <16 x i64>. */
static Value index_lanes(Loops *l, int access, int u) {
    Emit *e = l->e;
    const Access *a = access_at(l, access);
    Value first = e_splat(e, lane_index(l, access, u));
    if (a->walk == WALK_zero) return first;
    Value step = c_lanes(e, e->vi64);
    if (a->walk == WALK_any) step = i_mul(e, step, e_splat(e, lane_stride(l, access)));
    return i_add(e, first, step);
}

/* ---- leaves */
static Value const_lanes(Loops *l, const Instr *i) {
    Emit *e = l->e;
    Value call = LLVMGetParam(e->fn, 0);
    Value words = e_field(e, e->ptr, call, offsetof(RtCall, word));
    Value w = e_load(e, e->i64, e_at(e, e->i64, words, c_i64(e, i->word)));
    LType t = reg_type(e, i->dtype);
    if (i->dtype == DT_f64) return e_splat(e, e_bits(e, w, t));
    if (dtype_is_float(i->dtype)) {
        Value x = e_splat(e, e_bits(e, LLVMBuildTrunc(e->b, w, e->i32, ""), t));
        return i->dtype == DT_bf16 ? v_round_bf16(e, x) : x;
    }
    return e_splat(e, LLVMBuildTrunc(e->b, w, t, ""));
}
static Value clock_float(Loops *l, size_t field) {
    return e_splat(l->e, e_field(l->e, l->e->f32, l->clock, field));
}

static Value live_lanes(Loops *l, const Instr *i, int u) {
    Value live = e_splat(l->e, e_field(l->e, l->e->i64, l->clock, offsetof(RtClock, live)));
    return i_cmp(l->e, LLVMIntSLT, index_lanes(l, i->access, u), live);
}

static Value leaf_lanes(Loops *l, size_t n, int u) {
    const Instr *i = instr_at(l, n);
    switch (i->op) {
    case OP_arg: return load_lanes(l, i, u);
    case OP_const: return const_lanes(l, i);
    case OP_step: return clock_float(l, offsetof(RtClock, stepf));
    case OP_steps: return clock_float(l, offsetof(RtClock, stepsf));
    case OP_live: return live_lanes(l, i, u);
    case OP_iota: return map_cast(l->e, i->dtype, DT_i64, index_lanes(l, i->access, u));
    default: return random_any(l->e, i->op, &l->random[n], index_lanes(l, i->access, u));
    }
}

static bool is_random(Op op) {
    return (op_info[op].flags & FLAG_RANDOM) != 0;
}

/* Four vectors at once where rows of the index space start at whole blocks. */
static bool emit_aligned(Loops *l, size_t n) {
    const Instr *i = instr_at(l, n);
    if (!is_random(i->op) || i->op == OP_permutation || !access_at(l, i->access)->aligned)
        return false;
    CHECK(l->k->unroll == UNROLL);
    random_aligned(l->e, i->op, &l->random[n], lane_index(l, i->access, 0), l->reg[n].u);
    return true;
}

void emit_instr(Loops *l, size_t n) {
    const Instr *i = instr_at(l, n);
    if (emit_aligned(l, n)) return;
    for (int u = 0; u < (i->by & BY_INNER ? l->k->unroll : 1); u++) {
        Value in[3] = {NULL};
        for (int j = 0; j < i->nin; j++) in[j] = value_of(l, i->in[j], u);
        Value y;
        if (i->nin == 0)
            y = leaf_lanes(l, n, u);
        else if (op_info[i->op].lower == LOWER_REDUCE) /* of axes of size 1 */
            y = i->op == OP_argmax ? LLVMConstNull(l->e->vi32)
                                   : map_cast(l->e, i->dtype, i->from, in[0]);
        else if (l->e->fma && l->k->inverts && kernel_shares_divisor(l->k, i))
            y = vecmath_divide(l->e, in[0], in[1]);
        else
            y = map_emit(l->e, i->op, i->dtype,
                         i->op == OP_where ? instr_at(l, (size_t)i->in[1])->dtype : i->from, in);
        l->reg[n].u[u] = y;
    }
}

void load_random(Loops *l) {
    Emit *e = l->e;
    Value words = e_field(e, e->ptr, LLVMGetParam(e->fn, 0), offsetof(RtCall, word));
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        if (!is_random(i->op)) continue;
        Value seed = e_field(e, e->i64, l->clock, offsetof(RtClock, seed));
        Value place = e_load(e, e->i64, e_at(e, e->i64, words, c_i64(e, i->word)));
        Value key = e_extern(e, "random_key", e->i64, (Value[]){seed, place}, 2);
        Value step = e_field(e, e->i64, l->clock, offsetof(RtClock, step));
        Value below = e_load(e, e->i64, e_at(e, e->i64, words, c_i64(e, i->word + 1)));
        l->random[n] = random_source(e, key, step, below);
    }
}

/* ---- values kept between stages: what was stored is read back; what was costly has a row of its
 * own */
static const Store *store_of(const Loops *l, size_t n) {
    for (size_t s = 0; s < l->k->store.n; s++) {
        const Store *x = &l->k->store.at[s];
        if (x->in_loop && x->instr == (int)n && access_at(l, x->access)->walk == WALK_one &&
            instr_at(l, n)->nin > 0)
            return x;
    }
    return NULL;
}

bool is_kept(const Loops *l, size_t n, int stage) {
    const Instr *i = instr_at(l, n);
    if (level_of(l->k, i) != IN_BODY || !(i->by & BY_INNER)) return false;
    return (l->slot[n] >= 0 && l->saved[n] < stage) || (i->stage < stage && store_of(l, n));
}

static Value slot_place(Loops *l, size_t n, int u) {
    Emit *e = l->e;
    Value at = i_add(e, l->column, c_i64(e, LANES * u));
    if (l->abreast) at = i_add(e, at, i_mul(e, l->abreast, c_i64(e, KEPT_APART)));
    return e_at(e, e->f32, l->keep[l->slot[n]], at);
}

void load_kept(Loops *l, size_t n) {
    Emit *e = l->e;
    const Store *s = store_of(l, n);
    for (int u = 0; u < l->k->unroll; u++) {
        if (!s) {
            l->reg[n].u[u] = e_load(e, e->vf32, slot_place(l, n, u));
            continue;
        }
        DType t = access_at(l, s->access)->dtype;
        Value p = e_at(e, mem_type(e, t), l->buf[access_at(l, s->access)->buf],
                       lane_index(l, s->access, u));
        l->reg[n].u[u] = mem_unpack(e, t, mem_load(e, mem_type(e, t), p, l->mask[u]));
    }
}

void save_kept(Loops *l, size_t n) {
    for (int u = 0; l->slot[n] >= 0 && u < l->k->unroll; u++)
        e_store(l->e, value_of(l, (int)n, u), slot_place(l, n, u));
}
