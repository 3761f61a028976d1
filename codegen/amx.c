/* A micro-kernel of AMX: four of the eight tile registers hold sums of 32 rows by 32 columns, two
 * hold A and two B. Whole tiles start from S and go to C as they are; at the edges of C both go
 * through memory of the kernel's own, as does what is rounded to bf16 or added to S, so that edges
 * need no kernels and no configurations of their own, and every sum is made in one order. Tiles are
 * configured once for many calls: doing so and letting go again takes as long as a short product.
 */
#include "codegen/amx.h"

#include "codegen/asks.h"

#include <stddef.h>
#include <string.h>

#include "runtime/abi.h"

enum { TILES = 8, EDGE = 16, ROW_BYTES = 64, ROWS = 2, VECTORS = 2 };
enum { SUMS = ROWS * VECTORS };
enum { SUM = 0, A = SUMS, B = A + ROWS }; /* numbers of registers */
enum { WIDTH = VECTORS * EDGE };          /* of the kernel's own memory */

static void tile_call(Emit *e, const char *name, Value *arg, unsigned n) {
    e_intrinsic(e, name, NULL, 0, arg, n);
}
static Value tile_number(Emit *e, int n) {
    return LLVMConstInt(e->i8, (unsigned)n, 0);
}

static Value negate(Emit *e, Value truth) {
    return LLVMBuildNot(e->b, truth, "");
}

/* Palette 1: every register has 16 rows of 64 bytes. */
static void configure(Emit *e) {
    unsigned char config[64] = {1};
    for (int i = 0; i < TILES; i++) {
        config[16 + 2 * i] = ROW_BYTES; /* 16 bits each */
        config[48 + i] = EDGE;
    }
    Value bytes = LLVMConstStringInContext2(e->cx, (const char *)config, sizeof config, 1);
    Value global = LLVMGetNamedGlobal(e->module, "amx_config");
    if (!global) {
        global = LLVMAddGlobal(e->module, LLVMTypeOf(bytes), "amx_config");
        LLVMSetInitializer(global, bytes);
        LLVMSetLinkage(global, LLVMInternalLinkage);
        LLVMSetGlobalConstant(global, true);
    }
    tile_call(e, "llvm.x86.ldtilecfg", &global, 1);
}

static Value field(Emit *e, LType type, size_t byte) {
    return e_field(e, type, LLVMGetParam(e->fn, 0), byte);
}
#define FIELD_PTR(e, f) field(e, (e)->ptr, offsetof(RtTile, f))
#define FIELD_I64(e, f) field(e, (e)->i64, offsetof(RtTile, f))

static void load(Emit *e, int tile, Value at, Value stride) {
    tile_call(e, "llvm.x86.tileloadd64", (Value[]){tile_number(e, tile), at, stride}, 3);
}

/* What will not be read again soon. */
static void load_passing(Emit *e, int tile, Value at, Value stride) {
    tile_call(e, "llvm.x86.tileloaddt164", (Value[]){tile_number(e, tile), at, stride}, 3);
}

static void store(Emit *e, int tile, Value at, Value stride) {
    tile_call(e, "llvm.x86.tilestored64", (Value[]){tile_number(e, tile), at, stride}, 3);
}

static void zero(Emit *e, int tile) {
    Value number = tile_number(e, tile);
    tile_call(e, "llvm.x86.tilezero", &number, 1);
}

static void dot(Emit *e, int sum, int a, int b) {
    Value arg[] = {tile_number(e, sum), tile_number(e, a), tile_number(e, b)};
    tile_call(e, "llvm.x86.tdpbf16ps", arg, 3);
}

/* Which parts of A and B are multiplied, each pair after one that it shares a part with, so that it
 * takes few loads. x = x0 + x1 + x2, and each is less than 1/256 of the one before: what is left
 * out, a1 b2 and less, is smaller than f32 can tell from a b. */
typedef struct Term {
    int a, b;
} Term;
static const Term WHOLE[] = {{0, 0}}, PARTS[] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {0, 0}, {2, 0}};
enum { NONE = -1 };
_Static_assert(sizeof PARTS / sizeof *PARTS == TILES_TERMS, "as `uptc doctor` counts them");

typedef struct Operand { /* where it lies, cells to the next row and part, bytes to the row */
    Value at, row, part, bytes;
} Operand;
typedef struct Steps {
    Emit *e;
    int rows, vectors, parts;
    Operand a, b;
} Steps;

static Operand operand(Emit *e, Value at, Value row, Value part) {
    return (Operand){at, row, part, i_shl(e, row, 2)};
}

