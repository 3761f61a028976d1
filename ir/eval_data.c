/* The interpreter's operators that move, reduce, multiply and look up. */
#include "ir/eval.h"

#include <math.h>
#include <string.h>

/* ---- shape */

bool eval_reshape(Eval *ev) {
    memcpy(ev->out[0].at, ev->in[0].at, (size_t)type_count(&ev->n->type[0]) * sizeof(double));
    return true;
}

/* The result, read through one walk of the input. */
static bool gather(Eval *ev, Walk w, int64_t start) {
    int64_t count = type_count(&ev->n->type[0]);
    for (int64_t i = 0; i < count; i++, walk_next(&w))
        ev->out[0].at[i] = ev->in[0].at[start + w.offset[0]];
    return true;
}

bool eval_expand(Eval *ev) {
    Walk w = walk_new(&ev->n->type[0]);
    walk_broadcast(&w, &ev->in[0].type);
    return gather(ev, w, 0);
}

bool eval_transpose(Eval *ev) {
    Walk w = walk_new(&ev->n->type[0]);
    int64_t own[RANK] = {0}, stride[RANK] = {0};
    strides_of(&ev->in[0].type, own);
    for (int i = 0; i < w.rank; i++) stride[i] = own[ev->n->attr.perm.axis[i]];
    walk_add(&w, stride);
    return gather(ev, w, 0);
}

bool eval_slice(Eval *ev) {
    Walk w = walk_new(&ev->n->type[0]);
    int64_t own[RANK] = {0}, stride[RANK] = {0}, start = 0;
    strides_of(&ev->in[0].type, own);
    for (int i = 0; i < w.rank; i++) {
        start += own[i] * ev->n->attr.slice.start[i];
        stride[i] = own[i] * ev->n->attr.slice.step[i];
    }
    walk_add(&w, stride);
    return gather(ev, w, start);
}

/* Writes all of `x` into the result, from `start` on with these strides. */
static void scatter(Eval *ev, const Array *x, const int64_t *stride, int64_t start) {
    Walk w = walk_new(&x->type);
    walk_add(&w, stride);
    int64_t count = type_count(&x->type);
    for (int64_t i = 0; i < count; i++, walk_next(&w))
        ev->out[0].at[start + w.offset[0]] = x->at[i];
}

bool eval_pad(Eval *ev) {
    int64_t own[RANK] = {0}, stride[RANK] = {0}, start = 0;
    strides_of(&ev->n->type[0], own);
    for (int i = 0; i < ev->n->type[0].rank; i++) {
        start += own[i] * ev->n->attr.pad.lo[i];
        stride[i] = own[i] * (1 + ev->n->attr.pad.gap[i]);
    }
    scatter(ev, &ev->in[0], stride, start);
    return true;
}

bool eval_concat(Eval *ev) {
    int64_t stride[RANK], start = 0;
    int axis = ev->n->attr.axis;
    strides_of(&ev->n->type[0], stride);
    for (int i = 0; i < ev->n->nin; i++) {
        scatter(ev, &ev->in[i], stride, start);
        start += stride[axis] * ev->in[i].type.dim[axis];
    }
    return true;
}

/* ---- reductions: sums are exact to f64, then rounded once */

typedef double Combine(double acc, double x);

static double combine_sum(double acc, double x) {
    return acc + x;
}
static double combine_max(double acc, double x) {
    return isnan(x) || x > acc ? x : acc;
}
static double combine_min(double acc, double x) {
    return isnan(x) || x < acc ? x : acc;
}

static bool reduce(Eval *ev, Combine *f, double start) {
    Walk w = walk_new(&ev->in[0].type);
    walk_broadcast(&w, &ev->n->type[0]);
    double *out = ev->out[0].at;
    for (int64_t i = type_count(&ev->n->type[0]); i-- > 0;) out[i] = start;
    int64_t count = type_count(&ev->in[0].type);
    for (int64_t i = 0; i < count; i++, walk_next(&w))
        out[w.offset[0]] = f(out[w.offset[0]], ev->in[0].at[i]);
    return true;
}

