/* argtop and cumsum, along one axis. argtop is n log k for the k largest of n, in place (top.h).
 * cumsum adds up in f64 or wrapping integers, a block of columns at a time. Tasks own whole rows or
 * columns, so results do not depend on threads. */
#include <string.h>

#include "codegen/table.h"

typedef struct AlongSizes { /* RtStep.size: [lead, n, inner]; count: of the k largest */
    int64_t lead, n, inner, count, dtype, part,
        blocks; /* part: rows, or blocks of columns, of a task */
} AlongSizes;
enum { SIZES = sizeof(AlongSizes) / sizeof(int64_t), TASK_ELEMENTS = 32 * 1024, COLUMNS = 64 };

static const AlongSizes *sizes_of(const RtCall *c) {
    return (const AlongSizes *)(const void *)c->size;
}
static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- argtop: elements as integers that are ordered as they are */

static inline int64_t key_of_float(float v) {
    int32_t bits;
    v += 0.0f; /* -0 is 0 */
    memcpy(&bits, &v, sizeof bits);
    return v != v ? INT64_MAX : bits ^ (bits >> 31 & INT32_MAX);
}
static inline int64_t key_of_double(double v) {
    int64_t bits;
    v += 0.0;
    memcpy(&bits, &v, sizeof bits);
    return v != v ? INT64_MAX : bits ^ (bits >> 63 & INT64_MAX);
}
#define PLAIN_KEY(v) (int64_t)(v)
#define BF16_KEY(v) key_of_float(bf16_to_float(v))

static inline void swap_places(int32_t *a, int32_t *b) {
    int32_t t = *a;
    *a = *b;
    *b = t;
}
enum { DEPTH_MOST = 64 }; /* twice the logarithm of the longest row */

#define TYPE float
#define KEY key_of_float
#define NAMED(f) f##_f32
#include "codegen/top.h"
#define TYPE double
#define KEY key_of_double
#define NAMED(f) f##_f64
#include "codegen/top.h"
#define TYPE uint16_t
#define KEY BF16_KEY
#define NAMED(f) f##_bf16
#include "codegen/top.h"
#define TYPE int32_t
#define KEY PLAIN_KEY
#define NAMED(f) f##_i32
#include "codegen/top.h"
#define TYPE int64_t
#define KEY PLAIN_KEY
#define NAMED(f) f##_i64
#include "codegen/top.h"
#define TYPE uint8_t
#define KEY PLAIN_KEY
#define NAMED(f) f##_u8
#include "codegen/top.h"
#define TYPE int8_t
#define KEY PLAIN_KEY
#define NAMED(f) f##_i8
#include "codegen/top.h"

typedef void TopFn(const char *row, int64_t n, int32_t *best, int64_t k);
static TopFn *const top[DT_COUNT] = {
    [DT_f32] = top_f32, [DT_f64] = top_f64, [DT_bf16] = top_bf16, [DT_i32] = top_i32,
    [DT_i64] = top_i64, [DT_u8] = top_u8,   [DT_i8] = top_i8};

static void run_argtop(const RtCall *c, int64_t first, int64_t last) {
    const AlongSizes *s = sizes_of(c);
    int64_t bytes = s->n * (int64_t)dtype_size((DType)s->dtype);
    int32_t *best = (int32_t *)(void *)c->buf[1];
    for (int64_t i = first * s->part; i < min_i64(last * s->part, s->lead); i++)
        top[s->dtype](c->buf[0] + i * bytes, s->n, best + i * s->count, s->count);
}

/* ---- cumsum: of columns that stand side by side */

#define SAME(v) (v)
#define DEFINE_SUMS(t, T, SUM, FROM, TO)                                                           \
    static void sums_##t(const char *from, char *to, const AlongSizes *s, int64_t columns) {       \
        const T *x = (const T *)(const void *)from;                                                \
        T *y = (T *)(void *)to;                                                                    \
        SUM sum[COLUMNS] = {0};                                                                    \
        for (int64_t i = 0; i < s->n; i++, x += s->inner, y += s->inner)                           \
            for (int64_t k = 0; k < columns; k++) y[k] = (T)TO(sum[k] += (SUM)FROM(x[k]));         \
    }
DEFINE_SUMS(f32, float, double, SAME, SAME)
DEFINE_SUMS(f64, double, double, SAME, SAME)
DEFINE_SUMS(bf16, uint16_t, float, bf16_to_float, bf16_from_float)
DEFINE_SUMS(i32, int32_t, uint32_t, SAME, SAME)
DEFINE_SUMS(i64, int64_t, uint64_t, SAME, SAME)
DEFINE_SUMS(u8, uint8_t, uint32_t, SAME, SAME)
DEFINE_SUMS(i8, int8_t, int64_t, SAME, SAME)

typedef void SumsFn(const char *from, char *to, const AlongSizes *s, int64_t columns);
static SumsFn *const sums[DT_COUNT] = {
    [DT_f32] = sums_f32, [DT_f64] = sums_f64, [DT_bf16] = sums_bf16, [DT_i32] = sums_i32,
    [DT_i64] = sums_i64, [DT_u8] = sums_u8,   [DT_i8] = sums_i8};

static void run_cumsum(const RtCall *c, int64_t first, int64_t last) {
    const AlongSizes *s = sizes_of(c);
    int64_t bytes = (int64_t)dtype_size((DType)s->dtype);
    for (int64_t i = first * s->part; i < min_i64(last * s->part, s->lead * s->blocks); i++) {
        int64_t column = i % s->blocks * COLUMNS,
                at = (i / s->blocks * s->n * s->inner + column) * bytes;
        sums[s->dtype](c->buf[0] + at, c->buf[1] + at, s, min_i64(COLUMNS, s->inner - column));
    }
}

/* ---- steps */

void along_step(const Graph *g, const Node *n, RtStep *step, Arena *a) {
    const Type *x = graph_type(g, n->in[0]);
    bool tops = n->op == OP_argtop;
    int axis = tops ? x->rank - 1 : n->attr.axis;
    AlongSizes *s = NEW(a, AlongSizes);
    step->nsize = SIZES;
    step->size = (int64_t *)(void *)s;
    s->lead = s->inner = 1;
    for (int i = 0; i < axis; i++) s->lead *= x->dim[i];
    for (int i = axis + 1; i < x->rank; i++) s->inner *= x->dim[i];
    s->n = x->dim[axis];
    s->count = tops ? n->attr.count : 0;
    s->dtype = x->dtype;
    s->blocks = (s->inner + COLUMNS - 1) / COLUMNS;
    int64_t work = s->n * min_i64(COLUMNS, s->inner), all = s->lead * s->blocks;
    s->part = work < TASK_ELEMENTS ? TASK_ELEMENTS / work : 1;
    step->tasks = (all + s->part - 1) / s->part;
    step->cost = (double)min_i64(s->part, all) * (double)work * 8;
    step->kernel = tops ? run_argtop : run_cumsum;
}
