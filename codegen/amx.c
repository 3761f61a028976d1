/* A micro-kernel of AMX: four of the eight tile registers hold sums of 32 rows by 32 columns, two
 * hold A and two B. Whole tiles start from S and go to C as they are; at the edges of C both go
 * through memory of the kernel's own, as does what is rounded to bf16, so that edges need no
 * kernels and no configurations of their own, and every sum is made in one order. Tiles are
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

/* One step of 16 cells of k. B's second half and A's are loaded while the first are multiplied. B
 * passes by the level-1 cache, where A is to stay: both together would not find room, and each
 * would drive out what is read next. */
static void emit_step(Emit *e, Value k, int rows, int vectors) {
    Value a = FIELD_PTR(e, a), b = FIELD_PTR(e, b);
    Value a_row = FIELD_I64(e, a_step), b_row = FIELD_I64(e, b_step);
    Value a_bytes = i_shl(e, a_row, 2), b_bytes = i_shl(e, b_row, 2);
    Value b_at = i_mul(e, b_row, k);
    for (int r = 0; r < rows; r++) {
        Value at = i_mul(e, a_row, c_i64(e, r * EDGE));
        load(e, A + r, e_at(e, e->f32, a, i_add(e, at, k)), a_bytes);
        for (int v = 0; v < vectors; v++) {
            Value right = i_add(e, b_at, c_i64(e, v * EDGE));
            if (r == 0) load_passing(e, B + v, e_at(e, e->f32, b, right), b_bytes);
            dot(e, SUM + r * VECTORS + v, A + r, B + v);
        }
    }
}

/* ---- what sums start from and where they go */
typedef struct Rows {
    Value at, row; /* row: numbers from one to the next */
} Rows;
typedef struct Result {
    Rows c, half, own;
    Value all, halves; /* truths: all of a tile is there; it goes to `half` */
} Result;

static Value quarter_at(Emit *e, const Rows *m, int row, int vector) {
    Value at = i_mul(e, m->row, c_i64(e, row * EDGE));
    return e_at(e, e->f32, m->at, i_add(e, at, c_i64(e, vector * EDGE)));
}

static void emit_start(Emit *e, const Rows *s, Value adds, int rows, int vectors) {
    If add = if_begin(e, adds);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            load(e, SUM + r * VECTORS + v, quarter_at(e, s, r, v), i_shl(e, s->row, 2));
    if_end(e, &add);
    If none = if_begin(e, negate(e, adds));
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) zero(e, SUM + r * VECTORS + v);
    if_end(e, &none);
}

static void emit_end(Emit *e, const Rows *c, int rows, int vectors) {
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            store(e, SUM + r * VECTORS + v, quarter_at(e, c, r, v), i_shl(e, c->row, 2));
        }
}

/* Of the rows and columns that there are; as numbers of type `t`. */
static void copy_rows(Emit *e, DType t, const Rows *to, const Rows *from, int vectors) {
    Value cols = FIELD_I64(e, cols);
    LType type = mem_type(e, t);
    Loop i = loop_begin(e, c_i64(e, 0), FIELD_I64(e, rows), c_i64(e, 1));
    Value source = e_at(e, e->f32, from->at, i_mul(e, from->row, i.i));
    Value target = e_at(e, type, to->at, i_mul(e, to->row, i.i));
    for (int v = 0; v < vectors; v++) {
        Value at = c_i64(e, v * EDGE), left = i_sub(e, cols, at);
        Value mask = i_cmp(e, LLVMIntSLT, c_lanes(e, e->vi64), e_splat(e, left));
        Value x = mem_load(e, e->f32, e_at(e, e->f32, source, at), mask);
        if (t == DT_bf16) x = v_round_bf16(e, x);
        mem_store(e, mem_pack(e, t, x), e_at(e, type, target, at), mask);
    }
    loop_end(e, &i);
}

/* Whole rows of sums, two vectors at a time, through the same few lines of memory for every tile: a
 * load waits for a store before it whose address ends in the same 12 bits, so those are to be few.
 */
static void emit_halved(Emit *e, const Rows *to, const Rows *own, int rows) {
    for (int r = 0; r < rows * EDGE; r++) {
        Value x[VECTORS], line = c_i64(e, r % EDGE);
        for (int v = 0; v < VECTORS; v++) {
            Value at = i_add(e, i_mul(e, own->row, line), c_i64(e, v * EDGE));
            Value p = e_at(e, e->f32, own->at, c_i64(e, v * EDGE));
            if (r % EDGE == 0) store(e, SUM + r / EDGE * VECTORS + v, p, i_shl(e, own->row, 2));
            x[v] = e_load(e, e->vf32, e_at(e, e->f32, own->at, at));
        }
        Value y = e_intrinsic(e, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", NULL, 0,
                              (Value[]){x[1], x[0]}, VECTORS);
        Value p = e_at(e, e->i16, to->at, i_mul(e, to->row, c_i64(e, r)));
        LLVMSetAlignment(LLVMBuildStore(e->b, y, p), sizeof(uint16_t));
    }
}

