/* unfold and fold. x is [lead, elements..., inner], y is [lead, windows..., places..., inner], with
 * up to three windowed axes; missing ones have a single element, window and place.
 *
 * A task of unfold owns windows, one of fold elements, each whole runs of `inner`: nothing is
 * written by two, and an element's places are added in one order, so that results do not depend on
 * threads. */
#include <string.h>

#include "codegen/table.h"

enum { AXES = 3 };
typedef struct WindowSizes {                 /* RtStep.size */
    int64_t lead, inner, bytes, dtype, part; /* part: windows or elements of a task */
    struct {
        int64_t elements, windows, places, step, dilate, lo;
    } axis[AXES];
} WindowSizes;
enum { SIZES = sizeof(WindowSizes) / sizeof(int64_t), TASK_BYTES = 128 * 1024 };

static const WindowSizes *sizes_of(const RtCall *c) {
    return (const WindowSizes *)(const void *)c->size;
}

/* Index `i` of [lead, axes...] as its parts; returns the lead. */
static int64_t split_index(const WindowSizes *s, int64_t i, bool windows, int64_t at[AXES]) {
    for (int k = AXES - 1; k >= 0; k--) {
        int64_t n = windows ? s->axis[k].windows : s->axis[k].elements;
        at[k] = i % n;
        i /= n;
    }
    return i;
}

/* ---- unfold */

/* The first place of a window along its last axis whose element is there, and how many follow. */
static int64_t inside(const WindowSizes *s, int64_t window, int64_t *first) {
    int64_t step = s->axis[AXES - 1].dilate, n = 0,
            at = window * s->axis[AXES - 1].step - s->axis[AXES - 1].lo;
    *first = at >= 0 ? 0 : (-at + step - 1) / step;
    for (int64_t k = *first; k < s->axis[AXES - 1].places; k++, n++)
        if (at + k * step >= s->axis[AXES - 1].elements) break;
    return n;
}

/* The places of a window along the last axis; x: where its row of elements begins, NULL: outside.
 */
static char *put_line(const WindowSizes *s, int64_t window, const char *x, char *y) {
    int64_t first = 0, places = s->axis[AXES - 1].places, row = s->inner * s->bytes,
            dilate = s->axis[AXES - 1].dilate, n = x ? inside(s, window, &first) : 0;
    if (n == 0) {
        memset(y, 0, (size_t)(places * row));
        return y + places * row;
    }
    x += (window * s->axis[AXES - 1].step - s->axis[AXES - 1].lo + first * dilate) * row;
    memset(y, 0, (size_t)(first * row));
    if (dilate == 1)
        memcpy(y + first * row, x, (size_t)(n * row));
    else
        for (int64_t k = 0; k < n; k++)
            memcpy(y + (first + k) * row, x + k * dilate * row, (size_t)row);
    memset(y + (first + n) * row, 0, (size_t)((places - first - n) * row));
    return y + places * row;
}

static void put_window(const WindowSizes *s, const char *x, const int64_t at[AXES], char *y) {
    int64_t row = s->inner * s->bytes, line = s->axis[2].elements * row;
    for (int64_t i = 0; i < s->axis[0].places; i++)
        for (int64_t k = 0; k < s->axis[1].places; k++) {
            int64_t a = at[0] * s->axis[0].step + i * s->axis[0].dilate - s->axis[0].lo,
                    b = at[1] * s->axis[1].step + k * s->axis[1].dilate - s->axis[1].lo;
            bool there = a >= 0 && a < s->axis[0].elements && b >= 0 && b < s->axis[1].elements;
            y = put_line(s, at[2], there ? x + (a * s->axis[1].elements + b) * line : NULL, y);
        }
}

static void run_unfold(const RtCall *c, int64_t first, int64_t last) {
    const WindowSizes *s = sizes_of(c);
    int64_t row = s->inner * s->bytes, places = 1, elements = 1, windows = s->lead;
    for (int k = 0; k < AXES; k++) {
        places *= s->axis[k].places;
        elements *= s->axis[k].elements;
        windows *= s->axis[k].windows;
    }
    int64_t end = last * s->part < windows ? last * s->part : windows;
    for (int64_t i = first * s->part; i < end; i++) {
        int64_t at[AXES], lead = split_index(s, i, true, at);
        put_window(s, c->buf[0] + lead * elements * row, at, c->buf[1] + i * places * row);
    }
}

/* ---- fold */

