/* The inner loops of matrix products, after Goto and van de Geijn, "Anatomy of High-Performance
 * Matrix Multiplication" (2008): a tile of C stays in registers while k runs; for each k a vector
 * of B meets numbers of A one after another. As many rows as the registers hold, so that each load
 * of B is used often; edges have tiles of their own size, so they cost what they are.
 *
 * Packing turns 16 lines of 16 numbers at a time over in registers: pairs and fours of numbers
 * within the quarters of a vector, then the quarters themselves. */
#include "codegen/tiles.h"

#include "codegen/amx.h"
#include "codegen/asks.h"

#include <stddef.h>
#include <string.h>

enum { QUARTER = 4, QUARTERS = LANES / QUARTER, ROWS_MOST = 14, MOST_PARTS = 3 };
enum { ROWS_HELD = 6 }; /* of so many, registers hold where they lie */
_Static_assert((int)TILE_LANES == (int)LANES, "lanes of a vector");

/* ---- functions of several arguments */
static Value param(Emit *e, unsigned i) {
    return LLVMGetParam(e->fn, i);
}
static Value floats_at(Emit *e, Value p, Value i) {
    return e_at(e, e->f32, p, i);
}
static Value lanes_below(Emit *e, Value count) {
    Value lane = c_lanes(e, e->vi64);
    return i_cmp(e, LLVMIntSLT, lane, e_splat(e, count));
}

/* ---- a tile of C */
typedef struct Tile {
    Emit *e;
    int rows, vectors, cell;
    bool bf16;
    Value row_at, row[ROWS_MOST];       /* row: NULL where registers would not hold all */
    Value sum[ROWS_MOST][TILE_VECTORS]; /* allocas */
} Tile;

static Value field(const Tile *t, LType type, size_t byte) {
    return e_field(t->e, type, param(t->e, 0), byte);
}
#define FIELD_PTR(t, f) field(t, (t)->e->ptr, offsetof(RtTile, f))
#define FIELD_I64(t, f) field(t, (t)->e->i64, offsetof(RtTile, f))

/* sum + x y, or sum + x0 y0 + x1 y1 where cells are pairs of bf16. */
static Value emit_term(const Tile *t, Value x, Value y, Value sum) {
    Emit *e = t->e;
    if (t->cell == 1) return v_mad(e, x, y, sum);
    LType pairs = LLVMVectorType(LLVMBFloatTypeInContext(e->cx), 2 * LANES);
    x = e_bits(e, x, pairs);
    y = e_bits(e, y, pairs);
    return e_intrinsic(e, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, (Value[]){sum, x, y}, 3);
}

static Value load_row(const Tile *t, int r) {
    return e_load(t->e, t->e->i64, e_at(t->e, t->e->i64, t->row_at, c_i64(t->e, r)));
}

/* Where a row lies is loaded beside its number unless there are few. Left to itself LLVM moves
 * these loads ahead, and sums to memory; nothing moves across a fence, which is no instruction
 * here. */
static void emit_terms(Tile *t, Value a, Value b) {
    Emit *e = t->e;
    Value column[TILE_VECTORS];
    for (int v = 0; v < t->vectors; v++)
        column[v] = mem_load(e, e->f32, floats_at(e, b, c_i64(e, v * LANES)), NULL);
    for (int r = 0; r < t->rows; r++) {
        Value row = t->row[r] ? t->row[r] : load_row(t, r);
        Value x = e_splat(e, e_load(e, e->f32, floats_at(e, a, row)));
        for (int v = 0; v < t->vectors; v++) {
            Value sum = e_load(e, e->vf32, t->sum[r][v]);
            e_store(e, emit_term(t, x, column[v], sum), t->sum[r][v]);
        }
        LLVMBuildFence(e->b, LLVMAtomicOrderingAcquireRelease, true, "");
    }
}

enum { ASKED_FROM = 64 }; /* by fewer k memory would be asked too late */
enum { UNROLL = 4 };

