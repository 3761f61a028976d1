/* Sums of products along contiguous memory: some rows of w at a time meet every row of x, a vector
 * of each in each turn. Every sum is made in the same order wherever its row stands, so the bits do
 * not depend on how rows are shared among tasks. Buffers: x, w, s where there is one, c. */
#include "codegen/rows.h"

#include <stddef.h>

#include "codegen/compile.h"

enum {
    SIZE_K,
    SIZE_N,
    SIZE_PART,
    SIZE_X,
    SIZE_W,
    SIZE_C,
    SIZE_S_ROW,
    SIZE_S_COLUMN,
    SIZE_FIRST,
    SIZES
};
enum { SUMS_MOST = 16, ABREAST = 4 }; /* sums in registers; rows of w abreast */
enum { AHEAD = 4096 };                /* bytes that are asked for early */
static const double TASK_BYTES = 128 << 10, TASKS_MOST = 16;

typedef struct Rows {
    Emit *e;
    const RowsForm *f;
    Value size[SIZES], x, w, s, c;
    Value sum[SUMS_MOST]; /* allocas */
} Rows;

static int abreast(const RowsForm *f) {
    return f->rows * ABREAST <= SUMS_MOST ? ABREAST : SUMS_MOST / f->rows;
}

static Value row_of(const Rows *r, LType element, Value p, Value row, int stride) {
    return e_at(r->e, element, p, i_mul(r->e, row, r->size[stride]));
}

static Value *sum_at(Rows *r, int j, int i) {
    return &r->sum[j * r->f->rows + i];
}

/* Products at k..k+15 onto the sums of `count` rows of w. */
static void emit_terms(Rows *r, const Value *w, int count, Value k, Value mask) {
    Emit *e = r->e;
    LType element = mem_type(e, r->f->of);
    Value wide[ABREAST];
    for (int j = 0; j < count; j++) {
        Value stored = mem_load(e, element, e_at(e, element, w[j], k), mask);
        wide[j] = v_widen(e, r->f->of, stored);
    }
    for (int i = 0; i < r->f->rows; i++) {
        Value row = i_add(e, r->size[SIZE_FIRST], c_i64(e, i));
        Value x = row_of(r, e->f32, r->x, row, SIZE_X);
        Value some = mem_load(e, e->f32, e_at(e, e->f32, x, k), mask);
        for (int j = 0; j < count; j++) {
            Value *sum = sum_at(r, j, i);
            e_store(e, v_mad(e, some, wide[j], e_load(e, e->vf32, *sum)), *sum);
        }
    }
}

static void emit_along(Rows *r, const Value *w, int count) {
    Emit *e = r->e;
    LType element = mem_type(e, r->f->of);
    Value step = c_i64(e, LANES), whole = i_and(e, r->size[SIZE_K], c_i64(e, -LANES));
    Loop l = loop_begin(e, c_i64(e, 0), whole, step);
    for (int j = 0; j < count; j++)
        e_prefetch(e, e_at(e, e->i8, e_at(e, element, w[j], l.i), c_i64(e, AHEAD)));
    emit_terms(r, w, count, l.i, NULL);
    loop_end(e, &l);
    Loop rest = loop_begin(e, whole, r->size[SIZE_K], step);
    Value left = e_splat(e, i_sub(e, r->size[SIZE_K], rest.i));
    emit_terms(r, w, count, rest.i, i_cmp(e, LLVMIntSLT, c_lanes(e, e->vi64), left));
    loop_end(e, &rest);
}

static void emit_result(Rows *r, Value row, Value column, Value sum) {
    Emit *e = r->e;
    if (r->f->starts) {
        Value at =
            i_add(e, i_mul(e, row, r->size[SIZE_S_ROW]), i_mul(e, column, r->size[SIZE_S_COLUMN]));
        sum = v_add(e, e_load(e, e->f32, e_at(e, e->f32, r->s, at)), sum);
    }
    Value c = row_of(r, e->f32, r->c, row, SIZE_C);
    e_store(e, sum, e_at(e, e->f32, c, column));
}