static Value part_of(const Steps *s, const Operand *x, int part) {
    return i_mul(s->e, x->part, c_i64(s->e, part));
}

static void load_a(const Steps *s, Value k, int r, int part) {
    Emit *e = s->e;
    Value at = i_add(e, i_mul(e, s->a.row, c_i64(e, r * EDGE)), part_of(s, &s->a, part));
    load(e, A + r, e_at(e, e->f32, s->a.at, i_add(e, at, k)), s->a.bytes);
}

static void load_b(const Steps *s, Value k, int v, int part) {
    Emit *e = s->e;
    Value at = i_add(e, c_i64(e, v * EDGE), part_of(s, &s->b, part));
    at = i_add(e, at, i_mul(e, s->b.row, k));
    load_passing(e, B + v, e_at(e, e->f32, s->b.at, at), s->b.bytes);
}

/* B's second half and A's are loaded while the first are multiplied. B passes by the level-1 cache,
 * where A is to stay: both together would not find room, and each would drive out what is read
 * next. */
static void emit_term(const Steps *s, Value k, Term t, Term before) {
    for (int r = 0; r < s->rows; r++) {
        if (t.a != before.a) load_a(s, k, r, t.a);
        for (int v = 0; v < s->vectors; v++) {
            if (r == 0 && t.b != before.b) load_b(s, k, v, t.b);
            dot(s->e, SUM + r * VECTORS + v, A + r, B + v);
        }
    }
}

/* One step of 16 cells of k. */
static void emit_step(const Steps *s, Value k) {
    const Term *term = s->parts > 1 ? PARTS : WHOLE;
    int n = s->parts > 1 ? TILES_TERMS : 1;
    for (int i = 0; i < n; i++) emit_term(s, k, term[i], i ? term[i - 1] : (Term){NONE, NONE});
}

static void emit_zeros(Emit *e, int rows, int vectors) {
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) zero(e, SUM + r * VECTORS + v);
}

/* ---- what sums start from and where they go */
typedef struct Rows {
    Value at, row; /* row: numbers from one to the next */
} Rows;
typedef struct Result {
    Rows c, s, half, own; /* own: 16 lines, which tiles go through one after the other: a load waits
                           * for a store before it whose address ends in the same 12 bits, so those
                           * are to be few */
    Value rows, cols;     /* that are there */
    Value all, adds, halves; /* truths: the whole tile is; S is added; C is bf16 */
} Result;
typedef struct Kind { /* what happens to sums on their way to C */
    bool adds, halves, whole;
} Kind;

static Value tile_at(Emit *e, const Rows *m, int row, int vector) {
    Value at = i_mul(e, m->row, c_i64(e, row * EDGE));
    return e_at(e, e->f32, m->at, i_add(e, at, c_i64(e, vector * EDGE)));
}

static Value row_bytes(Emit *e, const Rows *m) {
    return i_shl(e, m->row, 2);
}

static Value columns_from(Emit *e, Value cols, int v) {
    Value left = i_sub(e, cols, c_i64(e, v * EDGE));
    return i_cmp(e, LLVMIntSLT, c_lanes(e, e->vi64), e_splat(e, left));
}

static Value lines_of(Emit *e, const Result *r, int tile) {
    return i_min(e, c_i64(e, EDGE), i_sub(e, r->rows, c_i64(e, tile * EDGE)));
}

static Value line_at(Emit *e, const Rows *m, int tile, Value line) {
    return e_at(e, e->f32, m->at, i_mul(e, m->row, i_add(e, line, c_i64(e, tile * EDGE))));
}

/* What there is of S, by way of own lines. */
static void emit_start_of(Emit *e, const Result *r, int tile, int vectors) {
    Loop i = loop_begin(e, c_i64(e, 0), lines_of(e, r, tile), c_i64(e, 1));
    Value from = line_at(e, &r->s, tile, i.i), to = line_at(e, &r->own, 0, i.i);
    for (int v = 0; v < vectors; v++) {
        Value mask = columns_from(e, r->cols, v), at = c_i64(e, v * EDGE);
        Value x = mem_load(e, e->f32, e_at(e, e->f32, from, at), mask);
        mem_store(e, x, e_at(e, e->f32, to, at), mask);
    }
    loop_end(e, &i);
    for (int v = 0; v < vectors; v++)
        load(e, SUM + tile * VECTORS + v, tile_at(e, &r->own, 0, v), row_bytes(e, &r->own));
}

