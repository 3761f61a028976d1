/* Names and sizes of dtypes, conversion of bf16, and reading the arguments of a data stage. */
#include "base/spec.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} dtypes[DT_COUNT] = {
    [DT_f32] = {"f32", 4, true},    [DT_f64] = {"f64", 8, true},  [DT_bf16] = {"bf16", 2, true},
    [DT_i32] = {"i32", 4, false},   [DT_i64] = {"i64", 8, false}, [DT_u8] = {"u8", 1, false},
    [DT_bool] = {"bool", 1, false}, [DT_i8] = {"i8", 1, false},
};

size_t dtype_size(DType t) {
    return dtypes[t].size;
}

const char *dtype_name(DType t) {
    return dtypes[t].name;
}

bool dtype_is_float(DType t) {
    return dtypes[t].is_float;
}

bool dtype_from_name(const char *s, DType *t) {
    for (int i = 0; i < DT_COUNT; i++) {
        if (!str_eq(s, dtypes[i].name)) continue;
        *t = (DType)i;
        return true;
    }
    return false;
}

float bf16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

uint16_t bf16_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40); /* quiet: the bits cut off may be all it has */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

size_t record_bytes(const Field *f) {
    size_t n = dtype_size(f->dtype);
    for (int i = 0; i < f->rank; i++) n *= (size_t)f->dim[i];
    return n;
}

const SpecArg *spec_arg(const DataSpec *d, const char *name) {
    for (int i = 0; i < d->narg; i++)
        if (str_eq(d->arg[i].name, name)) return &d->arg[i];
    return NULL;
}

int64_t spec_int(const DataSpec *d, const char *name, int64_t otherwise) {
    const SpecArg *a = spec_arg(d, name);
    return a && a->kind != ARG_str && a->kind != ARG_float ? a->i : otherwise;
}

double spec_num(const DataSpec *d, const char *name, double otherwise) {
    const SpecArg *a = spec_arg(d, name);
    if (!a || (a->kind != ARG_float && a->kind != ARG_int)) return otherwise;
    return a->kind == ARG_float ? a->f : (double)a->i;
}

const char *spec_str(const DataSpec *d, const char *name, const char *otherwise) {
    const SpecArg *a = spec_arg(d, name);
    return a && a->kind == ARG_str ? a->s : otherwise;
}