/* `count` rows of w from `n` on. */
static void emit_block(Rows *r, Value n, int count) {
    Emit *e = r->e;
    Value w[ABREAST], column[ABREAST];
    for (int j = 0; j < count; j++) {
        column[j] = i_add(e, n, c_i64(e, j));
        w[j] = row_of(r, mem_type(e, r->f->of), r->w, column[j], SIZE_W);
        for (int i = 0; i < r->f->rows; i++) e_store(e, LLVMConstNull(e->vf32), *sum_at(r, j, i));
    }
    emit_along(r, w, count);
    for (int i = 0; i < r->f->rows; i++) {
        Value row = i_add(e, r->size[SIZE_FIRST], c_i64(e, i));
        for (int j = 0; j < count; j++)
            emit_result(r, row, column[j], v_sum(e, e_load(e, e->vf32, *sum_at(r, j, i))));
    }
}

static void emit_task(Rows *r, Value task) {
    Emit *e = r->e;
    int count = abreast(r->f);
    Value first = i_mul(e, task, r->size[SIZE_PART]);
    Value last = i_min(e, i_add(e, first, r->size[SIZE_PART]), r->size[SIZE_N]);
    Value blocks = LLVMBuildSDiv(e->b, i_sub(e, last, first), c_i64(e, count), "");
    Value end = i_add(e, first, i_mul(e, blocks, c_i64(e, count)));
    Loop whole = loop_begin(e, first, end, c_i64(e, count));
    emit_block(r, whole.i, count);
    loop_end(e, &whole);
    Loop rest = loop_begin(e, end, last, c_i64(e, 1));
    emit_block(r, rest.i, 1);
    loop_end(e, &rest);
}

static void emit_rows(Emit *e, const void *of, Arena *a) {
    (void)a;
    Rows r = {.e = e, .f = of};
    emit_kernel(e, e->name);
    Value call = LLVMGetParam(e->fn, 0), buf = e_field(e, e->ptr, call, offsetof(RtCall, buf)),
          size = e_field(e, e->ptr, call, offsetof(RtCall, size));
    Value *to[] = {&r.x, &r.w, r.f->starts ? &r.s : &r.c, &r.c};
    for (int i = 0; i < (r.f->starts ? 4 : 3); i++)
        *to[i] = e_load(e, e->ptr, e_at(e, e->ptr, buf, c_i64(e, i)));
    for (int i = 0; i < SIZES; i++)
        r.size[i] = e_load(e, e->i64, e_at(e, e->i64, size, c_i64(e, i)));
    for (int i = 0; i < SUMS_MOST; i++) r.sum[i] = e_alloca(e, e->vf32);
    Loop task = loop_begin(e, LLVMGetParam(e->fn, 1), LLVMGetParam(e->fn, 2), c_i64(e, 1));
    emit_task(&r, task.i);
    loop_end(e, &task);
    LLVMBuildRetVoid(e->b);
}

Source rows_source(Arena *a, const RowsForm *f) {
    return (Source){.key = arena_printf(a, "rows of %s, %d%s", dtype_name(f->of), f->rows,
                                        f->starts ? ", on what is there" : ""),
                    .emit = emit_rows,
                    .of = arena_memdup(a, f, sizeof *f)};
}

/* Tasks by the bytes that they read, each of whole blocks. */
void rows_arguments(RtStep *step, const RowsForm *f, const RowsShape *s, Arena *a) {
    double row = (double)s->k * (double)dtype_size(f->of), parts = row * (double)s->n / TASK_BYTES;
    parts = parts < 1 ? 1 : parts > TASKS_MOST ? TASKS_MOST : parts;
    int64_t part = (s->n + (int64_t)parts - 1) / (int64_t)parts;
    part = (part + ABREAST - 1) / ABREAST * ABREAST;
    step->nsize = SIZES;
    step->size = NEW_N(a, int64_t, SIZES);
    step->size[SIZE_K] = s->k, step->size[SIZE_N] = s->n, step->size[SIZE_PART] = part;
    step->size[SIZE_X] = s->x_row, step->size[SIZE_W] = s->w_row, step->size[SIZE_C] = s->c_row;
    step->size[SIZE_S_ROW] = s->s_row, step->size[SIZE_S_COLUMN] = s->s_column;
    step->size[SIZE_FIRST] = s->first;
    step->tasks = (s->n + part - 1) / part;
    step->cost = row * (double)part;
}