static void emit_start(Emit *e, const Result *r, int rows, int vectors) {
    If whole = if_begin(e, i_and(e, r->adds, r->all));
    for (int t = 0; t < rows; t++)
        for (int v = 0; v < vectors; v++)
            load(e, SUM + t * VECTORS + v, tile_at(e, &r->s, t, v), row_bytes(e, &r->s));
    if_end(e, &whole);
    If edge = if_begin(e, i_and(e, r->adds, negate(e, r->all)));
    for (int t = 0; t < rows; t++) emit_start_of(e, r, t, vectors);
    if_end(e, &edge);
    If none = if_begin(e, negate(e, r->adds));
    emit_zeros(e, rows, vectors);
    if_end(e, &none);
}

static void emit_stores(Emit *e, const Rows *to, int row, int tile, int vectors) {
    for (int v = 0; v < vectors; v++)
        store(e, SUM + tile * VECTORS + v, tile_at(e, to, row, v), row_bytes(e, to));
}

/* Two vectors at once where both are whole. */
static void store_halves(Emit *e, Value to, Kind kind, const Value *x, const Value *mask, int n) {
    if (kind.whole && n == VECTORS) {
        Value y = e_intrinsic(e, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", NULL, 0,
                              (Value[]){x[1], x[0]}, VECTORS);
        LLVMSetAlignment(LLVMBuildStore(e->b, y, to), sizeof(uint16_t));
        return;
    }
    for (int v = 0; v < n; v++) {
        Value y = mem_pack(e, DT_bf16, v_round_bf16(e, x[v]));
        mem_store(e, y, e_at(e, e->i16, to, c_i64(e, v * EDGE)), mask[v]);
    }
}

/* A line of a tile; s and c: where it is of them. */
static void emit_line(Emit *e, const Result *r, Kind kind, Value own, Value s, Value c, int n) {
    Value x[VECTORS], mask[VECTORS] = {NULL};
    for (int v = 0; v < n; v++) {
        Value at = c_i64(e, v * EDGE);
        if (!kind.whole) mask[v] = columns_from(e, r->cols, v);
        x[v] = e_load(e, e->vf32, e_at(e, e->f32, own, at));
        if (kind.adds) x[v] = v_add(e, mem_load(e, e->f32, e_at(e, e->f32, s, at), mask[v]), x[v]);
    }
    if (kind.halves)
        store_halves(e, c, kind, x, mask, n);
    else
        for (int v = 0; v < n; v++)
            mem_store(e, x[v], e_at(e, e->f32, c, c_i64(e, v * EDGE)), mask[v]);
}

static void emit_kind(Emit *e, const Result *r, Kind kind, int rows, int vectors) {
    for (int t = 0; t < rows; t++) {
        emit_stores(e, &r->own, 0, t, vectors);
        Value n = kind.whole ? c_i64(e, EDGE) : lines_of(e, r, t);
        Loop i = loop_begin(e, c_i64(e, 0), n, c_i64(e, 1));
        Value c = line_at(e, &r->c, t, i.i);
        if (kind.halves) {
            Value line = i_add(e, i.i, c_i64(e, t * EDGE));
            c = e_at(e, e->i16, r->half.at, i_mul(e, r->half.row, line));
        }
        emit_line(e, r, kind, line_at(e, &r->own, 0, i.i), line_at(e, &r->s, t, i.i), c, vectors);
        loop_end(e, &i);
    }
}

static void emit_kind_if(Emit *e, const Result *r, Value is, Kind kind, const AmxShape *shape) {
    int rows = shape->rows / EDGE;
    If whole = if_begin(e, i_and(e, is, r->all));
    if (kind.adds || kind.halves) {
        kind.whole = true;
        emit_kind(e, r, kind, rows, shape->vectors);
        kind.whole = false;
    } else {
        for (int t = 0; t < rows; t++) emit_stores(e, &r->c, t, t, shape->vectors);
    }
    if_end(e, &whole);
    If edge = if_begin(e, i_and(e, is, negate(e, r->all)));
    emit_kind(e, r, kind, rows, shape->vectors);
    if_end(e, &edge);
}

/* Sums of bf16 start from S, so that blocks of k may be as long as is best for what lies where.
 * Those of parts do not: S is added to them, as multiply-adds of f32 do it, so that a long sum is
 * one of short ones, which loses less; and C is never bf16. */
static void emit_results(Emit *e, const Result *r, const AmxShape *shape) {
    bool parts = shape->parts > 1;
    Value other = parts ? r->adds : r->halves;
    emit_kind_if(e, r, other, (Kind){.adds = parts, .halves = !parts}, shape);
    emit_kind_if(e, r, negate(e, other), (Kind){.adds = false}, shape);
}

