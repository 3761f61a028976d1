/* Emits a kernel: tasks, rows, strips and stages around the vector code of its instructions.
 *
 * Every instruction belongs to the outermost loop it varies with: the call, the row, the strip of columns, or the innermost
 * body; it is computed there once. A vector of 16 elements is computed `unroll` times side by side; the last, incomplete strip
 * runs the same code under masks. All loads of a strip come before its stores (which in-place buffers rely on). */
#include "codegen/loops.h"

#include <stddef.h>
#include <string.h>

#include "codegen/mapop.h"
#include "codegen/random.h"

enum { UNROLL = 4 };
typedef enum Level { IN_CALL, IN_ROW, IN_STRIP, IN_BODY } Level;
typedef struct Lanes {
    Value u[UNROLL]; /* one for each of the unrolled vectors; u[0] alone where nothing varies along the inner axis */
} Lanes;

typedef struct Loops {
    Emit *e;
    const Kernel *k;
    Value *size, *buf, clock;
    RandomSource *random; /* by instruction */
    Lanes *reg;           /* by instruction: its value at this point */
    Lanes *acc, *place;   /* by reducing instruction: accumulators, and for argmax the index of the best */
    Value *at;            /* by access: index of its element at this point, without the inner axis */
    Value axis[RANK];     /* current index of reduced outer axes */
    Value column, mask[UNROLL]; /* of this strip; masks are NULL in a whole one */
    bool *need;           /* by instruction: in the body of this stage */
} Loops;

static const Instr *instr_at(const Loops *l, size_t i) { return &l->k->instr.at[i]; }
static const Access *access_at(const Loops *l, int i) { return &l->k->access.at[i]; }
static int inner_axis(const Loops *l) { return l->k->naxis - 1; }
static int width(const Loops *l) { return LANES * l->k->unroll; }

static Level level_of(const Kernel *k, const Instr *i) {
    if (i->by & (BY_REDUCED | (k->by_rows ? BY_INNER : 0)))
        return IN_BODY;
    if (i->stage > 0 || i->by & BY_INNER)
        return IN_STRIP;
    return i->by & BY_KEPT ? IN_ROW : IN_CALL;
}

static Value value_of(const Loops *l, int i, int u) { return l->reg[i].u[instr_at(l, (size_t)i)->by & BY_INNER ? u : 0]; }

/* ---- places */
/* Index of the first lane of vector u, along the inner axis too. */
static Value lane_index(Loops *l, int access, int u) {
    Emit *e = l->e;
    const Access *a = access_at(l, access);
    if (a->walk == WALK_zero)
        return l->at[access];
    Value inner = i_add(e, l->column, c_i64(e, LANES * u));
    if (a->walk == WALK_any)
        inner = i_mul(e, inner, l->size[kernel_size_stride(l->k, access, inner_axis(l))]);
    return i_add(e, l->at[access], inner);
}
static Value lane_stride(const Loops *l, int access) { return l->size[kernel_size_stride(l->k, access, inner_axis(l))]; }

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

/* The indices of vector u as <16 x i64>. */
static Value index_lanes(Loops *l, int access, int u) {
    Emit *e = l->e;
    const Access *a = access_at(l, access);
    Value first = e_splat(e, lane_index(l, access, u));
    if (a->walk == WALK_zero)
        return first;
    Value step = c_lanes(e, e->vi64);
    if (a->walk == WALK_any)
        step = i_mul(e, step, e_splat(e, lane_stride(l, access)));
    return i_add(e, first, step);
}

/* ---- leaves */
static Value const_lanes(Loops *l, const Instr *i) {
    Emit *e = l->e;
    Value call = LLVMGetParam(e->fn, 0);
    Value words = e_field(e, e->ptr, call, offsetof(RtCall, word));
    Value w = e_load(e, e->i64, e_at(e, e->i64, words, c_i64(e, i->word)));
    LType t = reg_type(e, i->dtype);
    if (i->dtype == DT_f64)
        return e_splat(e, e_bits(e, w, t));
    if (dtype_is_float(i->dtype)) {
        Value x = e_splat(e, e_bits(e, LLVMBuildTrunc(e->b, w, e->i32, ""), t));
        return i->dtype == DT_bf16 ? v_round_bf16(e, x) : x;
    }
    return e_splat(e, LLVMBuildTrunc(e->b, w, t, ""));
}
static Value clock_float(Loops *l, size_t field) { return e_splat(l->e, e_field(l->e, l->e->f32, l->clock, field)); }

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

