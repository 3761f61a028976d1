/* Shape rules: result types of every operator, one function a name in the column `shape` of
 * ir/ops.def. They are the only judges of what fits; the builder, the parser and the frontend all
 * ask shape_infer. A rule never fails over the batch axis: where samples can no longer be told
 * apart it says MIXED_BATCH, and passes complain. */
#include "ir/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Infer {
    Op op;
    const Attr *attr;
    const Type *in;
    int nin;
    const Type *given;
    Type *out;
    int nout; /* 1 unless the rule says otherwise */
    Err *e;
} Infer;

#define FAIL(cx, ...) err_set((cx)->e, __VA_ARGS__)
#define TEXT(t) (type_text(t).s)

/* ---- the batch axis */

/* Of a value made of two others, whose batch axes have been mapped to axes of the result. */
static int batch_join(int a, int b) {
    if (a == MIXED_BATCH || b == MIXED_BATCH) return MIXED_BATCH;
    if (a == NO_BATCH) return b;
    if (b == NO_BATCH || a == b) return a;
    return MIXED_BATCH;
}

/* After reshaping. The batch stays where its axis remains the major part of one: what lies before
 * it has the same size, and its own size divides the new one ([B,T] to [B*T]) or the other way
 * round. With B = 1 or axes of size 1 beside it several places qualify; equal position and size are
 * preferred. */
static int batch_reshape(const Type *in, int rank, const int64_t *dim) {
    int b = in->batch_axis;
    if (b < 0) return b;
    int64_t before = 1, here = 1;
    for (int i = 0; i < b; i++) before *= in->dim[i];
    int same = -1, last = -1;
    for (int i = 0; i < rank; here *= dim[i++]) {
        if (here != before) continue;
        last = i;
        if (dim[i] == in->dim[b] && (same < 0 || i == b)) same = i;
    }
    if (same >= 0) return same;
    if (last < 0) return MIXED_BATCH;
    return dim[last] % in->dim[b] == 0 || in->dim[b] % dim[last] == 0 ? last : MIXED_BATCH;
}

/* ---- given and scalar */

static bool given_value(const Infer *cx, const Type *t) {
    double v = cx->attr->num;
    switch (t->dtype) {
    case DT_bool:
        if (v != 0 && v != 1) return FAIL(cx, "a bool is 0 or 1, not %g", v);
        return true;
    case DT_u8:
        if (!(v >= 0 && v <= 255 && v == floor(v))) return FAIL(cx, "%g does not fit u8", v);
        return true;
    case DT_i8:
        if (!(v >= INT8_MIN && v <= INT8_MAX && v == floor(v)))
            return FAIL(cx, "%g does not fit i8", v);
        return true;
    case DT_i32:
        if (!(v >= INT32_MIN && v <= INT32_MAX && v == floor(v)))
            return FAIL(cx, "%g does not fit i32", v);
        return true;
    case DT_i64:
        if (!(fabs(v) <= 0x1p53 && v == floor(v)))
            return FAIL(cx, "%g is no integer up to 2^53", v);
        return true;
    default: return true;
    }
}

static bool given_random(const Infer *cx, const Type *t) {
    DType want = cx->op == OP_uniform || cx->op == OP_normal ? DT_f32 : DT_i32;
    if (t->dtype != want) return FAIL(cx, "gives %s, not %s", dtype_name(want), TEXT(t));
    if (cx->op == OP_permutation && (t->rank != 1 || t->dim[0] > INT32_MAX))
        return FAIL(cx, "gives i32[n], not %s", TEXT(t));
    int64_t below = cx->attr->random.below;
    if (cx->op == OP_randint ? below < 1 || below > INT32_MAX : below != 0)
        return FAIL(cx, "the bound %lld is not right", (long long)below);
    if (cx->op == OP_permutation && cx->attr->random.rank)
        return FAIL(cx, "a part of a permutation is none");
    return random_part_valid(cx->attr, t, cx->e);
}

