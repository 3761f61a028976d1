/* fold: x is [lead, elements..., inner], y is [lead, windows..., places..., inner], with up to
 * three windowed axes; missing ones have a single element, window and place.
 *
 * It walks along lines, which are of the last axis: neighbouring places of a window are neighbours
 * in x and in y, so that with a dilation of 1 they are added as one run. A task owns elements:
 * nothing is written by two, and an element's places are added in one order, so that results do not
 * depend on threads. */
#include <string.h>

#include "codegen/table.h"

enum { AXES = 3 };
typedef struct WindowSizes {                 /* RtStep.size */
    int64_t lead, inner, bytes, dtype, part; /* part: elements of a task */
    struct {
        int64_t elements, windows, places, step, dilate;
    } axis[AXES];
} WindowSizes;
enum { SIZES = sizeof(WindowSizes) / sizeof(int64_t), TASK_BYTES = 128 * 1024 };

static const WindowSizes *sizes_of(const RtCall *c) {
    return (const WindowSizes *)(const void *)c->size;
}

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}
/* Of any a and a positive b. */
static int64_t divide_up(int64_t a, int64_t b) {
    return a <= 0 ? -(-a / b) : (a + b - 1) / b;
}

/* Some neighbours of the last axis, and where they stand along the others. */
typedef struct Line {
    int64_t lead, at[AXES - 1], first, end;
} Line;

/* The line that index `i` of [lead, axes...] is in, from there to its end or to `end`. */
static Line line_at(const WindowSizes *s, int64_t i, int64_t end) {
    int64_t n[AXES];
    for (int k = 0; k < AXES; k++) n[k] = s->axis[k].elements;
    Line l = {.first = i % n[2], .end = min_i64(n[2], i % n[2] + end - i)};
    l.at[1] = i / n[2] % n[1];
    l.at[0] = i / n[2] / n[1] % n[0];
    l.lead = i / n[2] / n[1] / n[0];
    return l;
}

/* The element at a place of a window. */
static int64_t element_of(const WindowSizes *s, int axis, int64_t window, int64_t place) {
    return window * s->axis[axis].step + place * s->axis[axis].dilate;
}

/* The places of a window along the last axis whose elements lie in [from, to). */
typedef struct Run {
    int64_t first, n;
} Run;
static Run run_of(const WindowSizes *s, int64_t window, int64_t from, int64_t to) {
    int64_t at = element_of(s, AXES - 1, window, 0), dilate = s->axis[AXES - 1].dilate;
    int64_t first = max_i64(0, divide_up(from - at, dilate)),
            end = min_i64(s->axis[AXES - 1].places, divide_up(to - at, dilate));
    return (Run){first, max_i64(0, end - first)};
}

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
    int64_t at = element - k * s->axis[axis].dilate, step = s->axis[axis].step;
    return at >= 0 && at % step == 0 && at / step < s->axis[axis].windows ? at / step : -1;
}

/* Adds to a line of elements what a line of windows holds of it at places i and j of the other
 * axes. x: element 0 of the last axis; y: there, place 0 of window 0. */
static void add_line(const WindowSizes *s, const Line *l, const char *y, char *x, AddFn *add) {
    int64_t row = s->inner * s->bytes, dilate = s->axis[2].dilate, step = s->axis[2].step,
            reach = (s->axis[2].places - 1) * dilate,
            apart = s->axis[0].places * s->axis[1].places * s->axis[2].places * row;
    int64_t w = max_i64(0, divide_up(l->first - reach, step)),
            end = min_i64(s->axis[2].windows, divide_up(l->end, step));
    for (; w < end; w++) {
        Run run = run_of(s, w, l->first, l->end);
        const char *from = y + w * apart + run.first * row;
        char *to = x + element_of(s, 2, w, run.first) * row;
        if (dilate == 1)
            add(to, from, run.n * s->inner);
        else
            for (int64_t k = 0; k < run.n; k++)
                add(to + k * dilate * row, from + k * row, s->inner);
    }
}

/* y: of the line's lead. */
static void fold_line(const WindowSizes *s, const Line *l, const char *y, char *x, AddFn *add) {
    int64_t row = s->inner * s->bytes, w[AXES - 1];
    memset(x + l->first * row, 0, (size_t)((l->end - l->first) * row));
    for (int64_t i = 0; i < s->axis[0].places; i++) {
        if ((w[0] = window_of(s, 0, l->at[0], i)) < 0) continue;
        for (int64_t j = 0; j < s->axis[1].places; j++) {
            if ((w[1] = window_of(s, 1, l->at[1], j)) < 0) continue;
            int64_t window = (w[0] * s->axis[1].windows + w[1]) * s->axis[2].windows,
                    place = (window * s->axis[0].places + i) * s->axis[1].places + j;
            add_line(s, l, y + place * s->axis[2].places * row, x, add);
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
    int64_t end = min_i64(last * s->part, elements);
    for (int64_t i = first * s->part; i < end;) {
        Line l = line_at(s, i, end);
        fold_line(s, &l, c->buf[0] + l.lead * whole, c->buf[1] + (i - l.first) * row, add);
        i += l.end - l.first;
    }
}

/* ---- steps */

static int64_t product(const int64_t *dim, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= dim[i];
    return n;
}

void fold_step(const Graph *g, const Node *n, RtStep *step, Arena *a) {
    const Type *x = n->type, *y = graph_type(g, n->in[0]);
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
    }
    int64_t all = s->lead, bytes = s->inner * s->bytes;
    for (int k = 0; k < AXES; k++) {
        all *= s->axis[k].elements;
        bytes *= s->axis[k].places;
    }
    s->part = bytes < TASK_BYTES ? TASK_BYTES / bytes : 1;
    step->tasks = (all + s->part - 1) / s->part;
    step->cost = (double)(s->part < all ? s->part : all) * 2 * (double)bytes;
    step->kernel = run_fold;
}
