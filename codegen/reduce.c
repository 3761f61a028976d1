/* Reductions: accumulators that are vectors of lanes. By rows the lanes are joined at the end in a
 * fixed tree; by columns a lane is a column; in panels there is a lane for every column of the
 * panel, in memory. */
#include "codegen/lanes.h"

#include "codegen/mapop.h"

static DType acc_type(const Instr *i) {
    return i->op == OP_argmax ? i->from : i->dtype;
}

static int acc_count(const Loops *l, const Instr *i) {
    return l->k->mode != MODE_columns || i->by & BY_INNER ? l->k->unroll : 1;
}

/* In a panel, the accumulators of the columns at hand. A bool is kept in a bit of two bytes a
 * vector. */
static Value acc_at(Loops *l, Value base, LType t) {
    if (l->k->mode != MODE_panels) return base;
    return e_at(l->e, t == l->e->i1 ? l->e->i8 : t, base, i_sub(l->e, l->column, l->panel));
}
static Value acc_slot(Loops *l, size_t n, int u) {
    LType t = reg_type(l->e, acc_type(instr_at(l, n)));
    Value p = acc_at(l, l->acc[n].u[l->k->mode == MODE_panels ? 0 : u], t);
    return l->k->mode == MODE_panels
               ? e_at(l->e, t == l->e->i1 ? l->e->i8 : t, p, c_i64(l->e, LANES * u))
               : p;
}
static Value place_slot(Loops *l, size_t n, int u) {
    Value p = acc_at(l, l->place[n].u[l->k->mode == MODE_panels ? 0 : u], l->e->i32);
    return l->k->mode == MODE_panels ? e_at(l->e, l->e->i32, p, c_i64(l->e, LANES * u)) : p;
}

static Value acc_alloca(Loops *l, LType t) {
    Emit *e = l->e;
    if (l->k->mode != MODE_panels) return e_alloca(e, e_vector(t));
    Value p = e_alloca(e, LLVMArrayType2(t == e->i1 ? e->i8 : t, PANEL + UNROLL * LANES));
    LLVMSetAlignment(p, 128);
    return p;
}

void make_accumulators(Loops *l) {
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        int count = l->k->mode == MODE_panels ? 1 : acc_count(l, i);
        for (int u = 0; i->reduces && u < count; u++) {
            l->acc[n].u[u] = acc_alloca(l, reg_type(l->e, acc_type(i)));
            l->place[n].u[u] = i->op == OP_argmax ? acc_alloca(l, l->e->i32) : NULL;
        }
        if (!i->reduces || !l->k->abreast) continue;
        LType t = e_vector(reg_type(l->e, i->dtype));
        l->result[n] = e_alloca(l->e, LLVMArrayType2(t, ABREAST));
    }
}

void start_reductions(Loops *l, int stage) {
    Emit *e = l->e;
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        if (!i->reduces || i->stage != stage) continue;
        for (int u = 0; u < acc_count(l, i); u++) {
            e_store(e, map_identity(e, i->op, acc_type(i)), acc_slot(l, n, u));
            if (i->op == OP_argmax)
                e_store(e, c_int(LLVMConstNull(e->vi32), INT32_MAX), place_slot(l, n, u));
        }
    }
}

/* Where the reduced axis of argmax stands: a group with argmax reduces one axis only. */
static Value reduced_index(Loops *l, int u) {
    Emit *e = l->e;
    if (l->k->mode == MODE_rows) {
        Value first = LLVMBuildTrunc(e->b, i_add(e, l->column, c_i64(e, LANES * u)), e->i32, "");
        return i_add(e, e_splat(e, first), c_lanes(e, e->vi32));
    }
    for (int a = 0; a < inner_axis(l); a++)
        if (l->k->reduced[a]) return e_splat(e, LLVMBuildTrunc(e->b, l->axis[a], e->i32, ""));
    BUG("argmax reduces no axis");
}