static bool shape_given(Infer *cx) {
    const Type *t = cx->given;
    if (!t) return FAIL(cx, "its type has to be given");
    if (!type_valid(t, cx->e)) return false;
    cx->out[0] = *t;
    switch (cx->op) {
    case OP_const: return given_value(cx, t);
    case OP_uniform:
    case OP_normal:
    case OP_randint:
    case OP_permutation: return given_random(cx, t);
    case OP_iota:
        if (cx->attr->axis < 0 || cx->attr->axis >= t->rank)
            return FAIL(cx, "axis %d of %s", cx->attr->axis, TEXT(t));
        if (dtype_size(t->dtype) == 1 || t->dim[cx->attr->axis] > INT32_MAX)
            return FAIL(cx, "%s cannot hold the index", TEXT(t));
        return true;
    case OP_live:
        if (t->dtype != DT_bool || t->rank != 1) return FAIL(cx, "gives bool[B], not %s", TEXT(t));
        return true;
    case OP_arg:
        if (cx->attr->count < 0 || cx->attr->count >= MAX_RESULTS)
            return FAIL(cx, "input %lld of a body", (long long)cx->attr->count);
        return true;
    default: return true; /* state, field */
    }
}

static bool shape_scalar(Infer *cx) {
    cx->out[0] = type_scalar(DT_f32);
    return true;
}

/* ---- pointwise */

static bool shape_unary(Infer *cx) {
    if (cx->in[0].dtype == DT_bool && cx->op != OP_stop)
        return FAIL(cx, "takes numbers, not %s", TEXT(&cx->in[0]));
    cx->out[0] = cx->in[0];
    return true;
}

static bool shape_unaryf(Infer *cx) {
    if (!dtype_is_float(cx->in[0].dtype)) return FAIL(cx, "takes floats, not %s", TEXT(&cx->in[0]));
    cx->out[0] = cx->in[0];
    return true;
}

static bool shape_unaryb(Infer *cx) {
    if (cx->in[0].dtype != DT_bool) return FAIL(cx, "takes bool, not %s", TEXT(&cx->in[0]));
    cx->out[0] = cx->in[0];
    return true;
}

static bool shape_cast(Infer *cx) {
    if ((unsigned)cx->attr->dtype >= DT_COUNT) return FAIL(cx, "an unknown element type");
    cx->out[0] = cx->in[0];
    cx->out[0].dtype = cx->attr->dtype;
    return true;
}

/* Broadcasts `t` into `out`, aligned at the last axis. */
static bool broadcast_into(const Infer *cx, Type *out, const Type *t) {
    Type r = out->rank >= t->rank ? *out : *t;
    int skip_out = r.rank - out->rank, skip_t = r.rank - t->rank;
    for (int i = 0; i < r.rank; i++) {
        int64_t a = i < skip_out ? 1 : out->dim[i - skip_out],
                b = i < skip_t ? 1 : t->dim[i - skip_t];
        if (a != b && a != 1 && b != 1)
            return FAIL(cx, "%s and %s do not fit: %lld against %lld", TEXT(out), TEXT(t),
                        (long long)a, (long long)b);
        r.dim[i] = a == 1 ? b : a;
    }
    int ba = out->batch_axis < 0 ? out->batch_axis : out->batch_axis + skip_out;
    int bb = t->batch_axis < 0 ? t->batch_axis : t->batch_axis + skip_t;
    r.batch_axis = (int8_t)batch_join(ba, bb);
    r.dtype = out->dtype;
    *out = r;
    return true;
}

static bool broadcast_all(const Infer *cx, int first) {
    cx->out[0] = cx->in[first];
    for (int i = 0; i < cx->nin; i++) {
        if (i >= first && cx->in[i].dtype != cx->in[first].dtype)
            return FAIL(cx, "%s and %s have different element types", TEXT(&cx->in[first]),
                        TEXT(&cx->in[i]));
        if (!broadcast_into(cx, &cx->out[0], &cx->in[i])) return false;
    }
    return dims_valid(cx->out[0].rank, cx->out[0].dim, cx->e);
}

static bool shape_bcast(Infer *cx) {
    if (cx->in[0].dtype == DT_bool) return FAIL(cx, "takes numbers, not %s", TEXT(&cx->in[0]));
    return broadcast_all(cx, 0);
}

static bool shape_bcastf(Infer *cx) {
    if (!dtype_is_float(cx->in[0].dtype)) return FAIL(cx, "takes floats, not %s", TEXT(&cx->in[0]));
    return broadcast_all(cx, 0);
}

static bool shape_compare(Infer *cx) {
    if (!broadcast_all(cx, 0)) return false;
    cx->out[0].dtype = DT_bool;
    return true;
}

static bool shape_logic(Infer *cx) {
    if (cx->in[0].dtype != DT_bool) return FAIL(cx, "takes bool, not %s", TEXT(&cx->in[0]));
    return broadcast_all(cx, 0);
}

