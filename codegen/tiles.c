/* The inner loops of matrix products, after Goto and van de Geijn, "Anatomy of High-Performance
 * Matrix Multiplication" (2008): a tile of C stays in registers while k runs; for each k a vector
 * of B meets numbers of A one after another. As many rows as the registers hold, so that each load
 * of B is used often; edges have tiles of their own size, so they cost what they are.
 *
 * Packing turns 16 lines of 16 numbers at a time over in registers: pairs and fours of numbers
 * within the quarters of a vector, then the quarters themselves. */
#include "codegen/tiles.h"

#include <stddef.h>
#include <string.h>

enum { QUARTER = 4, QUARTERS = LANES / QUARTER };
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
    int rows, vectors;
    Value sum[TILE_ROWS][TILE_VECTORS]; /* allocas */
} Tile;

static Value field(const Tile *t, LType type, size_t byte) {
    return e_field(t->e, type, param(t->e, 0), byte);
}
#define FIELD_PTR(t, f) field(t, (t)->e->ptr, offsetof(RtTile, f))
#define FIELD_I64(t, f) field(t, (t)->e->i64, offsetof(RtTile, f))

static void emit_terms(Tile *t, Value a, Value b) {
    Emit *e = t->e;
    Value column[TILE_VECTORS];
    for (int v = 0; v < t->vectors; v++)
        column[v] = mem_load(e, e->f32, floats_at(e, b, c_i64(e, v * LANES)), NULL);
    for (int r = 0; r < t->rows; r++) {
        Value x = e_splat(e, e_load(e, e->f32, floats_at(e, a, c_i64(e, r))));
        for (int v = 0; v < t->vectors; v++) {
            Value sum = e_load(e, e->vf32, t->sum[r][v]);
            e_store(e, v_mad(e, x, column[v], sum), t->sum[r][v]);
        }
    }
}

static void emit_sums(Tile *t) {
    Emit *e = t->e;
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++) {
            t->sum[r][v] = e_alloca(e, e->vf32);
            e_store(e, LLVMConstNull(e->vf32), t->sum[r][v]);
        }
    Value a = e_alloca(e, e->ptr), b = e_alloca(e, e->ptr);
    e_store(e, FIELD_PTR(t, a), a);
    e_store(e, FIELD_PTR(t, b), b);
    Value a_step = FIELD_I64(t, a_step), b_step = FIELD_I64(t, b_step), n = FIELD_I64(t, k);
    Loop k = loop_begin(e, c_i64(e, 0), n, c_i64(e, 1));
    Value at_a = e_load(e, e->ptr, a), at_b = e_load(e, e->ptr, b);
    emit_terms(t, at_a, at_b);
    e_store(e, floats_at(e, at_a, a_step), a);
    e_store(e, floats_at(e, at_b, b_step), b);
    loop_end(e, &k);
}

/* Writes the sums, added to S if `adds`. */
static void emit_results(const Tile *t, bool adds, const Value *mask) {
    Emit *e = t->e;
    Value c = FIELD_PTR(t, c), c_row = FIELD_I64(t, c_row);
    Value s = FIELD_PTR(t, s), s_row = FIELD_I64(t, s_row);
    for (int r = 0; r < t->rows; r++) {
        Value to = floats_at(e, c, i_mul(e, c_row, c_i64(e, r)));
        Value from = floats_at(e, s, i_mul(e, s_row, c_i64(e, r)));
        for (int v = 0; v < t->vectors; v++) {
            Value sum = e_load(e, e->vf32, t->sum[r][v]), at = c_i64(e, v * LANES);
            if (adds) sum = v_add(e, mem_load(e, e->f32, floats_at(e, from, at), mask[v]), sum);
            mem_store(e, sum, floats_at(e, to, at), mask[v]);
        }
    }
}

static void emit_either(const Tile *t, const Value *mask) {
    Emit *e = t->e;
    Value null = LLVMConstNull(e->ptr), s = FIELD_PTR(t, s);
    If add = if_begin(e, i_cmp(e, LLVMIntNE, s, null));
    emit_results(t, true, mask);
    if_end(e, &add);
    If store = if_begin(e, i_cmp(e, LLVMIntEQ, s, null));
    emit_results(t, false, mask);
    if_end(e, &store);
}