static Value larger(Emit *e, Value a, Value b) {
    return v_select(e, i_cmp(e, LLVMIntSGT, a, b), a, b);
}

/* All steps of k, of which the first ask for rows of C, each for as many as it takes that all are
 * asked for before the last. */
static void emit_steps(Emit *e, int rows, int vectors) {
    Value k = FIELD_I64(e, k), all = c_i64(e, rows * EDGE), one = c_i64(e, 1);
    Value steps = larger(e, LLVMBuildUDiv(e->b, k, c_i64(e, AMX_CELLS), ""), one);
    Value each = larger(e, LLVMBuildUDiv(e->b, all, steps, ""), one);
    Value asking = i_mul(e, LLVMBuildUDiv(e->b, all, each, ""), c_i64(e, AMX_CELLS));
    Asks asks = asks_begin(e);
    asking = i_min(e, asking, k);
    Loop first = loop_begin(e, c_i64(e, 0), asking, c_i64(e, AMX_CELLS));
    Loop row = loop_begin(e, c_i64(e, 0), each, one);
    asks_row(e, &asks, vectors);
    loop_end(e, &row);
    emit_step(e, first.i, rows, vectors);
    loop_end(e, &first);
    Loop rest = loop_begin(e, asking, k, c_i64(e, AMX_CELLS));
    emit_step(e, rest.i, rows, vectors);
    loop_end(e, &rest);
}

static Rows choose(Emit *e, Value c, const Rows *x, const Rows *y) {
    return (Rows){v_select(e, c, x->at, y->at), v_select(e, c, x->row, y->row)};
}

void amx_emit_peak(Emit *e, Value first, Value last) {
    configure(e);
    for (int i = 0; i < TILES; i++) zero(e, i);
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

/* Sums go to C in f32 or bf16, or what there is of them. */
static void emit_results(Emit *e, const Result *r, int rows, int vectors) {
    Value wide = LLVMConstInt(e->i1, vectors == VECTORS, 0);
    Value whole = i_and(e, wide, i_and(e, r->halves, r->all));
    If halves = if_begin(e, whole);
    emit_halved(e, &r->half, &r->own, rows);
    if_end(e, &halves);
    If other = if_begin(e, negate(e, whole));
    Rows to = choose(e, i_and(e, r->all, negate(e, r->halves)), &r->c, &r->own);
    emit_end(e, &to, rows, vectors);
    If edge = if_begin(e, r->halves);
    copy_rows(e, DT_bf16, &r->half, &r->own, vectors);
    if_end(e, &edge);
    edge = if_begin(e, negate(e, i_or(e, r->halves, r->all)));
    copy_rows(e, DT_f32, &r->c, &r->own, vectors);
    if_end(e, &edge);
    if_end(e, &other);
}

void amx_emit(Emit *e, const char *name, int rows, int vectors) {
    emit_function(e, name, &e->ptr, 1);
    Rows c = {FIELD_PTR(e, c), FIELD_I64(e, c_row)}, s = {FIELD_PTR(e, s), FIELD_I64(e, s_row)};
    Result r = {.c = c, .half = {FIELD_PTR(e, half), c.row}};
    r.all = i_and(e, i_cmp(e, LLVMIntEQ, FIELD_I64(e, rows), c_i64(e, rows)),
                  i_cmp(e, LLVMIntEQ, FIELD_I64(e, cols), c_i64(e, vectors * EDGE)));
    r.halves = i_cmp(e, LLVMIntNE, r.half.at, LLVMConstNull(e->ptr));
    r.own = (Rows){e_alloca(e, LLVMArrayType2(e->f32, ROWS * EDGE * WIDTH)), c_i64(e, WIDTH)};
    LLVMSetAlignment(r.own.at, ROW_BYTES);
    Value adds = i_cmp(e, LLVMIntNE, s.at, LLVMConstNull(e->ptr));
    If edge = if_begin(e, i_and(e, adds, negate(e, r.all)));
    copy_rows(e, DT_f32, &r.own, &s, vectors);
    if_end(e, &edge);

    Rows from = choose(e, r.all, &s, &r.own);
    rows /= EDGE;
    emit_start(e, &from, adds, rows, vectors);
    emit_steps(e, rows, vectors);
    emit_results(e, &r, rows, vectors);
    LLVMBuildRetVoid(e->b);
}