static bool shape_where(Infer *cx) {
    if (cx->in[0].dtype != DT_bool)
        return FAIL(cx, "the condition is bool, not %s", TEXT(&cx->in[0]));
    return broadcast_all(cx, 1);
}

/* ---- shape */

static bool shape_reshape(Infer *cx) {
    const Type *t = &cx->in[0];
    int rank = cx->attr->shape.rank;
    const int64_t *dim = cx->attr->shape.dim;
    if (!dims_valid(rank, dim, cx->e)) return false;
    Type r = type_make(t->dtype, rank, dim);
    if (type_count(&r) != type_count(t))
        return FAIL(cx, "%s has %lld elements, %s has %lld", TEXT(t), (long long)type_count(t),
                    TEXT(&r), (long long)type_count(&r));
    r.batch_axis = (int8_t)batch_reshape(t, rank, dim);
    cx->out[0] = r;
    return true;
}

static bool shape_expand(Infer *cx) {
    const Type *t = &cx->in[0];
    int rank = cx->attr->shape.rank;
    const int64_t *dim = cx->attr->shape.dim;
    if (!dims_valid(rank, dim, cx->e)) return false;
    Type r = type_make(t->dtype, rank, dim);
    int skip = rank - t->rank;
    for (int i = 0; i < t->rank; i++)
        if (skip < 0 || (t->dim[i] != 1 && t->dim[i] != dim[i + skip]))
            return FAIL(cx, "%s does not broadcast to %s", TEXT(t), TEXT(&r));
    r.batch_axis = t->batch_axis < 0 ? t->batch_axis : (int8_t)(t->batch_axis + skip);
    cx->out[0] = r;
    return true;
}

static bool shape_transpose(Infer *cx) {
    const Type *t = &cx->in[0];
    if (cx->attr->perm.rank != t->rank)
        return FAIL(cx, "a permutation of %d axes for %s", cx->attr->perm.rank, TEXT(t));
    Type r = *t;
    unsigned seen = 0;
    for (int i = 0; i < t->rank; i++) {
        int from = cx->attr->perm.axis[i];
        if (from < 0 || from >= t->rank || seen >> from & 1)
            return FAIL(cx, "not a permutation of the axes of %s", TEXT(t));
        seen |= 1u << from;
        r.dim[i] = t->dim[from];
        if (t->batch_axis == from) r.batch_axis = (int8_t)i;
    }
    cx->out[0] = r;
    return true;
}

static bool shape_slice(Infer *cx) {
    Type r = cx->in[0];
    if (cx->attr->slice.rank != r.rank)
        return FAIL(cx, "a slice of %d axes for %s", cx->attr->slice.rank, TEXT(&r));
    for (int i = 0; i < r.rank; i++) {
        int64_t start = cx->attr->slice.start[i], step = cx->attr->slice.step[i];
        int64_t size = cx->attr->slice.size[i], last;
        if (size < 1 || step == 0 || __builtin_mul_overflow(step, size - 1, &last) ||
            __builtin_add_overflow(last, start, &last) || start < 0 || start >= r.dim[i] ||
            last < 0 || last >= r.dim[i])
            return FAIL(cx, "axis %d of %s has no %lld elements from %lld in steps of %lld", i,
                        TEXT(&cx->in[0]), (long long)size, (long long)start, (long long)step);
        bool whole = start == 0 && size == r.dim[i] && (step == 1 || size == 1);
        if (r.batch_axis == i && !whole) r.batch_axis = MIXED_BATCH;
        r.dim[i] = size;
    }
    cx->out[0] = r;
    return true;
}

static bool shape_pad(Infer *cx) {
    const Type *t = &cx->in[0];
    Type r = *t;
    if (cx->attr->pad.rank != r.rank)
        return FAIL(cx, "padding of %d axes for %s", cx->attr->pad.rank, TEXT(t));
    for (int i = 0; i < r.rank; i++) {
        int64_t lo = cx->attr->pad.lo[i], hi = cx->attr->pad.hi[i], gap = cx->attr->pad.gap[i], n;
        if (lo < 0 || hi < 0 || gap < 0 || __builtin_mul_overflow(gap, r.dim[i] - 1, &n) ||
            __builtin_add_overflow(n, r.dim[i], &n) || __builtin_add_overflow(n, lo, &n) ||
            __builtin_add_overflow(n, hi, &n))
            return FAIL(cx, "padding axis %d of %s by %lld, %lld and %lld between", i, TEXT(t),
                        (long long)lo, (long long)hi, (long long)gap);
        if (t->batch_axis == i && n != t->dim[i]) r.batch_axis = MIXED_BATCH;
        r.dim[i] = n;
    }
    cx->out[0] = r;
    return dims_valid(r.rank, r.dim, cx->e);
}

