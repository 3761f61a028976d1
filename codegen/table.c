/* take, put, put_add, compact. A tensor is [lead, rows, inner] around the indexed axis, an index
 * [lead, count].
 *
 * Indices are checked: the first one out of range is kept in the call's fault, and row 0 stands in
 * for it. Tasks of put and put_add own whole leads or blocks of columns and walk the indices in
 * order, so results do not depend on threads. */
#include "codegen/table.h"

#include <stdatomic.h>
#include <string.h>

enum {
    LEAD,
    ROWS,
    COUNT,
    INNER,
    BYTES,
    DTYPE,
    PART,
    PARTS,
    SIZES
}; /* PART: leads, rows or columns of a task */
enum { TASK_ELEMENTS = 32 * 1024, BLOCK_COLUMNS = 64, AHEAD = 8, LINE = 64 };

static int64_t checked_row(const RtCall *c, int64_t index) {
    if (index >= 0 && index < c->size[ROWS]) return index;
    int32_t none = 0;
    if (atomic_compare_exchange_strong(&c->fault->set, &none, 1 + c->number)) {
        c->fault->index = index;
        c->fault->limit = c->size[ROWS];
    }
    return 0;
}

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- take: buffers x, index, out; tasks are runs of PART rows of the result */
static const char *taken(const RtCall *c, int64_t lead, int64_t i) {
    const int32_t *index = (const int32_t *)(const void *)c->buf[1];
    int64_t row = lead * c->size[ROWS] + checked_row(c, index[i]);
    return c->buf[0] + row * c->size[INNER] * c->size[BYTES];
}

static void run_take(const RtCall *c, int64_t first, int64_t last) {
    const int64_t *s = c->size;
    int64_t row_bytes = s[INNER] * s[BYTES], end = min_i64(last * s[PART], s[LEAD] * s[COUNT]);
    int64_t i = first * s[PART];
    for (int64_t lead = i / s[COUNT], stop; i < end; lead++)
        for (stop = min_i64(end, (lead + 1) * s[COUNT]); i < stop; i++) {
            const char *from = taken(c, lead, i);
            if (row_bytes == 4) /* one number a row is common, and a call of memcpy is not free */
                memcpy(c->buf[2] + i * 4, from, 4);
            else
                memcpy(c->buf[2] + i * row_bytes, from, (size_t)row_bytes);
        }
}

/* ---- put and put_add: buffers x, index, v, out. Task t owns PART leads, or where there are PARTS
 * blocks of columns one block of one lead. */
typedef struct Region {
    int64_t lead, column, columns;
} Region;
typedef void RegionFn(const RtCall *c, const Region *r);

static void copy_base(const RtCall *c, const Region *r) {
    const int64_t *s = c->size;
    if (c->buf[0] == c->buf[3]) return;
    int64_t base = r->lead * s[ROWS] * s[INNER] + r->column;
    int64_t run = r->columns == s[INNER] ? s[ROWS] : 1; /* whole rows lie together */
    for (int64_t row = 0; row < s[ROWS]; row += run) {
        int64_t at = (base + row * s[INNER]) * s[BYTES];
        memcpy(c->buf[3] + at, c->buf[0] + at, (size_t)(run * r->columns * s[BYTES]));
    }
}

static void each_region(const RtCall *c, int64_t first, int64_t last, RegionFn *fn) {
    const int64_t *s = c->size;
    for (int64_t t = first; t < last; t++) {
        int64_t lead = t / s[PARTS] * s[PART], column = t % s[PARTS] * BLOCK_COLUMNS;
        for (int64_t i = lead; i < min_i64(lead + s[PART], s[LEAD]); i++) {
            Region r = {i, column,
                        s[PARTS] == 1 ? s[INNER] : min_i64(BLOCK_COLUMNS, s[INNER] - column)};
            copy_base(c, &r);
            fn(c, &r);
        }
    }
}

/* Where element 0 of a region's part of row i goes, and comes from; in elements. */
static int64_t target(const RtCall *c, const Region *r, int64_t i) {
    const int32_t *index = (const int32_t *)(const void *)c->buf[1];
    int64_t row = checked_row(c, index[r->lead * c->size[COUNT] + i]);
    return (r->lead * c->size[ROWS] + row) * c->size[INNER] + r->column;
}
static int64_t source(const RtCall *c, const Region *r, int64_t i) {
    return (r->lead * c->size[COUNT] + i) * c->size[INNER] + r->column;
}

static void put_region(const RtCall *c, const Region *r) {
    int64_t bytes = c->size[BYTES];
    for (int64_t i = 0; i < c->size[COUNT]; i++)
        memcpy(c->buf[3] + target(c, r, i) * bytes, c->buf[2] + source(c, r, i) * bytes,
               (size_t)(r->columns * bytes));
}
static void run_put(const RtCall *c, int64_t first, int64_t last) {
    each_region(c, first, last, put_region);
}

/* Rows are anywhere, and a block of columns is short: memory is asked for row i before its turn.
 * Rows of less than a line come too fast for it to pay. */
static void ask(const RtCall *c, const Region *r, int64_t i) {
    int64_t bytes = c->size[BYTES];
    if (i >= c->size[COUNT] || r->columns * bytes < LINE) return;
    const char *to = c->buf[3] + target(c, r, i) * bytes;
    const char *from = c->buf[2] + source(c, r, i) * bytes;
    for (int64_t k = 0; k < min_i64(r->columns, BLOCK_COLUMNS) * bytes; k += LINE) {
        __builtin_prefetch(to + k, 1);
        __builtin_prefetch(from + k);
    }
}

