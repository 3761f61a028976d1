/* argtop and cumsum, along one axis.
 *
 * argtop keeps the places of the k largest so far as a heap in the result itself, the last of them
 * at its root, so that most elements cost one comparison and nothing needs room beside: n log k at
 * worst, and of all n places a heapsort. The order is total (equals by their place, NaN before all,
 * zeros of both signs equal), so there is one result. cumsum adds up in f64 or wrapping integers, a
 * block of columns at a time. Tasks own whole rows or columns, so results do not depend on threads.
 */
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

/* `best` is a heap of n places: none comes before its two children, so the root comes last of all.
 */
#define DEFINE_TOP(t, T, KEY)                                                                      \
    static inline bool after_##t(const T *x, int32_t a, int32_t b) {                               \
        int64_t ka = KEY(x[a]), kb = KEY(x[b]);                                                    \
        return ka != kb ? ka < kb : a > b;                                                         \
    }                                                                                              \
    static void sink_##t(const T *x, int32_t *best, int64_t n, int64_t at) {                       \
        int32_t place = best[at];                                                                  \
        for (int64_t child; (child = 2 * at + 1) < n; at = child) {                                \
            if (child + 1 < n && after_##t(x, best[child + 1], best[child])) child++;              \
            if (!after_##t(x, best[child], place)) break;                                          \
            best[at] = best[child];                                                                \
        }                                                                                          \
        best[at] = place;                                                                          \
    }                                                                                              \
    static void top_##t(const char *row, int64_t n, int32_t *best, int64_t k) {                    \
        const T *x = (const T *)(const void *)row;                                                 \
        for (int64_t i = 0; i < k; i++) best[i] = (int32_t)i;                                      \
        for (int64_t i = k / 2; i-- > 0;) sink_##t(x, best, k, i);                                 \
        int64_t least = KEY(x[best[0]]);                                                           \
        for (int64_t i = k; i < n; i++) {                                                          \
            if (KEY(x[i]) <= least) continue;                                                      \
            best[0] = (int32_t)i;                                                                  \
            sink_##t(x, best, k, 0);                                                               \
            least = KEY(x[best[0]]);                                                               \
        }                                                                                          \
        for (int64_t end = k - 1; end > 0; end--) {                                                \
            int32_t last = best[0];                                                                \
            best[0] = best[end];                                                                   \
            best[end] = last;                                                                      \
            sink_##t(x, best, end, 0);                                                             \
        }                                                                                          \
    }
DEFINE_TOP(f32, float, key_of_float)
DEFINE_TOP(f64, double, key_of_double)
DEFINE_TOP(bf16, uint16_t, BF16_KEY)
DEFINE_TOP(i32, int32_t, PLAIN_KEY)
DEFINE_TOP(i64, int64_t, PLAIN_KEY)
DEFINE_TOP(u8, uint8_t, PLAIN_KEY)

typedef void TopFn(const char *row, int64_t n, int32_t *best, int64_t k);
static TopFn *const top[DT_COUNT] = {[DT_f32] = top_f32, [DT_f64] = top_f64, [DT_bf16] = top_bf16,
                                     [DT_i32] = top_i32, [DT_i64] = top_i64, [DT_u8] = top_u8};

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

typedef void SumsFn(const char *from, char *to, const AlongSizes *s, int64_t columns);
static SumsFn *const sums[DT_COUNT] = {
    [DT_f32] = sums_f32, [DT_f64] = sums_f64, [DT_bf16] = sums_bf16,
    [DT_i32] = sums_i32, [DT_i64] = sums_i64, [DT_u8] = sums_u8};

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