bool eval_sum(Eval *ev) {
    return reduce(ev, combine_sum, 0);
}
bool eval_max(Eval *ev) {
    return reduce(ev, combine_max, -(double)INFINITY);
}
bool eval_min(Eval *ev) {
    return reduce(ev, combine_min, (double)INFINITY);
}

/* The first of equals; the first NaN beats all. */
bool eval_argmax(Eval *ev) {
    Walk w = walk_new(&ev->in[0].type);
    walk_broadcast(&w, &ev->n->type[0]);
    int64_t count = type_count(&ev->in[0].type), results = type_count(&ev->n->type[0]);
    double *best = NEW_N(ev->cx->arena, double, results);
    for (int64_t i = 0; i < count; i++, walk_next(&w)) {
        double x = ev->in[0].at[i], *b = &best[w.offset[0]];
        int64_t at = w.at[ev->n->attr.axis];
        if (at == 0 || x > *b || (isnan(x) && !isnan(*b))) {
            *b = x;
            ev->out[0].at[w.offset[0]] = (double)at;
        }
    }
    return true;
}

/* ---- products */

/* The stride in `t` of each of `n` labels; 0 where the operand lacks it. */
static void label_strides(const Type *t, const char *own, const char *labels, int n,
                          int64_t *stride) {
    int64_t all[RANK] = {0};
    strides_of(t, all);
    for (int i = 0; i < n; i++) {
        const char *p = strchr(own, labels[i]);
        stride[i] = p ? all[p - own] : 0;
    }
}

/* Offsets into both operands of every element of the contracted axes, in order. */
static int64_t contracted_offsets(Eval *ev, const Array *in, int64_t **oa, int64_t **ob) {
    const char *la = ev->n->attr.dot.a, *lb = ev->n->attr.dot.b, *lo = ev->n->attr.dot.out;
    char labels[RANK + 1] = "";
    int64_t stride[RANK];
    Type over = type_scalar(DT_f64);
    for (int i = 0; la[i]; i++)
        if (!strchr(lo, la[i])) {
            labels[over.rank] = la[i];
            over.dim[over.rank++] = in[0].type.dim[i];
        }
    Walk w = walk_new(&over);
    label_strides(&in[0].type, la, labels, over.rank, stride);
    walk_add(&w, stride);
    label_strides(&in[1].type, lb, labels, over.rank, stride);
    walk_add(&w, stride);
    int64_t count = type_count(&over);
    *oa = NEW_N(ev->cx->arena, int64_t, count);
    *ob = NEW_N(ev->cx->arena, int64_t, count);
    for (int64_t i = 0; i < count; i++, walk_next(&w)) {
        (*oa)[i] = w.offset[0];
        (*ob)[i] = w.offset[1];
    }
    return count;
}

/* The operand as the product takes it. */
static const double *rounded(const Eval *ev, const Array *in) {
    if (!ev->n->attr.dot.round || ev->cx->f64) return in->at;
    int64_t n = type_count(&in->type);
    double *to = NEW_N(ev->cx->arena, double, n);
    for (int64_t i = 0; i < n; i++) to[i] = bf16_to_float(bf16_from_float((float)in->at[i]));
    return to;
}

/* Of operands in[0] and in[1], onto what the result has. */
static void add_products(Eval *ev, const Array *in) {
    const double *left = rounded(ev, &in[0]), *right = rounded(ev, &in[1]);
    const Type *t = &ev->n->type[0];
    int64_t *oa, *ob, inner = contracted_offsets(ev, in, &oa, &ob), stride[RANK];
    Walk w = walk_new(t);
    label_strides(&in[0].type, ev->n->attr.dot.a, ev->n->attr.dot.out, t->rank, stride);
    walk_add(&w, stride);
    label_strides(&in[1].type, ev->n->attr.dot.b, ev->n->attr.dot.out, t->rank, stride);
    walk_add(&w, stride);
    int64_t count = type_count(t);
    for (int64_t i = 0; i < count; i++, walk_next(&w)) {
        const double *a = left + w.offset[0], *b = right + w.offset[1];
        double sum = ev->out[0].at[i];
        for (int64_t k = 0; k < inner; k++) sum += a[oa[k]] * b[ob[k]];
        ev->out[0].at[i] = sum;
    }
}