static bool shape_concat(Infer *cx) {
    int axis = cx->attr->axis;
    if (cx->nin < 1) return FAIL(cx, "needs at least one input");
    Type r = cx->in[0];
    if (axis < 0 || axis >= r.rank) return FAIL(cx, "axis %d of %s", axis, TEXT(&r));
    for (int i = 1; i < cx->nin; i++) {
        Type t = cx->in[i];
        bool fits = t.rank == r.rank && t.dtype == r.dtype &&
                    !__builtin_add_overflow(r.dim[axis], t.dim[axis], &r.dim[axis]);
        for (int k = 0; fits && k < r.rank; k++) fits = k == axis || t.dim[k] == r.dim[k];
        if (!fits)
            return FAIL(cx, "%s and %s do not fit along axis %d", TEXT(&cx->in[0]), TEXT(&t), axis);
        r.batch_axis = (int8_t)batch_join(r.batch_axis, t.batch_axis);
    }
    if (r.batch_axis == axis && cx->nin > 1) r.batch_axis = MIXED_BATCH;
    cx->out[0] = r;
    return dims_valid(r.rank, r.dim, cx->e);
}

/* ---- reductions */

static void reduce_axis(Type *t, int axis) {
    t->dim[axis] = 1;
    if (t->batch_axis == axis) t->batch_axis = NO_BATCH;
}

static bool shape_reduce(Infer *cx) {
    Type r = cx->in[0];
    uint32_t axes = cx->attr->axes;
    if (axes == 0 || axes >> r.rank) return FAIL(cx, "axes 0x%x of %s", axes, TEXT(&r));
    for (int i = 0; i < r.rank; i++)
        if (axes >> i & 1) reduce_axis(&r, i);
    if (cx->op == OP_sum && dtype_size(r.dtype) == 1) r.dtype = DT_i32;
    cx->out[0] = r;
    return true;
}

static bool shape_argmax(Infer *cx) {
    Type r = cx->in[0];
    int axis = cx->attr->axis;
    if (axis < 0 || axis >= r.rank) return FAIL(cx, "axis %d of %s", axis, TEXT(&r));
    if (r.dim[axis] > INT32_MAX) return FAIL(cx, "axis %d of %s is too long", axis, TEXT(&r));
    reduce_axis(&r, axis);
    r.dtype = DT_i32;
    cx->out[0] = r;
    return true;
}

/* ---- products */

static int label_at(const char *labels, char c) {
    const char *p = strchr(labels, c);
    return p ? (int)(p - labels) : -1;
}

static bool labels_valid(const Infer *cx, const char *labels) {
    if (!memchr(labels, 0, RANK + 1)) return FAIL(cx, "more than %d labels", RANK);
    for (const char *p = labels; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (!letter || strchr(p + 1, *p))
            return FAIL(cx, "labels are different letters, not \"%.8s\"", labels);
    }
    return true;
}

static bool dot_operand(const Infer *cx, const char *own, const char *other, const Type *t) {
    const char *out = cx->attr->dot.out;
    if ((int)strlen(own) != t->rank) return FAIL(cx, "labels \"%s\" for %s", own, TEXT(t));
    for (const char *p = own; *p; p++)
        if (!strchr(other, *p) && !strchr(out, *p))
            return FAIL(cx, "label '%c' is in one operand only and not in the result", *p);
    return true;
}

static int dot_batch(const Type *t, const char *labels, const char *out) {
    if (t->batch_axis < 0) return t->batch_axis;
    int at = label_at(out, labels[t->batch_axis]);
    return at >= 0 ? at : NO_BATCH;
}

static bool dot_takes(DType t) {
    return dtype_is_float(t) || t == DT_i8;
}