/* Asks for a row each time, if `asks` is not NULL. */
static void emit_loop(Tile *t, Value b, Value from, Value to, int unroll, const Asks *asks) {
    Emit *e = t->e;
    Value a = FIELD_PTR(t, a), a_at = FIELD_PTR(t, a_at), b_step = FIELD_I64(t, b_step);
    Loop k = loop_begin(e, from, to, c_i64(e, unroll));
    if (asks) asks_row(e, asks, t->vectors);
    for (int i = 0; i < unroll; i++) {
        Value at = e_at(e, e->i64, a_at, i_add(e, k.i, c_i64(e, i)));
        Value at_b = e_load(e, e->ptr, b);
        emit_terms(t, floats_at(e, a, e_load(e, e->i64, at)), at_b);
        e_store(e, floats_at(e, at_b, b_step), b);
    }
    loop_end(e, &k);
}

static void emit_sums(Tile *t) {
    Emit *e = t->e;
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++) {
            t->sum[r][v] = e_alloca(e, e->vf32);
            e_store(e, LLVMConstNull(e->vf32), t->sum[r][v]);
        }
    Value b = e_alloca(e, e->ptr), n = FIELD_I64(t, k);
    e_store(e, FIELD_PTR(t, b), b);
    t->row_at = FIELD_PTR(t, a_row);
    for (int r = 0; r < t->rows && t->bf16; r++) t->row[r] = c_i64(e, r); /* packed side by side */
    Asks asks = asks_begin(e);
    Value several = i_and(e, n, c_i64(e, -UNROLL));
    Value asked = i_min(e, several, c_i64(e, UNROLL * t->rows));
    Value worth = i_cmp(e, LLVMIntSGE, several, c_i64(e, ASKED_FROM));
    asked = v_select(e, worth, asked, c_i64(e, 0));
    emit_loop(t, b, c_i64(e, 0), asked, UNROLL, &asks);
    /* Not before, as then there are too many for the registers of AVX2, and sums go to memory. */
    for (int r = 0; r < t->rows && t->rows <= ROWS_HELD && !t->bf16; r++)
        t->row[r] = load_row(t, r);
    emit_loop(t, b, asked, several, UNROLL, NULL);
    emit_loop(t, b, several, n, 1, NULL);
}

/* Writes the sums, added to S if `adds`, as numbers of type `type`. */
static void emit_results(const Tile *t, DType type, bool adds, const Value *mask) {
    Emit *e = t->e;
    LType number = mem_type(e, type);
    Value c = type == DT_bf16 ? FIELD_PTR(t, half) : FIELD_PTR(t, c), c_row = FIELD_I64(t, c_row);
    Value s = FIELD_PTR(t, s), s_row = FIELD_I64(t, s_row);
    for (int r = 0; r < t->rows; r++) {
        Value to = e_at(e, number, c, i_mul(e, c_row, c_i64(e, r)));
        Value from = floats_at(e, s, i_mul(e, s_row, c_i64(e, r)));
        for (int v = 0; v < t->vectors; v++) {
            Value sum = e_load(e, e->vf32, t->sum[r][v]), at = c_i64(e, v * LANES);
            if (adds) sum = v_add(e, mem_load(e, e->f32, floats_at(e, from, at), mask[v]), sum);
            if (type == DT_bf16) sum = v_round_bf16(e, sum);
            mem_store(e, mem_pack(e, type, sum), e_at(e, number, to, at), mask[v]);
        }
    }
}

static void emit_added(const Tile *t, DType type, const Value *mask) {
    Emit *e = t->e;
    Value null = LLVMConstNull(e->ptr), s = FIELD_PTR(t, s);
    If add = if_begin(e, i_cmp(e, LLVMIntNE, s, null));
    emit_results(t, type, true, mask);
    if_end(e, &add);
    If store = if_begin(e, i_cmp(e, LLVMIntEQ, s, null));
    emit_results(t, type, false, mask);
    if_end(e, &store);
}

/* Tiles of bf16 may be asked to round what they write. */
static void emit_either(const Tile *t, const Value *mask) {
    Emit *e = t->e;
    if (!t->bf16) {
        emit_added(t, DT_f32, mask);
        return;
    }
    Value null = LLVMConstNull(e->ptr), half = FIELD_PTR(t, half);
    If rounds = if_begin(e, i_cmp(e, LLVMIntNE, half, null));
    emit_added(t, DT_bf16, mask);
    if_end(e, &rounds);
    If as_is = if_begin(e, i_cmp(e, LLVMIntEQ, half, null));
    emit_added(t, DT_f32, mask);
    if_end(e, &as_is);
}