#define PLAIN(x, y) ((x) + (y))
#define WRAPPED32(x, y) ((int32_t)((uint32_t)(x) + (uint32_t)(y)))
#define WRAPPED64(x, y) ((int64_t)((uint64_t)(x) + (uint64_t)(y)))
#define WRAPPED8(x, y) ((uint8_t)((x) + (y)))
#define BF16(x, y) bf16_from_float(bf16_to_float(x) + bf16_to_float(y))
#define WRAPPED_I8(x, y) ((int8_t)(uint8_t)((x) + (y)))
#define EITHER(x, y) ((uint8_t)((x) | (y)))
#define ADDERS(X)                                                                                  \
    X(f32, float, PLAIN)                                                                           \
    X(f64, double, PLAIN)                                                                          \
    X(bf16, uint16_t, BF16)                                                                        \
    X(i32, int32_t, WRAPPED32)                                                                     \
    X(i64, int64_t, WRAPPED64)                                                                     \
    X(u8, uint8_t, WRAPPED8) X(i8, int8_t, WRAPPED_I8) X(bool, uint8_t, EITHER)
#define DEFINE_ADD(t, T, PLUS)                                                                     \
    static void add_##t(const RtCall *c, const Region *r) {                                        \
        for (int64_t i = 0; i < AHEAD; i++) ask(c, r, i);                                          \
        for (int64_t i = 0; i < c->size[COUNT]; i++) {                                             \
            ask(c, r, i + AHEAD);                                                                  \
            T *to = (T *)(void *)c->buf[3] + target(c, r, i);                                      \
            const T *from = (const T *)(const void *)c->buf[2] + source(c, r, i);                  \
            for (int64_t k = 0; k < r->columns; k++) to[k] = PLUS(to[k], from[k]);                 \
        }                                                                                          \
    }
ADDERS(DEFINE_ADD)
static void run_put_add(const RtCall *c, int64_t first, int64_t last) {
#define ADDER(t, T, PLUS) [DT_##t] = add_##t,
    static RegionFn *const add[DT_COUNT] = {ADDERS(ADDER)};
    each_region(c, first, last, add[c->size[DTYPE]]);
}

/* ---- compact: buffers mask, index, valid. ROWS: width of the mask, COUNT: places of the result;
 * PART leads a task */
static void run_compact(const RtCall *c, int64_t first, int64_t last) {
    const int64_t *s = c->size;
    int64_t end = min_i64(last * s[PART], s[LEAD]);
    for (int64_t lead = first * s[PART]; lead < end; lead++) {
        const char *mask = c->buf[0] + lead * s[ROWS];
        int32_t *index = (int32_t *)(void *)c->buf[1] + lead * s[COUNT];
        char *valid = c->buf[2] + lead * s[COUNT];
        int64_t n = 0;
        for (int64_t i = 0; i < s[ROWS] && n < s[COUNT]; i++)
            if (mask[i]) valid[n] = 1, index[n++] = (int32_t)i;
        for (; n < s[COUNT]; n++) valid[n] = 0, index[n] = 0;
    }
}

/* ---- steps */
static int64_t product(const Type *t, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= t->dim[i];
    return n;
}

static void set_take(int64_t *s, RtStep *step) {
    int64_t row = max_i64(s[INNER], LINE / s[BYTES]); /* no less than a line is moved */
    s[PART] = max_i64(1, TASK_ELEMENTS / row);
    step->tasks = (s[LEAD] * s[COUNT] + s[PART] - 1) / s[PART];
    step->cost = (double)min_i64(s[PART], s[LEAD] * s[COUNT]) * (double)(2 * row * s[BYTES] + 8);
}

static void set_put(int64_t *s, RtStep *step) {
    int64_t work = max_i64(1, (s[COUNT] + s[ROWS]) * s[INNER]);
    s[PARTS] = work > TASK_ELEMENTS && s[INNER] >= 2 * BLOCK_COLUMNS
                   ? (s[INNER] + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS
                   : 1;
    s[PART] = s[PARTS] > 1 ? 1 : max_i64(1, TASK_ELEMENTS / work);
    step->tasks = (s[LEAD] + s[PART] - 1) / s[PART] * s[PARTS];
    step->cost = (double)work * (double)s[PART] / (double)s[PARTS] * (double)(2 * s[BYTES]);
}

static void set_compact(int64_t *s, RtStep *step) {
    s[PART] = max_i64(1, TASK_ELEMENTS / max_i64(1, s[ROWS]));
    step->tasks = (s[LEAD] + s[PART] - 1) / s[PART];
    step->cost = (double)(s[PART] * s[ROWS]);
}

void table_step(const Graph *g, const Node *n, RtStep *step, Arena *a) {
    if (n->op == OP_fold) {
        fold_step(g, n, step, a);
        return;
    }
    if (n->op == OP_argtop || n->op == OP_cumsum) {
        along_step(g, n, step, a);
        return;
    }
    const Type *x = graph_type(g, n->in[0]);
    bool compacts = n->op == OP_compact;
    int axis = compacts ? x->rank - 1 : n->attr.axis;
    step->nsize = SIZES;
    int64_t *s = step->size = NEW_N(a, int64_t, SIZES);
    s[LEAD] = product(x, 0, axis);
    s[ROWS] = x->dim[axis];
    s[INNER] = product(x, axis + 1, x->rank);
    s[BYTES] = (int64_t)dtype_size(x->dtype);
    s[DTYPE] = x->dtype;
    s[PARTS] = 1;
    s[COUNT] = compacts ? n->attr.count
                        : product(graph_type(g, n->in[1]), axis, graph_type(g, n->in[1])->rank);
    step->kernel = n->op == OP_take  ? run_take
                   : n->op == OP_put ? run_put
                   : compacts        ? run_compact
                                     : run_put_add;
    (n->op == OP_take ? set_take : compacts ? set_compact : set_put)(s, step);
}