static bool is_random(Op op) { return (op_info[op].flags & FLAG_RANDOM) != 0; }

/* Four vectors at once where rows of the index space start at whole blocks. */
static bool emit_aligned(Loops *l, size_t n) {
    const Instr *i = instr_at(l, n);
    if (!is_random(i->op) || i->op == OP_permutation || !access_at(l, i->access)->aligned)
        return false;
    CHECK(l->k->unroll == UNROLL);
    random_aligned(l->e, i->op, &l->random[n], lane_index(l, i->access, 0), l->reg[n].u);
    return true;
}

static void emit_instr(Loops *l, size_t n) {
    const Instr *i = instr_at(l, n);
    if (emit_aligned(l, n))
        return;
    for (int u = 0; u < (i->by & BY_INNER ? l->k->unroll : 1); u++) {
        Value in[3] = {NULL};
        for (int j = 0; j < i->nin; j++)
            in[j] = value_of(l, i->in[j], u);
        Value y;
        if (i->nin == 0)
            y = leaf_lanes(l, n, u);
        else if (op_info[i->op].lower == LOWER_REDUCE) /* of axes of size 1 */
            y = i->op == OP_argmax ? LLVMConstNull(l->e->vi32) : map_cast(l->e, i->dtype, i->from, in[0]);
        else
            y = map_emit(l->e, i->op, i->dtype, i->op == OP_where ? instr_at(l, (size_t)i->in[1])->dtype : i->from, in);
        l->reg[n].u[u] = y;
    }
}

/* Everything of one level and stage. Reductions come about otherwise. */
static void emit_level(Loops *l, Level level, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++)
        if (!instr_at(l, n)->reduces && instr_at(l, n)->stage == stage && level_of(l->k, instr_at(l, n)) == level)
            emit_instr(l, n);
}

/* ---- reductions */
static DType acc_type(const Instr *i) { return i->op == OP_argmax ? i->from : i->dtype; }

static int acc_count(const Loops *l, const Instr *i) {
    return l->k->by_rows || i->by & BY_INNER ? l->k->unroll : 1;
}

static void start_reductions(Loops *l, int stage) {
    Emit *e = l->e;
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        if (!i->reduces || i->stage != stage)
            continue;
        for (int u = 0; u < acc_count(l, i); u++) {
            e_store(e, map_identity(e, i->op, acc_type(i)), l->acc[n].u[u]);
            if (i->op == OP_argmax)
                e_store(e, c_int(LLVMConstNull(e->vi32), INT32_MAX), l->place[n].u[u]);
        }
    }
}

/* Where the reduced axis of argmax stands: a group with argmax reduces one axis only. */
static Value reduced_index(Loops *l, int u) {
    Emit *e = l->e;
    if (l->k->by_rows) {
        Value first = LLVMBuildTrunc(e->b, i_add(e, l->column, c_i64(e, LANES * u)), e->i32, "");
        return i_add(e, e_splat(e, first), c_lanes(e, e->vi32));
    }
    for (int a = 0; a < inner_axis(l); a++)
        if (l->k->reduced[a])
            return e_splat(e, LLVMBuildTrunc(e->b, l->axis[a], e->i32, ""));
    BUG("argmax reduces no axis");
}

static void accumulate(Loops *l, size_t n, int u) {
    Emit *e = l->e;
    const Instr *i = instr_at(l, n);
    DType t = acc_type(i);
    LType v = e_vector(reg_type(e, t));
    Value x = value_of(l, i->in[0], u), acc = e_load(e, v, l->acc[n].u[u]);
    Value mask = l->k->by_rows ? l->mask[u] : NULL;
    if (i->op == OP_argmax) {
        Value best = e_load(e, e->vi32, l->place[n].u[u]), here = reduced_index(l, u);
        Value wins = map_beats(e, t, x, here, acc, best);
        wins = mask ? LLVMBuildAnd(e->b, wins, mask, "") : wins;
        e_store(e, v_select(e, wins, x, acc), l->acc[n].u[u]);
        e_store(e, v_select(e, wins, here, best), l->place[n].u[u]);
        return;
    }
    x = map_cast(e, t, i->from, x);
    if (mask)
        x = v_select(e, mask, x, map_identity(e, i->op, t));
    e_store(e, map_accumulate(e, i->op, t, acc, x), l->acc[n].u[u]);
}