/* Masks cost AVX-512 nothing; elsewhere full tiles do without. */
static void emit_tile(Emit *e, const char *name, int rows, int vectors) {
    emit_function(e, name, &e->ptr, 1);
    Tile t = {.e = e, .rows = rows, .vectors = vectors};
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
enum { PACK_X, PACK_STRIDE, PACK_WIDTH, PACK_K, PACK_OUT, PACK_STEP, PACK_PARAMS };

static void begin_pack(Emit *e, const char *name) {
    LType type[PACK_PARAMS] = {e->ptr, e->i64, e->i64, e->i64, e->ptr, e->i64};
    emit_function(e, name, type, PACK_PARAMS);
}

static void emit_pack_along(Emit *e, const char *name) {
    begin_pack(e, name);
    Value mask = lanes_below(e, param(e, PACK_WIDTH));
    Loop k = loop_begin(e, c_i64(e, 0), param(e, PACK_K), c_i64(e, 1));
    Value from = floats_at(e, param(e, PACK_X), i_mul(e, k.i, param(e, PACK_STRIDE)));
    Value to = floats_at(e, param(e, PACK_OUT), i_mul(e, k.i, param(e, PACK_STEP)));
    mem_store(e, mem_load(e, e->f32, from, mask), to, NULL);
    loop_end(e, &k);
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

/* 16 numbers of each line from k on; lines beyond the last repeat it. */
static void emit_block(Emit *e, Value *line, Value k, Value mask) {
    Value row[LANES];
    for (int i = 0; i < LANES; i++) row[i] = mem_load(e, e->f32, floats_at(e, line[i], k), mask);
    transpose(e, row);
    for (int i = 0; i < LANES; i++) {
        Value at = i_mul(e, i_add(e, k, c_i64(e, i)), param(e, PACK_STEP));
        mem_store(e, row[i], floats_at(e, param(e, PACK_OUT), at), NULL);
    }
}

static void emit_pack_across(Emit *e, const char *name) {
    begin_pack(e, name);
    Value line[LANES], last = i_sub(e, param(e, PACK_WIDTH), c_i64(e, 1));
    for (int i = 0; i < LANES; i++) {
        Value at = i_mul(e, i_min(e, c_i64(e, i), last), param(e, PACK_STRIDE));
        line[i] = floats_at(e, param(e, PACK_X), at);
    }
    Value n = param(e, PACK_K), whole = i_and(e, n, c_i64(e, -LANES));
    Loop k = loop_begin(e, c_i64(e, 0), whole, c_i64(e, LANES));
    emit_block(e, line, k.i, NULL);
    loop_end(e, &k);
    Value rest = i_sub(e, n, whole);
    If some = if_begin(e, i_cmp(e, LLVMIntNE, rest, c_i64(e, 0)));
    emit_block(e, line, whole, lanes_below(e, rest));
    if_end(e, &some);
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

typedef struct Form { /* tiles of so many vectors, of one row to so many */
    int rows, vectors;
} Form;

static void emit_tiles(Emit *e, const void *of, Arena *a) {
    const Form *f = of;
    Value fn[TILE_ROWS];
    for (int r = 0; r < f->rows; r++) {
        emit_tile(e, arena_printf(a, "%s_%d", e->name, r + 1), r + 1, f->vectors);
        fn[r] = hidden(e);
    }
    define_table(e, fn, (unsigned)f->rows);
}

static void emit_packs(Emit *e, const void *of, Arena *a) {
    (void)of;
    Value fn[2];
    emit_pack_along(e, arena_printf(a, "%s_along", e->name));
    fn[0] = hidden(e);
    emit_pack_across(e, arena_printf(a, "%s_across", e->name));
    fn[1] = hidden(e);
    define_table(e, fn, 2);
}

/* The largest tile whose sums, and a row of B beside them, stay in registers: 32 of 16 numbers,
 * 16 of 8, or 16 of 4. */
static Form largest(const Host *h) {
    if (strstr(h->features, "+avx512f")) return (Form){14, 2};
    if (strstr(h->features, "+fma")) return (Form){6, 1};
    return (Form){3, 1};
}

bool tiles_make(Jit *j, RtTiles *t, Err *e) {
    Form most = largest(jit_host(j)), form[TILE_VECTORS];
    Source source[TILE_VECTORS + 1] = {{"packing", emit_packs, NULL}};
    char key[TILE_VECTORS][64];
    for (int v = 0; v < most.vectors; v++) {
        form[v] = (Form){most.rows, v + 1};
        snprintf(key[v], sizeof key[v], "tiles %d x %d", most.rows, v + 1);
        source[v + 1] = (Source){key[v], emit_tiles, &form[v]};
    }
    void *table[TILE_VECTORS + 1];
    if (!jit_addresses(j, source, (size_t)most.vectors + 1, table, e)) return false;
    *t = (RtTiles){.rows = most.rows, .vectors = most.vectors};
    memcpy(&t->pack_along, table[0], 2 * sizeof(RtPackFn *));
    for (int v = 0; v < most.vectors; v++)
        memcpy(t->tile[v], table[v + 1], (size_t)most.rows * sizeof(RtTileFn *));
    return true;
}