typedef void AddFn(char *to, const char *from, int64_t n);
static void add_f32(char *to, const char *from, int64_t n) {
    float *x = (float *)(void *)to;
    const float *y = (const float *)(const void *)from;
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}
static void add_f64(char *to, const char *from, int64_t n) {
    double *x = (double *)(void *)to;
    const double *y = (const double *)(const void *)from;
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}
static void add_bf16(char *to, const char *from, int64_t n) {
    uint16_t *x = (uint16_t *)(void *)to;
    const uint16_t *y = (const uint16_t *)(const void *)from;
    for (int64_t i = 0; i < n; i++)
        x[i] = bf16_from_float(bf16_to_float(x[i]) + bf16_to_float(y[i]));
}

/* Window in which `element` stands at place `k`; -1: in none. */
static int64_t window_of(const WindowSizes *s, int axis, int64_t element, int64_t k) {
    int64_t at = element + s->axis[axis].lo - k * s->axis[axis].dilate, step = s->axis[axis].step;
    return at >= 0 && at % step == 0 && at / step < s->axis[axis].windows ? at / step : -1;
}

static void add_element(const WindowSizes *s, const char *y, const int64_t at[AXES], char *x,
                        AddFn *add) {
    int64_t row = s->inner * s->bytes, w[AXES];
    memset(x, 0, (size_t)row);
    for (int64_t i = 0; i < s->axis[0].places; i++) {
        if ((w[0] = window_of(s, 0, at[0], i)) < 0) continue;
        for (int64_t j = 0; j < s->axis[1].places; j++) {
            if ((w[1] = window_of(s, 1, at[1], j)) < 0) continue;
            for (int64_t k = 0; k < s->axis[2].places; k++) {
                if ((w[2] = window_of(s, 2, at[2], k)) < 0) continue;
                int64_t window = (w[0] * s->axis[1].windows + w[1]) * s->axis[2].windows + w[2];
                window =
                    ((window * s->axis[0].places + i) * s->axis[1].places + j) * s->axis[2].places +
                    k;
                add(x, y + window * row, s->inner);
            }
        }
    }
}

static void run_fold(const RtCall *c, int64_t first, int64_t last) {
    const WindowSizes *s = sizes_of(c);
    AddFn *add = s->dtype == DT_f32 ? add_f32 : s->dtype == DT_f64 ? add_f64 : add_bf16;
    int64_t row = s->inner * s->bytes, elements = s->lead, whole = row; /* whole: bytes of a lead */
    for (int k = 0; k < AXES; k++) {
        whole *= s->axis[k].places * s->axis[k].windows;
        elements *= s->axis[k].elements;
    }
    int64_t end = last * s->part < elements ? last * s->part : elements;
    for (int64_t i = first * s->part; i < end; i++) {
        int64_t at[AXES], lead = split_index(s, i, false, at);
        add_element(s, c->buf[0] + lead * whole, at, c->buf[1] + i * row, add);
    }
}

/* ---- steps */

static int64_t product(const int64_t *dim, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= dim[i];
    return n;
}

void window_step(const Graph *g, const Node *n, RtStep *step, Arena *a) {
    bool unfolds = n->op == OP_unfold;
    const Type *in = graph_type(g, n->in[0]), *x = unfolds ? in : n->type,
               *y = unfolds ? n->type : in;
    int axis = n->attr.window.axis, rank = n->attr.window.rank;
    CHECK(rank <= AXES);
    WindowSizes *s = NEW(a, WindowSizes);
    step->nsize = SIZES;
    step->size = (int64_t *)(void *)s;
    s->lead = product(x->dim, 0, axis);
    s->inner = product(x->dim, axis + rank, x->rank);
    s->bytes = (int64_t)dtype_size(x->dtype);
    s->dtype = x->dtype;
    for (int k = 0; k < AXES; k++)
        s->axis[k].elements = s->axis[k].windows = s->axis[k].places = s->axis[k].step =
            s->axis[k].dilate = 1;
    for (int k = 0; k < rank; k++) {
        int to = AXES - rank + k;
        s->axis[to].elements = x->dim[axis + k];
        s->axis[to].windows = y->dim[axis + k];
        s->axis[to].places = n->attr.window.size[k];
        s->axis[to].step = n->attr.window.step[k];
        s->axis[to].dilate = n->attr.window.dilate[k];
        s->axis[to].lo = n->attr.window.lo[k];
    }
    int64_t all = s->lead, bytes = s->inner * s->bytes;
    for (int k = 0; k < AXES; k++) {
        all *= unfolds ? s->axis[k].windows : s->axis[k].elements;
        bytes *= s->axis[k].places;
    }
    s->part = bytes < TASK_BYTES ? TASK_BYTES / bytes : 1;
    step->tasks = (all + s->part - 1) / s->part;
    step->cost = (double)(s->part < all ? s->part : all) * 2 * (double)bytes;
    step->kernel = unfolds ? run_unfold : run_fold;
}
