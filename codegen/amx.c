/* A micro-kernel of AMX: four of the eight tile registers hold sums of 32 rows by 32 columns, two
 * hold A and two B. What it sums goes through memory once more, so that edges and what the sums are
 * added to cost nothing special. Tiles are configured anew for each call, and let go at its end:
 * that takes some ten cycles of a few thousand, and nobody else has to know. */
#include "codegen/amx.h"

#include <stddef.h>
#include <string.h>

#include "runtime/abi.h"

enum { TILES = 8, EDGE = 16, ROW_BYTES = 64, ROWS = 2, VECTORS = 2 };
enum { SUMS = ROWS * VECTORS };
enum { SUM = 0, A = SUMS, B = A + ROWS }; /* numbers of registers */
enum { WIDTH = VECTORS * EDGE };          /* of the sums in memory */

static void tile_call(Emit *e, const char *name, Value *arg, unsigned n) {
    e_intrinsic(e, name, NULL, 0, arg, n);
}
static Value tile_number(Emit *e, int n) {
    return LLVMConstInt(e->i8, (unsigned)n, 0);
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

static void zero(Emit *e, int tile) {
    Value number = tile_number(e, tile);
    tile_call(e, "llvm.x86.tilezero", &number, 1);
}

static void dot(Emit *e, int sum, int a, int b) {
    Value arg[] = {tile_number(e, sum), tile_number(e, a), tile_number(e, b)};
    tile_call(e, "llvm.x86.tdpbf16ps", arg, 3);
}

/* One step of 16 cells of k. */
static void emit_step(Emit *e, Value k, int rows, int vectors) {
    Value a = FIELD_PTR(e, a), b = FIELD_PTR(e, b);
    Value a_row = FIELD_I64(e, a_step), b_row = FIELD_I64(e, b_step);
    Value a_bytes = i_shl(e, a_row, 2), b_bytes = i_shl(e, b_row, 2);
    for (int r = 0; r < rows; r++) {
        Value at = i_mul(e, a_row, c_i64(e, r * EDGE));
        load(e, A + r, e_at(e, e->f32, a, i_add(e, at, k)), a_bytes);
    }
    for (int v = 0; v < vectors; v++) {
        Value at = i_mul(e, b_row, k);
        load(e, B + v, e_at(e, e->f32, b, i_add(e, at, c_i64(e, v * EDGE))), b_bytes);
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) dot(e, SUM + r * VECTORS + v, A + r, B + v);
}

/* Sums to memory: all rows of them, WIDTH apart. */
static Value emit_sums(Emit *e, int rows, int vectors) {
    Value sums = e_alloca(e, LLVMArrayType2(e->f32, ROWS * EDGE * WIDTH));
    LLVMSetAlignment(sums, ROW_BYTES);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            Value at = e_at(e, e->f32, sums, c_i64(e, r * EDGE * WIDTH + v * EDGE));
            Value arg[] = {tile_number(e, SUM + r * VECTORS + v), at,
                           c_i64(e, WIDTH * (int64_t)sizeof(float))};
            tile_call(e, "llvm.x86.tilestored64", arg, 3);
        }
    return sums;
}

static Value row_at(Emit *e, Value p, Value row, Value i) {
    return e_at(e, e->f32, p, i_mul(e, row, i));
}

/* C = sums, or S + sums if `adds`. */
static void emit_rows(Emit *e, Value sums, int vectors, const Value *mask, bool adds) {
    Value c = FIELD_PTR(e, c), c_row = FIELD_I64(e, c_row);
    Value s = FIELD_PTR(e, s), s_row = FIELD_I64(e, s_row);
    Loop i = loop_begin(e, c_i64(e, 0), FIELD_I64(e, rows), c_i64(e, 1));
    Value to = row_at(e, c, c_row, i.i), from = row_at(e, s, s_row, i.i);
    Value sum = row_at(e, sums, c_i64(e, WIDTH), i.i);
    for (int v = 0; v < vectors; v++) {
        Value at = c_i64(e, v * EDGE);
        Value x = mem_load(e, e->f32, e_at(e, e->f32, sum, at), NULL);
        if (adds) x = v_add(e, mem_load(e, e->f32, e_at(e, e->f32, from, at), mask[v]), x);
        mem_store(e, x, e_at(e, e->f32, to, at), mask[v]);
    }
    loop_end(e, &i);
}

void amx_emit_peak(Emit *e, Value first, Value last) {
    configure(e);
    for (int i = 0; i < TILES; i++) zero(e, i);
    Loop l = loop_begin(e, first, last, c_i64(e, SUMS * EDGE * EDGE));
    for (int i = 0; i < SUMS; i++) dot(e, SUM + i, A + i / VECTORS, B + i % VECTORS);
    loop_end(e, &l);
    tile_call(e, "llvm.x86.tilerelease", NULL, 0);
}

void amx_emit(Emit *e, const char *name, int rows, int vectors) {
    emit_function(e, name, &e->ptr, 1);
    rows /= EDGE;
    configure(e);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) zero(e, SUM + r * VECTORS + v);
    Loop k = loop_begin(e, c_i64(e, 0), FIELD_I64(e, k), c_i64(e, AMX_CELLS));
    emit_step(e, k.i, rows, vectors);
    loop_end(e, &k);
    Value sums = emit_sums(e, rows, vectors), cols = FIELD_I64(e, cols), mask[VECTORS];
    tile_call(e, "llvm.x86.tilerelease", NULL, 0);
    for (int v = 0; v < vectors; v++) {
        Value left = i_sub(e, cols, c_i64(e, v * EDGE)), lane = c_lanes(e, e->vi64);
        mask[v] = i_cmp(e, LLVMIntSLT, lane, e_splat(e, left));
    }
    Value null = LLVMConstNull(e->ptr), s = FIELD_PTR(e, s);
    If add = if_begin(e, i_cmp(e, LLVMIntNE, s, null));
    emit_rows(e, sums, vectors, mask, true);
    if_end(e, &add);
    If store = if_begin(e, i_cmp(e, LLVMIntEQ, s, null));
    emit_rows(e, sums, vectors, mask, false);
    if_end(e, &store);
    LLVMBuildRetVoid(e->b);
}