/* Masks cost AVX-512 nothing; elsewhere full tiles do without. */
static void emit_tile(Emit *e, const char *name, int rows, const TileForm *f) {
    int vectors = f->vectors;
    emit_function(e, name, &e->ptr, 1);
    Tile t = {.e = e, .rows = rows, .vectors = vectors, .cell = f->cell, .bf16 = f->bf16};
    emit_sums(&t);
    Value cols = FIELD_I64(&t, cols), mask[TILE_VECTORS], none[TILE_VECTORS] = {NULL};
    for (int v = 0; v < vectors; v++) mask[v] = lanes_below(e, i_sub(e, cols, c_i64(e, v * LANES)));
    if (e->avx512) {
        emit_either(&t, mask);
    } else {
        Value full = c_i64(e, vectors * LANES);
        If whole = if_begin(e, i_cmp(e, LLVMIntSGE, cols, full));
        emit_either(&t, none);
        if_end(e, &whole);
        If part = if_begin(e, i_cmp(e, LLVMIntSLT, cols, full));
        emit_either(&t, mask);
        if_end(e, &part);
    }
    LLVMBuildRetVoid(e->b);
}

/* ---- packing */
enum { PACK_X, PACK_AT, PACK_WIDTH, PACK_K, PACK_CELL, PACK_STEP, PACK_PART, PACK_PARAMS };

typedef struct Pack {
    Emit *e;
    DType from;
    int cell;     /* numbers in one */
    bool bf16;    /* which are rounded */
    bool by_rows; /* each line's cells side by side */
    int parts;    /* of a number */
} Pack;

static void begin_pack(Emit *e, const char *name) {
    LType type[PACK_PARAMS] = {e->ptr, e->ptr, e->i64, e->i64, e->ptr, e->i64, e->i64};
    emit_function(e, name, type, PACK_PARAMS);
}

/* Where the numbers of line or k number `i` begin. */
static Value numbers_of(const Pack *p, Value i) {
    Emit *e = p->e;
    Value at = e_load(e, e->i64, e_at(e, e->i64, param(e, PACK_AT), i));
    return e_at(e, mem_type(e, p->from), param(e, PACK_X), at);
}

static Value load_numbers(const Pack *p, Value at, Value mask) {
    return mem_load(p->e, mem_type(p->e, p->from), at, mask);
}

/* 16 numbers as cells of one. */
static Value as_cells(const Pack *p, Value x) {
    Value number = mem_unpack(p->e, p->from, x);
    return p->bf16 && p->from != DT_bf16 ? v_round_bf16(p->e, number) : number;
}

/* 16 floats as the nearest of bf16, those in the middle away from zero. */
static Value nearest(Emit *e, Value x) {
    Value half = e_splat(e, LLVMConstInt(e->i32, 0x8000, 0));
    Value bits = i_add(e, e_bits(e, x, e->vi32), half);
    Value high = e_splat(e, LLVMConstInt(e->i32, 0xffff0000, 0));
    return e_bits(e, i_and(e, bits, high), e->vf32);
}

static bool has_parts(const Pack *p) {
    return p->from == DT_f32 && p->parts > 1;
}

/* The next part of 16 floats: what is nearest to what is left of them. A float has 24 digits, each
 * part 8 and a sign, so three leave nothing, and the last is what is left. */
static Value next_part(const Pack *p, int part, Value *left) {
    if (part + 1 == p->parts) return *left;
    Value x = nearest(p->e, *left);
    *left = v_sub(p->e, *left, x);
    return x;
}

/* 16 numbers as bits of bf16. */
static Value as_bf16(const Pack *p, Value x) {
    Emit *e = p->e;
    if (p->from == DT_bf16) return x;
    LType half = e_vector(LLVMBFloatTypeInContext(e->cx));
    return e_bits(e, LLVMBuildFPTrunc(e->b, x, half, ""), e->vi16);
}

/* Two times 16 of them as 16 cells. */
typedef Value Join(const Pack *p, Value x, Value y);

