/* Emits a kernel: tasks, rows, strips and stages around the vector code of its instructions.
 *
 * A vector of 16 elements is computed `unroll` times side by side; the last, incomplete strip
 * runs the same code under masks. All loads of a strip come before its stores, and
 * what a stage has stored is read back by later ones: passes/inplace.c relies on that. */
#include "codegen/loops.h"

#include <stddef.h>
#include <string.h>

#include "codegen/lanes.h"

/* Everything of one level and stage. Reductions come about otherwise. */
static void emit_level(Loops *l, Level level, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++)
        if (!instr_at(l, n)->reduces && instr_at(l, n)->stage == stage &&
            level_of(l->k, instr_at(l, n)) == level)
            emit_instr(l, n);
}

/* ---- a stage: what it needs of the inner loops, then those loops around it */
static bool is_inside(const Kernel *k, const Instr *i) {
    return level_of(k, i) >= IN_STEP;
}

static void mark_inputs(Loops *l, int stage) {
    for (size_t n = l->k->instr.n; n-- > 0;)
        if (l->need[n] && is_inside(l->k, instr_at(l, n)) && !is_kept(l, n, stage))
            for (int j = 0; j < instr_at(l, n)->nin; j++) l->need[instr_at(l, n)->in[j]] = true;
}

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
    mark_inputs(l, stage);
    return any;
}

static void emit_needed(Loops *l, Level level, int stage) {
    for (size_t n = 0; n < l->k->instr.n; n++) {
        if (!l->need[n] || instr_at(l, n)->reduces || level_of(l->k, instr_at(l, n)) != level)
            continue;
        if (is_kept(l, n, stage)) {
            load_kept(l, n);
            continue;
        }
        emit_instr(l, n);
        save_kept(l, n);
    }
}

static int last_kept(const Loops *l, int before) {
    while (before-- > 0)
        if (!l->k->reduced[before]) return before;
    return -1;
}

static int last_reduced(const Loops *l) {
    for (int i = inner_axis(l); i-- > 0;)
        if (l->k->reduced[i]) return i;
    return -1;
}

/* The axis along which the next row is asked for; -1: none is. A long row's second pass finds it in
 * a cache, and leaves memory idle. A panel has a short piece of each row, at whose end what
 * processors guess of memory ends too. */
static int axis_asked(const Loops *l, int stage) {
    const Kernel *k = l->k;
    if (k->mode == MODE_panels) return last_reduced(l);
    bool asks = k->mode == MODE_rows && stage == 1 && (!k->keep || k->abreast);
    return asks ? last_kept(l, inner_axis(l)) : -1;
}

static void ask_next_row(Loops *l, int stage) {
    Emit *e = l->e;
    int axis = axis_asked(l, stage);
    for (size_t n = 0; axis >= 0 && n < l->k->instr.n; n++) {
        const Instr *i = instr_at(l, n);
        if (i->op != OP_arg || access_at(l, i->access)->walk != WALK_one) continue;
        if (!access_at(l, i->access)->stride[axis]) continue;
        Value next = i_add(e, l->column, l->at[i->access]);
        Value stride = l->size[kernel_size_stride(l->k, i->access, axis)];
        next = i_add(e, next, l->k->abreast ? i_mul(e, stride, c_i64(e, ABREAST)) : stride);
        LType t = mem_type(e, access_at(l, i->access)->dtype);
        for (int u = 0; u < l->k->unroll; u++)
            e_prefetch(e, e_at(e, t, l->buf[access_at(l, i->access)->buf],
                               i_add(e, next, c_i64(e, LANES * u))));
    }
}