static Value rotate(Emit *e, Value x, int by) {
    Value lane[LANES];
    for (int i = 0; i < LANES; i++)
        lane[i] = LLVMConstInt(e->i32, (unsigned)((i + by) % LANES), 0);
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
    for (int u = 1; u < l->k->unroll; u++)
        join(l, n, &x[0], &i[0], x[u], i[u]);
    for (int by = LANES / 2; by > 0; by /= 2)
        join(l, n, &x[0], &i[0], rotate(e, x[0], by), n->op == OP_argmax ? rotate(e, i[0], by) : NULL);
}

static void finish_reduction(Loops *l, size_t n) {
    Emit *e = l->e;
    const Instr *i = instr_at(l, n);
    DType t = acc_type(i);
    Value x[UNROLL] = {NULL}, at[UNROLL] = {NULL};
    int count = acc_count(l, i);
    for (int u = 0; u < count; u++) {
        x[u] = e_load(e, e_vector(reg_type(e, t)), l->acc[n].u[u]);
        at[u] = i->op == OP_argmax ? e_load(e, e->vi32, l->place[n].u[u]) : NULL;
    }
    if (l->k->by_rows) {
        join_lanes(l, i, x, at);
        count = 1;
    }
    for (int u = 0; u < count; u++) {
        Value y = i->op == OP_argmax ? at[u] : x[u];
        l->reg[n].u[u] = i->dtype == DT_bf16 ? v_round_bf16(e, y) : y;
    }
}

static void finish_reductions(Loops *l, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++)
        if (instr_at(l, n)->reduces && instr_at(l, n)->stage == stage)
            finish_reduction(l, n);
}

/* ---- a stage: what it needs of the innermost body, then the loops around that */
static bool mark_stage(Loops *l, int stage) {
    const Kernel *k = l->k;
    bool any = false;
    memset(l->need, 0, k->instr.n * sizeof *l->need);
    for (size_t n = 0; n < k->instr.n; n++)
        if (instr_at(l, n)->reduces && instr_at(l, n)->stage == stage)
            any = l->need[instr_at(l, n)->in[0]] = true;
    for (size_t s = 0; s < k->store.n; s++)
        if (k->store.at[s].in_loop && instr_at(l, (size_t)k->store.at[s].instr)->stage == stage)
            any = l->need[k->store.at[s].instr] = true;
    for (size_t n = k->instr.n; n-- > 0;)
        if (l->need[n] && level_of(k, instr_at(l, n)) == IN_BODY)
            for (int j = 0; j < instr_at(l, n)->nin; j++)
                l->need[instr_at(l, n)->in[j]] = true;
    return any;
}

static void emit_body(Loops *l, int stage) {
    const Kernel *k = l->k;
    for (size_t n = 0; n < k->instr.n; n++)
        if (l->need[n] && !instr_at(l, n)->reduces && level_of(k, instr_at(l, n)) == IN_BODY)
            emit_instr(l, n);
    for (size_t n = 0; n < k->instr.n; n++)
        if (instr_at(l, n)->reduces && instr_at(l, n)->stage == stage)
            for (int u = 0; u < acc_count(l, instr_at(l, n)); u++)
                accumulate(l, n, u);
    for (size_t s = 0; s < k->store.n; s++)
        if (k->store.at[s].in_loop && instr_at(l, (size_t)k->store.at[s].instr)->stage == stage)
            for (int u = 0; u < (access_at(l, k->store.at[s].access)->walk == WALK_zero ? 1 : k->unroll); u++)
                store_lanes(l, &k->store.at[s], u);
}

static void set_strip(Loops *l, Value column, Value end) { /* end NULL: a whole strip */
    Emit *e = l->e;
    l->column = column;
    for (int u = 0; u < l->k->unroll; u++) {
        if (!end) {
            l->mask[u] = NULL;
            continue;
        }
        Value left = i_sub(e, i_sub(e, end, column), c_i64(e, LANES * u));
        left = LLVMBuildTrunc(e->b, i_min(e, left, c_i64(e, LANES)), e->i32, "");
        l->mask[u] = i_cmp(e, LLVMIntSLT, c_lanes(e, e->vi32), e_splat(e, left));
    }
}