/* Sums of products are f32 at least, whatever they are products of. */
static bool dot_result(Infer *cx, const Type *a, const Type *b) {
    const char *la = cx->attr->dot.a, *lb = cx->attr->dot.b, *lo = cx->attr->dot.out;
    if (!labels_valid(cx, la) || !labels_valid(cx, lb) || !labels_valid(cx, lo)) return false;
    bool f64 = a->dtype == DT_f64;
    if (!dot_takes(a->dtype) || !dot_takes(b->dtype) || f64 != (b->dtype == DT_f64))
        return FAIL(cx, "takes floats or i8, both f64 or neither, not %s and %s", TEXT(a), TEXT(b));
    if (f64 && (cx->attr->dot.round || cx->attr->dot.halve))
        return FAIL(cx, "f64 is not rounded to bf16");
    if (!dot_operand(cx, la, lb, a) || !dot_operand(cx, lb, la, b)) return false;
    for (int i = 0; la[i]; i++) {
        int k = label_at(lb, la[i]);
        if (k >= 0 && a->dim[i] != b->dim[k])
            return FAIL(cx, "label '%c' is %lld in %s and %lld in %s", la[i], (long long)a->dim[i],
                        TEXT(a), (long long)b->dim[k], TEXT(b));
    }
    DType sum = f64 ? DT_f64 : cx->attr->dot.halve ? DT_bf16 : DT_f32;
    Type r = type_make(sum, (int)strlen(lo), (const int64_t[RANK]){0});
    for (int i = 0; lo[i]; i++) {
        int ka = label_at(la, lo[i]), kb = label_at(lb, lo[i]);
        if (ka < 0 && kb < 0) return FAIL(cx, "label '%c' of the result is in no operand", lo[i]);
        r.dim[i] = ka >= 0 ? a->dim[ka] : b->dim[kb];
    }
    r.batch_axis = (int8_t)batch_join(dot_batch(a, la, lo), dot_batch(b, lb, lo));
    cx->out[0] = r;
    return dims_valid(r.rank, r.dim, cx->e);
}

static bool shape_dot(Infer *cx) {
    return dot_result(cx, &cx->in[0], &cx->in[1]);
}

static bool shape_dot_add(Infer *cx) {
    const Type *c = &cx->in[0];
    if (!dot_result(cx, &cx->in[1], &cx->in[2])) return false;
    Type r = cx->out[0];
    if (c->dtype != (r.dtype == DT_f64 ? DT_f64 : DT_f32))
        return FAIL(cx, "adds %s to %s", TEXT(c), TEXT(&r));
    if (!broadcast_into(cx, &cx->out[0], c)) return false;
    return type_same_shape(&cx->out[0], &r) || FAIL(cx, "%s does not fit %s", TEXT(c), TEXT(&r));
}

/* ---- tables of rows */

/* The type of take's result, and of put's values: x[:a] + i[a:] + x[a+1:]. */
static bool rows_type(const Infer *cx, const Type *x, const Type *i, int axis, Type *r) {
    if (i->dtype != DT_i32) return FAIL(cx, "the index is i32, not %s", TEXT(i));
    if (axis < 0 || axis >= x->rank) return FAIL(cx, "axis %d of %s", axis, TEXT(x));
    if (x->dim[axis] > INT32_MAX) return FAIL(cx, "axis %d of %s is too long", axis, TEXT(x));
    bool fits = i->rank >= axis && i->rank + x->rank - axis - 1 <= RANK;
    for (int k = 0; fits && k < axis; k++) fits = x->dim[k] == i->dim[k];
    if (!fits) return FAIL(cx, "index %s does not fit axis %d of %s", TEXT(i), axis, TEXT(x));
    int64_t dim[RANK];
    int rank = 0;
    for (int k = 0; k < i->rank; k++) dim[rank++] = i->dim[k];
    for (int k = axis + 1; k < x->rank; k++) dim[rank++] = x->dim[k];
    *r = type_make(x->dtype, rank, dim);
    return dims_valid(rank, dim, cx->e);
}

static bool shape_take(Infer *cx) {
    const Type *x = &cx->in[0], *i = &cx->in[1];
    int axis = cx->attr->axis, xb = x->batch_axis;
    if (!rows_type(cx, x, i, axis, &cx->out[0])) return false;
    if (xb == axis)
        xb = MIXED_BATCH; /* samples picked by number */
    else if (xb > axis)
        xb += i->rank - axis - 1;
    cx->out[0].batch_axis = (int8_t)batch_join(xb, i->batch_axis);
    return true;
}

/* Where the batch axis of the index or of the values goes in x. Rows added from all samples are a
 * sum over the batch; of rows set, the last sample wins. */
static int put_batch(const Infer *cx, int b) {
    int axis = cx->attr->axis, i_rank = cx->in[1].rank;
    if (b < axis) return b; /* none and mixed as well */
    if (b >= i_rank) return b - i_rank + axis + 1;
    return cx->op == OP_put_add ? NO_BATCH : MIXED_BATCH;
}

