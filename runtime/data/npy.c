/* NumPy's .npy: "\x93NUMPY", a version, the length of a header, and the header: a Python dictionary
 * of `descr` (the type), `fortran_order` and `shape`; then the numbers (NumPy Enhancement Proposal
 * 1). Images are bytes or f32, [n, ...]; of three dimensions in all they are grey pictures. Labels
 * are bytes, i32 or i64, [n]. Little-endian, last index fastest. */
#include <stdlib.h>
#include <string.h>

#include "runtime/data/records.h"

enum { MAGIC = 10, HEADER_MAX = 4096, NPY_RANK = 4 };

typedef struct Npy {
    ZFile z;
    char header[HEADER_MAX + 1];
    char type[8]; /* "|u1" */
    int rank;
    int64_t dim[NPY_RANK];
} Npy;

/* ---- the header */
static bool bad_header(const Npy *x, const char *what, Err *e) {
    return err_set(e, "the header of '%s' has no %s that can be read here: %.200s", x->z.path, what,
                   x->header);
}

/* What stands after 'key': in the dictionary. */
static const char *find_value(const Npy *x, const char *key) {
    const char *p = strstr(x->header, key);
    if (!p) return "";
    p += strlen(key);
    return p + strspn(p, "'\": ");
}

static bool parse_type(Npy *x, Err *e) {
    const char *p = find_value(x, "descr");
    size_t n = strcspn(p, "'\"");
    if (n == 0 || n >= sizeof x->type) return bad_header(x, "'descr'", e);
    memcpy(x->type, p, n);
    return str_starts(find_value(x, "fortran_order"), "False") ||
           bad_header(x, "'fortran_order': False", e);
}

static bool parse_shape(Npy *x, Err *e) {
    const char *p = find_value(x, "shape");
    if (*p++ != '(') return bad_header(x, "'shape'", e);
    for (p += strspn(p, " "); *p >= '0' && *p <= '9'; p += strspn(p, ", ")) {
        if (x->rank == NPY_RANK || strspn(p, "0123456789") > 15)
            return bad_header(x, "'shape' of at most 4 dimensions", e);
        x->dim[x->rank++] = strtoll(p, (char **)&p, 10);
    }
    if (*p != ')' || x->rank == 0) return bad_header(x, "'shape'", e);
    for (int i = 0; i < x->rank; i++)
        if (x->dim[i] < 1) return bad_header(x, "'shape' without zeros", e);
    return true;
}

static bool read_header(Npy *x, Err *e) {
    unsigned char head[MAGIC + 2] = {0};
    size_t got, n;
    if (!zfile_read(&x->z, head, MAGIC, &got, e)) return false;
    if (got < MAGIC || memcmp(head, "\x93NUMPY", 6))
        return err_set(e, "'%s' is not a .npy file: it does not begin with \\x93NUMPY", x->z.path);
    bool wide = head[6] > 1;
    if (wide && !zfile_read(&x->z, head + MAGIC, 2, &got, e)) return false;
    n = head[8] | (size_t)head[9] << 8 | (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (n > HEADER_MAX)
        return err_set(e, "'%s' says its header has %zu bytes; at most %d can be read", x->z.path,
                       n, HEADER_MAX);
    if (!zfile_read(&x->z, x->header, n, &got, e)) return false;
    if (got < n)
        return err_set(e, "'%s' ends at byte %llu, within its header", x->z.path,
                       (unsigned long long)x->z.at);
    return parse_type(x, e) && parse_shape(x, e);
}

static bool open_npy(const char *path, Npy *x, Err *e) {
    return zfile_open(path, &x->z, e) && read_header(x, e);
}

/* ---- images */
static bool image_type(const Npy *x, DType *r, Err *e) {
    bool bytes = str_eq(x->type, "|u1"), floats = str_eq(x->type, "<f4");
    *r = bytes ? DT_u8 : DT_f32;
    return bytes || floats ||
           err_set(e,
                   "'%s' holds numbers of type '%s'; images are '|u1' (uint8) or '<f4' "
                   "(float32): array.astype('uint8')",
                   x->z.path, x->type);
}

static bool image_field(Records *r, const Npy *x, Err *e) {
    DType type;
    if (x->rank < 2)
        return err_set(e, "'%s' has one dimension, and images have at least two", x->z.path);
    if (!image_type(x, &type, e)) return false;
    if (x->rank == 3 && type == DT_u8) return records_picture_field(r, x->dim[1], x->dim[2], 1, e);
    return records_field(r, "image", type, x->rank - 1, x->dim + 1, e);
}

static bool has_labels(Records *r) {
    return *records_path(r, "labels");
}

bool npy_head(Records *r, Err *e) {
    Npy x = {0};
    bool ok = open_npy(records_path(r, "images"), &x, e) && image_field(r, &x, e);
    zfile_close(&x.z);
    return ok && (!has_labels(r) || records_label_field(r, e));
}

/* ---- labels */
static size_t label_bytes(const char *type) {
    return str_eq(type, "|u1") ? 1 : str_eq(type, "<i4") ? 4 : str_eq(type, "<i8") ? 8 : 0;
}

static int64_t label_value(const unsigned char *p, size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return bytes == 4 ? (int32_t)(uint32_t)v : (int64_t)v;
}

static bool read_labels(Records *r, Npy *x, Err *e) {
    size_t bytes = label_bytes(x->type), got;
    unsigned char one[8];
    if (!bytes || x->rank != 1)
        return err_set(e,
                       "'%s' holds %d-dimensional numbers of type '%s'; labels have one "
                       "dimension and are '|u1', '<i4' or '<i8'",
                       x->z.path, x->rank, x->type);
    if ((uint64_t)x->dim[0] != r->n)
        return err_set(e, "'%s' has %llu images and '%s' %lld labels; they do not belong together",
                       records_path(r, "images"), (unsigned long long)r->n, x->z.path,
                       (long long)x->dim[0]);
    for (uint64_t i = 0; i < r->n; i++) {
        if (!zfile_read(&x->z, one, bytes, &got, e)) return false;
        if (got < bytes)
            return err_set(e, "'%s' ends after %llu of its %llu labels", x->z.path,
                           (unsigned long long)i, (unsigned long long)r->n);
        if (!records_put_label(r, label_value(one, bytes), e)) return false;
    }
    return zfile_ended(&x->z, e);
}

static bool load_labels(Records *r, Err *e) {
    Npy x = {0};
    bool ok = open_npy(records_path(r, "labels"), &x, e) && read_labels(r, &x, e);
    zfile_close(&x.z);
    return ok;
}

bool npy_load(Records *r, Err *e) {
    Npy x = {0};
    bool ok = open_npy(records_path(r, "images"), &x, e);
    r->n = ok ? (uint64_t)x.dim[0] : 0;
    ok = ok && records_read(r, 0, &x.z, r->n, e) && zfile_ended(&x.z, e);
    zfile_close(&x.z);
    return ok && (!has_labels(r) || load_labels(r, e));
}