/* Runs `body` for every strip of columns [from, to), the last one masked. */
typedef void StripFn(Loops *l, int stage);
static void each_strip(Loops *l, Value from, Value to, StripFn *body, int stage) {
    Emit *e = l->e;
    Value whole = i_and(e, i_sub(e, to, from), c_i64(e, -width(l))), last = i_add(e, from, whole);
    Loop loop = loop_begin(e, from, last, c_i64(e, width(l)));
    set_strip(l, loop.i, NULL);
    body(l, stage);
    loop_end(e, &loop);
    If rest = if_begin(e, i_cmp(e, LLVMIntSLT, last, to));
    set_strip(l, last, to);
    body(l, stage);
    if_end(e, &rest);
}

/* Loops over the reduced outer axes from `axis` on, with the places of all accesses moved along. */
static void each_reduced(Loops *l, int axis, int stage) {
    Emit *e = l->e;
    const Kernel *k = l->k;
    while (axis < inner_axis(l) && !k->reduced[axis])
        axis++;
    if (axis == inner_axis(l)) {
        if (k->by_rows)
            each_strip(l, c_i64(e, 0), l->size[SIZE_COLUMNS], emit_body, stage);
        else
            emit_body(l, stage);
        return;
    }
    Loop loop = loop_begin(e, c_i64(e, 0), l->size[kernel_size_axis(k, axis)], c_i64(e, 1));
    l->axis[axis] = loop.i;
    Value *outside = l->at;
    Value inside[256];
    CHECK(k->access.n <= 256);
    for (int a = 0; a < (int)k->access.n; a++)
        inside[a] = access_at(l, a)->stride[axis] == 0
                        ? outside[a]
                        : i_add(e, outside[a], i_mul(e, loop.i, l->size[kernel_size_stride(k, a, axis)]));
    l->at = inside;
    each_reduced(l, axis + 1, stage);
    l->at = outside;
    loop_end(e, &loop);
}

/* One strip of columns, or by rows one whole row: all stages. */
static void emit_strip(Loops *l, int unused) {
    const Kernel *k = l->k;
    (void)unused;
    for (int stage = 0; stage <= k->stages; stage++) {
        emit_level(l, IN_STRIP, stage);
        if (mark_stage(l, stage)) {
            start_reductions(l, stage);
            each_reduced(l, 0, stage);
            finish_reductions(l, stage);
        }
    }
    for (size_t s = 0; s < k->store.n; s++)
        if (!k->store.at[s].in_loop)
            for (int u = 0; u < (access_at(l, k->store.at[s].access)->walk == WALK_zero ? 1 : k->unroll); u++)
                store_lanes(l, &k->store.at[s], u);
}

/* ---- rows and tasks */
static void emit_row(Loops *l, Value from, Value to) {
    emit_level(l, IN_ROW, 0);
    if (l->k->by_rows)
        emit_strip(l, 0);
    else
        each_strip(l, from, to, emit_strip, 0);
}

/* Places of all accesses for the kept outer axes' indices. */
static void place_row(Loops *l, const Value *index) {
    Emit *e = l->e;
    for (int a = 0; a < (int)l->k->access.n; a++) {
        Value at = l->size[kernel_size_offset(l->k, a)];
        for (int i = 0; i < inner_axis(l); i++)
            if (!l->k->reduced[i] && access_at(l, a)->stride[i] != 0)
                at = i_add(e, at, i_mul(e, index[i], l->size[kernel_size_stride(l->k, a, i)]));
        l->at[a] = at;
    }
}

static int last_kept(const Loops *l, int before) {
    while (before-- > 0)
        if (!l->k->reduced[before])
            return before;
    return -1;
}

/* Rows [r0, r1): a run of them along the last kept axis at a time, so that indices are divided out once a run. */
static void each_row(Loops *l, Value r0, Value r1, Value from, Value to) {
    Emit *e = l->e;
    int last = last_kept(l, inner_axis(l));
    Value index[RANK] = {NULL};
    if (last < 0) {
        place_row(l, index);
        emit_row(l, from, to);
        return;
    }
    Value n = l->size[kernel_size_axis(l->k, last)];
    Value first = LLVMBuildUDiv(e->b, r0, n, ""), end = LLVMBuildUDiv(e->b, i_sub(e, r1, c_i64(e, 1)), n, "");
    Loop run = loop_begin(e, first, i_add(e, end, c_i64(e, 1)), c_i64(e, 1));
    Value rest = run.i;
    for (int i = last_kept(l, last); i >= 0; i = last_kept(l, i)) {
        Value size = l->size[kernel_size_axis(l->k, i)];
        index[i] = LLVMBuildURem(e->b, rest, size, "");
        rest = LLVMBuildUDiv(e->b, rest, size, "");
    }
    Value base = i_mul(e, run.i, n), low = i_sub(e, r0, base), high = i_sub(e, r1, base), zero = c_i64(e, 0);
    low = v_select(e, i_cmp(e, LLVMIntSGT, low, zero), low, zero);
    Loop row = loop_begin(e, low, i_min(e, high, n), c_i64(e, 1));
    index[last] = row.i;
    place_row(l, index);
    emit_row(l, from, to);
    loop_end(e, &row);
    loop_end(e, &run);
}