static bool shape_put(Infer *cx) {
    const Type *x = &cx->in[0], *i = &cx->in[1], *v = &cx->in[2];
    Type rows;
    if (!rows_type(cx, x, i, cx->attr->axis, &rows)) return false;
    if (v->dtype != x->dtype || !type_same_shape(&rows, v))
        return FAIL(cx, "rows of %s at %s are %s, not %s", TEXT(x), TEXT(i), TEXT(&rows), TEXT(v));
    if (x->dtype == DT_bool && cx->op == OP_put_add)
        return FAIL(cx, "takes numbers, not %s", TEXT(x));
    int xb = x->batch_axis == cx->attr->axis ? MIXED_BATCH : x->batch_axis;
    int rb = batch_join(put_batch(cx, i->batch_axis), put_batch(cx, v->batch_axis));
    cx->out[0] = *x;
    cx->out[0].batch_axis = (int8_t)batch_join(xb, rb);
    return true;
}

static bool shape_compact(Infer *cx) {
    Type r = cx->in[0];
    if (r.dtype != DT_bool || r.rank < 1) return FAIL(cx, "takes bool[..., n], not %s", TEXT(&r));
    if (r.dim[r.rank - 1] > INT32_MAX) return FAIL(cx, "rows of %s are too long", TEXT(&r));
    r.dim[r.rank - 1] = cx->attr->count;
    if (r.batch_axis == r.rank - 1) r.batch_axis = MIXED_BATCH;
    if (!dims_valid(r.rank, r.dim, cx->e)) return false;
    cx->out[0] = cx->out[1] = r;
    cx->out[0].dtype = DT_i32;
    cx->nout = 2;
    return true;
}

static bool shape_argtop(Infer *cx) {
    Type r = cx->in[0];
    int64_t k = cx->attr->count;
    if (r.dtype == DT_bool || r.rank < 1)
        return FAIL(cx, "takes rows of numbers, not %s", TEXT(&r));
    if (r.dim[r.rank - 1] > INT32_MAX) return FAIL(cx, "rows of %s are too long", TEXT(&r));
    if (k < 1 || k > r.dim[r.rank - 1])
        return FAIL(cx, "the %lld largest of rows of %s", (long long)k, TEXT(&r));
    r.dtype = DT_i32;
    r.dim[r.rank - 1] = k;
    if (r.batch_axis == r.rank - 1) r.batch_axis = MIXED_BATCH;
    cx->out[0] = r;
    return true;
}

static bool shape_cumsum(Infer *cx) {
    Type r = cx->in[0];
    int axis = cx->attr->axis;
    if (r.dtype == DT_bool) return FAIL(cx, "takes numbers, not %s", TEXT(&r));
    if (axis < 0 || axis >= r.rank) return FAIL(cx, "axis %d of %s", axis, TEXT(&r));
    if (r.batch_axis == axis) r.batch_axis = MIXED_BATCH;
    cx->out[0] = r;
    return true;
}

/* ---- windows */

static bool window_fits(Infer *cx, bool folds) {
    const Type *t = &cx->in[0];
    int axis = cx->attr->window.axis, n = cx->attr->window.rank;
    if (!dtype_is_float(t->dtype)) return FAIL(cx, "takes floats, not %s", TEXT(t));
    if (n < 1 || n > 3 || axis < 0 || axis > t->rank || (folds ? 2 * n : n) > t->rank - axis)
        return FAIL(cx, "windows along %d axes from %d of %s", n, axis, TEXT(t));
    const int64_t *given = t->dim + axis, *made = cx->attr->window.dim,
                  *elements = folds ? made : given, *windows = folds ? given : made;
    for (int i = 0; i < n; i++) {
        int64_t size = cx->attr->window.size[i], step = cx->attr->window.step[i];
        const int64_t all[] = {elements[i], windows[i], size, step, cx->attr->window.dilate[i]};
        for (int k = 0; k < 5; k++)
            if (all[k] < 1 || all[k] > INT32_MAX)
                return FAIL(cx,
                            "windows of %lld, %lld apart: sizes and steps are from 1 to 2147483647",
                            (long long)size, (long long)step);
        int64_t last = (windows[i] - 1) * step + (size - 1) * cx->attr->window.dilate[i];
        if (last >= elements[i])
            return FAIL(cx, "%lld windows of %lld, %lld apart, reach beyond %lld elements",
                        (long long)windows[i], (long long)size, (long long)step,
                        (long long)elements[i]);
    }
    return true;
}