bool eval_dot(Eval *ev) {
    memset(ev->out[0].at, 0, (size_t)type_count(&ev->n->type[0]) * sizeof(double));
    add_products(ev, ev->in);
    return true;
}

bool eval_dot_add(Eval *ev) {
    if (!eval_expand(ev)) return false;
    add_products(ev, ev->in + 1);
    return true;
}

/* ---- tables of rows. x is [lead, rows, width], i is [lead, picks], values are [lead, picks,
 * width]. */

typedef struct Rows {
    int64_t lead, rows, width, picks;
} Rows;

static Rows rows_of(const Type *x, const Type *i, int axis) {
    Rows r = {1, x->dim[axis], 1, 1};
    for (int k = 0; k < axis; k++) r.lead *= x->dim[k];
    for (int k = axis + 1; k < x->rank; k++) r.width *= x->dim[k];
    for (int k = axis; k < i->rank; k++) r.picks *= i->dim[k];
    return r;
}

/* Goes through the picks in order; `values` lies beside the picks, `table` beside the rows. */
typedef void RowFn(double *values, double *table, int64_t width);
static bool each_row(Eval *ev, double *values, double *table, RowFn *f) {
    Rows r = rows_of(&ev->in[0].type, &ev->in[1].type, ev->n->attr.axis);
    for (int64_t i = 0; i < r.lead * r.picks; i++) {
        double index = ev->in[1].at[i];
        if (index < 0 || index >= (double)r.rows)
            return eval_fail(ev, "index %.0f is outside of 0..%lld", index,
                             (long long)(r.rows - 1));
        f(values + i * r.width, table + (i / r.picks * r.rows + (int64_t)index) * r.width, r.width);
    }
    return true;
}

static void row_take(double *values, double *table, int64_t width) {
    memcpy(values, table, (size_t)width * sizeof *values);
}
static void row_put(double *values, double *table, int64_t width) {
    memcpy(table, values, (size_t)width * sizeof *values);
}
static void row_add(double *values, double *table, int64_t width) {
    for (int64_t i = 0; i < width; i++) table[i] += values[i];
}

bool eval_take(Eval *ev) {
    return each_row(ev, ev->out[0].at, ev->in[0].at, row_take);
}
bool eval_put(Eval *ev) {
    return eval_reshape(ev) && each_row(ev, ev->in[2].at, ev->out[0].at, row_put);
}
bool eval_put_add(Eval *ev) {
    return eval_reshape(ev) && each_row(ev, ev->in[2].at, ev->out[0].at, row_add);
}

bool eval_compact(Eval *ev) {
    const Type *t = &ev->in[0].type;
    int64_t n = t->dim[t->rank - 1], k = ev->n->attr.count, rows = type_count(t) / n;
    for (int64_t row = 0; row < rows; row++) {
        int64_t found = 0;
        for (int64_t i = 0; i < n && found < k; i++) {
            if (ev->in[0].at[row * n + i] == 0) continue;
            ev->out[0].at[row * k + found] = (double)i;
            ev->out[1].at[row * k + found++] = 1;
        }
    }
    return true;
}

/* ---- structure */

bool eval_grad(Eval *ev) {
    return eval_fail(ev, "gradients are computed by autodiff, not by the interpreter");
}

bool eval_fused(Eval *ev) {
    EvalCx cx = *ev->cx;
    cx.args = ev->in;
    Array *result = graph_eval(ev->n->attr.body, &cx, ev->e);
    for (int i = 0; result && i < ev->n->nout; i++) ev->out[i] = result[i];
    return result != NULL;
}