static void emit_task(Loops *l, Value task) {
    Emit *e = l->e;
    Value parts = l->size[SIZE_COLUMN_TASKS];
    Value row_task = LLVMBuildUDiv(e->b, task, parts, ""), part = LLVMBuildURem(e->b, task, parts, "");
    Value r0 = i_mul(e, row_task, l->size[SIZE_TASK_ROWS]), c0 = i_mul(e, part, l->size[SIZE_TASK_COLUMNS]);
    Value r1 = i_min(e, l->size[SIZE_ROWS], i_add(e, r0, l->size[SIZE_TASK_ROWS]));
    Value c1 = i_min(e, l->size[SIZE_COLUMNS], i_add(e, c0, l->size[SIZE_TASK_COLUMNS]));
    each_row(l, r0, r1, c0, c1);
}

/* ---- arguments */
static void load_arguments(Loops *l, Arena *a) {
    Emit *e = l->e;
    const Kernel *k = l->k;
    Value call = LLVMGetParam(e->fn, 0);
    int nsize = kernel_size_offset(k, (int)k->access.n);
    l->size = NEW_N(a, Value, nsize);
    l->buf = NEW_N(a, Value, k->nbuf);
    Value sizes = e_field(e, e->ptr, call, offsetof(RtCall, size)), bufs = e_field(e, e->ptr, call, offsetof(RtCall, buf));
    for (int i = 0; i < nsize; i++)
        l->size[i] = e_load(e, e->i64, e_at(e, e->i64, sizes, c_i64(e, i)));
    for (int i = 0; i < k->nbuf; i++)
        l->buf[i] = e_load(e, e->ptr, e_at(e, e->ptr, bufs, c_i64(e, i)));
    l->clock = e_field(e, e->ptr, call, offsetof(RtCall, clock));
}

static void load_random(Loops *l) {
    Emit *e = l->e;
    Value words = e_field(e, e->ptr, LLVMGetParam(e->fn, 0), offsetof(RtCall, word));
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        if (!is_random(i->op))
            continue;
        Value seed = e_field(e, e->i64, l->clock, offsetof(RtClock, seed));
        Value place = e_load(e, e->i64, e_at(e, e->i64, words, c_i64(e, i->word)));
        l->random[n].key = e_extern(e, "random_key", e->i64, (Value[]){seed, place}, 2);
        l->random[n].step = e_field(e, e->i64, l->clock, offsetof(RtClock, step));
        l->random[n].below = e_load(e, e->i64, e_at(e, e->i64, words, c_i64(e, i->word + 1)));
    }
}

static void make_accumulators(Loops *l) {
    Emit *e = l->e;
    for (size_t n = 0; n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        for (int u = 0; i->reduces && u < acc_count(l, i); u++) {
            l->acc[n].u[u] = e_alloca(e, e_vector(reg_type(e, acc_type(i))));
            l->place[n].u[u] = i->op == OP_argmax ? e_alloca(e, e->vi32) : NULL;
        }
    }
}

void loops_emit(Emit *e, const Kernel *k, Arena *a) {
    size_t n = k->instr.n;
    Loops l = {.e = e, .k = k};
    l.reg = NEW_N(a, Lanes, n);
    l.acc = NEW_N(a, Lanes, n);
    l.place = NEW_N(a, Lanes, n);
    l.random = NEW_N(a, RandomSource, n);
    l.need = NEW_N(a, bool, n);
    l.at = NEW_N(a, Value, k->access.n);
    load_arguments(&l, a);
    load_random(&l);
    make_accumulators(&l);
    for (int i = 0; i < (int)k->access.n; i++)
        l.at[i] = l.size[kernel_size_offset(k, i)];
    l.column = c_i64(e, 0);
    emit_level(&l, IN_CALL, 0);
    Loop task = loop_begin(e, LLVMGetParam(e->fn, 1), LLVMGetParam(e->fn, 2), c_i64(e, 1));
    emit_task(&l, task.i);
    loop_end(e, &task);
    LLVMBuildRetVoid(e->b);
}