/* Puts `put` axes in place of `taken` from the first windowed one on. */
static bool window_result(Infer *cx, int taken, int put, const int64_t *dim) {
    const Type *t = &cx->in[0];
    int axis = cx->attr->window.axis, rank = t->rank - taken + put, b = t->batch_axis;
    if (rank > RANK) return FAIL(cx, "%d axes of at most %d", rank, RANK);
    Type r = type_make(t->dtype, rank, (const int64_t[RANK]){0});
    for (int i = 0; i < axis; i++) r.dim[i] = t->dim[i];
    for (int i = 0; i < put; i++) r.dim[axis + i] = dim[i];
    for (int i = axis + taken; i < t->rank; i++) r.dim[i - taken + put] = t->dim[i];
    r.batch_axis = (int8_t)(b < axis ? b : b < axis + taken ? MIXED_BATCH : b - taken + put);
    cx->out[0] = r;
    return dims_valid(r.rank, r.dim, cx->e);
}

static bool shape_unfold(Infer *cx) {
    int n = cx->attr->window.rank;
    int64_t dim[2 * RANK];
    if (!window_fits(cx, false)) return false;
    for (int i = 0; i < n; i++) {
        dim[i] = cx->attr->window.dim[i];
        dim[n + i] = cx->attr->window.size[i];
    }
    return window_result(cx, n, 2 * n, dim);
}

static bool shape_fold(Infer *cx) {
    int n = cx->attr->window.rank, axis = cx->attr->window.axis;
    if (!window_fits(cx, true)) return false;
    for (int i = 0; i < n; i++)
        if (cx->in[0].dim[axis + n + i] != cx->attr->window.size[i])
            return FAIL(cx, "windows of %lld in %s", (long long)cx->attr->window.size[i],
                        TEXT(&cx->in[0]));
    return window_result(cx, 2 * n, n, cx->attr->window.dim);
}

/* ---- structure */

static bool shape_grad(Infer *cx) {
    if (cx->nin < 2) return FAIL(cx, "needs a value and something to differentiate it for");
    if (!dtype_is_float(cx->in[0].dtype) || type_count(&cx->in[0]) != 1)
        return FAIL(cx, "differentiates one float, not %s", TEXT(&cx->in[0]));
    cx->nout = cx->nin - 1;
    for (int i = 1; i < cx->nin; i++) {
        if (!dtype_is_float(cx->in[i].dtype))
            return FAIL(cx, "differentiates for floats, not %s", TEXT(&cx->in[i]));
        cx->out[i - 1] = cx->in[i];
    }
    return true;
}

/* The first `free` inputs may have another batch axis in the body; a loop's may have none there. */
static bool body_fits(Infer *cx, const Type *arg, int free, bool loop) {
    const Graph *body = cx->attr->body;
    if (!body || body->nout < 1 || body->nout > MAX_RESULTS)
        return FAIL(cx, "a body without results");
    for (size_t i = 0; i < body->n; i++) {
        const Node *n = body->node[i];
        if (n->op != OP_arg) continue;
        if (n->attr.count >= cx->nin)
            return FAIL(cx, "the body has more inputs than the %d given", cx->nin);
        Type t = arg[n->attr.count];
        bool forgotten = loop && n->type[0].batch_axis == NO_BATCH;
        if (n->attr.count < free || forgotten) t.batch_axis = n->type[0].batch_axis;
        if (!type_same(&n->type[0], &t))
            return FAIL(cx, "input %lld of the body is %s, not %s", (long long)n->attr.count,
                        TEXT(&n->type[0]), TEXT(&t));
    }
    cx->nout = (int)body->nout;
    return true;
}

static bool shape_body(Infer *cx) {
    const Graph *body = cx->attr->body;
    if (!body_fits(cx, cx->in, 0, false)) return false;
    for (size_t i = 0; i < body->nout; i++) cx->out[i] = *graph_type(body, body->out[i].ref);
    return true;
}

/* Of all places of what is `t` at each. */
static bool stacked_type(Infer *cx, const Type *t, int64_t length, Type *out) {
    int64_t dim[RANK] = {length};
    if (t->rank == RANK) return FAIL(cx, "no axis is left to stack %s along", TEXT(t));
    for (int i = 0; i < t->rank; i++) dim[i + 1] = t->dim[i];
    *out = type_make(t->dtype, t->rank + 1, dim);
    out->batch_axis = (int8_t)(t->batch_axis >= 0 ? t->batch_axis + 1 : t->batch_axis);
    return dims_valid(out->rank, out->dim, cx->e);
}