/* `y` goes beside `x`. */
static Value beside(const Pack *p, Value x, Value y) {
    Emit *e = p->e;
    Value low, high;
    if (has_parts(p)) { /* they are bf16 already, with zeros behind */
        high = e_splat(e, LLVMConstInt(e->i32, 0xffff0000, 0));
        high = i_and(e, e_bits(e, y, e->vi32), high);
        low = i_lshr(e, e_bits(e, x, e->vi32), 16);
    } else {
        high = i_shl(e, LLVMBuildZExt(e->b, as_bf16(p, y), e->vi32, ""), 16);
        low = LLVMBuildZExt(e->b, as_bf16(p, x), e->vi32, "");
    }
    return e_bits(e, i_or(e, low, high), e->vf32);
}

/* One after the other, the first of each pair low. */
static Value in_turn(const Pack *p, Value first, Value second) {
    Emit *e = p->e;
    if (p->from == DT_f32) {
        Value both[] = {second, first};
        Value x = e_intrinsic(e, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", NULL, 0, both, 2);
        return e_bits(e, x, e->vf32);
    }
    Value lane[2 * LANES];
    for (int i = 0; i < 2 * LANES; i++) lane[i] = LLVMConstInt(e->i32, (unsigned)i, 0);
    Value order = LLVMConstVector(lane, 2 * LANES);
    return e_bits(e, LLVMBuildShuffleVector(e->b, first, second, order, ""), e->vf32);
}

static void store_parts(const Pack *p, const Value cells[MOST_PARTS], Value to) {
    Emit *e = p->e;
    for (int i = 0; i < p->parts; i++) {
        mem_store(e, cells[i], to, NULL);
        to = floats_at(e, to, param(e, PACK_PART));
    }
}

/* Cells of numbers that have but one part: the others are 0. */
static void store_whole(const Pack *p, Value cells, Value to) {
    Value part[MOST_PARTS] = {cells};
    for (int i = 1; i < p->parts; i++) part[i] = LLVMConstNull(p->e->vf32);
    store_parts(p, part, to);
}

/* The cells of two times 16 numbers, each part where it belongs. */
static void store_joined(const Pack *p, Join *join, Value x, Value y, Value to) {
    if (p->from == DT_bf16) {
        store_whole(p, join(p, x, y), to);
        return;
    }
    Value cells[MOST_PARTS];
    for (int i = 0; i < p->parts; i++) {
        Value of_x = next_part(p, i, &x), of_y = next_part(p, i, &y);
        cells[i] = join(p, of_x, of_y);
    }
    store_parts(p, cells, to);
}

/* Where row `i` of cells begins. */
static Value row_at(const Pack *p, Value i) {
    return floats_at(p->e, param(p->e, PACK_CELL), i_mul(p->e, i, param(p->e, PACK_STEP)));
}

/* The lines that the next panels are of lie behind these: asked for as these are read. */
enum { PANELS_AHEAD = 2 };
static Value load_and_ask(const Pack *p, Value at, Value mask) {
    Emit *e = p->e;
    int numbers = PANELS_AHEAD * TILE_VECTORS * LANES;
    e_prefetch(e, e_at(e, mem_type(e, p->from), at, c_i64(e, numbers)));
    return load_numbers(p, at, mask);
}

static Value cell_number(const Pack *p, Value k) {
    return p->cell > 1 ? i_lshr(p->e, k, 1) : k;
}

/* The cells of all lines at k; `whole`: all numbers of them are there, else the first alone. */
static void emit_cells(const Pack *p, Value k, Value mask, bool whole) {
    Emit *e = p->e;
    Value to = row_at(p, cell_number(p, k));
    Value x = load_and_ask(p, numbers_of(p, k), mask);
    if (p->cell == 1) {
        mem_store(e, as_cells(p, x), to, NULL);
        return;
    }
    Value y = LLVMConstNull(LLVMTypeOf(x));
    if (whole) y = load_and_ask(p, numbers_of(p, i_add(e, k, c_i64(e, 1))), mask);
    store_joined(p, beside, x, y, to);
}

static void emit_pack_along(Emit *e, const char *name, const Pack *p) {
    begin_pack(e, name);
    Value mask = lanes_below(e, param(e, PACK_WIDTH)), n = param(e, PACK_K);
    Value whole = i_and(e, n, c_i64(e, -p->cell));
    Loop k = loop_begin(e, c_i64(e, 0), whole, c_i64(e, p->cell));
    emit_cells(p, k.i, mask, true);
    loop_end(e, &k);
    if (p->cell > 1) {
        If odd = if_begin(e, i_cmp(e, LLVMIntNE, n, whole));
        emit_cells(p, whole, mask, false);
        if_end(e, &odd);
    }
    LLVMBuildRetVoid(e->b);
}

static Value shuffle(Emit *e, Value x, Value y, const int *from) {
    Value lane[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = LLVMConstInt(e->i32, (unsigned)from[i], 0);
    return LLVMBuildShuffleVector(e->b, x, y, LLVMConstVector(lane, LANES), "");
}

/* Of x and y in turn, `size` numbers each: those of the first half of each quarter, or the second.
 */
static Value interleave(Emit *e, Value x, Value y, int size, bool second) {
    int from[LANES];
    for (int i = 0; i < LANES; i++) {
        int in = i % QUARTER, piece = in / size; /* pieces alternate: x, y, x, y */
        int place = i - in + (second ? QUARTER / 2 : 0) + piece / 2 * size + in % size;
        from[i] = place + piece % 2 * LANES;
    }
    return shuffle(e, x, y, from);
}

/* The quarters of x and then of y that have even numbers, or odd ones. */
static Value every_other(Emit *e, Value x, Value y, bool odd) {
    int from[LANES];
    for (int i = 0; i < LANES; i++) {
        int quarter = 2 * (i / QUARTER) + odd; /* of x and y, one after the other */
        from[i] = quarter * QUARTER + i % QUARTER;
    }
    return shuffle(e, x, y, from);
}

/* Within quarters: row[4 i + c] gets of rows 4 i to 4 i + 3 all numbers c of a quarter. */
static void turn_quarters(Emit *e, Value row[LANES]) {
    for (int i = 0; i < LANES; i += QUARTER) {
        Value t[QUARTER];
        for (int p = 0; p < QUARTER; p++) {
            const Value *pair = &row[i + p / 2 * 2];
            t[p] = interleave(e, pair[0], pair[1], 1, p % 2);
        }
        for (int c = 0; c < QUARTER; c++)
            row[i + c] = interleave(e, t[c / 2], t[c / 2 + 2], 2, c % 2);
    }
}

/* n lines, a power of two, of n quarters each. */
static void turn_lines(Emit *e, Value *line, int n) {
    if (n == 1) return;
    Value even[QUARTERS], odd[QUARTERS];
    for (int i = 0; i < n / 2; i++) {
        even[i] = every_other(e, line[2 * i], line[2 * i + 1], false);
        odd[i] = every_other(e, line[2 * i], line[2 * i + 1], true);
    }
    turn_lines(e, even, n / 2);
    turn_lines(e, odd, n / 2);
    for (int i = 0; i < n / 2; i++) line[2 * i] = even[i], line[2 * i + 1] = odd[i];
}

static void transpose(Emit *e, Value row[LANES]) {
    turn_quarters(e, row);
    for (int c = 0; c < QUARTER; c++) {
        Value line[QUARTERS];
        for (int i = 0; i < QUARTERS; i++) line[i] = row[QUARTER * i + c];
        turn_lines(e, line, QUARTERS);
        for (int b = 0; b < QUARTERS; b++) row[QUARTER * b + c] = line[b];
    }
}

/* 16 numbers of a line, from number k on, of which `rest` are there; NULL: all. */
static Value line_numbers(const Pack *p, Value line, Value k, Value rest) {
    Value mask = rest ? lanes_below(p->e, rest) : NULL;
    return load_numbers(p, e_at(p->e, mem_type(p->e, p->from), line, k), mask);
}

static Value after(const Pack *p, Value k) {
    return i_add(p->e, k, c_i64(p->e, LANES));
}
static Value rest_after(const Pack *p, Value rest) {
    return rest ? i_sub(p->e, rest, c_i64(p->e, LANES)) : NULL;
}
static Value more_numbers(const Pack *p, Value line, Value k, Value rest) {
    return line_numbers(p, line, after(p, k), rest_after(p, rest));
}

typedef void EmitBlock(const Pack *p, Value *line, Value k, Value rest);

/* Floats are turned over before they are taken apart, once and not for each part. */
static void emit_float_block(const Pack *p, Value *line, Value k, Value rest) {
    Emit *e = p->e;
    for (int half = 0; half < 2; half++, k = after(p, k), rest = rest_after(p, rest)) {
        Value row[LANES], first = cell_number(p, k);
        for (int i = 0; i < LANES; i++) row[i] = line_numbers(p, line[i], k, rest);
        transpose(e, row);
        for (int i = 0; i < LANES; i += 2)
            store_joined(p, beside, row[i], row[i + 1],
                         row_at(p, i_add(e, first, c_i64(e, i / 2))));
    }
}

/* 16 cells of each line from number k on. */
static void emit_block(const Pack *p, Value *line, Value k, Value rest) {
    if (has_parts(p)) {
        emit_float_block(p, line, k, rest);
        return;
    }
    Emit *e = p->e;
    Value row[LANES], first = cell_number(p, k);
    for (int i = 0; i < LANES; i++) {
        Value x = line_numbers(p, line[i], k, rest);
        row[i] = p->cell == 1 ? as_cells(p, x) : in_turn(p, x, more_numbers(p, line[i], k, rest));
    }
    transpose(e, row);
    for (int i = 0; i < LANES; i++) store_whole(p, row[i], row_at(p, i_add(e, first, c_i64(e, i))));
}

/* Blocks of 16 cells, the last one of what is left. */
static void emit_blocks(const Pack *p, Value *line, EmitBlock *emit) {
    Emit *e = p->e;
    int block = LANES * p->cell;
    Value n = param(e, PACK_K), whole = i_and(e, n, c_i64(e, -block));
    Loop k = loop_begin(e, c_i64(e, 0), whole, c_i64(e, block));
    emit(p, line, k.i, NULL);
    loop_end(e, &k);
    Value rest = i_sub(e, n, whole);
    If some = if_begin(e, i_cmp(e, LLVMIntNE, rest, c_i64(e, 0)));
    emit(p, line, whole, rest);
    if_end(e, &some);
}

/* Lines beyond the last repeat it. */
static void emit_pack_across(Emit *e, const char *name, const Pack *p) {
    begin_pack(e, name);
    Value line[LANES], last = i_sub(e, param(e, PACK_WIDTH), c_i64(e, 1));
    for (int i = 0; i < LANES; i++) line[i] = numbers_of(p, i_min(e, c_i64(e, i), last));
    emit_blocks(p, line, emit_block);
    LLVMBuildRetVoid(e->b);
}

/* ---- packing by rows: the same two the other way about, lines go across as they are */

static void emit_line_block(const Pack *p, Value *line, Value k, Value rest) {
    Value x = line_numbers(p, line[0], k, rest), y = more_numbers(p, line[0], k, rest);
    store_joined(p, in_turn, x, y, floats_at(p->e, line[1], cell_number(p, k)));
}

static void emit_rows_across(Emit *e, const char *name, const Pack *p) {
    begin_pack(e, name);
    Loop i = loop_begin(e, c_i64(e, 0), param(e, PACK_WIDTH), c_i64(e, 1));
    Value line[2];
    line[0] = numbers_of(p, i.i);
    line[1] = floats_at(e, param(e, PACK_CELL), i_mul(e, i.i, param(e, PACK_STEP)));
    emit_blocks(p, line, emit_line_block);
    loop_end(e, &i);
    LLVMBuildRetVoid(e->b);
}

/* The numbers of all lines at k; those at `end` and beyond, unless it is NULL, are zero. */
static Value numbers_at(const Pack *p, Value k, Value mask, Value end) {
    Emit *e = p->e;
    if (end) {
        Value there = i_cmp(e, LLVMIntSLT, k, end), last = i_sub(e, end, c_i64(e, 1));
        mask = i_and(e, mask, e_splat(e, there));
        k = i_min(e, k, last);
    }
    return load_numbers(p, numbers_of(p, k), mask);
}

static Value turned_at(const Pack *p, Value *line, int i, Value k) {
    Emit *e = p->e;
    Value row = i_mul(e, param(e, PACK_STEP), c_i64(e, i));
    return floats_at(e, line[0], i_add(e, row, cell_number(p, k)));
}

/* 16 numbers of each line in either. */
static void emit_turned_floats(const Pack *p, Value *line, Value k, Value mask, Value end) {
    Value row[2][LANES], from = k;
    for (int half = 0; half < 2; half++, from = after(p, from)) {
        for (int i = 0; i < LANES; i++)
            row[half][i] = numbers_at(p, i_add(p->e, from, c_i64(p->e, i)), mask, end);
        transpose(p->e, row[half]);
    }
    for (int i = 0; i < LANES; i++)
        store_joined(p, in_turn, row[0][i], row[1][i], turned_at(p, line, i, k));
}

static void emit_turned_block(const Pack *p, Value *line, Value k, Value rest) {
    Emit *e = p->e;
    Value mask = lanes_below(e, param(e, PACK_WIDTH)), end = rest ? param(e, PACK_K) : NULL;
    if (p->from == DT_f32) {
        emit_turned_floats(p, line, k, mask, end);
        return;
    }
    Value row[LANES];
    for (int i = 0; i < LANES; i++) {
        Value low = numbers_at(p, i_add(e, k, c_i64(e, 2 * i)), mask, end);
        Value high = numbers_at(p, i_add(e, k, c_i64(e, 2 * i + 1)), mask, end);
        row[i] = beside(p, low, high);
    }
    transpose(e, row);
    for (int i = 0; i < LANES; i++) store_whole(p, row[i], turned_at(p, line, i, k));
}

static void emit_rows_along(Emit *e, const char *name, const Pack *p) {
    begin_pack(e, name);
    Value line[] = {param(e, PACK_CELL)};
    emit_blocks(p, line, emit_turned_block);
    LLVMBuildRetVoid(e->b);
}

/* ---- objects: tables of functions */
static void define_table(Emit *e, Value *fn, unsigned n) {
    Value table = LLVMAddGlobal(e->module, LLVMArrayType2(e->ptr, n), e->name);
    LLVMSetInitializer(table, LLVMConstArray2(e->ptr, fn, n));
    LLVMSetGlobalConstant(table, true);
}

static Value hidden(Emit *e) {
    LLVMSetLinkage(e->fn, LLVMInternalLinkage);
    return e->fn;
}

static void emit_tiles(Emit *e, const void *of, Arena *a) {
    const TileForm *f = of;
    Value fn[TILE_ROWS + 2];
    int n = 0;
    for (int r = f->step; r <= f->rows; r += f->step) {
        const char *name = arena_printf(a, "%s_%d", e->name, r);
        if (f->amx)
            amx_emit(e, name, &(AmxShape){r, f->vectors, f->parts});
        else
            emit_tile(e, name, r, f);
        fn[n++] = hidden(e);
    }
    if (f->amx) {
        amx_emit_begin(e, arena_printf(a, "%s_begin", e->name));
        fn[n++] = hidden(e);
        amx_emit_end(e, arena_printf(a, "%s_end", e->name));
        fn[n++] = hidden(e);
    }
    define_table(e, fn, (unsigned)n);
}

static void emit_packs(Emit *e, const void *of, Arena *a) {
    const TileForm *f = of;
    Value fn[2 * 2 * PACKS];
    unsigned n = 0;
    for (int rows = f->amx; rows >= 0; rows--)
        for (int type = 0; type < 2; type++) {
            Pack p = {.e = e,
                      .from = type ? DT_bf16 : DT_f32,
                      .cell = f->cell,
                      .bf16 = f->bf16,
                      .by_rows = rows,
                      .parts = f->parts};
            for (int i = 0; i < PACKS; i++) {
                const char *name = arena_printf(a, "%s_%u", e->name, n);
                if (rows)
                    (i == PACK_along ? emit_rows_along : emit_rows_across)(e, name, &p);
                else
                    (i == PACK_along ? emit_pack_along : emit_pack_across)(e, name, &p);
                fn[n++] = hidden(e);
            }
        }
    define_table(e, fn, n);
}

/* Sums, and a row of B beside them, stay in registers: 32 of 16 numbers, 16 of 8, 32 or 16 of 4; or
 * in four of eight tiles of AMX. */
static TileForm multiply_adds(const Host *h) {
    if (strstr(h->features, "+avx512f"))
        return (TileForm){.rows = 14, .vectors = 2, .cell = 1, .step = 1, .parts = 1};
    bool neon = !strncmp(h->triple, "aarch64", 7); /* 32 registers of 4 numbers */
    bool fma = strstr(h->features, "+fma");
    return (TileForm){.rows = neon || fma ? 6 : 3, .vectors = 1, .cell = 1, .step = 1, .parts = 1};
}

TileForm tile_form_amx(void) {
    return (TileForm){
        .rows = 32, .vectors = 2, .cell = 2, .step = 16, .bf16 = true, .parts = 1, .amx = true};
}

TileForm tile_form_parts(void) {
    TileForm f = tile_form_amx();
    f.bf16 = false, f.parts = MOST_PARTS;
    return f;
}

TileForm tile_form_pairs(void) {
    return (TileForm){.rows = 14, .vectors = 2, .cell = 2, .step = 1, .bf16 = true, .parts = 1};
}

TileForm tile_form_rounded(const Host *h) {
    TileForm f = multiply_adds(h);
    f.bf16 = true;
    return f;
}

static TileForm largest(const Host *h, TileKind kind) {
    if (kind == TILE_parts && host_has_amx(h)) return tile_form_parts();
    if (kind != TILE_bf16) return multiply_adds(h);
    if (host_has_amx(h)) return tile_form_amx();
    return host_has_pairs(h) ? tile_form_pairs() : tile_form_rounded(h);
}

static RtTiles shape_of(TileForm most) {
    return (RtTiles){.rows = most.rows,
                     .vectors = most.vectors,
                     .bf16 = most.bf16,
                     .cell = most.cell,
                     .parts = most.parts,
                     .k_step = most.amx ? AMX_CELLS : 1,
                     .by_rows = most.amx};
}

RtTiles tiles_shape(const Host *h, TileKind kind) {
    return shape_of(largest(h, kind));
}

void tiles_sources_of(TileForm most, TileSources *s) {
    *s = (TileSources){.largest = most};
    snprintf(s->key[0], sizeof s->key[0], "packing of %d, bf16 %d, parts %d, amx %d", most.cell,
             most.bf16, most.parts, most.amx);
    s->source[s->n++] = (Source){s->key[0], emit_packs, &s->largest};
    for (int v = 1; v <= most.vectors; v++) {
        s->form[v - 1] = most;
        s->form[v - 1].vectors = v;
        snprintf(s->key[v], sizeof s->key[v], "tiles %d x %d of %d, bf16 %d, parts %d, amx %d",
                 most.rows, v, most.cell, most.bf16, most.parts, most.amx);
        s->source[s->n++] = (Source){s->key[v], emit_tiles, &s->form[v - 1]};
    }
}

void tiles_sources(const Host *h, TileKind kind, TileSources *s) {
    tiles_sources_of(largest(h, kind), s);
}

void tiles_fill(const TileSources *s, void *const *at, RtTiles *t) {
    TileForm most = s->largest;
    *t = shape_of(most);
    memcpy(t->pack_a, at[0], sizeof t->pack_a);
    memcpy(t->pack_b, (RtPackFn **)at[0] + (most.amx ? 2 * PACKS : 0), sizeof t->pack_b);
    for (int v = 0; v < most.vectors; v++)
        for (int r = 0; r < most.rows; r++)
            t->tile[v][r] = ((RtTileFn *const *)at[v + 1])[r / most.step];
    RtTilesFn *const *more = (RtTilesFn *const *)at[1] + most.rows / most.step;
    if (most.amx) t->begin = more[0], t->end = more[1];
}

bool tiles_make(Jit *j, TileKind kind, RtTiles *t, Err *e) {
    TileSources s;
    void *at[TILE_SOURCES];
    tiles_sources(jit_host(j), kind, &s);
    if (!jit_addresses(j, s.source, (size_t)s.n, at, e)) return false;
    tiles_fill(&s, at, t);
    return true;
}
