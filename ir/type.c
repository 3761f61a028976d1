/* Types: element type, shape, and which axis counts the samples of the batch. */
#include "ir/internal.h"

#include <string.h>

Type type_make(DType t, int rank, const int64_t *dim) {
    CHECK(rank >= 0 && rank <= RANK);
    Type type = {.dtype = t, .rank = (int8_t)rank, .batch_axis = NO_BATCH};
    for (int i = 0; i < rank; i++) type.dim[i] = dim[i];
    return type;
}

Type type_place(const Type *t) {
    Type r = type_make(t->dtype, t->rank - 1, t->dim + 1);
    bool later = t->batch_axis > 0;
    r.batch_axis = (int8_t)(later                ? t->batch_axis - 1
                            : t->batch_axis == 0 ? MIXED_BATCH
                                                 : t->batch_axis);
    return r;
}

Type type_scalar(DType t) {
    return type_make(t, 0, NULL);
}

int64_t type_count(const Type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

bool type_same_shape(const Type *a, const Type *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool type_same(const Type *a, const Type *b) {
    return a->dtype == b->dtype && a->batch_axis == b->batch_axis && type_same_shape(a, b);
}

bool dims_valid(int rank, const int64_t *dim, Err *e) {
    if (rank < 0 || rank > RANK)
        return err_set(e, "a tensor has at most %d dimensions, not %d", RANK, rank);
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 1)
            return err_set(e, "dimension %d has size %lld; sizes start at 1", i, (long long)dim[i]);
        if (__builtin_mul_overflow(n, dim[i], &n) || n > INT64_C(1) << MAX_DIM_LOG)
            return err_set(e, "a tensor of more than 2^%d elements", MAX_DIM_LOG);
    }
    return true;
}

bool type_valid(const Type *t, Err *e) {
    if (!dims_valid(t->rank, t->dim, e)) return false;
    if ((unsigned)t->dtype >= DT_COUNT) return err_set(e, "an unknown element type");
    if (t->batch_axis < MIXED_BATCH || t->batch_axis >= t->rank)
        return err_set(e, "batch axis %d of a tensor of rank %d", t->batch_axis, t->rank);
    return true;
}

TypeText type_text(const Type *t) {
    TypeText text;
    Buf b = {0};
    type_print(&b, t);
    snprintf(text.s, sizeof text.s, "%s", b.data);
    buf_free(&b);
    return text;
}

void type_print(Buf *b, const Type *t) {
    buf_puts(b, dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) {
        buf_puts(b, i ? "," : "[");
        buf_int(b, t->dim[i]);
        if (t->batch_axis == i) buf_puts(b, "*");
    }
    if (t->rank) buf_puts(b, "]");
    if (t->batch_axis == MIXED_BATCH) buf_puts(b, "?");
}

void strides_of(const Type *t, int64_t *stride) {
    int64_t s = 1;
    for (int i = t->rank; i-- > 0; s *= t->dim[i]) stride[i] = s;
}