/* What the body's inputs are: the carries, a place of each slice, and the others. */
static bool scan_inputs(Infer *cx, Type *arg) {
    int carries = cx->attr->scan.carries, slices = cx->attr->scan.slices;
    if (carries < 0 || slices < 1 || slices > cx->nin - carries)
        return FAIL(cx, "%d carries and %d slices of %d inputs", carries, slices, cx->nin);
    if (cx->in[carries].rank && cx->in[carries].dim[0] > MAX_RESULTS)
        return FAIL(cx, "goes over at most %d places, not %s", MAX_RESULTS, TEXT(&cx->in[carries]));
    for (int i = 0; i < cx->nin; i++) {
        arg[i] = cx->in[i];
        if (i < carries || i >= carries + slices) continue;
        if (arg[i].rank < 1 || arg[i].dim[0] != cx->in[carries].dim[0])
            return FAIL(cx, "goes along %s beside %s", TEXT(&cx->in[carries]), TEXT(&cx->in[i]));
        arg[i] = type_place(&cx->in[i]);
    }
    return true;
}

/* A total is written over as soon as it has been read, so none may become what another was. */
static bool totals_part(Infer *cx, const Graph *body, int totals) {
    for (int i = 0; i < totals; i++) {
        const Node *n = graph_node(body, body->out[i].ref);
        while (op_info[n->op].lower == LOWER_VIEW && n->nin == 1) n = graph_node(body, n->in[0]);
        if (n->op == OP_arg && n->attr.count < totals && n->attr.count != i)
            return FAIL(cx, "total %d becomes what total %lld was", i, (long long)n->attr.count);
    }
    return true;
}

static bool shape_scan(Infer *cx) {
    const Graph *body = cx->attr->body;
    Arena *scratch = arena_new();
    Type *arg = NEW_N(scratch, Type, cx->nin + 1);
    int carries = cx->attr->scan.carries, totals = cx->attr->scan.totals;
    bool ok = scan_inputs(cx, arg) && body_fits(cx, arg, carries, true);
    if (ok && carries > cx->nout) ok = FAIL(cx, "%d carries and %d results", carries, cx->nout);
    if (ok && (totals < 0 || totals > carries))
        ok = FAIL(cx, "%d totals of %d carries", totals, carries);
    ok = ok && totals_part(cx, body, totals);
    for (int i = 0; ok && i < cx->nout; i++) {
        const Type *t = graph_type(body, body->out[i].ref);
        if (i < carries && (t->dtype != arg[i].dtype || !type_same_shape(t, &arg[i])))
            ok = FAIL(cx, "carry %d begins as %s and becomes %s", i, TEXT(&arg[i]), TEXT(t));
        if (ok && i < totals)
            cx->out[i] = *t;
        else
            ok = ok && stacked_type(cx, t, cx->in[carries].dim[0], &cx->out[i]);
    }
    arena_free(scratch);
    return ok;
}

/* ---- the table */

typedef bool ShapeFn(Infer *cx);
static ShapeFn *const shape_table[OP_COUNT] = {
#define OP(name, arity, attr, shape, vjp, lower, flags) [OP_##name] = shape_##shape,
#include "ir/ops.def"
#undef OP
};

bool op_takes_type(Op op) {
    return shape_table[op] == shape_given;
}

/* The most results that an operator has: the room that its rule may fill. */
static int max_results(Op op, const Attr *attr, int nin) {
    if (op_has_body(op))
        return attr->body && attr->body->nout <= MAX_RESULTS ? (int)attr->body->nout : 0;
    return nin > 2 ? nin : 2; /* grad; compact */
}

bool shape_infer(Op op, const Attr *attr, const Type *in, int nin, const Type *given, Arena *a,
                 Type **out, int *nout, Err *e) {
    static const Attr no_attr;
    if ((unsigned)op >= OP_COUNT) return err_set(e, "an unknown operator");
    int arity = op_info[op].arity;
    if (nin < 0 || nin > MAX_RESULTS)
        return err_set(e, "%s takes at most %d inputs, not %d", op_info[op].name, MAX_RESULTS, nin);
    if (arity != ARITY_ANY && nin != arity)
        return err_set(e, "%s takes %d inputs, not %d", op_info[op].name, arity, nin);
    Infer cx = {op, attr ? attr : &no_attr, in, nin, given, NULL, 1, e};
    cx.out = NEW_N(a, Type, max_results(op, cx.attr, nin));
    if (!shape_table[op](&cx)) return false;
    *out = cx.out;
    *nout = cx.nout;
    return true;
}