static void accumulate(Loops *l, size_t n, int u) {
    Emit *e = l->e;
    const Instr *i = instr_at(l, n);
    DType t = acc_type(i);
    Value x = value_of(l, i->in[0], u), slot = acc_slot(l, n, u),
          acc = e_load(e, e_vector(reg_type(e, t)), slot);
    Value mask = l->k->mode == MODE_rows ? l->mask[u] : NULL;
    if (i->op == OP_argmax) {
        Value at = place_slot(l, n, u), best = e_load(e, e->vi32, at), here = reduced_index(l, u);
        Value wins = map_beats(e, t, x, here, acc, best);
        wins = mask ? LLVMBuildAnd(e->b, wins, mask, "") : wins;
        e_store(e, v_select(e, wins, x, acc), slot);
        e_store(e, v_select(e, wins, here, best), at);
        return;
    }
    x = map_cast(e, t, i->from, x);
    if (mask) x = v_select(e, mask, x, map_identity(e, i->op, t));
    e_store(e, map_accumulate(e, i->op, t, acc, x), slot);
}

void accumulate_all(Loops *l, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++)
        if (instr_at(l, n)->reduces && instr_at(l, n)->stage == stage)
            for (int u = 0; u < acc_count(l, instr_at(l, n)); u++) accumulate(l, n, u);
}

static Value rotate(Emit *e, Value x, int by) {
    Value lane[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = LLVMConstInt(e->i32, (unsigned)((i + by) % LANES), 0);
    return LLVMBuildShuffleVector(e->b, x, x, LLVMConstVector(lane, LANES), "");
}

/* Joins (y, j) into (x, i). */
static void join(Loops *l, const Instr *n, Value *x, Value *i, Value y, Value j) {
    Emit *e = l->e;
    if (n->op != OP_argmax) {
        *x = map_accumulate(e, n->op, acc_type(n), *x, y);
        return;
    }
    Value wins = map_beats(e, acc_type(n), y, j, *x, *i);
    *x = v_select(e, wins, y, *x);
    *i = v_select(e, wins, j, *i);
}

/* By rows: the unrolled accumulators in order, then lanes in a tree; all lanes end up equal. */
static void join_lanes(Loops *l, const Instr *n, Value *x, Value *i) {
    Emit *e = l->e;
    for (int u = 1; u < l->k->unroll; u++) join(l, n, &x[0], &i[0], x[u], i[u]);
    for (int by = LANES / 2; by > 0; by /= 2) {
        Value j = n->op == OP_argmax ? rotate(e, i[0], by) : NULL;
        join(l, n, &x[0], &i[0], rotate(e, x[0], by), j);
    }
}

static void finish_reduction(Loops *l, size_t n) {
    Emit *e = l->e;
    const Instr *i = instr_at(l, n);
    DType t = acc_type(i);
    Value x[UNROLL] = {NULL}, at[UNROLL] = {NULL};
    int count = acc_count(l, i);
    for (int u = 0; u < count; u++) {
        x[u] = e_load(e, e_vector(reg_type(e, t)), acc_slot(l, n, u));
        at[u] = i->op == OP_argmax ? e_load(e, e->vi32, place_slot(l, n, u)) : NULL;
    }
    if (l->k->mode == MODE_rows) {
        join_lanes(l, i, x, at);
        count = 1;
    }
    for (int u = 0; u < count; u++) {
        Value y = i->op == OP_argmax ? at[u] : x[u];
        l->reg[n].u[u] = i->dtype == DT_bf16 ? v_round_bf16(e, y) : y;
    }
}

void finish_reductions(Loops *l, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++)
        if (instr_at(l, n)->reduces && instr_at(l, n)->stage == stage) finish_reduction(l, n);
}

static Value result_slot(Loops *l, size_t n) {
    return e_at(l->e, e_vector(reg_type(l->e, instr_at(l, n)->dtype)), l->result[n], l->abreast);
}

void save_reductions(Loops *l, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++)
        if (instr_at(l, n)->reduces && instr_at(l, n)->stage == stage)
            e_store(l->e, l->reg[n].u[0], result_slot(l, n));
}

void load_reductions(Loops *l, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        if (!i->reduces || i->stage != stage) continue;
        l->reg[n].u[0] = e_load(l->e, e_vector(reg_type(l->e, i->dtype)), result_slot(l, n));
    }
}