static void emit_body(Loops *l, int stage) {
    const Kernel *k = l->k;
    emit_needed(l, IN_BODY, stage);
    ask_next_row(l, stage);
    accumulate_all(l, stage);
    for (size_t s = 0; s < k->store.n; s++)
        if (k->store.at[s].in_loop && instr_at(l, (size_t)k->store.at[s].instr)->stage == stage)
            store_value(l, &k->store.at[s]);
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

/* Loops over the reduced outer axes from `axis` on, with the places of all accesses moved along;
 * [from, to) are the columns that run inside them. */
static void each_reduced(Loops *l, int axis, Value from, Value to, int stage) {
    Emit *e = l->e;
    const Kernel *k = l->k;
    while (axis < inner_axis(l) && !k->reduced[axis]) axis++;
    if (axis == inner_axis(l)) {
        emit_needed(l, IN_STEP, stage);
        if (k->mode == MODE_columns)
            emit_body(l, stage);
        else
            each_strip(l, from, to, emit_body, stage);
        return;
    }
    Loop loop = loop_begin(e, c_i64(e, 0), l->size[kernel_size_axis(k, axis)], c_i64(e, 1));
    l->axis[axis] = loop.i;
    Value *outside = l->at;
    Value inside[256];
    CHECK(k->access.n <= 256);
    for (int a = 0; a < (int)k->access.n; a++)
        inside[a] =
            access_at(l, a)->stride[axis] == 0
                ? outside[a]
                : i_add(e, outside[a], i_mul(e, loop.i, l->size[kernel_size_stride(k, a, axis)]));
    l->at = inside;
    each_reduced(l, axis + 1, from, to, stage);
    l->at = outside;
    loop_end(e, &loop);
}

static void store_results(Loops *l) {
    for (size_t s = 0; s < l->k->store.n; s++)
        if (!l->k->store.at[s].in_loop) store_value(l, &l->k->store.at[s]);
}

static void emit_reductions(Loops *l, int stage, Value from, Value to) {
    start_reductions(l, stage);
    each_reduced(l, 0, from, to, stage);
    finish_reductions(l, stage);
}

/* One strip of columns, or one whole row: all stages. */
static void emit_stages(Loops *l, Value from, Value to) {
    for (int stage = 0; stage <= l->k->stages; stage++) {
        emit_level(l, IN_STRIP, stage);
        if (mark_stage(l, stage)) emit_reductions(l, stage, from, to);
    }
    store_results(l);
}
static void emit_strip(Loops *l, int unused) {
    (void)unused;
    emit_stages(l, NULL, NULL);
}

/* ---- panels: the accumulators of all columns are started, filled row after row of the reduced
 * axes, and finished */
static void start_panel(Loops *l, int stage) {
    start_reductions(l, stage);
}
static void finish_panel(Loops *l, int stage) {
    const Kernel *k = l->k;
    finish_reductions(l, stage);
    memset(l->need, 0, k->instr.n * sizeof *l->need);
    for (size_t s = 0; s < k->store.n; s++)
        if (!k->store.at[s].in_loop) l->need[k->store.at[s].instr] = true;
    for (size_t n = k->instr.n; n-- > 0;)
        if (l->need[n] && !instr_at(l, n)->reduces)
            for (int j = 0; j < instr_at(l, n)->nin; j++) l->need[instr_at(l, n)->in[j]] = true;
    for (size_t n = 0; n < k->instr.n; n++)
        if (l->need[n] && !instr_at(l, n)->reduces && level_of(k, instr_at(l, n)) >= IN_STRIP &&
            !(instr_at(l, n)->by & BY_REDUCED))
            emit_instr(l, n);
    store_results(l);
}

static void emit_panel(Loops *l, Value from, Value to) {
    l->panel = from;
    each_strip(l, from, to, start_panel, 0);
    mark_stage(l, 0);
    each_reduced(l, 0, from, to, 0);
    each_strip(l, from, to, finish_panel, 0);
}

/* ---- rows and tasks */
static void emit_row(Loops *l, Value from, Value to) {
    emit_level(l, IN_ROW, 0);
    if (l->k->mode == MODE_rows)
        emit_stages(l, c_i64(l->e, 0), l->size[SIZE_COLUMNS]);
    else if (l->k->mode == MODE_panels)
        emit_panel(l, from, to);
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

/* Rows [first, end) along `axis`, a few at a time. A row's reduction is a long wait and little
 * work; meanwhile processors compute the rows beside it, if they come next. */
static void each_abreast(Loops *l, Value *index, int axis, Value first, Value end) {
    Emit *e = l->e;
    Loop group = loop_begin(e, first, end, c_i64(e, ABREAST));
    Value last = i_min(e, i_add(e, group.i, c_i64(e, ABREAST)), end);
    for (int stage = 0; stage <= l->k->stages; stage++) {
        bool any = mark_stage(l, stage);
        if (!any && stage < l->k->stages) continue;
        Loop row = loop_begin(e, group.i, last, c_i64(e, 1));
        index[axis] = row.i;
        l->abreast = i_sub(e, row.i, group.i);
        place_row(l, index);
        emit_level(l, IN_ROW, 0);
        for (int done = 0; done < stage; done++) {
            load_reductions(l, done);
            emit_level(l, IN_STRIP, done + 1);
        }
        if (any) emit_reductions(l, stage, c_i64(e, 0), l->size[SIZE_COLUMNS]);
        if (stage < l->k->stages)
            save_reductions(l, stage);
        else
            store_results(l);
        loop_end(e, &row);
    }
    loop_end(e, &group);
}

/* Rows [r0, r1): a run of them along the last kept axis at a time, so that indices are divided out
 * once a run. */
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
    Value first = LLVMBuildUDiv(e->b, r0, n, ""),
          end = LLVMBuildUDiv(e->b, i_sub(e, r1, c_i64(e, 1)), n, "");
    Loop run = loop_begin(e, first, i_add(e, end, c_i64(e, 1)), c_i64(e, 1));
    Value rest = run.i;
    for (int i = last_kept(l, last); i >= 0; i = last_kept(l, i)) {
        Value size = l->size[kernel_size_axis(l->k, i)];
        index[i] = LLVMBuildURem(e->b, rest, size, "");
        rest = LLVMBuildUDiv(e->b, rest, size, "");
    }
    Value base = i_mul(e, run.i, n), low = i_sub(e, r0, base), high = i_sub(e, r1, base),
          zero = c_i64(e, 0);
    low = v_select(e, i_cmp(e, LLVMIntSGT, low, zero), low, zero);
    if (l->k->abreast) {
        each_abreast(l, index, last, low, i_min(e, high, n));
    } else {
        Loop row = loop_begin(e, low, i_min(e, high, n), c_i64(e, 1));
        index[last] = row.i;
        place_row(l, index);
        emit_row(l, from, to);
        loop_end(e, &row);
    }
    loop_end(e, &run);
}

static void emit_task(Loops *l, Value task) {
    Emit *e = l->e;
    Value parts = l->size[SIZE_COLUMN_TASKS];
    Value row_task = LLVMBuildUDiv(e->b, task, parts, ""),
          part = LLVMBuildURem(e->b, task, parts, "");
    Value r0 = i_mul(e, row_task, l->size[SIZE_TASK_ROWS]),
          c0 = i_mul(e, part, l->size[SIZE_TASK_COLUMNS]);
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
    Value sizes = e_field(e, e->ptr, call, offsetof(RtCall, size)),
          bufs = e_field(e, e->ptr, call, offsetof(RtCall, buf));
    for (int i = 0; i < nsize; i++)
        l->size[i] = e_load(e, e->i64, e_at(e, e->i64, sizes, c_i64(e, i)));
    for (int i = 0; i < k->nbuf; i++)
        l->buf[i] = e_load(e, e->ptr, e_at(e, e->ptr, bufs, c_i64(e, i)));
    l->clock = e_field(e, e->ptr, call, offsetof(RtCall, clock));
}

/* ---- values kept */
static bool is_costly(const Instr *i) {
    return op_info[i->op].lower == LOWER_MAP && !(op_info[i->op].flags & FLAG_CHEAP) &&
           i->dtype == DT_f32;
}

/* The last costly value that two stages need, and that is not kept yet. */
static int find_kept(Loops *l, int *stages) {
    size_t count = l->k->instr.n;
    memset(stages, 0, count * sizeof *stages);
    for (int stage = 0; stage <= l->k->stages; stage++) {
        mark_stage(l, stage);
        for (size_t n = 0; n < count; n++)
            if (l->need[n] && !is_kept(l, n, stage) && stages[n]++ == 0 && l->slot[n] < 0)
                l->saved[n] = stage;
    }
    for (size_t n = count; n-- > 0;)
        if (stages[n] > 1 && is_costly(instr_at(l, n)) &&
            level_of(l->k, instr_at(l, n)) == IN_BODY && instr_at(l, n)->by & BY_INNER)
            return (int)n;
    return -1;
}

static void choose_kept(Loops *l, Arena *a) {
    int *stages = NEW_N(a, int, l->k->instr.n);
    for (int s = 0, n; l->k->keep && s < KEEP_SLOTS && (n = find_kept(l, stages)) >= 0; s++) {
        l->slot[n] = s;
        l->keep[s] = e_alloca(l->e, LLVMArrayType2(l->e->f32, KEPT_MOST));
        LLVMSetAlignment(l->keep[s], 64);
    }
}

void loops_emit(Emit *e, const void *of, Arena *a) {
    const Kernel *k = of;
    emit_kernel(e, e->name);
    size_t n = k->instr.n;
    Loops l = {.e = e, .k = k};
    l.reg = NEW_N(a, Lanes, n);
    l.acc = NEW_N(a, Lanes, n);
    l.place = NEW_N(a, Lanes, n);
    l.random = NEW_N(a, RandomSource, n);
    l.need = NEW_N(a, bool, n);
    l.at = NEW_N(a, Value, k->access.n);
    l.result = NEW_N(a, Value, n);
    l.slot = NEW_N(a, int, n);
    l.saved = NEW_N(a, int, n);
    memset(l.slot, -1, n * sizeof *l.slot);
    load_arguments(&l, a);
    load_random(&l);
    make_accumulators(&l);
    choose_kept(&l, a);
    for (int i = 0; i < (int)k->access.n; i++) l.at[i] = l.size[kernel_size_offset(k, i)];
    l.column = l.panel = c_i64(e, 0);
    emit_level(&l, IN_CALL, 0);
    Loop task = loop_begin(e, LLVMGetParam(e->fn, 1), LLVMGetParam(e->fn, 2), c_i64(e, 1));
    emit_task(&l, task.i);
    loop_end(e, &task);
    LLVMBuildRetVoid(e->b);
}