static Value larger(Emit *e, Value a, Value b) {
    return v_select(e, i_cmp(e, LLVMIntSGT, a, b), a, b);
}

/* All steps of k, of which the first ask for rows of C, each for as many as it takes that all are
 * asked for before the last. */
static void emit_steps(Emit *e, const AmxShape *shape) {
    Operand a = operand(e, FIELD_PTR(e, a), FIELD_I64(e, a_step), FIELD_I64(e, a_part));
    Operand b = operand(e, FIELD_PTR(e, b), FIELD_I64(e, b_step), FIELD_I64(e, b_part));
    Steps s = {e, shape->rows / EDGE, shape->vectors, shape->parts, a, b};
    Value k = FIELD_I64(e, k), all = c_i64(e, shape->rows), one = c_i64(e, 1);
    Value steps = larger(e, LLVMBuildUDiv(e->b, k, c_i64(e, AMX_CELLS), ""), one);
    Value each = larger(e, LLVMBuildUDiv(e->b, all, steps, ""), one);
    Value asking = i_mul(e, LLVMBuildUDiv(e->b, all, each, ""), c_i64(e, AMX_CELLS));
    Asks asks = asks_begin(e);
    asking = i_min(e, asking, k);
    Loop first = loop_begin(e, c_i64(e, 0), asking, c_i64(e, AMX_CELLS));
    Loop row = loop_begin(e, c_i64(e, 0), each, one);
    asks_row(e, &asks, shape->vectors);
    loop_end(e, &row);
    emit_step(&s, first.i);
    loop_end(e, &first);
    Loop rest = loop_begin(e, asking, k, c_i64(e, AMX_CELLS));
    emit_step(&s, rest.i);
    loop_end(e, &rest);
}

void amx_emit_peak(Emit *e, Value numbers, Value first, Value last) {
    configure(e);
    for (int i = 0; i < SUMS; i++) zero(e, SUM + i);
    for (int i = 0; i < ROWS + VECTORS; i++)
        load(e, A + i, e_at(e, e->vf32, numbers, c_i64(e, i * EDGE)), c_i64(e, ROW_BYTES));
    Loop l = loop_begin(e, first, last, c_i64(e, SUMS * EDGE * EDGE));
    for (int i = 0; i < SUMS; i++) dot(e, SUM + i, A + i / VECTORS, B + i % VECTORS);
    loop_end(e, &l);
    tile_call(e, "llvm.x86.tilerelease", NULL, 0);
}

void amx_emit_begin(Emit *e, const char *name) {
    emit_function(e, name, NULL, 0);
    configure(e);
    LLVMBuildRetVoid(e->b);
}

void amx_emit_end(Emit *e, const char *name) {
    emit_function(e, name, NULL, 0);
    tile_call(e, "llvm.x86.tilerelease", NULL, 0);
    LLVMBuildRetVoid(e->b);
}

void amx_emit(Emit *e, const char *name, const AmxShape *shape) {
    int rows = shape->rows / EDGE, vectors = shape->vectors;
    emit_function(e, name, &e->ptr, 1);
    Result r = {.c = {FIELD_PTR(e, c), FIELD_I64(e, c_row)},
                .s = {FIELD_PTR(e, s), FIELD_I64(e, s_row)},
                .rows = FIELD_I64(e, rows),
                .cols = FIELD_I64(e, cols)};
    Value null = LLVMConstNull(e->ptr);
    r.half = (Rows){FIELD_PTR(e, half), r.c.row};
    r.own = (Rows){e_alloca(e, LLVMArrayType2(e->f32, EDGE * WIDTH)), c_i64(e, WIDTH)};
    LLVMSetAlignment(r.own.at, ROW_BYTES);
    r.all = i_and(e, i_cmp(e, LLVMIntEQ, r.rows, c_i64(e, shape->rows)),
                  i_cmp(e, LLVMIntEQ, r.cols, c_i64(e, vectors * EDGE)));
    r.adds = i_cmp(e, LLVMIntNE, r.s.at, null);
    r.halves = i_cmp(e, LLVMIntNE, r.half.at, null);
    if (shape->parts > 1)
        emit_zeros(e, rows, vectors);
    else
        emit_start(e, &r, rows, vectors);
    emit_steps(e, shape);
    emit_results(e, &r, shape);
    LLVMBuildRetVoid(e->b);
}
